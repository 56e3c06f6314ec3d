/**
 * The binary form of the seed's `data` message.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 1 | type, 1 |
 * | 1 | 1 | flags: bit 0, a chunk claim follows the proof |
 * | 2 | 1 | n, the number of proof hashes, 0 to 64 |
 * | 3 | 1 | 0 |
 * | 4 | 4 | stream, as the order named it, big-endian |
 * | 8 | 8 | chunk index in the item, big-endian |
 * | 16 | 4 | length of the chunk, big-endian |
 * | 20 | 32 n | proof, sibling hashes from the leaf up |
 * | .. | 65 | chunk claim, the seller's EIP-712 signature, if bit 0 is set |
 * | .. | 1 | 0, the RFC 6962 leaf tag |
 * | .. | length | chunk |
 *
 * The leaf tag travels, so that a receiver hashes tag and chunk where they lie, in one call and without a copy.
 * @module
 */
import { assertArgument, SluiceError } from '../core/errors.ts'
import { allocateBytes } from '#platform'

/** Bytes before the proof. */
const HEADER = 20
const TYPE_DATA = 1
const FLAG_CLAIM = 1
const CLAIM = 65
/** A Merkle path over 2^48 bytes in chunks of one byte has 48 hashes. */
const MAX_PROOF = 64

/** The largest chunk that a menu may name, 4 MiB. */
export const MAX_GRANULARITY = 4 * 1024 * 1024

/** The largest frame there is: a chunk of {@link MAX_GRANULARITY} with the longest proof. */
export const MAX_FRAME = HEADER + 32 * MAX_PROOF + CLAIM + 1 + MAX_GRANULARITY

/** A decoded `data` frame; its byte strings are views into the frame. */
export interface DataFrame {
  /** Which order of the connection the chunk belongs to. */
  readonly stream: number
  /** Position of the chunk in the item. */
  readonly index: number
  /** Sibling hashes, packed, from the leaf up. */
  readonly proof: Uint8Array
  /** The seller's signature over the chunk claim. */
  readonly claim: Uint8Array | undefined
  /** The leaf tag and the chunk: what SHA-256 turns into the leaf hash. */
  readonly leaf: Uint8Array
  /** The chunk. */
  readonly body: Uint8Array
}

/**
 * Writes all of a `data` frame but the chunk, into memory that `allocate` gives, which may be larger.
 * @returns the frame, and its `body` view to fill with the chunk before the frame is sent.
 */
export function frameFor(
  stream: number,
  index: number,
  length: number,
  proof: Uint8Array,
  claim?: Uint8Array | undefined,
  allocate: (size: number) => Uint8Array = allocateBytes,
): { frame: Uint8Array; body: Uint8Array } {
  assertArgument(proof instanceof Uint8Array && proof.length % 32 === 0, 'proof', 'a Uint8Array of 32-byte hashes')
  assertArgument(claim === undefined || (claim instanceof Uint8Array && claim.length === CLAIM), 'claim', `a Uint8Array of ${CLAIM} bytes`)
  assertArgument(isWhole(stream, 0xffff_ffff), 'stream', 'a whole number of 32 bits')
  assertArgument(isWhole(index, Number.MAX_SAFE_INTEGER), 'index', 'the number of a chunk')
  assertArgument(isWhole(length, MAX_GRANULARITY), 'length', `a number of bytes up to ${MAX_GRANULARITY}`)
  const at = HEADER + proof.length + (claim ? CLAIM : 0) + 1
  // All of it is written, by us and by whoever fills the body.
  const frame = allocate(at + length).subarray(0, at + length)
  frame[0] = TYPE_DATA
  frame[1] = claim ? FLAG_CLAIM : 0
  frame[2] = proof.length >> 5
  frame[3] = 0
  writeU32(frame, 4, stream)
  writeU32(frame, 8, Math.floor(index / 0x1_0000_0000))
  writeU32(frame, 12, index >>> 0)
  writeU32(frame, 16, length)
  frame.set(proof, HEADER)
  if (claim) frame.set(claim, HEADER + proof.length)
  frame[at - 1] = 0
  return { frame, body: frame.subarray(at) }
}

function isWhole(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most
}

/**
 * Reads a `data` frame without copying it.
 * @throws `BAD_FRAME` naming the field that is wrong.
 */
export function decodeFrame(frame: Uint8Array): DataFrame {
  assertArgument(frame instanceof Uint8Array, 'frame', 'a Uint8Array')
  if (frame.length < HEADER + 1) throw badFrame('length', 'is shorter than a header')
  if (frame[0] !== TYPE_DATA) throw badFrame('type', 'is not 1')
  if (frame[1]! > FLAG_CLAIM) throw badFrame('flags', 'has unknown bits')
  if (frame[2]! > MAX_PROOF) throw badFrame('proof', 'has more than 64 hashes')
  if (frame[3] !== 0) throw badFrame('reserved', 'is not 0')
  const high = readU32(frame, 8)
  if (high >= 0x1_0000) throw badFrame('index', 'is over 48 bits')
  const length = readU32(frame, 16)
  const proofEnd = HEADER + 32 * frame[2]!
  const tag = proofEnd + (frame[1] === FLAG_CLAIM ? CLAIM : 0)
  if (frame.length !== tag + 1 + length) throw badFrame('length', 'does not fit the frame')
  if (frame[tag] !== 0) throw badFrame('leaf tag', 'is not 0')
  return {
    stream: readU32(frame, 4),
    index: high * 0x1_0000_0000 + readU32(frame, 12),
    proof: frame.subarray(HEADER, proofEnd),
    claim: tag > proofEnd ? frame.subarray(proofEnd, tag) : undefined,
    leaf: frame.subarray(tag),
    body: frame.subarray(tag + 1),
  }
}

function writeU32(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 24
  into[at + 1] = value >>> 16
  into[at + 2] = value >>> 8
  into[at + 3] = value
}

function readU32(from: Uint8Array, at: number): number {
  return ((from[at]! << 24) | (from[at + 1]! << 16) | (from[at + 2]! << 8) | from[at + 3]!) >>> 0
}

function badFrame(field: string, problem: string): SluiceError {
  return new SluiceError('BAD_FRAME', `data frame: ${field} ${problem}`, { details: { field } })
}
