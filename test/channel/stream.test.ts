import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually, startTown, type Resident, type Town } from './support/town.ts'

let town: Town
let alice: Resident
let bob: Resident

beforeAll(async () => {
  town = await startTown()
  alice = await town.resident('alice')
  bob = await town.resident('bob')
}, 30_000)
afterAll(() => town.stop())

it('pays by the step, over several chains, and beside other payments', async () => {
  const { id } = await town.channel(alice, bob, 10_000n)
  const stream = await alice.node.stream({ to: bob.wallet.address, unit: 2n })
  for (let i = 0; i < 1_500; i++) {
    await stream.pay()
    if (i % 400 === 0) await alice.node.pay({ to: bob.wallet.address, amount: 5n })
  }
  expect(stream.paid).toBe(3_000n)
  await eventually('steps', () => bob.node.channel(id).capacity === 3_020n)
  // Paying everything there is: the last chain is shorter.
  await stream.pay(3_490)
  await eventually('all', () => bob.node.channel(id).capacity === 10_000n)
  expect(() => stream.pay()).toThrow(expect.objectContaining({ code: 'CAPACITY_SHORT' }) as Error)
  stream.end()
  const before = await town.devnet.provider.getBalance(bob.wallet.address)
  await alice.node.close(id, { how: 'together' })
  expect((await town.devnet.provider.getBalance(bob.wallet.address)) - before).toBe(10_000n)
})

it('is paid on chain with the last step, without the payer', async () => {
  const { id } = await town.channel(alice, bob, 1_000n)
  const stream = await alice.node.stream({ to: bob.wallet.address, unit: 1n })
  void stream.pay(300)
  await eventually('steps', () => bob.node.channel(id).capacity === 300n)
  await alice.node.stop()
  await bob.node.close(id, { how: 'alone' })
  await town.devnet.increaseTime(601)
  const closed = await eventually('settlement', () =>
    bob.node.channel(id).phase === 'settled' ? bob.node.channel(id) : undefined,
  )
  expect(closed.phase).toBe('settled')
  expect(await town.devnet.provider.getBalance(town.tokenNetwork)).toBe(0n)
  await town.resident('alice')
  await eventually('settlement', () => alice.node.channel(id).phase === 'settled')
}, 30_000)
