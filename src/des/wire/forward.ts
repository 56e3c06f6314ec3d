/**
 * How DES shows a data source that a question comes from it, and who pays for the answer.
 *
 * GXChain's servers send the bare question, so whoever knows a data source's address can ask it for nothing. A forward adds
 * three fields to the question and a header with the signature of DES; older data sources leave them unread.
 * @module
 */
import * as v from 'valibot'
import { toHex, utf8 } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { isSignedBy, textDigest, type GrapheneKey, type SignedTransferParams } from '../../core/crypto/graphene/index.ts'
import { SluiceError } from '../../core/errors.ts'
import { optional, readBy, requestName, signature, smallInteger } from './fields.ts'
import { transferParams, writeTransferParams } from './request.ts'
import { readQuestion, type SourceQuestion } from './source.ts'

/** What a forward tells beside the question. */
export interface ForwardTerms {
  /** The request's name. */
  readonly requestId: string
  /** What the buyer signed for this data source. */
  readonly requestParams: SignedTransferParams
  /** When DES sent it, in milliseconds. */
  readonly timestamp: number
}

/** A question with its terms. */
export interface Forward extends SourceQuestion, ForwardTerms {}

/** The header with the signature of DES: 65 bytes in hex. */
export const FORWARD_SIGNATURE = 'x-des-signature'
/** How far a forward's time may be off, either way, in milliseconds. */
export const FORWARD_WINDOW = 60_000

/** What DES signs: `requestId|productId|publicKey|nonce|SHA-256 of params in hex|timestamp`. */
export function forwardText(forward: Omit<Forward, 'requestParams'>): string {
  const { requestId, productId, publicKey, nonce, params, timestamp } = forward
  return [requestId, productId, publicKey, nonce, toHex(engine().sha256(utf8(params))).slice(2), timestamp].join('|')
}

/** Writes a forward: the body, for `writeJson`, and its headers. */
export function writeForward(
  forward: Forward,
  key: GrapheneKey,
): { body: Record<string, unknown>; headers: Record<string, string> } {
  const { params, nonce, publicKey, productId, merchantAccountId, requestId, requestParams, timestamp } = forward
  return {
    body: {
      params,
      nonce,
      publicKey,
      productId,
      merchantAccountId,
      requestId,
      requestParams: writeTransferParams(requestParams),
      timestamp,
    },
    headers: { [FORWARD_SIGNATURE]: toHex(key.sign(textDigest(forwardText(forward)))).slice(2) },
  }
}

const terms = /* @__PURE__ */ v.object({
  requestId: optional(requestName),
  requestParams: optional(transferParams),
  timestamp: optional(smallInteger(1)),
})

/**
 * Reads a forward, after `readJson`, or the bare question of an older server: one without all of the terms.
 * @throws `BAD_MESSAGE` naming the field.
 */
export function readForward(value: unknown): SourceQuestion | Forward {
  const question = readQuestion(value)
  const { requestId, requestParams, timestamp } = readBy(terms, value, 'question')
  if (requestId === undefined || requestParams === undefined || timestamp === undefined) return question
  return { ...question, requestId, requestParams, timestamp }
}

/** Whether a question came with its terms. */
export function isForward(question: SourceQuestion | Forward): question is Forward {
  return 'requestParams' in question
}

/**
 * Checks that DES sent a forward just now.
 * @param header the value of {@link FORWARD_SIGNATURE}; null for none.
 * @param now in milliseconds.
 * @throws `BAD_SIGNATURE` unless `publicKey` signed it and its time is at most {@link FORWARD_WINDOW} off.
 */
export function verifyForward(forward: Forward, header: string | null, publicKey: string, now: number): void {
  const bad = (flaw: string): SluiceError => new SluiceError('BAD_SIGNATURE', flaw, { details: { field: FORWARD_SIGNATURE } })
  if (header === null) throw bad(`the question has no ${FORWARD_SIGNATURE}`)
  const { success, output } = v.safeParse(signature, header)
  if (!success || !isSignedBy(textDigest(forwardText(forward)), output, publicKey)) {
    throw bad(`${FORWARD_SIGNATURE} is not one of the exchange`)
  }
  if (Math.abs(forward.timestamp - now) > FORWARD_WINDOW) throw bad('the question was sent at another time')
}
