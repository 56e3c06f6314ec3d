/**
 * A page on loopback that is told what happens.
 * @module
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname } from 'node:path'
import { build, type Rolldown } from 'vite'
import { webConfig } from './webConfig.ts'

/** A page that is being served. */
export interface LivePage {
  readonly url: string
  /** Tells every open page something, as a server-sent event; `data` is written as JSON. */
  send(event: string, data: unknown): void
  close(): Promise<void>
}

/** Pages open at once; one more is refused. */
const MAX_PAGES = 16
/** Bytes that may wait for a page that does not read; then it is dropped, and connects again when it is back. */
const MAX_WAITING = 1 << 20

const TYPES: Readonly<Record<string, string>> = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript' }

/**
 * Builds the page in a folder and serves it, with its events under `/events`.
 * @param greeting what a page that has just been opened is told, by event.
 */
export async function servePage(folder: URL, greeting: () => Readonly<Record<string, unknown>>): Promise<LivePage> {
  const config = webConfig(folder)
  const built = await build({ ...config, logLevel: 'error', build: { ...config.build, write: false } })
  const files = new Map(
    (built as Rolldown.RolldownOutput).output.map((file) => [`/${file.fileName}`, 'code' in file ? file.code : file.source]),
  )
  const pages = new Set<ServerResponse>()
  const tell = (page: ServerResponse, event: string, data: unknown): void => {
    if (page.writableLength > MAX_WAITING) page.destroy()
    else page.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }
  const server = createServer((request, response) => {
    const path = request.url === '/' ? '/index.html' : request.url!
    const file = files.get(path)
    if (file !== undefined) return void response.writeHead(200, { 'content-type': TYPES[extname(path)] }).end(file)
    if (path !== '/events') return void response.writeHead(404).end()
    if (pages.size >= MAX_PAGES) return void response.writeHead(503).end()
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    for (const [event, data] of Object.entries(greeting())) tell(response, event, data)
    pages.add(response)
    response.on('close', () => pages.delete(response))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    send: (event, data) => {
      for (const page of pages) tell(page, event, data)
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}
