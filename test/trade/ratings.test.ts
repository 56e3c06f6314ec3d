import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Buyer } from '../../src/buyer/index.ts'
import { purchaseBook } from '../../src/buyer/record.ts'
import { dataTradeContract } from '../../src/contracts/dataTrade.ts'
import type { Order } from '../../src/contracts/order.ts'
import { toHex, utf8 } from '../../src/core/bytes.ts'
import { engine } from '../../src/core/crypto/engine.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { ETH } from '../../src/protocol/menu.ts'
import type { SellerEvents } from '../../src/seller/index.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { sampleData } from '../faults/support/data.ts'
import { finishedOrder, freshAccounts, openBuyer, openShop, type Shop } from '../faults/support/shop.ts'
import { until } from '../faults/support/until.ts'

const data = sampleData(10_000)
const price = 1_000_000n
const comment = 'Fast, and complete. 量'

let devnet: Devnet
let shop: Shop
let buyer: Buyer
const store = memoryStore()
const rated: SellerEvents['rated'][] = []

beforeAll(async () => {
  devnet = await startDevnet()
  const account = freshAccounts(devnet)
  shop = await openShop(devnet, account(), [{ id: 'x', data, price, granularity: 1000 }], {
    rate: ({ till, delivery }) => ({ score: till.paid === delivery.total ? 5 : 3, comment: 'Pays at once.' }),
  })
  shop.seller.events.on('rated', (rating) => void rated.push(rating))
  buyer = await openBuyer(devnet, account(), { store, rate: ({ bytes }) => ({ score: bytes === data.length ? 4 : 2, comment }) })
})
afterAll(async () => {
  await buyer.close()
  await shop.close()
  await devnet.stop()
})

const hash = (text: string): string => toHex(engine().keccak256(utf8(text)))
const orderOf = async (id: `0x${string}`): Promise<Order> => (await purchaseBook(store).get(id)).record.order

describe('ratings', () => {
  it('are exchanged when an order is over, good for the chain, and stand there once per side, weighed by what was paid', async () => {
    const purchase = buyer.buy({ seller: shop.url, item: 'x' })
    await purchase.bytes()
    const { orderId: id, rating: ofBuyer } = await purchase.receipt
    expect(ofBuyer).toMatchObject({ score: 5, comment: 'Pays at once.' })
    await until('the rating of the seller', () => rated.length === 1)
    const [ofSeller] = rated
    expect(ofSeller).toMatchObject({ orderId: id, score: 4, comment })

    const order = await orderOf(id)
    // Anyone may hand a rating in.
    const contract = dataTradeContract(devnet.deployment.dataTrade, devnet.accounts[9])
    await finishedOrder(devnet, id)
    await (await contract.rate(order, 5, hash('Pays at once.'), ofBuyer!.signature)).wait()
    await (await contract.rate(order, 4, hash(comment), ofSeller!.signature)).wait()
    const standing = async (who: string): Promise<bigint[]> => [...(await contract.reputation(who, ETH))].map(BigInt)
    expect(await standing(buyer.address)).toEqual([5n * price, price, 1n])
    expect(await standing(shop.account.address)).toEqual([4n * price, price, 1n])
    const { ratedByBuyer, ratedBySeller } = await contract.account(id)
    expect([ratedByBuyer, ratedBySeller]).toEqual([true, true])

    await expect(contract.rate.staticCall(order, 4, hash(comment), ofSeller!.signature)).rejects.toThrow('AlreadyRated')
  })

  it('do not fit another score, comment or order, nor an order that still runs', async () => {
    rated.length = 0
    const first = buyer.buy({ seller: shop.url, item: 'x' })
    await first.bytes()
    await until('the rating of the seller', () => rated.length === 1)
    const { orderId: id } = await first.receipt
    const second = buyer.buy({ seller: shop.url, item: 'x' })
    await second.bytes()
    const { orderId: other } = await second.receipt
    await Promise.all([finishedOrder(devnet, id), finishedOrder(devnet, other)])
    const contract = dataTradeContract(devnet.deployment.dataTrade, devnet.accounts[9])
    const { signature } = rated[0]!
    await expect(contract.rate.staticCall(await orderOf(id), 5, hash(comment), signature)).rejects.toThrow('RaterNotInvolved')
    await expect(contract.rate.staticCall(await orderOf(id), 4, hash('other'), signature)).rejects.toThrow('RaterNotInvolved')
    await expect(contract.rate.staticCall(await orderOf(other), 4, hash(comment), signature)).rejects.toThrow('RaterNotInvolved')
    await contract.rate.staticCall(await orderOf(id), 4, hash(comment), signature)
  })

  it('are given for an order that was left in the middle, too', async () => {
    rated.length = 0
    const purchase = buyer.buy({ seller: shop.url, item: 'x' })
    let chunks = 0
    for await (const _ of purchase) if (++chunks === 2) break
    const receipt = await purchase.receipt
    expect(receipt.rating?.score).toBe(3)
    await until('the rating of the seller', () => rated.length === 1)
    expect(rated[0]).toMatchObject({ score: 2, comment })
  })

  it('are left out by who has nothing to say', async () => {
    const account = devnet.accounts[5]!
    const silent = await openBuyer(devnet, account)
    rated.length = 0
    const purchase = silent.buy({ seller: shop.url, item: 'x' })
    await purchase.bytes()
    expect((await purchase.receipt).rating?.score).toBe(5)
    await finishedOrder(devnet, await purchase.orderId)
    expect(rated).toEqual([])
    await silent.close()
  })
})
