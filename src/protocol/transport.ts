/**
 * What carries messages between two peers.
 * @module
 */
import { abortSignal, having, optional, text } from '../core/argument.ts'
import { aborted } from '../core/clock.ts'
import type { SluiceError } from '../core/errors.ts'

/** A text message or a binary frame. */
export type Packet = string | Uint8Array

/** Why a transport closed. */
export interface CloseReason {
  /** RFC 6455 status: 1000 a normal end, 1006 the link was lost, 1008 the peer broke a rule, 1009 too large a packet. */
  readonly code: number
  readonly reason: string
}

/** Where a transport hands what arrives. */
export interface Receiver {
  /** Takes a packet. What it throws closes the transport with 1008. */
  packet(packet: Packet): void
  /** Called once; nothing comes after it. */
  closed(reason: CloseReason): void
}

/**
 * An ordered, reliable link for packets, once connected.
 *
 * It keeps no queue of its own for what arrives: the unpaid window bounds that.
 */
export interface Transport {
  /** The peer, for logs. */
  readonly peer: string
  /** Begins delivery; packets that came before are held until then. */
  receive(receiver: Receiver): void
  /**
   * Hands a packet over. After the end it does nothing: the receiver has been told.
   * @param released is called once the bytes of the packet may be written over; never, where the receiver gets them as
   * they are.
   */
  send(packet: Packet, released?: () => void): void
  /** Bytes that were handed over and have not left this machine yet; undefined where nobody can say. */
  readonly buffered?: number | undefined
  /** Resolves when little enough waits to be sent; at once if so, and after the end. */
  drained(): Promise<void>
  /** Ends the link, after what was handed over has been sent. */
  close(code?: number, reason?: string): void
}

/** What {@link Transport.receive} is given. */
export const receiverRules = { receiver: /* @__PURE__ */ having('a receiver with packet() and closed()', 'packet', 'closed') }

/** What a {@link Connect} is given. */
export const connectRules = { url: /* @__PURE__ */ text(1), signal: /* @__PURE__ */ optional(abortSignal) }

/** Opens a transport to an endpoint. @throws `CONNECTION_FAILED`, `ABORTED`, `TIMEOUT`. */
export type Connect = (url: string, options?: { readonly signal?: AbortSignal | undefined }) => Promise<Transport>

/** Bytes that may wait in a transport before {@link Transport.drained} makes a sender pause. */
export const HIGH_WATER_MARK = 4 * 1024 * 1024

/** A close reason fits a WebSocket close frame: 123 bytes of UTF-8. */
export function closeReasonText(reason: string): string {
  let text = reason
  while (new TextEncoder().encode(text).length > 123) text = text.slice(0, -1)
  return text
}

/** The error of a {@link Connect} that was called off. */
export function abortedConnecting(url: string, signal: AbortSignal | undefined): SluiceError {
  return aborted(signal, `connecting to ${url}`)
}

/** A close code as platforms let us send it: 1000, or one of 3000 to 4999. 4008 stands for 1008. */
export function platformCode(code: number): number {
  return code === 1000 ? code : 3000 + code
}

/** Undoes {@link platformCode}. */
export function standardCode(code: number): number {
  return code >= 4000 ? code - 3000 : code
}
