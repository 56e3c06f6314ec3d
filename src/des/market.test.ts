import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { grapheneKey, isSignedBy, seedSecret, textDigest } from '../core/crypto/graphene/index.ts'
import { fromHex } from '../core/bytes.ts'
import { listenHttp, type HttpListener } from '../core/http/listenHttp.ts'
import { createManualClock } from '../testing/manualClock.ts'
import { createMarketClient } from './market.ts'
import { readJson, writeJson } from './wire/index.ts'

const key = grapheneKey(seedSecret('merchant'))
const coded = (code: string): unknown => expect.objectContaining({ name: 'SluiceError', code })

interface Got {
  readonly line: string
  readonly body: unknown
  readonly token: string | null
}
let server: HttpListener
let got: Got[]
let answers: Record<string, (got: Got) => Response | object>

beforeEach(async () => {
  got = []
  answers = {}
  server = await listenHttp({
    fetch: async (request) => {
      const url = new URL(request.url)
      const text = await request.text()
      const each = {
        line: `${request.method} ${url.pathname}${url.search}`,
        body: text === '' ? undefined : readJson(text),
        token: request.headers.get('authorization'),
      }
      got.push(each)
      const answer = answers[`${request.method} ${url.pathname}`]?.(each) ?? new Response('', { status: 404 })
      return answer instanceof Response ? answer : new Response(writeJson(answer))
    },
  })
})
afterEach(() => server.close())

const client = (options: Partial<Parameters<typeof createMarketClient>[0]> = {}) =>
  createMarketClient({ baseUrl: server.url, token: 't0', ...options })
const done = (data?: unknown, more: object = {}): object => ({
  code: 1,
  msg: '成功',
  ...(data !== undefined && { data }),
  ...more,
})
const collect = async <T>(list: AsyncIterable<T>): Promise<T[]> => {
  const out: T[] = []
  for await (const each of list) out.push(each)
  return out
}
// As the seed has them.
const fields = { name: { type: 'string', desc: '姓名', required: true, sample: '张三' } } as const
const output = { result: { type: 'boolean', desc: '是否匹配', sample: true } } as const
const logoUrl = 'https://des-developer-test.oss-cn-hangzhou.aliyuncs.com/product/logo/logo_20180627205612_L8Ky6BKr.png'

describe('the market client', () => {
  it('binds an account with the signature of 1.1', async () => {
    answers['POST /market/account/bind'] = () => done()
    await client({ clock: createManualClock(1509185912120) }).bindAccount({
      account: '1.2.11',
      key,
      merchantId: 14,
      serviceUrl: 'http://gxb.io/service',
    })
    const { signature, ...body } = got[0]!.body as { signature: string }
    expect(body).toEqual({ accountId: '1.2.11', merchantId: 14, serviceUrl: 'http://gxb.io/service', timestamp: 1509185912120 })
    const digest = textDigest('1.2.11|14|http://gxb.io/service|1509185912120')
    expect(isSignedBy(digest, fromHex(`0x${signature}`), key.publicKey)).toBe(true)
  })

  it("publishes, updates, invites, applies and votes in the seed's spellings", async () => {
    const expireAt = 1501230180812
    answers['POST /market/category/create'] = () => done({ categoryId: 1, categoryName: '普惠金融' })
    answers['POST /market/product/create'] = () => done()
    answers['POST /market/product/7/update'] = () => done({ voteId: 1, expireAt })
    answers['POST /market/product/7/members/add'] = ({ body }) =>
      done({ voteId: (body as { members?: unknown }).members ? 2 : 3, expireAt })
    answers['POST /market/product/vote'] = () => done()
    const market = client()
    expect(await market.createCategory('普惠金融')).toEqual({ categoryId: 1, categoryName: '普惠金融' })
    const product = {
      productName: 'KYC认证',
      briefDesc: '123',
      voteThreshold: 0.7,
      categoryId: 1,
      price: { amount: 2n ** 60n, assetId: '1.3.1' },
      privacy: false,
      input: fields,
      output,
    } as const
    expect(await market.createProduct(product)).toEqual({})
    answers['POST /market/product/create'] = () => done({ productId: 7 })
    expect(await market.createProduct({ ...product, shareStatus: 1 })).toEqual({ productId: 7 })
    expect(await market.updateProduct(7, { briefDesc: 'more', price: { amount: 990_000n, assetId: '1.3.1' } })).toMatchObject({
      voteId: 1,
      expireAt,
    })
    expect(await market.inviteMembers(7, [14, 15])).toMatchObject({ voteId: 2 })
    expect(await market.applyToSell(7)).toMatchObject({ voteId: 3 })
    await market.vote(1, true)
    await market.vote(1, false)
    const { briefDesc: _, voteThreshold: __, ...rest } = product
    expect(got.map(({ body }) => body)).toEqual([
      { categoryName: '普惠金融' },
      { ...rest, brieDesc: '123', voteThrehold: 0.7 },
      { ...rest, brieDesc: '123', voteThrehold: 0.7, shareStatus: 1 },
      { briefDesc: 'more', price: { amount: 990_000, assetId: '1.3.1' } },
      { members: [14, 15] },
      {},
      { voteId: 1, agree: 1 },
      { voteId: 1, agree: 0 },
    ])
    expect(new Set(got.map(({ token }) => token))).toEqual(new Set(['Bearer t0']))
  })

  it('turns pages until it has all', async () => {
    const row = { productName: 'KYC认证', logoUrl, briefDesc: '1', privacy: false, price: { amount: '990000', assetId: '1.1' } }
    answers['GET /market/product/list/1/0'] = ({ line }) => {
      const page = Number(/page=(\d+)/.exec(line)![1])
      return done([1, 2].map((n) => ({ productId: 2 * page + n, ...row })).slice(0, page === 3 ? 1 : 2), { total: 5 })
    }
    const rows = await collect(client().products(1, 0, { limit: 2 }))
    expect(rows.map(({ productId }) => productId)).toEqual([3, 4, 5, 6, 7])
    expect(rows[0]!.price).toEqual({ amount: 990_000n, assetId: '1.3.1' })
    expect(got.map(({ line }) => line)).toEqual([1, 2, 3].map((page) => `GET /market/product/list/1/0?page=${page}&limit=2`))
    // Left in the middle, no more is asked for.
    got = []
    for await (const _ of client().products(1, 0, { limit: 2 })) break
    expect(got.length).toBe(1)
  })

  it("turns pages of a list that is not counted, as in the seed's samples", async () => {
    const row = {
      id: 16,
      requestId: 'Qma2L9V1rVHBAMMSNLrqCRS1wicv7mhFWtou8JJDL5khCh',
      productId: 1,
      productName: '学历信息1',
      amount: 0,
      gmtCreated: 1523416611000,
    }
    answers['GET /market/dataexchange/log'] = ({ line }) => ({
      code: 1,
      msg: '',
      data: line.includes('pageNo=1&') ? [row, row] : [row],
      total: null,
    })
    const rows = await collect(client().log({ from: '2018-01-01', to: '2018-01-02', productId: 1 }, { limit: 2 }))
    expect(rows).toEqual([1, 2, 3].map(() => ({ ...row, amount: '0' })))
    expect(got.map(({ line }) => line)).toEqual(
      [1, 2].map(
        (page) =>
          `GET /market/dataexchange/log?gmtCreatedFrom=2018-01-01&gmtCreatedTo=2018-01-02&productId=1&pageNo=${page}&pageSize=2`,
      ),
    )
    // Pays no heed to pages: sends it all at once.
    const exchange = {
      id: 16,
      gmtCreated: 1523416611000,
      fromAccount: '1.2.19',
      toAccount: '1.2.323',
      requestId: row.requestId,
      txid: 'd150b067f5f740ef8e0c755a6ee1e462f63d4ecf',
    }
    answers['GET /market/dataexchange/detail'] = () => ({ code: 1, msg: '', data: [exchange, exchange, exchange], total: null })
    expect(await collect(client().exchanges({ toAccount: '1.2.11', txid: 'ab' }, { limit: 2 }))).toEqual([
      exchange,
      exchange,
      exchange,
    ])
  })

  it('reads votes in their three shapes', async () => {
    const vote = {
      voteId: 1,
      productId: 1,
      productName: 'kyc认证',
      createDate: '2018-03-12T12:23:10',
      status: 'INPROGRESS',
      requester: 14,
      type: 'APPLY',
    }
    answers['GET /market/product/all/votes/0'] = () => done([vote], { total: 1 })
    expect(await collect(client().votes('all', 'open'))).toEqual([vote])
    const member = {
      merchantId: 14,
      authorizerName: '草虫',
      merchantName: '杭州存信数据科技有限公司',
      logoUrl,
      merchantAddress: 'https://gxb.io',
    }
    const product = {
      productName: 'KYC认证',
      briefDesc: '1',
      price: { amount: 990000, assetId: '1.1' },
      categoryId: 1,
      privacy: false,
      input: fields,
      output,
    }
    const shapes = [
      { voteId: 1, productId: 1, status: 'INPROGRESS', requester: 14, type: 'APPLY', members: [member] },
      { voteId: 1, productId: 1, requester: 14, type: 'ADD_MEMBER', members: [member, { ...member, merchantId: 15 }] },
      { voteId: 1, productId: 1, requester: 14, type: 'UPDATE_PRODUCT', from: product, to: product },
    ]
    for (const shape of shapes) {
      answers['GET /market/product/votes/1'] = () => done(shape)
      const read = await client().voteDetails(1)
      expect(read).toMatchObject(
        shape.type === 'UPDATE_PRODUCT' ? { type: shape.type, to: { price: { amount: 990_000n, assetId: '1.3.1' } } } : shape,
      )
    }
    answers['GET /market/product/7'] = () =>
      done({ ...product, logoUrl, categoryId: '1', price: { amount: '990000', assetId: '1.1' } })
    expect(await client().product(7)).toMatchObject({
      productName: 'KYC认证',
      categoryId: 1,
      price: { amount: 990_000n },
      input: fields,
    })
  })

  it('reads bills as decimal text, out of one envelope or two', async () => {
    const rows = [{ productId: 1, productName: '学历信息1', transferCount: 16, unitPrice: 0.001, consumeAmount: 0.016 }]
    answers['GET /market/bill/month'] = () => ({
      code: 1,
      msg: '',
      data: { code: 0, msg: null, data: rows, total: null },
      total: null,
    })
    const read = [{ productId: 1, productName: '学历信息1', transferCount: 16, unitPrice: '0.001', consumeAmount: '0.016' }]
    expect(await client().monthBill('2018-05-01')).toMatchObject(read)
    answers['GET /market/bill/month'] = () => ({ code: 1, msg: '', data: rows, total: null })
    expect(await client().monthBill('2018-05-01')).toMatchObject(read)
    const total = { date: null, consumeAmount: 0.022, incomeAmount: 106.91608, transferCount: 3, balance: 0, average: null }
    answers['GET /market/bill/monthTotal'] = () => done(total)
    expect(await client().monthTotal('2018-05-01')).toEqual({
      ...total,
      consumeAmount: '0.022',
      incomeAmount: '106.91608',
      balance: '0',
    })
    answers['GET /market/bill/recent'] = () => done([{ ...total, date: 1527350400000, consumeAmount: 0.00001, balance: null }])
    expect(await client().recentDays()).toMatchObject([{ date: 1527350400000, consumeAmount: '0.00001', balance: null }])
    answers['GET /market/bill/total'] = () =>
      done({
        overview: { ...total, average: 0.02465 },
        productList: [{ ...rows[0], logoUrl, unitPrice: 1.25e-7, consumeAmount: '12345678901234567.00001' }],
      })
    expect(await client().total()).toMatchObject({
      overview: { average: '0.02465' },
      productList: [{ logoUrl, unitPrice: '0.000000125', consumeAmount: '12345678901234567.00001' }],
    })
  })

  it('takes a bill as a table, without the mark that a file begins with', async () => {
    const table = 'productId,productName\r\n1,"学历信息1"\r\n'
    for (const answer of [table, `\uFEFF${table}`]) {
      answers['GET /market/bill/month.csv'] = () => new Response(answer, { headers: { 'content-type': 'text/csv' } })
      expect(await client().monthBillTable('2018-05-01')).toBe(table)
    }
    expect(got[0]).toMatchObject({ line: 'GET /market/bill/month.csv?date=2018-05-01', token: 'Bearer t0' })
    answers['GET /market/bill/month.csv'] = () =>
      new Response('{"code":"BAD_ARGUMENT","detail":"date: must be a date as 2018-05-01"}', { status: 400 })
    await expect(client().monthBillTable('May')).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: 'the exchange refused with 400: date: must be a date as 2018-05-01',
    })
  })

  it('shows a product as it was, and all that it has been', async () => {
    const product = (version: number | undefined) => ({
      productName: `KYC ${version}`,
      price: { amount: '990000', assetId: '1.1' },
      categoryId: '1',
      privacy: false,
      input: fields,
      output,
      ...(version !== undefined && { version }),
    })
    answers['GET /market/product/7'] = ({ line }) => done(product(Number(/version=(\d+)/.exec(line)?.[1] ?? 3)))
    expect(await client().product(7, 2)).toMatchObject({ productName: 'KYC 2', version: 2, categoryId: 1 })
    got = []
    expect((await collect(client().versions(7))).map(({ version }) => version)).toEqual([3, 2, 1])
    for await (const { version } of client().versions(7)) {
      expect(version).toBe(3)
      break
    }
    expect(got.map(({ line }) => line)).toEqual(
      ['', '?version=2', '?version=1', ''].map((query) => `GET /market/product/7${query}`),
    )
    // A server that keeps no versions.
    answers['GET /market/product/7'] = () => done(product(undefined))
    expect((await collect(client().versions(7))).length).toBe(1)
    await expect(client().product(7, 1)).rejects.toMatchObject({
      code: 'BAD_MESSAGE',
      message: 'answer.data.version must be 1, as asked',
    })
  })

  it('lists notices, counts them, and marks them as read', async () => {
    const row = {
      noticeId: 9,
      kind: 'vote.opened',
      details: { voteId: 1, productName: 'KYC认证' },
      gmtCreated: 1523416611000,
      read: false,
    }
    answers['GET /market/notices'] = ({ line }) =>
      done(/limit=1$/.test(line) ? [row] : [row, { ...row, noticeId: 8 }], { total: 2 })
    answers['POST /market/notices/read'] = () => done()
    const market = client()
    expect(await collect(market.notices({ unread: true }, { limit: 50 }))).toEqual([row, { ...row, noticeId: 8 }])
    expect((await collect(market.notices())).length).toBe(2)
    expect(await market.unreadNotices()).toBe(2)
    await market.readNotices([9, 8])
    await market.readNotices('all')
    expect(got.map(({ line, body }) => [line, body])).toEqual([
      ['GET /market/notices?unread=1&page=1&limit=50', undefined],
      ['GET /market/notices?page=1&limit=100', undefined],
      ['GET /market/notices?unread=1&page=1&limit=1', undefined],
      ['POST /market/notices/read', { noticeIds: [9, 8] }],
      ['POST /market/notices/read', { noticeIds: 'all' }],
    ])
    answers['GET /market/notices'] = () => done([{ ...row, details: { voteId: null } }], { total: 1 })
    await expect(collect(market.notices())).rejects.toMatchObject({
      code: 'BAD_MESSAGE',
      details: { field: 'answer.data[0].details.voteId' },
    })
  })

  it('throws what the market refuses with, in an envelope or not', async () => {
    answers['GET /market/bill/total'] = () => ({ code: 0, msg: '余额不足' })
    await expect(client().total()).rejects.toMatchObject({ code: 'PEER_REFUSED', message: 'the market refused: 余额不足' })
    answers['GET /market/bill/total'] = () => ({ code: 'NOT_ALLOWED', msg: 'no' })
    await expect(client().total()).rejects.toEqual(coded('NOT_ALLOWED'))
    answers['GET /market/bill/total'] = () => new Response('{"code":"VOTE_ENDED","detail":"over"}', { status: 409 })
    await expect(client().total()).rejects.toMatchObject({ code: 'VOTE_ENDED', message: 'the exchange refused with 409: over' })
    answers['GET /market/bill/total'] = () => done({ overview: {} })
    await expect(client().total()).rejects.toEqual(coded('BAD_MESSAGE'))
  })
})

describe('signing in', () => {
  const clock = createManualClock(1_000_000)
  const signedIn = () => client({ token: undefined, signIn: { account: '1.2.20', key }, clock })
  let tokens: number

  beforeEach(() => {
    tokens = 0
    answers['POST /signin/challenge'] = ({ body }) => ({
      text: `sign in with your account:\n${(body as { account: string }).account}\n`,
      expiresAt: clock.now() + 60_000,
    })
    answers['POST /signin/token'] = ({ body }) => {
      const { account, text, signature } = body as Record<string, string>
      expect([account, text]).toEqual(['1.2.20', 'sign in with your account:\n1.2.20\n'])
      expect(isSignedBy(textDigest(text!), fromHex(`0x${signature}`), key.publicKey)).toBe(true)
      return { token: `t${++tokens}`, expiresAt: clock.now() + 600_000 }
    }
    answers['GET /market/bill/recent'] = ({ token }) =>
      token === `Bearer t${tokens}` ? done([]) : new Response('', { status: 401 })
  })

  it('happens at the first call, once, and again before the token ends', async () => {
    const market = signedIn()
    await market.recentDays()
    await market.recentDays()
    expect(got.map(({ line }) => line)).toEqual([
      'POST /signin/challenge',
      'POST /signin/token',
      'GET /market/bill/recent',
      'GET /market/bill/recent',
    ])
    await clock.advance(570_000)
    await market.recentDays()
    expect(tokens).toBe(2)
  })

  it('happens once for calls at the same time', async () => {
    const market = signedIn()
    await Promise.all([market.recentDays(), market.recentDays(), market.recentDays()])
    expect(tokens).toBe(1)
  })

  it('happens again where the token is not taken any more, but once', async () => {
    const market = signedIn()
    await market.recentDays()
    tokens++
    await market.recentDays()
    expect(tokens).toBe(3)
    answers['GET /market/bill/recent'] = () => new Response('', { status: 401 })
    await expect(market.recentDays()).rejects.toEqual(coded('UNAUTHENTICATED'))
    expect(tokens).toBe(4)
  })

  it('says why, where the account is not taken', async () => {
    answers['POST /signin/token'] = () => new Response('{"code":"UNAUTHENTICATED","detail":"no"}', { status: 401 })
    await expect(signedIn().recentDays()).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
      message: "1.2.20 can't sign in: signIn.key is another's, or bindAccount was not called",
      details: { account: '1.2.20', status: 401 },
    })
  })

  it('signs nothing that is no challenge for the account', async () => {
    for (const text of ['1.2.20|14|https://evil.example/|1509185912120', 'sign in with your account:\n1.2.21\n', '']) {
      answers['POST /signin/challenge'] = () => ({ text, expiresAt: clock.now() + 60_000 })
      await expect(signedIn().recentDays()).rejects.toEqual(coded('BAD_MESSAGE'))
    }
    expect(tokens).toBe(0)
  })

  it('is ended at the exchange, and begins anew with the next call', async () => {
    const out: (string | null)[] = []
    answers['POST /signin/out'] = ({ token }) => (out.push(token), {})
    const market = signedIn()
    await market.signOut()
    expect(got).toEqual([])
    await market.recentDays()
    await market.signOut()
    await market.signOut()
    expect([out, tokens]).toEqual([['Bearer t1'], 1])
    await market.recentDays()
    expect(tokens).toBe(2)
    // One that has ended already is as good; any other failure is told.
    answers['POST /signin/out'] = () => new Response('', { status: 401 })
    await market.signOut()
    answers['POST /signin/out'] = () => new Response('', { status: 404 })
    await expect(client().signOut()).rejects.toEqual(coded('NOT_FOUND'))
    answers['POST /signin/out'] = ({ token }) => (out.push(token), {})
    await client().signOut()
    await client({ token: undefined }).signOut()
    expect(out).toEqual(['Bearer t1', 'Bearer t0'])
  })

  it('is not for who has a token', () => {
    expect(() => client({ signIn: { account: '1.2.20', key } })).toThrow(coded('BAD_ARGUMENT'))
  })
})
