/**
 * What callers may pass in.
 *
 * Types are gone at run time, and a caller may never have had any: public functions hold what they are given against
 * rules, so that a mistake is named at once and not three layers further down.
 * @module
 */
import { isSluiceError, SluiceError } from './errors.ts'

/** What one argument has to be. */
export interface Rule {
  /** Continues "… must be"; shows a right one where a reader could not guess it. */
  readonly expected: string
  /** Tells whether a value will do; may throw on a hostile one. */
  holds(value: unknown): boolean
}

/** Makes a rule. */
export function rule(expected: string, holds: (value: unknown) => boolean): Rule {
  return { expected, holds }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
const can = (value: unknown, methods: readonly string[]): boolean =>
  isObject(value) && methods.every((method) => typeof value[method] === 'function')

/** `undefined`, or what the rule says. */
export function optional(inner: Rule): Rule {
  return rule(`${inner.expected}, or left out`, (value) => value === undefined || inner.holds(value))
}

/** One of two. */
export function either(first: Rule, second: Rule): Rule {
  return rule(`${first.expected}, or ${second.expected}`, (value) => first.holds(value) || second.holds(value))
}

/** A list, each entry of which the rule holds for; one with gaps has entries that are undefined. */
export function listOf(inner: Rule, least = 0, most = Infinity): Rule {
  const size = least > 0 ? `a list of ${least} or more` : 'a list'
  const sized = (value: unknown): value is unknown[] => Array.isArray(value) && value.length >= least && value.length <= most
  return rule(`${size}, each ${inner.expected}`, (value) => sized(value) && Array.from(value).every((entry) => inner.holds(entry)))
}

/** A whole number within bounds. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER, unit = 'number', example?: number): Rule {
  const bounds = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`
  return rule(`a whole ${unit} ${bounds}${example === undefined ? '' : `, such as ${example}`}`, (value) => Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most)
}

/** Money or another quantity in its smallest unit, below 2^bits. */
export function amount(bits: number, least = 0n): Rule {
  return rule(`a bigint in the smallest unit, such as 1000n, from ${least} and below 2^${bits}`,
    (value) => typeof value === 'bigint' && value >= least && value < 1n << BigInt(bits))
}

/** Text of some length. */
export function text(least = 0, most = Infinity): Rule {
  const size = most === Infinity ? (least > 0 ? 'text that is not empty' : 'text') : `text of ${least} to ${most} characters`
  return rule(size, (value) => typeof value === 'string' && value.length >= least && value.length <= most)
}

/** One of some words. */
export function oneOf(...words: readonly string[]): Rule {
  return rule(words.map((word) => `'${word}'`).join(' or '), (value) => words.includes(value as string))
}

/** Bytes, of a fixed length if given. */
export function byteString(length?: number): Rule {
  return rule(length === undefined ? 'a Uint8Array' : `a Uint8Array of ${length} bytes`,
    (value) => value instanceof Uint8Array && (length === undefined || value.length === length))
}

/** `0x` and hex digits, of a fixed number of bytes if given. */
export function hexText(length?: number): Rule {
  return rule(length === undefined ? 'text of 0x and pairs of hex digits' : `text of 0x and ${2 * length} hex digits`,
    (value) => typeof value === 'string' && (length === undefined || value.length === 2 + 2 * length)
      && value.length % 2 === 0 && /^0x[0-9a-fA-F]*$/.test(value))
}

/** An object with methods of these names. */
export function having(expected: string, ...methods: readonly string[]): Rule {
  return rule(expected, (value) => can(value, methods))
}

/** An object whose fields hold, those that are not named are free. */
export function shape(expected: string, fields: Readonly<Record<string, Rule>>): Rule {
  return rule(expected, (value) => isObject(value) && Object.entries(fields).every(([name, field]) => field.holds(value[name])))
}

export const flag = /* @__PURE__ */ rule('true or false', (value) => typeof value === 'boolean')
export const callback = /* @__PURE__ */ rule('a function', (value) => typeof value === 'function')
/** 20 bytes; mixed case is checked by whoever turns it into bytes. */
export const address = /* @__PURE__ */ rule('an address: text of 0x and 40 hex digits',
  (value) => typeof value === 'string' && /^0x[0-9a-fA-F]{40}$/.test(value))
/** Time to wait. `Infinity` waits for ever. */
export const milliseconds = /* @__PURE__ */ rule('a number of milliseconds from 0, such as 30_000',
  (value) => typeof value === 'number' && value >= 0)
export const provider = /* @__PURE__ */ having('an ethers provider, such as new JsonRpcProvider(url)', 'getNetwork', 'call', 'getBlock')
export const signer = /* @__PURE__ */ having('an ethers signer, such as new Wallet(key, provider)', 'getAddress', 'signTypedData')
/** A signer that reaches a chain. */
export const connectedSigner = /* @__PURE__ */ rule('an ethers signer connected to a provider, such as new Wallet(key, provider)',
  (value) => signer.holds(value) && provider.holds((value as { provider: unknown }).provider))
/** A number of times; `Infinity` for any. */
export const countless = /* @__PURE__ */ rule('a number of times from 0', (value) => value === Infinity || (Number.isSafeInteger(value) && Number(value) >= 0))
/** Time in seconds. `Infinity` for ever. */
export const seconds = /* @__PURE__ */ rule('a number of seconds from 0, such as 600', (value) => typeof value === 'number' && value >= 0)
export const store = /* @__PURE__ */ having("a store, such as memoryStore() of 'sluice-sdk/store'", 'get', 'write', 'list', 'close')
export const clock = /* @__PURE__ */ having('a clock with now() and sleep()', 'now', 'sleep')
export const logger = /* @__PURE__ */ having('a logger with debug, info, warn and error', 'debug', 'info', 'warn', 'error')
export const abortSignal = /* @__PURE__ */ rule('an AbortSignal', (value) => isObject(value) && typeof value['aborted'] === 'boolean' && can(value, ['addEventListener']))

/**
 * Holds arguments, or the fields of an options object, against rules.
 * @param values Arguments by name. Anything but an object is refused as `where`.
 * @param where What the names are fields of; left out for arguments.
 * @throws `BAD_ARGUMENT` naming the first that fails, what it must be, and what kind of thing it is.
 */
export function assertArguments(values: unknown, rules: Readonly<Record<string, Rule>>, where?: string): void {
  if (!isObject(values)) throw refusal(where ?? 'arguments', `an object with ${Object.keys(rules).join(', ')}`, values)
  for (const [name, { expected, holds }] of Object.entries(rules)) {
    let value: unknown
    let fits = false
    try {
      value = values[name]
      fits = holds(value)
    } catch {
      // A getter or a proxy that throws is no value either.
    }
    if (!fits) throw refusal(name, expected, value, where)
  }
}

const signalRules = { signal: /* @__PURE__ */ optional(abortSignal) }

/** The signal in the options of a method that takes no others. @throws `BAD_ARGUMENT` */
export function signalOf(options: { readonly signal?: AbortSignal | undefined } = {}): AbortSignal | undefined {
  assertArguments(options, signalRules, 'options')
  return options.signal
}

/** What the methods of an object are given, in order. */
export type MethodRules<T> = { readonly [K in keyof T]?: readonly (readonly [name: string, rule: Rule])[] }

/**
 * The same methods, each of which holds what it is given against rules before it does anything; what has no rules stays.
 * @param iterating names those that return no promise: they throw what the others reject with.
 */
export function checked<T extends object>(methods: T, rules: MethodRules<T>, iterating: readonly (keyof T)[] = []): T {
  const guarded: Record<string, unknown> = {}
  for (const [name, list] of Object.entries(rules) as [keyof T & string, readonly (readonly [string, Rule])[]][]) {
    const method = methods[name] as (...args: readonly unknown[]) => unknown
    const call = (args: readonly unknown[]): unknown => {
      assertArguments(
        Object.fromEntries(list.map(([argument], i) => [argument, args[i]])),
        Object.fromEntries(list),
      )
      return method.apply(methods, args as unknown[])
    }
    guarded[name] = iterating.includes(name) ? (...args: unknown[]) => call(args) : async (...args: unknown[]) => call(args)
  }
  return { ...methods, ...guarded }
}

function refusal(name: string, expected: string, value: unknown, where?: string): SluiceError {
  const full = where === undefined ? name : `${where}.${name}`
  return new SluiceError('BAD_ARGUMENT', `${full} must be ${expected}; it is ${kindOf(value)}`, { details: { name: full.replace(/^options\./, '') } })
}

/** What a value is, in words, without what is in it: it could be a key. */
function kindOf(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (typeof value === 'number') return `the number ${value}`
  if (typeof value === 'bigint') return `a bigint of ${value.toString(2).replace('-', '').length} bits${value < 0n ? ', below zero' : ''}`
  if (typeof value === 'string') return `text of ${value.length} characters`
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (value instanceof Uint8Array) return `a Uint8Array of ${value.length} bytes`
  if (typeof value === 'boolean') return String(value)
  return typeof value === 'function' ? 'a function' : typeof value === 'symbol' ? 'a symbol' : 'an object'
}

/**
 * Runs a function that does nothing but compute from an argument: what it throws, the argument is to blame for.
 * @throws `BAD_ARGUMENT` in place of anything that is no SluiceError.
 */
export function computeFrom<T>(name: string, expected: string, compute: () => T): T {
  try {
    return compute()
  } catch (cause) {
    if (isSluiceError(cause)) throw cause
    throw new SluiceError('BAD_ARGUMENT', `${name} must be ${expected}`, { cause, details: { name } })
  }
}
