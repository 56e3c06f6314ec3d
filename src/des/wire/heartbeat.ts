/**
 * How a data source says that it is there.
 *
 * Three texts are signed in the field, and a fourth by this library; {@link heartbeatText} has them. Python's client signs
 * none of these.
 * @module
 */
import * as v from 'valibot'
import { toHex } from '../../core/bytes.ts'
import { isSignedBy, textDigest, type AccountId, type GrapheneKey } from '../../core/crypto/graphene/index.ts'
import { SluiceError } from '../../core/errors.ts'
import { accountId, millisecondsOf, optional, productId, readBy, serviceUrl, signature, smallInteger, suites } from './fields.ts'

/** What a data source signs. */
export interface Heartbeat {
  readonly account: AccountId
  readonly products: readonly number[]
  /** Until when it counts, as the client wrote it: milliseconds, seconds of some clients. */
  readonly timestamp: number
  /** Where the data source is asked; without it, where its account is bound to. */
  readonly queryUrl?: string | undefined
  /** The suites of sealed data that it opens beside 1; comes with an address only. */
  readonly suites?: readonly number[] | undefined
}

/** A heartbeat with its signature, 65 bytes. */
export interface SignedHeartbeat extends Heartbeat {
  readonly signature: Uint8Array
}

/** The four texts: of GXChain's documents, of its Node client, of its Java client, and of this library's. */
export type HeartbeatForm = 'account' | 'products' | 'queryUrl' | 'suites'

/** The most products of one data source. */
export const MAX_PRODUCTS = 1000
/** How far a heartbeat's time may be off, either way, in milliseconds. */
export const HEARTBEAT_WINDOW = 3000

const heartbeat = /* @__PURE__ */ v.pipe(
  v.strictObject({
    account: accountId,
    products: v.pipe(v.array(productId, 'must be a list'), v.maxLength(MAX_PRODUCTS, `must have at most ${MAX_PRODUCTS} items`)),
    timestamp: smallInteger(1),
    queryUrl: optional(serviceUrl),
    suites: optional(suites),
    signature,
  }),
  v.check(({ queryUrl, suites }) => suites === undefined || queryUrl !== undefined, 'must have queryUrl with suites'),
)

/** The text of a form. */
export function heartbeatText({ account, products, queryUrl, timestamp, suites }: Heartbeat, form: HeartbeatForm): string {
  const list = JSON.stringify(products)
  switch (form) {
    case 'account':
      return [account, timestamp].join('|')
    case 'products':
      return [account, list, timestamp].join('|')
    case 'queryUrl':
      return [account, list, queryUrl, timestamp].join('|')
    case 'suites':
      return [account, list, queryUrl, timestamp, JSON.stringify(suites)].join('|')
  }
}

/** Reads a heartbeat, after `readJson`; {@link verifyHeartbeat} comes next. @throws `BAD_MESSAGE` naming the field. */
export function readHeartbeat(value: unknown): SignedHeartbeat {
  return readBy(heartbeat, value, 'heartbeat')
}

/**
 * Finds out which text the key signed.
 *
 * A heartbeat with an address or suites has to be signed over them, or anybody on the way could send the questions
 * elsewhere, or have them sealed in a way that their receiver can't open.
 * @throws `BAD_SIGNATURE` if it signed none.
 */
export function verifyHeartbeat(heartbeat: SignedHeartbeat, publicKey: string): HeartbeatForm {
  const forms = formsOf(heartbeat)
  const form = forms.find((each) => isSignedBy(textDigest(heartbeatText(heartbeat, each)), heartbeat.signature, publicKey))
  if (form) return form
  throw new SluiceError('BAD_SIGNATURE', `heartbeat.signature is not one of ${heartbeat.account}`, {
    details: { field: 'heartbeat.signature', account: heartbeat.account },
  })
}

/**
 * Whether a heartbeat's time is right: not more than {@link HEARTBEAT_WINDOW} ago, nor further ahead than that and
 * `skew`. Clients send the time 3 s from their now.
 * @param now in milliseconds.
 * @param skew how far clocks may be apart, in milliseconds.
 */
export function isTimely(heartbeat: Heartbeat, now: number, skew = 0): boolean {
  const time = millisecondsOf(heartbeat.timestamp)
  return time >= now - HEARTBEAT_WINDOW && time <= now + HEARTBEAT_WINDOW + skew
}

/** Signs a heartbeat over all that it says, in the Java client's form if it has no suites: the body, for `writeJson`. */
export function writeHeartbeat(heartbeat: Heartbeat, key: GrapheneKey): Record<string, unknown> {
  const { account, products, timestamp, queryUrl, suites } = heartbeat
  return {
    account,
    products,
    timestamp,
    ...(queryUrl !== undefined && { queryUrl }),
    ...(suites !== undefined && { suites }),
    signature: toHex(key.sign(textDigest(heartbeatText(heartbeat, formsOf(heartbeat).at(-1)!)))).slice(2),
  }
}

/** The forms that cover what a heartbeat says. */
function formsOf({ queryUrl, suites }: Heartbeat): readonly HeartbeatForm[] {
  if (suites !== undefined) return ['suites']
  return queryUrl === undefined ? ['account', 'products'] : ['queryUrl']
}
