import { JsonRpcProvider, Network } from 'ethers'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createChannelNode } from '../../../src/channel/channelNode.ts'
import type { Hex } from '../../../src/core/bytes.ts'
import { tokenNetworkRegistryContract } from '../../../src/contracts/tokenNetworkRegistry.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { memoryStore } from '../../../src/core/store/memoryStore.ts'
import { startRpcProxy } from '../../../src/testing/rpcProxy.ts'
import type { Fate } from './support/mortalStore.ts'
import { contractOf, eventually, held, pause, startVillage, stored, type Villager, type Village } from './support/village.ts'

let village: Village
let number = 0
const people: Villager[] = []

beforeAll(async () => {
  village = await startVillage({ accounts: 60 })
})
afterAll(() => village.stop())
afterEach(async () => {
  village.network.rule(undefined)
  for (const person of people.splice(0)) if (person.running) await village.stopVillager(person)
})

async function person(name: string, options: Parameters<Village['villager']>[1] = {}): Promise<Villager> {
  const made = await village.villager(`${name}${number++}`, options)
  people.push(made)
  return made
}
async function pair(depositA = 10_000n, depositB = 10_000n): Promise<{ alice: Villager; bob: Villager; id: Hex }> {
  const [alice, bob] = [await person('alice'), await person('bob')]
  return { alice, bob, id: (await village.channel(alice, bob, depositA, depositB)).id }
}
const touchesSide: Fate = (_write, changes) => (changes.some(({ key }) => key.startsWith('side/')) ? 'refused' : 'done')
/** Both ends say the same of a channel. */
const agree = (a: Villager, b: Villager, id: Hex): Promise<unknown> =>
  eventually(
    'agreement',
    () => {
      const [one, two] = [a.node.channel(id), b.node.channel(id)]
      const same = one.capacity === two.partnerCapacity && two.capacity === one.partnerCapacity
      return one.online && two.online && same && one.locked + two.locked === 0n
    },
    20_000,
  )

describe('a store that fails', () => {
  it.each(['refused', 'lost'] as const)('lets nothing leave that was signed, when the write is %s', async (how) => {
    const { alice, bob, id } = await pair()
    let left = 0
    village.network.rule((from, _to, type) => {
      if (from === alice.endpoint && type === 1) left++
      return undefined
    })
    const stopped = new Promise((resolve) => alice.node.events.once('stopped', resolve))
    alice.store.fate((write, changes) => (touchesSide(write, changes) === 'refused' ? how : 'done'))
    const paying = alice.node.pay({ to: bob.account, amount: 10n }).then(
      () => 'done',
      () => 'failed',
    )
    await stopped
    await pause(100)
    expect(left).toBe(0)
    expect(await Promise.race([paying, pause(0).then(() => 'open')])).not.toBe('done')
    await village.crash(alice)
    await village.restart(alice)
    await agree(alice, bob, id)
    expect(bob.node.channel(id).capacity).toBe(10_000n)
    await alice.node.pay({ to: bob.account, amount: 7n })
    expect(bob.node.channel(id).capacity).toBe(10_007n)
  })

  it('sends what was stored, when the end comes right after the write', async () => {
    const { alice, bob, id } = await pair()
    alice.store.fate((write, changes) => (touchesSide(write, changes) === 'refused' ? 'last' : 'done'))
    void alice.node.pay({ to: bob.account, amount: 10n }).catch(() => {})
    await eventually('the end', () => alice.store.dead)
    await village.crash(alice)
    await village.restart(alice)
    await eventually('the payment', () => bob.node.channel(id).capacity === 10_010n)
    await agree(alice, bob, id)
  })

  it('sends no receipt for what it could not keep', async () => {
    const { alice, bob, id } = await pair()
    const stopped = new Promise((resolve) => bob.node.events.once('stopped', resolve))
    bob.store.fate(touchesSide)
    const paying = alice.node.pay({ to: bob.account, amount: 10n })
    await stopped
    expect(await Promise.race([paying.then(() => 'done'), pause(100).then(() => 'open')])).toBe('open')
    await village.crash(bob)
    await village.restart(bob)
    expect(await paying).toMatchObject({ state: 'done' })
    expect(bob.node.channel(id).capacity).toBe(10_010n)
  })

  it('is opened by one node at a time', async () => {
    const { alice } = await pair()
    const second = createChannelNode({
      signer: alice.wallet,
      tokenNetwork: village.tokenNetwork,
      fromBlock: village.fromBlock,
      store: alice.store,
      transport: village.network.peer(`ws://second${number++}`),
    })
    await expect(second).rejects.toMatchObject({ code: 'STORE_LOCKED' })
  })
})

describe('a partner that is faster than the store', () => {
  it('finds the node when it has read what it needs', async () => {
    const { alice, bob, id } = await pair()
    await village.crash(alice)
    const store = memoryStore(new Map(alice.store.entries))
    const transport = village.network.peer(alice.endpoint)
    const node = await createChannelNode({
      signer: alice.wallet,
      tokenNetwork: village.tokenNetwork,
      fromBlock: village.fromBlock,
      store: {
        ...store,
        async *list(prefix) {
          await pause(100)
          yield* store.list(prefix)
        },
      },
      transport: {
        ...transport,
        accept: (handler) => {
          transport.accept(handler)
          bob.node.connect(alice.account).catch(() => {})
        },
      },
    })
    try {
      await eventually('agreement', () => node.channel(id).online && bob.node.channel(id).online)
    } finally {
      await node.stop()
      await transport.close()
    }
  })
})

describe('an old copy of a store', () => {
  it('signs nothing before the partner has shown what is missing', async () => {
    const { alice, bob, id } = await pair()
    await alice.node.pay({ to: bob.account, amount: 1n })
    const old = new Map(alice.store.entries)
    for (let i = 0; i < 5; i++) await alice.node.pay({ to: bob.account, amount: 100n })
    for (let i = 0; i < 3; i++) await bob.node.pay({ to: alice.account, amount: 30n })
    await village.stopVillager(alice)
    // The partner's word is held back: so is the node's.
    village.network.rule((_from, to, type) => (to === alice.endpoint && type === 17 ? 'before' : undefined))
    await village.restart(alice, old)
    const paying = alice.node.pay({ to: bob.account, amount: 5n, timeout: 500 }).then(
      () => 'paid',
      (error: { code: string }) => error.code,
    )
    await pause(600)
    expect(alice.node.channel(id).online).toBe(false)
    const offline = expect.objectContaining({ code: 'PARTNER_OFFLINE' }) as Error
    const stream = await alice.node.stream({ to: bob.account, unit: 1n })
    expect(() => stream.pay()).toThrow(offline)
    stream.end()
    expect((await stored(alice.store.entries, id)).own.nonce).toBeLessThan(5)
    village.network.rule(undefined)
    expect(await paying).toBe('PARTNER_OFFLINE')
    await agree(alice, bob, id)
    expect(alice.node.channel(id).capacity).toBe(10_000n - 501n + 90n)
    await alice.node.pay({ to: bob.account, amount: 5n })
    await bob.node.pay({ to: alice.account, amount: 5n })
    await agree(alice, bob, id)
    expect([...bob.store.entries.keys()].filter((key) => key.startsWith('evidence/'))).toEqual([])
  })

  it('has an end for each payment that was under way', async () => {
    const { alice, bob, id } = await pair()
    const carol = await person('carol')
    await village.channel(bob, carol, 10_000n)
    // A copy of the moment at which something is locked for Carol.
    let old: Map<string, Uint8Array> | undefined
    alice.store.fate(() => {
      if ([...alice.store.entries.keys()].some((key) => key.startsWith('lock/'))) old ??= new Map(alice.store.entries)
      return 'done'
    })
    const { id: mediated } = await eventually(
      'the payment',
      () => alice.node.pay({ to: carol.account, amount: 3n }).catch(() => undefined), // until the path is known
    )
    alice.store.fate(undefined)
    await village.stopVillager(alice)
    await village.restart(alice, old)
    await agree(alice, bob, id)
    const stateOf = async (payment: string): Promise<string | undefined> => {
      for await (const { state } of alice.node.payments('out', payment)) return state
      return undefined
    }
    expect(await stateOf(mediated)).toBe('unknown')
    await expect(alice.node.pay({ id: mediated, to: carol.account, amount: 3n })).rejects.toMatchObject({
      code: 'PAYMENT_UNKNOWN',
    })

    // And one at which a receipt is missing.
    village.network.rule((_from, to, type) => (to === alice.endpoint && type === 7 ? 'before' : undefined))
    const direct: Hex = `0x${'d1'.repeat(32)}`
    void alice.node.pay({ id: direct, to: bob.account, amount: 4n }).catch(() => {})
    await eventually('the payment', () => bob.node.channel(id).capacity === 10_007n)
    const older = new Map(alice.store.entries)
    expect(await stateOf(direct)).toBe('unknown')
    village.network.rule(undefined)
    await agree(alice, bob, id)
    await alice.node.pay({ to: bob.account, amount: 5n })
    await village.stopVillager(alice)
    await village.restart(alice, older)
    await agree(alice, bob, id)
    expect(await stateOf(direct)).toBe('done')
  })
})

describe('a backup', () => {
  it('is taken while payments go on, and goes on where the partner is', async () => {
    const { alice, bob, id } = await pair(100_000n, 0n)
    let running = true
    let paid = 0n
    const paying = (async () => {
      while (running) {
        await Promise.all(Array.from({ length: 20 }, () => alice.node.pay({ to: bob.account, amount: 1n })))
        paid += 20n
        await pause(1)
      }
    })()
    await pause(50)
    const entries = new Map<string, Uint8Array>()
    const copy = memoryStore(entries)
    await alice.node.backup(copy)
    await expect(alice.node.backup(copy)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    const kept = await stored(entries, id)
    const before = kept.own.transferred
    expect(before).toBe(BigInt(kept.own.nonce - 1)) // each proof pays one, but for the first
    await pause(50)
    running = false
    await paying
    expect(before < paid).toBe(true)
    await village.crash(alice)
    await village.restart(alice, entries)
    await agree(alice, bob, id)
    expect(alice.node.channel(id).capacity).toBe(100_000n - paid)
    await alice.node.pay({ to: bob.account, amount: 5n })
    expect(bob.node.channel(id).capacity).toBe(paid + 5n)
  })
})

describe('a payment over a mediator', () => {
  const kinds = { lock: 2, unlock: 3, processed: 7, secretRequest: 32, secretGrant: 33, reveal: 34 } as const

  it('ends in one way for all, wherever a link is cut', async () => {
    const [alice, bob, carol] = [await person('alice'), await person('bob'), await person('carol')]
    const first = (await village.channel(alice, bob, 100_000n, 100_000n)).id
    const second = (await village.channel(bob, carol, 100_000n, 100_000n)).id
    await eventually('a path', () =>
      alice.node.pay({ to: carol.account, amount: 1n, maxFee: 0n }).then(
        () => true,
        () => false,
      ),
    )
    const there = [
      [alice, bob],
      [bob, carol],
    ] as const
    const back = [
      [bob, alice],
      [carol, bob],
    ] as const
    const towardsPayer = ['processed', 'secretRequest', 'reveal']
    let paid = 1n
    for (const [kind, type] of Object.entries(kinds)) {
      for (const [from, to] of towardsPayer.includes(kind) ? back : there) {
        // One of the two at each place, unless there is time.
        const both = ['before', 'after'] as const
        const verdicts = process.env['SLUICE_LONG'] === undefined ? [both[(type + number++) % 2]!] : both
        for (const verdict of verdicts) {
          let armed = true
          let met = false
          village.network.rule((a, b, seen) => {
            if (!armed || a !== from.endpoint || b !== to.endpoint || seen !== type) return undefined
            armed = false
            met = true
            return verdict
          })
          const { state } = await eventually(
            'a way to pay',
            () =>
              alice.node
                .pay({ to: carol.account, amount: 10n, maxFee: 0n })
                .catch((error: { code: string }) =>
                  ['NO_ROUTE', 'CAPACITY_SHORT', 'PARTNER_OFFLINE'].includes(error.code) ? undefined : { state: error.code },
                ),
            30_000,
          )
          armed = false
          if (state === 'done') paid += 10n
          await agree(alice, bob, first)
          await agree(bob, carol, second)
          const at = `${type} ${from.name}-${to.name} ${verdict} ${met ? 'met' : ''}`
          expect([at, carol.node.channel(second).capacity]).toEqual([at, 100_000n + paid])
          expect([at, alice.node.channel(first).capacity]).toEqual([at, 100_000n - paid])
        }
      }
    }
  }, 240_000)
})

describe('a link that is lost', () => {
  it('loses no last step of a stream', async () => {
    const { alice, bob, id } = await pair(10_000n, 0n)
    const stream = await alice.node.stream({ to: bob.account, unit: 10n })
    await stream.pay(3)
    await eventually('the first steps', () => bob.node.channel(id).capacity === 30n)
    let lost = 0
    village.network.rule((from, _to, type) => (from === alice.endpoint && type === 6 && lost++ === 0 ? 'before' : undefined))
    await stream.pay(4)
    await eventually('the last steps', () => bob.node.channel(id).capacity === 70n)
    expect(lost).toBeGreaterThan(1)
  })

  it('leaves a withdrawal to be asked for again', async () => {
    const { alice, bob, id } = await pair(10_000n, 0n)
    village.network.rule((from, _to, type) => (from === bob.endpoint && type === 21 ? 'before' : undefined))
    const first = alice.node.withdraw(id, 4_000n, { signal: AbortSignal.timeout(700) })
    await expect(first).rejects.toMatchObject({ code: 'ABORTED' })
    village.network.rule(undefined)
    await eventually('the link', () => alice.node.channel(id).online)
    await expect(alice.node.withdraw(id, 5_000n)).rejects.toMatchObject({ code: 'CHANNEL_BUSY' })
    expect(await alice.node.withdraw(id, 4_000n)).toMatchObject({ totalWithdraw: 4_000n, capacity: 6_000n })
    await eventually('the same at the other end', () => bob.node.channel(id).partnerCapacity === 6_000n)
  })
})

describe('a payment that can not be stopped any more', () => {
  it('is unknown when the time is over, and its id tells how it ended', async () => {
    const [alice, bob, carol] = [await person('alice'), await person('bob'), await person('carol')]
    await village.channel(alice, bob, 10_000n)
    const { id } = await village.channel(bob, carol, 10_000n)
    const to = carol.account
    await eventually('a path', () =>
      alice.node.pay({ to, amount: 1n, maxFee: 0n }).then(
        () => true,
        () => false,
      ),
    )
    // The secret is out, and does not come back.
    village.network.rule((from, _to, type) => (from === carol.endpoint && type === 34 ? 'before' : undefined))
    const payment = { to, amount: 50n, maxFee: 0n, id: `0x${'5e'.repeat(32)}` }
    const unknown = { code: 'PAYMENT_UNKNOWN', details: { paymentId: payment.id, code: 'TIMEOUT' } }
    await expect(alice.node.pay({ ...payment, timeout: 700 })).rejects.toMatchObject(unknown)
    village.network.rule(undefined)
    expect(await alice.node.pay(payment)).toMatchObject({ state: 'done', amount: 50n })
    expect(carol.node.channel(id).capacity).toBe(51n)
  }, 30_000)
})

describe('two nodes that pay each other as fast as they can', () => {
  it('lose no payment and make none twice, while their link is cut again and again', async () => {
    const { alice, bob, id } = await pair(1_000_000n, 1_000_000n)
    const count = 3_000
    const got = { alice: new Map<string, number>(), bob: new Map<string, number>() }
    alice.node.events.on('received', ({ paymentId }) => void got.alice.set(paymentId, (got.alice.get(paymentId) ?? 0) + 1))
    bob.node.events.on('received', ({ paymentId }) => void got.bob.set(paymentId, (got.bob.get(paymentId) ?? 0) + 1))
    let cuts = 0
    let left = 100
    village.network.rule(() => {
      if (left-- > 0) return undefined
      left = 100 + Math.floor(Math.random() * 1_500)
      cuts++
      return Math.random() < 0.5 ? 'before' : 'after'
    })
    const run = async (from: Villager, to: Villager): Promise<string[]> => {
      const ids: string[] = []
      const open = new Set<Promise<unknown>>()
      while (ids.length < count) {
        if (open.size >= 100) await Promise.race(open)
        if (!from.node.channel(id).online) {
          await pause(5)
          continue
        }
        const paying = from.node.pay({ to: to.account, amount: 1n }).then(
          (payment) => void ids.push(payment.id),
          (error: { code: string }) => {
            if (!['NO_ROUTE', 'PARTNER_OFFLINE', 'OVERLOADED', 'CAPACITY_SHORT'].includes(error.code)) throw error
          },
        )
        open.add(paying)
        void paying.finally(() => open.delete(paying))
      }
      await Promise.all(open)
      return ids
    }
    const [fromAlice, fromBob] = await Promise.all([run(alice, bob), run(bob, alice)])
    village.network.rule(undefined)
    await agree(alice, bob, id)
    expect(cuts).toBeGreaterThan(2)
    expect(new Set(fromAlice)).toEqual(new Set(got.bob.keys()))
    expect(new Set(fromBob)).toEqual(new Set(got.alice.keys()))
    expect([...got.alice.values(), ...got.bob.values()].every((times) => times === 1)).toBe(true)
    expect(alice.node.channel(id).capacity).toBe(1_000_000n - BigInt(fromAlice.length) + BigInt(fromBob.length))
  }, 90_000)
})

describe('a chain', () => {
  it('that does not answer for a while delays what has to be done there, and no more', async () => {
    const proxy = await startRpcProxy(village.devnet.url)
    const rpc = new JsonRpcProvider(proxy.url, undefined, {
      cacheTimeout: -1,
      pollingInterval: 50,
      staticNetwork: Network.from(31337),
    })
    const [alice, bob] = [await person('alice'), await person('bob', { rpc })]
    const { id } = await village.channel(alice, bob, 10_000n, 0n)
    await alice.node.pay({ to: bob.account, amount: 4_000n })
    const before = await held(village)
    proxy.rule(() => 'cut')
    // Closed with nothing: what Bob was paid is lost unless it answers.
    await closeWithNothing(alice, bob)
    await alice.node.pay({ to: bob.account, amount: 1n }).catch(() => {})
    await pause(500)
    proxy.rule()
    await eventually('the answer', async () => (await updates(id)) > 0, 15_000)
    await village.devnet.increaseTime(601)
    await eventually('the settlement', () => bob.node.channel(id).phase === 'settled', 15_000)
    expect(before - (await held(village))).toBe(10_000n)
    await proxy.stop()
    rpc.destroy()
  }, 60_000)

  it('is answered by a node without money as soon as it has some', async () => {
    const { alice, bob, id } = await pair(10_000n, 0n)
    await alice.node.pay({ to: bob.account, amount: 4_000n })
    await village.devnet.provider.send('anvil_setBalance', [bob.account, '0x0'])
    await closeWithNothing(alice, bob)
    await eventually('the closing', () => bob.node.channel(id).phase === 'closed')
    await pause(1_500)
    expect(await updates(id)).toBe(0)
    await village.devnet.provider.send('anvil_setBalance', [bob.account, '0xde0b6b3a7640000'])
    await eventually('the answer', async () => (await updates(id)) > 0, 15_000)
  }, 60_000)

  it('is answered by a node whose clock is a day fast', async () => {
    const alice = await person('alice')
    const bob = await person('bob', { clock: { ...systemClock, now: () => Date.now() + 86_400_000 } })
    const { id } = await village.channel(alice, bob, 10_000n, 0n)
    await alice.node.pay({ to: bob.account, amount: 4_000n })
    await closeWithNothing(alice, bob)
    await eventually('the answer', async () => (await updates(id)) > 0, 15_000)
  }, 60_000)

  it('that has lost the answer to a closing gets it again', async () => {
    const { alice, bob, id } = await pair(10_000n, 0n)
    await alice.node.pay({ to: bob.account, amount: 4_000n })
    await closeWithNothing(alice, bob)
    await eventually('the answer', async () => (await updates(id)) > 0, 15_000)
    await bob.node.caughtUp()
    await eventually('word of it', async () => (await stored(bob.store.entries, id)).presented!.fromCloser.nonce > 0)
    await village.devnet.reorg(1)
    await eventually('the answer again', async () => (await updates(id)) > 0, 20_000)
  }, 60_000)

  it('that stands still lets nothing be paid, and nothing be taken', async () => {
    const [alice, bob] = [await person('alice'), await person('bob', { stallTimeout: 2 })]
    const { id } = await village.channel(alice, bob, 10_000n, 10_000n)
    await pause(2_500)
    const stalled = { code: 'CHAIN_STALLED' }
    await expect(bob.node.pay({ to: alice.account, amount: 1n })).rejects.toMatchObject(stalled)
    const stream = await bob.node.stream({ to: alice.account, unit: 1n })
    expect(() => stream.pay()).toThrow(expect.objectContaining(stalled) as Error)
    stream.end()
    const paying = alice.node.pay({ to: bob.account, amount: 7n })
    await pause(500)
    expect(bob.node.channel(id).capacity).toBe(10_000n)
    const keepMining = setInterval(() => void village.devnet.mine(), 200)
    expect(await paying).toMatchObject({ state: 'done' })
    await bob.node.pay({ to: alice.account, amount: 1n })
    clearInterval(keepMining)
    expect(bob.node.channel(id).capacity).toBe(10_006n)
  }, 30_000)

  it('that has lost a deposit takes it from what can be spent', async () => {
    const { alice, bob, id } = await pair(1_000n, 0n)
    await village.devnet.mine(2)
    await bob.node.caughtUp()
    await (await contractOf(village, alice.wallet).deposit(alice.account, bob.account, 5_000n, { value: 4_000n })).wait()
    const both = (amount: bigint): boolean =>
      bob.node.channel(id).partnerCapacity === amount && alice.node.channel(id).capacity === amount
    await eventually('the deposit', () => both(5_000n))
    await village.devnet.reorg(1)
    await village.devnet.mine()
    await eventually('the loss', () => both(1_000n))
  }, 60_000)

  it('that has lost the channel leaves nothing to be spent in it', async () => {
    const [alice, bob] = [await person('alice'), await person('bob')]
    const { id } = await village.channel(alice, bob, 1_000n, 0n)
    await village.devnet.reorg(1)
    await village.devnet.mine()
    await eventually('the loss', () => bob.node.channel(id).partnerCapacity <= 0n && alice.node.channel(id).capacity <= 0n)
  }, 60_000)

  it('may have channels of one pair in two networks: they are never taken for one', async () => {
    const { devnet, tokenNetwork } = village
    const token = await devnet.deployToken()
    const registry = tokenNetworkRegistryContract(village.registry, devnet.accounts[0])
    await (await registry.createTokenNetwork(await token.getAddress())).wait()
    const other = (await registry.tokenNetworks(await token.getAddress())).toLowerCase()
    const networks = [tokenNetwork, other]
    const [alice, bob] = [await person('alice', { tokenNetwork: networks }), await person('bob', { tokenNetwork: networks })]
    await (await token.connect(alice.wallet).mint(alice.account, 10n ** 30n)).wait()
    const first = await alice.node.open({ partner: bob.account, deposit: 1_000n, tokenNetwork })
    const second = await alice.node.open({ partner: bob.account, deposit: 10n ** 30n, tokenNetwork: other })
    expect(second.id).not.toBe(first.id)
    await alice.node.pay({ to: bob.account, amount: 10n, tokenNetwork })
    await alice.node.pay({ to: bob.account, amount: 10n ** 29n, tokenNetwork: other })
    await village.crash(bob)
    await village.restart(bob)
    expect(bob.node.channel(first.id)).toMatchObject({ tokenNetwork, partnerTotalDeposit: 1_000n, capacity: 10n })
    expect(bob.node.channel(second.id)).toMatchObject({
      tokenNetwork: other,
      partnerTotalDeposit: 10n ** 30n,
      capacity: 10n ** 29n,
    })
  })

  it('that has settled a channel ends what was on its way in it', async () => {
    const { alice, bob, id } = await pair(10_000n, 0n)
    village.network.rule((from, _to, type) => {
      if (from !== alice.endpoint || type !== 1) return undefined
      village.network.block(alice.endpoint, bob.endpoint)
      return 'before'
    })
    const paying = alice.node.pay({ to: bob.account, amount: 10n }).then(
      () => 'done',
      (error: { code: string }) => error.code,
    )
    await pause(200)
    await bob.node.close(id, { how: 'alone' })
    await village.devnet.increaseTime(601)
    await eventually('the settlement', () => alice.node.channel(id).phase === 'settled')
    expect(await Promise.race([paying, pause(5_000).then(() => 'open')])).toBe('PAYMENT_FAILED')
  }, 60_000)
})

/** Alice closes with no proof at all, by her own hand: as an attacker would. */
async function closeWithNothing(alice: Villager, bob: Villager): Promise<void> {
  const zero = `0x${'00'.repeat(32)}`
  const { consented } = await contractOf(village, alice.wallet).channel(alice.account, bob.account)
  // A channel opened by consent is closed with the first proof, which says as little.
  const { channels } = await (
    await import('../../../src/channel/node/channel.ts')
  ).loadChannels((await import('../../../src/core/store/memoryStore.ts')).memoryStore(new Map(alice.store.entries)))
  const channel = channels.find(({ partner, phase }) => partner === bob.account && phase === 'open')!
  const signature = channel.theirs.signature!
  const at27 = `0x${Buffer.from(signature).toString('hex')}`
  const watch = `0x${Buffer.from(channel.theirWatch!).toString('hex')}`
  for (const v of consented ? ['1b', '1c'] : ['']) {
    const proof = {
      nonce: consented ? channel.theirs.nonce : 0,
      transferred: 0,
      locked: 0,
      locksroot: zero,
      stream: zero,
      ref: `0x${Buffer.from(channel.theirs.reference).toString('hex')}`,
      watch: consented ? watch : zero,
      signature: consented ? at27 + v : '0x',
      steps: '0x',
    }
    const done = await contractOf(village, alice.wallet)
      .close(alice.account, bob.account, proof, '0x')
      .then((sent) => sent.wait())
      .then(
        () => true,
        () => false,
      )
    if (done) return
  }
  throw new Error('could not close')
}

async function updates(id: Hex): Promise<number> {
  const contract = contractOf(village, village.devnet.accounts[0]!)
  return (await contract.queryFilter(contract.filters.NonClosingBalanceProofUpdated(id))).length
}
