import fc, { type Arbitrary } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../core/bytes.ts'
import { createStepCodec } from '../stream/stepCodec.ts'
import { bytes, decode, encode, list, raw, text, u64, type Layout } from './codec.ts'
import {
  channelMessageLayouts,
  codeOf,
  decodeChannelMessage,
  encodeChannelMessage,
  MAX_HOPS,
  SEALED_APPOINTMENT,
  type ChannelMessageType,
} from './messages.ts'

const types = Object.keys(channelMessageLayouts) as ChannelMessageType[]
const hex = (size: number): Arbitrary<string> => fc.uint8Array({ minLength: size, maxLength: size }).map((value) => toHex(value))
const exact = (size: number): Arbitrary<Uint8Array> => fc.uint8Array({ minLength: size, maxLength: size })
const number = (bits: number): Arbitrary<number> => fc.oneof(fc.maxSafeNat(), fc.nat(3)).map((value) => value % 2 ** bits)
const u128 = fc.bigInt(0n, 2n ** 128n - 1n)
const hop = fc.record({ node: hex(20), channelId: hex(32), amount: u128, expiry: number(53) })
const lock = fc.record({ index: number(16), amount: u128, expiry: number(53), secrethash: hex(32) })
const stream = fc.record({ anchor: hex(32), unit: u128, length: number(32), steps: number(32), preimage: hex(32) })

/** Values of a field, found out by what it takes: each kind refuses all others when it is written. */
const kinds: readonly Arbitrary<unknown>[] = [
  fc.boolean(),
  number(8),
  number(16),
  number(32),
  number(53),
  u128,
  hex(20),
  hex(32),
  exact(16),
  exact(32),
  exact(33),
  exact(64),
  exact(65),
  fc.uint8Array({ maxLength: 100 }),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.array(hop, { maxLength: MAX_HOPS }),
  fc.array(lock, { maxLength: 20 }),
  fc.option(stream, { nil: undefined }),
  exact(SEALED_APPOINTMENT),
  fc.option(fc.record({ counter: number(53), sealed: exact(SEALED_APPOINTMENT) }), { nil: undefined }),
]
/** Which kind of values a field reads back as they were written. */
function valuesOf(name: string, layout: Layout): Arbitrary<unknown> {
  const field = { [name]: layout[name]! }
  for (const kind of [...kinds].reverse()) {
    const fits = fc.sample(kind, { numRuns: 12, seed: 7 }).every((value) => {
      try {
        expect(decode(field, encode(field, { [name]: value }))).toEqual({ [name]: value })
        return true
      } catch {
        return false
      }
    })
    if (fits) return kind
  }
  throw new Error(`no values for ${name}`)
}
const fieldsOf = (type: ChannelMessageType): Arbitrary<never> => {
  const layout = channelMessageLayouts[type]
  return fc.record(
    Object.fromEntries(Object.keys(layout).map((name) => [name, valuesOf(name, layout)])),
  ) as unknown as Arbitrary<never>
}
const bad = expect.objectContaining({ code: 'BAD_MESSAGE' }) as Error

describe.each(types)('message %s', (type) => {
  const fields = fieldsOf(type)

  it('comes back as it was, and in one form only', () => {
    fc.assert(
      fc.property(fields, (values) => {
        const packet = encodeChannelMessage(type, values)
        expect(packet[0]).toBe(codeOf(type))
        const message = decodeChannelMessage(packet)
        expect(message).toEqual({ ...(values as object), type })
        expect(encodeChannelMessage(type, message as never)).toEqual(packet)
      }),
      { numRuns: 40 },
    )
  })

  it('is refused when it is cut anywhere, or has a byte too many', () => {
    const [values] = fc.sample(fields, { numRuns: 1, seed: 3 }) as [never]
    const packet = encodeChannelMessage(type, values)
    for (let size = 0; size < packet.length; size++) expect(() => decodeChannelMessage(packet.subarray(0, size))).toThrow(bad)
    expect(() => decodeChannelMessage(Uint8Array.of(...packet, 0))).toThrow(bad)
  })
})

describe('any bytes', () => {
  it('are a message or a typed error', () => {
    fc.assert(
      fc.property(fc.constantFrom(...types), fc.uint8Array({ maxLength: 400 }), fc.boolean(), (type, tail, known) => {
        const packet = known ? Uint8Array.of(codeOf(type), ...tail) : tail
        try {
          const message = decodeChannelMessage(packet)
          expect(encodeChannelMessage(message.type, message as never)).toEqual(packet)
        } catch (error) {
          expect(error).toMatchObject({ code: 'BAD_MESSAGE' })
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it('of a number beyond 2^53, of a list too long, or of no text, are refused', () => {
    const field = (name: string): Error => expect.objectContaining({ code: 'BAD_MESSAGE', details: { field: name } }) as Error
    expect(() => decode({ nonce: u64 }, Uint8Array.of(0, 32, 0, 0, 0, 0, 0, 0))).toThrow(field('nonce'))
    expect(decode({ nonce: u64 }, Uint8Array.of(0, 31, 255, 255, 255, 255, 255, 255))).toEqual({ nonce: Number.MAX_SAFE_INTEGER })
    const some = { some: list({ index: raw(1) }, 2) }
    expect(() => decode(some, Uint8Array.of(0, 3, 1, 2, 3))).toThrow(field('some'))
    expect(() => decode({ some: bytes(2) }, Uint8Array.of(0, 3, 1, 2, 3))).toThrow(field('some'))
    expect(() => decode({ word: text(9) }, Uint8Array.of(0, 1, 0xff))).toThrow(field('word'))
    expect(() => decodeChannelMessage(new Uint8Array(0))).toThrow(field('type'))
    expect(() => decodeChannelMessage(Uint8Array.of(255))).toThrow(field('type'))
  })

  it('do not grow by what they claim', () => {
    // A list of 65,535 entries in a packet of five bytes.
    const packet = encodeChannelMessage('state', {
      ...fc.sample(fieldsOf('state') as Arbitrary<object>, { numRuns: 1, seed: 1 })[0],
      locks: [],
      stream: undefined,
    } as never)
    const claim = Uint8Array.from(packet)
    claim.set([0xff, 0xff], packet.length - 3)
    expect(() => decodeChannelMessage(claim)).toThrow(bad)
  })
})

it('a step has the same bytes in its own codec', () => {
  fc.assert(
    fc.property(hex(32), number(32), exact(32), (channelId, steps, preimage) => {
      const codec = createStepCodec(channelId as never)
      const packet = encodeChannelMessage('step', { channelId: channelId as never, steps, preimage })
      expect(codec.encode(steps, preimage)).toEqual(packet)
      expect(codec.decode(packet)).toEqual({ steps, preimage })
    }),
    { numRuns: 50 },
  )
})
