import { fsyncSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql as statement } from 'kysely'
import { afterAll, expect, it, vi } from 'vitest'
import { openPglite } from './openPglite.ts'

/** Errors that the disk answers a sync with. */
const broken = vi.hoisted(() => ({ is: false }))
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>()
  return {
    ...fs,
    fsyncSync: vi.fn((fd: number) => {
      if (broken.is) throw Object.assign(new Error('EIO'), { code: 'EIO' })
      fs.fsyncSync(fd)
    }),
  }
})

const folders: string[] = []
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true })
})
const newFolder = async (): Promise<string> => {
  folders.push(await mkdtemp(join(tmpdir(), 'sluice-pglite-')))
  return folders.at(-1)!
}

it('has on the disk what was committed, with one sync for a transaction and none for a look', async () => {
  const sql = await openPglite<unknown>({ folder: await newFolder() })
  await statement`create table a (id int8)`.execute(sql.db)
  vi.mocked(fsyncSync).mockClear()
  await sql.transaction(async (tx) => {
    for (const id of [1, 2, 3]) await statement`insert into a values (${id})`.execute(tx)
  })
  expect(fsyncSync).toHaveBeenCalledTimes(1)
  await statement`insert into a values (4)`.execute(sql.db)
  expect(fsyncSync).toHaveBeenCalledTimes(2)
  await statement`select * from a`.execute(sql.db)
  expect(fsyncSync).toHaveBeenCalledTimes(2)

  // A commit that the disk does not take is none.
  broken.is = true
  await expect(statement`insert into a values (5)`.execute(sql.db)).rejects.toMatchObject({ code: 'SQL_FAILED' })
  broken.is = false
  await sql.close().catch(() => {})
}, 60_000)

it('makes checkpoints, so that its log does not grow for ever', async () => {
  const sql = await openPglite<unknown>()
  await statement`create table a (id int8, body text)`.execute(sql.db)
  const log = async (): Promise<number> => {
    const { rows } = await statement<{ bytes: string }>`
      select pg_current_wal_insert_lsn() - redo_lsn as bytes from pg_control_checkpoint()`.execute(sql.db)
    return Number(rows[0]!.bytes)
  }
  for (let i = 0; i < 900; i++) await statement`insert into a select i, repeat('x', 800) from generate_series(1, 100) i`.execute(sql.db)
  expect(await log()).toBeGreaterThan(64 * 1024 * 1024)
  for (let i = 0; i < 120; i++) await statement`select 1`.execute(sql.db)
  expect(await log()).toBeLessThan(1024 * 1024)
  await sql.close()
}, 60_000)
