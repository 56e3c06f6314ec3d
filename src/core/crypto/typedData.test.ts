import { TypedDataEncoder } from 'ethers'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { fromHex, toHex } from '../bytes.ts'
import { engine, resetEngine, setEngine } from './engine.ts'
import { typedDataHasher, type TypedDataDomain, type TypedDataValue } from './typedData.ts'

const hexOf = (size: number) => fc.uint8Array({ minLength: size, maxLength: size }).map(toHex)
const text = fc.string({ unit: 'grapheme', maxLength: 40 })

/** A type and a value of it. */
const valueArb: fc.Arbitrary<readonly [type: string, value: TypedDataValue]> = fc.oneof(
  hexOf(20).map((value) => ['address', value] as const),
  fc.boolean().map((value) => ['bool', value] as const),
  text.map((value) => ['string', value] as const),
  fc.uint8Array({ maxLength: 100 }).map((value) => ['bytes', toHex(value)] as const),
  fc.integer({ min: 1, max: 32 }).chain((size) => hexOf(size).map((value) => [`bytes${size}`, value] as const)),
  fc
    .integer({ min: 1, max: 32 })
    .chain((size) => fc.bigInt({ min: 0n, max: (1n << BigInt(8 * size)) - 1n }).map((value) => [`uint${8 * size}`, value] as const)),
)
const domainArb: fc.Arbitrary<TypedDataDomain> = fc.record(
  { name: text, version: text, chainId: fc.bigInt({ min: 0n, max: 1n << 64n }), verifyingContract: hexOf(20), salt: hexOf(32) },
  { requiredKeys: [] },
)

const domain = { name: 'Sluice', version: '1', chainId: 1n, verifyingContract: '0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC' } as const

describe('typedDataHasher', () => {
  it('is what ethers hashes', () => {
    fc.assert(
      fc.property(domainArb, fc.array(valueArb, { minLength: 1, maxLength: 8 }), (domain, members) => {
        const fields = members.map(([type], i) => ({ name: `m${i}`, type }))
        const values = Object.fromEntries(members.map(([, value], i) => [`m${i}`, value]))
        const defined = Object.fromEntries(Object.entries(domain).filter(([, value]) => value !== undefined))
        expect(toHex(typedDataHasher(domain, 'Thing', fields)(values))).toBe(TypedDataEncoder.hash(defined, { Thing: fields }, values))
      }),
      { numRuns: 300 },
    )
  })

  it('takes numbers and bytes in each of their forms', () => {
    const hash = typedDataHasher(domain, 'T', [{ name: 'n', type: 'uint64' }, { name: 'b', type: 'bytes4' }])
    const expected = toHex(hash({ n: 255n, b: '0x01020304' }))
    for (const n of [255, '255', '0xff']) expect(toHex(hash({ n, b: '0x01020304' }))).toBe(expected)
    expect(toHex(hash({ n: 255, b: Uint8Array.of(1, 2, 3, 4) }))).toBe(expected)
    expect(toHex(hash({ n: 254, b: '0x01020304' }))).not.toBe(expected)
  })

  it('takes an address whatever its case', () => {
    const hash = typedDataHasher(domain, 'T', [{ name: 'a', type: 'address' }])
    const a = '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed'
    expect(toHex(hash({ a }))).toBe(toHex(hash({ a: a.toLowerCase() })))
  })

  it.each([
    ['address', ['0x', '0x00', `0x${'0'.repeat(42)}`, 'vitalik.eth', 1n, true, undefined]],
    ['bool', [0, 1n, 'true', undefined]],
    ['string', [1, new Uint8Array(1), '\ud800', 'x\udc00', undefined]],
    ['bytes', ['ff', '0xf', 'text', 1, undefined]],
    ['bytes3', ['0x0102', '0x01020304', new Uint8Array(2), new Uint8Array(4), 1, undefined]],
    ['uint8', [256n, 256, -1n, -1, 1.5, NaN, '', ' 1', '1e2', '-1', '0x', true, undefined]],
    ['uint256', [1n << 256n, 2 ** 53, -1n, undefined]],
  ] as [string, TypedDataValue[]][])('refuses values that are no %s', (type, values) => {
    const hash = typedDataHasher(domain, 'T', [{ name: 'member', type }])
    for (const member of values) {
      expect(() => hash({ member }), String(member)).toThrow(
        expect.objectContaining({
          code: 'BAD_ARGUMENT',
          message: expect.stringContaining('member') as unknown,
          details: expect.objectContaining({ name: 'member' }) as unknown,
        }),
      )
    }
  })

  it('refuses types that are not atomic', () => {
    for (const type of ['uint', 'uint7', 'uint264', 'uint08', 'int256', 'bytes0', 'bytes33', 'uint256[]', 'Person', 'function', '']) {
      expect(() => typedDataHasher(domain, 'T', [{ name: 'm', type }]), type).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
    }
  })

  it('costs two keccaks per message', () => {
    const keccak256 = vi.fn(engine().keccak256)
    setEngine({ keccak256 })
    try {
      const hash = typedDataHasher(domain, 'Ack', [{ name: 'orderId', type: 'bytes32' }, { name: 'transferred', type: 'uint64' }])
      keccak256.mockClear()
      hash({ orderId: toHex(new Uint8Array(32)), transferred: 5n })
      expect(keccak256).toHaveBeenCalledTimes(2)
    } finally {
      resetEngine()
    }
  })

  it("matches the standard's domain separator example in a flat message", () => {
    // Domain of EIP-712's "Ether Mail", separator as published there.
    const separator = 'f2cee375fa42b42143804025fc449deafd50cc031ca257e0b194a650a912090f'
    const keccak256 = vi.fn(engine().keccak256)
    setEngine({ keccak256 })
    try {
      typedDataHasher({ ...domain, name: 'Ether Mail' }, 'Mail', [{ name: 'contents', type: 'string' }])({ contents: 'Hello, Bob!' })
      const final = keccak256.mock.calls.at(-1)![0]
      expect(toHex(final.subarray(0, 34))).toBe(`0x1901${separator}`)
      expect(fromHex(`0x${separator}`).length).toBe(32)
    } finally {
      resetEngine()
    }
  })
})
