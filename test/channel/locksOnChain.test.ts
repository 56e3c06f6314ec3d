import { afterAll, beforeAll, expect, it } from 'vitest'
import { accountOf, eventually, startTown, type Resident, type Town } from './support/town.ts'

let town: Town
let alice: Resident
let bob: Resident
let carol: Resident

beforeAll(async () => {
  town = await startTown()
  alice = await town.resident('alice')
  bob = await town.resident('bob')
  carol = await town.resident('carol')
}, 30_000)
afterAll(() => town.stop())

it('claims on chain what the payer does not unlock, and pays nobody twice', async () => {
  const first = await town.channel(alice, bob, 1_000n)
  const second = await town.channel(bob, carol, 1_000n)
  await eventually('a path', () => alice.node.pay({ to: carol.wallet.address, amount: 1n }).then(() => true, () => false))
  await eventually('quiet', () => alice.node.channel(first.id).locked === 0n)

  // Bob gets the secret from Carol, and Alice is gone before he can tell her.
  bob.node.events.on('balance', () => {})
  const paying = alice.node.pay({ to: carol.wallet.address, amount: 100n }).catch((error: unknown) => error)
  await eventually('the lock', () => bob.node.channel(second.id).locked > 0n || carol.node.channel(second.id).capacity > 1n)
  await eventually('the payment', () => carol.node.channel(second.id).capacity === 101n)
  await alice.node.stop()
  await paying
  const before = await town.devnet.provider.getBalance(town.tokenNetwork)
  await bob.node.close(first.id, { how: 'alone' })
  await town.devnet.increaseTime(60)
  await town.devnet.increaseTime(541)
  await eventually('the settlement', () => bob.node.channel(first.id).phase === 'settled')
  await eventually('the claim', async () => before - (await town.devnet.provider.getBalance(town.tokenNetwork)) === 1_000n, 5_000).catch(async () => {
    await town.devnet.increaseTime(1_300)
    await town.resident('alice')
    await eventually('what is left', async () => before - (await town.devnet.provider.getBalance(town.tokenNetwork)) === 1_000n)
  })
  expect(bob.node.channels().find(({ partner }) => partner === accountOf(alice))?.phase).toBe('settled')
}, 60_000)
