/**
 * Selling data, chunk against payment.
 * @module
 */
import type { Signer } from 'ethers'
import { assertContract, type ContractPlace } from '../contracts/assertContract.ts'
import { findDataTrade } from '../contracts/findDataTrade.ts'
import { dataTradeDigests } from '../contracts/typedData.ts'
import { toHex, utf8 } from '../core/bytes.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { type AsyncCloseable, closes } from '../core/dispose.ts'
import { assertArgument, SluiceError } from '../core/errors.ts'
import { abortSignal, assertArguments, having, optional, text } from '../core/argument.ts'
import { createRpc } from '../core/chain/rpc.ts'
import { createEmitter, type Events } from '../core/events.ts'
import { silentLogger, type Logger } from '../core/log.ts'
import type { Store } from '../core/store/store.ts'
import { watchStore } from '../core/store/watchStore.ts'
import type { PaymentMethod } from '../payments/payment.ts'
import { samplePayments } from '../payments/prepaid.ts'
import { tokenPayments, type UnsettledOrder } from '../payments/token/seller.ts'
import { SETTLEMENT_GAS, type MinSettlement } from '../payments/token/worth.ts'
import { signerIdentity } from '../protocol/identity.ts'
import { ETH, menuHash, menuToWire, type Menu } from '../protocol/menu.ts'
import { encodeMessage, MAX_TEXT_TO_BUYER, MAX_TEXT_TO_SELLER, signedBytes } from '../protocol/message.ts'
import type { PublishingRegistry } from '../protocol/registry/registry.ts'
import type { Transport } from '../protocol/transport.ts'
import { listenWebSocket, type Listener, type ListenOptions } from '../protocol/websocket/listen.ts'
import { MAX_ITEMS, type PaymentMode } from '../protocol/wire.ts'
import { openStore } from '#platform'
import { serveConnection, type Connection } from './connection.ts'
import { createDesk, defaultLimits, type Opinion, type SellerEvents, type SellerLimits } from './desk.ts'
import { offersById, prepareItem, type ItemSpec, type Offered } from './item.ts'
import { assertSellerOptions } from './options.ts'
import type { Sale } from './sale.ts'

/** Options of {@link createSeller}. */
export interface SellerOptions {
  /** The account that is paid: an ethers signer with a provider. */
  readonly signer: Signer
  /** What is for sale. */
  readonly items: readonly ItemSpec[]
  /** Where vouchers survive a crash, since they are money: a store, or the path of a directory for one. */
  readonly store: Store | string
  /** Address of the order contract. @default the known deployment on the signer's chain */
  readonly dataTrade?: string | undefined
  /** Bytes per chunk of items that don't say otherwise. @default 262144 */
  readonly granularity?: number | undefined
  /**
   * Chunks that may be sent and not yet paid, once the window has grown: what a buyer can run away with.
   * @default 16 MiB of them, at least 4 and at most 256
   */
  readonly window?: number | undefined
  /** How buyers may show that they pay. @default both */
  readonly modes?: readonly PaymentMode[] | undefined
  /** Ways to be paid beside tokens. @default none */
  readonly payments?: readonly PaymentMethod[] | undefined
  /** How deep an order must lie before data flows; 1 is the newest block. @default 1 */
  readonly confirmations?: number | undefined
  /** Milliseconds that a payment may be late. @default 30000 */
  readonly ackTimeout?: number | undefined
  /** Milliseconds for an order's deposit to be seen and confirmed. @default 300000 */
  readonly confirmTimeout?: number | undefined
  /** Milliseconds that finished orders wait for others, to be settled in one transaction. @default 2000 */
  readonly settleDelay?: number | undefined
  /**
   * The least sums that are worth settling, in the smallest unit by token address (the zero address for ETH), or a function
   * of it. Orders that earned less wait, and are told by the event `unsettled`; parts of an item that cost less are refused
   * with `ORDER_TOO_SMALL`. `{ [ETH]: 0n }` takes and settles all. @default for ETH, 50,000 gas at the current fee (0 on a
   * development chain below 20 gwei); for tokens 0, since their price is not known here
   */
  readonly minSettlement?: MinSettlement | undefined
  /** Seconds that an order must have left to be taken. @default 600 */
  readonly minLifetime?: number | undefined
  /** Unix seconds until which the menu holds. @default no end */
  readonly validUntil?: number | undefined
  /** What to say of a buyer when an order is over. @default nothing */
  readonly rate?: ((sale: Sale) => Opinion | undefined) | undefined
  /** @default {@link SellerLimits} */
  readonly limits?: Partial<SellerLimits> | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

/** A seller of data. */
export interface Seller extends AsyncCloseable {
  /** The account that is paid. */
  readonly address: string
  /** What is for sale. */
  readonly menu: Menu
  readonly events: Events<SellerEvents>
  /** Listens for buyers on a WebSocket. */
  listen(options?: ListenOptions): Promise<Listener>
  /** Serves one buyer on a transport. */
  serve(transport: Transport): Connection
  /** Enters this seller into a registry under an endpoint. */
  publish(registry: PublishingRegistry, endpoint: string): Promise<void>
  /** Settles on chain what is over and waits for it. */
  settle(options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
  /**
   * Ends connections, settles what is due, closes the store, and reports what is earned and not settled: orders that still
   * run, whose settlement failed, or which aren't worth its gas. A next seller on the same store takes them up.
   */
  close(): Promise<CloseReport>
}

/** What {@link Seller.close} leaves behind. */
export interface CloseReport {
  /** Orders with money that has not come. */
  readonly owed: readonly UnsettledOrder[]
}

const transportRule = /* @__PURE__ */ having('a Transport, such as one of memoryTransportPair()', 'send', 'receive', 'drained', 'close')
const publishRules = {
  registry: /* @__PURE__ */ having('a registry to enter, such as publishingRegistry(signer, options)', 'publish'),
  endpoint: /* @__PURE__ */ text(1),
}

/** Milliseconds for connections to end by themselves when the seller closes. */
const CLOSE_PATIENCE = 5000

/** Bytes that may be unpaid by default: enough for the stream never to wait for a payment on a fast link. */
const WINDOW_BYTES = 16 * 1024 * 1024

function defaultWindow(granularity: number): number {
  return Math.min(256, Math.max(4, Math.floor(WINDOW_BYTES / granularity)))
}

/**
 * Creates a seller: reads every item once for its Merkle root and takes up the orders of an earlier run.
 * @throws `BAD_ARGUMENT` naming the option; `NOT_DEPLOYED` when there is no order contract or token at an address;
 * `SOURCE_FAILED`, `STORE_LOCKED`, `RPC_FAILED`.
 * @example
 * ```ts
 * import { createSeller } from 'sluice-sdk/seller'
 *
 * const items = [{ id: 'weather', data: 'weather.csv', price: 10n ** 15n }]
 * const seller = await createSeller({ signer, store: './shop', items })
 * await seller.listen({ port: 9000 })
 * ```
 */
export async function createSeller(options: SellerOptions): Promise<Seller> {
  assertSellerOptions(options)
  const { signer, clock = systemClock, log = silentLogger, granularity = 256 * 1024 } = options
  const { window = defaultWindow(granularity) } = options
  const provider = signer.provider!
  const domain = await findDataTrade({ provider, dataTrade: options.dataTrade, clock })
  const { chainId, verifyingContract: dataTrade } = domain
  const digests = dataTradeDigests(domain)
  const identity = await signerIdentity(signer, domain)
  const offers = offersById(await Promise.all(options.items.map((item) => prepareItem(item, granularity))))
  await assertTokens(offers, { provider, chainId, clock })
  const events = createEmitter<SellerEvents>(log)
  const limits = { ...defaultLimits, ...options.limits }

  const { store: where } = options
  const store = watchStore({
    store: typeof where === 'string' ? await openStore(where) : where,
    reopen: typeof where === 'string' ? () => openStore(where) : undefined,
    clock,
    log,
  })
  const connections = new Set<Connection>()
  const seen: { chain?: SluiceError | undefined; store?: SluiceError | undefined } = {}
  /** Strangers learn that it is so, not why. */
  const blind = (): SluiceError | undefined =>
    (seen.chain ?? seen.store)
      ? new SluiceError('SELLER_BLIND', 'it takes no new orders at present; nothing was lost, try again later')
      : undefined
  const tell = (source: 'chain' | 'store', why: SluiceError | undefined): void => {
    if ((seen[source] === undefined) === (why === undefined)) return
    seen[source] = why
    if (why) events.emit('blind', { source, code: why.code, reason: why.shortMessage })
    else events.emit('restored', { source })
    const now = blind()
    for (const connection of connections) connection.announce(now)
  }
  store.onChange = (failure) => {
    if (failure) log.error('the store has failed: no new orders are taken', { code: failure.code, reason: failure.shortMessage })
    tell('store', failure)
  }
  const token = await tokenPayments({
    signer,
    domain,
    store,
    clock,
    log,
    confirmations: options.confirmations,
    confirmTimeout: options.confirmTimeout,
    settleDelay: options.settleDelay,
    minLifetime: options.minLifetime,
    minSettlement: options.minSettlement,
    onSettled: (settled) => events.emit('settled', settled),
    onUnsettled: (unsettled) => events.emit('unsettled', unsettled),
    onSight: (why) => tell('chain', why),
  })
  for (const { kind, account = identity.address } of options.payments ?? []) {
    assertArgument(
      account.toLowerCase() === identity.address.toLowerCase(),
      'payments',
      `paid to the seller's account ${identity.address}; "${kind}" is paid to ${account}`,
    )
  }
  const methods: PaymentMethod[] = [token, samplePayments(digests), ...(options.payments ?? [])]

  const menu: Menu = {
    items: [...offers.values()].map(({ item }) => item),
    granularity,
    payments: methods.map(({ kind }) => kind).filter((kind) => kind !== 'sample'),
    modes: options.modes ?? ['voucher', 'onchain'],
    window,
    seller: identity.address,
    chainId,
    contract: dataTrade,
    validUntil: options.validUntil,
  }
  const payload = menuToWire(menu)
  const menuText = encodeMessage({
    type: 'menu',
    payload,
    signature: await identity.signBytes(signedBytes('menu', payload, '')),
    verification: '',
  })
  assertArgument(
    offers.size <= MAX_ITEMS && utf8(menuText).length <= MAX_TEXT_TO_BUYER,
    'items',
    `up to ${MAX_ITEMS} items that fit one message: the menu has ${offers.size} in ${utf8(menuText).length} bytes of ${MAX_TEXT_TO_BUYER}; ` +
      'shorten id and info, or sell by several sellers',
  )

  const desk = createDesk({
    identity,
    domain,
    clock,
    log,
    store,
    limits,
    window,
    ackTimeout: options.ackTimeout ?? 30_000,
    validUntil: options.validUntil,
    modes: menu.modes,
    offers,
    methods,
    events,
    menuText: () => menuText,
    opinion: options.rate,
    blind,
    assertWorth: async (order, whole) => {
      // The whole item's price is the seller's choice, a part's size the buyer's.
      if (order.price >= whole || order.price === 0n) return
      const least = await token.least(order.token)
      if (order.price >= least) return
      throw new SluiceError('ORDER_TOO_SMALL', `an order for ${order.price} is worth less than its settlement: order for ${least} or more`, {
        details: { price: order.price, least, token: order.token },
      })
    },
  })

  await desk.tidy()
  void warnOfGas()

  const listeners = new Set<Listener>()
  let closed = false

  /** Ends the connection that is worth least: without an order for longest, or else with orders that no money came for. */
  const makeRoom = (): void => {
    const since = (worth: Connection['worth'], patience: number): Connection | undefined =>
      [...connections]
        .filter((connection) => connection.worth === worth && clock.now() - connection.since >= patience)
        .reduce<Connection | undefined>((oldest, next) => (oldest && oldest.since <= next.since ? oldest : next), undefined)
    const least = since('idle', limits.helloTimeout) ?? since('asking', limits.idleTimeout)
    if (!least) return
    connections.delete(least)
    least.close('the seller needs the place')
  }

  const serve = (transport: Transport): Connection => {
    assertArguments({ transport }, { transport: transportRule })
    if (!closed && connections.size >= limits.connections) makeRoom()
    if (closed || connections.size >= limits.connections) {
      transport.close(1013, 'OVERLOADED')
      throw new SluiceError('OVERLOADED', closed ? 'the seller is closed' : `more than ${limits.connections} connections at once`)
    }
    const connection = serveConnection(transport, desk)
    connections.add(connection)
    void connection.done.then(() => connections.delete(connection))
    return connection
  }

  /** Without gas nothing that is earned comes in. */
  async function warnOfGas(): Promise<void> {
    try {
      const balance = await createRpc({ provider, clock }).ask('balance', () => provider.getBalance(identity.address), { attempts: 3 })
      const needed = (await token.gasPrice()) * SETTLEMENT_GAS
      if (balance >= needed) return
      log.warn('the account cannot pay for a settlement: send it ETH', { address: identity.address, balance, needed })
      events.emit('gasShort', { address: identity.address, balance, needed })
    } catch (error) {
      log.warn('the balance for gas could not be read', { reason: error instanceof Error ? error.message : String(error) })
    }
  }

  return {
    ...closes,
    address: identity.address,
    menu,
    events,
    serve,
    listen: async (listenOptions = {}) => {
      const listener = await listenWebSocket({ serve, log, maxPacket: MAX_TEXT_TO_SELLER, farewell: 'the seller is closing' }, listenOptions)
      listeners.add(listener)
      return listener
    },
    publish: async (registry, endpoint) => {
      assertArguments({ registry, endpoint }, publishRules)
      await registry.publish({ endpoint, publicKey: toHex(identity.publicKey), menuHash: menuHash(menu) })
    },
    settle: async (settleOptions = {}) => {
      assertArguments(settleOptions, { signal: optional(abortSignal) }, 'options')
      await token.settle(settleOptions)
    },
    close: async () => {
      if (closed) return { owed: token.owed() }
      closed = true
      for (const listener of listeners) await listener.close()
      for (const connection of connections) connection.close('the seller is closing')
      const served = Promise.all([...connections].map(({ done }) => done))
      // What still waits for the chain then ends with the methods.
      const patience = new AbortController()
      await Promise.race([served, clock.sleep(CLOSE_PATIENCE, patience.signal).catch(() => {})])
      patience.abort()
      for (const method of methods) await method.close()
      await served
      await (typeof where === 'string' ? store.close() : store.rest())
      const owed = token.owed()
      for (const { orderId, amount, token: currency, reason } of owed)
        log.warn('an order is left unsettled', { order: orderId, amount, token: currency, reason })
      return { owed }
    },
  }
}

/** Buyers are asked for tokens that exist. */
async function assertTokens(
  offers: ReadonlyMap<string, Offered>,
  where: Pick<ContractPlace, 'provider' | 'chainId' | 'clock'>,
): Promise<void> {
  const named = new Map<string, string>()
  for (const { item } of offers.values()) if (item.token !== ETH) named.set(item.token.toLowerCase(), `items["${item.id}"].token`)
  await Promise.all([...named].map(([address, option]) => assertContract('ERC-20', { ...where, address, option })))
}
