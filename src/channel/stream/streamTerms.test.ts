import { AbiCoder, keccak256, sha256 } from 'ethers'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../core/bytes.ts'
import { codeOf } from '../../testing/suite.ts'
import { createChain } from './chain.ts'
import { encodeSteps, MAX_STEPS, streamHash } from './streamTerms.ts'

const abi = AbiCoder.defaultAbiCoder()
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toHex)
const amount = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n })
const u32 = fc.nat(2 ** 32 - 1)
const ANCHOR = `0x${'ab'.repeat(32)}` as const

describe('streamHash', () => {
  it('is what the ABI says', () => {
    fc.assert(
      fc.property(hash, amount, u32, (anchor, unit, length) => {
        const expected = keccak256(abi.encode(['bytes32', 'uint128', 'uint32'], [anchor, unit, length]))
        expect(toHex(streamHash({ anchor, unit, length }))).toBe(expected)
      }),
    )
  })

  it('refuses what does not fit', async () => {
    const terms = { anchor: ANCHOR, unit: 1n, length: 1 }
    for (const bad of [{ unit: -1n }, { unit: 2n ** 128n }, { length: -1 }, { length: 2 ** 32 }, { length: 0.5 }, { anchor: '0x00' as const }]) {
      expect(await codeOf(() => streamHash({ ...terms, ...bad }))).toBe('BAD_ARGUMENT')
    }
  })
})

describe('encodeSteps', () => {
  it('is what the ABI says', () => {
    fc.assert(
      fc.property(hash, amount, u32, u32, (preimage, unit, length, steps) => {
        const expected = abi.encode(['bytes32', 'uint128', 'uint32', 'uint32'], [preimage, unit, length, steps])
        expect(toHex(encodeSteps({ preimage, unit, length, steps }))).toBe(expected)
      }),
    )
  })

  it('leads the contract back to the hash that was signed', () => {
    const chain = createChain({ seed: new Uint8Array(32).fill(3), length: MAX_STEPS })
    const terms = { anchor: chain.anchor, unit: 5n, length: chain.length }
    for (const steps of [0, 1, 500, MAX_STEPS]) {
      const preimage = steps === 0 ? chain.anchor : toHex(chain.preimage(steps))
      const [shown, unit, length, count] = abi.decode(
        ['bytes32', 'uint128', 'uint32', 'uint32'], encodeSteps({ ...terms, steps, preimage }),
      ) as unknown as [string, bigint, bigint, bigint]
      let node = shown
      for (let i = 0; i < count; i++) node = sha256(node)
      expect(keccak256(abi.encode(['bytes32', 'uint128', 'uint32'], [node, unit, length]))).toBe(toHex(streamHash(terms)))
    }
  })
})
