import { Contract, ContractFactory, MaxUint256, type ContractTransactionResponse, type HDNodeWallet } from 'ethers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import hostile from '../../../test/fixtures/contracts/hostile.json' with { type: 'json' }
import { createTrade } from '../../../test/fixtures/contracts/trade.ts'
import { dataTradeInterface } from '../../contracts/dataTrade.ts'
import { createSender } from '../../core/chain/sender.ts'
import { startDevnet, type Devnet } from '../../testing/devnet.ts'
import { creditOf, withdrawCredit } from './credit.ts'

let devnet: Devnet
beforeAll(async () => {
  devnet = await startDevnet()
})
afterAll(() => devnet.stop())

test('what a token refused to pay waits, and is taken out once, to another address', async () => {
  const { dataTrade } = devnet.deployment
  const [buyer, seller, other] = devnet.accounts as [HDNodeWallet, HDNodeWallet, HDNodeWallet]
  const token = await new ContractFactory(hostile.BlockingToken.abi, hostile.BlockingToken.bytecode, other).deploy()
  await token.deploymentTransaction()?.wait()
  const address = await token.getAddress()
  const call = async (from: HDNodeWallet, method: string, ...args: unknown[]): Promise<void> => {
    const contract = new Contract(address, hostile.BlockingToken.abi, from)
    await ((await contract[method]!(...args)) as ContractTransactionResponse).wait()
  }
  await call(other, 'mint', buyer.address, 1_000_000n)
  await call(buyer, 'approve', dataTrade, MaxUint256)
  const trade = createTrade(devnet, await devnet.time())
  const order = trade.order({ token: address })
  await (await devnet.contracts.dataTrade.connect(buyer).create(order, order.price)).wait()

  await call(other, 'setBlocked', seller.address, true)
  const voucher = await trade.ack(buyer, order, order.totalData)
  await (await devnet.contracts.dataTrade.connect(seller).settle(order, order.totalData, voucher)).wait()
  expect(await creditOf(devnet.provider, dataTrade, seller.address, address)).toBe(1_000_000n)

  const sender = await createSender({ signer: seller, interfaces: [dataTradeInterface] })
  await expect(withdrawCredit(sender, dataTrade, seller.address, address)).rejects.toMatchObject({ code: 'WITHDRAW_FAILED' })
  await withdrawCredit(sender, dataTrade, other.address, address)
  expect(await (new Contract(address, hostile.BlockingToken.abi, other)['balanceOf']!(other.address) as Promise<bigint>)).toBe(1_000_000n)
  expect(await creditOf(devnet.provider, dataTrade, seller.address, address)).toBe(0n)
  await expect(withdrawCredit(sender, dataTrade, other.address, address)).rejects.toMatchObject({ code: 'NOTHING_TO_WITHDRAW' })
  await sender.close()
})
