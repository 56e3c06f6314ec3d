import { SluiceError } from '../core/errors.ts'
import type { PeerTransport } from '../protocol/peer.ts'
import type { CloseReason, Packet, Transport } from '../protocol/transport.ts'
import { assertSuite, codeOf, type TestRunner } from './suite.ts'

/** Two nodes of a network. */
export interface PeersUnderTest {
  /** Can be reached. */
  readonly host: PeerTransport
  /** Reaches others; may be unable to be reached. */
  readonly guest: PeerTransport
  /** A URL at which nobody listens. */
  readonly nowhere: string
  /** The largest packet that both take, in bytes. */
  readonly maxPacket: number
  /** Cleans up behind a test, after both were closed. */
  close?(): Promise<void>
}

/** What one end of a link heard. */
interface Ear {
  readonly transport: Transport
  readonly packets: Packet[]
  readonly closed: Promise<CloseReason>
  readonly closings: number
  /** Waits until so many packets have come. */
  heard(count: number): Promise<void>
}

/**
 * Tests that nodes keep the promises of {@link PeerTransport}. Run `transportSuite` on their links, too.
 * @param open makes two fresh nodes at every call.
 * @example
 * ```ts
 * import { describe, expect, it } from 'vitest'
 * import { memoryPeerNetwork } from 'sluice-sdk/protocol'
 * import { peerTransportSuite } from 'sluice-sdk/testing'
 *
 * peerTransportSuite('memory', async () => {
 *   const network = memoryPeerNetwork({ maxPacket: 1000 })
 *   return { host: network.peer('ws://host'), guest: network.peer(), nowhere: 'ws://nowhere', maxPacket: 1000 }
 * }, { describe, it, expect })
 * ```
 */
export function peerTransportSuite(
  name: string,
  open: () => Promise<PeersUnderTest>,
  runner: TestRunner,
): void {
  assertSuite(name, open, runner)
  const { describe, it, expect } = runner
  const test = (what: string, body: (peers: PeersUnderTest) => Promise<void>): unknown =>
    it(what, async () => {
      const peers = await open()
      try {
        await body(peers)
      } finally {
        await peers.guest.close()
        await peers.host.close()
        await peers.close?.()
      }
    })
  const link = async ({ host, guest }: PeersUnderTest): Promise<readonly [mine: Ear, theirs: Ear]> => {
    const accepted = new Promise<Ear>((resolve) => host.accept((transport) => resolve(listen(transport))))
    const mine = listen(await guest.connect(host.endpoint!, {}))
    return [mine, await accepted]
  }
  /** From the guest to the host, and the other way. */
  const testBoth = (what: string, body: (from: Ear, to: Ear, peers: PeersUnderTest) => Promise<void>): void => {
    test(`${what}, to the host`, async (peers) => {
      const [mine, theirs] = await link(peers)
      await body(mine, theirs, peers)
    })
    test(`${what}, to the guest`, async (peers) => {
      const [mine, theirs] = await link(peers)
      await body(theirs, mine, peers)
    })
  }
  const plain = (packet: Packet | undefined): unknown => (packet instanceof Uint8Array ? [...packet] : packet)

  describe(`${name} as the transport of a peer`, () => {
    testBoth('carries packets as they are, in order', async (from, to) => {
      const sent: Packet[] = []
      for (let i = 0; i < 200; i++) sent.push(i % 2 === 0 ? `text ${i} ü 量 😀` : new Uint8Array(i % 7).fill(i))
      for (const packet of sent) from.transport.send(packet)
      await to.heard(sent.length)
      expect(to.packets.map(plain)).toEqual(sent.map(plain))
    })

    test('carries both ways at once', async (peers) => {
      const [mine, theirs] = await link(peers)
      for (let i = 0; i < 50; i++) {
        mine.transport.send(`to the host ${i}`)
        theirs.transport.send(`to the guest ${i}`)
      }
      await Promise.all([mine.heard(50), theirs.heard(50)])
      expect([mine.packets.at(-1), theirs.packets.at(-1)]).toEqual(['to the guest 49', 'to the host 49'])
    })

    test('hands over each link once, and keeps links apart', async (peers) => {
      const { host, guest } = peers
      const taken: Ear[] = []
      host.accept((transport) => void taken.push(listen(transport)))
      const mine = await Promise.all([1, 2, 3].map(async () => listen(await guest.connect(host.endpoint!, {}))))
      for (const [i, ear] of mine.entries()) ear.transport.send(`${i}`)
      await until(() => taken.length >= 3 && taken.every(({ packets }) => packets.length >= 1))
      expect(taken.map(({ packets }) => packets.join()).sort()).toEqual(['0', '1', '2'])
      mine[0]!.transport.close()
      const left = taken.filter(({ packets }) => packets[0] !== '0')
      for (const ear of left) ear.transport.send('still here')
      await Promise.all(mine.slice(1).map((ear) => ear.heard(1)))
    })

    test('holds what comes before the handler receives', async ({ host, guest }) => {
      const accepted = new Promise<Transport>((resolve) => host.accept(resolve))
      const mine = await guest.connect(host.endpoint!, {})
      mine.send('early')
      const theirs = await accepted
      await pause(50)
      const ear = listen(theirs)
      await ear.heard(1)
      expect(ear.packets).toEqual(['early'])
      listen(mine)
    })

    testBoth('says why a link ended, once', async (from, to) => {
      from.transport.send('last words')
      from.transport.close(1008, 'that was enough')
      expect(await to.closed).toEqual({ code: 1008, reason: 'that was enough' })
      expect(to.packets).toEqual(['last words'])
      await from.closed
      await pause(20)
      expect([from.closings, to.closings]).toEqual([1, 1])
    })

    testBoth('takes a packet of the largest size', async (from, to, { maxPacket }) => {
      from.transport.send('x'.repeat(maxPacket))
      from.transport.send(new Uint8Array(maxPacket))
      await to.heard(2)
      expect(to.packets.map((packet) => packet.length)).toEqual([maxPacket, maxPacket])
    })

    testBoth('refuses a packet that is larger, with 1009, and reads no further', async (from, to, { maxPacket }) => {
      from.transport.send(new Uint8Array(maxPacket + 1))
      from.transport.send('after it')
      expect((await from.closed).code).toEqual(1009)
      await to.closed
      expect(to.packets).toEqual([])
    })

    test('fails where nobody listens', async ({ guest, nowhere }) => {
      expect(await codeOf(() => guest.connect(nowhere, {}))).toEqual('CONNECTION_FAILED')
      expect(await codeOf(() => guest.connect('not a URL', {}))).toEqual('CONNECTION_FAILED')
    })

    test('stops connecting when it is told to, before and during', async ({ host, guest }) => {
      host.accept(listen)
      const stopped = { signal: AbortSignal.abort() }
      expect(await codeOf(() => guest.connect(host.endpoint!, stopped))).toEqual('ABORTED')
      const stop = new AbortController()
      const connecting = codeOf(() => guest.connect(host.endpoint!, stop))
      stop.abort()
      expect(await connecting).toEqual('ABORTED')
    })

    test('leaves a link alone that is aborted too late', async (peers) => {
      const { host, guest } = peers
      const accepted = new Promise<Ear>((resolve) => host.accept((transport) => resolve(listen(transport))))
      const stop = new AbortController()
      const mine = listen(await guest.connect(host.endpoint!, stop))
      stop.abort()
      mine.transport.send('still here')
      await (await accepted).heard(1)
    })

    test('refuses a link that its handler throws at, and goes on with the next', async (peers) => {
      const { host, guest } = peers
      host.accept(() => {
        throw new SluiceError('OVERLOADED', 'no more guests tonight')
      })
      expect(await listen(await guest.connect(host.endpoint!, {})).closed).toEqual({ code: 1008, reason: 'no more guests tonight' })
      const [mine, theirs] = await link(peers)
      mine.transport.send('next')
      await theirs.heard(1)
    })

    test('has guests try again later while nobody takes links', async ({ host, guest }) => {
      expect((await listen(await guest.connect(host.endpoint!, {})).closed).code).toEqual(1013)
    })

    test('ends the links of others when it closes, and cannot be reached any more', async (peers) => {
      const [mine, theirs] = await link(peers)
      await Promise.all([peers.host.close(), mine.closed, theirs.closed])
      expect((await mine.closed).code).toEqual(1001)
      expect(await codeOf(() => peers.guest.connect(peers.host.endpoint!, {}))).toEqual('CONNECTION_FAILED')
      await peers.host.close()
    })

    test('opens no links once it is closed', async ({ host, guest }) => {
      host.accept(listen)
      await guest.close()
      expect(await codeOf(() => guest.connect(host.endpoint!, {}))).toEqual('CONNECTION_FAILED')
    })
  })
}

function listen(transport: Transport): Ear {
  const packets: Packet[] = []
  let closings = 0
  let tell: (reason: CloseReason) => void
  const closed = new Promise<CloseReason>((resolve) => (tell = resolve))
  transport.receive({
    packet: (packet) => void packets.push(packet),
    closed: (reason) => {
      closings++
      tell(reason)
    },
  })
  return {
    transport,
    packets,
    closed,
    get closings() {
      return closings
    },
    heard: (count) => until(() => packets.length >= count),
  }
}

async function until(met: () => boolean): Promise<void> {
  for (let i = 0; !met(); i++) {
    if (i === 500) throw new Error('nothing came within 5 s')
    await pause(10)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
