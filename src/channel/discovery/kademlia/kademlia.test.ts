import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { Libp2p } from 'libp2p'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { registryEntries } from '../../../../test/fixtures/trade/entries.ts'
import { randomBytes, utf8 } from '../../../core/bytes.ts'
import type { Clock } from '../../../core/clock.ts'
import { generateKey, type Key } from '../../../core/crypto/key.ts'
import { personalDigest } from '../../../core/crypto/signature.ts'
import type { Registry } from '../../../protocol/registry/registry.ts'
import { signEndpointRecord, type RecordSigner } from '../endpointRecord.ts'
import { kademliaDiscovery, multiaddrEndpoint, type KademliaDiscovery, type KademliaDiscoveryOptions } from './kademlia.ts'
import { loadLibp2p } from './libp2p.ts'

const PROTOCOL = '/sluice/channel/1/kad/1.0.0'
const listen = ['/ip4/127.0.0.1/tcp/0']
const signerOf = ({ address, sign }: Key): RecordSigner => ({ address, signBytes: async (bytes) => sign(personalDigest(bytes)) })
const keyOf = (account: string): Uint8Array => utf8(`/sluice-endpoint/${account.toLowerCase()}`)

const forEver: Clock['sleep'] = (_ms, signal) =>
  new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('stopped'))))

/** What a test opened. */
const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((thing) => thing.close()))
})

interface Node extends KademliaDiscovery {
  readonly key: Key
}

async function startOne(options: Partial<KademliaDiscoveryOptions> = {}): Promise<Node> {
  const key = generateKey()
  const discovery = await kademliaDiscovery({ chainId: 1n, signer: signerOf(key), privateAddresses: true, listen, ...options })
  const node = Object.defineProperty(Object.create(discovery) as Node, 'key', { value: key })
  open.push(discovery)
  return node
}

/** Nodes that know the first of them to begin with. */
async function startNetwork(count: number, options: Partial<KademliaDiscoveryOptions> = {}): Promise<Node[]> {
  const first = await startOne(options)
  const nodes = [first]
  while (nodes.length < count) nodes.push(await startOne({ seeds: [first.addresses[0]!], ...options }))
  // Whoever has looked for something has joined.
  for (const node of nodes) await node.find(generateKey().address)
  return nodes
}

/** A node that asks and keeps nothing for others. */
const startAsker = (seed: Node, options: Partial<KademliaDiscoveryOptions> = {}): Promise<Node> =>
  startOne({ listen: undefined, signer: undefined, seeds: [seed.addresses[0]!], ...options })

interface Liar {
  readonly node: Libp2p
  /** Says this of an account from now on. */
  says(account: string, record: Uint8Array): Promise<void>
  /** Hands a record to the honest nodes, and tells how many took it. */
  push(account: string, record: Uint8Array): Promise<number>
}

/**
 * A real node of the network with no scruples: it keeps, tells and passes on whatever it likes.
 * @param validate runs before it keeps a record.
 */
async function startLiar(seed: Node, validate = (): void | Promise<void> => {}): Promise<Liar> {
  const parts = await loadLibp2p()
  const node = await parts.createLibp2p({
    addresses: { listen },
    transports: [parts.tcp()],
    connectionEncrypters: [parts.noise()],
    streamMuxers: [parts.yamux()],
    connectionManager: { inboundConnectionThreshold: 100 },
    services: {
      identify: parts.identify(),
      ping: parts.ping(),
      dht: parts.dht.kadDHT({
        protocol: PROTOCOL,
        clientMode: false,
        allowQueryWithZeroPeers: true,
        peerInfoMapper: parts.dht.passthroughMapper,
        validators: { 'sluice-endpoint': validate },
        selectors: { 'sluice-endpoint': () => 0 },
      }),
    },
  })
  open.push({ close: async () => node.stop() })
  await node.dial(parts.multiaddr(seed.addresses[0]))
  const { dht } = node.services
  const table = (dht as unknown as { routingTable: { size: number } }).routingTable
  await vi.waitFor(() => expect(table.size).toBeGreaterThan(0), { timeout: 5000 })
  const push = async (account: string, record: Uint8Array): Promise<number> => {
    let taken = 0
    for await (const event of dht.put(keyOf(account), record)) {
      if (event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE') taken++
    }
    return taken
  }
  // What it pushes, it keeps and tells, whether or not others take it.
  return { node, push, says: async (account, record) => void (await push(account, record)) }
}

const inAnHour = (): number => Math.floor(Date.now() / 1000) + 3600
const recordOf = (key: Key, endpoint: string, sequence: number): Promise<Uint8Array> =>
  signEndpointRecord(signerOf(key), { chainId: 1n, endpoints: [endpoint], sequence, validUntil: inAnHour() })

describe('a Kademlia network', () => {
  it('finds a node that the asker never met, also when half of the network is gone', async () => {
    const nodes = await startNetwork(10)
    const wanted = nodes[1]!
    await wanted.announce!('wss://wanted.example/')
    expect(await nodes[9]!.find(wanted.key.address)).toEqual(['wss://wanted.example/'])
    const early = await startAsker(nodes[5]!)
    expect(await early.find(wanted.key.address)).toEqual(['wss://wanted.example/'])
    expect(await early.find(generateKey().address)).toEqual([])
    expect(await early.find('no account')).toEqual([])

    for (const node of nodes.slice(0, 5)) await node.close()
    expect(await early.find(wanted.key.address)).toEqual(['wss://wanted.example/'])
    const late = await startAsker(nodes[8]!)
    expect(await late.find(wanted.key.address)).toEqual(['wss://wanted.example/'])
  }, 120_000)

  it('follows a node that moves, and goes back to nothing older', async () => {
    const nodes = await startNetwork(8)
    const { key } = nodes[1]!
    await nodes[1]!.announce!('wss://old.example/')
    const asker = await startAsker(nodes[4]!)
    expect(await asker.find(key.address)).toEqual(['wss://old.example/'])
    await nodes[1]!.announce!('wss://new.example/')
    expect(await asker.find(key.address)).toEqual(['wss://new.example/'])

    // Signed by the account itself, and over: somebody kept it and plays it back.
    const liar = await startLiar(nodes[0]!)
    const stale = await recordOf(key, 'wss://old.example/', 1)
    expect(await liar.push(key.address, stale)).toBe(0)
    await liar.says(key.address, stale)
    expect(await asker.find(key.address)).toEqual(['wss://new.example/'])
    expect(await nodes[2]!.find(key.address)).toEqual(['wss://new.example/'])

    // The same account on another machine: its clock may be behind, its sequence goes on.
    const clock: Clock = { now: () => Date.now() - 600_000, sleep: forEver }
    const moved = await startOne({ signer: signerOf(key), seeds: [nodes[0]!.addresses[0]!], clock })
    await moved.announce!('wss://elsewhere.example/')
    expect(await asker.find(key.address)).toEqual(['wss://elsewhere.example/'])
  }, 120_000)

  it('believes nothing that the account has not signed, from however many', async () => {
    const nodes = await startNetwork(8)
    const wanted = nodes[1]!
    await wanted.announce!('wss://wanted.example/')
    const never = generateKey()
    const thief = generateKey()
    const text = new TextDecoder().decode(await recordOf(thief, 'wss://evil.example/', Date.now() + 10 ** 9))
    const named = (account: string): string => text.replace(thief.address.toLowerCase(), account.toLowerCase())
    const forgeries = [
      // Another's record, word for word; the same with the account written over; and with a signature of nobody.
      () => text,
      named,
      (account: string) => named(account).replace(/"0x[0-9a-f]{130}"/, `"0x${'11'.repeat(65)}"`),
      () => 'garbage',
      () => 'x'.repeat(100_000),
    ]
    const liars = await Promise.all(forgeries.map(() => startLiar(nodes[0]!)))
    for (const [i, forge] of forgeries.entries()) {
      for (const account of [wanted.key.address, never.address]) {
        await liars[i]!.says(account, utf8(forge(account)))
      }
    }
    const asker = await startAsker(nodes[4]!)
    for (const node of [asker, ...nodes]) {
      expect(await node.find(wanted.key.address)).toEqual(['wss://wanted.example/'])
      expect(await node.find(never.address)).toEqual([])
    }
    // A liar is asked first, and alone: then nobody says what is true, but nothing false is believed.
    const [seed] = liars[1]!.node.getMultiaddrs()
    const lonely = await startOne({ listen: undefined, signer: undefined, seeds: [seed!.toString()] })
    expect(await lonely.find(never.address)).toEqual([])
  }, 120_000)

  it('keeps a forged record nowhere', async () => {
    const nodes = await startNetwork(3)
    const [victim, thief] = [generateKey(), generateKey()]
    const liar = await startLiar(nodes[0]!)
    const stolen = new TextDecoder().decode(await recordOf(thief, 'wss://evil.example/', 9))
    expect(await liar.push(victim.address, utf8(stolen))).toBe(0)
    const renamed = stolen.replace(thief.address.toLowerCase(), victim.address.toLowerCase())
    expect(await liar.push(victim.address, utf8(renamed))).toBe(0)
    expect(await liar.push(`${victim.address}/x`, await recordOf(victim, 'wss://victim.example/', 9))).toBe(0)
    expect(await liar.push(victim.address, await recordOf(victim, 'wss://victim.example/', 9))).toBeGreaterThan(0)
  }, 120_000)

  it('is not held up by peers that answer with noise, or not at all', async () => {
    const nodes = await startNetwork(8)
    const wanted = nodes[1]!
    const disturb = async (handle: 'noise' | 'silence'): Promise<string> => {
      const liar = await startLiar(nodes[0]!)
      await liar.node.unhandle(PROTOCOL)
      await liar.node.handle(PROTOCOL, (stream) => void (handle === 'noise' && stream.send(randomBytes(5000))))
      return liar.node.getMultiaddrs()[0]!.toString()
    }
    const liars = await Promise.all([disturb('noise'), disturb('silence'), disturb('silence')])
    await wanted.announce!('wss://wanted.example/')
    const times: number[] = []
    for (let i = 0; i < 3; i++) {
      const asker = await startAsker(nodes[4]!)
      const began = performance.now()
      expect(await asker.find(wanted.key.address)).toEqual(['wss://wanted.example/'])
      times.push(performance.now() - began)
    }
    expect(Math.min(...times)).toBeLessThan(4500)
    // Where nothing is to be found, everybody is waited for, but not for long.
    const asker = await startAsker(nodes[5]!)
    const unknown = generateKey().address
    await asker.find(unknown)
    const began = performance.now()
    expect(await asker.find(unknown)).toEqual([])
    expect(performance.now() - began).toBeLessThan(4500)
    // At the deadline, what has come is the answer.
    const hasty = await startAsker(nodes[4]!, { seeds: [nodes[4]!.addresses[0]!, ...liars], deadline: 1500 })
    await hasty.find(unknown).catch(() => {})
    expect(await hasty.find(wanted.key.address)).toEqual(['wss://wanted.example/'])
  }, 120_000)

  it('is content when some took its record while others keep it waiting', async () => {
    const nodes = await startNetwork(3)
    const liar = await startLiar(nodes[0]!, () => new Promise(() => {}))
    const seeds = [nodes[0]!.addresses[0]!, liar.node.getMultiaddrs()[0]!.toString()]
    const hasty = await startOne({ seeds, deadline: 2500 })
    await hasty.announce!('wss://hasty.example/')
    await nodes[1]!.close()
    expect(await nodes[2]!.find(hasty.key.address)).toEqual(['wss://hasty.example/'])
  }, 120_000)

  it('forgets what is over', async () => {
    let ahead = 0
    const clock: Clock = { now: () => Date.now() + ahead, sleep: forEver }
    const nodes = await startNetwork(8, { clock, validity: 3600 })
    const { key } = nodes[1]!
    await nodes[1]!.announce!('wss://wanted.example/')
    const asker = await startAsker(nodes[4]!, { clock })
    ahead = 3598_000
    expect(await asker.find(key.address)).toEqual(['wss://wanted.example/'])
    ahead = 3601_000
    for (const node of [asker, ...nodes]) expect(await node.find(key.address)).toEqual([])
  }, 120_000)

  it('renews what it announced, also at nodes that came later, until it closes', async () => {
    let ahead = 0
    let renew: (() => void) | undefined
    const clock: Clock = { now: () => Date.now() + ahead, sleep: () => new Promise((resolve) => (renew = resolve)) }
    const nodes = await startNetwork(3, { clock, validity: 3600 })
    const { key } = nodes[1]!
    await nodes[1]!.announce!('wss://wanted.example/')
    for (let i = 0; i < 4; i++) {
      ahead += 1500_000
      const again = renew!
      renew = undefined
      again()
      await vi.waitFor(() => expect(renew).toBeDefined(), { timeout: 5000 })
    }
    // Each record ended long ago but for the last.
    const asker = await startAsker(nodes[2]!, { clock })
    expect(await asker.find(key.address)).toEqual(['wss://wanted.example/'])
  }, 120_000)

  it('is one for each chain', async () => {
    const [here] = await startNetwork(2)
    await here!.announce!('wss://here.example/')
    const elsewhere = await startAsker(here!, { chainId: 5n })
    await expect(elsewhere.find(here!.key.address)).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  }, 30_000)

  it('takes its seeds from a registry, where some are gone and some are no seeds', async () => {
    const nodes = await startNetwork(3)
    await nodes[1]!.announce!('wss://wanted.example/')
    const gone = await startOne()
    const [lost] = gone.addresses
    await gone.close()
    const entries = registryEntries(3).map((entry, i) => ({ ...entry, endpoint: [lost!, nodes[0]!.addresses[0]!, 'wss://x/'][i]! }))
    const registry: Registry = {
      find: () => Promise.reject(new Error('not asked')),
      async *list() {
        yield* entries
      },
    }
    const asker = await startOne({ listen: undefined, signer: undefined, registry })
    expect(await asker.find(nodes[1]!.key.address)).toEqual(['wss://wanted.example/'])
  }, 30_000)
})

describe('kademliaDiscovery', () => {
  it('says when nobody can be reached, within its time', async () => {
    // Takes connections, and says nothing.
    const sockets: Socket[] = []
    const server = createServer((socket) => void sockets.push(socket))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const closeServer = async (): Promise<void> => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    }
    open.push({ close: closeServer })
    const { port } = server.address() as AddressInfo
    const id = '12D3KooWPar4s8wuHUkaCdgqBiBov9LujA3pd1sf9JknPu5dcL7S'
    const began = performance.now()
    const asker = await startOne({ listen: undefined, seeds: [`/ip4/127.0.0.1/tcp/${port}/p2p/${id}`], deadline: 1000 })
    await expect(asker.find(generateKey().address)).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    expect(performance.now() - began).toBeLessThan(3000)
    await expect(asker.announce!('wss://x/')).rejects.toMatchObject({ code: expect.stringMatching(/^(TIMEOUT|CONNECTION_FAILED)$/) as string })

    expect(await asker.find('no account')).toEqual([])
    const stop = new AbortController()
    const finding = asker.find(generateKey().address, stop)
    stop.abort()
    await expect(finding).rejects.toMatchObject({ code: 'ABORTED' })
    await asker.close()
    await expect(asker.find(generateKey().address)).rejects.toMatchObject({ code: 'ABORTED' })
  }, 30_000)

  it('is a network of its own when it is the first, and announces there', async () => {
    const alone = await startOne()
    expect(await alone.find(generateKey().address)).toEqual([])
    await alone.announce!('wss://alone.example/')
    const second = await startAsker(alone)
    expect(await second.find(alone.key.address)).toEqual(['wss://alone.example/'])
  }, 30_000)

  it('keeps its peer id when it is given the same secret, and says when its port is taken', async () => {
    const secret = randomBytes(32)
    const first = await startOne({ secret })
    const [address] = first.addresses
    expect(multiaddrEndpoint.accepts(address!)).toBe(true)
    const where = address!.split('/p2p/')[0]!
    await expect(startOne({ listen: [where] })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    await first.close()
    expect((await startOne({ secret, listen: [where] })).addresses).toEqual([address])
  }, 30_000)

  it('tells who reaches it behind an address of others', async () => {
    const node = await startOne({ reachedAt: ['/ip4/192.0.2.1/tcp/4001'] })
    expect(node.addresses).toEqual([expect.stringMatching(/^\/ip4\/192\.0\.2\.1\/tcp\/4001\/p2p\//)])
  })

  it('meets nobody at a private address unless it is told to', async () => {
    const seed = await startOne()
    const careful = await startAsker(seed, { privateAddresses: false, deadline: 4000 })
    await expect(careful.find(generateKey().address)).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  }, 30_000)

  it.each<[string, Partial<KademliaDiscoveryOptions>]>([
    ['a seed that is no multiaddr', { seeds: ['wss://x/'] }],
    ['a seed without a peer id', { seeds: ['/ip4/127.0.0.1/tcp/4001'] }],
    ['nobody to ask', { listen: undefined }],
    ['records that last too long', { validity: 8 * 24 * 3600 }],
    ['an address that is none', { listen: ['127.0.0.1'] }],
  ])('refuses %s', async (_what, options) => {
    await expect(startOne(options)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  })

  it('adds to Promise what libp2p needs, and nothing that shows', async () => {
    await loadLibp2p()
    expect(Object.keys(Promise)).toEqual([])
    expect(Promise).toHaveProperty('withResolvers')
    interface Standard {
      withResolvers<T>(): { readonly promise: Promise<T>; resolve(value: T): void }
    }
    const { promise, resolve } = (Promise as unknown as Standard).withResolvers<number>()
    resolve(7)
    expect(await promise).toBe(7)
  })
})
