/**
 * What a mediator charges for passing a payment on.
 * @module
 */
import { SluiceError } from '../../core/errors.ts'

/** What a mediator asks for sending over one of its channels. Amounts are in the token's smallest unit. */
export interface FeeSchedule {
  /** For each payment, below 2^128. */
  readonly flat: bigint
  /** Of the amount that is sent on, in parts per million: 0 to 1,000,000. */
  readonly proportional: number
  /**
   * What it costs the mediator to be left with a balance: a piecewise linear curve over what it can still send in the
   * channel, constant before the first and after the last point. None, or 2 to 21 points in the order of rising balances,
   * all below 2^128, never steeper than one unit of penalty for one unit of balance.
   */
  readonly imbalance: readonly (readonly [balance: bigint, penalty: bigint])[]
}

/** The most points of an imbalance curve. */
export const MAX_POINTS = 21

/** A mediator that forwards for nothing. */
export const NO_FEES: FeeSchedule = Object.freeze({ flat: 0n, proportional: 0, imbalance: [] })

const MILLION = 1_000_000n

/**
 * What a mediator keeps when it sends `amount` over a channel in which it can send `capacity` before.
 *
 * `flat + amount * proportional / 10^6 + penalty(capacity - amount) - penalty(capacity)`, never below zero. Each part is
 * rounded in the mediator's favour, so it is exact for all who compute it. `amount` plus the fee never falls when the
 * amount rises: a search may drop the dearer of two ways to a node.
 */
export function mediationFee(schedule: FeeSchedule, amount: bigint, capacity: bigint): bigint {
  let fee = schedule.flat + (amount * BigInt(schedule.proportional) + MILLION - 1n) / MILLION
  if (schedule.imbalance.length > 0) {
    fee += penalty(schedule, capacity - amount, true) - penalty(schedule, capacity, false)
    if (fee < 0n) return 0n
  }
  return fee
}

/** The penalty at a balance; between two points rounded down, or up. */
export function penalty({ imbalance: curve }: FeeSchedule, balance: bigint, up: boolean): bigint {
  const first = curve[0]!
  const last = curve[curve.length - 1]!
  if (balance <= first[0]) return first[1]
  if (balance >= last[0]) return last[1]
  let i = 1
  while (curve[i]![0] < balance) i++
  const [x0, y0] = curve[i - 1]!
  const [x1, y1] = curve[i]!
  // Weighted by the distances to both ends nothing is negative, so the division rounds down.
  return (y0 * (x1 - balance) + y1 * (balance - x0) + (up ? x1 - x0 - 1n : 0n)) / (x1 - x0)
}

const U128 = 1n << 128n

/**
 * Asserts that a schedule keeps to the ranges of {@link FeeSchedule}.
 * @throws `code` with the field in its details: `fees.imbalance[3]`.
 */
export function assertFeeSchedule(
  { flat, proportional, imbalance }: FeeSchedule,
  code: 'BAD_ARGUMENT' | 'BAD_MESSAGE' = 'BAD_ARGUMENT',
  name = 'fees',
): void {
  const check = (holds: boolean, field: string, expected: string): void => {
    if (!holds) throw new SluiceError(code, `${name}.${field} must be ${expected}`, { details: { field: `${name}.${field}` } })
  }
  check(flat >= 0n && flat < U128, 'flat', 'from 0 to 2^128 - 1')
  check(Number.isInteger(proportional) && proportional >= 0 && proportional <= 1e6, 'proportional', 'from 0 to 1,000,000')
  check(imbalance.length !== 1 && imbalance.length <= MAX_POINTS, 'imbalance', `none or 2 to ${MAX_POINTS} points`)
  for (const [i, [balance, cost]] of imbalance.entries()) {
    const field = `imbalance[${i}]`
    check(balance >= 0n && balance < U128 && cost >= 0n && cost < U128, field, 'two numbers from 0 to 2^128 - 1')
    if (i === 0) continue
    const run = balance - imbalance[i - 1]![0]
    const rise = cost - imbalance[i - 1]![1]
    check(run > 0n, field, 'at a higher balance than the point before')
    check(rise <= run && -rise <= run, field, 'no further from the last penalty than from the last balance')
  }
}
