/**
 * One buyer's connection: hello, menu, then orders, each with a stream of its own.
 * @module
 */
import { fromHex, randomBytes, toHex, type Hex } from '../core/bytes.ts'
import { addressOf } from '../core/crypto/key.ts'
import { assertSignedBy } from '../core/crypto/signature.ts'
import { throwIfAborted } from '../core/deadline.ts'
import { isSluiceError, SluiceError } from '../core/errors.ts'
import { ZERO32 } from '../protocol/menu.ts'
import { decodeMessage, encodeMessage, MAX_TEXT_TO_SELLER, messageDigest, signedBytes, type Message, type MessageOf } from '../protocol/message.ts'
import type { Packet, Transport } from '../protocol/transport.ts'
import { PROTOCOL_VERSION, type MessageType, type Payload } from '../protocol/wire.ts'
import type { Desk } from './desk.ts'
import type { Sale } from './sale.ts'

/** A connection that is being served. */
export interface Connection {
  readonly peer: string
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
  /** The key that signs for the buyer, once it has said hello. */
  let buyerKey: string | undefined
  let resolveDone: () => void
  const done = new Promise<void>((resolve) => (resolveDone = resolve))

  const sendSigned = async <T extends MessageType>(type: T, payload: Payload<T>): Promise<void> => {
    const signature = await identity.signBytes(signedBytes(type, payload, ''))
    transport.send(encodeMessage({ type, payload, signature, verification: '' }))
  }

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
    lines.set(stream, { id, stop, ready, acks: new Set() })
    run(
      ready
        .then((sale) => {
          throwIfAborted(stop.signal, 'the stream')
          return deliver(sale, stream, received, stop)
        })
        .catch((error: unknown) => refuse(id, error))
        .finally(() => lines.delete(stream)),
    )
  }

  const run = (task: Promise<void>): void => {
    running.add(task)
    void task.catch(() => {}).finally(() => running.delete(task))
  }

  const refuse = async (id: Hex, error: unknown): Promise<void> => {
    if (broken || isSluiceError(error, 'ABORTED')) return
    const known = isSluiceError(error)
    log.warn('order ended early', { order: id, peer: transport.peer, reason: known ? error.code : String(error) })
    const reason = known ? { code: error.code, message: error.shortMessage } : { code: 'PEER_REFUSED', message: 'the seller has a fault of its own' }
    await sendSigned('exit', { order_ID: id, session: nonce, rating: null, reason })
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
    const known = isSluiceError(error) ? error : new SluiceError('PEER_REFUSED', 'the seller has a fault of its own', { cause: error })
    log.warn('connection refused', { peer: transport.peer, code: known.code, message: known.shortMessage })
    await sendSigned('exit', {
      order_ID: ZERO32,
      session: nonce,
      rating: null,
      reason: { code: known.code, message: known.shortMessage },
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

  const helloTimer = new AbortController()
  clock.sleep(limits.helloTimeout, helloTimer.signal).then(
    () => {
      if (buyerKey === undefined) transport.close(1008, 'TIMEOUT')
    },
    () => {},
  )
  transport.receive({
    packet,
    closed: () => {
      broken = true
      helloTimer.abort()
      for (const line of lines.values()) line.stop.abort()
      void tail.then(() => Promise.allSettled(running)).then(() => resolveDone())
    },
  })

  return {
    peer: transport.peer,
    done,
    close: (reason) => transport.close(1001, reason),
  }
}

function unexpected(what: string): SluiceError {
  return new SluiceError('UNEXPECTED_MESSAGE', `${what} was not expected here`)
}
