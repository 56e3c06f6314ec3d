/**
 * The buyer's side of a data exchange: asks data sources through an exchange, and opens what they answer.
 * @module
 */
import type { AxiosInstance } from 'axios'
import * as v from 'valibot'
import {
  abortSignal,
  amount,
  assertArguments,
  checked,
  clock as clockRule,
  either,
  having,
  integer,
  listOf,
  logger,
  type MethodRules,
  optional,
  rule,
  shape,
  text,
} from '../core/argument.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import {
  freshNonce,
  isAccountId,
  keyFromWif,
  signTransferParams,
  transferDigest,
  type AccountId,
  type GrapheneKey,
  type PublicKeyText,
} from '../core/crypto/graphene/index.ts'
import { toHex } from '../core/bytes.ts'
import { withDeadline } from '../core/deadline.ts'
import { assertArgument, isSluiceError, SluiceError } from '../core/errors.ts'
import { silentLogger, type Logger } from '../core/log.ts'
import { advise, backoff } from '../core/retry.ts'
import { readEvidence, type EvidenceItem } from './evidence.ts'
import { createHttp, isOutcomeUnknown } from './http.ts'
import { isSuite2, openSealed, sealData } from './seal/index.ts'
import { readBy, smallInteger } from './wire/fields.ts'
import { readFieldSpecs, validateFields } from './wire/fieldSpecs.ts'
import {
  MAX_REQUEST_ITEMS,
  memoOf,
  readCreated,
  readJson,
  readProduct,
  readResult,
  requestIdOf,
  writePayload,
  writeRequest,
  type ProductAnswer,
  type RequestItem,
  type RequestResult,
  type RequestState,
  type SourceResult,
  type SourceState,
} from './wire/index.ts'

/** Options of {@link createMerchant}. */
export interface MerchantOptions {
  /** Who asks and pays: `1.2.N`. */
  readonly account: AccountId
  /** The account's active key, as text ("wallet import format") or held. */
  readonly key: string | GrapheneKey
  /** Where the exchange answers: `https://des.example`. */
  readonly baseUrl: string
  /** An axios instance of yours: proxies, agents, headers. @default axios */
  readonly http?: AxiosInstance | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

/** What a request may be told. */
export interface RequestOptions {
  /** Whom to ask. @default everybody who is online, but not oneself */
  readonly sources?: readonly AccountId[] | undefined
  /** What all of them together may cost, in the smallest unit of the price's asset; nothing is signed above. @default no limit */
  readonly maxSpend?: bigint | undefined
  /** Milliseconds that the authorisations hold, 24 hours at most. @default 1800000, 30 minutes */
  readonly expiresIn?: number | undefined
  /** The version of the product that the caller knows: another is refused with `PRODUCT_CHANGED`. @default the one seen */
  readonly version?: number | undefined
  /**
   * A name for this request, sent as `Idempotency-Key`: 1 to 255 visible ASCII characters. For a caller that may have to ask
   * again without knowing whether it has asked: a second request of the same name within a day is refused with `KEY_REUSED`,
   * whose details hold the `requestId` of the first, for {@link Merchant.getResult}. Older exchanges pay no heed to it.
   * Repetitions within this call need none. @default none
   */
  readonly idempotencyKey?: string | undefined
  /** Calls it off; what is sent by then goes on, and the error's details hold its `requestId`. @default none */
  readonly signal?: AbortSignal | undefined
}

/** How long to wait, and for what. */
export interface WaitOptions {
  /** Is done as soon as so many data sources have answered with data. @default all have ended, one way or another */
  readonly minResults?: number | undefined
  /** Milliseconds. @default 8000; 120000 for a product that touches privacy */
  readonly timeout?: number | undefined
  /** Ends the waiting; the request goes on. @default none */
  readonly signal?: AbortSignal | undefined
}

/** How to read a request's answers. */
export interface ResultOptions extends WaitOptions {
  /**
   * What was asked for, from {@link Merchant.createRequest} or {@link Merchant.getProduct}: answers are held against its output
   * and its data sources' keys, and `spent` is calculated. @default answers are opened only
   */
  readonly product?: ProductAnswer | undefined
}

/** Options of {@link Merchant.query}. */
export interface QueryOptions extends RequestOptions, WaitOptions {}

/** What one data source answered. */
export type SourceAnswer = {
  /** Who answered: `1.2.N`. */
  readonly datasource: AccountId
  /** What the exchange says of it. */
  readonly comment?: string | undefined
  /** The transfer that paid for it: 40 hex digits on GXChain, 64 elsewhere; without a chain the authorisation's digest. */
  readonly txid?: string | undefined
} & (
  | {
    readonly status: 'SUCCESS'
    /** The output as the data source wrote it, by the JSON of the wire: whole numbers past 2^53 are `bigint`. */
    readonly data: unknown
  }
  | {
    /** `BAD_ANSWER`: paid for, but it doesn't open, or isn't what the product promises; `comment` says what is wrong. */
    readonly status: Exclude<SourceState, 'SUCCESS'> | 'BAD_ANSWER'
    readonly data?: undefined
  }
)

/** What became of a request. */
export interface Answers {
  /** 64 hex digits here; a CID at other exchanges. */
  readonly requestId: string
  /** `IN_PROGRESS` where {@link WaitOptions.minResults} was enough. */
  readonly status: RequestState
  /** How many data sources were asked. */
  readonly total: number
  /** Each of them, in the order in which they were asked. */
  readonly datasources: readonly SourceAnswer[]
}

/** {@link Answers} to a question whose price is known. */
export interface PaidAnswers extends Answers {
  /** What the answers have cost so far, in the smallest unit of the price's asset. */
  readonly spent: bigint
}

/** A request that the exchange has taken. */
export interface CreatedRequest {
  /** For {@link Merchant.getResult}, `cancel` and `evidence`: whoever knows it can ask, too. */
  readonly requestId: string
  /** The product as it was when it was asked for. */
  readonly product: ProductAnswer
  /** Who was asked. */
  readonly sources: readonly AccountId[]
}

/**
 * A buyer of data.
 *
 * All calls throw `CONNECTION_FAILED`, `OVERLOADED`, `ABORTED`, `BAD_MESSAGE` for what is no exchange's answer, and the
 * exchange's own refusals, with its sentence, the HTTP `status` and the plain values of its details.
 *
 * Source: seed 001, 2.2 to 2.4.
 */
export interface Merchant {
  /** Who asks and pays. */
  readonly account: AccountId
  /** What a product costs and asks, and who sells it now. @throws `NO_SUCH_PRODUCT` */
  getProduct(productId: number, options?: { readonly signal?: AbortSignal | undefined }): Promise<ProductAnswer>
  /**
   * Asks data sources: checks the input, seals it for each of them, signs what each is paid, and sends it.
   * @param params - the input, as the product's `input` wants it: fields by name.
   * @throws `BAD_ARGUMENT` naming an option or a field of the input; `PRICE_MISMATCH` above `maxSpend`; `PRODUCT_CHANGED`;
   * `SOURCE_OFFLINE`; `BALANCE_SHORT`; `KEY_REUSED`. When the outcome is unknown the details hold the `requestId` to ask for.
   */
  createRequest(productId: number, params: Readonly<Record<string, unknown>>, options?: RequestOptions): Promise<CreatedRequest>
  /**
   * Waits for a request's answers and opens them.
   * @throws `TIMEOUT`; `NO_SUCH_REQUEST`. Details of all errors hold the `requestId`: call it again to go on.
   */
  getResult(requestId: string, options: ResultOptions & { readonly product: ProductAnswer }): Promise<PaidAnswers>
  /** The same without the product: answers are opened, and not held against anything. */
  getResult(requestId: string, options?: ResultOptions): Promise<Answers>
  /** All of it in one call. @throws as {@link Merchant.createRequest} and {@link Merchant.getResult}. */
  query(productId: number, params: Readonly<Record<string, unknown>>, options?: QueryOptions): Promise<PaidAnswers>
  /**
   * Calls off what was not sent to a data source yet; its money is free again. The rest goes on.
   * @returns how many data sources won't be asked. @throws `NO_SUCH_REQUEST`
   */
  cancel(requestId: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<number>
  /**
   * What proves the answers that were paid for; `verifyEvidence` checks each.
   * @param name - the `requestId`, or the CID of one answer (`Qm…` or `bafy…`), for that one alone; older exchanges know
   * `requestId`s only.
   * @throws `NO_SUCH_REQUEST`
   */
  evidence(name: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<readonly EvidenceItem[]>
}

/** Milliseconds that answers are waited for, and the same for products that touch privacy. */
const [TIMEOUT, PRIVACY_TIMEOUT] = [8_000, 120_000]
/** Milliseconds that an authorisation holds, and the most that the chain takes. */
const [EXPIRES_IN, MAX_EXPIRES_IN] = [30 * 60_000, 24 * 3600_000]
/** Milliseconds for one answer of a long poll: proxies on the way cut what lasts longer. */
const MAX_WAIT = 20_000
/** The same for who wants some of the answers from an exchange that answers late until it has all of them. */
const SHORT_WAIT = 200
/** Milliseconds between two polls at first, and at most. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [60, 1_000]
/** Times that a call that may be repeated is tried. */
const ATTEMPTS = 3

const optionRules = {
  account: text(1),
  key: either(text(1), having('a key of grapheneKey()', 'sign')),
  baseUrl: text(),
  clock: optional(clockRule),
  log: optional(logger),
}

const productRule = integer(0, undefined, 'number', 1)
const nameRule = rule('1 to 128 letters and digits', (value) => typeof value === 'string' && /^[0-9A-Za-z]{1,128}$/.test(value))
const signalRule = optional(shape('an object such as { signal }', { signal: optional(abortSignal) }))
const waitRules = {
  minResults: optional(integer(1)),
  timeout: optional(rule('milliseconds above zero', (value) => typeof value === 'number' && value > 0)),
  signal: optional(abortSignal),
}
const requestRules = {
  sources: optional(listOf(rule('an account 1.2.N', (value) => typeof value === 'string' && isAccountId(value)), 0, MAX_REQUEST_ITEMS)),
  maxSpend: optional(amount(128)),
  expiresIn: optional(integer(1000, MAX_EXPIRES_IN, 'number of ms', EXPIRES_IN)),
  version: optional(integer(0)),
  idempotencyKey: optional(rule('1 to 255 visible ASCII characters', (value) => typeof value === 'string' && /^[\x21-\x7e]{1,255}$/.test(value))),
  signal: optional(abortSignal),
}
const productAnswer = shape('what getProduct or createRequest gives', { product: shape('a product', {}) })
const paramsRule = shape("the product's input, such as { name: '张三' }", {})

const methodRules: MethodRules<Merchant> = {
  getProduct: [['productId', productRule], ['options', signalRule]],
  createRequest: [['productId', productRule], ['params', paramsRule]],
  query: [['productId', productRule], ['params', paramsRule]],
  getResult: [['requestId', nameRule]],
  cancel: [['requestId', nameRule], ['options', signalRule]],
  evidence: [['name', nameRule], ['options', signalRule]],
}

/**
 * Creates a buyer.
 * @throws `BAD_KEY`; `BAD_ARGUMENT` for a bad account or `baseUrl`.
 * @example
 * ```ts
 * const merchant = createMerchant({ account: '1.2.20', key: '5K25…', baseUrl: 'https://des.example' })
 * const { datasources, spent } = await merchant.query(1, { name: '张三', idcard: '330102…' }, { maxSpend: 200_000n })
 * ```
 */
export function createMerchant(options: MerchantOptions): Merchant {
  assertArguments(options, optionRules, 'options')
  const { account, baseUrl, clock = systemClock, log = silentLogger } = options
  assertArgument(isAccountId(account), 'account', 'an account 1.2.N')
  const key = typeof options.key === 'string' ? keyFromWif(options.key) : options.key
  const http = createHttp({ baseUrl, http: options.http, clock })
  /** Whether the exchange has said so: older ones don't. */
  let knowsEnough = false

  const merchant: Merchant = checked<Merchant>({
    account,
    async getProduct(productId, { signal } = {}) {
      return readProduct(await http({ method: 'get', path: `/api/product/${productId}`, signal, attempts: ATTEMPTS }))
    },

    async createRequest(productId, params, options = {}) {
      assertArguments(options, requestRules, 'options')
      const { signal, idempotencyKey, ...terms } = options
      const product = await merchant.getProduct(productId, { signal })
      const { items, version, sources } = await authorise(product, params, terms)
      // Known before it is sent: who loses the answer can ask what became of it.
      const requestId = requestIdOf(items.map(({ requestParams }) => hexOf(transferDigest(requestParams))))
      const path = `/api/request/create/${product.product.productId}${version === undefined ? '' : `/${version}`}`
      const headers = idempotencyKey === undefined ? undefined : { 'idempotency-key': idempotencyKey }
      try {
        // May be repeated: the same authorisations are the same request.
        const answer = await http({ method: 'post', path, body: writeRequest(items), headers, signal, attempts: ATTEMPTS })
        return { requestId: readCreated(answer), product, sources }
      } catch (error) {
        // Whoever calls it off has asked all the same, perhaps.
        if (isSluiceError(error, 'ABORTED')) throw withName(error, requestId)
        if (!isOutcomeUnknown(error)) throw error
        throw new SluiceError('CONNECTION_LOST', `nobody knows whether the exchange has taken request ${requestId}`, {
          cause: error,
          details: { requestId },
        })
      }
    },

    getResult: (async (requestId: string, options: ResultOptions = {}) => {
      assertArguments(options, { ...waitRules, product: optional(productAnswer) }, 'options')
      const { product, minResults, timeout, signal } = options
      const ms = timeout ?? (product?.product.privacy ? PRIVACY_TIMEOUT : TIMEOUT)
      const result = await wait(requestId, minResults ?? Infinity, ms, signal)
      const datasources = await Promise.all(result.datasources.map((each) => open(requestId, each, result, product)))
      const answers = { requestId, status: result.status, total: result.total, datasources }
      if (!product) return answers
      const paid = datasources.filter(({ status }) => status === 'SUCCESS' || status === 'BAD_ANSWER').length
      return { ...answers, spent: BigInt(paid) * product.product.price.amount }
    }) as Merchant['getResult'],

    async query(productId, params, options = {}) {
      // Before anything is paid.
      assertArguments(options, { ...requestRules, ...waitRules }, 'options')
      const { requestId, product } = await merchant.createRequest(productId, params, options)
      const { minResults, timeout, signal } = options
      return merchant.getResult(requestId, { product, minResults, timeout, signal })
    },

    async cancel(requestId, { signal } = {}) {
      const answer = await http({ method: 'post', path: `/api/request/${requestId}/cancel`, signal, attempts: ATTEMPTS })
      return readBy(v.object({ cancelled: smallInteger(0) }), answer, 'answer').cancelled
    },

    async evidence(name, { signal } = {}) {
      return readEvidence(await http({ method: 'get', path: `/api/request/${name}/evidence`, signal, attempts: ATTEMPTS }))
    },
  }, methodRules)
  return merchant

  /** Seals and signs a question for each data source that is asked. */
  async function authorise(
    { product, des, onlineDatasources }: ProductAnswer,
    params: Readonly<Record<string, unknown>>,
    terms: RequestOptions,
  ) {
    const { maxSpend, expiresIn = EXPIRES_IN, version = product.version } = terms
    if (product.version !== undefined && version !== product.version) {
      throw new SluiceError('PRODUCT_CHANGED', `product ${product.productId} is in version ${product.version}, not ${version}`, {
        details: { productId: product.productId, version: product.version, wanted: version },
      })
    }
    const input = validateFields(readFieldSpecs(product.input, 'answer.product.input'), params)

    const { sources = onlineDatasources.map(({ accountId }) => accountId).filter((each) => each !== account) } = terms
    assertArgument(
      new Set(sources).size === sources.length && !sources.includes(account),
      'sources',
      'each another account, not your own',
    )
    const asked = sources.map((source) => {
      const online = onlineDatasources.find(({ accountId }) => accountId === source)
      if (online) return online
      throw new SluiceError('SOURCE_OFFLINE', `data source ${source} doesn't sell product ${product.productId} now`, {
        details: { datasource: source, productId: product.productId },
      })
    })
    if (asked.length === 0) {
      throw new SluiceError('SOURCE_OFFLINE', `nobody sells product ${product.productId} now`, {
        details: { productId: product.productId },
      })
    }
    const cost = product.price.amount * BigInt(asked.length)
    if (maxSpend !== undefined && cost > maxSpend) {
      const answers = asked.length === 1 ? 'an answer costs' : `${asked.length} answers cost`
      throw new SluiceError('PRICE_MISMATCH', `${answers} ${cost}, more than maxSpend ${maxSpend}`, {
        details: { cost, maxSpend, sources: asked.length },
      })
    }

    const now = clock.now()
    const payload = writePayload({ params: input, timestamp: now })
    const items = await Promise.all(
      asked.map(async ({ accountId: to, publicKey, suites }): Promise<RequestItem> => {
        const nonce = freshNonce()
        const requestParams = signTransferParams(
          {
            from: account,
            to,
            proxyAccount: des.accountId,
            amount: product.price,
            percent: des.percent,
            memo: memoOf(payload),
            expiration: Math.floor((now + expiresIn) / 1000),
          },
          key,
        )
        const context = { requestId: hexOf(transferDigest(requestParams)), productId: product.productId, from: account, to }
        return {
          params: await sealData(key, publicKey, suites?.includes(2) ? { context } : { nonce }, payload),
          nonce,
          requestParams,
        }
      }),
    )
    return { items, version, sources }
  }

  /** Asks for a result until it is there: by long polls where the exchange answers late, by polls that grow rarer elsewhere. */
  function wait(requestId: string, minResults: number, ms: number, signal: AbortSignal | undefined): Promise<RequestResult> {
    return withDeadline({ what: `the result of request ${requestId}`, ms, signal, clock }, async (stop) => {
      const end = clock.now() + ms
      const some = minResults === Infinity ? '' : `&enough=${Math.min(minResults, MAX_REQUEST_ITEMS)}`
      let pause = FIRST_PAUSE
      for (let failures = 0; ; ) {
        const asked = clock.now()
        try {
          const late = Math.max(0, Math.min(some === '' || knowsEnough ? MAX_WAIT : SHORT_WAIT, end - asked))
          const path = `/api/request/${requestId}?wait=${late}${some}`
          const answer = await http({ method: 'get', path, signal: stop, timeout: late + TIMEOUT })
          const result = readResult(answer)
          if (some !== '') knowsEnough = 'enough' in (answer as object)
          failures = 0
          const { status, datasources } = result
          if (status !== 'IN_PROGRESS' || datasources.filter((each) => each.status === 'SUCCESS').length >= minResults)
            return result
        } catch (error) {
          if (stop.aborted || advise(error) === 'abort') throw error
          failures++
          log.debug('a result could not be asked for', { requestId, code: isSluiceError(error) ? error.code : undefined })
        }
        const left = failures > 0 ? backoff(failures, { maxDelay: LONGEST_PAUSE }) : pause - (clock.now() - asked)
        if (left <= 0) continue
        await clock.sleep(left, stop)
        pause = Math.min(pause * 1.5, LONGEST_PAUSE)
      }
    }).catch((error: unknown) => {
      // Whoever asked by `query` has no other way to go on.
      throw isSluiceError(error) ? withName(error, requestId) : error
    })
  }

  /** Opens what one data source answered. */
  async function open(
    requestId: string,
    result: SourceResult,
    { productId }: RequestResult,
    product: ProductAnswer | undefined,
  ): Promise<SourceAnswer> {
    const { status, datasource, comment, data, nonce, datasourcePublicKey, txid } = result
    const common = { datasource, ...(comment !== undefined && { comment }), ...(txid !== undefined && { txid }) }
    if (status !== 'SUCCESS') return { ...common, status }
    try {
      assertSameKey(product, datasource, datasourcePublicKey)
      const asked = product?.product.productId ?? productId
      if (asked === undefined && isSuite2(data!)) {
        throw new SluiceError('BAD_MESSAGE', 'the exchange does not tell what was asked for: pass the product to open the data')
      }
      const context = { requestId, productId: asked ?? 0, from: datasource, to: account }
      const bytes = await openSealed(key, datasourcePublicKey!, { nonce: nonce!, context }, data!)
      const value = readJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
      // Held against what was promised, and given as it came.
      if (product) validateFields(readFieldSpecs(product.product.output, 'answer.product.output'), value, 'data')
      return { ...common, status, data: value }
    } catch (error) {
      log.warn('an answer is not what it should be', {
        requestId,
        datasource,
        code: isSluiceError(error) ? error.code : undefined,
      })
      return { ...common, status: 'BAD_ANSWER', comment: isSluiceError(error) ? error.shortMessage : 'the data must be UTF-8' }
    }
  }
}

/** The question was sealed for one key: an answer that names another comes from somebody else. */
function assertSameKey(product: ProductAnswer | undefined, datasource: AccountId, publicKey: PublicKeyText | undefined): void {
  const known = product?.onlineDatasources.find(({ accountId }) => accountId === datasource)
  if (!known || known.publicKey === publicKey) return
  throw new SluiceError('BAD_MESSAGE', 'the answer is sealed with another key than the data source had', {
    details: { datasource },
  })
}

/** The same error, which tells the request as well. */
function withName(error: SluiceError, requestId: string): SluiceError {
  return new SluiceError(error.code, error.shortMessage, { cause: error, details: { ...error.details, requestId } })
}

function hexOf(bytes: Uint8Array): string {
  return toHex(bytes).slice(2)
}
