import { ZeroHash } from 'ethers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ChannelNodeOptions } from '../../src/channel/channelNode.ts'
import { openBook } from '../../src/channel/tower/book.ts'
import {
  createTower,
  decodeAppointment,
  unseal,
  type Appointment,
  type Tower,
  type TowerEvents,
  type TowerOptions,
} from '../../src/channel/tower/index.ts'
import { tokenNetworkContract, tokenNetworkInterface } from '../../src/contracts/tokenNetwork.ts'
import { towerDepositContract } from '../../src/contracts/towerDeposit.ts'
import type { Hex } from '../../src/core/bytes.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { accountOf, eventually, startTown, type Resident, type Town } from './support/town.ts'

const PERIOD = 600

let town: Town
let places: Place[]
beforeEach(async () => {
  town = await startTown({ challengePeriod: PERIOD })
  places = []
})
afterEach(async () => {
  for (const place of places) await place.stop()
  await town.stop()
})

/** A tower and what outlives it. */
interface Place {
  readonly url: string
  readonly account: string
  readonly entries: Map<string, Uint8Array>
  readonly seen: { [K in keyof TowerEvents]: TowerEvents[K][] }
  tower: Tower
  start(options?: Partial<TowerOptions>): Promise<void>
  stop(): Promise<void>
}

/** Starts a tower at `ws://NAME` with the account of that number. */
async function towerAt(name: string, number: number, options: Partial<TowerOptions> = {}): Promise<Place> {
  const wallet = town.devnet.accounts[number]!
  const url = `ws://${name}`
  let stop = async (): Promise<void> => {}
  const place: Place = {
    url,
    account: wallet.address,
    entries: new Map(),
    seen: { appointed: [], dropped: [], shown: [], released: [], failed: [], claimed: [] },
    tower: undefined as unknown as Tower,
    async start(more = {}) {
      const store = memoryStore(place.entries)
      const transport = town.peers.peer(url)
      place.tower = await createTower({
        signer: wallet,
        tokenNetworks: [town.tokenNetwork],
        store,
        transport,
        pollInterval: 50,
        ...options,
        ...more,
      })
      for (const event of ['appointed', 'dropped', 'shown', 'released', 'failed', 'claimed'] as const)
        place.tower.events.on(event, (payload) => place.seen[event].push(payload as never))
      stop = async () => {
        await place.tower.stop()
        await transport.close()
        await store.close()
        stop = async () => {}
      }
    },
    stop: () => stop(),
  }
  await place.start()
  places.push(place)
  return place
}

const using = (...list: readonly Place[]): Partial<ChannelNodeOptions> => ({
  towers: { towers: list.map(({ account, url }) => ({ account, url })), interval: 20 },
})

/** What a closing can be answered with, out of a copy of a tower's store, once it is public. */
async function opened(entries: ReadonlyMap<string, Uint8Array>, channelId: string, watch: string): Promise<Appointment[]> {
  const store = memoryStore(new Map(entries))
  const book = await openBook(store, { maxAppointments: 10, maxPerClient: 10 })
  const found: Appointment[] = []
  for (const key of entries.keys()) {
    if (!key.startsWith('appointment/')) continue
    const [, hint] = key.split('/') as [string, Hex]
    const closing = { channelId: channelId as Hex, watch: watch as Hex }
    for (const { sealed } of await book.of(hint)) {
      try {
        found.push(decodeAppointment(unseal(sealed, closing)))
      } catch {
        // Sealed for another closing.
      }
    }
  }
  return found
}

const NOTHING = { nonce: 0, transferred: 0n, locked: 0n, locksroot: ZeroHash }
const NO_PROOF = { ...NOTHING, stream: ZeroHash, ref: ZeroHash, watch: ZeroHash, signature: '0x', steps: '0x' }

/** How what a contract reverts with begins. */
const selectorOf = (name: 'NonceNotIncreased'): string => tokenNetworkInterface.getError(name)!.selector

/** Waits until a node's newest state is with a tower. */
async function watched(node: Resident, place: Place, since: number): Promise<void> {
  await eventually(`an appointment of ${node.name}`, () => place.seen.appointed.length > since)
}

/** Moves past the challenge period and waits for the settlement. */
async function settled(by: Resident, channelId: string): Promise<void> {
  await town.devnet.increaseTime(PERIOD + 1)
  await eventually('settlement', () => by.node.channel(channelId).phase === 'settled')
}

describe('a partner that closes while the client is offline', () => {
  it('does not keep what it has paid, although it shows nothing of it', async () => {
    const place = await towerAt('tower', 8)
    const alice = await town.resident('alice')
    const bob = await town.resident('bob', using(place))
    const { id } = await town.channel(alice, bob, 1_000n)
    await alice.node.pay({ to: bob.wallet.address, amount: 300n })
    await watched(bob, place, 0)
    await alice.node.pay({ to: bob.wallet.address, amount: 50n })
    await watched(bob, place, 1)
    expect(place.tower.appointments).toBe(1)
    await bob.node.stop()

    const before = await town.devnet.provider.getBalance(bob.wallet.address)
    await alice.node.close(id, { how: 'alone' })
    const shown = await eventually('an answer', () => place.seen.shown[0])
    expect(shown).toMatchObject({ channelId: id, client: accountOf(bob), rewarded: false })
    await settled(alice, id)
    expect((await town.devnet.provider.getBalance(bob.wallet.address)) - before).toBe(350n)
  })

  it('does not keep what came in right before the client went', async () => {
    const place = await towerAt('tower', 8)
    const alice = await town.resident('alice')
    const { towers } = using(place)
    const bob = await town.resident('bob', { towers: { ...towers!, interval: 3_600_000 } })
    const { id } = await town.channel(alice, bob, 1_000n)
    await alice.node.pay({ to: bob.wallet.address, amount: 300n })
    for (let i = 0; i < 5; i++) await alice.node.pay({ to: bob.wallet.address, amount: 10n })
    await bob.node.stop()

    const before = await town.devnet.provider.getBalance(bob.wallet.address)
    await alice.node.close(id, { how: 'alone' })
    await eventually('an answer', () => place.seen.shown[0])
    await settled(alice, id)
    expect((await town.devnet.provider.getBalance(bob.wallet.address)) - before).toBe(350n)
  })

  it('does not keep it either where the channel could be closed without a proof', async () => {
    const place = await towerAt('tower', 8)
    const alice = await town.resident('alice')
    const bob = await town.resident('bob', using(place))
    await bob.node.stop() // so it can't consent
    const { id } = await alice.node.open({ partner: bob.wallet.address, deposit: 1_000n })
    await town.resident('bob', using(place))
    await eventually('the link', () => alice.node.channel(id).online)
    await alice.node.pay({ to: bob.wallet.address, amount: 300n })
    await eventually('both appointments', () => place.tower.appointments === 2)
    await bob.node.stop()

    const before = await town.devnet.provider.getBalance(bob.wallet.address)
    await alice.node.close(id, { how: 'alone' })
    await eventually('an answer', () => place.seen.shown[0])
    await settled(alice, id)
    expect((await town.devnet.provider.getBalance(bob.wallet.address)) - before).toBe(300n)
  })
})

/** A channel that can be closed without a proof, in which alice has paid bob, who is gone. */
async function paidAndGone(place: Place, amount = 300n): Promise<{ alice: Resident; bob: Resident; id: Hex }> {
  const alice = await town.resident('alice', { autoSettle: false })
  const bob = await town.resident('bob')
  await bob.node.stop()
  const { id } = await alice.node.open({ partner: bob.wallet.address, deposit: 1_000n })
  await town.resident('bob', using(place))
  await eventually('the link', () => alice.node.channel(id).online)
  await alice.node.pay({ to: bob.wallet.address, amount })
  await eventually('both appointments', () => place.tower.appointments === 2)
  await bob.node.stop()
  return { alice, bob, id }
}

/** Closes without a proof, past the node. */
async function closeBare(alice: Resident, bob: Resident): Promise<void> {
  const contract = tokenNetworkContract(town.tokenNetwork, alice.wallet)
  await (await contract.close(alice.wallet.address, bob.wallet.address, NO_PROOF, '0x')).wait()
}

describe('a tower', () => {
  it('that was down at the closing answers when it is back, and not twice', async () => {
    const place = await towerAt('tower', 8)
    const { alice, bob } = await paidAndGone(place)
    await place.stop()
    await closeBare(alice, bob)
    await town.devnet.mine(3)
    await place.start()
    const { transactionHash } = await eventually('an answer', () => place.seen.shown[0])
    await place.stop()
    await place.start()
    await town.devnet.mine()
    await place.tower.caughtUp()
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(place.seen.shown).toHaveLength(1)
    expect(place.seen.failed).toEqual([])
    expect(await town.devnet.provider.getTransactionReceipt(transactionHash)).toMatchObject({ status: 1 })
    expect(await town.devnet.provider.getTransactionCount(place.account)).toBe(1)
  })

  it('answers again when its answer leaves the chain, and when the closing does and comes back', async () => {
    const place = await towerAt('tower', 8)
    const { alice, bob, id } = await paidAndGone(place)
    await closeBare(alice, bob)
    await eventually('an answer', () => place.seen.shown[0])
    await place.tower.caughtUp()
    await town.devnet.reorg(1)
    await eventually('a second answer', () => place.seen.shown[1])
    await place.tower.caughtUp()

    // Deep enough to take the closing along.
    await town.devnet.mine()
    const logs = await town.devnet.provider.getLogs({ address: town.tokenNetwork, fromBlock: 0 })
    const head = await town.devnet.provider.getBlockNumber()
    const closedIn = logs.filter(({ topics }) => topics[1] === id).at(-2)!.blockNumber
    await town.devnet.reorg(head - closedIn + 1)
    await place.tower.caughtUp()
    const contract = tokenNetworkContract(town.tokenNetwork, town.devnet.provider)
    expect((await contract.channel(alice.wallet.address, bob.wallet.address)).state).toBe(1n)
    expect(place.seen.shown).toHaveLength(2)
    await closeBare(alice, bob)
    await eventually('a third answer', () => place.seen.shown[2])
    const { fromCloser } = await lastUpdate(id)
    expect(fromCloser.transferred).toBe(300n)
  })

  it('is not led astray by an older proof that others show first', async () => {
    const place = await towerAt('tower', 8)
    const alice = await town.resident('alice', { autoSettle: false })
    const bob = await town.resident('bob', using(place))
    const { id } = await town.channel(alice, bob, 1_000n)
    await alice.node.pay({ to: bob.wallet.address, amount: 300n })
    await watched(bob, place, 0)
    const old = new Map(place.entries)
    await alice.node.pay({ to: bob.wallet.address, amount: 50n })
    await watched(bob, place, 1)
    await bob.node.stop()
    await place.stop()

    await alice.node.close(id, { how: 'alone' })
    const closed = await closingOf(id)
    const [older] = await opened(old, id, closed.watch)
    const contract = tokenNetworkContract(town.tokenNetwork, town.devnet.accounts[7])
    const show = (fromCloser: typeof NOTHING): Promise<{ wait(): Promise<unknown> }> =>
      contract.update(older!.closer, older!.client, closed.fromPartner, fromCloser, older!.proof, older!.updateSignature)
    await (await show(NOTHING)).wait()
    await place.start()
    await eventually('an answer', () => place.seen.shown[0])
    const { fromCloser } = await lastUpdate(id)
    expect(fromCloser.transferred).toBe(350n)
    await expect(show({ ...fromCloser })).rejects.toMatchObject({ data: expect.stringMatching(selectorOf('NonceNotIncreased')) as string })
    expect(place.seen.failed).toEqual([])
  })
})

describe('a reward', () => {
  const REWARD = 1_000n

  /** A tower that asks for a reward, and bob, who has left it one and is gone. */
  async function rewarded(deposit: bigint, options: Partial<TowerOptions> = { minReward: REWARD }) {
    const place = await towerAt('tower', 8, { towerDeposit: town.towerDeposit, ...options })
    const { account, url } = place
    const reward = { deposit: town.towerDeposit, amount: REWARD }
    const alice = await town.resident('alice', { autoSettle: false })
    const bob = await town.resident('bob', { towers: { towers: [{ account, url, reward }], interval: 20 } })
    const towers = towerDepositContract(town.towerDeposit, town.devnet.accounts[7])
    if (deposit > 0n) await (await towers.deposit(bob.wallet.address, deposit, { value: deposit })).wait()
    const { id } = await town.channel(alice, bob, 1_000n)
    await alice.node.pay({ to: bob.wallet.address, amount: 300n })
    await watched(bob, place, 0)
    const old = new Map(place.entries)
    await alice.node.pay({ to: bob.wallet.address, amount: 50n })
    await watched(bob, place, 1)
    await bob.node.stop()
    const newest = new Map(place.entries)
    return { place, alice, bob, id, towers, old, newest }
  }

  it('is set aside by the answer, and claimed once when the channel can be settled', async () => {
    const { place, alice, bob, id, towers, newest } = await rewarded(5_000n)
    await alice.node.close(id, { how: 'alone' })
    await eventually('an answer', () => place.seen.shown[0])
    expect(place.seen.shown[0]).toMatchObject({ rewarded: true })
    expect((await towers.accounts(bob.wallet.address)).deposit).toBe(4_000n)
    expect([...(await towers.claims(town.tokenNetwork, id))].slice(0, 3)).toEqual([place.account, 3n, REWARD])

    // Nobody gets it a second time for the same proof.
    const closed = await closingOf(id)
    const [{ proof, updateSignature, reward }] = (await opened(newest, id, closed.watch)) as [Appointment]
    const again = towers.update(
      town.tokenNetwork, alice.wallet.address, bob.wallet.address,
      closed.fromPartner, (await lastUpdate(id)).fromCloser, proof, updateSignature, reward!,
    )
    await expect(again).rejects.toMatchObject({ code: 'CALL_EXCEPTION' })

    await place.stop()
    await place.start()
    await town.devnet.increaseTime(PERIOD + 1)
    await eventually('the reward', () => place.seen.claimed[0])
    expect(place.seen.claimed).toEqual([{ tokenNetwork: town.tokenNetwork.toLowerCase(), channelId: id, amount: REWARD }])
    expect((await towers.claims(town.tokenNetwork, id)).amount).toBe(0n)
    await town.devnet.mine(2)
    await place.tower.caughtUp()
    expect(place.seen.claimed).toHaveLength(1)
    expect((await towers.accounts(bob.wallet.address)).deposit).toBe(4_000n)
    await expect(towers.claim(town.tokenNetwork, id)).rejects.toMatchObject({ code: 'CALL_EXCEPTION' })
  })

  it('goes to whoever shows the newest proof', async () => {
    const { place, alice, id, towers, old } = await rewarded(5_000n)
    await place.stop()
    await alice.node.close(id, { how: 'alone' })
    const closed = await closingOf(id)
    const [{ proof, updateSignature, reward, closer, client }] = (await opened(old, id, closed.watch)) as [Appointment]
    const early = [town.tokenNetwork, closer, client, closed.fromPartner, NOTHING, proof, updateSignature, reward!] as const
    await (await towers.update(...early)).wait()
    expect([...(await towers.claims(town.tokenNetwork, id))].slice(0, 3)).toEqual([place.account, 2n, REWARD])
    await place.start()
    await eventually('an answer', () => place.seen.shown[0])
    expect((await lastUpdate(id)).fromCloser.transferred).toBe(350n)
    expect([...(await towers.claims(town.tokenNetwork, id))].slice(0, 3)).toEqual([place.account, 3n, REWARD])
    expect((await towers.accounts(client)).deposit).toBe(4_000n)
  })

  it('that is asked for and not covered leaves the closing without an answer', async () => {
    const { place, alice, id } = await rewarded(10n)
    await alice.node.close(id, { how: 'alone' })
    await eventually('a failure', () => place.seen.failed[0])
    expect(place.seen.failed[0]).toMatchObject({ channelId: id, code: 'REWARD_UNCOVERED' })
    expect(place.seen.shown).toEqual([])
  })

  it('that is not asked for is not needed', async () => {
    const { place, alice, id } = await rewarded(0n, { minReward: 0n })
    await alice.node.close(id, { how: 'alone' })
    await eventually('an answer', () => place.seen.shown[0])
    expect(place.seen.shown[0]).toMatchObject({ channelId: id, rewarded: false })
  })

  it('that is less than what is asked for by now leaves it so too', async () => {
    const { place, alice, id } = await rewarded(5_000n)
    await place.stop()
    await place.start({ minReward: REWARD + 1n })
    await alice.node.close(id, { how: 'alone' })
    await eventually('a failure', () => place.seen.failed[0])
    expect(place.seen.failed[0]).toMatchObject({ channelId: id, code: 'FEE_TOO_LOW' })
    expect(place.seen.shown).toEqual([])
  })

  it('that somebody else has claimed for the tower is no matter', async () => {
    const { place, alice, id, towers } = await rewarded(5_000n)
    await alice.node.close(id, { how: 'alone' })
    await eventually('an answer', () => place.seen.shown[0])
    await place.tower.caughtUp()
    await place.stop()
    await town.devnet.increaseTime(PERIOD + 1)
    await (await towers.claim(town.tokenNetwork, id)).wait()
    await place.start()
    await town.devnet.mine()
    await place.tower.caughtUp()
    await eventually('the end of it', () => ![...place.entries.keys()].some((key) => key.startsWith('closing/')))
    expect([place.seen.claimed, place.seen.failed]).toEqual([[], []])
  })

  it('that is less than the tower signs for is no appointment', async () => {
    const place = await towerAt('tower', 8, { towerDeposit: town.towerDeposit, minReward: 2n })
    const alice = await town.resident('alice')
    const reward = { deposit: town.towerDeposit, amount: 1n }
    const bob = await town.resident('bob', { towers: { towers: [{ account: place.account, url: place.url, reward }] } })
    const failed = new Promise((resolve) => bob.node.events.once('towerFailed', resolve))
    const { id } = await town.channel(alice, bob, 1_000n)
    await alice.node.pay({ to: bob.wallet.address, amount: 300n })
    expect(await failed).toMatchObject({ channelId: id, tower: place.tower.account, code: 'FEE_TOO_LOW' })
  })
})

describe('a lock that the partner has given back', () => {
  it('is handed to the tower, which spends nothing on it where the closing does not claim the lock', async () => {
    const place = await towerAt('tower', 8)
    const alice = await town.resident('alice', using(place))
    const bob = await town.resident('bob')
    const carol = await town.resident('carol')
    const { id } = await town.channel(alice, bob, 1_000n)
    await town.channel(bob, carol, 1_000n)
    const to = carol.wallet.address
    await eventually('a path', () => alice.node.pay({ to, amount: 1n, maxFee: 10n }).then(() => true, () => false))
    await carol.node.stop()
    await expect(alice.node.pay({ to, amount: 100n, maxFee: 10n })).rejects.toMatchObject({ name: 'SluiceError' })
    await eventually('a release', () => [...alice.entries.keys()].some((key) => key.startsWith(`release/${id}/`)))
    await eventually('an appointment', () => place.tower.appointments === 1)
    const { counter } = await eventually('the last of them', async () => {
      const last = place.seen.appointed.at(-1)!
      await new Promise((resolve) => setTimeout(resolve, 500))
      return place.seen.appointed.at(-1) === last && last
    })
    expect(counter).toBeGreaterThanOrEqual(1)
    await alice.node.stop()
    await bob.node.close(id, { how: 'alone' })
    const { watch, fromPartner } = await closingOf(id)
    const [held] = await opened(place.entries, id, watch)
    expect(held).toMatchObject({ client: accountOf(alice), releases: [{}] })
    expect(fromPartner.locked).toBe(0n)
    await town.devnet.mine(2)
    await place.tower.caughtUp()
    await settled(bob, id)
    expect([place.seen.released, place.seen.shown]).toEqual([[], []])
    expect(await town.devnet.provider.getTransactionCount(place.account)).toBe(0)
  })
})

describe('several towers', () => {
  it('each have a copy, and one of them answers', async () => {
    const [one, two] = [await towerAt('one', 8), await towerAt('two', 9)]
    const alice = await town.resident('alice', { autoSettle: false })
    const bob = await town.resident('bob', { towers: { ...using(one, two).towers!, copies: 2 } })
    const { id } = await town.channel(alice, bob, 1_000n)
    await alice.node.pay({ to: bob.wallet.address, amount: 300n })
    await watched(bob, one, 0)
    await watched(bob, two, 0)
    // They can't tell that they work for the same node.
    expect(one.seen.appointed[0]!.client).not.toBe(two.seen.appointed[0]!.client)
    await bob.node.stop()
    await alice.node.close(id, { how: 'alone' })
    await eventually('an answer', () => one.seen.shown[0] ?? two.seen.shown[0])
    await one.tower.caughtUp()
    await two.tower.caughtUp()
    expect((await lastUpdate(id)).fromCloser.transferred).toBe(300n)
    expect([...one.seen.failed, ...two.seen.failed]).toEqual([])
  })

  it('stand in for one that does not answer, and it is noticed', async () => {
    const place = await towerAt('two', 9)
    const gone = town.devnet.accounts[8]!.address
    const alice = await town.resident('alice', { autoSettle: false })
    const bob = await town.resident('bob', {
      towers: { towers: [{ account: gone, url: 'ws://gone' }, { account: place.account, url: place.url }], interval: 20 },
    })
    const failed = new Promise((resolve) => bob.node.events.once('towerFailed', resolve))
    const { id } = await town.channel(alice, bob, 1_000n)
    await alice.node.pay({ to: bob.wallet.address, amount: 300n })
    expect(await failed).toMatchObject({ channelId: id, tower: gone.toLowerCase(), code: 'PARTNER_OFFLINE' })
    await watched(bob, place, 0)
    await bob.node.stop()
    await alice.node.close(id, { how: 'alone' })
    await eventually('an answer', () => place.seen.shown[0])
  })
})

describe('a store that was restored from an old copy', () => {
  const HELD = { code: 'STATE_STALE' }

  /** Alice and bob with the stores that they had before the last payment of 50. */
  async function restored(place: Place) {
    const alice = await town.resident('alice', { autoSettle: false })
    const bob = await town.resident('bob', using(place))
    const { id } = await town.channel(alice, bob, 1_000n)
    await alice.node.pay({ to: bob.wallet.address, amount: 300n })
    await watched(bob, place, 0)
    await eventually('the receipt', () => [...bob.entries.keys()].some((key) => key.startsWith('receipt/')))
    const copies = [alice, bob].map(({ entries }) => new Map(entries))
    await alice.node.pay({ to: bob.wallet.address, amount: 50n })
    await watched(bob, place, 1)
    for (const [i, { node, entries }] of [alice, bob].entries()) {
      await node.stop()
      entries.clear()
      for (const [key, value] of copies[i]!) entries.set(key, value)
    }
    const held = () => [...place.entries].find(([key]) => key.startsWith('appointment/'))![1]
    return { alice, bob, id, held, before: held() }
  }

  it('learns from its tower that it is old, without its partner', async () => {
    const place = await towerAt('tower', 8)
    const { held, before } = await restored(place)
    const warned: unknown[] = []
    const log = { debug() {}, info() {}, error() {}, warn: (_: string, details?: object) => warned.push(details) }
    // A longer duration makes it ask for more time at once.
    await town.resident('bob', { towers: { ...using(place).towers!, duration: 80 * 86_400 }, log })
    await eventually('a warning', () => warned.some((details) => (details as { code?: string }).code === HELD.code))
    expect(held()).toEqual(before)
  })

  it('does not replace what is newer, whatever its partner says', async () => {
    const place = await towerAt('tower', 8)
    const { alice, bob, id, held, before } = await restored(place)
    await town.resident('alice', { autoSettle: false })
    await town.resident('bob', using(place))
    await eventually('the link', () => alice.node.channel(id).online)
    const failed = new Promise((resolve) => bob.node.events.once('towerFailed', resolve))
    await alice.node.pay({ to: bob.wallet.address, amount: 10n })
    expect(await failed).toMatchObject({ channelId: id, ...HELD })
    expect(held()).toEqual(before)
  })
})

/** The closing of a channel, as the chain has it. */
async function closingOf(id: string) {
  const contract = tokenNetworkContract(town.tokenNetwork, town.devnet.provider)
  const [log] = await contract.queryFilter(contract.filters.ChannelClosed(id))
  const { nonce, transferred, locked, locksroot } = log!.args.fromPartner
  return { watch: log!.args.watch, fromPartner: { nonce, transferred, locked, locksroot } }
}

/** What was shown last of the closer. */
async function lastUpdate(id: string) {
  const contract = tokenNetworkContract(town.tokenNetwork, town.devnet.provider)
  const logs = await contract.queryFilter(contract.filters.NonClosingBalanceProofUpdated(id))
  const { nonce, transferred, locked, locksroot } = logs.at(-1)!.args.fromCloser
  return { fromCloser: { nonce: Number(nonce), transferred, locked, locksroot } }
}
