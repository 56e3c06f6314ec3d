/**
 * Merkle trees over chunks: RFC 9162 (RFC 6962) trees with SHA-256, so that every chunk can be checked on arrival.
 *
 * A leaf is `SHA-256(0x00 ‖ chunk)`, an inner node `SHA-256(0x01 ‖ left ‖ right)`; the last node of a level without a
 * neighbour moves up unchanged. A proof is the packed 32-byte hashes of the siblings from the leaf up. Sizes and
 * indices are safe integers.
 *
 * In a run of consecutive chunks only the first needs its whole proof: what it tells about the way to the root is
 * kept by {@link createMerkleVerifier}, and {@link MerkleTree.runProof} leaves it out. Over a run that is one hash per
 * chunk on average.
 * @module
 */
import { equalBytes, u64Bytes } from '../bytes.ts'
import { assertArgument, SluiceError } from '../errors.ts'
import { engine } from './engine.ts'

/** Bytes of a hash. */
const HASH = 32
const LEAF_TAG = /* @__PURE__ */ Uint8Array.of(0)

/** The leaf hash of a chunk. RFC 9162, 2.1.1. */
export function leafHash(chunk: Uint8Array): Uint8Array {
  return engine().sha256(LEAF_TAG, chunk)
}

/** The leaf hash of a chunk by the engine's fastest means, which may have to be waited for. */
export function leafHashAsync(chunk: Uint8Array): Uint8Array | Promise<Uint8Array> {
  return engine().digest(LEAF_TAG, chunk)
}

/** A tree with all its nodes: about 64 bytes for each leaf. */
export interface MerkleTree {
  /** 32 bytes. */
  readonly root: Uint8Array
  /** The number of leaves. */
  readonly size: number
  /** The leaf hash at an index. @throws `BAD_ARGUMENT` */
  leaf(index: number): Uint8Array
  /** The proof of a leaf: it stands alone. @throws `BAD_ARGUMENT` */
  proof(index: number): Uint8Array
  /**
   * The proof of a leaf for a verifier that has just accepted the leaf before it: often empty. That of leaf 0, which
   * has none before it, is whole.
   * @throws `BAD_ARGUMENT`
   */
  runProof(index: number): Uint8Array
}

/** Builds the tree of leaf hashes, packed or as a list. @throws `BAD_ARGUMENT` unless each has 32 bytes. */
export function createMerkleTree(leafHashes: Uint8Array | readonly Uint8Array[]): MerkleTree {
  const levels = [pack(leafHashes)]
  for (let level = levels[0]!; level.length > HASH; levels.push(level)) level = levelAbove(level)
  const leaves = levels[0]!
  const size = leaves.length / HASH
  const top = levels.at(-1)!
  const root = size === 0 ? emptyRoot() : top.slice()

  const node = (level: Uint8Array, index: number): Uint8Array => level.subarray(HASH * index, HASH * (index + 1))

  /** The siblings of a leaf's way up through the lowest `height` levels. */
  const siblings = (index: number, height: number): Uint8Array => {
    const out = new Uint8Array(HASH * height)
    let end = 0
    for (let i = 0; i < height; i++, index = Math.floor(index / 2)) {
      const sibling = node(levels[i]!, siblingOf(index))
      out.set(sibling, end)
      end += sibling.length // none beside a node that moves up
    }
    return out.subarray(0, end)
  }

  return {
    root,
    size,
    leaf(index) {
      assertIndex(index, size)
      return node(leaves, index).slice()
    },
    proof(index) {
      assertIndex(index, size)
      return siblings(index, levels.length - 1)
    },
    runProof(index) {
      assertIndex(index, size)
      // Where the ways of a leaf and the one before it meet, the proof of the one before named our side.
      return siblings(index, index === 0 ? levels.length - 1 : trailingZeros(index))
    },
  }
}

/** The root of leaf hashes; that of none is the SHA-256 of nothing. RFC 9162, 2.1.1. @throws `BAD_ARGUMENT` */
export function merkleRoot(leafHashes: Uint8Array | readonly Uint8Array[]): Uint8Array {
  let level = pack(leafHashes)
  if (level.length === 0) return emptyRoot()
  while (level.length > HASH) level = levelAbove(level)
  return level.slice()
}

/**
 * Whether `proof` leads from a leaf to the root of a tree of `size` leaves. Malformed input is just false.
 *
 * `leaf` must be {@link leafHash} of the chunk, calculated here: a hash that a peer names proves nothing.
 */
export function verifyProof(root: Uint8Array, size: number, index: number, leaf: Uint8Array, proof: Uint8Array): boolean {
  return createMerkleVerifier(root, size).verify(index, leaf, proof)
}

/** Checks the leaves of one tree as they arrive. */
export interface MerkleVerifier {
  /**
   * Whether `leaf` is the leaf at `index`: `proof` leads from it to the root, or to a node that an accepted proof has
   * told. Malformed input is just false, and false changes nothing.
   *
   * `leaf` must be {@link leafHash} of the chunk, calculated here: a hash that a peer names proves nothing.
   */
  verify(index: number, leaf: Uint8Array, proof: Uint8Array): boolean
}

/**
 * Creates a verifier for the tree of `root` and `size`, both of which must come from where they can be trusted.
 *
 * It takes whole proofs at any index, and run proofs after the leaf before. It keeps at most one node for each level of
 * the tree: the last right-hand sibling that an accepted proof named there.
 */
export function createMerkleVerifier(root: Uint8Array, size: number): MerkleVerifier {
  const rootHash = Uint8Array.from(root)
  const scratch = nodeInput()
  /** By level: a node known to be part of the tree. */
  const known: ({ index: number; readonly hash: Uint8Array } | undefined)[] = []

  return {
    verify(index, leaf, proof) {
      if (!Number.isSafeInteger(size) || !isIndex(index, size) || leaf.length !== HASH) return false
      if (!climb(index, leaf, proof)) return false
      learn(index, proof)
      return true
    },
  }

  /** Follows a proof to its last hash, then on to the first node that needs no hash and is known; it must be equal. */
  function climb(index: number, leaf: Uint8Array, proof: Uint8Array): boolean {
    let hash = leaf
    let used = 0
    let width = size
    for (let level = 0; ; level++) {
      if (used === proof.length) {
        const trusted = width === 1 ? rootHash : knownAt(level, index)
        if (trusted) return equalBytes(hash, trusted)
      }
      if (width === 1) return false // hashes left over, or half of one
      if (siblingOf(index) < width) {
        if (used === proof.length) return false // a sibling is missing
        const left = index % 2 === 0
        copyHash(scratch, left ? 1 : 1 + HASH, hash, 0)
        copyHash(scratch, left ? 1 + HASH : 1, proof, used)
        hash = engine().sha256(scratch)
        used += HASH
      }
      index = Math.floor(index / 2)
      width = Math.ceil(width / 2)
    }
  }

  function knownAt(level: number, index: number): Uint8Array | undefined {
    const node = known[level]
    return node?.index === index ? node.hash : undefined
  }

  /** Keeps the right-hand siblings of an accepted proof: the leaves after this one will pass through them. */
  function learn(index: number, proof: Uint8Array): void {
    let width = size
    for (let level = 0, used = 0; used < proof.length; level++) {
      if (siblingOf(index) < width) {
        if (index % 2 === 0) {
          const node = (known[level] ??= { index: 0, hash: new Uint8Array(HASH) })
          node.index = index + 1
          copyHash(node.hash, 0, proof, used)
        }
        used += HASH
      }
      index = Math.floor(index / 2)
      width = Math.ceil(width / 2)
    }
  }
}

/** Calculates the root of leaves that come one by one, and keeps only the roots of the whole subtrees so far. */
export interface MerkleBuilder {
  /** The number of leaves so far. */
  readonly size: number
  /** Adds a leaf hash at the end. @throws `BAD_ARGUMENT` unless it has 32 bytes. */
  append(leafHash: Uint8Array): void
  /** The root of the leaves so far. */
  root(): Uint8Array
  /** What a new builder needs to go on: 8 bytes of size and 32 for each 1 bit in it. */
  state(): Uint8Array
}

/**
 * Creates a builder, empty or from the {@link MerkleBuilder.state} of an earlier one.
 * @throws `STORE_CORRUPT` if the state doesn't have the length that its size asks for.
 */
export function createMerkleBuilder(state?: Uint8Array | undefined): MerkleBuilder {
  const scratch = nodeInput()
  /** By level: the root of a whole subtree, where the size has a 1 bit. */
  const subtrees: (Uint8Array | undefined)[] = []
  let size = 0

  if (state) {
    const damaged = (): SluiceError => new SluiceError('STORE_CORRUPT', 'the saved state of a Merkle builder is damaged')
    if (state.length < 8) throw damaged()
    const view = new DataView(state.buffer, state.byteOffset, state.length)
    const saved = view.getBigUint64(0)
    if (saved > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged()
    size = Number(saved)
    let at = 8
    for (let level = 0, rest = size; rest > 0; level++, rest = Math.floor(rest / 2)) {
      if (rest % 2 === 0) continue
      subtrees[level] = state.slice(at, at + HASH)
      at += HASH
    }
    if (at !== state.length) throw damaged()
  }

  return {
    get size() {
      return size
    },
    append(leaf) {
      assertArgument(leaf.length === HASH, 'leafHash', '32 bytes')
      let hash: Uint8Array = Uint8Array.from(leaf)
      let level = 0
      for (let left = subtrees[0]; left; left = subtrees[++level]) {
        hash = parentHash(scratch, left, hash)
        subtrees[level] = undefined
      }
      subtrees[level] = hash
      size++
    },
    root() {
      let hash: Uint8Array | undefined
      for (const left of subtrees) if (left) hash = hash ? parentHash(scratch, left, hash) : left.slice()
      return hash ?? emptyRoot()
    },
    state() {
      const hashes = subtrees.filter((hash) => hash !== undefined)
      const out = new Uint8Array(8 + HASH * hashes.length)
      out.set(u64Bytes(size, 'size'))
      hashes.forEach((hash, i) => out.set(hash, 8 + HASH * i))
      return out
    },
  }
}

/** The input of an inner node's hash, to be filled again and again. */
function nodeInput(): Uint8Array {
  return Uint8Array.of(1, ...new Uint8Array(2 * HASH))
}

/** The hash of an inner node. RFC 9162, 2.1.1. */
function parentHash(scratch: Uint8Array, left: Uint8Array, right: Uint8Array): Uint8Array {
  copyHash(scratch, 1, left, 0)
  copyHash(scratch, 1 + HASH, right, 0)
  return engine().sha256(scratch)
}

/** A loop: for 32 bytes, making a view costs more than the copying. */
function copyHash(to: Uint8Array, at: number, from: Uint8Array, start: number): void {
  for (let i = 0; i < HASH; i++) to[at + i] = from[start + i]!
}

function levelAbove(level: Uint8Array): Uint8Array {
  const scratch = nodeInput()
  const out = new Uint8Array(HASH * Math.ceil(level.length / (2 * HASH)))
  let at = 0
  for (; at + HASH < level.length; at += 2 * HASH) {
    scratch.set(level.subarray(at, at + 2 * HASH), 1)
    out.set(engine().sha256(scratch), at / 2)
  }
  if (at < level.length) out.set(level.subarray(at), at / 2)
  return out
}

function pack(leafHashes: Uint8Array | readonly Uint8Array[]): Uint8Array {
  const expected = 'hashes of 32 bytes each'
  if (leafHashes instanceof Uint8Array) {
    assertArgument(leafHashes.length % HASH === 0, 'leafHashes', expected)
    return leafHashes.slice()
  }
  const out = new Uint8Array(HASH * leafHashes.length)
  leafHashes.forEach((hash, i) => {
    assertArgument(hash.length === HASH, 'leafHashes', expected)
    out.set(hash, HASH * i)
  })
  return out
}

/** RFC 9162, 2.1.1: the hash of an empty list is the hash of an empty string. */
function emptyRoot(): Uint8Array {
  return engine().sha256(new Uint8Array(0))
}

/** No bit operation: they end at 2^31. */
function siblingOf(index: number): number {
  return index % 2 === 0 ? index + 1 : index - 1
}

function trailingZeros(index: number): number {
  let zeros = 0
  for (; index % 2 === 0; index /= 2) zeros++
  return zeros
}

function isIndex(index: number, size: number): boolean {
  return Number.isSafeInteger(index) && index >= 0 && index < size
}

function assertIndex(index: number, size: number): void {
  assertArgument(isIndex(index, size), 'index', `a leaf of the tree, 0 to ${size - 1}`)
}
