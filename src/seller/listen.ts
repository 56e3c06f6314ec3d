/**
 * Listens for buyers on a WebSocket in Node.
 * @module
 */
import { createServer, type Server } from 'node:http'
import { WebSocketServer } from 'ws'
import { SluiceError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { MAX_TEXT_TO_SELLER } from '../protocol/message.ts'
import type { Transport } from '../protocol/transport.ts'
import { socketOptions, webSocketTransport } from '../protocol/websocket/node.ts'

/** Where a seller listens. */
export interface ListenOptions {
  /** TCP port; 0 takes any. @default 0 */
  readonly port?: number | undefined
  /** Address to listen on. @default 127.0.0.1; name 0.0.0.0 to be reached from elsewhere */
  readonly host?: string | undefined
  /** An HTTP or HTTPS server to listen on instead of making one, for `wss:` behind your own certificate. */
  readonly server?: Server | undefined
  /** Path of the WebSocket. @default any */
  readonly path?: string | undefined
}

/** A seller that can be reached. */
export interface Listener {
  /** Where, as a `ws:` URL. */
  readonly url: string
  /** Stops listening, and ends the connections. */
  close(): Promise<void>
}

/** Milliseconds of silence after which the system asks whether the other side is still there. */
const KEEP_ALIVE = 30_000

/** Opens a WebSocket server and hands each connection to `serve`. @throws `CONNECTION_FAILED` when the port is taken. */
export async function listenWebSocket(
  serve: (transport: Transport) => unknown,
  log: Logger,
  options: ListenOptions,
): Promise<Listener> {
  const { port = 0, host = '127.0.0.1', path } = options
  const http =
    options.server ??
    createServer((_request, response) => response.writeHead(426, { 'content-type': 'text/plain' }).end('This is a WebSocket.\n'))
  const sockets = new WebSocketServer({
    server: http,
    perMessageDeflate: false,
    maxPayload: MAX_TEXT_TO_SELLER,
    ...socketOptions,
    ...(path === undefined ? {} : { path }),
  })
  sockets.on('error', () => {}) // of the HTTP server, handled below
  sockets.on('connection', (socket, request) => {
    const peer = `${request.socket.remoteAddress}:${request.socket.remotePort}`
    request.socket.setNoDelay(true)
    request.socket.setKeepAlive(true, KEEP_ALIVE) // a peer that is gone without a word must not hold its place for ever
    try {
      serve(webSocketTransport(socket, peer))
    } catch (error) {
      log.warn('connection refused', { peer, reason: error instanceof Error ? error.message : String(error) })
    }
  })
  if (!options.server) {
    await new Promise<void>((resolve, reject) => {
      http.once('error', (cause) =>
        reject(new SluiceError('CONNECTION_FAILED', `cannot listen on ${host}:${port}: ${cause.message}`, { cause })),
      )
      http.listen(port, host, resolve)
    })
  }
  const address = http.address()
  const at = typeof address === 'object' && address ? address.port : port
  return {
    url: `ws://${host.includes(':') ? `[${host}]` : host}:${at}${path ?? '/'}`,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets.clients) socket.close(1001, 'the seller is closing')
        sockets.close(() => {
          if (options.server) return resolve()
          http.close(() => resolve())
          http.closeAllConnections()
        })
      }),
  }
}
