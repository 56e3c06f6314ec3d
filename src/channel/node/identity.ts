/**
 * Whose node it is, and which key signs for it.
 * @module
 */
import { SigningKey, type Provider, type Signer } from 'ethers'
import { delegationDigest, delegationDomain, delegationTypes } from '../../contracts/channelTypes.ts'
import { concatBytes, fromHex, toHex, utf8, type Hex } from '../../core/bytes.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import { engine } from '../../core/crypto/engine.ts'
import { keyFromSecret, type Key } from '../../core/crypto/key.ts'
import { storedSecret } from '../../core/crypto/sessionSecret.ts'
import { recoverAddress } from '../../core/crypto/signature.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import type { Store } from '../../core/store/store.ts'

/** Who a node is. */
export interface NodeIdentity {
  /** In lower case. */
  readonly account: Hex
  readonly key: Key
  /** The account's signature that lets the key sign; empty if it is the account's own. */
  readonly delegation: Uint8Array
  /** Of this node alone: what its watch secrets are made of. */
  readonly secret: Uint8Array
}

/**
 * A wallet that holds its key signs itself. Any other signer (a browser's wallet, a key service, a contract's owner) is asked
 * once: for a delegation to a session key, which is kept sealed in the store.
 * @throws `TRANSACTION_REJECTED` when the signer declines; `BAD_KEY`, `STORE_FAILED`.
 */
export async function nodeIdentity(signer: Signer, store: Store, chainId: bigint, registry: Hex): Promise<NodeIdentity> {
  const account = (await signer.getAddress()).toLowerCase() as Hex
  const local = (signer as { signingKey?: unknown }).signingKey
  if (local instanceof SigningKey) {
    const own = fromHex(local.privateKey, 32)
    return { account, key: keyFromSecret(own), delegation: new Uint8Array(), secret: secretOf(own) }
  }
  const session = await storedSecret(store, signer, account)
  const key = keyFromSecret(session)
  const kept = `delegation/${registry}/${key.address.toLowerCase()}`
  let delegation = await store.get(kept)
  if (!delegation) {
    try {
      const types = { Delegation: [...delegationTypes.Delegation] }
      delegation = fromHex(
        await signer.signTypedData(delegationDomain(chainId, registry), types, { participant: account, signer: key.address }),
      )
    } catch (cause) {
      throw new SluiceError('TRANSACTION_REJECTED', `the signer did not let ${key.address} sign for ${account}`, { cause })
    }
    await store.write([{ key: kept, value: delegation }])
  }
  return { account, key, delegation, secret: secretOf(session) }
}

function secretOf(key: Uint8Array): Uint8Array {
  return engine().sha256(utf8('sluice channel watch'), key)
}

/** The watch secret of one channel. */
export function watchOf(secret: Uint8Array, channelId: Hex): Uint8Array {
  return engine().sha256(concatBytes(secret, fromHex(channelId, 32)))
}

/** Tells whether keys may sign for accounts. */
export interface Delegations {
  /** By an account's own signature, or by what was found out before about an account that is a contract. */
  isSigner(account: string, signer: string, delegation: Uint8Array): boolean
  /** Also asks the chain. Source: ERC-1271. */
  verify(account: Hex, signer: Hex, delegation: Uint8Array): Promise<boolean>
}

/** Contracts' answers that are kept. */
const REMEMBERED = 1024

/** Checks delegations under the registry of token networks at an address. */
export function createDelegations(provider: Provider, chainId: bigint, registry: Hex): Delegations {
  const rpc = createRpc({ provider })
  const known = new Set<string>()
  const digestOf = (participant: string, signer: string): Uint8Array =>
    delegationDigest(chainId, registry, { participant, signer })
  const isSigner = (account: string, signer: string, delegation: Uint8Array): boolean => {
    if (account.toLowerCase() === signer.toLowerCase() && delegation.length === 0) return true
    if (known.has(idOf(account, signer, delegation))) return true
    if (delegation.length !== 65) return false
    try {
      return recoverAddress(digestOf(account, signer), delegation).toLowerCase() === account.toLowerCase()
    } catch (error) {
      if (isSluiceError(error, 'BAD_SIGNATURE')) return false
      throw error
    }
  }
  return {
    isSigner,
    async verify(account, signer, delegation) {
      if (isSigner(account, signer, delegation)) return true
      if (delegation.length === 0) return false
      const data = isValidSignatureCall(digestOf(account, signer), delegation)
      const answer = await rpc
        .ask('ERC-1271 answer', () => provider.call({ to: account, data }), { attempts: 3 })
        .catch(() => '0x')
      if (!answer.startsWith('0x1626ba7e')) return false
      if (known.size >= REMEMBERED) known.clear()
      known.add(idOf(account, signer, delegation))
      return true
    },
  }
}

const idOf = (account: string, signer: string, delegation: Uint8Array): string =>
  `${account}/${signer}/${toHex(delegation)}`.toLowerCase()

/** Call data of `isValidSignature(bytes32,bytes)`. */
function isValidSignatureCall(digest: Uint8Array, signature: Uint8Array): string {
  const length = new Uint8Array(64)
  length[31] = 64
  new DataView(length.buffer).setUint32(60, signature.length)
  const padded = new Uint8Array(Math.ceil(signature.length / 32) * 32)
  padded.set(signature)
  return toHex(concatBytes(fromHex('0x1626ba7e'), digest, length, padded))
}
