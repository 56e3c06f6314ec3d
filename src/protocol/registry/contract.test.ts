import { NonceManager, Wallet } from 'ethers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { registryEntries } from '../../../test/fixtures/trade/entries.ts'
import { DATA_SERVICE, registryContract } from '../../contracts/registry.ts'
import { startDevnet, type Devnet } from '../../testing/devnet.ts'
import { registrySuite } from '../../testing/registrySuite.ts'
import { contractRegistry, publishingRegistry } from './contract.ts'
import type { RegistryEntry } from './registry.ts'

/** More than one call reads. */
const COUNT = 103
const entries: RegistryEntry[] = []
let devnet: Devnet

beforeAll(async () => {
  devnet = await startDevnet({ accounts: COUNT + 2 })
  await Promise.all(
    devnet.accounts.slice(0, COUNT).map(async (account, i) => {
      const { publicKey } = account.signingKey
      const entry = { account: account.address, endpoint: `wss://seller-${i}.example/`, publicKey, menuHash: `0x${'ab'.repeat(32)}` } as RegistryEntry
      entries.push(entry)
      const contract = registryContract(devnet.deployment.registry, account)
      await (await contract.register(DATA_SERVICE, entry.endpoint, publicKey, entry.menuHash)).wait()
    }),
  )
})
afterAll(() => devnet.stop())

registrySuite('contractRegistry', () => Promise.resolve({ registry: contractRegistry(devnet.provider, { address: devnet.deployment.registry }), entries }), {
  describe,
  it,
  expect,
})

describe('publishingRegistry', () => {
  const mine = async () => publishingRegistry(devnet.accounts[COUNT]!, { address: devnet.deployment.registry })
  const entry = () => ({ endpoint: 'ws://127.0.0.1:9000/', publicKey: devnet.accounts[COUNT]!.signingKey.publicKey as `0x${string}`, menuHash: `0x${'01'.repeat(32)}` as const })

  it('enters an account, renews its entry, and takes it out', async () => {
    const registry = await mine()
    const { address } = devnet.accounts[COUNT]!
    await registry.publish(entry())
    expect(await registry.find(address)).toEqual({ account: address, ...entry() })
    const renewed = { ...entry(), endpoint: 'wss://new.example/', menuHash: `0x${'02'.repeat(32)}` as const }
    await registry.publish(renewed)
    expect(await registry.find(address)).toEqual({ account: address, ...renewed })
    await registry.withdraw()
    await expect(registry.find(address)).rejects.toMatchObject({ code: 'NO_SUCH_SELLER' })
    await expect(registry.withdraw()).rejects.toMatchObject({ code: 'NOT_REGISTERED' })
  })

  it('spends nothing on an entry that is there already', async () => {
    const registry = await mine()
    await registry.publish(entry())
    const before = await devnet.provider.getTransactionCount(devnet.accounts[COUNT]!.address)
    await registry.publish(entry())
    expect(await devnet.provider.getTransactionCount(devnet.accounts[COUNT]!.address)).toBe(before)
    await registry.withdraw()
  })

  it('publishes nothing that others could not use', async () => {
    const registry = await mine()
    const [stranger] = registryEntries(1)
    await expect(registry.publish({ ...entry(), publicKey: stranger!.publicKey })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await expect(registry.publish({ ...entry(), endpoint: 'http://x' })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  })

  it('needs a provider', async () => {
    await expect(publishingRegistry(Wallet.createRandom(), { address: devnet.deployment.registry })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  })
})

describe('contractRegistry', () => {
  it('keeps lists of different services apart', async () => {
    const address = devnet.deployment.registry
    const service = `0x${'07'.repeat(32)}`
    const account = devnet.accounts[COUNT + 1]!
    const registry = await publishingRegistry(new NonceManager(account), { address, service })
    await registry.publish({ endpoint: 'ws://node.example/', publicKey: account.signingKey.publicKey as `0x${string}`, menuHash: `0x${'00'.repeat(32)}` })
    expect((await registry.find(account.address)).endpoint).toBe('ws://node.example/')
    await expect(contractRegistry(devnet.provider, { address }).find(account.address)).rejects.toMatchObject({ code: 'NO_SUCH_SELLER' })
  })

  it('passes over an entry that nobody could use', async () => {
    const address = devnet.deployment.registry
    const account = devnet.accounts[COUNT + 1]!
    const contract = registryContract(address, account)
    await (await contract.register(DATA_SERVICE, 'javascript:alert(1)', account.signingKey.publicKey, `0x${'00'.repeat(32)}`)).wait()
    const registry = contractRegistry(devnet.provider, { address })
    const accounts: string[] = []
    for await (const { account: found } of registry.list()) accounts.push(found)
    expect(accounts.sort()).toEqual(entries.map(({ account: known }) => known).sort())
    await expect(registry.find(account.address)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await (await contract.withdraw(DATA_SERVICE)).wait()
  })

  it('says when there is no registry', async () => {
    const registry = contractRegistry(devnet.provider, { address: `0x${'dead'.repeat(10)}` })
    await expect(registry.find(entries[0]!.account)).rejects.toMatchObject({ code: expect.stringMatching(/^(RPC_FAILED|NOT_DEPLOYED)$/) as string })
  })
})
