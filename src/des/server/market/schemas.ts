/**
 * What the market's calls take, in the seed's names, its typing errors and the right ones (seed 001, 1.1 to 1.11).
 * @module
 */
import * as v from 'valibot'
import { accountId, amount, assetId, productId, serviceUrl, signature, smallInteger, spelled } from '../../wire/fields.ts'
import { fieldSpecs } from '../../wire/fieldSpecs.ts'
import { MAX_LOGO_TEXT } from './logos.ts'
import { readThreshold } from './tally.ts'

/** Numbers that SQL keeps as int4. */
const MAX_INT = 2 ** 31 - 1
/** The most merchants that are invited at once. */
const MAX_INVITED = 100
/** The most rows of a page. */
export const MAX_PAGE = 100
/** How far one may turn the pages: rows before the page are read and thrown away. */
const MAX_PAGES = 100_000

/** A merchant's number. */
const merchantId = smallInteger(0, MAX_INT)
/** A category's number. */
export const categoryId = smallInteger(1, MAX_INT)
/** A vote's number. */
export const voteId = smallInteger(1, MAX_INT)

/** A line of text without control characters: it may be part of a mail's subject. */
const line = (most: number) =>
  v.pipe(
    v.string('must be text'),
    v.trim(),
    v.maxLength(most, `must have at most ${most} characters`),
    v.check((text) => !/[\p{Cc}\p{Surrogate}]/u.test(text), 'must be one line of plain text'),
  )
const name = v.pipe(line(100), v.minLength(1, 'must not be empty'))
const paragraph = v.pipe(
  v.string('must be text'),
  v.trim(),
  v.maxLength(2000, 'must have at most 2000 characters'),
  v.check((text) => !/[\0\p{Surrogate}]/u.test(text), 'must be plain text'),
)
const logoImgBase64 = v.pipe(
  v.string('must be text'),
  v.maxLength(MAX_LOGO_TEXT, `must have at most ${MAX_LOGO_TEXT} characters`),
)
const price = spelled({ assetId: ['asset_id'] }, v.strictObject({ amount, assetId }))
const yesOrNo = v.boolean('must be true or false')
const NOT_THRESHOLD = 'must be above 0, at most 1, with at most four decimals'

/** The body of 1.1. A merchant that only buys has no service: its `serviceUrl` is empty. */
export const bindBody = v.strictObject({
  accountId,
  merchantId,
  serviceUrl: v.union([v.literal(''), serviceUrl], 'must be an http or https address, or empty'),
  timestamp: smallInteger(1),
  signature,
})

/** What a merchant says of itself; what is left out stays, empty text takes away. */
export const profileBody = v.strictObject({
  merchantName: v.exactOptional(line(200)),
  authorizerName: v.exactOptional(line(100)),
  merchantAddress: v.exactOptional(
    v.union(
      [
        v.literal(''),
        v.pipe(
          serviceUrl,
          v.check((text) => !/[\p{Cc}\p{Surrogate}]/u.test(text), 'must be plain text'),
        ),
      ],
      'must be an http or https address, or empty',
    ),
  ),
  email: v.exactOptional(
    v.union([v.literal(''), v.pipe(line(254), v.rfcEmail('must be an e-mail address'))], 'must be an e-mail address, or empty'),
  ),
  logoImgBase64: v.exactOptional(logoImgBase64),
})

/** The body of 1.2. */
export const categoryBody = v.strictObject({ categoryName: name })

/** What a product's versions are made of. */
const entries = {
  productName: name,
  briefDesc: paragraph,
  categoryId,
  price,
  privacy: yesOrNo,
  input: fieldSpecs,
  output: fieldSpecs,
}

const [ALLIANCE, FREE] = [0, 1] as const
/** Where a product is sold: 0 alliance, 1 free market. */
export const shareStatus = v.pipe(
  smallInteger(ALLIANCE, FREE),
  v.transform((value) => (value === FREE ? FREE : ALLIANCE)),
)

/** The body of 1.3. The seed's has no `shareStatus`: it publishes for the alliance. */
export const createBody = spelled(
  { briefDesc: ['brieDesc'], voteThreshold: ['voteThrehold'] },
  v.strictObject({
    ...entries,
    briefDesc: v.optional(paragraph, ''),
    privacy: v.optional(yesOrNo, false),
    logoImgBase64: v.exactOptional(logoImgBase64),
    shareStatus: v.optional(shareStatus, ALLIANCE),
    voteThreshold: v.optional(
      v.pipe(v.union([v.number(), v.string()], NOT_THRESHOLD), v.transform(readThreshold), v.number(NOT_THRESHOLD)),
      1,
    ),
  }),
)

/** The body of 1.6: what is left out stays. */
export const updateBody = spelled(
  { briefDesc: ['brieDesc'] },
  v.strictObject({
    productName: v.exactOptional(name),
    briefDesc: v.exactOptional(paragraph),
    categoryId: v.exactOptional(categoryId),
    price: v.exactOptional(price),
    privacy: v.exactOptional(yesOrNo),
    input: v.exactOptional(fieldSpecs),
    output: v.exactOptional(fieldSpecs),
    logoImgBase64: v.exactOptional(logoImgBase64),
  }),
)

/** The body of 1.4; who applies has nothing to say. */
export const membersBody = v.strictObject({
  members: v.optional(
    v.pipe(v.array(merchantId, 'must be a list'), v.maxLength(MAX_INVITED, `must have at most ${MAX_INVITED} items`)),
    [],
  ),
})

/** The body of 1.7. */
export const voteBody = v.strictObject({
  voteId,
  agree: v.pipe(
    smallInteger(0, 1),
    v.transform((value) => value === 1),
  ),
})

/** Pages as 1.8 and 1.10 number them. */
export const pageQuery = {
  page: v.optional(smallInteger(1, MAX_PAGES), 1),
  limit: v.optional(smallInteger(1, MAX_PAGE), 20),
}

/** The path of one product. */
export const productParams = v.object({ productId })
/** The query of 1.9: a version other than the newest. */
export const versionQuery = v.object({ version: v.exactOptional(smallInteger(1, MAX_INT)) })

/** What {@link bindBody} is, once read. */
export type Binding = v.InferOutput<typeof bindBody>
/** What {@link profileBody} is. */
export type Profile = v.InferOutput<typeof profileBody>
/** What {@link createBody} is, once read. */
export type NewProduct = v.InferOutput<typeof createBody>
/** What {@link updateBody} is, once read. */
export type ProductChange = v.InferOutput<typeof updateBody>
/** A page, once read. */
export interface Page {
  readonly page: number
  readonly limit: number
}
