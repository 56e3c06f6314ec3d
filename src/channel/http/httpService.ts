import { Hono, type Context } from 'hono'
import * as v from 'valibot'
import { systemClock, type Clock } from '../../core/clock.ts'
import { withDeadline } from '../../core/deadline.ts'
import { assertArgument, isSluiceError, SluiceError } from '../../core/errors.ts'
import { silentLogger, type Logger } from '../../core/log.ts'
import type { ChannelNode } from '../channelNode.ts'
import type { ChannelEvents } from '../node/events.ts'
import { eventStream } from './eventStream.ts'
import { checkHost, checkMediaType, checkOrigin, checkToken, nameOf, readJson } from './guards.ts'
import { openApi } from './openApi.ts'
import { problemOf, refusal } from './problem.ts'
import { routes, type Route, type RouteContext } from './routes.ts'
import { addressIn, eventSchemas, type notificationsAnswer } from './schemas.ts'

/** Options of {@link createHttpService}. */
export interface HttpServiceOptions {
  /** What every request but `/health` has to bring as a bearer token; 16 visible ASCII characters at least. */
  readonly token?: string | undefined
  /** Lets everybody in who reaches the service: for trials on one machine. @default false */
  readonly open?: boolean | undefined
  /** Host names that the service is reached under, beside `localhost`, `127.0.0.1` and `[::1]`. @default none */
  readonly hosts?: readonly string[] | undefined
  /** Origins whose web pages may use the service, such as `https://wallet.example`. @default none */
  readonly origins?: readonly string[] | undefined
  /** Milliseconds in which a request is answered; what it began goes on after that. @default 90000 */
  readonly deadline?: number | undefined
  /** What `POST shutdown` does. @default stops the node */
  readonly shutdown?: (() => unknown) | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

/** The HTTP service of a node. */
export interface HttpService {
  /** Answers a request. Never rejects. */
  fetch(request: Request): Promise<Response>
  /** The OpenAPI 3.1 document, as `GET /api/v1/openapi.json` answers it. */
  readonly openapi: object
  /** Whether it needs no token. */
  readonly open: boolean
}

/** Requests that may be under way at once, those included whose answer came too late for their clients. */
const MAX_REQUESTS = 256
/** Streams of events at once. */
const MAX_STREAMS = 32
/** Notifications that are kept. */
const MAX_NOTIFICATIONS = 100
/** Idempotency keys whose request is remembered; the payment of an older one is still paid only once. */
const MAX_KEYS = 10_000
const eventNames = Object.keys(eventSchemas) as (keyof ChannelEvents)[]

/**
 * Creates the HTTP service of a node (seed 002, "http service"): Raiden's REST API where it has the concept, described
 * by an OpenAPI document. It is a fetch handler; `listenHttp` puts it on a port.
 * @throws `BAD_ARGUMENT` unless there is either a `token` or `open: true`.
 * @example
 * ```ts
 * const service = createHttpService(node, { token: process.env.TOKEN })
 * const server = await listenHttp(service, { port: 5001 })
 * ```
 */
export function createHttpService(node: ChannelNode, options: HttpServiceOptions): HttpService {
  const { token, open = false, deadline = 90_000, shutdown = () => node.stop() } = options
  const { clock = systemClock, log = silentLogger } = options
  assertArgument(open ? token === undefined : token !== undefined && /^[\x21-\x7e]{16,}$/.test(token), 'token',
    'at least 16 visible ASCII characters, or left out with open: true')
  const hosts = new Set(['localhost', '127.0.0.1', '[::1]', ...(options.hosts ?? []).map((host) => {
    const name = nameOf(host)
    assertArgument(name !== undefined && name !== '', 'hosts', 'host names')
    return name
  })])
  const origins = new Set(options.origins)
  const isOrigin = (text: string): boolean => URL.canParse(text) && new URL(text).origin === text
  assertArgument([...origins].every(isOrigin), 'origins', 'origins such as https://wallet.example')

  const openapi = openApi()
  const over = new AbortController()
  let ready = false
  node.caughtUp(over.signal).then(() => (ready = true), () => {})
  const notices = keepNotices(node)
  node.events.once('stopped', () => over.abort())
  const keys = new Map<string, string>()
  let streams = 0
  let running = 0

  const context: RouteContext = {
    node,
    status: () => {
      const block = node.alarm.last
      return {
        status: over.signal.aborted ? 'unavailable' : ready ? 'ready' : 'syncing',
        ...(ready ? { blocks_to_sync: '0' } : {}),
        ...(block ? { block_number: String(block.number) } : {}),
      }
    },
    notifications: () => notices,
    openapi: () => openapi,
    stream() {
      if (streams >= MAX_STREAMS || over.signal.aborted) return undefined
      streams++
      return eventStream({ events: node.events, names: eventNames, clock, signal: over.signal, ended: () => streams-- })
    },
    shutdown() {
      // The answer leaves first.
      clock.sleep(100).then(() => {
        over.abort()
        return shutdown()
      }).catch((error: unknown) => log.error('the node could not be stopped', { reason: text(error) }))
    },
    keyIsTaken(key, fingerprint) {
      const known = keys.get(key)
      if (known !== undefined) return known !== fingerprint
      keys.set(key, fingerprint)
      if (keys.size > MAX_KEYS) keys.delete(keys.keys().next().value!)
      return false
    },
  }

  /** Answers a request whose path and method are known. */
  async function run(route: Route, c: Context): Promise<Response> {
    const request = c.req.raw
    if (over.signal.aborted && route.id !== 'health' && route.id !== 'getStatus') throw new SluiceError('ABORTED', 'the node has stopped')
    if (running >= MAX_REQUESTS) {
      throw new SluiceError('OVERLOADED', `${MAX_REQUESTS} requests are under way`, { details: { limit: MAX_REQUESTS } })
    }
    running++
    const marks: Record<string, string> = {}
    const work = (async () => {
      const params: Record<string, `0x${string}`> = {}
      for (const [name, value] of Object.entries(c.req.param() as Record<string, string>)) {
        const address = v.safeParse(addressIn, value)
        if (!address.success) return refusal('NOT_FOUND', `${name} ${address.issues[0].message}`)
        params[name] = address.output
      }
      const refused = route.method === 'get' ? undefined : checkMediaType(request, route.body !== undefined)
      if (refused) return refused
      const query = route.query && parse(route.query, Object.fromEntries(new URL(request.url).searchParams), 'query')
      const body = route.body && parse(route.body, await readJson(request), 'body')
      const answer = await route.handle(context, { params, query, body, request, marks })
      return answer instanceof Response ? answer : Response.json(answer.json, { status: answer.status })
    })().finally(() => running--)
    // Nothing is called off: a payment or a transaction that was begun is not undone by an impatient client.
    return withDeadline({ what: 'the answer', ms: deadline, clock }, () => work).catch((error: unknown) => {
      if (!isSluiceError(error, 'TIMEOUT') || error.details['what'] !== 'the answer') throw error
      throw new SluiceError('TIMEOUT', `not over within ${deadline} ms; what was begun goes on`, { details: { ...marks, deadline } })
    })
  }

  const app = new Hono()
  const methods = new Map<string, string[]>()
  for (const route of routes) {
    const path = route.path.replace(/\{(\w+)\}/g, ':$1')
    app.on(route.method.toUpperCase(), path, (c) => run(route, c))
    const there = methods.get(path) ?? []
    if (route.status !== 405) there.push(...(route.method === 'get' ? ['GET', 'HEAD'] : [route.method.toUpperCase()]))
    methods.set(path, there)
  }
  for (const [path, allowed] of methods) {
    app.all(path, () => refusal('METHOD_NOT_ALLOWED', 'this path does not take that method', { allow: allowed.join(', ') }))
  }
  app.notFound(() => refusal('NOT_FOUND', 'there is nothing here'))
  app.onError((error) => {
    const answer = problemOf(error)
    if (answer.status >= 500) {
      log.error('a request failed', { status: answer.status, code: isSluiceError(error) ? error.code : undefined, reason: text(error) })
    }
    return answer
  })

  async function guarded(request: Request): Promise<Response> {
    const refused = checkHost(request, hosts) ?? checkOrigin(request, origins)
    if (refused) return refused
    const { pathname } = new URL(request.url)
    if (request.method === 'OPTIONS' && request.headers.has('origin') && request.headers.has('access-control-request-method')) {
      return new Response(null, {
        status: 204,
        headers: {
          'access-control-allow-methods': 'GET, PUT, POST, PATCH, DELETE',
          'access-control-allow-headers': 'authorization, content-type, idempotency-key',
          'access-control-max-age': '600',
        },
      })
    }
    const stranger = token !== undefined && pathname !== '/health' ? checkToken(request, token) : undefined
    return stranger ?? app.fetch(request)
  }

  return {
    openapi,
    open,
    async fetch(request) {
      const answer = await guarded(request).catch(problemOf)
      const headers = new Headers(answer.headers)
      headers.set('cache-control', 'no-store')
      headers.set('x-content-type-options', 'nosniff')
      const origin = request.headers.get('origin')
      headers.set('vary', 'origin')
      if (origin !== null && origins.has(origin)) headers.set('access-control-allow-origin', origin)
      return new Response(answer.body, { status: answer.status, headers })
    },
  }
}

/** Checks what came in. @throws `BAD_ARGUMENT` whose details name each field that is wrong. */
function parse(schema: v.GenericSchema, value: unknown, name: string): unknown {
  const result = v.safeParse(schema, value)
  if (result.success) return result.output
  const problems = result.issues.slice(0, 8).map((issue): [string, string] =>
    [v.getDotPath(issue)?.slice(0, 64) ?? name, issue.message.slice(0, 200)])
  const [field, message] = problems[0]!
  throw new SluiceError('BAD_ARGUMENT', `${field}: ${message}`, { details: Object.fromEntries(problems) })
}

type Notices = v.InferOutput<typeof notificationsAnswer>

/** Keeps what an operator should know, newest first. */
function keepNotices({ events }: ChannelNode): Notices {
  const kept: Notices = []
  let count = 0
  const add = (summary: string, body: string, urgency: Notices[number]['urgency']): void => {
    kept.unshift({ id: String(++count), summary, body, urgency })
    kept.splice(MAX_NOTIFICATIONS)
  }
  events.on('misbehaved', ({ account, code, reason }) => add('a peer broke a rule', `${account}: ${code}: ${reason}`, 'normal'))
  events.on('recovered', ({ channelId, fromNonce, toNonce }) =>
    add('the store was older than the partner\'s', `channel ${channelId} was brought from ${fromNonce} to ${toNonce}`, 'critical'))
  events.on('closed', ({ channelId, closer }) => add('a channel was closed', `channel ${channelId}, by ${closer}`, 'normal'))
  events.on('stopped', ({ reason }) => add('the node has stopped', reason, 'critical'))
  return kept
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
