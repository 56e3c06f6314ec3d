/**
 * Checks of what a seller is made from.
 * @module
 */
import { assertAddress } from '../core/address.ts'
import { assertMilliseconds, assertPort, assertSigner, assertStore, assertWhole } from '../core/arguments.ts'
import { assertArgument } from '../core/errors.ts'
import { MAX_GRANULARITY } from '../protocol/frame.ts'
import type { SellerOptions } from './seller.ts'

const MODES: readonly unknown[] = ['voucher', 'onchain']

/** Most of what is counted or waited for, past any need and far from overflow. */
const MOST = 2 ** 31 - 1

/** Throws `BAD_ARGUMENT` naming the first option that doesn't fit. The items are checked one by one, by `prepareItem`. */
export function assertSellerOptions(options: SellerOptions): void {
  assertArgument(typeof options === 'object' && options !== null, 'options', 'an object such as { signer, store, items }')
  const { dataTrade, granularity, window, modes, payments, confirmations, ackTimeout, confirmTimeout, settleDelay } = options
  const { minLifetime, validUntil, rate, limits, clock, log } = options
  assertSigner(options.signer)
  assertStore(options.store)
  assertArgument(Array.isArray(options.items), 'items', 'a list such as [{ id: "weather", data: "weather.csv", price: 1000n }]')
  if (dataTrade !== undefined) assertAddress(dataTrade, 'dataTrade')
  if (granularity !== undefined) assertWhole(granularity, 'granularity', { min: 1, max: MAX_GRANULARITY, unit: 'bytes', example: 262_144 })
  if (window !== undefined) assertWhole(window, 'window', { min: 1, max: 65_536, unit: 'chunks', example: 64 })
  if (modes !== undefined) {
    const known = Array.isArray(modes) && modes.length > 0 && modes.every((mode) => MODES.includes(mode))
    assertArgument(known, 'modes', "a list of 'voucher', 'onchain' or both")
  }
  if (payments !== undefined) {
    assertArgument(Array.isArray(payments), 'payments', 'a list of payment methods, such as [channelPayments({ node })]')
    for (const [i, method] of payments.entries())
      assertPort(method, `payments[${i}]`, ['accept', 'close'], 'a payment method, such as channelPayments({ node })')
  }
  if (confirmations !== undefined) assertWhole(confirmations, 'confirmations', { min: 1, max: MOST, unit: 'blocks', example: 3 })
  if (ackTimeout !== undefined) assertMilliseconds(ackTimeout, 'ackTimeout', 30_000)
  if (confirmTimeout !== undefined) assertMilliseconds(confirmTimeout, 'confirmTimeout', 300_000)
  if (settleDelay !== undefined) assertMilliseconds(settleDelay, 'settleDelay', 2000)
  if (minLifetime !== undefined) assertWhole(minLifetime, 'minLifetime', { min: 0, max: MOST, unit: 'seconds', example: 600 })
  if (validUntil !== undefined) {
    assertWhole(validUntil, 'validUntil', { min: 0, max: 0xffff_ffff, unit: 'seconds since 1970', example: 1_900_000_000 })
  }
  if (rate !== undefined) assertArgument(typeof rate === 'function', 'rate', 'a function from a sale to { score, comment }')
  if (limits !== undefined) {
    assertArgument(typeof limits === 'object' && limits !== null, 'limits', 'an object such as { connections: 100 }')
    for (const [name, value] of Object.entries(limits)) {
      if (value !== undefined) assertWhole(value, `limits.${name}`, { min: 0, max: Number.MAX_SAFE_INTEGER, unit: 'things', example: 100 })
    }
  }
  if (clock !== undefined) assertPort(clock, 'clock', ['now', 'sleep'], 'a clock such as systemClock')
  if (log !== undefined) assertPort(log, 'log', ['debug', 'info', 'warn', 'error'], 'a logger with debug, info, warn and error')
}
