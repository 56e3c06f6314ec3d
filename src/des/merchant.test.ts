import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import axios from 'axios'
import { grapheneKey, seedSecret, toWif, type AccountId } from '../core/crypto/graphene/index.ts'
import { listenHttp, type HttpListener } from '../core/http/listenHttp.ts'
import { createDatasource, type DatasourceOptions } from './datasource.ts'
import { verifyEvidence } from './evidence.ts'
import { createMerchant } from './merchant.ts'
import { startSmallExchange, type SmallExchange } from './smallExchange.testing.ts'
import { readJson, readRequest } from './wire/index.ts'

const key = grapheneKey(seedSecret('merchant'))
const coded = (code: string): unknown => expect.objectContaining({ name: 'SluiceError', code })
let exchange: SmallExchange
let listeners: HttpListener[]
let stops: (() => void)[]

beforeEach(async () => {
  exchange = await startSmallExchange()
  exchange.accounts.set('1.2.20', key.publicKey)
  listeners = [exchange]
  stops = []
})
afterEach(async () => {
  for (const stop of stops) stop()
  for (const { close } of listeners) await close()
})

const merchantOf = (options: Partial<Parameters<typeof createMerchant>[0]> = {}) =>
  createMerchant({ account: '1.2.20', key, baseUrl: exchange.url, ...options })

/** Starts a data source. */
async function addSource(
  account: AccountId,
  answer: DatasourceOptions['answer'],
  options: Partial<DatasourceOptions> = {},
): Promise<void> {
  const secret = grapheneKey(seedSecret(account))
  exchange.accounts.set(account, secret.publicKey)
  let serve = (_: Request): Promise<Response> => Promise.reject(new Error('not yet'))
  const listener = await listenHttp({ fetch: (request) => serve(request) })
  listeners.push(listener)
  const source = createDatasource({
    account,
    key: secret,
    baseUrl: exchange.url,
    serviceUrl: `${listener.url}/data/request`,
    products: [{ productId: 1, price: 100_000n }],
    desPublicKey: exchange.key.publicKey,
    answer,
    ...options,
  })
  serve = source.fetch
  await source.start()
  stops.push(source.stop)
}
const yes = () => ({ result: true })

describe('a query', () => {
  it('asks all who are online but oneself, and opens what they answer', async () => {
    await addSource('1.2.11', ({ name }) => ({ result: name === '张三' }))
    await addSource('1.2.12', () => undefined)
    await addSource('1.2.13', () => {
      throw new Error('a secret of the source')
    })
    exchange.online.set('1.2.20', { accountId: '1.2.20', publicKey: key.publicKey, url: 'http://127.0.0.1:1' })
    const answers = await merchantOf().query(1, { name: '张三', idcard: '330102' })
    expect(answers).toMatchObject({ status: 'FINISHED', total: 3, spent: 100_000n })
    expect(answers.datasources).toEqual([
      {
        status: 'SUCCESS',
        datasource: '1.2.11',
        data: { result: true },
        txid: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
      },
      { status: 'NONE', datasource: '1.2.12' },
      { status: 'DATASOURCE_FAIL', datasource: '1.2.13', comment: 'answer.status must be 200 or 404' },
    ])
    expect(exchange.calls.filter((each) => each.includes('create'))).toEqual(['POST /api/request/create/1/3'])
    // A long poll: one look was enough.
    expect(exchange.calls.filter((each) => /request\/[0-9a-f]{64}$/.test(each)).length).toBe(1)
  })

  it('takes a key as text, and an axios of the caller', async () => {
    await addSource('1.2.11', yes)
    const headers: unknown[] = []
    // One that reads and writes JSON in its own way, and rounds.
    const http = axios.create({
      headers: { 'x-tenant': 'shop' },
      transformResponse: [(text: string): unknown => JSON.parse(text)],
      transformRequest: [(data: unknown) => JSON.stringify(data)],
    })
    http.interceptors.request.use((config) => (headers.push(config.headers['x-tenant']), config))
    const { spent } = await merchantOf({ key: toWif(seedSecret('merchant')), http }).query(1, { name: 'x' })
    expect(spent).toBe(100_000n)
    expect(headers).toEqual(['shop', 'shop', 'shop'])
  })

  it('seals each question with a nonce of its own, in suite 2 for who knows it', async () => {
    await addSource('1.2.11', yes)
    await addSource('1.2.12', yes)
    const { suites: _, ...old } = exchange.online.get('1.2.12')!
    exchange.online.set('1.2.12', old)
    const { datasources } = await merchantOf().query(1, { name: 'x' })
    expect(datasources.map(({ status }) => status)).toEqual(['SUCCESS', 'SUCCESS'])
    const { items } = readRequest(readJson(exchange.created[0]!))
    expect(items.map(({ params }) => params.slice(0, 3) === 'v2:')).toEqual([true, false])
    expect(new Set(items.map(({ nonce }) => nonce)).size).toBe(2)
  })

  it('checks the input before anything is signed', async () => {
    await addSource('1.2.11', yes)
    await expect(merchantOf().query(1, { idcard: '1' })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      details: { field: 'params.name' },
    })
    await expect(merchantOf().query(1, { name: 5 })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      details: { field: 'params.name' },
    })
    expect(exchange.created).toEqual([])
  })

  it('spends no more than it may', async () => {
    await addSource('1.2.11', yes)
    await addSource('1.2.12', yes)
    await expect(merchantOf().query(1, { name: 'x' }, { maxSpend: 199_999n })).rejects.toMatchObject({
      code: 'PRICE_MISMATCH',
      details: { cost: 200_000n, maxSpend: 199_999n },
    })
    expect(exchange.created).toEqual([])
    expect((await merchantOf().query(1, { name: 'x' }, { maxSpend: 200_000n })).spent).toBe(200_000n)
    expect((await merchantOf().query(1, { name: 'x' }, { maxSpend: 100_000n, sources: ['1.2.12'] })).datasources).toMatchObject([
      { datasource: '1.2.12', status: 'SUCCESS' },
    ])
  })

  it('refuses sources that are not there, doubled or oneself, and an empty market', async () => {
    await expect(merchantOf().query(1, { name: 'x' })).rejects.toEqual(coded('SOURCE_OFFLINE'))
    await addSource('1.2.11', yes)
    await expect(merchantOf().query(1, { name: 'x' }, { sources: ['1.2.12'] })).rejects.toMatchObject({
      code: 'SOURCE_OFFLINE',
      details: { datasource: '1.2.12' },
    })
    for (const sources of [['1.2.11', '1.2.11'], ['1.2.20']] as const) {
      await expect(merchantOf().query(1, { name: 'x' }, { sources })).rejects.toEqual(coded('BAD_ARGUMENT'))
    }
  })

  it('stays with the version it knows', async () => {
    await addSource('1.2.11', yes)
    await expect(merchantOf().query(1, { name: 'x' }, { version: 2 })).rejects.toMatchObject({
      code: 'PRODUCT_CHANGED',
      details: { version: 3, wanted: 2 },
    })
    // Changed between the look and the request.
    exchange.intercept = (method) => {
      if (method === 'POST') exchange.product = { ...exchange.product, version: 4, price: { amount: 1n, assetId: '1.3.1' } }
      return undefined
    }
    await expect(merchantOf().query(1, { name: 'x' })).rejects.toEqual(coded('PRODUCT_CHANGED'))
  })

  it('signs for 30 minutes, or as long as it is told, up to a day', async () => {
    await addSource('1.2.11', yes)
    const expiration = (at: number) =>
      readRequest(readJson(exchange.created[at]!)).items[0]!.requestParams.expiration - Date.now() / 1000
    await merchantOf().query(1, { name: 'x' })
    await merchantOf().query(1, { name: 'x' }, { expiresIn: 60_000 })
    expect(Math.abs(expiration(0) - 1800)).toBeLessThan(5)
    expect(Math.abs(expiration(1) - 60)).toBeLessThan(5)
    for (const expiresIn of [0, 24 * 3600_000 + 1]) {
      await expect(merchantOf().query(1, { name: 'x' }, { expiresIn })).rejects.toEqual(coded('BAD_ARGUMENT'))
    }
  })

  it('tells paid answers that are not what was promised', async () => {
    await addSource('1.2.11', () => ({ result: 'maybe' }))
    await addSource('1.2.12', () => ({}))
    const { datasources, spent, status } = await merchantOf().query(1, { name: 'x' })
    expect(datasources).toMatchObject([
      { status: 'BAD_ANSWER', comment: 'data.result must be true or false' },
      { status: 'BAD_ANSWER', comment: 'data.result is missing' },
    ])
    expect([spent, status]).toEqual([200_000n, 'FINISHED'])
  })

  it('takes no answer that is sealed with another key than the question was for', async () => {
    await addSource('1.2.11', yes)
    await addSource('1.2.12', yes)
    const merchant = merchantOf()
    const { requestId, product } = await merchant.createRequest(1, { name: 'x' }, { sources: ['1.2.11'] })
    const swapped = product.onlineDatasources.map((each) => ({ ...each, publicKey: exchange.online.get('1.2.12')!.publicKey }))
    const { datasources } = await merchant.getResult(requestId, { product: { ...product, onlineDatasources: swapped } })
    expect(datasources).toMatchObject([
      { status: 'BAD_ANSWER', comment: 'the answer is sealed with another key than the data source had' },
    ])
  })

  it('can be opened later, with the product where the exchange does not tell it', async () => {
    await addSource('1.2.11', yes)
    const merchant = merchantOf()
    const { requestId, product } = await merchant.createRequest(1, { name: 'x' })
    expect((await merchant.getResult(requestId)).datasources).toMatchObject([{ status: 'SUCCESS', data: { result: true } }])
    exchange.old = true
    expect((await merchant.getResult(requestId)).datasources).toMatchObject([
      { status: 'BAD_ANSWER', comment: 'the exchange does not tell what was asked for: pass the product to open the data' },
    ])
    expect(await merchant.getResult(requestId, { product })).toMatchObject({
      spent: 100_000n,
      datasources: [{ status: 'SUCCESS' }],
    })
  })
})

describe('waiting', () => {
  const slow = (ms: number) => () => new Promise((resolve) => setTimeout(() => resolve({ result: true }), ms))

  it('ends with as many results as are wanted', async () => {
    await addSource('1.2.11', yes)
    await addSource('1.2.12', slow(20_000))
    const { status, datasources, spent } = await merchantOf().query(1, { name: 'x' }, { minResults: 1 })
    expect([status, spent, datasources.map((each) => each.status)]).toEqual([
      'IN_PROGRESS',
      100_000n,
      ['SUCCESS', 'WAIT_EXCHANGE'],
    ])
  })

  it('looks once in a while where the exchange does not say that it heeds so many, and lets it wait elsewhere', async () => {
    await addSource('1.2.11', slow(700))
    await addSource('1.2.12', slow(20_000))
    const polls = (from: number) => exchange.queries.slice(from).filter((each) => each.startsWith('wait='))
    const merchant = merchantOf()
    exchange.heedsEnough = false
    expect((await merchant.query(1, { name: 'x' }, { minResults: 1 })).spent).toBe(100_000n)
    // 200 ms at a time.
    expect(polls(0).length).toBeGreaterThanOrEqual(3)
    expect(new Set(polls(0))).toEqual(new Set(['wait=200&enough=1']))
    exchange.heedsEnough = true
    let before = exchange.queries.length
    expect((await merchant.query(1, { name: 'x' }, { minResults: 1 })).spent).toBe(100_000n)
    expect(polls(before)).toEqual(['wait=200&enough=1', expect.stringMatching(/^wait=7\d{3}&enough=1$/)])
    // It remembers, and asks for no more than a request can have.
    before = exchange.queries.length
    await expect(merchant.query(1, { name: 'x' }, { minResults: 100, timeout: 900 })).rejects.toEqual(coded('TIMEOUT'))
    expect(polls(before)).toEqual([expect.stringMatching(/^wait=(900|8\d\d)&enough=64$/)])
  })

  it('is not begun with nonsense, and nothing is paid then', async () => {
    await addSource('1.2.11', yes)
    for (const [options, message] of [
      [{ minResults: 0 }, 'minResults must be a whole number from 1'],
      [{ minResults: 1.5 }, 'minResults must be a whole number from 1'],
      [{ timeout: 0 }, 'timeout must be milliseconds above zero'],
      [{ timeout: NaN }, 'timeout must be milliseconds above zero'],
      [{ idempotencyKey: 'two words' }, 'idempotencyKey must be 1 to 255 visible ASCII characters'],
      [{ idempotencyKey: 'a\nb' }, 'idempotencyKey must be 1 to 255 visible ASCII characters'],
      // Compared with a price, this would be no limit at all.
      [{ maxSpend: 'much' as unknown as bigint }, 'maxSpend must be a bigint in the smallest unit'],
    ] as const) {
      await expect(merchantOf().query(1, { name: 'x' }, options)).rejects.toMatchObject({
        code: 'BAD_ARGUMENT',
        message: expect.stringContaining(message) as string,
      })
    }
    expect(exchange.created).toEqual([])
  })

  it("ends at its deadline, and goes on by the request's name", async () => {
    await addSource('1.2.11', slow(600))
    const merchant = merchantOf()
    const start = performance.now()
    const error = await merchant
      .query(1, { name: 'x' }, { timeout: 150 })
      .catch((each: unknown) => each as { code: string; details: { requestId: string } })
    expect(error).toMatchObject({ code: 'TIMEOUT' })
    expect(performance.now() - start).toBeLessThan(550)
    const { requestId } = (error as { details: { requestId: string } }).details
    expect(await merchant.getResult(requestId)).toMatchObject({
      requestId,
      datasources: [{ status: 'SUCCESS', data: { result: true } }],
    })
  })

  it('ends when its caller has enough of it, and tells how to go on', async () => {
    const named = { code: 'ABORTED', details: { requestId: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown } }
    const asked = new AbortController()
    await addSource('1.2.11', () => {
      // Its answer to `createRequest` is there by then.
      setTimeout(() => asked.abort(), 200)
      return slow(5_000)()
    })
    await expect(merchantOf().query(1, { name: 'x' }, { signal: asked.signal })).rejects.toMatchObject(named)
    const sent = new AbortController()
    exchange.intercept = (_, path) => {
      if (path.includes('create')) sent.abort()
      return undefined
    }
    await expect(merchantOf().query(1, { name: 'x' }, { signal: sent.signal })).rejects.toMatchObject(named)
  })

  it('polls ever more rarely where the exchange answers at once', async () => {
    exchange.old = true
    await addSource('1.2.11', slow(1_000), { strict: false })
    const { datasources } = await merchantOf().query(1, { name: 'x' })
    expect(datasources).toMatchObject([{ status: 'SUCCESS' }])
    const polls = exchange.calls.filter((each) => /request\/[0-9a-f]{64}$/.test(each)).length
    // 60, 90, 135, 203, 304, 456 ms …
    expect(polls).toBeGreaterThanOrEqual(5)
    expect(polls).toBeLessThanOrEqual(9)
  })

  it('goes on when the exchange is out of order for a moment, not when it knows of no such request', async () => {
    await addSource('1.2.11', yes)
    let fail = 2
    exchange.intercept = (_, path) =>
      /request\/[0-9a-f]{64}$/.test(path) && fail-- > 0 ? new Response('{"code":"UNKNOWN_ERROR"}', { status: 502 }) : undefined
    expect((await merchantOf().query(1, { name: 'x' })).datasources).toMatchObject([{ status: 'SUCCESS' }])
    await expect(merchantOf().getResult('00'.repeat(32))).rejects.toEqual(coded('NO_SUCH_REQUEST'))
    for (const bad of ['', '../x', 'a/b']) await expect(merchantOf().getResult(bad)).rejects.toEqual(coded('BAD_ARGUMENT'))
  })
})

describe('a request', () => {
  it('is sent again when its answer is lost, and is one', async () => {
    let asked = 0
    await addSource('1.2.11', () => ({ result: ++asked > 0 }))
    let lost = false
    const create = exchange.intercept
    exchange.intercept = async (method, path) => {
      if (!path.includes('create') || lost) return create(method, path)
      lost = true
      return new Response('', { status: 502 })
    }
    const { datasources } = await merchantOf().query(1, { name: 'x' })
    expect(datasources).toMatchObject([{ status: 'SUCCESS' }])
    expect([exchange.calls.filter((each) => each.includes('create')).length, asked]).toEqual([2, 1])
  })

  it('tells its name when nobody knows what became of it', async () => {
    await addSource('1.2.11', yes)
    exchange.intercept = (_, path) => (path.includes('create') ? new Response('', { status: 500 }) : undefined)
    await expect(merchantOf().createRequest(1, { name: 'x' })).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
      details: { requestId: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown },
    })
  })

  it("is refused in the exchange's words, those of GXChain's servers too", async () => {
    await addSource('1.2.11', yes)
    for (const [status, body, code, message] of [
      [402, '{"code":"BALANCE_SHORT","detail":"5 short"}', 'BALANCE_SHORT', 'the exchange refused with 402: 5 short'],
      [400, '{"code":"BALANCE_NOT_ENOUGH","message":"余额不足"}', 'BALANCE_SHORT', 'the exchange refused with 400: 余额不足'],
      [400, '{"code":"toString"}', 'BAD_MESSAGE', 'the exchange refused with 400'],
      [409, 'x', 'CONFLICT', 'the exchange refused with 409'],
      [418, '', 'PEER_REFUSED', 'the exchange refused with 418'],
    ] as const) {
      exchange.intercept = (_, path) => (path.includes('create') ? new Response(body, { status }) : undefined)
      await expect(merchantOf().createRequest(1, { name: 'x' })).rejects.toMatchObject({ code, message, details: { status } })
    }
    // With what its problem says beside the sentence: plain values, a few of them.
    const details = { field: 'memo', until: 5, nested: {}, 'no name': 1, status: 1, long: 'x'.repeat(1000) }
    exchange.intercept = (_, path) =>
      path.includes('create') ? new Response(JSON.stringify({ code: 'CONFLICT', details }), { status: 409 }) : undefined
    await expect(merchantOf().createRequest(1, { name: 'x' })).rejects.toMatchObject({
      details: { field: 'memo', until: 5, status: 409, long: 'x'.repeat(200), baseUrl: exchange.url },
    })
    const refused = await merchantOf()
      .createRequest(1, { name: 'x' })
      .catch((error: unknown) => (error as { details: object }).details)
    expect(Object.keys(refused).sort()).toEqual(['baseUrl', 'field', 'long', 'retryAfter', 'status', 'until'])
  })

  it('can be called off while it is not forwarded', async () => {
    await addSource('1.2.11', yes)
    let go = (): void => {}
    exchange.before = () => new Promise((resolve) => (go = resolve))
    const merchant = merchantOf()
    const { requestId } = await merchant.createRequest(1, { name: 'x' })
    expect(await merchant.cancel(requestId)).toBe(1)
    // Said to be no form, which it would be by axios.
    expect(exchange.types.at(-1)).toBeNull()
    go()
    expect(await merchant.getResult(requestId)).toMatchObject({
      status: 'FAIL',
      datasources: [{ status: 'FAIL', comment: 'cancelled' }],
    })
  })

  it('has evidence that can be checked', async () => {
    await addSource('1.2.11', yes)
    await addSource('1.2.12', yes)
    const merchant = merchantOf()
    const { requestId } = await merchant.query(1, { name: 'x' })
    const evidence = await merchant.evidence(requestId)
    expect(evidence.map(({ payee }) => payee).sort()).toEqual(['1.2.11', '1.2.12'])
    expect(evidence.map(verifyEvidence)).toEqual([true, true])
    expect(verifyEvidence({ ...evidence[0]!, payee: '1.2.13' })).toBe(false)
  })
})

it('an exchange that is not there, or none, is told so', async () => {
  const nowhere = createMerchant({ account: '1.2.20', key, baseUrl: 'http://127.0.0.1:1' })
  await expect(nowhere.getProduct(1)).rejects.toEqual(coded('CONNECTION_FAILED'))
  await expect(merchantOf().getProduct(2)).rejects.toEqual(coded('NO_SUCH_PRODUCT'))
  for (const body of ['<html>', '{}', '']) {
    exchange.intercept = () => new Response(body)
    await expect(merchantOf().getProduct(1), body).rejects.toEqual(coded('BAD_MESSAGE'))
  }
  expect(() => createMerchant({ account: '1.3.1' as '1.2.1', key, baseUrl: '' })).toThrow(coded('BAD_ARGUMENT'))
  expect(() => createMerchant({ account: '1.2.1', key: 'x', baseUrl: '' })).toThrow(coded('BAD_KEY'))
  for (const baseUrl of ['', 'des.example', 'ftp://des.example', 'http://'])
    expect(() => merchantOf({ baseUrl })).toThrow('baseUrl must be an address such as https://des.example')
})
