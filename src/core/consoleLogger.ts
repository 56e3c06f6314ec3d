import { systemClock, type Clock } from './clock.ts'
import { assertArguments, clock as clockRule, oneOf, optional } from './argument.ts'
import type { ErrorDetails } from './errors.ts'
import type { Logger } from './log.ts'

/** How much a logger says: what is as grave as this, or graver. */
export type LogLevel = keyof Logger

/** Options of {@link consoleLogger}. */
export interface ConsoleLoggerOptions {
  /** What is left out below. @default info */
  readonly level?: LogLevel | undefined
  /** Gives each line its time. @default systemClock */
  readonly clock?: Clock | undefined
}

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** Characters of one value at most: some of them come from strangers. */
const MAX_VALUE = 500
/** Names of details that hold a secret if they hold anything. A `token` is a contract and a `publicKey` is public. */
const SECRET = /secret|password|passphrase|mnemonic|authori[sz]ation|cookie|credential|private|wif$|apikey|api_key|(^|[^c])key$/i
/** A letter or digit run this long in a URL's path is a key of a provider, and no word. */
const LONG_SEGMENT = /\/[\w-]{20,}/g

const create = (options: ConsoleLoggerOptions = {}): Logger => {
  assertArguments(options, { level: optional(oneOf(...levels)), clock: optional(clockRule) }, 'options')
  const { level = 'info', clock = systemClock } = options
  const write = (at: LogLevel) =>
    levels.indexOf(at) < levels.indexOf(level)
      ? () => {}
      : (message: string, details?: ErrorDetails) => {
        // eslint-disable-next-line no-console -- it is what this is for
        console[at](lineOf(at, message, details, clock.now()))
      }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

/**
 * Logs to the console, one line each: time, level, sentence, details as `name=value`.
 *
 * It is a logger as it stands, from `info` on, and a function that makes one with options. A line stays a line whatever
 * strangers put into it. Bytes, passwords, keys, and the parts of a URL that may be secret are left out.
 * @throws `BAD_ARGUMENT` for a level that there is not.
 * @example
 * ```ts
 * const seller = await createSeller({ signer, store, items, log: consoleLogger })
 * const buyer = await createBuyer({ signer, log: consoleLogger({ level: 'debug' }) })
 * ```
 */
export const consoleLogger: Logger & ((options?: ConsoleLoggerOptions) => Logger) = /* @__PURE__ */ Object.assign(
  create,
  /* @__PURE__ */ create(),
)

function lineOf(level: LogLevel, message: string, details: ErrorDetails | undefined, now: number): string {
  const facts = Object.entries(details ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [`${plain(name)}=${SECRET.test(name) ? '[hidden]' : valueOf(value)}`],
  )
  return [new Date(now).toISOString(), level.padEnd(5), plain(redact(String(message))), ...facts].join(' ')
}

/** Any value at all: details are plain by their type, but JavaScript doesn't know the type. */
function valueOf(value: unknown): string {
  if (typeof value === 'string') {
    const text = plain(redact(value))
    return /^[\w.:/+@-]+$/.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`
  }
  if (typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value)
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (value instanceof Error) return valueOf(value.message)
  return `[${typeof value}]`
}

/** Users and passwords, queries, and what looks like a key in the path. */
function redact(text: string): string {
  return text.replace(/\b([a-z][\w+.-]*:\/\/)([^\s"'<>]*)/gi, (_url, scheme: string, rest: string) => {
    const open = rest.replace(/[?#].*$/, '?…').replace(LONG_SEGMENT, '/…')
    const host = open.slice(0, open.search(/\/|$/))
    return scheme + (host.includes('@') ? `…@${open.slice(host.lastIndexOf('@') + 1)}` : open)
  })
}

/** Without what would end the line, or speak to a terminal. */
function plain(text: string): string {
  const short = text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text
  return short.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
