/**
 * What DES tells a buyer of a product: its price, its input, and who sells it now.
 * @module
 */
import * as v from 'valibot'
import { HUNDRED_PERCENT, type AccountId, type AssetId, type PublicKeyText } from '../../core/crypto/graphene/index.ts'
import { accountId, amount, assetId, plainObject, productId, publicKey, readBy, smallInteger, spelled, suites } from './fields.ts'

/** A field of a product's input or output. */
export interface ProductField {
  /** `string`, `integer`, `boolean`, `number`, `json`, `array`, `raw`, `long`, `float`, `double` or `date` in the field. */
  readonly type: string
  readonly desc?: string | undefined
  readonly required?: boolean | undefined
  readonly sample?: unknown
}

/** A product as its buyers see it. */
export interface ProductAnswer {
  readonly product: {
    readonly productId: number
    /** Counts its changes from 1; a request may name it. Older servers don't tell. */
    readonly version?: number | undefined
    readonly productName: string
    readonly briefDesc: string
    readonly categoryId: number
    readonly price: { readonly amount: bigint; readonly assetId: AssetId }
    /** Who may sell it. */
    readonly datasources: readonly AccountId[]
    /** The merchant that published it. */
    readonly issuer: number
    readonly privacy: boolean
    readonly input: Readonly<Record<string, ProductField>>
    readonly output: Readonly<Record<string, ProductField>>
  }
  /** Who moves the money, and what he keeps in hundredths of a percent. */
  readonly des: { readonly accountId: AccountId; readonly percent: number }
  /** Who sells it now. */
  readonly onlineDatasources: readonly OnlineSource[]
}

/** A data source that can be asked now. */
export interface OnlineSource {
  readonly accountId: AccountId
  readonly publicKey: PublicKeyText
  /** The suites of sealed data that it opens beside 1. */
  readonly suites?: readonly number[] | undefined
}

/** The most fields of an input or output. */
export const MAX_FIELDS = 256

const text = v.pipe(v.string('must be text'), v.maxLength(10_000, 'must have at most 10000 characters'))
const fields = v.pipe(
  plainObject,
  v.record(
    v.string(),
    v.looseObject({ type: text, desc: v.optional(text), required: v.optional(v.boolean('must be true or false')) }, 'must be an object'),
    'must be an object',
  ),
  v.maxEntries(MAX_FIELDS, `must have at most ${MAX_FIELDS} fields`),
)
const accounts = <const S extends v.GenericSchema>(item: S) =>
  v.pipe(v.array(item, 'must be a list'), v.maxLength(1024, 'must have at most 1024 items'))

const answer = /* @__PURE__ */ v.object({
  product: v.object({
    productId,
    version: v.exactOptional(smallInteger(1, 2 ** 31 - 1)),
    productName: text,
    briefDesc: v.optional(text, ''),
    categoryId: smallInteger(0),
    price: spelled({ assetId: ['asset_id'] }, v.object({ amount, assetId })),
    datasources: accounts(accountId),
    issuer: smallInteger(0),
    privacy: v.boolean('must be true or false'),
    input: fields,
    output: fields,
  }),
  des: spelled({ accountId: ['account_id'] }, v.object({ accountId, percent: smallInteger(0, HUNDRED_PERCENT) })),
  onlineDatasources: accounts(spelled({ accountId: ['account_id'] }, v.object({ accountId, publicKey, suites: v.exactOptional(suites) }))),
})

/** Reads a product, after `readJson`, in either spelling. @throws `BAD_MESSAGE` naming the field. */
export function readProduct(value: unknown): ProductAnswer {
  return readBy(answer, value, 'answer')
}

/** Writes a product, for `writeJson`: names of accounts and assets in both spellings, for all clients. */
export function writeProduct({ product, des, onlineDatasources }: ProductAnswer): Record<string, unknown> {
  const { amount, assetId } = product.price
  const account = (id: AccountId) => ({ accountId: id, account_id: id })
  return {
    product: { ...product, price: { amount, assetId, asset_id: assetId } },
    des: { ...account(des.accountId), percent: des.percent },
    onlineDatasources: onlineDatasources.map(({ accountId, publicKey, suites }) => ({
      ...account(accountId),
      publicKey,
      ...(suites && { suites }),
    })),
  }
}
