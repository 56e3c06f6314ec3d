/**
 * Orders paid with Alipay: money that moves outside, ahead of the data, and is confirmed by a gateway.
 *
 * There is no escrow behind it: the buyer trusts the seller for what it has paid and not yet received. It can pay in
 * parts; the seller delivers as far as the gateway confirms, and never farther.
 * @module
 */
import { assertArguments, callback, having, hexText, store as storeRule } from '../core/argument.ts'
import type { DataTradeDigests } from '../contracts/typedData.ts'
import { utf8, type Hex } from '../core/bytes.ts'
import { SluiceError } from '../core/errors.ts'
import type { Store } from '../core/store/store.ts'
import { coveredBytes } from '../protocol/order.ts'
import type { Payer, PayableOrder, PaymentMethod, Till } from './payment.ts'
import { prepaidTill } from './prepaid.ts'

/** The token address that stands for Chinese fen in an order: 156 is the ISO 4217 number of the yuan. */
export const CNY = '0x000000000000000000000000000000000000009c'

/** What a gateway knows of one trade, from an answer whose signature it has checked. */
export interface AlipayTrade {
  /** Alipay's number of the trade (`trade_no`). */
  readonly tradeNo: string
  /** The merchant's own number of it (`out_trade_no`): {@link outTradeNo} of the order. */
  readonly outTradeNo: string
  /** Fen that the buyer has paid. */
  readonly paidFen: bigint
  /** `TRADE_SUCCESS` and `TRADE_FINISHED` are paid; anything else isn't. */
  readonly status: string
}

/** The merchant's number of an order: its id in 64 hex digits, which is the most that Alipay takes. */
export function outTradeNo(id: Hex): string {
  assertArguments({ id }, { id: hexText(32) })
  return id.slice(2)
}

/** A seller's line to Alipay. Must pass `alipayGatewaySuite` of `sluice-sdk/testing`. */
export interface AlipayGateway {
  /**
   * Asks Alipay about a trade (`alipay.trade.query`).
   * @throws `BAD_SIGNATURE` when the answer isn't signed by Alipay or is about another trade; `NO_SUCH_ORDER` when there
   * is no such trade; `RPC_FAILED` when nobody answers, or Alipay can't say now; `ABORTED`.
   */
  trade(tradeNo: string, options: { readonly signal: AbortSignal }): Promise<AlipayTrade>
}

/** Options of {@link alipayPayments}. */
export interface AlipayOptions {
  readonly gateway: AlipayGateway
  readonly digests: DataTradeDigests
  /** Keeps which trade paid an order, and how far the order is. */
  readonly store: Store
}

const optionRules = {
  gateway: /* @__PURE__ */ having('an AlipayGateway with trade()', 'trade'),
  digests: /* @__PURE__ */ having('what dataTradeDigests() returns', 'Order', 'Ack'),
  store: storeRule,
}

/** Takes orders that are paid with Alipay. */
export function alipayPayments(options: AlipayOptions): PaymentMethod {
  assertArguments(options, optionRules, 'options')
  const { gateway, digests, store } = options
  const orderKey = (id: string): string => `alipay/order/${id}`
  const paidKey = (id: string): string => `alipay/paid/${id}`
  return {
    kind: 'alipay',
    accept: async (payable, verification, { signal }): Promise<Till> => {
      const { id, order } = payable
      if (order.token.toLowerCase() !== CNY) {
        throw new SluiceError('ORDER_MISMATCH', `an order paid with Alipay is in fen: its token must be ${CNY}`, {
          details: { field: 'token' },
        })
      }
      const kept = await store.get(orderKey(id))
      const tradeNo = kept ? new TextDecoder().decode(kept) : verification
      if (tradeNo === '')
        throw new SluiceError('PAYMENT_INVALID', 'the order names no Alipay trade in verification', { details: { order: id } })
      const trade = await gateway.trade(tradeNo, { signal })
      if (trade.outTradeNo !== outTradeNo(id)) {
        throw new SluiceError('PAYMENT_INVALID', `Alipay trade ${tradeNo} was paid for another order`, {
          details: { order: id, tradeNo },
        })
      }
      if (trade.status !== 'TRADE_SUCCESS' && trade.status !== 'TRADE_FINISHED') {
        throw new SluiceError('ORDER_UNCONFIRMED', `Alipay trade ${tradeNo} is not paid: ${trade.status}`, {
          details: { tradeNo, status: trade.status },
        })
      }
      const covered = coveredBytes(order, trade.paidFen)
      if (covered === 0) {
        throw new SluiceError('DEPOSIT_SHORT', `${trade.paidFen} fen were paid of the order's ${order.price}`, {
          details: { given: trade.paidFen, expected: order.price },
        })
      }
      await store.write([{ key: orderKey(id), value: utf8(tradeNo) }])
      const paid = await store.get(paidKey(id))
      return prepaidTill(digests, payable, covered, {
        paid: paid ? Number(new TextDecoder().decode(paid)) : 0,
        keep: (bytes) => store.write([{ key: paidKey(id), value: utf8(String(bytes)) }]),
      })
    },
    close: () => Promise.resolve(),
  }
}

/** Options of {@link alipayPayer}. */
export interface AlipayPayerOptions {
  /**
   * Lets the buyer pay `fen` for an order, by showing Alipay's page or code with `outTradeNo` as the merchant's number.
   * @returns Alipay's number of the trade.
   */
  pay(order: { readonly outTradeNo: string; readonly fen: bigint }, options: { readonly signal: AbortSignal }): Promise<string>
}

/** Pays orders with Alipay: all of it ahead. */
export function alipayPayer(options: AlipayPayerOptions): Payer {
  assertArguments(options, { pay: callback }, 'options')
  return {
    kind: 'alipay',
    open: async ({ id, order }: PayableOrder, { signal }) => ({
      verification: await options.pay({ outTradeNo: outTradeNo(id), fen: order.price }, { signal }),
    }),
    pay: () => Promise.resolve({ verification: '' }),
  }
}
