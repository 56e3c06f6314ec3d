import { JsonRpcProvider, Network } from 'ethers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createBuyer } from 'sluice-sdk/buyer'
import { createSeller } from 'sluice-sdk/seller'
import { startDevnet, type Devnet } from 'sluice-sdk/testing'
import { memoryStore } from '../../src/core/store/memoryStore.ts'

let devnet: Devnet
let renamed: JsonRpcProvider

beforeAll(async () => {
  devnet = await startDevnet({ grace: 2 })
  renamed = new JsonRpcProvider(devnet.url, undefined, { staticNetwork: Network.from(4242), cacheTimeout: -1 })
})
afterAll(async () => {
  renamed.destroy()
  await devnet.stop()
})

const data = new Uint8Array(5000).map((_, i) => i)

test('orders opened before the chain got another id are brought to their end, and new ones are traded', async () => {
  const { dataTrade } = devnet.deployment
  const [selling, buying] = [devnet.accounts[0]!, devnet.accounts[1]!]
  // Chain 4242 is no development chain, on which a few wei would be worth settling by default.
  const minSettlement = { [`0x${'0'.repeat(40)}`]: 0n }
  const shelf = { dataTrade, minSettlement, items: [{ id: 'a', data, price: 5000n, granularity: 1000 }] }
  const [shopStore, buyerStore] = [memoryStore(), memoryStore()]
  // It settles nothing before the change.
  const first = await createSeller({ ...shelf, signer: selling, store: memoryStore(), settleDelay: 10 ** 9 })
  const { url } = await first.listen()
  const early = await createBuyer({ signer: buying, dataTrade, store: buyerStore })
  const purchase = early.buy({ seller: url, item: 'a' })
  for await (const _ of purchase) break
  const id = await purchase.orderId
  await early.close()
  const account = (): Promise<{ state: bigint; closeAt: bigint; paid: bigint }> => devnet.contracts.dataTrade.account(id)
  expect([(await account()).state, (await account()).paid]).toEqual([1n, 0n])

  await devnet.provider.send('anvil_setChainId', [4242])
  const seller = await createSeller({ ...shelf, signer: selling.connect(renamed), store: shopStore, settleDelay: 20 })
  const listener = await seller.listen()
  const buyer = await createBuyer({ signer: buying.connect(renamed), dataTrade, store: buyerStore })
  await expect(buyer.buy({ seller: listener.url, item: 'a' }).bytes()).resolves.toEqual(data)
  await seller.settle()

  // The first seller is gone with the old id: the buyer asks to close, and waits for the grace.
  const reclaiming = buyer.reclaim(id)
  await expect.poll(async () => (await account()).closeAt, { timeout: 20_000 }).toBeGreaterThan(0n)
  await devnet.increaseTime(10)
  const { state, paid, refunded } = await reclaiming
  expect([state, paid > 0n, paid + refunded]).toEqual(['settled', true, 5000n])
  await buyer.close()
  expect(await seller.close()).toEqual({ owed: [] })
  await first.close()
  expect(await devnet.provider.getBalance(dataTrade)).toBe(0n)
}, 60_000)
