import { concatBytes, type Hex, fromHex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { assertArgument, SluiceError } from '../../core/errors.ts'

/** A hash-locked amount: the receiver's once the secret is known in time, else the sender's again. */
export interface Lock {
  /** Its place in the tree of its sender. */
  readonly index: number
  readonly amount: bigint
  /** Unix seconds: a secret registered before counts. */
  readonly expiry: number
  /** SHA-256 of the secret. */
  readonly secrethash: Hex
}

/**
 * The pending locks of one side of a channel, and the root that its balance proof commits to (docs/channel.md, Locks).
 *
 * Immutable. A change costs one hash per level and copies what leads to it.
 */
export interface LockTree {
  readonly locks: ReadonlyMap<number, Lock>
  /** Sum of the amounts. */
  readonly total: bigint
  /** 32 bytes; zero without locks. */
  readonly root: Uint8Array
  /** The hashes, from the leaves up; what is missing is empty. */
  readonly levels: readonly (readonly (Uint8Array | undefined)[])[]
}

/** The most locks that one side may have pending at a time. */
export const MAX_LOCKS = 256

/** Expiries have 40 bits. */
const MOST_EXPIRY = 2 ** 40

const ZERO = new Uint8Array(32)

/** The tree without locks. */
export const emptyLockTree: LockTree = { locks: new Map(), total: 0n, root: ZERO, levels: [] }

/**
 * Adds a lock.
 * @throws `PROOF_INVALID` if its place is taken or beyond {@link MAX_LOCKS}, or another pending lock has its secrethash.
 */
export function withLock(tree: LockTree, lock: Lock): LockTree {
  if (lock.index >= MAX_LOCKS || tree.locks.size >= MAX_LOCKS) {
    throw new SluiceError('TOO_MANY_LOCKS', `no more than ${MAX_LOCKS} locks may be pending`, { details: { limit: MAX_LOCKS } })
  }
  if (lock.expiry >= MOST_EXPIRY) {
    throw new SluiceError('PROOF_INVALID', `lock ${lock.index} expires at ${lock.expiry}: no contract could hold that`, {
      details: { field: 'expiry', index: lock.index },
    })
  }
  if (tree.locks.has(lock.index)) {
    throw new SluiceError('PROOF_INVALID', `lock ${lock.index} is taken`, { details: { field: 'index', index: lock.index } })
  }
  for (const other of tree.locks.values()) {
    if (other.secrethash === lock.secrethash) {
      // Two locks of one secret in one channel would be told apart by nothing but their number: one could pass for the other.
      throw new SluiceError('PROOF_INVALID', `lock ${other.index} has the same secrethash`, { details: { field: 'secrethash' } })
    }
  }
  return rebuilt(tree, new Map(tree.locks).set(lock.index, lock), tree.total + lock.amount, lock.index, leafHash(lock))
}

/** Takes a lock out. @throws `PROOF_INVALID` if there is none of this number. */
export function withoutLock(tree: LockTree, index: number): LockTree {
  const locks = new Map(tree.locks)
  const lock = lockAt(tree, index)
  locks.delete(index)
  return rebuilt(tree, locks, tree.total - lock.amount, index, undefined)
}

/** A lock by its number. @throws `PROOF_INVALID` if there is none. */
export function lockAt(tree: LockTree, index: number): Lock {
  const lock = tree.locks.get(index)
  if (!lock) throw new SluiceError('PROOF_INVALID', `there is no lock ${index}`, { details: { field: 'index', index } })
  return lock
}

/** The lowest number that is free. @throws `TOO_MANY_LOCKS` */
export function freeIndex(tree: LockTree): number {
  for (let index = 0; index < MAX_LOCKS; index++) if (!tree.locks.has(index)) return index
  throw new SluiceError('TOO_MANY_LOCKS', `no more than ${MAX_LOCKS} locks may be pending`, { details: { limit: MAX_LOCKS } })
}

/** Builds a tree of locks at once. */
export function lockTreeOf(locks: Iterable<Lock>): LockTree {
  let tree = emptyLockTree
  for (const lock of locks) tree = withLock(tree, lock)
  return tree
}

function rebuilt(
  before: LockTree,
  locks: ReadonlyMap<number, Lock>,
  total: bigint,
  index: number,
  leaf: Uint8Array | undefined,
): LockTree {
  let highest = -1
  for (const at of locks.keys()) if (at > highest) highest = at
  const depth = highest < 1 ? 0 : 32 - Math.clz32(highest)
  const levels = before.levels.slice(0, depth + 1)
  let hash = leaf
  for (let level = 0, at = index; level <= depth; level++, at >>= 1) {
    const hashes = levels[level]?.slice(0, 2 ** (depth - level)) ?? []
    if (at < 2 ** (depth - level)) hashes[at] = hash
    levels[level] = hashes
    if (level === depth) break
    if (at >= 2 ** (depth - level)) continue // the lock lay beyond what the tree has shrunk to
    hash = nodeHash(hashes[at & ~1], hashes[at | 1])
  }
  // A tree that has grown has new levels above the old root, which nothing has hashed yet.
  for (let level = Math.max(1, before.levels.length); level <= depth; level++) {
    const below = levels[level - 1]!
    const hashes = [...levels[level]!]
    for (let at = 0; at < 2 ** (depth - level); at++) hashes[at] = nodeHash(below[2 * at], below[2 * at + 1])
    levels[level] = hashes
  }
  return { locks, total, root: (locks.size > 0 ? levels[depth]![0] : undefined) ?? ZERO, levels: locks.size > 0 ? levels : [] }
}

/** The hash of a lock in the tree. */
export function leafHash({ expiry, amount, secrethash }: Lock): Uint8Array {
  assertArgument(Number.isInteger(expiry) && expiry >= 0 && expiry < MOST_EXPIRY, 'expiry', 'whole seconds below 2^40')
  assertArgument(amount >= 0n && amount >> 128n === 0n, 'amount', 'below 2^128')
  const bytes = new Uint8Array(54)
  const view = new DataView(bytes.buffer)
  view.setUint8(1, Math.floor(expiry / 2 ** 32))
  view.setUint32(2, expiry >>> 0)
  view.setBigUint64(6, amount >> 64n)
  view.setBigUint64(14, amount)
  bytes.set(fromHex(secrethash, 32), 22)
  return engine().keccak256(bytes)
}

/** The hash of a node; of two empty ones: empty. */
function nodeHash(left: Uint8Array | undefined, right: Uint8Array | undefined): Uint8Array | undefined {
  if (!left && !right) return undefined
  return engine().keccak256(concatBytes(Uint8Array.of(1), left ?? ZERO, right ?? ZERO))
}
