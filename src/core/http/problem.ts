/**
 * What a server says when it refuses or fails: RFC 9457 problem details.
 * @module
 */
import * as v from 'valibot'
import { isSluiceError, SluiceError, type ContractErrorCode, type ErrorCode } from '../errors.ts'
import type { AnswerFormat } from './route.ts'
import { wholeAnswer } from './wholeAnswer.ts'

/** What only HTTP can get wrong, by the status it is answered with. */
const refusalStatus = {
  HOST_REFUSED: 403,
  ORIGIN_REFUSED: 403,
  METHOD_NOT_ALLOWED: 405,
  NOT_OFFERED: 405,
  IDEMPOTENCY_KEY_IN_USE: 409,
  MEDIA_TYPE_UNSUPPORTED: 415,
  IDEMPOTENCY_KEY_REUSED: 422,
  INTERNAL: 500,
} as const

/** Codes of refusals that no {@link SluiceError} stands for. */
export type RefusalCode = keyof typeof refusalStatus

/** Why a server refuses a request, where no error says it. A handler may return one; {@link refusal} makes it. */
export interface Refusal {
  readonly refusal: RefusalCode
  /** What is wrong, in a sentence for people. */
  readonly detail: string
  /** Of the answer. @default none */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Figures and names behind it. @default none */
  readonly details?: Problem['details'] | undefined
}
const refusals = new WeakSet<object>()

/** Statuses that a service has another mind about. */
export type Statuses = Readonly<Partial<Record<ErrorCode, number>>>

/** Status of each error code; a contract's refusals are all 409. */
const errorStatus: Readonly<Record<Exclude<ErrorCode, ContractErrorCode>, number>> = {
  BAD_ARGUMENT: 400,
  ABORTED: 503,
  // Not 408, after which browsers repeat a request by themselves.
  TIMEOUT: 504,
  STOPPED: 503,
  BAD_SIGNATURE: 400,
  BAD_KEY: 500,
  STORE_LOCKED: 500,
  STORE_FAILED: 500,
  STORE_CORRUPT: 500,
  SQL_FAILED: 500,
  MIGRATION_CHANGED: 500,
  ACCOUNT_NOT_FOUND: 404,
  BALANCE_SHORT: 402,
  HOLD_ENDED: 409,
  HOLD_EXPIRED: 409,
  HOLD_NOT_FOUND: 409,
  KEY_REUSED: 409,
  POSTINGS_UNBALANCED: 500,
  UNAUTHENTICATED: 401,
  NOT_ALLOWED: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  ADDRESS_REFUSED: 400,
  RPC_FAILED: 502,
  WRONG_CHAIN: 502,
  NOT_DEPLOYED: 404,
  HARDFORK_MISSING: 500,
  INSUFFICIENT_FUNDS: 402,
  TRANSACTION_REJECTED: 502,
  TRANSACTION_REVERTED: 409,
  TRANSACTION_REPLACED: 409,
  TRANSACTION_UNKNOWN: 504,
  CONTRACT_REVERTED: 409,
  BAD_MESSAGE: 400,
  BAD_FRAME: 400,
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
  SELLER_BLIND: 503,
  ORDER_TOO_SMALL: 422,
  SETTLEMENT_OWED: 500,
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
  APPLICANT_LOCKED_OUT: 403,
  AUTHORISATION_INVALID: 400,
  AUTHORISATION_USED: 409,
  NO_SUCH_PRODUCT: 404,
  NO_SUCH_REQUEST: 404,
  NO_SUCH_VOTE: 404,
  PRODUCT_CHANGED: 409,
  SOURCE_OFFLINE: 409,
  VOTED_ALREADY: 409,
  VOTE_ENDED: 409,
}

/** The status that an error code is answered with. */
export function statusOf(code: ErrorCode, statuses: Statuses = {}): number {
  return statuses[code] ?? (errorStatus as Readonly<Record<string, number>>)[code] ?? 409
}

/** Schema of a {@link Problem}. */
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
})

/** Problem details of RFC 9457, with a code and plain values. */
export type Problem = v.InferOutput<typeof problemSchema>

/** Makes a refusal. */
export function refusal(
  code: RefusalCode,
  detail: string,
  headers?: Readonly<Record<string, string>>,
  details?: Problem['details'],
): Refusal {
  const made = { refusal: code, detail, headers, details }
  refusals.add(made)
  return made
}

/** Whether {@link refusal} made it: an answer may have a field of that name. */
export function isRefusal(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && refusals.has(value)
}

/** What a failure within tells: the sentence may quote a database or an endpoint behind. */
const BEHIND = 'something went wrong behind this service; its log says what'

/**
 * Describes whatever was thrown, or a refusal. Of what went wrong inside (500) or behind the service (502) only the code
 * leaves.
 */
export function problemOf(error: unknown, statuses?: Statuses): Problem {
  if (isRefusal(error)) return describe(error.refusal, refusalStatus[error.refusal], error.detail, error.details)
  if (!isSluiceError(error)) return describe('INTERNAL', refusalStatus.INTERNAL, 'something went wrong inside, and is in the log')
  const status = statusOf(error.code, statuses)
  if (status === 500 || status === 502) return describe(error.code, status, BEHIND)
  // Rebuilt, since the error may come from another bundle.
  const { details } = new SluiceError(error.code, error.shortMessage, { details: error.details }).toJSON()
  return describe(error.code, status, error.shortMessage, details as Problem['details'])
}

function describe(code: string, status: number, detail: string, details: Problem['details'] = {}): Problem {
  const name = code.toLowerCase()
  const words = name.replaceAll('_', ' ')
  const title = words[0]!.toUpperCase() + words.slice(1)
  return { type: `urn:sluice:problem:${name.replaceAll('_', '-')}`, title, status, detail, code, details }
}

/** The answer that carries problem details. */
export function problemAnswer(problem: Problem): Response {
  return wholeAnswer(JSON.stringify(problem), {
    status: problem.status,
    headers: { 'content-type': 'application/problem+json' },
  })
}

/** The format of a service that answers with the bare value, and with problem details. */
export function plainFormat(statuses?: Statuses): AnswerFormat {
  return {
    schema: (value) => value,
    answer: (value) => value,
    problem: (error) => problemAnswer(problemOf(error, statuses)),
  }
}
