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
import type { PaymentMethod } from '../payments/payment.ts'
import type { Identity } from '../protocol/identity.ts'
import { chunkCount, priceOf, rangeOf, type Item, type Range } from '../protocol/menu.ts'
import type { MessageOf } from '../protocol/message.ts'
import { orderFromWire } from '../protocol/order.ts'
import type { Payload, PaymentMode } from '../protocol/wire.ts'
import { createFramePool } from './framePool.ts'
import { isStored, type Offered } from './item.ts'
import { createSale, type Sale } from './sale.ts'

/** What a seller thinks of a buyer. */
export interface Opinion {
  /** 1 to 5. */
  readonly score: number
  readonly comment: string
}

/** What happens at a seller. */
export interface SellerEvents {
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
  /** Milliseconds until a buyer must have said hello. @default 10000 */
  readonly helloTimeout: number
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
}

/** See {@link createDesk}. */
export interface Desk extends Pick<DeskOptions, 'identity' | 'domain' | 'clock' | 'log' | 'limits' | 'menuText'> {
  /** Checks a new order, and that its money is there. An order it knows is opened again. */
  open(message: MessageOf<'order'>, key: string, signal: AbortSignal): Promise<Sale>
  /**
   * Finds an order that was opened before, by this process or an earlier one. Whoever asked may be gone by then: what it
   * paid meanwhile still counts, so nothing calls this off.
   */
  reopen(id: Hex, key: string): Promise<Sale>
  /** Deletes what is kept of orders whose buyers never came back: no stream begins after the deadline. */
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
  const sales = new Map<Hex, { sale: Sale; key: string }>()
  const opening = new Map<Hex, { readonly key: string; readonly task: Promise<Sale> }>()
  const holders = new Map<Hex, () => void>()
  /** Who opened an order, kept past its end: the buyer's rating comes after the last byte. */
  const openers = new Map<Hex, string>()
  const dropped = new WeakSet<Sale>()
  const frames = createFramePool()

  const recordKey = (id: Hex): string => `sale/${id}`

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
    return { offered, range }
  }

  const open = async (payload: Payload<'order'>, verification: string, key: string, signal: AbortSignal, again: boolean): Promise<Sale> => {
    const order = orderFromWire(payload.terms)
    const id = toHex(digests.Order(order))
    if (payload.order_hash !== id) {
      throw new SluiceError('ORDER_MISMATCH', `order payload: order_hash is not the hash of the terms, which is ${id}`, {
        details: { field: 'order_hash', expected: id },
      })
    }
    if (![order.buyer, order.ackSigner].some((party) => party.toLowerCase() === key.toLowerCase())) {
      throw new SluiceError('ORDER_MISMATCH', `order terms: ${key}, who said hello, is neither buyer nor ack_signer`, { details: { field: 'ack_signer' } })
    }
    const { offered, range } = assertOffered(payload, order)
    const method = methods.find(({ kind }) => kind === payload.payment)
    if (!method) {
      throw new SluiceError('PAYMENT_UNSUPPORTED', `payment "${payload.payment}" is not taken here`, { details: { payment: payload.payment } })
    }
    makeRoom()
    if (sales.size >= limits.orders) throw new SluiceError('OVERLOADED', `more than ${limits.orders} orders are open here`)
    const till = await method.accept({ id, order, mode: payload.mode }, verification, { signal })
    if (payload.payment !== 'sample') {
      await store.write([{ key: recordKey(id), value: utf8(JSON.stringify({ payload, key })) }])
    }
    // The seed's way shows each payment by the chain before the next granule is sent.
    const cap = payload.mode === 'onchain' && payload.payment === 'token' ? 1 : options.window
    const sale = createSale(
      { id, offered, range, total: order.totalData, form: payload.form, claims: payload.claims, cap, again },
      till,
      { identity, clock, frames, ackTimeout: options.ackTimeout },
      (paid) => events.emit('paid', { orderId: id, paid, amount: (order.price * BigInt(paid)) / BigInt(order.totalData) }),
    )
    sales.set(id, { sale, key })
    openers.set(id, key)
    if (openers.size > 2 * limits.orders) openers.delete(openers.keys().next().value!)
    events.emit('order', { orderId: id, item: offered.item.id, bytes: range.bytes, price: order.price, buyer: order.buyer })
    return sale
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
  const once = async (id: Hex, key: string, signal: AbortSignal, run: () => Promise<Sale>): Promise<Sale> => {
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

  const inMemory = (id: Hex, key: string): Sale | undefined => {
    const entry = sales.get(id)
    if (entry) assertOpener(id, entry.key, key)
    return entry?.sale
  }

  /** A sale that can go on; one whose order has ended is looked at anew, since a reorganisation may have brought it back. */
  const known = (id: Hex, key: string): Sale | undefined => {
    const sale = inMemory(id, key)
    if (sale?.till.ended === undefined || holders.has(id)) return sale
    forget(sale)
    return undefined
  }

  const reopen = async (id: Hex, key: string): Promise<Sale> => {
    const sale = known(id, key)
    if (sale) return sale
    const bytes = await store.get(recordKey(id))
    if (!bytes) throw new SluiceError('NO_SUCH_ORDER', `order ${id} is not open here`, { details: { order: id } })
    const record = JSON.parse(new TextDecoder().decode(bytes)) as { payload: Payload<'order'>; key: string }
    assertOpener(id, record.key, key)
    const { signal } = new AbortController()
    try {
      return await once(id, key, signal, () => open(record.payload, '', key, signal, true))
    } catch (error) {
      if (isSluiceError(error, 'ORDER_FINISHED')) await store.write([{ key: recordKey(id), value: null }])
      throw error
    }
  }

  const drop = async (sale: Sale, reason: string): Promise<void> => {
    // The end of its stream and the buyer's exit may both come here.
    if (dropped.has(sale)) return
    dropped.add(sale)
    const { id } = sale.delivery
    forget(sale)
    await sale.till.finish()
    await store.write([{ key: recordKey(id), value: null }])
    ended(sale, reason)
  }

  const ended = (sale: Sale, reason: string): void =>
    events.emit('ended', { orderId: sale.delivery.id, paid: sale.till.paid, sent: sale.sent, reason })

  return {
    identity,
    domain,
    clock,
    log,
    limits,
    menuText: options.menuText,
    open: async (message, key, signal) => {
      const id = message.payload.order_hash as Hex
      return known(id, key) ?? once(id, key, signal, () => open(message.payload, message.verification, key, signal, false))
    },
    reopen,
    tidy: async () => {
      const now = clock.now() / 1000
      for await (const [key, value] of store.list('sale/')) {
        const { payload } = JSON.parse(new TextDecoder().decode(value)) as { payload: Payload<'order'> }
        if (payload.terms.deadline < now) await store.write([{ key, value: null }])
      }
    },
    sale: inMemory,
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
        // The chain's doing, and it can be undone by a reorganisation: the record stays until it is asked for in vain.
        forget(sale)
        ended(sale, error.code)
        return
      }
      await drop(sale, isSluiceError(error) ? error.code : 'PEER_REFUSED')
    },
    left: async (id, key, exit, paid) => {
      const sale = inMemory(id, key) ?? (await reopen(id, key).catch(() => undefined))
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
