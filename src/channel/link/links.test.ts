import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { generateKey, type Key } from '../../core/crypto/key.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import { memoryTransportPair } from '../../protocol/memoryTransport.ts'
import { memoryPeerNetwork } from '../../protocol/memoryPeerNetwork.ts'
import type { PeerTransport } from '../../protocol/peer.ts'
import type { CloseReason, Packet, Receiver, Transport } from '../../protocol/transport.ts'
import { listenWebSocketPeer } from '../../protocol/websocket/listenPeer.ts'
import { webSocketPeer } from '../../protocol/websocket/peer.ts'
import { createManualClock } from '../../testing/manualClock.ts'
import type { ChannelMessage } from '../wire/messages.ts'
import { handshake } from './handshake.ts'
import { createLink, SILENCE, type Link } from './link.ts'
import { createLinks, HANDSHAKES_PER_SECOND, MOST_HANDSHAKES, type Links, type LinksOptions } from './links.ts'
import { accountOf, createDelegated, createIdentity, createTerms, listenTo, settle } from './link.testing.ts'

interface Node {
  readonly links: Links
  readonly account: Hex
  readonly transport: PeerTransport
  readonly events: string[]
  readonly messages: Map<Link, ChannelMessage[]>
  readonly opened: Link[]
  readonly lost: CloseReason[]
}

let nodes: Node[] = []
afterEach(async () => {
  for (const { links, transport } of nodes) {
    await links.close()
    await transport.close()
  }
  nodes = []
})

/** Two keys, that of the lower account first: the one that chooses. */
function twoKeys(): Key[] {
  return [generateKey(), generateKey()].sort((a, b) => (accountOf(a) < accountOf(b) ? -1 : 1))
}

/** A node; where others are is written in `book`. */
function createNode(transport: PeerTransport, book: Map<Hex, readonly string[]>, changes: Partial<LinksOptions> = {}): Node {
  const terms = createTerms(changes)
  const { account } = terms.identity
  const links = createLinks({ ...terms, transport, find: async (account) => book.get(account) ?? [], ...changes })
  const node: Node = { links, account, transport, events: [], messages: new Map(), opened: [], lost: [] }
  links.onLink((link) => {
    node.events.push(`link ${link.account}`)
    node.opened.push(link)
    node.messages.set(link, [])
  })
  links.onLost((link, reason) => {
    node.events.push(`lost ${link.account}`)
    node.lost.push(reason)
  })
  links.onMessage((link, message) => void node.messages.get(link)!.push(message))
  if (transport.endpoint !== undefined) book.set(account, [...(book.get(account) ?? []), transport.endpoint])
  nodes.push(node)
  return node
}

/** Two nodes in memory; the lower account first. */
function twoNodes(changes: Partial<LinksOptions> = {}) {
  const [network, book, clock] = [memoryPeerNetwork(), new Map<Hex, readonly string[]>(), createManualClock(1_000_000)]
  const [low, high] = twoKeys().map((key, i) =>
    createNode(network.peer(`ws://${i}`), book, { identity: createIdentity(key), clock, ...changes }),
  ) as [Node, Node]
  return { network, book, clock, low, high }
}

const channelId = toHex(new Uint8Array(32))
const nonces = (messages: readonly ChannelMessage[] | undefined): unknown[] => (messages ?? []).map((message) => 'nonce' in message && message.nonce)

describe('createLinks', () => {
  it('links two nodes, whoever dials, and carries messages', async () => {
    for (const lowDials of [true, false]) {
      const { low, high, clock } = twoNodes()
      const [from, to] = lowDials ? [low, high] : [high, low]
      const link = await from.links.connect(to.account.toUpperCase().replace('0X', '0x'))
      expect(link).toMatchObject({ account: to.account, signer: to.account, capabilities: 5, open: true })
      expect(from.links.get(to.account)).toBe(link)
      await settle()
      const back = to.links.get(from.account)!
      link.send('processed', { channelId, nonce: 1 })
      back.send('processed', { channelId, nonce: 2 })
      await settle()
      expect(nonces(to.messages.get(back))).toEqual([1])
      expect(nonces(from.messages.get(link))).toEqual([2])
      expect(await from.links.connect(to.account)).toBe(link)
      expect([from.events, to.events]).toEqual([[`link ${to.account}`], [`link ${from.account}`]])
      link.close()
      await settle()
      expect([low.links.get(high.account), high.links.get(low.account)]).toEqual([undefined, undefined])
      expect(clock.sleeping).toBe(0)
    }
  })

  it('links over WebSockets, with a session key, to one who cannot be reached', async () => {
    const book = new Map<Hex, readonly string[]>()
    const server = createNode(await listenWebSocketPeer(), book, { identity: createDelegated() })
    const guest = createNode(webSocketPeer(), book, { identity: createDelegated() })
    const link = await guest.links.connect(server.account)
    expect(link.signer).not.toBe(link.account)
    link.send('processed', { channelId, nonce: 1 })
    await expect.poll(() => nonces([...server.messages.values()][0])).toEqual([1])
    server.links.get(guest.account)!.send('processed', { channelId, nonce: 2 })
    await expect.poll(() => nonces(guest.messages.get(link))).toEqual([2])
    link.close(1000, 'done')
    await expect.poll(() => server.lost).toEqual([{ code: 1000, reason: 'done' }])
    await expect(server.links.connect(guest.account)).rejects.toMatchObject({ code: 'PARTNER_OFFLINE' })
  })

  describe('connect', () => {
    it('is one attempt for all who ask meanwhile; each can leave, and the last one ends it', async () => {
      let searches = 0
      let answer = (_urls: readonly string[]): void => {}
      let stopped = false
      const find: LinksOptions['find'] = (_account, { signal }) => {
        searches++
        signal.addEventListener('abort', () => (stopped = true))
        return new Promise((resolve) => (answer = resolve))
      }
      const { low, high } = twoNodes({ find })
      const [leave, other] = [new AbortController(), new AbortController()]
      const first = low.links.connect(high.account, { signal: leave.signal })
      const second = low.links.connect(high.account)
      leave.abort()
      await expect(first).rejects.toMatchObject({ code: 'ABORTED' })
      expect(stopped).toBe(false)
      answer(['ws://1'])
      expect((await second).account).toBe(high.account)
      expect(searches).toBe(1)
      low.links.get(high.account)!.close()
      await settle()
      stopped = false
      const third = low.links.connect(high.account, { signal: other.signal })
      other.abort()
      await expect(third).rejects.toMatchObject({ code: 'ABORTED' })
      expect(stopped).toBe(true)
    })

    it('tries the endpoints in order, and refuses one at which somebody else answers', async () => {
      const { low, high, network, book, clock } = twoNodes()
      const stranger = createNode(network.peer('ws://stranger'), new Map(), { clock })
      book.set(high.account, ['ws://nobody', 'ws://stranger', 'ws://1', 'ws://never'])
      expect((await low.links.connect(high.account)).account).toBe(high.account)
      expect(stranger.events).toEqual([])
      low.links.get(high.account)!.close()
      await settle()
      book.set(high.account, ['ws://nobody', 'ws://stranger'])
      await expect(low.links.connect(high.account)).rejects.toMatchObject({
        code: 'PARTNER_OFFLINE',
        details: { account: high.account },
        cause: { code: 'BAD_MESSAGE', details: { field: 'hello.account' } },
      })
      book.set(high.account, [])
      await expect(low.links.connect(high.account)).rejects.toMatchObject({ code: 'PARTNER_OFFLINE' })
    })

    it('gives up on an endpoint that says nothing', async () => {
      const { low, high, network, book, clock } = twoNodes()
      network.peer('ws://mute').accept((transport) => void listenTo(transport))
      book.set(high.account, ['ws://mute', 'ws://1'])
      const connecting = low.links.connect(high.account)
      await clock.advance(9_999)
      expect(low.links.get(high.account)).toBeUndefined()
      await clock.advance(1)
      expect((await connecting).account).toBe(high.account)
    })

    it('gives up looking after half a minute, and tries eight endpoints at most', async () => {
      const looking = twoNodes({ find: () => new Promise(() => {}) })
      const endless = looking.low.links.connect(looking.high.account)
      endless.catch(() => {})
      await looking.clock.advance(30_000)
      await expect(endless).rejects.toMatchObject({ code: 'TIMEOUT' })

      const urls: string[] = []
      const nowhere: PeerTransport = {
        ...memoryPeerNetwork().peer(),
        connect: (url) => {
          urls.push(url)
          return Promise.reject(new SluiceError('CONNECTION_FAILED', 'nobody'))
        },
      }
      const node = createNode(nowhere, new Map(), { find: async () => Array.from({ length: 20 }, (_, i) => `ws://${i}`) })
      await expect(node.links.connect(looking.high.account)).rejects.toMatchObject({ code: 'PARTNER_OFFLINE' })
      expect(urls).toHaveLength(8)
    })

    it('closes a transport that opens when nobody waits for it any more', async () => {
      const [mine, theirs] = memoryTransportPair()
      let arrive = (_transport: Transport): void => {}
      const slow: PeerTransport = { ...memoryPeerNetwork().peer(), connect: () => new Promise((resolve) => (arrive = resolve)) }
      const node = createNode(slow, new Map(), { find: async () => ['ws://slow'] })
      const stop = new AbortController()
      const attempt = node.links.connect(accountOf(generateKey()), { signal: stop.signal })
      await settle()
      stop.abort()
      await expect(attempt).rejects.toMatchObject({ code: 'ABORTED' })
      arrive(mine)
      expect((await listenTo(theirs).closed).code).toBe(1000)
    })

    it('hands on what looking for the node throws, and refuses what is no other account', async () => {
      const fault = new SluiceError('RPC_FAILED', 'no node')
      const { low, high } = twoNodes({ find: () => Promise.reject(fault) })
      await expect(low.links.connect(high.account)).rejects.toBe(fault)
      await expect(low.links.connect(low.account)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
      await expect(low.links.connect('bob')).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
      expect(() => low.links.keep(low.account)).toThrowError(expect.objectContaining({ code: 'BAD_ARGUMENT' }) as Error)
    })

    it('is content with a link that the other side opened meanwhile', async () => {
      let looking = (_urls: readonly string[]): void => {}
      const { low, high, book } = twoNodes()
      const slow = createNode(low.transport, new Map(), { find: () => new Promise((resolve) => (looking = resolve)) })
      book.set(slow.account, ['ws://0'])
      const waiting = slow.links.connect(high.account)
      const link = await high.links.connect(slow.account)
      expect((await waiting).account).toBe(high.account)
      expect(link.open).toBe(true)
      looking([])
    })
  })

  it('ends with one link when both dial at once', async () => {
    for (let i = 0; i < 5; i++) {
      const { low, high } = twoNodes()
      const [a, b] = await Promise.all([low.links.connect(high.account), high.links.connect(low.account)])
      await settle()
      expect([a.open, b.open]).toEqual([true, true])
      expect([low.links.get(high.account), high.links.get(low.account)]).toEqual([a, b])
      a.send('processed', { channelId, nonce: 1 })
      b.send('processed', { channelId, nonce: 2 })
      await settle()
      expect([nonces(high.messages.get(b)), nonces(low.messages.get(a))]).toEqual([[1], [2]])
      expect([low.events.length, high.events.length]).toEqual([1, 1])
    }
  })

  it('ends with one link that was the first and only one, whoever dials how much later', async () => {
    for (let delay = -16; delay <= 16; delay++) {
      const clock = createManualClock(1_000_000)
      const network = chaosNetwork()
      const book = new Map<Hex, readonly string[]>()
      const [low, high] = twoKeys().map((key, i) =>
        createNode(network.peer(`ws://${i}`), book, { identity: createIdentity(key), clock }),
      ) as [Node, Node]
      const links: Promise<Link>[] = []
      for (let step = 0; step < 60; step++) {
        if (step === 16) links[0] = low.links.connect(high.account)
        if (step === 16 + delay) links[1] = high.links.connect(low.account)
        await immediate()
        network.deliverEach()
        await immediate()
      }
      expect(await Promise.all(links), `delay ${delay}`).toEqual([low.opened[0], high.opened[0]])
      expect([low.events.length, high.events.length], `delay ${delay}`).toEqual([1, 1])
      expect(network.open(), `delay ${delay}`).toBe(2)
      expect(clock.sleeping).toBe(2)
      await Promise.all([low.links.close(), high.links.close()])
    }
    nodes = []
  })

  it('follows the last choice, in whatever order the choices arrive', async () => {
    const { network, high: host, clock } = twoNodes()
    let key = generateKey()
    while (accountOf(key) > host.account) key = generateKey()
    const instance = toHex(randomBytes(16))
    const candidate = async () => {
      const transport = await network.peer().connect(host.transport.endpoint!, {})
      const terms = createTerms({ identity: createIdentity(key), clock, instance })
      const secured = await handshake(transport, terms, { dialled: true })
      const [ready, ended] = [[] as number[], [] as CloseReason[]]
      const link = createLink(
        secured,
        { ready: (n) => void ready.push(n), message: () => {}, ended: (reason) => void ended.push(reason) },
        clock,
      )
      link.start()
      await settle()
      expect(ready).toEqual([0])
      return { link, ended }
    }
    const [first, second, third] = [await candidate(), await candidate(), await candidate()]
    second.link.ready(2)
    await settle()
    const standing = host.links.get(accountOf(key))
    first.link.ready(1)
    await settle()
    expect(host.links.get(accountOf(key))).toBe(standing)
    expect([first.ended, second.ended]).toEqual([[{ code: 1000, reason: 'a later link was chosen' }], []])
    third.link.ready(3)
    await settle()
    expect(second.ended).toEqual([{ code: 1000, reason: 'replaced by a newer link' }])
    expect(host.events.map((event) => event.slice(0, 4))).toEqual(['link', 'lost', 'link'])
  })

  describe('when both have dialled, and the other side has not chosen yet', () => {
    /** A node that has dialled an account which dialled it, too, and chooses. */
    async function waiting() {
      const { network, high: host, clock, book } = twoNodes()
      let key = generateKey()
      while (accountOf(key) > host.account) key = generateKey()
      const account = accountOf(key)
      book.set(account, ['ws://manual'])
      const terms = createTerms({ identity: createIdentity(key), clock })
      const join = async (transport: Transport, dialled: boolean) => {
        const ready: number[] = []
        const events = { ready: (n: number) => void ready.push(n), message: () => {}, ended: () => {} }
        const link = createLink(await handshake(transport, terms, { dialled }), events, clock)
        link.start()
        return { link, ready }
      }
      const manual = network.peer('ws://manual')
      const incoming = new Promise<Transport>((resolve) => manual.accept(resolve))
      const mine = await join(await manual.connect(host.transport.endpoint!, {}), true)
      const connecting = host.links.connect(account)
      connecting.catch(() => {})
      const theirs = await join(await incoming, false)
      await settle()
      expect([mine.ready, theirs.ready]).toEqual([[0], []])
      return { host, account, mine, theirs, connecting }
    }

    it('offers its own once the other has ended', async () => {
      const { host, account, mine, theirs, connecting } = await waiting()
      mine.link.close()
      await settle()
      expect(theirs.ready).toEqual([0])
      theirs.link.ready(1)
      expect(await connecting).toBe(host.links.get(account))
    })

    it('waits for the other when its own is refused', async () => {
      const { host, account, mine, theirs, connecting } = await waiting()
      theirs.link.close()
      await settle()
      mine.link.ready(1)
      expect(await connecting).toBe(host.links.get(account))
    })
  })

  it('always ends with one link on both ends, whatever happens in which order, and loses nothing on it', async () => {
    const action = fc.oneof(
      { weight: 2, arbitrary: fc.constantFrom('low dials', 'high dials') },
      { weight: 12, arbitrary: fc.nat({ max: 1000 }) },
      { weight: 1, arbitrary: fc.record({ cut: fc.nat({ max: 100 }) }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 60 }), async (actions) => {
        const clock = createManualClock(1_000_000)
        const network = chaosNetwork()
        const book = new Map<Hex, readonly string[]>()
        const [low, high] = twoKeys().map((key, i) =>
          createNode(network.peer(`ws://${i}`), book, { identity: createIdentity(key), clock }),
        ) as [Node, Node]
        for (const { links } of [low, high]) {
          links.onLink((link) => {
            for (let nonce = 1; nonce <= 3; nonce++) link.send('processed', { channelId, nonce })
          })
        }
        const call = (from: Node, to: Node): void => void from.links.connect(to.account).catch(() => {})
        for (const step of actions) {
          if (step === 'low dials') call(low, high)
          else if (step === 'high dials') call(high, low)
          else if (typeof step === 'number') network.deliver(step)
          else network.cut(step.cut)
          await immediate()
        }
        const rest = async (): Promise<void> => {
          while (network.deliver(0)) await immediate()
        }
        // From here on nothing is cut, and both want the link.
        low.links.keep(high.account)
        high.links.keep(low.account)
        for (let i = 0; i < 20; i++) {
          await rest()
          await clock.advance(SILENCE / 2)
        }
        await rest()
        const [a, b] = [low.links.get(high.account), high.links.get(low.account)]
        expect(a?.open && b?.open).toBe(true)
        expect(nonces(low.messages.get(a!))).toEqual([1, 2, 3])
        expect(nonces(high.messages.get(b!))).toEqual([1, 2, 3])
        expect(network.open()).toBe(2)
        // Each saw one link at a time.
        for (const { events } of [low, high]) {
          expect(events.map((event) => event.slice(0, 4))).toEqual(events.map((_, i) => (i % 2 === 0 ? 'link' : 'lost')))
        }
        a!.send('processed', { channelId, nonce: 4 })
        b!.send('processed', { channelId, nonce: 5 })
        await rest()
        expect([nonces(high.messages.get(b!)).at(-1), nonces(low.messages.get(a!)).at(-1)]).toEqual([4, 5])
        await Promise.all([low.links.close(), high.links.close(), drainLater(rest)])
        expect(clock.sleeping).toBe(0)
        nodes = []
      }),
      { numRuns: 60 },
    )
  }, 120_000)

  it('replaces a link that is dead on one side only: lost, then linked', async () => {
    for (const dead of [0, 1] as const) {
      const network = chaosNetwork()
      const [book, clock] = [new Map<Hex, readonly string[]>(), createManualClock(1_000_000)]
      const pair = twoKeys().map((key, i) =>
        createNode(network.peer(`ws://${i}`), book, { identity: createIdentity(key), clock }),
      ) as [Node, Node]
      const [cut, blind] = [pair[dead], pair[1 - dead]!]
      void cut.links.connect(blind.account)
      const rest = async (): Promise<void> => {
        do await immediate()
        while (network.deliver(0))
      }
      await rest()
      const old = blind.links.get(cut.account)!
      network.cutEndOf(cut.transport)
      await rest()
      expect([cut.links.get(blind.account), blind.links.get(cut.account)]).toEqual([undefined, old])
      void cut.links.connect(blind.account)
      await rest()
      expect(blind.events.map((event) => event.slice(0, 4))).toEqual(['link', 'lost', 'link'])
      expect(blind.lost).toEqual([{ code: 1000, reason: 'replaced by a newer link' }])
      expect([old.open, blind.links.get(cut.account)?.open]).toEqual([false, true])
      await Promise.all([cut.links.close(), blind.links.close(), drainLater(rest)])
    }
    nodes = []
  })

  describe('keep', () => {
    it('opens the link, and opens it again whenever it is lost, until it is told to stop', async () => {
      const { low, high, clock } = twoNodes()
      const stop = low.links.keep(high.account)
      const same = low.links.keep(high.account)
      await settle()
      for (let i = 0; i < 3; i++) {
        expect(low.links.get(high.account)?.open).toBe(true)
        high.links.get(low.account)!.close()
        await settle()
        expect(low.links.get(high.account)).toBeUndefined()
        await clock.advance(5_000)
      }
      stop()
      stop()
      high.links.get(low.account)!.close()
      await clock.advance(60_000)
      expect(low.links.get(high.account)?.open).toBe(true)
      same()
      high.links.get(low.account)!.close()
      await clock.advance(600_000)
      expect(low.links.get(high.account)).toBeUndefined()
      expect(clock.sleeping).toBe(0)
    })

    it('pauses longer and longer while nobody answers, up to a minute', async () => {
      const dials: number[] = []
      const clock = createManualClock(1_000_000)
      const { low, high } = twoNodes({
        clock,
        find: async () => {
          dials.push(clock.now())
          return []
        },
      })
      const stop = low.links.keep(high.account)
      await clock.advance(600_000)
      const pauses = dials.slice(1).map((at, i) => at - dials[i]!)
      expect(pauses[0]).toBeLessThanOrEqual(250)
      expect(pauses.every((pause) => pause <= 60_000)).toBe(true)
      expect(Math.min(...pauses.slice(9))).toBeGreaterThanOrEqual(30_000)
      expect(dials.length).toBeLessThan(35)
      stop()
      await settle()
      expect(clock.sleeping).toBe(0)
    })

    it('does not come back at once to one that drops it at once', async () => {
      const { low, high, clock } = twoNodes()
      high.links.onLink((link) => link.close(1008, 'go away'))
      low.links.keep(high.account)
      await clock.advance(60_000)
      expect(low.opened.length).toBeGreaterThan(3)
      expect(low.opened.length).toBeLessThan(16)
    })
  })

  describe('message handlers', () => {
    it('end their own link when they throw, with the code, and no other', async () => {
      const errors: string[] = []
      const log: Logger = { debug() {}, info() {}, warn: (text) => void errors.push(`warn ${text}`), error: (text) => void errors.push(`error ${text}`) }
      const { low, high, network, book, clock } = twoNodes({ log })
      const third = createNode(network.peer('ws://third'), book, { clock })
      const after: unknown[] = []
      low.links.onMessage((link, message) => {
        if (message.type !== 'processed') return undefined
        if (message.nonce === 1) throw new SluiceError('PROOF_INVALID', 'the proof is wrong')
        if (message.nonce === 2) return Promise.reject(new Error('a defect'))
        if (message.nonce === 4) link.close(1000, 'enough')
        return undefined
      })
      const other = await third.links.connect(low.account)
      for (const [nonce, reason] of [
        [1, { code: 1008, reason: 'PROOF_INVALID: the proof is wrong' }],
        [2, { code: 1011, reason: 'internal error' }],
      ] as const) {
        const link = await high.links.connect(low.account)
        link.send('processed', { channelId, nonce })
        await settle()
        expect(high.lost.at(-1)).toEqual(reason)
        expect(low.links.get(high.account)).toBeUndefined()
      }
      low.links.onMessage((_link, message) => void after.push(...nonces([message])))
      ;(await high.links.connect(low.account)).send('processed', { channelId, nonce: 4 })
      await settle()
      expect([high.lost.at(-1), after]).toEqual([{ code: 1000, reason: 'enough' }, []])
      expect(errors).toEqual(['warn message refused', 'error a message handler failed'])
      other.send('processed', { channelId, nonce: 3 })
      await settle()
      expect(nonces(low.messages.get(low.links.get(third.account)!))).toEqual([3])
    })

    it('are heard until they are taken off, and break nothing when they fail on links coming and going', async () => {
      const { low, high } = twoNodes()
      const heard: string[] = []
      const offs = [
        low.links.onMessage(() => void heard.push('message')),
        low.links.onLink(() => {
          heard.push('link')
          throw new Error('a defect')
        }),
        low.links.onLost(() => {
          heard.push('lost')
          throw new Error('a defect')
        }),
      ]
      for (let i = 0; i < 2; i++) {
        const link = await high.links.connect(low.account)
        link.send('processed', { channelId, nonce: 1 })
        await settle()
        link.close()
        await settle()
        for (const off of offs) off()
      }
      expect(heard).toEqual(['link', 'message', 'lost'])
    })
  })

  it('tells of an account that comes from two processes', async () => {
    const { low, network, book, clock } = twoNodes()
    const identity = createIdentity()
    const conflicts: [Hex, Hex][] = []
    low.links.onConflict((account, instance) => conflicts.push([account, instance]))
    const [one, two] = [toHex(randomBytes(16)), toHex(randomBytes(16))]
    const first = createNode(network.peer('ws://first'), new Map(book), { identity, clock, instance: one })
    const second = createNode(network.peer('ws://second'), new Map(book), { identity, clock, instance: two })
    await first.links.connect(low.account)
    await settle()
    expect(conflicts).toEqual([])
    await second.links.connect(low.account)
    await settle()
    expect(conflicts).toEqual([[identity.account, two]])
    expect(low.links.get(identity.account)).toMatchObject({ instance: two, open: true })
    expect(first.lost).toHaveLength(1)
  })

  describe('bounds', () => {
    it('refuses a link over maxLinks with 1013, and makes room for whom it wants', async () => {
      const [network, book, clock] = [memoryPeerNetwork(), new Map<Hex, readonly string[]>(), createManualClock(1_000_000)]
      const host = createNode(network.peer('ws://host'), book, { clock, maxLinks: 2 })
      const [one, two, three] = ['one', 'two', 'three'].map((name) => createNode(network.peer(`ws://${name}`), book, { clock })) as [Node, Node, Node]
      await one.links.connect(host.account)
      await two.links.connect(host.account)
      await expect(three.links.connect(host.account)).rejects.toMatchObject({
        code: 'PARTNER_OFFLINE',
        cause: { code: 'CONNECTION_LOST', details: { closeCode: 1013, reason: 'OVERLOADED: 2 accounts are linked already' } },
      })
      await two.links.connect(host.account)
      const stop = host.links.keep(one.account)
      expect((await host.links.connect(three.account)).open).toBe(true)
      await settle()
      expect([one.lost, two.lost]).toEqual([[], [{ code: 1013, reason: 'makes room for a partner' }]])
      await expect(two.links.connect(host.account)).rejects.toMatchObject({ code: 'PARTNER_OFFLINE' }) // two is a stranger to it
      stop()
    })

    it('ends the link with the least at stake for a partner with more, kept or not, and never for one with less', async () => {
      const [network, book, clock] = [memoryPeerNetwork(), new Map<Hex, readonly string[]>(), createManualClock(1_000_000)]
      const standings = new Map<Hex, number>()
      const host = createNode(network.peer('ws://host'), book, { clock, maxLinks: 3, standings: () => standings })
      const names = ['rich', 'poor', 'quiet', 'busy', 'late'] as const
      const [rich, poor, quiet, busy, late] = names.map((name) => createNode(network.peer(`ws://${name}`), book, { clock })) as [
        Node, Node, Node, Node, Node
      ]
      standings.set(rich.account, 0).set(poor.account, 1)
      // Whoever opens a channel is kept: that costs no money.
      await Promise.all([busy, quiet].map(({ links }) => links.connect(host.account)))
      for (const { account } of [quiet, busy]) host.links.keep(account)
      await late.links.connect(host.account)
      await clock.advance(1)
      for (const node of [busy, late]) node.links.get(host.account)!.send('processed', { channelId, nonce: 1 })
      await settle()
      await poor.links.connect(host.account) // of those that it keeps none has to go yet
      expect([busy.lost.length, quiet.lost.length, late.lost.length]).toEqual([0, 0, 1])
      await rich.links.connect(host.account)
      expect([busy.lost.length, quiet.lost.length, poor.lost.length]).toEqual([0, 1, 0])
      standings.set(late.account, 2)
      await late.links.connect(host.account)
      expect([busy.lost.length, poor.lost.length]).toEqual([1, 0])
      standings.set(busy.account, 3)
      await expect(busy.links.connect(host.account)).rejects.toMatchObject({ code: 'PARTNER_OFFLINE', cause: { details: { closeCode: 1013 } } })
      standings.set(busy.account, 1.5)
      await busy.links.connect(host.account)
      expect([rich.lost.length, poor.lost.length, late.lost.length]).toEqual([0, 0, 2])
      expect(rich.links.get(host.account)?.open).toBe(true)
    })

    it('ends handshakes of the address with the most of them: one that sends hundreds shuts nobody out', async () => {
      const clock = createManualClock(1_000_000)
      const terms = createTerms({ clock })
      let accept = (_transport: Transport): void => {}
      const transport: PeerTransport = { endpoint: undefined, accept: (taken) => void (accept = taken), connect: () => Promise.reject(new Error('nobody')), close: async () => {} }
      const links = createLinks({ ...terms, transport, find: async () => [] })
      const ended = new Map<string, CloseReason>()
      const arrive = (peer: string): void => {
        const [here, there] = memoryTransportPair()
        void listenTo(there).closed.then((reason) => ended.set(peer, reason))
        accept(Object.assign(Object.create(here) as Transport, { peer }))
      }
      arrive('10.0.0.1:1')
      for (let i = 0; i < 3 * MOST_HANDSHAKES; i++) {
        if (i % 50 === 0) await clock.advance(1000)
        arrive(`10.6.6.6:${i}`)
      }
      await settle()
      expect(ended.size).toBe(2 * MOST_HANDSHAKES + 1)
      expect(ended.has('10.0.0.1:1')).toBe(false)
      await clock.advance(1000)
      for (let i = 1000; i < 1000 + 2 * HANDSHAKES_PER_SECOND; i++) arrive(`10.6.6.6:${i}`)
      arrive('10.0.0.2:1')
      await settle()
      expect(ended.get(`10.6.6.6:${1000 + HANDSHAKES_PER_SECOND}`)).toEqual({ code: 1013, reason: 'too many handshakes' })
      expect(ended.has('10.0.0.2:1')).toBe(false)
      await links.close()
    })

    it('ends the oldest of too many handshakes at once, and lets an honest one through', async () => {
      const { low, high, network, clock } = twoNodes()
      const dialler = network.peer()
      const heard: ReturnType<typeof listenTo>[] = []
      for (let i = 0; i < MOST_HANDSHAKES; i++) heard.push(listenTo(await dialler.connect('ws://0', {})))
      const link = await high.links.connect(low.account)
      expect(link.open).toBe(true)
      expect(await heard[0]!.closed).toEqual({ code: 1013, reason: 'OVERLOADED: too many handshakes' })
      expect(await Promise.race([heard[1]!.closed, settle()])).toBeUndefined()
      await clock.advance(10_000)
      expect((await heard[1]!.closed).reason).toContain('TIMEOUT')
      expect(clock.sleeping).toBe(2) // the two ends of the link
    })

    it('takes so many handshakes a second', async () => {
      const { low, network, clock } = twoNodes()
      const dialler = network.peer()
      const flood = async (count: number): Promise<CloseReason[]> => {
        const reasons: CloseReason[] = []
        for (let i = 0; i < count; i++) {
          const transport = await dialler.connect('ws://0', {})
          void listenTo(transport).closed.then((reason) => reasons.push(reason))
          transport.send('garbage')
        }
        await settle()
        return reasons
      }
      const refused = (await flood(HANDSHAKES_PER_SECOND + 5)).filter(({ code }) => code === 1013)
      expect(refused).toEqual(Array.from({ length: 5 }, () => ({ code: 1013, reason: 'too many handshakes' })))
      await clock.advance(1000)
      expect((await flood(5)).map(({ code }) => code)).toEqual([1008, 1008, 1008, 1008, 1008])
      expect(low.events).toEqual([])
    })

    it('lets no handshakes of others push out a partner that has shown whose money is at stake', async () => {
      const standings = new Map<Hex, number>()
      const { network, clock } = twoNodes({ standings: () => standings })
      const closedOf = new Map<string, CloseReason>()
      const arrive = async (name: string): Promise<void> => {
        const terms = createTerms({ clock })
        if (name === 'partner') standings.set(terms.identity.account, 0)
        const { receive } = await handshake(await network.peer().connect('ws://0', {}), terms, { dialled: true })
        receive({ packet: () => {}, closed: (reason) => closedOf.set(name, reason) })
      }
      await arrive('stranger')
      await arrive('partner')
      await settle()
      for (let i = 0; i <= MOST_HANDSHAKES; i++) await network.peer().connect('ws://0', {})
      await settle()
      expect([...closedOf]).toEqual([['stranger', { code: 1013, reason: 'OVERLOADED: too many handshakes' }]])
    })

    it('ends a link that is not chosen in time', async () => {
      const { low, network, clock } = twoNodes()
      const transport = await network.peer().connect('ws://0', {})
      const closed = new Promise<CloseReason>((resolve) => {
        const hands = handshake(transport, createTerms({ clock }), { dialled: true })
        void hands.then(({ receive }) => receive({ packet: () => {}, closed: resolve }))
      })
      await clock.advance(9_999)
      await clock.advance(1)
      expect(await closed).toMatchObject({ code: 1008, reason: expect.stringContaining('TIMEOUT: it took too long') as string })
      expect([low.events, clock.sleeping]).toEqual([[], 0])
    })
  })

  it('holds both sides to their part in choosing', async () => {
    for (const [chooses, generation] of [[true, 3], [false, 0], [false, 1]] as const) {
      const { network, low, high, clock } = twoNodes()
      const host = chooses ? low : high
      // An account on the other side of the host's.
      let key = generateKey()
      while (host.account < accountOf(key) !== chooses) key = generateKey()
      const transport = await network.peer().connect(host.transport.endpoint!, {})
      const secured = await handshake(transport, createTerms({ identity: createIdentity(key), clock }), { dialled: true })
      const ended = new Promise<CloseReason>((resolve) => {
        const link = createLink(secured, { ready: () => {}, message: () => {}, ended: resolve }, clock)
        link.start()
        link.ready(generation)
        if (generation === 1) setTimeout(() => link.ready(1), 5)
      })
      expect(await ended).toMatchObject({
        code: 1008,
        reason: expect.stringMatching(generation === 1 ? /ready comes once/ : /ready.generation/) as string,
      })
    }
  })

  it('closes: ends links, attempts and handshakes with 1001, takes none, and leaves nothing behind', async () => {
    const { low, high, network, book, clock } = twoNodes()
    network.peer('ws://mute').accept((transport) => void listenTo(transport))
    const nobody = accountOf(generateKey())
    book.set(nobody, ['ws://mute'])
    await low.links.connect(high.account)
    const attempt = low.links.connect(nobody)
    attempt.catch(() => {})
    const stop = low.links.keep(nobody)
    const begun = listenTo(await network.peer().connect('ws://0', {}))
    await settle()
    await low.links.close()
    await expect(attempt).rejects.toMatchObject({ code: 'ABORTED' })
    expect((await begun.closed).code).toBe(1001)
    await settle()
    expect(high.lost).toEqual([{ code: 1001, reason: 'the node is closing' }])
    expect(low.lost).toHaveLength(1)
    expect((await listenTo(await network.peer().connect('ws://0', {})).closed).code).toBe(1001)
    await expect(low.links.connect(high.account)).rejects.toMatchObject({ code: 'ABORTED' })
    low.links.keep(high.account)()
    stop()
    await low.links.close()
    expect(clock.sleeping).toBe(0)
  })
})

const immediate = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Lets what is closing go on while somebody waits for it. */
async function drainLater(rest: () => Promise<void>): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await settle()
    await rest()
  }
}

/** A network in which nothing arrives until the test says so, and links can die on one side. */
function chaosNetwork() {
  const doors = new Map<string, (transport: Transport) => void>()
  /** Events on their way, by direction: each in its own order. */
  const queues: (() => void)[][] = []
  const ends: { readonly owner: unknown; alive: boolean; die(): void }[] = []

  const join = (owners: readonly [unknown, unknown]): readonly [Transport, Transport] => {
    const create = (owner: unknown) => {
      const queue: (() => void)[] = []
      queues.push(queue)
      let receiver: Receiver | undefined
      const early: ((to: Receiver) => void)[] = []
      const end = {
        owner,
        alive: true,
        hand: (event: (to: Receiver) => void): void => void (receiver ? event(receiver) : early.push(event)),
        die: (): void => {
          if (!end.alive) return
          end.alive = false
          end.hand((to) => to.closed({ code: 1006, reason: '' }))
        },
        receive: (to: Receiver): void => {
          receiver = to
          for (const event of early.splice(0)) event(to)
        },
        queue,
      }
      ends.push(end)
      return end
    }
    const [x, y] = [create(owners[0]), create(owners[1])]
    const transportOf = (mine: typeof x, other: typeof x): Transport => {
      const arrive = (packet: Packet): void => {
        if (other.alive) other.hand((to) => to.packet(packet))
      }
      const closed = (reason: CloseReason): void => {
        if (!other.alive) return
        other.alive = false
        other.hand((to) => to.closed(reason))
      }
      return {
        peer: 'chaos',
        receive: mine.receive,
        send: (packet) => {
          if (mine.alive) mine.queue.push(() => arrive(packet))
        },
        drained: () => Promise.resolve(),
        close: (code = 1000, reason = '') => {
          if (!mine.alive) return
          mine.alive = false
          mine.queue.push(() => closed({ code, reason }))
          setImmediate(() => mine.hand((to) => to.closed({ code, reason })))
        },
      }
    }
    return [transportOf(x, y), transportOf(y, x)]
  }

  return {
    peer: (endpoint: string): PeerTransport => {
      const peer: PeerTransport = {
        endpoint,
        connect: async (url) => {
          const [mine, theirs] = join([peer, url])
          // The other side comes to know of it when the first packet might reach it.
          queues.at(-2)!.push(() => doors.get(url)!(theirs))
          return mine
        },
        accept: (handler) => void doors.set(endpoint, handler),
        close: async () => {},
      }
      return peer
    },
    /** Lets one event arrive. */
    deliver: (choice: number): boolean => {
      const waiting = queues.filter((queue) => queue.length > 0)
      waiting[choice % waiting.length]?.shift()!()
      return waiting.length > 0
    },
    /** Lets one event arrive in each direction of each link. */
    deliverEach: (): void => {
      for (const queue of queues.filter((queue) => queue.length > 0)) queue.shift()!()
    },
    /** Ends one side of a link: the other hears nothing any more. */
    cut: (choice: number): void => {
      const alive = ends.filter((end) => end.alive)
      alive[choice % alive.length]?.die()
    },
    cutEndOf: (owner: object): void => {
      for (const end of ends) if (end.owner === owner) end.die()
    },
    open: (): number => ends.filter((end) => end.alive).length,
  }
}
