/**
 * Who signed what.
 * @module
 */
import { concatBytes, utf8 } from '../bytes.ts'
import { SluiceError } from '../errors.ts'
import { engine } from './engine.ts'
import { addressOf } from './key.ts'

/** The address whose key signed a 32-byte digest. @throws `BAD_SIGNATURE`, as `Secp256k1.recover` does. */
export function recoverAddress(digest: Uint8Array, signature: Uint8Array): string {
  return addressOf(engine().secp256k1.recover(digest, signature))
}

/** The digest that wallets sign for a message (`personal_sign`). Source: EIP-191, version 0x45. */
export function personalDigest(bytes: Uint8Array): Uint8Array {
  return engine().keccak256(concatBytes(utf8(`\x19Ethereum Signed Message:\n${bytes.length}`), bytes))
}

/** What {@link assertSignedBy} says when a signature is wrong. */
export interface SignatureOf {
  /** The field that holds the signature: `ack.signature`. */
  readonly field: string
  /** Whose signature it should be: `the buyer`. */
  readonly owner: string
}

/**
 * Asserts that the key of `address` signed a digest.
 * @throws `BAD_SIGNATURE` naming the field, whose signature was expected and which key signed instead.
 */
export function assertSignedBy(digest: Uint8Array, signature: Uint8Array, address: string, what: SignatureOf): void {
  const { field, owner } = what
  let signer: string
  try {
    signer = recoverAddress(digest, signature)
  } catch (cause) {
    if (!(cause instanceof SluiceError && cause.code === 'BAD_SIGNATURE')) throw cause
    throw new SluiceError('BAD_SIGNATURE', `${field} is not a signature of ${owner} (${address}): ${cause.shortMessage}`, {
      cause,
      details: { field, owner, expected: address, signer: null },
    })
  }
  if (signer.toLowerCase() !== address.toLowerCase()) {
    throw new SluiceError('BAD_SIGNATURE', `${field} must be signed by ${owner} (${address}), but ${signer} signed it`, {
      details: { field, owner, expected: address, signer },
    })
  }
}
