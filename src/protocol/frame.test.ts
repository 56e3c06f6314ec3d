import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes } from '../core/bytes.ts'
import { isSluiceError, type SluiceError } from '../core/errors.ts'
import { decodeFrame, frameFor, MAX_FRAME, MAX_GRANULARITY, type DataFrame } from './frame.ts'
import { MAX_BYTES } from './wire.ts'

interface Parts {
  readonly stream: number
  readonly index: number
  readonly hashes: number
  readonly claim: boolean
  readonly body: Uint8Array
}

const parts: fc.Arbitrary<Parts> = fc.record({
  stream: fc.oneof(fc.nat(3), fc.nat(0xffff_ffff), fc.constant(0xffff_ffff)),
  index: fc.oneof(fc.nat(3), fc.maxSafeNat().map((x) => x % (MAX_BYTES + 1)), fc.constant(MAX_BYTES)),
  hashes: fc.oneof(fc.nat(4), fc.constant(64)),
  claim: fc.boolean(),
  body: fc.uint8Array({ maxLength: 40 }),
})

/** Bytes that are never 0 or 1, so that none is taken for a type, a flag or the leaf tag. */
const filler = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => 2 + (i % 250))

function write({ stream, index, hashes, claim, body: chunk }: Parts): Uint8Array {
  const { frame, body } = frameFor(stream, index, chunk.length, filler(32 * hashes), claim ? filler(65) : undefined)
  body.set(chunk)
  return Uint8Array.from(frame)
}

function rewrite({ stream, index, proof, claim, body: chunk }: DataFrame): Uint8Array {
  const { frame, body } = frameFor(stream, index, chunk.length, proof, claim)
  body.set(chunk)
  return frame
}

function failure(frame: Uint8Array): SluiceError {
  try {
    decodeFrame(frame)
  } catch (error) {
    if (isSluiceError(error, 'BAD_FRAME')) return error
    throw error
  }
  throw new Error('the frame was taken')
}

const sample: Parts = { stream: 1, index: 2, hashes: 2, claim: true, body: Uint8Array.of(9, 8, 7) }

describe('a data frame', () => {
  it('lies in the bytes as the table says', () => {
    const frame = write({ ...sample, stream: 0x01020304, index: 0x0a0b0c0d0e0f })
    const hex = Buffer.from(frame).toString('hex')
    expect(hex.slice(0, 40)).toBe(['01', '01', '02', '00', '01020304', '00000a0b0c0d0e0f'.padStart(16, '0'), '00000003'].join(''))
    expect(frame.subarray(20, 84)).toEqual(filler(64))
    expect(frame.subarray(84, 149)).toEqual(filler(65))
    expect(frame.subarray(149)).toEqual(Uint8Array.of(0, 9, 8, 7))
  })

  it('is read back as what was written, without a copy', () => {
    fc.assert(
      fc.property(parts, (given) => {
        const frame = write(given)
        const read = decodeFrame(frame)
        expect(read).toEqual({
          stream: given.stream,
          index: given.index,
          proof: frame.subarray(20, 20 + 32 * given.hashes),
          claim: given.claim ? filler(65) : undefined,
          leaf: concatBytes(Uint8Array.of(0), given.body),
          body: given.body,
        })
        for (const view of [read.proof, read.leaf, read.body]) expect(view.buffer).toBe(frame.buffer)
      }),
      { numRuns: 300 },
    )
  })

  it('is either taken as it stands or refused with BAD_FRAME, whatever comes (100,000 cases)', { timeout: 120_000 }, () => {
    const pool = fc.sample(parts, { numRuns: 500, seed: 7 }).map(write)
    const edits = fc.array(fc.record({ at: fc.nat(), byte: fc.nat(255), what: fc.constantFrom('set', 'flip', 'cut', 'insert', 'head', 'again') }), { maxLength: 3 })
    const frames = fc.oneof(
      { weight: 8, arbitrary: fc.tuple(fc.nat(pool.length - 1), edits).map(([i, list]) => list.reduce(edited, pool[i]!)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }) },
    )
    let taken = 0
    let refused = 0
    fc.assert(
      fc.property(frames, (frame) => {
        let read: DataFrame
        try {
          read = decodeFrame(frame)
        } catch (error) {
          if (!isSluiceError(error, 'BAD_FRAME')) throw error
          refused++
          return
        }
        if (Buffer.compare(rewrite(read), frame) !== 0) throw new Error('was taken, and is written otherwise')
        taken++
      }),
      { numRuns: 100_000 },
    )
    expect(taken).toBeGreaterThan(10_000)
    expect(refused).toBeGreaterThan(10_000)
  })

  it('is refused when it is cut anywhere', () => {
    const frame = write(sample)
    for (let length = 0; length < frame.length; length++) expect(failure(frame.subarray(0, length)).details).toEqual({ field: 'length' })
  })

  it('is refused when another follows in the same packet', () => {
    const frame = write(sample)
    expect(failure(concatBytes(frame, frame)).details).toEqual({ field: 'length' })
    expect(failure(concatBytes(frame, Uint8Array.of(0))).details).toEqual({ field: 'length' })
  })

  it.each([
    ['another type', 0, 2, 'type'],
    ['no type', 0, 0, 'type'],
    ['an unknown flag', 1, 2, 'flags'],
    ['the known flag and an unknown one', 1, 0x81, 'flags'],
    ['a proof of 65 hashes', 2, 65, 'proof'],
    ['a proof shorter than it says', 2, 3, 'length'],
    ['something in the reserved byte', 3, 1, 'reserved'],
    ['an index of 2^48', 9, 1, 'index'],
    ['an index of 2^56', 8, 1, 'index'],
    ['a chunk shorter than it says', 19, 4, 'length'],
    ['a chunk of 4 GiB', 16, 255, 'length'],
    ['another tag before the chunk', 149, 1, 'leaf tag'],
  ])('is refused with %s', (_name, at, byte, field) => {
    const frame = write(sample)
    expect(frame[at]).not.toBe(byte)
    frame[at] = byte
    expect(failure(frame).details).toEqual({ field })
  })

  it('fits the largest chunk with the longest proof', () => {
    const body = new Uint8Array(MAX_GRANULARITY)
    expect(write({ ...sample, hashes: 64, body }).length).toBe(MAX_FRAME)
  })
})

function edited(frame: Uint8Array, { at, byte, what }: { at: number; byte: number; what: string }): Uint8Array {
  const i = at % (frame.length + 1)
  const out = Uint8Array.from(frame)
  switch (what) {
    case 'cut':
      return out.subarray(0, i)
    case 'insert':
      return concatBytes(out.subarray(0, i), Uint8Array.of(byte), out.subarray(i))
    case 'again':
      return concatBytes(out, out.subarray(i))
    case 'head': // where every byte means something
      out[at % 20] = byte
      return out
    case 'flip':
      out[i] = out[i]! ^ (1 << byte % 8)
      return out
    default:
      out[i] = byte
      return out
  }
}
