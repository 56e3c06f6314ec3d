import { toHex, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { assertSignedBy } from '../../core/crypto/signature.ts'
import { typedDataHasher } from '../../core/crypto/typedData.ts'

/** A tower's word that it keeps an appointment. */
export interface TowerReceipt {
  readonly chainId: bigint
  /** Who signed. */
  readonly tower: Hex
  /** 16 bytes: which channel, for those who know. */
  readonly hint: Hex
  /** Of this hint, the highest counts. */
  readonly counter: number
  /** SHA-256 of what was sealed. */
  readonly sealedHash: Hex
  /** Unix seconds: closings until then are answered. */
  readonly validUntil: number
  /** Where the reward must be paid from; zero if there need not be one. */
  readonly towerDeposit: Hex
  /** What the reward must be at least. */
  readonly reward: bigint
  /** 65 bytes. */
  readonly signature: Uint8Array
}

/** What a tower signs, under the domain `{ name: 'Sluice Tower', version: '1', chainId }`. Source: EIP-712. */
export const receiptTypes = {
  Receipt: [
    { name: 'tower', type: 'address' },
    { name: 'hint', type: 'bytes16' },
    { name: 'counter', type: 'uint64' },
    { name: 'sealedHash', type: 'bytes32' },
    { name: 'validUntil', type: 'uint64' },
    { name: 'towerDeposit', type: 'address' },
    { name: 'reward', type: 'uint128' },
  ],
} as const

/** The digest of a receipt. */
export function receiptDigest({ chainId, signature: _, ...message }: Omit<TowerReceipt, 'signature'> & { signature?: unknown }): Uint8Array {
  return typedDataHasher({ name: 'Sluice Tower', version: '1', chainId }, 'Receipt', receiptTypes.Receipt)({ ...message })
}

/** What a receipt names of the sealed bytes. */
export function sealedHashOf(sealed: Uint8Array): Hex {
  return toHex(engine().sha256(sealed))
}

/**
 * Checks that the tower signed a receipt. With the sealed bytes behind its hash, the secret that the closing showed and
 * the chain's logs it proves to anybody whether the tower kept its word.
 * @throws `BAD_SIGNATURE`
 */
export function verifyReceipt(receipt: TowerReceipt): void {
  assertSignedBy(receiptDigest(receipt), receipt.signature, receipt.tower, { field: 'receipt.signature', owner: 'the tower' })
}
