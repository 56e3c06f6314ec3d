import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { describe, expect, it, vi } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { transportSuite, type TransportsUnderTest } from '../testing/transportSuite.ts'
import { MAX_FRAME } from './frame.ts'
import { memoryTransportPair } from './memoryTransport.ts'
import { closeReasonText, platformCode, standardCode, type CloseReason, type Connect } from './transport.ts'
import { connectWebSocket as connectBrowser } from './websocket/browser.ts'
import { connectWebSocket, webSocketTransport } from './websocket/node.ts'

const runner = { describe, it, expect }

transportSuite(
  'memory',
  () => {
    const [a, b] = memoryTransportPair()
    return Promise.resolve({ a, b })
  },
  runner,
  { backPressure: false },
)

/** A server that takes one connection, and a client of it. */
async function joined(connect: Connect, maxPayload = 2 * MAX_FRAME): Promise<TransportsUnderTest & { socket: WebSocket }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false, maxPayload })
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const accepted = new Promise<WebSocket>((resolve) => server.once('connection', resolve))
  // Wrapped in the same turn, as a seller does: the first packet may follow at once.
  const wrapped = accepted.then((socket) => ({ socket, a: webSocketTransport(socket, 'client') }))
  const b = await connect(url, {})
  const { socket, a } = await wrapped
  return {
    a,
    b,
    socket,
    close: async () => {
      for (const client of server.clients) client.terminate()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

transportSuite('a WebSocket of Node', () => joined(connectWebSocket), runner)

// The class that browsers have; Node 20 has none.
vi.stubGlobal('WebSocket', WebSocket)
const asBrowser = connectBrowser
// A browser can't stop reading, so nothing is known of back-pressure on its side.
transportSuite('a WebSocket of browsers', () => joined(asBrowser), runner, { backPressure: false })

const connects: readonly (readonly [string, Connect])[] = [
  ['Node', connectWebSocket],
  ['browsers', asBrowser],
]

describe.each(connects)('connectWebSocket of %s', (_name, connect) => {
  it('says where nobody listens', async () => {
    await expect(connect('ws://127.0.0.1:9', {})).rejects.toMatchObject({ code: 'CONNECTION_FAILED', details: { url: 'ws://127.0.0.1:9' } })
  })

  it('says where something else listens', async () => {
    const server = createServer((_request, response) => void response.writeHead(404).end())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
    await expect(connect(url, {})).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  it('refuses what is no URL of a WebSocket', async () => {
    await expect(connect('ftp://127.0.0.1/', {})).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  })

  it('stops when it is told to, before and during', async () => {
    await expect(connect('ws://127.0.0.1:9', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' })
    // Takes the connection, and never answers.
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    let taken: Duplex | undefined
    server.on('upgrade', (_request, socket) => (taken = socket))
    const stop = new AbortController()
    const connecting = connect(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, { signal: stop.signal })
    setTimeout(() => stop.abort(), 50)
    await expect(connecting).rejects.toMatchObject({ code: 'ABORTED' })
    taken?.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
})

describe('a WebSocket of Node', () => {
  it('ends with 1006 when the link is cut', async () => {
    const { b, socket, close } = await joined(connectWebSocket)
    const ended = endOf(b)
    socket.terminate()
    expect(await ended).toEqual({ code: 1006, reason: '' })
    await close?.()
  })

  it('ends with 1007 on text that is not UTF-8, which nobody is handed', async () => {
    let client: WebSocket | undefined
    const { a, b, close } = await joined(
      (url) =>
        new Promise((resolve) => {
          const socket = (client = new WebSocket(url))
          socket.once('open', () => resolve(webSocketTransport(socket, url)))
        }),
    )
    const packets: unknown[] = []
    a.receive({ packet: (packet) => void packets.push(packet), closed: () => {} })
    const ended = endOf(b)
    // FIN and text, one byte, masked with zeros: a byte that no character begins with.
    const tcp = (client as unknown as { _socket: Socket })._socket
    tcp.write(Uint8Array.of(0x81, 0x81, 0, 0, 0, 0, 0xff))
    expect((await ended).code).toBe(1007)
    expect(packets).toEqual([])
    await close?.()
  })

  it('ends with 1009 on a packet over the limit, which is not read', async () => {
    const { a, b, close } = await joined(connectWebSocket, 1000)
    const packets: unknown[] = []
    a.receive({ packet: (packet) => void packets.push(packet), closed: () => {} })
    const ended = endOf(b)
    b.send('x'.repeat(1001))
    expect((await ended).code).toBe(1009)
    expect(packets).toEqual([])
    await close?.()
  })
})

describe('a WebSocket of browsers', () => {
  it('holds so much before anyone receives, and then ends with 1008', async () => {
    const { a, b, close } = await joined(asBrowser)
    const ended = endOf(a)
    const packet = new Uint8Array(1024 * 1024)
    for (let i = 0; i < 16; i++) a.send(packet)
    expect(await ended).toEqual({ code: 1008, reason: 'too much was sent before anybody received' })
    b.close()
    await close?.()
  })
})

describe('close reasons', () => {
  it('fit a close frame', () => {
    expect(closeReasonText('short')).toBe('short')
    expect(closeReasonText('x'.repeat(123))).toHaveLength(123)
    expect(closeReasonText('x'.repeat(124))).toHaveLength(123)
    expect(Buffer.byteLength(closeReasonText('量'.repeat(50)))).toBe(123)
    expect(Buffer.byteLength(closeReasonText('x' + '😀'.repeat(50)))).toBeLessThanOrEqual(123)
  })

  it('travel under codes that platforms allow', () => {
    for (const code of [1000, 1001, 1008, 1009, 1013]) {
      const sent = platformCode(code)
      expect(sent === 1000 || (sent >= 3000 && sent < 5000)).toBe(true)
      expect(standardCode(sent)).toBe(code)
      expect(standardCode(code)).toBe(code)
    }
  })
})

function endOf(transport: TransportsUnderTest['a']): Promise<CloseReason> {
  return new Promise((closed) => transport.receive({ packet: () => {}, closed }))
}
