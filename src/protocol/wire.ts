/**
 * What stands in the payload of each message, under the seed's names.
 *
 * The only place where those names and their shapes are written down; `menu.ts` and `order.ts` map them to the names
 * used elsewhere. Money is decimal text in the smallest unit; byte counts are JSON integers below 2^48.
 * @module
 */
import * as v from 'valibot'

/** The version of the protocol that this library speaks. */
export const PROTOCOL_VERSION = 1

/** The most bytes an order can cover: what the contract has room for. */
export const MAX_BYTES = 2 ** 48 - 1

/** The most items on one menu. */
export const MAX_ITEMS = 10_000

// One kind of check throughout: every further action of the schema library would travel in each page.
const text = (test: (value: string) => boolean, expected: string) => v.pipe(v.string('must be text'), v.check(test, `must be ${expected}`))
const matching = (pattern: RegExp, expected: string) => text((value) => pattern.test(value), expected)
const upTo = (length: number) => text((value) => value.length <= length, `up to ${length} characters`)
/** One of some words. */
export const oneOf = <const T extends string>(...words: readonly T[]) =>
  text((value) => (words as readonly string[]).includes(value), words.join(', ')) as unknown as v.GenericSchema<T>
const integer = (min: number, max: number) => {
  const message = `must be an integer from ${min} to ${max}`
  return v.pipe(
    v.number(message),
    v.check((value) => Number.isInteger(value) && value >= min && value <= max, message),
  )
}
const listOf = <T extends v.GenericSchema>(entry: T, most: number) =>
  v.pipe(
    v.array(entry, 'must be a list'),
    v.check((value) => value.length <= most, `must have up to ${most} entries`),
  )
const flag = v.boolean('must be true or false')

const hex32 = matching(/^0x[0-9a-f]{64}$/, '0x and 64 lower-case hex digits')
const hex16 = matching(/^0x[0-9a-f]{32}$/, '0x and 32 lower-case hex digits')
const address = matching(/^0x[0-9a-f]{40}$/, '0x and 40 lower-case hex digits')
const publicKey = matching(/^0x04[0-9a-f]{128}$/, '0x04 and 128 lower-case hex digits')
const amount = matching(/^(0|[1-9][0-9]{0,31})$/, 'an amount in decimal text, up to 32 digits')
const bytes = integer(0, MAX_BYTES)
const chunkIndex = integer(0, MAX_BYTES)
const name = text((value) => value.length >= 1 && value.length <= 256, '1 to 256 characters long')
const prose = upTo(4096)

/** 65 bytes r, s, v as the seed writes them. */
export const signature65 = matching(/^0x[0-9a-f]{130}$/, '0x and 130 lower-case hex digits')
/** A transaction hash, a receipt number, a channel payment's id, or nothing. */
export const verificationText = upTo(256)

const paymentKind = oneOf('token', 'alipay', 'channel', 'sample')
const mode = oneOf('voucher', 'onchain')

const common = { version: integer(1, 65_535), chain_id: matching(/^[1-9][0-9]{0,19}$/, 'a chain id in decimal text'), contract: address, nonce: hex32 }

const hello = v.union(
  [
    v.strictObject({ ...common, public_key_of_the_buyer: publicKey }),
    v.strictObject({ ...common, public_key_of_the_seller: publicKey, reply_to: hex32 }),
  ],
  'must be the hello of a buyer or of a seller',
)

const item = v.strictObject({
  data_ID: name,
  data_size: bytes,
  data_info: prose,
  price: amount,
  token: address,
  granularity: integer(1, 4 * 1024 * 1024),
  data_root: hex32,
  live: flag,
  sample: v.nullable(v.strictObject({ first_chunk: chunkIndex, chunk_count: integer(1, 1024) })),
  alipay_price: v.nullable(amount),
})

const menu = v.strictObject({
  list_of_available_data: listOf(item, MAX_ITEMS),
  granularity: integer(1, 4 * 1024 * 1024),
  list_of_available_payment: listOf(paymentKind, 8),
  list_of_available_mode: listOf(mode, 2),
  window: integer(1, 65_536),
  seller: address,
  chain_id: common.chain_id,
  contract: address,
  valid_until: v.nullable(integer(0, 0xffff_ffff)),
})

const terms = v.strictObject({
  buyer: address,
  seller: address,
  token: address,
  ack_signer: address,
  price: amount,
  total_data: bytes,
  chunks: chunkIndex,
  data_root: hex32,
  deadline: integer(0, 0xffff_ffff),
  salt: hex32,
})

const stream = integer(0, 0xffff_ffff)

const order = v.strictObject({
  order_hash: hex32,
  data_ID: name,
  payment: paymentKind,
  mode,
  terms,
  nonce: hex16,
  first_chunk: chunkIndex,
  chunk_count: integer(1, MAX_BYTES),
  form: oneOf('binary', 'json'),
  claims: flag,
  stream,
  session: hex32,
})

const rating = v.strictObject({ score: integer(1, 5), comment: prose, signature: signature65 })
const reason = v.strictObject({ code: matching(/^[A-Z][A-Z0-9_]{1,63}$/, 'an error code'), message: prose })

/**
 * RFC 4648 section 4, with zero bits before the padding (3.5): one chunk has one spelling. Looks for what doesn't belong
 * there: a pattern of the whole overflows the stack on a large chunk.
 */
function isBase64(text: string): boolean {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const end = text.length - padding
  if (text.length % 4 !== 0 || /[^A-Za-z0-9+/]/.test(text.slice(0, end))) return false
  return padding === 0 || (padding === 2 ? 'AQgw' : 'AEIMQUYcgkosw048').includes(text[end - 1]!)
}

/** The payload of every message type; `data` here is the JSON form, see `frame.ts` for the binary one. */
export const payloads = {
  hello,
  menu,
  order,
  data: v.strictObject({
    order_ID: hex32,
    index: chunkIndex,
    proof: listOf(hex32, 64),
    data: text(isBase64, 'base64'),
  }),
  ACK: v.strictObject({ order_ID: hex32, transferred: bytes }),
  exit: v.strictObject({ order_ID: hex32, session: hex32, rating: v.nullable(rating), reason: v.nullable(reason) }),
  resume: v.strictObject({ order_ID: hex32, received: bytes, stream, session: hex32 }),
} as const

/** The seed's message types, and `resume`. */
export type MessageType = keyof typeof payloads
/** The payload of a message type. */
export type Payload<T extends MessageType> = v.InferOutput<(typeof payloads)[T]>
/** How an order can be paid. */
export type PaymentKind = v.InferOutput<typeof paymentKind>
/** How payment for tokens is shown: by vouchers, or by the chain after each granule. */
export type PaymentMode = v.InferOutput<typeof mode>
