import { afterAll, beforeAll, expect, test } from 'vitest'
import { createBuyer } from 'sluice-sdk/buyer'
import { createSeller, type Seller } from 'sluice-sdk/seller'
import { startDevnet, type Devnet } from 'sluice-sdk/testing'
import { memoryStore } from '../../src/core/store/memoryStore.ts'

let devnet: Devnet
let seller: Seller
let url: string

beforeAll(async () => {
  devnet = await startDevnet()
  const items = [{ id: 'data', data: new Uint8Array(1000), price: 10n ** 23n }]
  seller = await createSeller({
    signer: devnet.accounts[0]!,
    dataTrade: devnet.deployment.dataTrade,
    store: memoryStore(),
    items,
  })
  url = (await seller.listen()).url
})
afterAll(async () => {
  await seller.close()
  await devnet.stop()
})

test('an order whose deposit was never paid in leaves nothing behind', async () => {
  const signer = devnet.accounts[1]!
  const buyer = await createBuyer({ signer, dataTrade: devnet.deployment.dataTrade })
  // 100,000 ETH; the account has 10,000.
  await expect(buyer.buy({ seller: url, item: 'data' }).bytes()).rejects.toMatchObject({ code: 'INSUFFICIENT_FUNDS' })
  const left = []
  for await (const order of buyer.orders()) left.push(order)
  expect(left).toEqual([])
  await buyer.close()
})
