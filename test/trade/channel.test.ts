/**
 * Data paid over payment channels: real nodes, real sockets, a real chain.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Buyer, BuyerOptions } from '../../src/buyer/index.ts'
import { dataTradeDigests, dataTradeDomain } from '../../src/contracts/typedData.ts'
import type { Hex } from '../../src/core/bytes.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { channelPayer, channelPayments, type Payer } from '../../src/payments/index.ts'
import { ETH } from '../../src/protocol/menu.ts'
import { payFor } from '../../src/protocol/order.ts'
import type { SellerEvents, SellerOptions } from '../../src/seller/index.ts'
import { accountOf, eventually, startTown, type Resident, type Town } from '../channel/support/town.ts'
import { sampleData } from '../faults/support/data.ts'
import { connectRawBuyer } from '../faults/support/rawBuyer.ts'
import { openBuyer, openShop, type Shop } from '../faults/support/shop.ts'
import { startTcpProxy } from '../faults/support/tcpProxy.ts'

const GRANULE = 1000
/** Doesn't divide by anything: all rounding shows. */
const PRICE = 1_000_003n
const WINDOW = 4
const data = sampleData(30 * GRANULE + 1)

let town: Town
let alice: Resident
let bob: Resident
let carol: Resident
let dave: Resident
let erin: Resident
const closing: { close(): Promise<void> }[] = []

beforeAll(async () => {
  town = await startTown()
  alice = await town.resident('alice')
  bob = await town.resident('bob')
  carol = await town.resident('carol', fees)
  dave = await town.resident('dave')
  erin = await town.resident('erin')
  await town.channel(alice, bob, 10n ** 9n)
  await town.channel(erin, carol, 10n ** 9n)
  await town.channel(carol, dave, 10n ** 9n)
})
afterEach(async () => {
  for (const one of closing.splice(0).reverse()) await one.close()
})
afterAll(() => town.stop())

const fees = { fees: { flat: 1n, proportional: 10_000, imbalance: [] } }
const networks = (): Record<string, string> => ({ [ETH]: town.tokenNetwork })

/** Everything a node could send now. */
const funds = ({ node }: Resident): bigint => node.channels().reduce((sum, { capacity }) => sum + capacity, 0n)
/** No lock is left anywhere. */
const settled = (...residents: readonly Resident[]): Promise<boolean> =>
  eventually('unlocks', () => residents.every(({ node }) => node.channels().every(({ locked, partnerLocked }) => locked + partnerLocked === 0n)))

/** What {@link path} pays. */
const PROBE = 100n
/** Waits until one can pay the other over a mediator, by paying it. */
async function path(from: Resident, to: Resident): Promise<void> {
  const pay = (): Promise<boolean> =>
    from.node.pay({ to: to.wallet.address, amount: PROBE }).then(
      () => true,
      () => false,
    )
  await eventually('a path', pay)
  await settled(from, carol, to)
}

interface ChannelShop extends Shop {
  readonly entries: Map<string, Uint8Array>
  readonly ended: SellerEvents['ended'][]
}

async function openChannelShop(
  owner: Resident,
  options: Partial<SellerOptions> & { readonly entries?: Map<string, Uint8Array>; readonly port?: number } = {},
): Promise<ChannelShop> {
  const { entries = new Map<string, Uint8Array>(), ...rest } = options
  const { devnet } = town
  const store = memoryStore(entries)
  const digests = dataTradeDigests(dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade))
  const method = channelPayments({ channel: owner.node, tokenNetworks: networks(), digests, store, arrivalTimeout: 1000 })
  const shop = await openShop(devnet, owner.wallet, [{ id: 'x', data, price: PRICE, granularity: GRANULE }], {
    window: WINDOW,
    store,
    payments: [method],
    ...rest,
  })
  const ended: SellerEvents['ended'][] = []
  shop.seller.events.on('ended', (how) => void ended.push(how))
  const close = async (): Promise<void> => {
    await shop.close()
    await store.close()
  }
  closing.push({ close })
  return { ...shop, entries, ended, close }
}

const payerOf = (owner: Resident, options: { attempts?: number; timeout?: number } = {}): Payer =>
  channelPayer({ channel: owner.node, tokenNetworks: networks(), ...options })

async function channelBuyer(owner: Resident, payer: Payer = payerOf(owner), options: Partial<BuyerOptions> = {}): Promise<Buyer> {
  const buyer = await openBuyer(town.devnet, owner.wallet, { payers: [payer], ...options })
  closing.push(buyer)
  return buyer
}

/** Buys until it ends, or fails: what came. */
async function take(purchase: AsyncIterable<Uint8Array>): Promise<{ bytes: Uint8Array; error: { code: string } | undefined }> {
  const parts: Uint8Array[] = []
  try {
    for await (const chunk of purchase) parts.push(chunk)
    return { bytes: Buffer.concat(parts), error: undefined }
  } catch (error) {
    return { bytes: Buffer.concat(parts), error: error as { code: string } }
  }
}

describe('a purchase paid over a channel', () => {
  it('brings all of the data for exactly its price, and touches no chain', async () => {
    const shop = await openChannelShop(bob)
    const buyer = await channelBuyer(alice)
    expect((await buyer.menu(shop.url)).payments).toEqual(['token', 'channel'])
    const [ours, theirs] = [funds(alice), funds(bob)]
    const transactions = (): Promise<number[]> =>
      Promise.all([alice, bob].map(({ wallet }) => town.devnet.provider.getTransactionCount(wallet.address)))
    const sent = await transactions()
    const purchase = buyer.buy({ seller: shop.url, item: 'x', payment: 'channel' })
    expect(Buffer.compare(await purchase.bytes(), data)).toBe(0)
    expect(await purchase.receipt).toMatchObject({ paid: PRICE, price: PRICE })
    expect([funds(alice) - ours, funds(bob) - theirs]).toEqual([-PRICE, PRICE])
    expect(await transactions()).toEqual(sent)
    expect(shop.ended).toMatchObject([{ reason: 'complete', paid: data.length }])
  })

  it('costs what was taken, by whole chunks, when it is left', async () => {
    const shop = await openChannelShop(bob)
    const buyer = await channelBuyer(alice)
    const before = funds(bob)
    const purchase = buyer.buy({ seller: shop.url, item: 'x', payment: 'channel' })
    let chunks = 0
    for await (const _ of purchase) if (++chunks === 11) break
    const { paid, bytes } = await purchase.receipt
    expect(bytes).toBe(11 * GRANULE)
    expect(paid).toBe(payFor({ price: PRICE, totalData: data.length }, bytes))
    expect(funds(bob) - before).toBe(paid)
  })

  it('costs a part of the price for a part of the item', async () => {
    const shop = await openChannelShop(bob)
    const buyer = await channelBuyer(alice)
    const before = funds(bob)
    const purchase = buyer.buy({ seller: shop.url, item: 'x', payment: 'channel', chunks: { first: 30, count: 1 } })
    expect(await purchase.bytes()).toHaveLength(1)
    const { price } = await purchase.receipt
    expect(price).toBe(34n) // 1,000,003 for 30,001 bytes: 33.3 for one
    expect(funds(bob) - before).toBe(price)
  })

  it('goes over a mediator, which keeps its fees', async () => {
    await path(erin, dave)
    const shop = await openChannelShop(dave)
    const buyer = await channelBuyer(erin)
    const before = [erin, carol, dave].map(funds) as [bigint, bigint, bigint]
    const purchase = buyer.buy({ seller: shop.url, item: 'x', payment: 'channel' })
    expect(Buffer.compare(await purchase.bytes(), data)).toBe(0)
    const { orderId } = await purchase.receipt
    await settled(erin, carol, dave)
    const [ours, mediators, theirs] = [erin, carol, dave].map((one, i) => funds(one) - before[i]!) as [bigint, bigint, bigint]
    expect(theirs).toBe(PRICE)
    let owed = 0n
    let fee = 0n
    for await (const payment of erin.node.payments('out', orderId.slice(0, 58))) {
      owed += payment.amount
      fee += payment.fee
    }
    expect(owed).toBe(PRICE)
    expect(fee).toBeGreaterThan(PRICE / 100n)
    expect([ours, mediators]).toEqual([-PRICE - fee, fee])
  })

  it('goes on after its own link was cut', async () => {
    const shop = await openChannelShop(bob)
    const proxy = await startTcpProxy(shop.url)
    closing.push(proxy)
    const buyer = await channelBuyer(alice)
    const before = funds(bob)
    const purchase = buyer.buy({ seller: proxy.url, item: 'x', payment: 'channel' })
    const parts: Uint8Array[] = []
    for await (const chunk of purchase) {
      parts.push(chunk)
      if (parts.length === 9) proxy.cut()
    }
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
    expect((await purchase.receipt).reconnects).toBe(1)
    expect(funds(bob) - before).toBe(PRICE)
  })

  it('knows no deposit', async () => {
    const shop = await openChannelShop(bob)
    const buyer = await channelBuyer(alice)
    const purchase = buyer.buy({ seller: shop.url, item: 'x', payment: 'channel' })
    await purchase.bytes()
    const id = await purchase.orderId
    for (const call of [() => buyer.reclaim(id), () => buyer.topUp(id, 1n), () => buyer.dispute(id)]) {
      await expect(call()).rejects.toMatchObject({ code: 'PAYMENT_UNSUPPORTED', details: { payment: 'channel' } })
    }
  })
})

describe('a buyer that cheats', () => {
  /** What a payer does instead of an honest one; `count` from 1. */
  type Trick = (
    honest: () => Promise<{ verification: string }>,
    count: number,
    order: { id: Hex; due: bigint },
  ) => Promise<{ verification: string }>
  const trickster = (trick: Trick): Payer => {
    const honest = payerOf(alice)
    let count = 0
    return {
      kind: 'channel',
      open: (payable, options) => honest.open(payable, options),
      pay: (payable, transferred, options) => {
        const order = { id: payable.id, due: payFor(payable.order, transferred) }
        return trick(() => honest.pay(payable, transferred, options), ++count, order)
      },
    }
  }
  const run = async (trick: Trick, options: Partial<SellerOptions> = {}) => {
    const shop = await openChannelShop(bob, options)
    const buyer = await channelBuyer(alice, trickster(trick))
    const before = funds(bob)
    const { bytes, error } = await take(buyer.buy({ seller: shop.url, item: 'x', payment: 'channel' }))
    return { shop, error, got: bytes.length, gained: funds(bob) - before }
  }
  const priceOfBytes = (bytes: number): bigint => payFor({ price: PRICE, totalData: data.length }, bytes)

  it('gets a window at most for what it has not paid', async () => {
    for (const stopAt of [1, 3, 8]) {
      const stopping: Trick = (honest, count) => (count < stopAt ? honest() : new Promise(() => {}))
      const { got, gained, error } = await run(stopping, { ackTimeout: 300 })
      expect(error).toMatchObject({ code: 'PEER_REFUSED', details: { code: 'PAYMENT_LATE' } })
      expect(gained > 0n).toBe(stopAt > 1)
      // The window is one chunk at first, and one more with each paid one.
      const paid = Number((gained * BigInt(data.length) + PRICE - 1n) / PRICE)
      expect(got - paid).toBeLessThanOrEqual(GRANULE * Math.min(WINDOW, 1 + Math.floor(paid / GRANULE)))
      expect(got).toBeGreaterThan(paid)
    }
  })

  it('is told so when it names a payment that it has not made', async () => {
    const { got, gained, error } = await run((_, count, { id }) =>
      Promise.resolve({ verification: `${id.slice(0, 58)}0000000${count}` }),
    )
    expect(error).toMatchObject({ code: 'PEER_REFUSED', details: { code: 'PAYMENT_INVALID' } })
    expect([got, gained]).toEqual([GRANULE, 0n])
  })

  it('is told so when it names a payment for another order', async () => {
    const first = await openChannelShop(bob)
    const honest = await channelBuyer(alice)
    const purchase = honest.buy({ seller: first.url, item: 'x', payment: 'channel' })
    await purchase.bytes()
    const paidId = `${(await purchase.orderId).slice(0, 58)}00000000`
    const { got, gained, error } = await run(() => Promise.resolve({ verification: paidId }))
    expect(error).toMatchObject({ code: 'PEER_REFUSED', details: { code: 'PAYMENT_INVALID' } })
    expect([got, gained]).toEqual([GRANULE, 0n])
  })

  it('gets nothing more for a payment that is one unit short', async () => {
    const { got, gained, error } = await run(async (_, count, { id, due }) => {
      const payment = await alice.node.pay({ to: bob.wallet.address, amount: due - 1n, id: `${id.slice(0, 58)}0000000${count}` })
      return { verification: payment.id }
    })
    expect(error).toMatchObject({ code: 'PEER_REFUSED', details: { code: 'PAYMENT_INVALID' } })
    expect([got, gained]).toEqual([GRANULE, priceOfBytes(GRANULE) - 1n])
  })

  it('gets nothing more by naming one payment twice', async () => {
    let first: { verification: string } | undefined
    const { got, gained, error } = await run(async (honest) => (first ??= await honest()))
    expect(error).toMatchObject({ code: 'PEER_REFUSED', details: { code: 'PAYMENT_INVALID' } })
    expect(gained).toBe(priceOfBytes(GRANULE))
    expect(got).toBe(3 * GRANULE) // the first, and the window of two after it
  })

  it('gets nothing for an order in a token that the item is not sold for', async () => {
    const shop = await openChannelShop(bob)
    const raw = await connectRawBuyer(town.devnet, alice.wallet, shop.url)
    const order = await raw.create('x', { onChain: false, terms: { token: `0x${'77'.repeat(20)}` } })
    await raw.order({ ...order, wire: { ...order.wire, payment: 'channel' } })
    expect(await raw.refused(order.id)).toBe('ORDER_MISMATCH')
    await raw.vanish()
  })
})

describe('an order that outlives its processes', () => {
  it('goes on when the seller and its node were started again', async () => {
    const shop = await openChannelShop(bob)
    const { port } = new URL(shop.url)
    const buyer = await channelBuyer(alice, payerOf(alice), { reconnects: 20 })
    const before = funds(bob)
    const purchase = buyer.buy({ seller: shop.url, item: 'x', payment: 'channel' })
    const parts: Uint8Array[] = []
    for await (const chunk of purchase) {
      parts.push(chunk)
      if (parts.length === 10) {
        await shop.close()
        await bob.node.stop()
        bob = await town.resident('bob')
        await eventually('the link', () => bob.node.channels().every(({ online }) => online))
        await openChannelShop(bob, { entries: shop.entries, port: Number(port) })
      }
    }
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
    expect(await purchase.receipt).toMatchObject({ paid: PRICE, reconnects: 1 })
    expect(funds(bob) - before).toBe(PRICE)
  })

  it('goes on when the buyer and its node died between payment and acknowledgement', async () => {
    const shop = await openChannelShop(bob)
    const entries = new Map<string, Uint8Array>()
    const store = memoryStore(entries)
    const honest = payerOf(alice)
    let count = 0
    let died = (): void => {}
    const death = new Promise<void>((resolve) => (died = resolve))
    const buyer = await openBuyer(town.devnet, alice.wallet, {
      store,
      payers: [
        {
          ...honest,
          pay: async (...args) => {
            const paid = await honest.pay(...args)
            if (++count < 4) return paid
            died()
            return new Promise(() => {})
          },
        },
      ],
    })
    const before = [funds(alice), funds(bob)] as const
    const purchase = buyer.buy({ seller: shop.url, item: 'x', payment: 'channel' })
    const running = take(purchase)
    const orderId = await Promise.all([purchase.orderId, death]).then(([id]) => id)
    const left = new Map(entries)
    await alice.node.stop()
    alice = await town.resident('alice')
    await eventually('the link', () => alice.node.channels().every(({ online }) => online))

    const again = await channelBuyer(alice, payerOf(alice), { store: memoryStore(left) })
    const resumed = again.resume(orderId)
    const { bytes, error } = await take(resumed)
    expect(error).toBeUndefined()
    const offset = await resumed.offset
    expect(Buffer.compare(bytes, data.subarray(offset))).toBe(0)
    expect([funds(alice) - before[0], funds(bob) - before[1]]).toEqual([-PRICE, PRICE])
    await buyer.close()
    await store.close()
    void running
  })

  it('goes on when a mediator was started again with a payment on its way', async () => {
    await path(erin, dave)
    const shop = await openChannelShop(dave, { ackTimeout: 10_000 })
    const buyer = await channelBuyer(erin)
    const before = funds(dave)
    const purchase = buyer.buy({ seller: shop.url, item: 'x', payment: 'channel' })
    const parts: Uint8Array[] = []
    let mediator: Promise<unknown> | undefined
    for await (const chunk of purchase) {
      parts.push(chunk)
      if (parts.length === 8) mediator = carol.node.stop().then(async () => (carol = await town.resident('carol', fees)))
    }
    await mediator
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
    await settled(erin, carol, dave)
    expect(funds(dave) - before).toBe(PRICE)
  })

  it('can be resumed after no payment could be sent, without paying anything twice', async () => {
    await path(erin, dave)
    const shop = await openChannelShop(dave, { ackTimeout: 5000 })
    const entries = new Map<string, Uint8Array>()
    let store = memoryStore(entries)
    const buyer = await openBuyer(town.devnet, erin.wallet, { store, payers: [payerOf(erin, { attempts: 2, timeout: 1000 })] })
    const before = [erin, dave].map(funds) as [bigint, bigint]
    const purchase = buyer.buy({ seller: shop.url, item: 'x', payment: 'channel' })
    const parts: Uint8Array[] = []
    let stopped: Promise<void> | undefined
    const buying = async (): Promise<void> => {
      for await (const chunk of purchase) {
        parts.push(chunk)
        if (parts.length === 8) stopped = carol.node.stop() // while payments are on their way
      }
    }
    const failure = await buying().catch((error: { code: string }) => error)
    expect(failure?.code).toMatch(/^(NO_ROUTE|PARTNER_OFFLINE|PAYMENT_FAILED|TIMEOUT|CAPACITY_SHORT)$/)
    const orderId = await purchase.orderId
    await buyer.close()
    await store.close()
    await stopped

    carol = await town.resident('carol', fees)
    await eventually('the links', () => carol.node.channels().every(({ online }) => online))
    store = memoryStore(entries)
    const again = await channelBuyer(erin, payerOf(erin), { store })
    const resumed = again.resume(orderId, { partial: Buffer.concat(parts) })
    parts.length = 0
    const { bytes, error } = await take(resumed)
    expect(error).toBeUndefined()
    expect(Buffer.compare(bytes, data.subarray(await resumed.offset))).toBe(0)
    await settled(erin, carol, dave)
    expect(funds(dave) - before[1]).toBe(PRICE)
    let owed = 0n
    for await (const { amount, state } of erin.node.payments('out', orderId.slice(0, 58))) if (state === 'done') owed += amount
    expect(owed).toBe(PRICE)
  })
})

describe('a seller', () => {
  it('is paid to its own account', async () => {
    const { devnet } = town
    const digests = dataTradeDigests(dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade))
    const method = channelPayments({ channel: alice.node, tokenNetworks: networks(), digests, store: memoryStore() })
    await expect(openShop(devnet, bob.wallet, [], { payments: [method] })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      details: { name: 'payments' },
      message: expect.stringContaining(accountOf(alice)) as string,
    })
  })

  it('delivers nothing for a token that it has no channels in, and the buyer is left with nothing open', async () => {
    const shop = await openChannelShop(bob)
    const buyer = await channelBuyer(alice, channelPayer({ channel: alice.node, tokenNetworks: {} }))
    const { error } = await take(buyer.buy({ seller: shop.url, item: 'x', payment: 'channel' }))
    expect(error).toMatchObject({ code: 'PAYMENT_UNSUPPORTED' })
    for await (const order of buyer.orders()) expect(order).toBeUndefined()
  })
})
