import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Buyer } from '../../src/buyer/index.ts'
import { dataTradeDigests, dataTradeDomain } from '../../src/contracts/typedData.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { alipayPayer, alipayPayments } from '../../src/payments/index.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { startFakeAlipay, type FakeAlipay } from '../../src/testing/fakeAlipay.ts'
import { sampleData } from '../faults/support/data.ts'
import { freshAccounts, openBuyer, openShop, type Shop } from '../faults/support/shop.ts'
import { startTcpProxy } from '../faults/support/tcpProxy.ts'
import { alipayGateway } from '../fixtures/trade/alipayGateway.ts'

const GRANULE = 1000
const data = sampleData(20 * GRANULE + 1)

let devnet: Devnet
let alipay: FakeAlipay
let account: ReturnType<typeof freshAccounts>
const closing: { close(): Promise<void> }[] = []

beforeAll(async () => {
  ;[devnet, alipay] = await Promise.all([startDevnet({ accounts: 30 }), startFakeAlipay()])
  account = freshAccounts(devnet)
})
afterEach(async () => {
  alipay.fault()
  for (const one of closing.splice(0).reverse()) await one.close()
})
afterAll(async () => {
  await devnet.stop()
  await alipay.stop()
})

async function openAlipayShop(): Promise<Shop> {
  const store = memoryStore()
  const digests = dataTradeDigests(dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade))
  const shop = await openShop(
    devnet,
    account(),
    [
      { id: 'x', data, price: 10n ** 18n, alipayPrice: 650n, granularity: GRANULE },
      { id: 'for tokens', data, price: 1n },
    ],
    { window: 2, store, payments: [alipayPayments({ gateway: alipayGateway(alipay), digests, store })] },
  )
  closing.push(shop)
  return shop
}

/** A buyer that pays a share of each bill. */
async function alipayBuyer(percent = 100n): Promise<Buyer> {
  const payer = alipayPayer({ pay: ({ outTradeNo, fen }) => Promise.resolve(alipay.pay(outTradeNo, (fen * percent) / 100n)) })
  const buyer = await openBuyer(devnet, account(), { payers: [payer] })
  closing.push(buyer)
  return buyer
}

describe('a purchase paid with Alipay', () => {
  it('brings all of the data, and touches no chain', async () => {
    const shop = await openAlipayShop()
    const buyer = await alipayBuyer()
    expect((await buyer.menu(shop.url)).payments).toEqual(['token', 'alipay'])
    const purchase = buyer.buy({ seller: shop.url, item: 'x', payment: 'alipay' })
    expect(Buffer.compare(await purchase.bytes(), data)).toBe(0)
    expect(await purchase.receipt).toMatchObject({ paid: 650n, price: 650n })
    expect(await devnet.provider.getTransactionCount(buyer.address)).toBe(0)
    expect(await devnet.provider.getTransactionCount(shop.account.address)).toBe(0)
  })

  it('costs a part of the price for a part of the item, rounded up to a fen', async () => {
    const shop = await openAlipayShop()
    const buyer = await alipayBuyer()
    const purchase = buyer.buy({ seller: shop.url, item: 'x', payment: 'alipay', chunks: { first: 20, count: 1 } })
    expect(await purchase.bytes()).toHaveLength(1)
    expect((await purchase.receipt).price).toBe(1n)
  })

  it('brings no more than Alipay says is paid', async () => {
    const shop = await openAlipayShop()
    shop.seller.events.on('ended', ({ sent }) => void sentBytes.push(sent))
    const sentBytes: number[] = []
    const buyer = await alipayBuyer(50n)
    const purchase = buyer.buy({ seller: shop.url, item: 'x', payment: 'alipay' })
    let got = 0
    const run = async (): Promise<void> => {
      for await (const chunk of purchase) got += chunk.length
    }
    await expect(run()).rejects.toMatchObject({ code: 'PEER_REFUSED', details: { code: 'DEPOSIT_SHORT' } })
    // 325 fen of 650 cover half of the bytes, which are ten whole chunks.
    expect(got).toBe(10 * GRANULE)
    expect(sentBytes).toEqual([10 * GRANULE])
  })

  it('brings nothing when Alipay can not be believed', async () => {
    const shop = await openAlipayShop()
    const buyer = await alipayBuyer()
    alipay.fault('forged')
    await expect(buyer.buy({ seller: shop.url, item: 'x', payment: 'alipay' }).bytes()).rejects.toMatchObject({
      code: 'PEER_REFUSED',
      details: { code: 'BAD_SIGNATURE' },
    })
  })

  it('brings nothing for a trade that was made up', async () => {
    const shop = await openAlipayShop()
    const buyer = await openBuyer(devnet, account(), { payers: [alipayPayer({ pay: () => Promise.resolve('2026010122001999999999999999') })] })
    closing.push(buyer)
    await expect(buyer.buy({ seller: shop.url, item: 'x', payment: 'alipay' }).bytes()).rejects.toMatchObject({
      code: 'PEER_REFUSED',
      details: { code: 'NO_SUCH_ORDER' },
    })
  })

  it('goes on after the link was cut, far behind the first window', async () => {
    const shop = await openAlipayShop()
    const proxy = await startTcpProxy(shop.url)
    closing.push(proxy)
    const buyer = await alipayBuyer()
    const purchase = buyer.buy({ seller: proxy.url, item: 'x', payment: 'alipay' })
    const parts: Uint8Array[] = []
    for await (const chunk of purchase) {
      parts.push(chunk)
      if (parts.length === 9) proxy.cut()
    }
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
    expect((await purchase.receipt).reconnects).toBe(1)
  })

  it('fails without a payer, without a price and without a method, before anything is paid', async () => {
    const shop = await openAlipayShop()
    const buyer = await alipayBuyer()
    const paid = alipay.requests.length
    await expect(buyer.buy({ seller: shop.url, item: 'for tokens', payment: 'alipay' }).bytes()).rejects.toMatchObject({ code: 'PAYMENT_UNSUPPORTED' })
    const plain = await openShop(devnet, account(), [{ id: 'x', data, price: 1n, alipayPrice: 1n }])
    closing.push(plain)
    await expect(buyer.buy({ seller: plain.url, item: 'x', payment: 'alipay' }).bytes()).rejects.toMatchObject({ code: 'PAYMENT_UNSUPPORTED' })
    const poor = await openBuyer(devnet, account())
    closing.push(poor)
    await expect(poor.buy({ seller: shop.url, item: 'x', payment: 'alipay' }).bytes()).rejects.toMatchObject({ code: 'PAYMENT_UNSUPPORTED' })
    expect(alipay.requests).toHaveLength(paid)
  })
})
