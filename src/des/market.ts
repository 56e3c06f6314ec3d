/**
 * The market of an exchange, as a page or a back office calls it: accounts, products, votes and bills (seed 001, 1.1 to 1.17),
 * and notices.
 * @module
 */
import type { AxiosInstance } from 'axios'
import * as v from 'valibot'
import * as argument from '../core/argument.ts'
import { toHex } from '../core/bytes.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { keyFromWif, textDigest, type AccountId, type AssetId, type GrapheneKey } from '../core/crypto/graphene/index.ts'
import { assertArgument, isSluiceError, SluiceError } from '../core/errors.ts'
import { codeOf, createHttp, type Call } from './http.ts'
import { accountId, amount, assetId, optional, productId, readBy, smallInteger, spelled } from './wire/fields.ts'
import { fieldSpecs, type FieldSpecs } from './wire/fieldSpecs.ts'

/** Options of {@link createMarketClient}. */
export interface MarketClientOptions {
  /** Where the exchange answers: `https://des.example`. */
  readonly baseUrl: string
  /** What somebody else signed in for; the operator's credential for internal calls. @default none, or by `signIn` */
  readonly token?: string | undefined
  /** Signs in by itself, and again when that is over. @default not signed in: calls that need it are refused */
  readonly signIn?: { readonly account: AccountId; readonly key: string | GrapheneKey } | undefined
  /** An axios instance of yours: proxies, agents, headers. @default axios */
  readonly http?: AxiosInstance | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

const text = v.pipe(v.string('must be text'), v.maxLength(100_000, 'must have at most 100000 characters'))
const nullable = <const S extends v.GenericSchema>(schema: S) => v.nullable(schema as v.GenericSchema<unknown, v.InferOutput<S>>)
const count = smallInteger(0)
const price = spelled({ assetId: ['asset_id'] }, v.object({ amount, assetId }))

/** Money in units of the asset: JSON has numbers, we have their shortest decimal text. */
const money = v.pipe(
  v.union(
    [v.pipe(v.number(), v.finite()), v.bigint(), v.pipe(v.string(), v.regex(/^-?\d+(\.\d+)?$/))],
    'must be a decimal number',
  ),
  v.transform((value) => (typeof value === 'number' ? decimalText(value) : String(value))),
)

const productSummary = v.object({
  productId,
  productName: text,
  logoUrl: optional(text),
  briefDesc: optional(text),
  privacy: v.boolean('must be true or false'),
  price,
})
const productDetails = v.object({
  productName: text,
  logoUrl: optional(text),
  briefDesc: optional(text),
  price,
  categoryId: count,
  privacy: v.boolean('must be true or false'),
  input: fieldSpecs,
  output: fieldSpecs,
  // The seed has none of these.
  productId: optional(productId),
  version: optional(count),
  shareStatus: optional(v.picklist([0, 1], 'must be 0 or 1')),
  issuer: optional(count),
  voteThreshold: optional(v.number('must be a number')),
})
/** Where a vote stands. */
const voteStatus = v.picklist(['INPROGRESS', 'PASS', 'REJECT'], 'must be INPROGRESS, PASS or REJECT')
/** What a vote is about. */
const voteType = v.picklist(['APPLY', 'ADD_MEMBER', 'UPDATE_PRODUCT'], 'must be APPLY, ADD_MEMBER or UPDATE_PRODUCT')
const voteSummary = v.object({
  voteId: count,
  productId,
  productName: text,
  createDate: text,
  status: voteStatus,
  requester: count,
  type: voteType,
})
const member = v.object({
  merchantId: count,
  authorizerName: text,
  merchantName: text,
  logoUrl: optional(text),
  merchantAddress: optional(text),
})
const voteCommon = {
  voteId: count,
  productId,
  requester: count,
  // The seed leaves these out of some of its samples.
  status: optional(voteStatus),
  agreeCount: optional(count),
  disagreeCount: optional(count),
  voterCount: optional(count),
  neededCount: optional(count),
  voteThreshold: optional(v.number('must be a number')),
  expireAt: optional(count),
}
const voteDetails = v.variant('type', [
  v.object({ ...voteCommon, type: v.literal('APPLY'), members: v.array(member, 'must be a list') }),
  v.object({ ...voteCommon, type: v.literal('ADD_MEMBER'), members: v.array(member, 'must be a list') }),
  v.object({ ...voteCommon, type: v.literal('UPDATE_PRODUCT'), from: productDetails, to: productDetails }),
])
const opened = v.object({ voteId: nullable(count), expireAt: nullable(count), status: optional(voteStatus) })
const profile = v.object({ ...member.entries, accountId, serviceUrl: text, email: text })
const category = v.object({ categoryId: count, categoryName: text })
const logRow = v.object({ id: count, requestId: text, productId, productName: text, amount: money, gmtCreated: count })
const exchangeRow = v.object({
  id: count,
  gmtCreated: count,
  fromAccount: accountId,
  toAccount: accountId,
  requestId: text,
  txid: optional(text),
})
const productBill = v.object({
  productId,
  productName: text,
  logoUrl: optional(text),
  transferCount: count,
  unitPrice: money,
  consumeAmount: money,
})
const totals = v.object({
  date: nullable(v.union([count, text])),
  consumeAmount: nullable(money),
  incomeAmount: nullable(money),
  transferCount: nullable(count),
  balance: nullable(money),
  average: nullable(money),
})
const notice = v.object({
  noticeId: count,
  kind: text,
  details: v.record(text, v.union([text, v.number()], 'must be text or a number')),
  gmtCreated: count,
  read: v.boolean('must be true or false'),
})
const list = <const S extends v.GenericSchema>(item: S) =>
  v.pipe(
    v.array(item as v.GenericSchema<unknown, v.InferOutput<S>>, 'must be a list'),
    v.maxLength(10_000, 'must have at most 10000 items'),
  )

/** A product in a list (1.8). */
export type ProductSummary = v.InferOutput<typeof productSummary>
/** A product as it was published, or is to be (1.9, 1.11). */
export type ProductDetails = v.InferOutput<typeof productDetails>
/** A vote in a list (1.10). */
export type VoteSummary = v.InferOutput<typeof voteSummary>
/** A vote (1.11). */
export type VoteDetails = v.InferOutput<typeof voteDetails>
/**
 * A vote that was opened, and until when, in milliseconds (1.4, 1.6); null where none is needed, and the change has taken effect.
 */
export type OpenedVote = v.InferOutput<typeof opened>
/** What a merchant says of itself. */
export type MerchantProfile = v.InferOutput<typeof profile>
/** A category (1.2). */
export type Category = v.InferOutput<typeof category>
/** Something that was paid for (1.12): `amount` in decimal text. */
export type LogRow = v.InferOutput<typeof logRow>
/** An exchange (1.13): `fromAccount` sold, `toAccount` asked. */
export type ExchangeRow = v.InferOutput<typeof exchangeRow>
/** What a product has cost (1.14, 1.17), in decimal text. */
export type ProductBill = v.InferOutput<typeof productBill>
/** Sums of a day, a month or of all time (1.15 to 1.17), in decimal text; null for what is not counted there. */
export type BillTotals = v.InferOutput<typeof totals>
/**
 * Something that the merchant should know, such as a vote that waits for it. `kind` is `vote.opened`, `vote.passed`,
 * `vote.rejected`, `vote.expired`, `member.joined`, or another of a later server; `details` say what it is about: `voteId`,
 * `productId`, `productName`, `type`, `requester`, `expireAt`. `gmtCreated` is in milliseconds.
 */
export type Notice = v.InferOutput<typeof notice>

/** A product to publish (1.3). */
export interface NewProduct {
  /** One line, up to 100 characters. */
  readonly productName: string
  /** Up to 2000 characters. */
  readonly briefDesc: string
  /** One of {@link MarketClient.categories}. */
  readonly categoryId: number
  /** Where it is sold: 0 alliance, 1 free market. @default 0 */
  readonly shareStatus?: 0 | 1 | undefined
  /** How much of its members must agree, above 0 and up to 1, with up to four decimals. */
  readonly voteThreshold: number
  /** In the smallest unit of the asset. */
  readonly price: { readonly amount: bigint; readonly assetId: AssetId }
  /** Whether it touches personal data: answers are waited for longer then. */
  readonly privacy: boolean
  /** What merchants send, by the names of the fields. */
  readonly input: FieldSpecs
  /** What data sources answer. */
  readonly output: FieldSpecs
  /** PNG, JPEG or WebP in base64, up to 256 kB, as a data URL or bare. @default none */
  readonly logoImgBase64?: string | undefined
}
/** What is to change of a product (1.6); what is left out stays, an empty logo takes it away. */
export type ProductUpdate = Partial<Omit<NewProduct, 'shareStatus' | 'voteThreshold'>>

/** What a merchant may change of its profile: what is left out stays, empty text takes away. */
export interface ProfileChange {
  /** The company: one line, up to 200 characters. */
  readonly merchantName?: string | undefined
  /** Who answers for it: one line, up to 100 characters. */
  readonly authorizerName?: string | undefined
  /** Its website. */
  readonly merchantAddress?: string | undefined
  /** Where notices are sent. */
  readonly email?: string | undefined
  /** PNG, JPEG or WebP in base64, up to 256 kB. */
  readonly logoImgBase64?: string | undefined
}

/** Days from the first to the last, both counted: `2018-01-01`. They begin when the bills' do: at midnight UTC+8. */
export interface Days {
  /** @default the first there is */
  readonly from?: string | undefined
  /** @default today */
  readonly to?: string | undefined
}
/** How to turn pages. */
export interface PageOptions {
  /** Rows of one page, 100 at most. @default 100 */
  readonly limit?: number | undefined
  /** Ends the turning. @default none */
  readonly signal?: AbortSignal | undefined
}

/**
 * The market's calls.
 *
 * All of them throw `CONNECTION_FAILED`, `UNAUTHENTICATED`, `NOT_ALLOWED`, `BAD_ARGUMENT` naming what of the call is wrong,
 * `BAD_MESSAGE` for what is no market's answer, and the market's own refusals, with its sentence, the HTTP `status` and the
 * plain values of its details.
 */
export interface MarketClient {
  /**
   * Binds an account of the chain to a merchant (1.1), with the account's key.
   * @param binding.serviceUrl where it answers questions as a data source; empty if it only buys.
   * @throws `BAD_SIGNATURE`, also when this computer's clock is off by three seconds; `ACCOUNT_NOT_FOUND`; `CONFLICT` if
   * either is bound to another.
   */
  bindAccount(binding: { account: AccountId; key: string | GrapheneKey; merchantId: number; serviceUrl: string }): Promise<void>
  /** What the merchant that has signed in says of itself. */
  profile(): Promise<MerchantProfile>
  /** Changes what it says of itself. */
  changeProfile(change: ProfileChange): Promise<void>
  /** Adds a category (1.2); takes the operator's token. @throws `CONFLICT` if there is one of that name. */
  createCategory(categoryName: string): Promise<Category>
  /** All categories. */
  categories(): Promise<readonly Category[]>
  /** Publishes a product (1.3). @returns its number, which older servers don't tell. */
  createProduct(product: NewProduct): Promise<{ readonly productId?: number | undefined }>
  /**
   * Invites merchants, by their numbers, to sell a product that one sells oneself (1.4).
   * @throws `NO_SUCH_PRODUCT`; `ACCOUNT_NOT_FOUND` for one that is bound to no account; `CONFLICT`.
   */
  inviteMembers(productId: number, members: readonly number[]): Promise<OpenedVote>
  /**
   * Asks to be let in among a product's sellers (1.4).
   * @throws `NO_SUCH_PRODUCT`; `CONFLICT` while one is voted about already; `APPLICANT_LOCKED_OUT` with `until` in its details.
   */
  applyToSell(productId: number): Promise<OpenedVote>
  /** Proposes a change of a product that one sells (1.6). @throws `NO_SUCH_PRODUCT`; `CONFLICT` while another is voted about. */
  updateProduct(productId: number, update: ProductUpdate): Promise<OpenedVote>
  /** Votes (1.7). @throws `NO_SUCH_VOTE`, `VOTED_ALREADY`, `VOTE_ENDED` */
  vote(voteId: number, agree: boolean): Promise<void>
  /** The products of a category (1.8), page by page: `shareStatus` is 0 for the alliance, 1 for the free market. */
  products(categoryId: number, shareStatus: 0 | 1, options?: PageOptions): AsyncIterable<ProductSummary>
  /**
   * A product (1.9), as it is or as it was in a version, counted from 1.
   * @throws `NO_SUCH_PRODUCT`; `BAD_MESSAGE` from a server that keeps no versions and gives the newest.
   */
  product(productId: number, version?: number): Promise<ProductDetails>
  /** All versions of a product, the newest first, each asked for when its turn comes. @throws `NO_SUCH_PRODUCT` */
  versions(productId: number): AsyncIterable<ProductDetails>
  /** Votes about a product, or all (1.10), page by page: those one has not voted in, those that passed, or were rejected. */
  votes(productId: number | 'all', which: 'open' | 'passed' | 'rejected', options?: PageOptions): AsyncIterable<VoteSummary>
  /** A vote (1.11). @throws `NO_SUCH_VOTE` */
  voteDetails(voteId: number): Promise<VoteDetails>
  /** What was paid for (1.12), page by page. */
  log(filter?: Days & { readonly productId?: number | undefined }, options?: PageOptions): AsyncIterable<LogRow>
  /** Exchanges (1.13), page by page. */
  exchanges(
    filter?: Days & {
      readonly toAccount?: AccountId | undefined
      readonly requestId?: string | undefined
      readonly txid?: string | undefined
    },
    options?: PageOptions,
  ): AsyncIterable<ExchangeRow>
  /** What each product has cost in the month of a day (1.14), such as `2018-05-01`. */
  monthBill(date: string): Promise<readonly ProductBill[]>
  /** The same as a table for spreadsheets: CSV (RFC 4180) with a header, without the byte order mark that a file begins with. */
  monthBillTable(date: string): Promise<string>
  /** Sums of the month of a day (1.15). */
  monthTotal(date: string): Promise<BillTotals>
  /** The last 30 days, the newest first (1.16). */
  recentDays(): Promise<readonly BillTotals[]>
  /** Sums of all time, and of each product (1.17). */
  total(): Promise<{ readonly overview: BillTotals; readonly productList: readonly ProductBill[] }>
  /** What the merchant should know, page by page, the newest first. What is marked meanwhile moves the pages of unread ones. */
  notices(filter?: { readonly unread?: boolean | undefined }, options?: PageOptions): AsyncIterable<Notice>
  /** How many notices are not marked as read. */
  unreadNotices(): Promise<number>
  /** Marks notices as read, 1000 at most at once; others' are left alone. */
  readNotices(noticeIds: readonly number[] | 'all'): Promise<void>
  /**
   * Ends the token at the exchange. With `signIn` the next call that needs one signs in again; without, it is refused.
   * Nothing happens to who is not signed in. @throws `NOT_FOUND` from an exchange that signs in by other means.
   */
  signOut(): Promise<void>
}

/** The code of an envelope that holds an answer. */
const DONE = 1
const VOTES = { open: 0, passed: 1, rejected: 2 } as const
/** Milliseconds before the end of a token from when on a new one is asked for. */
const RENEW = 30_000

const envelope = v.object({
  code: v.optional(v.unknown()),
  msg: optional(text),
  data: v.optional(v.unknown()),
  total: optional(count),
})
const challenge = v.object({ text, expiresAt: count })
const granted = v.object({ token: text, expiresAt: count })

const account = { account: argument.text(1), key: argument.either(argument.text(1), argument.having('a key of grapheneKey()', 'sign')) }
const optionRules = {
  baseUrl: argument.text(),
  token: argument.optional(argument.text(1)),
  signIn: argument.optional(argument.shape('an account and its key', account)),
  clock: argument.optional(argument.clock),
}

const id = argument.integer(0)
const object = (example: string): argument.Rule => argument.shape(`an object such as ${example}`, {})
const page = argument.optional(
  argument.shape('an object such as { limit: 100 }', { limit: argument.optional(argument.integer(1, 100)), signal: argument.optional(argument.abortSignal) }),
)
const binding = argument.shape("an object such as { account: '1.2.20', key, merchantId: 1, serviceUrl: '' }", {
  ...account,
  merchantId: id,
  serviceUrl: argument.text(),
})
const days = { from: argument.optional(argument.text(1)), to: argument.optional(argument.text(1)) }
const words = (...names: readonly string[]): Record<string, argument.Rule> =>
  Object.fromEntries(names.map((name) => [name, argument.optional(argument.text(1))]))
const date = argument.text(1)

const methodRules: argument.MethodRules<MarketClient> = {
  bindAccount: [['binding', binding]],
  changeProfile: [['change', object("{ email: 'ann@example.com' }")]],
  createCategory: [['categoryName', argument.text(1)]],
  createProduct: [['product', object("{ productName: 'Names', … }")]],
  inviteMembers: [['productId', id], ['members', argument.listOf(id)]],
  applyToSell: [['productId', id]],
  updateProduct: [['productId', id], ['update', object("{ briefDesc: 'Names and numbers' }")]],
  vote: [['voteId', id], ['agree', argument.flag]],
  products: [['categoryId', id], ['shareStatus', argument.rule('0 or 1', (value) => value === 0 || value === 1)], ['options', page]],
  product: [['productId', id], ['version', argument.optional(argument.integer(1))]],
  versions: [['productId', id]],
  votes: [
    ['productId', argument.either(id, argument.oneOf('all'))],
    ['which', argument.oneOf('open', 'passed', 'rejected')],
    ['options', page],
  ],
  voteDetails: [['voteId', id]],
  log: [
    ['filter', argument.optional(argument.shape("an object such as { from: '2018-01-01' }", { ...days, productId: argument.optional(id) }))],
    ['options', page],
  ],
  exchanges: [
    [
      'filter',
      argument.optional(
        argument.shape("an object such as { toAccount: '1.2.20' }", { ...days, ...words('toAccount', 'requestId', 'txid') }),
      ),
    ],
    ['options', page],
  ],
  monthBill: [['date', date]],
  monthBillTable: [['date', date]],
  monthTotal: [['date', date]],
  notices: [
    ['filter', argument.optional(argument.shape('an object such as { unread: true }', { unread: argument.optional(argument.flag) }))],
    ['options', page],
  ],
  readNotices: [['noticeIds', argument.either(argument.listOf(id, 0, 1000), argument.oneOf('all'))]],
}

/**
 * Creates a client of the market.
 * @throws `BAD_KEY`, `BAD_ARGUMENT` for both a token and a sign-in.
 */
export function createMarketClient(options: MarketClientOptions): MarketClient {
  argument.assertArguments(options, optionRules, 'options')
  const { baseUrl, token, signIn, http, clock = systemClock } = options
  assertArgument(token === undefined || signIn === undefined, 'token', 'left out where signIn is given')
  const call = createHttp({ baseUrl, http, clock })
  const signer = signIn && { account: signIn.account, key: keyOf(signIn.key) }
  let session: Promise<{ token: string; expiresAt: number }> | undefined

  const enter = async ({ account, key }: { account: AccountId; key: GrapheneKey }) => {
    const { text } = readBy(challenge, await call({ method: 'post', path: '/signin/challenge', body: { account } }), 'challenge')
    // Nothing else that an account signs has lines: a market can't have a transfer or a binding signed as a challenge.
    if (!text.split('\n', 2)[1]?.includes(account)) {
      throw new SluiceError('BAD_MESSAGE', `challenge.text must name ${account} in its second line`, {
        details: { field: 'challenge.text' },
      })
    }
    const body = { account, text, signature: signText(text, key) }
    const answer = await call({ method: 'post', path: '/signin/token', body }).catch((error: unknown) => {
      if (!isSluiceError(error, 'UNAUTHENTICATED')) throw error
      throw new SluiceError(
        'UNAUTHENTICATED',
        `${account} can't sign in: signIn.key is another's, or bindAccount was not called`,
        { cause: error, details: { ...error.details, account } },
      )
    })
    return readBy(granted, answer, 'answer')
  }

  /** @param stale a token that is not taken any more. */
  async function bearer(stale: string | undefined): Promise<string | undefined> {
    if (!signer) return token
    const before = session
    const known = await before?.catch(() => undefined)
    if (known && known.token !== stale && known.expiresAt - RENEW > clock.now()) return known.token
    // Whoever comes first signs in for all.
    if (session === before) session = enter(signer)
    return (await session!).token
  }

  /**
   * Makes a call, as who has signed in.
   * @param signsIn false for a call that whoever can't sign in yet may make.
   */
  async function send<T>(request: Call, read: (answer: unknown) => T, signsIn = true): Promise<T> {
    for (let stale: string | undefined; ; ) {
      const used = signsIn ? await bearer(stale) : token
      try {
        return read(await call({ ...request, headers: bearing(used) }))
      } catch (error) {
        // Signed out there, for whatever reason: once more with a new token.
        if (!signer || stale !== undefined || !isSluiceError(error, 'UNAUTHENTICATED')) throw error
        stale = used
      }
    }
  }

  /** Makes a call and takes its envelope off. */
  const ask = (request: Call, signsIn?: boolean): Promise<{ data: unknown; total: number | undefined }> => {
    const read = (answer: unknown) => {
      const { code, msg = '', data, total } = readBy(envelope, answer, 'answer')
      if (Number(code) === DONE) return { data, total }
      throw new SluiceError(codeOf(code) ?? 'PEER_REFUSED', `the market refused${msg === '' ? '' : `: ${msg.slice(0, 200)}`}`)
    }
    return send(request, read, signsIn)
  }

  const get = (path: string, query: Readonly<Record<string, string | number | undefined>> = {}, signal?: AbortSignal) =>
    ask({ method: 'get', path: path + queryText(query), signal, attempts: 3 })
  const post = async <const S extends v.GenericSchema>(path: string, body: unknown, schema: S): Promise<v.InferOutput<S>> =>
    readBy(schema, (await ask({ method: 'post', path, body })).data, 'answer.data')

  /** Turns the pages of a list whose pages are counted by the fields `page` and `limit`. */
  async function* pages<const S extends v.GenericSchema>(
    path: string,
    query: Readonly<Record<string, string | number | undefined>>,
    names: readonly [page: string, limit: string],
    row: S,
    { limit = 100, signal }: PageOptions = {},
  ): AsyncGenerator<v.InferOutput<S>, void, undefined> {
    let met = 0
    for (let page = 1; ; page++) {
      const { data, total } = await get(path, { ...query, [names[0]]: page, [names[1]]: limit }, signal)
      const rows = readBy(list(row), data, 'answer.data')
      yield* rows
      met += rows.length
      // A server that counts says when it is over; one that pays no heed to pages sends more than was asked for.
      if (total === undefined ? rows.length !== limit : met >= total || rows.length === 0) return
    }
  }

  async function product(id: number, version?: number): Promise<ProductDetails> {
    const details = readBy(productDetails, (await get(`/market/product/${id}`, { version })).data, 'answer.data')
    // Its price and fields would be taken for those of another.
    if (version === undefined || details.version === version) return details
    throw new SluiceError('BAD_MESSAGE', `answer.data.version must be ${version}, as asked`, {
      details: { field: 'answer.data.version', productId: id, version },
    })
  }

  return argument.checked<MarketClient>({
    async bindAccount({ account, key, merchantId, serviceUrl }) {
      const timestamp = clock.now()
      const signature = signText([account, merchantId, serviceUrl, timestamp].join('|'), keyOf(key))
      // Nobody can sign in for an account that is not bound yet.
      await ask(
        {
          method: 'post',
          path: '/market/account/bind',
          body: { accountId: account, merchantId, serviceUrl, timestamp, signature },
        },
        false,
      )
    },
    profile: async () => readBy(profile, (await get('/market/merchant/profile')).data, 'answer.data'),
    async changeProfile(change) {
      await post('/market/merchant/profile', change, v.unknown())
    },
    categories: async () => readBy(list(category), (await get('/market/category/list')).data, 'answer.data'),
    createCategory: (categoryName) => post('/market/category/create', { categoryName }, category),
    async createProduct({ briefDesc, voteThreshold, ...product }) {
      // As the seed spells them: an older server knows no other.
      const body = { ...product, brieDesc: briefDesc, voteThrehold: voteThreshold }
      return (await post('/market/product/create', body, optional(v.object({ productId: optional(productId) })))) ?? {}
    },
    inviteMembers: (productId, members) => post(`/market/product/${productId}/members/add`, { members }, opened),
    applyToSell: (productId) => post(`/market/product/${productId}/members/add`, {}, opened),
    updateProduct: (productId, update) => post(`/market/product/${productId}/update`, update, opened),
    async vote(voteId, agree) {
      await post('/market/product/vote', { voteId, agree: agree ? 1 : 0 }, v.unknown())
    },
    products: (categoryId, shareStatus, options) =>
      pages(`/market/product/list/${categoryId}/${shareStatus}`, {}, ['page', 'limit'], productSummary, options),
    product,
    async *versions(productId) {
      const newest = await product(productId)
      yield newest
      for (let version = (newest.version ?? 1) - 1; version >= 1; version--) yield product(productId, version)
    },
    votes: (productId, which, options) =>
      pages(`/market/product/${productId}/votes/${VOTES[which]}`, {}, ['page', 'limit'], voteSummary, options),
    voteDetails: async (voteId) => readBy(voteDetails, (await get(`/market/product/votes/${voteId}`)).data, 'answer.data'),
    log: ({ from, to, ...filter } = {}, options) =>
      pages(
        '/market/dataexchange/log',
        { gmtCreatedFrom: from, gmtCreatedTo: to, ...filter },
        ['pageNo', 'pageSize'],
        logRow,
        options,
      ),
    exchanges: ({ from, to, ...filter } = {}, options) =>
      pages(
        '/market/dataexchange/detail',
        { gmtCreatedFrom: from, gmtCreatedTo: to, ...filter },
        ['pageNo', 'pageSize'],
        exchangeRow,
        options,
      ),
    async monthBill(date) {
      const { data } = await get('/market/bill/month', { date })
      // The seed has an envelope in the envelope.
      const nested = v.union([
        list(productBill),
        v.pipe(
          v.object({ data: list(productBill) }),
          v.transform(({ data }) => data),
        ),
      ])
      return readBy(nested, data, 'answer.data')
    },
    async monthBillTable(date) {
      const path = `/market/bill/month.csv${queryText({ date })}`
      return send({ method: 'get', path, as: 'text', attempts: 3 }, (table) => table as string)
    },
    monthTotal: async (date) => readBy(totals, (await get('/market/bill/monthTotal', { date })).data, 'answer.data'),
    recentDays: async () => readBy(list(totals), (await get('/market/bill/recent')).data, 'answer.data'),
    total: async () =>
      readBy(
        v.object({ overview: totals, productList: list(productBill) }),
        (await get('/market/bill/total')).data,
        'answer.data',
      ),
    notices: ({ unread = false } = {}, options) =>
      pages('/market/notices', { unread: unread ? 1 : undefined }, ['page', 'limit'], notice, options),
    async unreadNotices() {
      const { total } = await get('/market/notices', { unread: 1, page: 1, limit: 1 })
      return readBy(count, total, 'answer.total')
    },
    async readNotices(noticeIds) {
      await post('/market/notices/read', { noticeIds }, v.unknown())
    },
    async signOut() {
      const used = signer ? (await session?.catch(() => undefined))?.token : token
      session = undefined
      if (used === undefined) return
      try {
        await call({ method: 'post', path: '/signin/out', headers: bearing(used), attempts: 3 })
      } catch (error) {
        // It has ended already.
        if (!isSluiceError(error, 'UNAUTHENTICATED')) throw error
      }
    },
  }, methodRules, ['products', 'versions', 'votes', 'log', 'exchanges', 'notices'])
}

/** Writes a number without an exponent, as short as it can be read back. */
function decimalText(value: number): string {
  const [digits = '', exponent] = String(value).split('e')
  if (exponent === undefined) return digits
  return Number(exponent) > 0
    ? BigInt(value).toString()
    : value.toFixed(Math.min(100, digits.replace(/\D/g, '').length - 1 - Number(exponent)))
}

/** Signs a text as the account's key does: 65 bytes in hex. */
function signText(text: string, key: GrapheneKey): string {
  return toHex(key.sign(textDigest(text))).slice(2)
}

function bearing(token: string | undefined): { authorization?: string } {
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

function keyOf(key: string | GrapheneKey): GrapheneKey {
  return typeof key === 'string' ? keyFromWif(key) : key
}

function queryText(query: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]))
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`
}
