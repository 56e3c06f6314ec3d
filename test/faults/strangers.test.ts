/**
 * What strangers are told when something of ours breaks: a code and a neutral sentence. Paths, inner errors and configuration
 * go to the owner's log.
 * @module
 */
import type { HDNodeWallet } from 'ethers'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Logger } from '../../src/core/log.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import type { Store } from '../../src/core/store/store.ts'
import { registryHandler, type Registry } from '../../src/protocol/registry/index.ts'
import type { Source } from '../../src/seller/index.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { connectRawBuyer, type RawBuyer } from './support/rawBuyer.ts'
import { freshAccounts, openShop } from './support/shop.ts'
import { until } from './support/until.ts'

const GRAIN = 1024
/** What an inner error may hold. */
const SECRET = '/srv/ann/secret.db'
let devnet: Devnet
let fresh: () => HDNodeWallet
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 30 })
  fresh = freshAccounts(devnet)
}, 60_000)
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(() => devnet.stop())

/** A log that is kept. */
function notebook(): { readonly log: Logger; text(): string } {
  const lines: unknown[] = []
  const note = (...args: unknown[]): void => void lines.push(args)
  const text = (): string =>
    lines.map((line) => JSON.stringify(line, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))).join('\n')
  return { log: { debug: note, info: note, warn: note, error: note }, text }
}

/** Everything that a buyer is sent as text. */
function listenTo(buyer: RawBuyer): () => string {
  const heard: string[] = []
  buyer.socket.on('message', (data, isBinary) => void (isBinary || heard.push((data as Buffer).toString())))
  buyer.socket.on('close', (code, reason) => void heard.push(`${code} ${reason.toString()}`))
  return () => heard.join('\n')
}

/** Can be read until it is told to fail. */
const brokenSource: Source = {
  size: 8 * GRAIN,
  open: async () => ({
    read: async (_offset, targets) => {
      if (isBroken) throw new Error(`EIO: read ${SECRET}`)
      for (const target of targets) target.fill(1)
    },
    close: async () => {},
  }),
}
let isBroken = false

/** A store that fails once it is told to. */
function breakable(): { readonly store: Store; break(): void } {
  const inner = memoryStore()
  let broken = false
  const write: Store['write'] = async (changes) => {
    if (broken) throw new Error(`ENOSPC: ${SECRET}`)
    return inner.write(changes)
  }
  return { store: { ...inner, write }, break: () => (broken = true) }
}

test.each(['a source that fails', 'a store that fails', 'a rating that throws'])('of %s a buyer learns nothing but a code', async (what) => {
  const { log, text } = notebook()
  const { store, break: breakStore } = breakable()
  isBroken = false
  const shop = await openShop(devnet, fresh(), [{ id: 'item', data: brokenSource, price: 8000n }], {
    granularity: GRAIN,
    window: 4,
    store,
    log,
    rate: () => {
      throw new Error(`no rating: ${SECRET}`)
    },
  })
  cleanups.push(shop.close)
  isBroken = what === 'a source that fails'
  const buyer = await connectRawBuyer(devnet, fresh(), shop.url)
  cleanups.push(() => buyer.socket.terminate())
  const heard = listenTo(buyer)
  const order = await buyer.create('item')
  if (what === 'a store that fails') breakStore()
  await buyer.order(order).catch(() => {})
  if (what === 'a rating that throws') {
    for (let chunk = 1; chunk <= 8; chunk++) {
      await buyer.received(chunk * GRAIN)
      await buyer.ack(order.id, chunk * GRAIN)
    }
  }
  await until('the owner to hear of it', () => text().includes(SECRET))
  if (what !== 'a store that fails') await until('a word to the buyer', () => buyer.exits.length > 0)
  expect(heard()).not.toContain('/srv')
})

test('of a registry that fails, who asks for sellers learns nothing but a status', async () => {
  const failing = (): never => {
    throw new Error(`cannot open ${SECRET}`)
  }
  const registry: Registry = { find: async () => failing(), list: () => ({ [Symbol.asyncIterator]: failing }) }
  const handle = registryHandler(registry)
  for (const path of ['/sellers', `/sellers/0x${'11'.repeat(20)}`]) {
    const response = await handle(new Request(`http://registry.example${path}`))
    expect(response.status).toBe(502)
    expect(await response.text()).not.toContain('/srv')
  }
})
