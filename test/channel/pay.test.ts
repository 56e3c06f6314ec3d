import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accountOf, eventually, startTown, type Resident, type Town } from './support/town.ts'

let town: Town
let alice: Resident
let bob: Resident

beforeAll(async () => {
  town = await startTown()
  alice = await town.resident('alice')
  bob = await town.resident('bob')
}, 30_000)
afterAll(() => town.stop())

describe('a channel of two', () => {
  it('opens, pays both ways, and closes together', async () => {
    const { id } = await town.channel(alice, bob, 1_000n)
    expect(alice.node.channel(id)).toMatchObject({ phase: 'open', capacity: 1_000n, partnerCapacity: 0n, online: true })

    const received = new Promise((resolve) => bob.node.events.once('received', resolve))
    const paid = await alice.node.pay({ to: bob.wallet.address, amount: 300n })
    expect(paid).toMatchObject({ state: 'done', amount: 300n, fee: 0n })
    expect(await received).toMatchObject({ paymentId: paid.id, from: accountOf(alice), amount: 300n })
    expect(alice.node.channel(id)).toMatchObject({ capacity: 700n, partnerCapacity: 300n })

    await bob.node.pay({ to: alice.wallet.address, amount: 100n })
    expect(bob.node.channel(id)).toMatchObject({ capacity: 200n, partnerCapacity: 800n })

    const before = await town.devnet.provider.getBalance(bob.wallet.address)
    await alice.node.close(id)
    await eventually('settlement', () => bob.node.channel(id).phase === 'settled')
    expect((await town.devnet.provider.getBalance(bob.wallet.address)) - before).toBe(200n)
  })
})

describe('a payment over several hops', () => {
  it('arrives, and pays whoever mediates', async () => {
    const carol = await town.resident('carol', { fees: { flat: 1n, proportional: 10_000, imbalance: [] } })
    const dave = await town.resident('dave')
    const first = await town.channel(alice, carol, 10_000n)
    const second = await town.channel(carol, dave, 10_000n)
    await eventually('a path', () =>
      alice.node.pay({ to: dave.wallet.address, amount: 1n, maxFee: 2n }).then(
        () => true,
        () => false,
      ),
    )

    const received = new Promise((resolve) => dave.node.events.once('received', resolve))
    const paid = await alice.node.pay({ to: dave.wallet.address, amount: 1_000n })
    expect(paid).toMatchObject({ state: 'done', amount: 1_000n, fee: 11n })
    expect(await received).toMatchObject({ amount: 1_000n, from: accountOf(alice) })
    await eventually('unlocks', () => alice.node.channel(first.id).locked === 0n && carol.node.channel(second.id).locked === 0n)
    expect(dave.node.channel(second.id).capacity).toBe(1_001n)

    const stop = new AbortController()
    const stopped = alice.node.pay({ to: dave.wallet.address, amount: 5n, signal: stop.signal })
    stop.abort() // while it gets ready
    await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' })
    expect(alice.node.channel(first.id).locked).toBe(0n)
    expect(dave.node.channel(second.id).capacity).toBe(1_001n)
  })
})
