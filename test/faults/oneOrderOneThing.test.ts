/**
 * An order pays for one thing: whatever a buyer reopens, and in whatever way, it gets what its order is for, and of what
 * it has not paid one window.
 * @module
 */
import type { HDNodeWallet } from 'ethers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { dataTradeContract } from '../../src/contracts/dataTrade.ts'
import { dataTradeDigests, dataTradeDomain } from '../../src/contracts/typedData.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { alipayPayments, CNY, outTradeNo } from '../../src/payments/alipay.ts'
import type { Payload } from '../../src/protocol/wire.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { startFakeAlipay, type FakeAlipay } from '../../src/testing/fakeAlipay.ts'
import { alipayGateway } from '../fixtures/trade/alipayGateway.ts'
import { sampleData } from './support/data.ts'
import { connectRawBuyer, type RawBuyer, type RawOrder } from './support/rawBuyer.ts'
import { finishedOrder, freshAccounts, openShop, type Shop } from './support/shop.ts'
import { until } from './support/until.ts'

const GRAIN = 512
const CHUNKS = 16
const data = sampleData(GRAIN * CHUNKS)
let devnet: Devnet
let alipay: FakeAlipay
let fresh: () => HDNodeWallet
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  ;[devnet, alipay] = await Promise.all([startDevnet({ accounts: 60 }), startFakeAlipay()])
  fresh = freshAccounts(devnet)
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(async () => {
  await devnet.stop()
  await alipay.stop()
})

/** Live data whose chunks say which run of the source made them. */
function ticker(): () => AsyncIterable<Uint8Array> {
  let runs = 0
  return async function* () {
    const run = ++runs
    for (let i = 0; i < CHUNKS; i++) yield new Uint8Array(GRAIN).fill(run)
  }
}

async function shopOf(
  entries = new Map<string, Uint8Array>(),
  account = fresh(),
  options: Parameters<typeof openShop>[3] = {},
): Promise<Shop> {
  const store = memoryStore(entries)
  const digests = dataTradeDigests(dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade))
  const items = [
    { id: 'item', data, price: 16_000_000n, alipayPrice: 1600n },
    { id: 'twin', data, price: 16_000_000n, alipayPrice: 1600n },
    { id: 'sampled', data, price: 16_000_000n, sample: { first: 0, count: 4 } },
    { id: 'live', live: ticker(), price: 16n, maxBytes: CHUNKS * GRAIN },
    { id: 'other', live: ticker(), price: 16n, maxBytes: CHUNKS * GRAIN },
  ]
  const shop = await openShop(devnet, account, items, {
    granularity: GRAIN,
    window: 4,
    ackTimeout: 20_000,
    settleDelay: 60_000,
    store,
    payments: [alipayPayments({ gateway: alipayGateway(alipay), digests, store })],
    ...options,
  })
  const close = async (): Promise<void> => {
    await shop.close()
    await store.close()
  }
  cleanups.push(close)
  return { ...shop, close }
}

async function visitor(url: string, account = fresh(), key?: RawBuyer['key']): Promise<RawBuyer> {
  const buyer = await connectRawBuyer(devnet, account, url, { key })
  cleanups.push(() => buyer.socket.terminate())
  return buyer
}

/** An order of a kind whose money is there. */
async function orderOf(buyer: RawBuyer, kind: 'token' | 'alipay', item = 'item', count = 8): Promise<RawOrder> {
  const selection = item === 'live' ? { bytes: [0, count * GRAIN] as const } : { chunks: { first: 0, count } }
  if (kind === 'token') return buyer.create(item, { selection })
  const made = await buyer.create(item, { selection, terms: { token: CNY, price: 100n * BigInt(count) }, onChain: false })
  return { ...made, verification: alipay.pay(outTradeNo(made.id), made.order.price) }
}

/** What the seller answers to a message that it must refuse: the code, and how many chunks came with it. */
async function answer(
  buyer: RawBuyer,
  stream: number,
  ask: () => Promise<void>,
): Promise<{ code: string | undefined; chunks: number }> {
  const before = buyer.exits.length
  await ask()
  await until('an answer', () => buyer.exits.length > before || buyer.closed)
  return { code: buyer.exits[before]?.reason?.code, chunks: buyer.stream(stream).frames.length }
}

/** Different chunks that came on all streams of a buyer. */
const chunksOf = (buyer: RawBuyer, ...streams: number[]): Set<string> =>
  new Set(streams.flatMap((n) => buyer.stream(n).frames.map(({ index, body }) => `${index}/${Buffer.from(body).toString('hex')}`)))

const changes: readonly [field: string, change: Partial<Payload<'order'>>][] = [
  ['first_chunk', { first_chunk: 1 }],
  ['data_ID', { data_ID: 'twin' }],
  ['payment', { payment: 'sample' }],
  ['mode', { mode: 'onchain' }],
  ['nonce', { nonce: `0x${'01'.repeat(16)}` }],
  ['form', { form: 'json' }],
  ['claims', { claims: true }],
]

test('an order that its buyer has asked to close is not begun: it could be over before it is paid', async () => {
  const { url } = await shopOf()
  const account = fresh()
  const buyer = await visitor(url, account)
  const order = await buyer.create('item', { selection: { chunks: { first: 0, count: 8 } } })
  await (await dataTradeContract(devnet.deployment.dataTrade, account).requestClose(order.order)).wait()
  expect(await answer(buyer, 0, () => buyer.order(order))).toEqual({ code: 'ORDER_FINISHED', chunks: 0 })
})

describe.each(['token', 'alipay'] as const)('an order paid with %s', (kind) => {
  test('opens for what its id commits to alone', async () => {
    const { url } = await shopOf()
    const buyer = await visitor(url)
    const order = await orderOf(buyer, kind)
    let stream = 0
    for (const [field, change] of changes) {
      if (field === 'form' || field === 'claims') continue // how, not what
      stream++
      const { code, chunks } = await answer(buyer, stream, () => buyer.order(order, stream, change))
      expect([field, chunks]).toEqual([field, 0])
      expect(['ORDER_MISMATCH', 'RANGE_INVALID', 'PRICE_MISMATCH']).toContain(code)
    }
    await buyer.order(order)
    await buyer.received(GRAIN)
  })

  test.each(['while it runs', 'after the link was lost', 'after a restart', 'when it is paid in full'])('is the same %s', async (when) => {
    const entries = new Map<string, Uint8Array>()
    const account = fresh()
    const shop = await shopOf(entries, account)
    const wallet = fresh()
    let buyer = await visitor(shop.url, wallet)
    const order = await orderOf(buyer, kind, 'item', 2)
    await buyer.order(order)
    await buyer.received(GRAIN)
    await buyer.ack(order.id, GRAIN)
    await buyer.received(2 * GRAIN)
    if (when === 'when it is paid in full') {
      await buyer.ack(order.id, 2 * GRAIN)
      await until('the end', () => buyer.exits.length > 0)
    }
    let { url } = shop
    if (when === 'after a restart') {
      await shop.close()
      url = (await shopOf(entries, account)).url
    }
    if (when !== 'while it runs') {
      await buyer.vanish()
      buyer = await visitor(url, wallet, buyer.key)
    }
    let stream = 10
    for (const [field, change] of changes) {
      stream++
      const { code, chunks } = await answer(buyer, stream, () => buyer.order(order, stream, change))
      expect([field, code, chunks]).toEqual([field, 'ORDER_MISMATCH', 0])
    }
    expect(buyer.closed).toBeUndefined()
  })

  test.each(['unpaid', 'after a payment'])('is over once it was left %s, also after a restart', async (when) => {
    const entries = new Map<string, Uint8Array>()
    const account = fresh()
    const shop = await shopOf(entries, account)
    const wallet = fresh()
    const first = await visitor(shop.url, wallet)
    const order = await orderOf(first, kind)
    await first.order(order)
    await first.received(GRAIN)
    if (when === 'after a payment') {
      await first.ack(order.id, GRAIN)
      await first.received(3 * GRAIN)
    }
    await first.exit(order.id)
    await first.order(order, 1) // at once, before the end is written down
    await until('both answers', () => first.exits.length === 2)
    expect(first.exits.map(({ reason }) => reason?.code)).toEqual([undefined, 'ORDER_FINISHED'])
    expect(first.stream(1).bytes).toBe(0)
    await first.vanish()
    await shop.close()
    const { url } = await shopOf(entries, account)
    const second = await visitor(url, wallet, first.key)
    expect(await answer(second, 2, () => second.order(order, 2))).toEqual({ code: 'ORDER_FINISHED', chunks: 0 })
    // What was paid may have been lost with its buyer: it comes again, and no more.
    const paid = when === 'unpaid' ? 0 : 1
    expect(await answer(second, 3, () => second.resume(order.id, 0, 3))).toEqual({ code: 'ORDER_FINISHED', chunks: paid })
    expect((await answer(second, 3, () => second.ack(order.id, 3 * GRAIN))).code).toBe('NO_SUCH_ORDER')
    expect(await answer(second, 4, () => second.resume(order.id, GRAIN * paid, 4))).toEqual({ code: 'ORDER_FINISHED', chunks: 0 })
  })

  test('brings a lost tail again when it is paid in full, and that twice over at most', async () => {
    const entries = new Map<string, Uint8Array>()
    const account = fresh()
    let shop = await shopOf(entries, account)
    const wallet = fresh()
    const buyer = await visitor(shop.url, wallet)
    const order = await orderOf(buyer, kind, 'item', 2)
    await buyer.order(order)
    await buyer.received(GRAIN)
    await buyer.ack(order.id, GRAIN)
    await buyer.received(2 * GRAIN)
    await buyer.ack(order.id, 2 * GRAIN)
    await until('the end', () => buyer.exits.length > 0)
    let chunks = 0
    for (let round = 0; round < 4; round++) {
      await shop.close()
      shop = await shopOf(entries, account)
      const again = await visitor(shop.url, wallet, buyer.key)
      await again.resume(order.id, GRAIN)
      await until('an answer', () => again.exits.length > 0)
      chunks += again.stream(0).frames.length
    }
    expect(chunks).toBe(2)
  })
})

describe('credit', () => {
  test('is one window for an order, however often it is left and come back to', async () => {
    const entries = new Map<string, Uint8Array>()
    const account = fresh()
    let shop = await shopOf(entries, account)
    const wallet = fresh()
    const first = await visitor(shop.url, wallet)
    const order = await orderOf(first, 'token', 'item', CHUNKS)
    await first.order(order)
    await first.received(GRAIN)
    await first.ack(order.id, GRAIN)
    await first.received(3 * GRAIN)
    const got = chunksOf(first, 0)
    await first.vanish()
    for (const [round, received] of [0, GRAIN, 2 * GRAIN, 3 * GRAIN, 4 * GRAIN, 5 * GRAIN].entries()) {
      if (round % 2 === 1) {
        await shop.close()
        shop = await shopOf(entries, account)
      }
      const [a, b] = [await visitor(shop.url, wallet, first.key), await visitor(shop.url, wallet, first.key)]
      await a.resume(order.id, received)
      await b.order(order, 1)
      await b.received(3 * GRAIN, 1)
      for (const chunk of [...chunksOf(a, 0), ...chunksOf(b, 1)]) got.add(chunk)
      await a.vanish()
      await b.vanish()
    }
    expect(got.size).toBe(3)
  })

  test('of live data is one window too: another run of the source is not part of the order', async () => {
    const entries = new Map<string, Uint8Array>()
    const account = fresh()
    const shop = await shopOf(entries, account)
    const wallet = fresh()
    const first = await visitor(shop.url, wallet)
    const order = await orderOf(first, 'token', 'live')
    await first.order(order)
    await first.received(GRAIN)
    await first.vanish()
    await shop.close()
    const { url } = await shopOf(entries, account)
    const second = await visitor(url, wallet, first.key)
    expect(await answer(second, 0, () => second.order(order))).toEqual({ code: 'RANGE_INVALID', chunks: 0 })
    expect(await answer(second, 1, () => second.order(order, 1))).toEqual({ code: 'ORDER_FINISHED', chunks: 0 })
  })

  test('is not renewed when the seller forgets the order for want of room', async () => {
    const { url } = await shopOf(undefined, undefined, { limits: { orders: 1 } })
    const wallet = fresh()
    const first = await visitor(url, wallet)
    const order = await orderOf(first, 'token', 'item', CHUNKS)
    await first.order(order)
    await first.received(GRAIN)
    await first.ack(order.id, GRAIN)
    await first.received(3 * GRAIN)
    await first.vanish()
    const other = await visitor(url)
    await other.order(await orderOf(other, 'token', 'item', 2))
    await other.received(GRAIN)
    await other.vanish()
    const second = await visitor(url, wallet, first.key)
    const { code, chunks } = await answer(second, 0, () => second.order(order, 0, { first_chunk: 3 }))
    expect({ code, chunks }).toEqual({ code: 'ORDER_MISMATCH', chunks: 0 })
    await second.resume(order.id, 0, 1)
    await second.received(3 * GRAIN, 1)
    await second.ack(order.id, 3 * GRAIN)
    await second.received(7 * GRAIN, 1)
    expect(chunksOf(second, 1).size).toBe(7)
  })
})

test('a sample is for the chunks of its own order', async () => {
  const { url } = await shopOf()
  const buyer = await visitor(url)
  const order = await buyer.create('sampled', { selection: { chunks: { first: 0, count: 1 } }, payment: 'sample', terms: { price: 0n }, onChain: false })
  await buyer.order(order)
  await buyer.received(GRAIN)
  await buyer.ack(order.id, GRAIN)
  await until('the end', () => buyer.exits.length > 0)
  expect(await answer(buyer, 1, () => buyer.order(order, 1, { first_chunk: 1 }))).toMatchObject({ chunks: 0 })
  expect(await answer(buyer, 2, () => buyer.order(order, 2))).toEqual({ code: 'ORDER_FINISHED', chunks: 0 })
})

test('an order that commits to other chunks than it asks for is refused, and its deposit comes back', async () => {
  const { url } = await shopOf(undefined, undefined, { settleDelay: 20 })
  const account = fresh()
  const buyer = await visitor(url, account)
  const order = await buyer.create('item', { selection: { chunks: { first: 0, count: 1 } } })
  expect(await answer(buyer, 0, () => buyer.order(order, 0, { first_chunk: 3 }))).toEqual({ code: 'ORDER_MISMATCH', chunks: 0 })
  // The order itself is as good as ever.
  await buyer.order(order, 1)
  await buyer.received(GRAIN, 1)
  await buyer.ack(order.id, GRAIN)
  expect(await finishedOrder(devnet, order.id)).toMatchObject({ transferred: GRAIN })
})
