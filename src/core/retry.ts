import { type Clock, systemClock } from './clock.ts'
import { throwIfAborted } from './deadline.ts'
import { type ErrorCode, isSluiceError } from './errors.ts'

/**
 * What to do about an error: try again soon, wait for the other side to recover first, or give up because a repetition
 * would end the same way or do harm.
 */
export type Advice = 'retry' | 'wait' | 'abort'

/** Codes of ethers v6. What is not listed is the caller's mistake and ends the same way each time. */
const ETHERS: Readonly<Record<string, Advice>> = {
  NETWORK_ERROR: 'retry',
  SERVER_ERROR: 'retry',
  TIMEOUT: 'retry',
  BAD_DATA: 'retry', // an answer cut short, or a node that lags behind its own index
  NONCE_EXPIRED: 'retry', // with the next nonce
  REPLACEMENT_UNDERPRICED: 'wait', // until the other transaction is mined, or with a higher fee
  INSUFFICIENT_FUNDS: 'abort',
  ACTION_REJECTED: 'abort',
  CALL_EXCEPTION: 'abort',
  CANCELLED: 'abort',
}

/** Our own codes. What is not listed ends the same way each time, or may already have had its effect. */
const SLUICE: Readonly<Partial<Record<ErrorCode, Advice>>> = {
  RPC_FAILED: 'retry',
  TIMEOUT: 'retry',
  CONNECTION_FAILED: 'retry',
  CONNECTION_LOST: 'retry',
  OVERLOADED: 'wait',
}

/** JSON-RPC 2.0 section 5.1 and EIP-1474. */
const JSON_RPC: Readonly<Record<number, Advice>> = {
  [-32700]: 'abort', // parse error
  [-32600]: 'abort', // invalid request
  [-32601]: 'abort', // method not found
  [-32602]: 'abort', // invalid params
  [-32603]: 'retry', // internal error
  [-32000]: 'retry', // invalid input by EIP-1474, used for anything that is not well by every node
  [-32001]: 'retry', // resource not found: a node behind the others
  [-32002]: 'wait', // resource unavailable
  [-32003]: 'abort', // transaction rejected
  [-32004]: 'abort', // method not supported
  [-32005]: 'wait', // limit exceeded
  [429]: 'wait', // as some providers put it
  3: 'abort', // execution reverted
  4001: 'abort', // EIP-1193: user rejected
  4100: 'abort', // EIP-1193: unauthorized
  4200: 'abort', // EIP-1193: unsupported method
  4900: 'retry', // EIP-1193: disconnected
  4901: 'retry', // EIP-1193: chain disconnected
}

/** Codes of sockets and HTTP clients: Node, undici, axios. */
const SOCKET =
  /^(ECONN(REFUSED|RESET|ABORTED)|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|ENETUNREACH|EHOSTUNREACH|ERR_NETWORK|UND_ERR_.*)$/

/**
 * Tells whether something that failed is worth another try.
 *
 * Knows the errors of ethers, of JSON-RPC nodes and wallets (EIP-1474, EIP-1193), of HTTP (RFC 9110), of sockets and of
 * Sluice. An error that it does not know is a defect, not weather: `abort`.
 */
export function advise(error: unknown): Advice {
  if (!isRecord(error)) return 'abort'
  const status = httpStatus(error)
  if (status !== undefined) return adviseHttp(status)
  const inner = jsonRpcError(error)
  if (isSluiceError(error)) {
    const { rpcCode } = error.details
    return (typeof rpcCode === 'number' ? JSON_RPC[rpcCode] : undefined) ?? SLUICE[error.code] ?? 'abort'
  }
  const { code } = error
  // ethers calls every error a node can answer a call with a CALL_EXCEPTION, and what it cannot place UNKNOWN_ERROR.
  if (inner && (code === 'UNKNOWN_ERROR' || (code === 'CALL_EXCEPTION' && error.data == null))) {
    if (typeof inner.message === 'string' && /rate.?limit|too many requests/i.test(inner.message)) return 'wait'
    if (typeof inner.message === 'string' && /revert/i.test(inner.message)) return 'abort'
    return JSON_RPC[Number(inner.code)] ?? 'retry'
  }
  if (typeof code === 'string') return ETHERS[code] ?? (SOCKET.test(code) ? 'retry' : adviseCause(error))
  if (typeof code === 'number') return JSON_RPC[code] ?? 'abort'
  return adviseCause(error)
}

/** `fetch` hides what happened to its socket in the cause of a TypeError. */
function adviseCause(error: Record<string, unknown>): Advice {
  return isRecord(error.cause) && error.cause !== error ? advise(error.cause) : 'abort'
}

function adviseHttp(status: number): Advice {
  if (status === 429 || status === 503) return 'wait'
  return status === 408 || status === 425 || status >= 500 ? 'retry' : 'abort'
}

/** Options of {@link retry}. */
export interface RetryOptions {
  /** Runs at most, the first one included. @default 5 */
  readonly attempts?: number | undefined
  /** Milliseconds before the second run at most; doubles with each further one. @default 250 */
  readonly delay?: number | undefined
  /** Milliseconds that a pause grows to at most; a longer `Retry-After` is not waited for. @default 30000 */
  readonly maxDelay?: number | undefined
  /** What to do about an error. @default advise */
  readonly advise?: ((error: unknown) => Advice) | undefined
  /** Called before each pause. @default none */
  readonly onRetry?: ((error: unknown, attempt: number, pause: number) => void) | undefined
  /** Ends the pause. @default none */
  readonly signal?: AbortSignal | undefined
  /** Source of the jitter, from 0 to below 1. @default Math.random */
  readonly random?: (() => number) | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/**
 * Runs something until it succeeds, as long as its errors are worth it.
 *
 * Pauses grow exponentially and are shortened by up to half at random, so that clients that failed together do not come
 * back together. Where the other side is overloaded the pause is the whole one and four times as long, or what its
 * `Retry-After` asks for (RFC 9110 section 10.2.3).
 * @throws the last error, unchanged; `ABORTED` when the signal fires.
 */
export async function retry<T>(run: (attempt: number) => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const { attempts = 5, maxDelay = 30_000, onRetry, signal, clock = systemClock } = options
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(signal)
    try {
      return await run(attempt)
    } catch (error) {
      const advice = (options.advise ?? advise)(error)
      if (advice === 'abort' || attempt >= attempts) throw error
      const asked = advice === 'wait' ? retryAfter(error, clock.now()) : undefined
      if (asked !== undefined && asked > maxDelay) throw error
      const pause = asked ?? backoff(attempt, { ...options, factor: advice === 'wait' ? 4 : 1 })
      onRetry?.(error, attempt, pause)
      await clock.sleep(pause, signal)
    }
  }
}

/** The pause after the given failed attempt, in milliseconds, jitter included. */
export function backoff(
  attempt: number,
  {
    delay = 250,
    maxDelay = 30_000,
    random = Math.random,
    factor = 1,
  }: Pick<RetryOptions, 'delay' | 'maxDelay' | 'random'> & { factor?: number } = {},
): number {
  const whole = Math.min(delay * factor * 2 ** (attempt - 1), maxDelay)
  return factor > 1 ? whole : Math.round(whole * (1 - random() / 2))
}

/** Milliseconds that the other side asked to wait for, if it did. */
export function retryAfter(error: unknown, now: number): number | undefined {
  if (!isRecord(error)) return undefined
  const text = isRecord(error.details) ? error.details.retryAfter : headerOf(error.response, 'retry-after')
  if (typeof text === 'number') return text
  if (typeof text !== 'string') return undefined
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/** HTTP status of an error of ethers, of axios, or of ours. */
export function httpStatus(error: unknown): number | undefined {
  if (!isRecord(error)) return undefined
  for (const from of [error.response, error.details]) {
    if (!isRecord(from)) continue
    const status = from.statusCode ?? from.status
    if (typeof status === 'number' && status >= 400) return status
  }
  return undefined
}

/** The `error` member of the node's answer behind an error of ethers. */
export function jsonRpcError(error: unknown): { readonly code?: unknown; readonly message?: unknown } | undefined {
  if (!isRecord(error)) return undefined
  const inner = error.error ?? (isRecord(error.info) ? error.info.error : undefined)
  return isRecord(inner) ? inner : undefined
}

function headerOf(response: unknown, name: string): unknown {
  if (!isRecord(response)) return undefined
  const { headers } = response
  if (!isRecord(headers)) return undefined
  return typeof headers.get === 'function' ? (headers.get as (name: string) => unknown)(name) : headers[name]
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
