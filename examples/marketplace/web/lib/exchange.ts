/**
 * What the portal asks an exchange for beside the market's calls: signing in, notices, tables, and what anybody may read.
 * @module
 */
import axios from 'axios'
import { SluiceError } from 'sluice-sdk'
import {
  createMarketClient,
  createMerchant,
  grapheneKey,
  type AccountId,
  type AssetId,
  type FieldSpecs,
  type MarketClient,
  type Merchant,
  type ProductDetails,
} from 'sluice-sdk/des'
import * as v from 'valibot'

/** Who has signed in, and what that allows. */
export interface Session {
  readonly account: AccountId
  readonly merchantId: number
  readonly market: MarketClient
  /** Notices, the newest first. */
  notices(options: {
    readonly unread: boolean
    readonly page: number
    readonly limit: number
  }): Promise<{ rows: readonly Notice[]; total: number }>
  readNotices(which: readonly number[] | 'all'): Promise<void>
  /** A month's bill as a file. @param day any of the month, as `2018-05-01`. */
  billTable(day: string): Promise<Blob>
  /** Ends it at the exchange as well. */
  signOut(): Promise<void>
}

const notice = v.object({
  noticeId: v.number(),
  kind: v.string(),
  details: v.record(v.string(), v.union([v.string(), v.number()])),
  gmtCreated: v.number(),
  read: v.boolean(),
})
const noticesAnswer = v.object({ data: v.array(notice), total: v.number() })
/** Something that the merchant should know. */
export type Notice = v.InferOutput<typeof notice>

/** The portal is served by the exchange itself. */
const baseUrl = location.origin

/** The market for who has not signed in. */
export const publicMarket: MarketClient = createMarketClient({ baseUrl })

/** Reads what anybody may: who sells a product now, and evidence. Its key is of no account and signs nothing. */
export const reader: Pick<Merchant, 'getProduct' | 'evidence'> = createMerchant({
  account: '1.2.0',
  key: grapheneKey(crypto.getRandomValues(new Uint8Array(32))),
  baseUrl,
})

/**
 * Signs in with an account's key, which this page alone holds, in memory, until one signs out or leaves it.
 * @throws `BAD_KEY`, `UNAUTHENTICATED`, `CONNECTION_FAILED`
 */
export async function signIn(account: AccountId, wif: string): Promise<Session> {
  const http = axios.create()
  let bearer: string | undefined
  // The client has the token and renews it: what it sends is what the calls below need.
  http.interceptors.request.use((request) => {
    bearer = request.headers.getAuthorization()?.toString() ?? bearer
    return request
  })
  const market = createMarketClient({ baseUrl, signIn: { account, key: wif.trim() }, http })
  const { merchantId } = await market.profile()
  return {
    account,
    merchantId,
    market,
    async notices({ unread, page, limit }) {
      const query = new URLSearchParams({ unread: unread ? '1' : '0', page: String(page), limit: String(limit) })
      const { data: rows, total } = v.parse(noticesAnswer, await (await call(`/market/notices?${query}`, { bearer })).json())
      return { rows, total }
    },
    async readNotices(noticeIds) {
      await call('/market/notices/read', { bearer, body: { noticeIds } })
    },
    billTable: async (day) => (await call(`/market/bill/month.csv?date=${day}`, { bearer })).blob(),
    async signOut() {
      await call('/signin/out', { bearer, body: {} })
    },
  }
}

/** An older version of a product (1.9). @throws `NOT_FOUND` */
export async function productVersion(productId: number, version: number): Promise<ProductDetails> {
  const answer: unknown = await (await call(`/market/product/${productId}?version=${version}`)).json()
  return v.parse(v.object({ data: older }), answer).data
}

const fields = v.custom<FieldSpecs>((value) => typeof value === 'object' && value !== null)
const older = v.object({
  productName: v.string(),
  logoUrl: v.string(),
  briefDesc: v.string(),
  price: v.object({
    amount: v.pipe(
      v.string(),
      v.transform((amount) => BigInt(amount)),
    ),
    assetId: v.custom<AssetId>((value) => typeof value === 'string'),
  }),
  categoryId: v.pipe(
    v.string(),
    v.transform((id) => Number(id)),
  ),
  privacy: v.boolean(),
  input: fields,
  output: fields,
  productId: v.number(),
  version: v.number(),
  shareStatus: v.picklist([0, 1]),
  issuer: v.number(),
  voteThreshold: v.number(),
})

async function call(path: string, { bearer, body }: { bearer?: string | undefined; body?: unknown } = {}): Promise<Response> {
  const headers = {
    accept: 'application/problem+json, application/json, text/csv',
    ...(bearer !== undefined && { authorization: bearer }),
    ...(body !== undefined && { 'content-type': 'application/json' }),
  }
  let answer: Response
  try {
    answer = await fetch(baseUrl + path, { headers, ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }) })
  } catch (cause) {
    throw new SluiceError('CONNECTION_FAILED', 'the exchange can’t be reached', { cause })
  }
  if (answer.ok) return answer
  const problem = v.safeParse(v.object({ detail: v.string() }), await answer.json().catch(() => undefined))
  const { status } = answer
  const code =
    status === 401 ? 'UNAUTHENTICATED' : status === 404 ? 'NOT_FOUND' : status >= 500 ? 'CONNECTION_FAILED' : 'PEER_REFUSED'
  throw new SluiceError(code, problem.success ? problem.output.detail : `the exchange answered with ${status}`)
}
