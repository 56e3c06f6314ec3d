/**
 * Whose link counts how much, by the money at stake: channels are for free, deposits are not.
 * @module
 */
import type { Hex } from '../../core/bytes.ts'
import type { Channel } from './channel.ts'

/** What of a channel tells what is at stake in it. */
export type Stake = Pick<
  Channel,
  'partner' | 'tokenNetwork' | 'phase' | 'ownDeposit' | 'theirDeposit' | 'ownWithdrawn' | 'theirWithdrawn'
>

/**
 * The standing of each partner with an open channel that holds something: 0 for the one with the most. Tokens can't be
 * compared, so a partner's standing is its best in any token network. Who is missing has nothing in a channel.
 */
export function standings(channels: Iterable<Stake>): Map<Hex, number> {
  const held = new Map<Hex, Map<Hex, bigint>>()
  for (const { partner, tokenNetwork, phase, ownDeposit, theirDeposit, ownWithdrawn, theirWithdrawn } of channels) {
    const holds = ownDeposit + theirDeposit - ownWithdrawn - theirWithdrawn
    if (phase !== 'open' || holds <= 0n) continue
    const network = held.get(tokenNetwork) ?? new Map<Hex, bigint>()
    held.set(tokenNetwork, network.set(partner, (network.get(partner) ?? 0n) + holds))
  }
  const best = new Map<Hex, number>()
  for (const network of held.values()) {
    const ranked = [...network].sort(([, a], [, b]) => (a > b ? -1 : a < b ? 1 : 0))
    let standing = 0
    let last: bigint | undefined
    for (const [place, [partner, holds]] of ranked.entries()) {
      if (holds !== last) standing = place
      last = holds
      best.set(partner, Math.min(standing, best.get(partner) ?? Infinity))
    }
  }
  return best
}
