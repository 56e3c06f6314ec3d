/**
 * What is sold: products, as they are published, changed and shown.
 * @module
 */
import { sql as statement } from 'kysely'
import { SluiceError } from '../../../core/errors.ts'
import { MAX_PRODUCTS } from '../../wire/index.ts'
import type { ExchangeContext } from '../context.ts'
import type { ShareStatus } from '../database.ts'
import { keepLogo, logoUrl, readLogo } from './logos.ts'
import type { NewProduct, Page, ProductChange } from './schemas.ts'
import { writeThreshold } from './tally.ts'
import type { MarketUser } from './user.ts'
import { assertCategory, keepVersion, noProduct, versionOf, type VersionContent } from './versions.ts'
import { changeProduct, lockProduct, openVote, type Opened } from './votes.ts'

/**
 * Publishes a product (seed 001, 1.3); who does is its first member.
 * @throws `BAD_ARGUMENT` for a category that there is not, or a logo that is no picture; `CONFLICT` for who sells as many
 * products already as a heartbeat can name.
 */
export async function createProduct(
  context: ExchangeContext,
  { merchantId }: MarketUser,
  product: NewProduct,
): Promise<{ productId: number }> {
  const { voteThreshold, shareStatus, logoImgBase64, ...content } = product
  const logo = logoImgBase64 ? readLogo(logoImgBase64) : undefined
  const now = context.clock.now()
  return context.sql.transaction(async (tx) => {
    await assertCategory(tx, content.categoryId)
    const { count } = await tx
      .selectFrom('des_members')
      .select(statement<bigint>`count(*)`.as('count'))
      .where('merchant', '=', merchantId)
      .executeTakeFirstOrThrow()
    if (count >= MAX_PRODUCTS) {
      throw new SluiceError('CONFLICT', `a merchant sells at most ${MAX_PRODUCTS} products`, { details: { limit: MAX_PRODUCTS } })
    }
    const { id } = await tx
      .insertInto('des_products')
      .values({ share_status: shareStatus, issuer: merchantId, threshold: voteThreshold, version: 1, created_at: now })
      .returning('id')
      .executeTakeFirstOrThrow()
    const hash = logo ? await keepLogo(tx, logo) : null
    await keepVersion(tx, id, 1, { ...content, price: storable(content.price), logo: hash }, now)
    await tx.insertInto('des_members').values({ product: id, merchant: merchantId, since: now }).execute()
    return { productId: id }
  })
}

/** What became of a change: a vote, or in the free market the version that it made. */
export type Changed = Opened | { readonly voteId: null; readonly expireAt: null; readonly status: 'PASS' }

/**
 * Changes a product (seed 001, 1.6): members of an alliance vote about it, in the free market its owner's word is enough.
 * @throws `NO_SUCH_PRODUCT`; `NOT_ALLOWED` for who is no member; `CONFLICT` while another change is voted about; `BAD_ARGUMENT`
 * for a change that changes nothing, a category that there is not, or a logo that is no picture.
 */
export async function updateProduct(
  context: ExchangeContext,
  { merchantId }: MarketUser,
  productId: number,
  { logoImgBase64, price, ...change }: ProductChange,
): Promise<Changed> {
  const logo = logoImgBase64 ? readLogo(logoImgBase64) : undefined
  return context.sql.transaction(async (tx) => {
    const product = await lockProduct(context, tx, productId)
    const member = await tx
      .selectFrom('des_members')
      .select('since')
      .where('product', '=', productId)
      .where('merchant', '=', merchantId)
      .executeTakeFirst()
    if (!member)
      throw new SluiceError('NOT_ALLOWED', `merchant ${merchantId} is no member of product ${productId}`, {
        details: { productId, merchantId },
      })
    if (change.categoryId !== undefined) await assertCategory(tx, change.categoryId)

    const before = await versionOf(tx, productId, product.version)
    const after: VersionContent = {
      ...before,
      ...change,
      ...(price && { price: storable(price) }),
      ...(logoImgBase64 !== undefined && { logo: logo ? await keepLogo(tx, logo) : null }),
    }
    if (canonical(before) === canonical(after)) {
      throw new SluiceError('BAD_ARGUMENT', `the change must differ from version ${product.version} of product ${productId}`, {
        details: { productId, version: product.version },
      })
    }
    if (product.share_status === 1) {
      await changeProduct(tx, product, after, context.clock.now())
      return { voteId: null, expireAt: null, status: 'PASS' }
    }
    const open = await tx
      .selectFrom('des_votes')
      .select('id')
      .where('product', '=', productId)
      .where('type', '=', 'UPDATE_PRODUCT')
      .where('status', '=', 'INPROGRESS')
      .executeTakeFirst()
    if (open)
      throw new SluiceError('CONFLICT', `vote ${open.id} about another change is open`, {
        details: { productId, voteId: open.id },
      })
    return openVote(context, tx, product, { type: 'UPDATE_PRODUCT', requester: merchantId, invited: [], before, after })
  })
}

/** Products of a category in one of the two markets, by their numbers (seed 001, 1.8). */
export async function listProducts(
  { sql }: ExchangeContext,
  { categoryId, shareStatus }: { readonly categoryId: number; readonly shareStatus: ShareStatus },
  { page, limit }: Page,
) {
  const from = sql.db
    .selectFrom('des_product_versions as v')
    .innerJoin('des_products as p', (join) => join.onRef('p.id', '=', 'v.product').onRef('p.version', '=', 'v.version'))
    .where('v.category', '=', categoryId)
    .where('p.share_status', '=', shareStatus)
  const { total } = await from.select(statement<bigint>`count(*)`.as('total')).executeTakeFirstOrThrow()
  const rows = await from
    .select(['p.id', 'v.name', 'v.logo', 'v.brief', 'v.privacy', 'v.price', 'v.asset'])
    .orderBy('p.id')
    .limit(limit)
    .offset((page - 1) * limit)
    .execute()
  const data = rows.map((row) => ({
    productId: row.id,
    productName: row.name,
    logoUrl: logoUrl(row.logo),
    briefDesc: row.brief,
    privacy: row.privacy,
    price: { amount: row.price, assetId: row.asset },
  }))
  return { data, total: Number(total) }
}

/** All there is to know of a product, or of an older version (seed 001, 1.9). @throws `NO_SUCH_PRODUCT` */
export async function productDetail({ sql }: ExchangeContext, productId: number, version?: number) {
  const product = await sql.db.selectFrom('des_products').selectAll().where('id', '=', productId).executeTakeFirst()
  if (!product) throw noProduct(productId)
  const { logo, categoryId, ...content } = await versionOf(sql.db, productId, version ?? product.version)
  return {
    ...content,
    productId,
    version: version ?? product.version,
    logoUrl: logoUrl(logo),
    categoryId: String(categoryId),
    shareStatus: product.share_status,
    issuer: product.issuer,
    voteThreshold: writeThreshold(product.threshold),
  }
}

const storable = ({ amount, assetId }: NewProduct['price']): VersionContent['price'] => ({ amount: String(amount), assetId })

/** The same text for the same content, however its fields are ordered. */
function canonical(content: VersionContent): string {
  return JSON.stringify(content, (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  )
}
