import { toHex } from 'sluice-sdk'
import { base58btc } from 'multiformats/bases/base58'

/**
 * The number of a request in hex, from either of its forms: 64 hex digits, or the CIDv0 that bills show.
 * @returns undefined for what is neither.
 */
export function requestHex(text: string): string | undefined {
  const name = text.trim()
  if (/^[0-9a-f]{64}$/i.test(name)) return name.toLowerCase()
  if (!/^Qm[1-9A-HJ-NP-Za-km-z]{44}$/.test(name)) return undefined
  const bytes = base58btc.baseDecode(name)
  // SHA-256 of 32 bytes, by what a multihash begins with.
  return bytes.length === 34 && bytes[0] === 0x12 && bytes[1] === 0x20 ? toHex(bytes.subarray(2)).slice(2) : undefined
}
