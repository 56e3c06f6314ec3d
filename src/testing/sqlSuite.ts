import { sql as statement } from 'kysely'
import { SluiceError } from '../core/errors.ts'
import { migrate } from '../core/sql/migrate.ts'
import { sqlState, type Sql } from '../core/sql/sql.ts'
import { assertSuite, codeOf, type TestRunner } from './suite.ts'

/**
 * Tests that a database keeps the promises of {@link Sql} and of `migrate`.
 * @param open opens an empty database at every call.
 */
export function sqlSuite(name: string, open: () => Promise<Sql<unknown>>, runner: TestRunner): void {
  assertSuite(name, open, runner)
  const { describe, it, expect } = runner
  const test = (what: string, body: (sql: Sql<unknown>) => Promise<void>): unknown =>
    it(what, async () => {
      const sql = await open()
      try {
        await body(sql)
      } finally {
        await sql.close()
      }
    })

  const stateOf = async (run: Promise<unknown>): Promise<string | undefined> =>
    run.then(
      () => 'no error',
      (error: unknown) => sqlState(error),
    )

  const up = [
    { name: 'first', up: 'create table a (id int8 primary key); insert into a values (1); create table b (id int8)' },
    { name: 'second', up: 'alter table a add column more text; insert into a values (2)' },
  ]
  const ids = async (sql: Sql<unknown>): Promise<bigint[]> =>
    (await statement<{ id: bigint }>`select id from a order by id`.execute(sql.db)).rows.map((row) => row.id)

  describe(`sql: ${name}`, () => {
    test('takes and gives values without loss', async ({ db }) => {
      const big = 2n ** 63n - 1n
      const { rows } = await statement<Record<string, unknown>>`select ${big}::int8 as whole, ${-5n}::int8 as less,
        ${2n ** 200n}::numeric(78) as wide, ${JSON.stringify({ a: [1, 'x', null] })}::jsonb as json,
        ${Uint8Array.of(0, 255, 39)}::bytea as bytes, ${'ünï'}::text as text, true as yes, null::int8 as none,
        array[1, null, ${big}]::int8[] as list, count(*) as count`.execute(db)
      const row = rows[0]!
      expect([row.whole, row.less, row.wide]).toEqual([big, -5n, String(2n ** 200n)])
      expect([row.json, row.text, row.yes, row.none, row.list]).toEqual([{ a: [1, 'x', null] }, 'ünï', true, null, [1n, null, big]])
      expect(row.count).toEqual(1n)
      expect([(row.bytes as object).constructor.name, ...(row.bytes as Uint8Array)]).toEqual(['Uint8Array', 0, 255, 39])
    })

    test('takes lists as parameters and counts changed rows', async ({ db }) => {
      await statement`create table a (id int8)`.execute(db)
      await statement`insert into a select * from generate_series(1, 5)`.execute(db)
      const result = await statement`delete from a where id = any(${[2n, 4n, 9n]}::int8[])`.execute(db)
      expect(result.numAffectedRows).toEqual(2n)
    })

    test('keeps a transaction whole, or nothing of it', async (sql) => {
      await statement`create table a (id int8 primary key)`.execute(sql.db)
      const enough = new SluiceError('ABORTED', 'enough')
      const left = sql.transaction(async (tx) => {
        await statement`insert into a values (1)`.execute(tx)
        throw enough
      })
      expect(await left.catch((error: unknown) => error === enough)).toEqual(true)
      expect(await ids(sql)).toEqual([])
      expect(await sql.transaction(async (tx) => (await statement`insert into a values (2)`.execute(tx), 'done'))).toEqual('done')
      expect(await ids(sql)).toEqual([2n])
    })

    test('tells errors apart, and goes on after them', async (sql) => {
      await statement`create table a (id int8 primary key, check (id > 0))`.execute(sql.db)
      await statement`insert into a values (1)`.execute(sql.db)
      const insert = (id: bigint) => sql.transaction((tx) => statement`insert into a values (${id})`.execute(tx))
      expect(await codeOf(() => insert(1n))).toEqual('SQL_FAILED')
      expect(await stateOf(insert(1n))).toEqual('23505')
      expect(await stateOf(insert(0n))).toEqual('23514')
      expect(await stateOf(statement`select nonsense`.execute(sql.db))).toEqual('42703')
      expect(await insert(2n).then(() => ids(sql))).toEqual([1n, 2n])
    })

    test('does not begin after an abort', async (sql) => {
      let ran = false
      const run = async () => void (ran = true)
      expect(await codeOf(() => sql.transaction(run, { signal: AbortSignal.abort() }))).toEqual('ABORTED')
      expect(ran).toEqual(false)
    })

    test('runs a transaction again that could not be serialised, and one that was in a deadlock', async (sql) => {
      for (const state of ['40001', '40P01']) {
        let runs = 0
        const outcome = await sql.transaction(async (tx) => {
          if (++runs < 3) await statement.raw(`do $$ begin raise exception using errcode = '${state}'; end $$`).execute(tx)
          return runs
        })
        expect(outcome).toEqual(3)
      }
    })

    test('keeps a sum constant under many serialisable transfers that read first', async (sql) => {
      await statement`create table purses (id int8 primary key, amount int8)`.execute(sql.db)
      await statement`insert into purses select id, 1000 from generate_series(0, 19) id`.execute(sql.db)
      const amount = async (tx: Parameters<Parameters<typeof sql.transaction>[0]>[0], id: number): Promise<bigint> =>
        (await statement<{ amount: bigint }>`select amount from purses where id = ${id}`.execute(tx)).rows[0]!.amount
      await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          sql.transaction(
            async (tx) => {
              const [from, to] = [index % 20, (index * 7 + 3) % 20]
              if (from === to) return
              const [less, more] = [(await amount(tx, from)) - 10n, (await amount(tx, to)) + 10n]
              await statement`update purses set amount = ${less} where id = ${from}`.execute(tx)
              await statement`update purses set amount = ${more} where id = ${to}`.execute(tx)
            },
            { isolation: 'serializable' },
          ),
        ),
      )
      const { rows } = await statement<{ sum: string }>`select sum(amount) as sum from purses`.execute(sql.db)
      expect(rows).toEqual([{ sum: '20000' }])
    })

    test('migrates once among ten at the same time, and goes on where it stopped', async (sql) => {
      await Promise.all(Array.from({ length: 10 }, () => migrate(sql, 'test', up.slice(0, 1))))
      expect(await ids(sql)).toEqual([1n])
      await Promise.all(Array.from({ length: 10 }, () => migrate(sql, 'test', up)))
      expect(await ids(sql)).toEqual([1n, 2n])
      await migrate(sql, 'other', [{ name: 'first', up: 'insert into a values (3)' }])
      expect(await ids(sql)).toEqual([1n, 2n, 3n])
    })

    test('leaves a database that is ahead as it is, and refuses a migration that changed', async (sql) => {
      await migrate(sql, 'test', up)
      await migrate(sql, 'test', up.slice(0, 1))
      const third = { name: 'third', up: 'insert into a values (3)' }
      const changed = { ...up[1]!, up: `${up[1]!.up}; insert into a values (4)` }
      expect(await codeOf(() => migrate(sql, 'test', [up[0]!, changed, third]))).toEqual('MIGRATION_CHANGED')
      expect(await codeOf(() => migrate(sql, 'test', [up[1]!, up[0]!]))).toEqual('MIGRATION_CHANGED')
      expect(await codeOf(() => migrate(sql, 'test', [...up, third, third]))).toEqual('BAD_ARGUMENT')
      expect(await ids(sql)).toEqual([1n, 2n])
    })

    test('takes back a migration that fails', async (sql) => {
      const wrong = { name: 'second', up: 'insert into a values (9); insert into nowhere values (1)' }
      expect(await stateOf(migrate(sql, 'test', [up[0]!, wrong]))).toEqual('42P01')
      expect(await ids(sql)).toEqual([1n])
      await migrate(sql, 'test', up)
      expect(await ids(sql)).toEqual([1n, 2n])
    })
  })
}
