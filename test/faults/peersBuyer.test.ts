/**
 * Hostile and unlucky buyers, over real sockets: what a seller can lose, to the byte.
 * @module
 */
import type { HDNodeWallet } from 'ethers'
import { WebSocket } from 'ws'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { payFor } from '../../src/protocol/order.ts'
import type { Source } from '../../src/seller/index.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { sampleData } from './support/data.ts'
import { connectRawBuyer, type RawBuyer } from './support/rawBuyer.ts'
import { finishedOrder, freshAccounts, ledgerOf, openBuyer, openShop, type Shop } from './support/shop.ts'
import { startTcpProxy } from './support/tcpProxy.ts'
import { pause, until } from './support/until.ts'

const GRAIN = 4096
const CHUNKS = 32
const PRICE = 32_000_000n
const data = sampleData(GRAIN * CHUNKS)
const items = [{ id: 'item', data, price: PRICE }]

let devnet: Devnet
let fresh: () => HDNodeWallet
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 100 })
  fresh = freshAccounts(devnet)
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(() => devnet.stop())

async function shopOf(
  options: Parameters<typeof openShop>[3] = {},
  goods: Parameters<typeof openShop>[2] = items,
): Promise<Shop> {
  const shop = await openShop(devnet, fresh(), goods, { granularity: GRAIN, window: 8, ackTimeout: 300, ...options })
  cleanups.push(shop.close)
  return shop
}

async function rawBuyer(url: string, account = fresh(), options: Parameters<typeof connectRawBuyer>[3] = {}): Promise<RawBuyer> {
  const buyer = await connectRawBuyer(devnet, account, url, options)
  cleanups.push(() => buyer.socket.terminate())
  return buyer
}

/** Acknowledges chunk after chunk as it arrives, up to `chunks` of them. */
async function payChunks(buyer: RawBuyer, id: `0x${string}`, chunks: number): Promise<void> {
  for (let k = 1; k <= chunks; k++) {
    await buyer.received(k * GRAIN)
    await buyer.ack(id, k * GRAIN)
  }
}

describe('what a seller can lose to a buyer that stops paying', () => {
  test('a buyer that never pays gets one chunk, then PAYMENT_LATE', async () => {
    const { url } = await shopOf()
    const buyer = await rawBuyer(url)
    const order = await buyer.create('item')
    await buyer.order(order)
    expect(await buyer.refused(order.id)).toBe('PAYMENT_LATE')
    expect(buyer.stream(0).bytes).toBe(GRAIN)
  })

  test.each([
    { paid: 1, unpaid: 2 },
    { paid: 3, unpaid: 4 },
    { paid: 6, unpaid: 7 },
    { paid: 7, unpaid: 8 },
    { paid: 12, unpaid: 8 },
    { paid: 24, unpaid: 8 },
    { paid: 28, unpaid: 4 },
  ])('in mode voucher, after $paid paid chunks it is $unpaid: one more each, up to the window', async ({ paid, unpaid }) => {
    const { url, seller } = await shopOf()
    const buyer = await rawBuyer(url)
    const order = await buyer.create('item')
    await buyer.order(order)
    await payChunks(buyer, order.id, paid)
    expect(await buyer.refused(order.id)).toBe('PAYMENT_LATE')
    expect(buyer.stream(0).bytes).toBe((paid + unpaid) * GRAIN)
    // What was acknowledged is money, once the buyer leaves.
    await buyer.exit(order.id)
    const ledger = await finishedOrder(devnet, order.id)
    await seller.settle()
    expect(ledger).toMatchObject({ state: 'settled', transferred: paid * GRAIN, paid: payFor(order.order, paid * GRAIN) })
  })

  test('in mode onchain it is one chunk, however much was paid before', async () => {
    const { url } = await shopOf({ confirmTimeout: 2000 })
    const account = fresh()
    const buyer = await rawBuyer(url, account)
    const order = await buyer.create('item', { mode: 'onchain' })
    await buyer.order(order)
    const contract = devnet.contracts.dataTrade.connect(account)
    for (let k = 1; k <= 3; k++) {
      await buyer.received(k * GRAIN)
      const sent = await contract.updateTransferred(order.id, k * GRAIN)
      await sent.wait()
      await buyer.ack(order.id, k * GRAIN, { verification: sent.hash })
    }
    expect(await buyer.refused(order.id)).toBe('PAYMENT_LATE')
    expect(buyer.stream(0).bytes).toBe(4 * GRAIN)
  })

  test('in mode onchain a signature alone buys nothing: the chain must show the payment', async () => {
    const { url } = await shopOf({ confirmTimeout: 600, ackTimeout: 5000 })
    const buyer = await rawBuyer(url)
    const order = await buyer.create('item', { mode: 'onchain' })
    await buyer.order(order)
    await buyer.received(GRAIN)
    await buyer.ack(order.id, GRAIN, { verification: order.verification })
    expect(await buyer.refused(order.id)).toBe('PAYMENT_INVALID')
    expect(buyer.stream(0).bytes).toBe(GRAIN)
  })

  test('a payment that comes late is still taken, and settled', async () => {
    const { url } = await shopOf()
    const buyer = await rawBuyer(url)
    const order = await buyer.create('item')
    await buyer.order(order)
    expect(await buyer.refused(order.id)).toBe('PAYMENT_LATE')
    await buyer.ack(order.id, GRAIN)
    await buyer.exit(order.id)
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ transferred: GRAIN, paid: PRICE / 32n })
    expect(buyer.exits.filter(({ reason }) => reason?.code === 'NO_SUCH_ORDER')).toEqual([])
  })

  test('a payment late by less than ackTimeout does not hurt', async () => {
    const { url } = await shopOf({ ackTimeout: 400 })
    const buyer = await rawBuyer(url)
    const order = await buyer.create('item', { selection: { chunks: { first: 0, count: 4 } } })
    await buyer.order(order)
    for (let k = 1; k <= 4; k++) {
      await buyer.received(k * GRAIN)
      await pause(150)
      await buyer.ack(order.id, k * GRAIN)
    }
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ transferred: 4 * GRAIN })
  })

  test.each([
    { when: 'at the start', chunks: 0, unpaid: 1 },
    { when: 'halfway', chunks: 16, unpaid: 8 },
    { when: 'with the last chunk unpaid', chunks: 31, unpaid: 1 },
  ])(
    'a buyer that vanishes $when has at most the window for nothing, and the rest is paid at the deadline',
    async ({ chunks, unpaid }) => {
      const { url } = await shopOf({ minLifetime: 0 })
      const buyer = await rawBuyer(url)
      const order = await buyer.create('item', { terms: { deadline: (await devnet.time()) + 600 } })
      await buyer.order(order)
      await payChunks(buyer, order.id, chunks)
      await buyer.received((chunks + unpaid) * GRAIN)
      await pause(50)
      await buyer.vanish()
      expect(buyer.stream(0).bytes).toBe((chunks + unpaid) * GRAIN)
      const snapshot = await devnet.snapshot()
      await devnet.increaseTime(601)
      if (chunks > 0) {
        expect(await finishedOrder(devnet, order.id)).toMatchObject({
          transferred: chunks * GRAIN,
          paid: payFor(order.order, chunks * GRAIN),
        })
      } else {
        // Nothing was earned: the seller spends no gas on it, the buyer takes its deposit back itself.
        await pause(300)
        expect(await ledgerOf(devnet, order.id)).toMatchObject({ state: 'open', transferred: 0 })
      }
      await devnet.revert(snapshot)
    },
  )

  test('a second connection of the same buyer takes the stream over and gets no second window', async () => {
    const { url } = await shopOf()
    const account = fresh()
    const first = await rawBuyer(url, account)
    const order = await first.create('item')
    await first.order(order)
    await payChunks(first, order.id, 4)
    await first.received(9 * GRAIN)
    const second = await rawBuyer(url, account, { key: first.key })
    await second.resume(order.id, 9 * GRAIN)
    expect(await second.refused(order.id)).toBe('PAYMENT_LATE')
    expect(second.stream(0).bytes).toBe(0)
    expect(first.stream(0).bytes).toBe(9 * GRAIN)
  })

  test('a stale ACK after a reconnection takes nothing back and buys nothing', async () => {
    const { url } = await shopOf()
    const account = fresh()
    const first = await rawBuyer(url, account)
    const order = await first.create('item')
    await first.order(order)
    await payChunks(first, order.id, 10)
    await first.received(18 * GRAIN)
    await first.vanish()
    const second = await rawBuyer(url, account, { key: first.key })
    await second.resume(order.id, 10 * GRAIN)
    await second.ack(order.id, 6 * GRAIN)
    expect(await second.refused(order.id)).toBe('PAYMENT_LATE')
    // The unpaid eight come again, no ninth.
    expect(second.stream(0).end).toBe(18 * GRAIN)
    expect(second.stream(0).bytes).toBe(8 * GRAIN)
    await second.exit(order.id)
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ transferred: 10 * GRAIN })
  })

  test('an ACK that the cut swallowed is taken when it comes again with the resumption', async () => {
    const { url } = await shopOf()
    const account = fresh()
    const first = await rawBuyer(url, account)
    const order = await first.create('item')
    await first.order(order)
    await payChunks(first, order.id, 2)
    await first.received(5 * GRAIN)
    await first.vanish() // with an ACK for five chunks on its way
    const second = await rawBuyer(url, account, { key: first.key })
    await second.resume(order.id, 5 * GRAIN)
    await second.ack(order.id, 5 * GRAIN)
    await second.received(6 * GRAIN)
    expect(second.exits).toEqual([])
    expect(await second.refused(order.id)).toBe('PAYMENT_LATE')
    expect(second.stream(0)).toMatchObject({ bytes: 6 * GRAIN, end: 11 * GRAIN })
  })

  test("so is one for more than the resumption asks for: the buyer's file lags behind what it has paid", async () => {
    const { url } = await shopOf()
    const account = fresh()
    const first = await rawBuyer(url, account)
    const order = await first.create('item')
    await first.order(order)
    await payChunks(first, order.id, 2)
    await first.received(5 * GRAIN)
    await first.vanish()
    const second = await rawBuyer(url, account, { key: first.key })
    await second.resume(order.id, GRAIN)
    await second.ack(order.id, 5 * GRAIN)
    expect(await second.refused(order.id)).toBe('PAYMENT_LATE')
    expect(second.stream(0)).toMatchObject({ bytes: 10 * GRAIN, end: 11 * GRAIN })
  })

  test('what is paid already is delivered once more, not for ever', async () => {
    const { url } = await shopOf()
    const account = fresh()
    const first = await rawBuyer(url, account)
    const order = await first.create('item')
    await first.order(order)
    await payChunks(first, order.id, 24)
    await first.received(32 * GRAIN)
    await first.vanish()
    let again = 0
    let refused: string | undefined
    for (let round = 0; round < 8 && refused !== 'RANGE_INVALID'; round++) {
      const next = await rawBuyer(url, account, { key: first.key })
      await next.resume(order.id, 0)
      await until('data or a refusal', () => next.stream(0).bytes >= 24 * GRAIN || next.exits.length > 0)
      refused = next.exits[0]?.reason?.code
      again += next.stream(0).bytes
      await next.vanish()
    }
    expect(refused).toBe('RANGE_INVALID')
    expect(again).toBeLessThanOrEqual(2 * data.length)
  })
})

describe('buyers that reach for what is not theirs', () => {
  test('nobody gets the stream of an order that is being opened by another key', async () => {
    const mine = miner()
    const { url } = await shopOf({ confirmations: 2, ackTimeout: 3000 })
    const victim = await rawBuyer(url)
    const thief = await rawBuyer(url)
    const order = await victim.create('item', { selection: { chunks: { first: 0, count: 2 } } })
    await victim.order(order) // waits for its second confirmation
    await pause(100)
    await thief.order(order) // all of it is public on chain
    await thief.resume(order.id, 0, 1)
    await until('the refusals', () => thief.exits.length === 2)
    mine()
    await payChunks(victim, order.id, 2)
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ transferred: 2 * GRAIN })
    expect(victim.stream(0).bytes).toBe(2 * GRAIN)
    expect(thief.stream(0).bytes + thief.stream(1).bytes).toBe(0)
    expect(thief.exits.map(({ reason }) => reason?.code)).toEqual(['BAD_SIGNATURE', 'NO_SUCH_ORDER'])
  })

  test('an order that was asked for on a link that died is opened for the link that asks next', async () => {
    const mine = miner()
    const { url } = await shopOf({ confirmations: 2, ackTimeout: 3000 })
    const account = fresh()
    const first = await rawBuyer(url, account)
    const order = await first.create('item', { selection: { chunks: { first: 0, count: 2 } } })
    await first.order(order)
    await pause(50)
    const second = await rawBuyer(url, account, { key: first.key })
    await second.order(order)
    await pause(50)
    await first.vanish()
    mine()
    await payChunks(second, order.id, 2)
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ transferred: 2 * GRAIN })
  })

  test("a stranger's ACKs neither stop a stream nor pay for it", async () => {
    // A store that takes its time: ACKs that come meanwhile wait together, and only the last is looked at.
    const inner = memoryStore()
    const store = { ...inner, write: (changes: Parameters<typeof inner.write>[0]) => pause(15).then(() => inner.write(changes)) }
    const { url } = await shopOf({ ackTimeout: 3000, store })
    const honest = await rawBuyer(url)
    const order = await honest.create('item', { selection: { chunks: { first: 0, count: 8 } } })
    await honest.order(order)
    for (let k = 1; k <= 8; k++) {
      await honest.received(k * GRAIN)
      const stranger = await rawBuyer(url)
      await honest.ack(order.id, k * GRAIN - 1)
      // Everyone can see the order on chain. For as much as was sent, so that it is not refused for being ahead.
      await stranger.ack(order.id, k * GRAIN)
      await pause(40)
      await honest.ack(order.id, k * GRAIN)
    }
    expect(await finishedOrder(devnet, order.id)).toMatchObject({ transferred: 8 * GRAIN, paid: PRICE / 4n })
    expect(honest.exits.map(({ reason }) => reason)).toEqual([null])
  })

  test('an ACK before the hello ends the connection', async () => {
    const { url } = await shopOf()
    const honest = await rawBuyer(url)
    const order = await honest.create('item')
    await honest.order(order)
    await honest.received(GRAIN)
    const texts: string[] = []
    const socket = new WebSocket(url)
    socket.on('message', (text: Buffer) => texts.push(text.toString()))
    cleanups.push(() => socket.terminate())
    await until('the connection', () => socket.readyState === WebSocket.OPEN)
    const ended = new Promise<number>((resolve) => socket.once('close', resolve))
    socket.send(
      `{"message_type":"ACK","payload":{"order_ID":"${order.id}","transferred":${GRAIN}},"signature":"0x${'11'.repeat(
        65,
      )}","verification":""}`,
    )
    expect(await ended).toBe(1008)
    expect(texts.join()).toContain('UNEXPECTED_MESSAGE')
  })

  test('two buyers of one item do not meet', async () => {
    const { url } = await shopOf({ ackTimeout: 5000 })
    const [a, b] = await Promise.all([openBuyer(devnet, fresh()), openBuyer(devnet, fresh())])
    cleanups.push(a.close, b.close)
    const [purchaseA, purchaseB] = [
      a.buy({ seller: url, item: 'item' }),
      b.buy({ seller: url, item: 'item', bytes: [5000, 90_000] }),
    ]
    const [whole, part] = await Promise.all([purchaseA.bytes(), purchaseB.bytes()])
    expect(Buffer.compare(whole, data)).toBe(0)
    expect(Buffer.compare(part, data.subarray(5000, 90_000))).toBe(0)
    expect(await finishedOrder(devnet, await purchaseA.orderId)).toMatchObject({ paid: PRICE })
    expect(await finishedOrder(devnet, await purchaseB.orderId)).toMatchObject({
      transferred: 21 * GRAIN,
      paid: 21n * (PRICE / 32n),
    })
  })

  test('one buyer takes a hundred orders at once over one connection', async () => {
    const { url, seller } = await shopOf({ ackTimeout: 20_000 })
    const proxy = await startTcpProxy(url)
    cleanups.push(proxy.close)
    const buyer = await openBuyer(devnet, fresh(), { stallTimeout: 20_000 })
    cleanups.push(buyer.close)
    const parts = await Promise.all(
      Array.from({ length: 100 }, (_, i) => {
        const first = i % CHUNKS
        return buyer.buy({ seller: proxy.url, item: 'item', chunks: { first, count: Math.min(2, CHUNKS - first) } }).bytes()
      }),
    )
    for (const [i, part] of parts.entries()) {
      const first = (i % CHUNKS) * GRAIN
      expect(Buffer.compare(part, data.subarray(first, first + 2 * GRAIN))).toBe(0)
    }
    expect(proxy.connections).toBe(1)
    await seller.settle()
    let paid = 0n
    let orders = 0
    for await (const { record, state } of buyer.orders()) {
      expect(state).toBe('done')
      const ledger = await finishedOrder(devnet, record.id)
      expect(ledger.paid).toBe(record.order.price)
      paid += ledger.paid
      orders++
    }
    expect(orders).toBe(100)
    expect(paid).toBe(BigInt(100 * 2 - 3) * (PRICE / 32n))
  }, 60_000)

  /** Mines from the call of what it returns on, until the shops of the test are closed. */
  function miner(): () => void {
    let timer: ReturnType<typeof setInterval> | undefined
    cleanups.push(() => clearInterval(timer))
    return () => (timer = setInterval(() => void devnet.mine(), 50))
  }
})

describe('limits of a seller', () => {
  test('connections over the limit are refused, and taken again when one has left', async () => {
    const { url } = await shopOf({ limits: { connections: 3 } })
    const three = [await rawBuyer(url), await rawBuyer(url), await rawBuyer(url)]
    const began = performance.now()
    for (let i = 0; i < 3; i++) await expect(connectRawBuyer(devnet, devnet.accounts[0]!, url)).rejects.toThrow('1013 OVERLOADED')
    expect(performance.now() - began).toBeLessThan(2500) // a refused socket doesn't linger
    await three[1]!.vanish()
    await until('room for one more', () =>
      connectRawBuyer(devnet, devnet.accounts[0]!, url).then(
        (one) => (one.socket.terminate(), true),
        () => false,
      ),
    )
    expect(three[0]!.closed).toBeUndefined()
  })

  test('a connection that does not greet is closed', async () => {
    const { url } = await shopOf({ limits: { helloTimeout: 100 } })
    const socket = new WebSocket(url)
    const reason = await new Promise<string>((resolve) => socket.once('close', (_, text) => resolve(text.toString())))
    expect(reason).toBe('TIMEOUT')
  })

  test('orders over the limit of one connection are refused, the others go on', async () => {
    const { url } = await shopOf({ limits: { ordersPerConnection: 2 }, ackTimeout: 3000 })
    const buyer = await rawBuyer(url)
    const orders = []
    for (let i = 0; i < 3; i++) orders.push(await buyer.create('item', { selection: { chunks: { first: i, count: 1 } } }))
    for (const [i, order] of orders.entries()) await buyer.order(order, i)
    await until('the end of the connection, or a refusal', () => buyer.closed ?? buyer.exits[0])
    expect(buyer.exits[0]?.reason?.code).toBe('OVERLOADED')
  })

  test('orders over the limit of the seller are refused', async () => {
    const { url } = await shopOf({ limits: { orders: 1 }, ackTimeout: 3000 })
    const [a, b] = [await rawBuyer(url), await rawBuyer(url)]
    const [one, two] = [await a.create('item'), await b.create('item')]
    await a.order(one)
    await a.received(GRAIN)
    await b.order(two)
    expect(await b.refused(two.id)).toBe('OVERLOADED')
    expect(b.stream(0).bytes).toBe(0)
  })

  test('a flood of messages ends the connection', async () => {
    const { url } = await shopOf({ limits: { queuedMessages: 64, ordersPerConnection: 1000 } })
    const buyer = await rawBuyer(url)
    // All in one piece of the socket, so that they arrive faster than they can be taken.
    const order = await buyer.create('item', { onChain: false })
    await Promise.all(Array.from({ length: 400 }, (_, i) => buyer.order(order, i)))
    await until('the end of the connection', () => buyer.closed)
    expect(buyer.closed).toMatchObject({ code: 1008, reason: 'OVERLOADED' })
  })

  test('ACKs that wait for the chain are bounded too', async () => {
    const { url } = await shopOf({ limits: { queuedMessages: 64 }, confirmTimeout: 60_000, ackTimeout: 60_000 })
    const buyer = await rawBuyer(url)
    const order = await buyer.create('item', { mode: 'onchain' })
    await buyer.order(order)
    await buyer.received(GRAIN)
    for (let i = 0; i < 400 && !buyer.closed; i++) {
      await buyer.ack(order.id, 1 + i)
      await pause(0)
    }
    await until('the end of the connection', () => buyer.closed, 2000)
    expect(buyer.closed?.code).toBe(1008)
  })

  test('a seller can close while an ACK waits for the chain', async () => {
    const shop = await shopOf({ confirmTimeout: 60_000, ackTimeout: 60_000 })
    const buyer = await rawBuyer(shop.url)
    const order = await buyer.create('item', { mode: 'onchain' })
    await buyer.order(order)
    await buyer.received(GRAIN)
    await buyer.ack(order.id, GRAIN)
    await pause(100)
    const began = performance.now()
    await shop.close()
    expect(performance.now() - began).toBeLessThan(8000)
  })

  test('a text that is too long, and a binary frame, end the connection', async () => {
    const { url } = await shopOf()
    const long = await rawBuyer(url)
    long.socket.send('x'.repeat(16 * 1024 + 1))
    await until('the end of the connection', () => long.closed)
    expect(long.closed?.code).toBe(1009)
    const binary = await rawBuyer(url)
    binary.socket.send(Buffer.from([1, 2, 3]))
    await until('the end of the connection', () => binary.closed)
    expect(binary.closed).toMatchObject({ code: 1008, reason: 'UNEXPECTED_MESSAGE' })
  })
})

describe('links that are slow or dead', () => {
  /** A source without memory, that counts what is read of it. */
  function countedSource(size: number): Source & { readonly read: number; readonly open_: number; reset(): void } {
    let read = 0
    let opened = 0
    return {
      size,
      open: () => {
        opened++
        return Promise.resolve({
          read: (_offset, targets) => {
            for (const target of targets) {
              target.fill(7)
              read += target.length
            }
            return Promise.resolve()
          },
          close: () => {
            opened--
            return Promise.resolve()
          },
        })
      },
      get read() {
        return read
      },
      get open_() {
        return opened
      },
      reset: () => (read = 0),
    }
  }

  test('a reader that pays ahead and does not read fills no memory', async () => {
    const size = 192 * 1024 * 1024
    const grain = 1024 * 1024
    const source = countedSource(size)
    const { url } = await shopOf({ granularity: grain, window: 64, ackTimeout: 60_000 }, [
      { id: 'item', data: source, price: PRICE },
    ])
    source.reset()
    const buyer = await rawBuyer(url)
    const order = await buyer.create('item')
    await buyer.order(order)
    await buyer.received(grain)
    buyer.socket.pause()
    // Chunks are of one content, so it can promise to pay for what it has not seen: exactly what was sent each time.
    let paid = 0
    for (let still = 0; still < 8 && !buyer.closed; ) {
      const sent = Math.min(source.read, size)
      if (sent > paid) {
        await buyer.ack(order.id, (paid = sent))
        still = 0
      } else still++
      await pause(50)
    }
    // The high-water mark, a batch, and what the kernel keeps on both ends.
    expect(source.read).toBeLessThan(48 * 1024 * 1024)
    expect(source.open_).toBe(1)
    await buyer.vanish()
    await until('the source to be closed', () => source.open_ === 0)
  })

  test('a link that goes dead without a word: the seller stops, the buyer finds another way', async () => {
    const { url } = await shopOf({ ackTimeout: 1000 })
    const proxy = await startTcpProxy(url)
    cleanups.push(proxy.close)
    const buyer = await openBuyer(devnet, fresh(), { stallTimeout: 400 })
    cleanups.push(buyer.close)
    const purchase = buyer.buy({ seller: proxy.url, item: 'item' })
    const parts: Uint8Array[] = []
    let frozen = false
    const began = performance.now()
    for await (const part of purchase) {
      parts.push(part)
      if (!frozen && parts.length === 8) {
        frozen = true
        proxy.freeze()
      }
    }
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
    expect((await purchase.receipt).reconnects).toBe(1)
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(await finishedOrder(devnet, await purchase.orderId)).toMatchObject({ paid: PRICE })
  })

  test('a link that is reset again and again costs the buyer nothing twice', async () => {
    const { url } = await shopOf({ ackTimeout: 2000 })
    const proxy = await startTcpProxy(url)
    cleanups.push(proxy.close)
    const buyer = await openBuyer(devnet, fresh())
    cleanups.push(buyer.close)
    const purchase = buyer.buy({ seller: proxy.url, item: 'item' })
    const parts: Uint8Array[] = []
    let cuts = 0
    let linked = true
    purchase.events.on('resume', () => (linked = true))
    for await (const part of purchase) {
      parts.push(part)
      if (linked && parts.length % 3 === 0 && parts.length <= data.length / GRAIN - 3) {
        linked = false
        cuts++
        proxy.cut()
      }
    }
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
    expect(cuts).toBeGreaterThanOrEqual(3)
    expect((await purchase.receipt).reconnects).toBe(cuts)
    expect(await finishedOrder(devnet, await purchase.orderId)).toMatchObject({ deposit: PRICE, paid: PRICE })
  })
})
