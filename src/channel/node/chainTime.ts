import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { ChainTime } from './context.ts'

/** Options of {@link createChainTime}. */
export interface ChainTimeOptions {
  readonly clock: Clock
  /** Seconds without a new block after which nothing is promised or taken. */
  readonly stallTimeout: number
  /** Seconds by which this machine's clock may differ from the chain's. */
  readonly clockTolerance: number
  /** Is told once when the clock is found to be wrong, and once more when it is right again (`ahead` within the tolerance). */
  readonly onClock: (ahead: number, isWrong: boolean) => void
}

/** See {@link createChainTime}. */
export interface ChainTimeKeeper extends ChainTime {
  /** Takes up the time of the last block of an earlier run, in Unix seconds; 0 if there was none. */
  begin(timestamp: number): void
  /** A block counts from now on. @param left - blocks that count as well and have not been told yet. */
  block(timestamp: number, left: number): void
}

/**
 * Tells what time it is on chain from the blocks that come and from this machine's clock.
 *
 * A node that has not seen the newest block does not know what time it is there, whatever its clock says: it is stalled until
 * it has caught up. A clock that blocks have shown to be ahead by more than the tolerance counts only that far.
 */
export function createChainTime(options: ChainTimeOptions): ChainTimeKeeper {
  const { clock, stallTimeout, clockTolerance, onClock } = options
  let confirmed = 0
  /** When the block of that time was told, in milliseconds. */
  let told = clock.now()
  /** When this node last had all that there was, in milliseconds. */
  let complete = -Infinity
  /** Whether all that there was when this node began has been told: from then on blocks come as they are made. */
  let isLive = false
  let isWrong = false

  /** Seconds since it had all that there is. */
  const quiet = (): number => (clock.now() - complete) / 1000
  const stalled = (): boolean => quiet() > stallTimeout

  return {
    get confirmed() {
      return confirmed
    },
    now() {
      const own = Math.floor(clock.now() / 1000)
      const chain = confirmed + Math.max(0, Math.floor((clock.now() - told) / 1000))
      return Math.max(confirmed, isWrong ? Math.min(own, chain + clockTolerance) : own)
    },
    stalled,
    assertMoving() {
      if (!stalled()) return
      const since = Number.isFinite(complete) ? `for ${Math.floor(quiet())} s` : 'since this node was started'
      throw new SluiceError(
        'CHAIN_STALLED',
        `no block has come ${since}, and stallTimeout is ${stallTimeout} s: see whether the RPC node follows its chain; ` +
          'where blocks come only with transactions, set stallTimeout to Infinity',
        { details: { seconds: Math.floor(quiet()), stallTimeout } },
      )
    },
    begin(timestamp) {
      if (timestamp > confirmed) {
        confirmed = timestamp
        told = clock.now()
      }
      if (timestamp > 0 && !isLive) complete = Math.max(complete, Math.min(clock.now(), 1000 * timestamp))
    },
    block(timestamp, left) {
      const now = clock.now()
      if (timestamp >= confirmed) {
        confirmed = timestamp
        told = now
      }
      if (left > 0) return
      // The first ones may have been made long before; one that ends a silence too, if only this node did not see it.
      const ahead = now / 1000 - timestamp
      if (isLive && !stalled() && Math.abs(ahead) > clockTolerance !== isWrong) {
        isWrong = !isWrong
        onClock(Math.round(ahead), isWrong)
      }
      isLive = true
      complete = now
    },
  }
}
