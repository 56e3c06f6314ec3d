import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import fixtures from '../../../test/fixtures/crypto/merkle.json' with { type: 'json' }
import { concatBytes, fromHex, toHex } from '../bytes.ts'
import {
  createMerkleBuilder,
  createMerkleTree,
  createMerkleVerifier,
  leafHash,
  leafHashAsync,
  merkleRoot,
  verifyProof,
  type MerkleTree,
} from './merkle.ts'

/** The definitions of RFC 9162, 2.1.1 and 2.1.3.1, word for word. */
const sha = (...parts: Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}
const splitOf = (n: number): number => {
  let k = 1
  while (2 * k < n) k *= 2
  return k
}
const naiveRoot = (d: Uint8Array[]): Uint8Array => {
  if (d.length === 0) return sha()
  if (d.length === 1) return sha(Uint8Array.of(0), d[0]!)
  const k = splitOf(d.length)
  return sha(Uint8Array.of(1), naiveRoot(d.slice(0, k)), naiveRoot(d.slice(k)))
}
const naivePath = (m: number, d: Uint8Array[]): Uint8Array[] => {
  if (d.length === 1) return []
  const k = splitOf(d.length)
  return m < k
    ? [...naivePath(m, d.slice(0, k)), naiveRoot(d.slice(k))]
    : [...naivePath(m - k, d.slice(k)), naiveRoot(d.slice(0, k))]
}

const MAX = 70
const chunks = Array.from({ length: MAX }, (_, i) => Uint8Array.of(i, 200 - i))
const leaves = chunks.map(leafHash)
const trees: MerkleTree[] = Array.from({ length: MAX + 1 }, (_, size) => createMerkleTree(leaves.slice(0, size)))
const verifierOf = (tree: MerkleTree) => createMerkleVerifier(tree.root, tree.size)
const hex = (text: string): Uint8Array => fromHex(`0x${text}`)

describe('fixtures', () => {
  // The eight inputs and roots that certificate-transparency implementations share.
  it.each(fixtures.roots)('root of $size leaves', ({ size, root }) => {
    const ct = fixtures.leaves.slice(0, size).map(hex)
    expect(toHex(merkleRoot(ct.map(leafHash)))).toBe(`0x${root}`)
    expect(toHex(naiveRoot(ct))).toBe(`0x${root}`)
    expect(toHex(createMerkleTree(ct.map(leafHash)).root)).toBe(`0x${root}`)
  })

  it.each(fixtures.valid)('valid: leaf $index of $size', ({ root, size, index, leaf, proof }) => {
    expect(toHex(createMerkleTree(fixtures.leaves.slice(0, size).map(hex).map(leafHash)).proof(index))).toBe(`0x${proof}`)
    expect(verifyProof(hex(root), size, index, hex(leaf), hex(proof))).toBe(true)
  })

  it.each(fixtures.invalid)('invalid: $what', ({ root, size, index, leaf, proof }) => {
    expect(verifyProof(hex(root), size, index, hex(leaf), hex(proof))).toBe(false)
    expect(createMerkleVerifier(hex(root), size).verify(index, hex(leaf), hex(proof))).toBe(false)
  })
})

describe('createMerkleTree', () => {
  it('has the root and the proofs of the definition, at every size', () => {
    for (let size = 0; size <= MAX; size++) {
      const tree = trees[size]!
      const data = chunks.slice(0, size)
      expect(toHex(tree.root)).toBe(toHex(naiveRoot(data)))
      expect(toHex(merkleRoot(leaves.slice(0, size)))).toBe(toHex(tree.root))
      expect(tree.size).toBe(size)
      for (let i = 0; i < size; i++) {
        const proof = tree.proof(i)
        expect(toHex(proof)).toBe(toHex(concatBytes(...naivePath(i, data))))
        expect(verifyProof(tree.root, size, i, leaves[i]!, proof)).toBe(true)
        expect(toHex(tree.leaf(i))).toBe(toHex(leaves[i]!))
      }
    }
  })

  it('takes packed hashes, and keeps a copy', () => {
    const packed = concatBytes(...leaves)
    const tree = createMerkleTree(packed)
    packed.fill(0)
    tree.leaf(0).fill(0)
    tree.proof(0).fill(0)
    expect(toHex(tree.root)).toBe(toHex(trees[MAX]!.root))
    expect(toHex(tree.proof(0))).toBe(toHex(trees[MAX]!.proof(0)))
    expect(toHex(tree.leaf(0))).toBe(toHex(leaves[0]!))
    expect(toHex(merkleRoot(concatBytes(...leaves)))).toBe(toHex(tree.root))
  })

  it('refuses hashes of another length and leaves that it has not', () => {
    const bad: unknown = expect.objectContaining({ code: 'BAD_ARGUMENT' })
    expect(() => createMerkleTree(new Uint8Array(33))).toThrow(bad)
    expect(() => createMerkleTree([leaves[0]!, new Uint8Array(31)])).toThrow(bad)
    expect(() => merkleRoot([new Uint8Array(64)])).toThrow(bad)
    for (const index of [-1, 3, 0.5, NaN, Infinity]) {
      for (const ask of ['proof', 'runProof', 'leaf'] as const) expect(() => trees[3]![ask](index), ask).toThrow(bad)
    }
    expect(() => trees[0]!.proof(0)).toThrow(bad)
  })

  it('hashes leaves alike at once and in time', async () => {
    expect(toHex(leafHash(chunks[1]!))).toBe(toHex(sha(Uint8Array.of(0), chunks[1]!)))
    expect(toHex(await leafHashAsync(chunks[1]!))).toBe(toHex(leafHash(chunks[1]!)))
  })
})

describe('runs', () => {
  it('seller and verifier agree at every size, from every start', () => {
    for (let size = 1; size <= MAX; size++) {
      const tree = trees[size]!
      for (let start = 0; start < size; start++) {
        const verifier = verifierOf(tree)
        expect(verifier.verify(start, leaves[start]!, tree.proof(start))).toBe(true)
        for (let i = start + 1; i < size; i++) {
          if (!verifier.verify(i, leaves[i]!, tree.runProof(i))) expect.fail(`leaf ${i} of ${size} from ${start}`)
        }
      }
    }
  })

  it('cost one hash per leaf on average, and half the proofs are empty', () => {
    const tree = trees[64]!
    const lengths = Array.from({ length: 64 }, (_, i) => tree.runProof(i).length / 32)
    expect(lengths[0]).toBe(6)
    expect(lengths.slice(1, 9)).toEqual([0, 1, 0, 2, 0, 1, 0, 3])
    expect(lengths.reduce((sum, n) => sum + n)).toBe(63)
  })

  it('can start over anywhere, in the middle of a run, with one verifier', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: MAX }), fc.array(fc.tuple(fc.nat(), fc.nat(9)), { maxLength: 12 }), (size, runs) => {
        const tree = trees[size]!
        const verifier = verifierOf(tree)
        for (const [at, length] of runs) {
          const start = at % size
          for (let i = start; i < Math.min(size, start + length + 1); i++) {
            expect(verifier.verify(i, leaves[i]!, i === start ? tree.proof(i) : tree.runProof(i))).toBe(true)
          }
        }
      }),
    )
  })

  it('takes the whole proof of any leaf at any time', () => {
    const tree = trees[37]!
    const verifier = verifierOf(tree)
    for (const i of [5, 6, 7, 7, 6, 36, 0, 35, 36]) expect(verifier.verify(i, leaves[i]!, tree.proof(i))).toBe(true)
  })

  it('do not start with a run proof', () => {
    for (let size = 2; size <= MAX; size++) {
      for (let i = 1; i < size; i++) {
        const { root, runProof, proof } = trees[size]!
        const short = runProof(i)
        if (short.length === proof(i).length) continue
        expect(createMerkleVerifier(root, size).verify(i, leaves[i]!, short)).toBe(false)
        expect(verifyProof(root, size, i, leaves[i]!, short)).toBe(false)
      }
    }
  })
})

describe('a hostile peer', () => {
  /** A verifier that has accepted a run from `start` to `end`, and how it answers what a peer sends next. */
  const after = (size: number, start: number, end: number) => {
    const tree = trees[size]!
    const make = () => {
      const verifier = verifierOf(tree)
      for (let i = start; i < end; i++) verifier.verify(i, leaves[i]!, i === start ? tree.proof(i) : tree.runProof(i))
      return verifier
    }
    return { tree, make }
  }

  it('gets no wrong leaf accepted, with any true proof, in any state', () => {
    for (let size = 1; size <= 13; size++) {
      for (let start = 0; start < size; start++) {
        for (let end = start; end <= size; end++) {
          const { tree, make } = after(size, start, end)
          const verifier = make()
          for (let i = 0; i < size; i++) {
            const wrong = leaves[(i + 1) % MAX]!
            const proofs = [tree.proof(i), tree.runProof(i), new Uint8Array(0), tree.proof((i + 1) % size)]
            const accepted = proofs.some((proof) => verifier.verify(i, wrong, proof))
            if (accepted) expect.fail(`a wrong leaf ${i} of ${size} after ${start} to ${end}`)
          }
        }
      }
    }
  })

  it('gets no node of the tree accepted as a leaf', () => {
    for (let size = 2; size <= 17; size++) {
      const { tree, make } = after(size, 0, Math.floor(size / 2))
      const verifier = make()
      // Every inner node, with every suffix of every proof: the shorter trees that a second preimage would use.
      const nodes: Uint8Array[] = [tree.root]
      for (let i = 0; i < size; i++) {
        const proof = tree.proof(i)
        for (let at = 0; at < proof.length; at += 32) nodes.push(proof.subarray(at, at + 32))
      }
      const inner = nodes.filter((node) => !leaves.some((leaf) => toHex(leaf) === toHex(node)))
      for (let i = 0; i < size; i++) {
        const proof = tree.proof(i)
        for (let cut = 0; cut <= proof.length; cut += 32) {
          expect(inner.some((node) => verifier.verify(i, node, proof.subarray(cut)))).toBe(false)
        }
      }
    }
  })

  it('gets no right leaf accepted at another index', () => {
    for (let size = 1; size <= 20; size++) {
      const { tree, make } = after(size, 0, size >> 1)
      const verifier = make()
      for (let i = 0; i < size; i++) {
        for (let at = -1; at <= size + 1; at++) {
          if (at === i) continue
          const proofs = [tree.proof(i), tree.runProof(i), new Uint8Array(0)]
          expect(proofs.some((proof) => verifier.verify(at, leaves[i]!, proof))).toBe(false)
        }
      }
    }
  })

  it('gets no changed proof accepted: flips, cuts, extensions', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: MAX }),
        fc.nat(),
        fc.nat(),
        fc.nat(),
        fc.oneof(
          fc.record({ flip: fc.nat(), bit: fc.nat(7) }),
          fc.record({ cut: fc.integer({ min: 1, max: 100 }) }),
          fc.record({ extend: fc.uint8Array({ minLength: 1, maxLength: 64 }) }),
          fc.record({ pad: fc.integer({ min: 1, max: 3 }) }),
          fc.record({ swap: fc.nat() }),
        ),
        fc.boolean(),
        (size, a, b, c, change, run) => {
          const start = a % size
          const end = start + 1 + (b % (size - start))
          const { tree, make } = after(size, start, end)
          // Half of the time the very leaf that comes next.
          const index = run && end < size ? end : c % size
          const proof = run && end < size ? tree.runProof(index) : tree.proof(index)
          let changed: Uint8Array
          if ('flip' in change) {
            if (proof.length === 0) return
            changed = proof.slice()
            changed[change.flip % proof.length]! ^= 1 << change.bit
          } else if ('cut' in change) {
            if (change.cut > proof.length) return
            changed = proof.subarray(0, proof.length - change.cut)
          } else if ('extend' in change) changed = concatBytes(proof, change.extend)
          else if ('pad' in change) changed = concatBytes(proof, ...Array.from({ length: change.pad }, () => tree.root))
          else {
            if (proof.length < 64) return
            const at = 32 * (change.swap % (proof.length / 32 - 1))
            const [first, second] = [proof.slice(at, at + 32), proof.slice(at + 32, at + 64)]
            changed = concatBytes(proof.subarray(0, at), second, first, proof.subarray(at + 64))
          }
          // A whole proof cut between hashes is still true: the test below says where it may end.
          const truth = changed.length % 32 === 0 && toHex(tree.proof(index)).startsWith(toHex(changed))
          if (!truth) expect(make().verify(index, leaves[index]!, changed)).toBe(false)
        },
      ),
      { numRuns: 1000 },
    )
  })

  it('gets a true proof cut short accepted only where it ends at a known node', () => {
    // What may be known, by the words of the interface: right-hand siblings that accepted proofs named, and the root.
    for (let size = 1; size <= 21; size++) {
      for (let start = 0; start < size; start += 3) {
        const { tree, make } = after(size, start, Math.min(size, start + 4))
        const named = new Set([toHex(tree.root)])
        for (let i = start; i < Math.min(size, start + 4); i++) {
          const proof = i === start ? tree.proof(i) : tree.runProof(i)
          for (let at = 0; at < proof.length; at += 32) named.add(toHex(proof.subarray(at, at + 32)))
        }
        for (let i = 0; i < size; i++) {
          const proof = tree.proof(i)
          const way = [leaves[i]!]
          let width = size
          for (let at = 0, index = i; width > 1; index >>= 1, width = (width + 1) >> 1) {
            if ((index ^ 1) >= width) continue
            const sibling = proof.subarray(at, (at += 32))
            way.push(index % 2 ? sha(Uint8Array.of(1), sibling, way.at(-1)!) : sha(Uint8Array.of(1), way.at(-1)!, sibling))
          }
          for (let n = 0; n <= proof.length / 32; n++) {
            const accepted = make().verify(i, leaves[i]!, proof.subarray(0, 32 * n))
            if (accepted) expect(named.has(toHex(way[n]!)), `leaf ${i} of ${size}, ${n} hashes`).toBe(true)
          }
        }
      }
    }
  })

  it('changes nothing by failing', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: MAX }),
        fc.nat(),
        fc.array(fc.tuple(fc.integer({ min: -2, max: MAX + 2 }), fc.nat(MAX - 1), fc.nat(300), fc.nat()), {
          minLength: 1,
          maxLength: 20,
        }),
        (size, a, attempts) => {
          const tree = trees[size]!
          const start = a % size
          const verifier = verifierOf(tree)
          expect(verifier.verify(start, leaves[start]!, tree.proof(start))).toBe(true)
          for (let i = start + 1; i < size; i++) {
            for (const [index, leaf, length, seed] of attempts) {
              if (leaf === index) continue
              // True hashes of the tree in the wrong place, and noise at the end.
              const noise = new Uint8Array(64).fill(seed)
              const stolen = concatBytes(tree.proof(seed % size), tree.runProof((seed >> 3) % size), noise)
              if (verifier.verify(index, leaves[leaf]!, stolen.subarray(0, length))) expect.fail('a stolen proof')
            }
            expect(verifier.verify(i, leaves[i]!, tree.runProof(i))).toBe(true)
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('gets no malformed call through', () => {
    const tree = trees[4]!
    const leaf = leaves[2]!
    const proof = tree.proof(2)
    expect(verifyProof(tree.root, 4, 2, leaf, proof)).toBe(true)
    for (const index of [NaN, -2, 2.5, Infinity, 2 + 2 ** 32, 2 ** 53]) {
      expect(verifyProof(tree.root, 4, index, leaf, proof)).toBe(false)
    }
    for (const size of [0, -4, 4.5, NaN, Infinity, 2 ** 53]) expect(verifyProof(tree.root, size, 2, leaf, proof)).toBe(false)
    expect(verifyProof(tree.root, 4, 2, leaf.subarray(1), proof)).toBe(false)
    expect(verifyProof(tree.root, 4, 2, concatBytes(leaf, leaf), proof)).toBe(false)
    expect(verifyProof(tree.root, 4, 2, leaf, proof.subarray(0, 63))).toBe(false)
    expect(verifyProof(trees[5]!.root, 4.5, 2, leaf, trees[5]!.proof(2))).toBe(false)
    expect(verifyProof(tree.root.subarray(1), 4, 2, leaf, proof)).toBe(false)
    expect(verifyProof(tree.root, 4, 2, leaf, proof.subarray(1))).toBe(false)
    // Zeros at the end must not be taken for granted, in a leaf or in a proof.
    const zeroed = leaf.map((byte, i) => (i === 31 ? 0 : byte))
    const pair = createMerkleTree([zeroed, zeroed])
    expect(verifyProof(pair.root, 2, 0, zeroed, zeroed)).toBe(true)
    expect(verifyProof(pair.root, 2, 0, zeroed.subarray(0, 31), zeroed)).toBe(false)
    expect(verifyProof(pair.root, 2, 0, zeroed, zeroed.subarray(0, 31))).toBe(false)
    expect(verifyProof(new Uint8Array(0), 1, 0, new Uint8Array(0), new Uint8Array(0))).toBe(false)
    expect(verifyProof(trees[0]!.root, 0, 0, leaf, new Uint8Array(0))).toBe(false)
  })

  it('cannot change what was learned through the bytes of an old proof, or the root', () => {
    const tree = trees[9]!
    const root = tree.root.slice()
    const verifier = createMerkleVerifier(root, 9)
    const proof = tree.proof(0)
    expect(verifier.verify(0, leaves[0]!, proof)).toBe(true)
    proof.set(leaves[5]!) // the sibling's place, as a reused receive buffer would
    root.set(leaves[5]!)
    expect(verifier.verify(1, leaves[5]!, new Uint8Array(0))).toBe(false)
    expect(verifier.verify(1, leaves[1]!, new Uint8Array(0))).toBe(true)
    expect(verifier.verify(8, leaves[8]!, tree.proof(8))).toBe(true)
  })
})

describe('sizes past 2^32', () => {
  it('are walked without bit operations', () => {
    // A tree of 2^40 + 3 leaves of which only the ways of two are known: all other subtrees are made up.
    const size = 2 ** 40 + 3
    const filler = (n: number): Uint8Array => sha(Uint8Array.of(n))
    const node = (l: Uint8Array, r: Uint8Array): Uint8Array => sha(Uint8Array.of(1), l, r)
    // Leaf 0: 40 siblings up to 2^40, then the right part of three leaves.
    let left = leaves[0]!
    const proof0: Uint8Array[] = []
    for (let i = 0; i < 40; i++) {
      proof0.push(filler(i))
      left = node(left, filler(i))
    }
    const right = node(node(leaves[1]!, leaves[2]!), leaves[3]!)
    const root = node(left, right)
    expect(verifyProof(root, size, 0, leaves[0]!, concatBytes(...proof0, right))).toBe(true)
    expect(verifyProof(root, size, 2 ** 40, leaves[1]!, concatBytes(leaves[2]!, leaves[3]!, left))).toBe(true)
    expect(verifyProof(root, size, 2 ** 40 + 2, leaves[3]!, concatBytes(node(leaves[1]!, leaves[2]!), left))).toBe(true)
    const verifier = createMerkleVerifier(root, size)
    expect(verifier.verify(2 ** 40, leaves[1]!, concatBytes(leaves[2]!, leaves[3]!, left))).toBe(true)
    expect(verifier.verify(2 ** 40 + 1, leaves[2]!, new Uint8Array(0))).toBe(true)
    expect(verifier.verify(2 ** 40 + 2, leaves[3]!, new Uint8Array(0))).toBe(true)
    expect(verifier.verify(0, leaves[1]!, new Uint8Array(0))).toBe(false)
  })
})

describe('createMerkleBuilder', () => {
  it('has the root at every size, also after a restart at every size', () => {
    let builder = createMerkleBuilder()
    for (let size = 0; ; size++) {
      expect(builder.size).toBe(size)
      expect(toHex(builder.root())).toBe(toHex(trees[size]!.root))
      expect(toHex(createMerkleBuilder(builder.state()).root())).toBe(toHex(trees[size]!.root))
      if (size % 3 === 2) builder = createMerkleBuilder(builder.state())
      if (size === MAX) break
      builder.append(leaves[size]!)
    }
  })

  it('keeps as many hashes as its size has 1 bits', () => {
    const builder = createMerkleBuilder()
    for (const leaf of leaves.slice(0, 13)) builder.append(leaf)
    expect(builder.state().length).toBe(8 + 3 * 32)
  })

  it('keeps copies, and gives copies away', () => {
    const builder = createMerkleBuilder()
    const leaf = leaves[0]!.slice()
    builder.append(leaf)
    const state = builder.state()
    leaf.fill(0)
    builder.root().fill(0)
    builder.state().fill(0)
    expect(toHex(builder.root())).toBe(toHex(leaves[0]!))
    const restored = createMerkleBuilder(state)
    state.fill(0)
    expect(toHex(restored.root())).toBe(toHex(leaves[0]!))
  })

  it('refuses a damaged state and hashes of another length', () => {
    const builder = createMerkleBuilder()
    for (const leaf of leaves.slice(0, 5)) builder.append(leaf)
    const state = builder.state()
    const wrongSize = state.slice()
    wrongSize[7] = 7
    const huge = new Uint8Array(8).fill(255)
    const long = concatBytes(state, new Uint8Array(32))
    // 2^63 has a single 1 bit, so the length fits.
    const unsafe = concatBytes(Uint8Array.of(128, 0, 0, 0, 0, 0, 0, 0), new Uint8Array(32))
    const bad = [new Uint8Array(0), state.slice(0, 7), state.slice(0, -1), long, wrongSize, huge, unsafe]
    for (const each of bad) expect(() => createMerkleBuilder(each)).toThrow(expect.objectContaining({ code: 'STORE_CORRUPT' }))
    expect(() => builder.append(new Uint8Array(31))).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
    expect(builder.size).toBe(5)
  })
})
