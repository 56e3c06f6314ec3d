/**
 * Byte strings and their hex form.
 * @module
 */
import { SluiceError } from './errors.ts'

/** `0x`-prefixed lower-case hex. */
export type Hex = `0x${string}`

const HEX = '0123456789abcdef'

/** Writes bytes as `0x` hex. */
export function toHex(bytes: Uint8Array): Hex {
  let out = ''
  for (const byte of bytes) out += HEX[byte >> 4]! + HEX[byte & 15]!
  return `0x${out}`
}

/**
 * Reads `0x` hex.
 * @throws `BAD_ARGUMENT` unless `hex` is `0x` and pairs of digits, `size` bytes of them if given.
 */
export function fromHex(hex: string, size?: number, name = 'hex'): Uint8Array {
  if (!/^0x([0-9a-fA-F]{2})*$/.test(hex) || (size !== undefined && hex.length !== 2 + 2 * size)) {
    throw new SluiceError('BAD_ARGUMENT', `${name} must be 0x and ${size === undefined ? 'pairs of' : String(2 * size)} hex digits`, {
      details: { name, length: hex.length },
    })
  }
  const out = new Uint8Array((hex.length - 2) / 2)
  for (let i = 0; i < out.length; i++) out[i] = parseInt(hex.slice(2 + 2 * i, 4 + 2 * i), 16)
  return out
}

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
