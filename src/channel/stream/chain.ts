/**
 * Hash chains: one signature over the anchor, then a payment for each hash shown (PayWord, Rivest and Shamir 1996).
 *
 * `steps` counts down the chain from the anchor: the value at step 0 is the anchor, at step `length` the seed.
 * @module
 */
import { fromHex, toHex, type Hex } from '../../core/bytes.ts'
import { assertArgument, SluiceError } from '../../core/errors.ts'
import { bytesOf, hashWords, readWords, WORDS } from './sha256Chain.ts'
import { MAX_STEPS, type PaidSteps, type StreamTerms } from './streamTerms.ts'

/** The payer's side of a chain. Keeps every value: 32 bytes a step, 32 KiB at most. */
export interface Chain {
  readonly anchor: Hex
  readonly length: number
  /** What pays the steps up to this one: 1 to `length`, in any order. @throws `BAD_ARGUMENT` */
  preimage(steps: number): Uint8Array
}

/**
 * Makes a chain: one hash a step.
 * @param options.seed - 32 secret bytes, of this chain only. Whoever knows them can take all that it pays.
 * @throws `BAD_ARGUMENT`
 */
export function createChain({ seed, length }: { readonly seed: Uint8Array; readonly length: number }): Chain {
  assertArgument(seed.length === 32, 'seed', '32 bytes')
  assertArgument(isLength(length), 'length', `1 to ${MAX_STEPS}`)
  /** The value at step `length`, at `length - 1`, ..., at 0. */
  const values = new Int32Array(WORDS * (length + 1))
  readWords(seed, values, 0)
  for (let at = 0; at < WORDS * length; at += WORDS) hashWords(values, at, at + WORDS, 1)

  return {
    anchor: toHex(bytesOf(values, WORDS * length)),
    length,
    preimage(steps) {
      assertArgument(Number.isInteger(steps) && steps >= 1 && steps <= length, 'steps', `1 to ${length}`)
      return bytesOf(values, WORDS * (length - steps))
    },
  }
}

/** The payee's side of a chain. */
export interface ChainVerifier extends PaidSteps {
  /**
   * Takes what pays the steps up to `steps`: as many hashes as there are new steps, so `length` in the life of a chain,
   * and at most as many for one that is wrong.
   * @returns how many steps are newly paid; 0 for steps paid before, whatever `preimage` is.
   * @throws `PROOF_INVALID` naming `steps` if the chain has no such step, `preimage` if it doesn't lead to the last one.
   * Nothing has changed then.
   */
  accept(steps: number, preimage: Uint8Array): number
}

/**
 * Checks the steps of a chain as they arrive.
 * @param paid - How far it was paid before, from a store. Apart from the terms: the `steps` of a message `stream` are
 * those of the chain before.
 * @throws `PROOF_INVALID` naming `length` if it isn't 1 to {@link MAX_STEPS}: the contract would not pay the rest.
 */
export function createChainVerifier({ anchor, length }: Omit<StreamTerms, 'unit'>, paid?: PaidSteps): ChainVerifier {
  if (!isLength(length)) throw invalid('length', `must be 1 to ${MAX_STEPS}`)
  let done = paid?.steps ?? 0
  /** The value at step `done`, then the value under test. */
  const words = new Int32Array(2 * WORDS)
  readWords(fromHex(paid?.preimage ?? anchor, 32, 'preimage'), words, 0)

  return {
    get steps() {
      return done
    },
    get preimage() {
      return toHex(bytesOf(words, 0))
    },
    accept(steps, preimage) {
      if (!Number.isInteger(steps) || steps < 0 || steps > length) throw invalid('steps', `must be 0 to ${length}`)
      if (preimage.length !== 32) throw invalid('preimage', 'must have 32 bytes')
      const news = steps - done
      if (news <= 0) return 0
      readWords(preimage, words, WORDS)
      hashWords(words, WORDS, WORDS, news)
      for (let i = 0; i < WORDS; i++) {
        if (words[i] !== words[WORDS + i]) throw invalid('preimage', `doesn't lead to step ${done}`)
      }
      readWords(preimage, words, 0)
      done = steps
      return news
    },
  }
}

function isLength(length: number): boolean {
  return Number.isInteger(length) && length >= 1 && length <= MAX_STEPS
}

function invalid(field: string, flaw: string): SluiceError {
  return new SluiceError('PROOF_INVALID', `${field} ${flaw}`, { details: { field } })
}
