/**
 * What a caller from JavaScript may hand in by mistake, or on purpose.
 * @module
 */
import fc from 'fast-check'
import { isSluiceError } from '../../src/core/errors.ts'

const hostile = (): unknown => new Proxy({}, {
  get(_target, name) {
    // A promise that is awaited asks for `then`: that is not the caller's business.
    if (name === 'then') return undefined
    throw new TypeError('a getter of the caller')
  },
})

/** Values of every type, among them those that are easily taken for right ones. */
export const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    undefined, null, true, false, 0, -0, -1, 1, 1.5, NaN, Infinity, -Infinity, 2 ** 53, 2 ** 32, 1e308, 0n, -1n, 1n, 2n ** 64n,
    2n ** 128n, 2n ** 256n, -(2n ** 255n), '', ' ', '0', '0x', '0x0', '0xzz', 'USDC', 'ws://', 'http://127.0.0.1:1', '\ud800', '\0',
    '__proto__', 'a'.repeat(10_000), `0x${'00'.repeat(20)}`, `0x${'ff'.repeat(32)}`, '1.2.1', [], [[]], {}, { length: 1 }, new Date(NaN),
  ),
  fc.constantFrom<() => unknown>(
    hostile, () => new Map(), () => new Set([1]), () => new Uint8Array(0), () => new Uint8Array(32), () => new Uint8Array(65),
    () => new ArrayBuffer(8), () => Symbol('s'), () => () => { throw new RangeError('a callback of the caller') }, () => ({ then: 1 }),
    () => Object.create(null) as unknown, () => [hostile()], () => ({ id: hostile() }), () => new Error('given'), () => /x/,
  ).map((make) => make()),
  fc.anything({
    maxDepth: 2, withBigInt: true, withNullPrototype: true, withSparseArray: true, withTypedArray: true, withDate: true,
  }),
)

/** Calls something, and tells what came out of it that no caller should meet; a promise is waited for, up to a time. */
export async function strayError(call: () => unknown, patience = 2_000): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined
  try {
    const answer = call()
    const late = new Promise((resolve) => (timer = setTimeout(resolve, patience)))
    if (answer instanceof Promise) await Promise.race([answer, late])
    return undefined
  } catch (error) {
    return isSluiceError(error) ? undefined : error
  } finally {
    clearTimeout(timer)
  }
}
