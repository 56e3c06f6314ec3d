import { Hono, type Context } from 'hono'
import * as v from 'valibot'
import { toHex, utf8 } from '../bytes.ts'
import { systemClock, type Clock } from '../clock.ts'
import { engine } from '../crypto/engine.ts'
import { assertArgument, isSluiceError, SluiceError } from '../errors.ts'
import { silentLogger, type Logger } from '../log.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { createDeadlines } from './deadlines.ts'
import { bearerOf, checkHost, checkMediaType, checkOrigin, hasToken, idempotencyKeyOf, nameOf, readBody } from './guards.ts'
import { healthRoutes, type Checks } from './health.ts'
import type { IdempotencyKeys, KeyedRequest } from './idempotency.ts'
import { openApi } from './openApi.ts'
import { isRefusal, plainFormat, refusal, type Refusal } from './problem.ts'
import { wholeAnswer } from './wholeAnswer.ts'
import type { Access, AnswerFormat, Route, RouteInput, Schema } from './route.ts'

/** Options of {@link createHttpService}; `U` is who has signed in. */
export interface HttpServiceOptions<U> {
  readonly routes: readonly Route[]
  /** Name, version and description of the service, in its document. */
  readonly title: string
  readonly version: string
  readonly description: string
  /** Schemas that are shared, by the name that the document gives them. @default none */
  readonly definitions?: Readonly<Record<string, Schema>> | undefined
  /** What each status of a problem means, where the document has more to say than usual. @default none */
  readonly reasons?: Readonly<Record<number, string>> | undefined
  /** How answers are written, unless a route has a format of its own. @default the bare value, and RFC 9457 problem details */
  readonly format?: AnswerFormat | undefined
  /** Who asks; undefined for a stranger. Nothing of the body has been read yet. @default nobody is known */
  readonly authenticate?: ((request: Request) => U | undefined | Promise<U | undefined>) | undefined
  /** The bearer token of the operator; 16 visible ASCII characters at least. @default none: nobody is the operator */
  readonly operatorToken?: string | undefined
  /** Host names that the service is reached under, beside `localhost`, `127.0.0.1` and `[::1]`. @default none */
  readonly hosts?: readonly string[] | undefined
  /** Origins whose web pages may use the service, such as `https://wallet.example`. @default none */
  readonly origins?: readonly string[] | undefined
  /** Reads the text of a body. @default JSON.parse */
  readonly readBody?: ((text: string) => unknown) | undefined
  /** Writes an answer. @default JSON.stringify */
  readonly writeBody?: ((value: unknown) => string) | undefined
  /** Where answers are kept by `Idempotency-Key`; needed if a route is `keyed`. @default none */
  readonly keys?: IdempotencyKeys | undefined
  /** Names a user for good: keys are each user's own. Needed with `keys` if there are users. */
  readonly userId?: ((user: U) => string) | undefined
  /** Milliseconds in which a request is answered; what it began goes on after that. @default 30000 */
  readonly deadline?: number | undefined
  /** Requests that may be under way at once, those included whose answer came too late. @default 256 */
  readonly maxRequests?: number | undefined
  /** Bytes that a body may have, unless its route says otherwise. @default 65536 */
  readonly maxBody?: number | undefined
  /** Code of a path whose parameters are malformed. @default BAD_ARGUMENT */
  readonly malformedPath?: 'BAD_ARGUMENT' | 'NOT_FOUND' | undefined
  /** Traces and counts requests. @default none */
  readonly telemetry?: Telemetry | undefined
  /**
   * What `GET /ready` checks, beside `GET /health` and `GET /openapi.json`; false for a service that has such routes of its
   * own. @default nothing is checked
   */
  readonly health?: Checks | false | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

/** A service that answers HTTP requests. */
export interface HttpService {
  /** Answers a request. Never rejects. */
  fetch(request: Request): Promise<Response>
  /** The OpenAPI 3.1 document. */
  readonly openapi: object
}

/** A request that a route was found for. */
interface Visit {
  readonly route: Route
  readonly request: Request
  readonly url: URL
  readonly params: Record<string, string>
}
/** Who asks: a user, the operator, or nobody in particular. */
type Caller<U> = { readonly is: Access; readonly user: U | undefined }

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]']
const MAX_BODY = 65_536
/** For what goes wrong in a format itself. */
const lastResort = plainFormat()
/** Methods and headers that a welcome page may send. */
const PREFLIGHT = {
  'access-control-allow-methods': 'GET, PUT, POST, PATCH, DELETE',
  'access-control-allow-headers': 'authorization, content-type, idempotency-key, traceparent, tracestate',
  'access-control-max-age': '600',
}
/** The more a caller may do, the further back. */
const ranks: readonly Access[] = ['public', 'user', 'operator']

/**
 * Creates a service of routes: a fetch handler. `listenHttp` puts it on a port.
 *
 * A request is checked in this order, and what is wrong first is answered: host and origin (403), path (404), method (405),
 * room (503), who asks (401, 403), media type (415), parameters and query (400), body (413, 400), its key (409, 422). A path
 * that does not exist is guarded like the most open one, so that a stranger to whom nothing is open learns of no path.
 * @throws `BAD_ARGUMENT` for options that don't fit together.
 * @example
 * ```ts
 * const service = createHttpService({ routes, title: 'Clock', version: '1.0.0', description: 'Tells the time.' })
 * const answer = await service.fetch(new Request('http://localhost/time'))
 * ```
 */
export function createHttpService<U>(options: HttpServiceOptions<U>): HttpService {
  const { format: usual = plainFormat(), authenticate, operatorToken, keys, userId, telemetry, health = {} } = options
  const { writeBody = JSON.stringify, maxRequests = 256, maxBody = MAX_BODY, malformedPath = 'BAD_ARGUMENT' } = options
  const { clock = systemClock, log = silentLogger, deadline = 30_000 } = options
  for (const [name, value] of Object.entries({ maxRequests, maxBody, deadline })) {
    assertArgument(Number.isSafeInteger(value) && value > 0, name, 'a whole number above zero')
  }
  assertArgument(
    operatorToken === undefined || /^[\x21-\x7e]{16,}$/.test(operatorToken),
    'operatorToken',
    'at least 16 visible ASCII characters',
  )
  const own = health === false ? [] : healthRoutes({ checks: health, clock, openapi: () => service.openapi })
  const routes = [...options.routes, ...own]
  const keyed = routes.filter((route) => route.keyed === true)
  assertArgument(keyed.length === 0 || keys, 'keys', 'given, since there are keyed routes')
  assertArgument(
    userId || !keyed.some(({ access }) => access === 'user'),
    'userId',
    'given, since there are keyed routes of users',
  )
  const hosts = new Set([...LOOPBACK, ...(options.hosts ?? []).map(hostName)])
  const origins = new Set(options.origins)
  assertArgument([...origins].every(isOrigin), 'origins', 'origins such as https://wallet.example')

  const deadlines = createDeadlines(deadline, clock)
  let running = 0
  let document: object | undefined

  /** Who asks, if that is enough for what is asked. */
  async function callerOf(request: Request, access: Access): Promise<Caller<U>> {
    if (access === 'public') return { is: 'public', user: undefined }
    if (access === 'operator' && operatorToken !== undefined && hasToken(request, operatorToken))
      return { is: 'operator', user: undefined }
    const user = await authenticate?.(request)
    if (user === undefined) {
      const given = bearerOf(request) !== undefined
      throw new SluiceError('UNAUTHENTICATED', given ? 'the bearer token is unknown, or has ended' : 'a bearer token is needed')
    }
    if (access === 'operator') throw new SluiceError('NOT_ALLOWED', 'only the operator may do that')
    return { is: 'user', user }
  }

  /** Does what is asked. */
  async function perform(
    { route, request, url, params }: Visit,
    late: () => AbortSignal,
    marks: Record<string, string>,
  ): Promise<Response> {
    const { method, body: bodySchema, format = usual } = route
    const caller = await callerOf(request, route.access)
    const refused = method === 'get' ? undefined : checkMediaType(request, bodySchema !== undefined)
    if (refused) return answerTo(refused, request, format)
    const checked = {
      params: route.params && parse(route.params, params, 'path', malformedPath),
      query: route.query && parse(route.query, Object.fromEntries(url.searchParams), 'query'),
    }
    const read =
      bodySchema && (await readBody(request, { limit: route.maxBody ?? maxBody, parse: options.readBody, signal: late }))
    const input: RouteInput<unknown, unknown, unknown, unknown> = {
      ...checked,
      body: bodySchema && parse(bodySchema, read!.value, 'body'),
      user: caller.user,
      request,
      marks,
      // Made only for who looks: it costs more than all the rest.
      get signal() {
        return AbortSignal.any([late(), request.signal])
      },
    }
    const handle = async (): Promise<Response> => {
      const given = await route.handle(input)
      const answer = isRefusal(given) ? answerTo(given, request, format) : write(given, route, format)
      if (request.method !== 'HEAD') return answer
      await answer.body?.cancel()
      return new Response(null, answer)
    }
    const key = route.keyed === true ? idempotencyKeyOf(request) : null
    if (key === null) return handle()
    const owner = caller.is === 'user' ? `user ${userId!(caller.user!)}` : caller.is
    const fingerprint = fingerprintOf(request.method, url, read?.text ?? '')
    const answerFor = (error: unknown): Response => answerTo(error, request, format, route)
    return once(keys!, { owner, key, fingerprint }, { handle: () => handle().catch(answerFor), refuse: answerFor, log })
  }

  function write(value: unknown, { status = 200 }: Route, format: AnswerFormat): Response {
    if (value instanceof Response) return value
    const answer = status === 204 ? undefined : format.answer(value)
    if (answer === undefined) return new Response(null, { status })
    return wholeAnswer(writeBody(answer), { status, headers: { 'content-type': 'application/json' } })
  }

  /** The answer to an error or a refusal; failures of the service itself are logged. */
  function answerTo(error: unknown, request: Request, format: AnswerFormat, route?: Route): Response {
    let answer: Response
    try {
      answer = format.problem(error, request)
    } catch (cause) {
      log.error('a format failed', { route: route?.id, reason: reasonOf(cause) })
      answer = lastResort.problem(cause, request)
    }
    if (answer.status >= 500) {
      const code = isSluiceError(error) ? error.code : undefined
      log.error('a request failed', { status: answer.status, code, route: route?.id, reason: reasonOf(error) })
    }
    if (answer.status === 401) answer.headers.set('www-authenticate', 'Bearer')
    if (answer.status === 503) answer.headers.set('retry-after', '1')
    for (const [name, value] of Object.entries(isRefusal(error) ? error.headers ?? {} : {})) answer.headers.set(name, value)
    return answer
  }

  /** Answers a request whose path and method are known, in time. */
  async function visit(there: Visit): Promise<Response> {
    const { route, request } = there
    const { format = usual } = route
    const marks: Record<string, string> = {}
    let late: AbortController | undefined
    const signal = (): AbortSignal => (late ??= new AbortController()).signal
    const work = (): Promise<Response> =>
      perform(there, signal, marks).catch((error: unknown) => answerTo(error, request, format, route))
    if (route.immediate) return work()
    if (running >= maxRequests) {
      const full = new SluiceError('OVERLOADED', `${maxRequests} requests are under way`, { details: { limit: maxRequests } })
      return answerTo(full, request, format, route)
    }
    running++
    return new Promise((resolve, reject) => {
      const end = deadlines.begin(() => {
        // Nothing is called off: a payment or a transaction that was begun is not undone by an impatient client.
        const error = new SluiceError('TIMEOUT', `not over within ${deadline} ms; what was begun goes on`, {
          details: { ...marks, deadline },
        })
        resolve(answerTo(error, request, format, route))
        signal()
        late!.abort(error)
      })
      const over = (): void => {
        running--
        end()
      }
      work()
        .finally(over)
        .then((answer) => {
          resolve(answer)
          // Nobody reads it any more.
          if (late?.signal.aborted) answer.body?.cancel().catch(() => {})
        })
        .catch(reject)
    })
  }

  const run = (there: Visit): Promise<Response> =>
    telemetry ? telemetry.request(there.route, there.request, () => visit(there)) : visit(there)

  /** Stands where no route is: guarded like the most open of `near`, it only says why. */
  function noRoute(near: readonly Route[], why: Refusal | SluiceError): Route {
    const least = near.reduce<Access>(
      (open, { access }) => (ranks.indexOf(access) < ranks.indexOf(open) ? access : open),
      'operator',
    )
    const { format = usual } = near[0] ?? {}
    const about = {
      method: 'get',
      path: '',
      id: 'none',
      summary: '',
      access: least,
      immediate: least === 'public',
      format,
    } as const
    return { ...about, handle: ({ request }) => answerTo(why, request, format) }
  }

  const app = new Hono<{ Bindings: { url: URL } }>()
  const on = (c: Context<{ Bindings: { url: URL } }>, route: Route): Promise<Response> =>
    run({ route, request: c.req.raw, url: c.env.url, params: c.req.param() })
  for (const route of routes) app.on(route.method.toUpperCase(), route.path.replace(/\{(\w+)\}/g, ':$1'), (c) => on(c, route))
  /** Paths with what they take, for who comes with another method. */
  const paths = [...new Set(routes.map(({ path }) => path))].map((path) => {
    const near = routes.filter((route) => route.path === path)
    const there = near.filter(({ status = 200 }) => status < 400)
    const allow = there.flatMap(({ method }) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()])).join(', ')
    const why = refusal('METHOD_NOT_ALLOWED', 'this path does not take that method', { allow })
    return { pattern: patternOf(path), route: noRoute(near, why) }
  })
  // That a service lives is no secret, and opens nothing else.
  const guards = options.routes.filter(({ immediate }) => !immediate)
  const nothing = noRoute(guards, new SluiceError('NOT_FOUND', 'there is nothing here'))
  app.notFound((c) => on(c, paths.find(({ pattern }) => pattern.test(c.env.url.pathname))?.route ?? nothing))
  app.onError((error, c) => answerTo(error, c.req.raw, usual))

  async function guarded(request: Request): Promise<Response> {
    const url = new URL(request.url)
    const refused = checkHost(request, url, hosts) ?? checkOrigin(request, origins)
    if (refused) return answerTo(refused, request, usual)
    if (request.method === 'OPTIONS' && request.headers.has('origin') && request.headers.has('access-control-request-method')) {
      return new Response(null, { status: 204, headers: PREFLIGHT })
    }
    return app.fetch(request, { url })
  }

  const service: HttpService = {
    get openapi() {
      return (document ??= openApi({
        ...options,
        routes,
        format: usual,
        malformedPath: malformedPath === 'NOT_FOUND' ? 404 : 400,
      }))
    },
    async fetch(request) {
      const given = await guarded(request).catch((error: unknown) => answerTo(error, request, usual))
      const answer = writable(given)
      // What a handler says itself of an answer holds: a picture under its hash never changes.
      if (!answer.headers.has('cache-control')) answer.headers.set('cache-control', 'no-store')
      answer.headers.set('x-content-type-options', 'nosniff')
      answer.headers.set('vary', 'origin')
      const origin = request.headers.get('origin')
      if (origin !== null && origins.has(origin)) answer.headers.set('access-control-allow-origin', origin)
      return answer
    },
  }
  return service
}

/** Lets a request of a key run once, and gives its answer to all who repeat it. */
async function once(
  keys: IdempotencyKeys,
  request: KeyedRequest,
  { handle, refuse, log }: { handle: () => Promise<Response>; refuse(why: Refusal): Response; log: Logger },
): Promise<Response> {
  const state = await keys.claim(request)
  if (state.is === 'running')
    return refuse(
      refusal('IDEMPOTENCY_KEY_IN_USE', 'the first request of this Idempotency-Key is under way', { 'retry-after': '1' }),
    )
  if (state.is === 'other') return refuse(refusal('IDEMPOTENCY_KEY_REUSED', 'this Idempotency-Key was used for another request'))
  if (state.is === 'answered') {
    const { status, media, body } = state.answer
    return new Response(body.length > 0 ? (body as BodyInit) : null, {
      status,
      headers: media === null ? {} : { 'content-type': media },
    })
  }
  // Every answer is kept, also one of a failure whose outcome is unknown: only 503 says that nothing was begun.
  const answer = await handle()
  const body = new Uint8Array(await answer.clone().arrayBuffer())
  const kept =
    answer.status === 503 ? state.free() : state.keep({ status: answer.status, media: answer.headers.get('content-type'), body })
  await kept.catch((error: unknown) =>
    log.error('what became of an idempotency key could not be written', { reason: reasonOf(error) }),
  )
  return answer
}

/** Checks what came in. @throws `BAD_ARGUMENT` whose details name each field that is wrong. */
function parse(schema: Schema, value: unknown, name: string, code: 'BAD_ARGUMENT' | 'NOT_FOUND' = 'BAD_ARGUMENT'): unknown {
  const result = v.safeParse(schema, value)
  if (result.success) return result.output
  const problems = result.issues
    .slice(0, 8)
    .map((issue): [string, string] => [v.getDotPath(issue)?.slice(0, 64) ?? name, flawOf(issue).slice(0, 200)])
  const [field, message] = problems[0]!
  throw new SluiceError(code, `${field}: ${message}`, { details: Object.fromEntries(problems) })
}

/** What is wrong, in words. What was received is not repeated: it may be a secret. */
function flawOf(issue: v.BaseIssue<unknown>): string {
  // Of a union without words of its own, what one of its options says.
  const said = [issue, ...(issue.issues ?? [])].find(({ message }) => !/^Invalid .+: (Expected|Received) /.test(message))
  if (said) return said.message
  const { expected, received, type } = issue
  if (expected === 'never') return 'is no field here'
  if (received === 'undefined') return 'is missing'
  if (expected === null) return 'is not valid'
  return type === 'regex' ? `must match ${expected}` : `must be ${expected === 'Object' ? 'an object' : expected}`
}

/** What makes two requests the same: the rest of their headers doesn't. */
function fingerprintOf(method: string, { pathname, search }: URL, body: string): string {
  return toHex(engine().sha256(utf8(`${method} ${pathname}${search}\n${body}`))).slice(2)
}

/** What a path with `{names}` in it looks like. */
function patternOf(path: string): RegExp {
  const parts = path.split(/\{\w+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('[^/]+')}$`)
}

/** The same answer, with headers that can be set. */
function writable(answer: Response): Response {
  try {
    answer.headers.delete('x-content-type-options')
    return answer
  } catch {
    return new Response(answer.body, answer)
  }
}

function hostName(host: string): string {
  const name = nameOf(host)
  assertArgument(name !== undefined && name !== '', 'hosts', 'host names')
  return name
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text
}

function reasonOf(error: unknown): string {
  if (isRefusal(error)) return error.detail
  return error instanceof Error ? error.message : String(error)
}
