/**
 * Whatever a caller hands to a method of what the factories make, only errors of ours come out.
 * @module
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBuyer, type BuyerOptions } from '../../src/buyer/index.ts'
import { combinedDiscovery, registryDiscovery, staticDiscovery } from '../../src/channel/index.ts'
import { brainSecret, createDatasource, createMarketClient, createMerchant, grapheneKey } from '../../src/des/index.ts'
import { contractRegistry, httpRegistry, publishingRegistry, staticRegistry } from '../../src/protocol/registry/index.ts'
import { memoryPeerNetwork, memoryTransportPair, webSocketPeer } from '../../src/protocol/index.ts'
import { memoryStore, openStore } from '../../src/core/store/index.ts'
import { createSeller } from '../../src/seller/index.ts'
import { createManualClock } from '../../src/testing/index.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { junk, strayError } from './junk.ts'

let devnet: Devnet
let folder: string
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 10 })
  folder = await mkdtemp(join(tmpdir(), 'sluice-methods-'))
}, 60_000)
afterAll(async () => {
  for (const step of cleanups.reverse()) await step()
  await devnet.stop()
  await rm(folder, { recursive: true, force: true })
})

const buyerOf = (n: number): BuyerOptions => ({
  signer: devnet.accounts[n]!,
  dataTrade: devnet.deployment.dataTrade,
  connectTimeout: 100,
  reconnects: 0,
})

/** What the factories make, each anew for its tests. */
const makers: Record<string, () => unknown> = {
  buyer: () => createBuyer(buyerOf(0)),
  'buyer with a registry': () => createBuyer({ ...buyerOf(0), registry: staticRegistry([]) }),
  purchase: async () => {
    const buyer = await createBuyer(buyerOf(1))
    cleanups.push(() => buyer.close())
    const purchase = buyer.buy({ seller: 'ws://127.0.0.1:1', item: 'x' })
    for (const part of [purchase.orderId, purchase.offset, purchase.receipt]) part.catch(() => {})
    return purchase
  },
  seller: () =>
    createSeller({
      signer: devnet.accounts[2]!,
      dataTrade: devnet.deployment.dataTrade,
      store: memoryStore(),
      items: [{ id: 'x', data: new Uint8Array(9), price: 1n }],
    }),
  merchant: () => createMerchant({ account: '1.2.3', key, baseUrl: 'http://127.0.0.1:1' }),
  datasource: () =>
    createDatasource({
      account: '1.2.3',
      key,
      baseUrl: 'http://127.0.0.1:1',
      serviceUrl: 'http://127.0.0.1:2',
      desPublicKey: key.publicKey,
      products: [{ productId: 1, price: 1n }],
      answer: () => undefined,
    }),
  'market client': () => createMarketClient({ baseUrl: 'http://127.0.0.1:1', signIn: { account: '1.2.3', key } }),
  'static registry': () => staticRegistry([]),
  'contract registry': () => contractRegistry(devnet.provider, { address: devnet.deployment.registry }),
  'publishing registry': () => publishingRegistry(devnet.accounts[3]!, { address: devnet.deployment.registry }),
  'http registry': () => httpRegistry({ url: 'http://127.0.0.1:1' }),
  'static discovery': () => staticDiscovery({}),
  'registry discovery': () => registryDiscovery({ registry: staticRegistry([]) }),
  'combined discovery': () => combinedDiscovery([staticDiscovery({})]),
  'memory store': () => memoryStore(),
  'store on disk': () => openStore(join(folder, 'store')),
  'manual clock': () => createManualClock(0),
  'peer network': () => memoryPeerNetwork(),
  'peer transport': () => webSocketPeer(),
  transport: () => memoryTransportPair()[0],
}
const key = grapheneKey(brainSecret('methods', 0))

/** Of the emitter behind `events`, not of `Events`. */
const inner = ['events.emit', 'events.clear']
/** What ends the object, or waits for its world: tried last, and with nothing. */
const endings = ['close', 'stop', 'bytes']

describe.each(Object.entries(makers))('a %s', (_name, make) => {
  it('lets nothing but errors of ours out of its methods', async () => {
    const made = (await make()) as Record<string | symbol, unknown>
    const methods = methodsOf(made).filter(([name]) => !endings.includes(name) && !inner.includes(name))
    const stray: string[] = []
    for (const [name, method] of methods) {
      const result = await fc.check(
        fc.asyncProperty(fc.array(junk, { maxLength: 4 }), async (args) => {
          const error = await strayError(() => firstOf(method(...args)), 50)
          if (error !== undefined) throw error instanceof Error ? error : new Error('no error at all')
        }),
        { numRuns: 40, seed: 11 },
      )
      if (result.failed) stray.push(`${name}(${shown(result.counterexample![0])}): ${String(result.errorInstance)}`)
    }
    if (stray.length > 0) throw new Error(stray.join('\n'))
    for (const name of endings) {
      const end = made[name]
      if (typeof end === 'function') expect(await strayError(() => (end as () => unknown).call(made))).toBeUndefined()
    }
  }, 60_000)
})

/** What a method was given, if it can be written: some of it throws when it is looked at. */
function shown(args: unknown): string {
  try {
    return fc.stringify(args).slice(0, 80)
  } catch {
    return 'a hostile value'
  }
}

/** The methods of an object, and of what it holds. */
function methodsOf(made: Record<string | symbol, unknown>, path = ''): [string, (...args: unknown[]) => unknown][] {
  return Object.keys(made).flatMap((name): [string, (...args: unknown[]) => unknown][] => {
    const value = made[name]
    if (typeof value === 'function') return [[path + name, (value as () => unknown).bind(made)]]
    const isPlain = typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
    return isPlain ? methodsOf(value as typeof made, `${path}${name}.`) : []
  })
}

/** A promise, or what an iteration gives first. */
function firstOf(answer: unknown): unknown {
  const isIterable = typeof answer === 'object' && answer !== null && Symbol.asyncIterator in answer
  return isIterable ? (answer as AsyncIterable<unknown>)[Symbol.asyncIterator]().next() : answer
}
