import { makeError, VoidSigner, Wallet, type Provider, type Signer } from 'ethers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startDevnet, type Devnet } from '../testing/devnet.ts'
import { dataTradeContract } from './dataTrade.ts'
import { deployContracts } from './deploy.ts'
import { dataTradeDomain, orderId } from './typedData.ts'
import { DATA_SERVICE, registryContract } from './registry.ts'
import { createTrade } from '../../test/fixtures/contracts/trade.ts'

let devnet: Devnet
beforeAll(async () => {
  devnet = await startDevnet()
})
afterAll(() => devnet.stop())

it('deploys both contracts, ready to use', async () => {
  const [deployer] = devnet.accounts
  const before = await devnet.provider.getBlockNumber()
  const { dataTrade, registry, fromBlock } = await deployContracts(deployer!, { grace: 60 })
  expect(fromBlock).toBe(before + 1)
  const contract = dataTradeContract(dataTrade, devnet.provider)
  expect(await contract.grace()).toBe(60n)
  expect(await registryContract(registry, devnet.provider).count(DATA_SERVICE)).toBe(0n)
  // Each deployment has a domain of its own.
  const order = createTrade(devnet, 1_800_000_000).order()
  expect(await contract.orderId(order)).toBe(orderId(dataTradeDomain(devnet.chainId, dataTrade), order))
})

it('gives sellers an hour unless told otherwise', async () => {
  const { dataTrade } = await deployContracts(devnet.accounts[0]!)
  expect(await dataTradeContract(dataTrade, devnet.provider).grace()).toBe(3600n)
})

it.each([-1, 1.5, 2 ** 31])('refuses a grace of %d seconds', async (grace) => {
  await expect(deployContracts(devnet.accounts[0]!, { grace })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
})

it('says that the deployer has no money', async () => {
  const poor = Wallet.createRandom().connect(devnet.provider)
  await expect(deployContracts(poor)).rejects.toMatchObject({ code: 'INSUFFICIENT_FUNDS' })
})

it('says that the wallet refused', async () => {
  await expect(deployContracts(refusing(devnet.provider, devnet.accounts[0]!.address))).rejects.toMatchObject({ code: 'TRANSACTION_REJECTED' })
})

it('says that the node is gone, without its URL', async () => {
  const other = await startDevnet({ accounts: 1 })
  const [deployer] = other.accounts
  const { url } = other
  await other.stop()
  const error: unknown = await deployContracts(deployer!).catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'RPC_FAILED' })
  expect(JSON.stringify(error)).not.toContain(url)
})

/** A wallet whose owner always says no. */
function refusing(provider: Provider, address: string): Signer {
  const no: Error = makeError('no', 'ACTION_REJECTED', { action: 'sendTransaction', reason: 'rejected' })
  return Object.assign(new VoidSigner(address, provider), { sendTransaction: () => Promise.reject(no) })
}
