import {
  Kysely, PostgresAdapter, PostgresDriver, PostgresIntrospector, PostgresQueryCompiler,
  type IsolationLevel, type PostgresPool, type QueryExecutorProvider, type Transaction,
} from 'kysely'
import { throwIfAborted } from '../deadline.ts'
import { type AsyncCloseable, closes } from '../dispose.ts'
import { isSluiceError, SluiceError } from '../errors.ts'
import { retry } from '../retry.ts'

/** Options of {@link Sql.transaction}. */
export interface TransactionOptions {
  /**
   * What the transaction may see of others. `read committed` is enough where the database guards the rows itself (keys,
   * checks, locked rows); take `serializable` to decide by what was read. @default 'read committed'
   */
  readonly isolation?: IsolationLevel | undefined
  /** Ends the pauses between the runs; a run under way goes on. @default none */
  readonly signal?: AbortSignal | undefined
}

/**
 * A PostgreSQL database: the real one, or PGlite in this process.
 *
 * int8 comes as `bigint`, jsonb as a value, bytea as `Uint8Array`, numeric as decimal text. Every error of the database
 * or of the way to it is a `SQL_FAILED`; `sqlState` tells them apart.
 */
export interface Sql<DB> extends AsyncCloseable {
  readonly db: Kysely<DB>
  /**
   * Runs `run` in one transaction, and again from the start while the database answers that it could not serialise it
   * (40001) or broke a deadlock (40P01), 20 times at most. `run` has no other effects, for that reason.
   *
   * Inside, use `tx` alone: `db` would wait for a connection that this transaction holds.
   * @throws what `run` throws; `SQL_FAILED`. When the connection is lost at commit the outcome is unknown: ask by a key.
   */
  transaction<T>(run: (tx: Transaction<DB>) => Promise<T>, options?: TransactionOptions): Promise<T>
  /** Ends all connections. */
  close(): Promise<void>
}

/** A transaction under way on tables of any kind: what a part with tables of its own takes from its caller. */
export type Tx = QueryExecutorProvider & { readonly isTransaction: true }

/** Callers that may wait for a connection; more are refused with `OVERLOADED`. */
const MAX_WAITING = 10_000

/** Makes a {@link Sql} of a pool of connections to a PostgreSQL. */
export function createSql<DB>(pool: PostgresPool): Sql<DB> {
  const guarded = guard(pool)
  const db = new Kysely<DB>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new PostgresDriver({ pool: guarded }),
      createIntrospector: (database) => new PostgresIntrospector(database),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  })
  return {
    ...closes,
    db,
    transaction: (run, { isolation = 'read committed', signal } = {}) =>
      retry(
        () => {
          throwIfAborted(signal, 'the transaction')
          return db.transaction().setIsolationLevel(isolation).execute(run)
        },
        {
          attempts: 20,
          delay: 10,
          maxDelay: 1000,
          random: fullJitter,
          signal,
          advise: (error) => (['40001', '40P01'].includes(sqlState(error) ?? '') ? 'retry' : 'abort'),
        },
      ),
    async close() {
      await db.destroy()
      await guarded.end() // Kysely doesn't, if there was no statement
    },
  }
}

/** For {@link retry} and its `backoff`, which take off half of it at most: pauses from nothing to the whole one. */
export const fullJitter = (): number => 2 * Math.random()

/** The SQLSTATE behind an error, be it wrapped or not: `23505` for a key that is taken. Undefined if there is none. */
export function sqlState(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (isSluiceError(at, 'SQL_FAILED') && typeof at.details.sqlState === 'string') return at.details.sqlState
    if ('severity' in at && 'code' in at && typeof at.code === 'string') return at.code
  }
  return undefined
}

/** Bounds the line before a pool, and makes a {@link SluiceError} of all that fails in it. */
function guard(pool: PostgresPool): PostgresPool {
  let waiting = 0
  let ending: Promise<void> | undefined
  return {
    async connect() {
      if (waiting >= MAX_WAITING) {
        throw new SluiceError('OVERLOADED', 'too many calls wait for a connection to the database', { details: { waiting } })
      }
      waiting++
      const client = await pool.connect().catch(fail).finally(() => waiting--)
      return {
        query: ((text: string, values: unknown[]) => client.query(text, values).catch(fail)) as typeof client.query,
        release: () => client.release(),
      }
    },
    end: () => (ending ??= pool.end().catch(fail)),
  }
}

/** What the system says of a socket: host and port, and nothing of who signs in. */
function whereOf(cause: unknown): string {
  const { syscall, code, hostname, address, port } = cause as Readonly<Record<string, unknown>>
  const host = hostname ?? address
  if (typeof syscall !== 'string' || typeof host !== 'string') return ''
  return ` at ${host}${typeof port === 'number' ? `:${port}` : ''} (${syscall} ${String(code)})`
}

/** The database's own sentence may hold values of a row, so it stays in the cause. */
function fail(cause: unknown): never {
  if (isSluiceError(cause)) throw cause
  const state = sqlState(cause)
  const { constraint } = cause as { constraint?: string | undefined }
  throw new SluiceError(
    'SQL_FAILED',
    state === undefined ? `the database could not be reached${whereOf(cause)}` : `the database refused a statement (SQLSTATE ${state})`,
    { cause, details: { sqlState: state, constraint } },
  )
}
