/**
 * Orders paid over payment channels: data on credit, a window of it, against payments that come in as it flows.
 *
 * What an order has brought is what the seller's own node has received under the order's payment ids, never what the buyer
 * says. Nothing is put up beforehand, so there is nothing to settle.
 * @module
 */
import { assertArguments, clock as clockRule, having, milliseconds, optional, rule, store as storeRule } from '../../core/argument.ts'
import type { DataTradeDigests } from '../../contracts/typedData.ts'
import { utf8, type Hex } from '../../core/bytes.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { throwIfAborted, withDeadline } from '../../core/deadline.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import type { Store } from '../../core/store/store.ts'
import { payFor } from '../../protocol/order.ts'
import type { Acknowledgement, PayableOrder, PaymentMethod, Till } from '../payment.ts'
import { assertAck } from '../prepaid.ts'
import { tokenNetworkOf, type ChannelPort, type TokenNetworks } from './channelPort.ts'
import { paymentPrefix } from './paymentId.ts'

/** Options of {@link channelPayments}. */
export interface ChannelPaymentsOptions {
  /** The node that is paid: its account must be the seller's. */
  readonly channel: ChannelPort
  /** Which token network moves which token; items in other tokens can't be bought by channel. */
  readonly tokenNetworks: TokenNetworks
  readonly digests: DataTradeDigests
  /** Keeps how far an order is paid, until its deadline. */
  readonly store: Store
  /** Milliseconds that a payment may come after the ACK that counts on it. @default 30000 */
  readonly arrivalTimeout?: number | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/** Orders whose money is listened for at a time; what came in for others is read again when they go on. */
const MAX_LISTENING = 10_000

/** What a seller knows of one order's money. */
interface Purse {
  readonly payable: PayableOrder
  readonly tokenNetwork: string
  /** Bytes acknowledged and paid for, durably known. */
  paid: number
  over: boolean
  /** What has come in, in all. */
  arrived: bigint
  /** Payments counted while the node's record is read; they may stand in it too. */
  counted: Set<string> | undefined
  /** Resolves once what came in before is counted. */
  ready: Promise<void>
  /** Acknowledgements whose money has not come in yet. */
  readonly waiting: Set<{ readonly due: bigint; readonly go: () => void }>
  /** The last write of `paid`. */
  written: Promise<void>
}

/** What is kept of an order. */
interface Kept {
  readonly paid: number
  readonly over: boolean
  /** Unix seconds after which it can be forgotten: no order is taken past its deadline. */
  readonly deadline: number
}

const optionRules = {
  channel: /* @__PURE__ */ having('a channel node of createChannelNode()', 'pay', 'payments'),
  tokenNetworks: /* @__PURE__ */ rule('token networks by token', (value) => typeof value === 'object' && value !== null),
  digests: /* @__PURE__ */ having('what dataTradeDigests() returns', 'Order', 'Ack'),
  store: storeRule,
  arrivalTimeout: /* @__PURE__ */ optional(milliseconds),
  clock: /* @__PURE__ */ optional(clockRule),
}

/**
 * Takes orders that are paid over payment channels.
 * @example
 * ```ts
 * const method = channelPayments({ channel: node, tokenNetworks: { [ETH]: tokenNetwork }, digests, store })
 * const seller = await createSeller({ signer, store, items, payments: [method] })
 * ```
 */
export function channelPayments(options: ChannelPaymentsOptions): PaymentMethod {
  assertArguments(options, optionRules, 'options')
  const { channel, tokenNetworks, digests, store, arrivalTimeout = 30_000, clock = systemClock } = options
  const account = channel.account.toLowerCase()
  /** By what the ids of their payments begin with; longest unused first. */
  const purses = new Map<Hex, Purse>()
  const closing = new AbortController()

  const orderKey = (id: Hex): string => `channel-order/${id}`
  const seconds = (): number => Math.floor(clock.now() / 1000)

  // --- money ---

  const count = (purse: Purse, id: Hex, tokenNetwork: string, amount: bigint): void => {
    if (tokenNetwork.toLowerCase() !== purse.tokenNetwork) return
    // By amount too: what a stranger pays under an id of the order must not hide what its buyer paid.
    const receipt = `${id}/${amount}`
    if (purse.counted?.has(receipt)) return
    purse.counted?.add(receipt)
    purse.arrived += amount
    for (const { due, go } of purse.waiting) if (purse.arrived >= due) go()
  }

  const stopListening = channel.events.on('received', ({ paymentId, tokenNetwork, amount }) => {
    const purse = purses.get(paymentPrefix(paymentId))
    if (purse) count(purse, paymentId, tokenNetwork, amount)
  })

  const read = async (purse: Purse): Promise<void> => {
    purse.arrived = 0n
    purse.counted = new Set()
    for await (const { id, tokenNetwork, amount, state } of channel.payments('in', paymentPrefix(purse.payable.id))) {
      if (state === 'done') count(purse, id, tokenNetwork, amount)
    }
    purse.counted = undefined
  }

  /** Has an order's money listened for; what came in while it was not is read from the node's record. */
  const listen = async (purse: Purse): Promise<void> => {
    const prefix = paymentPrefix(purse.payable.id)
    if (purses.get(prefix) !== purse) purse.ready = read(purse)
    purses.delete(prefix)
    purses.set(prefix, purse) // to its place at the end
    for (const [oldest, { waiting }] of purses) {
      if (purses.size <= MAX_LISTENING) break
      if (waiting.size === 0 && oldest !== prefix) purses.delete(oldest)
    }
    await purse.ready.catch((error: unknown) => {
      if (purses.get(prefix) === purse) purses.delete(prefix)
      throw error
    })
  }

  /** Waits until an order has brought `due` in all. */
  const arrival = async (purse: Purse, due: bigint): Promise<void> => {
    await listen(purse)
    if (purse.arrived >= due) return
    const { id } = purse.payable
    let waiter: { readonly due: bigint; readonly go: () => void }
    try {
      await withDeadline({ what: `a payment for order ${id}`, ms: arrivalTimeout, signal: closing.signal, clock }, () =>
        new Promise<void>((go) => purse.waiting.add((waiter = { due, go }))))
    } finally {
      purse.waiting.delete(waiter!)
    }
  }

  // --- one order ---

  const write = (purse: Purse, paid: number, over: boolean): Promise<void> => {
    const { id, order } = purse.payable
    const kept: Kept = { paid, over, deadline: order.deadline }
    return store.write([{ key: orderKey(id), value: utf8(JSON.stringify(kept)) }])
  }

  /** Makes a count durable before it counts; one after the other, so that the highest stays. */
  const keep = (purse: Purse, transferred: number): Promise<void> => {
    const kept = purse.written.then(async () => {
      if (transferred <= purse.paid) return
      await write(purse, transferred, purse.over)
      purse.paid = transferred
    })
    purse.written = kept.catch(() => {})
    return kept
  }

  const receive = async (purse: Purse, ack: Acknowledgement): Promise<void> => {
    const { payable } = purse
    const { id, order } = payable
    const { transferred, verification } = ack
    if (transferred <= purse.paid) return // says nothing new
    assertAck(digests, payable, ack)
    assertOurs(payable, verification)
    const due = payFor(order, transferred)
    await arrival(purse, due).catch((cause: unknown) => {
      if (!isSluiceError(cause, 'TIMEOUT')) throw cause
      throw new SluiceError('PAYMENT_INVALID', `ACK is for ${transferred} bytes of order ${id}, which cost ${due}; ${purse.arrived} came in`, {
        cause,
        details: { order: id, transferred, due, arrived: purse.arrived },
      })
    })
    await keep(purse, transferred)
  }

  const tillOf = (purse: Purse): Till => ({
    get paid() {
      return purse.paid
    },
    covered: purse.payable.order.totalData,
    missing: 0n,
    ended: undefined,
    onChange: undefined,
    receive: (ack) => receive(purse, ack),
    finish: async () => {
      purse.over = true
      purses.delete(paymentPrefix(purse.payable.id))
      await purse.written
      // Of what was paid, nothing is delivered anew as another order.
      if (purse.paid > 0) await write(purse, purse.paid, true)
    },
  })

  /** Forgets orders that can't come back. */
  const tidy = async (): Promise<void> => {
    const now = seconds()
    for await (const [key, value] of store.list('channel-order/')) {
      if (decodeKept(value).deadline < now) await store.write([{ key, value: null }])
    }
    isTidy = true
  }
  let isTidy = false

  return {
    kind: 'channel',
    account,
    accept: async (payable, verification, { signal }) => {
      const { id, order } = payable
      throwIfAborted(signal, `order ${id}`)
      const tokenNetwork = tokenNetworkOf(tokenNetworks, order.token)
      if (order.seller.toLowerCase() !== account) {
        throw new SluiceError('ORDER_MISMATCH', `order ${id} is for ${order.seller}; payments over channels come in to ${account}`, {
          details: { field: 'seller', given: order.seller, expected: account },
        })
      }
      assertOurs(payable, verification)
      const now = seconds()
      if (order.deadline < now) {
        throw new SluiceError('ORDER_EXPIRED', `the deadline of order ${id} passed ${now - order.deadline} seconds ago`, {
          details: { order: id, deadline: order.deadline },
        })
      }
      if (!isTidy) await tidy()
      const bytes = await store.get(orderKey(id))
      const kept = bytes && decodeKept(bytes)
      if (kept?.over) throw new SluiceError('ORDER_FINISHED', `order ${id} is over`, { details: { order: id } })
      const purse = purses.get(paymentPrefix(id)) ?? {
        payable,
        tokenNetwork,
        paid: kept?.paid ?? 0,
        over: false,
        arrived: 0n,
        counted: undefined,
        ready: Promise.resolve(),
        waiting: new Set(),
        written: Promise.resolve(),
      }
      await listen(purse)
      return tillOf(purse)
    },
    close: async () => {
      stopListening()
      closing.abort()
      await Promise.all([...purses.values()].map(({ written }) => written))
    },
  }
}

function decodeKept(bytes: Uint8Array): Kept {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Kept
  } catch (cause) {
    throw new SluiceError('STORE_CORRUPT', 'an order in the store cannot be read', { cause })
  }
}

/** A payment that a buyer names must be one of the order's own; what it was and whether it came, the node says. */
function assertOurs({ id }: PayableOrder, verification: string): void {
  if (verification === '' || paymentPrefix(verification as Hex) === paymentPrefix(id)) return
  throw new SluiceError('PAYMENT_INVALID', `payment ${verification} is not one of order ${id}`, { details: { order: id, payment: verification } })
}
