/**
 * Who signs messages: a key that this process holds, or an ethers signer.
 * @module
 */
import { SigningKey, type Signer } from 'ethers'
import { assertArguments, having, signer as signerRule } from '../core/argument.ts'
import { dataTradeDigests, dataTradeTypes, type DataTradeDomain, type DataTradeMessages } from '../contracts/typedData.ts'
import { fromHex } from '../core/bytes.ts'
import { engine } from '../core/crypto/engine.ts'
import { keyFromSecret, type Key } from '../core/crypto/key.ts'
import { personalDigest } from '../core/crypto/signature.ts'
import { ownSignature } from '../core/crypto/walletSignature.ts'
import { reasonOf } from '../core/chain/verdict.ts'
import { SluiceError } from '../core/errors.ts'

/** A party that signs. */
export interface Identity {
  readonly address: string
  /** 65 bytes, uncompressed. */
  readonly publicKey: Uint8Array
  /** An EIP-191 signature over bytes. */
  signBytes(bytes: Uint8Array): Promise<Uint8Array>
  /** An EIP-712 signature over one of the protocol's types. */
  signTyped<T extends keyof DataTradeMessages>(type: T, message: DataTradeMessages[T]): Promise<Uint8Array>
}

/** An identity on a key in this process: it signs on the engine's curve, many times faster than a signer. */
export function keyIdentity(key: Key, domain: DataTradeDomain): Identity {
  assertArguments({ key }, { key: having('a key of generateKey() or keyFromSecret()', 'sign', 'agree') })
  const digests = dataTradeDigests(domain)
  return {
    address: key.address,
    publicKey: key.publicKey,
    signBytes: (bytes) => Promise.resolve(key.sign(personalDigest(bytes))),
    signTyped: (type, message) => Promise.resolve(key.sign(digests[type](message))),
  }
}

/**
 * An identity on an ethers signer. A local wallet's key is used directly; any other signer (a key service, a hardware
 * wallet) is asked for each signature, and twice here, to learn its public key and whether it can sign what this takes.
 * @throws `TRANSACTION_REJECTED` when the signer declines; `BAD_SIGNATURE` when another key signs, as for a contract.
 */
export async function signerIdentity(signer: Signer, domain: DataTradeDomain): Promise<Identity> {
  assertArguments({ signer }, { signer: signerRule })
  const local = (signer as { signingKey?: unknown }).signingKey
  if (local instanceof SigningKey) return keyIdentity(keyFromSecret(fromHex(local.privateKey, 32)), domain)
  const address = await signer.getAddress()
  const digests = dataTradeDigests(domain)
  const ask = async (what: string, digest: Uint8Array, run: () => Promise<string>): Promise<Uint8Array> => {
    let given: string
    try {
      given = await run()
    } catch (cause) {
      throw new SluiceError('TRANSACTION_REJECTED', `the signer did not sign ${what}: ${reasonOf(cause)}`)
    }
    return ownSignature(given, digest, address, what)
  }
  const { name, version, chainId, verifyingContract } = domain
  const signTyped: Identity['signTyped'] = (type, message) =>
    ask(`a message of type ${type}`, digests[type](message), () =>
      signer.signTypedData({ name, version, chainId, verifyingContract }, { [type]: [...dataTradeTypes[type]] }, message),
    )
  const probe = new TextEncoder().encode('Sluice: show the public key of this account')
  const proof = await ask('a message to show its public key', personalDigest(probe), () => signer.signMessage(probe))
  // Whether it signs typed data shows now, and not when that is what a payment takes. No order has this id.
  await signTyped('Ack', { orderId: `0x${'00'.repeat(32)}`, transferred: 0 })
  return {
    address,
    publicKey: engine().secp256k1.recover(personalDigest(probe), proof),
    signBytes: (bytes) => ask('a message', personalDigest(bytes), () => signer.signMessage(bytes)),
    signTyped,
  }
}
