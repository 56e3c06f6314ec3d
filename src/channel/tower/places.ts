/**
 * Who gets a place in a tower that many want: ranks by the money that stands behind a place. Pure.
 *
 * A promise is never broken, so a promise must not be had for less than it keeps others from. Half of the places are
 * promised to whoever has enough at stake. The other half is divided among {@link TIERS} tiers of stake, each four times
 * the one before: whoever wants to keep somebody out has to lock money of the same tier for every place of that tier.
 * @module
 */

/** Tiers of stake; each begins at four times the one below. */
export const TIERS = 16

/**
 * The tier of a place.
 * @param stake - what stands behind it.
 * @param least - what the lowest tier begins at: less isn't worth an answer.
 * @returns -1 below the lowest.
 */
export function tierOf(stake: bigint, least: bigint): number {
  if (stake <= 0n || stake < least) return -1
  let tier = 0
  for (let next = (least > 0n ? least : 1n) * 4n; tier < TIERS - 1 && stake >= next; next *= 4n) tier++
  return tier
}

/** How many places are promised to a tier and those below it, of `places` in all. */
export function roomFor(tier: number, places: number): number {
  return Math.ceil((places * (TIERS + tier + 1)) / (2 * TIERS))
}

/** Whether one more place of a tier can be promised. @param promised - how many are, by tier. */
export function isPromisable(tier: number, promised: readonly number[], places: number): boolean {
  if (tier < 0) return false
  let sum = 0
  for (let each = 0; each < TIERS; each++) {
    sum += promised[each] ?? 0
    if (each >= tier && sum >= roomFor(each, places)) return false
  }
  return true
}
