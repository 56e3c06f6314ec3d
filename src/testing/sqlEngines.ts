import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PGlite } from '@electric-sql/pglite'
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
  const sql = await openPglite<unknown>({}, await emptyDatabase())
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

/** A new database, kept beside the packages: making one takes seconds. */
async function emptyDatabase(): Promise<Blob> {
  const { size, mtimeMs } = await stat(createRequire(import.meta.url).resolve('@electric-sql/pglite'))
  const path = fileURLToPath(new URL(`../../node_modules/.cache/sluice/pglite-${size}-${mtimeMs}.tar`, import.meta.url))
  const kept = await readFile(path).catch(() => undefined)
  if (kept) return new Blob([kept])
  const database = await PGlite.create()
  const dump = await database.dumpDataDir('none')
  await database.close()
  await mkdir(dirname(path), { recursive: true })
  // Others may be at it too: whoever comes last wins, and nobody reads half of it.
  const mine = join(dirname(path), `${process.pid}-${Date.now()}.tar`)
  await writeFile(mine, Buffer.from(await dump.arrayBuffer()))
  await rename(mine, path)
  return dump
}
