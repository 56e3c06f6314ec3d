import { randomUUID } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Buyer, BuyOptions } from '../../src/buyer/index.ts'
import type { Source } from '../../src/seller/index.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { sampleData } from '../faults/support/data.ts'
import { freshAccounts, openBuyer, openShop, type Shop } from '../faults/support/shop.ts'

const GRANULE = 1000
const data = sampleData(10 * GRANULE + 1)
const price = 10_001n
const file = join(tmpdir(), `sluice-parts-${randomUUID()}`)
const shifting = `${file}-shifting`

/** Bytes that their owner changes under the seller's hands. */
const careless = data.slice()

/** A source that a program brings itself, and how many of its readers are open. */
let open = 0
const own: Source = {
  size: data.length,
  open: async () => {
    open++
    return {
      read: async (offset, targets) => {
        let at = offset
        for (const target of targets) {
          target.set(data.subarray(at, at + target.length))
          at += target.length
        }
      },
      close: async () => void open--,
    }
  },
}

let devnet: Devnet
let shop: Shop
let buyer: Buyer
let account: ReturnType<typeof freshAccounts>

beforeAll(async () => {
  await writeFile(file, data)
  await writeFile(shifting, data)
  devnet = await startDevnet()
  account = freshAccounts(devnet)
  shop = await openShop(
    devnet,
    account(),
    [
      { id: 'bytes', data, price, sample: { first: 9, count: 2 } },
      { id: 'file', data: file, price },
      { id: 'shifting', data: shifting, price },
      { id: 'Blob', data: new Blob([data.slice()]), price },
      { id: 'source', data: own, price },
      { id: 'careless', data: careless, price },
      { id: 'one byte', data: data.slice(0, 1), price: 1n },
      { id: 'one big chunk', data: sampleData(4 * 1024 * 1024), price, granularity: 4 * 1024 * 1024 },
      { id: 'byte by byte', data: data.slice(0, 20), price: 20n, granularity: 1 },
    ],
    { granularity: GRANULE, window: 4 },
  )
  buyer = await openBuyer(devnet, account())
})
afterAll(async () => {
  await buyer.close()
  await shop.close()
  await devnet.stop()
  await rm(file, { force: true })
  await rm(shifting, { force: true })
})

const buy = (options: Omit<BuyOptions, 'seller'>) => buyer.buy({ seller: shop.url, ...options })

describe('a part of an item', () => {
  it.each<[string, Partial<BuyOptions>, number, number, number]>([
    ['the first byte', { bytes: [0, 1] }, 0, 1, 1],
    ['the last byte', { bytes: [10_000, 10_001] }, 10_000, 10_001, 1],
    ['bytes within a chunk', { bytes: [2500, 2600] }, 2500, 2600, 1],
    ['bytes of two chunks', { bytes: [2999, 3001] }, 2999, 3001, 2],
    ['bytes of many chunks', { bytes: [1500, 9500] }, 1500, 9500, 9],
    ['all bytes', { bytes: [0, 10_001] }, 0, 10_001, 11],
    ['one chunk', { chunks: { first: 7, count: 1 } }, 7000, 8000, 1],
    ['the short last chunk', { chunks: { first: 10, count: 1 } }, 10_000, 10_001, 1],
    ['the last chunks', { chunks: { first: 8, count: 3 } }, 8000, 10_001, 3],
  ])('%s comes alone, and costs what its chunks are worth', async (_name, selection, from, to, chunks) => {
    const purchase = buy({ item: 'bytes', ...selection })
    expect(Buffer.from(await purchase.bytes())).toEqual(Buffer.from(data.subarray(from, to)))
    const whole = Math.min(data.length, Math.ceil(to / GRANULE) * GRANULE) - Math.floor(from / GRANULE) * GRANULE
    expect(await purchase.receipt).toMatchObject({ chunks, bytes: whole, paid: BigInt(whole), price: BigInt(whole) })
  })

  it('is proven against the root of the whole in every form', async () => {
    for (const options of [{ form: 'json' }, { claims: true }, { mode: 'onchain' }] as const) {
      const part = await buy({ item: 'bytes', bytes: [3500, 6500], ...options }).bytes()
      expect(Buffer.from(part)).toEqual(Buffer.from(data.subarray(3500, 6500)))
    }
  })
})

describe('a sample', () => {
  it('is free, and what the item holds there', async () => {
    const before = await devnet.provider.getTransactionCount(buyer.address)
    expect(Buffer.from(await buyer.sample({ seller: shop.url, item: 'bytes' }))).toEqual(Buffer.from(data.subarray(9 * GRANULE)))
    expect(await devnet.provider.getTransactionCount(buyer.address)).toBe(before)
  })

  it('leaves no order behind', async () => {
    const ids = async (): Promise<string[]> => {
      const out: string[] = []
      for await (const { record } of buyer.orders()) out.push(record.id)
      return out
    }
    const before = await ids()
    await buyer.sample({ seller: shop.url, item: 'bytes' })
    expect(await ids()).toEqual(before)
  })

  it('is not there if the seller offers none', async () => {
    await expect(buyer.sample({ seller: shop.url, item: 'file' })).rejects.toMatchObject({ code: 'RANGE_INVALID' })
  })
})

describe('data', () => {
  it.each(['bytes', 'file', 'Blob', 'source'])('from %s comes as it is', async (item) => {
    expect(Buffer.compare(await buy({ item }).bytes(), data)).toBe(0)
    expect(open).toBe(0)
  })

  it('of one byte comes as one chunk', async () => {
    expect(await buy({ item: 'one byte' }).bytes()).toEqual(data.slice(0, 1))
  })

  it('in chunks of one byte comes byte by byte', async () => {
    const purchase = buy({ item: 'byte by byte' })
    expect(Buffer.from(await purchase.bytes())).toEqual(Buffer.from(data.subarray(0, 20)))
    expect((await purchase.receipt).chunks).toBe(20)
  })

  it.each(['binary', 'json'] as const)('in the largest chunk there is comes as %s', async (form) => {
    const bytes = await buy({ item: 'one big chunk', form }).bytes()
    expect(Buffer.compare(bytes, sampleData(4 * 1024 * 1024))).toBe(0)
  })

  it('that has changed since it was put on the menu is not sold, and costs nothing', async () => {
    await writeFile(shifting, data.map((byte, i) => (i === 5000 ? byte ^ 1 : byte)))
    const purchase = buy({ item: 'shifting' })
    await expect(purchase.bytes()).rejects.toMatchObject({ code: 'PEER_REFUSED', details: { code: 'SOURCE_FAILED' } })
    const account = await devnet.contracts.dataTrade.account(await purchase.orderId)
    expect(account.paid).toBe(0n)
  })

  it('that changes under the hands of the seller is refused by the buyer, and never signed by the seller', async () => {
    careless[5000]! ^= 1
    const plain = buy({ item: 'careless' })
    await expect(plain.bytes()).rejects.toMatchObject({ code: 'WRONG_CHUNK', details: { index: 5 } })
    for (const options of [{ claims: true }, { form: 'json' }] as const) {
      const signed = buy({ item: 'careless', ...options })
      await expect(signed.bytes()).rejects.toMatchObject({ code: 'PEER_REFUSED', details: { code: 'SOURCE_FAILED' } })
      await expect(buyer.dispute(await signed.orderId)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    }
  })

  it('that was cut short is not put on a menu again', async () => {
    await writeFile(shifting, '')
    await expect(openShop(devnet, account(), [{ id: 'x', data: shifting, price }])).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await rm(shifting)
    await expect(openShop(devnet, account(), [{ id: 'x', data: shifting, price }])).rejects.toMatchObject({ code: 'SOURCE_FAILED' })
  })
})
