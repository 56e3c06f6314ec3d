/**
 * Buying data, chunk against payment.
 * @module
 */
import type { Signer } from 'ethers'
import {
  abortSignal,
  amount,
  assertArguments,
  callback,
  clock as clockRule,
  connectedSigner,
  countless,
  either,
  flag,
  having,
  hexText,
  integer,
  listOf,
  logger,
  milliseconds,
  oneOf,
  optional,
  rule,
  type Rule,
  shape,
  store as storeRule,
  text,
} from '../core/argument.ts'
import { findDataTrade } from '../contracts/findDataTrade.ts'
import type { Order } from '../contracts/order.ts'
import { dataTradeDigests } from '../contracts/typedData.ts'
import { randomBytes, toHex, type Hex } from '../core/bytes.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { keyFromSecret } from '../core/crypto/key.ts'
import { throwIfAborted } from '../core/deadline.ts'
import { type AsyncCloseable, closes } from '../core/dispose.ts'
import { assertArgument, isSluiceError, SluiceError } from '../core/errors.ts'
import { silentLogger, type Logger } from '../core/log.ts'
import { memoryStore } from '../core/store/memoryStore.ts'
import type { Store } from '../core/store/store.ts'
import { billOf } from '../payments/bill.ts'
import type { Payer } from '../payments/payment.ts'
import { createTokenPayer } from '../payments/token/buyer.ts'
import type { Reclaimed } from '../payments/token/recovery.ts'
import { keyIdentity } from '../protocol/identity.ts'
import {
  chunkCount,
  findItem,
  menuHash,
  priceOf,
  rangeOf,
  ZERO32,
  type ChunkRange,
  type Item,
  type Menu,
  type Range,
  type Selection,
} from '../protocol/menu.ts'
import { saltFor } from '../protocol/order.ts'
import type { Registry, RegistryEntry } from '../protocol/registry/registry.ts'
import type { Connect } from '../protocol/transport.ts'
import type { PaymentKind, PaymentMode } from '../protocol/wire.ts'
import { openStore } from '#platform'
import { connectWebSocket } from '#websocket'
import { openLink, type Link } from './link.ts'
import type { PartialData } from './partial.ts'
import type { CourseContext, PurchaseRecord, Receipt, Start } from './course.ts'
import { createPurchase, type Purchase } from './purchase.ts'
import { purchaseBook, type StoredPurchase } from './record.ts'

/** Options of {@link createBuyer}. */
export interface BuyerOptions {
  /** The account that pays: an ethers signer with a provider, a browser wallet's included. */
  readonly signer: Signer
  /**
   * Where orders survive a crash: a store, or a name for one (a directory in Node, an IndexedDB database in browsers).
   * @default memory only: an order can't be resumed by another process, its deposit is reclaimed by its id
   */
  readonly store?: Store | string | undefined
  /** Address of the order contract. @default the known deployment on the signer's chain */
  readonly dataTrade?: string | undefined
  /** Finds sellers by account. @default none, sellers are given by URL */
  readonly registry?: Registry | undefined
  /** Ways to pay beside tokens. @default none */
  readonly payers?: readonly Payer[] | undefined
  /** Opens connections. @default WebSocket */
  readonly connect?: Connect | undefined
  /** What to say of the seller when an order is over. @default nothing */
  readonly rate?:
    | ((receipt: Omit<Receipt, 'rating'>) => { readonly score: number; readonly comment: string } | undefined)
    | undefined
  /** How deep the buyer's transactions must lie; 1 is the newest block. @default 1 */
  readonly confirmations?: number | undefined
  /** How often a lost link is sought before a purchase gives up. @default 8 */
  readonly reconnects?: number | undefined
  /** Milliseconds for connecting and greeting. @default 10000 */
  readonly connectTimeout?: number | undefined
  /** Milliseconds until the first chunk must come: the seller may wait for confirmations. @default 600000 */
  readonly openTimeout?: number | undefined
  /** Milliseconds until another chunk must come while one is due. @default 30000 */
  readonly stallTimeout?: number | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

/** What to buy. */
export interface BuyOptions extends Selection {
  /** The seller: its WebSocket URL, or its account if the buyer has a registry. */
  readonly seller: string
  /** The item's id on the seller's menu. */
  readonly item: string
  /** The most that may be paid. @default the menu's price */
  readonly maxPrice?: bigint | undefined
  /** How to pay. @default token */
  readonly payment?: PaymentKind | undefined
  /** How payment is shown. @default voucher where the seller takes it */
  readonly mode?: PaymentMode | undefined
  /** How much to put up at first, if less than the price; {@link Buyer.topUp} adds to it. @default the price */
  readonly deposit?: bigint | undefined
  /** Seconds from now until the order lapses. @default 86400 */
  readonly lifetime?: number | undefined
  /** Asks the seller to sign every chunk, so that a wrong one is proof for {@link Buyer.dispute}. Slower. @default false */
  readonly claims?: boolean | undefined
  /** `json` asks for the seed's form of `data`. @default binary */
  readonly form?: 'binary' | 'json' | undefined
  /** Ends the purchase; what came until then is paid. @default none */
  readonly signal?: AbortSignal | undefined
}

/** How to go on with an order. */
export interface ResumeOptions {
  /**
   * The data that is here already, from the start of the order: checked against what the order delivers. The iteration
   * goes on behind it, so that what comes can be appended.
   * @default none: the iteration goes on after the last acknowledged byte
   */
  readonly partial?: PartialData | undefined
  readonly signal?: AbortSignal | undefined
}

/** A buyer of data. */
export interface Buyer extends AsyncCloseable {
  /** The account that pays. */
  readonly address: string
  /** Fetches a seller's menu. */
  menu(seller: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<Menu>
  /** Opens a purchase; iterate over it. */
  buy(options: BuyOptions): Purchase
  /** Fetches the free sample of an item. */
  sample(options: {
    readonly seller: string
    readonly item: string
    readonly signal?: AbortSignal | undefined
  }): Promise<Uint8Array>
  /** Goes on with an order of this store, after a crash or a lost link. */
  resume(orderId: Hex, options?: ResumeOptions): Purchase
  /** The orders of this store, and where they stand. */
  orders(): AsyncIterable<StoredPurchase>
  /** Adds to an order's deposit. */
  topUp(orderId: Hex, amount: bigint, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
  /** The menu message that an order was made from, signed by its seller: evidence of the offer. */
  signedMenu(orderId: Hex): Promise<string | undefined>
  /**
   * Ends an order on chain and brings back what is left of its deposit; waits out the window in which the seller can
   * still show its last voucher.
   */
  reclaim(orderId: Hex, options?: { readonly signal?: AbortSignal | undefined }): Promise<Reclaimed>
  /** Takes back the whole rest of a deposit by showing the contract a wrong chunk that the seller signed. */
  dispute(orderId: Hex, options?: { readonly signal?: AbortSignal | undefined }): Promise<Reclaimed>
  /** Closes connections and the store. */
  close(): Promise<void>
}

const partialRule = /* @__PURE__ */ rule(
  "what is here already: bytes, a Blob, or a stream such as createReadStream('weather.csv')",
  (value) =>
    value instanceof Uint8Array ||
    value instanceof Blob ||
    typeof (value as AsyncIterable<unknown>)[Symbol.asyncIterator] === 'function',
)

/** Milliseconds to wait for the seller's goodbye. */
const EXIT_TIMEOUT = 5000
/** Milliseconds for purchases to end by themselves when the buyer closes. */
const CLOSE_PATIENCE = 6000

const optionRules = {
  signer: connectedSigner,
  store: /* @__PURE__ */ optional(/* @__PURE__ */ either(/* @__PURE__ */ text(1), storeRule)),
  registry: /* @__PURE__ */ optional(/* @__PURE__ */ having('a registry, such as contractRegistry(provider)', 'find')),
  payers: /* @__PURE__ */ optional(/* @__PURE__ */ listOf(/* @__PURE__ */ having('a payer, such as channelPayer(options)', 'open', 'pay'))),
  connect: /* @__PURE__ */ optional(callback),
  rate: /* @__PURE__ */ optional(callback),
  confirmations: /* @__PURE__ */ optional(/* @__PURE__ */ integer(1)),
  reconnects: /* @__PURE__ */ optional(countless),
  connectTimeout: /* @__PURE__ */ optional(milliseconds),
  openTimeout: /* @__PURE__ */ optional(milliseconds),
  stallTimeout: /* @__PURE__ */ optional(milliseconds),
  clock: /* @__PURE__ */ optional(clockRule),
  log: /* @__PURE__ */ optional(logger),
}

const orderIdRule = /* @__PURE__ */ hexText(32)
const signalRule = { signal: /* @__PURE__ */ optional(abortSignal) }
/** Money, at most what an order can hold. */
const moneyRule = /* @__PURE__ */ amount(104)

const wantedRules = {
  seller: /* @__PURE__ */ rule(
    'a ws:// or wss:// URL, or an account if the buyer has a registry',
    (value) => typeof value === 'string' && value !== '',
  ),
  item: /* @__PURE__ */ text(1, 256),
  ...signalRule,
}

const buyRules = {
  ...wantedRules,
  maxPrice: /* @__PURE__ */ optional(moneyRule),
  payment: /* @__PURE__ */ optional(/* @__PURE__ */ oneOf('token', 'alipay', 'channel')),
  mode: /* @__PURE__ */ optional(/* @__PURE__ */ oneOf('voucher', 'onchain')),
  deposit: /* @__PURE__ */ optional(moneyRule),
  lifetime: /* @__PURE__ */ optional(/* @__PURE__ */ integer(1, 2 ** 31 - 1, 'number of seconds', 86_400)),
  claims: /* @__PURE__ */ optional(flag),
  form: /* @__PURE__ */ optional(/* @__PURE__ */ oneOf('binary', 'json')),
  bytes: /* @__PURE__ */ optional(
    /* @__PURE__ */ rule('a range such as [0, 1024]', (value) => listOf(integer(0), 2, 2).holds(value)),
  ),
  chunks: /* @__PURE__ */ optional(
    /* @__PURE__ */ shape('chunks such as { first: 0, count: 1 }', { first: integer(0), count: integer(1) }),
  ),
}

/** Holds an order's id, an amount and options against what a method takes. */
function assertCall(id: unknown, options: unknown, rules: Readonly<Record<string, Rule>> = signalRule): void {
  assertArguments({ orderId: id }, { orderId: orderIdRule })
  assertArguments(options, rules, 'options')
}

/**
 * Creates a buyer.
 * @throws `NOT_DEPLOYED` when there is no order contract at the address, `STORE_LOCKED` when another process has the
 * store, `RPC_FAILED`, `BAD_ARGUMENT`.
 * @example
 * ```ts
 * import { createBuyer } from 'sluice-sdk/buyer'
 *
 * const buyer = await createBuyer({ signer })
 * for await (const chunk of buyer.buy({ seller: 'ws://127.0.0.1:9000', item: 'weather' })) file.write(chunk)
 * ```
 */
export async function createBuyer(options: BuyerOptions): Promise<Buyer> {
  assertArguments(options, optionRules, 'options')
  const { signer, clock = systemClock, log = silentLogger, connect = connectWebSocket } = options
  assertArgument(signer.provider, 'signer', 'connected to a provider')
  const address = await signer.getAddress()
  const domain = await findDataTrade({ provider: signer.provider, dataTrade: options.dataTrade, clock })
  const digests = dataTradeDigests(domain)
  const store = typeof options.store === 'string' ? await openStore(options.store) : options.store ?? memoryStore()
  const book = purchaseBook(store)
  const key = keyFromSecret(
    options.store === undefined ? randomBytes(32) : await (await import('../core/crypto/sessionSecret.ts')).storedSecret(store, signer, address),
  )
  const identity = keyIdentity(key, domain)
  const token = await createTokenPayer({ signer, domain, store, confirmations: options.confirmations, clock, log })
  const payers = [token, ...(options.payers ?? [])]
  const links = new Map<string, Promise<Link>>()

  const urlOf = async (
    seller: string,
    signal: AbortSignal | undefined,
  ): Promise<{ url: string; entry: RegistryEntry | undefined }> => {
    if (/^wss?:\/\//i.test(seller)) return { url: seller, entry: undefined }
    assertArgument(options.registry, 'seller', 'a ws:// or wss:// URL; to find an account, give createBuyer a registry')
    const entry = await options.registry.find(seller, { signal })
    return { url: entry.endpoint, entry }
  }

  /** One link per seller serves all orders; a lost one is replaced by who needs it next. */
  const linkTo = async (url: string, signal?: AbortSignal, seller?: string): Promise<Link> => {
    for (let current; (current = links.get(url)); ) {
      const known = await current.catch(() => undefined)
      if (known?.open) return known
      throwIfAborted(signal, `connecting to ${url}`)
      if (links.get(url) === current) links.delete(url) // otherwise somebody else has begun anew
    }
    const opening = openLink({ url, connect, identity, domain, clock, signal, seller, timeout: options.connectTimeout ?? 10_000 })
    links.set(url, opening)
    opening.catch(() => {
      if (links.get(url) === opening) links.delete(url)
    })
    return opening
  }

  /** Connects to a seller, and holds what a registry says of it against what it says itself. */
  const meet = async (seller: string, signal: AbortSignal | undefined): Promise<{ url: string; link: Link; hash: Hex }> => {
    const { url, entry } = await urlOf(seller, signal)
    const link = await linkTo(url, signal, entry?.account)
    const hash = menuHash(link.menu)
    if (entry && link.menu.seller.toLowerCase() !== entry.account.toLowerCase()) {
      throw new SluiceError('NO_SUCH_SELLER', `${url} is the seller ${link.menu.seller}, not ${entry.account} as registered`, {
        details: { account: entry.account },
      })
    }
    if (entry && entry.menuHash !== ZERO32 && entry.menuHash !== hash) {
      throw new SluiceError(
        'MENU_MISMATCH',
        `the menu of ${entry.account} is not the one it registered; it must publish its new menu first`,
        {
          details: { account: entry.account, registered: entry.menuHash, served: hash },
        },
      )
    }
    return { url, link, hash }
  }

  const makeOrder = async (buy: BuyOptions, payment: PaymentKind, signal: AbortSignal): Promise<Start> => {
    const { url, link, hash } = await meet(buy.seller, signal)
    const { menu } = link
    if (link.refusing && payment !== 'sample') throw link.refusing
    if (menu.validUntil !== undefined && clock.now() > menu.validUntil * 1000) {
      throw new SluiceError('OFFER_EXPIRED', `the menu of ${menu.seller} is no longer valid`, {
        details: { seller: menu.seller, validUntil: menu.validUntil },
      })
    }
    const item = findItem(menu, buy.item)
    const range = rangeOf(item, payment === 'sample' ? { chunks: sampleOf(item) } : buy)
    const { token: currency, price: full } = billOf(item, payment)
    if (full === undefined || (payment !== 'sample' && !menu.payments.includes(payment))) {
      throw new SluiceError(
        'PAYMENT_UNSUPPORTED',
        `"${item.id}" can't be paid with ${payment}; the seller takes ${menu.payments.join(', ')}`,
        {
          details: { payment },
        },
      )
    }
    const price = priceOf(item, full, range.bytes)
    if (buy.maxPrice !== undefined && price > buy.maxPrice) {
      throw new SluiceError('PRICE_MISMATCH', `"${item.id}" costs ${price}, ${price - buy.maxPrice} more than maxPrice`, {
        details: { price, maxPrice: buy.maxPrice },
      })
    }
    const mode = buy.mode ?? (menu.modes.includes('voucher') ? 'voucher' : 'onchain')
    const nonce = toHex(randomBytes(16))
    const scope = { nonce, data_ID: item.id, first_chunk: range.first, chunk_count: range.count, payment, mode }
    const order: Order = {
      buyer: address,
      seller: menu.seller,
      token: currency,
      ackSigner: key.address,
      price,
      totalData: range.bytes,
      chunks: chunkCount(item),
      dataRoot: item.root,
      deadline: Math.floor(clock.now() / 1000) + (buy.lifetime ?? 86_400),
      salt: saltFor(scope, item),
    }
    const record: PurchaseRecord = {
      id: toHex(digests.Order(order)),
      order,
      url,
      item,
      range,
      nonce,
      slice: sliceOf(range, item.granularity, buy),
      payment,
      mode,
      form: buy.form ?? 'binary',
      claims: buy.claims ?? false,
      window: menu.window,
      deposit: buy.deposit ?? price,
      verification: '',
      menuHash: hash,
    }
    if (payment !== 'sample') await book.saveMenu(hash, link.menuText)
    return { record: await fund(record, signal), received: 0 }
  }

  /** Puts up an order's money. The record is written first, so that a crash leaves no deposit that nobody knows of. */
  const fund = async (record: PurchaseRecord, signal: AbortSignal): Promise<PurchaseRecord> => {
    if (record.payment === 'sample') return record
    const payer = payerOf(record)
    await book.put({ record, state: 'opening', evidence: undefined })
    const payable = { id: record.id, order: record.order, mode: record.mode }
    const { verification } = await payer.open(payable, { deposit: record.deposit, signal }).catch(async (error: unknown) => {
      // Declined in the wallet, or refused by the chain: nothing was paid in, and there is nothing to go on with.
      const declined = record.payment === 'token' && isSluiceError(error) && error.code !== 'TRANSACTION_UNKNOWN'
      if (declined || isSluiceError(error, 'PAYMENT_UNSUPPORTED')) await book.remove(record.id)
      throw error
    })
    const funded = { ...record, verification }
    await book.put({ record: funded, state: 'open', evidence: undefined })
    return funded
  }

  const payerOf = (record: { readonly payment: PaymentKind }): Payer => {
    if (record.payment === 'sample') return samplePayer
    const payer = payers.find(({ kind }) => kind === record.payment)
    if (payer) return payer
    throw new SluiceError('PAYMENT_UNSUPPORTED', `this buyer has no payer for ${record.payment}`, {
      details: { payment: record.payment },
    })
  }

  const takeUp = async (id: Hex, partial: PartialData | undefined, signal: AbortSignal): Promise<Start> => {
    const stored = await book.get(id)
    const { state } = stored
    if (state === 'done' || state === 'settled')
      throw new SluiceError('ORDER_FINISHED', `order ${id} is ${state}`, { details: { order: id } })
    const record = state === 'opening' ? await fund(stored.record, signal) : stored.record
    const standing = await book.standing(id)
    if (partial === undefined) return { record, standing, received: standing?.acked ?? 0, frontier: standing?.frontier }
    const { checkPartial } = await import('./partial.ts')
    return { record, standing, ...(await checkPartial(record, standing, partial)) }
  }

  const closing = new AbortController()
  /** Purchases over which data flows. */
  const running = new Set<Purchase>()
  const assertOpen = (): void => closing.signal.throwIfAborted()

  const purchase = (
    payment: PaymentKind,
    signal: AbortSignal | undefined,
    prepare: (signal: AbortSignal) => Promise<Start>,
  ): Purchase => {
    const context: CourseContext = {
      identity,
      digests,
      payerOf,
      clock,
      log,
      reconnects: options.reconnects ?? 8,
      exitTimeout: EXIT_TIMEOUT,
      openTimeout: options.openTimeout ?? 600_000,
      stallTimeout: options.stallTimeout ?? 30_000,
      prepare,
      link: (url, until) => linkTo(url, until),
      save: (id, standing) => (payment === 'sample' ? Promise.resolve() : book.saveStanding(id, standing)),
      close: async (id, state, evidence) => {
        if (payment !== 'sample') await book.put({ ...(await book.get(id)), state, evidence })
      },
      rate: payment === 'sample' ? () => undefined : options.rate ?? (() => undefined),
    }
    const made = createPurchase(
      {
        ...context,
        prepare: (until) => {
          assertOpen()
          return prepare(until)
        },
        link: (url, until) => {
          running.add(made)
          made.receipt.finally(() => running.delete(made)).catch(() => {})
          return context.link(url, until)
        },
      },
      signal ? AbortSignal.any([signal, closing.signal]) : closing.signal,
    )
    return made
  }

  /** An order with a deposit in the contract. */
  const deposited = async (id: Hex): Promise<StoredPurchase> => {
    const stored = await book.get(id)
    const { payment } = stored.record
    if (payment === 'token') return stored
    throw new SluiceError('PAYMENT_UNSUPPORTED', `order ${id} is paid with ${payment}: it has no deposit`, { details: { order: id, payment } })
  }

  const settled = async (stored: StoredPurchase, run: () => Promise<Reclaimed>): Promise<Reclaimed> => {
    const result = await run()
    await book.put({ ...stored, state: 'settled' })
    return result
  }

  return {
    ...closes,
    address,
    menu: async (seller, menuOptions = {}) => {
      assertOpen()
      assertArguments({ seller }, { seller: wantedRules.seller })
      assertArguments(menuOptions, signalRule, 'options')
      return (await meet(seller, menuOptions.signal)).link.menu
    },
    buy: (buy) => {
      assertOpen()
      assertArguments(buy, buyRules, 'options')
      const payment = buy.payment ?? 'token'
      return purchase(payment, buy.signal, (signal) => makeOrder(buy, payment, signal))
    },
    sample: async (wanted) => {
      assertOpen()
      assertArguments(wanted, wantedRules, 'options')
      const { seller, item, signal } = wanted
      return purchase('sample', signal, (until) => makeOrder({ seller, item }, 'sample', until)).bytes()
    },
    resume: (id, resumeOptions = {}) => {
      assertOpen()
      assertCall(id, resumeOptions, { ...signalRule, partial: optional(partialRule) })
      const { partial, signal } = resumeOptions
      return purchase('token', signal, (until) => takeUp(id, partial, until))
    },
    orders: () => {
      assertOpen()
      return book.list()
    },
    topUp: async (id, more, topUpOptions = {}) => {
      assertOpen()
      assertCall(id, topUpOptions)
      assertArguments({ amount: more }, { amount: moneyRule })
      await token.topUp((await deposited(id)).record, more, { signal: topUpOptions.signal })
    },
    signedMenu: async (id) => {
      assertOpen()
      assertCall(id, {})
      return book.menu((await book.get(id)).record.menuHash)
    },
    reclaim: async (id, reclaimOptions = {}) => {
      assertOpen()
      assertCall(id, reclaimOptions)
      const { signal } = reclaimOptions
      const stored = await deposited(id)
      const standing = await book.standing(id)
      // Signed anew: the chain may have got another id since, under which the old signature counts for nothing.
      const sign = async (transferred: number): Promise<{ transferred: number; signature: Uint8Array }> => ({
        transferred,
        signature: await identity.signTyped('Ack', { orderId: id, transferred }),
      })
      const ack = standing && standing.acked > 0 ? await sign(standing.acked) : undefined
      return settled(stored, () => token.reclaim(stored.record, { ack, signal }))
    },
    dispute: async (id, disputeOptions = {}) => {
      assertOpen()
      assertCall(id, disputeOptions)
      const { signal } = disputeOptions
      const stored = await deposited(id)
      const { evidence } = stored
      if (!evidence) {
        throw new SluiceError(
          'BAD_ARGUMENT',
          `order ${id} holds no chunk that the seller signed and that contradicts the root; buy with claims: true`,
          {
            details: { order: id },
          },
        )
      }
      return settled(stored, () => token.dispute(stored.record, evidence, { signal }))
    },
    close: async () => {
      if (!closing.signal.aborted) closing.abort(new SluiceError('STOPPED', 'the buyer is closed: create another on the same store'))
      // They pay for what has come, and say goodbye.
      const patience = new AbortController()
      const ends = Promise.allSettled([...running].map(({ receipt }) => receipt))
      await Promise.race([ends, clock.sleep(CLOSE_PATIENCE, patience.signal).catch(() => {})])
      patience.abort()
      for (const link of links.values()) (await link.catch(() => undefined))?.close()
      await token.close()
      if (options.store === undefined || typeof options.store === 'string') await store.close()
    },
  }
}

/** What of a range the caller asked for: chunks are whole, bytes need not be. */
function sliceOf(range: Range, granularity: number, { bytes }: Selection): readonly [number, number] {
  if (!bytes) return [0, range.bytes]
  const offset = range.first * granularity
  return [bytes[0] - offset, bytes[1] - offset]
}

function sampleOf(item: Item): ChunkRange {
  if (item.sample) return item.sample
  throw new SluiceError('RANGE_INVALID', `"${item.id}" has no free sample`, { details: { item: item.id } })
}

const samplePayer: Payer = {
  kind: 'sample',
  open: () => Promise.resolve({ verification: '' }),
  pay: () => Promise.resolve({ verification: '' }),
}
