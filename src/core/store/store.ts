/**
 * Where a node keeps what it must not forget.
 *
 * A durable, ordered map from text to bytes with a single owner. Keys are non-empty, well-formed Unicode texts and are
 * ordered by code point. Any implementation must pass `storeSuite` of `sluice-sdk/testing`.
 *
 * Errors: `STORE_FAILED` when the medium fails or the store is closed, `STORE_LOCKED` when another owner has it open,
 * `BAD_ARGUMENT` for a malformed key.
 */
export interface Store {
  /** Reads the value of `key`; the bytes are the caller's own. */
  get(key: string): Promise<Uint8Array | undefined>
  /**
   * Makes all changes or none; they are on the medium when this resolves. The bytes are taken at the call. Later writes
   * win over earlier ones, also when nobody waited in between, and so does the last of several changes of one key.
   */
  write(changes: readonly StoreChange[]): Promise<void>
  /**
   * Goes through the entries whose key starts with `prefix`, by ascending key. Every entry that stands during the whole
   * walk is met once; a change made meanwhile may be seen or not.
   */
  list(prefix: string): AsyncIterable<readonly [key: string, value: Uint8Array]>
  /** Waits for the writes under way and gives the store up. Closing twice does nothing. */
  close(): Promise<void>
}

/** One change of one key. */
export interface StoreChange {
  readonly key: string
  /** The new value; `null` deletes, also a key that isn't there. */
  readonly value: Uint8Array | null
}
