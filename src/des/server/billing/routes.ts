/**
 * Bills over HTTP (seed 001, 1.12 to 1.17). Everybody sees his own.
 * @module
 */
import * as v from 'valibot'
import { CORE_ASSET } from '../../../core/crypto/graphene/index.ts'
import { SluiceError } from '../../../core/errors.ts'
import { route, type AnswerFormat, type Route } from '../../../core/http/index.ts'
import { accountId, assetId, productId, smallInteger } from '../../wire/fields.ts'
import type { ExchangeContext } from '../context.ts'
import { billEnvelope, paged } from '../format.ts'
import { logoUrl } from '../market/logos.ts'
import { MAX_PAGE } from '../market/schemas.ts'
import type { MarketUser } from '../market/user.ts'
import { balanceOf, monthBill, monthTotals, overview, recentDays, type BillOf, type ProductBill, type Totals } from './bills.ts'
import { writeCsv } from './csv.ts'
import { DAY, readDay } from './days.ts'
import { listCharges, listExchanges } from './exchanges.ts'
import { decimalText, quotientText, toDecimal, writeBill } from './money.ts'
import { readRequestName, requestCid } from './requestName.ts'

/** Turned pages at most. */
const MAX_PAGES = 100_000

/** A filter that a form sends empty is none. */
const filter = <const S extends v.GenericSchema>(schema: S) =>
  v.exactOptional(
    v.union([
      v.pipe(
        v.literal(''),
        v.transform(() => undefined),
      ),
      schema as v.GenericSchema<unknown, v.InferOutput<S>>,
    ]),
  )
const date = v.pipe(
  v.string('must be a date as 2018-05-01'),
  v.check((text) => readDay(text, 0) !== undefined, 'must be a date as 2018-05-01'),
)
const NOT_REQUEST = 'must be a request: 64 hex digits, or Qm… and 44 more'
const assetQuery = { assetId: v.optional(assetId, CORE_ASSET) }
const pages = { pageNo: v.optional(smallInteger(1, MAX_PAGES), 1), pageSize: v.optional(smallInteger(1, MAX_PAGE), 20) }
const days = { gmtCreatedFrom: filter(date), gmtCreatedTo: filter(date) }

const chargesQuery = v.object({ ...days, ...pages, productId: filter(productId) })
const exchangesQuery = v.object({
  ...days,
  ...pages,
  toAccount: filter(accountId),
  requestId: filter(v.pipe(v.string(), v.transform(readRequestName), v.string(NOT_REQUEST))),
  txid: filter(v.pipe(v.string(), v.toLowerCase(), v.regex(/^([0-9a-f]{40}|[0-9a-f]{64})$/, 'must be 40 or 64 hex digits'))),
})
const monthQuery = v.object({ date, ...assetQuery })

const id = v.pipe(v.number(), v.integer())
const time = v.pipe(v.number(), v.integer(), v.description('Milliseconds since 1970'))
const money = v.pipe(v.number(), v.description('In decimals, exact'))
const requestId = v.pipe(v.string(), v.description("CIDv0 form of the request's name"))
const chargesAnswer = paged(
  v.object({ id, requestId, productId: id, productName: v.string(), amount: money, assetId: v.string(), gmtCreated: time }),
)
const exchangesAnswer = paged(
  v.object({
    id,
    gmtCreated: time,
    fromAccount: v.pipe(v.string(), v.description('The data source: where the data came from')),
    toAccount: v.pipe(v.string(), v.description('Who asked')),
    requestId,
    txid: v.nullable(v.string()),
  }),
)
const productBill = { productId: id, productName: v.string(), transferCount: id, unitPrice: money, consumeAmount: money }
const monthAnswer = v.object({ code: v.literal(0), msg: v.null(), data: v.array(v.object(productBill)), total: v.null() })
const nothing = v.null()
const monthTotalAnswer = v.object({
  date: nothing,
  consumeAmount: money,
  incomeAmount: v.pipe(money, v.description('What came in')),
  transferCount: id,
  balance: money,
  average: nothing,
})
const recentAnswer = v.array(
  v.object({ date: time, consumeAmount: money, incomeAmount: money, transferCount: id, balance: nothing, average: nothing }),
)
const totalAnswer = v.object({
  overview: v.object({
    date: nothing,
    consumeAmount: money,
    incomeAmount: nothing,
    transferCount: nothing,
    balance: money,
    average: v.pipe(v.number(), v.description('A day, from that of the first charge to today')),
  }),
  productList: v.array(v.object({ ...productBill, logoUrl: v.string() })),
})

/** The routes of bills. */
export function billingRoutes(context: ExchangeContext): readonly Route[] {
  const { decimals, billingOffset } = context.rules
  const amount = (units: bigint) => toDecimal(decimalText(units, decimals))
  const own = (user: unknown, asset: BillOf['asset']): BillOf => ({ account: (user as MarketUser).account, asset })
  const midnight = (day: string): number => readDay(day, billingOffset)!
  const spanOf = ({
    gmtCreatedFrom,
    gmtCreatedTo,
  }: {
    gmtCreatedFrom?: string | undefined
    gmtCreatedTo?: string | undefined
  }) => {
    const span = {
      from: gmtCreatedFrom === undefined ? 0 : midnight(gmtCreatedFrom),
      // That day is included.
      to: gmtCreatedTo === undefined ? Number.MAX_SAFE_INTEGER : midnight(gmtCreatedTo) + DAY,
    }
    if (span.to > span.from) return span
    throw new SluiceError('BAD_ARGUMENT', 'gmtCreatedTo must not be before gmtCreatedFrom', {
      details: { field: 'gmtCreatedTo' },
    })
  }
  const writeProduct = ({ productId, productName, transferCount, unitPrice, consumeAmount }: ProductBill) => ({
    productId,
    productName,
    transferCount,
    unitPrice: toDecimal(quotientText(unitPrice, 1, decimals)),
    consumeAmount: amount(consumeAmount),
  })
  const writeTotals = ({ consumeAmount, incomeAmount, transferCount }: Totals) => ({
    consumeAmount: amount(consumeAmount),
    incomeAmount: amount(incomeAmount),
    transferCount,
  })
  const monthOf = (user: unknown, { date, assetId }: v.InferOutput<typeof monthQuery>) =>
    monthBill(context, own(user, assetId), midnight(date))
  const format = billEnvelope

  return [
    route({
      method: 'get',
      path: '/market/dataexchange/log',
      id: 'listCharges',
      access: 'user',
      format,
      summary: 'Lists what one was charged, the newest first',
      query: chargesQuery,
      answer: chargesAnswer,
      async handle({ user, query }) {
        const { rows, total } = await listCharges(
          context,
          (user as MarketUser).account,
          { span: spanOf(query), productId: query.productId },
          query,
        )
        const data = rows.map((row) => ({
          id: Number(row.id),
          requestId: requestCid(row.request),
          productId: row.product,
          productName: row.name,
          amount: amount(BigInt(row.amount)),
          assetId: row.asset,
          gmtCreated: Number(row.ended_at),
        }))
        return answer(format, { data, total })
      },
    }),
    route({
      method: 'get',
      path: '/market/dataexchange/detail',
      id: 'listExchanges',
      access: 'user',
      format,
      summary: 'Lists exchanges that one has bought or sold, the newest first',
      query: exchangesQuery,
      answer: exchangesAnswer,
      async handle({ user, query }) {
        const { toAccount, requestId: request, txid } = query
        const found = await listExchanges(
          context,
          (user as MarketUser).account,
          { span: spanOf(query), toAccount, request, txid },
          query,
        )
        const data = found.rows.map((row) => ({
          id: Number(row.id),
          gmtCreated: Number(row.ended_at),
          // The way of the data, against that of the money.
          fromAccount: row.payee,
          toAccount: row.payer,
          requestId: requestCid(row.request),
          txid: row.txid,
        }))
        return { data, total: found.total }
      },
    }),
    route({
      method: 'get',
      path: '/market/bill/month',
      id: 'getMonthBill',
      access: 'user',
      format,
      summary: "Shows a month's bill by product",
      description: 'The bill is in an envelope of its own within the usual one. `unitPrice` is what was charged last.',
      query: monthQuery,
      answer: monthAnswer,
      async handle({ user, query }) {
        const data = (await monthOf(user, query)).map(writeProduct)
        return answer(format, { code: 0, msg: null, data, total: null })
      },
    }),
    route({
      method: 'get',
      path: '/market/bill/month.csv',
      id: 'downloadMonthBill',
      access: 'user',
      format,
      summary: "Gives a month's bill as a table",
      query: monthQuery,
      media: 'text/csv',
      async handle({ user, query }) {
        const rows = (await monthOf(user, query)).map(({ productId, productName, transferCount, unitPrice, consumeAmount }) => [
          String(productId),
          productName,
          String(transferCount),
          quotientText(unitPrice, 1, decimals),
          decimalText(consumeAmount, decimals),
          query.assetId,
        ])
        const header = ['productId', 'productName', 'transferCount', 'unitPrice', 'consumeAmount', 'assetId']
        return new Response(writeCsv([header, ...rows]), {
          headers: {
            'content-type': 'text/csv; charset=utf-8; header=present',
            'content-disposition': `attachment; filename="bill-${query.date.slice(0, 7)}.csv"`,
          },
        })
      },
    }),
    route({
      method: 'get',
      path: '/market/bill/monthTotal',
      id: 'getMonthTotal',
      access: 'user',
      format,
      summary: "Shows a month's sums, and what one can spend now",
      query: monthQuery,
      answer: monthTotalAnswer,
      async handle({ user, query }) {
        const of = own(user, query.assetId)
        const totals = await monthTotals(context, of, midnight(query.date))
        return answer(format, {
          date: null,
          ...writeTotals(totals),
          balance: amount(await balanceOf(context, of)),
          average: null,
        })
      },
    }),
    route({
      method: 'get',
      path: '/market/bill/recent',
      id: 'getRecentDays',
      access: 'user',
      format,
      summary: 'Shows the sums of each of the last 30 days, today first',
      query: v.object(assetQuery),
      answer: recentAnswer,
      async handle({ user, query }) {
        const rows = await recentDays(context, own(user, query.assetId))
        return answer(
          format,
          rows.map((row) => ({ date: row.date, ...writeTotals(row), balance: null, average: null })),
        )
      },
    }),
    route({
      method: 'get',
      path: '/market/bill/total',
      id: 'getTotal',
      access: 'user',
      format,
      summary: 'Shows all that one has ever spent, by product, and on average a day',
      query: v.object(assetQuery),
      answer: totalAnswer,
      async handle({ user, query }) {
        const of = own(user, query.assetId)
        const { products, consumeAmount, days } = await overview(context, of)
        return answer(format, {
          overview: {
            date: null,
            consumeAmount: amount(consumeAmount),
            incomeAmount: null,
            transferCount: null,
            balance: amount(await balanceOf(context, of)),
            average: toDecimal(quotientText(consumeAmount, Math.max(1, days), decimals)),
          },
          productList: products.map((product) => ({ ...writeProduct(product), logoUrl: logoUrl(product.logo) })),
        })
      },
    }),
  ]
}

/** An answer with exact numbers in it, which the service's own writer doesn't know. */
function answer(format: AnswerFormat, value: unknown): Response {
  return new Response(writeBill(format.answer(value)), { headers: { 'content-type': 'application/json' } })
}
