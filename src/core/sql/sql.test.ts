import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sql as statement } from 'kysely'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { pgliteEngine, postgresEngine, type SqlEngine } from '../../testing/sqlEngines.ts'
import { sqlSuite } from '../../testing/sqlSuite.ts'
import { openPglite } from './openPglite.ts'
import { openPostgres } from './openPostgres.ts'
import { createSql, sqlState } from './sql.ts'

let pglite: SqlEngine
let postgres: Awaited<ReturnType<typeof postgresEngine>>
/** A process that writes into a folder. Its database takes seconds to start, which pass while other tests run. */
let writer: {
  readonly folder: string
  readonly child: ChildProcess
  readonly wrote: Promise<unknown>
  readonly ended: Promise<unknown>
}

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-pglite-'))
  const path = fileURLToPath(new URL('writer.testing.ts', import.meta.url))
  const args = ['--conditions=@sluice/source', '--import', 'tsx', path, folder]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const wrote = Promise.race([once(child.stdout, 'data'), ended.then(() => Promise.reject(new Error('the writer has ended')))])
  wrote.catch(() => {}) // a test asks
  writer = { folder, child, wrote, ended }
  pglite = await pgliteEngine()
  postgres = await postgresEngine()
}, 60_000)
afterAll(async () => {
  writer.child.kill('SIGKILL')
  await writer.ended
  await rm(writer.folder, { recursive: true, force: true })
  await pglite?.stop()
  await postgres?.stop()
})

sqlSuite('PGlite', () => pglite.open(), { describe, it, expect })
sqlSuite('PostgreSQL', () => postgres.open(), { describe, it, expect })

describe('openPostgres', () => {
  it('meets serialisation failures in truth, and they are run again', async () => {
    const sql = await postgres.open()
    await statement`create table a (id int8, amount int8)`.execute(sql.db)
    await statement`insert into a values (1, 0)`.execute(sql.db)
    let runs = 0
    await Promise.all(
      Array.from({ length: 8 }, () =>
        sql.transaction(
          async (tx) => {
            runs++
            const { rows } = await statement<{ amount: bigint }>`select amount from a where id = 1`.execute(tx)
            await statement`update a set amount = ${rows[0]!.amount + 1n} where id = 1`.execute(tx)
          },
          { isolation: 'serializable' },
        ),
      ),
    )
    expect((await statement<{ amount: bigint }>`select amount from a`.execute(sql.db)).rows).toEqual([{ amount: 8n }])
    expect(runs).toBeGreaterThan(8)
    await sql.close()
  })

  it('gives up after 20 runs with the reason', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(1) // pauses are shortened at random: all the way
    const sql = await postgres.open()
    let runs = 0
    const failing = sql.transaction(async (tx) => {
      runs++
      await statement.raw("do $$ begin raise exception using errcode = '40001'; end $$").execute(tx)
    })
    await expect(failing).rejects.toSatisfy((error) => sqlState(error) === '40001')
    expect(runs).toBe(20)
    await sql.close()
  })

  it('says that it cannot be reached, without the password', async () => {
    const sql = openPostgres({ url: 'postgres://a:secret@127.0.0.1:1/x' })
    const error = await sql.transaction(async () => {}).catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'SQL_FAILED', shortMessage: 'the database could not be reached at 127.0.0.1:1 (connect ECONNREFUSED)' })
    expect(JSON.stringify(error)).not.toContain('secret')
    await sql.close()
  })

  it('goes on with a new connection after the server has cut the others', async () => {
    const sql = openPostgres({ url: await postgres.openUrl(), pool: 2 })
    const cut = sql.transaction(async (tx) => {
      await statement`select pg_terminate_backend(pg_backend_pid())`.execute(tx)
    })
    await expect(cut).rejects.toMatchObject({ code: 'SQL_FAILED' })
    expect((await statement`select 1 as one`.execute(sql.db)).rows).toEqual([{ one: 1 }])
    await sql.close()
  })
})

describe('openPglite', () => {
  it('keeps what a process wrote that was killed, and its folder for one process at a time', async () => {
    const { folder, child, wrote, ended } = writer
    await wrote
    await expect(openPglite({ folder })).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    child.kill('SIGKILL')
    await ended
    await (await openPglite({ folder })).close()
    const sql = await openPglite({ folder })
    expect((await statement`select id from a`.execute(sql.db)).rows).toEqual([{ id: 7n }])
    await sql.close()
  }, 120_000)
})

describe('createSql', () => {
  it('refuses callers beyond those that may wait for a connection', async () => {
    const never = () => new Promise<never>(() => {})
    const { db } = createSql<unknown>({ connect: never, end: async () => {} })
    const first = Array.from({ length: 10_000 }, () => statement`select 1`.execute(db).catch(() => 'refused'))
    await expect(statement`select 1`.execute(db)).rejects.toMatchObject({ code: 'OVERLOADED' })
    expect(await Promise.race([...first, Promise.resolve('all wait')])).toBe('all wait')
  })
})
