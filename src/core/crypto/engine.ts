/**
 * The machine's fastest hashing and curve arithmetic, each in a slot that can be filled with something else.
 * @module
 */
import { defaultEngine } from '#platform'

/**
 * Signatures over 32-byte digests on secp256k1, as Ethereum uses it.
 *
 * Every implementation answers alike, to the byte. Secret keys are 32 bytes, public keys 33 or 65 bytes.
 * Source: SEC 1, RFC 6979 (deterministic nonces), EIP-2 (low s only).
 */
export interface Secp256k1 {
  /** Which implementation this is: `noble`, `tiny`, `native` or `ethers`. */
  readonly name: string
  /** Derives a public key, 65 bytes or 33 if `compressed`. @throws `BAD_KEY` */
  publicKey(secretKey: Uint8Array, compressed?: boolean): Uint8Array
  /** Signs: 65 bytes r, s, v with v 27 or 28. @throws `BAD_KEY`, `BAD_ARGUMENT` unless the digest has 32 bytes. */
  sign(digest: Uint8Array, secretKey: Uint8Array): Uint8Array
  /**
   * Signs with 32 more bytes in the nonce's derivation, for another signature of the same digest. Not every
   * implementation can. Source: RFC 6979, 3.6. @throws as `sign`, and `BAD_ARGUMENT` unless `entropy` has 32 bytes.
   */
  signWithEntropy?: ((digest: Uint8Array, secretKey: Uint8Array, entropy: Uint8Array) => Uint8Array) | undefined
  /**
   * Finds the 65-byte public key that signed.
   * @throws `BAD_SIGNATURE` unless it has 65 bytes, r and s in range, s low, v 27 or 28 and leads to a key;
   * `BAD_ARGUMENT` unless the digest has 32 bytes.
   */
  recover(digest: Uint8Array, signature: Uint8Array): Uint8Array
  /**
   * Whether `publicKey` signed: {@link Secp256k1.recover} gives this key, with either v if the signature has none
   * (64 bytes). Malformed bytes are just false.
   */
  verify(digest: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean
  /** The Diffie-Hellman point of two keys, compressed: 33 bytes. Hash it before use. @throws `BAD_KEY` */
  sharedPoint(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array
}

/** The slots. */
export interface Engine {
  readonly secp256k1: Secp256k1
  /** Keccak-256 as Ethereum uses it. */
  readonly keccak256: (bytes: Uint8Array) => Uint8Array
  /** SHA-256 of the joined parts, at once: for short inputs. */
  readonly sha256: (...parts: Uint8Array[]) => Uint8Array
  /** SHA-256 of the joined parts by the fastest means, which may have to be waited for: for long inputs. */
  readonly digest: (...parts: Uint8Array[]) => Uint8Array | Promise<Uint8Array>
}

let current: Engine | undefined

/** The engine in use: the platform's own unless {@link setEngine} chose otherwise. */
export function engine(): Engine {
  return (current ??= defaultEngine)
}

/**
 * Fills some of the slots for the whole process; do it once at the start.
 * @example
 * ```ts
 * import { setEngine } from 'sluice-sdk'
 * import { nativeSecp256k1 } from 'sluice-sdk/engines/native'
 * setEngine({ secp256k1: nativeSecp256k1() })
 * ```
 */
export function setEngine(slots: Partial<Engine>): void {
  current = { ...engine(), ...slots }
}

/** Goes back to the platform's own engine. */
export function resetEngine(): void {
  current = undefined
}
