/**
 * What a hash chain looks like to the contracts (docs/channel.md, Hash chains).
 * @module
 */
import { fromHex, toHex, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { assertArgument, SluiceError } from '../../core/errors.ts'

/** The most steps of one chain: what the contract hashes, and it counts from the anchor. */
export const MAX_STEPS = 1024

/** What a balance proof commits to when it anchors a chain. */
export interface StreamTerms {
  /** SHA-256 applied `length` times to a seed. */
  readonly anchor: Hex
  /** What a step pays; below 2^128. */
  readonly unit: bigint
  /** 1 to {@link MAX_STEPS}. */
  readonly length: number
}

/** How far a chain has been paid. */
export interface PaidSteps {
  readonly steps: number
  /** The value that many steps below the anchor; the anchor itself for 0. */
  readonly preimage: Hex
}

/** The member `stream` of a balance proof: keccak-256 of `abi.encode(anchor, unit, length)`. @throws `BAD_ARGUMENT` */
export function streamHash({ anchor, unit, length }: StreamTerms): Uint8Array {
  return engine().keccak256(encodeWords(fromHex(anchor, 32, 'anchor'), [unit, length]))
}

/**
 * What the contract takes beside a proof with a chain: `abi.encode(preimage, unit, length, steps)`, 128 bytes.
 * @throws `BAD_ARGUMENT`
 */
export function encodeSteps({ preimage, unit, length, steps }: Omit<StreamTerms, 'anchor'> & PaidSteps): Uint8Array {
  return encodeWords(fromHex(preimage, 32, 'preimage'), [unit, length, steps])
}

/** Checks how far a chain is said to be paid, from the anchor. @throws `PROOF_INVALID` */
export function assertPaid({ anchor, length }: Omit<StreamTerms, 'unit'>, { steps, preimage }: PaidSteps): void {
  const { sha256 } = engine()
  let value = fromHex(preimage, 32)
  for (let i = 0; i < steps && steps <= Math.min(length, MAX_STEPS); i++) value = sha256(value)
  if (toHex(value) === anchor) return
  throw new SluiceError('PROOF_INVALID', `the preimage doesn't pay ${steps} steps of the chain`, { details: { field: 'preimage' } })
}

/** ABI: one word of 32 bytes each. */
function encodeWords(first: Uint8Array, [unit, ...counts]: readonly [bigint, ...number[]]): Uint8Array {
  assertArgument(unit >= 0n && unit < 2n ** 128n, 'unit', 'below 2^128')
  const out = new Uint8Array(64 + 32 * counts.length)
  const view = new DataView(out.buffer)
  out.set(first)
  view.setBigUint64(48, unit >> 64n)
  view.setBigUint64(56, unit)
  counts.forEach((count, i) => {
    assertArgument(Number.isInteger(count) && count >= 0 && count < 2 ** 32, 'count', 'a number of 32 bits')
    view.setUint32(92 + 32 * i, count)
  })
  return out
}
