import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toHex } from '../../../core/bytes.ts'
import { transferDigest, type TransferParams } from '../../../core/crypto/graphene/index.ts'
import type { SafeFetch } from '../../../core/http/safeFetch.ts'
import { createManualClock, type ManualClock } from '../../../testing/manualClock.ts'
import { pgliteEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import {
  documentDialect,
  readJson,
  requestIdOf,
  sdkDialect,
  writeJson,
  writeRequest,
  type RequestItem,
} from '../../wire/index.ts'
import { bodyOf, codeOf, startExchange, type Person, type TestExchange } from './exchange.testing.ts'

const START = Date.UTC(2018, 4, 1, 4)
const SECOND = START / 1000

let engine: SqlEngine
let clock: ManualClock
/** Two processes of one exchange. */
let exchange: TestExchange
let other: TestExchange
/** What data sources were asked: the digests of their authorisations. */
const asked: string[] = []
/** Whether data sources answer, here with nothing: who is asked then is over, and costs nothing. */
let silent = false
const fetch404: SafeFetch = async (_, { body }) => {
  const { requestParams } = readJson(body) as { requestParams: { memo: string } }
  asked.push(requestParams.memo)
  if (silent) await new Promise(() => {})
  return { status: 404, bytes: new Uint8Array(0), headers: {} }
}

beforeAll(async () => {
  engine = await pgliteEngine()
  clock = createManualClock(START)
  const sql = await engine.open()
  const options = { clock, fetch: fetch404, sweeps: false }
  exchange = await startExchange(sql, options)
  other = await startExchange(sql, options)
}, 60_000)
afterAll(async () => {
  await exchange?.listener.close()
  await other?.listener.close()
  await engine?.stop()
})

let number = 0
const person = (money?: bigint): Promise<Person> => exchange.person(`asker ${number++}`, money)
/** A buyer, and a product of two data sources. */
async function market(money = 10_000n) {
  const [buyer, alice, bob] = [await person(money), await person(), await person()]
  const product = await exchange.product(alice, [bob])
  for (const seller of [alice, bob]) {
    await clock.advance(1)
    await exchange.announce(seller, [product], 'http://source.example/')
  }
  /** An item that can be told from others by its memo. */
  const item = (seller: Person, change: Partial<TransferParams> = {}) =>
    exchange.item(buyer, seller, { memo: `memo ${number++}`, ...change })
  const create = (items: readonly RequestItem[], of = exchange) => of.exchange.create(product, bodyOf(items))
  return { buyer, alice, bob, product, item, create, money: () => exchange.balance(buyer.account) }
}
const nameOf = (...items: readonly RequestItem[]): string =>
  requestIdOf(items.map(({ requestParams }) => toHex(transferDigest(requestParams)).slice(2)))
const rowsOf = async (payer: Person): Promise<number> => {
  const { db } = exchange.context.sql
  const [items, requests] = [db.selectFrom('des_items'), db.selectFrom('des_requests')]
  return (
    (await items.select('id').where('payer', '=', payer.account).execute()).length +
    (await requests.select('id').where('payer', '=', payer.account).execute()).length
  )
}

describe('what a buyer signed', () => {
  it.each<[string, Partial<TransferParams>]>([
    ['from', { from: '1.2.99' }],
    ['proxyAccount', { proxyAccount: '1.2.7' }],
    ['percent', { percent: 1001 }],
    ['percent', { percent: 999 }],
    ['amount.amount', { amount: { amount: 1001n, assetId: '1.3.1' } }],
    ['amount.amount', { amount: { amount: 999n, assetId: '1.3.1' } }],
    ['amount.assetId', { amount: { amount: 1000n, assetId: '1.3.2' } }],
    ['memo', { memo: '' }],
    ['expiration', { expiration: 0 }],
  ])('must hold in every item: %s', async (field, change) => {
    const { buyer, alice, bob, item, create, money } = await market()
    await expect(create([await item(alice), await item(bob, change)])).rejects.toMatchObject({
      code: 'AUTHORISATION_INVALID',
      details: { field: `request[1].requestParams.${field}` },
    })
    expect([await rowsOf(buyer), await money()]).toMatchObject([0, { posted: 10_000n, available: 10_000n }])
  })

  it('is good for 10 s at least and a day at most', async () => {
    const { alice, item, create } = await market()
    const now = Math.floor(clock.now() / 1000)
    const good = async (expiration: number) => (await codeOf(create([await item(alice, { expiration })]))) === undefined
    expect([await good(now + 9), await good(now + 10), await good(now + 86_400), await good(now + 86_401)]).toEqual([
      false,
      true,
      true,
      false,
    ])
    expect(now).toBe(SECOND + Math.floor((clock.now() - START) / 1000))
  })

  it('moves no money to its payer, nor out of the exchange', async () => {
    const { buyer, product, alice, item, create } = await market()
    const { merchantId } = buyer
    await exchange.context.sql.db.insertInto('des_members').values({ product, merchant: merchantId, since: 1 }).execute()
    await exchange.announce(buyer, [product], 'http://buyer.example/')
    await expect(create([await item(buyer)])).rejects.toMatchObject({ details: { field: 'request[0].requestParams.to' } })
    const { account, key } = exchange.context
    const own = await exchange.item({ account, key, merchantId: 0 }, alice)
    await expect(create([own])).rejects.toMatchObject({ details: { field: 'request[0].requestParams.from' } })
  })

  it('is by the key of its payer, in every item, and of an account that there is', async () => {
    const { buyer, alice, bob, item, create, money } = await market()
    const eve = await person(10_000n)
    const forged = await exchange.item({ ...eve, account: buyer.account }, bob)
    await expect(create([await item(alice), forged])).rejects.toMatchObject({
      code: 'BAD_SIGNATURE',
      details: { field: 'request[1].requestParams.signatures[0]', owner: 'payer', account: buyer.account },
    })
    const nobody = await exchange.item({ ...eve, account: '1.2.4000000000' }, bob)
    expect(await codeOf(create([nobody]))).toBe('ACCOUNT_NOT_FOUND')
    expect([await rowsOf(buyer), await money()]).toMatchObject([0, { available: 10_000n }])
  })

  it('asks nobody twice, and nobody who is offline or no member', async () => {
    const { buyer, alice, bob, product, item, create, money } = await market()
    const third = await person()
    await exchange.context.sql.db.insertInto('des_members').values({ product, merchant: third.merchantId, since: 1 }).execute()
    const stranger = await person()
    await exchange.announce(stranger, [product], 'http://stranger.example/')
    expect(await codeOf(create([await item(alice), await item(alice)]))).toBe('AUTHORISATION_INVALID')
    await expect(create([await item(bob), await item(third)])).rejects.toMatchObject({
      code: 'SOURCE_OFFLINE',
      shortMessage: `data source ${third.account} is offline`,
    })
    await expect(create([await item(bob), await item(stranger)])).rejects.toMatchObject({
      code: 'SOURCE_OFFLINE',
      shortMessage: `data source ${stranger.account} does not sell product ${product}`,
    })
    expect([await rowsOf(buyer), await money()]).toMatchObject([0, { available: 10_000n }])
  })
})

describe('a request', () => {
  it('is held as a whole or not at all, and may come again once there is money', async () => {
    const { buyer, alice, bob, item, create, money } = await market(1999n)
    const items = [await item(alice), await item(bob)]
    await expect(create(items)).rejects.toMatchObject({
      code: 'BALANCE_SHORT',
      details: { account: buyer.account, missing: 1n, needed: 2000n },
    })
    expect([await rowsOf(buyer), await money()]).toMatchObject([0, { posted: 1999n, available: 1999n }])
    await exchange.ledger.deposit({ account: buyer.account, asset: '1.3.1', amount: 1n, key: 'one more' })
    expect(await create(items)).toBe(nameOf(...items))
  })

  it('costs what its product costs now', async () => {
    const { buyer, alice, product, item, create, money } = await market()
    const { db } = exchange.context.sql
    const old = await db.selectFrom('des_product_versions').selectAll().where('product', '=', product).executeTakeFirstOrThrow()
    const fields = { input: JSON.stringify(old.input), output: JSON.stringify(old.output) }
    await db
      .insertInto('des_product_versions')
      .values({ ...old, ...fields, price: 3000n, asset: '1.3.2', version: 2 })
      .execute()
    await db.updateTable('des_products').set({ version: 2 }).where('id', '=', product).execute()
    await exchange.ledger.deposit({ account: buyer.account, asset: '1.3.2', amount: 5000n, key: `other asset ${number++}` })
    await expect(create([await item(alice)])).rejects.toMatchObject({
      details: { field: 'request[0].requestParams.amount.amount' },
    })
    const amount = { amount: 3000n, assetId: '1.3.2' } as const
    const body = bodyOf([await item(alice, { amount })])
    expect(await codeOf(exchange.exchange.create(product, body, 1))).toBe('PRODUCT_CHANGED')
    silent = true
    const id = await exchange.exchange.create(product, body, 2)
    silent = false
    const { sql, ledger, settlement } = exchange.context
    const held = await sql.transaction(async (tx) =>
      ledger.balance(tx, await settlement.ledgerAccount(tx, buyer.account, '1.3.2')),
    )
    expect([held, await money()]).toMatchObject([{ available: 2000n }, { available: 10_000n }])
    expect(await db.selectFrom('des_requests').select('version').where('id', '=', id).executeTakeFirst()).toEqual({ version: 2 })
  })

  it('holds what it costs while it is under way, once', async () => {
    const { alice, bob, item, create, money } = await market(5000n)
    silent = true
    const items = [await item(alice), await item(bob)]
    for (let i = 0; i < 2; i++) await create(items)
    expect(await money()).toMatchObject({ posted: 5000n, available: 3000n })
    const more = await Promise.allSettled([alice, bob, alice, bob].map(async (seller) => create([await item(seller)])))
    silent = false
    expect(more.map(({ status }) => status).sort()).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected'])
    expect(await money()).toMatchObject({ posted: 5000n, available: 0n })
  })

  it('in other words is the same one: a hundred at once, to two servers, ask and hold once', async () => {
    const { alice, bob, product, item, money } = await market()
    silent = true
    const items = [await item(alice), await item(bob)]
    const resealed = items.map((each) => ({ ...each, nonce: 8n }))
    /** The same with the fields of every object the other way round. */
    const turned = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(turned)
      if (typeof value !== 'object' || value === null) return value
      return Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([name, of]) => [name, turned(of)]),
      )
    }
    const bodies = [
      writeRequest(items, sdkDialect),
      writeRequest(items, documentDialect),
      writeRequest(items, { ...documentDialect, nonce: 'text' }),
      writeRequest(resealed, sdkDialect),
      turned(writeRequest(items, sdkDialect)),
    ].map(writeJson)
    expect(new Set(bodies).size).toBe(5)
    const ids = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const { url } = (i % 2 === 0 ? exchange : other).listener
        const answer = await fetch(`${url}/api/request/create/${product}`, {
          method: 'POST',
          body: bodies[i % bodies.length]!,
          headers: { 'content-type': 'application/json' },
        })
        return ((await answer.json()) as { request_id: string }).request_id
      }),
    )
    silent = false
    expect(new Set(ids)).toEqual(new Set([nameOf(...items)]))
    expect(await money()).toMatchObject({ posted: 10_000n, available: 8000n })
    const memos = items.map(({ requestParams }) => requestParams.memo)
    expect(asked.filter((memo) => memos.includes(memo)).sort()).toEqual(memos.sort())
  }, 60_000)

  it('that comes many times in one moment to one server is asked once', async () => {
    const { alice, bob, item, create, money } = await market()
    silent = true
    const items = [await item(alice), await item(bob)]
    const ids = await Promise.all(Array.from({ length: 20 }, () => create(items)))
    silent = false
    expect(new Set(ids)).toEqual(new Set([nameOf(...items)]))
    const memos = items.map(({ requestParams }) => requestParams.memo)
    expect(asked.filter((memo) => memos.includes(memo))).toEqual(memos)
    expect(await money()).toMatchObject({ available: 8000n })
  })

  it('is no other one for another product, nor in another order, nor with junk beside its signature', async () => {
    const { buyer, alice, bob, product, item, create } = await market()
    const second = await exchange.product(alice, [bob])
    for (const seller of [alice, bob]) {
      await clock.advance(1)
      await exchange.announce(seller, [product, second], 'http://source.example/')
    }
    const [a, b] = [await item(alice), await item(bob)]
    const id = await create([a, b])
    const rows = await rowsOf(buyer)
    expect(await exchange.exchange.create(second, bodyOf([a, b]))).toBe(id)
    expect((await exchange.exchange.result(id)).result.productId).toBe(product)
    for (const part of [[b, a], [a], [b]]) expect(await codeOf(create(part))).toBe('AUTHORISATION_USED')
    const junk = new Uint8Array(65).fill(31)
    const [real] = a.requestParams.signatures
    for (const signatures of [[junk, real!], [real!, junk], [real!, real!], [junk]]) {
      const changed = { ...a, requestParams: { ...a.requestParams, signatures } }
      expect(await codeOf(create([changed, b]))).toBe('BAD_SIGNATURE')
      expect(await codeOf(create([changed]))).toBe('BAD_SIGNATURE')
    }
    expect(await rowsOf(buyer)).toBe(rows)
  })

  it('that is refused leaves its other authorisations free', async () => {
    const { alice, bob, item, create } = await market()
    const [used, fresh] = [await item(alice), await item(bob)]
    await create([used])
    expect(await codeOf(create([used, fresh]))).toBe('AUTHORISATION_USED')
    expect(await create([fresh])).toBe(nameOf(fresh))
  })

  it('and another at the same moment with one of its authorisations do not both count', async () => {
    const { alice, bob, item, create, money } = await market()
    silent = true
    const [a, b] = [await item(alice), await item(bob)]
    const codes = await Promise.all([codeOf(create([a])), codeOf(create([b, a])), codeOf(create([a, b], other))])
    silent = false
    expect(codes.filter((code) => code === undefined)).toHaveLength(1)
    expect(codes.filter((code) => code === 'AUTHORISATION_USED')).toHaveLength(2)
    const won = codes.indexOf(undefined)
    expect(await money()).toMatchObject({ available: won === 0 ? 9000n : 8000n })
  })

  it('that this process can not ask at once is left for whoever can', async () => {
    const { buyer, alice, item, product } = await market(10n ** 9n)
    silent = true
    const many = await Promise.all(Array.from({ length: 525 }, () => item(alice)))
    const ask = (items: readonly RequestItem[]) =>
      Promise.all(items.map((each) => other.exchange.create(product, bodyOf([each]))))
    await ask(many.slice(0, 512))
    const ids = await ask(many.slice(512))
    silent = false
    const rows = await exchange.context.sql.db
      .selectFrom('des_items')
      .select(['request', 'state', 'attempt', 'due_at'])
      .where('payer', '=', buyer.account)
      .execute()
    const held = rows.filter(({ state }) => state === 'HELD')
    expect(held.map(({ request }) => request).sort()).toEqual(ids.sort())
    // It is due at once, and what was taken is so only when its process must have ended.
    expect(held.every(({ attempt, due_at }) => attempt === 0 && Number(due_at) === clock.now())).toBe(true)
    const taken = rows.filter(({ state }) => state === 'FORWARDED')
    expect(taken.every(({ attempt, due_at }) => attempt === 1 && Number(due_at) === clock.now() + 7000)).toBe(true)
    const memos = new Set(many.map(({ requestParams }) => requestParams.memo))
    expect([taken.length, asked.filter((memo) => memos.has(memo)).length]).toEqual([512, 512])
    expect(await exchange.balance(buyer.account)).toMatchObject({ available: 10n ** 9n - 525_000n })
  }, 60_000)
})
