import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CHANNEL_SERVICE, KADEMLIA_SERVICE, registryContract } from '../../contracts/registry.ts'
import { fromHex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'
import { contractRegistry, publishingRegistry } from '../../protocol/registry/contract.ts'
import { staticRegistry } from '../../protocol/registry/static.ts'
import { startDevnet, type Devnet } from '../../testing/devnet.ts'
import { createManualClock } from '../../testing/manualClock.ts'
import { combinedDiscovery } from './combined.ts'
import { MAX_ENDPOINTS, type Discovery } from './discovery.ts'
import { multiaddrEndpoint } from './kademlia/kademlia.ts'
import { registryDiscovery } from './registry.ts'
import { staticDiscovery } from './static.ts'

const account = `0x${'aB'.repeat(20)}`
const stranger = `0x${'12'.repeat(20)}`

describe('staticDiscovery', () => {
  it('finds what it was given, whichever way the account is spelt', async () => {
    const discovery = staticDiscovery({ [account]: 'ws://a/', [stranger]: Array.from({ length: 20 }, (_, i) => `ws://${i}/`) })
    expect(await discovery.find(account.toLowerCase())).toEqual(['ws://a/'])
    expect(await discovery.find(stranger)).toHaveLength(MAX_ENDPOINTS)
    expect(await discovery.find(`0x${'34'.repeat(20)}`)).toEqual([])
    await expect(discovery.find(account, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' })
    await discovery.close()
  })

  it('takes accounts only', () => {
    expect(() => staticDiscovery({ alice: 'ws://a/' })).toThrowError(expect.objectContaining({ code: 'BAD_ARGUMENT' }) as Error)
  })
})

describe('registryDiscovery', () => {
  let devnet: Devnet
  beforeAll(async () => {
    devnet = await startDevnet()
  })
  afterAll(() => devnet.stop())
  const where = () => ({ address: devnet.deployment.registry, service: CHANNEL_SERVICE })

  it('finds a node that announced itself on the chain, and where it moved to', async () => {
    const [node] = devnet.accounts
    const publicKey = fromHex(node!.signingKey.publicKey)
    const own = registryDiscovery({ registry: await publishingRegistry(node!, where()), publicKey })
    const reader = registryDiscovery({ registry: contractRegistry(devnet.provider, where()) })
    expect(await reader.find(node!.address)).toEqual([])
    await own.announce!('wss://node.example/channel')
    expect(await reader.find(node!.address)).toEqual(['wss://node.example/channel'])
    await own.announce!('wss://moved.example/channel')
    expect(await reader.find(node!.address)).toEqual(['wss://moved.example/channel'])
    await expect(own.announce!('http://node.example/')).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    expect(reader.announce).toBeUndefined()
    // A seller of data under the same account is somebody else.
    const sellers = contractRegistry(devnet.provider, { address: where().address })
    expect(await registryDiscovery({ registry: sellers }).find(node!.address)).toEqual([])
  })

  it('knows nothing of a node whose entry is of no use', async () => {
    const node = devnet.accounts[1]!
    const contract = registryContract(where().address, node)
    await (await contract.register(CHANNEL_SERVICE, 'ftp://x/', node.signingKey.publicKey, `0x${'00'.repeat(32)}`)).wait()
    expect(await registryDiscovery({ registry: contractRegistry(devnet.provider, where()) }).find(node.address)).toEqual([])
  })

  it('says when the chain does not answer', async () => {
    const gone = await startDevnet()
    const discovery = registryDiscovery({ registry: contractRegistry(gone.provider, where()) })
    await gone.stop()
    await expect(discovery.find(account)).rejects.toMatchObject({ code: 'RPC_FAILED' })
  })

  it('lists seeds with multiaddrs under a service of their own, and passes over others', async () => {
    const seeds = { address: where().address, service: KADEMLIA_SERVICE, endpoints: multiaddrEndpoint }
    const [, , seed, fool] = devnet.accounts
    const endpoint = '/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWPar4s8wuHUkaCdgqBiBov9LujA3pd1sf9JknPu5dcL7S'
    const entry = (of: typeof seed) => ({ publicKey: of!.signingKey.publicKey as `0x${string}`, menuHash: `0x${'00'.repeat(32)}` as const })
    const registry = await publishingRegistry(seed!, seeds)
    await registry.publish({ endpoint, ...entry(seed) })
    await expect(registry.publish({ endpoint: 'wss://x/', ...entry(seed) })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await (await publishingRegistry(fool!, { ...seeds, endpoints: undefined })).publish({ endpoint: 'wss://x/', ...entry(fool) })
    const found = []
    for await (const { endpoint: at } of contractRegistry(devnet.provider, seeds).list()) found.push(at)
    expect(found).toEqual([endpoint])
  })
})

describe('combinedDiscovery', () => {
  const knowing = (...endpoints: string[]): Discovery => ({ find: async () => endpoints, close: async () => {} })
  const failing = (code: 'RPC_FAILED' | 'TIMEOUT'): Discovery => ({
    find: () => Promise.reject(new SluiceError(code, 'down')),
    announce: () => Promise.reject(new SluiceError(code, 'down')),
    close: async () => {},
  })
  /** Never answers, and remembers that it was called off. */
  const silent = (): Discovery & { stopped: boolean } => ({
    stopped: false,
    find(_account, { signal } = {}) {
      return new Promise((_, reject) => {
        signal?.addEventListener('abort', () => {
          this.stopped = true
          reject(new Error('stopped'))
        })
      })
    },
    close: async () => {},
  })

  it('joins what they know, in their order, without repetitions, and no more than is worth trying', async () => {
    const slow: Discovery = { find: () => new Promise((resolve) => setTimeout(() => resolve(['ws://a', 'ws://b']), 50)), close: async () => {} }
    expect(await combinedDiscovery([slow, knowing('ws://b', 'ws://c'), knowing()]).find(account)).toEqual(['ws://a', 'ws://b', 'ws://c'])
    const many = Array.from({ length: 20 }, (_, i) => `ws://${i}`)
    expect(await combinedDiscovery([knowing(...many)]).find(account)).toHaveLength(MAX_ENDPOINTS)
    expect(await combinedDiscovery([knowing(), knowing()]).find(account)).toEqual([])
    expect(await combinedDiscovery([]).find(account)).toEqual([])
  })

  it('passes over one that fails', async () => {
    expect(await combinedDiscovery([failing('RPC_FAILED'), knowing('ws://a')]).find(account)).toEqual(['ws://a'])
  })

  it('does not call a node unknown when one of them could not be asked', async () => {
    await expect(combinedDiscovery([knowing(), failing('RPC_FAILED')]).find(account)).rejects.toMatchObject({ code: 'RPC_FAILED' })
  })

  it('gives up at the deadline on one that does not answer, and calls it off', async () => {
    const clock = createManualClock()
    const stuck = silent()
    const finding = combinedDiscovery([stuck, knowing()], { clock, deadline: 3000 }).find(account)
    const refused = expect(finding).rejects.toMatchObject({ code: 'TIMEOUT' })
    await clock.advance(2999)
    expect(stuck.stopped).toBe(false)
    await clock.advance(1)
    await refused
    expect(stuck.stopped).toBe(true)
    expect(clock.sleeping).toBe(0)
  })

  it('does not wait long for the others once one knows', async () => {
    const clock = createManualClock()
    const stuck = silent()
    const finding = combinedDiscovery([stuck, knowing('ws://a')], { clock }).find(account)
    await clock.advance(500)
    expect(await finding).toEqual(['ws://a'])
    await clock.advance(0)
    expect([stuck.stopped, clock.sleeping]).toEqual([true, 0])
  })

  it('stops when it is told to', async () => {
    const stop = new AbortController()
    const stuck = silent()
    const finding = combinedDiscovery([stuck, knowing('ws://a')]).find(account, stop)
    await new Promise((resolve) => setTimeout(resolve, 50))
    stop.abort()
    await expect(finding).rejects.toMatchObject({ code: 'ABORTED' })
    expect(stuck.stopped).toBe(true)
  })

  it('announces wherever it can, and fails only where nobody took it', async () => {
    const heard: string[] = []
    const able = { ...knowing(), announce: async (endpoint: string) => void heard.push(endpoint) }
    await combinedDiscovery([knowing(), failing('TIMEOUT'), able, able]).announce!('ws://me')
    expect(heard).toEqual(['ws://me', 'ws://me'])
    await expect(combinedDiscovery([failing('TIMEOUT')]).announce!('ws://me')).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(combinedDiscovery([staticDiscovery({}), registryDiscovery({ registry: staticRegistry([]) })]).announce).toBeUndefined()
  })
})
