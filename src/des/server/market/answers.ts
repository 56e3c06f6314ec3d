/**
 * What the market's calls answer, in the seed's names.
 * @module
 */
import * as v from 'valibot'
import type { Schema } from '../../../core/http/index.ts'
import type { FieldSpecs } from '../../wire/fieldSpecs.ts'
import { paged } from '../format.ts'

const id = v.pipe(v.number(), v.integer())
const time = v.pipe(v.number(), v.integer(), v.description('Milliseconds since 1970'))
const logoUrl = v.pipe(v.string(), v.description('Where its picture is, relative to the service; empty for none'))
const status = v.picklist(['INPROGRESS', 'PASS', 'REJECT'])
const type = v.picklist(['APPLY', 'ADD_MEMBER', 'UPDATE_PRODUCT'])
const fields = v.record(v.string(), v.looseObject({ type: v.string() })) as v.GenericSchema<FieldSpecs>
const price = (amount: Schema) => v.object({ amount, assetId: v.string() })

export const bindAnswer = v.object({ merchantId: id, account: v.string() })

const merchant = v.object({
  merchantId: id,
  authorizerName: v.string(),
  merchantName: v.string(),
  logoUrl,
  merchantAddress: v.pipe(v.string(), v.description('Its website')),
})

export const profileAnswer = v.object({ ...merchant.entries, accountId: v.string(), serviceUrl: v.string(), email: v.string() })

export const categoryAnswer = v.object({ categoryId: id, categoryName: v.string() })

export const createdAnswer = v.object({ productId: id })

export const openedAnswer = v.object({
  voteId: v.nullable(id),
  expireAt: v.nullable(time),
  status: v.pipe(status, v.description('PASS at once where one vote is enough, and in the free market, which has no vote')),
})

export const votedAnswer = v.object({ status })

const summary = { productName: v.string(), logoUrl, briefDesc: v.string(), privacy: v.boolean(), price: price(v.string()) }

export const productsAnswer = paged(v.object({ productId: id, ...summary }))

export const productAnswer = v.object({
  ...summary,
  categoryId: v.string(),
  input: fields,
  output: fields,
  productId: id,
  version: id,
  shareStatus: v.picklist([0, 1]),
  issuer: id,
  voteThreshold: v.number(),
})

export const votesAnswer = paged(
  v.object({
    voteId: id,
    productId: id,
    productName: v.string(),
    createDate: v.pipe(v.string(), v.description('2018-03-12T12:23:10, in the zone of the bills')),
    status,
    requester: id,
    type,
  }),
)

const content = v.object({
  productName: v.string(),
  briefDesc: v.string(),
  logoUrl,
  price: price(v.bigint()),
  categoryId: id,
  privacy: v.boolean(),
  input: fields,
  output: fields,
})

export const voteAnswer = v.object({
  voteId: id,
  productId: id,
  status,
  requester: id,
  type,
  agreeCount: id,
  disagreeCount: id,
  voterCount: id,
  neededCount: v.pipe(id, v.description('How many must agree')),
  voteThreshold: v.number(),
  expireAt: time,
  members: v.exactOptional(v.pipe(v.array(merchant), v.description('Who is to join: with APPLY and ADD_MEMBER'))),
  from: v.exactOptional(v.pipe(content, v.description('What the product was: with UPDATE_PRODUCT'))),
  to: v.exactOptional(v.pipe(content, v.description('What it is to be: with UPDATE_PRODUCT'))),
})
