/** A chain that makes no block without a transaction: its clock stands still, what is over ends all the same. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually, startTown, type Town } from './support/town.ts'

let town: Town
beforeAll(async () => {
  town = await startTown({ challengePeriod: 4 })
}, 30_000)
afterAll(() => town.stop())

it('a channel that was closed alone is settled when the challenge period is over by the machine', async () => {
  const alice = await town.resident('alice')
  const bob = await town.resident('bob')
  const { id } = await town.channel(alice, bob, 1_000n)
  await alice.node.pay({ to: bob.wallet.address, amount: 10n })
  await alice.node.close(id, { how: 'alone' })
  const blocks = await town.devnet.provider.getBlockNumber()
  await eventually('the settlement', () => alice.node.channel(id).phase === 'settled', 30_000)
  // Bob's answer, the settlement, and one that came too late at most: nobody else made a block.
  expect((await town.devnet.provider.getBlockNumber()) - blocks).toBeLessThanOrEqual(3)
}, 60_000)
