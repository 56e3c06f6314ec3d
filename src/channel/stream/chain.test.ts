import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'
import { codeOf } from '../../testing/suite.ts'
import { createChain, createChainVerifier } from './chain.ts'
import { hashTimes } from './sha256Chain.ts'
import { MAX_STEPS } from './streamTerms.ts'

const seed = new Uint8Array(32).fill(7)

/** The field that a `PROOF_INVALID` names. */
function invalidField(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    if (error instanceof SluiceError && error.code === 'PROOF_INVALID') return error.details['field']
    throw error
  }
  return 'no error'
}

describe('createChain', () => {
  it.each([1, 2, 300, MAX_STEPS])('shows each value below the anchor of a chain of %i', (length) => {
    const chain = createChain({ seed, length })
    expect(chain.length).toBe(length)
    expect(chain.anchor).toBe(toHex(hashTimes(seed, length)))
    for (let steps = 1; steps <= length; steps++) expect(chain.preimage(steps)).toEqual(hashTimes(seed, length - steps))
    expect(chain.preimage(length)).toEqual(seed)
  })

  it('hands out bytes of their own', () => {
    const chain = createChain({ seed, length: 4 })
    chain.preimage(2).fill(0)
    expect(chain.preimage(2)).toEqual(hashTimes(seed, 2))
  })

  it('refuses lengths that the contract does not hash, other seeds, and steps that are none', async () => {
    for (const length of [0, -1, 1.5, NaN, MAX_STEPS + 1]) expect(await codeOf(() => createChain({ seed, length }))).toBe('BAD_ARGUMENT')
    for (const size of [0, 31, 33]) expect(await codeOf(() => createChain({ seed: new Uint8Array(size), length: 4 }))).toBe('BAD_ARGUMENT')
    const chain = createChain({ seed, length: 4 })
    for (const steps of [0, -1, 5, 1.5, NaN]) expect(await codeOf(() => chain.preimage(steps))).toBe('BAD_ARGUMENT')
  })
})

describe('createChainVerifier', () => {
  it('counts what is newly paid, once, in whatever order and however many at once', () => {
    const chain = createChain({ seed, length: 200 })
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 }), (order) => {
        const verifier = createChainVerifier(chain)
        let paid = 0
        for (const steps of order) {
          const before = verifier.steps
          const news = verifier.accept(steps, chain.preimage(steps))
          expect(news).toBe(Math.max(0, steps - before))
          paid += news
        }
        const best = Math.max(...order)
        expect(paid).toBe(best)
        expect([verifier.steps, verifier.preimage]).toEqual([best, toHex(chain.preimage(best))])
      }),
    )
  })

  it('takes a whole chain at once', () => {
    const chain = createChain({ seed, length: MAX_STEPS })
    expect(createChainVerifier(chain).accept(MAX_STEPS, seed)).toBe(MAX_STEPS)
  })

  it('refuses any other preimage and stays as it was', () => {
    const chain = createChain({ seed, length: 50 })
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 49 }), fc.integer({ min: 1, max: 50 }), fc.nat(255), (paid, more, bit) => {
        const verifier = createChainVerifier(chain)
        if (paid > 0) verifier.accept(paid, chain.preimage(paid))
        const steps = Math.min(50, paid + more)
        const before = [verifier.steps, verifier.preimage]
        const changed = chain.preimage(steps)
        changed[bit >> 3]! ^= 1 << (bit & 7)
        expect(invalidField(() => verifier.accept(steps, changed))).toBe('preimage')
        // The value of another step.
        if (steps > 1) expect(invalidField(() => verifier.accept(steps, chain.preimage(steps - 1)))).toBe('preimage')
        expect([verifier.steps, verifier.preimage]).toEqual(before)
        expect(verifier.accept(steps, chain.preimage(steps))).toBe(steps - paid)
      }),
    )
  })

  it('holds every bit against the anchor', () => {
    const { anchor, length, preimage } = createChain({ seed, length: 5 })
    for (let bit = 0; bit < 256; bit++) {
      const other = fromHex(anchor)
      other[bit >> 3]! ^= 1 << (bit & 7)
      const verifier = createChainVerifier({ anchor: toHex(other), length })
      expect(invalidField(() => verifier.accept(2, preimage(2)))).toBe('preimage')
    }
  })

  it('names what else is wrong, and stays as it was', () => {
    const chain = createChain({ seed, length: 10 })
    const verifier = createChainVerifier(chain)
    for (const steps of [11, 2 ** 32 - 1, -1, 0.5, NaN]) expect(invalidField(() => verifier.accept(steps, seed))).toBe('steps')
    const right = chain.preimage(1)
    for (const wrong of [new Uint8Array(0), right.subarray(1), Uint8Array.of(...right, 0)]) {
      expect(invalidField(() => verifier.accept(1, wrong))).toBe('preimage')
    }
    expect([verifier.steps, verifier.preimage]).toEqual([0, chain.anchor])
    for (const length of [0, MAX_STEPS + 1, 2 ** 32 - 1]) {
      expect(invalidField(() => createChainVerifier({ anchor: chain.anchor, length }))).toBe('length')
    }
  })

  it('knows no step beyond the terms, though the chain goes on', () => {
    const chain = createChain({ seed, length: 10 })
    const verifier = createChainVerifier({ anchor: chain.anchor, length: 9 })
    expect(invalidField(() => verifier.accept(10, chain.preimage(10)))).toBe('steps')
    expect(verifier.accept(9, chain.preimage(9))).toBe(9)
  })

  it('goes on from a store', () => {
    const chain = createChain({ seed, length: 10 })
    const before = createChainVerifier(chain)
    before.accept(4, chain.preimage(4))
    const { steps, preimage } = before
    const after = createChainVerifier(chain, { steps, preimage })
    expect(after.accept(4, chain.preimage(4))).toBe(0)
    expect(after.accept(6, chain.preimage(6))).toBe(2)
  })

  it('begins at the anchor for a message that tells the steps of the chain before', () => {
    const chain = createChain({ seed, length: 10 })
    const message = { steps: 7, anchor: chain.anchor, unit: 1n, length: 10 }
    expect(createChainVerifier(message).steps).toBe(0)
  })

  it('keeps nothing of the bytes that it was handed', () => {
    const chain = createChain({ seed, length: 10 })
    const verifier = createChainVerifier(chain)
    const preimage = chain.preimage(3)
    verifier.accept(3, preimage)
    preimage.fill(0)
    expect(verifier.preimage).toBe(toHex(chain.preimage(3)))
  })
})
