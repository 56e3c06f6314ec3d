import { getAddress } from 'ethers'
import { SluiceError } from './errors.ts'

/**
 * Throws `BAD_ARGUMENT` naming the argument unless it is an address: `0x` and 40 hex digits, with a right checksum if it
 * mixes upper and lower case (EIP-55).
 */
export function assertAddress(value: unknown, name: string): asserts value is string {
  const wrong = (problem: string): SluiceError =>
    new SluiceError('BAD_ARGUMENT', `${name} must be an address, 0x and 40 hex digits: ${problem}`, { details: { name } })
  if (typeof value !== 'string') throw wrong(`it is ${value === null ? 'null' : typeof value}`)
  if (!/^0x[0-9a-fA-F]{40}$/.test(value)) {
    const digits = /^0x([0-9a-fA-F]*)$/.exec(value)?.[1]
    throw wrong(digits === undefined ? `"${value.slice(0, 60)}" is none` : `"${value.slice(0, 60)}" has ${digits.length} digits`)
  }
  try {
    getAddress(value)
  } catch {
    throw wrong(`the checksum of ${value} is wrong, so a digit may be; copy it again, or write it in lower case`)
  }
}
