import { sql as statement } from 'kysely'
import { openPglite } from '../core/sql/openPglite.ts'
import { openPostgres } from '../core/sql/openPostgres.ts'
import type { Sql } from '../core/sql/sql.ts'
import { startPostgres } from './postgres.ts'

/** A database engine that suites run on. */
export interface SqlEngine {
  /** Opens an empty database. The one before must be closed, or is emptied. */
  open(): Promise<Sql<unknown>>
  /** Ends the engine. */
  stop(): Promise<void>
}

/** PGlite, in memory and in this process: it is started once and emptied at each opening, which takes less time. */
export async function pgliteEngine(): Promise<SqlEngine> {
  const sql = await openPglite<unknown>()
  return {
    async open() {
      await statement.raw('drop schema public cascade; create schema public').execute(sql.db)
      return { ...sql, close: async () => {} }
    },
    stop: () => sql.close(),
  }
}

/** A real PostgreSQL that gives a database of its own at each opening, by its URL to those who want more of it. */
export async function postgresEngine(): Promise<SqlEngine & { openUrl(): Promise<string> }> {
  const postgres = await startPostgres()
  return {
    openUrl: () => postgres.createDatabase(),
    open: async () => openPostgres<unknown>({ url: await postgres.createDatabase(), pool: 20 }),
    stop: () => postgres.stop(),
  }
}
