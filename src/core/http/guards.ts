/**
 * Who may ask, and how much: checks of a request before it means anything.
 *
 * A web page that somebody opens beside a server can send requests to it, and by DNS rebinding under a name of its own. It
 * can choose neither `Host` nor `Origin`, and has no token.
 * @module
 */
import { concatBytes, utf8 } from '../bytes.ts'
import { engine } from '../crypto/engine.ts'
import { isSluiceError, SluiceError } from '../errors.ts'
import { refusal, type Refusal } from './problem.ts'

/** Refuses a `Host`, or a URL, that names another machine. */
export function checkHost(request: Request, { host, hostname }: URL, hosts: ReadonlySet<string>): Refusal | undefined {
  // A handler may be given both, and must not be fooled with either.
  const header = request.headers.get('host')
  const named = header === null || header === host ? hostname : nameOf(header)
  if (named !== undefined && hosts.has(named) && hosts.has(hostname)) return undefined
  return refusal('HOST_REFUSED', 'this service does not answer under that host name')
}

/** A host name without its port, as URLs write it; undefined if it is none. */
export function nameOf(host: string): string | undefined {
  try {
    const url = new URL(`http://${host}/`)
    return url.pathname === '/' && url.username === '' && url.search === '' && url.hash === '' ? url.hostname : undefined
  } catch {
    return undefined
  }
}

/** Refuses requests of web pages that are not welcome. */
export function checkOrigin(request: Request, origins: ReadonlySet<string>): Refusal | undefined {
  const origin = request.headers.get('origin')
  return origin === null || origins.has(origin) ? undefined : refusal('ORIGIN_REFUSED', 'requests of this origin are refused')
}

/** The bearer token of a request (RFC 6750); undefined for none. */
export function bearerOf(request: Request): string | undefined {
  return /^bearer ([\x21-\x7e]+)$/i.exec(request.headers.get('authorization') ?? '')?.[1]
}

/** Whether a request brings `token`, compared in a time that doesn't tell where they differ. */
export function hasToken(request: Request, token: string): boolean {
  const given = bearerOf(request)
  return given !== undefined && sameSecret(given, token)
}

/** Whether two secrets are equal, in a time that doesn't tell where they differ: the hashes are compared, to the end. */
export function sameSecret(a: string, b: string): boolean {
  const left = engine().sha256(utf8(a))
  const right = engine().sha256(utf8(b))
  let difference = 0
  for (let i = 0; i < 32; i++) difference |= left[i]! ^ right[i]!
  return difference === 0
}

/** Refuses a body that is not declared as JSON: HTML forms can't do that. */
export function checkMediaType(request: Request, needed: boolean): Refusal | undefined {
  const type = request.headers.get('content-type')
  if (type === null ? !needed : /^application\/json *(;|$)/i.test(type)) return undefined
  return refusal('MEDIA_TYPE_UNSUPPORTED', 'a body must have the content type application/json', { accept: 'application/json' })
}

/** The pattern of an `Idempotency-Key`. */
export const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/

/** The `Idempotency-Key` of a request; null for none. @throws `BAD_ARGUMENT` */
export function idempotencyKeyOf(request: Request): string | null {
  const key = request.headers.get('idempotency-key')
  if (key === null || IDEMPOTENCY_KEY.test(key)) return key
  throw new SluiceError('BAD_ARGUMENT', 'Idempotency-Key must have 1 to 255 visible ASCII characters', {
    details: { name: 'Idempotency-Key' },
  })
}

/** Options of {@link readBody}. */
export interface ReadBodyOptions {
  /** Bytes at most. */
  readonly limit: number
  /** Reads the text. @default JSON.parse */
  readonly parse?: ((text: string) => unknown) | undefined
  /** Gives a signal that ends the reading. @default none */
  readonly signal?: (() => AbortSignal) | undefined
}

/**
 * Reads a body of UTF-8 text.
 * @returns the text as it came, and what `parse` makes of it.
 * @throws `MESSAGE_TOO_LARGE` above the limit, of which no more is read; `BAD_ARGUMENT` unless it is UTF-8 and `parse` takes
 * it; the errors of this library that `parse` throws; `ABORTED`.
 */
export async function readBody(request: Request, options: ReadBodyOptions): Promise<{ text: string; value: unknown }> {
  const { limit, parse = JSON.parse, signal } = options
  const length = request.headers.get('content-length')
  if (Number(length ?? 0) > limit) throw tooLarge(limit)
  try {
    // A server takes no more of the connection than the length that was declared: it is read in one go, which is faster.
    const bytes = length === null ? await readStream(request, limit, signal?.()) : new Uint8Array(await request.arrayBuffer())
    if (bytes.length > limit) throw tooLarge(limit)
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return { text, value: parse(text) }
  } catch (error) {
    if (isSluiceError(error)) throw error
    throw new SluiceError('BAD_ARGUMENT', 'the body must be JSON in UTF-8', { details: { name: 'body' } })
  }
}

async function readStream(request: Request, limit: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const reader = request.body?.getReader()
  const stop = (): void => void reader?.cancel().catch(() => {})
  signal?.addEventListener('abort', stop, { once: true })
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
      chunks.push(next.value)
      size += next.value.length
      if (size > limit) throw tooLarge(limit)
    }
    if (signal?.aborted) throw new SluiceError('ABORTED', 'the body was not read to its end')
    return concatBytes(...chunks)
  } catch (error) {
    stop()
    throw error
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

function tooLarge(limit: number): SluiceError {
  return new SluiceError('MESSAGE_TOO_LARGE', `a body must have at most ${limit} bytes`, { details: { limit } })
}
