/**
 * One side of a channel: what it has signed, and how each message moves that on. Pure: both ends run the same lines, the
 * one to sign the result, the other to check the signature over it.
 * @module
 */
import type { BalanceProof } from '../../contracts/channelTypes.ts'
import { equalBytes, toHex, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { SluiceError } from '../../core/errors.ts'
import { MAX_STEPS, streamHash } from '../stream/streamTerms.ts'
import type { ProofDetails, ProofMessageType } from '../wire/messages.ts'
import { emptyLockTree, lockAt, withLock, withoutLock, type LockTree } from './lockTree.ts'

/** A hash chain that runs on top of a balance proof. */
export interface Stream {
  /** SHA-256 applied `length` times to a seed. */
  readonly anchor: Hex
  /** What a step pays. */
  readonly unit: bigint
  readonly length: number
  /** Steps shown so far. */
  readonly steps: number
  /** The value that many steps below the anchor; the anchor itself at first. */
  readonly preimage: Hex
}

/** What one side has signed last. */
export interface Side {
  /** 0 before the first proof. */
  readonly nonce: number
  /** To the other side, in all, ever; without the steps of the stream. */
  readonly transferred: bigint
  readonly locks: LockTree
  readonly stream: Stream | undefined
  /** What of the message its proof binds. */
  readonly reference: Uint8Array
  /** r and s over the proof; undefined before the first. */
  readonly signature: Uint8Array | undefined
}

/** A side as it will be once it is signed. */
export type UnsignedSide = Omit<Side, 'signature'>

/** 32 zero bytes. */
export const ZERO_32 = new Uint8Array(32)

/** A side that has signed nothing. */
export const freshSide: Side = {
  nonce: 0,
  transferred: 0n,
  locks: emptyLockTree,
  stream: undefined,
  reference: ZERO_32,
  signature: undefined,
}

const LARGEST = 2n ** 128n - 1n

/** What a side has given away for good: transferred, and paid by the steps of its stream. */
export function paidBy({ transferred, stream }: UnsignedSide): bigint {
  return stream ? transferred + BigInt(stream.steps) * stream.unit : transferred
}

/** What a side has promised beyond: its locks, and the steps of its stream that are not shown yet. */
export function promisedBy({ locks, stream }: UnsignedSide): bigint {
  return stream ? locks.total + BigInt(stream.length - stream.steps) * stream.unit : locks.total
}

/** The balance proof of a side. @param channel - keccak-256 of channel id and watch secret. */
export function proofOf(channel: Uint8Array, { nonce, transferred, locks, stream, reference }: UnsignedSide): BalanceProof {
  return {
    channel,
    nonce,
    transferred,
    locked: locks.total,
    locksroot: locks.root,
    stream: stream ? streamHash(stream) : ZERO_32,
    reference,
  }
}

/**
 * Moves a side on by one message.
 * @throws `PROOF_INVALID` naming the field that can't be; `TOO_MANY_LOCKS`.
 */
export function advance<T extends ProofMessageType>(
  side: Side,
  type: T,
  details: ProofDetails<T>,
  reference: Uint8Array,
): UnsignedSide {
  const next = { ...side, ...change(side, type, details), nonce: side.nonce + 1, reference }
  if (next.transferred + promisedBy(next) + (next.stream ? BigInt(next.stream.steps) * next.stream.unit : 0n) > LARGEST) {
    throw new SluiceError('PROOF_INVALID', 'transferred and locked exceed 128 bits', { details: { field: 'transferred' } })
  }
  return next
}

function change(side: Side, type: ProofMessageType, details: ProofDetails<ProofMessageType>): Partial<UnsignedSide> {
  switch (type) {
    case 'payment': {
      const { amount } = details as ProofDetails<'payment'>
      assertAmount(amount)
      return { transferred: side.transferred + amount }
    }
    case 'lock': {
      const { index, amount, expiry, secrethash } = details as ProofDetails<'lock'>
      assertAmount(amount)
      if (expiry >= 2 ** 40) throw new SluiceError('PROOF_INVALID', 'expiry exceeds 40 bits', { details: { field: 'expiry' } })
      return { locks: withLock(side.locks, { index, amount, expiry, secrethash }) }
    }
    case 'unlock': {
      const { index, secret } = details as ProofDetails<'unlock'>
      const { amount, secrethash } = lockAt(side.locks, index)
      if (secrethashOf(secret) !== secrethash) {
        throw new SluiceError('PROOF_INVALID', `the secret does not belong to lock ${index}`, {
          details: { field: 'secret', index },
        })
      }
      return { transferred: side.transferred + amount, locks: withoutLock(side.locks, index) }
    }
    case 'remove':
      return { locks: withoutLock(side.locks, (details as ProofDetails<'remove'>).index) }
    case 'stream': {
      const { steps, anchor, unit, length } = details as ProofDetails<'stream'>
      const { stream } = side
      if (stream ? steps < stream.steps || steps > stream.length : steps !== 0) {
        throw new SluiceError('PROOF_INVALID', `the stream can't be folded at step ${steps}`, {
          details: { field: 'steps', steps, shown: stream?.steps ?? 0 },
        })
      }
      if (length > MAX_STEPS || (length > 0 && unit === 0n)) {
        throw new SluiceError('PROOF_INVALID', `a stream pays something, in up to ${MAX_STEPS} steps`, {
          details: { field: 'length', length },
        })
      }
      return {
        transferred: side.transferred + (stream ? BigInt(steps) * stream.unit : 0n),
        stream: length > 0 ? { anchor, unit, length, steps: 0, preimage: anchor } : undefined,
      }
    }
  }
}

/** SHA-256 of a secret, as locks name it. */
export function secrethashOf(secret: Uint8Array): Hex {
  return toHex(engine().sha256(secret))
}

/** Whether a proof that came says what the state says it must. @throws `PROOF_INVALID` naming the field. */
export function assertProofMatches(
  next: UnsignedSide,
  proof: { readonly nonce: number; readonly transferred: bigint; readonly locked: bigint; readonly locksroot: Uint8Array },
): void {
  const fail = (field: string, given: string | number | bigint, expected: string | number | bigint): SluiceError =>
    new SluiceError('PROOF_INVALID', `${field} of the balance proof is ${given}, it must be ${expected}`, {
      details: { field, given, expected },
    })
  if (proof.nonce !== next.nonce) throw fail('nonce', proof.nonce, next.nonce)
  if (proof.transferred !== next.transferred) throw fail('transferred', proof.transferred, next.transferred)
  if (proof.locked !== next.locks.total) throw fail('locked', proof.locked, next.locks.total)
  if (!equalBytes(proof.locksroot, next.locks.root)) throw fail('locksroot', toHex(proof.locksroot), toHex(next.locks.root))
}

function assertAmount(amount: bigint): void {
  if (amount === 0n) throw new SluiceError('PROOF_INVALID', 'amount must not be 0', { details: { field: 'amount' } })
}

/** Whether bytes are the secret of a hash, and not all zero. */
export function isSecretOf(secret: Uint8Array, secrethash: Hex): boolean {
  return secret.length === 32 && !equalBytes(secret, ZERO_32) && secrethashOf(secret) === secrethash
}
