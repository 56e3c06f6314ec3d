import type { AbstractLevel } from 'abstract-level'
import { type AsyncCloseable, closes } from '../dispose.ts'
import { SluiceError } from '../errors.ts'
import { assertChanges, decodeKey, encodeKey, prefixEnd } from './key.ts'
import type { Store, StoreChange } from './store.ts'

/** Options of {@link levelStore}. */
export interface LevelStoreOptions {
  /** What error messages call the store. @default 'the store' */
  readonly name?: string | undefined
}

/** The most changes that may wait for the medium; beyond, a write is refused with `OVERLOADED`. */
const MAX_WAITING = 65_536

interface Write {
  readonly changes: readonly StoreChange[]
  resolve(): void
  reject(error: SluiceError): void
}

/**
 * A store on an open `abstract-level` database, which it owns from now on.
 *
 * Writes go out with `sync: true`, one batch at a time; what is written meanwhile shares the next batch, and so its
 * fsync. After a write has failed, the medium's state is unknown: the store refuses further writes until it is reopened.
 */
export function levelStore<Format>(database: AbstractLevel<Format>, options: LevelStoreOptions = {}): Store & AsyncCloseable {
  const { name = 'the store' } = options
  const encoding = { keyEncoding: 'view', valueEncoding: 'view' } as const
  let waiting: Write[] = []
  let waitingChanges = 0
  let flushing: Promise<void> | undefined
  let failure: SluiceError | undefined
  let closing: Promise<void> | undefined

  const failed = (what: string, cause: unknown): SluiceError =>
    new SluiceError('STORE_FAILED', `${name} could not be ${what}`, { cause, details: { store: name } })

  const assertOpen = (): void => {
    if (closing) throw new SluiceError('STORE_FAILED', `${name} is closed`, { details: { store: name } })
  }

  const flush = async (): Promise<void> => {
    await Promise.resolve() // what is written in the same turn shares the first batch
    while (waiting.length > 0) {
      const writes = waiting
      waiting = []
      waitingChanges = 0
      try {
        if (failure) throw failure
        const batch = writes.flatMap(({ changes }) =>
          changes.map(({ key, value }) =>
            value
              ? { type: 'put' as const, key: encodeKey(key), value }
              : { type: 'del' as const, key: encodeKey(key) },
          ),
        )
        // `sync` is an option of every persistent engine; abstract-level passes it on.
        await database.batch<Uint8Array, Uint8Array>(batch, { ...encoding, sync: true } as typeof encoding)
        for (const write of writes) write.resolve()
      } catch (cause) {
        failure ??= failed('written; reopen it to go on', cause)
        for (const write of writes) write.reject(failure)
      }
    }
    flushing = undefined
  }

  return {
    ...closes,
    async get(key) {
      assertOpen()
      const encoded = encodeKey(key)
      try {
        const value = await database.get<Uint8Array, Uint8Array>(encoded, encoding)
        return value && plain(value)
      } catch (cause) {
        throw failed('read', cause)
      }
    },
    async write(changes) {
      assertOpen()
      if (failure) throw failure
      assertChanges(changes)
      if (changes.length === 0) return
      if (waitingChanges + changes.length > MAX_WAITING && waiting.length > 0) {
        throw new SluiceError('OVERLOADED', `${name} can't keep up: wait for earlier writes`, { details: { store: name } })
      }
      // Copied now: the caller may reuse the bytes while earlier writes are on their way.
      const copies = changes.map(({ key, value }) => ({ key, value: value && Uint8Array.from(value) }))
      waitingChanges += copies.length
      await new Promise<void>((resolve, reject) => {
        waiting.push({ changes: copies, resolve, reject })
        flushing ??= flush()
      })
    },
    async *list(prefix) {
      assertOpen()
      const range = prefix === '' ? {} : { gte: encodeKey(prefix), lt: prefixEnd(prefix)! }
      const iterator = database.iterator<Uint8Array, Uint8Array>({ ...range, ...encoding })
      try {
        for await (const [key, value] of iterator) {
          assertOpen()
          yield [decodeKey(key), plain(value)]
          assertOpen()
        }
      } catch (cause) {
        throw cause instanceof SluiceError ? cause : failed('read', cause)
      }
    },
    close() {
      closing ??= (async () => {
        await flushing
        try {
          await database.close()
        } catch (cause) {
          throw failed('closed', cause)
        }
      })()
      return closing
    },
  }
}

/** A plain array of the caller's own: engines give Buffers, or the very bytes they hold. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}
