/**
 * Hostile sellers, over real sockets: what a buyer pays for, and what it never pays for.
 * @module
 */
import type { HDNodeWallet } from 'ethers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Buyer, BuyerOptions, BuyOptions } from '../../src/buyer/index.ts'
import { generateKey } from '../../src/core/crypto/key.ts'
import { dataTradeDomain } from '../../src/contracts/typedData.ts'
import type { SluiceError } from '../../src/core/errors.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { keyIdentity } from '../../src/protocol/identity.ts'
import { menuToWire } from '../../src/protocol/menu.ts'
import { unpaidWindow } from '../../src/protocol/window.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { sampleData } from './support/data.ts'
import { startRawSeller, type RawSale, type RawSeller, type RawSellerOptions } from './support/rawSeller.ts'
import { freshAccounts, ledgerOf, openBuyer, openShop } from './support/shop.ts'
import { pause, until } from './support/until.ts'

const GRAIN = 1024
const CHUNKS = 32
const WINDOW = 8
const PRICE = 32_000n
const data = sampleData(GRAIN * CHUNKS)
const other = sampleData(GRAIN * CHUNKS, 2)
const chunkOf = (bytes: Uint8Array, index: number): Uint8Array => bytes.subarray(index * GRAIN, (index + 1) * GRAIN)

let devnet: Devnet
let fresh: () => HDNodeWallet
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 80, grace: 2 })
  fresh = freshAccounts(devnet)
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(() => devnet.stop())

async function cheat(script: RawSellerOptions['script'], options: Partial<RawSellerOptions> = {}): Promise<RawSeller> {
  const seller = await startRawSeller(devnet, fresh(), {
    data,
    granularity: GRAIN,
    window: WINDOW,
    price: PRICE,
    script,
    ...options,
  })
  cleanups.push(seller.close)
  return seller
}

async function buyerOf(options: Partial<BuyerOptions> = {}): Promise<Buyer> {
  const buyer = await openBuyer(devnet, fresh(), { stallTimeout: 300, openTimeout: 600, reconnects: 2, ...options })
  cleanups.push(buyer.close)
  return buyer
}

/** Buys until it fails: what came, what was acknowledged at most, and the error. */
async function victim(seller: RawSeller, buy: Partial<BuyOptions> = {}, given?: Buyer) {
  const buyer = given ?? (await buyerOf())
  const purchase = buyer.buy({ seller: seller.url, item: 'item', ...buy })
  const parts: Uint8Array[] = []
  let error: SluiceError | undefined
  try {
    for await (const part of purchase) parts.push(Uint8Array.from(part))
  } catch (thrown) {
    error = thrown as SluiceError
  }
  await pause(50) // for an ACK on its way
  const got = Buffer.concat(parts)
  const acked = Math.max(0, ...seller.acks.map(({ payload }) => payload.transferred))
  return { buyer, purchase, error, got, acked, id: await purchase.orderId }
}

/** Delivers properly up to a chunk, no farther than the window lets it. */
const deliver =
  (until: number): RawSellerOptions['script'] =>
    async (sale) => {
      for (let index = sale.received / GRAIN; index < until; index++) {
        while (index >= Math.floor(sale.acked / GRAIN) + unpaidWindow(Math.floor(sale.acked / GRAIN), WINDOW)) {
          if (!(await sale.paid(sale.acked + 1))) return
        }
        sale.send(await sale.frame(index))
      }
    }

describe('a chunk that is not what was promised is refused, and nothing is paid for it', () => {
  const bad: readonly [name: string, script: (at: number) => RawSellerOptions['script']][] = [
    ['another content', (at) => async (sale) => sale.send(await sale.frame(at, { body: chunkOf(other, at) }))],
    [
      'one bit off',
      (at) => async (sale) => {
        const body = Uint8Array.from(chunkOf(data, at))
        body[500]! ^= 1
        sale.send(await sale.frame(at, { body }))
      },
    ],
    ['one byte short', (at) => async (sale) => sale.send(await sale.frame(at, { body: chunkOf(data, at).subarray(1) }))],
    [
      'one byte long',
      (at) => async (sale) => sale.send(await sale.frame(at, { body: Buffer.concat([chunkOf(data, at), Buffer.of(0)]) })),
    ],
    ['empty', (at) => async (sale) => sale.send(await sale.frame(at, { body: new Uint8Array(0) }))],
    ['the one before again', (at) => async (sale) => sale.send(await sale.frame(at - 1))],
    ['the one after', (at) => async (sale) => sale.send(await sale.frame(at + 1))],
    ['another chunk under its index', (at) => async (sale) => sale.send(await sale.frame(at + 1, { as: at }))],
    ['an index beyond the item', (at) => async (sale) => sale.send(await sale.frame(at, { as: CHUNKS + 5 }))],
  ]
  test.each(bad)('%s', async (_name, script) => {
    const good = 9
    const seller = await cheat(async (sale) => {
      await deliver(good)(sale)
      await sale.paid((good - 1) * GRAIN) // the window has room for the bad one
      await script(good)(sale)
    })
    const { error, got, acked, id, buyer } = await victim(seller)
    expect(error?.code).toBe('WRONG_CHUNK')
    expect(Buffer.compare(got, data.subarray(0, good * GRAIN))).toBe(0)
    expect(acked).toBeLessThanOrEqual(good * GRAIN)
    expect(acked).toBeGreaterThanOrEqual((good - 1) * GRAIN)
    // It was told why, and the deposit comes back but for what was acknowledged.
    expect(seller.exits.map(({ reason }) => reason?.code)).toContain('WRONG_CHUNK')
    const reclaimed = buyer.reclaim(id)
    await pause(250)
    await devnet.increaseTime(5)
    const { paid, refunded } = await reclaimed
    expect(paid).toBe((PRICE * BigInt(acked)) / BigInt(data.length))
    expect(paid + refunded).toBe(PRICE)
  })

  test('a signed wrong chunk is evidence: the whole rest of the deposit comes back at once', async () => {
    const seller = await cheat(async (sale) => {
      for (let i = 0; i < 3; i++) {
        sale.send(await sale.frame(i, { claim: true }))
        await sale.paid((i + 1) * GRAIN)
      }
      sale.send(await sale.frame(3, { body: chunkOf(other, 3), claim: true }))
    })
    const { error, acked, id, buyer } = await victim(seller, { claims: true })
    expect(error?.code).toBe('WRONG_CHUNK')
    expect(acked).toBe(3 * GRAIN)
    expect(await buyer.dispute(id)).toEqual({ state: 'disputed', refunded: PRICE, paid: 0n })
    expect(await ledgerOf(devnet, id)).toMatchObject({ state: 'disputed', paid: 0n })
  })

  test('a wrong chunk that somebody else signed is refused, but is no evidence', async () => {
    const stranger = keyIdentity(generateKey(), dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade))
    const seller = await cheat(async (sale) => sale.send(await sale.frame(0, { body: chunkOf(other, 0), claim: stranger })))
    const { error, got, acked, id, buyer } = await victim(seller, { claims: true })
    expect([error?.code, got.length, acked]).toEqual(['BAD_SIGNATURE', 0, 0])
    await expect(buyer.dispute(id)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  })

  test.each([10, GRAIN - 1, GRAIN + 1])('a chunk of %i bytes is refused although the root has it so', async (length) => {
    const odd = (index: number): Uint8Array => (index === 3 ? sampleData(length, 4) : chunkOf(data, index))
    const seller = await cheat(deliver(CHUNKS), { chunk: odd })
    const { error, got, acked } = await victim(seller)
    expect([error?.code, got.length]).toEqual(['WRONG_CHUNK', 3 * GRAIN])
    expect(acked).toBeLessThanOrEqual(3 * GRAIN)
  })

  test('a right chunk without the claim that was asked for is refused', async () => {
    const seller = await cheat(async (sale) => sale.send(await sale.frame(0)))
    const { error, got, acked } = await victim(seller, { claims: true })
    expect([error?.code, got.length, acked]).toEqual(['WRONG_CHUNK', 0, 0])
  })
})

describe('a seller that breaks the rules of the stream', () => {
  test('more than the unpaid window is refused before it is held', async () => {
    const seller = await cheat(async (sale) => {
      await deliver(4)(sale)
      await sale.paid(4 * GRAIN)
      // Five may be unpaid after four paid ones: these are six, in one go.
      for (let i = 4; i < 10; i++) sale.send(await sale.frame(i))
    })
    const buyer = await buyerOf()
    const purchase = buyer.buy({ seller: seller.url, item: 'item' })
    let got = 0
    let held = 0
    await expect(async () => {
      for await (const part of purchase) {
        got += part.length
        // What came in is more than the caller has asked for yet: it lies in the queue.
        if (got === 5 * GRAIN) {
          await pause(100)
          held = got
        }
      }
    }).rejects.toMatchObject({ code: 'UNEXPECTED_MESSAGE' })
    expect(held).toBeLessThanOrEqual(9 * GRAIN)
    expect(got).toBeLessThanOrEqual(9 * GRAIN)
  })

  test('a seller that greets and then stays silent is given up, unpaid', async () => {
    const seller = await cheat(() => {})
    const began = performance.now()
    const { error, acked, got } = await victim(seller)
    expect([error?.code, acked, got.length]).toEqual(['CONNECTION_LOST', 0, 0])
    expect(seller.connections).toBe(3) // the first, and two reconnections
    expect(performance.now() - began).toBeLessThan(8000)
  })

  test('so is one that stops in the middle', async () => {
    const seller = await cheat(deliver(5))
    const { error, acked, got } = await victim(seller)
    expect([error?.code, acked, got.length]).toEqual(['CONNECTION_LOST', 5 * GRAIN, 5 * GRAIN])
    expect(seller.connections).toBe(3)
  })

  test('a seller that gives one chunk on each link is served as long as it gives', async () => {
    const seller = await cheat(async (sale) => {
      const index = sale.received / GRAIN
      sale.send(await sale.frame(index))
      if (await sale.paid((index + 1) * GRAIN)) sale.socket.close(1001, 'enough')
    })
    const { error, got } = await victim(seller, { chunks: { first: 0, count: 6 } })
    expect(error).toBeUndefined()
    expect(Buffer.compare(got, data.subarray(0, 6 * GRAIN))).toBe(0)
  })

  test('a seller that throws the buyer out each time it comes is given up', async () => {
    const seller = await cheat((sale) => sale.socket.close(1008, 'BAD_MESSAGE'))
    const { error } = await victim(seller)
    expect(error?.code).toBe('CONNECTION_LOST')
    expect(seller.connections).toBe(3)
  })

  test('a seller that says goodbye before it is done has broken the order', async () => {
    const seller = await cheat(async (sale) => {
      await deliver(3)(sale)
      await sale.paid(3 * GRAIN)
      const session = seller.requests[0]!.payload.session
      await sale.say('exit', { order_ID: sale.id, session, rating: null, reason: null })
    })
    const { error, acked } = await victim(seller)
    expect([error?.code, acked]).toEqual(['PEER_REFUSED', 3 * GRAIN])
  })

  test('a seller that loses patience when everything is here is paid all the same', async () => {
    const seller = await cheat(async (sale) => {
      sale.send(await sale.frame(0))
      const { session } = seller.requests[0]!.payload
      await sale.say('exit', {
        order_ID: sale.id,
        session,
        rating: null,
        reason: { code: 'PAYMENT_LATE', message: 'no payment came' },
      })
    })
    // A buyer whose payment takes its time.
    const inner = memoryStore()
    const write = (changes: Parameters<typeof inner.write>[0]): Promise<void> =>
      pause(changes.some(({ key }) => key.startsWith('ack/')) ? 300 : 0).then(() => inner.write(changes))
    const buyer = await buyerOf({ store: { ...inner, write } })
    const { error, got, acked } = await victim(seller, { chunks: { first: 0, count: 1 } }, buyer)
    expect([error, got.length, acked]).toEqual([undefined, GRAIN, GRAIN])
  })

  test('a seller that says goodbye and sends on changes nothing', async () => {
    const seller = await cheat(async (sale) => {
      await deliver(2)(sale)
      await sale.paid(2 * GRAIN)
      const session = seller.requests[0]!.payload.session
      await sale.say('exit', { order_ID: sale.id, session, rating: null, reason: null })
      for (let i = 0; i < 100; i++) sale.send(await sale.frame(i % CHUNKS))
    })
    const { error, got, acked } = await victim(seller, { chunks: { first: 0, count: 2 } })
    expect([error, got.length, acked]).toEqual([undefined, 2 * GRAIN, 2 * GRAIN])
  })

  test('chunks on a stream that nobody opened are ignored', async () => {
    const seller = await cheat(async (sale) => {
      const stray = Buffer.from(await sale.frame(7))
      stray.writeUInt32BE(999, 4)
      for (let i = 0; i < 50; i++) sale.send(stray)
      await deliver(2)(sale)
    })
    const { error, got } = await victim(seller, { chunks: { first: 0, count: 2 } })
    expect(error).toBeUndefined()
    expect(Buffer.compare(got, data.subarray(0, 2 * GRAIN))).toBe(0)
  })

  test('a text of endless length ends the link, not the memory', async () => {
    const seller = await cheat((sale) => sale.socket.send('x'.repeat(7 * 1024 * 1024)))
    const { error, got } = await victim(seller)
    expect([error?.code, got.length]).toEqual(['CONNECTION_LOST', 0])
  })

  test.each([
    ['a second menu', (sale: RawSale, seller: RawSeller) => sale.say('menu', menuToWire(seller.menu))],
    ['a broken frame', (sale: RawSale) => sale.socket.send(Buffer.from([1, 9, 9]))],
    ['a broken text', (sale: RawSale) => sale.socket.send('{"message_type":"data"}')],
    ['text that is not UTF-8', (sale: RawSale) => sale.socket.send(Buffer.from([0xff, 0xfe, 0xfd]), { binary: false })],
  ] as const)('%s ends the link; the order can be resumed', async (_name, act) => {
    let once = true
    const seller: RawSeller = await cheat(async (sale) => {
      if (once) {
        once = false
        await deliver(2)(sale)
        await sale.paid(2 * GRAIN)
        await act(sale, seller)
        return
      }
      await deliver(4)(sale)
    })
    const { error, got, purchase } = await victim(seller, { chunks: { first: 0, count: 4 } })
    expect(error).toBeUndefined()
    expect(Buffer.compare(got, data.subarray(0, 4 * GRAIN))).toBe(0)
    expect((await purchase.receipt).reconnects).toBe(1)
  })
})

describe('a seller that changes its offer after the order', () => {
  test('the order goes by the menu it was made on: other data under its name is refused unpaid', async () => {
    const seller = await cheat(
      async (sale) => {
        if (sale.connection === 0) {
          await deliver(3)(sale)
          await sale.paid(3 * GRAIN)
          sale.socket.close(1001)
          return
        }
        sale.send(await sale.frame(3, { body: chunkOf(other, 3) }))
      },
      // A dearer item with another root, on every link after the first.
      {
        offer: (menu, connection) =>
          connection === 0 ? menu : { ...menu, items: [{ ...menu.items[0]!, price: 10n * PRICE, root: `0x${'77'.repeat(32)}` }] },
      },
    )
    const { error, acked, got } = await victim(seller)
    expect([error?.code, acked, got.length]).toEqual(['WRONG_CHUNK', 3 * GRAIN, 3 * GRAIN])
  })

  test('a shop that comes back with other data refuses the old order instead of delivering it', async () => {
    const account = fresh()
    const shop = await openShop(devnet, account, [{ id: 'item', data, price: PRICE }], { granularity: GRAIN, window: WINDOW })
    const port = Number(new URL(shop.url).port)
    const buyer = await buyerOf()
    const purchase = buyer.buy({ seller: shop.url, item: 'item' })
    let next: Awaited<ReturnType<typeof openShop>> | undefined
    let got = 0
    const reading = (async () => {
      for await (const part of purchase) {
        got += part.length
        if (got === 8 * GRAIN) {
          await shop.close()
          next = await openShop(devnet, account, [{ id: 'item', data: other, price: PRICE }], {
            granularity: GRAIN,
            window: WINDOW,
            port,
          })
          cleanups.push(next.close)
        }
      }
    })()
    await expect(reading).rejects.toMatchObject({ code: 'PEER_REFUSED' })
    expect(next).toBeDefined()
    expect(got).toBeLessThan(data.length)
  })

  test('a link on which another account answers does not get the order', async () => {
    const honest = await openShop(devnet, fresh(), [{ id: 'item', data, price: PRICE }], { granularity: GRAIN, window: WINDOW })
    const port = Number(new URL(honest.url).port)
    const buyer = await buyerOf()
    const purchase = buyer.buy({ seller: honest.url, item: 'item' })
    let got = 0
    const reading = (async () => {
      for await (const part of purchase) {
        got += part.length
        if (got === 8 * GRAIN) {
          await honest.close()
          const impostor = await openShop(devnet, fresh(), [{ id: 'item', data, price: PRICE }], {
            granularity: GRAIN,
            window: WINDOW,
            port,
          })
          cleanups.push(impostor.close)
        }
      }
    })()
    await expect(reading).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
  })
})

describe("a seller that wastes a buyer's time before the order", () => {
  test.each([
    ['never greets', () => true],
    ['hangs up at once', (socket: { close(): void }) => (socket.close(), true)],
  ] as const)('a seller that %s', async (_name, greet) => {
    const seller = await cheat(() => {}, { greet })
    const buyer = await buyerOf({ connectTimeout: 300 })
    await expect(buyer.menu(seller.url)).rejects.toSatisfy((error: SluiceError) =>
      ['TIMEOUT', 'CONNECTION_LOST'].includes(error.code),
    )
    await expect(buyer.buy({ seller: seller.url, item: 'item' }).bytes()).rejects.toSatisfy((error: SluiceError) =>
      ['TIMEOUT', 'CONNECTION_LOST'].includes(error.code),
    )
    // Nothing was ordered, so nothing was deposited.
    for await (const order of buyer.orders()) expect(order).toBeUndefined()
  })

  test('a price above what the buyer allows is not paid', async () => {
    const seller = await cheat(deliver(CHUNKS))
    const buyer = await buyerOf()
    await expect(buyer.buy({ seller: seller.url, item: 'item', maxPrice: PRICE - 1n }).bytes()).rejects.toMatchObject({
      code: 'PRICE_MISMATCH',
    })
    expect(seller.requests).toEqual([])
  })

  test('an abort in the middle pays for what came, and no more', async () => {
    const seller = await cheat(deliver(CHUNKS))
    const buyer = await buyerOf()
    const stop = new AbortController()
    const purchase = buyer.buy({ seller: seller.url, item: 'item', signal: stop.signal })
    let got = 0
    await expect(async () => {
      for await (const part of purchase) {
        got += part.length
        if (got === 6 * GRAIN) stop.abort()
      }
    }).rejects.toMatchObject({ code: 'ABORTED' })
    await until('the ACK for what came', () => seller.acks.some(({ payload }) => payload.transferred === got))
    expect(Math.max(...seller.acks.map(({ payload }) => payload.transferred))).toBe(got)
  })
})
