import { SluiceError } from '../errors.ts'
import type { GasPrices } from './rpc.ts'

/** What a transaction offers per gas, in wei: by EIP-1559, or one price (`tip` null) on chains without it. */
export interface Fees {
  readonly max: bigint
  readonly tip: bigint | null
}

/** Takes the offer that the node suggests, cut to `ceiling`. */
export function suggestedFees({ maxFeePerGas, maxPriorityFeePerGas, gasPrice }: GasPrices, ceiling: bigint | undefined): Fees {
  if (maxFeePerGas !== null && maxPriorityFeePerGas !== null)
    return cut({ max: maxFeePerGas, tip: maxPriorityFeePerGas }, ceiling)
  if (gasPrice !== null) return cut({ max: gasPrice, tip: null }, ceiling)
  throw new SluiceError('RPC_FAILED', 'node suggests no gas price')
}

/**
 * Raises an offer so that nodes take it in place of the old one: by an eighth at least, which is what the strictest of
 * them ask for, and to what is suggested now.
 * @returns undefined when `ceiling` leaves no room for such a raise.
 */
export function raisedFees(old: Fees, suggested: Fees, ceiling: bigint | undefined): Fees | undefined {
  const least: Fees = { max: raised(old.max), tip: old.tip === null ? null : raised(old.tip) }
  const wanted: Fees = {
    max: larger(least.max, suggested.max),
    tip: least.tip === null ? null : larger(least.tip, suggested.tip ?? 0n),
  }
  const fees = cut(wanted, ceiling)
  return fees.max >= least.max && (fees.tip ?? 0n) >= (least.tip ?? 0n) ? fees : undefined
}

/** The fields of an ethers transaction request. */
export function feeFields({
  max,
  tip,
}: Fees): { type: 0; gasPrice: bigint } | { type: 2; maxFeePerGas: bigint; maxPriorityFeePerGas: bigint } {
  return tip === null ? { type: 0, gasPrice: max } : { type: 2, maxFeePerGas: max, maxPriorityFeePerGas: tip }
}

function cut({ max, tip }: Fees, ceiling = max): Fees {
  const top = max < ceiling ? max : ceiling
  return { max: top, tip: tip !== null && tip > top ? top : tip }
}

function raised(wei: bigint): bigint {
  return wei + wei / 8n + 1n
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
