import { sql as statement } from 'kysely'
import { type Clock, systemClock } from '../clock.ts'
import { type AsyncCloseable, closes } from '../dispose.ts'
import { assertArgument, isSluiceError, SluiceError } from '../errors.ts'
import { type Logger, silentLogger } from '../log.ts'
import { migrate, type Migration } from '../sql/migrate.ts'
import type { Sql, Tx } from '../sql/sql.ts'
import { assertChanges, decodeKey, encodeKey, prefixEnd } from './key.ts'
import type { Store, StoreChange } from './store.ts'

/** Options of {@link sqlStore}. */
export interface SqlStoreOptions {
  /**
   * Milliseconds after the death of its owner until the store can be opened again; the owner renews its lease at each third
   * of it. @default 30000
   */
  readonly lease?: number | undefined
  /**
   * Called once, when writes are refused from now on: one has failed, or another process has taken the store over. Close it
   * then, and open it anew. @default none
   */
  readonly onBroken?: ((error: SluiceError) => void) | undefined
  /** When to renew; the lease itself runs by the database's clock. @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

/** The tables of all stores of a database. Keys are bytes: their order is that of code points, whatever the collation. */
const migrations: readonly Migration[] = [
  {
    name: 'stores',
    up: `
      create table stores (name text primary key, claim int8 not null, leased_until timestamptz not null);
      create table store_entries (
        store text not null references stores, key bytea not null, value bytea not null, primary key (store, key)
      );
    `,
  },
]

/** Changes that may wait for the database; beyond, a write is refused with `OVERLOADED`. */
const MAX_WAITING = 65_536
/** Entries of one statement, read or written. */
const PAGE = 256

interface Write {
  readonly changes: readonly StoreChange[]
  resolve(): void
  reject(error: SluiceError): void
}

/**
 * Opens the store `name` in a database, laying its tables if need be.
 *
 * It has one owner among all processes, who holds a lease. An owner that stands still for longer than the lease can lose the
 * store to another one; its writes are refused from then on, so what the two have written never mixes. Writes go out one
 * transaction at a time; what is written meanwhile shares the next one. After a write has failed its outcome is unknown: the
 * store refuses further writes until it is reopened.
 * @throws `STORE_LOCKED` while somebody has it open, `STORE_FAILED`.
 */
export async function sqlStore<DB>(sql: Sql<DB>, name: string, options: SqlStoreOptions = {}): Promise<Store & AsyncCloseable> {
  const { lease = 30_000, onBroken, clock = systemClock, log = silentLogger } = options
  assertArgument(name.length > 0 && name.length <= 1000 && !name.includes('\0'), 'name', '1 to 1000 characters')
  assertArgument(Number.isSafeInteger(lease) && lease > 0, 'lease', 'whole milliseconds above zero')
  const details = { store: name }
  const failed = (what: string, cause: unknown): SluiceError =>
    new SluiceError('STORE_FAILED', `the store ${name} could not be ${what}`, { cause, details })
  const until = statement`clock_timestamp() + ${lease} * interval '1 millisecond'`

  const claim = await open().catch((cause: unknown) => {
    throw isSluiceError(cause, 'STORE_LOCKED') ? cause : failed('opened', cause)
  })
  let waiting: Write[] = []
  let waitingChanges = 0
  let flushing: Promise<void> | undefined
  let failure: SluiceError | undefined
  let closing: Promise<void> | undefined
  const over = new AbortController()
  const renewing = renew()

  return {
    ...closes,
    async get(key) {
      assertOpen()
      const encoded = encodeKey(key)
      try {
        const { rows } = await statement<{ value: Uint8Array }>`select value from store_entries
          where store = ${name} and key = ${encoded}`.execute(sql.db)
        return rows[0]?.value
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
        throw new SluiceError('OVERLOADED', `the store ${name} can't keep up: wait for earlier writes`, { details })
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
      const end = prefixEnd(prefix)
      let from: Uint8Array = prefix === '' ? new Uint8Array(0) : encodeKey(prefix)
      for (let after = statement`>=`; ; after = statement`>`) {
        const page = statement<{ key: Uint8Array; value: Uint8Array }>`select key, value from store_entries
          where store = ${name} and key ${after} ${from} ${end ? statement`and key < ${end}` : statement``}
          order by key limit ${PAGE}`
        const { rows } = await page.execute(sql.db).catch((cause: unknown) => {
          throw failed('read', cause)
        })
        for (const { key, value } of rows) {
          assertOpen()
          from = key
          yield [decodeKey(key), value]
        }
        assertOpen()
        if (rows.length < PAGE) return
      }
    },

    close() {
      closing ??= (async () => {
        over.abort()
        await flushing
        await renewing
        try {
          await statement`update stores set leased_until = '-infinity' where ${own()}`.execute(sql.db)
        } catch (cause) {
          throw failed('closed', cause)
        }
      })()
      return closing
    },
  }

  function assertOpen(): void {
    if (closing) throw new SluiceError('STORE_FAILED', `the store ${name} is closed`, { details })
  }

  /** Takes the lease, if nobody has it. */
  async function open(): Promise<bigint> {
    await migrate(sql, 'store', migrations)
    const { rows } = await statement<{
      claim: bigint
    }>`insert into stores (name, claim, leased_until) values (${name}, 1, ${until})
      on conflict (name) do update set claim = stores.claim + 1, leased_until = ${until}
      where stores.leased_until <= clock_timestamp() returning claim`.execute(sql.db)
    if (rows[0]) return rows[0].claim
    throw new SluiceError('STORE_LOCKED', `the store ${name} is already open: close it, or wait until its owner's lease ends`, {
      details,
    })
  }

  /** The row while the store is ours, be the lease over or not. */
  function own() {
    return statement`name = ${name} and claim = ${claim}`
  }

  async function flush(): Promise<void> {
    await Promise.resolve() // what is written in the same turn shares the first transaction
    while (waiting.length > 0) {
      const writes = waiting
      waiting = []
      waitingChanges = 0
      try {
        if (failure) throw failure
        // The last change of a key is the one that counts, and a statement may name a key once.
        const last = new Map(writes.flatMap(({ changes }) => changes.map(({ key, value }) => [key, value] as const)))
        await sql.transaction((tx) => put(tx, [...last]))
        for (const write of writes) write.resolve()
      } catch (cause) {
        const error = broken(isSluiceError(cause, 'STORE_LOCKED') ? cause : failed('written; reopen it to go on', cause))
        for (const write of writes) write.reject(error)
      }
    }
    flushing = undefined
  }

  async function put(tx: Tx, changes: readonly (readonly [key: string, value: Uint8Array | null])[]): Promise<void> {
    // Locks the row: nobody takes the store over before this transaction has ended.
    const { numAffectedRows } = await statement`update stores set leased_until = ${until} where ${own()}`.execute(tx)
    if (numAffectedRows === 0n) throw lost()
    for (let at = 0; at < changes.length; at += PAGE) {
      const page = changes.slice(at, at + PAGE).map(([key, value]) => ({ key: encodeKey(key), value }))
      const gone = page.filter(({ value }) => value === null)
      if (gone.length > 0) {
        await statement`delete from store_entries where store = ${name}
          and key in (${statement.join(gone.map(({ key }) => key))})`.execute(tx)
      }
      const rows = page
        .filter(({ value }) => value !== null)
        .map(({ key, value }) => statement`(${name}, ${key}::bytea, ${value}::bytea)`)
      if (rows.length > 0) {
        await statement`insert into store_entries (store, key, value) values ${statement.join(rows)}
          on conflict (store, key) do update set value = excluded.value`.execute(tx)
      }
    }
  }

  /** Refuses writes from now on. @returns why. */
  function broken(error: SluiceError): SluiceError {
    if (failure) return failure
    failure = error
    log.warn('a store can no longer be written', { ...details, code: error.code })
    onBroken?.(error)
    return error
  }

  function lost(): SluiceError {
    return new SluiceError('STORE_LOCKED', `the store ${name} was taken over by another process`, { details })
  }

  async function renew(): Promise<void> {
    while (!over.signal.aborted) {
      try {
        await clock.sleep(Math.ceil(lease / 3), over.signal)
        const { numAffectedRows } = await statement`update stores set leased_until = ${until} where ${own()}`.execute(sql.db)
        if (numAffectedRows !== 0n || over.signal.aborted) continue
        broken(lost())
        return
      } catch (error) {
        if (!over.signal.aborted) log.warn('the lease of a store could not be renewed', { ...details, reason: String(error) })
      }
    }
  }
}
