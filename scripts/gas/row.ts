import { keccak256, toBeHex, type ContractTransactionResponse } from 'ethers'
import type { Hex } from '../../src/core/bytes.ts'

/** One line of the table. */
export interface Row {
  readonly contract: string
  readonly call: string
  readonly gas: number
  /** What the transaction's gas was divided by. */
  readonly per: number
  readonly anchor: Anchor | null
}

/** The figure of another system for the same purpose. */
export interface Anchor {
  readonly name: string
  readonly gas: number
}

/** A fixed clock: timestamps are calldata, and the price of a byte depends on its being zero. */
export const NOW = 1_800_000_000

/** Rows to fill, of one contract but where another is named. */
export function createRows(main: string): {
  readonly rows: Row[]
  note(call: string, gas: number, anchor?: Anchor | null, per?: number, contract?: string): void
} {
  const rows: Row[] = []
  return {
    rows,
    note: (call, gas, anchor = null, per = 1, contract = main) => {
      rows.push({ contract, call, gas: Math.round(gas / per), per, anchor })
    },
  }
}

/** Waits for a transaction and tells its gas. */
export async function run(sent: Promise<ContractTransactionResponse>): Promise<number> {
  const receipt = await (await sent).wait()
  if (!receipt) throw new Error('no receipt')
  return Number(receipt.gasUsed)
}

/** 32 bytes without a zero among them, as hashes nearly are; or all zero. */
export function hash(seed: number, zero = false): Hex {
  if (zero) return toBeHex(0, 32) as Hex
  return keccak256(toBeHex(seed, 32)).replaceAll('00', '11') as Hex
}
