/**
 * A buyer that does what it is told, message by message, over a real socket: what no honest program would send.
 * @module
 */
import type { HDNodeWallet } from 'ethers'
import { WebSocket } from 'ws'
import { dataTradeContract } from '../../../src/contracts/dataTrade.ts'
import type { Order } from '../../../src/contracts/order.ts'
import { dataTradeDomain, orderId } from '../../../src/contracts/typedData.ts'
import { CNY } from '../../../src/payments/alipay.ts'
import { randomBytes, toHex, type Hex } from '../../../src/core/bytes.ts'
import { generateKey, type Key } from '../../../src/core/crypto/key.ts'
import { decodeFrame, type DataFrame } from '../../../src/protocol/frame.ts'
import { keyIdentity } from '../../../src/protocol/identity.ts'
import { chunkCount, findItem, menuFromWire, priceOf, rangeOf, type Menu, type Selection } from '../../../src/protocol/menu.ts'
import { decodeMessage, encodeMessage, MAX_TEXT_TO_BUYER, signedBytes } from '../../../src/protocol/message.ts'
import { orderToWire, saltFor } from '../../../src/protocol/order.ts'
import { PROTOCOL_VERSION, type MessageType, type Payload, type PaymentKind, type PaymentMode } from '../../../src/protocol/wire.ts'
import type { Devnet } from '../../../src/testing/devnet.ts'
import { until } from './until.ts'

/** An order that a raw buyer has made. */
export interface RawOrder {
  readonly id: Hex
  readonly order: Order
  /** What the order message says; a test may change it. */
  readonly wire: Omit<Payload<'order'>, 'session' | 'stream'>
  readonly verification: string
}

/** What a raw buyer sees of one stream. */
export interface RawStream {
  /** Bytes of all chunks that came, repetitions included. */
  bytes: number
  /** Where the farthest chunk ended, in bytes from the start of the item. */
  end: number
  readonly frames: DataFrame[]
}

/** See {@link connectRawBuyer}. */
export interface RawBuyer {
  readonly key: Key
  readonly session: Hex
  readonly menu: Menu
  readonly socket: WebSocket
  readonly exits: readonly Payload<'exit'>[]
  /** Set once the link is gone. */
  readonly closed: { readonly code: number; readonly reason: string } | undefined
  stream(number: number): RawStream
  /** Makes an order on chain; `terms` change it. */
  create(item: string, options?: CreateOptions): Promise<RawOrder>
  order(order: RawOrder, stream?: number, changes?: Partial<Payload<'order'>>): Promise<void>
  ack(
    id: Hex,
    transferred: number,
    options?: { readonly key?: Key | undefined; readonly verification?: string | undefined },
  ): Promise<void>
  resume(id: Hex, received: number, stream?: number, changes?: Partial<Payload<'resume'>>): Promise<void>
  exit(id: Hex, changes?: Partial<Payload<'exit'>>): Promise<void>
  /** Waits for the seller's exit of an order, and gives its reason's code. */
  refused(id?: Hex): Promise<string | undefined>
  /** Waits until a stream has got so many bytes. */
  received(bytes: number, stream?: number): Promise<void>
  /** Ends the link without a word. */
  vanish(): Promise<void>
}

/** Options of {@link RawBuyer.create}. */
export interface CreateOptions {
  readonly selection?: Selection | undefined
  readonly mode?: PaymentMode | undefined
  /** @default alipay for terms in fen, else token */
  readonly payment?: PaymentKind | undefined
  readonly terms?: Partial<Order> | undefined
  readonly deposit?: bigint | undefined
  /** Whether to put it on chain. @default true */
  readonly onChain?: boolean | undefined
}

/** Connects to a seller, says hello and waits for the menu. */
export async function connectRawBuyer(
  devnet: Devnet,
  account: HDNodeWallet,
  url: string,
  options: { readonly key?: Key | undefined; readonly dataTrade?: string | undefined } = {},
): Promise<RawBuyer> {
  const contract = options.dataTrade ?? devnet.deployment.dataTrade
  const domain = dataTradeDomain(devnet.chainId, contract)
  const key = options.key ?? generateKey()
  const identity = keyIdentity(key, domain)
  const socket = new WebSocket(url, { perMessageDeflate: false })
  const exits: Payload<'exit'>[] = []
  const streams = new Map<number, RawStream>()
  let session: Hex | undefined
  let menu: Menu | undefined
  let closed: { code: number; reason: string } | undefined

  const streamOf = (number: number): RawStream => {
    let stream = streams.get(number)
    if (!stream) streams.set(number, (stream = { bytes: 0, end: 0, frames: [] }))
    return stream
  }
  socket.on('message', (data: Buffer, isBinary) => {
    if (isBinary) {
      const frame = decodeFrame(data)
      const stream = streamOf(frame.stream)
      const { granularity } = menu!.items[0]!
      stream.bytes += frame.body.length
      stream.end = Math.max(stream.end, frame.index * granularity + frame.body.length)
      stream.frames.push(frame)
      return
    }
    const message = decodeMessage(data.toString(), MAX_TEXT_TO_BUYER)
    if (message.type === 'hello') session = message.payload.nonce as Hex
    else if (message.type === 'menu') menu = menuFromWire(message.payload)
    else if (message.type === 'exit') exits.push(message.payload)
  })
  socket.on('close', (code, reason) => (closed = { code, reason: reason.toString() }))
  socket.on('error', () => {})
  await until('the connection', () => socket.readyState === WebSocket.OPEN || closed)

  const send = async <T extends MessageType>(type: T, payload: Payload<T>, verification = ''): Promise<void> => {
    const signature = await identity.signBytes(signedBytes(type, payload, verification))
    socket.send(encodeMessage({ type, payload, signature, verification }))
  }
  await send('hello', {
    version: PROTOCOL_VERSION,
    chain_id: devnet.chainId.toString(),
    contract: contract.toLowerCase(),
    public_key_of_the_buyer: toHex(key.publicKey),
    nonce: toHex(randomBytes(32)),
  })
  await until('the menu', () => menu ?? closed)
  if (!menu) throw new Error(`the seller closed the connection: ${closed!.code} ${closed!.reason}`)
  const offered = menu

  return {
    key,
    session: session!,
    menu: offered,
    socket,
    exits,
    get closed() {
      return closed
    },
    stream: streamOf,
    create: async (itemId, { selection, mode = 'voucher', payment, terms, deposit, onChain = true } = {}) => {
      const item = findItem(offered, itemId)
      const range = rangeOf(item, selection)
      const scope = {
        nonce: toHex(randomBytes(16)),
        data_ID: itemId,
        first_chunk: range.first,
        chunk_count: range.count,
        payment: payment ?? (terms?.token === CNY ? 'alipay' : 'token'),
        mode,
      } as const
      const order: Order = {
        buyer: account.address,
        seller: offered.seller,
        token: item.token,
        ackSigner: key.address,
        price: priceOf(item, item.price, range.bytes),
        totalData: range.bytes,
        chunks: chunkCount(item),
        dataRoot: item.root,
        deadline: (await devnet.time()) + 86_400,
        salt: saltFor(scope, item),
        ...terms,
      }
      const value = deposit ?? order.price
      let verification = ''
      if (onChain) {
        const sent = await dataTradeContract(contract, account).create(order, value, { value })
        verification = (await sent.wait())!.hash
      }
      return {
        id: orderId(domain, order),
        order,
        verification,
        wire: {
          order_hash: orderId(domain, order),
          ...scope,
          terms: orderToWire(order),
          form: 'binary',
          claims: false,
        },
      }
    },
    order: ({ wire, verification }, stream = 0, changes = {}) =>
      send('order', { ...wire, stream, session: session!, ...changes }, verification),
    ack: async (id, transferred, { key: signer = key, verification = '' } = {}) => {
      const signature = await keyIdentity(signer, domain).signTyped('Ack', { orderId: id, transferred })
      socket.send(encodeMessage({ type: 'ACK', payload: { order_ID: id, transferred }, signature, verification }))
    },
    resume: (id, received, stream = 0, changes = {}) =>
      send('resume', { order_ID: id, received, stream, session: session!, ...changes }),
    exit: (id, changes = {}) => send('exit', { order_ID: id, session: session!, rating: null, reason: null, ...changes }),
    refused: async (id) => {
      const find = (): Payload<'exit'> | undefined => exits.find(({ order_ID }) => id === undefined || order_ID === id)
      await until("the seller's exit", find)
      return find()!.reason?.code
    },
    received: (bytes, stream = 0) => until(`the arrival of ${bytes} bytes`, () => streamOf(stream).bytes >= bytes),
    vanish: async () => {
      socket.terminate()
      await until('the end of the link', () => closed)
    },
  }
}
