import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Hex } from '../../src/core/bytes.ts'
import { ZERO32 } from '../../src/protocol/menu.ts'
import { contractRegistry, httpRegistry, publishingRegistry, registryHandler, staticRegistry, type Registry } from '../../src/protocol/registry/index.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { sampleData } from '../faults/support/data.ts'
import { freshAccounts, openBuyer, openShop, type Shop } from '../faults/support/shop.ts'

const data = sampleData(10_000)

let devnet: Devnet
let account: ReturnType<typeof freshAccounts>
const closing: { close(): Promise<void> }[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 30 })
  account = freshAccounts(devnet)
})
afterEach(async () => {
  for (const one of closing.splice(0).reverse()) await one.close()
})
afterAll(() => devnet.stop())

async function openAny(id = 'x'): Promise<Shop> {
  const shop = await openShop(devnet, account(), [{ id, data, price: 1000n, granularity: 1000 }])
  closing.push(shop)
  return shop
}
async function publish(shop: Shop, endpoint = shop.url): Promise<void> {
  await shop.seller.publish(await publishingRegistry(shop.account, { address: devnet.deployment.registry }), endpoint)
}
async function buyerOf(registry: Registry) {
  const buyer = await openBuyer(devnet, account(), { registry })
  closing.push(buyer)
  return buyer
}
const onChain = (): Registry => contractRegistry(devnet.provider, { address: devnet.deployment.registry })

describe('a seller that is found in a registry', () => {
  it('on chain sells by its account alone', async () => {
    const shop = await openAny()
    await publish(shop)
    const buyer = await buyerOf(onChain())
    expect(Buffer.compare(await buyer.buy({ seller: shop.account.address, item: 'x' }).bytes(), data)).toBe(0)
    expect((await buyer.menu(shop.account.address.toLowerCase())).seller).toBe(shop.account.address.toLowerCase())
  })

  it('over HTTP sells by its account alone', async () => {
    const shop = await openAny()
    await publish(shop)
    const handle = registryHandler(onChain())
    const server = createServer((incoming, outgoing) => {
      void handle(new Request(`http://registry${incoming.url}`)).then(async (response) => outgoing.writeHead(response.status).end(await response.text()))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closing.push({ close: () => new Promise((resolve) => server.close(() => resolve())) })
    const registry = httpRegistry({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
    const found = []
    for await (const { account: seller } of registry.list({ filter: ({ endpoint }) => endpoint === shop.url })) found.push(seller)
    expect(found).toEqual([shop.account.address])
    const buyer = await buyerOf(registry)
    expect(Buffer.compare(await buyer.buy({ seller: found[0]!, item: 'x' }).bytes(), data)).toBe(0)
  })

  it('moves, and is found where it is now', async () => {
    const first = await openAny()
    await publish(first, 'ws://127.0.0.1:9/')
    const buyer = await buyerOf(onChain())
    await expect(buyer.menu(first.account.address)).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
    await publish(first)
    expect((await buyer.menu(first.account.address)).items).toHaveLength(1)
  })

  it('is not taken for another who answers at its endpoint', async () => {
    const [real, impostor] = [await openAny(), await openAny()]
    await publish(real, impostor.url)
    const buyer = await buyerOf(onChain())
    await expect(buyer.buy({ seller: real.account.address, item: 'x' }).bytes()).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
    expect(await devnet.provider.getTransactionCount(buyer.address)).toBe(0)
  })

  it('is held to the menu that it registered', async () => {
    const shop = await openAny()
    const entry = { account: shop.account.address, endpoint: shop.url, publicKey: shop.account.signingKey.publicKey as Hex }
    const held = await buyerOf(staticRegistry([{ ...entry, menuHash: `0x${'99'.repeat(32)}` }]))
    await expect(held.buy({ seller: shop.account.address, item: 'x' }).bytes()).rejects.toMatchObject({ code: 'MENU_MISMATCH' })
    expect(await devnet.provider.getTransactionCount(held.address)).toBe(0)
    const free = await buyerOf(staticRegistry([{ ...entry, menuHash: ZERO32 }]))
    expect(await free.buy({ seller: shop.account.address, item: 'x' }).bytes()).toHaveLength(data.length)
  })

  it('has to be there', async () => {
    const buyer = await buyerOf(onChain())
    await expect(buyer.menu(`0x${'01'.repeat(20)}`)).rejects.toMatchObject({ code: 'NO_SUCH_SELLER' })
  })
})
