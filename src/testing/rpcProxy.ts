import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type AsyncCloseable, stops } from '../core/dispose.ts'

/** What comes with a status of HTTP. */
export interface RpcStatus {
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** @default {} */
  readonly body?: string | undefined
}

/** What a {@link RpcProxy} does with a request instead of passing it on. */
export type RpcFault =
  /** Answers with an error of JSON-RPC. */
  | { readonly error: { readonly code: number; readonly message: string; readonly data?: unknown } }
  /** Answers with something else than the node would. */
  | { readonly result: unknown }
  /** Answers with a status of HTTP. */
  | ({ readonly status: number } & RpcStatus)
  /** Passes the request on with other parameters. */
  | { readonly params: readonly unknown[] }
  /** `cut`: closes the connection. `hang`: never answers. `lose`: passes the request on, and closes the connection. */
  | 'cut'
  | 'hang'
  | 'lose'

/** Decides what happens to a request; undefined passes it on. */
export type RpcRule = (method: string, params: readonly unknown[]) => RpcFault | undefined | Promise<RpcFault | undefined>

/** A node's address that can be made to fail. */
export interface RpcProxy extends AsyncCloseable {
  readonly url: string
  /** Every request so far. */
  readonly requests: readonly { readonly method: string; readonly params: readonly unknown[] }[]
  /** Sets what happens to requests from now on; without a rule, they are passed on. */
  rule(rule?: RpcRule | undefined): void
  /** Refuses batches of more requests from now on, as public nodes do; without a number, none. */
  limitBatches(most?: number | undefined): void
  /** Ends it. */
  stop(): Promise<void>
}

interface Request {
  readonly id: unknown
  readonly method: string
  readonly params: readonly unknown[]
}

/** Starts a proxy in front of a node's JSON-RPC over HTTP, to try what happens when the node fails. */
export async function startRpcProxy(target: string): Promise<RpcProxy> {
  const requests: Request[] = []
  let current: RpcRule | undefined
  let mostInBatch = Infinity

  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Request | Request[]
    const batch = Array.isArray(body) ? body : [body]
    if (batch.length > mostInBatch) {
      const error = { code: 31, message: `Batch of more than ${mostInBatch} requests are not allowed` }
      return void outgoing.writeHead(500, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id: null, error }))
    }
    requests.push(...batch)
    const answers: unknown[] = []
    let lost = false
    for (const { id, method, params } of batch) {
      const fault = await current?.(method, params)
      if (fault === 'hang') return
      if (fault === 'cut') return void outgoing.destroy()
      if (typeof fault === 'object' && 'status' in fault) return void outgoing.writeHead(fault.status, fault.headers).end(fault.body ?? '{}')
      lost ||= fault === 'lose'
      if (typeof fault === 'object' && !('params' in fault)) {
        answers.push({ jsonrpc: '2.0', id, ...fault })
      } else {
        const body = JSON.stringify({ jsonrpc: '2.0', id, method, params: typeof fault === 'object' ? fault.params : params })
        const answer = await fetch(target, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
        answers.push(await answer.json())
      }
    }
    if (lost) return void outgoing.destroy()
    outgoing.setHeader('content-type', 'application/json')
    outgoing.end(JSON.stringify(Array.isArray(body) ? answers : answers[0]))
  }

  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch(() => outgoing.destroy()) // the node behind is gone
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  return {
    ...stops,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    rule(rule) {
      current = rule
    },
    limitBatches(most = Infinity) {
      mostInBatch = most
    },
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
