import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBuyer } from 'sluice-sdk/buyer'
import { createSeller, type SellerOptions } from 'sluice-sdk/seller'
import { startDevnet, type Devnet } from 'sluice-sdk/testing'
import { memoryStore } from '../../src/core/store/memoryStore.ts'

let devnet: Devnet

beforeAll(async () => {
  devnet = await startDevnet()
})
afterAll(() => devnet.stop())

const NOWHERE = `0x${'5b'.repeat(20)}`
const item = { id: 'a', data: new Uint8Array(1000), price: 10n ** 18n }
const sell = (more: Partial<SellerOptions>) =>
  createSeller({
    signer: devnet.accounts[0]!, store: memoryStore(), dataTrade: devnet.deployment.dataTrade, items: [item], ...more,
  })
const shop = (dataTrade: string) => createBuyer({ signer: devnet.accounts[1]!, store: memoryStore(), dataTrade })

describe('no money to nowhere', () => {
  test('both factories refuse an order contract that is none, before anything is sent', async () => {
    const balance = await devnet.provider.getBalance(devnet.accounts[1]!.address)
    for (const dataTrade of [NOWHERE, devnet.accounts[5]!.address, devnet.deployment.registry]) {
      for (const made of [sell({ dataTrade }), shop(dataTrade)]) {
        await expect(made).rejects.toMatchObject({ code: 'NOT_DEPLOYED', details: { option: 'dataTrade', address: dataTrade } })
      }
    }
    await expect(shop(devnet.deployment.registry)).rejects.toThrow('is the contract Registry; set dataTrade to')
    for (const dataTrade of [NOWHERE.slice(0, -1), 'nonsense']) {
      for (const made of [sell({ dataTrade }), shop(dataTrade)]) {
        await expect(made).rejects.toMatchObject({ code: 'BAD_ARGUMENT', details: { name: 'dataTrade' } })
      }
    }
    expect(await devnet.provider.getBalance(devnet.accounts[1]!.address)).toBe(balance)
    expect(await devnet.provider.getBalance(NOWHERE)).toBe(0n)
  })

  test('a seller refuses a price in what is no token', async () => {
    for (const token of [NOWHERE, devnet.accounts[5]!.address, devnet.deployment.dataTrade]) {
      await expect(sell({ items: [{ ...item, token }] })).rejects.toMatchObject({
        code: 'NOT_DEPLOYED',
        details: { option: 'items["a"].token', address: token.toLowerCase() },
      })
    }
  })

  test('a buyer does not deposit in a token that is gone', async () => {
    const token = await devnet.deployToken()
    const address = await token.getAddress()
    const seller = await sell({ items: [{ ...item, token: address }] })
    const { url } = await seller.listen()
    await devnet.provider.send('anvil_setCode', [address, '0x'])
    const buyer = await shop(devnet.deployment.dataTrade)
    const bought = buyer.buy({ seller: url, item: 'a' }).bytes()
    await expect(bought).rejects.toMatchObject({ code: 'NOT_DEPLOYED', details: { option: 'token' } })
    await buyer.close()
    await seller.close()
  })
})

describe('options', () => {
  const cases: readonly [Record<string, unknown>, string][] = [
    [{ signer: undefined }, 'signer'],
    [{ signer: { getAddress: 1 } }, 'signer'],
    [{ store: undefined }, 'store'],
    [{ store: {} }, 'store'],
    [{ items: undefined }, 'items'],
    [{ items: [null] }, 'items[]'],
    [{ items: [{ ...item, price: 5 }] }, 'items["a"].price'],
    [{ items: [{ ...item, price: '5' }] }, 'items["a"].price'],
    [{ items: [{ ...item, token: 'USDC' }] }, 'items["a"].token'],
    [{ items: [{ ...item, data: 5 }] }, 'items["a"].data'],
    [{ items: [{ ...item, id: 5 }] }, 'items[].id'],
    [{ window: 0 }, 'window'],
    [{ granularity: '1' }, 'granularity'],
    [{ modes: [] }, 'modes'],
    [{ modes: ['cash'] }, 'modes'],
    [{ payments: [{}] }, 'payments'],
    [{ confirmations: 0 }, 'confirmations'],
    [{ settleDelay: -1 }, 'settleDelay'],
    [{ minLifetime: -1 }, 'minLifetime'],
    [{ validUntil: 1.5 }, 'validUntil'],
    [{ limits: { orders: -1 } }, 'limits.orders'],
    [{ log: {} }, 'log'],
  ]
  test.each(cases.map(([more, name]) => ({ more, name })))('a seller with a wrong $name is refused by name', async ({ more, name }) => {
    await expect(sell(more as Partial<SellerOptions>)).rejects.toMatchObject({ code: 'BAD_ARGUMENT', details: { name } })
  })

  test('a menu too large for a message is refused at start', async () => {
    const items = Array.from({ length: 1600 }, (_, i) => ({ ...item, id: `${i}`, info: 'x'.repeat(4096) }))
    await expect(sell({ items })).rejects.toMatchObject({ code: 'BAD_ARGUMENT', details: { name: 'items' } })
  })

  test('a file that is none is refused by name', async () => {
    const made = sell({ items: [{ ...item, data: '/' }] })
    await expect(made).rejects.toMatchObject({ code: 'SOURCE_FAILED', details: { path: '/' } })
  })
})
