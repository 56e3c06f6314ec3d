import type { Clock } from '../clock.ts'

/** Calls those who wait too long, all for the same time. */
export interface Deadlines {
  /** Calls `late` after the time, unless what is returned is called before. */
  begin(late: () => void): () => void
}

/** Milliseconds that the timer goes on at most when nobody waits any more. */
const TICK = 250

/**
 * Creates deadlines of `ms` milliseconds. One timer serves all who wait, and none is called off: for many short waits that
 * takes a tenth of the time of a timer for each.
 */
export function createDeadlines(ms: number, clock: Clock): Deadlines {
  /** In order of time, since all wait equally long. */
  const waiting = new Map<object, { readonly at: number; readonly late: () => void }>()
  let watching = false

  async function watch(): Promise<void> {
    watching = true
    while (waiting.size > 0) {
      const [first] = waiting.values()
      await clock.sleep(Math.min(first!.at - clock.now(), TICK))
      for (const [key, { at, late }] of waiting) {
        if (at > clock.now()) break
        waiting.delete(key)
        late()
      }
    }
    watching = false
  }

  return {
    begin(late) {
      const key = {}
      waiting.set(key, { at: clock.now() + ms, late })
      if (!watching) void watch()
      return () => void waiting.delete(key)
    },
  }
}
