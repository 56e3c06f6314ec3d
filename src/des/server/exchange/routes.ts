/**
 * The exchange over HTTP (seed 001, 2.1 to 2.4), and what goes beyond it: waiting, following, cancelling, evidence.
 * @module
 */
import * as v from 'valibot'
import { toHex, utf8 } from '../../../core/bytes.ts'
import { recoverPayer, transferDigest } from '../../../core/crypto/graphene/index.ts'
import { isSluiceError, SluiceError } from '../../../core/errors.ts'
import { idempotencyKeyOf } from '../../../core/http/guards.ts'
import { sqlIdempotencyKeys, type IdempotencyKeys } from '../../../core/http/idempotency.ts'
import { route, type Route } from '../../../core/http/index.ts'
import { refusal, statusOf } from '../../../core/http/problem.ts'
import { writeEvidence } from '../../evidence.ts'
import { productId, requestName, smallInteger } from '../../wire/fields.ts'
import {
  MAX_REQUEST_ITEMS,
  readRequest,
  requestIdOf,
  writeCreated,
  writeJson,
  writeProduct,
  writeResult,
} from '../../wire/index.ts'
import type { ExchangeContext } from '../context.ts'
import { evidenceOf } from '../evidence/evidence.ts'
import { bare } from '../format.ts'
import type { Exchange } from './exchange.ts'
import { hasAnswers, type FoundResult } from './result.ts'
import { beat, noAccount, productAnswer } from './sources.ts'

/** Bytes of a request at most: its questions are sealed in it. */
const MAX_REQUEST = 8 * 1024 * 1024
/** Streams of results at once in a process. */
const MAX_STREAMS = 1_000
/** Milliseconds after which a stream without news says that it is there still. */
const STREAM_PULSE = 15_000
/** What is kept under the key of a request that was taken. */
const TAKEN = 200

const ofProduct = v.object({ product_id: productId })
const ofVersion = v.object({ product_id: productId, version: smallInteger(0, 2 ** 31 - 1) })
const ofRequest = v.object({ request_id: requestName })
const waiting = v.object({
  wait: v.optional(v.pipe(smallInteger(0, 60_000), v.description('Milliseconds to wait for its end at most')), 0),
  enough: v.exactOptional(
    v.pipe(
      smallInteger(1, MAX_REQUEST_ITEMS),
      v.description('Answers with data that end the waiting; the result then tells, in `enough`, whether there are so many'),
    ),
  ),
})
/** What an `Idempotency-Key` means here. */
const keyed = {
  meaning:
    'Names the request, for its payer alone: under the same key, the same authorisations get the same answer, others 422. ' +
    'A request that was refused leaves its key free.',
}
/** What the wire's own readers check, in all dialects. */
const inAnyDialect = v.pipe(v.unknown(), v.description('In any dialect; see docs/des.md'))

/** The routes of an exchange. */
export function exchangeRoutes(context: ExchangeContext, exchange: Exchange): readonly Route[] {
  const format = bare
  const created = v.object({ request_id: v.string() })
  let streams = 0

  let opened: Promise<IdempotencyKeys> | undefined
  /** The keys of the database, whose table is laid when the first of them comes. */
  const keys = (): Promise<IdempotencyKeys> =>
    (opened ??= sqlIdempotencyKeys(context.sql, { clock: context.clock, log: context.log }).catch((error: unknown) => {
      opened = undefined
      throw error
    }))

  /** Creates a request, once under a key. Without one the authorisations alone name it, and no key is looked for. */
  const create = async (request: Request, id: number, body: unknown, version?: number) => {
    const run = async () => writeCreated(await exchange.create(id, body, version))
    const key = idempotencyKeyOf(request)
    if (key === null) return run()
    const { items } = readRequest(body)
    const name = requestIdOf(items.map(({ requestParams }) => toHex(transferDigest(requestParams)).slice(2)))
    // Whoever signed: nobody else can take a payer's keys.
    const owner = `payer ${recoverPayer(items[0]!.requestParams)}`
    const state = await (await keys()).claim({ owner, key, fingerprint: name })
    if (state.is === 'other') {
      const requestId = state.fingerprint
      return refusal('IDEMPOTENCY_KEY_REUSED', `this Idempotency-Key was used for request ${requestId}`, {}, { requestId })
    }
    // It was taken, also if it could not be any more: its data sources may be offline by now.
    if (state.is === 'answered' && state.answer.status === TAKEN) return writeCreated(name)
    // The same request while it is under way, or nobody knows whether it was taken: it is charged once.
    if (state.is !== 'free') return run()
    const end = (status: number): Promise<void> =>
      (status === TAKEN || (status >= 500 && status !== 503)
        ? state.keep({ status, media: null, body: new Uint8Array() })
        : state.free()
      ).catch((error: unknown) =>
        context.log.error('what became of an idempotency key could not be written', {
          request: name,
          reason: error instanceof Error ? error.message : String(error),
        }),
      )
    try {
      const answer = await run()
      await end(TAKEN)
      return answer
    } catch (error) {
      await end(isSluiceError(error) ? statusOf(error.code) : 500)
      throw error
    }
  }

  /** Server-sent events: the result whenever something of it has changed. Source: HTML Living Standard 9.2 */
  const stream = (id: string, enough: number | undefined): Response => {
    if (streams >= MAX_STREAMS) {
      throw new SluiceError('OVERLOADED', `${MAX_STREAMS} results are followed already`, { details: { limit: MAX_STREAMS } })
    }
    streams++
    const over = new AbortController()
    const event = (found: FoundResult): Uint8Array => utf8(`event: result\ndata: ${writeJson(told(found, enough))}\n\n`)
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        const pulse = async (): Promise<void> => {
          for (;;) {
            await context.clock.sleep(STREAM_PULSE, over.signal)
            controller.enqueue(utf8(':\n\n'))
          }
        }
        pulse().catch(() => {}) // over
        const follow = async (): Promise<void> => {
          try {
            for await (const found of exchange.follow(id, over.signal, enough)) controller.enqueue(event(found))
            if (!over.signal.aborted) controller.close()
          } catch (error) {
            if (!over.signal.aborted) controller.error(error)
          } finally {
            over.abort()
            streams--
          }
        }
        void follow()
      },
      cancel: () => over.abort(),
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  }

  return [
    route({
      method: 'post',
      path: '/api/datasource/heartbeat',
      id: 'heartbeat',
      access: 'public',
      format,
      summary: 'Says that a data source is there',
      description: 'Every 30 s; after 50 s without one it is offline. Signed in one of four forms.',
      body: inAnyDialect,
      answer: v.object({ products: v.array(v.number()) }),
      problems: [403, 404],
      handle: async ({ body }) => ({ products: [...(await beat(context, body))] }),
    }),
    route({
      method: 'get',
      path: '/api/datasource/activePublicKey',
      id: 'activePublicKey',
      access: 'public',
      format,
      summary: 'Tells the public key of an account, as bare text',
      media: 'text/plain',
      query: v.object({ accountId: v.string() }),
      problems: [404],
      handle: async ({ query }) => {
        const key = await context.settlement.publicKeyOf(query.accountId as `1.2.${string}`)
        if (key === undefined) throw noAccount(query.accountId)
        return new Response(key, { headers: { 'content-type': 'text/plain; charset=utf-8' } })
      },
    }),
    route({
      method: 'get',
      path: '/api/product/{product_id}',
      id: 'getProductOnSale',
      access: 'public',
      format,
      summary: 'Shows a product, and who sells it now',
      params: ofProduct,
      problems: [404],
      handle: async ({ params }) => writeProduct(await productAnswer(context, await exchange.product(params.product_id))),
    }),
    route({
      method: 'post',
      path: '/api/request/create/{product_id}',
      id: 'createRequest',
      access: 'public',
      format,
      summary: 'Asks data sources',
      description:
        'An item for each, signed by the payer. The same authorisations again are the same request, and are charged once.',
      params: ofProduct,
      body: inAnyDialect,
      maxBody: MAX_REQUEST,
      answer: created,
      problems: [402, 404, 409, 422],
      keyed,
      handle: ({ request, params, body }) => create(request, params.product_id, body),
    }),
    route({
      method: 'post',
      path: '/api/request/create/{product_id}/{version}',
      id: 'createRequestOfVersion',
      access: 'public',
      format,
      summary: 'Asks data sources, if the product is still in this version',
      params: ofVersion,
      body: inAnyDialect,
      maxBody: MAX_REQUEST,
      answer: created,
      problems: [402, 404, 409, 422],
      keyed,
      handle: ({ request, params, body }) => create(request, params.product_id, body, params.version),
    }),
    route({
      method: 'get',
      path: '/api/request/{request_id}',
      id: 'getResult',
      access: 'public',
      format,
      summary: 'Tells what became of a request',
      description:
        'With `wait`, answers when it is over, when `enough` data sources have answered with data, or after so many milliseconds. ' +
        'Accept `text/event-stream` to follow it until then.',
      params: ofRequest,
      query: waiting,
      problems: [404],
      handle: async ({ params, query, request, signal }) => {
        const { request_id: id } = params
        const isStream = /\btext\/event-stream\b/.test(request.headers.get('accept') ?? '')
        const { wait, enough } = query
        const found = await exchange.result(id, isStream ? 0 : wait, enough, signal)
        return isStream ? stream(id, enough) : told(found, enough)
      },
    }),
    route({
      method: 'post',
      path: '/api/request/{request_id}/cancel',
      id: 'cancelRequest',
      access: 'public',
      format,
      summary: 'Cancels what was not forwarded yet',
      params: ofRequest,
      answer: v.object({ cancelled: v.number() }),
      problems: [404],
      handle: async ({ params }) => ({ cancelled: await exchange.cancel(params.request_id) }),
    }),
    route({
      method: 'get',
      path: '/api/request/{request_id}/evidence',
      id: 'getEvidence',
      access: 'public',
      format,
      summary: 'Proves the answers that were paid for',
      description:
        "Of a request, by its name in hex or as the CID that bills show; or one answer, by its CID, `Qm…` or `bafy…`: a transfer's memo.",
      params: ofRequest,
      problems: [404],
      handle: async ({ params }) => writeEvidence(await evidenceOf(context, params.request_id)),
    }),
  ]
}

/** A result as its client reads it. Who says how many answers are enough is told whether there are: older servers don't. */
function told(found: FoundResult, enough: number | undefined): Record<string, unknown> {
  const result = writeResult(found.result, found.dialect)
  return enough === undefined ? result : { ...result, enough: hasAnswers(found, enough) }
}
