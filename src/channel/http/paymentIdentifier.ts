/**
 * Payment ids as the HTTP service writes them: Raiden's identifiers are integers, a payment's id here has 32 bytes.
 * @module
 */
import { amount, assertArguments, hexText } from '../../core/argument.ts'
import { toHex, utf8, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'

/** The 32 bytes of an integer below 2^256, big-endian: 1 is `0x00..01`. */
export function toPaymentId(identifier: bigint): Hex {
  assertArguments({ identifier }, { identifier: amount(256) })
  return `0x${identifier.toString(16).padStart(64, '0')}`
}

/** The integer of 32 bytes as decimal text. */
export function toIdentifier(id: Hex): string {
  assertArguments({ id }, { id: hexText(32) })
  return BigInt(id).toString()
}

/** The payment id that an `Idempotency-Key` stands for: SHA-256, so that it needs no memory and outlives a restart. */
export function keyedPaymentId(key: string): Hex {
  return toHex(engine().sha256(utf8(`sluice payment ${key}`)))
}
