/**
 * WebSocket links in Node, over `ws`.
 * @module
 */
import { WebSocket, type RawData } from 'ws'
import { assertArguments } from '../../core/argument.ts'
import { SluiceError } from '../../core/errors.ts'
import { forStrangers } from '../../core/forStrangers.ts'
import { MAX_FRAME } from '../frame.ts'
import { MAX_TEXT_TO_BUYER } from '../limits.ts'
import {
  abortedConnecting,
  closeReasonText,
  type Connect,
  connectRules,
  HIGH_WATER_MARK,
  type Packet,
  type Receiver,
  receiverRules,
  standardCode,
  type Transport,
} from '../transport.ts'

/** Milliseconds for the other side to say goodbye, then the socket is destroyed: it may be a dead link. */
const CLOSE_TIMEOUT = 3000

/** What both sides give `ws`; its types don't know `closeTimeout` yet. */
export const socketOptions: object = { closeTimeout: CLOSE_TIMEOUT }

/**
 * Opens links that end with 1009 on a packet of more than `maxPacket` bytes, which is not read. Compression is off: it
 * costs more than it saves on data, and it leaks lengths.
 */
export function webSocketConnect(maxPacket: number): Connect {
  return async (url, options = {}) => {
    assertArguments({ url, ...options }, connectRules)
    const { signal } = options
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw abortedConnecting(url, signal)
      let socket: WebSocket
      try {
        const limits = { perMessageDeflate: false, maxPayload: maxPacket, skipUTF8Validation: false }
        socket = new WebSocket(url, { ...limits, ...socketOptions })
      } catch (cause) {
        throw new SluiceError('CONNECTION_FAILED', `${url} is not the URL of a WebSocket`, { details: { url }, cause })
      }
      const abort = (): void => {
        reject(abortedConnecting(url, signal))
        socket.terminate()
      }
      signal?.addEventListener('abort', abort, { once: true })
      socket.once('open', () => {
        signal?.removeEventListener('abort', abort)
        resolve(webSocketTransport(socket, url))
      })
      // Terminating a socket that is not open yet is an error to it, too.
      socket.on('error', (cause) => {
        signal?.removeEventListener('abort', abort)
        reject(new SluiceError('CONNECTION_FAILED', `could not connect to ${url}: ${cause.message}`, { details: { url }, cause }))
      })
    })
  }
}

/** Connects to a seller. */
export const connectWebSocket: Connect = webSocketConnect(Math.max(MAX_FRAME, MAX_TEXT_TO_BUYER))

/** Wraps a socket of `ws` that is open, on either side. */
export function webSocketTransport(socket: WebSocket, peer: string): Transport {
  let receiver: Receiver | undefined
  socket.binaryType = 'nodebuffer'
  socket.pause() // until somebody receives
  let ended = false
  const close = (code = 1000, reason = ''): void => {
    ended = true
    socket.close(code, closeReasonText(reason))
    socket.resume() // the other side's goodbye must be read
  }
  socket.on('message', (data: RawData, isBinary) => {
    if (ended) return // what came before the other side saw our goodbye
    const packet: Packet = isBinary ? (data as Buffer) : (data as Buffer).toString()
    try {
      receiver?.packet(packet)
    } catch (error) {
      close(1008, forStrangers(error).message)
    }
  })
  socket.on('error', () => {}) // 'close' follows and says why
  /** Those who wait for less to be under way. */
  let waiting: (() => void)[] = []
  const relieve = (): void => {
    const relieved = waiting
    waiting = []
    for (const go of relieved) go()
  }
  socket.on('close', (code, reason) => {
    relieve()
    receiver?.closed({ code: standardCode(code), reason: reason.toString() })
  })

  return {
    peer,
    get buffered() {
      return socket.bufferedAmount
    },
    receive: (to) => {
      assertArguments({ receiver: to }, receiverRules)
      receiver = to
      if (socket.readyState === WebSocket.CLOSED) to.closed({ code: 1006, reason: '' })
      else socket.resume()
    },
    send: (packet, released) => {
      if (socket.readyState !== WebSocket.OPEN) return
      socket.send(packet, () => {
        released?.()
        if (waiting.length > 0 && socket.bufferedAmount < HIGH_WATER_MARK) relieve()
      })
    },
    drained: () => {
      if (socket.readyState !== WebSocket.OPEN || socket.bufferedAmount < HIGH_WATER_MARK) return Promise.resolve()
      return new Promise((resolve) => waiting.push(resolve))
    },
    close,
  }
}
