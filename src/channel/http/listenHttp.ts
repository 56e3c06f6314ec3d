import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { assertArgument, SluiceError } from '../../core/errors.ts'
import type { HttpService } from './httpService.ts'

/** Options of {@link listenHttp}. */
export interface ListenHttpOptions {
  /** @default 0, any that is free */
  readonly port?: number | undefined
  /** Address to listen on. @default 127.0.0.1 */
  readonly host?: string | undefined
}

/** A service on a port. */
export interface HttpListener {
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

const LOOPBACK = ['127.0.0.1', '::1', 'localhost']

/**
 * Puts a service on a port, in Node. Reaching it from elsewhere also takes its name in the service's `hosts`, and TLS by
 * a proxy in front.
 * @throws `CONNECTION_FAILED` if the port can't be had; `BAD_ARGUMENT` for a service without a token on another address
 * than the machine's own.
 */
export async function listenHttp(service: HttpService, { port = 0, host = '127.0.0.1' }: ListenHttpOptions = {}): Promise<HttpListener> {
  assertArgument(!service.open || LOOPBACK.includes(host), 'host', 'an address of the loopback for a service without a token')
  const listener = getRequestListener((request) => service.fetch(request), { overrideGlobalObjects: false })
  const times = { requestTimeout: REQUEST_TIMEOUT, headersTimeout: REQUEST_TIMEOUT / 2 }
  const server = createServer(times, (request, response) => void listener(request, response))
  server.maxConnections = MAX_CONNECTIONS
  await listening(server, port, host)
  const { address, family, port: bound } = server.address() as AddressInfo
  return {
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
      reject(new SluiceError('CONNECTION_FAILED', `port ${port} of ${host} can't be had: ${cause.message}`, { details: { host, port }, cause })))
    server.listen(port, host, resolve)
  })
}
