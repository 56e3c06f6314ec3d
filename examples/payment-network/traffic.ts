/**
 * Payments at random, so that there is something to watch.
 * @module
 */
import { parseEther } from 'ethers'
import type { Neighbour } from './town.ts'

/** Milliseconds between two payments. */
const EVERY = 400
/** Payments under way at once; while there are so many, none is added. */
const MAX_UNDER_WAY = 8

/**
 * Lets somebody pay somebody a few times per second.
 * @returns what ends it, and waits for the payments under way.
 */
export function startTraffic(neighbours: readonly Neighbour[]): () => Promise<void> {
  const underWay = new Set<Promise<unknown>>()
  const timer = setInterval(() => {
    if (underWay.size >= MAX_UNDER_WAY) return
    // Of two, the one that can send more pays: else, after a while, some had everything and the others nothing.
    const [from, to] = twoOf(neighbours).sort((a, b) => (canSend(a) < canSend(b) ? 1 : -1)) as [Neighbour, Neighbour]
    const amount = parseEther('0.001') * BigInt(1 + Math.floor(Math.random() * 100))
    const payment = from.node!
      .pay({ to: to.wallet.address, amount, maxFee: amount / 10n, timeout: 5_000 })
      .catch(() => {}) // too little on every way: the feed tells
      .finally(() => underWay.delete(payment))
    underWay.add(payment)
  }, EVERY)
  return async () => {
    clearInterval(timer)
    await Promise.all(underWay)
  }
}

function canSend({ node }: Neighbour): bigint {
  return node!.channels().reduce((sum, { capacity }) => sum + capacity, 0n)
}

function twoOf<T>(all: readonly T[]): T[] {
  const first = Math.floor(Math.random() * all.length)
  const second = (first + 1 + Math.floor(Math.random() * (all.length - 1))) % all.length
  return [all[first]!, all[second]!]
}
