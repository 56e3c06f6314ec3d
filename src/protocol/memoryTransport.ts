import { assertArguments, listOf, optional, rule, text } from '../core/argument.ts'
import { utf8 } from '../core/bytes.ts'
import { type CloseReason, type Packet, type Receiver, receiverRules, type Transport } from './transport.ts'

/** Options of {@link memoryTransportPair}. */
export interface MemoryTransportOptions {
  /** What the ends call one another: first what the second calls the first. @default memory:a, memory:b */
  readonly names?: readonly [string, string] | undefined
  /** The largest packet, in bytes; a larger one ends the link with 1009. @default any */
  readonly maxPacket?: number | undefined
}

const size = /* @__PURE__ */ rule('a number of bytes from 1', (value) => typeof value === 'number' && value >= 1)

/** Two transports joined back to back in one process, for tests and for a buyer and seller that live together. */
export function memoryTransportPair(options: MemoryTransportOptions = {}): readonly [Transport, Transport] {
  assertArguments(options, { names: optional(listOf(text(), 2, 2)), maxPacket: optional(size) }, 'options')
  const { names = ['memory:a', 'memory:b'], maxPacket = Infinity } = options
  const a = createEnd(names[1], maxPacket)
  const b = createEnd(names[0], maxPacket)
  a.join(b)
  b.join(a)
  return [a.transport, b.transport]
}

interface End {
  readonly transport: Transport
  join(other: End): void
  deliver(packet: Packet): void
  end(reason: CloseReason): void
}

function createEnd(peer: string, maxPacket: number): End {
  let receiver: Receiver | undefined
  let other: End
  let open = true
  let held: (Packet | CloseReason)[] = []

  const isPacket = (x: Packet | CloseReason): x is Packet => typeof x === 'string' || x instanceof Uint8Array
  const hand = (x: Packet | CloseReason): void => {
    if (!receiver) {
      held.push(x)
      return
    }
    if (!isPacket(x)) {
      receiver.closed(x)
      return
    }
    if (!open) return
    if (maxPacket !== Infinity && sizeOf(x) > maxPacket) return close(1009, `a packet is larger than ${maxPacket} bytes`)
    try {
      receiver.packet(x)
    } catch (error) {
      close(1008, error instanceof Error ? error.message : String(error))
    }
  }
  const close = (code = 1000, reason = ''): void => {
    if (!open) return
    open = false
    queueMicrotask(() => hand({ code, reason }))
    other.end({ code, reason })
  }

  const end: End = {
    join: (peerEnd) => void (other = peerEnd),
    deliver: (packet) => queueMicrotask(() => hand(packet)),
    end: (reason) => {
      queueMicrotask(() => {
        if (!open) return
        open = false
        hand(reason)
      })
    },
    transport: {
      peer,
      receive: (to) => {
        assertArguments({ receiver: to }, receiverRules)
        receiver = to
        const waiting = held
        held = []
        for (const x of waiting) queueMicrotask(() => hand(x))
      },
      send: (packet) => {
        if (open) other.deliver(packet)
      },
      drained: () => Promise.resolve(),
      close,
    },
  }
  return end
}

/** Bytes that a packet would have on a wire. */
function sizeOf(packet: Packet): number {
  return typeof packet === 'string' ? utf8(packet).length : packet.length
}
