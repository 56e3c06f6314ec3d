/**
 * How orders end on chain when somebody is late, gone, or means harm, through the SDK.
 * @module
 */
import { JsonRpcProvider, Network, type HDNodeWallet } from 'ethers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { dataTradeInterface } from '../../src/contracts/dataTrade.ts'
import { createSender } from '../../src/core/chain/sender.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { overdueOrders, settleOverdue } from '../../src/payments/token/overdue.ts'
import { payFor } from '../../src/protocol/order.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { startRpcProxy } from '../../src/testing/rpcProxy.ts'
import { sampleData } from './support/data.ts'
import { deployHostile, type HostileContract } from './support/hostile.ts'
import { connectRawBuyer, type RawBuyer, type RawOrder } from './support/rawBuyer.ts'
import { finishedOrder, freshAccounts, ledgerOf, openBuyer, openShop, type Shop } from './support/shop.ts'
import { pause, until } from './support/until.ts'

const GRAIN = 1024
const CHUNKS = 16
const PRICE = 1_600_000n
const GRACE = 120
const data = sampleData(GRAIN * CHUNKS)
const items = [{ id: 'item', data, price: PRICE }]
const ETH = '0x0000000000000000000000000000000000000000'

let devnet: Devnet
let fresh: () => HDNodeWallet
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 90, grace: GRACE })
  fresh = freshAccounts(devnet)
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(() => devnet.stop())

async function shopOf(
  options: Parameters<typeof openShop>[3] = {},
  account = fresh(),
  goods: Parameters<typeof openShop>[2] = items,
): Promise<Shop> {
  const shop = await openShop(devnet, account, goods, {
    granularity: GRAIN,
    window: 4,
    ackTimeout: 3000,
    minLifetime: 0,
    ...options,
  })
  cleanups.push(shop.close)
  return shop
}

async function rawBuyer(url: string, account = fresh()): Promise<RawBuyer> {
  const buyer = await connectRawBuyer(devnet, account, url)
  cleanups.push(() => buyer.socket.terminate())
  return buyer
}

async function buyerOf(account = fresh(), options: Parameters<typeof openBuyer>[2] = {}): ReturnType<typeof openBuyer> {
  const buyer = await openBuyer(devnet, account, options)
  cleanups.push(buyer.close)
  return buyer
}

async function payChunks(buyer: RawBuyer, { id }: RawOrder, from: number, to: number): Promise<void> {
  for (let k = from; k <= to; k++) {
    await until(`chunk ${k}`, () => buyer.stream(0).end >= k * GRAIN)
    await buyer.ack(id, k * GRAIN)
  }
}

/** Seconds from the machine's time to `seconds` after the chain's. */
async function lifetime(seconds: number): Promise<number> {
  return (await devnet.time()) + seconds - Math.floor(Date.now() / 1000)
}

const requestClose = async (account: HDNodeWallet, { order }: RawOrder): Promise<void> => {
  await (await devnet.contracts.dataTrade.connect(account).requestClose(order)).wait()
}

describe('an order that ends while it is delivered', () => {
  test('the deadline passes: the stream ends, the seller has what was acknowledged', async () => {
    const { url } = await shopOf()
    const buyer = await rawBuyer(url)
    const order = await buyer.create('item', { terms: { deadline: (await devnet.time()) + 300 } })
    await buyer.order(order)
    await payChunks(buyer, order, 1, 6)
    await devnet.increaseTime(301)
    expect(await buyer.refused(order.id)).toBe('ORDER_FINISHED')
    expect(buyer.stream(0).bytes).toBeLessThanOrEqual(10 * GRAIN)
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ paid: payFor(order.order, 6 * GRAIN) })
  })

  test('the buyer asks to close: the seller redeems its voucher within the window', async () => {
    const { url } = await shopOf()
    const account = fresh()
    const buyer = await rawBuyer(url, account)
    const order = await buyer.create('item')
    await buyer.order(order)
    await payChunks(buyer, order, 1, 6)
    await requestClose(account, order)
    expect(await buyer.refused(order.id)).toBe('ORDER_FINISHED')
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ paid: payFor(order.order, 6 * GRAIN) })
  })

  test('no order is taken that its buyer has asked to close', async () => {
    const { url } = await shopOf()
    const account = fresh()
    const buyer = await rawBuyer(url, account)
    const order = await buyer.create('item')
    await requestClose(account, order)
    await buyer.order(order)
    expect(await buyer.refused(order.id)).toBe('ORDER_FINISHED')
    expect(buyer.stream(0).bytes).toBe(0)
  })

  test('a deposit that is too small is topped up on the way, and all is delivered', async () => {
    const { url } = await shopOf()
    const buyer = await buyerOf()
    const purchase = buyer.buy({ seller: url, item: 'item', deposit: PRICE / 4n })
    const parts: Uint8Array[] = []
    let toppedUp: Promise<void> | undefined
    const id = purchase.orderId
    for await (const part of purchase) {
      parts.push(part)
      if (parts.length === 4) toppedUp = pause(300).then(async () => buyer.topUp(await id, (PRICE * 3n) / 4n))
    }
    await toppedUp
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
    expect(await finishedOrder(devnet, await id)).toMatchObject({ deposit: PRICE, paid: PRICE })
  })
})

describe('a seller that is away', () => {
  /** An order of which six chunks are acknowledged when the seller goes down. */
  async function abandoned(): Promise<{
    order: RawOrder
    account: HDNodeWallet
    entries: Map<string, Uint8Array>
    sellerAccount: HDNodeWallet
  }> {
    const entries = new Map<string, Uint8Array>()
    const sellerAccount = fresh()
    const shop = await shopOf({ store: memoryStore(entries) }, sellerAccount)
    const account = fresh()
    const buyer = await rawBuyer(shop.url, account)
    const order = await buyer.create('item')
    await buyer.order(order)
    await payChunks(buyer, order, 1, 6)
    await until('the voucher to be kept', () => entries.has(`token/voucher/${order.id}`))
    await pause(50)
    const copy = new Map(entries)
    await shop.close()
    return { order, account, entries: copy, sellerAccount }
  }

  test('a close request that it missed is answered when it is back within the window', async () => {
    const { order, account, entries, sellerAccount } = await abandoned()
    await requestClose(account, order)
    await devnet.increaseTime(GRACE - 30)
    await shopOf({ store: memoryStore(entries) }, sellerAccount)
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ paid: payFor(order.order, 6 * GRAIN) })
  })

  test('away for the whole window, it loses all that a dishonest buyer has acknowledged', async () => {
    const { order, account, entries, sellerAccount } = await abandoned()
    await requestClose(account, order)
    await devnet.increaseTime(GRACE + 1)
    await (await devnet.contracts.dataTrade.connect(account).settle(order.order, 0, '0x')).wait()
    const sellerBefore = await devnet.provider.getBalance(sellerAccount.address)
    const shop = await shopOf({ store: memoryStore(entries) }, sellerAccount)
    await shop.seller.settle()
    expect(await ledgerOf(devnet, order.id)).toMatchObject({ state: 'settled', paid: 0n })
    // It sees that it is too late, spends nothing on it, and forgets the order.
    expect(await devnet.provider.getBalance(sellerAccount.address)).toBe(sellerBefore)
    await until('the order to be forgotten', () => !entries.has(`token/voucher/${order.id}`))
  })

  test('an honest buyer pays it all the same: reclaim shows the last acknowledgement', async () => {
    const shop = await shopOf()
    const buyer = await buyerOf(fresh(), { reconnects: 1 })
    const purchase = buyer.buy({ seller: shop.url, item: 'item' })
    let got = 0
    await expect(async () => {
      for await (const part of purchase) {
        got += part.length
        if (got === 8 * GRAIN) await shop.close()
      }
    }).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    const id = await purchase.orderId
    let over = false
    const reclaiming = buyer.reclaim(id).finally(() => (over = true))
    await until('the close request', async () => (await devnet.contracts.dataTrade.account(id)).closeAt > 0n)
    await devnet.increaseTime(GRACE - 3)
    await pause(300)
    expect(over).toBe(false)
    await devnet.increaseTime(4)
    const { paid, refunded } = await reclaiming
    expect(paid + refunded).toBe(PRICE)
    expect(paid).toBeGreaterThanOrEqual((PRICE * 4n) / 16n)
    expect(paid).toBe((await ledgerOf(devnet, id)).paid)
  }, 30_000)

  test('killed between hearing of a close request and answering it, it answers after the restart', async () => {
    const entries = new Map<string, Uint8Array>()
    const sellerAccount = fresh()
    const proxy = await startRpcProxy(devnet.url)
    const provider = new JsonRpcProvider(proxy.url, undefined, {
      cacheTimeout: -1,
      pollingInterval: 50,
      staticNetwork: Network.from(devnet.chainId),
    })
    cleanups.push(
      () => provider.destroy(),
      () => proxy.stop(),
    )
    const shop = await shopOf({ store: memoryStore(entries) }, sellerAccount.connect(provider))
    const account = fresh()
    const buyer = await rawBuyer(shop.url, account)
    const order = await buyer.create('item')
    await buyer.order(order)
    await payChunks(buyer, order, 1, 6)
    await until('the voucher to be kept', () => entries.has(`token/voucher/${order.id}`))
    await buyer.vanish()
    await pause(50)
    const tried: string[] = []
    proxy.rule((method) =>
      method === 'eth_estimateGas' ? (tried.push(method), { error: { code: -32000, message: 'busy' } }) : undefined,
    )
    await requestClose(account, order)
    await until('an attempt to settle', () => tried.length > 0)
    await pause(300) // the watcher has gone on
    const killed = new Map(entries)
    await shopOf({ store: memoryStore(killed) }, sellerAccount)
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ paid: payFor(order.order, 6 * GRAIN) })
    proxy.rule()
  })
})

describe('settling and reclaiming', () => {
  test('an order is settled once, whoever tries again', async () => {
    const shop = await shopOf()
    const buyer = await buyerOf()
    const purchase = buyer.buy({ seller: shop.url, item: 'item' })
    await purchase.bytes()
    const id = await purchase.orderId
    await finishedOrder(devnet, id)
    await shop.seller.settle()
    const { record } = (await buyer.orders()[Symbol.asyncIterator]().next()).value as { record: { order: RawOrder['order'] } }
    const contractBefore = await devnet.provider.getBalance(devnet.deployment.dataTrade)
    const [stranger, sellerBefore] = [fresh(), await devnet.provider.getBalance(shop.account.address)]
    await shop.seller.settle()
    await expect(devnet.contracts.dataTrade.connect(stranger).settle(record.order, 0, '0x')).rejects.toThrow()
    await expect(devnet.contracts.dataTrade.connect(shop.account).settle.staticCall(record.order, 0, '0x')).rejects.toThrow()
    expect(await buyer.reclaim(id)).toEqual({ state: 'settled', paid: PRICE, refunded: 0n })
    expect(await devnet.provider.getBalance(devnet.deployment.dataTrade)).toBe(contractBefore)
    expect(await devnet.provider.getBalance(shop.account.address)).toBe(sellerBefore)
  })

  test('a buyer cannot have its deposit back before the grace is over', async () => {
    const { url } = await shopOf({ ackTimeout: 60_000 })
    const account = fresh()
    const raw = await rawBuyer(url, account)
    const order = await raw.create('item', { mode: 'onchain', terms: { deadline: (await devnet.time()) + 600 } })
    const contract = devnet.contracts.dataTrade.connect(account)
    const settle = () => contract.settle.staticCall(order.order, 0, '0x')
    await expect(settle()).rejects.toThrow(/SettleTooEarly|custom error/)
    await requestClose(account, order)
    await devnet.increaseTime(GRACE - 10)
    await expect(settle()).rejects.toThrow(/SettleTooEarly|custom error/)
    await devnet.increaseTime(11)
    await settle()
  })

  test("a reclaim that meets the seller's own settling is over at once", async () => {
    const shop = await shopOf({ settleDelay: 60_000 })
    const buyer = await buyerOf()
    const purchase = buyer.buy({ seller: shop.url, item: 'item' })
    for await (const _part of purchase) break
    const id = await purchase.orderId
    await pause(50)
    // The seller's transaction waits, and the node already answers the buyer as if it were mined.
    await devnet.setAutomine(false)
    cleanups.push(() => devnet.setAutomine(true))
    const waiting = async (address: string) => Number(await devnet.provider.send('eth_getTransactionCount', [address, 'pending']))
    const settling = shop.seller.settle()
    await until("the seller's transaction", async () => (await waiting(shop.account.address)) === 1)
    const began = performance.now()
    const reclaiming = buyer.reclaim(id)
    await pause(500)
    await devnet.mine()
    await settling
    expect(await reclaiming).toEqual({ state: 'settled', paid: PRICE / 16n, refunded: PRICE - PRICE / 16n })
    expect(performance.now() - began).toBeLessThan(5000)
  })

  test('a seller that comes after the reclaim loses its gas at most, and goes on', async () => {
    const entries = new Map<string, Uint8Array>()
    const shop = await shopOf({ settleDelay: 60_000, store: memoryStore(entries) })
    const account = fresh()
    const raw = await rawBuyer(shop.url, account)
    const order = await raw.create('item', { terms: { totalData: data.length } })
    await raw.order(order)
    await payChunks(raw, order, 1, CHUNKS)
    await raw.exit(order.id)
    await until('the order to be due', () => Buffer.from(entries.get(`token/order/${order.id}`) ?? []).includes('"due":true'))
    // All is acknowledged, so anyone may settle with the buyer's own signature: the buyer does.
    const signature = Buffer.from(entries.get(`token/voucher/${order.id}`)!.slice(8)).toString('hex')
    await (await devnet.contracts.dataTrade.connect(account).settle(order.order, data.length, `0x${signature}`)).wait()
    await shop.seller.settle()
    expect(await ledgerOf(devnet, order.id)).toMatchObject({ state: 'settled', paid: PRICE })
    const buyer = await buyerOf()
    const next = buyer.buy({ seller: shop.url, item: 'item' })
    await next.bytes()
    await pause(50)
    await shop.seller.settle()
    expect(await ledgerOf(devnet, await next.orderId)).toMatchObject({ state: 'settled', paid: PRICE })
  })

  test('orders of which both sides are gone are found by key and settled by anyone', async () => {
    const seller = fresh()
    const shop = await shopOf({}, seller)
    const account = fresh()
    const raw = await rawBuyer(shop.url, account)
    const deadline = (await devnet.time()) + 400
    const contract = devnet.contracts.dataTrade.connect(account)
    // One with chunks recorded on chain, one of which nothing is known, one that still has time.
    const recorded = await raw.create('item', { mode: 'onchain', terms: { deadline } })
    await (await contract.updateTransferred(recorded.id, 4 * GRAIN)).wait()
    const silent = await raw.create('item', { terms: { deadline } })
    const young = await raw.create('item', { terms: { deadline: deadline + 50_000 } })
    await raw.vanish()
    await shop.close()
    const find = (party: string) =>
      overdueOrders({
        provider: devnet.provider,
        dataTrade: devnet.deployment.dataTrade,
        party,
        fromBlock: devnet.deployment.fromBlock,
        maxRange: 7,
      })
    expect(await find(seller.address)).toEqual([])
    await devnet.increaseTime(400 + GRACE + 1)
    const overdue = await find(seller.address)
    expect(overdue.map(({ id }) => id).sort()).toEqual([recorded.id, silent.id].sort())
    expect((await find(account.address)).map(({ id }) => id).sort()).toEqual([recorded.id, silent.id].sort())
    const stranger = fresh()
    const sender = await createSender({ signer: stranger, interfaces: [dataTradeInterface], chainId: devnet.chainId })
    cleanups.push(sender.close)
    const balances = async () => Promise.all([seller, account].map(({ address }) => devnet.provider.getBalance(address)))
    const before = await balances()
    await settleOverdue(sender, devnet.deployment.dataTrade, overdue)
    const after = await balances()
    expect(after[0]! - before[0]!).toBe(PRICE / 4n)
    expect(after[1]! - before[1]!).toBe((PRICE * 3n) / 4n + PRICE)
    expect(await ledgerOf(devnet, young.id)).toMatchObject({ state: 'open' })
    expect(await find(seller.address)).toEqual([])
  })
})

describe('hostile tokens and receivers', () => {
  async function tokenShop(
    name: string,
    price = PRICE,
  ): Promise<{ shop: Shop; token: HostileContract; address: string; deployer: HDNodeWallet }> {
    const deployer = fresh()
    const { address, contract } = await deployHostile(deployer, name)
    const shop = await shopOf({}, fresh(), [{ id: 'item', data, price, token: address }])
    return { shop, token: contract, address, deployer }
  }

  test('a token that returns nothing works', async () => {
    const { shop, token } = await tokenShop('SilentToken')
    const account = fresh()
    await (await token.mint(account.address, PRICE)).wait()
    const buyer = await buyerOf(account)
    const purchase = buyer.buy({ seller: shop.url, item: 'item' })
    await purchase.bytes()
    await finishedOrder(devnet, await purchase.orderId)
    expect(await token.balanceOf(shop.account.address)).toBe(PRICE)
  })

  test.each([
    { name: 'FalseToken', code: 'TOKEN_TRANSFER_FAILED', prepare: (token: HostileContract) => token.refuse(true) },
    { name: 'FeeToken', code: 'TOKEN_TOOK_FEE', prepare: undefined },
  ])('$name is refused before any data flows', async ({ name, code, prepare }) => {
    const { shop, token } = await tokenShop(name)
    const account = fresh()
    await (await token.mint(account.address, PRICE)).wait()
    await (await prepare?.(token))?.wait()
    const buyer = await buyerOf(account)
    await expect(buyer.buy({ seller: shop.url, item: 'item' }).bytes()).rejects.toMatchObject({ code })
    expect(await token.balanceOf(account.address)).toBe(PRICE)
  })

  test("two orders at once in one token don't take each other's allowance", async () => {
    const { shop, token } = await tokenShop('SilentToken')
    const account = fresh()
    await (await token.mint(account.address, 2n * PRICE)).wait()
    const buyer = await buyerOf(account)
    const purchases = [0, 1].map(() => buyer.buy({ seller: shop.url, item: 'item' }))
    for (const bytes of await Promise.all(purchases.map((purchase) => purchase.bytes())))
      expect(Buffer.compare(bytes, data)).toBe(0)
    for (const purchase of purchases) await finishedOrder(devnet, await purchase.orderId)
    expect(await token.balanceOf(shop.account.address)).toBe(2n * PRICE)
  })

  test('a buyer without the tokens is told how many it lacks', async () => {
    const { shop, token } = await tokenShop('SilentToken')
    const account = fresh()
    await (await token.mint(account.address, PRICE - 7n)).wait()
    const buyer = await buyerOf(account)
    await expect(buyer.buy({ seller: shop.url, item: 'item' }).bytes()).rejects.toMatchObject({
      code: 'INSUFFICIENT_FUNDS',
      shortMessage: expect.stringContaining('7 short') as string,
    })
  })

  test('a token that calls back finds the door closed, and the order is right', async () => {
    const { shop, token, address } = await tokenShop('HookToken')
    const account = fresh()
    await (await token.mint(account.address, PRICE)).wait()
    await (
      await token.arm(devnet.deployment.dataTrade, dataTradeInterface.encodeFunctionData('withdraw', [address, account.address]))
    ).wait()
    const buyer = await buyerOf(account)
    const purchase = buyer.buy({ seller: shop.url, item: 'item' })
    await purchase.bytes()
    await finishedOrder(devnet, await purchase.orderId)
    expect(await token.hookSucceeded()).toBe(false)
    expect(await token.balanceOf(shop.account.address)).toBe(PRICE)
    expect(await token.balanceOf(devnet.deployment.dataTrade)).toBe(0n)
  })

  test.each([
    {
      name: 'a seller whom the token blocks',
      token: 'BlockingToken',
      spoil: (token: HostileContract, shop: Shop) => token.setBlocked(shop.account.address, true),
    },
    { name: 'a token that burns all gas', token: 'BurningToken', spoil: (token: HostileContract) => token.burn(true) },
  ])('$name: the order finishes, the sum waits as credit', async ({ token: name, spoil }) => {
    const { shop, token, address } = await tokenShop(name)
    const account = fresh()
    await (await token.mint(account.address, PRICE)).wait()
    const buyer = await buyerOf(account)
    const purchase = buyer.buy({ seller: shop.url, item: 'item' })
    for await (const _part of purchase) {
      await (await spoil(token, shop)).wait()
      break
    }
    const id = await purchase.orderId
    const { paid } = await finishedOrder(devnet, id)
    expect(paid).toBe(PRICE / 16n)
    expect(await devnet.contracts.dataTrade.credit(address, shop.account.address)).toBe(paid)
  })

  test('a buyer that is a contract and takes no refund holds nobody up', async () => {
    const shop = await shopOf()
    const account = fresh()
    const { address, contract } = await deployHostile(account, 'Receiver', 1)
    const raw = await rawBuyer(shop.url, account)
    const order = await raw.create('item', { terms: { buyer: address }, onChain: false })
    const call = dataTradeInterface.encodeFunctionData('create', [order.order, PRICE])
    await (await contract.execute(devnet.deployment.dataTrade, call, { value: PRICE })).wait()
    await raw.order(order)
    await payChunks(raw, order, 1, 5)
    await raw.exit(order.id)
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ paid: payFor(order.order, 5 * GRAIN) })
    expect(await devnet.contracts.dataTrade.credit(ETH, address)).toBe(PRICE - payFor(order.order, 5 * GRAIN))
  })

  test("one order that can't be settled does not hold up the others", async () => {
    // The price one batch of two: one is gone from under it.
    const shop = await shopOf({ settleDelay: 60_000 })
    const account = fresh()
    const raw = await rawBuyer(shop.url, account)
    const gone = await raw.create('item', { selection: { chunks: { first: 0, count: 1 } } })
    await raw.order(gone, 0)
    await payChunks(raw, gone, 1, 1)
    const raw2 = await rawBuyer(shop.url)
    const good = await raw2.create('item', { selection: { chunks: { first: 0, count: 1 } } })
    await raw2.order(good, 0)
    await payChunks(raw2, good, 1, 1)
    await until('both streams to end', () => raw.exits.length + raw2.exits.length === 2)
    await pause(50)
    // Not on any chain: as after a reorganisation that nobody has noticed yet.
    const slot = await storageOf(gone.id)
    await devnet.provider.send('anvil_setStorageAt', [devnet.deployment.dataTrade, slot, `0x${'00'.repeat(32)}`])
    expect((await ledgerOf(devnet, gone.id)).state).toBe('none')
    await shop.seller.settle()
    expect(await ledgerOf(devnet, good.id)).toMatchObject({ state: 'settled', paid: PRICE / 16n })
  })

  /** The slot of an order's state: the third of its three; found by trying, so that it follows the contract. */
  async function storageOf(id: string): Promise<string> {
    const { keccak256, concat, toBeHex } = await import('ethers')
    for (let mapping = 0; mapping < 8; mapping++) {
      const base = BigInt(keccak256(concat([id, toBeHex(mapping, 32)])))
      const first = await devnet.provider.getStorage(devnet.deployment.dataTrade, base)
      if (BigInt(first) !== 0n) return toBeHex(base + 2n, 32)
    }
    throw new Error('the order is not where it was looked for')
  }
})

describe('extreme sums', () => {
  test('2^104 - 1 units are paid to the last one', async () => {
    const price = 2n ** 104n - 1n
    const token = await devnet.deployToken()
    const address = await token.getAddress()
    const account = fresh()
    await (await token.connect(account).mint(account.address, price)).wait()
    const shop = await shopOf({}, fresh(), [
      { id: 'item', data: data.subarray(0, 3000), price, token: address, granularity: 1000 },
    ])
    const buyer = await buyerOf(account)
    const purchase = buyer.buy({ seller: shop.url, item: 'item' })
    for await (const _part of purchase) break
    const id = await purchase.orderId
    expect((await finishedOrder(devnet, id)).paid).toBe(price / 3n)
    expect(await token.balanceOf(shop.account.address)).toBe(price / 3n)
    expect(await token.balanceOf(account.address)).toBe(price - price / 3n)
    await expect(shopOf({}, fresh(), [{ id: 'item', data, price: 2n ** 104n }])).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  })

  test('what costs nothing needs no deposit, and nothing is settled', async () => {
    const shop = await shopOf({}, fresh(), [{ id: 'item', data, price: 0n }])
    const buyer = await buyerOf()
    const before = await devnet.provider.getTransactionCount(shop.account.address)
    const purchase = buyer.buy({ seller: shop.url, item: 'item' })
    expect(Buffer.compare(await purchase.bytes(), data)).toBe(0)
    await shop.seller.settle()
    expect(await devnet.provider.getTransactionCount(shop.account.address)).toBe(before)
    expect(await ledgerOf(devnet, await purchase.orderId)).toMatchObject({ deposit: 0n, paid: 0n })
  })

  test('one unit for many chunks: rounding stays with the buyer until the last', async () => {
    const shop = await shopOf({}, fresh(), [{ id: 'item', data, price: 1n }])
    const [a, b] = [await buyerOf(), await buyerOf()]
    const all = a.buy({ seller: shop.url, item: 'item' })
    await all.bytes()
    expect((await finishedOrder(devnet, await all.orderId)).paid).toBe(1n)
    const some = b.buy({ seller: shop.url, item: 'item' })
    let parts = 0
    for await (const _part of some) if (++parts === CHUNKS - 1) break
    expect((await finishedOrder(devnet, await some.orderId)).paid).toBe(0n)
  })

  test('nothing can be sold or ordered of nothing', async () => {
    await expect(shopOf({}, fresh(), [{ id: 'item', data: new Uint8Array(0), price: 1n }])).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
    })
  })
})

test("the lifetime that a buyer gives counts from the machine's time", async () => {
  const { url } = await shopOf({ minLifetime: 600 })
  const buyer = await buyerOf()
  await expect(buyer.buy({ seller: url, item: 'item', lifetime: await lifetime(300) }).bytes()).rejects.toMatchObject({
    code: 'PEER_REFUSED',
    details: { code: 'ORDER_EXPIRED' },
  })
})
