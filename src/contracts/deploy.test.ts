import { makeError, VoidSigner, Wallet, ZeroAddress, type Provider, type Signer } from 'ethers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startDevnet, type Devnet } from '../testing/devnet.ts'
import { dataTradeContract } from './dataTrade.ts'
import { deployChannels, deployContracts, deployExchange } from './deploy.ts'
import { proxyTransferContract } from './proxyTransfer.ts'
import { dataTradeDomain, orderId } from './typedData.ts'
import { DATA_SERVICE, registryContract } from './registry.ts'
import { tokenNetworkContract } from './tokenNetwork.ts'
import { tokenNetworkRegistryContract } from './tokenNetworkRegistry.ts'
import { towerDepositContract } from './towerDeposit.ts'
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

it('deploys the contracts of channels, bound to one another', async () => {
  const [deployer] = devnet.accounts
  const before = await devnet.provider.getBlockNumber()
  const deployment = await deployChannels(deployer!, { challengePeriod: 60 })
  expect(deployment.fromBlock).toBe(before + 1)
  const registry = tokenNetworkRegistryContract(deployment.tokenNetworkRegistry, deployer)
  expect(await registry.challengePeriod()).toBe(60n)
  expect(await registry.secretRegistry()).toBe(deployment.secretRegistry)
  const towers = towerDepositContract(deployment.towerDeposit, devnet.provider)
  expect([await towers.registry(), await towers.token(), await towers.withdrawDelay()]).toEqual([
    deployment.tokenNetworkRegistry,
    ZeroAddress,
    120n,
  ])
  const token = await (await devnet.deployToken()).getAddress()
  await (await registry.createTokenNetwork(token)).wait()
  const network = tokenNetworkContract(await registry.tokenNetworks(token), devnet.provider)
  expect([
    await network.token(),
    await network.registry(),
    await network.secretRegistry(),
    await network.challengePeriod(),
  ]).toEqual([token, deployment.tokenNetworkRegistry, deployment.secretRegistry, 60n])
})

it('gives nodes a day to answer unless told otherwise', async () => {
  const { tokenNetworkRegistry } = await deployChannels(devnet.accounts[0]!)
  expect(await tokenNetworkRegistryContract(tokenNetworkRegistry, devnet.provider).challengePeriod()).toBe(86_400n)
})

it.each([0, -1, 1.5, 2 ** 31])('refuses a challenge period of %d seconds', async (challengePeriod) => {
  await expect(deployChannels(devnet.accounts[0]!, { challengePeriod })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
})

it('deploys the contracts of an exchange, whose assets the deployer adds unless told otherwise', async () => {
  const [deployer, operator] = devnet.accounts
  const before = await devnet.provider.getBlockNumber()
  const { proxyTransfer, evidence, fromBlock } = await deployExchange(deployer!)
  expect(fromBlock).toBe(before + 1)
  expect(await proxyTransferContract(proxyTransfer, devnet.provider).operator()).toBe(deployer!.address)
  expect(await devnet.provider.getCode(evidence)).not.toBe('0x')
  const other = await deployExchange(deployer!, { operator: operator!.address, placeBits: 0 })
  expect(await proxyTransferContract(other.proxyTransfer, devnet.provider).operator()).toBe(operator!.address)
})

it.each([-1, 1.5, 33])('refuses 2 to the %d places', async (placeBits) => {
  await expect(deployExchange(devnet.accounts[0]!, { placeBits })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
})

it('says that the deployer has no money', async () => {
  const poor = Wallet.createRandom().connect(devnet.provider)
  await expect(deployContracts(poor)).rejects.toMatchObject({ code: 'INSUFFICIENT_FUNDS' })
})

it('says that the wallet refused', async () => {
  await expect(deployContracts(refusing(devnet.provider, devnet.accounts[0]!.address))).rejects.toMatchObject({
    code: 'TRANSACTION_REJECTED',
  })
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

it.each([
  ['shanghai', 'Cancun'],
  ['paris', 'Shanghai'],
  ['london', 'Shanghai'],
] as const)('sends nothing to a chain of %s', async (hardfork, missing) => {
  // The development chain's own contracts are what is refused.
  await expect(startDevnet({ accounts: 1, args: ['--hardfork', hardfork] })).rejects.toMatchObject({
    code: 'HARDFORK_MISSING',
    details: { hardfork: missing },
    shortMessage: expect.stringContaining(`${missing} hardfork`) as string,
  })
})

/** A wallet whose owner always says no. */
function refusing(provider: Provider, address: string): Signer {
  const no: Error = makeError('no', 'ACTION_REJECTED', { action: 'sendTransaction', reason: 'rejected' })
  return Object.assign(new VoidSigner(address, provider), { sendTransaction: () => Promise.reject(no) })
}
