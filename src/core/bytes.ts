/**
 * Byte strings and their hex form.
 * @module
 */
import { assertArgument, SluiceError } from './errors.ts'

/** `0x`-prefixed lower-case hex. */
export type Hex = `0x${string}`

const HEX = /* @__PURE__ */ Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Writes bytes as `0x` hex. @throws `BAD_ARGUMENT` for anything but a Uint8Array. */
export function toHex(bytes: Uint8Array): Hex {
  assertArgument(bytes instanceof Uint8Array, 'bytes', 'a Uint8Array')
  let out = ''
  for (let i = 0; i < bytes.length; i++) out += HEX[bytes[i]!]!
  return `0x${out}`
}

/**
 * Reads `0x` hex.
 * @throws `BAD_ARGUMENT` unless `hex` is `0x` and pairs of digits, `size` bytes of them if given.
 */
export function fromHex(hex: string, size?: number, name = 'hex'): Uint8Array {
  const isSized = size === undefined || (typeof size === 'number' && typeof hex === 'string' && hex.length === 2 + 2 * size)
  const fit = typeof hex === 'string' && hex.startsWith('0x') && hex.length % 2 === 0 && isSized
  const out = new Uint8Array(fit ? (hex.length - 2) / 2 : 0)
  let wrong = fit ? 0 : 1
  for (let i = 0, at = 2; i < out.length; i++, at += 2) {
    const high = DIGITS[hex.charCodeAt(at)] ?? 16
    const low = DIGITS[hex.charCodeAt(at + 1)] ?? 16
    wrong |= (high | low) & 16
    out[i] = (high << 4) | low
  }
  if (wrong === 0) return out
  const field = typeof name === 'string' ? name : 'hex'
  throw new SluiceError('BAD_ARGUMENT', `${field} must be 0x and ${typeof size === 'number' ? 2 * size : 'pairs of'} hex digits`, {
    details: { name: field, length: typeof hex === 'string' ? hex.length : undefined },
  })
}

/** The value of a hex digit by its code, 16 for what is none. */
const DIGITS = /* @__PURE__ */ Uint8Array.from({ length: 128 }, (_, code) => {
  const value = parseInt(String.fromCharCode(code), 16)
  return Number.isNaN(value) ? 16 : value
})

/** Whether two byte strings are equal. Not constant-time: use it on public data only. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Joins byte strings. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** `size` bytes from the platform's cryptographic random source. */
export function randomBytes(size: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(size))
}

const encoder = new TextEncoder()

/** UTF-8 bytes of a text. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/**
 * A whole number in 8 bytes, the highest first.
 * @throws `BAD_ARGUMENT` naming it unless it is a safe integer from 0: nothing wraps.
 */
export function u64Bytes(value: number, name: string): Uint8Array {
  assertArgument(Number.isSafeInteger(value) && value >= 0, name, 'a whole number from 0 and below 2^53, such as 1000')
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value))
  return bytes
}
