/**
 * An IPFS node's RPC as Kubo answers it, for tests: the calls that a content store makes.
 * @module
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { importBytes } from 'ipfs-unixfs-importer'

export interface FakeKubo {
  readonly url: string
  /** What is in the repository, by CID. */
  readonly files: Map<string, Uint8Array>
  /** Names of recursive pins, by CID. */
  readonly pins: Map<string, string>
  /** Makes the next answer one of a node that is out of order. */
  failOnce(): void
  /** Calls so far, as `add` or `pin/ls`. */
  readonly calls: string[]
  stop(): Promise<void>
}

export async function startFakeKubo(): Promise<FakeKubo> {
  const files = new Map<string, Uint8Array>()
  const pins = new Map<string, string>()
  const calls: string[] = []
  let failing = false

  const server = createServer((request, response) => {
    void (async () => {
      const { pathname, searchParams: query } = new URL(request.url!, 'http://kubo')
      const body = await buffer(request)
      const name = pathname.replace('/api/v0/', '')
      calls.push(name)
      // Kubo takes nothing but POST, lest a page's image calls it.
      if (request.method !== 'POST') return send(response, 405, '405 - Method Not Allowed')
      if (failing) {
        failing = false
        return send(response, 502, 'bad gateway')
      }
      const refuse = (Message: string): void => send(response, 500, `${JSON.stringify({ Message, Code: 0, Type: 'error' })}\n`)
      const lines = (...values: unknown[]): void =>
        send(response, 200, values.map((value) => `${JSON.stringify(value)}\n`).join(''))
      const arg = query.get('arg') ?? ''
      switch (name) {
        case 'add': {
          if (query.get('cid-version') !== '0' || query.get('raw-leaves') !== 'false' || query.get('chunker') !== 'size-262144') {
            return refuse('this fake knows one way only')
          }
          const form = await new Response(body, { headers: { 'content-type': request.headers['content-type']! } }).formData()
          const file = form.get('file') as File
          const bytes = new Uint8Array(await file.arrayBuffer())
          const { cid, size } = await importBytes(bytes, { put: (each) => each }, { profile: 'unixfs-v0-2015' })
          files.set(cid.toString(), bytes)
          if (query.get('pin') !== 'false') pins.set(cid.toString(), '')
          return lines({ Name: cid.toString(), Hash: cid.toString(), Size: size.toString() })
        }
        case 'pin/add':
          if (!files.has(arg)) return refuse(`pin: ipld: could not find ${arg}`)
          pins.set(arg, query.get('name') ?? '')
          return lines({ Pins: [arg] })
        case 'pin/ls': {
          if (arg === '') return lines(...[...pins].map(([Cid, Name]) => ({ Type: 'recursive', Cid, Name })))
          if (!pins.has(arg)) return refuse(`path '${arg}' is not pinned`)
          return lines({ Keys: { [arg]: { Type: 'recursive', Name: '' } } })
        }
        case 'pin/rm':
          if (!pins.delete(arg)) return refuse('not pinned or pinned indirectly')
          return lines({ Pins: [arg] })
        case 'cat': {
          const bytes = files.get(arg)
          return bytes ? send(response, 200, bytes) : refuse(`ipld: could not find ${arg}`)
        }
        default:
          return send(response, 404, '404 page not found')
      }
    })()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    pins,
    calls,
    failOnce: () => (failing = true),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function send(response: ServerResponse, status: number, body: string | Uint8Array): void {
  response.writeHead(status, { 'content-type': typeof body === 'string' ? 'application/json' : 'text/plain' }).end(body)
}
