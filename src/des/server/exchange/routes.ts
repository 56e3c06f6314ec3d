/**
 * The exchange over HTTP (seed 001, 2.1 to 2.4), and what goes beyond it: waiting, following, cancelling, evidence.
 * @module
 */
import * as v from 'valibot'
import { utf8 } from '../../../core/bytes.ts'
import { SluiceError } from '../../../core/errors.ts'
import { route, type Route } from '../../../core/http/index.ts'
import { writeEvidence } from '../../evidence.ts'
import { productId, requestName, smallInteger } from '../../wire/fields.ts'
import { writeCreated, writeJson, writeProduct, writeResult } from '../../wire/index.ts'
import type { ExchangeContext } from '../context.ts'
import { evidenceOf } from '../evidence/evidence.ts'
import { bare } from '../format.ts'
import type { Exchange } from './exchange.ts'
import type { FoundResult } from './result.ts'
import { beat, noAccount, productAnswer } from './sources.ts'

/** Bytes of a request at most: its questions are sealed in it. */
const MAX_REQUEST = 8 * 1024 * 1024
/** Streams of results at once in a process. */
const MAX_STREAMS = 1_000
/** Milliseconds after which a stream without news says that it is there still. */
const STREAM_PULSE = 15_000

const ofProduct = v.object({ product_id: productId })
const ofVersion = v.object({ product_id: productId, version: smallInteger(0, 2 ** 31 - 1) })
const ofRequest = v.object({ request_id: requestName })
const waiting = v.object({ wait: v.optional(smallInteger(0, 60_000), 0) })
/** What the wire's own readers check, in all dialects. */
const inAnyDialect = v.pipe(v.unknown(), v.description('In any dialect; see docs/des.md'))

/** The routes of an exchange. */
export function exchangeRoutes(context: ExchangeContext, exchange: Exchange): readonly Route[] {
  const format = bare
  const create = (id: number, body: unknown, version?: number) => exchange.create(id, body, version).then(writeCreated)
  const created = v.object({ request_id: v.string() })
  let streams = 0

  /** Server-sent events: the result whenever something of it has changed. Source: HTML Living Standard 9.2 */
  const stream = (id: string): Response => {
    if (streams >= MAX_STREAMS) {
      throw new SluiceError('OVERLOADED', `${MAX_STREAMS} results are followed already`, { details: { limit: MAX_STREAMS } })
    }
    streams++
    const over = new AbortController()
    const event = ({ result, dialect }: FoundResult): Uint8Array =>
      utf8(`event: result\ndata: ${writeJson(writeResult(result, dialect))}\n\n`)
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
            for await (const found of exchange.follow(id, over.signal)) controller.enqueue(event(found))
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
      problems: [402, 404, 409],
      handle: ({ params, body }) => create(params.product_id, body),
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
      problems: [402, 404, 409],
      handle: ({ params, body }) => create(params.product_id, body, params.version),
    }),
    route({
      method: 'get',
      path: '/api/request/{request_id}',
      id: 'getResult',
      access: 'public',
      format,
      summary: 'Tells what became of a request',
      description:
        'With `wait`, answers when it is over, or after so many milliseconds. Accept `text/event-stream` to follow it.',
      params: ofRequest,
      query: waiting,
      problems: [404],
      handle: async ({ params, query, request, signal }) => {
        const { request_id: id } = params
        const isStream = /\btext\/event-stream\b/.test(request.headers.get('accept') ?? '')
        const found = await exchange.result(id, isStream ? 0 : query.wait, signal)
        return isStream ? stream(id) : writeResult(found.result, found.dialect)
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
      params: ofRequest,
      problems: [404],
      handle: async ({ params }) => writeEvidence(await evidenceOf(context, params.request_id)),
    }),
  ]
}
