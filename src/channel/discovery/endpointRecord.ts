/**
 * What an account says about where its node is, signed, so that anybody may pass it on and nobody can change it.
 *
 * RFC 8785 text: `{"account", "chain_id", "endpoints", "sequence", "signature", "valid_until"}`. The signature is the
 * account's by EIP-191 over the same text without `signature`.
 * @module
 */
import * as v from 'valibot'
import { fromHex, toHex, utf8 } from '../../core/bytes.ts'
import { assertSignedBy, personalDigest } from '../../core/crypto/signature.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Identity } from '../../protocol/identity.ts'
import { canonicalText } from '../../protocol/message.ts'
import { webSocketEndpoint } from '../../protocol/registry/registry.ts'

/** Where the node of an account is. */
export interface EndpointRecord {
  /** Lower-case hex. */
  readonly account: string
  /** The chain that the node is a node of. */
  readonly chainId: bigint
  /** 1 to 4 URLs of WebSockets of up to 256 characters, best first. */
  readonly endpoints: readonly string[]
  /** Of two records of an account, the one with the higher sequence holds. */
  readonly sequence: number
  /** Unix seconds; at most {@link LONGEST_VALIDITY} ahead. */
  readonly validUntil: number
}

/** Who signs records. */
export type RecordSigner = Pick<Identity, 'address' | 'signBytes'>

/** The endpoints that one record can name. */
const MAX_RECORD_ENDPOINTS = 4
/** The largest record, in bytes. */
export const MAX_RECORD = 2048
/** Seconds that a record can be valid for: a node that is gone is forgotten after a week. */
export const LONGEST_VALIDITY = 7 * 24 * 3600

const schema = v.strictObject({
  account: v.pipe(v.string(), v.regex(/^0x[0-9a-f]{40}$/)),
  chain_id: v.pipe(v.string(), v.regex(/^[1-9][0-9]{0,19}$/)),
  endpoints: v.pipe(
    v.array(v.pipe(v.string(), v.maxLength(256), v.check(webSocketEndpoint.accepts))),
    v.minLength(1),
    v.maxLength(MAX_RECORD_ENDPOINTS),
  ),
  sequence: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  signature: v.pipe(v.string(), v.regex(/^0x[0-9a-f]{130}$/)),
  valid_until: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
})

/** Signs a record. @throws `BAD_MESSAGE` naming the field that nobody would accept; what the signer throws. */
export async function signEndpointRecord(signer: RecordSigner, record: Omit<EndpointRecord, 'account'>): Promise<Uint8Array> {
  const account = signer.address.toLowerCase()
  const signature = await signer.signBytes(signedBytes({ ...record, account }))
  const bytes = utf8(canonicalText({ ...fieldsOf({ ...record, account }), signature: toHex(signature) }))
  parse(bytes)
  return bytes
}

/** What a record has to be. */
export interface RecordExpectation {
  readonly account: string
  readonly chainId: bigint
  /** Milliseconds since 1970, to tell what is over. */
  readonly now: number
}

/**
 * Reads a record and checks all of it: form, size, account, chain, validity, signature.
 * @throws `MESSAGE_TOO_LARGE`, `BAD_MESSAGE` naming the field, `BAD_SIGNATURE`.
 */
export function verifyEndpointRecord(bytes: Uint8Array, { account, chainId, now }: RecordExpectation): EndpointRecord {
  const { record, signature } = parse(bytes)
  if (record.account !== account.toLowerCase()) throw badRecord('account', `must be ${account}`)
  if (record.chainId !== chainId) throw badRecord('chain_id', `must be ${chainId}`)
  const left = record.validUntil - now / 1000
  if (left <= 0) throw badRecord('valid_until', 'is over')
  if (left > LONGEST_VALIDITY + CLOCK_SKEW) throw badRecord('valid_until', 'is more than a week ahead')
  assertSignedBy(personalDigest(signedBytes(record)), signature, account, { field: 'endpoint record: signature', owner: 'the account' })
  return record
}

/** Seconds by which the clocks of honest nodes may differ. */
const CLOCK_SKEW = 300

/**
 * Which of two records of an account holds: below zero the first, above zero the second, zero for equal ones. Where an
 * account signed two at one sequence, every node settles on the same.
 */
export function compareRecords(a: Uint8Array, b: Uint8Array): number {
  const [one, other] = [parse(a).record, parse(b).record]
  if (one.sequence !== other.sequence) return other.sequence - one.sequence
  const [text, otherText] = [toHex(a), toHex(b)]
  return text > otherText ? -1 : text < otherText ? 1 : 0
}

function parse(bytes: Uint8Array): { readonly record: EndpointRecord; readonly signature: Uint8Array } {
  if (bytes.length > MAX_RECORD) {
    throw new SluiceError('MESSAGE_TOO_LARGE', `endpoint record of ${bytes.length} bytes is over the limit of ${MAX_RECORD}`, {
      details: { length: bytes.length, limit: MAX_RECORD },
    })
  }
  let text: string
  let value: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    value = JSON.parse(text)
  } catch {
    throw badRecord('record', 'is not JSON')
  }
  const result = v.safeParse(schema, value, { abortEarly: true })
  if (!result.success) {
    const [issue] = result.issues
    throw badRecord(issue.path?.map(({ key }) => String(key)).join('.') || 'record', 'is not what it should be')
  }
  // One spelling: what was checked and what was signed are the same.
  if (canonicalText(value) !== text) throw badRecord('record', 'is not in RFC 8785 canonical form')
  const { account, chain_id, endpoints, sequence, valid_until, signature } = result.output
  return {
    record: { account, chainId: BigInt(chain_id), endpoints, sequence, validUntil: valid_until },
    signature: fromHex(signature, 65),
  }
}

function fieldsOf({ account, chainId, endpoints, sequence, validUntil }: EndpointRecord): Record<string, unknown> {
  return { account, chain_id: chainId.toString(), endpoints, sequence, valid_until: validUntil }
}

function signedBytes(record: EndpointRecord): Uint8Array {
  return utf8(canonicalText(fieldsOf(record)))
}

function badRecord(field: string, problem: string): SluiceError {
  return new SluiceError('BAD_MESSAGE', `endpoint record: ${field} ${problem}`, { details: { field } })
}
