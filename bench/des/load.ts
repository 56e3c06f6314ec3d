/**
 * Asks an exchange as many questions as it takes, and answers them: what is sent was sealed and signed before.
 * @module
 */
import { spawn } from 'node:child_process'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** An answer, and the time it took. */
export interface Answer {
  readonly status: number
  readonly text: string
}

/** Posts or gets over connections that stay open. */
export function createCaller(url: string, connections: number) {
  // Not asked on a connection that the server is closing: it does so after five idle seconds.
  const agent = new Agent({ keepAlive: true, maxSockets: connections, timeout: 4000 })
  const { hostname, port } = new URL(url)
  const call = (method: string, path: string, body?: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
      const sent = request({ hostname, port, path, method, agent, headers }, (answer) => {
        const pieces: Buffer[] = []
        answer.on('data', (piece: Buffer) => pieces.push(piece))
        answer.on('end', () => resolve({ status: answer.statusCode!, text: Buffer.concat(pieces).toString() }))
        answer.on('error', reject)
      })
      sent.on('error', reject)
      sent.end(body)
    })
  return { call, close: () => agent.destroy() }
}

/** Serves one answer to whoever asks. */
export async function serveAnswer(body: string): Promise<{ readonly url: string; close(): void }> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** Runs `each` for every index with so many at a time, and gives the milliseconds of each. */
export async function run(count: number, atOnce: number, each: (i: number) => Promise<void>): Promise<readonly number[]> {
  const times: number[] = []
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) {
      const i = next++
      const began = performance.now()
      await each(i)
      times.push(performance.now() - began)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return times
}

/** What a server has taken since it began: CPU seconds, and statements sent to its database if it counts them. */
export interface Used {
  readonly cpu: number
  readonly roundTrips: number
}

/** Starts a program of this folder beside this one: it prints JSON, line by line. */
export function start(program: string, ...args: string[]) {
  const child = spawn(
    process.execPath,
    ['--conditions=@sluice/source', '--import', 'tsx', fileURLToPath(new URL(program, import.meta.url)), ...args],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<unknown> => {
    const line = (await lines.next()) as IteratorResult<string, undefined>
    if (line.done) throw new Error(`${program} has ended`)
    return JSON.parse(line.value) as unknown
  }
  return {
    next,
    async used(): Promise<Used> {
      child.stdin.write('used\n')
      return (await next()) as Used
    },
    stop: () => child.stdin.end(),
  }
}
