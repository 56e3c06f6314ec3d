import { assertArguments, integer, optional } from '../../core/argument.ts'
import { type AsyncCloseable, closes } from '../../core/dispose.ts'
import { SluiceError } from '../../core/errors.ts'
import { MAX_PEER_PACKET, type PeerTransport } from '../peer.ts'
import { webSocketConnect } from '#websocket'

/** Options of {@link webSocketPeer}. */
export interface WebSocketPeerOptions {
  /** The largest packet that is taken, in bytes; a larger one ends its link with 1009. @default 262144 */
  readonly maxPacket?: number | undefined
}

/** A node that opens WebSockets to others and that nobody can reach: in a browser, or behind a firewall. */
export function webSocketPeer(options: WebSocketPeerOptions = {}): PeerTransport & AsyncCloseable {
  assertArguments(options, { maxPacket: optional(integer(1, Number.MAX_SAFE_INTEGER, 'number of bytes')) }, 'options')
  const { maxPacket = MAX_PEER_PACKET } = options
  const connect = webSocketConnect(maxPacket)
  let closed = false
  return {
    ...closes,
    endpoint: undefined,
    connect: async (url, options) => {
      if (closed) throw new SluiceError('CONNECTION_FAILED', `no link to ${url}: this node is closed`, { details: { url } })
      return connect(url, options)
    },
    accept: () => {}, // nobody comes
    close: async () => {
      closed = true
    },
  }
}
