/**
 * How far a seller goes ahead of payment.
 * @module
 */
import { assertArguments, integer } from '../core/argument.ts'

const counts = { paid: /* @__PURE__ */ integer(0, Number.MAX_SAFE_INTEGER, 'number of chunks'), cap: /* @__PURE__ */ integer(1, Number.MAX_SAFE_INTEGER, 'number of chunks') }

/**
 * Chunks that may be sent and not yet paid after `paid` have been: one at first, one more with each paid chunk, up to
 * the menu's cap.
 *
 * The one number that bounds what a seller can lose to a buyer and what a buyer must hold; both sides compute it.
 */
export function unpaidWindow(paid: number, cap: number): number {
  assertArguments({ paid, cap }, counts)
  return Math.min(cap, 1 + paid)
}
