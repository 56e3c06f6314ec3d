import { keccak256, toBeHex, ZeroAddress, ZeroHash, type HDNodeWallet } from 'ethers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  balanceOf,
  createChannels,
  locksrootOf,
  NO_LOCKS,
  NO_PROOF,
  NOTHING,
  secretOf,
  type Channels,
} from '../../test/fixtures/contracts/channels.ts'
import type { Hex } from '../core/bytes.ts'
import { startDevnet, type Devnet } from '../testing/devnet.ts'
import { secretRegistryContract } from './secretRegistry.ts'
import { encodeLocks, unlockedNumbers, type LocksToUnlock, type UnlockableLock } from './unlock.ts'

const EXPIRY = 0x77_0102_0304

function lockOf(seed: number, amount: bigint): UnlockableLock {
  return { amount, expiry: EXPIRY, secrethash: secretOf(seed).secrethash }
}

/** A stream of numbers below a bound, the same in every run. */
function createDice(seed: number): (below: number) => number {
  let state = keccak256(toBeHex(seed, 32))
  return (below) => {
    state = keccak256(state)
    return Number(BigInt(state) % BigInt(below))
  }
}

describe('encodeLocks', () => {
  const locks = new Map([
    [0, lockOf(0, 5n)],
    [2, lockOf(2, 0x0102n)],
    [5, lockOf(5, 0n)],
  ])
  const [a, b, c] = [0, 2, 5].map((seed) => secretOf(seed).secrethash.slice(2)) as [string, string, string]
  const other = 'ee'.repeat(32)

  it('writes all locks, the gaps, and each secrethash alone', () => {
    const gap = '40'
    expect(encodeLocks({ locks, numbers: locks.keys() })).toBe(
      `0x0001${a}0001${b}0001${c}000003` + `01770102030405${gap}0277010203040102${gap}${gap}007701020304` + '41',
    )
  })

  it('writes a list once, with the places of what is out of its order', () => {
    const list = [`0x${c}`, `0x${other}`, `0x${a}`, `0x${b}`] as Hex[]
    expect(encodeLocks({ locks, numbers: [0, 2, 5], lists: [[`0x${other}`], list] })).toBe(
      `0x0004${c}${other}${a}${b}000003` +
        '210002770102030405' +
        '40' +
        '0277010203040102' +
        '40' +
        '40' +
        '200000' +
        '7701020304' +
        '41',
    )
  })

  it('takes the first list that holds a secrethash', () => {
    const lists = [[`0x${b}`], [`0x${a}`, `0x${b}`]] as Hex[][]
    expect(encodeLocks({ locks, numbers: [0, 2], lists })).toContain(`0002${a}${b}0001${b}0000`)
    expect(encodeLocks({ locks, numbers: [2], lists })).toContain(`0x0001${b}0000`)
  })

  it('writes hashes for the rest', () => {
    const node = (left: string, right: string): string => keccak256(`0x01${left.slice(2)}${right.slice(2)}`)
    const leaf = (number: number): string => locksrootOf(new Map([[0, locks.get(number)!]]))
    const first = node(leaf(0), ZeroHash).slice(2)
    const last = node(node(ZeroHash, leaf(5)), ZeroHash).slice(2)
    expect(encodeLocks({ locks, numbers: [2] })).toBe(`0x0001${b}00000381${first}027701020304010240` + `82${last}`)
    expect(encodeLocks({ locks, numbers: [] })).toBe(`0x00000383${locksrootOf(locks).slice(2)}`)
  })

  it('writes nothing for no locks', () => {
    expect(encodeLocks({ locks: new Map(), numbers: [] })).toBe('0x')
  })

  it.each([
    ['locks', { locks: new Map([[256, lockOf(0, 1n)]]), numbers: [] }],
    ['locks', { locks: new Map([[-1, lockOf(0, 1n)]]), numbers: [] }],
    ['locks', { locks: new Map([[0.5, lockOf(0, 1n)]]), numbers: [] }],
    ['numbers', { locks, numbers: [1] }],
    ['amount', { locks: new Map([[0, lockOf(0, 1n << 128n)]]), numbers: [0] }],
    ['amount', { locks: new Map([[0, lockOf(0, -1n)]]), numbers: [] }],
    ['expiry', { locks: new Map([[0, { ...lockOf(0, 1n), expiry: 2 ** 40 }]]), numbers: [0] }],
    ['secrethash', { locks: new Map([[0, { ...lockOf(0, 1n), secrethash: '0x00' }]]), numbers: [0] }],
    ['lists', { locks, numbers: [0], lists: [[`0x${a}`, ...Array.from({ length: 65_535 }, () => `0x${other}`)]] }],
  ] as [string, LocksToUnlock][])('refuses bad %s', (name, input) => {
    expect(() => encodeLocks(input)).toThrow(
      expect.objectContaining({ code: 'BAD_ARGUMENT', details: expect.objectContaining({ name }) as unknown }),
    )
  })

  it('reads the bitmap of the event', () => {
    expect(unlockedNumbers(0n)).toEqual([])
    expect(unlockedNumbers(0b101n | (1n << 255n))).toEqual([0, 2, 255])
  })
})

describe('on chain', () => {
  let devnet: Devnet
  let channels: Channels
  let sender: HDNodeWallet
  let receiver: HDNodeWallet
  let registry: string
  let epoch = 0

  beforeAll(async () => {
    devnet = await startDevnet()
    ;[sender, receiver] = devnet.accounts as [HDNodeWallet, HDNodeWallet]
    const deployment = await devnet.deployChannels({ challengePeriod: 60 })
    registry = deployment.secretRegistry
    channels = await createChannels(devnet, deployment, sender)
  })
  afterAll(() => devnet.stop())

  /** Ends a channel with these locks; returns what is locked. */
  async function settled(locks: ReadonlyMap<number, UnlockableLock>): Promise<bigint> {
    const locked = [...locks.values()].reduce((sum, { amount }) => sum + amount, 0n)
    const network = channels.network.connect(sender)
    await (await network.open(receiver.address, locked, ZeroHash, '0x', { value: locked })).wait()
    const id = channels.id(sender.address, receiver.address, ++epoch)
    await (await network.close(sender.address, receiver.address, NO_PROOF, '0x')).wait()
    const proof = await channels.proof(sender, id, { nonce: 1, locked, locksroot: locksrootOf(locks) })
    await (
      await channels.network.connect(receiver).update(sender.address, receiver.address, NOTHING, NOTHING, proof, '0x')
    ).wait()
    await devnet.increaseTime(60)
    await (await network.settle(sender.address, receiver.address, NOTHING, balanceOf(proof))).wait()
    return locked
  }

  it('proves any part of any tree', async () => {
    const roll = createDice(1)
    const secrets = secretRegistryContract(registry, receiver)
    for (let round = 0; round < 12; round++) {
      const locks = new Map<number, UnlockableLock>()
      const below = [1, 2, 3, 8, 100, 256][round % 6]!
      for (let i = 0; i < 1 + roll(12); i++) locks.set(roll(below), lockOf(1000 * round + i, BigInt(1 + roll(1_000_000))))
      // Registered together in an order of its own, with one that belongs to nobody here, and some alone.
      const seeds = [...locks.keys()].map((number) => seedOf(locks.get(number)!, round)).sort(() => roll(3) - 1)
      const together = [...seeds.filter((_, i) => i % 3 !== 0), 999_999]
      await (await secrets.registerSecrets(together.map((seed) => secretOf(seed).secret))).wait()
      for (const seed of seeds.filter((_, i) => i % 3 === 0))
        await (await secrets.registerSecrets([secretOf(seed).secret])).wait()
      const lists = [together.map((seed) => secretOf(seed).secrethash)]

      let left = await settled(locks)
      const some = [...locks.keys()].filter(() => roll(2) === 0)
      for (const numbers of [some, [...locks.keys()]]) {
        if (numbers.length === 0) continue
        const fresh = numbers.filter((number) => numbers === some || !some.includes(number))
        if (fresh.length === 0) continue
        const due = fresh.reduce((sum, number) => sum + locks.get(number)!.amount, 0n)
        const network = channels.network.connect(sender)
        const data = encodeLocks({ locks, numbers, lists })
        const receipt = await (await network.unlock(sender.address, receiver.address, epoch, left, NO_LOCKS, data)).wait()
        const [event] = receipt!.logs.flatMap((log) => channels.network.interface.parseLog(log) ?? [])
        expect(event!.args['toReceiver']).toBe(due)
        expect(event!.args['toSender']).toBe(0n)
        expect(unlockedNumbers(event!.args['numbers'] as bigint)).toEqual(fresh.sort((a, b) => a - b))
        left -= due
      }
      expect(left).toBe(0n)
    }
    expect(await devnet.provider.getBalance(channels.address)).toBe(0n)
    expect(await channels.network.token()).toBe(ZeroAddress)
  })

  function seedOf({ secrethash }: UnlockableLock, round: number): number {
    for (let i = 0; ; i++) if (secretOf(1000 * round + i).secrethash === secrethash) return 1000 * round + i
  }
})
