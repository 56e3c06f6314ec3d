import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { registryEntries } from '../../../test/fixtures/trade/entries.ts'
import { SluiceError } from '../../core/errors.ts'
import { registrySuite } from '../../testing/registrySuite.ts'
import { httpRegistry, registryHandler } from './http.ts'
import type { Registry, RegistryEntry } from './registry.ts'
import { staticRegistry } from './static.ts'

/** What answers requests from now on. */
let answer: (request: Request) => Promise<Response>
let url = ''
const server = createServer((incoming, outgoing) => {
  answer(new Request(`http://registry${incoming.url}`, { method: incoming.method ?? 'GET' }))
    .then(async (response) => {
      outgoing.writeHead(response.status, Object.fromEntries(response.headers)).end(await response.text())
    })
    .catch(() => outgoing.destroy())
})

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/registry`
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

// More than one page of a list.
const entries = registryEntries(205)
registrySuite(
  'httpRegistry',
  () => {
    answer = registryHandler(staticRegistry(entries))
    return Promise.resolve({ registry: httpRegistry({ url }), entries })
  },
  { describe, it, expect },
)

const collect = async (registry: Registry): Promise<RegistryEntry[]> => {
  const out: RegistryEntry[] = []
  for await (const entry of registry.list()) out.push(entry)
  return out
}

describe('httpRegistry', () => {
  const [entry, other] = entries as [RegistryEntry, RegistryEntry]
  const json = (value: unknown) => () => Promise.resolve(Response.json(value))

  it.each<[string, () => Promise<Response>]>([
    ['an error', () => Promise.resolve(new Response('{}', { status: 500 }))],
    ['a page of HTML', () => Promise.resolve(new Response('<html></html>', { headers: { 'content-type': 'text/html' } }))],
    ['JSON of another kind', json({ sellers: [] })],
    ['null', json(null)],
    ['an entry without a key', json({ ...entry, publicKey: undefined, entries: [{ ...entry, publicKey: undefined }], next: null })],
    ['more than a megabyte', json({ ...entry, entries: [entry], next: null, more: 'x'.repeat(1024 * 1024) })],
    ['nothing', () => Promise.reject(new Error('cut'))],
  ])('takes %s for no answer of a registry', async (_name, says) => {
    answer = says
    const registry = httpRegistry({ url })
    await expect(registry.find(entry.account)).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    await expect(collect(registry)).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  })

  it('is not led elsewhere', async () => {
    const paths: string[] = []
    answer = (request) => {
      const { pathname } = new URL(request.url)
      paths.push(pathname)
      const moved = new Response(null, { status: 302, headers: { location: '/private' } })
      return Promise.resolve(pathname === '/private' ? Response.json(entry) : moved)
    }
    await expect(httpRegistry({ url }).find(entry.account)).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    expect(paths).toEqual([`/registry/sellers/${entry.account}`])
  })

  it('takes no seller that the registry made up', async () => {
    const forged = { ...entry, publicKey: other.publicKey }
    answer = json(forged)
    await expect(httpRegistry({ url }).find(entry.account)).rejects.toMatchObject({ code: 'BAD_ARGUMENT', details: { field: 'publicKey' } })
    answer = json(other)
    await expect(httpRegistry({ url }).find(entry.account)).rejects.toMatchObject({ code: 'NO_SUCH_SELLER' })
  })

  it('passes over what is malformed in a list, and goes on', async () => {
    answer = json({ entries: [{ ...entry, publicKey: other.publicKey }, { ...entry, publicKey: '0x12' }, { ...entry, endpoint: 'file:///etc' }, other], next: null })
    expect(await collect(httpRegistry({ url }))).toEqual([other])
  })

  it('does not go round in circles behind a cursor that stands still', async () => {
    answer = json({ entries: [entry], next: 'again' })
    await expect(collect(httpRegistry({ url }))).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  })

  it('gives up on a registry that does not answer', async () => {
    answer = () => new Promise(() => {})
    await expect(httpRegistry({ url, timeout: 50 }).find(entry.account)).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  })
})

describe('registryHandler', () => {
  const handle = registryHandler(staticRegistry(entries))
  const get = (path: string, method = 'GET'): Promise<Response> => handle(new Request(`http://registry${path}`, { method }))

  it('answers with problems of RFC 9457', async () => {
    for (const response of [await get(`/sellers/0x${'00'.repeat(20)}`), await get('/'), await get('/sellers', 'POST'), await get('/sellers/0x12')]) {
      expect(response.status).toBe(404)
      expect(response.headers.get('content-type')).toBe('application/problem+json')
      expect(await response.json()).toMatchObject({ status: 404 })
    }
  })

  it('does not say why the registry behind it fails', async () => {
    const fail = (): never => {
      throw new SluiceError('RPC_FAILED', 'no answer from https://user:password@node.example')
    }
    const broken = registryHandler({ find: () => Promise.reject(new SluiceError('RPC_FAILED', 'secret')), list: fail })
    for (const path of [`/sellers/0x${'00'.repeat(20)}`, '/sellers']) {
      const response = await broken(new Request(`http://registry${path}`))
      expect(response.status).toBe(502)
      expect(await response.text()).not.toMatch(/secret|password/)
    }
  })

  it('begins after the cursor', async () => {
    const { entries: page, next } = (await (await get(`/sellers?cursor=${entries[199]!.account}`)).json()) as { entries: RegistryEntry[]; next: unknown }
    expect(page).toEqual(entries.slice(200))
    expect(next).toBeNull()
  })
})
