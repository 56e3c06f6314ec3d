import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually, startTown, type Resident, type Town } from './support/town.ts'

let town: Town
let networks: [string, string]
let alice: Resident
let bob: Resident
let carol: Resident
let willing = true

beforeAll(async () => {
  town = await startTown()
  networks = [town.tokenNetwork, await town.network()]
  const options = { tokenNetwork: networks, acceptSwap: () => willing }
  alice = await town.resident('alice', options)
  bob = await town.resident('bob', options)
  carol = await town.resident('carol', options)
  // In the first token Alice and Bob have a channel; in the second one Carol is between them.
  await alice.node.open({ partner: bob.wallet.address, deposit: 1_000n, tokenNetwork: networks[0] })
  await bob.node.open({ partner: carol.wallet.address, deposit: 1_000n, tokenNetwork: networks[1] })
  await carol.node.open({ partner: alice.wallet.address, deposit: 1_000n, tokenNetwork: networks[1] })
  await eventually('a path', () =>
    bob.node.pay({ to: alice.wallet.address, amount: 1n, tokenNetwork: networks[1] }).then(
      () => true,
      () => false,
    ),
  )
}, 30_000)
afterAll(() => town.stop())

const has = ({ node }: Resident, network: string): bigint =>
  node
    .channels()
    .filter(({ tokenNetwork }) => tokenNetwork === network.toLowerCase())
    .reduce((sum, { capacity }) => sum + capacity, 0n)

it('swaps two tokens, each over its own path', async () => {
  await alice.node.swap({
    to: bob.wallet.address,
    give: { tokenNetwork: networks[0], amount: 100n },
    take: { tokenNetwork: networks[1], amount: 40n },
  })
  await eventually('the end', () => has(alice, networks[1]) === 41n && has(bob, networks[0]) === 100n)
  expect(has(alice, networks[0])).toBe(900n)
  expect(has(bob, networks[1])).toBe(959n)
})

it('gives nothing when the other does not want to, or can not pay', async () => {
  willing = false
  const give = { tokenNetwork: networks[0], amount: 100n }
  await expect(
    alice.node.swap({ to: bob.wallet.address, give, take: { tokenNetwork: networks[1], amount: 40n } }),
  ).rejects.toMatchObject({ code: 'PEER_REFUSED' })
  willing = true
  await expect(
    alice.node.swap({ to: bob.wallet.address, give, take: { tokenNetwork: networks[1], amount: 4_000n } }),
  ).rejects.toMatchObject({ code: 'PAYMENT_FAILED' })
  await eventually('the locks back', () => alice.node.channels().every(({ locked }) => locked === 0n))
  expect(has(alice, networks[0])).toBe(900n)
  expect(has(bob, networks[1])).toBe(959n)
})
