/**
 * A request's name in its two forms: 64 hex digits, and the CIDv0 of the same SHA-256 digest, `Qm…`.
 * @module
 */
import { base58btc } from 'multiformats/bases/base58'
import { concatBytes, fromHex, toHex } from '../../../core/bytes.ts'

/** What a SHA-256 multihash begins with: the function's code and the digest's length (https://multiformats.io/multihash). */
const SHA256 = Uint8Array.of(0x12, 0x20)

/** Writes the name as bills show it. */
export function requestCid(hex: string): string {
  return base58btc.baseEncode(concatBytes(SHA256, fromHex(`0x${hex}`, 32)))
}

/** Reads either form. @returns 64 lower-case hex digits; undefined for anything else. */
export function readRequestName(text: string): string | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase()
  if (!/^Qm[1-9A-HJ-NP-Za-km-z]{44}$/.test(text)) return undefined
  const bytes = base58btc.baseDecode(text)
  return bytes.length === 34 && bytes[0] === SHA256[0] && bytes[1] === SHA256[1] ? toHex(bytes.subarray(2)).slice(2) : undefined
}
