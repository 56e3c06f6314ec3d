/**
 * Whose node it is, and which key signs for it.
 * @module
 */
import { Interface, SigningKey, type Provider, type Signer } from 'ethers'
import {
  decodeDelegation,
  delegationDigest,
  delegationDomain,
  delegationTypes,
  encodeDelegation,
} from '../../contracts/channelTypes.ts'
import { concatBytes, fromHex, toHex, utf8, type Hex } from '../../core/bytes.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import { reasonOf } from '../../core/chain/verdict.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { engine } from '../../core/crypto/engine.ts'
import { keyFromSecret, type Key } from '../../core/crypto/key.ts'
import { storedSecret } from '../../core/crypto/sessionSecret.ts'
import { recoverAddress } from '../../core/crypto/signature.ts'
import { readWalletSignature, signerOf } from '../../core/crypto/walletSignature.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import type { Store } from '../../core/store/store.ts'

/** Who a node is. */
export interface NodeIdentity {
  /** In lower case. */
  readonly account: Hex
  readonly key: Key
  /** The key's address, if it is a session key; undefined if it is the account's own. */
  readonly sessionKey: Hex | undefined
  /** Until when the session key may sign, and the account's signature of that; empty if the key is the account's own. */
  readonly delegation: Uint8Array
  /** Of this node alone: what its watch secrets are made of. */
  readonly secret: Uint8Array
  /** Whether the delegation ends soon. */
  isDue(): boolean
  /** Asks the account for a delegation that lasts longer. @throws `TRANSACTION_REJECTED` when it declines. */
  renew(): Promise<void>
}

/** Seconds that a delegation lasts. */
const DELEGATED_FOR = 90 * 86_400
/** Seconds before its end from which on it is renewed. */
const RENEWED_BEFORE = 30 * 86_400

/**
 * A wallet that holds its key signs itself. Any other signer (a browser's wallet, a key service, a contract's owner) is asked
 * for a delegation to a session key, which is kept sealed in the store: at first, and again before the delegation ends.
 * @throws `TRANSACTION_REJECTED` when the signer declines; `BAD_SIGNATURE` when neither the account's key nor its contract
 * stands behind what it signed; `BAD_KEY`, `STORE_FAILED`.
 */
export async function nodeIdentity(
  signer: Signer,
  store: Store,
  chainId: bigint,
  registry: Hex,
  clock: Clock = systemClock,
): Promise<NodeIdentity> {
  const account = (await signer.getAddress()).toLowerCase() as Hex
  const local = (signer as { signingKey?: unknown }).signingKey
  if (local instanceof SigningKey) {
    const own = fromHex(local.privateKey, 32)
    const key = keyFromSecret(own)
    const nothing = { sessionKey: undefined, delegation: new Uint8Array(), isDue: () => false, renew: async () => {} }
    return { account, key, secret: secretOf(own), ...nothing }
  }
  const session = await storedSecret(store, signer, account)
  const key = keyFromSecret(session)
  const kept = `delegation/${registry}/${key.address.toLowerCase()}`
  let delegation = (await store.get(kept)) ?? new Uint8Array()
  const now = (): number => Math.floor(clock.now() / 1000)
  const delegations = createDelegations(signer.provider!, chainId, registry, clock)
  const identity: NodeIdentity = {
    account,
    key,
    sessionKey: key.address.toLowerCase() as Hex,
    get delegation() {
      return delegation
    },
    secret: secretOf(session),
    isDue: () => (decodeDelegation(delegation)?.validUntil ?? 0) < now() + RENEWED_BEFORE,
    async renew() {
      const validUntil = now() + DELEGATED_FOR
      const types = { Delegation: [...delegationTypes.Delegation] }
      const message = { participant: account, signer: key.address, validUntil }
      let given: string
      try {
        given = await signer.signTypedData(delegationDomain(chainId, registry), types, message)
      } catch (cause) {
        const reason = reasonOf(cause)
        throw new SluiceError('TRANSACTION_REJECTED', `the signer did not let ${key.address} sign for ${account}: ${reason}`)
      }
      const signature = readWalletSignature(given)
      const renewed = encodeDelegation(validUntil, signature)
      // What no partner would accept is refused here, before a deposit lies in a channel.
      const sessionKey = key.address.toLowerCase() as Hex
      if (!delegations.isSigner(account, sessionKey, renewed) && !(await delegations.verify(account, sessionKey, renewed))) {
        const by = signerOf(delegationDigest(chainId, registry, message), signature) ?? 'no key'
        throw new SluiceError(
          'BAD_SIGNATURE',
          `the wallet of ${account} signed with ${by}, and no contract at that address takes its ` +
            'signature (ERC-1271): use a signer that signs with the account\'s own key',
          { details: { account, length: signature.length } },
        )
      }
      delegation = renewed
      await store.write([{ key: kept, value: delegation }])
    },
  }
  if (identity.isDue()) {
    await identity.renew().catch((error: unknown) => {
      // It is good for some time yet: the account is asked again.
      if ((decodeDelegation(delegation)?.validUntil ?? 0) <= now()) throw error
    })
  }
  return identity
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
  /**
   * By an account's own signature that has not ended, or by what the chain said before of an account that is a contract. Good
   * for what costs nothing if it is wrong: a revocation is not known here.
   */
  isSigner(account: string, signer: string, delegation: Uint8Array): boolean
  /** As the chain has it now: not over, not revoked, signed by the account's key or as its contract wants (ERC-1271). */
  verify(account: Hex, signer: Hex, delegation: Uint8Array): Promise<boolean>
}

/** What is asked of the registry; the rest of its interface is for who makes networks. */
const IS_DELEGATED = 'function isDelegated(address account, address signer, bytes delegation) view returns (bool)'

const YES = `0x${'0'.repeat(63)}1`

/** Contracts' answers that are kept. */
const REMEMBERED = 1024

/** Checks delegations under the registry of token networks at an address. */
export function createDelegations(
  provider: Provider,
  chainId: bigint,
  registry: Hex,
  clock: Clock = systemClock,
): Delegations {
  const rpc = createRpc({ provider })
  const registryCalls = new Interface([IS_DELEGATED])
  const known = new Set<string>()
  const isSigner = (account: string, signer: string, delegation: Uint8Array): boolean => {
    if (account.toLowerCase() === signer.toLowerCase() && delegation.length === 0) return true
    const { validUntil = 0, signature } = decodeDelegation(delegation) ?? {}
    if (!signature || validUntil < clock.now() / 1000) return false
    if (known.has(idOf(account, signer, delegation))) return true
    if (signature.length !== 65) return false
    try {
      const digest = delegationDigest(chainId, registry, { participant: account, signer, validUntil })
      return recoverAddress(digest, signature).toLowerCase() === account.toLowerCase()
    } catch (error) {
      if (isSluiceError(error, 'BAD_SIGNATURE')) return false
      throw error
    }
  }
  return {
    isSigner,
    async verify(account, signer, delegation) {
      if (account === signer && delegation.length === 0) return true
      const { validUntil = 0 } = decodeDelegation(delegation) ?? {}
      if (validUntil < clock.now() / 1000) return false
      const data = registryCalls.encodeFunctionData('isDelegated', [account, signer, delegation])
      const ask = (): Promise<string> => provider.call({ to: registry, data })
      // The whole answer, so that what is no registry says yes to nothing.
      if ((await rpc.ask('delegation', ask, { attempts: 3 })) !== YES) return false
      if (known.size >= REMEMBERED) known.clear()
      known.add(idOf(account, signer, delegation))
      return true
    },
  }
}

const idOf = (account: string, signer: string, delegation: Uint8Array): string =>
  `${account}/${signer}/${toHex(delegation)}`.toLowerCase()
