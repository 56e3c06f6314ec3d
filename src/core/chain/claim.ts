import { SluiceError } from '../errors.ts'
import type { Store } from '../store/store.ts'

const claimed = new WeakMap<Store, Set<string>>()

/**
 * Takes a place in a store for one owner in this process; the store itself keeps other processes out.
 * @param what names the owner in the message: `a sender of 0x12..`.
 * @returns what gives the place back.
 * @throws `STORE_LOCKED`.
 */
export function claim(store: Store | undefined, place: string, what: string): () => void {
  if (!store) return () => {}
  const places = claimed.get(store) ?? new Set<string>()
  if (places.has(place)) {
    throw new SluiceError('STORE_LOCKED', `this store has ${what} already: use that one, or another store`, {
      details: { place },
    })
  }
  claimed.set(store, places.add(place))
  return () => void places.delete(place)
}
