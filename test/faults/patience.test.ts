/**
 * Patience that counts only time in which the other side can act, and places that nobody holds for nothing.
 * @module
 */
import type { HDNodeWallet } from 'ethers'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { sampleData } from './support/data.ts'
import { connectRawBuyer, type RawBuyer } from './support/rawBuyer.ts'
import { finishedOrder, freshAccounts, openBuyer, openShop, type Shop } from './support/shop.ts'
import { until } from './support/until.ts'

const GRAIN = 1024
const data = sampleData(8 * GRAIN)
let devnet: Devnet
let fresh: () => HDNodeWallet
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 30 })
  fresh = freshAccounts(devnet)
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(() => devnet.stop())

async function shopOf(options: Parameters<typeof openShop>[3] = {}): Promise<Shop> {
  const shop = await openShop(devnet, fresh(), [{ id: 'item', data, price: 8000n }], { granularity: GRAIN, window: 4, ...options })
  cleanups.push(shop.close)
  return shop
}

async function visitor(url: string, account = fresh()): Promise<RawBuyer> {
  const buyer = await connectRawBuyer(devnet, account, url)
  cleanups.push(() => buyer.socket.terminate())
  return buyer
}

test('a caller that takes its time over a chunk gets all of the data: the seller waits no longer, the order goes on', async () => {
  const { url, seller } = await shopOf({ ackTimeout: 150 })
  const ended: string[] = []
  seller.events.on('ended', ({ reason }) => void ended.push(reason))
  const buyer = await openBuyer(devnet, fresh())
  cleanups.push(buyer.close)
  const purchase = buyer.buy({ seller: url, item: 'item' })
  const parts: Uint8Array[] = []
  let late = 0
  purchase.events.on('reconnect', ({ reason }) => void (reason === 'PAYMENT_LATE' && late++))
  for await (const part of purchase) {
    parts.push(part)
    // Longer than the seller's patience.
    if (parts.length === 3) await new Promise((resolve) => setTimeout(resolve, 1500))
  }
  expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
  expect(late).toBeGreaterThan(0)
  expect(await finishedOrder(devnet, await purchase.orderId)).toMatchObject({ paid: 8000n })
  expect(ended).toEqual(['complete'])
})

test('a connection without an order is ended', async () => {
  const { url } = await shopOf({ limits: { idleTimeout: 200 } })
  const buyer = await visitor(url)
  await until('the end of the connection', () => buyer.closed)
  expect(buyer.closed).toMatchObject({ code: 1001, reason: 'TIMEOUT' })
})

test('a full seller ends the connection that is idle for longest, and none on which money was put up', async () => {
  const { url } = await shopOf({ ackTimeout: 60_000, limits: { connections: 3, helloTimeout: 100 } })
  const funded = await visitor(url)
  const order = await funded.create('item')
  await funded.order(order)
  await funded.received(GRAIN)
  const [first, second] = [await visitor(url), await visitor(url)]
  const account = fresh() // they come until one is let in, and buy nothing
  const newcomer = (): Promise<RawBuyer | undefined> => visitor(url, account).catch(() => undefined)
  let third: RawBuyer | undefined
  await until('room for one more', async () => (third = await newcomer()))
  await until('the end of the idle one', () => first.closed)
  expect(second.closed).toBeUndefined()
  for (let i = 0; i < 4; i++) await until('room for one more', newcomer)
  await until('the end of the others', () => second.closed && third!.closed)
  expect(funded.closed).toBeUndefined()
  await funded.ack(order.id, GRAIN)
  await funded.received(3 * GRAIN)
})
