/**
 * Who signs messages: a key that this process holds, or an ethers signer.
 * @module
 */
import { SigningKey, type Signer } from 'ethers'
import { dataTradeDigests, dataTradeTypes, type DataTradeDomain, type DataTradeMessages } from '../contracts/typedData.ts'
import { fromHex } from '../core/bytes.ts'
import { engine } from '../core/crypto/engine.ts'
import { keyFromSecret, type Key } from '../core/crypto/key.ts'
import { personalDigest } from '../core/crypto/signature.ts'
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
 * wallet) is asked for each signature, and once more here, to learn its public key.
 */
export async function signerIdentity(signer: Signer, domain: DataTradeDomain): Promise<Identity> {
  const local = (signer as { signingKey?: unknown }).signingKey
  if (local instanceof SigningKey) return keyIdentity(keyFromSecret(fromHex(local.privateKey, 32)), domain)
  const ask = async (what: string, run: () => Promise<string>): Promise<Uint8Array> => {
    try {
      return fromHex(await run(), 65)
    } catch (cause) {
      throw new SluiceError('TRANSACTION_REJECTED', `the signer did not sign ${what}`, { cause })
    }
  }
  const probe = new TextEncoder().encode('Sluice: show the public key of this account')
  const proof = await ask('to show its public key', () => signer.signMessage(probe))
  return {
    address: await signer.getAddress(),
    publicKey: engine().secp256k1.recover(personalDigest(probe), proof),
    signBytes: (bytes) => ask('a message', () => signer.signMessage(bytes)),
    signTyped: (type, message) =>
      ask(`an ${type}`, () =>
        signer.signTypedData(
          { name: domain.name, version: domain.version, chainId: domain.chainId, verifyingContract: domain.verifyingContract },
          { [type]: [...dataTradeTypes[type]] },
          message,
        ),
      ),
  }
}
