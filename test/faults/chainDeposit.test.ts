/**
 * What a chain can do to an order before and while it is delivered: deposits that are foreign, reverted, late, short,
 * reorganised; nodes that are down, slow, or on another chain.
 * @module
 */
import { JsonRpcProvider, Network, type HDNodeWallet } from 'ethers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { deployContracts } from '../../src/contracts/deploy.ts'
import { dataTradeContract } from '../../src/contracts/dataTrade.ts'
import { dataTradeDomain } from '../../src/contracts/typedData.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/log.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { createTokenPayer } from '../../src/payments/token/buyer.ts'
import { payFor } from '../../src/protocol/order.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { startRpcProxy, type RpcProxy } from '../../src/testing/rpcProxy.ts'
import { sampleData } from './support/data.ts'
import { connectRawBuyer, type RawBuyer, type RawOrder } from './support/rawBuyer.ts'
import { finishedOrder, freshAccounts, ledgerOf, openBuyer, openShop, type Shop } from './support/shop.ts'
import { pause, until } from './support/until.ts'

const GRAIN = 1024
const CHUNKS = 16
const PRICE = 1_600_000n
const data = sampleData(GRAIN * CHUNKS)
const items = [{ id: 'item', data, price: PRICE }]

let devnet: Devnet
let fresh: () => HDNodeWallet
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 80 })
  fresh = freshAccounts(devnet)
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(() => devnet.stop())

async function shopOf(options: Parameters<typeof openShop>[3] = {}, account = fresh()): Promise<Shop> {
  const shop = await openShop(devnet, account, items, {
    granularity: GRAIN,
    window: 4,
    ackTimeout: 3000,
    confirmTimeout: 500,
    ...options,
  })
  cleanups.push(shop.close)
  return shop
}

async function rawBuyer(url: string, account = fresh(), options: Parameters<typeof connectRawBuyer>[3] = {}): Promise<RawBuyer> {
  const buyer = await connectRawBuyer(devnet, account, url, options)
  cleanups.push(() => buyer.socket.terminate())
  return buyer
}

async function payChunks(buyer: RawBuyer, { id }: RawOrder, from: number, to: number, stream = 0): Promise<void> {
  for (let k = from; k <= to; k++) {
    await until(`chunk ${k}`, () => buyer.stream(stream).end >= k * GRAIN)
    await buyer.ack(id, k * GRAIN)
  }
}

/** Automine off for the length of a test. */
async function stopMining(): Promise<void> {
  await devnet.setAutomine(false)
  cleanups.push(async () => {
    await devnet.setAutomine(true)
    await devnet.mine()
  })
}

describe('a seller believes only the chain about a deposit', () => {
  test('a deposit in another contract is none', async () => {
    const { url } = await shopOf()
    const account = fresh()
    const elsewhere = await deployContracts(account, { grace: 900 })
    const buyer = await rawBuyer(url, account)
    const order = await buyer.create('item', { onChain: false })
    const sent = await dataTradeContract(elsewhere.dataTrade, account).create(order.order, PRICE, { value: PRICE })
    await sent.wait()
    await buyer.order({ ...order, verification: sent.hash })
    expect(await buyer.refused(order.id)).toBe('ORDER_UNCONFIRMED')
    expect(buyer.stream(0).bytes).toBe(0)
  })

  test('a transaction that was reverted is none', async () => {
    const { url } = await shopOf()
    const account = fresh()
    const buyer = await rawBuyer(url, account)
    const order = await buyer.create('item', { onChain: false })
    const sent = await dataTradeContract(devnet.deployment.dataTrade, account).create(order.order, PRICE, {
      value: PRICE - 1n,
      gasLimit: 500_000,
    })
    await sent.wait().catch(() => {})
    expect((await devnet.provider.getTransactionReceipt(sent.hash))?.status).toBe(0)
    await buyer.order({ ...order, verification: sent.hash })
    expect(await buyer.refused(order.id)).toBe('ORDER_UNCONFIRMED')
    expect(buyer.stream(0).bytes).toBe(0)
  })

  test('the deposit of another order is none: the hash of a transaction proves nothing', async () => {
    const { url } = await shopOf()
    const buyer = await rawBuyer(url)
    const paid = await buyer.create('item')
    const unpaid = await buyer.create('item', { onChain: false })
    await buyer.order({ ...unpaid, verification: paid.verification })
    expect(await buyer.refused(unpaid.id)).toBe('ORDER_UNCONFIRMED')
    expect(buyer.stream(0).bytes).toBe(0)
  })

  test('terms other than those on chain are another order', async () => {
    const { url } = await shopOf()
    const buyer = await rawBuyer(url)
    const { wire, verification } = await buyer.create('item', { terms: { price: 1n }, deposit: 1n })
    const order = await buyer.create('item', { onChain: false })
    // The cheap order's id with the dear order's terms.
    await buyer.order({ ...order, verification }, 0, { order_hash: wire.order_hash })
    expect(await buyer.refused()).toBe('ORDER_MISMATCH')
    expect(buyer.stream(0).bytes).toBe(0)
  })

  test('a price one unit below the menu is refused', async () => {
    const { url } = await shopOf()
    const buyer = await rawBuyer(url)
    const order = await buyer.create('item', { terms: { price: PRICE - 1n }, deposit: PRICE - 1n })
    await buyer.order(order)
    expect(await buyer.refused(order.id)).toBe('PRICE_MISMATCH')
    expect(buyer.exits[0]!.reason!.message).toContain('1 short')
  })

  test('a deposit one unit short buys all but the last chunk', async () => {
    const { url } = await shopOf({ ackTimeout: 300 })
    const buyer = await rawBuyer(url)
    const order = await buyer.create('item', { deposit: PRICE - 1n })
    await buyer.order(order)
    await payChunks(buyer, order, 1, CHUNKS - 1)
    expect(await buyer.refused(order.id)).toBe('DEPOSIT_SHORT')
    expect(buyer.exits[0]!.reason!.message).toContain('deposit is 1 short')
    expect(buyer.stream(0).bytes).toBe((CHUNKS - 1) * GRAIN)
    expect(await finishedOrder(devnet, order.id)).toMatchObject({
      paid: payFor(order.order, (CHUNKS - 1) * GRAIN),
      transferred: (CHUNKS - 1) * GRAIN,
    })
  })

  test('an ACK for more than the deposit covers is refused, also by a seller that has forgotten what it sent', async () => {
    const [account, sellerAccount, entries] = [fresh(), fresh(), new Map<string, Uint8Array>()]
    const shop = await shopOf({ store: memoryStore(entries) }, sellerAccount)
    const first = await rawBuyer(shop.url, account)
    const order = await first.create('item', { deposit: (PRICE * 3n) / 32n }) // a chunk and a half
    await first.order(order)
    await payChunks(first, order, 1, 1)
    await until('the voucher to be kept', () => entries.has(`token/voucher/${order.id}`))
    const killed = new Map(entries)
    await shop.close()
    const { url } = await shopOf({ store: memoryStore(killed) }, sellerAccount)
    const buyer = await rawBuyer(url, account, { key: first.key })
    await buyer.resume(order.id, GRAIN)
    await buyer.ack(order.id, 2 * GRAIN)
    expect(await buyer.refused(order.id)).toBe('PAYMENT_INVALID')
    expect(buyer.exits[0]!.reason!.message).toContain('deposit covers')
    expect(buyer.stream(0).bytes).toBe(0)
  })

  test('data waits for the block, and for as many more as the seller asks for', async () => {
    await stopMining()
    const { url } = await shopOf({ confirmations: 3, confirmTimeout: 10_000 })
    const account = fresh()
    const buyer = await rawBuyer(url, account)
    const order = await buyer.create('item', { onChain: false })
    const sent = await dataTradeContract(devnet.deployment.dataTrade, account).create(order.order, PRICE, { value: PRICE })
    await buyer.order({ ...order, verification: sent.hash })
    for (let depth = 0; depth < 3; depth++) {
      await pause(450) // more than two looks at the chain
      expect(buyer.stream(0).bytes).toBe(0)
      await devnet.mine()
    }
    await buyer.received(GRAIN)
    expect(buyer.exits).toEqual([])
    await devnet.setAutomine(true)
  })

  test('a deposit that is never mined is refused in the end', async () => {
    await stopMining()
    const { url } = await shopOf({ confirmTimeout: 600 })
    const account = fresh()
    const buyer = await rawBuyer(url, account)
    const order = await buyer.create('item', { onChain: false })
    const sent = await dataTradeContract(devnet.deployment.dataTrade, account).create(order.order, PRICE, { value: PRICE })
    await buyer.order({ ...order, verification: sent.hash })
    expect(await buyer.refused(order.id)).toBe('ORDER_UNCONFIRMED')
    expect(buyer.stream(0).bytes).toBe(0)
  })

  test.each([
    { name: 'a deadline that has passed', terms: { deadline: 1 }, code: 'ORDER_EXPIRED' },
    { name: 'no bytes', terms: { totalData: 0 }, code: 'ORDER_MISMATCH' },
    { name: 'more bytes than the range has', terms: { totalData: data.length + 1 }, code: 'ORDER_MISMATCH' },
    { name: 'another root', terms: { dataRoot: `0x${'11'.repeat(32)}` as const }, code: 'ORDER_MISMATCH' },
    { name: 'another number of chunks', terms: { chunks: 15 }, code: 'ORDER_MISMATCH' },
    { name: 'another seller', terms: { seller: `0x${'22'.repeat(20)}` }, code: 'ORDER_MISMATCH' },
    { name: 'another token', terms: { token: `0x${'33'.repeat(20)}` }, code: 'ORDER_MISMATCH' },
    { name: 'a session key that is not the one who asks', terms: { ackSigner: `0x${'44'.repeat(20)}` }, code: 'ORDER_MISMATCH' },
  ])('terms with $name are refused before the chain is asked', async ({ terms, code }) => {
    const { url } = await shopOf({ confirmTimeout: 30_000 })
    const buyer = await rawBuyer(url)
    const order = await buyer.create('item', { onChain: false, terms })
    await buyer.order(order)
    expect(await buyer.refused(order.id)).toBe(code)
  })

  test("the buyer's own side refuses what can't be: nothing leaves its account", async () => {
    const { url } = await shopOf()
    const account = fresh()
    const buyer = await openBuyer(devnet, account)
    cleanups.push(buyer.close)
    const before = await devnet.provider.getBalance(account.address)
    expect(() => buyer.buy({ seller: url, item: 'item', lifetime: -86_400 })).toThrow(
      expect.objectContaining({ code: 'BAD_ARGUMENT', details: { name: 'lifetime' } }),
    )
    await expect(buyer.buy({ seller: url, item: 'item', bytes: [5, 5] }).bytes()).rejects.toMatchObject({ code: 'RANGE_INVALID' })
    await expect(buyer.buy({ seller: url, item: 'item', deposit: 0n }).bytes()).rejects.toMatchObject({
      code: 'DEPOSIT_OUT_OF_RANGE',
    })
    await expect(buyer.buy({ seller: url, item: 'item', deposit: PRICE + 1n }).bytes()).rejects.toMatchObject({
      code: 'DEPOSIT_OUT_OF_RANGE',
    })
    expect(await devnet.provider.getBalance(account.address)).toBe(before)
  })
})

describe('a deposit that leaves the chain again', () => {
  /** Takes the newest blocks off the chain, down to that of an order, and returns what brings the order back. */
  async function reorganise(order: RawOrder): Promise<() => Promise<void>> {
    const raw = (await devnet.provider.send('eth_getRawTransactionByHash', [order.verification])) as string
    const receipt = (await devnet.provider.getTransactionReceipt(order.verification))!
    const head = Number(await devnet.provider.send('eth_blockNumber', []))
    await devnet.reorg(head - receipt.blockNumber + 1)
    expect((await ledgerOf(devnet, order.id)).state).toBe('none')
    return async () => {
      await devnet.provider.send('eth_sendRawTransaction', [raw])
      await until('the order to be back', async () => (await ledgerOf(devnet, order.id)).state === 'open')
    }
  }

  test('the stream stops; when the deposit is back it goes on, and all of it is paid', async () => {
    const { url } = await shopOf({ confirmTimeout: 5000 })
    const account = fresh()
    const buyer = await rawBuyer(url, account)
    const order = await buyer.create('item')
    await buyer.order(order)
    await payChunks(buyer, order, 1, 4)
    await until('the window', () => buyer.stream(0).bytes === 8 * GRAIN)
    const bringBack = await reorganise(order)
    expect(await buyer.refused(order.id)).toBe('ORDER_FINISHED')
    expect(buyer.stream(0).bytes).toBe(8 * GRAIN)
    await pause(300) // the seller tries to settle what is not there
    await bringBack()
    await buyer.resume(order.id, 8 * GRAIN, 1)
    await buyer.ack(order.id, 8 * GRAIN)
    await payChunks(buyer, order, 9, CHUNKS, 1)
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ paid: PRICE, transferred: data.length })
  })

  test('an order whose buyer was away meanwhile is found again', async () => {
    const { url } = await shopOf({ confirmTimeout: 5000 })
    const account = fresh()
    const first = await rawBuyer(url, account)
    const order = await first.create('item')
    await first.order(order)
    await payChunks(first, order, 1, 4)
    await until('the window', () => first.stream(0).bytes === 8 * GRAIN)
    await first.vanish()
    const bringBack = await reorganise(order)
    await pause(500) // the seller sees it go
    await bringBack()
    const second = await rawBuyer(url, account, { key: first.key })
    await second.resume(order.id, 8 * GRAIN)
    await second.ack(order.id, 8 * GRAIN)
    await payChunks(second, order, 9, CHUNKS)
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ paid: PRICE, transferred: data.length })
  })

  test('the seller keeps its voucher for it, and has its money when the deposit is back', async () => {
    const { url } = await shopOf({ settleDelay: 400 })
    const buyer = await rawBuyer(url)
    const order = await buyer.create('item')
    await buyer.order(order)
    await payChunks(buyer, order, 1, 5)
    await buyer.exit(order.id)
    await pause(100)
    const bringBack = await reorganise(order)
    await pause(1000) // it tries to settle what is not there
    await bringBack()
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ paid: payFor(order.order, 5 * GRAIN), transferred: 5 * GRAIN })
  })
})

describe('two records on chain at the same time', () => {
  test('both count as paid: the second finds what the first has done', async () => {
    const { url } = await shopOf()
    const account = fresh()
    const buyer = await rawBuyer(url, account)
    const { id, order } = await buyer.create('item', { mode: 'onchain' })
    const options = {
      signer: account,
      domain: dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade),
      clock: systemClock,
      log: silentLogger,
    }
    // Two programs of one account, or one that was killed between sending and noting it.
    const payers = await Promise.all([
      createTokenPayer({ ...options, store: memoryStore() }),
      createTokenPayer({ ...options, store: memoryStore() }),
    ])
    cleanups.push(...payers.map((payer) => payer.close))
    await stopMining()
    const { signal } = new AbortController()
    const both = Promise.all(payers.map((payer) => payer.pay({ id, order, mode: 'onchain' }, GRAIN, { signal })))
    await until(
      'both transactions',
      async () => Number(await devnet.provider.send('eth_getTransactionCount', [account.address, 'pending'])) === 3,
    )
    await devnet.mine()
    await both
    expect(await ledgerOf(devnet, id)).toMatchObject({ transferred: GRAIN, state: 'open' })
    await devnet.setAutomine(true)
    // And one more of the same finds it at once.
    await expect(payers[0].pay({ id, order, mode: 'onchain' }, GRAIN, { signal })).resolves.toBeDefined()
  })
})

describe('a node that fails', () => {
  async function created(account: HDNodeWallet): Promise<number> {
    const contract = devnet.contracts.dataTrade
    return (await contract.queryFilter(contract.filters.OrderCreated(undefined, account.address))).length
  }

  async function proxied(account: HDNodeWallet): Promise<{ proxy: RpcProxy; account: HDNodeWallet }> {
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
    return { proxy, account: account.connect(provider) }
  }

  test("an order that comes while the seller's node is down is served when it is back", async () => {
    const { proxy, account } = await proxied(fresh())
    const { url } = await shopOf({ confirmTimeout: 10_000 }, account)
    const buyer = await openBuyer(devnet, fresh())
    cleanups.push(buyer.close)
    proxy.rule(() => 'cut')
    setTimeout(() => proxy.rule(), 1200)
    const purchase = buyer.buy({ seller: url, item: 'item' })
    expect(Buffer.compare(await purchase.bytes(), data)).toBe(0)
    expect(await finishedOrder(devnet, await purchase.orderId)).toMatchObject({ paid: PRICE })
  })

  test('a stream in mode voucher does not need the node; it is settled when the node is back', async () => {
    const { proxy, account } = await proxied(fresh())
    const { url } = await shopOf({}, account)
    const buyer = await openBuyer(devnet, fresh())
    cleanups.push(buyer.close)
    const purchase = buyer.buy({ seller: url, item: 'item' })
    let got = 0
    for await (const part of purchase) {
      if (got === 0) proxy.rule(() => ({ status: 401 }))
      got += part.length
    }
    expect(got).toBe(data.length)
    await pause(500)
    expect(await ledgerOf(devnet, await purchase.orderId)).toMatchObject({ state: 'open' })
    proxy.rule()
    expect(await finishedOrder(devnet, await purchase.orderId, 20_000)).toMatchObject({ paid: PRICE })
  })

  test('an answer that gets lost on its way makes no second deposit', async () => {
    const { url } = await shopOf()
    const { proxy, account } = await proxied(fresh())
    const buyer = await openBuyer(devnet, account)
    cleanups.push(buyer.close)
    proxy.rule((method) => (method === 'eth_sendRawTransaction' ? 'lose' : undefined))
    const purchase = buyer.buy({ seller: url, item: 'item' })
    expect(Buffer.compare(await purchase.bytes(), data)).toBe(0)
    expect(await created(account)).toBe(1)
  })

  test('an order whose deposit could not be sent is forgotten', async () => {
    const { url } = await shopOf()
    const { proxy, account } = await proxied(fresh())
    const buyer = await openBuyer(devnet, account)
    cleanups.push(buyer.close)
    proxy.rule((method) => (method === 'eth_estimateGas' ? { status: 401 } : undefined))
    await expect(buyer.buy({ seller: url, item: 'item' }).bytes()).rejects.toMatchObject({ code: 'RPC_FAILED' })
    proxy.rule()
    for await (const order of buyer.orders()) expect(order).toBeUndefined()
    expect(await created(account)).toBe(0)
  })

  test('an order whose deposit was sent is not, whatever goes wrong with the next look at it', async () => {
    const { url } = await shopOf()
    const { proxy, account } = await proxied(fresh())
    const entries = new Map<string, Uint8Array>()
    const first = await openBuyer(devnet, account, { store: memoryStore(entries) })
    // Sent, and nothing is heard of it any more: then the buyer is killed.
    let sent = false
    proxy.rule((method) => {
      if (sent) return 'cut'
      sent = method === 'eth_sendRawTransaction'
      return sent ? 'lose' : undefined
    })
    const stop = new AbortController()
    const lost = first
      .buy({ seller: url, item: 'item', signal: stop.signal })
      .bytes()
      .catch(() => {})
    await until('the deposit', async () => (await created(account)) === 1)
    const killed = memoryStore(new Map(entries))
    const second = await openBuyer(devnet, account.connect(devnet.provider), { store: killed })
    cleanups.push(second.close)
    const ids = async () => {
      const found = []
      for await (const { record, state } of second.orders()) found.push([record.id, state] as const)
      return found
    }
    const [order] = await ids()
    expect(order?.[1]).toBe('opening')
    await expect(second.resume(order![0], { signal: AbortSignal.abort() }).bytes()).rejects.toMatchObject({
      code: 'TRANSACTION_UNKNOWN',
    })
    expect((await ids()).length).toBe(1)
    expect(Buffer.compare(await second.resume(order![0]).bytes(), data)).toBe(0)
    expect(await created(account)).toBe(1)
    stop.abort()
    proxy.rule()
    await lost
    await first.close()
  })

  test('a node that takes its time only slows things down', async () => {
    const { proxy, account } = await proxied(fresh())
    const { url } = await shopOf({ confirmTimeout: 20_000 }, account)
    proxy.rule(() => pause(150).then(() => undefined))
    const buyer = await openBuyer(devnet, fresh())
    cleanups.push(buyer.close)
    const purchase = buyer.buy({ seller: url, item: 'item' })
    expect(Buffer.compare(await purchase.bytes(), data)).toBe(0)
    expect(await finishedOrder(devnet, await purchase.orderId)).toMatchObject({ paid: PRICE })
  })

  test('a buyer whose node serves another chain deposits nothing', async () => {
    const proxy = await startRpcProxy(devnet.url)
    cleanups.push(() => proxy.stop())
    proxy.rule((method) => (method === 'eth_chainId' || method === 'net_version' ? { result: '0x1' } : undefined))
    const provider = new JsonRpcProvider(proxy.url)
    cleanups.push(() => provider.destroy())
    const account = fresh()
    const before = await devnet.provider.getBalance(account.address)
    // The contract knows better than the node which chain it is on.
    await expect(openBuyer(devnet, account.connect(provider))).rejects.toMatchObject({
      code: 'WRONG_CHAIN',
      details: { expected: 1n, actual: devnet.chainId },
    })
    expect(await devnet.provider.getBalance(account.address)).toBe(before)
    expect(proxy.requests.filter(({ method }) => method === 'eth_sendRawTransaction')).toEqual([])
  })

  test('a seller whose node is slow to see the order waits for it', async () => {
    // A load balancer whose nodes are not of one mind: the seller's is a block behind the buyer's.
    const { proxy, account } = await proxied(fresh())
    const { url } = await shopOf({ confirmTimeout: 10_000 }, account)
    const buyer = await rawBuyer(url)
    const behind = Number(await devnet.provider.send('eth_blockNumber', []))
    proxy.rule((method) => (method === 'eth_blockNumber' ? { result: `0x${behind.toString(16)}` } : undefined))
    const order = await buyer.create('item', { selection: { chunks: { first: 0, count: 1 } } })
    await buyer.order(order)
    await pause(500)
    expect(buyer.stream(0).bytes).toBe(0)
    proxy.rule()
    await buyer.received(GRAIN)
  })
})
