import { id, type HDNodeWallet } from 'ethers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { revertData, revertError } from '../core/chain/revert.ts'
import { startDevnet, type Devnet } from '../testing/devnet.ts'
import { CHANNEL_SERVICE, DATA_SERVICE, KADEMLIA_SERVICE, registryContract, registryInterface } from './registry.ts'

let devnet: Devnet
beforeAll(async () => {
  devnet = await startDevnet()
})
afterAll(() => devnet.stop())

const as = (account: HDNodeWallet) => registryContract(devnet.deployment.registry, account)
const MENU = id('menu')

it('knows the services by the hashes of their names', () => {
  expect([DATA_SERVICE, CHANNEL_SERVICE, KADEMLIA_SERVICE]).toEqual([id('data'), id('channel'), id('channel/kademlia')])
})

it('lists who registered, page by page, until they withdraw', async () => {
  const sellers = devnet.accounts.slice(0, 3)
  for (const [i, seller] of sellers.entries()) {
    await (await as(seller).register(DATA_SERVICE, `wss://${i}.example`, seller.signingKey.publicKey, MENU)).wait()
  }
  const { registry } = devnet.contracts
  expect(await registry.count(DATA_SERVICE)).toBe(3n)
  const page = await registry.list(DATA_SERVICE, 1, 10)
  expect(page.map(({ account, endpoint, publicKey, menuHash }) => ({ account, endpoint, publicKey, menuHash }))).toEqual(
    sellers.slice(1).map((seller, i) => ({
      account: seller.address,
      endpoint: `wss://${i + 1}.example`,
      publicKey: seller.signingKey.publicKey,
      menuHash: MENU,
    })),
  )

  // Within the second of the registration, the estimate would take the time for unchanged and come out too low.
  await devnet.increaseTime(60)
  await (await as(sellers[1]!).update(DATA_SERVICE, 'wss://moved.example', MENU)).wait()
  const entry = await registry.get(DATA_SERVICE, sellers[1]!.address)
  expect(entry.endpoint).toBe('wss://moved.example')
  expect(entry.updatedAt).toBe(BigInt(await devnet.time()))

  await (await as(sellers[0]!).withdraw(DATA_SERVICE)).wait()
  const left = (await registry.list(DATA_SERVICE, 0, 10)).map(({ account }) => account)
  expect(left).toEqual([sellers[2]!.address, sellers[1]!.address])
})

it('refuses the key of another account, with a typed error', async () => {
  const [, , , stranger, other] = devnet.accounts
  const error: unknown = await as(stranger!)
    .register.staticCall(DATA_SERVICE, 'wss://x.example', other!.signingKey.publicKey, MENU)
    .catch((reason: unknown) => reason)
  const data = revertData(error)
  expect(revertError(data ?? null, [registryInterface])).toMatchObject({
    code: 'PUBLIC_KEY_NOT_CALLERS',
    details: { derived: other!.address, caller: stranger!.address },
  })
})
