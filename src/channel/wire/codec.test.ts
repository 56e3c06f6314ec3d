import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { tokenNetworkDigests, tokenNetworkDomain } from '../../contracts/channelTypes.ts'
import { encodeLocks } from '../../contracts/unlock.ts'
import { leafHash } from '../state/lockTree.ts'
import { address, bytes, decode, encode, flag, hex32, list, optional, raw, text, u128, u16, u256, u32, u64, u8, type Field } from './codec.ts'

const badArgument = expect.objectContaining({ code: 'BAD_ARGUMENT' }) as Error
const HASH = `0x${'11'.repeat(32)}` as const

describe.each([
  ['u8', u8, 2 ** 8],
  ['u16', u16, 2 ** 16],
  ['u32', u32, 2 ** 32],
  ['u64', u64, 2 ** 53],
] as const)('%s', (_name, field, limit) => {
  it('carries what fits', () =>
    fc.assert(fc.property(fc.maxSafeNat().map((n) => n % limit), (value) => {
      expect(decode({ value: field }, encode({ value: field }, { value }))).toEqual({ value })
    })))
  it('carries its ends', () => {
    for (const value of [0, limit - 1]) expect(decode({ value: field }, encode({ value: field }, { value }))).toEqual({ value })
  })
  it('refuses what does not', () =>
    fc.assert(fc.property(
      fc.oneof(
        fc.constantFrom<unknown>(limit, limit + 1, -1, 0.5, NaN, Infinity, 2 ** 53, 1n, '1', null, undefined),
        fc.double({ min: limit, noNaN: true }),
        fc.double({ max: -1, noNaN: true }),
      ),
      (value) => {
        expect(() => encode({ value: field }, { value: value as number })).toThrow(badArgument)
      },
    )))
})

describe.each([
  ['u128', u128, 128n],
  ['u256', u256, 256n],
] as const)('%s', (_name, field, bits) => {
  it('carries what fits', () =>
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: (1n << bits) - 1n }), (value) => {
      expect(decode({ value: field }, encode({ value: field }, { value }))).toEqual({ value })
    })))
  it('refuses what does not', () =>
    fc.assert(fc.property(
      fc.oneof(
        fc.constantFrom<unknown>(1n << bits, -1n, 1, '1', null, undefined),
        fc.bigInt({ min: 1n << bits }),
        fc.bigInt({ max: -1n }),
      ),
      (value) => {
        expect(() => encode({ value: field }, { value: value as bigint })).toThrow(badArgument)
      },
    )))
})

it.each<[string, Field<never>, unknown, unknown]>([
  ['bytes', bytes(4) as never, new Uint8Array(4), new Uint8Array(5)],
  ['bytes of the longest kind', bytes(65_535) as never, new Uint8Array(65_535), new Uint8Array(65_536)],
  ['raw', raw(4) as never, new Uint8Array(4), new Uint8Array(3)],
  ['a list', list({ value: u8 }, 2) as never, [{ value: 1 }, { value: 2 }], [{ value: 1 }, { value: 2 }, { value: 3 }]],
  ['a list of entries', list({ value: u8 }, 2) as never, [{ value: 255 }], [{ value: 256 }]],
  ['what is optional', optional({ value: u16 }) as never, { value: 65_535 }, { value: 65_536 }],
  ['a hash', hex32 as never, HASH, `${HASH}00`],
  ['an address', address as never, `0x${'22'.repeat(20)}`, HASH],
])('%s: carries what fits, and refuses what is longer', (_name, field, fits, tooMuch) => {
  expect(decode({ value: field }, encode({ value: field }, { value: fits as never }))).toEqual({ value: fits })
  expect(() => encode({ value: field }, { value: tooMuch as never })).toThrow(badArgument)
})

it('cuts text at whole characters', () =>
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.boolean(), (value, on) => {
    const layout = { value: text(20), on: flag }
    const read = decode(layout, encode(layout, { value, on }))
    expect(value.startsWith(read.value)).toBe(true)
    expect(read.on).toBe(on)
  })))

describe('what is hashed', () => {
  const lock = { index: 0, amount: 1n, expiry: 1, secrethash: HASH }
  const digests = tokenNetworkDigests(tokenNetworkDomain(1n, `0x${'33'.repeat(20)}`))
  const zero = new Uint8Array(32)
  const proof = { channel: zero, nonce: 1, transferred: 1n, locked: 1n, locksroot: zero, stream: zero, reference: zero }
  it.each([{ amount: 1n << 128n }, { amount: -1n }, { expiry: 2 ** 40 }, { expiry: -1 }, { expiry: 0.5 }])('refuses a lock with %o', (changes) => {
    expect(() => leafHash({ ...lock, ...changes })).toThrow(badArgument)
    expect(() => encodeLocks({ locks: new Map([[0, { ...lock, ...changes }]]), numbers: [0] })).toThrow(badArgument)
  })
  it.each([
    { nonce: 2 ** 53 }, { nonce: -1 }, { transferred: 1n << 128n }, { transferred: -1n }, { locked: 1n << 128n }, { locked: -1n },
  ])(
    'refuses a proof with %o',
    (changes) => expect(() => digests.BalanceProof({ ...proof, ...changes })).toThrow(badArgument),
  )
})
