import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:http'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { utf8 } from '../bytes.ts'
import { type AsyncCloseable, closes } from '../dispose.ts'
import { SluiceError } from '../errors.ts'
import type { HttpService } from './httpService.ts'
import { wholeText } from './wholeAnswer.ts'

/** Options of {@link listenHttp}. */
export interface ListenHttpOptions {
  /** @default 0, any that is free */
  readonly port?: number | undefined
  /** Address to listen on. @default 127.0.0.1 */
  readonly host?: string | undefined
}

/** A service on a port. */
export interface HttpListener extends AsyncCloseable {
  /** Where it is reached, such as `http://127.0.0.1:5001`. */
  readonly url: string
  readonly port: number
  /** Takes no more requests and cuts the connections that are left. */
  close(): Promise<void>
}

/** Connections at once. */
const MAX_CONNECTIONS = 1_000
/** Milliseconds for a whole request to arrive. */
const REQUEST_TIMEOUT = 30_000

/**
 * Puts a service on a port, in Node. Reaching it from elsewhere also takes its name in the service's `hosts`, and TLS by
 * a proxy in front.
 * @throws `CONNECTION_FAILED` if the port can't be had.
 */
export async function listenHttp(
  service: Pick<HttpService, 'fetch'>,
  { port = 0, host = '127.0.0.1' }: ListenHttpOptions = {},
): Promise<HttpListener> {
  const fetch = async (request: Request, { outgoing }: HttpBindings): Promise<Response> => {
    const answer = await service.fetch(request)
    // Behind the answer comes the rest of a body that nobody reads.
    if (answer.status === 413) outgoing.shouldKeepAlive = false
    const text = wholeText(answer)
    if (text === undefined || outgoing.headersSent) return answer
    const body = utf8(text)
    outgoing.writeHead(answer.status, { ...Object.fromEntries(answer.headers), 'content-length': body.length }).end(body)
    return RESPONSE_ALREADY_SENT
  }
  const listener = getRequestListener((request, env) => fetch(request, env as HttpBindings), { overrideGlobalObjects: false })
  const times = { requestTimeout: REQUEST_TIMEOUT, headersTimeout: REQUEST_TIMEOUT / 2 }
  const server = createServer(times, (request, response) => void listener(request, response))
  server.maxConnections = MAX_CONNECTIONS
  await listening(server, port, host)
  const { address, family, port: bound } = server.address() as AddressInfo
  return {
    ...closes,
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}`,
    port: bound,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function listening(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new SluiceError('CONNECTION_FAILED', `port ${port} of ${host} can't be had: ${cause.message}`, {
          details: { host, port },
          cause,
        }),
      ),
    )
    server.listen(port, host, resolve)
  })
}
