import { assertArguments, integer, optional } from '../core/argument.ts'
import { SluiceError } from '../core/errors.ts'
import { memoryTransportPair } from './memoryTransport.ts'
import { MAX_PEER_PACKET, NOBODY_HOME, type PeerTransport } from './peer.ts'
import { abortedConnecting, type Transport } from './transport.ts'

/** A network within one process. */
export interface MemoryPeerNetwork {
  /**
   * Adds a node.
   * @param endpoint Where others reach it: any text, such as `ws://alice`; left out, nobody can.
   * @throws `CONNECTION_FAILED` when a node is there already.
   */
  peer(endpoint?: string): PeerTransport
}

/** Options of {@link memoryPeerNetwork}. */
export interface MemoryPeerNetworkOptions {
  /** The largest packet, in bytes; a larger one ends its link with 1009. @default 262144 */
  readonly maxPacket?: number | undefined
}

/** Nodes that reach one another in one process, for tests and benchmarks; as many as memory holds. */
export function memoryPeerNetwork(options: MemoryPeerNetworkOptions = {}): MemoryPeerNetwork {
  assertArguments(options, { maxPacket: optional(integer(1, Number.MAX_SAFE_INTEGER, 'number of bytes')) }, 'options')
  const { maxPacket = MAX_PEER_PACKET } = options
  /** What takes links, by endpoint. */
  const doors = new Map<string, (transport: Transport) => void>()
  return {
    peer: (endpoint) => {
      if (endpoint !== undefined && doors.has(endpoint)) {
        throw new SluiceError('CONNECTION_FAILED', `there is a node at ${endpoint} already`, { details: { url: endpoint } })
      }
      let closed = false
      let handler = (transport: Transport): void => transport.close(...NOBODY_HOME)
      /** Links that others opened and that have not ended. */
      const accepted = new Set<Transport>()
      const door = (transport: Transport): void => {
        const link = watched(transport, () => accepted.delete(link))
        accepted.add(link)
        try {
          handler(link)
        } catch (error) {
          link.close(1008, error instanceof Error ? error.message : String(error))
        }
      }
      if (endpoint !== undefined) doors.set(endpoint, door)
      return {
        endpoint,
        connect: async (url, { signal } = {}) => {
          await Promise.resolve() // as with a socket, nothing has happened when the call returns
          if (signal?.aborted) throw abortedConnecting(url, signal)
          const open = closed ? undefined : doors.get(url)
          if (!open) throw new SluiceError('CONNECTION_FAILED', `could not connect to ${url}`, { details: { url } })
          const [mine, theirs] = memoryTransportPair({ names: [endpoint ?? 'memory:', url], maxPacket })
          open(theirs)
          return mine
        },
        accept: (to) => void (handler = to),
        close: async () => {
          closed = true
          if (endpoint !== undefined && doors.get(endpoint) === door) doors.delete(endpoint)
          for (const link of accepted) link.close(1001, 'the node is closing')
        },
      }
    },
  }
}

/** A transport that tells when it has ended, whoever ended it. */
function watched(transport: Transport, ended: () => void): Transport {
  return {
    ...transport,
    receive: (to) =>
      transport.receive({
        packet: (packet) => to.packet(packet),
        closed: (reason) => {
          ended()
          to.closed(reason)
        },
      }),
    close: (code, reason) => {
      ended()
      transport.close(code, reason)
    },
  }
}
