import { describe, expect, it } from 'vitest'
import { toHex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'
import { memoryTransportPair } from '../../protocol/memoryTransport.ts'
import { MAX_PEER_PACKET } from '../../protocol/peer.ts'
import { HIGH_WATER_MARK, type CloseReason, type Packet, type Transport } from '../../protocol/transport.ts'
import { createManualClock } from '../../testing/manualClock.ts'
import { encodeChannelMessage, type ChannelMessage } from '../wire/messages.ts'
import { closeOf, createLink, SILENCE, type LinkEvents, type OwnedLink } from './link.ts'
import { createTerms, middle, settle, shakeHands } from './link.testing.ts'

/** A link and what it told. */
interface Watched {
  readonly link: OwnedLink
  readonly messages: ChannelMessage[]
  readonly ready: number[]
  readonly ended: CloseReason[]
}

/** Two links over a transport, each ready. */
async function linked(
  pair: readonly [Transport, Transport] = memoryTransportPair(),
  {
    clock = createManualClock(),
    handle = (): unknown => undefined,
    ready = true,
    terms = [createTerms(), createTerms()] as const,
  } = {},
) {
  const secured = await shakeHands(...terms, pair)
  const watch = (index: 0 | 1): Watched => {
    const [messages, generations, ended] = [[] as ChannelMessage[], [] as number[], [] as CloseReason[]]
    const events: LinkEvents = {
      ready: (generation) => void generations.push(generation),
      message: (message) => {
        messages.push(message)
        return index === 1 ? handle() : undefined
      },
      ended: (reason) => void ended.push(reason),
    }
    const link = createLink(secured[index], events, clock)
    link.start()
    return { link, messages, ready: generations, ended }
  }
  const [a, b] = [watch(0), watch(1)]
  if (ready) {
    a.link.ready(7)
    b.link.ready(0)
    await settle()
  }
  return { a, b, clock }
}

const hash = (n: number) => toHex(new Uint8Array(32).fill(n))
const processed = (nonce: number) => ({ channelId: hash(1), nonce })
const nonces = ({ messages }: Watched): unknown[] => messages.map((message) => 'nonce' in message && message.nonce)

describe('createLink', () => {
  it('carries messages both ways, in order, as they are', async () => {
    const { a, b } = await linked()
    expect([a.ready, b.ready]).toEqual([[0], [7]])
    for (let i = 0; i < 50; i++) a.link.send('processed', processed(i))
    b.link.sendPacket(encodeChannelMessage('reveal', { channelId: hash(2), index: 3, secret: new Uint8Array(32).fill(9) }))
    await settle()
    expect(nonces(b)).toEqual(Array.from({ length: 50 }, (_, i) => i))
    expect(a.messages).toEqual([{ type: 'reveal', channelId: hash(2), index: 3, secret: new Uint8Array(32).fill(9) }])
    expect(a.link.open && b.link.open).toBe(true)
  })

  it('hands out bytes of their own, though Node reads packets into shared memory', async () => {
    const wires: Packet[] = []
    const [left, right] = memoryTransportPair()
    const asBuffer: Transport = {
      ...right,
      receive: (to) =>
        right.receive({
          packet: (packet) => {
            const buffer = Buffer.from(packet as Uint8Array)
            wires.push(buffer)
            to.packet(buffer)
          },
          closed: to.closed,
        }),
    }
    const { a, b } = await linked([left, asBuffer])
    a.link.send('reveal', { channelId: hash(2), index: 3, secret: new Uint8Array(32).fill(9) })
    await settle()
    for (const wire of wires) (wire as Buffer).fill(0)
    expect(b.messages).toMatchObject([{ secret: new Uint8Array(32).fill(9) }])
    expect((b.messages[0] as { secret: Uint8Array }).secret.buffer.byteLength).toBe(32)
  })

  describe('with somebody in the middle, ends with 1008 at', () => {
    const cases: [string, (packet: Uint8Array, index: number, all: readonly Uint8Array[]) => readonly Packet[]][] = [
      ['a flipped bit of a message', (packet, i) => [i === 4 ? packet.with(5, packet[5]! ^ 1) : packet]],
      ['a flipped bit of a tag', (packet, i) => [i === 4 ? packet.with(-1, packet.at(-1)! ^ 128) : packet]],
      ['a packet that comes twice', (packet, i) => (i === 4 ? [packet, packet] : [packet])],
      ['an earlier packet', (packet, i, all) => (i === 5 ? [all[4]!] : [packet])],
      ['a packet that is lost', (packet, i) => (i === 4 ? [] : [packet])],
      ['packets in another order', (packet, i, all) => (i === 4 ? [] : i === 5 ? [packet, all[4]!] : [packet])],
      ['a packet that is cut', (packet, i) => [i === 4 ? packet.subarray(0, 20) : packet]],
      ['an empty packet', (packet, i) => (i === 4 ? [new Uint8Array(), packet] : [packet])],
      ['a tag without a message', (packet, i) => (i === 4 ? [packet.subarray(-16), packet] : [packet])],
      ['text', (packet, i) => (i === 4 ? ['a text that is longer than a tag'] : [packet])],
      ['bytes that are shorter than a tag', (packet, i) => (i === 4 ? [packet.subarray(-15)] : [packet])],
    ]
    it.each(cases)('%s', async (_what, meddle) => {
      const all: Uint8Array[] = []
      const { ends } = middle((packet, from, index) => {
        if (from === 1) return [packet]
        all.push(packet)
        return meddle(packet, index, all)
      })
      const { a, b } = await linked(ends)
      // Packets 0 to 2 were hello, auth and ready.
      for (let i = 3; i < 10; i++) a.link.send('processed', processed(i))
      await settle()
      expect(b.ended).toEqual([{ code: 1008, reason: expect.stringContaining('BAD_MESSAGE: ') as string }])
      expect(b.link.open).toBe(false)
      expect(nonces(b)[0]).toBe(3)
      expect(nonces(b).length).toBeLessThanOrEqual(2)
      await settle()
      expect(a.ended[0]?.code).toBe(1008)
    })

    it('a packet of its own, sent back', async () => {
      const { ends, towards, seen } = middle()
      const { a, b } = await linked(ends)
      a.link.send('processed', processed(1))
      await settle()
      towards[0].send(seen.at(-1)!.packet)
      await settle()
      expect([a.ended[0]?.code, a.messages]).toEqual([1008, []])
      expect(nonces(b)).toEqual([1])
    })

    it('a packet of another link of the same two', async () => {
      const terms = [createTerms(), createTerms()] as const
      const first = middle()
      const { a: once } = await linked(first.ends, { terms })
      once.link.send('processed', processed(1))
      await settle()
      const second = middle()
      const { a, b } = await linked(second.ends, { terms })
      second.towards[1].send(first.seen.at(-1)!.packet)
      await settle()
      expect([b.ended[0]?.code, b.messages, a.messages]).toEqual([1008, [], []])
    })
  })

  it('wants ready first, and once', async () => {
    const early = await linked(undefined, { ready: false })
    early.a.link.send('processed', processed(1))
    await settle()
    expect(early.b.ended).toMatchObject([{ code: 1008, reason: 'UNEXPECTED_MESSAGE: ready must come first' }])
    expect(early.b.messages).toEqual([])
    const twice = await linked()
    twice.a.link.ready(8)
    await settle()
    expect(twice.b.ended).toMatchObject([{ code: 1008, reason: 'UNEXPECTED_MESSAGE: ready comes once' }])
    expect(twice.b.ready).toEqual([7])
  })

  it('ends at a message that is malformed, or of no type', async () => {
    for (const [packet, field] of [
      [Uint8Array.of(255), 'type'],
      [Uint8Array.of(51, 0), 'nonce'],
      [Uint8Array.of(51, 0, 0, 0, 1, 2), 'message'],
    ] as const) {
      const { a, b } = await linked()
      a.link.sendPacket(packet)
      await settle()
      expect(b.ended).toMatchObject([{ code: 1008, reason: expect.stringMatching(`BAD_MESSAGE: ${field}`) as string }])
    }
  })

  it('ends when the handler throws or rejects: with the code of a SluiceError, and telling nothing of others', async () => {
    const bad = new SluiceError('PROOF_INVALID', 'the proof is wrong')
    for (const [handle, code, reason] of [
      [() => { throw bad }, 1008, 'PROOF_INVALID: the proof is wrong'],
      [() => Promise.reject(bad), 1008, 'PROOF_INVALID: the proof is wrong'],
      [() => { throw new Error('secret detail') }, 1011, 'internal error'],
      [() => Promise.reject(new Error('secret detail')), 1011, 'internal error'],
    ] as const) {
      const { a, b } = await linked(undefined, { handle })
      a.link.send('processed', processed(1))
      a.link.send('processed', processed(2))
      await settle()
      await settle()
      expect([a.ended, b.ended]).toEqual([[{ code, reason }], [{ code, reason }]])
    }
  })

  it('refuses packets that are too large, and sends none', async () => {
    const { a, b } = await linked()
    const largest = MAX_PEER_PACKET - 16
    expect(() => a.link.sendPacket(new Uint8Array(largest + 1))).toThrowError(expect.objectContaining({ code: 'MESSAGE_TOO_LARGE' }) as Error)
    a.link.send('processed', processed(1))
    await settle()
    expect(nonces(b)).toEqual([1])
    a.link.sendPacket(new Uint8Array(largest).fill(255))
    await settle()
    expect(b.ended).toMatchObject([{ reason: expect.stringContaining('type 255 is unknown') as string }])

    const { ends, towards } = middle()
    const other = await linked(ends)
    towards[1].send(new Uint8Array(MAX_PEER_PACKET + 1))
    await settle()
    expect(other.b.ended).toMatchObject([{ code: 1009 }])
  })

  it('ends once for whoever ends it, says why to both, and does nothing after', async () => {
    const { a, b, clock } = await linked()
    a.link.send('processed', processed(1))
    a.link.close(1001, 'enough')
    expect([a.link.open, a.ended]).toEqual([false, [{ code: 1001, reason: 'enough' }]])
    a.link.close(1008, 'again')
    a.link.send('processed', processed(2))
    await a.link.drained()
    await settle()
    expect([nonces(b), b.ended, b.link.open]).toEqual([[1], [{ code: 1001, reason: 'enough' }], false])
    expect(a.ended).toHaveLength(1)
    expect(clock.sleeping).toBe(0)
  })

  describe('liveness', () => {
    it('asks after 15 s of silence, and stays when it is answered', async () => {
      const { seen, ends } = middle()
      const { a, b, clock } = await linked(ends)
      const before = seen.length
      await clock.advance(SILENCE - 1)
      expect(seen).toHaveLength(before)
      await clock.advance(1)
      expect(seen.slice(before).map(({ packet }) => packet[0])).toEqual(expect.arrayContaining([51, 52]))
      await clock.advance(10 * SILENCE)
      expect([a.ended, b.ended]).toEqual([[], []])
      expect([a.messages, b.messages]).toEqual([[], []])
    })

    it('does not ask while something comes', async () => {
      const { seen, ends } = middle()
      const { a, b, clock } = await linked(ends)
      const before = seen.length
      for (let i = 0; i < 10; i++) {
        a.link.send('processed', processed(i))
        b.link.send('processed', processed(i))
        await clock.advance(SILENCE - 1)
      }
      expect(seen.slice(before).every(({ packet }) => packet[0] === 7)).toBe(true)
    })

    it('gives up after 30 s without any packet', async () => {
      let cut = false
      const { ends } = middle((packet) => (cut ? [] : [packet]))
      const { a, b, clock } = await linked(ends)
      cut = true
      await clock.advance(2 * SILENCE - 1)
      expect([a.ended, b.ended]).toEqual([[], []])
      await clock.advance(1)
      expect(a.ended).toEqual([{ code: 1008, reason: 'silent for 30 s' }])
      expect(clock.sleeping).toBe(0)
    })

    it('survives a clock that is set on or back', async () => {
      const clock = createManualClock()
      let shift = 0
      const moved = { ...clock, now: () => clock.now() + shift }
      const { a, b } = await linked(undefined, { clock: moved })
      shift = 3_600_000
      await clock.advance(SILENCE)
      shift = -3_600_000
      await clock.advance(5 * SILENCE)
      expect([a.ended, b.ended]).toEqual([[], []])
    })

    it('gives up in time also when the clock was set back', async () => {
      const clock = createManualClock(1e9)
      let [shift, cut] = [0, false]
      const moved = { ...clock, now: () => clock.now() + shift }
      const { ends } = middle((packet) => (cut ? [] : [packet]))
      const { a } = await linked(ends, { clock: moved })
      cut = true
      await clock.advance(SILENCE / 2)
      shift = -3_600_000
      await clock.advance(3 * SILENCE)
      expect(a.ended).toMatchObject([{ code: 1008 }])
    })
  })

  describe('with a partner that does not read', () => {
    /** A transport that lets go of nothing until it is told to. */
    const stuffed = () => {
      const [left, right] = memoryTransportPair()
      let relieve = (): void => {}
      let gate: Promise<void> | undefined
      return {
        pair: [{ ...left, drained: () => gate ?? Promise.resolve() }, right] as const,
        stuff: () => void (gate = new Promise((resolve) => (relieve = resolve))),
        relieve: () => {
          gate = undefined
          relieve()
        },
      }
    }
    const packet = encodeChannelMessage('announcement', { signed: new Uint8Array(2000) })

    it('says so, and when it is over', async () => {
      const { pair, stuff, relieve } = stuffed()
      const { a } = await linked(pair)
      stuff()
      for (let sent = 0; sent <= HIGH_WATER_MARK - 4096; sent += packet.length + 16) a.link.sendPacket(packet)
      await settle()
      expect(a.link.congested).toBe(false)
      for (let i = 0; i < 4; i++) a.link.sendPacket(packet)
      await settle()
      expect(a.link.congested).toBe(true)
      let drained = false
      const draining = a.link.drained().then(() => (drained = true))
      await settle()
      expect(drained).toBe(false)
      relieve()
      await draining
      expect(a.link.congested).toBe(false)
    })

    it('ends before it holds too much', async () => {
      const { pair, stuff } = stuffed()
      const { a } = await linked(pair)
      stuff()
      for (let sent = 0; sent <= 4 * HIGH_WATER_MARK; sent += packet.length + 16) a.link.sendPacket(packet)
      expect(a.ended).toEqual([{ code: 1008, reason: 'reads too slowly' }])
    })

    it('counts nothing as long as all goes out', async () => {
      const { a, b } = await linked()
      for (let i = 0; i < 100; i++) {
        for (let j = 0; j < 100; j++) a.link.sendPacket(packet)
        await settle()
        expect(a.link.congested).toBe(false)
      }
      expect(b.messages).toHaveLength(10_000)
    })
  })
})

describe('closeOf', () => {
  it('tells faults of the other side from our own', () => {
    expect(closeOf(new SluiceError('BAD_SIGNATURE', 'x'))).toEqual([1008, 'BAD_SIGNATURE: x'])
    expect(closeOf(new SluiceError('OVERLOADED', 'x'))).toEqual([1013, 'OVERLOADED: x'])
    expect(closeOf(new SluiceError('RPC_FAILED', 'x'))).toEqual([1011, 'RPC_FAILED: the chain cannot be asked at the moment; try again later'])
    expect(closeOf(new SluiceError('ABORTED', 'x'))).toEqual([1001, 'ABORTED: it was ended before it was done'])
    expect(closeOf(new SluiceError('ABORTED', 'x', { cause: new SluiceError('OVERLOADED', 'y') }))).toEqual([1013, 'OVERLOADED: y'])
    expect(closeOf(new TypeError('x'))).toEqual([1011, 'internal error'])
  })
})
