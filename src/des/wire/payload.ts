/**
 * What is inside the sealed input: the question itself, with its time.
 * @module
 */
import { md5 } from '@noble/hashes/legacy.js'
import * as v from 'valibot'
import { randomBytes, toHex, utf8 } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'
import { millisecondsOf, plainObject, readBy, smallInteger } from './fields.ts'
import { readJson, writeJson } from './json.ts'

/** A question: its parameters, and when it was asked in milliseconds. */
export interface Payload {
  readonly params: Readonly<Record<string, unknown>>
  readonly timestamp: number
}

/**
 * Writes a question: the bytes to seal.
 *
 * A salt of 16 random bytes goes with it, which clients of GXChain don't have and don't mind: the memo, which everybody on
 * the way reads, would give away what is asked to who can guess it, and two equal questions would be one authorisation.
 */
export function writePayload({ params, timestamp }: Payload): Uint8Array {
  return utf8(writeJson({ params, timestamp, salt: toHex(randomBytes(16)).slice(2) }))
}

/** What the buyer signs of a question: the MD5 of its bytes, in hex. Not of its value: clients write JSON differently. */
export function memoOf(payload: Uint8Array): string {
  return toHex(md5(payload)).slice(2)
}

const schema = /* @__PURE__ */ v.looseObject({
  params: plainObject,
  timestamp: smallInteger(1),
})

/**
 * Reads a question that was opened, and checks that it is the one that the buyer signed for.
 * @param memo the authorisation's; Go's client puts `memo ` in front. Undefined where none came, and nothing is checked.
 * @throws `BAD_MESSAGE` naming the field if the memo is of another question, or this is none.
 */
export function readPayload(bytes: Uint8Array, memo: string | undefined): Payload {
  if (memo !== undefined && memo.replace(/^memo /, '').toLowerCase() !== memoOf(bytes)) {
    throw new SluiceError('BAD_MESSAGE', 'requestParams.memo must be the MD5 of the input', { details: { field: 'requestParams.memo' } })
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new SluiceError('BAD_MESSAGE', 'the input must be UTF-8', { cause, details: { field: 'input' } })
  }
  const { params, timestamp } = readBy(schema, readJson(text), 'input')
  return { params, timestamp: millisecondsOf(timestamp) }
}
