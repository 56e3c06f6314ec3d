import { fsyncSync } from 'node:fs'
import { open, readdir, type FileHandle } from 'node:fs/promises'
import { platform } from 'node:os'
import { join } from 'node:path'
import type { PGlite } from '@electric-sql/pglite'
import type { PostgresPool } from 'kysely'
import { assertArguments, optional, rule } from '../argument.ts'
import { SluiceError } from '../errors.ts'
import { loadPackage } from '../platform/loadPackage.ts'
import { openLevelStore } from '../store/openLevelStore.ts'
import { createSql, type Sql } from './sql.ts'

/** Options of {@link openPglite}. */
export interface PgliteOptions {
  /** Where the database lies, safe on the disk with each commit. @default none: in memory, it ends with {@link Sql.close} */
  readonly folder?: string | undefined
}

/** Statements between two looks at the write-ahead log. */
const LOOK_EVERY = 1000
/** Bytes that the write-ahead log grows by before a checkpoint: PGlite has no process that makes any. */
const MAX_WAL = 64 * 1024 * 1024

const folderRule = rule('the path of a folder', (value) => typeof value === 'string' && value !== '' && !value.includes('\0'))

/**
 * Opens a PostgreSQL inside this process (PGlite, PostgreSQL compiled to WebAssembly): the default of a small server, and
 * of tests.
 *
 * It has one connection, so transactions run one after another.
 * @param template - a new database to begin from (`dumpDataDir`): tests start in a fifth of the time with one.
 * @throws `STORE_LOCKED` while another process has the folder open, `STORE_FAILED` if PGlite doesn't load.
 */
export async function openPglite<DB>(options: PgliteOptions = {}, template?: Blob): Promise<Sql<DB>> {
  assertArguments(options, { folder: optional(folderRule) }, 'options')
  assertArguments({ template }, { template: optional(rule('a Blob', (value) => value instanceof Blob)) })
  const { folder } = options
  const { PGlite, types } = loadPglite()
  // As PGlite starts, but for `-F`, which takes commits for done that only the cache of the system has.
  const durable = [...PGlite.defaultStartParams.filter((param) => param !== '-F'), '-c', 'wal_sync_method=fsync']
  // PGlite doesn't notice a second process on its files. LevelDB does, and its lock ends with the process that held it.
  const lock = folder === undefined ? undefined : await openLevelStore(join(folder, 'lock'))
  let failure: unknown
  try {
    const dataDir = folder === undefined ? undefined : join(folder, 'pglite')
    const database = await PGlite.create({
      ...(dataDir !== undefined && { dataDir, startParams: durable }),
      ...(template && { loadDataDir: template }),
      parsers: { [types.INT8]: BigInt },
    })
    if (dataDir !== undefined) {
      letSync(database, (cause) => (failure = cause))
      await syncAll(dataDir)
    }
    return createSql<DB>(
      poolOfOne(
        database,
        () => {
          if (failure !== undefined) throw new Error('the disk has failed: open the database again', { cause: failure })
        },
        async () => {
          if (failure === undefined) await database.close()
          await lock?.close()
        },
      ),
    )
  } catch (error) {
    await lock?.close()
    throw error
  }
}

/** PGlite, when the first database is opened: 20 MB of WebAssembly that a server with a PostgreSQL does without. */
function loadPglite(): typeof import('@electric-sql/pglite') {
  try {
    return loadPackage('@electric-sql/pglite')
  } catch (cause) {
    throw new SluiceError(
      'STORE_FAILED',
      'the database needs the package @electric-sql/pglite beside the program: npm install @electric-sql/pglite, ' +
        'or name a PostgreSQL as postgres://user:password@host/database',
      { cause },
    )
  }
}

/** How PGlite reaches its files. */
interface Files {
  readonly stream_ops: {
    fsync?: (stream: { readonly nfd: number }) => number
    write: (stream: unknown, buffer: unknown, offset: number, length: number) => number
  }
  readonly node_ops: Record<'rename' | 'unlink' | 'setattr', () => void>
}

/**
 * Gives PGlite's files what they lack: an fsync that PostgreSQL's own one ends in.
 *
 * PostgreSQL panics when the disk refuses, which never ends in PGlite. Instead it is let go on, and nothing that it does
 * reaches the disk any more: the files are as after a crash.
 * @param broken - called when the disk refuses: what is in memory then must not be used any more.
 */
function letSync(database: PGlite, broken: (cause: unknown) => void): void {
  const { stream_ops: streams, node_ops: nodes } = (database.Module as unknown as { readonly NODEFS: Files }).NODEFS
  streams.fsync = ({ nfd }) => {
    try {
      fsyncSync(nfd)
    } catch (cause) {
      broken(cause)
      streams.fsync = () => 0
      streams.write = (_stream, _buffer, _offset, length) => length
      nodes.rename = nodes.unlink = nodes.setattr = () => {}
    }
    return 0
  }
}

/** Syncs what is in a folder: a new database was written before PostgreSQL could do it. */
async function syncAll(folder: string): Promise<void> {
  const paths = [folder, ...(await readdir(folder, { recursive: true })).map((name) => join(folder, name))]
  const work = async (): Promise<void> => {
    for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
      const file = await openToSync(path)
      await file?.sync()
      await file?.close()
    }
  }
  await Promise.all(Array.from({ length: 16 }, work))
}

/** A directory can't be written, and on Windows not synced either. */
async function openToSync(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r+')
  } catch {
    return platform() === 'win32' ? undefined : open(path)
  }
}

/**
 * Lends the one connection to one caller at a time, in the order they came.
 * @param assertWhole - throws when the disk has failed.
 */
function poolOfOne(database: PGlite, assertWhole: () => void, end: () => Promise<void>): PostgresPool {
  let last = Promise.resolve()
  let statements = 0
  /** Keeps the write-ahead log from growing for ever. */
  const tidy = async (): Promise<void> => {
    statements = 0
    const { rows } = await database.query<{ long: boolean }>(
      'select pg_current_wal_insert_lsn() - redo_lsn > $1::int8 as long from pg_control_checkpoint()',
      [MAX_WAL],
    )
    if (rows[0]!.long) await database.exec('checkpoint')
  }
  const query = async (text: string, values: readonly unknown[]) => {
    assertWhole()
    statements++
    // The extended protocol takes one statement; migrations have many, and no values.
    const answer =
      values.length === 0
        ? (await database.exec(text)).at(-1) ?? { rows: [] }
        : await database.query(
          text,
          values.map((value) => (typeof value === 'bigint' ? value.toString() : value)),
        )
    assertWhole()
    return answer
  }
  return {
    async connect() {
      const before = last
      let release!: () => void
      last = new Promise<void>((resolve) => (release = resolve))
      await before
      return {
        query: query as never,
        release() {
          if (statements < LOOK_EVERY) release()
          else void tidy().then(release, release)
        },
      }
    },
    async end() {
      await last
      await end()
    },
  }
}
