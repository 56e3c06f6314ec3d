/**
 * What every curve implementation has in common: it says who is let in, and the implementation only calculates.
 * @module
 */
import { equalBytes } from '../bytes.ts'
import { assertArgument, SluiceError } from '../errors.ts'
import type { Secp256k1 } from './engine.ts'

/** The bare arithmetic, on arguments already checked. Where there is no answer it throws or gives `null`. */
export interface CurveArithmetic {
  publicKey(secretKey: Uint8Array, compressed: boolean): Uint8Array
  /** Deterministic (RFC 6979) with low s; a digest below n. */
  sign(digest: Uint8Array, secretKey: Uint8Array): { readonly rs: Uint8Array; readonly recovery: number }
  /** The same with additional data (RFC 6979, 3.6): 32 bytes. */
  signWithEntropy?:
    | ((digest: Uint8Array, secretKey: Uint8Array, entropy: Uint8Array) => { readonly rs: Uint8Array; readonly recovery: number })
    | undefined
  /** The 65-byte key. */
  recover(digest: Uint8Array, rs: Uint8Array, recovery: 0 | 1): Uint8Array | null
  /** @default by recovery, which is slower */
  verify?: ((digest: Uint8Array, rs: Uint8Array, publicKey: Uint8Array) => boolean) | undefined
  multiply(publicKey: Uint8Array, secretKey: Uint8Array): Uint8Array | null
}

/** The order of the group. SEC 2, section 2.4.1. */
const N = /* @__PURE__ */ scalar('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141')
/** The highest low s. EIP-2. */
const HALF_N = /* @__PURE__ */ scalar('7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0')
/** The field's prime less {@link N}: below it, r may also stand for the x-coordinate r + n. */
const P_LESS_N = /* @__PURE__ */ scalar('000000000000000000000000000000014551231950b75fc4402da1722fc9baee')

/** Makes an implementation out of its arithmetic. */
export function createSecp256k1(name: string, curve: CurveArithmetic): Secp256k1 {
  const recover = (digest: Uint8Array, signature: Uint8Array): Uint8Array => {
    assertDigest(digest)
    if (signature.length !== 65) throw badSignature(`has ${signature.length} bytes instead of 65`)
    const rs = signature.subarray(0, 64)
    const flaw = flawOf(rs)
    if (flaw) throw badSignature(flaw)
    const v = signature[64]
    if (v !== 27 && v !== 28) throw badSignature(`has v ${v} instead of 27 or 28`)
    const key = attempt(() => curve.recover(reduced(digest), rs, v === 27 ? 0 : 1))
    if (!key) throw badSignature('leads to no key')
    return key
  }

  /** What `ecrecover` calls the signer, with either v. */
  const recovers = (digest: Uint8Array, rs: Uint8Array, publicKey: Uint8Array): boolean =>
    ([0, 1] as const).some((recovery) => {
      const key = attempt(() => curve.recover(reduced(digest), rs, recovery))
      return key !== null && sameKey(key, publicKey)
    })

  const { signWithEntropy } = curve
  return {
    name,
    publicKey(secretKey, compressed = false) {
      assertSecretKey(secretKey)
      return curve.publicKey(secretKey, compressed)
    },
    sign(digest, secretKey) {
      assertDigest(digest)
      assertSecretKey(secretKey)
      return joined(curve.sign(reduced(digest), secretKey))
    },
    ...(signWithEntropy && {
      signWithEntropy(digest: Uint8Array, secretKey: Uint8Array, entropy: Uint8Array) {
        assertDigest(digest)
        assertSecretKey(secretKey)
        assertArgument(entropy.length === 32, 'entropy', '32 bytes')
        return joined(signWithEntropy(reduced(digest), secretKey, entropy))
      },
    }),
    recover,
    verify(digest, signature, publicKey) {
      if (digest.length !== 32 || !looksLikePublicKey(publicKey)) return false
      if (signature.length === 65) {
        const v = signature[64]
        const rs = signature.subarray(0, 64)
        if ((v !== 27 && v !== 28) || flawOf(rs)) return false
        const key = attempt(() => curve.recover(reduced(digest), rs, v === 27 ? 0 : 1))
        return key !== null && sameKey(key, publicKey)
      }
      if (signature.length !== 64 || flawOf(signature)) return false
      // A plain verification would also take the x-coordinate r + n, which v 27 and 28 can't express.
      if (!curve.verify || compare(signature, P_LESS_N) < 0) return recovers(digest, signature, publicKey)
      return attempt(() => curve.verify!(reduced(digest), signature, publicKey)) === true
    },
    sharedPoint(secretKey, publicKey) {
      assertSecretKey(secretKey)
      const point = looksLikePublicKey(publicKey) ? attempt(() => curve.multiply(publicKey, secretKey)) : null
      if (!point) throw new SluiceError('BAD_KEY', 'the public key is not a point of the curve in 33 or 65 bytes')
      return point
    },
  }
}

/** Whether bytes are a secret key: 32 of them, not zero and below the order of the group. */
export function isSecretKey(bytes: Uint8Array): boolean {
  return bytes.length === 32 && !isZero(bytes) && compare(bytes, N) < 0
}

function joined(signed: { readonly rs: Uint8Array; readonly recovery: number }): Uint8Array {
  const signature = new Uint8Array(65)
  signature.set(signed.rs)
  signature[64] = 27 + signed.recovery
  return signature
}

function assertSecretKey(secretKey: Uint8Array): void {
  if (!isSecretKey(secretKey)) {
    throw new SluiceError('BAD_KEY', 'a secret key is 32 bytes, not zero and below the order of secp256k1')
  }
}

function assertDigest(digest: Uint8Array): void {
  assertArgument(digest.length === 32, 'digest', '32 bytes')
}

/** What keeps 64 bytes from being r and s. */
function flawOf(rs: Uint8Array): string | undefined {
  const r = rs.subarray(0, 32)
  const s = rs.subarray(32)
  if (isZero(r) || compare(r, N) >= 0) return 'has r out of range'
  if (isZero(s) || compare(s, N) >= 0) return 'has s out of range'
  if (compare(s, HALF_N) > 0) return 'has a high s (EIP-2 takes low ones only)'
  return undefined
}

/** A digest modulo n: the implementations disagree on who does this before the nonce is derived. RFC 6979, 2.3.4. */
function reduced(digest: Uint8Array): Uint8Array {
  if (compare(digest, N) < 0) return digest
  const out = new Uint8Array(32)
  let borrow = 0
  for (let i = 31; i >= 0; i--) {
    const difference = digest[i]! - N[i]! - borrow
    out[i] = difference // stored modulo 256
    borrow = difference < 0 ? 1 : 0
  }
  return out
}

/** A compressed or uncompressed point by its length and first byte; whether it is on the curve is arithmetic. */
function looksLikePublicKey(key: Uint8Array): boolean {
  return (key.length === 33 && (key[0] === 2 || key[0] === 3)) || (key.length === 65 && key[0] === 4)
}

/** Whether a 65-byte key is `other`, which may be compressed. */
function sameKey(key: Uint8Array, other: Uint8Array): boolean {
  if (other.length === 65) return equalBytes(key, other)
  return other[0] === 2 + (key[64]! & 1) && equalBytes(key.subarray(1, 33), other.subarray(1))
}

/** Runs arithmetic that throws where there is no answer. */
function attempt<T>(run: () => T | null): T | null {
  try {
    return run()
  } catch {
    return null
  }
}

function badSignature(flaw: string): SluiceError {
  return new SluiceError('BAD_SIGNATURE', `the signature ${flaw}`)
}

function isZero(bytes: Uint8Array): boolean {
  let any = 0
  for (let i = 0; i < bytes.length; i++) any |= bytes[i]!
  return any === 0
}

/** Compares the first 32 bytes as big-endian numbers. */
function compare(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < 32; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return 0
}

function scalar(hex: string): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16))
}
