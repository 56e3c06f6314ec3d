import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Buyer, BuyOptions } from '../../src/buyer/index.ts'
import type { ItemSpec } from '../../src/seller/index.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { sampleData } from '../faults/support/data.ts'
import { finishedOrder, freshAccounts, openBuyer, openShop, type Shop } from '../faults/support/shop.ts'
import { startTcpProxy, type TcpProxy } from '../faults/support/tcpProxy.ts'
import { pause, until } from '../faults/support/until.ts'

const MAX = 100_000
const price = 1_000_000n
const data = sampleData(MAX)
const worth = (bytes: number): bigint => (price * BigInt(bytes)) / BigInt(MAX)

let devnet: Devnet
let account: ReturnType<typeof freshAccounts>
const closing: { close(): Promise<void> }[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 40 })
  account = freshAccounts(devnet)
})
afterEach(async () => {
  for (const one of closing.splice(0).reverse()) await one.close()
})
afterAll(() => devnet.stop())

/** How many sources were begun, and how many have ended. */
interface Source {
  begun: number
  ended: number
  pieces(): AsyncGenerator<Uint8Array>
}

/** A source that makes its pieces in a way of its own and counts how it is treated. */
function sourceOf(make: () => AsyncGenerator<Uint8Array> | Generator<Uint8Array>): Source {
  const source: Source = {
    begun: 0,
    ended: 0,
    async *pieces() {
      source.begun++
      try {
        yield* make()
      } finally {
        source.ended++
      }
    },
  }
  return source
}

/** Pieces of the sample data, of given lengths. */
function* cut(...lengths: number[]): Generator<Uint8Array> {
  let at = 0
  for (const length of lengths) yield data.slice(at, (at += length))
}

async function open(source: Source, options: Parameters<typeof openShop>[3] = {}): Promise<{ shop: Shop; buyer: Buyer; buy(options?: Partial<BuyOptions>): ReturnType<Buyer['buy']> }> {
  const item: ItemSpec = { id: 'ticker', live: () => source.pieces(), maxBytes: MAX, price, granularity: 1000 }
  const shop = await openShop(devnet, account(), [item], { window: 8, ...options })
  const buyer = await openBuyer(devnet, account())
  closing.push(shop, buyer)
  return { shop, buyer, buy: (more = {}) => buyer.buy({ seller: shop.url, item: 'ticker', ...more }) }
}

describe('live data', () => {
  it('that ends early costs what came, and the rest of the deposit comes back', async () => {
    const source = sourceOf(() => cut(1, 999, 1000, 2500, 7))
    const { buyer, buy } = await open(source)
    const held = (): Promise<bigint> => devnet.provider.getBalance(buyer.address)
    const purchase = buy()
    const bytes = await purchase.bytes()
    expect(Buffer.from(bytes)).toEqual(Buffer.from(data.subarray(0, 4507)))
    const receipt = await purchase.receipt
    // Pieces over the granularity are cut, none is joined to another.
    expect(receipt).toMatchObject({ bytes: 4507, chunks: 7, paid: worth(4507), price })
    const before = await held()
    expect(await finishedOrder(devnet, receipt.orderId)).toEqual({ state: 'settled', deposit: price, paid: worth(4507), transferred: 4507 })
    expect((await held()) - before).toBe(price - worth(4507))
    expect(source).toMatchObject({ begun: 1, ended: 1 })
  })

  it('ends at the most that was ordered, and lets go of its source', async () => {
    const endless = sourceOf(async function* () {
      for (let at = 0; ; at = (at + 700) % 70_000) yield data.slice(at, at + 700)
    })
    const { buy } = await open(endless)
    const purchase = buy({ bytes: [0, 10_000] })
    const bytes = await purchase.bytes()
    expect(Buffer.from(bytes)).toEqual(Buffer.from(data.subarray(0, 10_000)))
    expect(await purchase.receipt).toMatchObject({ bytes: 10_000, paid: worth(10_000) })
    expect((await finishedOrder(devnet, await purchase.orderId)).paid).toBe(worth(10_000))
    await until('the end of the source', () => endless.ended === 1)
  })

  it('takes its whole length if it has it', async () => {
    const { buy } = await open(sourceOf(() => cut(...Array.from({ length: 20 }, () => 5000))))
    expect(Buffer.compare(await buy().bytes(), data)).toBe(0)
  })

  it('that ends before it begins costs nothing', async () => {
    const { buy } = await open(sourceOf(() => cut()))
    const purchase = buy()
    expect(await purchase.bytes()).toHaveLength(0)
    expect(await purchase.receipt).toMatchObject({ bytes: 0, chunks: 0, paid: 0n })
  })

  it('may be silent for longer than a payment may be late', async () => {
    const { buy } = await open(
      sourceOf(async function* () {
        yield data.slice(0, 10)
        await pause(700)
        yield data.slice(10, 20)
        await pause(700)
      }),
      { ackTimeout: 200 },
    )
    expect(await buy().bytes()).toEqual(data.slice(0, 20))
  })

  it.each(['json', 'binary'] as const)('comes as %s, signed chunk by chunk', async (form) => {
    const { buy } = await open(sourceOf(() => cut(500, 500, 1500)))
    expect(Buffer.from(await buy({ form, claims: true }).bytes())).toEqual(Buffer.from(data.subarray(0, 2500)))
  })

  it('is paid on the chain piece by piece in the onchain mode', async () => {
    const { buy } = await open(sourceOf(() => cut(800, 800, 800)))
    const purchase = buy({ mode: 'onchain' })
    expect(await purchase.bytes()).toHaveLength(2400)
    expect(await finishedOrder(devnet, await purchase.orderId)).toMatchObject({ paid: worth(2400), transferred: 2400 })
  })

  it('that breaks off costs what came', async () => {
    const source = sourceOf(async function* () {
      yield* cut(600, 600)
      await pause(50)
      throw new Error('the sensor is gone')
    })
    const { buy } = await open(source)
    const purchase = buy()
    let got = 0
    const run = async (): Promise<void> => {
      for await (const chunk of purchase) got += chunk.length
    }
    await expect(run()).rejects.toMatchObject({ code: 'PEER_REFUSED', details: { code: 'SOURCE_FAILED' } })
    expect(got).toBe(1200)
    expect((await finishedOrder(devnet, await purchase.orderId)).paid).toBe(worth(1200))
  })

  it('goes on after the link was cut, and nothing is lost or comes twice', async () => {
    const source = sourceOf(async function* () {
      for (const piece of cut(...Array.from({ length: 100 }, () => 400))) {
        await pause(3)
        yield piece
      }
    })
    const { shop, buyer } = await open(source)
    const proxy: TcpProxy = await startTcpProxy(shop.url)
    closing.push(proxy)
    const purchase = buyer.buy({ seller: proxy.url, item: 'ticker' })
    const parts: Uint8Array[] = []
    for await (const chunk of purchase) {
      parts.push(chunk)
      if (parts.length === 20 || parts.length === 55) proxy.cut()
    }
    expect(Buffer.compare(Buffer.concat(parts), data.subarray(0, 40_000))).toBe(0)
    expect((await purchase.receipt).reconnects).toBeGreaterThanOrEqual(2)
    expect(source.begun).toBe(1)
    expect((await finishedOrder(devnet, await purchase.orderId)).paid).toBe(worth(40_000))
  })

  it('that is left by its buyer lets go of its source', async () => {
    const source = sourceOf(async function* () {
      for (;;) {
        await pause(2)
        yield data.slice(0, 100)
      }
    })
    const { buy } = await open(source)
    const purchase = buy()
    let chunks = 0
    for await (const _ of purchase) if (++chunks === 5) break
    const { paid, bytes } = await purchase.receipt
    expect(bytes).toBe(500)
    expect((await finishedOrder(devnet, await purchase.orderId)).paid).toBe(paid)
    await until('the end of the source', () => source.ended === 1, 3000)
  })

  it('is made once for each order', async () => {
    const source = sourceOf(() => cut(300, 300))
    const { buy } = await open(source)
    await Promise.all([buy().bytes(), buy().bytes(), buy().bytes()])
    expect(source).toMatchObject({ begun: 3, ended: 3 })
  })
})
