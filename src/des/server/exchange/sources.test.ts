import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { SafeFetch } from '../../../core/http/safeFetch.ts'
import { createManualClock, type ManualClock } from '../../../testing/manualClock.ts'
import { pgliteEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import { writeHeartbeat, writeJson } from '../../wire/index.ts'
import { bodyOf, codeOf, startExchange, type Person, type TestExchange } from './exchange.testing.ts'

const START = Date.UTC(2018, 4, 1, 4)
let engine: SqlEngine
let exchange: TestExchange
let clock: ManualClock
/** Where the exchange asks. */
const asked: string[] = []
const fetchNothing: SafeFetch = async (url) => {
  asked.push(url)
  return { status: 404, bytes: new Uint8Array(0), headers: {} }
}
beforeAll(async () => {
  engine = await pgliteEngine()
  clock = createManualClock(START)
  exchange = await startExchange(await engine.open(), { clock, fetch: fetchNothing, sweeps: false })
}, 60_000)
afterAll(async () => {
  await exchange?.stop()
  await engine?.stop()
})

let number = 0
async function seller(): Promise<{ seller: Person; product: number; url: string }> {
  const seller = await exchange.person(`seller ${number++}`)
  return { seller, product: await exchange.product(seller), url: `http://source-${number}.example/` }
}

/** Posts it as it is. */
async function post(body: unknown, { listener } = exchange): Promise<{ status: number; code?: string; products?: number[] }> {
  const answer = await fetch(`${listener.url}/api/datasource/heartbeat`, {
    method: 'POST',
    body: typeof body === 'string' ? body : writeJson(body),
    headers: { 'content-type': 'application/json' },
  })
  return { status: answer.status, ...((await answer.json()) as object) }
}
const beat = ({ account, key }: Person, products: readonly number[], more: Partial<Parameters<typeof writeHeartbeat>[0]> = {}) =>
  post(writeHeartbeat({ account, products, timestamp: clock.now(), ...more }, key))

/** Who buyers are told of. */
async function online(product: number): Promise<string[]> {
  const answer = await fetch(`${exchange.listener.url}/api/product/${product}`)
  const { onlineDatasources } = (await answer.json()) as { onlineDatasources: { accountId: string }[] }
  return onlineDatasources.map(({ accountId }) => accountId)
}

describe('a data source', () => {
  it('is online at 49.999 s after its heartbeat, and offline at 50.000 s', async () => {
    const { seller: source, product, url } = await seller()
    const buyer = await exchange.person('buyer of the edge', 10_000n)
    const ask = async () => exchange.exchange.create(product, bodyOf([await exchange.item(buyer, source)]))
    expect(await online(product)).toEqual([])
    expect(await beat(source, [product], { queryUrl: url })).toEqual({ status: 200, products: [product] })
    await clock.advance(49_999)
    expect(await online(product)).toEqual([source.account])
    const { result } = await exchange.exchange.result(await ask(), 60_000)
    expect(result.datasources).toMatchObject([{ status: 'NONE' }])
    expect(asked).toEqual([url])
    await clock.advance(1)
    expect(await online(product)).toEqual([])
    await expect(ask()).rejects.toMatchObject({
      code: 'SOURCE_OFFLINE',
      shortMessage: `data source ${source.account} is offline`,
    })
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 10_000n, available: 10_000n })
    await beat(source, [product], { queryUrl: url })
    expect(await online(product)).toEqual([source.account])
  })

  it('stays online by a heartbeat every 30 s, for 50 s after its last', async () => {
    const { seller: source, product } = await seller()
    const { datasource, stop } = await exchange.source(source, product, () => undefined, { clock })
    const begun = clock.now()
    await clock.advance(30_000)
    await vi.waitFor(async () => {
      const { beat_at } = await exchange.context.sql.db
        .selectFrom('des_datasources')
        .select('beat_at')
        .where('account', '=', source.account)
        .executeTakeFirstOrThrow()
      expect(Number(beat_at)).toBe(begun + 30_000)
    }, 10_000)
    datasource.stop()
    await clock.advance(49_999)
    expect(await online(product)).toEqual([source.account])
    await clock.advance(1)
    expect(await online(product)).toEqual([])
    await stop()
  })

  it('is there for the products of its last heartbeat, of those that it may sell', async () => {
    const { seller: source, product, url } = await seller()
    const [second, others] = [await exchange.product(source), (await seller()).product]
    const all = { queryUrl: url }
    expect((await beat(source, [product, second, others, 999_999, product], all)).products).toEqual([product, second])
    await clock.advance(1)
    expect((await beat(source, [second], all)).products).toEqual([second])
    expect([await online(product), await online(second), await online(others)]).toEqual([[], [source.account], []])
    await clock.advance(1)
    expect((await beat(source, [], all)).products).toEqual([])
    expect(await online(second)).toEqual([])
  })

  it('is asked no more once it is no member', async () => {
    const { seller: source, product, url } = await seller()
    await beat(source, [product], { queryUrl: url })
    await exchange.context.sql.db.deleteFrom('des_members').where('product', '=', product).execute()
    expect(await online(product)).toEqual([])
    const buyer = await exchange.person('buyer of nobody', 10_000n)
    const items = bodyOf([await exchange.item(buyer, source)])
    await expect(exchange.exchange.create(product, items)).rejects.toMatchObject({
      code: 'SOURCE_OFFLINE',
      shortMessage: `data source ${source.account} does not sell product ${product}`,
    })
  })

  it('without an address of its own is asked where its account is bound to', async () => {
    const { seller: source, product } = await seller()
    await beat(source, [product])
    const addressOf = () =>
      exchange.context.sql.db.selectFrom('des_datasources').select('service_url').where('account', '=', source.account).execute()
    expect(await addressOf()).toEqual([{ service_url: 'http://source.example/' }])
    await exchange.context.sql.db
      .updateTable('des_merchants')
      .set({ service_url: null })
      .where('account', '=', source.account)
      .execute()
    await clock.advance(1)
    expect(await beat(source, [product])).toMatchObject({ status: 403, code: 'FORBIDDEN' })
  })
})

describe('a heartbeat', () => {
  it.each([
    [-3001, 403],
    [-3000, 200],
    [0, 200],
    [3000, 200],
    [3001, 403],
  ])('whose time is %d ms off gets %d', async (off, status) => {
    const { seller: source, product } = await seller()
    const answer = await beat(source, [product], { timestamp: clock.now() + off })
    expect(answer).toMatchObject(status === 200 ? { status, products: [product] } : { status, code: 'FORBIDDEN' })
    expect(await online(product)).toEqual(status === 200 ? [source.account] : [])
  })

  it('in seconds has the same window', async () => {
    const { seller: source, product } = await seller()
    const now = Math.floor(clock.now() / 1000)
    const off = clock.now() % 1000
    expect(await beat(source, [product], { timestamp: now - 4 })).toMatchObject({ code: 'FORBIDDEN' })
    // Whole seconds only: what is left of this one is on one side.
    expect((await beat(source, [product], { timestamp: now - (off === 0 ? 3 : 2) })).status).toBe(200)
    expect((await beat(source, [product], { timestamp: now + 3 })).status).toBe(200)
    expect(await beat(source, [product], { timestamp: now + 4 })).toMatchObject({ code: 'FORBIDDEN' })
  })

  it('may be as far ahead as the operator lets clocks be, and not behind', async () => {
    const lenient = await startExchange(exchange.context.sql as never, {
      clock,
      fetch: fetchNothing,
      sweeps: false,
      rules: { clockSkew: 500 },
    })
    const { seller: source, product } = await seller()
    const at = async (off: number) => {
      const heartbeat = { account: source.account, products: [product], timestamp: clock.now() + off }
      return (await post(writeHeartbeat(heartbeat, source.key), lenient)).status
    }
    expect([await at(-3001), await at(3500), await at(3501)]).toEqual([403, 200, 403])
    await lenient.listener.close()
  })

  it('counts once: repeated or older it neither keeps its source online nor moves it', async () => {
    const { seller: source, product, url } = await seller()
    const { account, key } = source
    const of = (timestamp: number, queryUrl: string) => writeHeartbeat({ account, products: [product], timestamp, queryUrl }, key)
    const now = clock.now()
    const [older, first] = [of(now - 1, 'http://older.example/'), of(now, url)]
    // Of the same one many times at once, one counts.
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(first)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(answers.filter(({ code }) => code === 'FORBIDDEN')).toHaveLength(19)
    await clock.advance(2000)
    for (const repeated of [first, older, of(now, 'http://elsewhere.example/')])
      expect(await post(repeated)).toMatchObject({ status: 403, code: 'FORBIDDEN' })
    const row = await exchange.context.sql.db
      .selectFrom('des_datasources')
      .select(['beat_at', 'service_url'])
      .where('account', '=', account)
      .executeTakeFirstOrThrow()
    expect([Number(row.beat_at), row.service_url]).toEqual([now, url])
    await clock.advance(48_000)
    expect(await online(product)).toEqual([])
  })

  it('is of whose key it is by, and of a merchant', async () => {
    const { seller: source, product, url } = await seller()
    const { seller: other } = await seller()
    const good = writeHeartbeat(
      { account: source.account, products: [product], timestamp: clock.now(), queryUrl: url },
      source.key,
    )
    const forged = writeHeartbeat({ account: source.account, products: [product], timestamp: clock.now() }, other.key)
    expect((await post(forged)).code).toBe('SIGNATURE_VERIFY_FAIL')
    expect((await post({ ...good, account: other.account })).code).toBe('SIGNATURE_VERIFY_FAIL')
    expect((await post({ ...good, queryUrl: 'http://elsewhere.example/' })).code).toBe('SIGNATURE_VERIFY_FAIL')
    expect(await post({ ...good, account: '1.2.4000000000' })).toMatchObject({ status: 404, code: 'ACCOUNT_NOT_EXIST' })
    expect(await online(product)).toEqual([])
    expect((await post(good)).status).toBe(200)
  })

  it('of an account that no merchant is bound to is refused', async () => {
    const { key } = await exchange.person('nobody')
    const account = await exchange.ledger.openAccount(key.publicKey)
    await exchange.context.sql.db.deleteFrom('des_merchants').where('account', '=', account).execute()
    expect(await post(writeHeartbeat({ account, products: [], timestamp: clock.now() }, key))).toMatchObject({
      status: 403,
      code: 'FORBIDDEN',
    })
  })

  it('that is none is refused, and changes nothing', async () => {
    const { seller: source, product } = await seller()
    const good = writeHeartbeat({ account: source.account, products: [product], timestamp: clock.now() }, source.key)
    const junk: unknown[] = [
      '',
      'nonsense',
      '[]',
      'null',
      '{}',
      { ...good, signature: 'ff'.repeat(65) },
      { ...good, signature: '00'.repeat(65) },
      { ...good, timestamp: 'now' },
      { ...good, timestamp: 15089110248010 },
      { ...good, products: 'all' },
      { ...good, more: 1 },
    ]
    for (const body of junk) expect((await post(body)).status, JSON.stringify(body)).toBeGreaterThanOrEqual(400)
    for (const body of junk) expect((await post(body)).status, JSON.stringify(body)).toBeLessThan(500)
    expect(await online(product)).toEqual([])
    expect((await post(good)).status).toBe(200)
    expect(await online(product)).toEqual([source.account])
  })
})

it('a buyer may be told of nobody whose account has no key', async () => {
  const { seller: source, product, url } = await seller()
  const hidden = await startExchange(exchange.context.sql as never, {
    clock,
    fetch: fetchNothing,
    sweeps: false,
    settlement: {
      publicKeyOf: async (account) => (account === source.account ? undefined : exchange.context.settlement.publicKeyOf(account)),
    },
  })
  await beat(source, [product], { queryUrl: url })
  const answer = await fetch(`${hidden.listener.url}/api/product/${product}`)
  expect(await answer.json()).toMatchObject({ onlineDatasources: [] })
  expect(await codeOf(hidden.announce(source, [product], url))).toBe('ACCOUNT_NOT_FOUND')
  await hidden.listener.close()
})
