/**
 * What a channel pays out when it is settled on chain.
 * @module
 */

/** One side as the settlement sees it, in the token's smallest unit; each below 2^256. */
export interface SettlementSide {
  /** Paid in, in all. */
  readonly deposit: bigint
  /** Taken out, in all. */
  readonly withdrawn: bigint
  /** Transferred to the other side, in all, as the other side has presented it. */
  readonly transferred: bigint
  /** Locked for the other side on top. */
  readonly locked: bigint
}

/** Who gets what at once, and what waits for secrets. */
export interface SettlementAmounts {
  readonly pays1: bigint
  readonly pays2: bigint
  /** Of the locks of side 1, for side 2 or back. */
  readonly locked1: bigint
  readonly locked2: bigint
}

const MAX = 2n ** 256n - 1n
const least = (a: bigint, b: bigint): bigint => (a < b ? a : b)
const plus = (a: bigint, b: bigint): bigint => least(a + b, MAX)
const minus = (a: bigint, b: bigint): bigint => (a > b ? a - b : 0n)

/**
 * Divides what is in a channel, as `Settlement.sol` does.
 *
 * The four amounts always add up to what is there, whatever the proofs say; and an older proof never gives the side that
 * presents it more than the newest would. Source: docs/channel.md, Settlement.
 */
export function settlementAmounts(side1: SettlementSide, side2: SettlementSide): SettlementAmounts {
  const owed1 = plus(side1.transferred, side1.locked)
  const owed2 = plus(side2.transferred, side2.locked)
  if (owed2 < owed1) {
    const turned = settlementAmounts(side2, side1)
    return { pays1: turned.pays2, pays2: turned.pays1, locked1: turned.locked2, locked2: turned.locked1 }
  }
  const total = minus(plus(side1.deposit, side2.deposit), plus(side1.withdrawn, side2.withdrawn))
  const most1 = least(total, minus(plus(owed2 - owed1, side1.deposit), side1.withdrawn))
  const most2 = total - most1
  const locked2 = least(most1, side2.locked)
  const locked1 = least(most2, side1.locked)
  return { pays1: most1 - locked2, pays2: most2 - locked1, locked1, locked2 }
}
