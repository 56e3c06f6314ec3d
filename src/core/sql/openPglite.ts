import { join } from 'node:path'
import { PGlite, types } from '@electric-sql/pglite'
import type { PostgresPool } from 'kysely'
import { openLevelStore } from '../store/openLevelStore.ts'
import { createSql, type Sql } from './sql.ts'

/** Options of {@link openPglite}. */
export interface PgliteOptions {
  /** Where the database lies. @default none: it lives in memory and ends with {@link Sql.close} */
  readonly folder?: string | undefined
}

/**
 * Opens a PostgreSQL inside this process (PGlite, PostgreSQL compiled to WebAssembly): the default of a small server, and
 * of tests.
 *
 * It has one connection, so transactions run one after another.
 * @throws `STORE_LOCKED` while another process has the folder open.
 */
export async function openPglite<DB>({ folder }: PgliteOptions = {}): Promise<Sql<DB>> {
  // PGlite doesn't notice a second process on its files. LevelDB does, and its lock ends with the process that held it.
  const lock = folder === undefined ? undefined : await openLevelStore(join(folder, 'lock'))
  try {
    const database = await PGlite.create({
      ...(folder !== undefined && { dataDir: join(folder, 'pglite') }),
      parsers: { [types.INT8]: BigInt },
    })
    return createSql<DB>(
      poolOfOne(database, async () => {
        await database.close()
        await lock?.close()
      }),
    )
  } catch (error) {
    await lock?.close()
    throw error
  }
}

/** Lends the one connection to one caller at a time, in the order they came. */
function poolOfOne(database: PGlite, end: () => Promise<void>): PostgresPool {
  let last = Promise.resolve()
  const query = async (text: string, values: readonly unknown[]) => {
    // The extended protocol takes one statement; migrations have many, and no values.
    if (values.length === 0) return (await database.exec(text)).at(-1) ?? { rows: [] }
    return database.query(text, values.map((value) => (typeof value === 'bigint' ? value.toString() : value)))
  }
  return {
    async connect() {
      const before = last
      let release!: () => void
      last = new Promise<void>((resolve) => (release = resolve))
      await before
      return { query: query as never, release }
    },
    async end() {
      await last
      await end()
    },
  }
}
