import pg from 'pg'
import { assertArguments, integer, optional, text } from '../argument.ts'
import { createSql, type Sql } from './sql.ts'

/** Options of {@link openPostgres}. */
export interface PostgresOptions {
  /** `postgres://user:password@host:port/database` (RFC 3986). */
  readonly url: string
  /** Connections at most. @default 10 */
  readonly pool?: number | undefined
}

/** Object identifiers of types, as PostgreSQL's `pg_type.dat` gives them. */
const BYTEA = 17
const INT8 = 20
const INT8_ARRAY = 1016

/** Milliseconds to wait for a connection. */
const CONNECT_TIMEOUT = 30_000

/**
 * Opens a PostgreSQL by its URL, over a pool of connections.
 *
 * No connection is made before the first statement.
 */
export function openPostgres<DB>(options: PostgresOptions): Sql<DB> {
  assertArguments(options, { url: text(1), pool: optional(integer(1, 10_000)) }, 'options')
  const { url, pool: max = 10 } = options
  const pool = new pg.Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: CONNECT_TIMEOUT,
    types: { getTypeParser: typeParser as typeof pg.types.getTypeParser },
  })
  // A connection that breaks fails its statement, and the pool replaces it; an event without a listener ends the process.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return createSql<DB>(pool)
}

function typeParser(type: number, format?: 'text' | 'binary'): (text: string) => unknown {
  const parse = pg.types.getTypeParser(type, format) as (text: string) => unknown
  switch (type) {
    case INT8:
      return BigInt
    case INT8_ARRAY:
      return (text) => (parse(text) as (string | null)[]).map((value) => (value === null ? null : BigInt(value)))
    case BYTEA:
      return (text) => new Uint8Array(parse(text) as Uint8Array)
    default:
      return parse
  }
}
