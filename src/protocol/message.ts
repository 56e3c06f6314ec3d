/**
 * The seed's message template: `{message_type, payload, signature, verification}` as RFC 8785 text.
 * @module
 */
import canonicalize from 'canonicalize'
import * as v from 'valibot'
import { assertArguments, computeFrom, integer, text as textRule } from '../core/argument.ts'
import { fromHex, toHex, utf8 } from '../core/bytes.ts'
import { personalDigest } from '../core/crypto/signature.ts'
import { SluiceError } from '../core/errors.ts'
import { nestsDeeper } from '../core/nesting.ts'
import { MAX_TEXT_TO_BUYER, MAX_TEXT_TO_SELLER } from './limits.ts'
import { oneOf, payloads, signature65, verificationText, type MessageType, type Payload } from './wire.ts'

export { MAX_TEXT_TO_BUYER, MAX_TEXT_TO_SELLER }

/** A message whose form has been checked; its signature has not. */
export type Message = { [T in MessageType]: MessageOf<T> }[MessageType]

/** A message of one type. */
export interface MessageOf<T extends MessageType> {
  readonly type: T
  readonly payload: Payload<T>
  /** 65 bytes, r, s and v. */
  readonly signature: Uint8Array
  /** The transaction or receipt behind the message; empty where there is none. */
  readonly verification: string
}

/**
 * The bytes that are signed, under EIP-191, in every message but `ACK` and `data`: the RFC 8785 text of the message
 * without its signature. (An `ACK` carries an EIP-712 `Ack`, `data` an EIP-712 `ChunkClaim`.)
 */
export function signedBytes(type: MessageType, payload: unknown, verification: string): Uint8Array {
  return utf8(canonicalText({ message_type: type, payload, verification }))
}

/** The digest behind the signature of a message that is signed as text. */
export function messageDigest(message: Message): Uint8Array {
  return computeFrom('message', 'a message with type, payload and verification', () => {
    return personalDigest(signedBytes(message.type, message.payload, message.verification))
  })
}

/** Writes a message as it travels. */
export function encodeMessage<T extends MessageType>(message: MessageOf<T>): string {
  return computeFrom('message', 'a message with type, payload, signature and verification', () => {
    return canonicalText({
      message_type: message.type,
      payload: message.payload,
      signature: toHex(message.signature),
      verification: message.verification,
    })
  })
}

/**
 * Reads a message.
 *
 * The text must be its own RFC 8785 form, which leaves no room for duplicate keys, numbers of another spelling or
 * fields that two readers understand differently, and makes the checked value and the signed bytes one thing.
 * @throws `MESSAGE_TOO_LARGE`, or `BAD_MESSAGE` naming the field that is wrong.
 */
export function decodeMessage(text: string, limit: number): Message {
  assertArguments({ text, limit }, { text: textRule(), limit: integer(0) })
  if (text.length > limit) {
    throw new SluiceError('MESSAGE_TOO_LARGE', `message of ${text.length} characters is over the limit of ${limit}`, {
      details: { length: text.length, limit },
    })
  }
  if (nestsDeeper(text)) throw new SluiceError('BAD_MESSAGE', 'message is nested too deep')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new SluiceError('BAD_MESSAGE', 'message is not JSON', { cause })
  }
  const envelope = check(envelopeSchema, value, 'message')
  const type = envelope.message_type
  const payload = check(payloads[type] as v.GenericSchema<unknown, Payload<typeof type>>, envelope.payload, `${type} payload`)
  if (canonicalText(value) !== text) {
    throw new SluiceError('BAD_MESSAGE', `${type} is not in RFC 8785 canonical form`, { details: { type } })
  }
  return { type, payload, signature: fromHex(envelope.signature), verification: envelope.verification } as Message
}

const envelopeSchema = v.strictObject({
  message_type: oneOf(...(Object.keys(payloads) as MessageType[])),
  payload: v.unknown(),
  signature: signature65,
  verification: verificationText,
})

function check<T>(schema: v.GenericSchema<unknown, T>, value: unknown, what: string): T {
  const result = v.safeParse(schema, value, { abortEarly: true })
  if (result.success) return result.output
  const issue = result.issues[0]
  const field = issue.path?.map(({ key }) => String(key)).join('.') ?? ''
  throw new SluiceError('BAD_MESSAGE', [what, field, issue.message].filter(Boolean).join(': '), {
    details: { field: field || what },
  })
}

/** RFC 8785 text. */
export function canonicalText(value: unknown): string {
  const text = tryCanonicalize(value)
  if (text === undefined) throw new SluiceError('BAD_MESSAGE', 'message cannot be written as RFC 8785 text')
  return text
}

function tryCanonicalize(value: unknown): string | undefined {
  try {
    return canonicalize(value)
  } catch {
    return undefined // lone surrogates
  }
}
