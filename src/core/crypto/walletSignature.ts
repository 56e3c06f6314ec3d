/**
 * What wallets sign, in the one form that this library and its contracts take.
 * @module
 */
import { concatBytes } from '../bytes.ts'
import { isSluiceError, SluiceError } from '../errors.ts'
import { recoverAddress } from './signature.ts'

/** The order of the group. SEC 2, section 2.4.1. */
const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

/**
 * Reads what a wallet gave for a signature, in 65 bytes with v 27 or 28 and a low s if it is one of ECDSA.
 *
 * Takes v 0 and 1 (Ledger), the short form of EIP-2098, a high s, and digits of either case. What has another length is
 * left as it is: contracts' wallets have signatures of their own (ERC-1271).
 * @throws `BAD_SIGNATURE` for what is no hex.
 */
export function readWalletSignature(given: unknown): Uint8Array {
  const hex = typeof given === 'string' ? /^(?:0x)?((?:[0-9a-f]{2})+)$/i.exec(given)?.[1] : undefined
  if (hex === undefined) throw new SluiceError('BAD_SIGNATURE', 'the wallet gave no signature in hex')
  const bytes = Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16))
  if (bytes.length !== 64 && bytes.length !== 65) return bytes
  const rs = bytes.slice(0, 64)
  let odd: number
  if (bytes.length === 64) {
    odd = rs[32]! >> 7
    rs[32]! &= 0x7f
  } else {
    const v = bytes[64]!
    if (v !== 0 && v !== 1 && v !== 27 && v !== 28) return bytes
    odd = v % 27
  }
  const s = BigInt(`0x${hexOf(rs.subarray(32))}`)
  if (s > N / 2n && s < N) {
    const low = (N - s).toString(16).padStart(64, '0')
    for (let i = 0; i < 32; i++) rs[32 + i] = parseInt(low.slice(2 * i, 2 * i + 2), 16)
    odd ^= 1
  }
  return concatBytes(rs, Uint8Array.of(27 + odd))
}

/** Whose key made a signature; undefined if it is none of ECDSA. */
export function signerOf(digest: Uint8Array, signature: Uint8Array): string | undefined {
  if (signature.length !== 65) return undefined
  try {
    return recoverAddress(digest, signature)
  } catch (error) {
    if (isSluiceError(error, 'BAD_SIGNATURE')) return undefined
    throw error
  }
}

/**
 * Reads what a wallet gave for its account's own signature.
 * @param what names it in the message: `an Ack`.
 * @throws `BAD_SIGNATURE` if it is not that of the account's key.
 */
export function ownSignature(given: unknown, digest: Uint8Array, address: string, what: string): Uint8Array {
  const signature = readWalletSignature(given)
  const signer = signerOf(digest, signature)
  if (signer?.toLowerCase() === address.toLowerCase()) return signature
  const how = signer === undefined ? `${signature.length} bytes that are no key's signature` : `the key of ${signer}`
  throw new SluiceError(
    'BAD_SIGNATURE',
    `the wallet of ${address} signed ${what} with ${how}: use a signer that signs with the account's own key`,
    { details: { address, signer: signer ?? null, length: signature.length } },
  )
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
