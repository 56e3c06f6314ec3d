import { AsyncLocalStorage } from 'node:async_hooks'
import {
  context,
  metrics,
  propagation,
  ROOT_CONTEXT,
  trace,
  type Attributes,
  type Context,
  type Meter,
  type Span,
  type SpanContext,
  type SpanOptions,
  type TextMapPropagator,
  type Tracer,
} from '@opentelemetry/api'
import * as v from 'valibot'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SluiceError } from '../errors.ts'
import { createHttpService, route } from '../http/index.ts'
import { createTelemetry } from './index.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'

interface Recorded {
  readonly name: string
  readonly kind: unknown
  readonly parent: string | undefined
  readonly context: SpanContext
  readonly attributes: Attributes
  status?: unknown
  ended?: boolean
}
let spans: Recorded[] = []
let measures: [name: string, value: number, attributes: Attributes | undefined][] = []

/** An SDK as small as can be: it keeps what it is told. */
function register(): void {
  const storage = new AsyncLocalStorage<Context>()
  context.setGlobalContextManager({
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (active, run, self, ...args) => storage.run(active, () => run.apply(self, args)),
    bind: (_, target) => target,
    enable: () => context as never,
    disable: () => context as never,
  })
  const startSpan = (name: string, { kind, attributes = {} }: SpanOptions = {}, parent: Context = context.active()): Span => {
    const above = trace.getSpanContext(parent)
    const mine = { traceId: above?.traceId ?? TRACE, spanId: String(spans.length + 1).padStart(16, '0'), traceFlags: 1 }
    const span: Recorded = { name, kind, parent: above?.spanId, context: mine, attributes: { ...attributes } }
    spans.push(span)
    return {
      spanContext: () => mine,
      setAttributes: (more: Attributes) => void Object.assign(span.attributes, more),
      setStatus: (status: unknown) => void (span.status = status),
      end: () => void (span.ended = true),
    } as never
  }
  const startActiveSpan = (name: string, options: SpanOptions, parent: Context, run: (span: Span) => unknown): unknown => {
    const span = startSpan(name, options, parent)
    return context.with(trace.setSpan(parent, span), () => run(span))
  }
  trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan, startActiveSpan } as Tracer) })
  const instrument = (name: string) => {
    const note = (value: number, attributes?: Attributes): void => void measures.push([name, value, attributes])
    return { record: note, add: note }
  }
  metrics.setGlobalMeterProvider({
    getMeter: () =>
      ({ createHistogram: instrument, createUpDownCounter: instrument, createCounter: instrument } as never as Meter),
  })
  const w3c: TextMapPropagator = {
    fields: () => ['traceparent'],
    inject(active, carrier, { set }) {
      const span = trace.getSpanContext(active)
      if (span) set(carrier, 'traceparent', `00-${span.traceId}-${span.spanId}-01`)
    },
    extract(active, carrier, { get }) {
      const [, traceId, spanId] = String(get(carrier, 'traceparent')).split('-')
      return traceId && spanId ? trace.setSpanContext(active, { traceId, spanId, traceFlags: 1, isRemote: true }) : active
    },
  }
  propagation.setGlobalPropagator(w3c)
}

afterEach(() => {
  for (const api of [context, trace, metrics, propagation]) api.disable()
})

const service = () => {
  const telemetry = createTelemetry()
  const routes = [
    route({
      method: 'post',
      path: '/things/{id}',
      id: 'x',
      summary: 'x',
      access: 'public',
      body: v.looseObject({}),
      handle: ({ request }) =>
        telemetry.call('source', { 'sluice.product': 7 }, async (headers) => {
          if (request.headers.has('x-fail')) throw new SluiceError('SQL_FAILED', 'the password is 42')
          return { headers }
        }),
    }),
  ]
  return createHttpService({ routes, title: 'x', version: '1', description: 'x', telemetry })
}
const post = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  service().fetch(
    new Request(`http://localhost${path}`, {
      method: 'POST',
      body: '{"secret":42}',
      headers: { 'content-type': 'application/json', ...headers },
    }),
  )

describe('with an SDK', () => {
  beforeEach(() => {
    spans = []
    measures = []
    register()
  })

  it('a request is a span of the trace that it names, and hands it on', async () => {
    const answer = await post('/things/5?token=42', { traceparent: `00-${TRACE}-${PARENT}-01`, authorization: 'Bearer 42' })
    expect(await answer.json()).toEqual({ headers: { traceparent: `00-${TRACE}-${'2'.padStart(16, '0')}-01` } })
    expect(spans).toMatchObject([
      {
        name: 'POST /things/{id}',
        kind: 1,
        parent: PARENT,
        context: { traceId: TRACE },
        ended: true,
        attributes: { 'http.request.method': 'POST', 'http.route': '/things/{id}', 'http.response.status_code': 200 },
      },
      {
        name: 'source',
        kind: 2,
        parent: spans[0]!.context.spanId,
        context: { traceId: TRACE },
        ended: true,
        attributes: { 'sluice.call': 'source', 'sluice.product': 7 },
      },
    ])
    expect(measures.map(([name, , attributes]) => [name, attributes])).toEqual([
      ['http.server.active_requests', { 'http.request.method': 'POST' }],
      ['sluice.call.duration', { 'sluice.call': 'source', 'sluice.product': 7 }],
      [
        'http.server.request.duration',
        { 'http.request.method': 'POST', 'http.route': '/things/{id}', 'http.response.status_code': 200 },
      ],
      ['http.server.active_requests', { 'http.request.method': 'POST' }],
    ])
    expect(measures.filter(([name]) => name === 'http.server.active_requests').map(([, value]) => value)).toEqual([1, -1])
    expect(measures.every(([name, value]) => !name.endsWith('duration') || (value > 0 && value < 5))).toBe(true)
  })

  it('a failure is recorded by its code', async () => {
    expect((await post('/things/5', { 'x-fail': '1' })).status).toBe(500)
    expect(spans).toMatchObject([
      { attributes: { 'http.response.status_code': 500, 'error.type': '500' }, status: { code: 2 }, ended: true },
      { attributes: { 'error.type': 'SQL_FAILED' }, status: { code: 2, message: 'SQL_FAILED' }, ended: true },
    ])
  })

  it('a job is a span', async () => {
    const ran: unknown[] = []
    const { work, fail } = createTelemetry().jobs({
      work: async ({ payload }) => void ran.push(payload),
      fail: async () => {
        throw new Error('the secret is 42')
      },
    })
    const run = { payload: 42, attempt: 1, signal: AbortSignal.timeout(1000) }
    await work(run)
    await expect(fail(run)).rejects.toThrow('the secret is 42')
    expect(ran).toEqual([42])
    expect(spans.map(({ name, attributes, status }) => [name, attributes, status])).toEqual([
      ['job work', { 'sluice.job.kind': 'work' }, undefined],
      ['job fail', { 'sluice.job.kind': 'fail', 'error.type': 'INTERNAL' }, { code: 2, message: 'INTERNAL' }],
    ])
    expect(measures.map(([name]) => name)).toEqual(['sluice.job.duration', 'sluice.job.duration'])
  })

  it("nothing is recorded that is somebody's own", async () => {
    await post('/things/42?secret=42', { authorization: 'Bearer 42' })
    await post('/things/42', { 'x-fail': '42' })
    await post('/42/42')
    await service().fetch(new Request('http://localhost/42', { method: 'X42' }))
    expect(spans.map(({ name }) => name)).toEqual([
      'POST /things/{id}',
      'source',
      'POST /things/{id}',
      'source',
      'POST',
      '_OTHER',
    ])
    expect(JSON.stringify([spans, measures.map(([name, , attributes]) => [name, attributes])])).not.toContain('42')
  })
})

describe('without an SDK', () => {
  it('nothing is handed on, and everything works', async () => {
    const answer = await post('/things/5', { traceparent: `00-${TRACE}-${PARENT}-01` })
    expect([answer.status, await answer.json()]).toEqual([200, { headers: {} }])
    createTelemetry().counter('sluice.x').add(1)
    createTelemetry().histogram('sluice.y', { unit: 's' }).record(1)
  })
})
