/**
 * A WebSocket server that does what the path of a connection says.
 * @module
 */
import type { AddressInfo } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'

/** Starts it on loopback. */
export async function startScriptedServer(): Promise<{ readonly url: string; close(): void }> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: 8 * 1024 * 1024 })
  let last = ''
  const scripts: Readonly<Record<string, (socket: WebSocket) => void>> = {
    '/echo': (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })),
    // Waits with its end, so that the page sees each packet and can break off in between.
    '/greet': (socket) => {
      socket.send('one')
      socket.send(Uint8Array.of(2))
      setTimeout(() => socket.close(1001, 'enough for today'), 50)
    },
    '/drop': (socket) => setTimeout(() => socket.terminate(), 20),
    '/last': (socket) => socket.send(last),
  }
  server.on('connection', (socket, request) => {
    socket.on('close', (code, reason) => (last = `${code} ${reason.toString()}`))
    scripts[request.url ?? '']?.(socket)
  })
  await new Promise((listening) => server.once('listening', listening))
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() }
}
