import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { sqlIdempotencyKeys } from '../../../core/http/idempotency.ts'
import { createHttpService, type HttpService } from '../../../core/http/index.ts'
import { pgliteEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import { readJson, writeJson } from '../../wire/index.ts'
import { MAX_LOGO } from './logos.ts'
import { createTestMarket, sampleProduct, START, type TestMarket } from './market.testing.ts'
import { marketRoutes } from './routes.ts'
import type { MarketUser } from './user.ts'

const OPERATOR = 'a token of the operator'.replaceAll(' ', '-')

let engine: SqlEngine
let market: TestMarket
let service: HttpService
let users: MarketUser[]

beforeAll(async () => {
  engine = await pgliteEngine()
}, 60_000)
afterAll(() => engine?.stop())
beforeEach(async () => {
  market = await createTestMarket(await engine.open())
  users = await Promise.all([14, 15].map((id) => market.join(id)))
  service = createHttpService<MarketUser>({
    routes: marketRoutes(market.context),
    title: 'market',
    version: '1',
    description: '',
    operatorToken: OPERATOR,
    readBody: readJson,
    writeBody: writeJson,
    clock: market.clock,
    keys: await sqlIdempotencyKeys(market.context.sql, { clock: market.clock }),
    userId: ({ merchantId }) => `${merchantId}`,
    authenticate: (request) =>
      users.find(({ merchantId }) => request.headers.get('authorization') === `Bearer merchant-${merchantId}`),
  })
})

interface Answer {
  readonly status: number
  readonly text: string
  readonly json: Record<string, unknown>
}

async function call(
  method: 'GET' | 'POST',
  path: string,
  { body, user, token }: { body?: unknown; user?: number; token?: string } = {},
): Promise<Answer> {
  const authorization = token ?? (user === undefined ? undefined : `merchant-${user}`)
  const answer = await service.fetch(
    new Request(`http://localhost/market${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...(authorization && { authorization: `Bearer ${authorization}` }) },
      ...(body !== undefined && { body: typeof body === 'string' ? body : writeJson(body) }),
    }),
  )
  const text = await answer.text()
  return { status: answer.status, text, json: JSON.parse(text) as Record<string, unknown> }
}

describe('the market over HTTP', () => {
  it('walks through the seed: bind, category, product, members, update, vote', async () => {
    const bound = await call('POST', '/account/bind', { body: market.bindingOf({ merchantId: 16, accountId: '1.2.11' }) })
    expect(bound.json).toMatchObject({ code: 1, msg: '成功' })
    const category = await call('POST', '/category/create', { body: { categoryName: '征信' }, token: OPERATOR })
    expect(category.json).toEqual({ code: 1, msg: '成功', data: { categoryId: 2, categoryName: '征信' } })

    const created = await call('POST', '/product/create', { body: { ...sampleProduct, categoryId: 2 }, user: 14 })
    expect(created.json).toEqual({ code: 1, msg: '成功', data: { productId: 1 } })
    expect((await call('GET', '/product/1')).json.data).toMatchObject({
      categoryId: '2',
      price: { amount: '100000', assetId: '1.3.1' },
    })
    expect((await call('GET', '/product/list/2/0?page=1&limit=20')).json).toMatchObject({
      code: 1,
      total: 1,
      data: [{ productId: 1, privacy: false }],
    })

    const invited = await call('POST', '/product/1/members/add', { body: { members: [15] }, user: 14 })
    expect(invited.json).toEqual({ code: 1, msg: '成功', data: { voteId: 1, expireAt: START + 172_800_000, status: 'PASS' } })
    const opened = await call('POST', '/product/1/update', {
      body: { price: { amount: '9223372036854775807', assetId: '1.1' } },
      user: 15,
    })
    expect(opened.json.data).toMatchObject({ voteId: 2, status: 'INPROGRESS' })
    expect((await call('GET', '/product/all/votes/0', { user: 14 })).json).toMatchObject({
      total: 1,
      data: [{ voteId: 2, type: 'UPDATE_PRODUCT' }],
    })
    const shown = await call('GET', '/product/votes/2', { user: 14 })
    expect(shown.text).toContain('"to":{')
    // A bare number, to the last digit.
    expect(shown.text).toContain('"price":{"amount":9223372036854775807,"assetId":"1.3.1"}')
    expect((await call('POST', '/product/vote', { body: { voteId: 2, agree: 1 }, user: 14 })).json).toMatchObject({
      code: 1,
      data: { status: 'PASS' },
    })
    expect((await call('GET', '/product/1')).json.data).toMatchObject({ version: 2 })
    expect((await call('GET', '/product/1?version=1')).json.data).toMatchObject({ version: 1, price: { amount: '100000' } })
    expect((await call('GET', '/product/1/votes/1', { user: 15 })).json.total).toBe(2)
  })

  it("keeps what is one's own from strangers, and the operator's from users", async () => {
    for (const [method, path, body] of [
      ['POST', '/product/create', sampleProduct],
      ['POST', '/product/1/update', {}],
      ['POST', '/product/1/members/add', {}],
      ['POST', '/product/vote', {}],
      ['GET', '/product/all/votes/0', undefined],
      ['GET', '/product/votes/1', undefined],
      ['GET', '/merchant/profile', undefined],
      ['POST', '/merchant/profile', {}],
      ['POST', '/category/create', {}],
    ] as const)
      expect([path, (await call(method, path, { body })).status]).toEqual([path, 401])
    expect((await call('POST', '/category/create', { body: { categoryName: 'x' }, user: 14 })).json).toMatchObject({
      code: -3,
      data: null,
    })
  })

  it('caps pages, and refuses what is no number', async () => {
    for (const path of [
      '/product/list/1/0?limit=101',
      '/product/list/1/0?page=0',
      '/product/list/1/2',
      '/product/list/x/0',
      '/product/list/1/0?limit=1e1',
    ]) {
      expect([path, (await call('GET', path)).json.code]).toEqual([path, -1])
    }
    expect((await call('GET', '/product/1/votes/3', { user: 14 })).json.code).toBe(-1)
    expect((await call('GET', '/product/99')).json).toMatchObject({ code: -4, data: null })
  })

  it('takes a logo as large as it may be, by what its bytes are', async () => {
    const picture = new Uint8Array(MAX_LOGO)
    picture.set([0xff, 0xd8, 0xff])
    const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
    const create = (logoImgBase64: string) =>
      call('POST', '/product/create', { body: { ...sampleProduct, logoImgBase64 }, user: 14 })
    expect((await create(`data:image/svg+xml;base64,${base64(picture)}`)).json.code).toBe(1)
    const { logoUrl } = (await call('GET', '/product/1')).json.data as { logoUrl: string }
    const answer = await service.fetch(new Request(`http://localhost${logoUrl}`))
    expect([answer.headers.get('content-type'), answer.headers.get('x-content-type-options')]).toEqual(['image/jpeg', 'nosniff'])
    expect(answer.headers.get('content-security-policy')).toContain('sandbox')
    // Its address is the hash of its bytes.
    expect(answer.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    expect(new Uint8Array(await answer.arrayBuffer())).toEqual(picture)

    const larger = new Uint8Array(MAX_LOGO + 1)
    larger.set([0xff, 0xd8, 0xff])
    expect((await create(base64(larger))).json).toMatchObject({
      code: -1,
      msg: expect.stringContaining('262144 bytes') as string,
    })
    expect((await create(btoa('<svg onload="alert(1)"/>'))).json.msg).toContain('PNG, JPEG or WebP')
    expect((await create('no base64!')).json.msg).toContain('base64')
    expect((await create('A'.repeat(600_000))).status).toBe(413)
    const missing = await service.fetch(new Request(`http://localhost/market/logo/${'0'.repeat(64)}`))
    expect([missing.status, missing.headers.get('cache-control')]).toEqual([404, 'no-store'])
    const webp = Buffer.from('RIFF\0\0\0\0WEBPVP8 ')
    expect((await create(base64(webp))).json.code).toBe(1)
  })

  it("shows and changes one's own profile", async () => {
    expect(
      (await call('POST', '/merchant/profile', { body: { merchantName: '存信', email: 'a@gxb.io' }, user: 14 })).json,
    ).toEqual({ code: 1, msg: '成功' })
    expect((await call('GET', '/merchant/profile', { user: 14 })).json.data).toMatchObject({
      merchantId: 14,
      merchantName: '存信',
      email: 'a@gxb.io',
    })
    expect((await call('GET', '/merchant/profile', { user: 15 })).json.data).toMatchObject({ merchantName: '', email: '' })
    expect((await call('POST', '/merchant/profile', { body: { merchantId: 15 }, user: 14 })).json.code).toBe(-1)
  })

  it('gives whole numbers that a request writes as text or bare', async () => {
    const raw = writeJson({ ...sampleProduct, categoryId: '1' }).replace('"amount":100000', '"amount":9007199254740993')
    expect((await call('POST', '/product/create', { body: raw, user: 14 })).json.code).toBe(1)
    expect((await call('GET', '/product/1')).json.data).toMatchObject({ price: { amount: '9007199254740993' } })
  })

  it('is documented', () => {
    const { paths } = service.openapi as { paths: Record<string, object> }
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining(['/market/account/bind', '/market/product/{productId}/votes/{type}', '/market/logo/{hash}']),
    )
  })
})
