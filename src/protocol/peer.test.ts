import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import { peerTransportSuite, type PeersUnderTest } from '../testing/peerTransportSuite.ts'
import { transportSuite } from '../testing/transportSuite.ts'
import { MAX_FRAME } from './frame.ts'
import { memoryPeerNetwork } from './memoryPeerNetwork.ts'
import type { PeerTransport } from './peer.ts'
import type { CloseReason, Transport } from './transport.ts'
import { webSocketConnect as connectBrowser } from './websocket/browser.ts'
import { listenWebSocketPeer } from './websocket/listenPeer.ts'
import { webSocketPeer } from './websocket/peer.ts'

const runner = { describe, it, expect }
const maxPacket = 5000
const nowhere = 'ws://127.0.0.1:9/'

peerTransportSuite(
  'a network in memory',
  async () => {
    const network = memoryPeerNetwork({ maxPacket })
    return { host: network.peer('ws://host'), guest: network.peer(), nowhere: 'ws://nowhere', maxPacket }
  },
  runner,
)
peerTransportSuite('a listening WebSocket', async () => ({ host: await listenWebSocketPeer({ maxPacket }), guest: await listenWebSocketPeer({ maxPacket }), nowhere, maxPacket }), runner)
peerTransportSuite('a WebSocket that only dials', async () => ({ host: await listenWebSocketPeer({ maxPacket }), guest: webSocketPeer({ maxPacket }), nowhere, maxPacket }), runner)

// The class that browsers have; Node 20 has none.
vi.stubGlobal('WebSocket', WebSocket)
const inBrowser = (): PeerTransport => {
  const peer = webSocketPeer({ maxPacket })
  const connect = connectBrowser(maxPacket)
  // The closed check of the one, and the socket of the other: `#websocket` is Node's here.
  let closed = false
  return {
    ...peer,
    connect: (url, options) => (closed ? peer.connect(url, options) : connect(url, options)),
    close: () => ((closed = true), peer.close()),
  }
}
peerTransportSuite('a WebSocket of browsers', async () => ({ host: await listenWebSocketPeer({ maxPacket }), guest: inBrowser(), nowhere, maxPacket }), runner)

transportSuite(
  'a link between listening WebSockets',
  async () => {
    const [host, guest] = await Promise.all([1, 2].map(() => listenWebSocketPeer({ maxPacket: 2 * MAX_FRAME })))
    const accepted = new Promise<Transport>((resolve) => host!.accept(resolve))
    const b = await guest!.connect(host!.endpoint!, {})
    return { a: await accepted, b, close: () => closeAll({ host: host!, guest: guest! }) }
  },
  runner,
)

const closeAll = async ({ host, guest }: Pick<PeersUnderTest, 'host' | 'guest'>): Promise<void> => {
  await guest.close()
  await host.close()
}
function endOf(transport: Transport): Promise<CloseReason> {
  return new Promise((closed) => transport.receive({ packet: () => {}, closed }))
}

describe('listenWebSocketPeer', () => {
  it('takes so many links and no more', async () => {
    const host = await listenWebSocketPeer({ maxLinks: 2 })
    const guest = webSocketPeer()
    const taken: Transport[] = []
    host.accept((transport) => {
      taken.push(transport)
      void endOf(transport)
    })
    const first = await guest.connect(host.endpoint!, {})
    const second = await guest.connect(host.endpoint!, {})
    void endOf(second)
    expect(await endOf(await guest.connect(host.endpoint!, {}))).toEqual({ code: 1013, reason: 'too many links' })
    expect(taken).toHaveLength(2)
    const ended = endOf(first)
    first.close()
    await ended
    await vi.waitFor(async () => {
      void endOf(await guest.connect(host.endpoint!, {}))
      await vi.waitFor(() => expect(taken).toHaveLength(3), { timeout: 200 })
    })
    await closeAll({ host, guest })
  })

  it('listens at a path of a server that is there, and leaves the server when it closes', async () => {
    const server = createServer((_request, response) => response.end('the page'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const host = await listenWebSocketPeer({ server, path: '/channel', endpoint: 'wss://node.example/channel' })
    expect(host.endpoint).toBe('wss://node.example/channel')
    const accepted = new Promise<Transport>((resolve) => host.accept(resolve))
    const guest = webSocketPeer()
    const link = await guest.connect(`ws://127.0.0.1:${port}/channel`, {})
    await expect(guest.connect(`ws://127.0.0.1:${port}/other`, {})).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    void endOf(link)
    void endOf(await accepted)
    await host.close()
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('the page')
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  it('says when the port is taken', async () => {
    const host = await listenWebSocketPeer()
    const port = Number(new URL(host.endpoint!).port)
    await expect(listenWebSocketPeer({ port })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    await host.close()
  })
})

describe('memoryPeerNetwork', () => {
  it('gives a place to one node, until that closes', async () => {
    const network = memoryPeerNetwork()
    const first = network.peer('ws://alice')
    expect(() => network.peer('ws://alice')).toThrowError(expect.objectContaining({ code: 'CONNECTION_FAILED' }) as Error)
    await first.close()
    const second = network.peer('ws://alice')
    await first.close()
    second.accept(() => {})
    await network.peer().connect('ws://alice', {})
  })

  it('counts text in bytes', async () => {
    const network = memoryPeerNetwork({ maxPacket: 10 })
    network.peer('ws://alice').accept((transport) => void endOf(transport))
    const link = await network.peer().connect('ws://alice', {})
    const ended = endOf(link)
    link.send('量'.repeat(4))
    expect((await ended).code).toBe(1009)
  })
})
