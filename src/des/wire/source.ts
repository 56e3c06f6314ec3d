/**
 * What DES and a data source say to each other.
 * @module
 */
import * as v from 'valibot'
import type { AccountId, PublicKeyText } from '../../core/crypto/graphene/index.ts'
import { accountId, nonce, plainObject, productId, publicKey, readBy, sealed } from './fields.ts'

/** A question to a data source. */
export interface SourceQuestion {
  /** The input, sealed for the data source. */
  readonly params: string
  readonly nonce: bigint
  /** The buyer's, which the answer is sealed for. */
  readonly publicKey: PublicKeyText
  readonly productId: number
  readonly merchantAccountId: AccountId
}

/** What a data source answered: nothing, or sealed data. */
export interface SourceData {
  readonly data: string
  /** What it was sealed with; without it, the question's nonce was used again (Java's client does). */
  readonly nonce?: bigint | undefined
}

// A server may send more than the five.
const question = /* @__PURE__ */ v.object({ params: sealed, nonce, publicKey, productId, merchantAccountId: accountId })

/** Reads a question, after `readJson`. @throws `BAD_MESSAGE` naming the field. */
export function readQuestion(value: unknown): SourceQuestion {
  return readBy(question, value, 'question')
}

const answer = /* @__PURE__ */ v.pipe(
  plainObject,
  v.looseObject({
    success: v.nullish(v.boolean('must be true or false')),
    data: v.nullish(v.union([v.literal(''), sealed], 'must be sealed data or empty')),
    nonce: v.nullish(nonce),
  }),
)

/**
 * Reads what a data source answered, after `readJson`.
 * @param status of HTTP: 200 has an answer, 404 says that there is none.
 * @returns `undefined` for no data: 404, `success: false`, or empty.
 * @throws `BAD_MESSAGE` naming the field, or the status if it is any other.
 */
export function readSourceData(status: number, value: unknown): SourceData | undefined {
  if (status === 404) return undefined
  readBy(v.literal(200, 'must be 200 or 404'), status, 'answer.status')
  const { success, data, nonce } = readBy(answer, value, 'answer')
  if (success === false || !data) return undefined
  return { data, ...(nonce != null && { nonce }) }
}
