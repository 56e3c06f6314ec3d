import { amount, assertArguments, computeFrom } from '../core/argument.ts'
import { concatBytes, fromHex, toHex, type Hex } from '../core/bytes.ts'
import { engine } from '../core/crypto/engine.ts'
import { assertArgument } from '../core/errors.ts'

/** A lock as the contract knows it. */
export interface UnlockableLock {
  /** In the token's smallest unit, below 2^128. */
  readonly amount: bigint
  /** Unix seconds, below 2^40. */
  readonly expiry: number
  /** SHA-256 of the secret. */
  readonly secrethash: Hex
}

/** What {@link encodeLocks} needs. */
export interface LocksToUnlock {
  /** Every lock under the side's locksroot by its number, those that are unlocked already too. */
  readonly locks: ReadonlyMap<number, UnlockableLock>
  /**
   * Which of them to unlock. With all of them, unlocked ones too, the contract also returns what was locked without a
   * lock.
   */
  readonly numbers: Iterable<number>
  /**
   * The secrethashes of secrets that were registered in one call, in their order, for each such call of use. A lock
   * counts under the first list that holds it, or else alone. A lock that goes back to its sender must count alone.
   * @default none
   */
  readonly lists?: readonly (readonly Hex[])[] | undefined
}

/** The numbers of locks that the contract takes are below this. */
const NUMBERS = 2 ** 8

const ZERO = new Uint8Array(32)

/**
 * Writes the locks of one side of a channel for `unlock` of `TokenNetwork.sol`: those to unlock in full, of the rest as
 * few hashes as prove them.
 * @throws `BAD_ARGUMENT` for a number without a lock, and for values that don't fit.
 *
 * Source: docs/channel.md, Unlocking.
 * @example
 * ```ts
 * await network.unlock(sender, receiver, epoch, locked, other, encodeLocks({ locks, numbers: [3] }))
 * ```
 */
export function encodeLocks(toUnlock: LocksToUnlock): Hex {
  return computeFrom('locks', 'a map of locks by number, beside the numbers to unlock', () => encode(toUnlock))
}

function encode({ locks, numbers, lists = [] }: LocksToUnlock): Hex {
  const all = [...locks.keys()].sort((a, b) => a - b)
  assertArgument(
    all.every((number) => Number.isInteger(number) && number >= 0 && number < NUMBERS),
    'locks',
    `locks with numbers from 0 to below ${NUMBERS}`,
  )
  const wanted = new Set(numbers)
  for (const number of wanted) assertArgument(locks.has(number), 'numbers', 'numbers of locks')

  const places = createPlaces(lists)
  const parts: Uint8Array[] = []
  let next = 0
  const write = (inside: readonly number[], height: number): void => {
    if (!inside.some((number) => wanted.has(number))) {
      const hash = subtreeHash(locks, inside, height)
      parts.push(hash ? Uint8Array.of(0x80 | height, ...hash) : Uint8Array.of(0x40 | height))
    } else if (height === 0) {
      const lock = locks.get(inside[0]!)!
      const { expiry, amount } = numbersOf(lock)
      const place = places.of(lock.secrethash)
      const explicit = place !== next
      parts.push(Uint8Array.of((explicit ? 0x20 : 0) | amount.length))
      if (explicit) parts.push(uint16(place))
      parts.push(expiry, amount)
      next = place + 1
    } else {
      const [left, right] = halves(inside, height)
      write(left, height - 1)
      write(right, height - 1)
    }
  }
  const highest = all.at(-1)
  if (highest === undefined) return '0x'
  const depth = highest === 0 ? 0 : 32 - Math.clz32(highest)
  parts.push(Uint8Array.of(depth))
  write(all, depth)
  return toHex(concatBytes(places.written(), ...parts))
}

/** The numbers in the bitmap of a `ChannelUnlocked` event. */
export function unlockedNumbers(bitmap: bigint): number[] {
  assertArguments({ bitmap }, { bitmap: amount(256) })
  return Array.from({ length: NUMBERS }, (_, number) => number).filter((number) => (bitmap >> BigInt(number)) & 1n)
}

/** Lays out the secrethashes: a list comes in where the first of its members is met. */
function createPlaces(lists: readonly (readonly Hex[])[]): { of(secrethash: Hex): number; written(): Uint8Array } {
  const listOf = new Map<Hex, readonly Hex[]>()
  for (const list of lists) for (const hash of list) if (!listOf.has(hash)) listOf.set(hash, list)
  const places = new Map<Hex, number>()
  const parts: Uint8Array[] = []
  let next = 0
  return {
    of: (secrethash) => {
      const known = places.get(secrethash)
      if (known !== undefined) return known
      const list = listOf.get(secrethash) ?? [secrethash]
      assertArgument(next + list.length < 2 ** 16, 'lists', 'fewer than 2^16 secrethashes')
      parts.push(uint16(list.length))
      for (const hash of list) {
        // What counts under an earlier list is here for the key only.
        if ((listOf.get(hash) ?? list) === list) places.set(hash, next)
        parts.push(fromHex(hash, 32, 'secrethash'))
        next++
      }
      return places.get(secrethash)!
    },
    written: () => concatBytes(...parts, uint16(0)),
  }
}

/** The root of a subtree, undefined without locks in it. */
function subtreeHash(
  locks: ReadonlyMap<number, UnlockableLock>,
  inside: readonly number[],
  height: number,
): Uint8Array | undefined {
  if (inside.length === 0) return undefined
  const { keccak256 } = engine()
  if (height === 0) {
    const lock = locks.get(inside[0]!)!
    const { expiry, amount } = numbersOf(lock)
    const padding = new Uint8Array(16 - amount.length)
    return keccak256(concatBytes(Uint8Array.of(0), expiry, padding, amount, fromHex(lock.secrethash, 32, 'secrethash')))
  }
  const [left, right] = halves(inside, height).map((half) => subtreeHash(locks, half, height - 1) ?? ZERO)
  return keccak256(concatBytes(Uint8Array.of(1), left!, right!))
}

/** Splits the sorted numbers in a subtree by the child that they lie in. */
function halves(inside: readonly number[], height: number): [number[], number[]] {
  const inRight = (number: number): boolean => ((number >> (height - 1)) & 1) === 1
  return [inside.filter((number) => !inRight(number)), inside.filter(inRight)]
}

/** The expiry in 5 bytes, the amount in as few as it takes. */
function numbersOf({ expiry, amount }: UnlockableLock): { expiry: Uint8Array; amount: Uint8Array } {
  assertArgument(Number.isInteger(expiry) && expiry >= 0 && expiry < 2 ** 40, 'expiry', 'whole seconds below 2^40')
  assertArgument(amount >= 0n && amount < 1n << 128n, 'amount', 'below 2^128')
  const digits = amount === 0n ? '' : amount.toString(16)
  return {
    expiry: fromHex(`0x${expiry.toString(16).padStart(10, '0')}`),
    amount: fromHex(`0x${digits.length % 2 === 1 ? '0' : ''}${digits}`),
  }
}

function uint16(value: number): Uint8Array {
  assertArgument(value < 2 ** 16, 'lists', 'lists of less than 2^16 secrethashes in all')
  return Uint8Array.of(value >> 8, value & 0xff)
}
