/**
 * The seller's open orders: checks new ones against the menu, finds old ones again, and sees each to its end.
 * @module
 */
import type { Order } from '../contracts/order.ts'
import { dataTradeDigests, type DataTradeDomain } from '../contracts/typedData.ts'
import { fromHex, toHex, utf8, type Hex } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { engine } from '../core/crypto/engine.ts'
import { assertSignedBy } from '../core/crypto/signature.ts'
import { isSluiceError, SluiceError } from '../core/errors.ts'
import type { Emitter } from '../core/events.ts'
import type { Logger } from '../core/log.ts'
import type { Store } from '../core/store/store.ts'
import { billOf } from '../payments/bill.ts'
import type { PaymentMethod, Till } from '../payments/payment.ts'
import type { SettledOrders, UnsettledOrder } from '../payments/token/seller.ts'
import type { Identity } from '../protocol/identity.ts'
import { chunkCount, priceOf, rangeOf, type Item, type Range } from '../protocol/menu.ts'
import type { MessageOf } from '../protocol/message.ts'
import { orderFromWire, saltFor } from '../protocol/order.ts'
import type { Payload, PaymentMode } from '../protocol/wire.ts'
import { createFramePool } from './framePool.ts'
import { isStored, type Offered } from './item.ts'
import { orderRecords, type OrderRecord } from './orderRecords.ts'
import { createSale, type Sale } from './sale.ts'

/** What a seller thinks of a buyer. */
export interface Opinion {
  /** 1 to 5. */
  readonly score: number
  readonly comment: string
}

/** What happens at a seller. */
export interface SellerEvents {
  /**
   * The seller can't see its chain, or can't write its store, and takes no new orders: what and why. Orders under way are
   * still looked after.
   */
  blind: { source: 'chain' | 'store'; code: string; reason: string }
  /** What was out of order works again; new orders are taken once all does. */
  restored: { source: 'chain' | 'store' }
  /** Money has come: what each order brought, in the smallest unit of `token`, and the wei that the transaction cost. */
  settled: SettledOrders
  /** Money that is owed has not come: why, and when it is tried again (Unix milliseconds). */
  unsettled: UnsettledOrder
  /** At start: the account may not be able to pay for a settlement, whose gas costs about `needed` wei. */
  gasShort: { address: string; balance: bigint; needed: bigint }
  /** An order has been checked and its stream begins, or goes on. */
  order: { orderId: Hex; item: string; bytes: number; price: bigint; buyer: string }
  /** `paid` bytes of an order are paid, worth `amount` in all. */
  paid: { orderId: Hex; paid: number; amount: bigint }
  /** A stream has ended: in full, by the buyer's exit, or by the error of that code. */
  ended: { orderId: Hex; paid: number; sent: number; reason: 'complete' | 'exit' | (string & {}) }
  /** A buyer has rated the order; the signature is good for the contract's `rate`. */
  rated: { orderId: Hex; score: number; comment: string; signature: Hex }
}

/** Limits of a seller; what is over one is refused. */
export interface SellerLimits {
  /** Connections at once. @default 1000 */
  readonly connections: number
  /** Orders at once on one connection. @default 128 */
  readonly ordersPerConnection: number
  /** Orders that are held in memory. @default 10000 */
  readonly orders: number
  /** Messages of one connection that wait to be taken. @default 1024 */
  readonly queuedMessages: number
  /**
   * Milliseconds until a buyer must have said hello, and for which a full seller ends no connection to make room.
   * @default 10000
   */
  readonly helloTimeout: number
  /** Milliseconds that a connection may stay without an order. @default 60000 */
  readonly idleTimeout: number
}

/** Defaults of {@link SellerLimits}. */
export const defaultLimits: SellerLimits = {
  connections: 1000,
  ordersPerConnection: 128,
  orders: 10_000,
  queuedMessages: 1024,
  helloTimeout: 10_000,
  idleTimeout: 60_000,
}

/** What a desk is made of. */
export interface DeskOptions {
  readonly identity: Identity
  readonly domain: DataTradeDomain
  readonly clock: Clock
  readonly log: Logger
  readonly store: Store
  readonly limits: SellerLimits
  readonly window: number
  readonly ackTimeout: number
  readonly validUntil: number | undefined
  readonly modes: readonly PaymentMode[]
  readonly offers: ReadonlyMap<string, Offered>
  readonly methods: readonly PaymentMethod[]
  readonly events: Emitter<SellerEvents>
  /** The signed menu message. */
  readonly menuText: () => string
  readonly opinion: ((sale: Sale) => Opinion | undefined) | undefined
  /** Why no new order can be taken at present, if none can. */
  readonly blind?: (() => SluiceError | undefined) | undefined
  /** Refuses a part whose price is below what settling it costs. @throws `ORDER_TOO_SMALL`. */
  readonly assertWorth?: ((order: Order, whole: bigint) => Promise<void>) | undefined
}

/** See {@link createDesk}. */
export interface Desk extends Pick<DeskOptions, 'identity' | 'domain' | 'clock' | 'log' | 'limits' | 'menuText'> {
  /** Why no new order can be taken at present, if none can. */
  blind(): SluiceError | undefined
  /**
   * Checks a new order, and that its money is there. An order it knows is opened again, for what it was opened for.
   * @throws `ORDER_MISMATCH` naming the field that differs; `ORDER_FINISHED` for one that was left, or delivered and paid.
   */
  open(message: MessageOf<'order'>, key: string, signal: AbortSignal): Promise<Sale>
  /**
   * Finds an order that was opened before, by this process or an earlier one; of one that is over, what was paid comes
   * again. Whoever asked may be gone by then: what it paid meanwhile still counts, so nothing calls this off.
   */
  reopen(id: Hex, key: string): Promise<Sale>
  /** Deletes what is kept of orders that can't come back: no stream begins after the deadline. */
  tidy(): Promise<void>
  /** A sale in memory. @throws `BAD_SIGNATURE` when another key opened it. */
  sale(id: Hex, key: string): Sale | undefined
  /** Gives the order's one stream to the caller; whoever has it is told. */
  claim(id: Hex, takenOver: () => void): () => void
  /** The order has been delivered and paid. */
  finish(sale: Sale): Promise<void>
  /** The stream broke off. */
  interrupted(sale: Sale, error: unknown): Promise<void>
  /** The buyer has left an order, or rates one that is over. `paid` is waited for before the order is closed. */
  left(id: Hex, key: string, exit: Payload<'exit'>, paid: Promise<unknown>): Promise<void>
  /** The seller's signed rating of the buyer, if it gives one. */
  ratingOf(id: Hex): Promise<Payload<'exit'>['rating']>
}

/** Creates the desk of a seller. */
export function createDesk(options: DeskOptions): Desk {
  const { identity, domain, clock, log, store, limits, offers, methods, events } = options
  const digests = dataTradeDigests(domain)
  const sales = new Map<Hex, Opened>()
  const opening = new Map<Hex, { readonly key: string; readonly task: Promise<Opened> }>()
  /** Orders whose end is being written down: nothing of them begins until it is. */
  const endings = new Map<Hex, Promise<void>>()
  /** Orders that are over and have no record: samples, and those whose end could not be written. */
  const finals = new Set<Hex>()
  const holders = new Map<Hex, () => void>()
  /** Who opened an order, kept past its end: the buyer's rating comes after the last byte. */
  const openers = new Map<Hex, string>()
  const dropped = new WeakSet<Sale>()
  const frames = createFramePool()

  const records = orderRecords(store, limits.orders, (id) => sales.has(id))

  /** What an order must be to be sold under today's menu. */
  const assertOffered = (payload: Payload<'order'>, order: Order): { offered: Offered; range: Range } => {
    const offered = offers.get(payload.data_ID)
    if (!offered) throw new SluiceError('NO_SUCH_ITEM', `there is no item "${payload.data_ID}" here`, { details: { item: payload.data_ID } })
    const { item } = offered
    if (options.validUntil !== undefined && clock.now() > options.validUntil * 1000) {
      throw new SluiceError('OFFER_EXPIRED', 'the menu is no longer valid; fetch it again')
    }
    if (payload.payment === 'token' && !options.modes.includes(payload.mode)) {
      throw new SluiceError('PAYMENT_UNSUPPORTED', `mode "${payload.mode}" is not taken here`, { details: { mode: payload.mode } })
    }
    const range = item.live
      ? rangeOf(item, { bytes: [0, order.totalData] })
      : rangeOf(item, { chunks: { first: payload.first_chunk, count: payload.chunk_count } })
    const expected: Record<string, readonly [given: string | number, expected: string | number]> = {
      seller: [order.seller.toLowerCase(), identity.address.toLowerCase()],
      total_data: [order.totalData, range.bytes],
      chunks: [order.chunks, chunkCount(item)],
      data_root: [order.dataRoot, item.root],
    }
    for (const [field, [given, wanted]] of Object.entries(expected)) {
      if (given !== wanted) {
        throw new SluiceError('ORDER_MISMATCH', `order terms: ${field} is ${given}, the menu says ${wanted}`, { details: { field, given, expected: wanted } })
      }
    }
    assertPrice(payload, order, item, range)
    if (payload.terms.salt !== saltFor(payload, item)) {
      throw new SluiceError(
        'ORDER_MISMATCH',
        'order terms: salt does not commit to the item, chunks, chunk size, payment and mode that the order is for',
        { details: { field: 'salt' } },
      )
    }
    return { offered, range }
  }

  /** The terms of an order message, once its id is known to be theirs. */
  const termsOf = (payload: Payload<'order'>): Order => {
    const order = orderFromWire(payload.terms)
    const id = toHex(digests.Order(order))
    if (payload.order_hash === id) return order
    throw new SluiceError('ORDER_MISMATCH', `order payload: order_hash is not the hash of the terms, which is ${id}`, {
      details: { field: 'order_hash', expected: id },
    })
  }

  const open = async (
    payload: Payload<'order'>,
    verification: string,
    key: string,
    signal: AbortSignal,
    record: OrderRecord | undefined,
  ): Promise<Opened> => {
    const order = termsOf(payload)
    const id = payload.order_hash as Hex
    if (![order.buyer, order.ackSigner].some((party) => party.toLowerCase() === key.toLowerCase())) {
      throw new SluiceError('ORDER_MISMATCH', `order terms: ${key}, who said hello, is neither buyer nor ack_signer`, { details: { field: 'ack_signer' } })
    }
    const { offered, range } = assertOffered(payload, order)
    const { item } = offered
    const over = record?.over
    if (order.deadline * 1000 < clock.now()) {
      throw new SluiceError('ORDER_EXPIRED', `the deadline of order ${id} has passed`, { details: { order: id, deadline: order.deadline } })
    }
    const method = methods.find(({ kind }) => kind === payload.payment)
    if (!method) {
      throw new SluiceError('PAYMENT_UNSUPPORTED', `payment "${payload.payment}" is not taken here`, { details: { payment: payload.payment } })
    }
    makeRoom()
    if (sales.size >= limits.orders) throw new SluiceError('OVERLOADED', `more than ${limits.orders} orders are open here`)
    const payable = { id, order, mode: payload.mode }
    if (!record && payload.payment === 'token') await options.assertWorth?.(order, item.price)
    const till = over === undefined ? await method.accept(payable, verification, { signal }) : closedTill(id, over)
    const kept = payload.payment !== 'sample'
    if (kept && !record) await records.put(id, { payload, key, begun: false, redelivered: 0, over: undefined })
    if (till.paid > 0) records.paid(id)
    // The seed's way shows each payment by the chain before the next granule is sent.
    const cap = payload.mode === 'onchain' && payload.payment === 'token' ? 1 : options.window
    const sale = createSale(
      {
        id,
        offered,
        range,
        total: order.totalData,
        form: payload.form,
        claims: payload.claims,
        cap,
        again: record !== undefined && (!item.live || record.begun),
        over: over !== undefined,
        deposited: order.price > 0n && !ON_CREDIT.has(payload.payment),
        redelivered: record?.redelivered ?? 0,
      },
      till,
      {
        identity,
        clock,
        frames,
        ackTimeout: options.ackTimeout,
        note: async (changes) => {
          if (kept) await records.update(id, changes)
        },
      },
      (paid) => {
        records.paid(id)
        events.emit('paid', { orderId: id, paid, amount: (order.price * BigInt(paid)) / BigInt(order.totalData) })
      },
    )
    const opened = { sale, key, payload }
    sales.set(id, opened)
    if (over !== undefined) return opened
    openers.set(id, key)
    if (openers.size > 2 * limits.orders) openers.delete(openers.keys().next().value!)
    events.emit('order', { orderId: id, item: item.id, bytes: range.bytes, price: order.price, buyer: order.buyer })
    return opened
  }

  /** Lets go of sales that no stream needs: stored data is found again in the store, what has ended isn't asked for. */
  const makeRoom = (): void => {
    for (const [id, { sale }] of sales) {
      if (sales.size < limits.orders) return
      if (!holders.has(id) && (isStored(sale.delivery.offered) || sale.till.ended !== undefined)) forget(sale)
    }
  }

  const forget = (sale: Sale): void => {
    sales.delete(sale.delivery.id)
    sale.close()
  }

  /** The order is the buyer's alone: its id and terms are public on chain. */
  const assertOpener = (id: Hex, opener: string, key: string): void => {
    if (opener !== key) throw new SluiceError('BAD_SIGNATURE', `order ${id} was opened by ${opener}, not by ${key}`, { details: { order: id } })
  }

  /** Opens an order once, however many connections of its buyer ask for it at a time. */
  const once = async (id: Hex, key: string, signal: AbortSignal, run: () => Promise<Opened>): Promise<Opened> => {
    for (let current; (current = opening.get(id)); ) {
      assertOpener(id, current.key, key)
      try {
        return await current.task
      } catch (error) {
        // The link that asked first is gone; this one may not be.
        if (!isSluiceError(error, 'ABORTED') || signal.aborted) throw error
      }
    }
    const task = run().finally(() => opening.delete(id))
    opening.set(id, { key, task })
    return task
  }

  const inMemory = (id: Hex, key: string): Opened | undefined => {
    const opened = sales.get(id)
    if (opened) assertOpener(id, opened.key, key)
    return opened
  }

  /** A sale that can go on; one whose order has ended is looked at anew, since a reorganisation may have brought it back. */
  const known = (id: Hex, key: string): Opened | undefined => {
    const opened = inMemory(id, key)
    if (opened?.sale.till.ended === undefined || holders.has(id)) return opened
    forget(opened.sale)
    return undefined
  }

  const assertNotFinal = (id: Hex): void => {
    if (finals.has(id)) throw finished(id)
  }

  /** Waits until an order that is ending has ended: what was written then decides. */
  const ending = async (id: Hex): Promise<void> => {
    for (let current; (current = endings.get(id)); ) await current.catch(() => {})
  }

  const openNew = async ({ payload, verification }: MessageOf<'order'>, key: string, signal: AbortSignal): Promise<Sale> => {
    termsOf(payload)
    const id = payload.order_hash as Hex
    await ending(id)
    const run = async (): Promise<Opened> => {
      assertNotFinal(id)
      const record = await records.get(id)
      if (record) {
        assertOpener(id, record.key, key)
        assertSameOrder(record.payload, payload)
        if (record.over !== undefined) throw finished(id)
      } else if (payload.payment !== 'sample') {
        const blind = options.blind?.()
        if (blind) throw blind
      }
      return open(payload, verification, key, signal, record)
    }
    const opened = known(id, key) ?? (await once(id, key, signal, run))
    // It may have been opened by another message.
    assertSameOrder(opened.payload, payload)
    if (opened.sale.delivery.over) throw finished(id)
    return opened.sale
  }

  const reopen = async (id: Hex, key: string): Promise<Sale> => {
    await ending(id)
    const opened = known(id, key)
    if (opened) return opened.sale
    assertNotFinal(id)
    const record = await records.get(id)
    if (!record) throw new SluiceError('NO_SUCH_ORDER', `order ${id} is not open here`, { details: { order: id } })
    assertOpener(id, record.key, key)
    const { signal } = new AbortController()
    // Read again in its turn: the order may have ended since.
    const run = async (): Promise<Opened> => open(record.payload, '', key, signal, (await records.get(id)) ?? record)
    return (await once(id, key, signal, run)).sale
  }

  /** Ends an order for good: no stream of it begins any more, but for what was paid. */
  const drop = async (sale: Sale, reason: string): Promise<void> => {
    // The end of its stream and the buyer's exit may both come here.
    if (dropped.has(sale)) return
    dropped.add(sale)
    const { id, over } = sale.delivery
    forget(sale)
    if (over) return
    holders.get(id)?.()
    const { paid } = sale.till
    const end = endOf(sale, paid)
    endings.set(id, end)
    await end.finally(() => endings.delete(id))
    events.emit('ended', { orderId: id, paid, sent: sale.sent, reason })
  }

  const endOf = async ({ delivery: { id }, till }: Sale, paid: number): Promise<void> => {
    finals.add(id)
    await till.finish()
    await records.update(id, { over: paid })
    if (await records.get(id)) finals.delete(id)
    for (const oldest of finals) {
      if (finals.size <= limits.orders) break
      finals.delete(oldest)
    }
  }

  return {
    identity,
    domain,
    clock,
    log,
    limits,
    menuText: options.menuText,
    blind: () => options.blind?.(),
    open: openNew,
    reopen,
    tidy: () => records.tidy(clock.now() / 1000),
    sale: (id, key) => inMemory(id, key)?.sale,
    claim: (id, takenOver) => {
      holders.get(id)?.()
      holders.set(id, takenOver)
      return () => {
        if (holders.get(id) === takenOver) holders.delete(id)
      }
    },
    finish: (sale) => drop(sale, 'complete'),
    interrupted: async (sale, error) => {
      // The buyer may come back until the deadline, or pay late.
      if (isSluiceError(error, 'ABORTED') || isSluiceError(error, 'PAYMENT_LATE')) return
      if (isSluiceError(error, 'ORDER_FINISHED')) {
        // The chain's doing, and it can be undone by a reorganisation: the chain is asked when the buyer comes back.
        forget(sale)
        if (sale.delivery.over) return
        events.emit('ended', { orderId: sale.delivery.id, paid: sale.till.paid, sent: sale.sent, reason: error.code })
        return
      }
      await drop(sale, isSluiceError(error) ? error.code : 'PEER_REFUSED')
    },
    left: async (id, key, exit, paid) => {
      const sale = inMemory(id, key)?.sale ?? (await reopen(id, key).catch(() => undefined))
      if (exit.rating && openers.get(id) === key) {
        const { score, comment, signature } = exit.rating
        const rating = { orderId: id, score, commentHash: toHex(engine().keccak256(utf8(comment))) }
        assertSignedBy(digests.Rating(rating), fromHex(signature), key, { field: 'rating', owner: 'the buyer who said hello' })
        openers.delete(id) // one rating of an order
        events.emit('rated', { orderId: id, score, comment, signature: signature as Hex })
      }
      if (!sale) return
      await paid
      await drop(sale, sale.till.paid >= sale.delivery.total ? 'complete' : 'exit')
    },
    ratingOf: async (id) => {
      const sale = sales.get(id)?.sale
      const opinion = sale && options.opinion?.(sale)
      if (!opinion) return null
      const rating = { orderId: id, score: opinion.score, commentHash: toHex(engine().keccak256(utf8(opinion.comment))) }
      return { ...opinion, signature: toHex(await identity.signTyped('Rating', rating)) }
    },
  }
}

/** Payments that put up nothing beforehand: an order says nothing of money yet. */
const ON_CREDIT: ReadonlySet<string> = new Set(['sample', 'channel'])

/** A sale, and what it was opened for by whom. */
interface Opened {
  readonly sale: Sale
  readonly key: string
  readonly payload: Payload<'order'>
}

/** What an order message may not change when it comes again; its id covers the terms. */
const SCOPE = ['data_ID', 'first_chunk', 'chunk_count', 'payment', 'mode', 'nonce', 'form', 'claims'] as const

/** An order pays for one thing: known by its id, it is for what it was opened for. */
function assertSameOrder(known: Payload<'order'>, given: Payload<'order'>): void {
  for (const field of SCOPE) {
    if (given[field] === known[field]) continue
    throw new SluiceError('ORDER_MISMATCH', `order payload: ${field} is ${given[field]}; order ${known.order_hash} was opened with ${known[field]}`, {
      details: { field, given: given[field], expected: known[field] },
    })
  }
}

function finished(id: Hex): SluiceError {
  return new SluiceError('ORDER_FINISHED', `order ${id} is over: it was left, or delivered and paid`, { details: { order: id } })
}

/** The till of an order that is over: what was paid is covered, and nothing more can be. */
function closedTill(id: Hex, paid: number): Till {
  return {
    paid,
    covered: paid,
    missing: 0n,
    ended: undefined,
    onChange: undefined,
    receive: (ack) => (ack.transferred <= paid ? Promise.resolve() : Promise.reject(finished(id))),
    finish: () => Promise.resolve(),
  }
}

/** The order must cost what the menu says; a sample costs nothing and stays within what is offered as one. */
function assertPrice(payload: Payload<'order'>, order: Order, item: Item, range: Range): void {
  if (payload.payment === 'sample') {
    const sample = item.sample
    if (!sample || range.first < sample.first || range.first + range.count > sample.first + sample.count) {
      throw new SluiceError('RANGE_INVALID', `chunks ${range.first} to ${range.first + range.count - 1} of "${item.id}" are not free samples`)
    }
    return
  }
  const { token, price: full } = billOf(item, payload.payment)
  if (full === undefined) {
    throw new SluiceError('PAYMENT_UNSUPPORTED', `"${item.id}" has no price for ${payload.payment}`, { details: { payment: payload.payment } })
  }
  const price = priceOf(item, full, range.bytes)
  if (order.price < price) {
    throw new SluiceError('PRICE_MISMATCH', `the order's price is ${price - order.price} short of the menu's ${price}`, {
      details: { given: order.price, expected: price },
    })
  }
  if (order.token.toLowerCase() !== token.toLowerCase()) {
    throw new SluiceError('ORDER_MISMATCH', `order terms: token is ${order.token}, it must be ${token}`, { details: { field: 'token' } })
  }
}
