/**
 * Selling data, chunk against payment.
 * @module
 */
import type { Signer } from 'ethers'
import { deployment } from '../contracts/deployments.ts'
import { dataTradeDigests, dataTradeDomain } from '../contracts/typedData.ts'
import { toHex } from '../core/bytes.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { assertArgument, SluiceError } from '../core/errors.ts'
import { createEmitter, type Events } from '../core/events.ts'
import { silentLogger, type Logger } from '../core/log.ts'
import type { Store } from '../core/store/store.ts'
import type { PaymentMethod } from '../payments/payment.ts'
import { samplePayments } from '../payments/prepaid.ts'
import { tokenPayments } from '../payments/token/seller.ts'
import { MAX_GRANULARITY } from '../protocol/frame.ts'
import { signerIdentity } from '../protocol/identity.ts'
import { menuHash, menuToWire, type Menu } from '../protocol/menu.ts'
import { encodeMessage, MAX_TEXT_TO_SELLER, signedBytes } from '../protocol/message.ts'
import type { PublishingRegistry } from '../protocol/registry/registry.ts'
import type { Transport } from '../protocol/transport.ts'
import { listenWebSocket, type Listener, type ListenOptions } from '../protocol/websocket/listen.ts'
import type { PaymentMode } from '../protocol/wire.ts'
import { openStore } from '#platform'
import { serveConnection, type Connection } from './connection.ts'
import { createDesk, type Opinion, type SellerEvents, type SellerLimits } from './desk.ts'
import { offersById, prepareItem, type ItemSpec } from './item.ts'
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
export interface Seller {
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
  /** Ends connections, settles what is due, closes the store. */
  close(): Promise<void>
}

/** Milliseconds for connections to end by themselves when the seller closes. */
const CLOSE_PATIENCE = 5000

/** Defaults of {@link SellerLimits}. */
export const defaultLimits: SellerLimits = {
  connections: 1000,
  ordersPerConnection: 128,
  orders: 10_000,
  queuedMessages: 1024,
  helloTimeout: 10_000,
}

/** Bytes that may be unpaid by default: enough for the stream never to wait for a payment on a fast link. */
const WINDOW_BYTES = 16 * 1024 * 1024

function defaultWindow(granularity: number): number {
  return Math.min(256, Math.max(4, Math.floor(WINDOW_BYTES / granularity)))
}

/**
 * Creates a seller: reads every item once for its Merkle root and takes up the orders of an earlier run.
 * @throws `BAD_ARGUMENT` naming the option, `SOURCE_FAILED`, `STORE_LOCKED`, `RPC_FAILED`.
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
  const { signer, clock = systemClock, log = silentLogger, granularity = 256 * 1024 } = options
  const { window = defaultWindow(granularity) } = options
  assertArgument(signer.provider, 'signer', 'connected to a provider')
  assertArgument(Number.isInteger(window) && window >= 1 && window <= 65_536, 'window', 'a number of chunks from 1 to 65536')
  assertArgument(
    Number.isInteger(granularity) && granularity >= 1 && granularity <= MAX_GRANULARITY,
    'granularity',
    `a number of bytes from 1 to ${MAX_GRANULARITY}`,
  )
  const { chainId } = await signer.provider.getNetwork()
  const dataTrade = options.dataTrade ?? deployment(chainId).dataTrade
  const domain = dataTradeDomain(chainId, dataTrade)
  const digests = dataTradeDigests(domain)
  const identity = await signerIdentity(signer, domain)
  const offers = offersById(await Promise.all(options.items.map((item) => prepareItem(item, granularity))))
  const events = createEmitter<SellerEvents>(log)
  const limits = { ...defaultLimits, ...options.limits }

  const store = typeof options.store === 'string' ? await openStore(options.store) : options.store
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
  })

  await desk.tidy()

  const connections = new Set<Connection>()
  const listeners = new Set<Listener>()
  let closed = false

  const serve = (transport: Transport): Connection => {
    if (closed || connections.size >= limits.connections) {
      transport.close(1013, 'OVERLOADED')
      throw new SluiceError('OVERLOADED', closed ? 'the seller is closed' : `more than ${limits.connections} connections at once`)
    }
    const connection = serveConnection(transport, desk)
    connections.add(connection)
    void connection.done.then(() => connections.delete(connection))
    return connection
  }

  return {
    address: identity.address,
    menu,
    events,
    serve,
    listen: async (listenOptions = {}) => {
      const listener = await listenWebSocket({ serve, log, maxPacket: MAX_TEXT_TO_SELLER, farewell: 'the seller is closing' }, listenOptions)
      listeners.add(listener)
      return listener
    },
    publish: (registry, endpoint) =>
      registry.publish({ endpoint, publicKey: toHex(identity.publicKey), menuHash: menuHash(menu) }),
    settle: (settleOptions = {}) => token.settle(settleOptions),
    close: async () => {
      if (closed) return
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
      if (typeof options.store === 'string') await store.close()
    },
  }
}
