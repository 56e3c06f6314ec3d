/**
 * What is said where a first guess would be wrong.
 * @module
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createBuyer, type Buyer } from '../../src/buyer/index.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import type { Store } from '../../src/core/store/store.ts'
import { createSeller, type Seller } from '../../src/seller/index.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { finishedOrder } from '../faults/support/shop.ts'

const CHUNK = 1024
let devnet: Devnet
let seller: Seller
let url: string

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 5 })
  const items = [{ id: 'item', data: new Uint8Array(1000 * CHUNK), price: 1_000_000n }]
  const { dataTrade } = devnet.deployment
  const settings = { granularity: CHUNK, window: 4, settleDelay: 0 }
  seller = await createSeller({ signer: devnet.accounts[0]!, dataTrade, store: memoryStore(), items, ...settings })
  url = (await seller.listen()).url
}, 60_000)
afterAll(async () => {
  await seller.close()
  await devnet.stop()
})

const buyerOf = (n: number, store?: Store): Promise<Buyer> =>
  createBuyer({ signer: devnet.accounts[n]!, dataTrade: devnet.deployment.dataTrade, reconnects: 0, store })

test('the port of an RPC node is no seller', async () => {
  const buyer = await buyerOf(1)
  await expect(buyer.menu(devnet.url.replace('http', 'ws'))).rejects.toMatchObject({
    code: 'BAD_MESSAGE',
    shortMessage: expect.stringContaining('answers, but not as a seller: it may be another server, such as an RPC node') as string,
  })
  await buyer.close()
})

test('a buyer that is closed while data flows says so and takes no call after; the next one goes on with the order', async () => {
  const store = memoryStore()
  const buyer = await buyerOf(2, store)
  const purchase = buyer.buy({ seller: url, item: 'item' })
  let taken = 0
  let closed: Promise<void> | undefined
  const run = async (): Promise<void> => {
    for await (const chunk of purchase) {
      taken += chunk.length
      if (taken === 5 * CHUNK) closed = buyer.close()
    }
  }
  const stopped = { code: 'STOPPED', shortMessage: 'the buyer is closed: create another on the same store' }
  await expect(run()).rejects.toMatchObject(stopped)
  await closed
  const id = await purchase.orderId
  await expect(buyer.menu(url)).rejects.toMatchObject(stopped)
  expect(() => buyer.buy({ seller: url, item: 'item' })).toThrow(expect.objectContaining({ code: 'STOPPED' }))
  await expect(buyer.reclaim(id)).rejects.toMatchObject(stopped)

  const next = await buyerOf(2, store)
  const rest = next.resume(id)
  expect(await rest.offset).toBe(taken) // all that was handed out is paid
  expect((await rest.bytes()).length).toBe(1000 * CHUNK - taken)
  expect(await finishedOrder(devnet, id)).toMatchObject({ paid: 1_000_000n })
  await next.close()
})
