/**
 * A buyer's connection to a seller: the greeting, then any number of orders, told apart by stream number.
 * @module
 */
import type { DataTradeDomain } from '../contracts/typedData.ts'
import { fromHex, randomBytes, toHex, type Hex } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { addressOf } from '../core/crypto/key.ts'
import { assertSignedBy } from '../core/crypto/signature.ts'
import { withDeadline } from '../core/deadline.ts'
import { isSluiceError, SluiceError } from '../core/errors.ts'
import { decodeFrame, type DataFrame } from '../protocol/frame.ts'
import type { Identity } from '../protocol/identity.ts'
import { menuFromWire, ZERO32, type Menu } from '../protocol/menu.ts'
import {
  decodeMessage,
  encodeMessage,
  MAX_TEXT_TO_BUYER,
  messageDigest,
  signedBytes,
  type MessageOf,
} from '../protocol/message.ts'
import type { CloseReason, Connect, Packet } from '../protocol/transport.ts'
import { PROTOCOL_VERSION, type MessageType, type Payload } from '../protocol/wire.ts'

/** One order on a link. */
export interface LinkLine {
  readonly orderId: Hex
  /** Takes a chunk. What it throws ends the link. */
  chunk(frame: DataFrame): void
  /** The seller ends the order. */
  exit(payload: Payload<'exit'>): void
  /** The link is gone. Called once; nothing comes after it. */
  lost(reason: CloseReason): void
}

/** A link whose greeting is done. */
export interface Link {
  readonly menu: Menu
  /** The signed menu as it came: evidence of the offer. */
  readonly menuText: string
  /** The seller's nonce, which ties messages to this connection. */
  readonly session: Hex
  readonly open: boolean
  /** Why the seller takes no new orders at present, if it doesn't. */
  readonly refusing: SluiceError | undefined
  /** Opens a line for an order. */
  attach(line: LinkLine): { readonly stream: number; detach(): void }
  /** Signs and sends a message. */
  send<T extends MessageType>(type: T, payload: Payload<T>, verification?: string): Promise<void>
  /** Sends a message that is signed already. */
  sendRaw(text: string): void
  close(): void
}

/** Options of {@link openLink}. */
export interface LinkOptions {
  readonly url: string
  readonly connect: Connect
  readonly identity: Identity
  readonly domain: DataTradeDomain
  readonly clock: Clock
  readonly signal?: AbortSignal | undefined
  /** Milliseconds for connecting and for the greeting. */
  readonly timeout: number
  /** The account that must answer, when it is known from a registry. */
  readonly seller?: string | undefined
}

/**
 * Connects to a seller and exchanges greetings with it.
 * @throws `CONNECTION_FAILED`, `TIMEOUT`, `ABORTED`, `VERSION_MISMATCH`, `WRONG_CHAIN`, `BAD_SIGNATURE`, `PEER_REFUSED`.
 */
export function openLink(options: LinkOptions): Promise<Link> {
  return withDeadline(
    { what: `the greeting of ${options.url}`, ms: options.timeout, clock: options.clock, signal: options.signal },
    (signal) => greet(options, signal),
  )
}

async function greet({ url, connect, identity, domain, seller }: LinkOptions, signal: AbortSignal): Promise<Link> {
  const transport = await connect(url, { signal })
  signal.addEventListener('abort', () => transport.close(), { once: true })
  const nonce = toHex(randomBytes(32))
  const lines = new Map<number, LinkLine>()
  let streams = 0
  let open = true
  let refusing: SluiceError | undefined
  let hello: { readonly key: string; readonly session: Hex } | undefined

  const sign = async <T extends MessageType>(type: T, payload: Payload<T>, verification = ''): Promise<string> => {
    const signature = await identity.signBytes(signedBytes(type, payload, verification))
    return encodeMessage({ type, payload, signature, verification })
  }

  const assertOurChain = (named: { readonly chain_id: string; readonly contract: string }): void => {
    const { chainId, verifyingContract } = domain
    if (named.chain_id === chainId.toString() && named.contract === verifyingContract.toLowerCase()) return
    throw new SluiceError(
      'WRONG_CHAIN',
      `the seller trades on chain ${named.chain_id} by contract ${named.contract}, not on ${chainId} by ${verifyingContract}`,
    )
  }

  const takeHello = (message: MessageOf<'hello'>): void => {
    const { payload } = message
    if (hello || !('public_key_of_the_seller' in payload)) throw unexpected('hello')
    const key = addressOf(fromHex(payload.public_key_of_the_seller))
    assertSignedBy(messageDigest(message), message.signature, key, { field: 'hello', owner: 'the seller' })
    if (payload.reply_to !== nonce)
      throw new SluiceError('BAD_MESSAGE', 'hello payload: reply_to is not our nonce', { details: { field: 'reply_to' } })
    if (payload.version !== PROTOCOL_VERSION) {
      throw new SluiceError('VERSION_MISMATCH', `the seller speaks version ${payload.version}, not ${PROTOCOL_VERSION}`)
    }
    assertOurChain(payload)
    if (seller !== undefined && key.toLowerCase() !== seller.toLowerCase()) {
      throw new SluiceError('BAD_SIGNATURE', `the seller at ${url} is ${key}, not ${seller} as expected`, {
        details: { field: 'hello', expected: seller, actual: key },
      })
    }
    hello = { key, session: payload.nonce as Hex }
  }

  const takeMenu = (message: MessageOf<'menu'>): Menu => {
    if (!hello) throw unexpected('menu before hello')
    assertSignedBy(messageDigest(message), message.signature, hello.key, { field: 'menu', owner: 'the seller who said hello' })
    const menu = menuFromWire(message.payload)
    if (menu.seller.toLowerCase() !== hello.key.toLowerCase()) {
      throw new SluiceError('BAD_MESSAGE', `menu payload: seller is ${menu.seller}, but ${hello.key} said hello`, {
        details: { field: 'seller' },
      })
    }
    assertOurChain(message.payload)
    return menu
  }

  return new Promise<Link>((resolve, reject) => {
    let greeted = false
    const packet = (data: Packet): void => {
      if (typeof data !== 'string') {
        const frame = decodeFrame(data)
        lines.get(frame.stream)?.chunk(frame) // a chunk may still be under way when its order has ended
        return
      }
      const message = decodeMessage(data, MAX_TEXT_TO_BUYER)
      if (message.type === 'hello') takeHello(message)
      else if (message.type === 'menu' && !greeted) {
        const menu = takeMenu(message)
        greeted = true
        resolve(link(menu, data))
      } else if (message.type === 'data') takeData(message)
      else if (message.type === 'exit') takeExit(message)
      else throw unexpected(message.type)
    }

    const takeData = (message: MessageOf<'data'>): void => {
      const { order_ID, index, proof, data } = message.payload
      const entry = [...lines].find(([, line]) => line.orderId === order_ID)
      if (!entry) return
      const body = Uint8Array.from(atob(data), (char) => char.charCodeAt(0))
      const leaf = new Uint8Array(1 + body.length)
      leaf.set(body, 1)
      entry[1].chunk({
        stream: entry[0],
        index,
        proof: fromHex(`0x${proof.map((hash) => hash.slice(2)).join('')}`),
        claim: message.signature,
        leaf,
        body: leaf.subarray(1),
      })
    }

    const takeExit = (message: MessageOf<'exit'>): void => {
      const { order_ID, reason, session } = message.payload
      if (hello) {
        assertSignedBy(messageDigest(message), message.signature, hello.key, {
          field: 'exit',
          owner: 'the seller who said hello',
        })
        if (session !== hello.session) {
          throw new SluiceError('BAD_MESSAGE', 'exit payload: session is not the nonce of this connection', {
            details: { field: 'session' },
          })
        }
      }
      if (order_ID === ZERO32 && (reason === null || reason.code === 'SELLER_BLIND')) {
        // Its open orders go on: this is about new ones.
        if (hello) refusing = reason ? refusal(reason) : undefined
        return
      }
      for (const line of lines.values()) if (line.orderId === order_ID) line.exit(message.payload)
      if (!greeted) reject(refusal(reason))
    }

    transport.receive({
      packet: (data) => {
        try {
          packet(data)
        } catch (error) {
          reject(hello ? asError(error) : noSeller(url, error))
          throw error // the transport closes on it
        }
      },
      closed: (reason) => {
        open = false
        reject(
          new SluiceError(
            'CONNECTION_LOST',
            `${url} closed the connection during the greeting: ${reason.reason || reason.code}`,
            { details: { url, code: reason.code } },
          ),
        )
        const left = [...lines.values()]
        lines.clear()
        for (const line of left) line.lost(reason)
      },
    })

    const link = (menu: Menu, menuText: string): Link => ({
      menu,
      menuText,
      session: hello!.session,
      get open() {
        return open
      },
      get refusing() {
        return refusing
      },
      attach: (line) => {
        const stream = streams++
        lines.set(stream, line)
        return { stream, detach: () => void lines.delete(stream) }
      },
      send: async (type, payload, verification) => transport.send(await sign(type, payload, verification)),
      sendRaw: (text) => transport.send(text),
      close: () => transport.close(),
    })

    sign('hello', {
      version: PROTOCOL_VERSION,
      chain_id: domain.chainId.toString(),
      contract: domain.verifyingContract.toLowerCase(),
      public_key_of_the_buyer: toHex(identity.publicKey),
      nonce,
    }).then((text) => transport.send(text), reject)
  })
}

/** The error that a seller's exit stands for. */
export function refusal(reason: Payload<'exit'>['reason']): SluiceError {
  if (!reason) return new SluiceError('PEER_REFUSED', 'the seller ended the order before it was complete')
  return new SluiceError('PEER_REFUSED', `the seller refused: ${reason.message}`, { details: { code: reason.code } })
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))

/** Whoever has not said hello yet, and says what no seller says, is another server: mostly the RPC node, by its port. */
function noSeller(url: string, error: unknown): Error {
  const isForeign = isSluiceError(error, 'BAD_MESSAGE') || isSluiceError(error, 'BAD_FRAME')
  if (!isForeign || error.details['field'] === 'reply_to') return asError(error)
  return new SluiceError(error.code, `${url} answers, but not as a seller: it may be another server, such as an RPC node`, {
    details: { ...error.details, url },
    cause: error,
  })
}

function unexpected(what: string): SluiceError {
  return new SluiceError('UNEXPECTED_MESSAGE', `${what} was not expected here`)
}
