import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually, startTown, type Resident, type Town } from './support/town.ts'

let town: Town
let alice: Resident
let bob: Resident

beforeAll(async () => {
  town = await startTown({ token: true })
  alice = await town.resident('alice')
  bob = await town.resident('bob')
}, 30_000)
afterAll(() => town.stop())

it('opens a channel and closes it without a transaction of its own', async () => {
  const relayer = town.devnet.accounts[8]!
  const { provider } = town.devnet
  const before = await provider.getTransactionCount(alice.wallet.address)
  const call = await alice.node.relayable.open({ partner: bob.wallet.address, deposit: 500n })
  await (await relayer.sendTransaction({ to: call.to, data: call.data ?? '0x' })).wait()
  const channel = await eventually('the channel', () => alice.node.channels().find(({ capacity }) => capacity === 500n))

  await alice.node.pay({ to: bob.wallet.address, amount: 200n })
  await bob.node.pay({ to: alice.wallet.address, amount: 50n })
  const close = await alice.node.relayable.close(channel.id)
  await (await relayer.sendTransaction({ to: close.to, data: close.data ?? '0x' })).wait()
  await eventually('the answer', () => bob.node.channel(channel.id).phase === 'closed')
  await town.devnet.increaseTime(601)
  await eventually('the settlement', () => bob.node.channel(channel.id).phase === 'settled')
  expect(await provider.getTransactionCount(alice.wallet.address)).toBeLessThanOrEqual(before + 1) // it may settle itself
})

it('opens several channels in one transaction', async () => {
  const carol = await town.resident('carol')
  const before = await town.devnet.provider.getBlockNumber()
  const opened = await bob.node.openMany({
    channels: [
      { partner: carol.wallet.address, deposit: 10n },
      { partner: alice.wallet.address, deposit: 20n },
    ],
  })
  expect(opened.map(({ capacity }) => capacity)).toEqual([10n, 20n])
  expect((await town.devnet.provider.getBlockNumber()) - before).toBeLessThanOrEqual(2) // the allowance, and the channels
})
