/**
 * Checks of what users pass in, also from JavaScript.
 * @module
 */
import type { Signer, Provider } from 'ethers'
import { assertArgument } from './errors.ts'

/** Throws `BAD_ARGUMENT` unless it is a whole number in a range; `unit` says of what, `example` shows one. */
export function assertWhole(
  value: unknown,
  name: string,
  { min, max, unit, example }: { readonly min: number; readonly max: number; readonly unit: string; readonly example: number },
): asserts value is number {
  const fits = typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min}` : `from ${min} to ${max}`
  assertArgument(fits, name, `a whole number of ${unit} ${range}, such as ${example}`)
}

/** Throws `BAD_ARGUMENT` unless it is a number of milliseconds; infinity waits for ever. */
export function assertMilliseconds(value: unknown, name: string, example: number): asserts value is number {
  assertArgument(typeof value === 'number' && value >= 0, name, `a number of milliseconds from 0, such as ${example}`)
}

/** Throws `BAD_ARGUMENT` unless it is an amount of money: a bigint in the smallest unit, below 2^104. */
export function assertAmount(value: unknown, name: string, example = '1000n'): asserts value is bigint {
  const fits = typeof value === 'bigint' && value >= 0n && value < 1n << 104n
  assertArgument(fits, name, `an amount in the smallest unit as a bigint from 0n to 2n ** 104n - 1n, such as ${example}`)
}

/** Throws `BAD_ARGUMENT` unless it is an object with functions of those names. */
export function assertPort(value: unknown, name: string, methods: readonly string[], expected: string): void {
  const has = (method: string): boolean => typeof (value as Record<string, unknown>)[method] === 'function'
  assertArgument((typeof value === 'object' || typeof value === 'function') && value !== null && methods.every(has), name, expected)
}

/** Throws `BAD_ARGUMENT` unless it is an ethers signer with a provider. */
export function assertSigner(value: unknown, name = 'signer'): asserts value is Signer & { readonly provider: Provider } {
  const expected = 'an ethers signer connected to a provider, such as new Wallet(key, new JsonRpcProvider(url))'
  assertPort(value, name, ['getAddress', 'signMessage', 'signTypedData'], expected)
  assertPort((value as { provider: unknown }).provider, name, ['call', 'getNetwork'], expected)
}

/** Throws `BAD_ARGUMENT` unless it is a store, or the path or name of one. */
export function assertStore(value: unknown, name = 'store'): void {
  if (typeof value === 'string' && value !== '') return
  assertPort(value, name, ['get', 'write', 'list'], 'a store, or the path of a directory for one, such as "./shop"')
}
