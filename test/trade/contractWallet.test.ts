import { toQuantity } from 'ethers'
import { expect, test } from 'vitest'
import { startDevnet } from '../../src/testing/devnet.ts'
import { sampleData } from '../faults/support/data.ts'
import { deployHostile } from '../faults/support/hostile.ts'
import { finishedOrder, openBuyer, openShop } from '../faults/support/shop.ts'

test('an account that is a contract buys as any other: the session key signs for it', async () => {
  const devnet = await startDevnet({ accounts: 3 })
  const [keeper, owner] = devnet.accounts
  const data = sampleData(50_000)
  const shop = await openShop(devnet, keeper!, [{ id: 'item', data, price: 1_000_003n }], { granularity: 4096 })
  const { address } = await deployHostile(owner!, 'Receiver', 0)
  const funds = 10n ** 18n
  await devnet.provider.send('anvil_setBalance', [address, toQuantity(funds)])
  // A wallet that sends for a contract and can't sign for it: the node lets us play one.
  await devnet.provider.send('anvil_impersonateAccount', [address])
  const wallet = await devnet.provider.getSigner(address)

  await expect(openBuyer(devnet, wallet)).rejects.toMatchObject({
    code: 'BAD_KEY',
    message: expect.stringContaining(`account ${address} signs no message to seal its session key with: go without a store`) as string,
  })
  const buyer = await openBuyer(devnet, wallet, { store: undefined })
  try {
    const purchase = buyer.buy({ seller: shop.url, item: 'item' })
    let came = 0
    for await (const chunk of purchase) if ((came += chunk.length) > 25_000) break
    const id = await purchase.orderId
    const { bytes, paid } = await purchase.receipt
    expect(bytes).toBe(came)
    expect(await finishedOrder(devnet, id)).toMatchObject({ deposit: 1_000_003n, paid, transferred: came })
    expect((await devnet.contracts.dataTrade.orders(id)).buyer).toBe(address)
  } finally {
    await buyer.close()
    await shop.close()
    await devnet.stop()
  }
})
