/**
 * What a data source has answered: each authorisation is answered once, and the same answer may be fetched again.
 * @module
 */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'

/** Authorisations remembered at most; more are refused until the first of them expire. */
const MAX_ANSWERED = 100_000
/** Characters of answers that are kept for who asks again, at most; the oldest go first. */
const MAX_KEPT = 2 ** 25

/** What was answered, for as long as it may be asked. In memory: after a restart an authorisation can be answered once more. */
export interface Answered {
  /**
   * Answers an authorisation: by `answer`, or as it was answered before. Nothing is remembered of what `answer` throws.
   * @param expiration until when to remember, in milliseconds.
   * @throws `AUTHORISATION_USED` if the answer is not kept any more, `OVERLOADED` if no more can be remembered.
   */
  once(digest: string, expiration: number, answer: () => Promise<string>): Promise<string>
}

/** Creates it, empty. */
export function createAnswered(clock: Clock, maxAnswered = MAX_ANSWERED, maxKept = MAX_KEPT): Answered {
  const entries = new Map<string, { readonly expiration: number; answer: Promise<string> | undefined; size: number }>()
  let kept = 0

  const forget = (digest: string): void => {
    kept -= entries.get(digest)?.size ?? 0
    entries.delete(digest)
  }

  function makeRoom(): void {
    if (entries.size < maxAnswered) return
    for (const [digest, { expiration }] of entries) if (expiration <= clock.now()) forget(digest)
    if (entries.size >= maxAnswered) {
      throw new SluiceError('OVERLOADED', 'too many authorisations that may still be used are remembered', {
        details: { limit: maxAnswered },
      })
    }
  }

  /** Lets go of answers, oldest first, not of what was answered. */
  function drop(): void {
    for (const entry of entries.values()) {
      if (kept <= maxKept) return
      if (entry.size === 0) continue
      kept -= entry.size
      entry.size = 0
      entry.answer = undefined
    }
  }

  return {
    async once(digest, expiration, answer) {
      const known = entries.get(digest)
      if (known) {
        if (known.answer) return known.answer
        throw new SluiceError('AUTHORISATION_USED', 'requestParams were answered before', { details: { field: 'requestParams' } })
      }
      makeRoom()
      const entry = { expiration, answer: undefined as Promise<string> | undefined, size: 0 }
      entries.set(digest, entry)
      const made = answer()
      entry.answer = made
      try {
        const text = await made
        entry.size = text.length
        kept += text.length
        drop()
        return text
      } catch (error) {
        forget(digest)
        throw error
      }
    },
  }
}
