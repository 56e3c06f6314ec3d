/**
 * A registry behind HTTP: `GET {url}/sellers?cursor=` and `GET {url}/sellers/{account}`.
 * @module
 */
import type { AxiosError } from 'axios'
import { loadAxios } from '#platform'
import * as v from 'valibot'
import { assertArguments, milliseconds, optional, signalOf, text } from '../../core/argument.ts'
import { SluiceError } from '../../core/errors.ts'
import {
  assertEntry,
  isAccount,
  listRules,
  noSuchSeller,
  type Registry,
  type RegistryEntry,
  tryEntry,
} from './registry.ts'

/** The most an answer may hold, in bytes. */
const MAX_ANSWER = 1024 * 1024
/** Entries in one page of a list. */
const PAGE = 100

const entrySchema = v.object({ account: v.string(), endpoint: v.string(), publicKey: v.string(), menuHash: v.string() })
const pageSchema = v.object({ entries: v.array(entrySchema), next: v.nullable(v.string()) })

/** Options of {@link httpRegistry}. */
export interface HttpRegistryOptions {
  /** Where the registry answers, without a slash at the end. */
  readonly url: string
  /** Milliseconds for one answer. @default 10000 */
  readonly timeout?: number | undefined
}

/**
 * Reads a registry over HTTP. What it says is checked: an entry whose key isn't its account's is refused, so that the
 * server can withhold sellers but not invent them.
 */
export function httpRegistry(options: HttpRegistryOptions): Registry {
  assertArguments(options, { url: text(1), timeout: optional(milliseconds) }, 'options')
  const { url, timeout = 10_000 } = options
  const get = async <T>(
    path: string,
    schema: v.GenericSchema<unknown, T>,
    signal: AbortSignal | undefined,
  ): Promise<T | undefined> => {
    try {
      const limits = { timeout, maxContentLength: MAX_ANSWER, maxRedirects: 0 }
      const axios = await loadAxios()
      const { data } = await axios.get<unknown>(url + path, { ...limits, ...(signal ? { signal } : {}) })
      return v.parse(schema, data)
    } catch (cause) {
      if ((cause as AxiosError).response?.status === 404) return undefined
      if (signal?.aborted) throw new SluiceError('ABORTED', 'asking the registry was aborted', { cause })
      throw new SluiceError('CONNECTION_FAILED', `the registry at ${url} did not answer as one`, { details: { url }, cause })
    }
  }
  return {
    find: async (account, options) => {
      const signal = signalOf(options)
      if (!isAccount(account)) throw noSuchSeller(account)
      const entry = await get(`/sellers/${account}`, entrySchema, signal)
      if (!entry || entry.account.toLowerCase() !== account.toLowerCase()) throw noSuchSeller(account)
      return assertEntry(entry as RegistryEntry)
    },
    async *list(options = {}) {
      assertArguments(options, listRules, 'options')
      const { filter = () => true, signal } = options
      for (let cursor: string | null = ''; cursor !== null; ) {
        const page: v.InferOutput<typeof pageSchema> | undefined = await get(`/sellers?cursor=${encodeURIComponent(cursor)}`, pageSchema, signal)
        if (!page) return
        for (const raw of page.entries) {
          const entry = tryEntry(raw as RegistryEntry)
          if (entry && filter(entry)) yield entry
        }
        if (page.next !== null && (page.entries.length === 0 || page.next === cursor)) {
          throw new SluiceError('CONNECTION_FAILED', `the registry at ${url} goes round in circles`, { details: { url } })
        }
        cursor = page.next
      }
    },
  }
}

/** Serves any registry to {@link httpRegistry}, as a fetch handler. */
export function registryHandler(registry: Registry): (request: Request) => Promise<Response> {
  return async (request) => {
    const { pathname, searchParams } = new URL(request.url)
    const [, account] = /\/sellers\/(0x[0-9a-fA-F]{40})$/.exec(pathname) ?? []
    if (request.method !== 'GET' || (!account && !pathname.endsWith('/sellers'))) return problem(404, 'there is nothing here')
    if (account) {
      try {
        return Response.json(await registry.find(account, { signal: request.signal }))
      } catch (error) {
        if (error instanceof SluiceError && error.code === 'NO_SUCH_SELLER') return problem(404, error.shortMessage)
        return unreadable()
      }
    }
    // The cursor is the account after which the page begins.
    const after = searchParams.get('cursor') ?? ''
    const entries: RegistryEntry[] = []
    let skipping = after !== ''
    try {
      for await (const entry of registry.list({ signal: request.signal })) {
        if (skipping) skipping = entry.account !== after
        else entries.push(entry)
        if (entries.length > PAGE) break
      }
    } catch {
      return unreadable()
    }
    const page = entries.slice(0, PAGE)
    return Response.json({ entries: page, next: entries.length > PAGE ? page.at(-1)!.account : null })
  }
}

/** Says nothing of why: the reason may name the node behind. */
function unreadable(): Response {
  return problem(502, 'the registry cannot be read now')
}

/** RFC 9457. */
function problem(status: number, title: string): Response {
  return new Response(JSON.stringify({ title, status }), { status, headers: { 'content-type': 'application/problem+json' } })
}
