import {
  assertArguments,
  clock as clockRule,
  having,
  listOf,
  logger,
  milliseconds,
  optional,
  signalOf,
  text,
} from '../../core/argument.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { throwIfAborted, withDeadline } from '../../core/deadline.ts'
import { type AsyncCloseable, closes } from '../../core/dispose.ts'
import { silentLogger, type Logger } from '../../core/log.ts'
import { MAX_ENDPOINTS, type Discovery, type DiscoveryOptions } from './discovery.ts'

/** Options of {@link combinedDiscovery}. */
export interface CombinedDiscoveryOptions {
  /** Milliseconds that each of them has for an answer. @default 10000 */
  readonly deadline?: number | undefined
  /** @default silent */
  readonly log?: Logger | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/** Milliseconds that the others still have once one of them knows where a node is. */
const GRACE = 500

/**
 * Asks several discoveries at once and joins what they say, in the order of the list and without repetitions.
 *
 * One that fails is passed over; when nothing is found and one of them failed, that error is thrown: nobody can say then
 * that the node is unknown. Announcing succeeds if it does anywhere.
 */
export function combinedDiscovery(
  discoveries: readonly Discovery[],
  options: CombinedDiscoveryOptions = {},
): Discovery & AsyncCloseable {
  assertArguments({ discoveries }, { discoveries: listOf(having('a discovery', 'find', 'close')) })
  assertArguments(options, { deadline: optional(milliseconds), log: optional(logger), clock: optional(clockRule) }, 'options')
  const { deadline = 10_000, log = silentLogger, clock = systemClock } = options

  const find = async (account: string, findOptions?: DiscoveryOptions): Promise<readonly string[]> => {
    const signal = signalOf(findOptions)
    assertArguments({ account }, { account: text(1) })
    throwIfAborted(signal, 'looking for a node')
    const answers: (readonly string[])[] = discoveries.map(() => [])
    const failures: unknown[] = []
    const done = new AbortController()
    const stop = signal ? AbortSignal.any([signal, done.signal]) : done.signal
    const ask = async (discovery: Discovery, i: number): Promise<void> => {
      try {
        answers[i] = await withDeadline({ what: 'an answer where a node is', ms: deadline, signal: stop, clock }, (inner) =>
          discovery.find(account, { signal: inner }),
        )
      } catch (error) {
        throwIfAborted(signal, 'looking for a node')
        failures.push(error)
      }
    }
    const known = async (asked: Promise<void>, i: number): Promise<void> => {
      await asked
      // Those who know nothing, or have failed, don't end the wait for the others.
      await (answers[i]!.length > 0 ? clock.sleep(GRACE, done.signal) : new Promise(() => {}))
    }
    const asked = discoveries.map(ask)
    await Promise.race([Promise.all(asked), ...asked.map(known)]).finally(() => done.abort())
    const found = [...new Set(answers.flat())].slice(0, MAX_ENDPOINTS)
    if (found.length === 0 && failures.length > 0) throw failures[0]
    return found
  }

  const able = discoveries.filter(({ announce }) => announce)
  const announce = async (endpoint: string, announceOptions?: DiscoveryOptions): Promise<void> => {
    const results = await Promise.allSettled(able.map((discovery) => discovery.announce!(endpoint, announceOptions)))
    const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
    if (errors.length === able.length) throw errors[0]
    for (const error of errors) log.warn('not announced everywhere', { endpoint, reason: String(error) })
  }

  return {
    ...closes,
    find,
    ...(able.length > 0 ? { announce } : {}),
    close: async () => {
      await Promise.all(discoveries.map((discovery) => discovery.close()))
    },
  }
}
