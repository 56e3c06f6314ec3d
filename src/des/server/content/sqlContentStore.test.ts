import { sql as statement } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { migrate, type Sql } from '../../../core/sql/index.ts'
import { contentSuite } from '../../../testing/contentSuite.ts'
import { createManualClock } from '../../../testing/manualClock.ts'
import { pgliteEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import { migrations, type Database } from '../database.ts'
import { sqlContentStore } from './sqlContentStore.ts'

let engine: SqlEngine
let sql: Sql<Database>

beforeAll(async () => {
  engine = await pgliteEngine()
  sql = await engine.open()
  await migrate(sql, 'des', migrations)
}, 60_000)
afterAll(() => engine.stop())

contentSuite(
  'sql',
  async () => {
    await statement`truncate des_contents`.execute(sql.db)
    const clock = createManualClock(1_500_000_000_000)
    return {
      store: sqlContentStore(sql, { clock }),
      clock,
      damage: async (cid) => {
        await statement`update des_contents set bytes = set_byte(bytes, 0, 0) where cid = ${cid}`.execute(sql.db)
      },
    }
  },
  { describe, it, expect },
)

it('deletes more than one statement does', async () => {
  await statement`truncate des_contents`.execute(sql.db)
  await statement`insert into des_contents select 'Qm' || n, '', n from generate_series(1, 2500) n`.execute(sql.db)
  const store = sqlContentStore(sql, { clock: createManualClock(5000) })
  const cid = await store.put(utf8('young'))
  expect(await store.dropBefore(5000)).toBe(2500)
  expect(await store.get(cid)).toEqual(utf8('young'))
})
