/**
 * Who may ask: checks of a request before anything of it is read.
 *
 * A web page that somebody opens beside a node can send requests to it, and by DNS rebinding under a name of its own. It
 * can choose neither `Host` nor `Origin`, and has no token.
 * @module
 */
import { utf8 } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { SluiceError } from '../../core/errors.ts'
import { refusal } from './problem.ts'

/** The most that a body may have, in bytes. */
export const MAX_BODY = 64 * 1024

/** Refuses a `Host`, or a URL, that names another machine. */
export function checkHost(request: Request, hosts: ReadonlySet<string>): Response | undefined {
  const { host, hostname } = new URL(request.url)
  // A handler may be given both, and must not be fooled with either.
  const named = nameOf(request.headers.get('host') ?? host)
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
export function checkOrigin(request: Request, origins: ReadonlySet<string>): Response | undefined {
  const origin = request.headers.get('origin')
  return origin === null || origins.has(origin) ? undefined : refusal('ORIGIN_REFUSED', 'requests of this origin are refused')
}

/** Refuses whoever doesn't have the token. */
export function checkToken(request: Request, token: string): Response | undefined {
  const [, given] = /^bearer ([\x21-\x7e]+)$/i.exec(request.headers.get('authorization') ?? '') ?? []
  if (given !== undefined && sameSecret(given, token)) return undefined
  return refusal('UNAUTHORIZED', 'a bearer token is needed', { 'www-authenticate': 'Bearer' })
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
export function checkMediaType(request: Request, needed: boolean): Response | undefined {
  const type = request.headers.get('content-type')
  if (type === null ? !needed : /^application\/json *(;|$)/i.test(type)) return undefined
  return refusal('MEDIA_TYPE_UNSUPPORTED', 'a body must have the content type application/json', { accept: 'application/json' })
}

/**
 * Reads a JSON body.
 * @throws `MESSAGE_TOO_LARGE` above {@link MAX_BODY}, of which no more is read; `BAD_ARGUMENT` unless it is JSON in UTF-8.
 */
export async function readJson(request: Request): Promise<unknown> {
  if (Number(request.headers.get('content-length') ?? 0) > MAX_BODY) throw tooLarge()
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let text = ''
  let size = 0
  try {
    for await (const chunk of request.body ?? []) {
      size += chunk.length
      if (size > MAX_BODY) throw tooLarge()
      text += decoder.decode(chunk, { stream: true })
    }
    text += decoder.decode()
    return JSON.parse(text) as unknown
  } catch (error) {
    if (error instanceof SluiceError) throw error
    throw new SluiceError('BAD_ARGUMENT', 'the body must be JSON in UTF-8', { details: { name: 'body' } })
  }
}

function tooLarge(): SluiceError {
  return new SluiceError('MESSAGE_TOO_LARGE', `a body must have at most ${MAX_BODY} bytes`, { details: { limit: MAX_BODY } })
}
