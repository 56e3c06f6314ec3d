/**
 * The fields that the dialects of DES have in common: how each is read, whatever a client writes it as.
 * @module
 */
import * as v from 'valibot'
import { fromHex } from '../../core/bytes.ts'
import { isAccountId, readAssetId, readPublicKey, MAX_NONCE, type PublicKeyText } from '../../core/crypto/graphene/index.ts'
import { SluiceError } from '../../core/errors.ts'

/** The most characters of sealed data in one field: 16 MiB, so 8 MiB of bytes in hex. */
const MAX_SEALED_LENGTH = 2 ** 24
/** The most characters of an address. */
const MAX_URL_LENGTH = 2048

/** Reads a value by a schema. @throws `BAD_MESSAGE` naming the field, as `what[0].requestParams.percent`. */
export function readBy<const S extends v.GenericSchema>(schema: S, value: unknown, what: string): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true, abortPipeEarly: true })
  if (result.success) return result.output
  const [issue] = result.issues
  const path = (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('')
  const field = `${what}${path}`
  // What was received is not repeated: it may be long, or somebody's data.
  throw new SluiceError('BAD_MESSAGE', `${field} ${flawOf(issue)}`, { details: { field } })
}

function flawOf({ message, expected, received }: v.BaseIssue<unknown>): string {
  if (message.startsWith('must ')) return message
  if (expected === 'never') return 'is no field here'
  if (received === 'undefined') return 'is missing'
  return `must be ${expected === 'Object' ? 'an object' : expected}`
}

/** A field that clients write as null, or not at all, if they don't have it. */
export const optional = <const S extends v.GenericSchema>(schema: S) =>
  v.pipe(v.nullish(schema as v.GenericSchema<unknown, v.InferOutput<S>>), v.transform((value) => value ?? undefined))

/** An exact integer: a bare number, or decimal text. */
const integer = (least: bigint, most: bigint) => {
  const expected = `must be an integer from ${least} to ${most}`
  return v.pipe(
    v.union(
      [v.pipe(v.number(), v.safeInteger(expected)), v.bigint(), v.pipe(v.string(), v.regex(/^(0|[1-9]\d{0,19})$/, expected))],
      expected,
    ),
    v.transform((value) => BigInt(value)),
    v.check((value) => value >= least && value <= most, expected),
  )
}

/** An integer that a number holds exactly. */
export const smallInteger = (least: number, most: number = Number.MAX_SAFE_INTEGER) =>
  v.pipe(integer(BigInt(least), BigInt(most)), v.transform(Number))

/** Money in the smallest unit: int64, not negative. */
export const amount = /* @__PURE__ */ integer(0n, 2n ** 63n - 1n)
/** The number in a seal's key derivation. */
export const nonce = /* @__PURE__ */ integer(0n, MAX_NONCE)
/** A product's number. */
export const productId = /* @__PURE__ */ smallInteger(0, 2 ** 31 - 1)

const NOT_ACCOUNT = 'must be an account 1.2.N, N below 2^32'
/** An account, `1.2.N`. */
export const accountId = /* @__PURE__ */ v.pipe(v.string(NOT_ACCOUNT), v.check(isAccountId, NOT_ACCOUNT), v.transform((text) => text as `1.2.${string}`))

const NOT_ASSET = 'must be an asset 1.3.N, N below 2^32, or 1.1 for 1.3.1'
/** An asset, `1.3.N`; the alias `1.1` comes out as `1.3.1`. */
export const assetId = /* @__PURE__ */ v.pipe(
  v.string(NOT_ASSET),
  v.check((text) => readAssetId(text) !== undefined, NOT_ASSET),
  v.transform((text) => readAssetId(text)!),
)

/** The name of a request: 64 hex digits here, a CID elsewhere. */
export const requestName = /* @__PURE__ */ v.pipe(
  v.string('must be text'),
  v.regex(/^[0-9A-Za-z]{1,128}$/, 'must be 1 to 128 letters and digits'),
)

/** A public key, `GXC…`, on the curve. */
export const publicKey = /* @__PURE__ */ v.pipe(
  v.string('must be a public key GXC…'),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    try {
      readPublicKey(dataset.value, 'it')
    } catch (error) {
      addIssue({ message: `must be a public key: ${(error as SluiceError).shortMessage}` })
    }
  }),
  v.transform((text) => text as PublicKeyText),
)

const NOT_SIGNATURE = 'must be a signature: 130 hex digits'
/** A signature: 65 bytes. */
export const signature = /* @__PURE__ */ v.pipe(
  v.string(NOT_SIGNATURE),
  v.regex(/^[0-9a-fA-F]{130}$/, NOT_SIGNATURE),
  v.transform((text) => fromHex(`0x${text}`)),
)

const NOT_SEALED = `must be sealed data: lower-case hex in whole blocks, or v2: and hex, at most ${MAX_SEALED_LENGTH} characters`
/** Sealed data: hex for suite 1, `v2:` and hex for suite 2. */
export const sealed = /* @__PURE__ */ v.pipe(
  v.string(NOT_SEALED),
  v.maxLength(MAX_SEALED_LENGTH, NOT_SEALED),
  v.check((text) => {
    const digits = text.startsWith('v2:') ? text.slice(3) : text
    const whole = digits === text ? digits.length % 32 === 0 : digits.length % 2 === 0
    return whole && digits.length > 0 && !/[^0-9a-f]/.test(digits)
  }, NOT_SEALED),
)

/** The numbers of suites of sealed data. */
export const suites = /* @__PURE__ */ v.pipe(
  v.array(smallInteger(1, 255), 'must be a list'),
  v.maxLength(8, 'must have at most 8 items'),
)

const NOT_URL = `must be an http or https address of at most ${MAX_URL_LENGTH} characters`
/** Where a data source is asked; whether it may be asked there is not decided here. */
export const serviceUrl = /* @__PURE__ */ v.pipe(
  v.string(NOT_URL),
  v.maxLength(MAX_URL_LENGTH, NOT_URL),
  v.check((text) => /^https?:\/\//i.test(text) && URL.canParse(text), NOT_URL),
)

const NOT_SECONDS = 'must be UNIX seconds below 2^32, or a time as 2017-12-09T07:58:39 in UTC'
/** A time in whole seconds: UNIX seconds, or ISO 8601 without a zone (or with Z), which is UTC. */
export const seconds = /* @__PURE__ */ v.pipe(
  v.union([v.pipe(v.number(), v.safeInteger()), v.string()], NOT_SECONDS),
  v.transform((value) => (typeof value === 'number' ? value : secondsOf(value))),
  v.check((value) => value >= 0 && value <= 0xffff_ffff, NOT_SECONDS),
)

/** Writes a time as {@link seconds} reads it, without a zone as GXChain does. */
export function isoTime(value: number): string {
  return new Date(value * 1000).toISOString().slice(0, 19)
}

/** Milliseconds below this are before March 1973: who sends them means seconds. */
const LEAST_MILLISECONDS = 100_000_000_000

/** A time in milliseconds, of clients that send milliseconds and of those that send seconds. */
export function millisecondsOf(timestamp: number): number {
  return timestamp < LEAST_MILLISECONDS ? timestamp * 1000 : timestamp
}

/** NaN for what is no time, or another time than it says (31 February). */
function secondsOf(text: string): number {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?$/.test(text)) return NaN
  const time = Date.parse(text.endsWith('Z') ? text : `${text}Z`) / 1000
  return !Number.isNaN(time) && isoTime(time) === text.slice(0, 19) ? time : NaN
}

/** An object that is no list: some schemas take lists for objects. */
export const plainObject = /* @__PURE__ */ v.custom<Readonly<Record<string, unknown>>>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'must be an object',
)

/**
 * An object of which some fields have other names too: `{ assetId: ['asset_id'] }`.
 *
 * The schema sees the first names only. Both names at once are fine if they say the same.
 */
export const spelled = <const S extends v.GenericSchema>(others: Readonly<Record<string, readonly string[]>>, schema: S) =>
  v.pipe(
    plainObject,
    v.rawTransform<Readonly<Record<string, unknown>>, unknown>(({ dataset, addIssue, NEVER }) => {
      const out = { ...dataset.value }
      for (const [name, aliases] of Object.entries(others)) {
        for (const alias of aliases) {
          if (!Object.hasOwn(out, alias)) continue
          if (Object.hasOwn(out, name) && out[name] !== out[alias]) {
            addIssue({ message: `must not give ${name} and ${alias} different values` })
            return NEVER
          }
          out[name] = out[alias]
          delete out[alias]
        }
      }
      return out
    }),
    schema as v.GenericSchema<unknown, v.InferOutput<S>>,
  )
