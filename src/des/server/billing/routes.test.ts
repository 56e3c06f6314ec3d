import fc from 'fast-check'
import { sql as statement } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { AccountId } from '../../../core/crypto/graphene/index.ts'
import { createHttpService, type HttpService } from '../../../core/http/index.ts'
import { pgliteEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import { readJson, writeJson } from '../../wire/index.ts'
import type { ExchangeContext } from '../context.ts'
import type { ItemState } from '../database.ts'
import { createTestMarket, START, type TestMarket } from '../market/market.testing.ts'
import type { MarketUser } from '../market/user.ts'
import { monthBill, monthTotals, overview, recentDays } from './bills.ts'
import { requestCid } from './requestName.ts'
import { billingRoutes } from './routes.ts'

const DAY = 86_400_000
const HOUR = 3_600_000
const GXC = '1.3.1'

let engine: SqlEngine
let market: TestMarket
let context: ExchangeContext
let users: MarketUser[]
let service: HttpService

beforeAll(async () => {
  engine = await pgliteEngine()
}, 60_000)
afterAll(() => engine?.stop())

async function begin(sql: Awaited<ReturnType<SqlEngine['open']>>): Promise<void> {
  market = await createTestMarket(sql)
  context = market.context
  users = await Promise.all([1, 2, 3].map((id) => market.join(id)))
  service = createHttpService({
    routes: billingRoutes(context),
    title: 'bills',
    version: '1',
    description: '',
    readBody: readJson,
    writeBody: writeJson,
    clock: market.clock,
    authenticate: (request) => users.find(({ merchantId }) => request.headers.get('x-user') === String(merchantId)),
  })
}
beforeEach(async () => begin(await engine.open()))

/** Digests of requests and authorisations. */
let made = 0
const digest = (): string => (++made).toString(16).padStart(64, '0')

interface Paid {
  readonly product: number
  readonly amount: bigint
  readonly endedAt: number
  readonly payer?: number
  readonly payee?: number
  readonly asset?: `1.3.${string}`
  readonly state?: ItemState
  readonly txid?: string
}

/** Stores an exchange as one that is over; gives its request. */
async function pay({
  product,
  amount,
  endedAt,
  payer = 1,
  payee = 2,
  asset = GXC,
  state = 'SUCCESS',
  txid = digest(),
}: Paid): Promise<string> {
  const request = digest()
  const [buyer, seller]: AccountId[] = [`1.2.${100 + payer}`, `1.2.${100 + payee}`]
  const { version } = await context.sql.db
    .selectFrom('des_products')
    .select('version')
    .where('id', '=', product)
    .executeTakeFirstOrThrow()
  await context.sql.db
    .insertInto('des_requests')
    .values({
      id: request,
      product,
      version,
      payer: buyer!,
      dialect: '{}',
      total: 1,
      created_at: endedAt,
    })
    .execute()
  const item = statement`insert into des_items
    (request, position, product, payer, payee, digest, amount, asset, authorisation, expiration, nonce, state, txid, created_at, ended_at)
    values (${request}, 0, ${product}, ${buyer}, ${seller}, ${digest()}, ${amount}, ${asset}, '{}', 0, 1, ${state}, ${txid},
      ${endedAt}, ${endedAt})`
  await item.execute(context.sql.db)
  return request
}
const income = (amount: bigint, at: number, user = 1) =>
  context.sql.db
    .insertInto('des_incomes')
    .values({ key: digest(), account: users[user - 1]!.account, asset: GXC, amount, at })
    .execute()

async function get(path: string, user = 1): Promise<{ status: number; text: string; json: Record<string, unknown> }> {
  const answer = await service.fetch(new Request(`http://localhost/market${path}`, { headers: { 'x-user': String(user) } }))
  const text = await answer.text()
  return { status: answer.status, text, json: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {} }
}

describe('the month', () => {
  it("is the seed's bill: 16 calls of 0.001 are 0.016", async () => {
    const [one, two] = [
      await market.publish(users[0]!, { productName: '学历信息1' }),
      await market.publish(users[0]!, { productName: '学历信息2' }),
    ]
    for (let call = 0; call < 16; call++) await pay({ product: one, amount: 100n, endedAt: START })
    await pay({ product: two, amount: 100_000n, endedAt: START })
    expect((await get('/bill/month?date=2018-05-01')).text).toBe(
      '{"code":1,"msg":"","data":{"code":0,"msg":null,"data":[' +
        `{"productId":${one},"productName":"学历信息1","transferCount":16,"unitPrice":0.001,"consumeAmount":0.016},` +
        `{"productId":${two},"productName":"学历信息2","transferCount":1,"unitPrice":1,"consumeAmount":1}` +
        '],"total":null},"total":null}',
    )
    expect((await get('/bill/month.csv?date=2018-05-31')).text).toBe(
      '"productId","productName","transferCount","unitPrice","consumeAmount","assetId"\r\n' +
        `${one},"学历信息1",16,0.001,0.016,"1.3.1"\r\n${two},"学历信息2",1,1,1,"1.3.1"\r\n`,
    )
    const csv = await service.fetch(
      new Request('http://localhost/market/bill/month.csv?date=2018-05-31', { headers: { 'x-user': '1' } }),
    )
    expect(csv.headers.get('content-disposition')).toBe('attachment; filename="bill-2018-05.csv"')
    expect(new Uint8Array(await csv.arrayBuffer()).slice(0, 3)).toEqual(Uint8Array.of(0xef, 0xbb, 0xbf))
  })

  it('counts what is paid for good, in one asset, as it was charged', async () => {
    const product = await market.publish(users[0]!)
    await pay({ product, amount: 3n, endedAt: START })
    await pay({ product, amount: 5n, endedAt: START + 1 })
    await pay({ product, amount: 4n, endedAt: START + 1, payer: 2, payee: 1 })
    await pay({ product, amount: 7n, endedAt: START + 2, asset: '1.3.9' })
    for (const state of ['FAIL', 'NONE', 'PENDING_SETTLEMENT', 'TIMEOUT'] as const)
      await pay({ product, amount: 1000n, endedAt: START, state })
    const bill = await monthBill(context, { account: '1.2.101', asset: GXC }, START)
    expect(bill).toMatchObject([{ productId: product, transferCount: 2, unitPrice: 5n, consumeAmount: 8n }])
    expect((await get('/bill/month?date=2018-05-01&assetId=1.3.9')).text).toContain('"consumeAmount":0.00007')
    expect((await get('/bill/month?date=2018-04-01')).json).toMatchObject({ data: { data: [] } })
  })

  it('has totals with what came in and what can be spent now', async () => {
    const product = await market.publish(users[0]!)
    await pay({ product, amount: 2200n, endedAt: START })
    await income(10_691_608n, START)
    await income(1n, START - 2 * DAY)
    await context.sql.transaction(async (tx) => {
      const account = await context.settlement.ledgerAccount(tx, '1.2.101', GXC)
      const world = await context.ledger.account(tx, { owner: 'chain', asset: GXC, kind: 'external' })
      await context.ledger.post(tx, {
        key: 'in',
        postings: [
          { account, amount: 50_000n },
          { account: world, amount: -50_000n },
        ],
      })
      await context.ledger.hold(tx, { key: 'h', account, amount: 20_000n, expiresAt: START + DAY })
    })
    expect((await get('/bill/monthTotal?date=2018-05-01')).text).toBe(
      '{"code":1,"msg":"","data":{"date":null,"consumeAmount":0.022,"incomeAmount":106.91608,"transferCount":1,"balance":0.3,"average":null},"total":null}',
    )
  })

  it('is the sum over the rows, whatever their times around the borders', async () => {
    const products = [await market.publish(users[0]!), await market.publish(users[0]!)]
    const borders = ['2018-04-30', '2018-05-01', '2018-05-31', '2018-06-01', '2018-12-31', '2019-01-01'].map((day) =>
      Date.parse(`${day}T00:00:00+08:00`),
    )
    const row = fc.record({
      product: fc.constantFrom(...products),
      amount: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      endedAt: fc
        .tuple(fc.constantFrom(...borders), fc.constantFrom(-8 * HOUR, -1, 0, 1, 8 * HOUR))
        .map(([border, off]) => border + off),
      payer: fc.constantFrom(1, 2),
    })
    const of = { account: '1.2.101', asset: GXC } as const
    // The zone by its name, not by our arithmetic.
    const local = (time: number): string => new Intl.DateTimeFormat('sv', { timeZone: 'Asia/Shanghai' }).format(time)
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 25 }),
        fc.constantFrom('2018-04-15', '2018-05-01', '2018-05-31', '2018-12-02', '2019-01-31'),
        async (rows, date) => {
          await statement`truncate des_items, des_requests, des_evidence`.execute(context.sql.db)
          for (const each of rows) await pay({ ...each, payee: 3 })
          const time = Date.parse(`${date}T00:00:00+08:00`)
          const mine = rows.filter((each) => each.payer === 1 && local(each.endedAt).startsWith(date.slice(0, 7)))
          const bill = await monthBill(context, of, time)
          for (const product of products) {
            const theirs = mine.filter((each) => each.product === product)
            expect(bill.find((each) => each.productId === product)?.consumeAmount ?? 0n).toBe(
              theirs.reduce((sum, each) => sum + each.amount, 0n),
            )
            expect(bill.find((each) => each.productId === product)?.transferCount ?? 0).toBe(theirs.length)
          }
          const totals = await monthTotals(context, of, time)
          expect(totals).toEqual({
            consumeAmount: mine.reduce((sum, each) => sum + each.amount, 0n),
            incomeAmount: 0n,
            transferCount: mine.length,
          })
        },
      ),
      { numRuns: 30 },
    )
  }, 60_000)
})

describe('recent days', () => {
  it('are 30, today first, with zeros', async () => {
    const product = await market.publish(users[0]!)
    const midnight = Date.parse('2018-05-01T00:00:00+08:00')
    await pay({ product, amount: 5n, endedAt: midnight })
    await pay({ product, amount: 7n, endedAt: midnight - 1 })
    await pay({ product, amount: 11n, endedAt: midnight - 29 * DAY })
    await pay({ product, amount: 13n, endedAt: midnight - 29 * DAY - 1 })
    await income(3n, midnight + DAY - 1)
    const rows = await recentDays(context, { account: '1.2.101', asset: GXC })
    expect(rows.map((each) => each.date)).toEqual(Array.from({ length: 30 }, (_, back) => midnight - back * DAY))
    const shown = rows.filter((each) => each.transferCount > 0).map((each) => [each.date, each.consumeAmount, each.incomeAmount])
    expect(shown).toEqual([
      [midnight, 5n, 3n],
      [midnight - DAY, 7n, 0n],
      [midnight - 29 * DAY, 11n, 0n],
    ])
    expect((await get('/bill/recent')).text).toContain(
      `{"date":${midnight - 2 * DAY},"consumeAmount":0,"incomeAmount":0,"transferCount":0,"balance":null,"average":null}`,
    )
  })
})

describe('the overview', () => {
  it("averages over the days since the first charge: the seed's 1.06 over 43 days is 0.02465", async () => {
    const [one, two] = [
      await market.publish(users[0]!, { productName: '学历信息1' }),
      await market.publish(users[0]!, { productName: '学历信息2' }),
    ]
    const today = Date.parse('2018-05-01T00:00:00+08:00')
    // 0.06 for 22 calls, the last at 0.001: prices change.
    await pay({ product: one, amount: 3_900n, endedAt: today - 42 * DAY })
    for (let call = 0; call < 21; call++) await pay({ product: one, amount: 100n, endedAt: today - 40 * DAY + call })
    await pay({ product: two, amount: 100_000n, endedAt: today + HOUR })
    const { json, text } = await get('/bill/total')
    expect(text).toContain(
      '"overview":{"date":null,"consumeAmount":1.06,"incomeAmount":null,"transferCount":null,"balance":0,"average":0.02465}',
    )
    expect(json.data).toMatchObject({
      productList: [
        { productId: one, productName: '学历信息1', logoUrl: '', transferCount: 22, unitPrice: 0.001, consumeAmount: 0.06 },
        { productId: two, transferCount: 1, unitPrice: 1, consumeAmount: 1 },
      ],
    })
    expect((await overview(context, { account: '1.2.101', asset: GXC })).days).toBe(43)
  })

  it('is empty for who never paid', async () => {
    expect((await get('/bill/total', 3)).json.data).toEqual({
      overview: { date: null, consumeAmount: 0, incomeAmount: null, transferCount: null, balance: 0, average: 0 },
      productList: [],
    })
  })
})

describe('exchanges one by one', () => {
  const TXID = 'd150b067f5f740ef8e0c755a6ee1e462f63d4ecf'

  it("lists one's charges by days, products and pages", async () => {
    const [one, two] = [await market.publish(users[0]!, { productName: '旧' }), await market.publish(users[0]!)]
    const midnight = Date.parse('2018-05-01T00:00:00+08:00')
    const first = await pay({ product: one, amount: 0n, endedAt: midnight })
    await pay({ product: two, amount: 1n, endedAt: midnight + DAY - 1 })
    await pay({ product: one, amount: 2n, endedAt: midnight + DAY })
    await pay({ product: one, amount: 3n, endedAt: midnight - 1 })
    await pay({ product: one, amount: 4n, endedAt: midnight, payer: 2, payee: 1 })
    const day = await get('/dataexchange/log?gmtCreatedFrom=2018-05-01&gmtCreatedTo=2018-05-01')
    expect(day.json).toMatchObject({ code: 1, msg: '', total: 2, data: [{ amount: 0.00001 }, { amount: 0 }] })
    const both = await get(
      `/dataexchange/log?gmtCreatedFrom=2018-05-01&gmtCreatedTo=2018-05-02&productId=${one}&pageNo=2&pageSize=1`,
    )
    expect(both.json).toEqual({
      code: 1,
      msg: '',
      total: 2,
      data: [
        { id: 1, requestId: requestCid(first), productId: one, productName: '旧', amount: 0, assetId: GXC, gmtCreated: midnight },
      ],
    })
    expect((await get('/dataexchange/log')).json.total).toBe(4)
    expect((await get('/dataexchange/log?gmtCreatedFrom=2018-05-02&gmtCreatedTo=2018-05-01')).json.code).toBe(-1)
    expect((await get('/dataexchange/log?gmtCreatedFrom=2018-02-30')).json.code).toBe(-1)
    expect((await get('/dataexchange/log?pageSize=101')).json.code).toBe(-1)
  })

  it('shows both sides, the data source as fromAccount, and finds by every name', async () => {
    const product = await market.publish(users[0]!)
    const bought = await pay({ product, amount: 1n, endedAt: START, txid: TXID })
    const sold = await pay({ product, amount: 1n, endedAt: START + 1, payer: 3, payee: 1 })
    await pay({ product, amount: 1n, endedAt: START + 2, payer: 3, payee: 2, txid: TXID })
    const long = 'ab'.repeat(32)
    const longer = await pay({ product, amount: 1n, endedAt: START + 3, txid: long })
    const all = await get('/dataexchange/detail')
    expect(all.json).toMatchObject({ total: 3, data: [{ id: 4 }, { id: 2 }, { id: 1 }] })
    expect((all.json.data as unknown[])[2]).toEqual({
      id: 1,
      gmtCreated: START,
      fromAccount: '1.2.102',
      toAccount: '1.2.101',
      requestId: requestCid(bought),
      txid: TXID,
    })
    const ids = async (query: string, user = 1) =>
      ((await get(`/dataexchange/detail?${query}`, user)).json.data as { id: number }[]).map(({ id }) => id)
    expect(await ids(`requestId=${sold}&toAccount=&txid=`)).toEqual([2])
    expect(await ids(`requestId=${requestCid(sold)}`)).toEqual([2])
    expect(await ids('toAccount=1.2.103')).toEqual([2])
    expect(await ids(`txid=${TXID}`)).toEqual([1])
    expect(await ids(`txid=${TXID}${'0'.repeat(24)}`)).toEqual([1])
    expect([
      await ids(`txid=${long}`),
      await ids(`txid=${long.slice(0, 40)}`),
      await ids(`txid=${long.slice(0, 40)}${'0'.repeat(24)}`),
    ]).toEqual([[4], [4], []])
    // Not another's, though it is named.
    expect(await ids(`requestId=${longer}`, 3)).toEqual([])
    expect(await ids(`requestId=${longer}`, 2)).toEqual([4])
    expect((await get('/dataexchange/detail?requestId=x')).json.code).toBe(-1)
    expect((await get('/dataexchange/detail?txid=00')).json.code).toBe(-1)
    expect([await ids('pageNo=1&pageSize=2'), await ids('pageNo=2&pageSize=2')]).toEqual([[4, 2], [1]])
  })

  it("is nobody else's", async () => {
    for (const path of [
      '/dataexchange/log',
      '/dataexchange/detail',
      '/bill/month?date=2018-05-01',
      '/bill/recent',
      '/bill/total',
      '/bill/month.csv?date=2018-05-01',
    ]) {
      expect((await get(path, 9)).status).toBe(401)
    }
  })
})

describe('with 100,000 exchanges of one payer', () => {
  beforeEach(async () => {
    for (let product = 0; product < 20; product++) await market.publish(users[0]!)
    const from = Date.parse('2018-05-01T00:00:00+08:00')
    // 50 of a request. What they refer to is there: that need not be looked up a hundred thousand times.
    const fill = [
      statement`set session_replication_role = replica`,
      statement`insert into des_requests select lpad(to_hex(n), 64, '0'), 1, 1, '1.2.101', '{}', 50, 0 from generate_series(0, 1999) n`,
      statement`insert into des_items
        (request, position, product, payer, payee, digest, amount, asset, authorisation, expiration, nonce, state, txid, created_at, ended_at)
        select lpad(to_hex(n / 50), 64, '0'), n % 50, 1 + n % 20, '1.2.101', '1.2.102', lpad(to_hex(n), 64, '0'), n, '1.3.1', '{}', 0, n, 'SUCCESS',
          lpad(to_hex(n), 64, '0'), ${from}::int8, ${from}::int8 + n * 26000::int8 from generate_series(0, 99999) n`,
      statement`set session_replication_role = origin`,
      // What the database does by itself after a minute.
      statement`vacuum analyze des_items`,
    ]
    for (const each of fill) await each.execute(context.sql.db)
  }, 60_000)

  /**
   * Of 100 runs, or so many. The database runs in this process: its own time counts, not what else the machine does. What
   * disturbs it only adds, so of three tries the best is the nearest.
   */
  async function p99(path: string, enough: number, runs = 100): Promise<number> {
    let best = Infinity
    for (let round = 0; round < 3 && best >= enough; round++) {
      const times: number[] = []
      // Two of a hundred that are too slow decide it.
      for (let run = 0; run < runs && times.filter((each) => each >= enough).length <= runs / 100; run++) {
        const begun = process.cpuUsage()
        expect((await get(path)).status).toBe(200)
        const { user, system } = process.cpuUsage(begun)
        times.push((user + system) / 1000)
      }
      best = Math.min(best, times.sort((a, b) => a - b)[Math.ceil(times.length * 0.99) - 1]!)
    }
    return best
  }

  it('answers the bill of a month within 100 ms, and the others in a blink', async () => {
    const { json } = await get('/bill/month?date=2018-05-01')
    const rows = (json.data as { data: { transferCount: number; consumeAmount: number }[] }).data
    expect([rows.length, rows.reduce((sum, each) => sum + each.transferCount, 0)]).toEqual([20, 100_000])
    expect(rows.reduce((sum, each) => sum + each.consumeAmount, 0)).toBeCloseTo((99_999 * 100_000) / 2 / 100_000, 5)
    expect(await p99('/bill/month?date=2018-05-01', 100)).toBeLessThan(100)
    for (const path of [
      '/bill/monthTotal?date=2018-05-01',
      '/bill/recent',
      '/bill/total',
      '/dataexchange/log',
      '/dataexchange/detail',
    ]) {
      expect(await p99(path, 500, 5)).toBeLessThan(500)
    }
  }, 60_000)
})
