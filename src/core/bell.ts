/** Wakes a loop that waits for something to change; a ring that nobody waits for is kept for the next wait. */
export interface Bell {
  ring(): void
  /** Resolves at the next ring, or at once when it has rung since the last wait. For one waiter. */
  wait(): Promise<void>
}

/** Creates a {@link Bell}. */
export function createBell(): Bell {
  let rung = false
  let wake: (() => void) | undefined
  return {
    ring: () => {
      if (!wake) {
        rung = true
        return
      }
      wake()
      wake = undefined
    },
    wait: () => {
      if (rung) {
        rung = false
        return Promise.resolve()
      }
      return new Promise((resolve) => (wake = resolve))
    },
  }
}
