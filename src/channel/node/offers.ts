/**
 * The offers of swaps that a node has taken or is asked about: whom they keep a place for, and how long.
 * @module
 */
import type { Hex } from '../../core/bytes.ts'

/** A place for an offer. */
export interface Place<T> {
  readonly offer: T
  /** Whose offer it is. */
  readonly from: Hex
  /** Whether its owner's half was locked, so that this node pays the other one. */
  paying: boolean
  /** Whether the other half came to nothing. */
  failed: boolean
  /** Unix seconds on chain at which what was locked is over; 0 while nothing is. */
  expiry: number
}

/** Options of {@link createOffers}. */
export interface OffersOptions {
  /** Milliseconds. */
  readonly now: () => number
  /** Unix seconds on chain: what is over by it is over for good. */
  readonly confirmed: () => number
  /** The accounts with which money is at stake, 0 the best. */
  readonly standings: () => ReadonlyMap<Hex, number>
  /** Places in all. */
  readonly most: number
  /** Places of one account. */
  readonly mostOfOne: number
  /** Milliseconds that an offer waits for its owner to lock. */
  readonly patience: number
}

/** See {@link createOffers}. */
export interface Offers<T> {
  /**
   * Keeps a place. Where all are taken, the offer of an account with a worse standing gives up its own, unless money is locked
   * for it. @returns undefined if there is none, or one for this secrethash already.
   */
  keep(secrethash: Hex, from: Hex, offer: T): Place<T> | undefined
  /** A place that has not lapsed: an offer does when its owner has not locked in time, or what was locked is over. */
  get(secrethash: Hex): Place<T> | undefined
  /** Gives a place up. */
  drop(secrethash: Hex): void
}

/** Creates the places for offers. */
export function createOffers<T>(options: OffersOptions): Offers<T> {
  const { now, confirmed, standings, most, mostOfOne, patience } = options
  const places = new Map<Hex, Place<T> & { readonly since: number }>()

  const hasLapsed = ({ expiry, since }: { expiry: number; since: number }): boolean =>
    expiry > 0 ? confirmed() > expiry : now() - since >= patience

  /** Frees the place that is worth the least, if it is worth less than one of `from`. */
  const makeRoom = (from: Hex): boolean => {
    const known = standings()
    const standingOf = (account: Hex): number => known.get(account) ?? Infinity
    let least: { readonly secrethash: Hex; readonly standing: number } | undefined
    for (const [secrethash, place] of places) {
      const standing = standingOf(place.from)
      if (place.expiry === 0 && (!least || standing > least.standing)) least = { secrethash, standing }
    }
    return least !== undefined && standingOf(from) < least.standing && places.delete(least.secrethash)
  }

  return {
    keep(secrethash, from, offer) {
      let own = 0
      for (const [key, place] of places) {
        if (hasLapsed(place)) places.delete(key)
        else if (place.from === from) own++
      }
      if (places.has(secrethash) || own >= mostOfOne) return undefined
      if (places.size >= most && !makeRoom(from)) return undefined
      const place = { offer, from, paying: false, failed: false, expiry: 0, since: now() }
      places.set(secrethash, place)
      return place
    },
    get(secrethash) {
      const place = places.get(secrethash)
      if (place && hasLapsed(place)) places.delete(secrethash)
      return places.get(secrethash)
    },
    drop: (secrethash) => void places.delete(secrethash),
  }
}
