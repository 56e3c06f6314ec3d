/**
 * JSON whose integers stay exact.
 *
 * Clients of GXChain send 64-bit numbers bare, and `JSON.parse` rounds what is above 2^53.
 * @module
 */
import { randomBytes, toHex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'
import { endOfString, nestsDeeper } from '../../core/nesting.ts'

/** Whatever a number is made of. */
const NUMBER = /[-+.\deE]+/y
/**
 * Integers of so many digits that they may be inexact, and no more than anybody needs: their time is quadratic. One
 * with a leading zero is left for `JSON.parse` to refuse.
 */
const LONG_INTEGER = /^-?[1-9]\d{15,39}$/

/**
 * Reads JSON: integers beyond 2^53 - 1 come as `bigint`, up to 40 digits; all other numbers as `number`.
 *
 * `JSON.parse` decides what is JSON. Long integers travel through it as strings with a tag that nobody can know.
 * @throws `BAD_MESSAGE` for anything but one JSON value.
 */
export function readJson(text: string): unknown {
  if (nestsDeeper(text)) throw new SluiceError('BAD_MESSAGE', 'the body is nested too deep')
  try {
    const longs = longIntegers(text)
    if (longs.length === 0) return JSON.parse(text)
    const tag = newTag()
    const quoted = quote(text, longs, tag)
    return JSON.parse(quoted, (key, value: unknown) => {
      if (key.startsWith(tag)) throw new SyntaxError('a number is no name')
      return typeof value === 'string' && value.startsWith(tag) ? BigInt(value.slice(tag.length)) : value
    })
  } catch (cause) {
    throw new SluiceError('BAD_MESSAGE', 'the body must be JSON', { cause })
  }
}

/** Where the long integers are. By hand: an expression that also knows strings overflows on long ones. */
function longIntegers(text: string): (readonly [from: number, to: number])[] {
  const found: [number, number][] = []
  for (let at = 0; at < text.length; ) {
    const character = text[at]!
    if (character === '"') {
      at = endOfString(text, at) + 1
    } else if (character === '-' || (character >= '0' && character <= '9')) {
      NUMBER.lastIndex = at
      const [token] = NUMBER.exec(text)!
      if (LONG_INTEGER.test(token) && !Number.isSafeInteger(Number(token))) found.push([at, at + token.length])
      at += token.length
    } else {
      at++
    }
  }
  return found
}

/** Makes tagged strings of what is at these places. */
function quote(text: string, places: readonly (readonly [number, number])[], tag: string): string {
  let out = ''
  let copied = 0
  for (const [from, to] of places) {
    out += `${text.slice(copied, from)}"${tag}${text.slice(from, to)}"`
    copied = to
  }
  return out + text.slice(copied)
}

/** Writes JSON with each `bigint` as a bare integer. @throws `TypeError` for what `JSON.stringify` can't write. */
export function writeJson(value: unknown): string {
  return write(value) ?? 'null'
}

/** As `JSON.stringify`, by hand: one with a replacer takes four times as long. @returns undefined for what has no JSON. */
function write(value: unknown): string | undefined {
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object' || value === null || 'toJSON' in value) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${Array.from(value, (each) => write(each) ?? 'null').join()}]`
  let out = ''
  for (const [name, each] of Object.entries(value)) {
    const text = write(each)
    if (text !== undefined) out += `${out === '' ? '' : ','}${JSON.stringify(name)}:${text}`
  }
  return `{${out}}`
}

/** Begins with a letter: behind a string that was never closed it is no JSON. */
function newTag(): string {
  return `n${toHex(randomBytes(16)).slice(2)}:`
}
