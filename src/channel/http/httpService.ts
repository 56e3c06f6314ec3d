import type * as v from 'valibot'
import { assertArguments, callback, clock as clockRule, flag, having, listOf, logger, milliseconds, optional, text as textRule } from '../../core/argument.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { assertArgument, SluiceError } from '../../core/errors.ts'
import { hasToken } from '../../core/http/guards.ts'
import { createHttpService as createService } from '../../core/http/httpService.ts'
import { silentLogger, type Logger } from '../../core/log.ts'
import type { ChannelNode } from '../channelNode.ts'
import type { ChannelEvents } from '../node/events.ts'
import { eventStream } from './eventStream.ts'
import { about, routesOf } from './openApi.ts'
import type { RouteContext } from './routes.ts'
import { eventSchemas, type notificationsAnswer } from './schemas.ts'

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
  /** The OpenAPI 3.1 document. */
  readonly openapi: object
  /** Whether it needs no token. */
  readonly open: boolean
}

/** Streams of events at once. */
const MAX_STREAMS = 32
/** Notifications that are kept. */
const MAX_NOTIFICATIONS = 100
/** Idempotency keys whose request is remembered; the payment of an older one is still paid only once. */
const MAX_KEYS = 10_000
const eventNames = Object.keys(eventSchemas) as (keyof ChannelEvents)[]

const optionRules = {
  token: optional(textRule()),
  open: optional(flag),
  hosts: optional(listOf(textRule(1))),
  origins: optional(listOf(textRule(1))),
  deadline: optional(milliseconds),
  shutdown: optional(callback),
  clock: optional(clockRule),
  log: optional(logger),
}

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
  assertArguments({ node }, { node: having('a channel node', 'pay', 'channels', 'stop') })
  assertArguments(options, optionRules, 'options')
  const { token, open = false, deadline = 90_000, shutdown = () => node.stop() } = options
  const { clock = systemClock, log = silentLogger } = options
  assertArgument(open ? token === undefined : token !== undefined && /^[\x21-\x7e]{16,}$/.test(token), 'token',
    'at least 16 visible ASCII characters, or left out with open: true')
  const over = new AbortController()
  let ready = false
  node.caughtUp(over.signal).then(() => (ready = true), () => {})
  const notices = keepNotices(node)
  node.events.once('stopped', () => over.abort())
  const keys = new Map<string, string>()
  let streams = 0

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
    openapi: () => service.openapi,
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

  const routes = routesOf(() => context).map((route) => ({
    ...route,
    handle(input: Parameters<typeof route.handle>[0]) {
      if (over.signal.aborted && route.id !== 'health' && route.id !== 'getStatus') throw new SluiceError('ABORTED', 'the node has stopped')
      return route.handle(input)
    },
  }))
  const service = createService<true>({
    ...about,
    routes,
    authenticate: (request) => (token === undefined || hasToken(request, token) ? true : undefined),
    hosts: options.hosts,
    origins: options.origins,
    malformedPath: 'NOT_FOUND',
    health: false,
    deadline,
    clock,
    log,
  })
  return {
    fetch: service.fetch,
    get openapi() {
      return service.openapi
    },
    open,
  }
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
