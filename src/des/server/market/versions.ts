/**
 * What may change of a product: each change makes a new version, and the old ones stay.
 * @module
 */
import type { Kysely, Transaction } from 'kysely'
import type { AssetId } from '../../../core/crypto/graphene/index.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { FieldSpecs } from '../../wire/fieldSpecs.ts'
import type { Database } from '../database.ts'
import { logoUrl } from './logos.ts'

/** A version's content. As JSON it is what a vote keeps; the amount is text, so that it stays exact. */
export interface VersionContent {
  readonly productName: string
  readonly briefDesc: string
  readonly logo: string | null
  readonly categoryId: number
  readonly price: { readonly amount: string; readonly assetId: AssetId }
  readonly privacy: boolean
  readonly input: FieldSpecs
  readonly output: FieldSpecs
}

/** Keeps a version. @throws `BAD_ARGUMENT` for a category that there is not. */
export async function keepVersion(
  tx: Transaction<Database>,
  product: number,
  version: number,
  content: VersionContent,
  now: number,
): Promise<void> {
  const { productName, briefDesc, logo, categoryId, price, privacy, input, output } = content
  await tx
    .insertInto('des_product_versions')
    .values({
      product,
      version,
      name: productName,
      brief: briefDesc,
      logo,
      category: categoryId,
      price: BigInt(price.amount),
      asset: price.assetId,
      privacy,
      input: JSON.stringify(input),
      output: JSON.stringify(output),
      created_at: now,
    })
    .execute()
}

/** Reads a version. @throws `NO_SUCH_PRODUCT` */
export async function versionOf(db: Kysely<Database>, product: number, version: number): Promise<VersionContent> {
  const row = await db
    .selectFrom('des_product_versions')
    .selectAll()
    .where('product', '=', product)
    .where('version', '=', version)
    .executeTakeFirst()
  if (!row) throw noProduct(product, version)
  return {
    productName: row.name,
    briefDesc: row.brief,
    logo: row.logo,
    categoryId: row.category,
    price: { amount: row.price, assetId: row.asset },
    privacy: row.privacy,
    input: row.input,
    output: row.output,
  }
}

/** Writes a version as a vote's detail shows it (1.11): amounts and categories are numbers there. */
export function versionAnswer({ logo, price, ...content }: VersionContent) {
  return { ...content, logoUrl: logoUrl(logo), price: { amount: BigInt(price.amount), assetId: price.assetId } }
}

/** Refuses a category that there is not. @throws `BAD_ARGUMENT` */
export async function assertCategory(db: Kysely<Database>, id: number): Promise<void> {
  const row = await db.selectFrom('des_categories').select('id').where('id', '=', id).executeTakeFirst()
  if (!row)
    throw new SluiceError('BAD_ARGUMENT', 'categoryId must be that of a category', {
      details: { field: 'categoryId', categoryId: id },
    })
}

/** The error for a product, or a version, that there is not. */
export function noProduct(productId: number, version?: number): SluiceError {
  const what = version === undefined ? `product ${productId}` : `version ${version} of product ${productId}`
  return new SluiceError('NO_SUCH_PRODUCT', `there is no ${what}`, { details: { productId, version } })
}
