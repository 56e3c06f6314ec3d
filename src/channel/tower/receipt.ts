import { assertArguments, byteString, computeFrom } from '../../core/argument.ts'
import { concatBytes, fromHex, toHex, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { assertSignedBy } from '../../core/crypto/signature.ts'
import { typedDataHasher } from '../../core/crypto/typedData.ts'
import { badField } from '../wire/codec.ts'

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
  /**
   * Whether the place is kept until then, as long as the account that the client has shown has as much in its channels.
   * Otherwise only while nobody with more at stake wants it. @default false
   */
  readonly promised?: boolean | undefined
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
    { name: 'promised', type: 'bool' },
  ],
  Stake: [
    { name: 'tower', type: 'address' },
    { name: 'client', type: 'address' },
    { name: 'account', type: 'address' },
  ],
} as const

/** The digest of a receipt. */
export function receiptDigest({ chainId, signature: _, promised = false, ...message }: Omit<TowerReceipt, 'signature'> & { signature?: unknown }): Uint8Array {
  return typedDataHasher({ name: 'Sluice Tower', version: '1', chainId }, 'Receipt', receiptTypes.Receipt)({ ...message, promised })
}

/** An account: "my money stands behind what this client hands in". The digest of it. */
export function stakeDigest(
  chainId: bigint,
  message: { readonly tower: Hex; readonly client: Hex; readonly account: Hex },
): Uint8Array {
  return typedDataHasher({ name: 'Sluice Tower', version: '1', chainId }, 'Stake', receiptTypes.Stake)({ ...message })
}

/** A channel that an account shows as its stake, by network and partner. */
export interface StakeChannel {
  readonly tokenNetwork: Hex
  readonly partner: Hex
}

/** The channels of a stake as they travel. */
export function encodeStakeChannels(channels: readonly StakeChannel[]): Uint8Array {
  return concatBytes(...channels.flatMap(({ tokenNetwork, partner }) => [fromHex(tokenNetwork, 20), fromHex(partner, 20)]))
}

/** Reads the channels of a stake. @throws `BAD_MESSAGE` */
export function decodeStakeChannels(content: Uint8Array): readonly StakeChannel[] {
  if (content.length % 40 !== 0) throw badField('channels', 'must be 40 bytes for each')
  return Array.from({ length: content.length / 40 }, (_, i) => ({
    tokenNetwork: toHex(content.subarray(40 * i, 40 * i + 20)),
    partner: toHex(content.subarray(40 * i + 20, 40 * i + 40)),
  }))
}

/** What a receipt names of the sealed bytes. */
export function sealedHashOf(sealed: Uint8Array): Hex {
  assertArguments({ sealed }, { sealed: byteString() })
  return toHex(engine().sha256(sealed))
}

/**
 * Checks that the tower signed a receipt. With the sealed bytes behind its hash, the secret that the closing showed and
 * the chain's logs it proves to anybody whether the tower kept its word.
 * @throws `BAD_SIGNATURE`
 */
export function verifyReceipt(receipt: TowerReceipt): void {
  return computeFrom('receipt', 'a receipt as a tower signed it', () => {
    assertSignedBy(receiptDigest(receipt), receipt.signature, receipt.tower, { field: 'receipt.signature', owner: 'the tower' })
  })
}
