/**
 * When a vote is decided: whole numbers only, so that 0.7 of ten members are seven.
 * @module
 */
import type { VoteStatus } from '../database.ts'

/** A threshold of 1: everybody. */
const WHOLE_THRESHOLD = 10_000

/** Who has voted how, of how many. */
export interface Tally {
  readonly voters: number
  /** How many must agree, from {@link neededOf}. */
  readonly needed: number
  readonly agree: number
  readonly disagree: number
}

/**
 * How many of the voters must agree: their number times the threshold, rounded up.
 * @param threshold in ten-thousandths, 1 to {@link WHOLE_THRESHOLD}.
 */
export function neededOf(threshold: number, voters: number): number {
  return Math.floor((threshold * voters + WHOLE_THRESHOLD - 1) / WHOLE_THRESHOLD)
}

/** Where a vote stands: passed once enough agree, rejected once so many disagree that enough can't agree any more. */
export function decide({ voters, needed, agree, disagree }: Tally): VoteStatus {
  if (agree >= needed) return 'PASS'
  return disagree > voters - needed ? 'REJECT' : 'INPROGRESS'
}

/** Reads a threshold above 0 and up to 1, with four decimals at most. @returns ten-thousandths; undefined for anything else. */
export function readThreshold(value: number | string): number | undefined {
  // The shortest decimal text of a number is what its sender wrote; multiplying 0.07 by 10000 is not 700.
  const parts = /^([01])(?:\.(\d{1,4})0*)?$/.exec(String(value))
  if (!parts) return undefined
  const threshold = Number(parts[1]) * WHOLE_THRESHOLD + Number((parts[2] ?? '').padEnd(4, '0'))
  return threshold >= 1 && threshold <= WHOLE_THRESHOLD ? threshold : undefined
}

/** Writes a threshold as its sender did: 0.7. */
export function writeThreshold(threshold: number): number {
  return threshold / WHOLE_THRESHOLD
}
