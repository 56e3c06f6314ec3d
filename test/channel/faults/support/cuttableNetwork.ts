/**
 * A network in memory whose links can be watched, cut and kept from forming.
 * @module
 */
import { SluiceError } from '../../../../src/core/errors.ts'
import { memoryPeerNetwork } from '../../../../src/protocol/memoryPeerNetwork.ts'
import type { PeerTransport } from '../../../../src/protocol/peer.ts'
import type { Packet, Transport } from '../../../../src/protocol/transport.ts'

/** What happens to a packet: nothing, or the link ends before it, or after it. */
export type Verdict = 'before' | 'after' | undefined
/** Looks at each packet. `type` is the number of its message; of the handshake's packets, any. */
export type Rule = (from: string, to: string, type: number, packet: Uint8Array) => Verdict

/** See {@link cuttableNetwork}. */
export interface CuttableNetwork {
  /** A node's place, which can be taken again once it was left. */
  peer(endpoint: string): PeerTransport
  /** Ends the links between two places; without a second, all links of the first. */
  cut(a: string, b?: string): void
  /** Lets nothing through between two places until it is allowed again. */
  block(a: string, b: string): void
  unblock(a: string, b: string): void
  /** Sets what looks at each packet. */
  rule(rule: Rule | undefined): void
  /** What is at this place says nothing any more, and hears nothing. */
  kill(endpoint: string): void
  /** Frees a place. */
  leave(endpoint: string): Promise<void>
}

interface Wire {
  readonly ends: readonly [string, string]
  readonly transport: Transport
  dead: boolean
}

/** Creates a network. */
export function cuttableNetwork(): CuttableNetwork {
  const network = memoryPeerNetwork()
  const places = new Map<string, { readonly peer: PeerTransport; alive: boolean }>()
  const wires = new Set<Wire>()
  const blocked = new Set<string>()
  let rule: Rule | undefined
  const pairOf = (a: string, b: string): string => [a, b].sort().join(' ')

  const end = (wire: Wire): void => {
    wire.dead = true
    wires.delete(wire)
    wire.transport.close(1006, 'cut')
  }
  const cut = (a: string, b?: string): void => {
    for (const wire of [...wires]) {
      if (b === undefined ? wire.ends.includes(a) : pairOf(...wire.ends) === pairOf(a, b)) end(wire)
    }
  }

  const watched = (transport: Transport, here: string, there: string, place: { alive: boolean }): Transport => {
    const wire: Wire = { ends: [here, there], transport, dead: false }
    wires.add(wire)
    return {
      ...transport,
      send: (packet: Packet, released) => {
        if (wire.dead || !place.alive) return
        const verdict = typeof packet === 'string' ? undefined : rule?.(here, there, packet[0]!, packet)
        if (verdict === 'before') return cut(here, there)
        transport.send(packet, released)
        if (verdict === 'after') queueMicrotask(() => cut(here, there))
      },
      receive: (receiver) =>
        transport.receive({
          packet: (packet) => {
            if (!wire.dead && place.alive) receiver.packet(packet)
          },
          closed: (reason) => {
            wires.delete(wire)
            if (place.alive) receiver.closed(reason)
          },
        }),
      close: (code, reason) => {
        wires.delete(wire)
        transport.close(code, reason)
      },
    }
  }

  return {
    peer: (endpoint) => {
      const peer = network.peer(endpoint)
      const place = { peer, alive: true }
      places.set(endpoint, place)
      return {
        endpoint,
        connect: async (url, options) => {
          if (!place.alive || blocked.has(pairOf(endpoint, url)))
            throw new SluiceError('CONNECTION_FAILED', `could not connect to ${url}`, { details: { url } })
          return watched(await peer.connect(url, options), endpoint, url, place)
        },
        accept: (handler) =>
          peer.accept((transport) => {
            if (blocked.has(pairOf(endpoint, transport.peer))) throw new Error('blocked')
            handler(watched(transport, endpoint, transport.peer, place))
          }),
        close: () => peer.close(),
      }
    },
    cut,
    block(a, b) {
      blocked.add(pairOf(a, b))
      cut(a, b)
    },
    unblock: (a, b) => void blocked.delete(pairOf(a, b)),
    rule: (next) => void (rule = next),
    kill(endpoint) {
      const place = places.get(endpoint)
      if (!place) return
      place.alive = false
      cut(endpoint)
      void place.peer.close()
    },
    leave: async (endpoint) => {
      await places.get(endpoint)?.peer.close()
      places.delete(endpoint)
    },
  }
}
