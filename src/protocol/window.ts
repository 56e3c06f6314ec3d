/**
 * How far a seller goes ahead of payment.
 * @module
 */

/**
 * Chunks that may be sent and not yet paid after `paid` have been: one at first, one more with each paid chunk, up to
 * the menu's cap.
 *
 * The one number that bounds what a seller can lose to a buyer and what a buyer must hold; both sides compute it.
 */
export function unpaidWindow(paid: number, cap: number): number {
  return Math.min(cap, 1 + paid)
}
