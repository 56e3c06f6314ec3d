/**
 * The seller's side of a data exchange: says that it is there, opens questions, checks who pays, and seals answers.
 * @module
 */
import type { AxiosInstance } from 'axios'
import {
  assertArguments,
  callback,
  clock as clockRule,
  either,
  flag,
  having,
  integer,
  listOf,
  logger,
  milliseconds,
  optional,
  shape,
  text,
} from '../core/argument.ts'
import { toHex, utf8 } from '../core/bytes.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import {
  CORE_ASSET,
  freshNonce,
  isAccountId,
  keyFromWif,
  readPublicKey,
  recoverPayer,
  transferDigest,
  type AccountId,
  type AssetId,
  type GrapheneKey,
  type PublicKeyText,
  type SignedTransferParams,
} from '../core/crypto/graphene/index.ts'
import { withDeadline } from '../core/deadline.ts'
import { type AsyncCloseable, stops } from '../core/dispose.ts'
import { assertArgument, isSluiceError, SluiceError, type ErrorCode } from '../core/errors.ts'
import { createEmitter, type Events } from '../core/events.ts'
import { silentLogger, type Logger } from '../core/log.ts'
import { createAnswered } from './answered.ts'
import { createHeartbeats } from './heartbeats.ts'
import { createHttp } from './http.ts'
import { isSuite2, openSealed, sealData } from './seal/index.ts'
import {
  FORWARD_SIGNATURE,
  HEARTBEAT_WINDOW,
  isForward,
  MAX_PRODUCTS,
  readForward,
  readJson,
  readPayload,
  verifyForward,
  writeHeartbeat,
  writeJson,
  type Forward,
  type Payload,
  type SourceQuestion,
} from './wire/index.ts'
import { readBy, serviceUrl as serviceUrlSchema } from './wire/fields.ts'

/** A product that a data source sells. */
export interface OfferedProduct {
  /** One that the account is a member of: others are left out by the exchange, and logged. */
  readonly productId: number
  /** What an answer costs at least, in the smallest unit of the asset: questions that pay less are refused. */
  readonly price: bigint
  /** @default 1.3.1, GXC */
  readonly assetId?: AssetId | undefined
}

/** What is known of a question beside its input. */
export interface QuestionContext {
  /** What is asked for: one of {@link DatasourceOptions.products}. */
  readonly productId: number
  /** Who asks, and pays. */
  readonly merchant: AccountId
  /** When it was asked, in milliseconds, as the merchant says. */
  readonly timestamp: number
  /** The request's name; undefined where the exchange doesn't tell. */
  readonly requestId: string | undefined
  /** Fires when {@link DatasourceOptions.answerTimeout} has passed, or whoever asked is gone. */
  readonly signal: AbortSignal
}

/** What a data source tells: `online` and `offline` as the exchange sees it, what it answered, what went wrong. */
export interface DatasourceEvents {
  /** A heartbeat was accepted, the first or the first again. */
  readonly online: { readonly account: AccountId }
  /** No heartbeat was accepted for 50 seconds, or it was stopped. */
  readonly offline: { readonly account: AccountId }
  /** A heartbeat was not accepted; it is repeated. */
  readonly heartbeatFailed: { readonly error: SluiceError }
  /** A question was answered; `found` is false where there is no data. */
  readonly answered: {
    readonly productId: number
    readonly merchant: AccountId
    readonly requestId: string | undefined
    readonly found: boolean
  }
  /** A question was refused, or could not be answered. */
  readonly refused: { readonly error: SluiceError }
}

/** Options of {@link createDatasource}. */
export interface DatasourceOptions {
  /** Who sells: `1.2.N`. */
  readonly account: AccountId
  /** The account's active key, as text ("wallet import format") or held. */
  readonly key: string | GrapheneKey
  /** Where the exchange answers: `https://des.example`. */
  readonly baseUrl: string
  /** What it sells, 1000 products at most. */
  readonly products: readonly OfferedProduct[]
  /** Where the exchange asks: the address that {@link Datasource.fetch} is served at. */
  readonly serviceUrl: string
  /**
   * Answers a question: the output, `undefined` for no data. What it throws is an answer of 500, told as `refused`.
   * @param input is what the merchant sent: hold it against what the product asks.
   */
  answer(input: Readonly<Record<string, unknown>>, context: QuestionContext): unknown
  /** The exchange's public key, which signs what it sends. Needed unless `strict` is false. @default not checked */
  readonly desPublicKey?: PublicKeyText | undefined
  /**
   * Refuses questions without the exchange's signature and the merchant's authorisation. False serves exchanges that don't send
   * them: then whoever knows the address can ask for nothing. @default true
   */
  readonly strict?: boolean | undefined
  /** What the exchange may keep of a price at most, in hundredths of a percent. @default 5000 */
  readonly maxPercent?: number | undefined
  /** Questions answered at once; more get 503. @default 64 */
  readonly concurrency?: number | undefined
  /** Bytes of a question at most. @default 4194304 */
  readonly maxBody?: number | undefined
  /** Milliseconds that an answer may take. @default 120000 */
  readonly answerTimeout?: number | undefined
  /** An axios instance of yours, for heartbeats. @default axios */
  readonly http?: AxiosInstance | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

/** A seller of data. */
export interface Datasource extends AsyncCloseable {
  /** Who sells. */
  readonly account: AccountId
  /** Whether the exchange has accepted a heartbeat within the last 50 seconds. */
  readonly online: boolean
  /** Tells what happens. */
  readonly events: Events<DatasourceEvents>
  /**
   * Sends heartbeats from now on, every 30 seconds. Resolves once the first is accepted.
   * @throws what the exchange refused it with; `ABORTED` when it is stopped before.
   */
  start(): Promise<void>
  /** Sends no more heartbeats: the exchange stops asking within 50 seconds. */
  stop(): void
  /** Answers `POST /data/request` of the exchange, at any path; serve it at the service URL. */
  fetch(request: Request): Promise<Response>
}

/** Suites of sealed data that it opens beside 1. */
const SUITES = [2]

/** The status of each refusal. Never 404, which says that there is no data. */
const STATUSES: Readonly<Partial<Record<ErrorCode, number>>> = {
  BAD_SIGNATURE: 401,
  NOT_ALLOWED: 403,
  AUTHORISATION_USED: 409,
  MESSAGE_TOO_LARGE: 413,
  AUTHORISATION_INVALID: 422,
  NO_SUCH_PRODUCT: 422,
  SOURCE_FAILED: 500,
  OVERLOADED: 503,
  TIMEOUT: 504,
}

const key = /* @__PURE__ */ either(/* @__PURE__ */ text(1), /* @__PURE__ */ having('a key of grapheneKey()', 'sign'))
const requestRule = shape('a Request of the Fetch standard', { method: text(1), url: text(1) })

const optionRules = {
  account: text(1),
  key,
  baseUrl: text(),
  products: listOf(shape('a product such as { productId: 1, price: 50_000n }', {})),
  serviceUrl: text(1),
  answer: callback,
  desPublicKey: optional(text(1)),
  strict: optional(flag),
  maxPercent: optional(integer(0, 10_000)),
  concurrency: optional(integer(1)),
  maxBody: optional(integer(1, Number.MAX_SAFE_INTEGER, 'number of bytes')),
  answerTimeout: optional(milliseconds),
  clock: optional(clockRule),
  log: optional(logger),
}

/**
 * Creates a seller. Source: seed 001, 2.1 and 4.1.
 * @throws `BAD_KEY`, `BAD_ARGUMENT` naming the option, `BAD_MESSAGE` for a bad `serviceUrl`.
 * @example
 * ```ts
 * const source = createDatasource({
 *   account: '1.2.11', key: '5JKG…', baseUrl: 'https://des.example', desPublicKey: 'GXC6…',
 *   serviceUrl: 'https://source.example/data/request', products: [{ productId: 1, price: 100_000n }],
 *   answer: ({ name, idcard }) => people.get(idcard) === name ? { result: true } : undefined,
 * })
 * await source.start()
 * ```
 */
export function createDatasource(options: DatasourceOptions): Datasource {
  assertArguments(options, optionRules, 'options')
  const {
    account,
    baseUrl,
    answer,
    desPublicKey,
    strict = true,
    maxPercent = 5000,
    concurrency = 64,
    maxBody = 2 ** 22,
    answerTimeout = 120_000,
    clock = systemClock,
    log = silentLogger,
  } = options
  assertArgument(isAccountId(account), 'account', 'an account 1.2.N')
  assertArgument(options.products.length <= MAX_PRODUCTS, 'products', `at most ${MAX_PRODUCTS}`)
  for (const { productId } of options.products)
    assertArgument(Number.isSafeInteger(productId) && productId >= 0, 'products[].productId', 'a whole number from 0')
  assertArgument(desPublicKey !== undefined || !strict, 'desPublicKey', 'the key of the exchange, unless strict is false')
  if (desPublicKey !== undefined) readPublicKey(desPublicKey, 'desPublicKey')
  const serviceUrl = readBy(serviceUrlSchema, options.serviceUrl, 'serviceUrl')
  const key = typeof options.key === 'string' ? keyFromWif(options.key) : options.key
  const products = new Map(options.products.map((product) => [product.productId, product]))
  const http = createHttp({ baseUrl, http: options.http, clock })
  const events = createEmitter<DatasourceEvents>(log)
  const answered = createAnswered(clock)
  let lastTimestamp = 0
  /** Products that the exchange left out of the last heartbeat. */
  let unsold = ''
  let underWay = 0

  const heartbeats = createHeartbeats({
    clock,
    async beat(signal) {
      // In the middle of the window that it counts in; a later one is always greater.
      lastTimestamp = Math.max(lastTimestamp + 1, clock.now() + HEARTBEAT_WINDOW / 2)
      const heartbeat = {
        account,
        products: [...products.keys()],
        timestamp: lastTimestamp,
        queryUrl: serviceUrl,
        ...(strict && { suites: SUITES }),
      }
      const body = writeHeartbeat(heartbeat, key)
      const answer = await http({ method: 'post', path: '/api/datasource/heartbeat', body, signal })
      // Online, and asked for nothing: its operator would wonder. GXChain's servers don't tell.
      const sold = (answer as { products?: unknown } | undefined)?.products
      if (!Array.isArray(sold)) return
      const before = unsold
      unsold = heartbeat.products.filter((id) => !sold.includes(id)).join()
      if (unsold !== '' && unsold !== before)
        log.warn('offers products that it may not sell at this exchange: it is no member', { account, products: unsold })
    },
    online: () => events.emit('online', { account }),
    offline: () => events.emit('offline', { account }),
    failed: (error) => events.emit('heartbeatFailed', { error }),
  })

  return {
    ...stops,
    account,
    get online() {
      return heartbeats.online
    },
    events,
    start: heartbeats.start,
    stop: heartbeats.stop,
    async fetch(request) {
      assertArguments({ request }, { request: requestRule })
      if (request.method !== 'POST') return problem('BAD_MESSAGE', 405, 'questions are posted', { allow: 'POST' })
      try {
        if (underWay >= concurrency) {
          throw new SluiceError('OVERLOADED', 'too many questions at once', { details: { limit: concurrency } })
        }
        underWay++
        try {
          return await serve(request)
        } finally {
          underWay--
        }
      } catch (error) {
        return refuse(error)
      }
    },
  }

  async function serve(request: Request): Promise<Response> {
    const question = readForward(readJson(await readBody(request, maxBody)))
    if (strict || (desPublicKey !== undefined && request.headers.has(FORWARD_SIGNATURE))) {
      if (!isForward(question)) {
        throw new SluiceError('BAD_SIGNATURE', 'the question comes without the terms that the exchange signs', {
          details: { field: 'requestParams' },
        })
      }
      verifyForward(question, request.headers.get(FORWARD_SIGNATURE), desPublicKey!, clock.now())
    }
    if (!products.has(question.productId)) {
      throw new SluiceError('NO_SUCH_PRODUCT', `product ${question.productId} is not sold here`, {
        details: { productId: question.productId },
      })
    }
    if (!isForward(question)) return answerWith(await reply(question, undefined, request.signal))

    const { requestParams } = question
    checkTerms(question)
    const digest = transferDigest(requestParams)
    const text = await answered.once(toHex(digest), requestParams.expiration * 1000, () =>
      reply(question, digest, request.signal),
    )
    return answerWith(text)
  }

  /** Whether what the merchant signed pays for an answer, here and now. */
  function checkTerms({ productId, publicKey, merchantAccountId, requestParams }: Forward): void {
    const { from, to, amount, percent, expiration } = requestParams
    const { price, assetId = CORE_ASSET } = products.get(productId)!
    const refuseTerms = (code: ErrorCode, field: string, flaw: string): never => {
      throw new SluiceError(code, `requestParams.${field} ${flaw}`, { details: { field: `requestParams.${field}` } })
    }
    if (to !== account) refuseTerms('NOT_ALLOWED', 'to', `is ${to}, not ${account}`)
    if (from !== merchantAccountId) refuseTerms('NOT_ALLOWED', 'from', 'is not the merchant that asks')
    if (amount.assetId !== assetId || amount.amount < price) {
      refuseTerms('AUTHORISATION_INVALID', 'amount', `must be at least ${price} of ${assetId}`)
    }
    if (percent > maxPercent) refuseTerms('AUTHORISATION_INVALID', 'percent', `must be at most ${maxPercent}`)
    if (expiration * 1000 <= clock.now()) refuseTerms('AUTHORISATION_INVALID', 'expiration', 'has passed')
    if (payerOf(requestParams) !== publicKey)
      refuseTerms('BAD_SIGNATURE', 'signatures', 'are not of the key that the answer is for')
  }

  /** Opens a question, has it answered, and seals the answer: the body, empty for none. */
  async function reply(question: SourceQuestion | Forward, digest: Uint8Array | undefined, gone: AbortSignal): Promise<string> {
    const { params, nonce, publicKey, productId, merchantAccountId } = question
    const [requestId, memo] = isForward(question) ? [question.requestId, question.requestParams.memo] : []
    const context = { requestId: digest ? toHex(digest).slice(2) : 'none', productId, from: merchantAccountId, to: account }
    const bytes = await openSealed(key, publicKey, { nonce, context }, params)
    const { params: input, timestamp } = readPayload(bytes, memo)

    const output = await ask(input, { productId, merchant: merchantAccountId, timestamp, requestId }, gone)
    events.emit('answered', { productId, merchant: merchantAccountId, requestId, found: output !== undefined })
    if (output === undefined) return ''
    // Another nonce than the question's: under the same keys it would give the same key stream.
    const fresh = freshNonce()
    const using =
      isSuite2(params) && requestId !== undefined
        ? { context: { requestId, productId, from: account, to: merchantAccountId } }
        : { nonce: fresh }
    return writeJson({ success: true, data: await sealData(key, publicKey, using, utf8(writeJson(output))), nonce: fresh })
  }

  /** Asks whoever knows. */
  async function ask(input: Payload['params'], context: Omit<QuestionContext, 'signal'>, gone: AbortSignal): Promise<unknown> {
    try {
      return await withDeadline({ what: 'the answer', ms: answerTimeout, signal: gone, clock }, async (signal) =>
        answer(input, { ...context, signal }),
      )
    } catch (cause) {
      if (isSluiceError(cause, 'TIMEOUT') || isSluiceError(cause, 'ABORTED')) throw cause
      throw new SluiceError('SOURCE_FAILED', 'the question could not be answered', {
        cause,
        details: { productId: context.productId },
      })
    }
  }

  function refuse(error: unknown): Response {
    const known = isSluiceError(error)
      ? error
      : new SluiceError('SOURCE_FAILED', 'the question could not be answered', { cause: error })
    log.warn('a question was refused', { code: known.code, reason: known.shortMessage })
    events.emit('refused', { error: known })
    const status = STATUSES[known.code] ?? 400
    return problem(known.code, status, known.shortMessage, status === 503 ? { 'retry-after': '1' } : {})
  }
}

function payerOf(params: SignedTransferParams): PublicKeyText | undefined {
  try {
    return recoverPayer(params)
  } catch (error) {
    if (isSluiceError(error, 'BAD_SIGNATURE')) return undefined
    throw error
  }
}

function answerWith(text: string): Response {
  const headers = { 'content-type': 'application/json' }
  return text === '' ? new Response('{"success":false}', { status: 404, headers }) : new Response(text, { headers })
}

/** RFC 9457. */
function problem(code: ErrorCode, status: number, detail: string, headers: Record<string, string>): Response {
  const title = code.toLowerCase().replaceAll('_', ' ')
  const body = {
    type: `urn:sluice:problem:${title.replaceAll(' ', '-')}`,
    title: title[0]!.toUpperCase() + title.slice(1),
    status,
    detail,
    code,
  }
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/problem+json', ...headers } })
}

/** Reads a body of at most so many bytes. @throws `MESSAGE_TOO_LARGE`, `BAD_MESSAGE` unless it is UTF-8. */
async function readBody(request: Request, limit: number): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let text = ''
  let size = 0
  const reader = request.body?.getReader()
  try {
    for (let part = await reader?.read(); part && !part.done; part = await reader!.read()) {
      size += part.value.length
      if (size > limit) {
        await reader!.cancel()
        throw new SluiceError('MESSAGE_TOO_LARGE', `a question must have at most ${limit} bytes`, { details: { limit } })
      }
      text += decoder.decode(part.value, { stream: true })
    }
    return text + decoder.decode()
  } catch (cause) {
    if (isSluiceError(cause)) throw cause
    throw new SluiceError('BAD_MESSAGE', 'the question must be UTF-8', { cause })
  }
}
