import type { Logger } from '../../core/log.ts'

/** A block that everybody who registered is told of. */
export interface AlarmBlock {
  readonly number: number
  /** Unix seconds. */
  readonly timestamp: number
}

/** Calls back with each block that is deep enough (seed 002, "alarm service"). */
export interface AlarmService {
  /** Calls `callback` with each block until the returned function is called. */
  onBlock(callback: (block: AlarmBlock) => void): () => void
  /** Tells everybody; for whoever follows the chain. */
  ring(block: AlarmBlock): void
  /** The last block, if there was one. */
  readonly last: AlarmBlock | undefined
}

/** Creates an alarm service. What a callback throws goes to the log and stops no other. */
export function createAlarmService(log: Logger): AlarmService {
  const callbacks = new Set<(block: AlarmBlock) => void>()
  let last: AlarmBlock | undefined
  return {
    onBlock(callback) {
      callbacks.add(callback)
      return () => void callbacks.delete(callback)
    },
    ring(block) {
      last = block
      for (const callback of callbacks) {
        try {
          callback(block)
        } catch (error) {
          log.error('a block callback failed', {
            block: block.number,
            error: error instanceof Error ? error.message : String(error),
          })
        }
      }
    },
    get last() {
      return last
    },
  }
}
