/**
 * How a node is reached, and how it reaches others.
 * @module
 */
import type { Connect, Transport } from './transport.ts'

/** The largest packet that peers take from one another, in bytes, unless told otherwise: 256 KiB. */
export const MAX_PEER_PACKET = 256 * 1024

/**
 * The links of a node: those that it opens, and those that others open to it.
 *
 * Every implementation must pass `peerTransportSuite` of `sluice-sdk/testing`.
 */
export interface PeerTransport {
  /** The URL at which others reach this node; undefined where nobody can, as in a browser. */
  readonly endpoint: string | undefined
  /**
   * Opens a link to the node at `url`. A link says nothing about who is there: the protocol above it has to find out.
   * @throws `CONNECTION_FAILED` when nobody answers there or this side was closed; `ABORTED`.
   */
  readonly connect: Connect
  /**
   * Says who takes the links that others open; called again, it replaces the handler. A handler that throws refuses the
   * link: it closes with 1008 and the error's message. Without a handler, links close with 1013 (try again later).
   */
  accept(handler: (transport: Transport) => void): void
  /** Takes no more links, and ends those that others opened, with 1001. Those that {@link connect} opened are their owner's. */
  close(): Promise<void>
}

/** How a link closes that comes before {@link PeerTransport.accept}. */
export const NOBODY_HOME = [1013, 'nobody takes links yet'] as const
