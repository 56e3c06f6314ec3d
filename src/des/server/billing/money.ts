/**
 * Amounts as bills show them: whole units divided by a power of ten, without a float on the way.
 * @module
 */
import { randomBytes, toHex } from '../../../core/bytes.ts'
import { writeJson } from '../../wire/index.ts'

/** Decimals of unit prices and averages. */
const ROUNDED = 5
/** In front of a number that is to be written bare. Nobody can know it: it is replaced in everything that leaves. */
const MARK = `n${toHex(randomBytes(16)).slice(2)}:`

declare const bare: unique symbol
/** A decimal number that {@link writeBill} writes to its last digit. JavaScript's own would be rounded. */
export type Decimal = string & { readonly [bare]: true }

/** Writes an amount in decimals: 1600 units of 5 decimals are 0.016. @param units zero or more. */
export function decimalText(units: bigint, decimals: number): string {
  const digits = units.toString().padStart(decimals + 1, '0')
  const whole = digits.slice(0, digits.length - decimals)
  const rest = digits.slice(digits.length - decimals).replace(/0+$/, '')
  return rest === '' ? whole : `${whole}.${rest}`
}

/** An amount divided by a number, in five decimals; half of the last one is rounded up. */
export function quotientText(units: bigint, by: number, decimals: number): string {
  const divisor = BigInt(by) * 10n ** BigInt(decimals)
  return decimalText((2n * units * 10n ** BigInt(ROUNDED) + divisor) / (2n * divisor), ROUNDED)
}

/** Makes a number of decimal text. */
export const toDecimal = (text: string): Decimal => (MARK + text) as Decimal

/** Writes JSON with all {@link Decimal}s as bare numbers. */
export function writeBill(value: unknown): string {
  return writeJson(value).replaceAll(new RegExp(`"${MARK}(\\d+(?:\\.\\d+)?)"`, 'g'), '$1')
}
