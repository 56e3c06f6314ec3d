import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { sql as statement } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pgliteEngine, postgresEngine, type SqlEngine } from '../../testing/sqlEngines.ts'
import { storeSuite } from '../../testing/storeSuite.ts'
import { utf8 } from '../bytes.ts'
import type { SluiceError } from '../errors.ts'
import { openPostgres } from '../sql/openPostgres.ts'
import type { Sql } from '../sql/sql.ts'
import { sqlStore } from './sqlStore.ts'
import type { Store } from './store.ts'

let pglite: SqlEngine
let postgres: Awaited<ReturnType<typeof postgresEngine>>
/** Two ways into one database. */
let url: string
let inPglite: Sql<unknown>
let inPostgres: Sql<unknown>
let count = 0

beforeAll(async () => {
  pglite = await pgliteEngine()
  postgres = await postgresEngine()
  inPglite = await pglite.open()
  url = await postgres.openUrl()
  inPostgres = openPostgres({ url })
}, 60_000)
afterAll(async () => {
  await inPglite?.close()
  await inPostgres?.close()
  await pglite?.stop()
  await postgres?.stop()
})

const underTest = (sql: () => Sql<unknown>) => async () => {
  const name = `store ${++count}`
  return { store: await sqlStore(sql(), name), reopen: () => sqlStore(sql(), name) }
}
storeSuite(
  'SQL on PGlite',
  underTest(() => inPglite),
  { describe, it, expect },
)
storeSuite(
  'SQL on PostgreSQL',
  underTest(() => inPostgres),
  { describe, it, expect },
)

/** A store that a process of its own has open. */
async function owner(name: string, lease: number) {
  const script = fileURLToPath(new URL('./sqlOwner.testing.ts', import.meta.url))
  const child = spawn(process.execPath, ['--conditions=@sluice/source', '--import', 'tsx', script, url, name, String(lease)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = new Promise((resolve) => child.once('close', resolve))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<string> => String((await lines.next()).value)
  expect(await next()).toBe('open')
  return {
    write: (): Promise<string> => (child.stdin.write('\n'), next()),
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    ended,
  }
}

/** Opens a store as soon as it is free. */
async function openWhenFree(name: string): Promise<Store> {
  for (;;) {
    try {
      return await sqlStore(inPostgres, name, { lease: 1000 })
    } catch (error) {
      expect(error).toMatchObject({ code: 'STORE_LOCKED', details: { store: name } })
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

describe('sqlStore', () => {
  it('keeps other processes out, and is free again after kill -9', { timeout: 30_000 }, async () => {
    const first = await owner('killed', 1000)
    expect(await first.write()).toBe('wrote 1')
    // Long after its first lease: it was renewed.
    await new Promise((resolve) => setTimeout(resolve, 2500))
    await expect(sqlStore(inPostgres, 'killed')).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    first.kill('SIGKILL')
    await first.ended
    const store = await openWhenFree('killed')
    expect(await store.get('count')).toEqual(utf8('1'))
    await store.close()
  })

  it('refuses the writes of an owner that stood still and lost it', { timeout: 30_000 }, async () => {
    const first = await owner('stopped', 1000)
    expect(await first.write()).toBe('wrote 1')
    first.kill('SIGSTOP')
    const store = await openWhenFree('stopped')
    await store.write([{ key: 'count', value: utf8('mine') }])
    first.kill('SIGCONT')
    expect(await first.write()).toBe('STORE_LOCKED')
    expect(await store.get('count')).toEqual(utf8('mine'))
    first.kill('SIGKILL')
    await first.ended
    await store.close()
  })

  it.each([
    ['was taken over', 'STORE_LOCKED', statement`update stores set claim = claim + 1 where name = 'broken'`],
    ['has failed', 'STORE_FAILED', statement`alter table store_entries rename to gone`],
  ])('tells its owner once that it %s, and refuses writes from then on', async (_, code, breakIt) => {
    const sql = await pglite.open()
    const broken: SluiceError[] = []
    const store = await sqlStore(sql, 'broken', { lease: 300, onBroken: (error) => broken.push(error) })
    await breakIt.execute(sql.db)
    await expect(store.write([{ key: 'a', value: utf8('1') }])).rejects.toMatchObject({ code })
    await expect(store.write([{ key: 'a', value: utf8('1') }])).rejects.toMatchObject({ code })
    await new Promise((resolve) => setTimeout(resolve, 250))
    expect(broken.map((error) => error.code)).toEqual([code])
    await store.close()
  })

  it('notices at rest that it was taken over', async () => {
    const sql = await pglite.open()
    const broken: SluiceError[] = []
    const store = await sqlStore(sql, 'broken', { lease: 300, onBroken: (error) => broken.push(error) })
    await statement`update stores set claim = claim + 1, leased_until = clock_timestamp() + interval '1 hour'`.execute(sql.db)
    await expect.poll(() => broken[0]?.code).toBe('STORE_LOCKED')
    await store.close()
    // It gives up what is its own, and that isn't any more.
    await expect(sqlStore(sql, 'broken')).rejects.toMatchObject({ code: 'STORE_LOCKED' })
  })
})
