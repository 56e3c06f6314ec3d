/**
 * A TCP relay that loses its connections: what a bad network looks like to a program.
 * @module
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** A relay in front of a seller. */
export interface Proxy {
  /** The seller's URL through this relay. */
  readonly url: string
  /** Lets as many more bytes through to the buyer, then breaks its connection, or falls silent. */
  limit(bytes: number, end: 'cut' | 'hang'): void
  /** Lets everything through again, on connections made from now on. */
  free(): void
  close(): Promise<void>
}

/** Starts a relay to a `ws:` URL. */
export async function startProxy(target: string): Promise<Proxy> {
  const { hostname, port, pathname } = new URL(target)
  const sockets = new Set<Socket>()
  let left = Infinity
  let end: 'cut' | 'hang' = 'cut'

  const server = createServer((buyer) => {
    const seller = connect(Number(port), hostname)
    const both = [buyer, seller]
    const drop = (): void => both.forEach((socket) => socket.destroy())
    for (const socket of both) {
      sockets.add(socket)
      socket.on('error', () => {}) // 'close' follows
      socket.on('close', () => {
        sockets.delete(socket)
        drop()
      })
    }
    buyer.pipe(seller)
    seller.on('data', (data: Buffer) => {
      const part = data.subarray(0, left)
      left -= part.length
      if (!buyer.write(part)) {
        seller.pause()
        buyer.once('drain', () => seller.resume())
      }
      if (part.length === data.length) return
      if (end === 'hang') return void seller.pause()
      left = Infinity
      buyer.end(drop)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`,
    limit: (bytes, how) => {
      left = bytes
      end = how
    },
    free: () => {
      left = Infinity
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
