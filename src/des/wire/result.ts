/**
 * What became of a request: where it stands, and what each data source answered.
 * @module
 */
import * as v from 'valibot'
import type { AccountId, PublicKeyText } from '../../core/crypto/graphene/index.ts'
import { accountId, nonce, optional, productId, publicKey, readBy, sealed, smallInteger } from './fields.ts'
import { sdkDialect, writeNonce, type Dialect } from './request.ts'

/** Where a request stands. `FAIL`: every data source failed. */
export const requestStates = ['IN_PROGRESS', 'FINISHED', 'FAIL'] as const
/** Where one data source stands. */
export const sourceStates = [
  'SUCCESS',
  'WAIT_EXCHANGE',
  'FAIL',
  'NONE',
  'DATASOURCE_FAIL',
  'QUERY_FAIL',
  'TIMEOUT',
  'PROXY_TRANSFER_ERROR',
] as const

/** Where a request stands. */
export type RequestState = (typeof requestStates)[number]
/** Where one data source stands. */
export type SourceState = (typeof sourceStates)[number]

/** What one data source answered. Data, its nonce and the source's key come together, with `SUCCESS` alone. */
export interface SourceResult {
  readonly status: SourceState
  readonly datasource: AccountId
  /** Why, for people. */
  readonly comment?: string | undefined
  /** Sealed for the buyer. */
  readonly data?: string | undefined
  readonly nonce?: bigint | undefined
  /** With whom the buyer agrees on the key that opens the data. */
  readonly datasourcePublicKey?: PublicKeyText | undefined
  /** The transfer: 40 hex digits on GXChain. */
  readonly txid?: string | undefined
}

/** What became of a request. */
export interface RequestResult {
  readonly status: RequestState
  /** How many data sources were asked. */
  readonly total: number
  /** What was asked for; data of suite 2 is bound to it. Older servers don't tell. */
  readonly productId?: number | undefined
  readonly datasources: readonly SourceResult[]
}

/** The most characters of a comment. */
const MAX_COMMENT = 1024

const sourceResult = /* @__PURE__ */ v.pipe(
  v.object({
    status: v.picklist(sourceStates, `must be one of ${sourceStates.join(', ')}`),
    datasource: accountId,
    comment: optional(v.pipe(v.string('must be text'), v.maxLength(MAX_COMMENT, `must have at most ${MAX_COMMENT} characters`))),
    data: optional(sealed),
    nonce: optional(nonce),
    datasourcePublicKey: optional(publicKey),
    txid: optional(v.pipe(v.string('must be text'), v.regex(/^([0-9a-f]{40}|[0-9a-f]{64})$/, 'must be 40 or 64 hex digits'))),
  }),
  v.check(
    ({ status, data, nonce, datasourcePublicKey }) =>
      status !== 'SUCCESS' || (data !== undefined && nonce !== undefined && datasourcePublicKey !== undefined),
    'must have data, nonce and datasourcePublicKey with SUCCESS',
  ),
)

const requestResult = /* @__PURE__ */ v.object({
  status: v.picklist(requestStates, `must be one of ${requestStates.join(', ')}`),
  total: smallInteger(0, 2 ** 31 - 1),
  productId: v.exactOptional(productId),
  datasources: v.pipe(v.array(sourceResult, 'must be a list'), v.maxLength(1024, 'must have at most 1024 items')),
})

/** Reads a result, after `readJson`. What a later server adds is left out. @throws `BAD_MESSAGE` naming the field. */
export function readResult(value: unknown): RequestResult {
  return readBy(requestResult, value, 'result')
}

/** Writes a result, for `writeJson`: nonces as the request's client wrote its own. */
export function writeResult(result: RequestResult, dialect: Dialect = sdkDialect): Record<string, unknown> {
  const { status, total, productId, datasources } = result
  return {
    status,
    total,
    ...(productId !== undefined && { productId }),
    datasources: datasources.map((each) => ({
      ...each,
      ...(each.nonce !== undefined && { nonce: writeNonce(each.nonce, dialect) }),
    })),
  }
}
