/**
 * A stretch of network that can fail: a TCP proxy.
 * @module
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** See {@link startTcpProxy}. */
export interface TcpProxy {
  /** The WebSocket URL of the far end, by way of the proxy. */
  readonly url: string
  /** Connections that were ever made through it. */
  readonly connections: number
  /** Bytes that went from server to client. */
  readonly down: number
  /** From now on nothing passes on the connections there are, though they stay open. New ones work, or are refused. */
  freeze(refuse?: boolean): void
  /** Resets the connections there are; new ones work. */
  cut(): void
  /** Called with every piece on its way to the client. */
  onDown: ((bytes: number) => void) | undefined
  close(): Promise<void>
}

/** Starts a proxy in front of a WebSocket URL. */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const { port } = new URL(target)
  const pairs = new Set<{ readonly client: Socket; readonly server: Socket; frozen: boolean }>()
  let connections = 0
  let down = 0
  let refusing = false
  const listener = createServer((client) => {
    if (refusing) return void client.resetAndDestroy()
    connections++
    const server = connect(Number(port), '127.0.0.1')
    const pair = { client, server, frozen: false }
    pairs.add(pair)
    client.on('data', (piece) => {
      if (!pair.frozen) server.write(piece)
    })
    server.on('data', (piece) => {
      if (pair.frozen) return
      down += piece.length
      client.write(piece)
      proxy.onDown?.(down)
    })
    for (const [from, to] of [[client, server], [server, client]] as const) {
      from.on('error', () => {})
      from.on('close', () => {
        if (pair.frozen) return // half open: the other end hears nothing of it
        pairs.delete(pair)
        to.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const proxy: TcpProxy = {
    url: `ws://127.0.0.1:${(listener.address() as AddressInfo).port}/`,
    get connections() {
      return connections
    },
    get down() {
      return down
    },
    freeze: (refuse = false) => {
      refusing = refuse
      for (const pair of pairs) pair.frozen = true
    },
    cut: () => {
      refusing = false
      for (const { client, server } of pairs) {
        client.resetAndDestroy()
        server.resetAndDestroy()
      }
      pairs.clear()
    },
    onDown: undefined,
    close: () =>
      new Promise((resolve) => {
        for (const { client, server } of pairs) {
          client.destroy()
          server.destroy()
        }
        listener.close(() => resolve())
      }),
  }
  return proxy
}
