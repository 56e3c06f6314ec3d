import { assertArguments, flag, optional } from '../core/argument.ts'
import { equalBytes } from '../core/bytes.ts'
import { SluiceError } from '../core/errors.ts'
import { HIGH_WATER_MARK, type CloseReason, type Packet, type Receiver, type Transport } from '../protocol/transport.ts'
import { assertSuite, type TestRunner } from './suite.ts'

/** Two transports that are joined. */
export interface TransportsUnderTest {
  readonly a: Transport
  readonly b: Transport
  /** Cleans up behind a test. */
  close?(): Promise<void>
}

/** Options of {@link transportSuite}. */
export interface TransportSuiteOptions {
  /** Whether `a` waits for `b` to read once much is under way; a pair in one process hands packets over at once. @default true */
  readonly backPressure?: boolean | undefined
}

/** What one end heard. */
interface Ear {
  readonly packets: Packet[]
  readonly closed: Promise<CloseReason>
  readonly closings: number
  /** Waits until so many packets have come. */
  heard(count: number): Promise<void>
}

/**
 * Tests that a transport keeps the promises of {@link Transport}.
 * @param open makes a fresh pair, joined and open, at every call.
 * @example
 * ```ts
 * import { describe, expect, it } from 'vitest'
 * import { memoryTransportPair } from 'sluice-sdk/protocol'
 * import { transportSuite } from 'sluice-sdk/testing'
 *
 * transportSuite('memory', async () => {
 *   const [a, b] = memoryTransportPair()
 *   return { a, b }
 * }, { describe, it, expect }, { backPressure: false })
 * ```
 */
export function transportSuite(
  name: string,
  open: () => Promise<TransportsUnderTest>,
  runner: TestRunner,
  options: TransportSuiteOptions = {},
): void {
  assertSuite(name, open, runner)
  assertArguments(options, { backPressure: optional(flag) }, 'options')
  const { backPressure = true } = options
  const { describe, it, expect } = runner
  const test = (what: string, body: (a: Transport, b: Transport) => Promise<void>): unknown =>
    it(what, async () => {
      const { a, b, close } = await open()
      try {
        await body(a, b)
      } finally {
        a.close()
        b.close()
        await close?.()
      }
    })
  /** Both ways: the two ends may be of different kinds. */
  const testBoth = (what: string, body: (a: Transport, b: Transport) => Promise<void>): void => {
    test(`${what}, one way`, body)
    test(`${what}, the other way`, (a, b) => body(b, a))
  }
  const plain = (packet: Packet | undefined): unknown => (packet instanceof Uint8Array ? [...packet] : packet)
  const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

  describe(`${name} as a transport`, () => {
    testBoth('carries text and bytes as they are, in order', async (a, b) => {
      const ear = listen(b)
      const sent: Packet[] = []
      for (let i = 0; i < 300; i++) sent.push(i % 3 === 0 ? `text ${i} ü 量 😀` : bytes(i % 7, i % 256))
      sent.push('', bytes(0, 0), '\u0000')
      for (const packet of sent) a.send(packet)
      await ear.heard(sent.length)
      expect(ear.packets.map(plain)).toEqual(sent.map(plain))
    })

    testBoth('carries a frame of 4 MiB', async (a, b) => {
      const ear = listen(b)
      const big = bytes(4 * 1024 * 1024 + 3000, 7)
      big[big.length - 1] = 9
      a.send(big)
      await ear.heard(1)
      const [came] = ear.packets
      expect([came?.length, came?.at(0), came?.at(-1)]).toEqual([big.length, 7, 9])
    })

    testBoth('holds what comes before anyone receives', async (a, b) => {
      for (const packet of ['one', 'two', 'three']) a.send(packet)
      await pause(50)
      const ear = listen(b)
      await ear.heard(3)
      expect(ear.packets).toEqual(['one', 'two', 'three'])
    })

    testBoth('delivers what was sent before it closed, then says why, once, to both', async (a, b) => {
      const [mine, theirs] = [listen(a), listen(b)]
      for (let i = 0; i < 50; i++) a.send(`${i}`)
      a.close(1001, 'enough for today')
      expect(await theirs.closed).toEqual({ code: 1001, reason: 'enough for today' })
      expect(theirs.packets.length).toEqual(50)
      await mine.closed
      a.close()
      b.close(1008, 'too late')
      await pause(20)
      expect([mine.closings, theirs.closings]).toEqual([1, 1])
    })

    testBoth('closes with 1000 when no more is said', async (a, b) => {
      const theirs = listen(b)
      a.close()
      expect(await theirs.closed).toEqual({ code: 1000, reason: '' })
    })

    testBoth('tells who begins to receive after the end', async (a, b) => {
      listen(a)
      b.close(1001, 'gone')
      await pause(50)
      const ear = listen(b)
      await ear.closed
      expect(ear.packets).toEqual([])
    })

    testBoth('sends nothing after the end, and waits for nothing', async (a, b) => {
      const [mine, theirs] = [listen(a), listen(b)]
      a.close()
      a.send('late')
      await a.drained()
      await Promise.all([mine.closed, theirs.closed])
      a.send('later')
      await a.drained()
      expect(theirs.packets).toEqual([])
    })

    testBoth('closes with 1008 and the reason when the receiver throws, and hands it nothing more', async (a, b) => {
      const mine = listen(a)
      let handed = 0
      let resolve: (reason: CloseReason) => void
      const closed = new Promise<CloseReason>((done) => (resolve = done))
      b.receive({
        packet: () => {
          handed++
          throw new SluiceError('BAD_MESSAGE', 'chunk 7 is not what was ordered')
        },
        closed: (reason) => resolve(reason),
      })
      for (let i = 0; i < 5; i++) a.send(`${i}`)
      expect(await mine.closed).toEqual({ code: 1008, reason: 'chunk 7 is not what was ordered' })
      await closed
      expect(handed).toEqual(1)
    })

    testBoth('cuts a reason that is too long for a close frame between two characters', async (a, b) => {
      const theirs = listen(b)
      listen(a)
      a.close(1008, '量'.repeat(100))
      const { code, reason } = await theirs.closed
      expect(code).toEqual(1008)
      expect('量'.repeat(100).startsWith(reason) && reason.length >= 41).toEqual(true)
    })

    testBoth('is drained at once when little waits', async (a, b) => {
      listen(b)
      a.send('little')
      await a.drained()
    })

    testBoth('lets bytes be written over once it has released them', async (a, b) => {
      const ear = listen(b)
      const packets = [1, 2, 3].map((seed) => bytes(300_000, seed))
      for (const packet of packets) {
        const sent = Uint8Array.from(packet)
        a.send(sent, () => sent.fill(0))
      }
      await ear.heard(packets.length)
      expect(ear.packets.map((packet, i) => equalBytes(packet as Uint8Array, packets[i]!))).toEqual([true, true, true])
    })

    if (!backPressure) return

    test('releases what it has sent', async (a, b) => {
      const ear = listen(b)
      const released = new Promise<void>((resolve) => a.send(bytes(100_000, 1), resolve))
      await ear.heard(1)
      await released
    })

    test('is not drained while the other end does not read, and is when it does', async (a, b) => {
      const sent = await fill(a)
      let drained = false
      const draining = a.drained().then(() => (drained = true))
      await pause(100)
      expect(drained).toEqual(false)
      const ear = listen(b)
      await draining
      await ear.heard(sent)
      expect(ear.packets.length).toEqual(sent)
    })

    test('is drained when the link ends meanwhile', async (a, b) => {
      await fill(a)
      const draining = a.drained()
      listen(b)
      b.close()
      await draining
    })
  })

  /** Sends until more than the mark waits: what the sockets in between hold comes on top. */
  async function fill(a: Transport): Promise<number> {
    const packet = bytes(1024 * 1024, 1)
    const count = 4 * (HIGH_WATER_MARK / packet.length)
    for (let i = 0; i < count; i++) a.send(packet)
    await pause(50)
    for (let i = 0; i < count; i++) a.send(packet)
    return 2 * count
  }
}

function listen(transport: Transport): Ear {
  const packets: Packet[] = []
  let closings = 0
  let wake: (() => void) | undefined
  let resolve: (reason: CloseReason) => void
  const closed = new Promise<CloseReason>((done) => (resolve = done))
  const receiver: Receiver = {
    packet: (packet) => {
      packets.push(packet)
      wake?.()
    },
    closed: (reason) => {
      closings++
      resolve(reason)
    },
  }
  transport.receive(receiver)
  return {
    packets,
    closed,
    get closings() {
      return closings
    },
    heard: async (count) => {
      while (packets.length < count) {
        const ended = await Promise.race([new Promise<undefined>((next) => (wake = () => next(undefined))), closed])
        if (ended && packets.length < count) throw new Error(`the link ended (${ended.code} ${ended.reason}) after ${packets.length} of ${count} packets`)
      }
    },
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
