import { describe, expect, it, onTestFinished } from 'vitest'
import { toHex, utf8 } from '../core/bytes.ts'
import {
  grapheneKey,
  seedSecret,
  signTransferParams,
  transferDigest,
  type TransferParams,
} from '../core/crypto/graphene/index.ts'
import { listenHttp } from '../core/http/listenHttp.ts'
import { createManualClock } from '../testing/manualClock.ts'
import { createDatasource, type DatasourceEvents, type DatasourceOptions } from './datasource.ts'
import { openSealed, sealData } from './seal/index.ts'
import { startSmallExchange } from './smallExchange.testing.ts'
import { FORWARD_SIGNATURE, memoOf, readJson, writeForward, writeJson, writePayload, type Forward } from './wire/index.ts'

const [merchant, source, des, eve] = ['merchant', 'source', 'des', 'eve'].map((seed) => grapheneKey(seedSecret(seed))) as [
  ReturnType<typeof grapheneKey>,
  ReturnType<typeof grapheneKey>,
  ReturnType<typeof grapheneKey>,
  ReturnType<typeof grapheneKey>
]
const NOW = 1_512_806_000_000
const coded = (code: string): unknown => expect.objectContaining({ name: 'SluiceError', code })

/** What a test changes of a forward; functions see what was made so far. */
interface Change {
  readonly terms?: Partial<TransferParams>
  readonly payload?: Uint8Array
  readonly suite?: 1 | 2
  readonly signedBy?: typeof merchant
  readonly forward?: Partial<Forward>
  readonly headers?: Record<string, string>
  readonly body?: Record<string, unknown>
}

/** Makes what an exchange sends. */
async function question(change: Change = {}): Promise<{ request: Request; forward: Forward; text: string }> {
  const payload = change.payload ?? writePayload({ params: { name: '张三' }, timestamp: NOW })
  const requestParams = signTransferParams(
    {
      from: '1.2.20',
      to: '1.2.11',
      proxyAccount: '1.2.17',
      amount: { amount: 100_000n, assetId: '1.3.1' },
      percent: 1000,
      memo: memoOf(payload),
      expiration: NOW / 1000 + 1800,
      ...change.terms,
    },
    change.signedBy ?? merchant,
  )
  const context = {
    requestId: toHex(transferDigest(requestParams)).slice(2),
    productId: 1,
    from: '1.2.20',
    to: '1.2.11',
  } as const
  const nonce = 77n
  const params = await sealData(merchant, source.publicKey, change.suite === 2 ? { context } : { nonce }, payload)
  const forward: Forward = {
    params,
    nonce,
    publicKey: merchant.publicKey,
    productId: 1,
    merchantAccountId: '1.2.20',
    requestId: 'ab12',
    requestParams,
    timestamp: NOW,
    ...change.forward,
  }
  const { body, headers } = writeForward(forward, des)
  const text = writeJson({ ...body, ...change.body })
  return { request: post(text, { ...headers, ...change.headers }), forward, text }
}

function post(body: BodyInit, headers: Record<string, string> = {}): Request {
  return new Request('https://source.example/data/request', { method: 'POST', body, headers, duplex: 'half' } as RequestInit)
}

function setUp(options: Partial<DatasourceOptions> = {}) {
  const clock = createManualClock(NOW)
  let asked = 0
  const datasource = createDatasource({
    account: '1.2.11',
    key: source,
    baseUrl: 'http://127.0.0.1:1',
    serviceUrl: 'https://source.example/data/request',
    desPublicKey: des.publicKey,
    products: [{ productId: 1, price: 100_000n }],
    clock,
    ...options,
    answer: (input, context) => {
      asked++
      return options.answer ? options.answer(input, context) : { result: input.name === '张三' }
    },
  })
  const events: [keyof DatasourceEvents, unknown][] = []
  for (const name of ['answered', 'refused'] as const) datasource.events.on(name, (payload) => events.push([name, payload]))
  return { datasource, clock, events, asked: () => asked }
}

/** What an answer says to the merchant. */
async function opened(response: Response, publicKey: string = source.publicKey): Promise<unknown> {
  expect(response.status).toBe(200)
  const { success, data, nonce } = readJson(await response.text()) as { success: boolean; data: string; nonce: number }
  expect(success).toBe(true)
  const context = { requestId: 'ab12', productId: 1, from: '1.2.11', to: '1.2.20' } as const
  return readJson(new TextDecoder().decode(await openSealed(merchant, publicKey, { nonce: BigInt(nonce), context }, data)))
}

async function refusal(response: Response): Promise<[number, string]> {
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  const { code, status } = (await response.json()) as { code: string; status: number }
  expect(status).toBe(response.status)
  return [status, code]
}

describe('a data source', () => {
  it.each([1, 2] as const)('opens a question of suite %i and seals its answer in kind', async (suite) => {
    const { datasource, events } = setUp({ answer: (input, context) => ({ input, ...context, signal: context.signal.aborted }) })
    const { request, forward } = await question({ suite })
    const response = await datasource.fetch(request)
    const { data, nonce } = (await response.clone().json()) as { data: string; nonce: number }
    expect(data.startsWith('v2:')).toBe(suite === 2)
    // Never the question's.
    expect(BigInt(nonce)).not.toBe(forward.nonce)
    expect(await opened(response)).toEqual({
      input: { name: '张三' },
      productId: 1,
      merchant: '1.2.20',
      timestamp: NOW,
      requestId: 'ab12',
      signal: false,
    })
    expect(events).toEqual([['answered', { productId: 1, merchant: '1.2.20', requestId: 'ab12', found: true }]])
  })

  it('says 404 where it knows nothing', async () => {
    const { datasource, events } = setUp({ answer: () => undefined })
    const response = await datasource.fetch((await question()).request)
    expect([response.status, await response.text()]).toEqual([404, '{"success":false}'])
    expect(events).toEqual([['answered', { productId: 1, merchant: '1.2.20', requestId: 'ab12', found: false }]])
  })

  it('says 500 where it fails, and not why', async () => {
    const { datasource, events } = setUp({ answer: () => Promise.reject(new Error('SELECT secret FROM people')) })
    const response = await datasource.fetch((await question()).request)
    expect(await response.clone().text()).not.toContain('secret')
    expect(await refusal(response)).toEqual([500, 'SOURCE_FAILED'])
    expect(events).toEqual([
      [
        'refused',
        { error: expect.objectContaining({ code: 'SOURCE_FAILED', cause: new Error('SELECT secret FROM people') }) as unknown },
      ],
    ])
  })

  const payload = utf8('{"params":{},"timestamp":1}')
  it.each<[string, Change, number, string]>([
    ['terms for another', { terms: { to: '1.2.12' } }, 403, 'NOT_ALLOWED'],
    ['terms of another', { terms: { from: '1.2.21' } }, 403, 'NOT_ALLOWED'],
    ['a price below its own', { terms: { amount: { amount: 99_999n, assetId: '1.3.1' } } }, 422, 'AUTHORISATION_INVALID'],
    ['another asset', { terms: { amount: { amount: 100_000n, assetId: '1.3.2' } } }, 422, 'AUTHORISATION_INVALID'],
    ['a price that the exchange keeps', { terms: { percent: 5001 } }, 422, 'AUTHORISATION_INVALID'],
    ['terms that have expired', { terms: { expiration: NOW / 1000 } }, 422, 'AUTHORISATION_INVALID'],
    ['terms that somebody else signed', { signedBy: eve }, 401, 'BAD_SIGNATURE'],
    ['a memo of another question', { terms: { memo: memoOf(payload) } }, 400, 'BAD_MESSAGE'],
    ["a product it doesn't sell", { forward: { productId: 2 } }, 422, 'NO_SUCH_PRODUCT'],
    ['a forward of long ago', { forward: { timestamp: NOW - 60_001 } }, 401, 'BAD_SIGNATURE'],
    ["a forward without the exchange's signature", { headers: { [FORWARD_SIGNATURE]: '' } }, 401, 'BAD_SIGNATURE'],
    ['a key put in on the way', { body: { publicKey: eve.publicKey } }, 401, 'BAD_SIGNATURE'],
    ['a forward without terms', { body: { requestParams: undefined } }, 401, 'BAD_SIGNATURE'],
    ["a question that doesn't open", { forward: { nonce: 78n } }, 400, 'BAD_MESSAGE'],
    ['a question that is none', { payload: utf8('[]') }, 400, 'BAD_MESSAGE'],
  ])('refuses %s', async (_, change, status, code) => {
    const { datasource, asked, events } = setUp()
    expect(await refusal(await datasource.fetch((await question(change)).request))).toEqual([status, code])
    expect(asked()).toBe(0)
    expect(events).toEqual([['refused', { error: expect.objectContaining({ code }) as unknown }]])
  })

  it('takes a price above its own, and an exchange that keeps half', async () => {
    const { datasource } = setUp()
    const terms = { percent: 5000, amount: { amount: 100_001n, assetId: '1.3.1' } } as const
    expect(await opened(await datasource.fetch((await question({ terms })).request))).toEqual({ result: true })
  })

  it('answers an authorisation once, whoever sends it how often', async () => {
    const { datasource, asked, clock } = setUp()
    const { request, forward } = await question()
    const again = () => {
      const { body, headers } = writeForward({ ...forward, requestId: 'cd34', timestamp: clock.now() }, des)
      return post(writeJson(body), headers)
    }
    const texts = await Promise.all(
      [datasource.fetch(request), datasource.fetch(again())].map(async (response) => (await response).text()),
    )
    expect(texts[0]).toBe(texts[1])
    await clock.advance(100_000)
    expect(await (await datasource.fetch(again())).text()).toBe(texts[0])
    expect(asked()).toBe(1)
  })

  it('answers again what failed', async () => {
    let fails = true
    const { datasource, asked } = setUp({
      answer: () => {
        if (fails) throw new Error('down')
        return { result: true }
      },
    })
    const { forward, text } = await question()
    const { headers } = writeForward(forward, des)
    expect((await datasource.fetch(post(text, headers))).status).toBe(500)
    fails = false
    expect(await opened(await datasource.fetch(post(text, headers)))).toEqual({ result: true })
    expect(asked()).toBe(2)
  })

  it('refuses what is no question', async () => {
    const { datasource } = setUp({ maxBody: 1000 })
    const send = async (body: BodyInit): Promise<unknown> => refusal(await datasource.fetch(post(body)))
    expect(await send('{')).toEqual([400, 'BAD_MESSAGE'])
    expect(await send('{}')).toEqual([400, 'BAD_MESSAGE'])
    expect(await send(Uint8Array.of(0xff, 0xfe))).toEqual([400, 'BAD_MESSAGE'])
    expect(await send(new Uint8Array(1001).fill(32))).toEqual([413, 'MESSAGE_TOO_LARGE'])
    // No length is told: it is counted as it comes, and not read to its end.
    let pulled = 0
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => (pulled++, controller.enqueue(new Uint8Array(100).fill(32))),
    })
    expect(await send(endless)).toEqual([413, 'MESSAGE_TOO_LARGE'])
    expect(pulled).toBeLessThan(20)
    const got = await datasource.fetch(new Request('https://source.example/'))
    expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST'])
  })

  it('takes so many questions at once and no more', async () => {
    const waiting: (() => void)[] = []
    const { datasource } = setUp({
      concurrency: 2,
      answer: () => new Promise((resolve) => waiting.push(() => resolve({ result: true }))),
    })
    const two = [datasource.fetch((await question()).request), datasource.fetch((await question()).request)]
    const third = await datasource.fetch((await question()).request)
    expect([await refusal(third.clone()), third.headers.get('retry-after')]).toEqual([[503, 'OVERLOADED'], '1'])
    await expect.poll(() => waiting.length).toBe(2)
    for (const go of waiting) go()
    expect((await Promise.all(two)).map(({ status }) => status)).toEqual([200, 200])
    expect((await datasource.fetch(post('{}'))).status).toBe(400)
  })

  it('gives up an answer that takes too long, or that nobody waits for any more', async () => {
    const signals: AbortSignal[] = []
    const { datasource, clock } = setUp({
      answerTimeout: 500,
      answer: (_, { signal }) => (signals.push(signal), new Promise(() => {})),
    })
    const late = datasource.fetch((await question()).request)
    await expect.poll(() => signals.length).toBe(1)
    await clock.advance(500)
    expect(await refusal(await late)).toEqual([504, 'TIMEOUT'])
    const gone = new AbortController()
    const { request } = await question()
    const left = datasource.fetch(new Request(request, { signal: gone.signal }))
    await expect.poll(() => signals.length).toBe(2)
    gone.abort()
    await left
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true])
  })
})

describe('a data source of an older exchange', () => {
  it('answers bare questions if it is told to', async () => {
    const { datasource } = setUp({ strict: false, desPublicKey: undefined })
    const bare = { requestId: undefined, requestParams: undefined, timestamp: undefined }
    const { text } = await question({ body: bare })
    expect(Object.keys(readJson(text) as object).sort()).toEqual([
      'merchantAccountId',
      'nonce',
      'params',
      'productId',
      'publicKey',
    ])
    expect(await opened(await datasource.fetch(post(text)))).toEqual({ result: true })
    expect(await refusal(await setUp().datasource.fetch(post(text)))).toEqual([401, 'BAD_SIGNATURE'])
  })

  it('still checks terms and signatures that do come', async () => {
    const { datasource } = setUp({ strict: false })
    const { text } = await question({ terms: { percent: 10_000 } })
    expect(await refusal(await datasource.fetch(post(text)))).toEqual([422, 'AUTHORISATION_INVALID'])
    const fine = await question()
    expect(await refusal(await datasource.fetch(post(fine.text, { [FORWARD_SIGNATURE]: 'ab' })))).toEqual([401, 'BAD_SIGNATURE'])
    expect((await datasource.fetch(post(fine.text))).status).toBe(200)
  })
})

describe('heartbeats of a data source', () => {
  it('are accepted, with suites; for an older exchange in the form of its Java client', async () => {
    const exchange = await startSmallExchange()
    onTestFinished(() => exchange.close())
    exchange.accounts.set('1.2.11', source.publicKey)
    const bodies: unknown[] = []
    const start = async (strict: boolean) => {
      const datasource = createDatasource({
        account: '1.2.11',
        key: source,
        baseUrl: exchange.url,
        serviceUrl: 'https://source.example/x',
        desPublicKey: des.publicKey,
        strict,
        products: [
          { productId: 1, price: 1n },
          { productId: 5, price: 1n },
        ],
        answer: () => undefined,
      })
      const happened: string[] = []
      datasource.events.on('online', ({ account }) => happened.push(`online ${account}`))
      datasource.events.on('offline', ({ account }) => happened.push(`offline ${account}`))
      await datasource.start()
      expect(datasource.online).toBe(true)
      datasource.stop()
      expect(happened).toEqual(['online 1.2.11', 'offline 1.2.11'])
      bodies.push(exchange.online.get('1.2.11'))
    }
    await start(true)
    await start(false)
    const online = { accountId: '1.2.11', publicKey: source.publicKey, url: 'https://source.example/x' }
    expect(bodies).toEqual([{ ...online, suites: [2] }, online])
  })

  it("end with the exchange's refusal", async () => {
    const exchange = await startSmallExchange()
    onTestFinished(() => exchange.close())
    const options = {
      account: '1.2.11',
      key: source,
      baseUrl: exchange.url,
      serviceUrl: 'https://x.example/',
      strict: false,
      products: [],
      answer: () => undefined,
    } as const
    const datasource = createDatasource(options)
    const errors: unknown[] = []
    datasource.events.on('heartbeatFailed', ({ error }) => errors.push(error.code))
    await expect(datasource.start()).rejects.toEqual(coded('ACCOUNT_NOT_FOUND'))
    exchange.accounts.set('1.2.11', eve.publicKey)
    await expect(datasource.start()).rejects.toEqual(coded('BAD_SIGNATURE'))
    expect(errors).toEqual(['ACCOUNT_NOT_FOUND', 'BAD_SIGNATURE'])
  })
})

it('is not made of options that make no sense', () => {
  expect(() => setUp({ desPublicKey: undefined })).toThrow(coded('BAD_ARGUMENT'))
  expect(() => setUp({ desPublicKey: 'GXCx' })).toThrow(coded('BAD_KEY'))
  expect(() => setUp({ serviceUrl: 'ftp://x' })).toThrow(coded('BAD_MESSAGE'))
  expect(() => setUp({ account: 'me' as '1.2.1' })).toThrow(coded('BAD_ARGUMENT'))
})

it('warns once of products that the exchange does not let it sell, and refuses numbers that are none', async () => {
  let sold = [1]
  const exchange = await listenHttp({ fetch: async () => new Response(JSON.stringify({ products: sold })) })
  const warnings: unknown[] = []
  const nothing = () => {}
  const { datasource, clock } = setUp({
    baseUrl: exchange.url,
    products: [1, 2, 3].map((productId) => ({ productId, price: 0n })),
    log: { debug: nothing, info: nothing, error: nothing, warn: (_, details) => warnings.push(details?.products) },
  })
  await datasource.start()
  expect(warnings).toEqual(['2,3'])
  const beat = async (): Promise<void> => {
    await clock.advance(30_000)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await beat()
  expect(warnings).toEqual(['2,3'])
  sold = [1, 2, 3]
  await beat()
  sold = [1, 2]
  await beat()
  expect(warnings).toEqual(['2,3', '3'])
  datasource.stop()
  await exchange.close()
  for (const productId of [-1, 1.5])
    expect(() =>
      setUp({
        products: [
          { productId: 1, price: 0n },
          { productId, price: 0n },
        ],
      }),
    ).toThrow('products[].productId must be a whole number from 0')
})
