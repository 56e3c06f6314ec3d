/**
 * What a buyer sends to have data sources asked: one item for each of them.
 * @module
 */
import * as v from 'valibot'
import { fromHex, toHex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { HUNDRED_PERCENT, MAX_MEMO_BYTES, MAX_SIGNATURES, type SignedTransferParams } from '../../core/crypto/graphene/index.ts'
import { accountId, amount, assetId, isoTime, nonce, readBy, requestName, sealed, seconds, signature, smallInteger, spelled } from './fields.ts'

/** How a client writes: GXChain's documents have `snake` and `iso`, its SDKs `camel` and `unix`. */
export interface Dialect {
  readonly naming: 'snake' | 'camel'
  readonly time: 'iso' | 'unix'
  /** The clients of Node and PHP send nonces as text. */
  readonly nonce: 'number' | 'text'
}

/** How GXChain's documents write. */
export const documentDialect: Dialect = { naming: 'snake', time: 'iso', nonce: 'number' }
/** How GXChain's SDKs write. */
export const sdkDialect: Dialect = { naming: 'camel', time: 'unix', nonce: 'number' }

/** One data source to ask. */
export interface RequestItem {
  /** The input, sealed for the data source. */
  readonly params: string
  readonly nonce: bigint
  /** What the buyer signed for it. */
  readonly requestParams: SignedTransferParams
}

/** A request as it was read, and how it was written. */
export interface ReadRequest {
  readonly items: readonly RequestItem[]
  /** Of its first item; the others may differ. */
  readonly dialect: Dialect
}

/** The most data sources of one request. */
export const MAX_REQUEST_ITEMS = 64

const memo = v.pipe(v.string('must be text'), v.maxBytes(MAX_MEMO_BYTES, `must have at most ${MAX_MEMO_BYTES} bytes`))

/** Reads the signed authorisation, in any dialect. */
export const transferParams = /* @__PURE__ */ spelled(
  { proxyAccount: ['proxy_account'], percent: ['percentage'] },
  v.strictObject({
    from: accountId,
    to: accountId,
    proxyAccount: accountId,
    percent: smallInteger(0, HUNDRED_PERCENT),
    amount: spelled({ assetId: ['asset_id'] }, v.strictObject({ amount, assetId })),
    memo,
    expiration: seconds,
    signatures: v.pipe(
      v.array(signature, 'must be a list'),
      v.minLength(1, 'must have at least one'),
      v.maxLength(MAX_SIGNATURES, `must have at most ${MAX_SIGNATURES}`),
    ),
  }),
)

const item = /* @__PURE__ */ spelled(
  { requestParams: ['request_params'] },
  v.strictObject({ params: sealed, nonce, requestParams: transferParams }),
)

// The length first: nothing is read of a list that is refused.
const body = /* @__PURE__ */ v.pipe(
  v.array(v.unknown(), 'must be a list'),
  v.minLength(1, 'must have at least one item'),
  v.maxLength(MAX_REQUEST_ITEMS, `must have at most ${MAX_REQUEST_ITEMS} items`),
  v.array(item),
)

/**
 * Reads the body of a create request, after `readJson`.
 *
 * Signatures, prices and accounts are not looked at: what they have to be, the service knows.
 * @throws `BAD_MESSAGE` naming the field: `request[0].requestParams.percent`.
 */
export function readRequest(value: unknown): ReadRequest {
  return { items: readBy(body, value, 'request'), dialect: dialectOf((value as unknown[])[0]) }
}

/** Reads a signed authorisation alone. @throws `BAD_MESSAGE` naming the field. */
export function readTransferParams(value: unknown): SignedTransferParams {
  return readBy(transferParams, value, 'requestParams')
}

/** Writes the body of a create request, for `writeJson`. */
export function writeRequest(items: readonly RequestItem[], dialect: Dialect = sdkDialect): unknown[] {
  return items.map(({ params, nonce, requestParams }) => ({
    params,
    nonce: writeNonce(nonce, dialect),
    requestParams: writeTransferParams(requestParams, dialect),
  }))
}

/** Writes a signed authorisation, for `writeJson`. */
export function writeTransferParams(params: SignedTransferParams, dialect: Dialect = sdkDialect): Record<string, unknown> {
  const { naming, time } = dialect
  const { from, to, proxyAccount, percent, amount: money, memo, expiration, signatures } = params
  return {
    from,
    to,
    [naming === 'snake' ? 'proxy_account' : 'proxyAccount']: proxyAccount,
    percent,
    amount: { amount: money.amount, [naming === 'snake' ? 'asset_id' : 'assetId']: money.assetId },
    memo,
    expiration: time === 'iso' ? isoTime(expiration) : expiration,
    signatures: signatures.map((each) => toHex(each).slice(2)),
  }
}

/** Writes a nonce as its reader wrote his. */
export function writeNonce(nonce: bigint, dialect: Dialect): bigint | string {
  return dialect.nonce === 'text' ? nonce.toString() : nonce
}

/** Of an item that was read already. */
function dialectOf(item: unknown): Dialect {
  const { nonce, requestParams, request_params } = item as Record<string, Record<string, unknown> | undefined>
  const params = (requestParams ?? request_params)!
  return {
    naming: 'proxyAccount' in params ? 'camel' : 'snake',
    time: typeof params.expiration === 'string' ? 'iso' : 'unix',
    nonce: typeof nonce === 'string' ? 'text' : 'number',
  }
}

/**
 * The name of the request that authorisations make: SHA-256 of their digests one after another, in hex. Whoever signed them
 * knows it before the answer to the create request.
 * @param digests `transferDigest` of each, in hex.
 */
export function requestIdOf(digests: readonly string[]): string {
  return toHex(engine().sha256(fromHex(`0x${digests.join('')}`))).slice(2)
}

/** The answer to a create request, for `writeJson`: all clients read this one name. */
export function writeCreated(requestId: string): { request_id: string } {
  return { request_id: requestId }
}

const created = /* @__PURE__ */ spelled(
  { requestId: ['request_id'] },
  v.object({ requestId: requestName }),
)

/** Reads the answer to a create request: the request's name. @throws `BAD_MESSAGE` naming the field. */
export function readCreated(value: unknown): string {
  return readBy(created, value, 'answer').requestId
}
