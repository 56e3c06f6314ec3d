/**
 * SHA-256 of 32-byte values, again and again: each hash is the next input. Source: FIPS 180-4.
 *
 * Such an input fits one block, so a step is one compression of words that are there already: several times the speed of
 * a general SHA-256, OpenSSL behind a call included (docs/benchmarks.md).
 * @module
 */
import { assertArgument } from '../../core/errors.ts'

/** 32-bit words of a value. */
export const WORDS = 8

/** The round constants. FIPS 180-4, section 4.2.2. */
const K = /* @__PURE__ */ Int32Array.from(
  (
    '428a2f98 71374491 b5c0fbcf e9b5dba5 3956c25b 59f111f1 923f82a4 ab1c5ed5 d807aa98 12835b01 243185be 550c7dc3 72be5d74 80deb1fe 9bdc06a7 c19bf174 ' +
    'e49b69c1 efbe4786 0fc19dc6 240ca1cc 2de92c6f 4a7484aa 5cb0a9dc 76f988da 983e5152 a831c66d b00327c8 bf597fc7 c6e00bf3 d5a79147 06ca6351 14292967 ' +
    '27b70a85 2e1b2138 4d2c6dfc 53380d13 650a7354 766a0abb 81c2c92e 92722c85 a2bfe8a1 a81a664b c24b8b70 c76c51a3 d192e819 d6990624 f40e3585 106aa070 ' +
    '19a4c116 1e376c08 2748774c 34b0bcb5 391c0cb3 4ed8aa4a 5b9cca4f 682e6ff3 748f82ee 78a5636f 84c87814 8cc70208 90befffa a4506ceb bef9a3f7 c67178f2'
  ).split(' '),
  (word) => parseInt(word, 16),
)

/** The message schedule of the step under way. */
const W = /* @__PURE__ */ new Int32Array(64)

/**
 * Hashes the value in words `from` to `from + 7` of an array `times` times, and writes it to words `to` to `to + 7`.
 * Allocates nothing. `times` may be 0.
 */
export function hashWords(words: Int32Array, from: number, to: number, times: number): void {
  let h0 = words[from]!
  let h1 = words[from + 1]!
  let h2 = words[from + 2]!
  let h3 = words[from + 3]!
  let h4 = words[from + 4]!
  let h5 = words[from + 5]!
  let h6 = words[from + 6]!
  let h7 = words[from + 7]!
  for (; times > 0; times--) {
    // The value, a 1 bit, zeros, and the length of 256 bits.
    W[0] = h0
    W[1] = h1
    W[2] = h2
    W[3] = h3
    W[4] = h4
    W[5] = h5
    W[6] = h6
    W[7] = h7
    W[8] = 0x80000000
    W[9] = W[10] = W[11] = W[12] = W[13] = W[14] = 0
    W[15] = 256
    for (let i = 16; i < 64; i++) {
      const u = W[i - 15]!
      const v = W[i - 2]!
      const s0 = ((u >>> 7) | (u << 25)) ^ ((u >>> 18) | (u << 14)) ^ (u >>> 3)
      const s1 = ((v >>> 17) | (v << 15)) ^ ((v >>> 19) | (v << 13)) ^ (v >>> 10)
      W[i] = W[i - 16]! + s0 + W[i - 7]! + s1
    }
    let a = 0x6a09e667
    let b = 0xbb67ae85 | 0
    let c = 0x3c6ef372
    let d = 0xa54ff53a | 0
    let e = 0x510e527f
    let f = 0x9b05688c | 0
    let g = 0x1f83d9ab
    let h = 0x5be0cd19
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
      const t = (h + s1 + (g ^ (e & (f ^ g))) + K[i]! + W[i]!) | 0
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
      h = g
      g = f
      f = e
      e = (d + t) | 0
      d = c
      const m = (a & b) | (c & (a | b))
      c = b
      b = a
      a = (t + s0 + m) | 0
    }
    h0 = (0x6a09e667 + a) | 0
    h1 = (0xbb67ae85 + b) | 0
    h2 = (0x3c6ef372 + c) | 0
    h3 = (0xa54ff53a + d) | 0
    h4 = (0x510e527f + e) | 0
    h5 = (0x9b05688c + f) | 0
    h6 = (0x1f83d9ab + g) | 0
    h7 = (0x5be0cd19 + h) | 0
  }
  words[to] = h0
  words[to + 1] = h1
  words[to + 2] = h2
  words[to + 3] = h3
  words[to + 4] = h4
  words[to + 5] = h5
  words[to + 6] = h6
  words[to + 7] = h7
}

/** Reads 32 bytes into words from `to` on. */
export function readWords(bytes: Uint8Array, words: Int32Array, to: number): void {
  for (let i = 0, at = 0; i < WORDS; i++, at += 4) {
    words[to + i] = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
  }
}

/** The 32 bytes of the words from `from` on. */
export function bytesOf(words: Int32Array, from: number): Uint8Array {
  const bytes = new Uint8Array(32)
  for (let i = 0, at = 0; i < WORDS; i++, at += 4) {
    const word = words[from + i]!
    bytes[at] = word >>> 24
    bytes[at + 1] = word >>> 16
    bytes[at + 2] = word >>> 8
    bytes[at + 3] = word
  }
  return bytes
}

/** SHA-256 applied `times` times to 32 bytes. @throws `BAD_ARGUMENT` */
export function hashTimes(value: Uint8Array, times: number): Uint8Array {
  assertArgument(value.length === 32, 'value', '32 bytes')
  assertArgument(Number.isSafeInteger(times) && times >= 0, 'times', 'a whole number')
  const words = new Int32Array(WORDS)
  readWords(value, words, 0)
  hashWords(words, 0, 0, times)
  return bytesOf(words, 0)
}
