import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes, toHex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import {
  emptyLockTree,
  freeIndex,
  leafHash,
  lockTreeOf,
  MAX_LOCKS,
  withLock,
  withoutLock,
  type Lock,
  type LockTree,
} from './lockTree.ts'

const ZERO = new Uint8Array(32)
const keccak = (...parts: Uint8Array[]): Uint8Array => engine().keccak256(concatBytes(...parts))
const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0)

/** A lock whose secrethash says which it is. */
const lock = (index: number, amount = BigInt(index + 1), expiry = 1_000 + index, name = index): Lock => ({
  index,
  amount,
  expiry,
  secrethash: toHex(engine().sha256(new TextEncoder().encode(String(name)))),
})

/** The leaf as docs/channel.md writes it down. */
function leaf({ expiry, amount, secrethash }: Lock): Uint8Array {
  const hex = `00${expiry.toString(16).padStart(10, '0')}${amount.toString(16).padStart(32, '0')}${secrethash.slice(2)}`
  return engine().keccak256(Uint8Array.from(hex.match(/../g)!, (byte) => Number.parseInt(byte, 16)))
}

/** The whole tree, hashed from nothing: all levels, the leaves first. */
function naive(locks: readonly Lock[]): Uint8Array[][] {
  if (locks.length === 0) return [[ZERO]]
  let size = 1
  while (size <= Math.max(...locks.map(({ index }) => index))) size *= 2
  const leaves = Array.from({ length: size }, (_, at) => {
    const found = locks.find(({ index }) => index === at)
    return found ? leaf(found) : ZERO
  })
  const levels = [leaves]
  while (levels.at(-1)!.length > 1) {
    const below = levels.at(-1)!
    levels.push(
      Array.from({ length: below.length / 2 }, (_, at) => {
        const [left, right] = [below[2 * at]!, below[2 * at + 1]!]
        return isZero(left) && isZero(right) ? ZERO : keccak(Uint8Array.of(1), left, right)
      }),
    )
  }
  return levels
}

/** What a contract does with a leaf and the hashes beside its way up. */
function rootFrom(at: number, node: Uint8Array, siblings: readonly Uint8Array[]): Uint8Array {
  for (const sibling of siblings) {
    const [left, right] = at % 2 === 0 ? [node, sibling] : [sibling, node]
    node = isZero(left) && isZero(right) ? ZERO : keccak(Uint8Array.of(1), left, right)
    at = Math.floor(at / 2)
  }
  return node
}

const indices = fc.uniqueArray(fc.oneof(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: MAX_LOCKS - 1 })), {
  maxLength: 24,
})

describe('a lock tree', () => {
  it('has the root and the sum of a tree hashed from nothing, however it grew and shrank', () => {
    const steps = fc.array(
      fc.record({
        index: fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: MAX_LOCKS - 1 })),
        amount: fc.bigInt(1n, 2n ** 100n),
      }),
      { maxLength: 60 },
    )
    fc.assert(
      fc.property(steps, (changes) => {
        let tree: LockTree = emptyLockTree
        const model = new Map<number, Lock>()
        for (const { index, amount } of changes) {
          if (model.delete(index)) tree = withoutLock(tree, index)
          else {
            const added = lock(index, amount)
            model.set(index, added)
            tree = withLock(tree, added)
          }
          expect(toHex(tree.root)).toBe(toHex(naive([...model.values()]).at(-1)![0]!))
          expect(tree.total).toBe([...model.values()].reduce((sum, each) => sum + each.amount, 0n))
          expect([...tree.locks.keys()].sort()).toEqual([...model.keys()].sort())
        }
      }),
      { numRuns: 150 },
    )
  })

  it('proves each of its locks, and no other, at its place', () => {
    fc.assert(
      fc.property(indices, (taken) => {
        const locks = taken.map((index) => lock(index))
        const tree = lockTreeOf(locks)
        const levels = naive(locks)
        for (const each of locks) {
          const siblings = levels.slice(0, -1).map((level, depth) => level[(each.index >> depth) ^ 1]!)
          // What it keeps on the way is what is needed to prove it.
          siblings.forEach((sibling, depth) =>
            expect(toHex(tree.levels[depth]?.[(each.index >> depth) ^ 1] ?? ZERO)).toBe(toHex(sibling)),
          )
          expect(toHex(rootFrom(each.index, leaf(each), siblings))).toBe(toHex(tree.root))
          expect(toHex(rootFrom(each.index, leaf({ ...each, amount: each.amount + 1n }), siblings))).not.toBe(toHex(tree.root))
          if (siblings.length > 0 && !isZero(siblings[0]!))
            expect(toHex(rootFrom(each.index ^ 1, leaf(each), siblings))).not.toBe(toHex(tree.root))
        }
      }),
      { numRuns: 60 },
    )
  })

  it('does not depend on the order of its locks', () => {
    fc.assert(
      fc.property(indices, fc.infiniteStream(fc.nat()), (taken, order) => {
        const shuffled = taken.map((index) => [order.next().value as number, index]).sort(([a], [b]) => a! - b!)
        expect(lockTreeOf(shuffled.map(([, index]) => lock(index!))).root).toEqual(
          lockTreeOf(taken.map((index) => lock(index))).root,
        )
      }),
      { numRuns: 40 },
    )
  })

  it('leaves older trees as they are', () => {
    const one = withLock(emptyLockTree, lock(0))
    const root = toHex(one.root)
    const two = withLock(one, lock(5))
    withoutLock(two, 0)
    expect(toHex(one.root)).toBe(root)
    expect([...two.locks.keys()]).toEqual([0, 5])
    expect(emptyLockTree).toMatchObject({ total: 0n, root: ZERO })
  })

  it('writes a lock as the contracts do, to its largest values', () => {
    const largest = lock(255, 2n ** 128n - 1n, 2 ** 40 - 1)
    expect(leafHash(largest)).toEqual(leaf(largest))
    const tree = withLock(emptyLockTree, lock(0))
    expect(tree.root).toEqual(leaf(lock(0)))
  })

  it('holds as many as it may, fills the gaps, and takes no more', () => {
    const full = lockTreeOf(Array.from({ length: MAX_LOCKS }, (_, index) => lock(index)))
    const over = expect.objectContaining({ code: 'TOO_MANY_LOCKS' }) as Error
    expect(() => freeIndex(full)).toThrow(over)
    expect(() => withLock(full, lock(3, 1n, 1, 999))).toThrow(over)
    expect(() => withLock(emptyLockTree, lock(MAX_LOCKS))).toThrow(over)
    expect(freeIndex(withoutLock(full, 77))).toBe(77)
    let tree = full
    for (let index = MAX_LOCKS - 1; index >= 0; index--) tree = withoutLock(tree, index)
    expect(tree.root).toEqual(ZERO)
  })

  it('refuses a place that is taken, a secrethash that is pending, and what is not there', () => {
    const tree = lockTreeOf([lock(0), lock(2)])
    const invalid = (field: string): Error =>
      expect.objectContaining({ code: 'PROOF_INVALID', details: expect.objectContaining({ field }) as object }) as Error
    expect(() => withLock(tree, lock(2, 1n, 1, 999))).toThrow(invalid('index'))
    expect(() => withLock(tree, { ...lock(3), secrethash: lock(0).secrethash })).toThrow(invalid('secrethash'))
    expect(() => withoutLock(tree, 1)).toThrow(invalid('index'))
  })
})
