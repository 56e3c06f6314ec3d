import { assertArgument } from '../errors.ts'
import type { Store, StoreChange } from './store.ts'

/** Bytes that are written at once. */
const BATCH = 1024 * 1024

/**
 * Copies all entries of a store into an empty one. What is changed meanwhile may be in it or not: copy a store that nobody
 * writes to.
 * @throws `BAD_ARGUMENT` if `to` is not empty, `STORE_FAILED`.
 */
export async function copyStore(from: Store, to: Store): Promise<void> {
  for await (const [key] of to.list('')) assertArgument(false, 'to', `an empty store, without ${key}`)
  let changes: StoreChange[] = []
  let bytes = 0
  for await (const [key, value] of from.list('')) {
    changes.push({ key, value })
    bytes += value.length
    if (bytes < BATCH) continue
    await to.write(changes)
    changes = []
    bytes = 0
  }
  await to.write(changes)
}
