import type { CloseReason, Packet, Receiver, Transport } from './transport.ts'

/** Two transports joined back to back in one process, for tests and for a buyer and seller that live together. */
export function memoryTransportPair(): readonly [Transport, Transport] {
  const a = createEnd('memory:b')
  const b = createEnd('memory:a')
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

function createEnd(peer: string): End {
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
