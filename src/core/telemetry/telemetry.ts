import {
  context,
  metrics,
  propagation,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Counter,
  type Histogram,
  type MetricOptions,
  type TextMapGetter,
  type Tracer,
} from '@opentelemetry/api'
import { isSluiceError } from '../errors.ts'
import type { JobHandler } from '../jobs/jobs.ts'

/** Options of {@link createTelemetry}. */
export interface TelemetryOptions {
  /** Name of what measures, the instrumentation scope. @default sluice-sdk */
  readonly name?: string | undefined
  readonly version?: string | undefined
}

/**
 * Spans and measures by the OpenTelemetry API, for whichever SDK the program has registered; without one nothing is kept.
 *
 * Names of methods, route templates, kinds of jobs, statuses and error codes are recorded; no address of a caller, path,
 * query, header, body, key, signature or sentence of an error ever is.
 */
export interface Telemetry {
  /** For spans of one's own: their attributes keep to the same rule. */
  readonly tracer: Tracer
  /** Runs what answers a request in a span of the trace that the request's `traceparent` names, and measures it. */
  request(route: { readonly path: string }, request: Request, run: () => Promise<Response>): Promise<Response>
  /** The same handlers, each run in a span of its own, and measured. */
  jobs<K extends string>(handlers: Readonly<Record<K, JobHandler>>): Readonly<Record<K, JobHandler>>
  /** Runs something that asks another server in a span, and gives it the `traceparent` to send along. */
  call<T>(name: string, attributes: Attributes, run: (headers: Readonly<Record<string, string>>) => Promise<T>): Promise<T>
  /** A sum that only grows. */
  counter(name: string, options?: MetricOptions): Counter
  /** A distribution. */
  histogram(name: string, options?: MetricOptions): Histogram
}

/** Lets a propagator read a request's headers. */
const headerGetter: TextMapGetter<Headers> = {
  get: (headers, name) => headers.get(name) ?? undefined,
  keys: (headers) => [...headers.keys()],
}
/** Methods that have a name of their own in a measure: whatever else a stranger sends is one more. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Creates the telemetry of a server. Register the SDK before: meters have no way to be replaced later. */
export function createTelemetry(options: TelemetryOptions = {}): Telemetry {
  const { name = 'sluice-sdk', version } = options
  const tracer = trace.getTracer(name, version)
  const meter = metrics.getMeter(name, version)
  const requests = meter.createHistogram('http.server.request.duration', { unit: 's', description: 'Duration of HTTP requests' })
  const active = meter.createUpDownCounter('http.server.active_requests', {
    unit: '{request}',
    description: 'HTTP requests under way',
  })
  const jobs = meter.createHistogram('sluice.job.duration', { unit: 's', description: 'Duration of the runs of jobs' })
  const calls = meter.createHistogram('sluice.call.duration', { unit: 's', description: 'Duration of calls of other servers' })

  /** Runs something in a span, and measures it; `end` tells what came out. */
  function observe<T>(
    what: {
      name: string
      kind: SpanKind
      attributes: Attributes
      parent?: ReturnType<typeof context.active>
      measure: Histogram
    },
    run: () => Promise<T>,
    end: (value: T) => Record<string, string | number> = () => ({}),
  ): Promise<T> {
    const { name: title, kind, attributes, parent = context.active(), measure } = what
    return tracer.startActiveSpan(title, { kind, attributes }, parent, async (span) => {
      const begun = performance.now()
      let ended: Record<string, string | number> = {}
      try {
        const value = await run()
        ended = end(value)
        return value
      } catch (error) {
        ended = { 'error.type': isSluiceError(error) ? error.code : 'INTERNAL' }
        throw error
      } finally {
        span.setAttributes(ended)
        if (ended['error.type'] !== undefined)
          span.setStatus({ code: SpanStatusCode.ERROR, message: String(ended['error.type']) })
        span.end()
        measure.record((performance.now() - begun) / 1000, { ...attributes, ...ended })
      }
    })
  }

  return {
    tracer,
    async request({ path }, request, run) {
      const method = METHODS.has(request.method) ? request.method : '_OTHER'
      const attributes = { 'http.request.method': method, ...(path === '' ? {} : { 'http.route': path }) }
      const parent = propagation.extract(context.active(), request.headers, headerGetter)
      active.add(1, { 'http.request.method': method })
      try {
        return await observe(
          { name: path === '' ? method : `${method} ${path}`, kind: SpanKind.SERVER, attributes, parent, measure: requests },
          run,
          ({ status }) => ({ 'http.response.status_code': status, ...(status >= 500 && { 'error.type': String(status) }) }),
        )
      } finally {
        active.add(-1, { 'http.request.method': method })
      }
    },
    jobs<K extends string>(handlers: Readonly<Record<K, JobHandler>>) {
      const observed = Object.entries<JobHandler>(handlers).map(([kind, handler]): [string, JobHandler] => [
        kind,
        (job) =>
          observe({ name: `job ${kind}`, kind: SpanKind.CONSUMER, attributes: { 'sluice.job.kind': kind }, measure: jobs }, () =>
            handler(job),
          ),
      ])
      return Object.fromEntries(observed) as Record<K, JobHandler>
    },
    call(title, attributes, run) {
      return observe(
        { name: title, kind: SpanKind.CLIENT, attributes: { 'sluice.call': title, ...attributes }, measure: calls },
        () => {
          const headers: Record<string, string> = {}
          propagation.inject(context.active(), headers)
          return run(headers)
        },
      )
    },
    counter: (title, about) => meter.createCounter(title, about),
    histogram: (title, about) => meter.createHistogram(title, about),
  }
}
