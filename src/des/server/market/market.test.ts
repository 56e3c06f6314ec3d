import { sql as statement } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { pgliteEngine, postgresEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import type { Sql } from '../../../core/sql/index.ts'
import { codeOf } from '../../../testing/suite.ts'
import { readBy } from '../../wire/fields.ts'
import { bind, changeProfile, merchantOf, profileOf } from './accounts.ts'
import { createCategory, listCategories } from './categories.ts'
import { createTestMarket, sampleProduct, START, type TestMarket } from './market.testing.ts'
import { addMembers } from './members.ts'
import { createProduct, listProducts, productDetail, updateProduct } from './products.ts'
import { bindBody, createBody, profileBody, updateBody } from './schemas.ts'
import type { MarketUser } from './user.ts'
import { listVotes, voteDetail } from './voteLists.ts'
import { expireVotes, vote } from './votes.ts'

const DAY = 86_400_000
const [AGREE, DISAGREE] = [true, false]

let engine: SqlEngine
let market: TestMarket

beforeAll(async () => {
  engine = await pgliteEngine()
}, 60_000)
afterAll(() => engine?.stop())
beforeEach(async () => {
  market = await createTestMarket(await engine.open())
})

const joinAll = (...ids: readonly number[]): Promise<MarketUser[]> => Promise.all(ids.map((id) => market.join(id)))
const change = (fields: object) => readBy(updateBody, fields, 'change')
const membersOf = async (product: number): Promise<number[]> =>
  (
    await market.context.sql.db
      .selectFrom('des_members')
      .select('merchant')
      .where('product', '=', product)
      .orderBy('merchant')
      .execute()
  ).map((each) => each.merchant)
const ballot = (user: MarketUser, voteId: number, agree: boolean) => vote(market.context, user, { voteId, agree })
const everyPage = { page: 1, limit: 100 }

describe('bind', () => {
  const bindBy = (body: object) => bind(market.context, readBy(bindBody, body, 'body'))

  it("binds by the account's signature over the four fields of the seed", async () => {
    expect(await bindBy(market.bindingOf({ merchantId: 14, accountId: '1.2.11' }))).toEqual({ merchantId: 14, account: '1.2.11' })
    expect(await merchantOf(market.context, '1.2.11')).toEqual({ merchantId: 14, account: '1.2.11' })
    expect(await merchantOf(market.context, '1.2.12')).toBeUndefined()
  })

  it("refuses another's signature, an unknown account and any changed field", async () => {
    const body = market.bindingOf({ merchantId: 14, accountId: '1.2.11' })
    const stolen = market.bindingOf({ merchantId: 14, accountId: '1.2.12' }).signature
    expect(await codeOf(() => bindBy({ ...body, signature: stolen }))).toBe('BAD_SIGNATURE')
    expect(await codeOf(() => bindBy({ ...body, serviceUrl: 'http://evil.test/' }))).toBe('BAD_SIGNATURE')
    expect(await codeOf(() => bindBy({ ...body, merchantId: 15 }))).toBe('BAD_SIGNATURE')
    expect(await codeOf(() => bindBy({ ...body, timestamp: START + 1 }))).toBe('BAD_SIGNATURE')
    expect(await codeOf(() => bindBy(market.bindingOf({ merchantId: 14, accountId: '1.2.0' })))).toBe('ACCOUNT_NOT_FOUND')
    expect(await codeOf(() => bindBy({ ...body, merchantName: 'x' }))).toBe('BAD_MESSAGE')
    expect(await merchantOf(market.context, '1.2.11')).toBeUndefined()
  })

  it('takes a time within 3 seconds, and no further', async () => {
    for (const [offset, code] of [
      [-3001, 'BAD_SIGNATURE'],
      [3001, 'BAD_SIGNATURE'],
      [-3000, undefined],
      [3000, undefined],
    ] as const) {
      const body = market.bindingOf({ merchantId: 14, accountId: '1.2.11', timestamp: START + offset })
      if (code) expect(await codeOf(() => bindBy(body))).toBe(code)
      else await bindBy(body)
    }
  })

  it('keeps a pair for good, and changes its address by a later binding alone', async () => {
    await market.join(14)
    await market.clock.advance(1000)
    const first = market.bindingOf({ merchantId: 14, serviceUrl: 'http://one.test/' })
    await bindBy(first)
    await market.clock.advance(1)
    await bindBy(market.bindingOf({ merchantId: 14, serviceUrl: '' }))
    expect((await profileOf(market.context, { merchantId: 14, account: '1.2.114' })).serviceUrl).toBe('')
    expect(await codeOf(() => bindBy(first))).toBe('CONFLICT')
    expect((await profileOf(market.context, { merchantId: 14, account: '1.2.114' })).serviceUrl).toBe('')
    expect(await codeOf(() => bindBy(market.bindingOf({ merchantId: 14, accountId: '1.2.115' })))).toBe('CONFLICT')
    expect(await codeOf(() => bindBy(market.bindingOf({ merchantId: 15, accountId: '1.2.114' })))).toBe('CONFLICT')
  })

  it('does the same again without harm', async () => {
    const body = market.bindingOf({ merchantId: 14 })
    await bindBy(body)
    expect(await bindBy(body)).toEqual({ merchantId: 14, account: '1.2.114' })
  })
})

describe('changeProfile', () => {
  const png = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1)

  it('changes what is given, of oneself', async () => {
    const [a, b] = await joinAll(14, 15)
    await changeProfile(
      market.context,
      a!,
      readBy(
        profileBody,
        {
          merchantName: '杭州存信数据科技有限公司',
          authorizerName: '草虫',
          merchantAddress: 'https://gxb.io',
          email: 'a@gxb.io',
          logoImgBase64: btoa(String.fromCharCode(...png)),
        },
        'body',
      ),
    )
    await changeProfile(market.context, a!, { email: '' })
    expect(await profileOf(market.context, a!)).toMatchObject({
      merchantId: 14,
      merchantName: '杭州存信数据科技有限公司',
      authorizerName: '草虫',
      merchantAddress: 'https://gxb.io',
      email: '',
      accountId: '1.2.114',
      logoUrl: expect.stringMatching(/^\/market\/logo\/[0-9a-f]{64}$/) as string,
    })
    expect((await profileOf(market.context, b!)).merchantName).toBe('')
  })

  it('refuses addresses that a page or a mail would act on', () => {
    for (const body of [
      { email: 'a@b.c\r\nBcc: x@y.z' },
      { email: 'no address' },
      { merchantAddress: 'javascript:alert(1)' },
      { merchantName: 'a\nb' },
    ])
      expect(() => readBy(profileBody, body, 'body')).toThrow(/^body\./)
  })
})

describe('categories', () => {
  it('have one name each', async () => {
    expect(await createCategory(market.context, { categoryName: '征信' })).toEqual({ categoryId: 2, categoryName: '征信' })
    expect(await codeOf(() => createCategory(market.context, { categoryName: '征信' }))).toBe('CONFLICT')
    expect((await listCategories(market.context)).map((each) => each.categoryName)).toEqual(['普惠金融', '征信'])
  })
})

describe('products', () => {
  it("are published in the seed's words and shown in them", async () => {
    const [issuer] = await joinAll(14)
    const { productId } = await createProduct(market.context, issuer!, readBy(createBody, sampleProduct, 'product'))
    expect(await membersOf(productId)).toEqual([14])
    const detail = await productDetail(market.context, productId)
    expect(detail).toEqual({
      productName: 'KYC认证',
      briefDesc: '123',
      logoUrl: '',
      categoryId: '1',
      privacy: false,
      price: { amount: '100000', assetId: '1.3.1' },
      input: sampleProduct.input,
      output: sampleProduct.output,
      productId,
      version: 1,
      shareStatus: 0,
      issuer: 14,
      voteThreshold: 0.7,
    })
    expect(Object.keys(detail.input)).toEqual(['name', 'idcard', 'photo'])
    expect(await listProducts(market.context, { categoryId: 1, shareStatus: 0 }, { page: 1, limit: 20 })).toEqual({
      total: 1,
      data: [
        {
          productId,
          productName: 'KYC认证',
          logoUrl: '',
          briefDesc: '123',
          privacy: false,
          price: { amount: '100000', assetId: '1.3.1' },
        },
      ],
    })
  })

  it('are read with the right names too, and amounts of 64 bits', async () => {
    const { brieDesc, voteThrehold, ...rest } = sampleProduct
    const product = readBy(
      createBody,
      {
        ...rest,
        briefDesc: brieDesc,
        voteThreshold: voteThrehold,
        categoryId: '1',
        price: { amount: '9223372036854775807', asset_id: '1.3.0' },
      },
      'product',
    )
    const [issuer] = await joinAll(14)
    const { productId } = await createProduct(market.context, issuer!, product)
    expect((await productDetail(market.context, productId)).price).toEqual({ amount: '9223372036854775807', assetId: '1.3.0' })
    expect(() => readBy(createBody, { ...sampleProduct, briefDesc: 'other' }, 'product')).toThrow('different values')
  })

  it('need a category, a threshold, a price and fields that hold', async () => {
    const [issuer] = await joinAll(14)
    const other = readBy(createBody, { ...sampleProduct, categoryId: 9 }, 'product')
    expect(await codeOf(() => createProduct(market.context, issuer!, other))).toBe('BAD_ARGUMENT')
    for (const fields of [
      { voteThrehold: 0 },
      { voteThrehold: 1.1 },
      { price: { amount: -1, assetId: '1.1' } },
      { price: { amount: 0.5, assetId: '1.1' } },
      { input: { a: { type: 'strnig' } } },
      { productName: '' },
      { productName: 'a\0' },
      { input: [] },
      { shareStatus: 2 },
    ])
      expect(() => readBy(createBody, { ...sampleProduct, ...fields }, 'product')).toThrow(/^product\./)
  })

  it('are as many of a merchant as its heartbeat can name', async () => {
    const [issuer] = await joinAll(14)
    const product = await market.publish(issuer!)
    await statement`insert into des_products (share_status, issuer, threshold, version, created_at)
      select 1, 14, 1, 1, 0 from generate_series(2, 1000)`.execute(market.context.sql.db)
    await statement`insert into des_members select id, 14, 0 from des_products where id <> ${product}`.execute(
      market.context.sql.db,
    )
    expect(await codeOf(() => market.publish(issuer!))).toBe('CONFLICT')
  })

  it('are listed by pages, by category and by market', async () => {
    const [issuer] = await joinAll(14)
    await createCategory(market.context, { categoryName: 'b' })
    const ids: number[] = []
    for (const index of [0, 1, 2, 3, 4]) ids.push(await market.publish(issuer!, { productName: `p${index}` }))
    await market.publish(issuer!, { categoryId: 2 })
    await market.publish(issuer!, { shareStatus: 1 })
    const list = (page: number, categoryId = 1, shareStatus: 0 | 1 = 0) =>
      listProducts(market.context, { categoryId, shareStatus }, { page, limit: 2 })
    const pages = await Promise.all([list(1), list(2), list(3), list(4)])
    expect(pages.map((each) => each.data.map((row) => row.productId))).toEqual([
      ids.slice(0, 2),
      ids.slice(2, 4),
      ids.slice(4),
      [],
    ])
    expect(pages.map((each) => each.total)).toEqual([5, 5, 5, 5])
    expect([(await list(1, 2)).total, (await list(1, 1, 1)).total, (await list(1, 3)).total]).toEqual([1, 1, 0])
  })
})

describe('addMembers', () => {
  it('lets members invite: who agrees is counted, those who are members are left out', async () => {
    const [a, b, c, d] = await joinAll(1, 2, 3, 4)
    const product = await market.publish(a!, {}, [b!, c!])
    const opened = await addMembers(market.context, a!, product, [4, 3, 4])
    expect(opened).toEqual({ voteId: 1, expireAt: START + 2 * DAY, status: 'INPROGRESS' })
    expect(await ballot(b!, opened.voteId, AGREE)).toEqual({ status: 'INPROGRESS' })
    expect(await membersOf(product)).toEqual([1, 2, 3])
    expect(await ballot(c!, opened.voteId, AGREE)).toEqual({ status: 'PASS' })
    expect(await membersOf(product)).toEqual([1, 2, 3, 4])
    expect(market.notices.map(({ kind, merchants }) => [kind, merchants])).toEqual([
      ['vote.opened', [2, 3]],
      ['vote.passed', [1, 2, 3]],
      ['member.joined', [4]],
    ])
    expect(market.notices[0]!.details).toEqual({
      voteId: 1,
      productId: product,
      productName: 'KYC认证',
      type: 'ADD_MEMBER',
      requester: 1,
      expireAt: START + 2 * DAY,
    })
    expect(await codeOf(() => addMembers(market.context, d!, product, [1]))).toBe('CONFLICT')
  })

  it('passes at once for who is alone', async () => {
    const [a, b] = await joinAll(1, 2)
    const product = await market.publish(a!)
    expect(await addMembers(market.context, a!, product, [2])).toMatchObject({ status: 'PASS' })
    expect(await membersOf(product)).toEqual([b!.merchantId, 1].sort())
  })

  it('takes everybody else for an applicant, whatever members it names', async () => {
    const [a, b, c] = await joinAll(1, 2, 3)
    const product = await market.publish(a!, { voteThrehold: 0.5 }, [b!])
    const { voteId } = await addMembers(market.context, c!, product, [1, 99])
    expect(await codeOf(() => ballot(c!, voteId, AGREE))).toBe('NOT_ALLOWED')
    expect(await codeOf(() => addMembers(market.context, c!, product, []))).toBe('CONFLICT')
    expect(await ballot(b!, voteId, AGREE)).toEqual({ status: 'PASS' })
    expect(await membersOf(product)).toEqual([1, 2, 3])
  })

  it('invites only who is bound, not twice at once, and nobody in the free market', async () => {
    const [a, b, c] = await joinAll(1, 2, 3)
    const product = await market.publish(a!, {}, [b!])
    expect(await codeOf(() => addMembers(market.context, a!, product, [3, 99]))).toBe('ACCOUNT_NOT_FOUND')
    await addMembers(market.context, a!, product, [3])
    expect(await codeOf(() => addMembers(market.context, b!, product, [3, 1]))).toBe('CONFLICT')
    const others = statement`insert into des_votes
      (product, type, status, requester, invited, threshold, voters, needed, created_at, expires_at)
      select ${product}, 'ADD_MEMBER', 'INPROGRESS', 1, '[9]', 1, 2, 2, 0, ${START + DAY} from generate_series(2, 100)`
    await others.execute(market.context.sql.db)
    await market.join(4)
    expect(await codeOf(() => addMembers(market.context, a!, product, [4]))).toBe('CONFLICT')
    const free = await market.publish(a!, { shareStatus: 1 })
    expect(await codeOf(() => addMembers(market.context, c!, free, []))).toBe('NOT_ALLOWED')
    expect(await codeOf(() => addMembers(market.context, a!, free, [3]))).toBe('NOT_ALLOWED')
    expect(await codeOf(() => addMembers(market.context, a!, 99, [3]))).toBe('NO_SUCH_PRODUCT')
  })
})

describe('the lockout', () => {
  /** Has `who` refused by both members of a new product. */
  const refuse = async (who: MarketUser, members: readonly MarketUser[]): Promise<void> => {
    const product = await market.publish(members[0]!, {}, members.slice(1))
    const { voteId } = await addMembers(market.context, who, product, [])
    expect(await ballot(members[0]!, voteId, DISAGREE)).toEqual({ status: 'REJECT' })
  }
  const apply = async (who: MarketUser, members: readonly MarketUser[]): Promise<string | undefined> =>
    codeOf(async () => addMembers(market.context, who, await market.publish(members[0]!, {}, members.slice(1)), []))

  it('begins with the fifth refusal in a row and lasts three days; then the count begins anew', async () => {
    const [a, b, c] = await joinAll(1, 2, 3)
    for (let count = 0; count < 4; count++) await refuse(c!, [a!, b!])
    await refuse(c!, [a!, b!])
    expect(await apply(c!, [a!, b!])).toBe('APPLICANT_LOCKED_OUT')
    await market.clock.advance(3 * DAY - 1)
    expect(await apply(c!, [a!, b!])).toBe('APPLICANT_LOCKED_OUT')
    await market.clock.advance(1)
    for (let count = 0; count < 5; count++) await refuse(c!, [a!, b!])
    expect(await apply(c!, [a!, b!])).toBe('APPLICANT_LOCKED_OUT')
  })

  it("is put off by one that passes; those that expire don't count", async () => {
    const [a, b, c] = await joinAll(1, 2, 3)
    for (let count = 0; count < 4; count++) await refuse(c!, [a!, b!])
    const product = await market.publish(a!, {}, [b!])
    await addMembers(market.context, c!, product, [])
    await market.clock.advance(2 * DAY)
    expect(await expireVotes(market.context)).toBe(1)
    const { voteId } = await addMembers(market.context, c!, product, [])
    await ballot(a!, voteId, AGREE)
    await ballot(b!, voteId, AGREE)
    for (let count = 0; count < 4; count++) await refuse(c!, [a!, b!])
    await expect(market.publish(a!, {}, [b!]).then((id) => addMembers(market.context, c!, id, []))).resolves.toMatchObject({
      status: 'INPROGRESS',
    })
  })

  it('leaves invitations alone', async () => {
    const [a, b, c] = await joinAll(1, 2, 3)
    for (let count = 0; count < 5; count++) await refuse(c!, [a!, b!])
    const product = await market.publish(a!)
    await addMembers(market.context, a!, product, [3])
    expect(await membersOf(product)).toEqual([1, 3])
  })
})

describe('updateProduct', () => {
  it('makes a version when enough agree; the old one stays', async () => {
    const [a, b] = await joinAll(1, 2)
    const product = await market.publish(a!, {}, [b!])
    const opened = await updateProduct(
      market.context,
      a!,
      product,
      change({ price: { amount: 990000, assetId: '1.1' }, briefDesc: 'new' }),
    )
    expect((await productDetail(market.context, product)).version).toBe(1)
    await ballot(b!, opened.voteId!, AGREE)
    expect(await productDetail(market.context, product)).toMatchObject({
      version: 2,
      briefDesc: 'new',
      price: { amount: '990000', assetId: '1.3.1' },
      productName: 'KYC认证',
    })
    expect(await productDetail(market.context, product, 1)).toMatchObject({
      version: 1,
      briefDesc: '123',
      price: { amount: '100000', assetId: '1.3.1' },
    })
    expect(await codeOf(() => productDetail(market.context, product, 3))).toBe('NO_SUCH_PRODUCT')
    expect(await voteDetail(market.context, b!, opened.voteId!)).toMatchObject({
      from: { price: { amount: 100000n, assetId: '1.3.1' }, categoryId: 1 },
      to: { price: { amount: 990000n, assetId: '1.3.1' }, briefDesc: 'new' },
    })
  })

  it('leaves the product as it is when it is rejected, and allows the next one', async () => {
    const [a, b] = await joinAll(1, 2)
    const product = await market.publish(a!, {}, [b!])
    const first = await updateProduct(market.context, a!, product, change({ briefDesc: 'x' }))
    expect(await codeOf(() => updateProduct(market.context, b!, product, change({ briefDesc: 'y' })))).toBe('CONFLICT')
    expect(await ballot(b!, first.voteId!, DISAGREE)).toEqual({ status: 'REJECT' })
    expect(await productDetail(market.context, product)).toMatchObject({ version: 1, briefDesc: '123' })
    const second = await updateProduct(market.context, b!, product, change({ briefDesc: 'y' }))
    await market.clock.advance(2 * DAY)
    const third = await updateProduct(market.context, b!, product, change({ briefDesc: 'z' }))
    expect([second.status, third.status]).toEqual(['INPROGRESS', 'INPROGRESS'])
    expect((await voteDetail(market.context, a!, second.voteId!)).status).toBe('REJECT')
  })

  it('takes effect at once in the free market, for its owner alone', async () => {
    const [a, b] = await joinAll(1, 2)
    const product = await market.publish(a!, { shareStatus: 1 })
    expect(await updateProduct(market.context, a!, product, change({ productName: '新' }))).toEqual({
      voteId: null,
      expireAt: null,
      status: 'PASS',
    })
    expect(await productDetail(market.context, product)).toMatchObject({ version: 2, productName: '新' })
    expect(await codeOf(() => updateProduct(market.context, b!, product, change({ productName: 'b' })))).toBe('NOT_ALLOWED')
    expect(market.notices).toEqual([])
  })

  it('refuses who is no member, another category, and a change of nothing', async () => {
    const [a, b] = await joinAll(1, 2)
    const product = await market.publish(a!)
    expect(await codeOf(() => updateProduct(market.context, b!, product, change({ briefDesc: 'x' })))).toBe('NOT_ALLOWED')
    expect(await codeOf(() => updateProduct(market.context, a!, product, change({ categoryId: 9 })))).toBe('BAD_ARGUMENT')
    expect(
      await codeOf(() => updateProduct(market.context, a!, product, change({ briefDesc: '123', price: sampleProduct.price }))),
    ).toBe('BAD_ARGUMENT')
    const { name, ...others } = sampleProduct.input
    expect(await codeOf(() => updateProduct(market.context, a!, product, change({ input: { ...others, name } })))).toBe(
      'BAD_ARGUMENT',
    )
  })
})

describe('vote', () => {
  it('is one for each member of the time it began, until it is decided', async () => {
    const [a, b, c, d, e] = await joinAll(1, 2, 3, 4, 5)
    const product = await market.publish(a!, { voteThrehold: 0.5 }, [b!, c!])
    const opened = await updateProduct(market.context, a!, product, change({ briefDesc: 'x' }))
    const invitation = await addMembers(market.context, a!, product, [4])
    expect(await codeOf(() => ballot(a!, opened.voteId!, AGREE))).toBe('VOTED_ALREADY')
    await ballot(b!, invitation.voteId, AGREE)
    expect(await membersOf(product)).toContain(4)
    expect(await codeOf(() => ballot(d!, opened.voteId!, AGREE))).toBe('NOT_ALLOWED')
    expect(await codeOf(() => ballot(e!, opened.voteId!, AGREE))).toBe('NOT_ALLOWED')
    expect(await codeOf(() => ballot(c!, invitation.voteId, AGREE))).toBe('VOTE_ENDED')
    expect(await codeOf(() => ballot(c!, 99, AGREE))).toBe('NO_SUCH_VOTE')
    expect(await voteDetail(market.context, d!, opened.voteId!)).toMatchObject({ voterCount: 3, neededCount: 2, agreeCount: 1 })
  })

  it('is over at its time to the millisecond, swept or not', async () => {
    const [a, b, c] = await joinAll(1, 2, 3)
    const product = await market.publish(a!, { voteThrehold: 1 }, [b!, c!])
    const { voteId } = await addMembers(market.context, await market.join(4), product, [])
    await market.clock.advance(2 * DAY - 1)
    await ballot(a!, voteId, AGREE)
    await market.clock.advance(1)
    expect((await voteDetail(market.context, a!, voteId)).status).toBe('REJECT')
    expect(await codeOf(() => ballot(b!, voteId, AGREE))).toBe('VOTE_ENDED')
    // The late vote has written it down.
    expect(await expireVotes(market.context)).toBe(0)
    const rejected = await listVotes(market.context, a!, { productId: 'all', type: 2 }, everyPage)
    expect(rejected.data).toMatchObject([{ voteId, status: 'REJECT' }])
    expect((await listVotes(market.context, b!, { productId: 'all', type: 0 }, everyPage)).total).toBe(0)
    expect(market.notices.at(-1)).toMatchObject({ kind: 'vote.expired', merchants: [1, 2, 3, 4] })
    expect(await listVotes(market.context, a!, { productId: 'all', type: 2 }, everyPage)).toEqual(rejected)
  })
})

describe('listVotes and voteDetail', () => {
  it("show votes by what there is to do, in the seed's words", async () => {
    const [a, b, c] = await joinAll(1, 2, 3)
    const product = await market.publish(a!, { voteThrehold: 1 }, [b!])
    const other = await market.publish(b!)
    const applied = await addMembers(market.context, c!, product, [])
    await market.clock.advance(1000)
    const invited = await addMembers(market.context, b!, other, [3])
    const list = async (user: MarketUser, productId: number | 'all', type: 0 | 1 | 2) =>
      (await listVotes(market.context, user, { productId, type }, everyPage)).data.map((each) => each.voteId)
    expect(await listVotes(market.context, a!, { productId: product, type: 0 }, everyPage)).toEqual({
      total: 1,
      data: [
        {
          voteId: applied.voteId,
          productId: product,
          productName: 'KYC认证',
          createDate: '2018-05-01T12:00:00',
          status: 'INPROGRESS',
          requester: 3,
          type: 'APPLY',
        },
      ],
    })
    expect([await list(b!, 'all', 0), await list(b!, other, 0), await list(b!, 'all', 1)]).toEqual([
      [applied.voteId],
      [],
      [invited.voteId],
    ])
    expect([await list(c!, 'all', 0), await list(c!, 'all', 1)]).toEqual([[], [invited.voteId]])
    // Voted in, it is nothing to do any more, though it is open.
    await ballot(b!, applied.voteId, AGREE)
    expect([await list(b!, 'all', 0), await list(a!, 'all', 0)]).toEqual([[], [applied.voteId]])
    await ballot(a!, applied.voteId, DISAGREE)
    expect([await list(a!, 'all', 0), await list(c!, 'all', 2), await list(b!, product, 2)]).toEqual([
      [],
      [applied.voteId],
      [applied.voteId],
    ])
  })

  it('show who is to join, to those concerned', async () => {
    const [a, b, c] = await joinAll(14, 15, 16)
    await changeProfile(market.context, c!, { merchantName: '存信', authorizerName: '草虫', merchantAddress: 'https://gxb.io' })
    const product = await market.publish(a!, {}, [b!])
    const { voteId, expireAt } = await addMembers(market.context, c!, product, [])
    const shown = {
      voteId,
      productId: product,
      status: 'INPROGRESS',
      requester: 16,
      type: 'APPLY',
      agreeCount: 0,
      disagreeCount: 0,
      voterCount: 2,
      neededCount: 2,
      voteThreshold: 0.7,
      expireAt,
      members: [{ merchantId: 16, authorizerName: '草虫', merchantName: '存信', logoUrl: '', merchantAddress: 'https://gxb.io' }],
    }
    expect(await voteDetail(market.context, a!, voteId)).toEqual(shown)
    expect(await voteDetail(market.context, c!, voteId)).toEqual(shown)
    const stranger = await market.join(17)
    expect(await codeOf(() => voteDetail(market.context, stranger, voteId))).toBe('NO_SUCH_VOTE')
  })
})

describe('under concurrency, on PostgreSQL', () => {
  let postgres: SqlEngine
  let sql: Sql<unknown>
  beforeAll(async () => {
    postgres = await postgresEngine()
  }, 60_000)
  afterAll(() => postgres?.stop())
  beforeEach(async () => {
    sql = await postgres.open()
    market = await createTestMarket(sql)
    return () => sql.close()
  })

  const outcomes = async (all: readonly Promise<unknown>[]): Promise<Record<string, number>> => {
    const counts: Record<string, number> = {}
    for (const each of await Promise.all(all.map((one) => codeOf(() => one)))) counts[each] = (counts[each] ?? 0) + 1
    return counts
  }

  it('decides once, whoever votes at once', async () => {
    const users = await joinAll(...Array.from({ length: 20 }, (_, index) => index + 1))
    const product = await market.publish(users[0]!, { voteThrehold: 0.7 }, users.slice(1))
    for (let round = 2; round < 8; round++) {
      const { voteId } = await updateProduct(market.context, users[0]!, product, change({ briefDesc: `round ${round}` }))
      const counts = await outcomes(
        users.slice(1).flatMap((user) => [ballot(user, voteId!, AGREE), ballot(user, voteId!, AGREE)]),
      )
      // 14 of 20 are needed; the requester is one of them, and who is late finds it decided.
      expect(counts['no error']).toBe(13)
      const detail = await voteDetail(market.context, users[0]!, voteId!)
      expect([detail.status, detail.agreeCount]).toEqual(['PASS', 14])
      expect((await productDetail(market.context, product)).version).toBe(round)
    }
    expect(market.notices.filter((each) => each.kind === 'vote.passed')).toHaveLength(6)
  }, 60_000)

  it('has one update, one application and one binding, however many come at once', async () => {
    const users = await joinAll(1, 2, 3)
    const product = await market.publish(users[0]!, {}, [users[1]!])
    const updates = Array.from({ length: 8 }, (_, index) =>
      updateProduct(market.context, users[index % 2]!, product, change({ briefDesc: String(index) })),
    )
    expect(await outcomes(updates)).toEqual({ 'no error': 1, CONFLICT: 7 })
    expect(await outcomes(Array.from({ length: 8 }, () => addMembers(market.context, users[2]!, product, [])))).toEqual({
      'no error': 1,
      CONFLICT: 7,
    })
    const bindings = Array.from({ length: 8 }, (_, index) =>
      bind(market.context, readBy(bindBody, market.bindingOf({ merchantId: 50 + index, accountId: '1.2.999' }), 'body')),
    )
    expect(await outcomes(bindings)).toEqual({ 'no error': 1, CONFLICT: 7 })
    const free = await market.publish(users[0]!, { shareStatus: 1 })
    const changes = Array.from({ length: 8 }, (_, index) =>
      updateProduct(market.context, users[0]!, free, change({ briefDesc: `${index}` })),
    )
    expect(await outcomes(changes)).toEqual({ 'no error': 8 })
    expect((await productDetail(market.context, free)).version).toBe(9)
  }, 60_000)

  it('counts every refusal, of many at once', async () => {
    const [a, c] = await joinAll(1, 3)
    const votes: number[] = []
    for (let count = 0; count < 5; count++)
      votes.push((await addMembers(market.context, c!, await market.publish(a!), [])).voteId)
    expect(await outcomes(votes.map((voteId) => ballot(a!, voteId, DISAGREE)))).toEqual({ 'no error': 5 })
    expect(await codeOf(async () => addMembers(market.context, c!, await market.publish(a!), []))).toBe('APPLICANT_LOCKED_OUT')
  })

  it('ends a vote once, be it by its time or by a vote', async () => {
    const [a, b, c] = await joinAll(1, 2, 3)
    for (let round = 0; round < 10; round++) {
      const product = await market.publish(a!, {}, [b!])
      const { voteId } = await addMembers(market.context, c!, product, [])
      await ballot(a!, voteId, AGREE)
      await market.clock.advance(2 * DAY - 1)
      const [late] = await Promise.all([
        codeOf(() => ballot(b!, voteId, AGREE)),
        market.clock.advance(1),
        expireVotes(market.context),
        expireVotes(market.context),
      ])
      await expireVotes(market.context)
      const { status } = await voteDetail(market.context, a!, voteId)
      expect([late, status, await membersOf(product)]).toEqual(
        late === 'VOTE_ENDED' ? [late, 'REJECT', [1, 2]] : ['no error', 'PASS', [1, 2, 3]],
      )
      const told = await market.context.sql.db
        .selectFrom('des_notices')
        .select(['kind', 'details'])
        .where('merchant', '=', 1)
        .execute()
      const ends = told.filter(({ details, kind }) => details.voteId === voteId && kind !== 'vote.opened').map(({ kind }) => kind)
      expect(ends).toEqual([status === 'PASS' ? 'vote.passed' : 'vote.expired'])
    }
  }, 60_000)
})
