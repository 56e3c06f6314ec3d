/**
 * The checks that every arriving chunk must pass before anyone sees it: place, length, window, proof, claim.
 * @module
 */
import { fromHex, toHex, type Hex } from '../core/bytes.ts'
import { engine } from '../core/crypto/engine.ts'
import { createMerkleVerifier } from '../core/crypto/merkle.ts'
import { assertSignedBy } from '../core/crypto/signature.ts'
import { SluiceError } from '../core/errors.ts'
import type { DataTradeDigests } from '../contracts/typedData.ts'
import type { DataFrame } from '../protocol/frame.ts'
import { chunkCount, type Item } from '../protocol/menu.ts'

/** A chunk that has passed. */
export interface Chunk {
  readonly body: Uint8Array
  /** RFC 6962 leaf hash. */
  readonly leaf: Uint8Array
  readonly index: number
  /** Where it ends, in bytes from the start of the order. */
  readonly end: number
}

/** A chunk that the seller signed although it contradicts the root: what the contract's `dispute` takes. */
export interface WrongChunk {
  readonly index: number
  readonly leaf: Hex
  readonly proof: readonly Hex[]
  readonly signature: Hex
}

/** See {@link createIntake}. */
export interface Intake {
  /** Bytes that have been let in, in order, whether checked to the end or not. */
  readonly position: number
  /**
   * Lets a chunk in. The result comes at once where hashing is synchronous, and otherwise in the order of the chunks.
   * @throws `WRONG_CHUNK`, `BAD_SIGNATURE`, `UNEXPECTED_MESSAGE` when it is beyond `limit`.
   */
  admit(frame: DataFrame, limit: number): Chunk | Promise<Chunk>
  /** Goes back to a byte where the chunk of that index begins, after a lost link. */
  rewind(position: number, index: number): void
  /** Evidence of the last chunk that failed its proof though the seller had signed it. */
  readonly evidence: WrongChunk | undefined
}

/** What an intake checks against. */
export interface IntakeOptions {
  readonly orderId: Hex
  readonly item: Item
  /** Bytes of the order. */
  readonly total: number
  /** Bytes that are here already. */
  readonly from: number
  /** Index of the chunk that comes next. */
  readonly index: number
  /** Whether each chunk must carry the seller's signed claim. */
  readonly claims: boolean
  readonly seller: string
  readonly digests: DataTradeDigests
}

/** Creates the checks of one order. */
export function createIntake(options: IntakeOptions): Intake {
  const { item, total, orderId } = options
  const verifier = item.live ? undefined : createMerkleVerifier(fromHex(item.root), chunkCount(item))
  let position = options.from
  let next = options.index
  let evidence: WrongChunk | undefined
  /** The last chunk that waits for its hash. */
  let tail: Promise<Chunk> | undefined

  const wrong = (index: number, problem: string): SluiceError =>
    new SluiceError('WRONG_CHUNK', `chunk ${index} of "${item.id}" ${problem}; nothing was paid for it`, { details: { index, order: orderId } })

  const prove = (frame: DataFrame, leaf: Uint8Array, end: number): Chunk => {
    if (options.claims) {
      if (!frame.claim) throw wrong(frame.index, 'came without the claim that was asked for')
      const claim = { orderId, index: frame.index, leaf: toHex(leaf), proofHash: toHex(engine().keccak256(frame.proof)) }
      assertSignedBy(options.digests.ChunkClaim(claim), frame.claim, options.seller, { field: 'chunk claim', owner: 'the seller' })
    }
    if (verifier && !verifier.verify(frame.index, leaf, frame.proof)) {
      if (options.claims) {
        evidence = { index: frame.index, leaf: toHex(leaf), proof: split(frame.proof), signature: toHex(frame.claim!) }
      }
      throw wrong(frame.index, 'is not what the Merkle root promised')
    }
    return { body: frame.body, leaf, index: frame.index, end }
  }

  return {
    get position() {
      return position
    },
    get evidence() {
      return evidence
    },
    admit: (frame, limit) => {
      const index = next
      if (frame.index !== index) throw wrong(frame.index, `came where chunk ${index} was due`)
      const whole = Math.min(item.granularity, total - position)
      const { length } = frame.body
      if (item.live ? length < 1 || length > whole : length !== whole) {
        throw wrong(index, `is ${length} bytes long where ${whole} were due`)
      }
      if (position + length > limit) {
        throw new SluiceError('UNEXPECTED_MESSAGE', `chunk ${index} was sent ahead of the unpaid window, which ends at byte ${limit}`)
      }
      position += length
      next++
      const end = position
      const leaf = engine().digest(frame.leaf)
      if (leaf instanceof Uint8Array) return prove(frame, leaf, end)
      // Hashes may come out of order, but a run's proof leans on the chunk before.
      return (tail = Promise.all([leaf, tail]).then(([hash]) => prove(frame, hash, end)))
    },
    rewind: (to, index) => {
      tail = undefined
      position = to
      next = index
    },
  }
}

function split(proof: Uint8Array): Hex[] {
  const hashes: Hex[] = []
  for (let at = 0; at < proof.length; at += 32) hashes.push(toHex(proof.subarray(at, at + 32)))
  return hashes
}
