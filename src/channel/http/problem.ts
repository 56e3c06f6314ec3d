/**
 * What the HTTP service says when it refuses or fails: RFC 9457 problem details.
 * @module
 */
import * as v from 'valibot'
import { isSluiceError, SluiceError, type ContractErrorCode, type ErrorCode } from '../../core/errors.ts'

/** What only HTTP can get wrong, by the status it is answered with. */
const requestStatus = {
  UNAUTHORIZED: 401,
  HOST_REFUSED: 403,
  ORIGIN_REFUSED: 403,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  NOT_OFFERED: 405,
  MEDIA_TYPE_UNSUPPORTED: 415,
  IDEMPOTENCY_KEY_REUSED: 422,
  INTERNAL: 500,
} as const
/** Codes of problems that no {@link SluiceError} stands for. */
export type RequestProblem = keyof typeof requestStatus

/** Status of each error code; a contract's refusals are all 409. Raiden's status where it has one for the case. */
const errorStatus: Readonly<Record<Exclude<ErrorCode, ContractErrorCode>, number>> = {
  BAD_ARGUMENT: 400,
  ABORTED: 503,
  // Raiden says 408, which browsers repeat by themselves: nobody wants that of a payment.
  TIMEOUT: 504,
  BAD_SIGNATURE: 409,
  BAD_KEY: 500,
  STORE_LOCKED: 500,
  STORE_FAILED: 500,
  STORE_CORRUPT: 500,
  RPC_FAILED: 502,
  WRONG_CHAIN: 502,
  NOT_DEPLOYED: 404,
  INSUFFICIENT_FUNDS: 402,
  TRANSACTION_REJECTED: 502,
  TRANSACTION_REVERTED: 409,
  TRANSACTION_REPLACED: 409,
  TRANSACTION_UNKNOWN: 504,
  CONTRACT_REVERTED: 409,
  BAD_MESSAGE: 409,
  BAD_FRAME: 409,
  MESSAGE_TOO_LARGE: 413,
  UNEXPECTED_MESSAGE: 409,
  VERSION_MISMATCH: 409,
  CONNECTION_FAILED: 502,
  CONNECTION_LOST: 502,
  OVERLOADED: 503,
  NO_SUCH_SELLER: 404,
  NO_SUCH_ITEM: 404,
  NO_SUCH_ORDER: 404,
  OFFER_EXPIRED: 409,
  MENU_MISMATCH: 409,
  RANGE_INVALID: 409,
  PRICE_MISMATCH: 409,
  ORDER_MISMATCH: 409,
  ORDER_UNCONFIRMED: 409,
  ORDER_FINISHED: 409,
  ORDER_EXPIRED: 409,
  DEPOSIT_SHORT: 402,
  PAYMENT_UNSUPPORTED: 409,
  PAYMENT_INVALID: 409,
  PAYMENT_LATE: 409,
  WRONG_CHUNK: 409,
  PARTIAL_MISMATCH: 409,
  SOURCE_FAILED: 502,
  PEER_REFUSED: 409,
  CAPACITY_SHORT: 402,
  CHAIN_STALLED: 503,
  CHANNEL_BUSY: 409,
  CHANNEL_EXISTS: 409,
  CHANNEL_NOT_FOUND: 404,
  CHANNEL_NOT_OPEN: 409,
  EXPIRY_OUT_OF_RANGE: 409,
  FEE_TOO_LOW: 409,
  FEE_TOO_HIGH: 409,
  NO_ROUTE: 409,
  PARTNER_OFFLINE: 409,
  PAYMENT_EXPIRED: 409,
  PAYMENT_FAILED: 409,
  PAYMENT_ID_TAKEN: 409,
  PAYMENT_REFUSED: 409,
  PAYMENT_UNKNOWN: 504,
  PROOF_INVALID: 409,
  STATE_STALE: 409,
  TOO_MANY_LOCKS: 409,
}

/** The status that an error code is answered with. */
export function statusOf(code: ErrorCode): number {
  return (errorStatus as Readonly<Record<string, number>>)[code] ?? 409
}

/** Schema of a problem; `errors` repeats `detail` for clients of Raiden, who look for it. */
export const problemSchema = v.object({
  type: v.pipe(v.string(), v.description('urn:sluice:problem: and the code in lower case')),
  title: v.string(),
  status: v.pipe(v.number(), v.integer()),
  detail: v.pipe(v.string(), v.description('What happened, for people')),
  code: v.pipe(v.string(), v.description('What happened, for programs')),
  details: v.pipe(
    v.record(v.string(), v.union([v.string(), v.number(), v.boolean(), v.null()])),
    v.description('Figures and names behind it'),
  ),
  errors: v.pipe(v.string(), v.description('The same as detail, for clients of Raiden')),
})

/** Describes a refusal of the service itself. */
export function refusal(code: RequestProblem, detail: string, headers: HeadersInit = {}): Response {
  return answer(code, requestStatus[code], detail, {}, headers)
}

/**
 * Describes an error. Of what went wrong inside (500) or behind the node (502) only the code leaves: the sentence may
 * quote a database or an RPC endpoint.
 */
export function problemOf(error: unknown): Response {
  if (!isSluiceError(error)) return refusal('INTERNAL', 'something went wrong inside, and is in the log')
  const status = statusOf(error.code)
  if (status === 500 || status === 502) return answer(error.code, status, 'something went wrong behind this service; its log says what')
  // Rebuilt, since the error may come from another bundle.
  const { details } = new SluiceError(error.code, error.shortMessage, { details: error.details }).toJSON()
  return answer(error.code, status, error.shortMessage, details)
}

function answer(code: string, status: number, detail: string, details: object = {}, headers: HeadersInit = {}): Response {
  const name = code.toLowerCase()
  const words = name.replaceAll('_', ' ')
  return new Response(
    JSON.stringify({
      type: `urn:sluice:problem:${name.replaceAll('_', '-')}`,
      title: words[0]!.toUpperCase() + words.slice(1),
      status,
      detail,
      code,
      details,
      errors: detail,
    }),
    { status, headers: { ...Object.fromEntries(new Headers(headers)), 'content-type': 'application/problem+json' } },
  )
}
