/**
 * The port between selling data and being paid for it.
 *
 * A seller lists methods; a buyer holds the counterpart of one. What moves the money (vouchers and an escrow, Alipay, a
 * payment channel) stays behind it: the stream knows only how many bytes are covered and how many are paid.
 * @module
 */
import type { Order } from '../contracts/order.ts'
import type { Hex } from '../core/bytes.ts'
import type { PaymentKind, PaymentMode } from '../protocol/wire.ts'

/** An order as both ports see it. */
export interface PayableOrder {
  readonly id: Hex
  readonly order: Order
  readonly mode: PaymentMode
}

/** What a buyer acknowledges: the first `transferred` bytes of its order. */
export interface Acknowledgement {
  readonly transferred: number
  /** EIP-712 `Ack` by the buyer or its session key, 65 bytes. */
  readonly signature: Uint8Array
  /** Transaction, receipt or channel payment that shows the payment; empty for a voucher. */
  readonly verification: string
}

/** A way for a seller to be paid. */
export interface PaymentMethod {
  readonly kind: PaymentKind
  /** The account that the money comes in to, if the method has one of its own: it must be the seller's. */
  readonly account?: string | undefined
  /**
   * Decides whether an order's money is there, without trusting the buyer for any of it. Called again for an order that
   * it knows, after a lost connection or a restart; then `verification` may be empty.
   * @throws `DEPOSIT_SHORT`, `ORDER_UNCONFIRMED`, `ORDER_EXPIRED`, `ORDER_FINISHED`, `ORDER_MISMATCH`, `PAYMENT_UNSUPPORTED`.
   */
  accept(order: PayableOrder, verification: string, options: { readonly signal: AbortSignal }): Promise<Till>
  /** Waits for what is under way, then lets go of watchers. */
  close(): Promise<void>
}

/** One order's money, as a seller knows it. */
export interface Till {
  /** Bytes paid, durably known. */
  readonly paid: number
  /** Bytes that the money behind the order is enough for. */
  readonly covered: number
  /** What the money is short of the order's price. */
  readonly missing: bigint
  /** Why the order can't go on, if it can't: closed, disputed or settled on chain. */
  readonly ended: string | undefined
  /** Is told when `paid`, `covered` or `ended` has changed from outside. */
  onChange: (() => void) | undefined
  /**
   * Takes an acknowledgement; resolves once what it pays is durable. One that says no more than the last is harmless.
   * @throws `BAD_SIGNATURE`, `PAYMENT_INVALID`.
   */
  receive(ack: Acknowledgement): Promise<void>
  /** The order is over: turn what is owed into money. */
  finish(): Promise<void>
}

/** A way for a buyer to pay. */
export interface Payer {
  readonly kind: PaymentKind
  /**
   * Puts up the money for an order, as far as any is put up beforehand.
   * @returns what shows it to the seller.
   * @throws `PAYMENT_UNSUPPORTED` when it can't pay this order: nothing was put up.
   */
  open(
    order: PayableOrder,
    options: { readonly deposit: bigint; readonly signal: AbortSignal },
  ): Promise<{ verification: string }>
  /** Pays for the first `transferred` bytes, in all. */
  pay(order: PayableOrder, transferred: number, options: { readonly signal: AbortSignal }): Promise<{ verification: string }>
}
