/**
 * Choices that a seed repeats.
 * @module
 */

/** Draws by one seed. */
export interface Draws {
  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number
  /** One of them. */
  pick<T>(from: readonly T[]): T
  /** True once in `times`. */
  once(times: number): boolean
  bytes(size: number): Uint8Array
}

/** Creates draws. Source: T. Ettinger, mulberry32, public domain. */
export function createDraws(seed: number): Draws {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }
  const between = (least: number, most: number): number => least + (next() % (most - least + 1))
  return {
    between,
    pick: (from) => from[between(0, from.length - 1)]!,
    once: (times) => between(1, times) === 1,
    bytes: (size) => Uint8Array.from({ length: size }, () => next() & 0xff),
  }
}

/** Gives this process the randomness of a seed, keys and ids of nodes included. @returns what undoes it. */
export function seedProcess(seed: number): () => void {
  const draws = createDraws(seed)
  const { random } = Math
  Math.random = () => draws.between(0, 2 ** 31 - 1) / 2 ** 31
  const getRandomValues = <T extends ArrayBufferView | null>(into: T): T => {
    if (into) new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(draws.bytes(into.byteLength))
    return into
  }
  Object.defineProperty(globalThis.crypto, 'getRandomValues', { value: getRandomValues, configurable: true })
  return () => {
    Math.random = random
    Reflect.deleteProperty(globalThis.crypto, 'getRandomValues') // the platform's own is on the prototype
  }
}
