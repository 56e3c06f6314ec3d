/**
 * Listens for WebSockets in Node.
 * @module
 */
import { createServer, type Server } from 'node:http'
import { Server as TlsServer } from 'node:tls'
import { WebSocketServer } from 'ws'
import { assertArguments, integer, optional, rule, text } from '../../core/argument.ts'
import { type AsyncCloseable, closes } from '../../core/dispose.ts'
import { SluiceError } from '../../core/errors.ts'
import { forStrangers } from '../../core/forStrangers.ts'
import type { Logger } from '../../core/log.ts'
import type { Transport } from '../transport.ts'
import { socketOptions, webSocketTransport } from './node.ts'

/** Where to listen. */
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

/** Somebody who can be reached. */
export interface Listener extends AsyncCloseable {
  /** Where, as a `ws:` URL; `wss:` on an HTTPS server. */
  readonly url: string
  /** Stops listening, and ends the connections. */
  close(): Promise<void>
}

/** What a listener does with links. */
export interface ListenerRules {
  /** Takes a link; what it throws is logged, and closes the link with 1008 unless it is closed. */
  readonly serve: (transport: Transport) => unknown
  /** The largest packet that is read, in bytes; a larger one ends its link with 1009. */
  readonly maxPacket: number
  /** Links at once; one more closes with 1013. @default any number: {@link serve} refuses some */
  readonly maxLinks?: number | undefined
  /** What links are told when the listener closes. */
  readonly farewell: string
  readonly log: Logger
}

/** Milliseconds of silence after which the system asks whether the other side is still there. */
const KEEP_ALIVE = 30_000

const optionRules = {
  port: optional(integer(0, 65_535, 'number', 9000)),
  host: optional(rule('an address to listen on, such as "127.0.0.1"', (value) => text(1).holds(value))),
  path: optional(rule('a path such as "/shop"', (value) => typeof value === 'string' && value.startsWith('/'))),
}

/** Opens a WebSocket server. @throws `CONNECTION_FAILED` when the port is taken. */
export async function listenWebSocket(rules: ListenerRules, options: ListenOptions): Promise<Listener> {
  const { serve, maxPacket, maxLinks = Infinity, farewell, log } = rules
  assertArguments(options, optionRules, 'options')
  const { port = 0, host = '127.0.0.1', path } = options
  const http =
    options.server ??
    createServer((_request, response) => response.writeHead(426, { 'content-type': 'text/plain' }).end('This is a WebSocket.\n'))
  const sockets = new WebSocketServer({
    server: http,
    perMessageDeflate: false,
    maxPayload: maxPacket,
    ...socketOptions,
    ...(path === undefined ? {} : { path }),
  })
  sockets.on('error', () => {}) // of the HTTP server, handled below
  sockets.on('connection', (socket, request) => {
    const peer = `${request.socket.remoteAddress}:${request.socket.remotePort}`
    request.socket.setNoDelay(true)
    request.socket.setKeepAlive(true, KEEP_ALIVE) // a peer that is gone without a word must not hold its place for ever
    const transport = webSocketTransport(socket, peer)
    if (sockets.clients.size > maxLinks) return transport.close(1013, 'too many links')
    try {
      serve(transport)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      log.warn('connection refused', { peer, reason })
      transport.close(1008, forStrangers(error).message)
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
    ...closes,
    url: `${http instanceof TlsServer ? 'wss' : 'ws'}://${host.includes(':') ? `[${host}]` : host}:${at}${path ?? '/'}`,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets.clients) socket.close(1001, farewell)
        sockets.close(() => {
          if (options.server) return resolve()
          http.close(() => resolve())
          http.closeAllConnections()
        })
      }),
  }
}
