/**
 * Crashes and restarts of either side, with the stores they would really have.
 * @module
 */
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { HDNodeWallet } from 'ethers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Buyer, PartialData, Purchase } from '../../src/buyer/index.ts'
import type { Hex } from '../../src/core/bytes.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { payFor } from '../../src/protocol/order.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { sampleData } from './support/data.ts'
import { faultyStore, type WriteFate } from './support/faultyStore.ts'
import { connectRawBuyer } from './support/rawBuyer.ts'
import { mortalConnect } from './support/mortalConnect.ts'
import { startRawSeller } from './support/rawSeller.ts'
import { finishedOrder, freshAccounts, ledgerOf, openBuyer, openShop, type Shop } from './support/shop.ts'
import { startTcpProxy } from './support/tcpProxy.ts'
import { pause, until } from './support/until.ts'

const GRAIN = 1024
const CHUNKS = 48
const PRICE = 4_800_000n
const data = sampleData(GRAIN * CHUNKS)
const items = [{ id: 'item', data, price: PRICE }]

let devnet: Devnet
let fresh: () => HDNodeWallet
let folder: string
let folders = 0
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 120 })
  fresh = freshAccounts(devnet)
  folder = await mkdtemp(join(tmpdir(), 'sluice-restart-'))
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(async () => {
  await devnet.stop()
  await rm(folder, { recursive: true, force: true })
})

const path = (): string => join(folder, `store-${folders++}`)

async function shopOf(
  options: Parameters<typeof openShop>[3] = {},
  account = fresh(),
  goods: Parameters<typeof openShop>[2] = items,
): Promise<Shop> {
  const shop = await openShop(devnet, account, goods, { granularity: GRAIN, window: 8, ackTimeout: 3000, ...options })
  cleanups.push(shop.close)
  return shop
}

async function buyerOf(account: HDNodeWallet, options: Parameters<typeof openBuyer>[2]): Promise<Buyer> {
  const buyer = await openBuyer(devnet, account, options)
  cleanups.push(buyer.close)
  return buyer
}

/** Reads a purchase into a list, up to so many bytes; then the program ends, and so does its link. */
async function readUntil(purchase: Purchase, bytes: number, stop: () => void): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let length = 0
  try {
    for await (const part of purchase) {
      parts.push(Uint8Array.from(part))
      length += part.length
      if (length >= bytes) stop()
    }
  } catch {
    // It was stopped.
  }
  return Buffer.concat(parts)
}

async function created(account: HDNodeWallet): Promise<number> {
  const contract = devnet.contracts.dataTrade
  return (await contract.queryFilter(contract.filters.OrderCreated(undefined, account.address))).length
}

describe('persist, then send', () => {
  test("a voucher that can't be kept does not open the window", async () => {
    const store = faultyStore((_, changes) => (changes.some(({ key }) => key.startsWith('token/voucher/')) ? 'refused' : 'done'))
    const { url } = await shopOf({ store, ackTimeout: 400 })
    const buyer = await connectRawBuyer(devnet, fresh(), url)
    cleanups.push(() => buyer.socket.terminate())
    const order = await buyer.create('item')
    await buyer.order(order)
    await buyer.received(GRAIN)
    await buyer.ack(order.id, GRAIN)
    expect(await buyer.refused(order.id)).toBe('STORE_FAILED')
    expect(buyer.stream(0).bytes).toBe(GRAIN)
  })

  test("an acknowledgement that can't be kept is not sent", async () => {
    const store = faultyStore((_, changes) => (changes.some(({ key }) => key.startsWith('ack/')) ? 'refused' : 'done'))
    const seller = await startRawSeller(devnet, fresh(), {
      data,
      granularity: GRAIN,
      script: async (sale) => sale.send(await sale.frame(0)),
    })
    cleanups.push(seller.close)
    const buyer = await buyerOf(fresh(), { store })
    await expect(buyer.buy({ seller: seller.url, item: 'item' }).bytes()).rejects.toMatchObject({ code: 'STORE_FAILED' })
    await pause(100)
    expect(seller.acks).toEqual([])
  })

  test("nothing is deposited for an order that can't be kept", async () => {
    const store = faultyStore((_, changes) => (changes.some(({ key }) => key.startsWith('order/')) ? 'refused' : 'done'))
    const { url } = await shopOf()
    const account = fresh()
    const buyer = await buyerOf(account, { store })
    await expect(buyer.buy({ seller: url, item: 'item' }).bytes()).rejects.toMatchObject({ code: 'STORE_FAILED' })
    expect(await created(account)).toBe(0)
  })

  test("no data flows for an order that the seller can't keep", async () => {
    const store = faultyStore((_, changes) => (changes.some(({ key }) => key.startsWith('token/order/')) ? 'refused' : 'done'))
    const { url } = await shopOf({ store })
    const buyer = await connectRawBuyer(devnet, fresh(), url)
    cleanups.push(() => buyer.socket.terminate())
    const order = await buyer.create('item')
    await buyer.order(order)
    expect(await buyer.refused(order.id)).toBe('STORE_FAILED')
    expect(buyer.stream(0).bytes).toBe(0)
  })
})

describe('a buyer that crashes at any of its writes', () => {
  const small = data.subarray(0, 6 * GRAIN)
  const price = 6000n

  test.each(['last', 'lost'] as const)(
    'goes on from there with one deposit, and the data is whole (the write is %s)',
    async (fate: WriteFate) => {
      const { url } = await shopOf({ settleDelay: 10 }, fresh(), [{ id: 'item', data: small, price }])
      let crashes = 0
      for (let at = 0; ; at++) {
        const account = fresh()
        const store = faultyStore((write) => (write === at ? fate : 'done'))
        let file: Buffer = Buffer.alloc(0)
        try {
          const first = await openBuyer(devnet, account, { store })
          const purchase = first.buy({ seller: url, item: 'item' })
          purchase.receipt.catch(() => {})
          file = await readUntil(purchase, Infinity, () => {})
          await first.close()
        } catch {
          // It crashed before it was there.
        }
        if (!store.dead) break
        crashes++
        const second = await openBuyer(devnet, account, { store: memoryStore(new Map(store.entries)) })
        const open: Hex[] = []
        for await (const { record, state } of second.orders()) if (state !== 'done') open.push(record.id)
        expect(open.length).toBeLessThanOrEqual(1)
        if (open.length === 1 || file.length < small.length) {
          const purchase = open[0] ? second.resume(open[0], { partial: file }) : second.buy({ seller: url, item: 'item' })
          const rest = await purchase.bytes()
          file = Buffer.concat([file.subarray(0, await purchase.offset), rest])
          await finishedOrder(devnet, await purchase.orderId)
        }
        expect(Buffer.compare(file, small)).toBe(0)
        expect(await created(account)).toBe(1)
        for await (const { record } of second.orders()) {
          expect(await finishedOrder(devnet, record.id)).toMatchObject({ deposit: price, paid: price, transferred: small.length })
        }
        await second.close()
      }
      expect(crashes).toBeGreaterThanOrEqual(6) // the session key, the order, its transaction, the ACKs, the end
    },
    60_000,
  )
})

describe('restarts', () => {
  test('a buyer goes on where it stopped, with its file', async () => {
    const { url } = await shopOf()
    const [account, store, out] = [fresh(), path(), join(folder, 'out')]
    const { connect, die } = mortalConnect()
    const first = await buyerOf(account, { store, connect, reconnects: 1 })
    const purchase = first.buy({ seller: url, item: 'item' })
    const got = await readUntil(purchase, 20 * GRAIN, die)
    expect(got.length).toBeGreaterThanOrEqual(20 * GRAIN)
    const id = await purchase.orderId
    await first.close()
    await writeFile(out, got)

    const second = await buyerOf(account, { store })
    const resumed = second.resume(id, { partial: createReadStream(out) })
    const rest = await resumed.bytes()
    const offset = await resumed.offset
    expect(offset).toBeGreaterThanOrEqual(14 * GRAIN) // what was acknowledged
    expect(Buffer.compare(rest, data.subarray(offset))).toBe(0)
    expect(await finishedOrder(devnet, id)).toMatchObject({ paid: PRICE, deposit: PRICE })
    expect(await created(account)).toBe(1)
    await expect(second.resume(id).bytes()).rejects.toMatchObject({ code: 'ORDER_FINISHED' })
  })

  test('a seller comes back, and the buyer goes on by itself', async () => {
    const [account, store] = [fresh(), path()]
    const shop = await shopOf({ store }, account)
    const port = Number(new URL(shop.url).port)
    const buyer = await buyerOf(fresh(), { reconnects: 8 })
    const purchase = buyer.buy({ seller: shop.url, item: 'item' })
    const parts: Uint8Array[] = []
    for await (const part of purchase) {
      parts.push(part)
      if (parts.length === 15 || parts.length === 30) {
        if (parts.length === 15) await shop.close()
        else await cleanups.pop()!()
        await shopOf({ store, port }, account)
      }
    }
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
    expect((await purchase.receipt).reconnects).toBe(2)
    expect(await finishedOrder(devnet, await purchase.orderId)).toMatchObject({ paid: PRICE })
  })

  test('both come back, after an ACK that only one of them has', async () => {
    const [sellerAccount, buyerAccount, sellerStore, buyerStore] = [fresh(), fresh(), path(), path()]
    const shop = await shopOf({ store: sellerStore }, sellerAccount)
    const port = Number(new URL(shop.url).port)
    const proxy = await startTcpProxy(shop.url)
    cleanups.push(proxy.close)
    const first = await buyerOf(buyerAccount, {
      store: buyerStore,
      reconnects: 1,
      stallTimeout: 200,
      openTimeout: 200,
      connectTimeout: 200,
    })
    const purchase = first.buy({ seller: proxy.url, item: 'item' })
    // From some point on nothing the buyer says arrives, though it goes on to sign.
    const got = await readUntil(purchase, 20 * GRAIN, () => proxy.freeze(true))
    const id = await purchase.orderId
    await first.close()
    await shop.close()
    proxy.cut()
    expect(got.length).toBeGreaterThanOrEqual(20 * GRAIN)

    await shopOf({ store: sellerStore, port }, sellerAccount)
    const second = await buyerOf(buyerAccount, { store: buyerStore })
    const resumed = second.resume(id, { partial: got })
    const rest = await resumed.bytes()
    expect(Buffer.compare(Buffer.concat([got.subarray(0, await resumed.offset), rest]), data)).toBe(0)
    expect(await finishedOrder(devnet, id)).toMatchObject({ paid: PRICE })
    expect(await created(buyerAccount)).toBe(1)
  })

  test('an order that was over but not settled is settled by the next start', async () => {
    const [account, entries] = [fresh(), new Map<string, Uint8Array>()]
    const shop = await shopOf({ store: memoryStore(entries), settleDelay: 60_000 }, account)
    const buyer = await buyerOf(fresh(), {})
    const purchase = buyer.buy({ seller: shop.url, item: 'item' })
    await purchase.bytes()
    const id = await purchase.orderId
    await until('the order to be due', () => Buffer.from(entries.get(`token/order/${id}`) ?? []).includes('"due":true'))
    const killed = new Map(entries)
    expect(await ledgerOf(devnet, id)).toMatchObject({ state: 'open' })
    await shopOf({ store: memoryStore(killed) }, account)
    expect(await finishedOrder(devnet, id)).toMatchObject({ paid: PRICE })
  })

  test.each(['exit', 'vanish'] as const)('an ACK that comes while the seller looks an order up still counts before %s', async (end) => {
    const [account, store] = [fresh(), path()]
    const shop = await shopOf({ store, settleDelay: 60_000 }, account)
    const port = Number(new URL(shop.url).port)
    const buyerAccount = fresh()
    const first = await connectRawBuyer(devnet, buyerAccount, shop.url)
    const order = await first.create('item')
    await first.order(order)
    await first.received(GRAIN)
    await first.ack(order.id, GRAIN)
    await first.received(3 * GRAIN) // the ACK has opened the window
    await first.vanish()
    await shop.close()

    const { seller } = await shopOf({ store, port }, account)
    const paid: number[] = []
    seller.events.on('paid', (event) => paid.push(event.paid))
    const second = await connectRawBuyer(devnet, buyerAccount, shop.url, { key: first.key })
    cleanups.push(() => second.socket.terminate())
    await second.resume(order.id, 3 * GRAIN)
    await second.ack(order.id, 3 * GRAIN)
    if (end === 'exit') {
      await second.exit(order.id)
      expect(await finishedOrder(devnet, order.id)).toMatchObject({ transferred: 3 * GRAIN })
    } else {
      await second.vanish()
      await until('the payment', () => paid.length > 0)
    }
    expect(paid).toEqual([3 * GRAIN])
  })

  test('one store is not for two, on either side', async () => {
    const [store, account] = [path(), fresh()]
    await shopOf({ store }, account)
    await expect(shopOf({ store }, account)).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    const other = path()
    await buyerOf(fresh(), { store: other })
    await expect(buyerOf(fresh(), { store: other })).rejects.toMatchObject({ code: 'STORE_LOCKED' })
  })

  test('another wallet does not open the session key of a store', async () => {
    const store = path()
    await (await openBuyer(devnet, fresh(), { store })).close()
    await expect(openBuyer(devnet, fresh(), { store })).rejects.toMatchObject({ code: 'BAD_KEY' })
  })

  test("an order that is not in the store can't be resumed", async () => {
    const buyer = await buyerOf(fresh(), {})
    await expect(buyer.resume(`0x${'12'.repeat(32)}`).bytes()).rejects.toMatchObject({ code: 'NO_SUCH_ORDER' })
  })
})

describe('the file of an interrupted purchase', () => {
  const flipped = (bytes: Uint8Array, at: number): Buffer => {
    const copy = Buffer.from(bytes)
    copy[at]! ^= 1
    return copy
  }

  const acked = 24 * GRAIN

  /** A purchase of which exactly 24 chunks are acknowledged. */
  async function interrupted(): Promise<{
    resume: (partial: PartialData | undefined) => Promise<{ offset: number; rest: Uint8Array; id: Hex }>
  }> {
    const { url } = await shopOf()
    const [account, entries] = [fresh(), new Map<string, Uint8Array>()]
    const store = memoryStore(entries)
    const { connect, die } = mortalConnect()
    const first = await openBuyer(devnet, account, { store, connect, reconnects: 1 })
    const purchase = first.buy({ seller: url, item: 'item' })
    const id = purchase.orderId
    const standing = async (): Promise<number> =>
      Number(Buffer.from(entries.get(`ack/${await id}`) ?? Buffer.alloc(8)).readBigUInt64BE())
    let got = 0
    let killed = new Map<string, Uint8Array>()
    await expect(async () => {
      for await (const part of purchase) {
        got += part.length
        // What is handed over is acknowledged when the next one is asked for: chunk 24 is, once we have chunk 25.
        if (got === acked + GRAIN) {
          await until('the acknowledgement', async () => (await standing()) === acked)
          killed = new Map(entries)
          die()
        }
      }
    }).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    await first.close()
    await store.close()
    const second = await buyerOf(account, { store: memoryStore(killed) })
    return {
      resume: async (partial) => {
        const resumed = second.resume(await id, { partial })
        expect(await resumed.orderId).toBe(await id) // before anything is iterated
        const offset = await resumed.offset
        const rest = await resumed.bytes()
        return { offset, rest, id: await id }
      },
    }
  }

  test.each([
    { name: 'as it was left', partial: data.subarray(0, acked), offset: acked },
    { name: 'shorter by three chunks', partial: data.subarray(0, acked - 3 * GRAIN), offset: acked - 3 * GRAIN },
    { name: 'cut in the middle of a chunk', partial: data.subarray(0, acked - 700), offset: acked - 700 },
    { name: 'empty', partial: new Uint8Array(0), offset: 0 },
    { name: 'longer than what was acknowledged', partial: data.subarray(0, acked + 5000), offset: acked + 5000 },
    { name: 'whole, and not acknowledged', partial: data, offset: data.length },
    { name: 'given as a Blob', partial: new Blob([data.slice(0, acked)]), offset: acked },
    { name: 'not given: only what is missing comes', partial: undefined, offset: acked },
  ])('$name', async ({ partial, offset }) => {
    const { resume } = await interrupted()
    const result = await resume(partial)
    expect(result.offset).toBe(offset)
    expect(Buffer.compare(result.rest, data.subarray(offset))).toBe(0)
    // What came twice was paid once.
    expect(await finishedOrder(devnet, result.id)).toMatchObject({ paid: PRICE })
  })

  test.each([
    { name: 'with a bit off at the start', partial: flipped(data.subarray(0, acked), 3) },
    { name: 'with a bit off at the end', partial: flipped(data.subarray(0, acked), acked - 1) },
    { name: 'with garbage behind it', partial: Buffer.concat([data.subarray(0, acked), sampleData(3333, 9)]) },
    { name: 'longer than the order', partial: Buffer.concat([data, Buffer.alloc(1)]) },
    { name: 'of something else', partial: sampleData(acked, 5) },
    { name: 'shorter, and with a bit off', partial: flipped(data.subarray(0, acked - 3 * GRAIN), 3) },
  ])('$name is refused', async ({ partial }) => {
    const { resume } = await interrupted()
    await expect(resume(partial)).rejects.toMatchObject({ code: 'PARTIAL_MISMATCH' })
  })
})

test('a buyer that leaves pays for what it had: exactly that, whatever the window', async () => {
  const { url } = await shopOf()
  const buyer = await buyerOf(fresh(), {})
  for (const chunks of [1, 2, 7, 13]) {
    const purchase = buyer.buy({ seller: url, item: 'item' })
    let count = 0
    for await (const _part of purchase) if (++count === chunks) break
    const { bytes, paid, orderId } = await purchase.receipt
    expect([bytes, paid]).toEqual([chunks * GRAIN, payFor({ price: PRICE, totalData: data.length }, chunks * GRAIN)])
    expect(await finishedOrder(devnet, orderId)).toMatchObject({ paid, transferred: bytes })
  }
})
