import type { FeeData, Provider } from 'ethers'
import { type Clock, systemClock } from '../clock.ts'
import { withDeadline } from '../deadline.ts'
import { isSluiceError, SluiceError } from '../errors.ts'
import { advise, httpStatus, jsonRpcError, retry, retryAfter } from '../retry.ts'
import { createOwnWrites, type FollowOptions, type OwnWrite } from './ownWrites.ts'
import { reasonOf } from './verdict.ts'
import { redact } from '../redact.ts'

/** The head of a block: what tells chains apart. */
export interface Header {
  readonly number: number
  readonly hash: string
  readonly parentHash: string
  /** Unix seconds. */
  readonly timestamp: number
  /** 256 bytes in hex; undefined where the provider does not tell. */
  readonly logsBloom?: string | undefined
}

/** A node as {@link createSender} and {@link createWatcher} ask it: in bounded time, and with typed errors. */
export interface Rpc {
  /**
   * Asks the node something.
   * @param what a noun phrase for messages, such as `gas price`.
   * @throws `RPC_FAILED`, `ABORTED`.
   */
  ask<T>(what: string, run: () => Promise<T>, options?: AskOptions | undefined): Promise<T>
  /**
   * Asks the node itself, whatever the provider was set up for.
   * @throws `WRONG_CHAIN` when the two differ; `RPC_FAILED` within one timeout when the node is silent.
   */
  chainId(options?: AskOptions | undefined): Promise<bigint>
  /**
   * The chain's id, and a name for the chain. Development chains that are started anew share an id: theirs holds the hash
   * of block 0 too, if the node gives it.
   */
  identify(options?: AskOptions | undefined): Promise<{ readonly chainId: bigint; readonly chain: string }>
  /** Number of the newest block. */
  head(options?: AskOptions | undefined): Promise<number>
  /** Undefined if the node has no such block. */
  header(block: number, options?: AskOptions | undefined): Promise<Header | undefined>
  /** Transactions that an account has made: the next nonce. */
  nonce(address: string, block: number | 'latest' | 'pending', options?: AskOptions | undefined): Promise<number>
  /** Hash of a transaction that waits in the node's pool, if the node tells. */
  pendingHash(address: string, nonce: number): Promise<string | undefined>
  /** What to pay for gas, by the node itself. Null where it has no such price. */
  prices(options?: AskOptions | undefined): Promise<GasPrices>
  /** Notes that a block holds a transaction of ours: nodes that have not seen it are not believed for a while. */
  wrote(write: OwnWrite): void
  /** Whether a transaction of ours is so young that a node may not have seen it. */
  hasWritten(address: string): boolean
  /**
   * Runs a question that follows a transaction of ours, and runs it again while the nodes behind the provider may
   * contradict it only because they have not seen that transaction. A real answer comes late by seconds at most.
   */
  follow<T>(address: string, run: () => Promise<T>, options: FollowOptions<T>): Promise<T>
}

/** Wei per gas. */
export type GasPrices = Pick<FeeData, 'gasPrice' | 'maxFeePerGas' | 'maxPriorityFeePerGas'>

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

/** Source: JSON-RPC 2.0, section 5.1. */
const METHOD_MISSING = -32601
/** Milliseconds after which a node that says nothing is not asked again; before, the question may be lost on its way. */
const SILENCE = 20_000
/** The same for the first question of every factory: with the default timeout it is asked once. */
const FIRST_SILENCE = 15_000

/** Creates an {@link Rpc}. */
export function createRpc({ provider, timeout = 15_000, clock = systemClock }: RpcOptions): Rpc {
  const insist = async <T>(
    what: string,
    run: () => Promise<T>,
    { attempts = 1, signal }: AskOptions = {},
    silence = SILENCE,
  ): Promise<T> => {
    const began = clock.now()
    const isSilent = (error: unknown) => isSluiceError(error, 'TIMEOUT') && clock.now() - began >= silence
    const judge = (error: unknown) => (isSilent(error) ? 'abort' : advise(error))
    try {
      const ask = () => withDeadline({ what, ms: timeout, signal, clock }, run)
      return await retry(ask, { attempts, signal, clock, advise: judge })
    } catch (error) {
      throw rpcError(error, what, clock.now(), nodeUrl(provider))
    }
  }
  const ask: Rpc['ask'] = (what, run, options) => insist(what, run, options)

  // ethers keeps answers for 250 ms. That is too long here: a block that has just been mined would not be seen.
  const fresh = hasSend(provider) ? provider : undefined

  /** Undefined if the node answers that it does not do this. */
  const tryTo = <T>(run: () => Promise<T>): Promise<T | undefined> =>
    run().catch((error: unknown) => {
      if (isRefusal(error)) return undefined
      throw error
    })

  const rpc: Omit<Rpc, 'wrote' | 'hasWritten' | 'follow'> = {
    ask,
    chainId: (options) =>
      insist(
        'chain id',
        async () => {
          // The provider fails at once where its node is down; asked for anything else, it waits for ever.
          const { chainId } = await provider.getNetwork()
          const served = await fresh?.send('eth_chainId', []).catch((error: unknown) => {
            if (Number(jsonRpcError(error)?.code) !== METHOD_MISSING) throw error
            return undefined
          })
          if (served !== undefined) assertChain(bigQuantity(served), chainId)
          return chainId
        },
        options,
        FIRST_SILENCE,
      ),
    async identify(options = { attempts: 5 }) {
      const chainId = await rpc.chainId(options)
      const id = String(chainId)
      // Many nodes keep no block 0, and no other chains are started anew.
      if (!isDevelopmentChain(chainId)) return { chainId, chain: id }
      const genesis = await tryTo(() => rpc.header(0, options))
      return { chainId, chain: genesis ? `${id}-${genesis.hash.slice(2, 18)}` : id }
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
          if (fresh) return rawHeader(await fresh.send('eth_getBlockByNumber', [hexQuantity(block), false]))
          const found = await provider.getBlock(block)
          if (!found?.hash) return undefined
          return { number: found.number, hash: found.hash, parentHash: found.parentHash, timestamp: found.timestamp }
        },
        options,
      ),
    async nonce(address, block, options) {
      const count = (tag: number | string) =>
        ask(
          'transaction count',
          async () =>
            fresh
              ? quantity(await fresh.send('eth_getTransactionCount', [address, typeof tag === 'number' ? hexQuantity(tag) : tag]))
              : provider.getTransactionCount(address, tag),
          options,
        )
      // Without a pool that it tells of, a node counts what is mined; the lane knows the rest.
      if (block === 'pending') return (await tryTo(() => count(block))) ?? count('latest')
      return count(block)
    },
    async pendingHash(address, nonce) {
      if (!fresh) return undefined
      const look = async (): Promise<string | undefined> => {
        // Few nodes know the first, and few show all that waits in the second.
        const direct = await tryTo(() => fresh.send('eth_getTransactionBySenderAndNonce', [address, hexQuantity(nonce)]))
        const block = isSet(direct) ? undefined : await tryTo(() => fresh.send('eth_getBlockByNumber', ['pending', true]))
        const { transactions } = (block ?? {}) as { readonly transactions?: unknown }
        const waiting: unknown[] = Array.isArray(transactions) ? transactions : []
        const all = [direct, ...waiting] as Partial<Record<string, unknown>>[]
        const found = all.find(
          (each) => String(each?.from).toLowerCase() === address.toLowerCase() && Number(each.nonce) === nonce,
        )?.hash
        return typeof found === 'string' && /^0x[0-9a-f]{64}$/i.test(found) ? found : undefined
      }
      return ask('transaction in front', look).catch(() => undefined)
    },
    prices: (options) =>
      ask(
        'gas price',
        async () => (fresh ? nodePrices((...question) => tryTo(() => fresh.send(...question))) : provider.getFeeData()),
        options,
      ),
  }
  return { ...rpc, ...createOwnWrites(provider, rpc, clock) }
}

/** Wei per gas for whoever mines, where the node names none. */
const USUAL_TIP = 1_000_000_000n

/**
 * What gas costs, from the node that the user chose: for some chains ethers asks a third party over HTTP.
 * @param ask gives undefined for a method that the node does not have.
 */
async function nodePrices(ask: (method: string, params: readonly unknown[]) => Promise<unknown>): Promise<GasPrices> {
  const [block, tip] = await Promise.all([ask('eth_getBlockByNumber', ['latest', false]), ask('eth_maxPriorityFeePerGas', [])])
  const base = (block as { readonly baseFeePerGas?: unknown } | null | undefined)?.baseFeePerGas
  if (base === undefined || base === null) {
    const gasPrice = await ask('eth_gasPrice', [])
    return { gasPrice: isSet(gasPrice) ? bigQuantity(gasPrice) : null, maxFeePerGas: null, maxPriorityFeePerGas: null }
  }
  const maxPriorityFeePerGas = isSet(tip) ? bigQuantity(tip) : (await pastTip(ask)) ?? USUAL_TIP
  return { gasPrice: null, maxFeePerGas: 2n * bigQuantity(base) + maxPriorityFeePerGas, maxPriorityFeePerGas }
}

/** The middle of what the last blocks' transactions paid beyond the base fee. */
async function pastTip(ask: (method: string, params: readonly unknown[]) => Promise<unknown>): Promise<bigint | undefined> {
  const history = await ask('eth_feeHistory', ['0x5', 'latest', [50]])
  const { reward } = (history ?? {}) as { readonly reward?: unknown }
  const rows = Array.isArray(reward) ? (reward as unknown[]) : []
  const tips = rows.flatMap((row) => (Array.isArray(row) ? [bigQuantity(row[0])] : []))
  const paid = tips.filter((wei) => wei > 0n).sort((a, b) => (a < b ? -1 : 1))
  return paid[Math.floor(paid.length / 2)]
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
export function rpcError(error: unknown, what: string, now = Date.now(), node?: string | undefined): SluiceError {
  if (isSluiceError(error) && error.code !== 'TIMEOUT') return error
  const { code } = error as { code?: unknown }
  const inner = jsonRpcError(error)
  const reason = reasonOf(error, node)
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

/** The URL that a provider of ethers asks, for {@link reasonOf} to take out. */
export function nodeUrl(provider: Provider): string | undefined {
  const { _getConnection: connection } = provider as { _getConnection?: () => { readonly url?: unknown } }
  const url = typeof connection === 'function' ? connection.call(provider).url : undefined
  return typeof url === 'string' ? url : undefined
}

/** Whether a node that refused to search a range may answer for a smaller one. */
export function asksTooMuch(error: unknown): boolean {
  if (!isSluiceError(error, 'RPC_FAILED')) return false
  const { rpcCode, status, cause } = error.details
  if (status === 429 || /rate.?limit|too many requests/i.test(error.shortMessage)) return false
  return rpcCode !== undefined || status === 400 || status === 413 || cause === 'TIMEOUT'
}

/**
 * Whether a node answers that it does not do what it was asked: a method that it lacks, a block that it does not keep. One
 * that only has too much to do is no such node.
 */
export function isRefusal(error: unknown): boolean {
  if (advise(error) === 'wait') return false
  const status = httpStatus(error)
  if (status !== undefined && status !== 401 && status !== 403 && status < 500) return true
  const inner = isSluiceError(error) ? error.details.rpcCode : jsonRpcError(error)?.code
  if (status === undefined && inner !== undefined) return true
  const { code } = error as { code?: unknown }
  return code === 'UNSUPPORTED_OPERATION' || typeof code === 'number' // as providers of browsers put it
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
  const { number, hash, parentHash, timestamp, logsBloom } = block as Record<string, unknown>
  if (typeof hash !== 'string' || typeof parentHash !== 'string')
    throw new SluiceError('RPC_FAILED', 'node answered with a block without a hash')
  const bloom = typeof logsBloom === 'string' ? { logsBloom } : {}
  return { number: quantity(number), hash, parentHash, timestamp: quantity(timestamp), ...bloom }
}

function quantity(value: unknown): number {
  const number = typeof value === 'string' ? Number(value) : NaN
  if (!Number.isSafeInteger(number)) throw noNumber(value)
  return number
}

function bigQuantity(value: unknown): bigint {
  if (typeof value !== 'string' || !/^(0x[0-9a-f]{1,64}|\d{1,78})$/i.test(value)) throw noNumber(value)
  return BigInt(value)
}

function hexQuantity(number: number): string {
  return `0x${number.toString(16)}`
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null
}

function noNumber(value: unknown): SluiceError {
  return new SluiceError('RPC_FAILED', `node answered ${redact(String(value)).slice(0, 40)} where a number belongs`)
}
