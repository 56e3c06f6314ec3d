import { getAddress } from 'ethers'
import { createBell } from '../../core/bell.ts'
import { utf8 } from '../../core/bytes.ts'
import type { Clock } from '../../core/clock.ts'
import type { Events } from '../../core/events.ts'
import type { ChannelEvents } from '../node/events.ts'

/** Events that may wait for a client; one that is further behind is let go. */
const MAX_WAITING = 1_000
/** Events that say how something stands: of those that wait, a newer one takes the place of an older one. */
const latest: readonly (keyof ChannelEvents)[] = ['balance', 'streamed']
/** Milliseconds of silence after which a comment is sent, so that nobody on the way gives the connection up. */
const HEARTBEAT = 15_000

/** Options of {@link eventStream}. */
export interface EventStreamOptions {
  readonly events: Events<ChannelEvents>
  readonly names: readonly (keyof ChannelEvents)[]
  readonly clock: Clock
  /** Ends the stream. */
  readonly signal: AbortSignal
  /** Events that may wait. @default 1000 */
  readonly limit?: number | undefined
  /** Called once, when the stream is over. */
  readonly ended?: (() => void) | undefined
}

/**
 * Writes events as server-sent events (WHATWG HTML, 9.2): the name, and what it carries as JSON.
 *
 * Whoever reads too slowly gets an event `overflow` that says how many were lost with it, and then the end.
 */
export function eventStream(options: EventStreamOptions): ReadableStream<Uint8Array> {
  const { events, names, clock, signal, limit = MAX_WAITING, ended } = options
  /** By a name that is unique, or by channel. */
  const waiting = new Map<string, readonly [name: string, payload: object]>()
  let count = 0
  const bell = createBell()
  const over = new AbortController()
  let lost = 0
  const offs = names.map((name) =>
    events.on(name, (payload) => {
      const key = latest.includes(name) && 'channelId' in payload ? `${name} ${payload.channelId}` : String(++count)
      if (waiting.has(key) || (lost === 0 && waiting.size < limit)) waiting.set(key, [name, payload])
      else lost++
      bell.ring()
    }))
  const end = (): void => {
    if (over.signal.aborted) return
    over.abort()
    for (const off of offs) off()
    bell.ring()
    ended?.()
  }
  signal.addEventListener('abort', end, { once: true })
  if (signal.aborted) end()

  return new ReadableStream<Uint8Array>({
    start(controller) {
      // Something at once: the head of the answer leaves with it.
      controller.enqueue(utf8(': the events of this node\n\n'))
    },
    async pull(controller) {
      let silent = false
      if (waiting.size === 0 && lost === 0 && !over.signal.aborted) {
        const rung = new AbortController()
        const beat = clock.sleep(HEARTBEAT, rung.signal).then(() => true, () => false)
        // A ring from before may end the wait for nothing: who still reads then pulls again.
        silent = await Promise.race([beat, bell.wait().then(() => false)])
        rung.abort()
      }
      let text = ''
      for (const [name, payload] of waiting.values()) text += `event: ${snakeCase(name)}\ndata: ${JSON.stringify(toWire(payload))}\n\n`
      waiting.clear()
      if (silent) controller.enqueue(utf8(':\n\n'))
      if (text) controller.enqueue(utf8(text))
      if (lost > 0) controller.enqueue(utf8(`event: overflow\ndata: {"lost":${lost}}\n\n`))
      if (lost > 0 || over.signal.aborted) {
        end()
        signal.removeEventListener('abort', end)
        controller.close()
      }
    },
    cancel() {
      end()
      signal.removeEventListener('abort', end)
    },
  })
}

/** `settleAt` as `settle_at`. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** The JSON form of what an event carries: names in snake case, amounts as decimal text, addresses with a checksum. */
export function toWire(payload: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(payload).flatMap(([name, value]: [string, unknown]) => {
    if (value === undefined) return []
    const key = snakeCase(name)
    if (typeof value === 'bigint') return [[key, value.toString()]]
    return [[key, typeof value === 'string' && /^0x[0-9a-f]{40}$/.test(value) ? getAddress(value) : value]]
  }))
}
