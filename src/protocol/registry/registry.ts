/**
 * Where sellers are found.
 * @module
 */
import { abortSignal, address, assertArguments, callback, hexText, optional, text } from '../../core/argument.ts'
import { fromHex, type Hex } from '../../core/bytes.ts'
import { addressOf } from '../../core/crypto/key.ts'
import { SluiceError } from '../../core/errors.ts'

/** What is published of a seller, or of another node that listens. */
export interface RegistryEntry {
  /** The account that speaks there, and is paid. */
  readonly account: string
  /** `ws://` or `wss://` URL, unless the service has an {@link EndpointRule} of its own. */
  readonly endpoint: string
  /** The account's public key, 65 bytes uncompressed. */
  readonly publicKey: Hex
  /** keccak-256 of the menu's RFC 8785 text; 32 zero bytes for none. */
  readonly menuHash: Hex
}

/** What endpoints of a service look like. */
export interface EndpointRule {
  /** What an endpoint must be, for people: `a ws:// or wss:// URL`. */
  readonly expected: string
  /** Whether a text is one. */
  accepts(endpoint: string): boolean
}

/** Endpoints that are URLs of WebSockets. */
export const webSocketEndpoint: EndpointRule = {
  expected: 'a ws:// or wss:// URL',
  accepts: (endpoint) => {
    try {
      return /^wss?:$/.test(new URL(endpoint).protocol)
    } catch {
      return false
    }
  },
}

/** Options of {@link Registry.list}. */
export interface ListOptions {
  /** Keeps what it returns true for. @default everything */
  readonly filter?: ((entry: RegistryEntry) => boolean) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Finds sellers. Must pass `registrySuite` of `sluice-sdk/testing`. */
export interface Registry {
  /** The entry of an account. @throws `NO_SUCH_SELLER`. */
  find(account: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<RegistryEntry>
  /** Goes through the entries. */
  list(options?: ListOptions): AsyncIterable<RegistryEntry>
}

/** A registry that a seller can enter itself into. */
export interface PublishingRegistry extends Registry {
  /** Enters the account, or renews its entry. */
  publish(entry: Omit<RegistryEntry, 'account'>, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
  /** Takes the entry out. */
  withdraw(options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
}

/** Arguments of {@link Registry.find} and {@link Registry.list}. */
export const listRules = { filter: /* @__PURE__ */ optional(callback), signal: /* @__PURE__ */ optional(abortSignal) }

const entryRules = {
  account: address,
  endpoint: /* @__PURE__ */ text(),
  publicKey: /* @__PURE__ */ hexText(),
  menuHash: /* @__PURE__ */ hexText(),
}

/**
 * Checks an entry: an endpoint by the rule (a WebSocket URL, if none is given), and a key that belongs to the account.
 * @throws `BAD_ARGUMENT` naming the field.
 */
export function assertEntry(entry: RegistryEntry, rule: EndpointRule = webSocketEndpoint): RegistryEntry {
  assertArguments(entry, entryRules, 'entry')
  const fail = (field: string, expected: string): SluiceError =>
    new SluiceError('BAD_ARGUMENT', `registry entry of ${entry.account}: ${field} must be ${expected}`, { details: { field } })
  if (!rule.accepts(entry.endpoint)) throw fail('endpoint', rule.expected)
  if (addressOf(fromHex(entry.publicKey, 65)).toLowerCase() !== entry.account.toLowerCase()) throw fail('publicKey', "the account's")
  fromHex(entry.menuHash, 32)
  return entry
}

/** The entry if it is good. In a list, a bad one is nobody's to meet: whoever made it must not stop the others. */
export function tryEntry(entry: RegistryEntry, rule?: EndpointRule): RegistryEntry | undefined {
  try {
    return assertEntry(entry, rule)
  } catch {
    return undefined
  }
}

/** Whether a text is an account; another is asked for nowhere. */
export function isAccount(account: string): boolean {
  return typeof account === 'string' && /^0x[0-9a-fA-F]{40}$/.test(account)
}

/** The error of {@link Registry.find}. */
export function noSuchSeller(account: string): SluiceError {
  const known = typeof account === 'string' ? account : undefined // a caller's mistake may have no text at all
  return new SluiceError('NO_SUCH_SELLER', `no seller ${known ?? 'of that kind'} is registered`, { details: { account: known } })
}
