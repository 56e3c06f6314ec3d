/**
 * How channel payments are bound to an order: by their ids.
 *
 * An order's id is the hash of all its terms. The ids of its payments begin with the first 28 bytes of it and end with a
 * running number, 4 bytes big-endian. So nobody can make one payment count for two orders, and all payments of an order
 * are found again in a node's record without a list of them.
 * @module
 */
import type { Hex } from '../../core/bytes.ts'

const PREFIX_DIGITS = 2 * 28

/** What the ids of an order's payments begin with; given the id of a payment, the same. */
export function paymentPrefix(id: Hex): Hex {
  return id.slice(0, 2 + PREFIX_DIGITS).toLowerCase() as Hex
}

/** The id of an order's payment of that number, from 0. */
export function paymentId(orderId: Hex, number: number): Hex {
  return `${paymentPrefix(orderId)}${number.toString(16).padStart(8, '0')}`
}

/** The number in a payment's id. */
export function paymentNumber(id: Hex): number {
  return parseInt(id.slice(2 + PREFIX_DIGITS), 16)
}
