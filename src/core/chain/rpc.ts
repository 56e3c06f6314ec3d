import type { Provider } from 'ethers'
import { type Clock, systemClock } from '../clock.ts'
import { withDeadline } from '../deadline.ts'
import { isSluiceError, SluiceError } from '../errors.ts'
import { httpStatus, jsonRpcError, retry, retryAfter } from '../retry.ts'
import { reasonOf } from './verdict.ts'

/** The head of a block: what tells chains apart. */
export interface Header {
  readonly number: number
  readonly hash: string
  readonly parentHash: string
  /** Unix seconds. */
  readonly timestamp: number
}

/** A node as {@link createSender} and {@link createWatcher} ask it: in bounded time, and with typed errors. */
export interface Rpc {
  /**
   * Asks the node something.
   * @param what a noun phrase for messages, such as `gas price`.
   * @throws `RPC_FAILED`, `ABORTED`.
   */
  ask<T>(what: string, run: () => Promise<T>, options?: AskOptions | undefined): Promise<T>
  chainId(options?: AskOptions | undefined): Promise<bigint>
  /** The chain's id, and a name that tells it also from others of that id: development chains that are started anew. */
  identify(options?: AskOptions | undefined): Promise<{ readonly chainId: bigint; readonly chain: string }>
  /** Number of the newest block. */
  head(options?: AskOptions | undefined): Promise<number>
  /** Undefined if the node has no such block. */
  header(block: number, options?: AskOptions | undefined): Promise<Header | undefined>
  /** Transactions that an account has made: the next nonce. */
  nonce(address: string, block: number | 'latest' | 'pending', options?: AskOptions | undefined): Promise<number>
}

/** How long to insist on an answer. */
export interface AskOptions {
  /** Times to ask at most while the failure is one that passes. @default 1 */
  readonly attempts?: number | undefined
  /** @default none */
  readonly signal?: AbortSignal | undefined
}

/** Options of {@link createRpc}. */
export interface RpcOptions {
  readonly provider: Provider
  /** Milliseconds that one answer may take. @default 15000 */
  readonly timeout?: number | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

/** Creates an {@link Rpc}. */
export function createRpc({ provider, timeout = 15_000, clock = systemClock }: RpcOptions): Rpc {
  const ask: Rpc['ask'] = async (what, run, { attempts = 1, signal } = {}) => {
    try {
      return await retry(() => withDeadline({ what, ms: timeout, signal, clock }, run), { attempts, signal, clock })
    } catch (error) {
      throw rpcError(error, what, clock.now())
    }
  }

  // ethers keeps answers for 250 ms. That is too long here: a block that has just been mined would not be seen.
  const fresh = hasSend(provider) ? provider : undefined

  const rpc: Rpc = {
    ask,
    chainId: (options) => ask('chain id', async () => (await provider.getNetwork()).chainId, options),
    async identify(options = { attempts: 5 }) {
      const [chainId, genesis] = await Promise.all([rpc.chainId(options), rpc.header(0, options)])
      if (!genesis) throw new SluiceError('RPC_FAILED', 'node has no block 0, so its chain cannot be told from others')
      return { chainId, chain: `${chainId}-${genesis.hash.slice(2, 18)}` }
    },
    head: (options) =>
      ask(
        'block number',
        async () => (fresh ? quantity(await fresh.send('eth_blockNumber', [])) : provider.getBlockNumber()),
        options,
      ),
    header: (block, options) =>
      ask(
        `block ${block}`,
        async () => {
          if (fresh) return rawHeader(await fresh.send('eth_getBlockByNumber', [`0x${block.toString(16)}`, false]))
          const found = await provider.getBlock(block)
          if (!found?.hash) return undefined
          return { number: found.number, hash: found.hash, parentHash: found.parentHash, timestamp: found.timestamp }
        },
        options,
      ),
    nonce: (address, block, options) =>
      ask(
        'transaction count',
        async () =>
          fresh
            ? quantity(
              await fresh.send('eth_getTransactionCount', [
                address,
                  typeof block === 'number' ? `0x${block.toString(16)}` : block,
              ]),
            )
            : provider.getTransactionCount(address, block),
        options,
      ),
  }
  return rpc
}

/** Throws `WRONG_CHAIN` if a chain id is expected and the node's is another. */
export function assertChain(actual: bigint, expected: bigint | undefined): void {
  if (expected === undefined || expected === actual) return
  throw new SluiceError('WRONG_CHAIN', `node serves chain ${actual}, not ${expected}`, {
    details: { expected, actual },
  })
}

/**
 * Wraps what a provider throws.
 *
 * The cause keeps code, sentence and stack but not the rest: ethers puts the URL of the node, and with it the API key,
 * into messages and fields of its errors.
 */
export function rpcError(error: unknown, what: string, now = Date.now()): SluiceError {
  if (isSluiceError(error) && error.code !== 'TIMEOUT') return error
  const { code } = error as { code?: unknown }
  const inner = jsonRpcError(error)
  const reason = reasonOf(error)
  const cause = new Error(reason)
  if (error instanceof Error && error.stack)
    cause.stack = error.stack.replace(/^[\s\S]*?(?=\n {4}at )/, `${error.name}: ${reason}`)
  return new SluiceError('RPC_FAILED', `node gave no ${what}: ${reason}`, {
    details: {
      what,
      cause: typeof code === 'string' ? code : undefined,
      status: httpStatus(error),
      rpcCode: typeof inner?.code === 'number' ? inner.code : undefined,
      retryAfter: retryAfter(error, now),
    },
    cause,
  })
}

/** Whether a node that refused to search a range may answer for a smaller one. */
export function asksTooMuch(error: unknown): boolean {
  if (!isSluiceError(error, 'RPC_FAILED')) return false
  const { rpcCode, status, cause } = error.details
  if (status === 429 || /rate.?limit|too many requests/i.test(error.shortMessage)) return false
  return rpcCode !== undefined || status === 400 || status === 413 || cause === 'TIMEOUT'
}

/** Whether a chain is one that developers run for themselves. */
export function isDevelopmentChain(chainId: bigint): boolean {
  return chainId === 31337n || chainId === 1337n
}

/** Milliseconds between two looks at a chain: short where blocks come at once, else the shortest block time in use. */
export function pollIntervalOf(chainId: bigint): number {
  return isDevelopmentChain(chainId) ? 200 : 2000
}

function hasSend(
  provider: Provider,
): provider is Provider & { send(method: string, params: readonly unknown[]): Promise<unknown> } {
  return 'send' in provider && typeof provider.send === 'function'
}

function rawHeader(block: unknown): Header | undefined {
  if (block === null || block === undefined) return undefined
  const { number, hash, parentHash, timestamp } = block as Record<string, unknown>
  if (typeof hash !== 'string' || typeof parentHash !== 'string')
    throw new SluiceError('RPC_FAILED', 'node answered with a block without a hash')
  return { number: quantity(number), hash, parentHash, timestamp: quantity(timestamp) }
}

function quantity(value: unknown): number {
  const number = typeof value === 'string' ? Number(value) : NaN
  if (!Number.isSafeInteger(number))
    throw new SluiceError('RPC_FAILED', `node answered ${String(value).slice(0, 40)} where a number belongs`)
  return number
}
