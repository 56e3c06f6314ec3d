import { sql as statement } from 'kysely'
import { createLedger, type AccountName, type Ledger, type Posting } from '../core/ledger/ledger.ts'
import { sqlState, type Sql, type Tx } from '../core/sql/sql.ts'
import { createManualClock, type ManualClock } from './manualClock.ts'
import { assertSuite, codeOf, type TestRunner } from './suite.ts'

/**
 * Tests that the ledger keeps its promises on a database.
 * @param open opens an empty database at every call.
 */
export function ledgerSuite(name: string, open: () => Promise<Sql<unknown>>, runner: TestRunner): void {
  assertSuite(name, open, runner)
  const { describe, it, expect } = runner
  interface Bench {
    readonly sql: Sql<unknown>
    readonly ledger: Ledger
    readonly clock: ManualClock
    /** Runs something in a transaction of its own. */
    run<T>(body: (tx: Tx) => Promise<T>): Promise<T>
    account(name: AccountName): Promise<bigint>
    /** Opens an account that has `amount` from outside. */
    funded(owner: string, amount: bigint, asset?: string): Promise<bigint>
    transfer(key: string, from: bigint, to: bigint, amount: bigint): Promise<boolean>
    hold(key: string, account: bigint, amount: bigint, expiresAt?: number): Promise<boolean>
    /** Posted, held, available. */
    balance(account: bigint): Promise<bigint[]>
  }

  const move = (from: bigint, to: bigint, amount: bigint): Posting[] => [
    { account: from, amount: -amount },
    { account: to, amount },
  ]

  const test = (what: string, body: (bench: Bench) => Promise<void>): unknown =>
    it(what, async () => {
      const sql = await open()
      const clock = createManualClock(1000)
      const ledger = await createLedger(sql, { clock })
      const run: Bench['run'] = (each) => sql.transaction(each)
      const account: Bench['account'] = (each) => run((tx) => ledger.account(tx, each))
      const transfer: Bench['transfer'] = async (key, from, to, amount) =>
        (await run((tx) => ledger.post(tx, { key, postings: move(from, to, amount) }))).done
      try {
        await body({
          sql, ledger, clock, run, account, transfer,
          async funded(owner, amount, asset = 'GXC') {
            const to = await account({ owner, asset })
            await transfer(`fund ${owner} ${asset}`, await account({ owner: 'world', asset, kind: 'external' }), to, amount)
            return to
          },
          hold: async (key, from, amount, expiresAt = 5000) =>
            (await run((tx) => ledger.hold(tx, { key, account: from, amount, expiresAt }))).done,
          async balance(of) {
            const { posted, held, available } = await run((tx) => ledger.balance(tx, of))
            return [posted, held, available]
          },
        })
      } finally {
        await sql.close()
      }
    })

  /** The constraint or SQLSTATE by which the database itself refuses statements. */
  const refusal = (sql: Sql<unknown>, ...texts: string[]): Promise<unknown> =>
    sql
      .transaction(async (tx) => {
        for (const text of texts) await statement.raw(text).execute(tx)
      })
      .then(
        () => 'no refusal',
        (error: { details?: { constraint?: string } }) => error.details?.constraint ?? sqlState(error),
      )

  describe(`ledger: ${name}`, () => {
    test('opens an account once, also for ten at a time', async ({ account, balance }) => {
      const ids = await Promise.all(Array.from({ length: 10 }, () => account({ owner: 'a', asset: 'GXC' })))
      expect(new Set(ids).size).toEqual(1)
      expect(await account({ owner: 'a', asset: 'BTC' }).then((id) => id === ids[0])).toEqual(false)
      expect(await balance(ids[0]!)).toEqual([0n, 0n, 0n])
      expect(await codeOf(() => balance(999n))).toEqual('ACCOUNT_NOT_FOUND')
      expect(await codeOf(() => account({ owner: '', asset: 'GXC' }))).toEqual('BAD_ARGUMENT')
    })

    test('moves money, of any size', async ({ account, funded, transfer, balance }) => {
      const wei = 2n ** 255n
      const [a, b] = [await funded('a', wei), await account({ owner: 'b', asset: 'GXC' })]
      expect(await transfer('1', a, b, wei - 1n)).toEqual(true)
      expect(await balance(a)).toEqual([1n, 0n, 1n])
      expect(await balance(b)).toEqual([wei - 1n, 0n, wei - 1n])
      const world = await account({ owner: 'world', asset: 'GXC', kind: 'external' })
      expect(await balance(world)).toEqual([-wei, 0n, -wei])
    })

    test('refuses with a code, and leaves the transaction usable', async ({ account, funded, ledger, run, balance }) => {
      const [a, b] = [await funded('a', 100n), await account({ owner: 'b', asset: 'GXC' })]
      const coin = await funded('b', 100n, 'BTC')
      await run(async (tx) => {
        const post = (postings: Posting[]) => codeOf(() => ledger.post(tx, { key: 'x', postings }))
        expect(await post(move(a, b, 101n))).toEqual('BALANCE_SHORT')
        expect(await post([{ account: a, amount: -5n }, { account: b, amount: 6n }])).toEqual('POSTINGS_UNBALANCED')
        expect(await post([{ account: coin, amount: -5n }, { account: b, amount: 5n }])).toEqual('POSTINGS_UNBALANCED')
        expect(await post(move(a, 999n, 5n))).toEqual('ACCOUNT_NOT_FOUND')
        expect(await post([{ account: a, amount: -5n }, { account: a, amount: 5n }])).toEqual('BAD_ARGUMENT')
        expect(await post([{ account: a, amount: 0n }, { account: b, amount: 0n }])).toEqual('BAD_ARGUMENT')
        expect(await post([])).toEqual('BAD_ARGUMENT')
        expect((await ledger.post(tx, { key: 'x', postings: move(a, b, 100n) })).done).toEqual(true)
      })
      expect(await balance(a)).toEqual([0n, 0n, 0n])
      expect(await balance(b)).toEqual([100n, 0n, 100n])
    })

    test('is guarded by the database itself', async ({ sql, account, funded, balance, hold }) => {
      const [a, b] = [await funded('a', 100n), await account({ owner: 'b', asset: 'GXC' })]
      const coin = await account({ owner: 'b', asset: 'BTC' })
      await hold('h', a, 40n)
      const entry = (...rows: string[]) => [
        "insert into ledger_transactions (key, memo, created_at) values ('raw', '', 0)",
        `insert into ledger_postings select t.id, v.* from ledger_transactions t, (values ${rows.join()}) v where t.key = 'raw'`,
      ]
      const refusals = [
        await refusal(sql, ...entry(`(${a}, -5)`, `(${b}, 6)`)),
        await refusal(sql, ...entry(`(${a}, -5)`, `(${coin}, 5)`)),
        await refusal(sql, ...entry(`(${a}, 5)`)),
        await refusal(sql, ...entry(`(${a}, -61)`, `(${b}, 61)`)),
        await refusal(sql, ...entry(`(${b}, -1)`, `(${a}, 1)`)),
        await refusal(sql, ...entry(`(${a}, 'NaN'::numeric)`, `(${b}, 1)`)),
        await refusal(sql, 'update ledger_postings set amount = amount + 1'),
        await refusal(sql, 'delete from ledger_postings'),
        await refusal(sql, 'truncate ledger_postings'),
        await refusal(sql, 'delete from ledger_transactions'),
        await refusal(sql, 'delete from ledger_holds'),
        await refusal(sql, `update ledger_accounts set posted = posted + 1 where id = ${a}`),
        await refusal(sql, `update ledger_accounts set held = 0 where id = ${a}`),
        await refusal(sql, `update ledger_accounts set kind = 'external' where id = ${b}`),
        await refusal(sql, "insert into ledger_accounts (owner, asset, kind, posted) values ('c', 'GXC', 'money', 5)"),
        await refusal(sql, `insert into ledger_holds values ('i', ${a}, 61, 0, 'held', 0)`),
        await refusal(sql, `insert into ledger_holds values ('i', ${a}, -1, 0, 'held', 0)`),
        await refusal(sql, "update ledger_holds set amount = 1 where key = 'h'"),
        await refusal(sql, "update ledger_holds set state = 'captured'", "update ledger_holds set state = 'released'"),
      ]
      expect(refusals).toEqual([
        'ledger_sum_zero', 'ledger_sum_zero', 'ledger_sum_zero', 'ledger_not_overdrawn', 'ledger_not_overdrawn', 'ledger_amount_check',
        'ledger_append_only', 'ledger_append_only', 'ledger_append_only', 'ledger_append_only', 'ledger_append_only',
        'ledger_balance_derived', 'ledger_balance_derived', 'ledger_balance_derived', 'ledger_balance_derived',
        'ledger_not_overdrawn', 'ledger_holds_amount_check', 'ledger_hold_ends_once', 'ledger_hold_ends_once',
      ])
      expect(await refusal(sql, ...entry(`(${a}, -60)`, `(${b}, 60)`))).toEqual('no refusal')
      expect(await balance(a)).toEqual([40n, 40n, 0n])
    })

    test('posts a key once, also for ten at a time', async ({ account, funded, transfer, balance }) => {
      const [a, b] = [await funded('a', 100n), await account({ owner: 'b', asset: 'GXC' })]
      const done = await Promise.all(Array.from({ length: 10 }, () => transfer('pay', a, b, 60n)))
      expect(done.filter(Boolean).length).toEqual(1)
      expect(await balance(b)).toEqual([60n, 0n, 60n])
      expect(await codeOf(() => transfer('pay', a, b, 59n))).toEqual('KEY_REUSED')
      expect(await codeOf(() => transfer('pay', b, a, 60n))).toEqual('KEY_REUSED')
      expect(await balance(b)).toEqual([60n, 0n, 60n])
    })

    test('keeps the sum of all balances under 50 transfers at a time', async ({ sql, funded, transfer, balance }) => {
      const accounts = await Promise.all(Array.from({ length: 5 }, (_, index) => funded(`owner ${index}`, 30n)))
      const codes = await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          codeOf(() => transfer(`t${index}`, accounts[index % 5]!, accounts[(index * 3 + 1 + Number(index % 5 === 2)) % 5]!, 11n)),
        ),
      )
      expect([...new Set(codes)].filter((code) => code !== 'no error' && code !== 'BALANCE_SHORT')).toEqual([])
      const balances = await Promise.all(accounts.map(balance))
      expect(balances.every(([posted]) => posted! >= 0n)).toEqual(true)
      expect(balances.reduce((sum, [posted]) => sum + posted!, 0n)).toEqual(150n)
      const { rows } = await statement`select 1 from ledger_accounts a where posted <>
        (select coalesce(sum(amount), 0) from ledger_postings where account = a.id)`.execute(sql.db)
      expect(rows).toEqual([])
    })

    test('holds no more than there is, also for ten at a time', async ({ account, funded, transfer, hold, balance }) => {
      const [a, b] = [await funded('a', 100n), await account({ owner: 'b', asset: 'GXC' })]
      const codes = await Promise.all(Array.from({ length: 10 }, (_, index) => codeOf(() => hold(`h${index}`, a, 30n))))
      expect(codes.filter((code) => code === 'no error').length).toEqual(3)
      expect(codes.filter((code) => code === 'BALANCE_SHORT').length).toEqual(7)
      expect(await balance(a)).toEqual([100n, 90n, 10n])
      expect(await codeOf(() => transfer('t', a, b, 11n))).toEqual('BALANCE_SHORT')
      expect(await transfer('t', a, b, 10n)).toEqual(true)
    })

    test('holds by a key once', async ({ account, funded, hold, balance }) => {
      const a = await funded('a', 100n)
      const done = await Promise.all(Array.from({ length: 5 }, () => hold('h', a, 30n)))
      expect(done.filter(Boolean).length).toEqual(1)
      expect(await balance(a)).toEqual([100n, 30n, 70n])
      expect(await codeOf(() => hold('h', a, 31n))).toEqual('KEY_REUSED')
      expect(await codeOf(() => hold('i', a, 0n))).toEqual('BAD_ARGUMENT')
      expect(await codeOf(() => hold('i', a, 1n, 1000))).toEqual('HOLD_EXPIRED')
      const world = await account({ owner: 'world', asset: 'GXC', kind: 'external' })
      expect(await codeOf(() => hold('i', world, 1n))).toEqual('BAD_ARGUMENT')
      expect(await balance(a)).toEqual([100n, 30n, 70n])
    })

    test('captures once, up to the hold, and frees the rest', async ({ account, funded, hold, run, ledger, balance }) => {
      const [a, b] = [await funded('a', 100n), await account({ owner: 'b', asset: 'GXC' })]
      await hold('h', a, 80n)
      const capture = (amount: bigint) => run((tx) => ledger.capture(tx, 'h', move(a, b, amount)))
      expect(await codeOf(() => capture(81n))).toEqual('BALANCE_SHORT')
      const done = await Promise.all(Array.from({ length: 5 }, () => capture(50n)))
      expect(done.filter((each) => each.done).length).toEqual(1)
      expect(await balance(a)).toEqual([50n, 0n, 50n])
      expect(await balance(b)).toEqual([50n, 0n, 50n])
      expect(await codeOf(() => capture(51n))).toEqual('KEY_REUSED')
      expect(await codeOf(() => run((tx) => ledger.release(tx, 'h')))).toEqual('HOLD_ENDED')
      expect(await codeOf(() => run((tx) => ledger.capture(tx, 'none', move(a, b, 1n))))).toEqual('HOLD_NOT_FOUND')
    })

    test('ends a hold one way when both are tried at a time', async ({ account, funded, hold, run, ledger, balance }) => {
      const [a, b] = [await funded('a', 1000n), await account({ owner: 'b', asset: 'GXC' })]
      let captured = 0n
      for (let round = 0; round < 8; round++) {
        const key = `h${round}`
        await hold(key, a, 10n)
        const codes = await Promise.all([
          codeOf(() => run((tx) => ledger.capture(tx, key, move(a, b, 10n)))),
          codeOf(() => run((tx) => ledger.release(tx, key))),
        ])
        expect([...codes].sort()).toEqual(['HOLD_ENDED', 'no error'])
        if (codes[0] === 'no error') captured += 10n
      }
      expect(await balance(a)).toEqual([1000n - captured, 0n, 1000n - captured])
    })

    test('releases once', async ({ funded, hold, run, ledger, balance }) => {
      const a = await funded('a', 100n)
      await hold('h', a, 80n)
      const done = await Promise.all(Array.from({ length: 5 }, () => run((tx) => ledger.release(tx, 'h'))))
      expect(done.filter((each) => each.done).length).toEqual(1)
      expect(await balance(a)).toEqual([100n, 0n, 100n])
      expect(await codeOf(() => run((tx) => ledger.capture(tx, 'h', move(a, a + 1n, 1n))))).toEqual('HOLD_ENDED')
      expect(await codeOf(() => run((tx) => ledger.release(tx, 'none')))).toEqual('HOLD_NOT_FOUND')
    })

    test('releases the newest holds of an account until there is enough, and no more', async (bench) => {
      const { sql, ledger, run, account, funded, hold, balance, clock, transfer } = bench
      const [a, b] = [await funded('a', 100n), await funded('b', 50n)]
      const release = (amount: bigint) => run((tx) => ledger.releaseNewest(tx, a, amount))
      await hold('of another', b, 50n)
      for (const [key, amount, expiresAt] of [
        ['expired', 10n, 2000],
        ['old', 20n, 9000],
        ['late', 30n, 9000],
        ['later', 15n, 9000],
        ['latest', 15n, 9000],
      ] as const) {
        await hold(key, a, amount, expiresAt)
        await clock.advance(1)
      }
      await clock.advance(1000)
      // What has expired is free as it is, and goes first: 20 of 100.
      expect(await release(20n)).toEqual([])
      expect(await balance(a)).toEqual([100n, 80n, 20n])
      expect(await release(36n)).toEqual(['latest', 'later'])
      expect(await balance(a)).toEqual([100n, 50n, 50n])
      expect(await release(50n)).toEqual([])
      // Whatever is left of them, if that isn't enough; what is captured meanwhile is passed over.
      expect(await release(101n)).toEqual(['late', 'old'])
      expect(await balance(a)).toEqual([100n, 0n, 100n])
      expect(await release(101n)).toEqual([])
      expect(await balance(b)).toEqual([50n, 50n, 0n])
      expect(await codeOf(() => run((tx) => ledger.releaseNewest(tx, 999n, 1n)))).toEqual('ACCOUNT_NOT_FOUND')
      // More of them than are looked at in one statement, and as part of a transaction that needs the money.
      const world = await account({ owner: 'world', asset: 'GXC', kind: 'external' })
      await transfer('more', world, a, 2000n)
      const holds = Array.from({ length: 2100 }, (_, i) => ({ key: `n${String(i).padStart(4, '0')}`, account: a, amount: 1n, expiresAt: 9000 }))
      await run((tx) => ledger.holdAll(tx, [holds]))
      await run(async (tx) => {
        expect(await codeOf(() => ledger.post(tx, { key: 'out', postings: move(a, world, 2050n) }))).toEqual('BALANCE_SHORT')
        const released = await ledger.releaseNewest(tx, a, 2050n)
        expect([released.length, released[0], released.at(-1)]).toEqual([2050, 'n2099', 'n0050'])
        expect((await ledger.post(tx, { key: 'out', postings: move(a, world, 2050n) })).done).toEqual(true)
      })
      expect(await balance(a)).toEqual([50n, 50n, 0n])
      const { rows } = await statement`select 1 from ledger_accounts a where held <>
        (select coalesce(sum(amount), 0) from ledger_holds where account = a.id and state = 'held')`.execute(sql.db)
      expect(rows).toEqual([])
    })

    test('releases the newest holds while others capture them: each ends one way', async ({ ledger, run, funded, hold, balance }) => {
      const [a, b] = [await funded('a', 100n), await funded('b', 1n)]
      for (let i = 0; i < 10; i++) await hold(`h${i}`, a, 10n)
      const capture = (key: string) => codeOf(() => run((tx) => ledger.capture(tx, key, move(a, b, 10n))))
      const [released, ...captures] = await Promise.all([
        run((tx) => ledger.releaseNewest(tx, a, 1000n)),
        ...Array.from({ length: 10 }, (_, i) => capture(`h${i}`)),
      ])
      expect(captures.filter((code) => code !== 'no error' && code !== 'HOLD_ENDED')).toEqual([])
      const captured = captures.filter((code) => code === 'no error').length
      expect(captured + released.length).toEqual(10)
      expect(await balance(a)).toEqual([100n - 10n * BigInt(captured), 0n, 100n - 10n * BigInt(captured)])
    })

    test('lets a hold that has expired stand in nobody’s way', async ({ account, funded, hold, run, ledger, balance, clock, transfer }) => {
      const [a, b] = [await funded('a', 100n), await account({ owner: 'b', asset: 'GXC' })]
      await hold('early', a, 60n, 2000)
      await hold('late', a, 30n, 3000)
      expect(await codeOf(() => transfer('t', a, b, 70n))).toEqual('BALANCE_SHORT')
      await clock.advance(1000)
      expect(await balance(a)).toEqual([100n, 30n, 70n])
      expect(await codeOf(() => run((tx) => ledger.capture(tx, 'early', move(a, b, 1n))))).toEqual('HOLD_EXPIRED')
      expect(await codeOf(() => transfer('t', a, b, 71n))).toEqual('BALANCE_SHORT')
      expect(await transfer('t', a, b, 70n)).toEqual(true)
      expect(await codeOf(() => hold('more', a, 1n, 9000))).toEqual('BALANCE_SHORT')
      await clock.advance(1000)
      expect(await run((tx) => ledger.expire(tx))).toEqual(1)
      expect(await run((tx) => ledger.expire(tx))).toEqual(0)
      expect(await balance(a)).toEqual([30n, 0n, 30n])
    })

    test('forgets an account whose transaction was undone', async ({ run, ledger, account, balance }) => {
      const undone = await run(async (tx) => {
        await ledger.account(tx, { owner: 'ghost', asset: 'GXC' })
        const id = await ledger.account(tx, { owner: 'ghost', asset: 'GXC' })
        throw Object.assign(new Error('undone'), { id })
      }).catch((error: { id: bigint }) => error.id)
      const id = await account({ owner: 'ghost', asset: 'GXC' })
      expect(id === undone).toEqual(false)
      expect(await account({ owner: 'ghost', asset: 'GXC' })).toEqual(id)
      expect(await balance(id)).toEqual([0n, 0n, 0n])
    })

    test('holds for many at once, and refuses some of them alone', async ({ ledger, run, funded, balance }) => {
      const rich = await funded('rich', 100n)
      const poor = await funded('poor', 10n)
      const of = (key: string, account: bigint, amount: bigint, expiresAt = 5000) => ({ key, account, amount, expiresAt })
      const outcomes = await run((tx) =>
        ledger.holdAll(tx, [
          [of('a', rich, 60n), of('b', poor, 4n)],
          [of('c', rich, 30n), of('d', poor, 7n)], // 6 are left: neither is held
          [of('e', rich, 40n)],
          [of('a', rich, 60n)], // the same again
          [of('a', rich, 61n)],
          [of('f', rich, 1n)], // nothing is left
          [of('g', poor, 1n, 1000)],
          [of('h', 999n, 1n)],
          [of('i', poor, 3n), of('j', poor, 4n)],
        ]),
      )
      expect(outcomes.map((each) => ('code' in each ? each.code : each.done))).toEqual([
        true, 'BALANCE_SHORT', true, false, 'KEY_REUSED', 'BALANCE_SHORT', 'HOLD_EXPIRED', 'ACCOUNT_NOT_FOUND', 'BALANCE_SHORT',
      ])
      expect(await balance(rich)).toEqual([100n, 100n, 0n])
      expect(await balance(poor)).toEqual([10n, 4n, 6n])
      expect(await codeOf(() => run((tx) => ledger.release(tx, 'c')))).toEqual('HOLD_NOT_FOUND')
    })

    test('captures many at once, and refuses some of them alone', async ({ ledger, run, account, funded, hold, balance }) => {
      const [a, b] = [await funded('a', 100n), await account({ owner: 'b', asset: 'GXC' })]
      for (const key of ['one', 'two', 'three', 'four']) await hold(key, a, 20n)
      await run((tx) => ledger.release(tx, 'four'))
      const capture = (holdKey: string, amount: bigint, back = 0n) => ({
        holdKey,
        postings: [{ account: a, amount: back - amount }, { account: b, amount: amount - back }],
      })
      const outcomes = await run((tx) =>
        ledger.captureAll(tx, [
          capture('one', 20n),
          capture('one', 20n),
          capture('one', 19n),
          capture('two', 21n),
          capture('three', 15n),
          capture('four', 20n),
          capture('five', 20n),
        ]),
      )
      expect(outcomes.map((each) => ('code' in each ? each.code : each.done))).toEqual([
        true, false, 'KEY_REUSED', 'BALANCE_SHORT', true, 'HOLD_ENDED', 'HOLD_NOT_FOUND',
      ])
      expect(await balance(a)).toEqual([65n, 20n, 45n])
      expect(await run((tx) => ledger.releaseAll(tx, ['one', 'two', 'two', 'four', 'five']))).toEqual(1)
      expect(await balance(a)).toEqual([65n, 0n, 65n])
      expect(await balance(b)).toEqual([35n, 0n, 35n])
      expect(await run((tx) => ledger.captureAll(tx, [capture('one', 20n), capture('three', 15n)]))).toEqual([{ done: false }, { done: false }])
      expect(await codeOf(() => run((tx) => ledger.capture(tx, 'three', capture('three', 14n).postings)))).toEqual('KEY_REUSED')
    })
  })
}
