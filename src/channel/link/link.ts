/**
 * What two nodes talk over once they know each other.
 * @module
 */
import type { Hex } from '../../core/bytes.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { forStrangers } from '../../core/forStrangers.ts'
import { isSluiceError, SluiceError, type ErrorCode } from '../../core/errors.ts'
import { MAX_PEER_PACKET } from '../../protocol/peer.ts'
import { HIGH_WATER_MARK, type CloseReason, type Packet } from '../../protocol/transport.ts'
import { badField, decode, encode, u64, u8 } from '../wire/codec.ts'
import { decodeChannelMessage, encodeChannelMessage, type ChannelMessage, type ChannelMessageOf, type ChannelMessageType } from '../wire/messages.ts'
import type { SecuredTransport } from './handshake.ts'
import { createTagger, sameTag, TAG_SIZE } from './tag.ts'

/** Milliseconds without a packet after which a link asks for one, and after as many more is given up. */
export const SILENCE = 15_000

/** Bytes that a link lets a partner leave unread; one that leaves more loses it. */
const MOST_UNSENT = 4 * HIGH_WATER_MARK

/** A link to a node that has shown who it is. */
export interface Link {
  /** Whose node is at the other end, in lower case. */
  readonly account: Hex
  /** The address whose key signs the proofs: the account's own or its session key. */
  readonly signer: Hex
  /** 65 bytes, of the signer. */
  readonly publicKey: Uint8Array
  /** What shows that the session key may sign; empty if it is the account's own. */
  readonly delegation: Uint8Array
  readonly capabilities: number
  /** 16 bytes that tell one run of that node from another. */
  readonly instance: Hex
  /** False from the moment on at which either side ends it. */
  readonly open: boolean
  /**
   * Whether more than 4 MiB may wait to be sent: hold back what can wait, until {@link Link.drained}. At four times as
   * much the link ends with 1008.
   */
  readonly congested: boolean
  /**
   * Sends a message; after the end it does nothing.
   * @throws `MESSAGE_TOO_LARGE`
   */
  send<T extends ChannelMessageType>(type: T, fields: ChannelMessageOf<T>): void
  /** Sends a message that has been encoded already. @throws `MESSAGE_TOO_LARGE` */
  sendPacket(packet: Uint8Array): void
  /** Resolves when little enough waits to be sent; at once if so, and after the end. */
  drained(): Promise<void>
  /** Ends the link, after what was handed over has been sent. */
  close(code?: number, reason?: string): void
}

/** Where a link hands what happens. */
export interface LinkEvents {
  /** The other side is ready for messages. The first that comes, and once. */
  readonly ready: (generation: number) => void
  /** What it throws or rejects with ends the link. */
  readonly message: (message: ChannelMessage) => unknown
  /** Called once, at once when this side ends it; nothing comes after it. */
  readonly ended: (reason: CloseReason) => void
}

/** A link as its owner sees it. */
export interface OwnedLink extends Link {
  /** Begins to receive. */
  start(): void
  /** Says that this side is ready: the first packet, before any message. */
  ready(generation: number): void
}

/** Before the messages each side says that it is ready. 0 is no type of message. */
const readyLayout = { type: u8, generation: u64 } as const
const READY = 0

/**
 * Makes a link of a transport whose ends know each other.
 *
 * A packet is a message and its tag. Any that is changed, repeated, lost or out of order ends the link with 1008.
 */
export function createLink(secured: SecuredTransport, events: LinkEvents, clock: Clock = systemClock): OwnedLink {
  const { transport, account, signer, publicKey, delegation, capabilities, instance } = secured
  const tag = createTagger(secured.sendKey)
  const tagOfTheirs = createTagger(secured.receiveKey)
  const over = new AbortController()
  let sent = 0
  let received = 0
  let open = true
  /** Bytes handed over of which it isn't known that they went out; counts up to the transport's own mark less. */
  let unsent = 0
  let draining: Promise<void> | undefined
  let heardAt = clock.now()

  const finish = (reason: CloseReason): void => {
    if (!open) return
    open = false
    over.abort()
    events.ended(reason)
  }
  const close = (code = 1000, reason = ''): void => {
    if (!open) return
    transport.close(code, reason)
    finish({ code, reason })
  }
  const fail = (error: unknown): void => close(...closeOf(error))

  /** Notes what the transport has let go of meanwhile: at once where little waits. */
  const drain = (): Promise<void> => {
    const noted = unsent
    return (draining ??= transport.drained().then(() => {
      draining = undefined
      unsent -= noted
    }))
  }
  const drained = async (): Promise<void> => {
    while (open && unsent > HIGH_WATER_MARK) await drain()
  }

  const sendPacket = (packet: Uint8Array): void => {
    if (!open) return
    const size = packet.length + TAG_SIZE
    if (size > MAX_PEER_PACKET) {
      const limit = MAX_PEER_PACKET - TAG_SIZE
      throw new SluiceError('MESSAGE_TOO_LARGE', `a message has ${packet.length} bytes, and at most ${limit} are sent`, {
        details: { size: packet.length, limit },
      })
    }
    const tagged = new Uint8Array(size)
    tagged.set(packet)
    tagged.set(tag(sent++, packet), packet.length)
    transport.send(tagged)
    unsent += size
    if (unsent > MOST_UNSENT) return close(1008, 'reads too slowly')
    if (unsent > HIGH_WATER_MARK / 16) void drain()
  }
  const send: Link['send'] = (type, fields) => sendPacket(encodeChannelMessage(type, fields))

  /** The message of a packet, once its tag has been checked. */
  const untag = (packet: Packet): Uint8Array => {
    if (typeof packet === 'string') throw badField('packet', 'must be binary, not text')
    if (packet.length > MAX_PEER_PACKET) {
      throw new SluiceError('MESSAGE_TOO_LARGE', `a packet has ${packet.length} bytes, and at most ${MAX_PEER_PACKET} are taken`)
    }
    const size = packet.length - TAG_SIZE
    if (size < 0) throw badField('packet', 'is shorter than a tag')
    // A plain array: slices of Node's buffers share their memory.
    const message = new Uint8Array(packet.buffer, packet.byteOffset, size)
    if (!sameTag(packet.subarray(size), tagOfTheirs(received, message))) throw badField('tag', `of packet ${received} is wrong`)
    received++
    heardAt = clock.now()
    return message
  }
  const take = (packet: Packet): void => {
    const bytes = untag(packet)
    if (bytes[0] === READY) {
      if (received > 1) throw new SluiceError('UNEXPECTED_MESSAGE', 'ready comes once')
      return events.ready(decode(readyLayout, bytes).generation)
    }
    if (received === 1) throw new SluiceError('UNEXPECTED_MESSAGE', 'ready must come first')
    const message = decodeChannelMessage(bytes)
    if (message.type === 'ping') return send('pong', { nonce: message.nonce })
    if (message.type === 'pong') return
    const result = events.message(message)
    if (result instanceof Promise) result.catch(fail)
  }

  /** Gives up on a partner that doesn't even answer a ping. Counts packets, so a clock that is set ends no link. */
  const watch = async (): Promise<void> => {
    for (;;) {
      const now = clock.now()
      if (now < heardAt) heardAt = now // set back
      const silent = now - heardAt
      if (silent < SILENCE) {
        await clock.sleep(SILENCE - silent, over.signal)
        continue
      }
      const before = received
      send('ping', { nonce: before >>> 0 })
      await clock.sleep(SILENCE, over.signal)
      if (received === before) return close(1008, `silent for ${(2 * SILENCE) / 1000} s`)
    }
  }

  const link: OwnedLink = {
    account, signer, publicKey, delegation, capabilities, instance,
    get open() {
      return open
    },
    get congested() {
      return open && unsent > HIGH_WATER_MARK
    },
    send,
    sendPacket,
    drained,
    close,
    start: () => {
      secured.receive({
        packet: (packet) => {
          if (!open) return
          try {
            take(packet)
          } catch (error) {
            fail(error)
          }
        },
        closed: finish,
      })
      watch().catch(() => {}) // the link is over
    },
    ready: (generation) => sendPacket(encode(readyLayout, { type: READY, generation })),
  }
  return link
}

/** How a transport closes for errors that are no breach of the rules. Source: RFC 6455 section 7.4.1 and its registry. */
const closeCodes: Readonly<Partial<Record<ErrorCode, number>>> = {
  ABORTED: 1001,
  OVERLOADED: 1013,
  MESSAGE_TOO_LARGE: 1009,
  RPC_FAILED: 1011,
}

/** How a transport closes for an error: the code, and what the other side is told. */
export function closeOf(error: unknown): readonly [code: number, reason: string] {
  if (!isSluiceError(error)) return [1011, 'internal error']
  if (error.code === 'ABORTED' && isSluiceError(error.cause)) return closeOf(error.cause)
  return [closeCodes[error.code] ?? 1008, `${error.code}: ${forStrangers(error).message}`]
}
