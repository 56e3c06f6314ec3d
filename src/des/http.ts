/**
 * How the clients speak to an exchange: JSON with exact integers over axios, and every refusal as a typed error.
 * @module
 */
import type { AxiosInstance, AxiosResponse } from 'axios'
import { loadAxios } from '#platform'
import type { Clock } from '../core/clock.ts'
import { withDeadline } from '../core/deadline.ts'
import { assertArgument, isSluiceError, SluiceError, type ErrorCode } from '../core/errors.ts'
import { advise, retry, retryAfter } from '../core/retry.ts'
import { plainObject, readBy } from './wire/fields.ts'
import { readJson, writeJson } from './wire/json.ts'

/** Where and how an exchange is reached. */
export interface HttpOptions {
  /** Where the exchange answers: `https://des.example`. */
  readonly baseUrl: string
  /** An axios instance of yours: proxies, agents, headers. @default axios */
  readonly http?: AxiosInstance | undefined
  /** Measures deadlines and pauses. */
  readonly clock: Clock
}

/** One call. */
export interface Call {
  /** Of HTTP. */
  readonly method: 'get' | 'post'
  /** Behind the base URL; what comes from outside is encoded in it. */
  readonly path: string
  /** Written as JSON with exact integers. @default none */
  readonly body?: unknown
  /** Beside those of the content. @default none */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** @default none */
  readonly signal?: AbortSignal | undefined
  /** Milliseconds for one answer. @default 10000 */
  readonly timeout?: number | undefined
  /** How the answer is read: `text` as it came, for what is no JSON. @default json */
  readonly as?: 'json' | 'text' | undefined
  /** Times that it is tried while the exchange is out of reach, or asks to wait: for calls that may be repeated. @default 1 */
  readonly attempts?: number | undefined
}

/** Calls an exchange: the answer's JSON as `readJson` reads it, `undefined` for an empty one; or its text. */
export type Http = (call: Call) => Promise<unknown>

/** Bytes of an answer at most: 64 results of 16 MiB would be more than anybody's memory. */
const MAX_ANSWER = 256 * 2 ** 20
/** Milliseconds for one answer. */
const TIMEOUT = 10_000
/** Characters of an exchange's sentence that are passed on, and details of its problems. */
const [MAX_SENTENCE, MAX_DETAILS] = [200, 8]

/** What the servers of GXChain (`ExceptionEnum` of their Java client) and HTTP call what we call otherwise. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  INVALID_PARAMS: 'BAD_MESSAGE',
  ACCOUNT_NOT_EXIST: 'ACCOUNT_NOT_FOUND',
  FORBIDDEN: 'NOT_ALLOWED',
  BALANCE_NOT_ENOUGH: 'BALANCE_SHORT',
  SIGNATURE_VERIFY_FAIL: 'BAD_SIGNATURE',
  TIME_OUT: 'TIMEOUT',
  DATASOURCE_OFFLINE: 'SOURCE_OFFLINE',
  DEFAULT_MESSAGE: 'OVERLOADED',
  IDEMPOTENCY_KEY_IN_USE: 'CONFLICT',
  IDEMPOTENCY_KEY_REUSED: 'KEY_REUSED',
}

/** Our own codes that an exchange may refuse with. */
const OWN: ReadonlySet<string> = /* @__PURE__ */ new Set<ErrorCode>([
  'ACCOUNT_NOT_FOUND',
  'ADDRESS_REFUSED',
  'APPLICANT_LOCKED_OUT',
  'AUTHORISATION_INVALID',
  'AUTHORISATION_USED',
  'BAD_ARGUMENT',
  'BAD_MESSAGE',
  'BAD_SIGNATURE',
  'BALANCE_SHORT',
  'CONFLICT',
  'KEY_REUSED',
  'MESSAGE_TOO_LARGE',
  'NOT_ALLOWED',
  'NOT_FOUND',
  'NO_SUCH_PRODUCT',
  'NO_SUCH_REQUEST',
  'NO_SUCH_VOTE',
  'OVERLOADED',
  'PRODUCT_CHANGED',
  'SOURCE_OFFLINE',
  'TIMEOUT',
  'UNAUTHENTICATED',
  'VOTED_ALREADY',
  'VOTE_ENDED',
])

/** What a status means where no code says more. */
const STATUSES: Readonly<Record<number, ErrorCode>> = {
  400: 'BAD_MESSAGE',
  401: 'UNAUTHENTICATED',
  402: 'BALANCE_SHORT',
  403: 'NOT_ALLOWED',
  404: 'NOT_FOUND',
  409: 'CONFLICT',
  413: 'MESSAGE_TOO_LARGE',
  422: 'BAD_MESSAGE',
  429: 'OVERLOADED',
  503: 'OVERLOADED',
}

/**
 * Makes the calls of a client.
 *
 * They throw what the exchange refused with (its code, or the nearest; `details.status` is of HTTP), `CONNECTION_FAILED` when it
 * was out of reach or answered as none, `TIMEOUT`, `ABORTED`. Plain values of a problem's details are in those of the error.
 * @throws `BAD_ARGUMENT` for a `baseUrl` that is no address of http or https.
 */
export function createHttp({ baseUrl, http, clock }: HttpOptions): Http {
  assertArgument(/^https?:\/\//i.test(baseUrl) && URL.canParse(baseUrl), 'baseUrl', 'an address such as https://des.example')
  const base = baseUrl.replace(/\/+$/, '')

  return ({ method, path, body, headers, signal, timeout = TIMEOUT, as = 'json', attempts = 1 }) =>
    retry(
      () =>
        withDeadline({ what: `the answer of ${base}`, ms: timeout, signal, clock }, async (stop) => {
          const client = http ?? (await loadAxios())
          let response: AxiosResponse<unknown>
          try {
            response = await client.request<unknown>({
              method,
              url: base + path,
              headers: {
                accept: `application/problem+json, ${as === 'json' ? 'application/json' : '*/*'}`,
                // axios calls a body that there is not a form, which an exchange refuses.
                'content-type': body === undefined ? false : 'application/json',
                ...headers,
              },
              ...(body !== undefined && { data: writeJson(body) }),
              // The text as it is, either way: axios would parse it, and round.
              transformRequest: [(data: unknown) => data],
              transformResponse: [(data: unknown) => data],
              responseType: 'text',
              validateStatus: () => true,
              maxContentLength: MAX_ANSWER,
              maxBodyLength: Infinity,
              maxRedirects: 0,
              timeout: 0,
              signal: stop,
            })
          } catch (cause) {
            // The reason in words and code only: an error of axios holds the request, with its headers.
            const { code } = cause as { code?: string }
            throw new SluiceError('CONNECTION_FAILED', `the exchange at ${base} can't be reached`, {
              details: { baseUrl: base, reason: code },
            })
          }
          return answerOf(response, as, base, clock.now())
        }),
      { attempts, signal, clock, maxDelay: TIMEOUT },
    )
}

/** Whether a call that failed may have had its effect all the same. */
export function isOutcomeUnknown(error: unknown): boolean {
  return isSluiceError(error) && ['retry', 'wait'].includes(advise(error)) && !isSluiceError(error, 'OVERLOADED')
}

function answerOf(response: AxiosResponse<unknown>, as: 'json' | 'text', base: string, now: number): unknown {
  const { status, data } = response
  const text = typeof data === 'string' ? data : ''
  if (status >= 200 && status < 300) return as === 'text' ? text : text === '' ? undefined : readJson(text)
  const { code, sentence, details } = refusalOf(text)
  throw new SluiceError(
    code ?? STATUSES[status] ?? (status >= 500 ? 'CONNECTION_FAILED' : 'PEER_REFUSED'),
    `the exchange ${status >= 500 ? 'has failed' : 'refused'} with ${status}${sentence === '' ? '' : `: ${sentence}`}`,
    {
      details: {
        ...details,
        baseUrl: base,
        status,
        retryAfter: status === 429 || status === 503 ? retryAfter({ response }, now) : undefined,
      },
    },
  )
}

/** What an error body says: RFC 9457's problem, the market's envelope, or GXChain's `{ code, message }`. */
function refusalOf(text: string): {
  code?: ErrorCode | undefined
  sentence: string
  details?: Readonly<Record<string, string | number>>
} {
  try {
    const { code, detail, title, msg, message, details } = readBy(plainObject, readJson(text), 'answer')
    const sentence = [detail, title, msg, message].find((each) => typeof each === 'string' && each !== '')
    return {
      code: codeOf(code),
      sentence: typeof sentence === 'string' ? sentence.slice(0, MAX_SENTENCE) : '',
      details: detailsOf(details),
    }
  } catch {
    return { sentence: '' }
  }
}

/** Plain values of a problem's details: which field is wrong, which request has the key, until when an account is locked out. */
function detailsOf(details: unknown): Readonly<Record<string, string | number>> {
  const plain = Object.entries(details ?? {}).flatMap(([name, value]: [string, unknown]): [string, string | number][] => {
    const told = typeof value === 'string' ? value.slice(0, MAX_SENTENCE) : value
    return /^[\w.[\]]{1,64}$/.test(name) && (typeof told === 'string' || typeof told === 'number') ? [[name, told]] : []
  })
  return Object.fromEntries(plain.slice(0, MAX_DETAILS))
}

/** The error code that an exchange's code stands for. */
export function codeOf(code: unknown): ErrorCode | undefined {
  if (typeof code !== 'string') return undefined
  return OWN.has(code) ? (code as ErrorCode) : Object.hasOwn(CODES, code) ? CODES[code] : undefined
}
