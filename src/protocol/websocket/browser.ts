/**
 * WebSocket links on the platform's own `WebSocket`: browsers, workers, Deno, Bun.
 * @module
 */
import { assertArguments } from '../../core/argument.ts'
import { SluiceError } from '../../core/errors.ts'
import { forStrangers } from '../../core/forStrangers.ts'
import { MAX_FRAME } from '../frame.ts'
import { MAX_TEXT_TO_BUYER } from '../limits.ts'
import {
  abortedConnecting,
  type CloseReason,
  closeReasonText,
  type Connect,
  connectRules,
  HIGH_WATER_MARK,
  type Packet,
  platformCode,
  type Receiver,
  receiverRules,
  standardCode,
} from '../transport.ts'

/** Opens links that end with 1009 on a packet of more than `maxPacket` bytes (of text: characters). */
export function webSocketConnect(maxPacket: number): Connect {
  return async (url, options = {}) => {
    assertArguments({ url, ...options }, connectRules)
    const { signal } = options
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw abortedConnecting(url, signal)
      let socket: WebSocket
      try {
        socket = new WebSocket(url)
      } catch (cause) {
        throw new SluiceError('CONNECTION_FAILED', `${url} is not the URL of a WebSocket`, { details: { url }, cause })
      }
      socket.binaryType = 'arraybuffer'
      let receiver: Receiver | undefined
      let ended: CloseReason | undefined
      let held: Packet[] = []
      let heldSize = 0
      const abort = (): void => {
        reject(abortedConnecting(url, signal))
        socket.close()
      }
      signal?.addEventListener('abort', abort, { once: true })

      let closing = false
      const close = (code = 1000, reason = ''): void => {
        closing = true
        socket.close(platformCode(code), closeReasonText(reason))
      }
      const hand = (packet: Packet): void => {
        if (closing) return
        // The platform has read it by now, and text has up to three bytes a character: what is refused here is handed to nobody.
        if (packet.length > maxPacket) return close(1009, `a packet is larger than ${maxPacket} bytes`)
        if (!receiver) {
          heldSize += packet.length
          if (heldSize > maxPacket + HIGH_WATER_MARK) return close(1008, 'too much was sent before anybody received')
          held.push(packet)
          return
        }
        try {
          receiver.packet(packet)
        } catch (error) {
          close(1008, forStrangers(error).message)
        }
      }
      socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
        hand(typeof event.data === 'string' ? event.data : new Uint8Array(event.data))
      }
      socket.onerror = () => {
        // A browser doesn't say why. After 'open' a close event follows, and it is what counts.
        reject(new SluiceError('CONNECTION_FAILED', `could not connect to ${url}`, { details: { url } }))
      }
      socket.onclose = (event) => {
        ended = { code: standardCode(event.code), reason: event.reason }
        receiver?.closed(ended)
      }
      socket.onopen = () => {
        signal?.removeEventListener('abort', abort)
        resolve({
          peer: url,
          receive: (to) => {
            assertArguments({ receiver: to }, receiverRules)
            receiver = to
            const waiting = held
            held = []
            for (const packet of waiting) hand(packet)
            if (ended) to.closed(ended)
          },
          send: (packet) => {
            if (socket.readyState === WebSocket.OPEN) socket.send(packet as string | Uint8Array<ArrayBuffer>)
          },
          // There is no event for it; a buyer sends so little that it doesn't wait here.
          drained: async () => {
            while (socket.readyState === WebSocket.OPEN && socket.bufferedAmount >= HIGH_WATER_MARK) {
              await new Promise((again) => setTimeout(again, 10))
            }
          },
          close,
        })
      }
    })
  }
}

/** Connects to a seller. */
export const connectWebSocket: Connect = webSocketConnect(Math.max(MAX_FRAME, MAX_TEXT_TO_BUYER))
