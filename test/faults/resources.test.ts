/**
 * What a trade leaves behind: nothing open, nothing running, no secret anywhere.
 * @module
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { JsonRpcProvider, Network, type HDNodeWallet } from 'ethers'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { fromHex, toHex } from '../../src/core/bytes.ts'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import { engine } from '../../src/core/crypto/engine.ts'
import type { Logger } from '../../src/core/log.ts'
import { openVault } from '../../src/core/platform/node.ts'
import { openLevelStore } from '../../src/core/store/openLevelStore.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { startRpcProxy } from '../../src/testing/rpcProxy.ts'
import { sampleData } from './support/data.ts'
import { mortalConnect } from './support/mortalConnect.ts'
import { connectRawBuyer } from './support/rawBuyer.ts'
import { startRawSeller } from './support/rawSeller.ts'
import { finishedOrder, freshAccounts, openBuyer, openShop } from './support/shop.ts'
import { pause, until } from './support/until.ts'

const GRAIN = 4096
const CHUNKS = 24
const PRICE = 24_000n
const data = sampleData(GRAIN * CHUNKS)

let devnet: Devnet
let fresh: () => HDNodeWallet
let folder: string
let file: string
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 40 })
  fresh = freshAccounts(devnet)
  folder = await mkdtemp(join(tmpdir(), 'sluice-resources-'))
  file = join(folder, 'data')
  await writeFile(file, data)
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(async () => {
  await devnet.stop()
  await rm(folder, { recursive: true, force: true })
})

/** What the process has open, by what it leads to. */
function openFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      return [] // the one that read the folder
    }
  })
}

/** A clock that knows how many wait for it. */
function countingClock(): Clock & { readonly sleeping: number } {
  let sleeping = 0
  return {
    now: systemClock.now,
    sleep: (ms, signal) => {
      sleeping++
      return systemClock.sleep(ms, signal).finally(() => sleeping--)
    },
    get sleeping() {
      return sleeping
    },
  }
}

const sockets = (): number => openFiles().filter((to) => to.startsWith('socket:')).length

test.runIf(process.platform === 'linux')('files and sockets are closed, however a trade ends', async () => {
  await devnet.time() // the provider's own socket
  const shop = await openShop(devnet, fresh(), [{ id: 'item', data: file, price: PRICE }], {
    granularity: GRAIN,
    window: 4,
    ackTimeout: 300,
  })
  const idle = { sockets: sockets(), files: openFiles().filter((to) => to === file).length }
  expect(idle.files).toBe(0)
  const buyer = await openBuyer(devnet, fresh())

  // In full, left in the middle, aborted, from ten at once.
  for (let i = 0; i < 3; i++) await buyer.buy({ seller: shop.url, item: 'item' }).bytes()
  for (let i = 0; i < 3; i++) for await (const _part of buyer.buy({ seller: shop.url, item: 'item' })) break
  const stop = new AbortController()
  await expect(async () => {
    for await (const _part of buyer.buy({ seller: shop.url, item: 'item', signal: stop.signal })) stop.abort()
  }).rejects.toMatchObject({ code: 'ABORTED' })
  await Promise.all(Array.from({ length: 10 }, () => buyer.buy({ seller: shop.url, item: 'item' }).bytes()))

  // A buyer that doesn't pay, one that vanishes, one that is refused.
  const raw = await connectRawBuyer(devnet, fresh(), shop.url)
  const unpaid = await raw.create('item')
  await raw.order(unpaid)
  await raw.received(GRAIN)
  expect(openFiles().filter((to) => to === file).length).toBe(1) // while it is being delivered
  await raw.refused(unpaid.id)
  const gone = await raw.create('item')
  await raw.order(gone, 1)
  await raw.received(GRAIN, 1)
  await raw.vanish()
  await until('the file to be closed', () => !openFiles().includes(file), 3000)

  await buyer.close()
  await until('the sockets to be closed', () => sockets() <= idle.sockets, 5000)
  await shop.close()
})

test('no timer is left, on either side, however a trade ends', async () => {
  const clocks = { seller: countingClock(), buyer: countingClock() }
  const shop = await openShop(devnet, fresh(), [{ id: 'item', data, price: PRICE }], {
    granularity: GRAIN,
    window: 4,
    ackTimeout: 300,
    clock: clocks.seller,
  })
  await shop.seller.settle()
  await pause(50)
  const idle = clocks.seller.sleeping
  const { connect, die } = mortalConnect()
  // With patience, so that a timer that is left to run out is seen.
  const buyer = await openBuyer(devnet, fresh(), { clock: clocks.buyer, stallTimeout: 60_000, openTimeout: 60_000 })
  const doomed = await openBuyer(devnet, fresh(), { clock: clocks.buyer, connect, reconnects: 1 })

  await buyer.buy({ seller: shop.url, item: 'item' }).bytes()
  for await (const _part of buyer.buy({ seller: shop.url, item: 'item' })) break
  const liar = await startRawSeller(devnet, fresh(), {
    data,
    granularity: GRAIN,
    script: async (sale) => sale.send(await sale.frame(0, { body: sampleData(GRAIN, 3) })),
  })
  await expect(buyer.buy({ seller: liar.url, item: 'item' }).bytes()).rejects.toMatchObject({ code: 'WRONG_CHUNK' })
  await expect(async () => {
    for await (const _part of doomed.buy({ seller: shop.url, item: 'item' })) die()
  }).rejects.toMatchObject({ code: 'CONNECTION_LOST' })

  await liar.close()
  await buyer.close()
  await doomed.close()
  await until("the buyers' timers to end", () => clocks.buyer.sleeping === 0, 2000)
  await until("the seller's timers to be what they were", () => clocks.seller.sleeping <= idle, 3000)
  await shop.close()
  await until("the seller's timers to end", () => clocks.seller.sleeping === 0, 2000)
})

test('a live source is asked for no more than the window, and told when its buyer is gone', async () => {
  let made = 0
  let closed = 0
  const shop = await openShop(
    devnet,
    fresh(),
    [
      {
        id: 'feed',
        price: PRICE,
        maxBytes: 100 * GRAIN,
        async *live () {
          try {
            for (;;) {
              made++
              yield sampleData(GRAIN, made)
              await pause(1)
            }
          } finally {
            closed++
          }
        },
      },
    ],
    { granularity: GRAIN, window: 4, ackTimeout: 5000 },
  )
  cleanups.push(shop.close)
  const raw = await connectRawBuyer(devnet, fresh(), shop.url)
  cleanups.push(() => raw.socket.terminate())
  const order = await raw.create('feed')
  await raw.order(order)
  await raw.received(GRAIN)
  await pause(100)
  expect(made).toBe(1)
  await raw.ack(order.id, GRAIN)
  await raw.received(3 * GRAIN)
  await pause(100)
  expect(made).toBe(3)
  await raw.exit(order.id)
  await finishedOrder(devnet, order.id)
  expect(closed).toBe(1)
})

test('a buyer that is gone holds no place, though its deposit is still being looked for and its ACK waits', async () => {
  const shop = await openShop(devnet, fresh(), [{ id: 'item', data, price: PRICE }], {
    granularity: GRAIN,
    limits: { connections: 1 },
    confirmTimeout: 60_000,
  })
  cleanups.push(shop.close)
  const raw = await connectRawBuyer(devnet, fresh(), shop.url)
  const order = await raw.create('item', { onChain: false })
  await raw.order(order)
  await raw.ack(order.id, GRAIN)
  await pause(200)
  await expect(connectRawBuyer(devnet, fresh(), shop.url)).rejects.toThrow('OVERLOADED')
  await raw.vanish()
  await until('the place to be free', () => connectRawBuyer(devnet, fresh(), shop.url).then((next) => next.vanish().then(() => true), () => false))
})

test('no key, no session key and no voucher is in a log, an event, an error, or a public object', async () => {
  const lines: unknown[] = []
  const note = (message: string, details?: unknown): void => void lines.push([message, details])
  const log: Logger = { debug: note, info: note, warn: note, error: note }
  const proxy = await startRpcProxy(devnet.url)
  cleanups.push(() => proxy.stop())
  const apiKey = 'c0ffee5ecre7ap1key'
  const provider = new JsonRpcProvider(`${proxy.url}/v3/${apiKey}`, undefined, {
    cacheTimeout: -1,
    pollingInterval: 50,
    staticNetwork: Network.from(devnet.chainId),
  })
  cleanups.push(() => provider.destroy())
  const [sellerAccount, buyerAccount] = [fresh(), fresh()]
  const stores = { seller: join(folder, 'seller'), buyer: join(folder, 'buyer') }
  const seen: unknown[] = []

  // Vouchers are forgotten when they are settled: they are noted as they are written.
  const vouchers = new Set<string>()
  const inner = await openLevelStore(stores.seller)
  const store = {
    ...inner,
    write: (changes: Parameters<typeof inner.write>[0]) => {
      for (const { key, value } of changes)
        if (key.startsWith('token/voucher/') && value) vouchers.add(toHex(value.slice(8)).slice(2))
      return inner.write(changes)
    },
  }
  const shop = await openShop(devnet, sellerAccount.connect(provider), [{ id: 'item', data, price: PRICE }], {
    granularity: GRAIN,
    window: 4,
    ackTimeout: 1500,
    store,
    log,
    rate: () => ({ score: 5, comment: 'good' }),
  })
  for (const event of ['order', 'paid', 'ended', 'rated'] as const)
    shop.seller.events.on(event, (payload) => void seen.push([event, payload]))
  const buyer = await openBuyer(devnet, buyerAccount.connect(provider), {
    store: stores.buyer,
    log,
    rate: () => ({ score: 4, comment: 'fine' }),
  })
  for (const mode of ['voucher', 'onchain'] as const) {
    const purchase = buyer.buy({ seller: shop.url, item: 'item', mode, chunks: { first: 0, count: 6 } })
    for (const event of ['order', 'progress'] as const) purchase.events.on(event, (payload) => void seen.push(payload))
    await purchase.bytes()
    seen.push(purchase, await purchase.receipt)
  }
  // What goes wrong talks the most.
  const failing = async (run: () => Promise<unknown>): Promise<void> => {
    seen.push(
      await run().then(
        () => expect.unreachable(),
        (error: unknown) => error,
      ),
    )
  }
  await failing(() => buyer.buy({ seller: shop.url, item: 'nothing' }).bytes())
  await failing(() => buyer.buy({ seller: shop.url, item: 'item', deposit: PRICE / 4n }).bytes())
  await failing(() => buyer.buy({ seller: 'ws://127.0.0.1:9/', item: 'item' }).bytes())
  proxy.rule(() => ({ status: 401 }))
  await failing(() => buyer.buy({ seller: shop.url, item: 'item' }).bytes())
  proxy.rule()
  const raw = await connectRawBuyer(devnet, fresh(), shop.url)
  const order = await raw.create('item')
  await raw.order(order)
  await raw.received(GRAIN)
  await raw.ack(order.id, GRAIN)
  await raw.received(3 * GRAIN)
  await raw.ack(order.id, 2 * GRAIN, { key: (await connectRawBuyer(devnet, fresh(), shop.url)).key }) // not its own
  await raw.refused(order.id)
  await raw.vanish()
  for await (const stored of buyer.orders()) seen.push(stored)
  seen.push(buyer, shop.seller, shop.listener, shop.seller.menu)

  const vault = await openVault('sluice-session', async () =>
    engine().keccak256(fromHex(await buyerAccount.signMessage(`Sluice: unlock the session key of ${buyerAccount.address}`))),
  )
  await buyer.close()
  await shop.close()
  await inner.close()
  const reopened = await openLevelStore(stores.buyer)
  const sealed = (await reopened.get('session'))!
  await reopened.close()
  const session = await vault.open(sealed)

  expect(vouchers.size).toBeGreaterThanOrEqual(3)
  expect(lines.length).toBeGreaterThan(5)
  const secrets: [name: string, text: string][] = [
    ["the seller's key", sellerAccount.privateKey.slice(2)],
    ["the buyer's key", buyerAccount.privateKey.slice(2)],
    ['the session key', toHex(session).slice(2)],
    ['the API key of the node', apiKey],
    ...[...vouchers].map((voucher): [string, string] => ['a voucher', voucher]),
  ]
  const plain = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? value.toString() : value)
  const written = [...lines, ...seen].map(
    (item) => `${inspect(item, { depth: 12, showHidden: true })}\n${JSON.stringify(item, plain)}`,
  )
  for (const [name, text] of secrets) {
    const where = written.find((entry) => entry.toLowerCase().includes(text.toLowerCase()))
    expect(where, `${name} is in the open`).toBeUndefined()
  }

  // And on the disk: what is sealed can be found there, what it holds can't.
  const raws = (path: string): Buffer => Buffer.concat(readdirSync(path).map((name) => readFileSync(join(path, name))))
  const disk = raws(stores.buyer)
  expect(disk.includes(Buffer.from(sealed))).toBe(true)
  const hex = toHex(session).slice(2)
  for (const secret of [Buffer.from(session), Buffer.from(hex), Buffer.from(buyerAccount.privateKey.slice(2), 'hex')]) {
    expect(disk.includes(secret)).toBe(false)
    expect(raws(stores.seller).includes(secret)).toBe(false)
  }
}, 60_000)
