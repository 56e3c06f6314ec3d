import { JsonRpcProvider, Network, parseEther } from 'ethers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createBuyer, type Buyer } from 'sluice-sdk/buyer'
import { createSeller, type Seller, type SellerEvents, type SellerOptions } from 'sluice-sdk/seller'
import { startDevnet, type Devnet } from 'sluice-sdk/testing'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { SluiceError } from '../../src/core/errors.ts'
import { startRpcProxy, type RpcProxy } from '../../src/testing/rpcProxy.ts'
import { until } from '../faults/support/until.ts'

const ETH = `0x${'0'.repeat(40)}`
let devnet: Devnet
let proxy: RpcProxy
let provider: JsonRpcProvider
const open: { close(): Promise<unknown> }[] = []

beforeAll(async () => {
  devnet = await startDevnet()
  proxy = await startRpcProxy(devnet.url)
  provider = new JsonRpcProvider(proxy.url, undefined, { staticNetwork: Network.from(devnet.chainId), cacheTimeout: -1 })
})
afterEach(async () => {
  proxy.rule()
  for (const party of open.splice(0)) await party.close()
})
afterAll(async () => {
  provider.destroy()
  await proxy.stop()
  await devnet.stop()
})

const item = { id: 'a', data: new Uint8Array(4000), price: 4000n, granularity: 1000 }

async function sell(more: Partial<SellerOptions> = {}): Promise<{ seller: Seller; url: string }> {
  const signer = devnet.accounts[0]!.connect(provider)
  const seller = await createSeller({
    signer, store: memoryStore(), dataTrade: devnet.deployment.dataTrade, items: [item], settleDelay: 20, ...more,
  })
  open.push(seller)
  return { seller, url: (await seller.listen()).url }
}

async function shop(account = 1): Promise<Buyer> {
  const { dataTrade } = devnet.deployment
  const buyer = await createBuyer({ signer: devnet.accounts[account]!, store: memoryStore(), dataTrade })
  open.push(buyer)
  return buyer
}

function heard<K extends keyof SellerEvents>(seller: Seller, event: K): SellerEvents[K][] {
  const all: SellerEvents[K][] = []
  seller.events.on(event, (payload) => all.push(payload))
  return all
}

const nonceOf = (account: number): Promise<number> => devnet.provider.getTransactionCount(devnet.accounts[account]!.address)

describe('a blind seller', () => {
  test('refuses before anything is deposited, tells its owner, answers a close request, and goes on by itself', async () => {
    const { seller, url } = await sell()
    const [blind, restored, settled] = [heard(seller, 'blind'), heard(seller, 'restored'), heard(seller, 'settled')]
    // Half bought, and left there.
    const early = await shop(2)
    const purchase = early.buy({ seller: url, item: 'a' })
    for await (const _ of purchase) break
    const linked = await shop(1)
    await linked.menu(url)

    proxy.rule((method) => (method === 'eth_getLogs' ? { error: { code: -32601, message: 'not offered here' } } : undefined))
    await until('the owner hears', () => blind.length > 0, 20_000)
    const reason = expect.stringContaining('not offered here') as string
    expect(blind[0]).toMatchObject({ source: 'chain', code: 'RPC_FAILED', reason })
    const before = await nonceOf(1)
    // One who has a link already, and one who comes now.
    for (const buyer of [linked, await shop(1)]) {
      const refused = buyer.buy({ seller: url, item: 'a' }).bytes()
      await expect(refused).rejects.toMatchObject({ code: 'PEER_REFUSED', details: { code: 'SELLER_BLIND' } })
    }
    expect(await nonceOf(1)).toBe(before)
    // No log tells of the close request; the order is read by a direct call.
    for await (const { record } of early.orders()) {
      await expect(early.reclaim(record.id)).resolves.toMatchObject({ state: 'settled', paid: expect.any(BigInt) as bigint })
    }
    await until('what was earned comes', () => settled.length > 0, 20_000)

    proxy.rule()
    await until('the owner hears again', () => restored.length > 0, 20_000)
    const buy = (): Promise<Uint8Array | undefined> => linked.buy({ seller: url, item: 'a' }).bytes().catch(() => undefined)
    await until('a purchase', async () => (await buy())?.length === 4000, 20_000)
    await until('money comes', () => settled.some(({ amounts }) => amounts.includes(4000n)), 20_000)
  }, 60_000)

  test('whose store fails refuses before anything is deposited, and goes on when it works again', async () => {
    const inner = memoryStore()
    let broken = false
    const store = {
      ...inner,
      write: (...changes: Parameters<typeof inner.write>) =>
        broken ? Promise.reject(new SluiceError('STORE_FAILED', 'the disk is full')) : inner.write(...changes),
    }
    const { seller, url } = await sell({ store })
    const [blind, restored] = [heard(seller, 'blind'), heard(seller, 'restored')]
    broken = true
    const [first, second] = [await shop(3), await shop(4)]
    await devnet.mine() // the watcher keeps its place
    await until('the owner hears', () => blind.length > 0, 20_000)
    expect(blind[0]).toMatchObject({ source: 'store', code: 'STORE_FAILED' })
    const before = await nonceOf(3)
    await expect(first.buy({ seller: url, item: 'a' }).bytes()).rejects.toMatchObject({ details: { code: 'SELLER_BLIND' } })
    expect(await nonceOf(3)).toBe(before)
    broken = false
    await until('the owner hears again', () => restored.length > 0, 20_000)
    const buy = (): Promise<Uint8Array | undefined> => second.buy({ seller: url, item: 'a' }).bytes().catch(() => undefined)
    await until('a purchase', async () => (await buy())?.length === 4000, 20_000)
  }, 60_000)
})

describe('the owner hears about money', () => {
  test('what came, for which orders, and what it cost', async () => {
    const { seller, url } = await sell()
    const settled = heard(seller, 'settled')
    await (await shop()).buy({ seller: url, item: 'a' }).bytes()
    await until('money comes', () => settled.length > 0, 20_000)
    expect(settled[0]).toMatchObject({ amounts: [4000n], token: ETH })
    const receipt = await devnet.provider.getTransactionReceipt(settled[0]!.transaction)
    expect(settled[0]!.fee).toBe(receipt!.fee)
    await expect(seller.close()).resolves.toEqual({ owed: [] })
  }, 60_000)

  test('without gas: at start, when a settlement fails, and at the end', async () => {
    const poor = devnet.accounts[6]!
    await devnet.provider.send('anvil_setBalance', [poor.address, '0x1'])
    const { seller, url } = await sell({ signer: poor.connect(provider) })
    const [short, unsettled] = [heard(seller, 'gasShort'), heard(seller, 'unsettled')]
    await until('the warning', () => short.length > 0, 20_000)
    expect(short[0]).toMatchObject({ address: poor.address, balance: 1n })
    await (await shop(5)).buy({ seller: url, item: 'a' }).bytes()
    await until('the failure', () => unsettled.length > 0, 20_000)
    expect(unsettled[0]).toMatchObject({ amount: 4000n, token: ETH, reason: 'INSUFFICIENT_FUNDS' })
    expect(unsettled[0]!.retryAt).toBeGreaterThan(0)
    const { owed } = await seller.close()
    expect(owed).toMatchObject([{ orderId: unsettled[0]!.orderId, amount: 4000n, reason: 'INSUFFICIENT_FUNDS' }])
    await devnet.provider.send('anvil_setBalance', [poor.address, `0x${parseEther('10').toString(16)}`])
  }, 60_000)
})

describe('settling is worth its gas', () => {
  test('what earned less than the least sum waits, and is told; parts below it are refused', async () => {
    const { seller, url } = await sell({ minSettlement: { [ETH]: 5000n } })
    const unsettled = heard(seller, 'unsettled')
    const before = await nonceOf(0)
    const buyer = await shop(7)
    await buyer.buy({ seller: url, item: 'a' }).bytes()
    await until('the event', () => unsettled.length > 0, 20_000)
    expect(unsettled[0]).toMatchObject({ amount: 4000n, reason: 'ORDER_TOO_SMALL' })
    await seller.settle()
    expect(await nonceOf(0)).toBe(before)
    await expect(buyer.buy({ seller: url, item: 'a', chunks: { first: 0, count: 1 } }).bytes()).rejects.toMatchObject({
      details: { code: 'ORDER_TOO_SMALL' },
    })
    const { owed } = await seller.close()
    expect(owed).toMatchObject([{ amount: 4000n, reason: 'ORDER_TOO_SMALL' }])
  }, 60_000)

  test('at a high fee the least sum is what a settlement costs', async () => {
    await devnet.provider.send('anvil_setNextBlockBaseFeePerGas', ['0xba43b7400']) // 50 gwei
    await devnet.mine()
    const { seller, url } = await sell({ items: [{ ...item, price: 10n ** 9n }] })
    const unsettled = heard(seller, 'unsettled')
    const before = await nonceOf(0)
    await (await shop(8)).buy({ seller: url, item: 'a' }).bytes()
    await until('the event', () => unsettled.length > 0, 20_000)
    expect(unsettled[0]).toMatchObject({ amount: 10n ** 9n, reason: 'ORDER_TOO_SMALL' })
    expect(await nonceOf(0)).toBe(before)
  }, 60_000)
})
