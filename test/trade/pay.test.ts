import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Progress } from '../../src/buyer/index.ts'
import type { Hex } from '../../src/core/bytes.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { sampleData } from '../faults/support/data.ts'
import { finishedOrder, freshAccounts, ledgerOf, openBuyer, openShop, type Shop } from '../faults/support/shop.ts'

/** Nine chunks, the last of them short, for a price that doesn't divide by them. */
const GRANULE = 16 * 1024
const data = sampleData(8 * GRANULE + 1000)
const price = 1_000_000_007n

let devnet: Devnet
let token: Awaited<ReturnType<Devnet['deployToken']>>
let account: ReturnType<typeof freshAccounts>
let shop: Shop
const closing: { close(): Promise<void> }[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 40 })
  token = await devnet.deployToken()
  account = freshAccounts(devnet)
  const item = { data, price, granularity: GRANULE }
  shop = await openShop(devnet, account(), [
    { ...item, id: 'for ETH' },
    { ...item, id: 'for a token', token: await token.getAddress() },
    { ...item, id: 'for nothing', price: 0n },
  ], { window: 4 })
})
afterEach(async () => {
  for (const one of closing.splice(0)) await one.close()
})
afterAll(async () => {
  await shop.close()
  await devnet.stop()
})

/** A buyer on an account that nobody has used. */
async function newBuyer() {
  const wallet = account()
  const buyer = await openBuyer(devnet, wallet)
  closing.push(buyer)
  return { wallet, buyer }
}

describe.each(['for ETH', 'for a token'])('a purchase %s', (item) => {
  const balances = async (wallet: string): Promise<bigint> => (item === 'for ETH' ? devnet.provider.getBalance(wallet) : token.balanceOf(wallet))

  it.each([
    { mode: 'voucher', form: 'binary', claims: false },
    { mode: 'voucher', form: 'binary', claims: true },
    { mode: 'voucher', form: 'json', claims: false },
    { mode: 'onchain', form: 'binary', claims: false },
    { mode: 'onchain', form: 'json', claims: true },
  ] as const)('in mode $mode, data as $form, claims: $claims, ends with the data here and the money there', async ({ mode, form, claims }) => {
    const { wallet, buyer } = await newBuyer()
    if (item !== 'for ETH') await (await token.connect(wallet).mint(wallet.address, price)).wait()
    const setUp = await devnet.provider.getTransactionCount(wallet.address)
    const sellerBefore = await balances(shop.account.address)
    const purchase = buyer.buy({ seller: shop.url, item, mode, form, claims })
    const steps: Progress[] = []
    purchase.events.on('progress', (step) => void steps.push(step))
    expect(Buffer.compare(await purchase.bytes(), data)).toBe(0)

    const receipt = await purchase.receipt
    const id = await purchase.orderId
    expect(receipt).toMatchObject({ orderId: id, item, bytes: data.length, chunks: 9, paid: price, price, reconnects: 0 })
    expect(steps.map(({ bytes }) => bytes)).toEqual([...new Set(steps.map(({ bytes }) => bytes))].sort((a, b) => a - b))
    expect(steps.at(-1)).toMatchObject({ orderId: id, bytes: data.length, total: data.length, paid: price, price, remaining: 0 })

    expect(await finishedOrder(devnet, id)).toEqual({ state: 'settled', deposit: price, paid: price, transferred: data.length })
    if (item !== 'for ETH') {
      expect(await token.balanceOf(wallet.address)).toBe(0n)
      expect((await balances(shop.account.address)) - sellerBefore).toBe(price)
    }
    // One transaction opens an order, a token takes one more to be allowed, the seed's way one for each chunk.
    const sent = (await devnet.provider.getTransactionCount(wallet.address)) - setUp
    expect(sent).toBe(1 + (item === 'for ETH' ? 0 : 1) + (mode === 'onchain' ? 9 : 0))
    for await (const { record, state } of buyer.orders()) expect([record.id, state]).toEqual([id, 'done'])
  })
})

describe('a purchase', () => {
  it('that costs nothing needs no deposit and leaves nothing to settle', async () => {
    const { buyer } = await newBuyer()
    const purchase = buyer.buy({ seller: shop.url, item: 'for nothing' })
    expect(Buffer.compare(await purchase.bytes(), data)).toBe(0)
    expect(await purchase.receipt).toMatchObject({ paid: 0n, price: 0n })
  })

  it('that is left in the middle pays for what was handed over and brings the rest back', async () => {
    const { wallet, buyer } = await newBuyer()
    const purchase = buyer.buy({ seller: shop.url, item: 'for ETH' })
    let got = 0
    for await (const chunk of purchase) {
      got += chunk.length
      if (got >= 3 * GRANULE) break
    }
    const receipt = await purchase.receipt
    const due = (price * BigInt(3 * GRANULE)) / BigInt(data.length)
    expect(receipt).toMatchObject({ bytes: 3 * GRANULE, chunks: 3, paid: due })
    const held = await devnet.provider.getBalance(wallet.address)
    const ledger = await finishedOrder(devnet, receipt.orderId)
    expect(ledger).toEqual({ state: 'settled', deposit: price, paid: due, transferred: 3 * GRANULE })
    expect(await devnet.provider.getBalance(wallet.address)).toBe(held + price - due)
  })

  it('that is called off pays for what was handed over', async () => {
    const { buyer } = await newBuyer()
    const stop = new AbortController()
    const purchase = buyer.buy({ seller: shop.url, item: 'for ETH', signal: stop.signal })
    const run = async (): Promise<void> => {
      let chunks = 0
      for await (const _ of purchase) if (++chunks === 2) stop.abort()
    }
    await expect(run()).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(purchase.receipt).rejects.toMatchObject({ code: 'ABORTED' })
    const { paid } = await finishedOrder(devnet, await purchase.orderId)
    expect(paid).toBe((price * BigInt(2 * GRANULE)) / BigInt(data.length))
  })

  it('can be iterated only once', async () => {
    const { buyer } = await newBuyer()
    const purchase = buyer.buy({ seller: shop.url, item: 'for nothing' })
    await purchase.bytes()
    await expect(purchase.bytes()).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  })

  it('goes on beside others of the same buyer, over one connection', async () => {
    const { buyer } = await newBuyer()
    let connections = 0
    shop.seller.events.on('order', () => void connections++)
    const purchases = Array.from({ length: 12 }, (_, i) => buyer.buy({ seller: shop.url, item: 'for ETH', chunks: { first: i % 9, count: 9 - (i % 9) } }))
    const all = await Promise.all(purchases.map((purchase) => purchase.bytes()))
    all.forEach((bytes, i) => expect(Buffer.compare(bytes, data.subarray((i % 9) * GRANULE))).toBe(0))
    expect(connections).toBe(12)
    for (const purchase of purchases) expect((await finishedOrder(devnet, await purchase.orderId)).state).toBe('settled')
  })

  it.each([
    ['of an item that is not there', { item: 'for love' }, 'NO_SUCH_ITEM'],
    ['that costs more than it may', { item: 'for ETH', maxPrice: price - 1n }, 'PRICE_MISMATCH'],
    ['by a payment that is not taken', { item: 'for ETH', payment: 'channel' as const }, 'PAYMENT_UNSUPPORTED'],
    ['of bytes that are not there', { item: 'for ETH', bytes: [0, data.length + 1] as const }, 'RANGE_INVALID'],
    ['in a token that the buyer lacks', { item: 'for a token' }, 'INSUFFICIENT_FUNDS'],
    ['from nobody', { item: 'for ETH', seller: 'ws://127.0.0.1:9/' }, 'CONNECTION_FAILED'],
    ['from an account, without a registry', { item: 'for ETH', seller: `0x${'01'.repeat(20)}` }, 'BAD_ARGUMENT'],
  ])('%s fails before any money moves', async (_name, options, code) => {
    const { wallet, buyer } = await newBuyer()
    const purchase = buyer.buy({ seller: shop.url, ...options })
    await expect(purchase.bytes()).rejects.toMatchObject({ code })
    await expect(purchase.orderId).rejects.toMatchObject({ code })
    expect(await devnet.provider.getTransactionCount(wallet.address)).toBe(0)
  })

  it('of a menu that is over fails before any money moves', async () => {
    const stale = await openShop(devnet, account(), [{ id: 'x', data, price }], { validUntil: Math.floor(Date.now() / 1000) - 1 })
    closing.push(stale)
    const { wallet, buyer } = await newBuyer()
    await expect(buyer.buy({ seller: stale.url, item: 'x' }).bytes()).rejects.toMatchObject({ code: 'OFFER_EXPIRED' })
    expect(await devnet.provider.getTransactionCount(wallet.address)).toBe(0)
  })

  it('by an account that is too poor fails and says so', async () => {
    const { buyer } = await newBuyer()
    const dear = await openShop(devnet, account(), [{ id: 'x', data, price: 10n ** 24n }])
    closing.push(dear)
    await expect(buyer.buy({ seller: dear.url, item: 'x' }).bytes()).rejects.toMatchObject({ code: 'INSUFFICIENT_FUNDS' })
  })

  it('is settled by the seller in one batch with others', async () => {
    const slow = await openShop(devnet, account(), [{ id: 'x', data, price, granularity: GRANULE }], { settleDelay: 60_000 })
    closing.push(slow)
    const { buyer } = await newBuyer()
    const ids: Hex[] = []
    for (let i = 0; i < 3; i++) {
      const purchase = buyer.buy({ seller: slow.url, item: 'x', chunks: { first: i, count: 1 } })
      await purchase.bytes()
      ids.push(await purchase.orderId)
    }
    for (const id of ids) expect((await ledgerOf(devnet, id)).state).toBe('open')
    const before = await devnet.provider.getTransactionCount(slow.account.address)
    await expect.poll(async () => {
      await slow.seller.settle()
      return (await ledgerOf(devnet, ids[2]!)).state
    }).toBe('settled')
    for (const id of ids) expect((await ledgerOf(devnet, id)).state).toBe('settled')
    expect((await devnet.provider.getTransactionCount(slow.account.address)) - before).toBeLessThanOrEqual(2)
  })
})
