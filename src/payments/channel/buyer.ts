/**
 * Pays for orders over payment channels: what is due and not yet paid, before each acknowledgement.
 *
 * Keeps nothing of its own: what an order has had is what the node's record of payments says.
 * @module
 */
import { assertArguments, clock as clockRule, having, integer, milliseconds, optional, rule } from '../../core/argument.ts'
import type { Hex } from '../../core/bytes.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { throwIfAborted, withDeadline } from '../../core/deadline.ts'
import { assertArgument, isSluiceError } from '../../core/errors.ts'
import { retry } from '../../core/retry.ts'
import { payFor } from '../../protocol/order.ts'
import type { Payer, PayableOrder } from '../payment.ts'
import { tokenNetworkOf, type ChannelPayment, type ChannelPort, type TokenNetworks } from './channelPort.ts'
import { paymentId, paymentNumber, paymentPrefix } from './paymentId.ts'

/** Options of {@link channelPayer}. */
export interface ChannelPayerOptions {
  /** The node that pays. Its account need not be the buyer's. */
  readonly channel: ChannelPort
  /** Which token network moves which token. */
  readonly tokenNetworks: TokenNetworks
  /** The most that mediators may keep, in whole percent of what an order has had in all; one unit is always theirs. @default 5 */
  readonly maxFees?: number | undefined
  /** How often a payment that finds no way is tried: links come and go. @default 8, within ten seconds */
  readonly attempts?: number | undefined
  /** Milliseconds that a payment may take in all, before the purchase fails and waits to be resumed. @default 60000 */
  readonly timeout?: number | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/** What stands in a payment's way and may not for long; no money has moved. */
const NO_WAY: ReadonlySet<string> = new Set(['NO_ROUTE', 'PARTNER_OFFLINE', 'CAPACITY_SHORT', 'PAYMENT_FAILED'])

/** What an order has had. */
interface Ledger {
  paid: bigint
  /** What mediators have kept on top. */
  fees: bigint
  /** Number of the next payment. */
  next: number
  /** The last payment that went through. */
  last: Hex | undefined
}

const optionRules = {
  channel: /* @__PURE__ */ having('a channel node of createChannelNode()', 'pay', 'payments'),
  tokenNetworks: /* @__PURE__ */ rule('token networks by token', (value) => typeof value === 'object' && value !== null),
  maxFees: /* @__PURE__ */ optional(/* @__PURE__ */ integer(0, Number.MAX_SAFE_INTEGER, 'number of percent')),
  attempts: /* @__PURE__ */ optional(/* @__PURE__ */ integer(1)),
  timeout: /* @__PURE__ */ optional(milliseconds),
  clock: /* @__PURE__ */ optional(clockRule),
}

/**
 * Pays orders over payment channels.
 *
 * Paying fails with what the node throws, or `TIMEOUT`; the order can be resumed then. A payment on its way is never called
 * off: it is owed, and its locks would stay until they expire. Whoever pays next waits for its end first, so nothing is paid
 * twice.
 * @throws `BAD_ARGUMENT` for `maxFees`.
 * @example
 * ```ts
 * const payer = channelPayer({ channel: node, tokenNetworks: { [ETH]: tokenNetwork } })
 * const buyer = await createBuyer({ signer, payers: [payer] })
 * await buyer.buy({ seller, item: 'weather', payment: 'channel' }).bytes()
 * ```
 */
export function channelPayer(options: ChannelPayerOptions): Payer {
  assertArguments(options, optionRules, 'options')
  const { channel, tokenNetworks, maxFees = 5, attempts = 8, timeout = 60_000, clock = systemClock } = options
  assertArgument(Number.isInteger(maxFees) && maxFees >= 0, 'maxFees', 'a whole number of percent')
  /** By the course of an order: each reads the node's record once, and after each failure again. */
  const ledgers = new WeakMap<PayableOrder, Ledger>()

  /** Adds up what the node's record says; waits for what is not over yet. */
  const readLedger = async ({ id }: PayableOrder): Promise<Ledger> => {
    const ledger: Ledger = { paid: 0n, fees: 0n, next: 0, last: undefined }
    for await (const payment of channel.payments('out', paymentPrefix(id))) {
      ledger.next = Math.max(ledger.next, paymentNumber(payment.id) + 1)
      const fee = await feeOf(payment)
      if (fee === undefined) continue
      ledger.paid += payment.amount
      ledger.fees += fee
      if (!ledger.last || payment.id > ledger.last) ledger.last = payment.id
    }
    return ledger
  }

  /** What a payment has cost on top; undefined when it came to nothing. */
  const feeOf = async (payment: ChannelPayment): Promise<bigint | undefined> => {
    const { id, peer, amount, fee, tokenNetwork, state } = payment
    if (state === 'done') return fee
    try {
      return (await channel.pay({ to: peer, amount, tokenNetwork, id, maxFee: fee })).fee
    } catch (error) {
      for await (const now of channel.payments('out', id)) if (now.state === 'failed') return undefined
      throw error
    }
  }

  /** Pays what is due for the first `transferred` bytes and was not paid before. */
  const payDifference = async (
    payable: PayableOrder,
    transferred: number,
    signal: AbortSignal,
  ): Promise<{ verification: string }> => {
    const { id, order } = payable
    const tokenNetwork = tokenNetworkOf(tokenNetworks, order.token)
    try {
      const ledger = ledgers.get(payable) ?? (await readLedger(payable))
      throwIfAborted(signal, 'the payment') // nobody waits any more: who asks next pays
      ledgers.set(payable, ledger)
      const amount = payFor(order, transferred) - ledger.paid
      if (amount > 0n) {
        const next = paymentId(id, ledger.next)
        // By the order as a whole: its last payment may be smaller than what forwarding costs at least.
        const left = ((ledger.paid + amount) * BigInt(maxFees)) / 100n - ledger.fees
        const maxFee = left > 0n ? left : 1n
        const { fee } = await channel.pay({ to: order.seller, amount, tokenNetwork, id: next, maxFee })
        ledger.paid += amount
        ledger.fees += fee
        ledger.next++
        ledger.last = next
      }
      return { verification: ledger.last ?? '' }
    } catch (error) {
      ledgers.delete(payable)
      throw error
    }
  }

  return {
    kind: 'channel',
    open: async ({ order }) => {
      tokenNetworkOf(tokenNetworks, order.token)
      return { verification: '' } // nothing is put up: data comes first, a window of it
    },
    pay: async (payable, transferred, { signal }) => {
      const what = `the payment for ${transferred} bytes of order ${payable.id}`
      try {
        return await withDeadline({ what, ms: timeout, signal, clock }, (stop) =>
          retry(() => payDifference(payable, transferred, stop), {
            attempts,
            maxDelay: 2000,
            advise: (error) => (isSluiceError(error) && NO_WAY.has(error.code) ? 'retry' : 'abort'),
            signal: stop,
            clock,
          }),
        )
      } catch (error) {
        ledgers.delete(payable) // it may still be under way
        throw error
      }
    },
  }
}
