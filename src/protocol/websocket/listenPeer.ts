import { assertArguments, integer, logger, optional, text } from '../../core/argument.ts'
import { type AsyncCloseable, closes } from '../../core/dispose.ts'
import { silentLogger, type Logger } from '../../core/log.ts'
import { MAX_PEER_PACKET, NOBODY_HOME, type PeerTransport } from '../peer.ts'
import type { Transport } from '../transport.ts'
import { listenWebSocket, type ListenOptions } from './listen.ts'
import { webSocketPeer, type WebSocketPeerOptions } from './peer.ts'

/** Options of {@link listenWebSocketPeer}. */
export interface ListenPeerOptions extends ListenOptions, WebSocketPeerOptions {
  /** The URL that others use, if it isn't where this process listens: behind a proxy, or with `wss:`. @default `ws://host:port/path` */
  readonly endpoint?: string | undefined
  /** Links of others at once; one more closes with 1013. @default 1000 */
  readonly maxLinks?: number | undefined
  /** @default silent */
  readonly log?: Logger | undefined
}

const optionRules = {
  endpoint: optional(text(1)),
  maxPacket: optional(integer(1, Number.MAX_SAFE_INTEGER, 'number of bytes')),
  maxLinks: optional(integer(1)),
  log: optional(logger),
}

/**
 * A node that opens WebSockets to others and listens for theirs, in Node.
 * @throws `CONNECTION_FAILED` when the port is taken.
 */
export async function listenWebSocketPeer(options: ListenPeerOptions = {}): Promise<PeerTransport & AsyncCloseable> {
  assertArguments(options, optionRules, 'options')
  const { endpoint, maxPacket = MAX_PEER_PACKET, maxLinks = 1000, log = silentLogger, ...where } = options
  const dialling = webSocketPeer({ maxPacket })
  let handler = (transport: Transport): void => transport.close(...NOBODY_HOME)
  const serve = (transport: Transport): void => handler(transport)
  const listener = await listenWebSocket({ serve, maxPacket, maxLinks, farewell: 'the node is closing', log }, where)
  return {
    ...closes,
    endpoint: endpoint ?? listener.url,
    connect: dialling.connect,
    accept: (to) => void (handler = to),
    close: async () => {
      await dialling.close()
      await listener.close()
    },
  }
}
