import { Resolver } from 'node:dns/promises'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { utf8 } from '../bytes.ts'
import { systemClock, type Clock } from '../clock.ts'
import { withDeadline } from '../deadline.ts'
import { isSluiceError, SluiceError } from '../errors.ts'
import { isPrivateAddress } from './privateAddress.ts'

/** What is sent. */
export interface SafePost {
  /** JSON text. */
  readonly body: string
  /** Beside content-type, content-length and host. @default none */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Milliseconds for the whole exchange: name, connection, request and answer. @default 10000 */
  readonly timeout?: number | undefined
  /** Bytes that the answer's body may have. @default 1 MiB */
  readonly maxBytes?: number | undefined
  /** The caller's own way out. @default none */
  readonly signal?: AbortSignal | undefined
}

/** What came back, whatever the status: redirects are not followed. */
export interface SafeAnswer {
  readonly status: number
  readonly bytes: Uint8Array
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
}

/**
 * Posts JSON to an address that a stranger chose. Errors never quote what came from there.
 * @throws `ADDRESS_REFUSED` for an address that is no http or https one, has credentials, or leads to where only this
 * machine can go; `TIMEOUT`; `CONNECTION_FAILED`, also for names that nobody has; `MESSAGE_TOO_LARGE`; `OVERLOADED` when too
 * many wait for a connection; `ABORTED`.
 */
export type SafeFetch = (url: string, post: SafePost) => Promise<SafeAnswer>

/** Finds the addresses of a host name. */
export type Resolve = (host: string) => Promise<readonly string[]>

/** Options of {@link createSafeFetch}. */
export interface SafeFetchOptions {
  /** Lets addresses be private: for trials on one machine. @default false */
  readonly allowPrivate?: boolean | undefined
  /** Connections to one host at most. @default 64 */
  readonly maxConnectionsPerHost?: number | undefined
  /** Connections at most. @default 1024 */
  readonly maxConnections?: number | undefined
  /** @default asks the machine's name servers; not its file of hosts, which strangers' names are not in */
  readonly resolve?: Resolve | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/** Exchanges that may be under way or wait for a connection; more are refused. */
const MAX_UNDER_WAY = 10_000
/** Milliseconds that a connection is kept for the next request: less than servers keep theirs, of which Node's 5 s are least. */
const IDLE = 4000
const TIMEOUT = 10_000
const MAX_BYTES = 2 ** 20

/**
 * Creates the way out to addresses that strangers chose, guarded against server-side request forgery: a name is resolved
 * once, each of its addresses is looked at, and the connection is made to those very ones, so that a name which means
 * another place a moment later (DNS rebinding) leads nowhere.
 */
export function createSafeFetch(options: SafeFetchOptions = {}): { readonly fetch: SafeFetch; close(): void } {
  const { allowPrivate = false, maxConnectionsPerHost = 64, maxConnections = 1024, clock = systemClock } = options
  const { resolve = nameServers() } = options

  /** What the connection is made to: `lookup` is the only one who turns names into addresses. */
  const lookup: LookupFunction = (host, { all }, done) => {
    find(host).then(
      (addresses) => (all ? done(null, addresses) : done(null, addresses[0]!.address, addresses[0]!.family)),
      (error: Error) => done(error, ''),
    )
  }
  async function find(host: string): Promise<{ address: string; family: number }[]> {
    const addresses = isLocalName(host) ? ['127.0.0.1', '::1'] : await resolve(host)
    // One bad address is enough: nobody has a public server and a private one under a name by chance.
    if (!allowPrivate && addresses.some(isPrivateAddress)) throw refused('leads to a private address')
    if (addresses.length === 0) throw new SluiceError('CONNECTION_FAILED', 'the host name has no address')
    return addresses.map((address) => ({ address, family: isIP(address) }))
  }

  const pool = { keepAlive: true, timeout: IDLE, maxSockets: maxConnectionsPerHost, maxTotalSockets: maxConnections, lookup }
  const http = new HttpAgent(pool)
  const https = new HttpsAgent(pool)
  let underWay = 0

  async function fetch(address: string, post: SafePost): Promise<SafeAnswer> {
    const { body, headers, timeout = TIMEOUT, maxBytes = MAX_BYTES, signal } = post
    const url = urlOf(address)
    // A literal is never looked up.
    const literal = url.hostname.replace(/^\[|\]$/g, '')
    if (!allowPrivate && isIP(literal) && isPrivateAddress(literal)) throw refused('is a private address')
    if (underWay >= MAX_UNDER_WAY)
      throw new SluiceError('OVERLOADED', 'too many requests wait for connections', { details: { limit: MAX_UNDER_WAY } })
    underWay++
    try {
      const bytes = utf8(body)
      const request: RequestOptions = {
        method: 'POST',
        agent: url.protocol === 'https:' ? https : http,
        headers: { ...headers, 'content-type': 'application/json', 'content-length': bytes.length },
      }
      return await withDeadline({ what: 'the answer', ms: timeout, signal, clock }, (over) =>
        exchange(url, request, bytes, maxBytes, over),
      )
    } finally {
      underWay--
    }
  }

  return {
    fetch,
    close() {
      http.destroy()
      https.destroy()
    },
  }
}

/** Sends a request and reads the whole answer. */
function exchange(url: URL, options: RequestOptions, body: Uint8Array, maxBytes: number, over: AbortSignal): Promise<SafeAnswer> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options)
    const fail = (error: unknown): void => {
      reject(
        isSluiceError(error)
          ? error
          : new SluiceError('CONNECTION_FAILED', 'the server did not answer as one', {
            details: { reason: codeOf(error) },
            cause: error,
          }),
      )
      request.destroy()
    }
    over.addEventListener('abort', () => request.destroy(), { once: true })
    request.on('error', fail)
    // Nobody else would notice, and wait.
    request.on('upgrade', (_, socket) => {
      socket.destroy()
      fail(new Error('another protocol'))
    })
    request.on('response', (answer: IncomingMessage) => {
      const chunks: Uint8Array[] = []
      let size = 0
      const tooLarge = (): void =>
        fail(
          new SluiceError('MESSAGE_TOO_LARGE', `the answer must have at most ${maxBytes} bytes`, {
            details: { limit: maxBytes },
          }),
        )
      if (Number(answer.headers['content-length'] ?? 0) > maxBytes) return tooLarge()
      answer.on('error', fail)
      answer.on('data', (chunk: Uint8Array) => {
        size += chunk.length
        if (size > maxBytes) return tooLarge()
        chunks.push(chunk)
      })
      answer.on('end', () => resolve({ status: answer.statusCode!, bytes: join(chunks, size), headers: answer.headers }))
    })
    request.end(body)
  })
}

function urlOf(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw refused('is no http or https address')
  if (url.username !== '' || url.password !== '') throw refused('has credentials in it')
  return url
}

function refused(why: string): SluiceError {
  return new SluiceError('ADDRESS_REFUSED', `the address ${why}`)
}

/** Names that mean the machine itself, which no name server should be asked (RFC 6761). */
function isLocalName(host: string): boolean {
  return /(^|\.)localhost\.?$/i.test(host)
}

/** Asks name servers without a thread of the pool: one that never answers must hold up nobody else. */
function nameServers(): Resolve {
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  return async (host) => {
    const found = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
    return found.flatMap((each) => (each.status === 'fulfilled' ? each.value : []))
  }
}

function join(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const out = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    out.set(chunk, at)
    at += chunk.length
  }
  return out
}

/** Node's name of what went wrong, as `ECONNREFUSED`. */
function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown'
}
