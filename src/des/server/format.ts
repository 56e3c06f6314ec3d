/**
 * How an exchange writes its answers: the market's in the seed's envelope (section 1), the exchange's bare (section 2).
 *
 * Either way whoever accepts `application/problem+json` gets failures as RFC 9457 problem details.
 * @module
 */
import * as v from 'valibot'
import { problemAnswer, problemOf, problemSchema, type AnswerFormat, type Problem, type Schema } from '../../core/http/index.ts'

/** A page: a value of these two fields alone. The envelope puts them side by side. */
export interface Paged<T> {
  readonly data: readonly T[]
  /** Rows of all pages. */
  readonly total: number
}

/** Schema of a {@link Paged}: of these two entries alone, so that the envelope knows it. */
export const paged = <const S extends Schema>(row: S) => v.object({ data: v.array(row), total: v.pipe(v.number(), v.integer()) })

/** Success, as the market says it. */
const SUCCESS = 1

/** What the market says of a failure beside its sentence: never above zero. */
const failureCodes = {
  /** Something went wrong inside, or behind the service. */
  internal: 0,
  /** Something in the request is wrong. */
  request: -1,
  /** Nobody has signed in. */
  stranger: -2,
  /** Who has signed in may not do that. */
  forbidden: -3,
  /** There is no such thing. */
  missing: -4,
  /** The state of things does not allow it. */
  conflict: -5,
  /** There is not enough money. */
  money: -6,
  /** Too much to do, or too late: it may be tried again. */
  busy: -7,
} as const

/** Codes of failures as GXChain's Java client names them; its enumeration takes others for UNKNOWN_ERROR. */
export const clientCodes = [
  'INVALID_PARAMS',
  'ACCOUNT_NOT_EXIST',
  'FORBIDDEN',
  'BALANCE_NOT_ENOUGH',
  'SIGNATURE_VERIFY_FAIL',
  'TIME_OUT',
  'DATASOURCE_OFFLINE',
  'NOT_FOUND',
  'DEFAULT_MESSAGE',
  'UNKNOWN_ERROR',
] as const
/** One of {@link clientCodes}. */
export type ClientCode = (typeof clientCodes)[number]

const failureSchema = v.object({
  code: v.pipe(
    v.picklist(Object.values(failureCodes)),
    v.description(
      Object.entries(failureCodes)
        .map(([kind, code]) => `${code}: ${kind}`)
        .join(', '),
    ),
  ),
  msg: v.pipe(v.string(), v.description('What happened, for people')),
  data: v.null(),
})

const bareFailureSchema = v.object({
  code: v.picklist(clientCodes),
  msg: v.pipe(v.string(), v.description('What happened, for people')),
})

/**
 * The seed's envelope: `{ code: 1, msg, data, total? }`. A handler that returns a {@link Paged} gets its rows as `data` and
 * their number as `total`; one that returns nothing, no `data`.
 */
export const envelope: AnswerFormat = envelopeWith('成功', {})

/** The envelope of the bills (1.12 to 1.17): without words, and with a `total` that is null where nothing is counted. */
export const billEnvelope: AnswerFormat = envelopeWith('', { total: null })

/** No envelope; failures as `{ code, msg }` with the codes of GXChain's clients. */
export const bare: AnswerFormat = {
  schema: (value) => value,
  answer: (value) => value,
  problem: failing((problem) => ({ code: clientCodeOf(problem), msg: problem.detail })),
  problems: { 'application/json': bareFailureSchema, 'application/problem+json': problemSchema },
}

function envelopeWith(msg: string, rest: { readonly total?: null }): AnswerFormat {
  const said = { code: v.literal(SUCCESS), msg: v.literal(msg) }
  const uncounted: v.ObjectEntries = 'total' in rest ? { total: v.null() } : {}
  return {
    schema(value): Schema {
      if (!value) return v.object({ ...said, ...uncounted })
      return isPagedSchema(value) ? v.object({ ...said, ...value.entries }) : v.object({ ...said, data: value, ...uncounted })
    },
    answer(value) {
      if (value === undefined) return { code: SUCCESS, msg, ...rest }
      return isPaged(value)
        ? { code: SUCCESS, msg, data: value.data, total: value.total }
        : { code: SUCCESS, msg, data: value, ...rest }
    },
    problem: failing((problem) => ({ code: failureCodeOf(problem), msg: problem.detail, data: null })),
    problems: { 'application/json': failureSchema, 'application/problem+json': problemSchema },
  }
}

function failing(write: (problem: Problem) => object): AnswerFormat['problem'] {
  return (error, request) => {
    const problem = problemOf(error)
    if (acceptsProblems(request)) return problemAnswer(problem)
    return new Response(JSON.stringify(write(problem)), {
      status: problem.status,
      headers: { 'content-type': 'application/json' },
    })
  }
}

/** Whether `Accept` names problem details (RFC 9110, 12.5.1); a wildcard does not: everybody sends one. */
function acceptsProblems(request: Request): boolean {
  return (request.headers.get('accept') ?? '').split(',').some((range) => {
    const [type, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    return type === 'application/problem+json' && !parameters.some((each) => /^q *= *0(\.0{0,3})?$/.test(each))
  })
}

function failureCodeOf({ status }: Problem): (typeof failureCodes)[keyof typeof failureCodes] {
  if (status === 401) return failureCodes.stranger
  if (status === 402) return failureCodes.money
  if (status === 403) return failureCodes.forbidden
  if (status === 404 || status === 405) return failureCodes.missing
  if (status === 409) return failureCodes.conflict
  if (status < 500) return failureCodes.request
  return status === 503 || status === 504 ? failureCodes.busy : failureCodes.internal
}

/** Codes that say more than their status. */
const named: Readonly<Record<string, ClientCode>> = {
  ACCOUNT_NOT_FOUND: 'ACCOUNT_NOT_EXIST',
  BAD_SIGNATURE: 'SIGNATURE_VERIFY_FAIL',
  SOURCE_OFFLINE: 'DATASOURCE_OFFLINE',
}

function clientCodeOf({ code, status }: Problem): ClientCode {
  const known = named[code]
  if (known) return known
  if (status === 401 || status === 403) return 'FORBIDDEN'
  if (status === 402) return 'BALANCE_NOT_ENOUGH'
  if (status === 404) return 'NOT_FOUND'
  if (status < 500) return 'INVALID_PARAMS'
  return status === 503 ? 'DEFAULT_MESSAGE' : status === 504 ? 'TIME_OUT' : 'UNKNOWN_ERROR'
}

function isPaged(value: unknown): value is Paged<unknown> {
  return typeof value === 'object' && value !== null && Object.keys(value).sort().join() === 'data,total'
}

function isPagedSchema(schema: Schema): schema is Schema & { readonly entries: v.ObjectEntries } {
  return 'entries' in schema && isPaged(schema.entries)
}
