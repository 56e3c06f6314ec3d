/**
 * One buyer's connection: hello, menu, then orders, each with a stream of its own.
 * @module
 */
import { fromHex, randomBytes, toHex, type Hex } from '../core/bytes.ts'
import { addressOf } from '../core/crypto/key.ts'
import { assertSignedBy } from '../core/crypto/signature.ts'
import { throwIfAborted } from '../core/deadline.ts'
import { isSluiceError, SluiceError } from '../core/errors.ts'
import { forStrangers } from '../core/forStrangers.ts'
import { ZERO32 } from '../protocol/menu.ts'
import { decodeMessage, encodeMessage, MAX_TEXT_TO_SELLER, messageDigest, signedBytes, type Message, type MessageOf } from '../protocol/message.ts'
import type { Packet, Transport } from '../protocol/transport.ts'
import { PROTOCOL_VERSION, type MessageType, type Payload } from '../protocol/wire.ts'
import type { Desk } from './desk.ts'
import type { Sale } from './sale.ts'

/** A connection that is being served. */
export interface Connection {
  readonly peer: string
  /** What a full seller goes by when it makes room: no order, orders without money so far, or orders with it. */
  readonly worth: 'idle' | 'asking' | 'funded'
  /** Since when it is worth that, in milliseconds of the clock. */
  readonly since: number
  /** Tells the buyer that no new orders are taken, and why; without a reason, that they are again. */
  announce(blind: SluiceError | undefined): void
  /** Ends every stream and the link. */
  close(reason: string): void
  /** Resolves when the link is gone and its streams have stopped. */
  readonly done: Promise<void>
}

/** A stream of this connection. */
interface Line {
  readonly id: Hex
  readonly stop: AbortController
  /** The sale, once the order has been checked. */
  readonly ready: Promise<Sale>
  /** The same, without waiting. */
  sale: Sale | undefined
  /** Acknowledgements that are being taken. */
  readonly acks: Set<Promise<void>>
}

/** Serves a buyer on a transport until either side ends it. */
export function serveConnection(transport: Transport, desk: Desk): Connection {
  const { identity, domain, clock, log, limits } = desk
  const nonce = toHex(randomBytes(32))
  const lines = new Map<number, Line>()
  const running = new Set<Promise<void>>()
  let broken = false
  /** When an order last began or ended. */
  let since = clock.now()
  let greeted = false
  /** The key that signs for the buyer, once it has said hello. */
  let buyerKey: string | undefined
  let resolveDone: () => void
  const done = new Promise<void>((resolve) => (resolveDone = resolve))

  const sendSigned = async <T extends MessageType>(type: T, payload: Payload<T>): Promise<void> => {
    const signature = await identity.signBytes(signedBytes(type, payload, ''))
    transport.send(encodeMessage({ type, payload, signature, verification: '' }))
  }

  /** What concerns the connection, not one order of it. */
  const notice = (blind: SluiceError | undefined): Promise<void> =>
    sendSigned('exit', { order_ID: ZERO32, session: nonce, rating: null, reason: blind ? forStrangers(blind) : null })

  const takeHello = async (message: MessageOf<'hello'>): Promise<void> => {
    const { payload } = message
    if (!('public_key_of_the_buyer' in payload)) throw unexpected('the hello of a seller')
    if (buyerKey !== undefined) throw unexpected('a second hello')
    buyerKey = addressOf(fromHex(payload.public_key_of_the_buyer))
    assertSignedBy(messageDigest(message), message.signature, buyerKey, { field: 'hello', owner: 'the buyer' })
    if (payload.version !== PROTOCOL_VERSION) {
      throw new SluiceError('VERSION_MISMATCH', `this seller speaks version ${PROTOCOL_VERSION}, not ${payload.version}`)
    }
    if (payload.chain_id !== domain.chainId.toString() || payload.contract !== domain.verifyingContract.toLowerCase()) {
      throw new SluiceError(
        'WRONG_CHAIN',
        `this seller trades on chain ${domain.chainId} by contract ${domain.verifyingContract}, not on ${payload.chain_id} by ${payload.contract}`,
      )
    }
    await sendSigned('hello', {
      version: PROTOCOL_VERSION,
      chain_id: domain.chainId.toString(),
      contract: domain.verifyingContract.toLowerCase(),
      public_key_of_the_seller: toHex(identity.publicKey),
      nonce,
      reply_to: payload.nonce,
    })
    greeted = true
    // Before the menu, so that nobody deposits on it.
    const blind = desk.blind()
    if (blind) await notice(blind)
    transport.send(desk.menuText())
  }

  /** Checks that a message comes from this connection's buyer and was made for this connection. */
  const assertOurs = (message: MessageOf<'order'> | MessageOf<'resume'> | MessageOf<'exit'>): string => {
    if (buyerKey === undefined) throw unexpected(`${message.type} before hello`)
    if (message.payload.session !== nonce) {
      throw new SluiceError('BAD_MESSAGE', `${message.type} payload: session is not the nonce of this connection`, { details: { field: 'session' } })
    }
    assertSignedBy(messageDigest(message), message.signature, buyerKey, { field: message.type, owner: 'the buyer who said hello' })
    return buyerKey
  }

  /** Delivers one order on a stream number until it is over, and says why when it fails. */
  const openLine = (stream: number, id: Hex, received: number, open: (signal: AbortSignal) => Promise<Sale>): void => {
    if (lines.has(stream)) throw unexpected(`a second order on stream ${stream}`)
    if (lines.size >= limits.ordersPerConnection) {
      throw new SluiceError('OVERLOADED', `more than ${limits.ordersPerConnection} orders at once on one connection`)
    }
    const stop = new AbortController()
    const ready = open(stop.signal)
    const line: Line = { id, stop, ready, sale: undefined, acks: new Set() }
    lines.set(stream, line)
    since = clock.now()
    run(
      ready
        .then((sale) => {
          line.sale = sale
          throwIfAborted(stop.signal, 'the stream')
          return deliver(sale, stream, received, stop)
        })
        .catch((error: unknown) => refuse(id, error))
        .finally(() => {
          lines.delete(stream)
          since = clock.now()
        }),
    )
  }

  const run = (task: Promise<void>): void => {
    running.add(task)
    void task.catch(() => {}).finally(() => running.delete(task))
  }

  const refuse = async (id: Hex, error: unknown): Promise<void> => {
    if (broken || isSluiceError(error, 'ABORTED')) return
    log.warn('order ended early', { order: id, peer: transport.peer, reason: isSluiceError(error) ? `${error.code}: ${error.shortMessage}` : String(error) })
    await sendSigned('exit', { order_ID: id, session: nonce, rating: null, reason: forStrangers(error) })
  }

  const takeOrder = (message: MessageOf<'order'>): void => {
    const key = assertOurs(message)
    openLine(message.payload.stream, message.payload.order_hash as Hex, 0, (signal) => desk.open(message, key, signal))
  }

  const takeResume = (message: MessageOf<'resume'>): void => {
    const key = assertOurs(message)
    const { stream, received } = message.payload
    const id = message.payload.order_ID as Hex
    openLine(stream, id, received, () => desk.reopen(id, key))
  }

  const deliver = async (sale: Sale, stream: number, received: number, stop: AbortController): Promise<void> => {
    // One stream per order: the newest has it.
    const release = desk.claim(sale.delivery.id, () => stop.abort())
    try {
      await sale.stream({ transport, stream, received, signal: stop.signal })
      await sendExit(sale.delivery.id)
      await desk.finish(sale)
    } catch (error) {
      await desk.interrupted(sale, error)
      throw error
    } finally {
      release()
    }
  }

  const sendExit = async (id: Hex): Promise<void> => {
    await sendSigned('exit', { order_ID: id, session: nonce, rating: await desk.ratingOf(id), reason: null })
  }

  const takeAck = ({ payload, signature, verification }: MessageOf<'ACK'>): void => {
    if (buyerKey === undefined) throw unexpected('ACK before hello')
    // Each may wait for the chain.
    if (running.size >= limits.queuedMessages) throw new SluiceError('OVERLOADED', `more than ${limits.queuedMessages} ACKs wait to be taken`)
    const id = payload.order_ID as Hex
    const line = [...lines.values()].find((candidate) => candidate.id === id)
    // Money is welcome after the stream has ended, too.
    const sale = line ? line.ready : desk.sale(id, buyerKey)
    if (!sale) return run(refuse(id, new SluiceError('NO_SUCH_ORDER', `ACK for order ${id}, which is not open here`, { details: { order: id } })))
    const task = Promise.resolve(sale)
      .then((opened) => opened.acknowledge({ transferred: payload.transferred, signature, verification }))
      .catch(async (error: unknown) => {
        line?.stop.abort()
        await refuse(id, error)
      })
      .finally(() => line?.acks.delete(task))
    line?.acks.add(task)
    run(task)
  }

  const takeExit = (message: MessageOf<'exit'>): void => {
    const key = assertOurs(message)
    const id = message.payload.order_ID as Hex
    const line = [...lines.values()].find((candidate) => candidate.id === id)
    line?.stop.abort()
    // What was paid before the exit still counts; the answer tells the buyer that it is kept. Both find the sale: `left`
    // lets go of it after its own wait, which began later.
    const paid = Promise.allSettled([...(line?.acks ?? [])])
    const goodbye = line ? [paid.then(() => sendExit(id))] : []
    const left = desk.left(id, key, message.payload, paid)
    run(Promise.all([...goodbye, left]).then(() => {}, fail))
  }

  const take = async (message: Message): Promise<void> => {
    switch (message.type) {
      case 'hello':
        return takeHello(message)
      case 'order':
        return takeOrder(message)
      case 'resume':
        return takeResume(message)
      case 'ACK':
        return takeAck(message)
      case 'exit':
        return takeExit(message)
      default:
        throw unexpected(`${message.type} from a buyer`)
    }
  }

  /** A broken rule ends the connection; an order's failure ends only the order. */
  const fail = async (error: unknown): Promise<void> => {
    if (broken) return
    broken = true
    const known = forStrangers(error)
    log.warn('connection refused', { peer: transport.peer, code: known.code, message: error instanceof Error ? error.message : String(error) })
    await sendSigned('exit', {
      order_ID: ZERO32,
      session: nonce,
      rating: null,
      reason: known,
    }).catch(() => {})
    transport.close(1008, known.code)
  }

  // Messages are taken one after the other; each one's long work runs beside.
  let tail: Promise<void> = Promise.resolve()
  let queued = 0
  const packet = (data: Packet): void => {
    if (broken) return
    if (++queued > limits.queuedMessages) {
      broken = true
      transport.close(1008, 'OVERLOADED')
      return
    }
    tail = tail
      .then(() => {
        if (broken) return
        if (typeof data !== 'string') throw unexpected('a binary frame from a buyer')
        return take(decodeMessage(data, MAX_TEXT_TO_SELLER))
      })
      .catch(fail)
      .finally(() => queued--)
  }

  const timers = new AbortController()
  clock.sleep(limits.helloTimeout, timers.signal).then(
    () => {
      if (buyerKey === undefined) transport.close(1008, 'TIMEOUT')
    },
    () => {},
  )
  /** Ends a connection on which nothing is going on: it costs its owner nothing, and us a place. */
  const endIdle = async (): Promise<void> => {
    for (;;) {
      const left = lines.size > 0 ? limits.idleTimeout : since + limits.idleTimeout - clock.now()
      if (left <= 0) return transport.close(1001, 'TIMEOUT')
      await clock.sleep(left, timers.signal)
    }
  }
  endIdle().catch(() => {}) // ends by the abort of its sleep
  transport.receive({
    packet,
    closed: () => {
      broken = true
      timers.abort()
      for (const line of lines.values()) line.stop.abort()
      void tail.then(() => Promise.allSettled(running)).then(() => resolveDone())
    },
  })

  return {
    peer: transport.peer,
    get worth() {
      const funded = [...lines.values()].some(({ sale }) => sale && (sale.delivery.deposited || sale.till.paid > 0))
      if (funded) return 'funded'
      return lines.size > 0 ? 'asking' : 'idle'
    },
    get since() {
      return since
    },
    done,
    announce: (blind) => {
      if (greeted && !broken) void notice(blind).catch(() => {})
    },
    close: (reason) => transport.close(1001, reason),
  }
}

function unexpected(what: string): SluiceError {
  return new SluiceError('UNEXPECTED_MESSAGE', `${what} was not expected here`)
}
