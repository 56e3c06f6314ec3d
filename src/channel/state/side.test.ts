import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex, type Hex } from '../../core/bytes.ts'
import { createChain } from '../stream/chain.ts'
import { referenceOf, type ProofDetails, type ProofMessageType } from '../wire/messages.ts'
import {
  advance,
  assertProofMatches,
  freshSide,
  isSecretOf,
  paidBy,
  promisedBy,
  proofOf,
  secrethashOf,
  ZERO_32,
  type Side,
} from './side.ts'

const hash = (fill: number): Hex => toHex(new Uint8Array(32).fill(fill))
const secret = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)
const account = (fill: number): Hex => toHex(new Uint8Array(20).fill(fill))
const lockOf = (index: number, amount: bigint, fill = index + 1): ProofDetails<'lock'> => ({
  index,
  amount,
  expiry: 5_000,
  secrethash: secrethashOf(secret(fill)),
  paymentId: hash(9),
  initiator: account(1),
  target: account(2),
  total: amount,
  route: [],
})
const go = <T extends ProofMessageType>(side: Side, type: T, details: ProofDetails<T>): Side => ({
  ...advance(side, type, details, referenceOf(type, details)),
  signature: new Uint8Array(64),
})
const invalid = (field: string): Error =>
  expect.objectContaining({ code: 'PROOF_INVALID', details: expect.objectContaining({ field }) as object }) as Error

describe('one side of a channel', () => {
  it('moves on by each kind of message, and by one number each', () => {
    let side = go(freshSide, 'payment', { amount: 5n, paymentId: hash(1) })
    expect(side).toMatchObject({ nonce: 1, transferred: 5n })
    expect(toHex(side.reference)).toBe(hash(1))
    side = go(side, 'lock', lockOf(0, 7n))
    expect([side.nonce, paidBy(side), promisedBy(side)]).toEqual([2, 5n, 7n])
    side = go(side, 'lock', lockOf(3, 2n))
    side = go(side, 'unlock', { index: 0, secret: secret(1) })
    expect([side.nonce, paidBy(side), promisedBy(side)]).toEqual([4, 12n, 2n])
    side = go(side, 'remove', { index: 3 })
    expect([side.nonce, paidBy(side), promisedBy(side)]).toEqual([5, 12n, 0n])
    expect(side.locks.root).toEqual(ZERO_32)
    const { anchor } = createChain({ seed: secret(4), length: 10 })
    side = go(side, 'stream', { steps: 0, anchor, unit: 3n, length: 10, paymentId: hash(2) })
    expect([paidBy(side), promisedBy(side)]).toEqual([12n, 30n])
    expect(proofOf(ZERO_32, side).stream).not.toEqual(ZERO_32)
    side = go(side, 'stream', { steps: 4, anchor: hash(0), unit: 0n, length: 0, paymentId: hash(2) })
    expect([side.nonce, paidBy(side), promisedBy(side), side.stream]).toEqual([7, 24n, 0n, undefined])
  })

  it('gives away nothing by a fold that it had not given before', () => {
    fc.assert(
      fc.property(fc.nat(10), fc.nat(12), fc.nat(12), (shown, fold, length) => {
        const { anchor } = createChain({ seed: secret(4), length: 10 })
        const before = go(freshSide, 'stream', { steps: 0, anchor, unit: 3n, length: 10, paymentId: hash(2) })
        const running: Side = { ...before, stream: { ...before.stream!, steps: shown } }
        const run = (): Side => go(running, 'stream', { steps: fold, anchor, unit: 3n, length, paymentId: hash(2) })
        if (fold < shown || fold > 10) {
          expect(run).toThrow(invalid('steps'))
          return
        }
        const next = run()
        expect(paidBy(next)).toBe(BigInt(fold) * 3n)
        expect(paidBy(next) >= paidBy(running)).toBe(true)
      }),
    )
  })

  it.each([
    ['an amount of nothing', 'amount', (side: Side) => go(side, 'payment', { amount: 0n, paymentId: hash(1) })],
    ['a lock of nothing', 'amount', (side: Side) => go(side, 'lock', lockOf(1, 0n))],
    ['a lock for too long', 'expiry', (side: Side) => go(side, 'lock', { ...lockOf(1, 1n), expiry: 2 ** 40 })],
    ['a place that is taken', 'index', (side: Side) => go(side, 'lock', lockOf(0, 1n, 50))],
    ['a secrethash that is pending', 'secrethash', (side: Side) => go(side, 'lock', lockOf(1, 1n, 1))],
    ['a wrong secret', 'secret', (side: Side) => go(side, 'unlock', { index: 0, secret: secret(2) })],
    ['an unlock of nothing', 'index', (side: Side) => go(side, 'unlock', { index: 1, secret: secret(1) })],
    ['a removal of nothing', 'index', (side: Side) => go(side, 'remove', { index: 1 })],
    [
      'a fold without a stream',
      'steps',
      (side: Side) => go(side, 'stream', { steps: 1, anchor: hash(1), unit: 1n, length: 1, paymentId: hash(1) }),
    ],
    [
      'a stream that pays nothing',
      'length',
      (side: Side) => go(side, 'stream', { steps: 0, anchor: hash(1), unit: 0n, length: 1, paymentId: hash(1) }),
    ],
    [
      'a chain that no contract hashes',
      'length',
      (side: Side) => go(side, 'stream', { steps: 0, anchor: hash(1), unit: 1n, length: 1_025, paymentId: hash(1) }),
    ],
    [
      'more than 128 bits at once',
      'transferred',
      (side: Side) => go(side, 'payment', { amount: 2n ** 128n - 1n, paymentId: hash(1) }),
    ],
    [
      'more than 128 bits by a stream',
      'transferred',
      (side: Side) => go(side, 'stream', { steps: 0, anchor: hash(1), unit: 2n ** 120n, length: 1_024, paymentId: hash(1) }),
    ],
  ])('refuses %s', (_what, field, run) => {
    const side = go(freshSide, 'lock', lockOf(0, 7n))
    expect(() => run(side)).toThrow(invalid(field))
  })

  it('asks each field of a proof to be what it must be', () => {
    const next = go(go(freshSide, 'payment', { amount: 5n, paymentId: hash(1) }), 'lock', lockOf(0, 7n))
    const proof = { nonce: 2, transferred: 5n, locked: 7n, locksroot: next.locks.root }
    expect(() => assertProofMatches(next, proof)).not.toThrow()
    expect(() => assertProofMatches(next, { ...proof, nonce: 3 })).toThrow(invalid('nonce'))
    expect(() => assertProofMatches(next, { ...proof, transferred: 6n })).toThrow(invalid('transferred'))
    expect(() => assertProofMatches(next, { ...proof, locked: 6n })).toThrow(invalid('locked'))
    expect(() => assertProofMatches(next, { ...proof, locksroot: ZERO_32 })).toThrow(invalid('locksroot'))
  })

  it('binds every field of a message but the proof', () => {
    const details = lockOf(0, 7n)
    const changed: ProofDetails<'lock'>[] = [
      { ...details, index: 1 },
      { ...details, amount: 8n },
      { ...details, expiry: 5_001 },
      { ...details, secrethash: hash(3) },
      { ...details, paymentId: hash(3) },
      { ...details, initiator: account(3) },
      { ...details, target: account(3) },
      { ...details, total: 8n },
      { ...details, route: [{ node: account(1), channelId: hash(1), amount: 1n, expiry: 1 }] },
    ]
    const references = [details, ...changed].map((each) => toHex(referenceOf('lock', each)))
    expect(new Set(references).size).toBe(references.length)
    expect(referenceOf('remove', { index: 1 })).not.toEqual(referenceOf('unlock', { index: 1, secret: ZERO_32 }))
  })

  it('knows a secret by its hash, and not the zero secret, which no contract takes', () => {
    expect(isSecretOf(secret(1), secrethashOf(secret(1)))).toBe(true)
    expect(isSecretOf(secret(1), secrethashOf(secret(2)))).toBe(false)
    expect(isSecretOf(ZERO_32, secrethashOf(ZERO_32))).toBe(false)
    expect(isSecretOf(secret(1).subarray(1), secrethashOf(secret(1).subarray(1)))).toBe(false)
  })
})
