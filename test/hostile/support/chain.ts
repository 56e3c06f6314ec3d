/**
 * An EVM in this process, for models that try thousands of runs: no sockets, no polling, no timers. Blocks come when the
 * model says so and carry the time that it says; every node has a view of its own, which can hang.
 *
 * The EVM is the one Hardhat runs on. Requests go to it one after the other, so that a run repeats exactly.
 * @module
 */
import { createRequire } from 'node:module'
import { BrowserProvider, keccak256, Network, type JsonRpcApiProvider } from 'ethers'
import type * as Edr from '@nomicfoundation/edr'
import type { Hex } from '../../../src/core/bytes.ts'

const edr = createRequire(import.meta.url)('@nomicfoundation/edr') as typeof Edr

/** Options of {@link startChain}. */
export interface ChainOptions {
  /** @default 4242: not one of the ids that stand for development chains */
  readonly chainId?: number | undefined
  /** Unix seconds of the first block. @default 1800000000 */
  readonly begin?: number | undefined
  /** Gas of a block, and so of a transaction. @default 30000000 */
  readonly gasLimit?: number | undefined
}

/** A node's way to the chain. */
export interface ChainView {
  readonly provider: JsonRpcApiProvider
  /** While set, no question is answered: those that were asked get their answers afterwards. */
  hung: boolean
}

/** A transaction that waits for its block, or is in one. */
export interface ModelTransaction {
  readonly hash: Hex
  /** As it was signed. */
  readonly raw: string
  /** In lower case. */
  readonly from: Hex
  readonly data: Hex
}

/** What transactions have cost. */
export interface Spent {
  readonly gas: bigint
  readonly wei: bigint
}

/** A block's head as the chain's own JSON-RPC gives it. */
interface Block {
  readonly number: number
  readonly hash: Hex
  readonly timestamp: number
  /** As JSON-RPC answers it. */
  readonly answer: Record<string, unknown>
  readonly logs: readonly RawLog[]
  /** Goes back to just after this block. */
  readonly snapshot: string
}
interface RawLog {
  readonly address: string
  readonly topics: readonly string[]
  readonly blockNumber: string
}

/** See {@link startChain}. */
export interface ModelChain {
  readonly chainId: number
  /** Number of the newest block. */
  readonly head: number
  /** Of the newest block, Unix seconds. */
  readonly time: number
  /** Another way to the chain. */
  view(): ChainView
  /** Makes a block of what waits, at this time or a second after the last block. */
  mine(timestamp: number): Promise<void>
  /** Transactions that wait for a block, oldest first. */
  waiting(): readonly ModelTransaction[]
  /** Replaces the newest blocks by as many others. What was in them waits again, except what `drops` says. */
  reorg(depth: number, drops?: (transaction: ModelTransaction) => boolean): Promise<void>
  /** Changes what a block may hold, from the next one on. */
  setGasLimit(gas: number): Promise<void>
  /** What an account's transactions have used since the last return to a mark: gas, and wei paid for it. */
  spentBy(account: string): Spent
  /** Lets each transaction have a block of its own at once, for what is set up before a run. */
  setAutomine(on: boolean): Promise<void>
  /** Remembers everything; `back` returns there, as often as is wanted. */
  mark(): Promise<() => Promise<void>>
  /** Waits until nobody asks anything and nothing goes on by itself. */
  idle(): Promise<void>
  send(method: string, params: readonly unknown[]): Promise<unknown>
}

let context: Promise<Edr.EdrContext> | undefined
/** One for the process: EDR takes no second. */
function edrContext(): Promise<Edr.EdrContext> {
  return (context ??= (async () => {
    const made = new edr.EdrContext()
    await made.registerProviderFactory(edr.L1_CHAIN_TYPE, edr.l1ProviderFactory())
    return made
  })())
}

const NOTHING: Spent = { gas: 0n, wei: 0n }
const quantity = (value: number | bigint): string => `0x${value.toString(16)}`

/** Starts a chain. Its gas is free, so that balances show nothing but what contracts moved. */
export async function startChain(options: ChainOptions = {}): Promise<ModelChain> {
  const { chainId = 4242, begin = 1_800_000_000, gasLimit = 30_000_000 } = options
  const evm = await (await edrContext()).createProvider(
    edr.L1_CHAIN_TYPE,
    {
      allowBlocksWithSameTimestamp: false,
      allowUnlimitedContractSize: false,
      bailOnCallFailure: true,
      bailOnTransactionFailure: false,
      chainId: BigInt(chainId),
      coinbase: new Uint8Array(20),
      defaultTransactionGasLimit: BigInt(gasLimit),
      genesisState: edr.l1GenesisState(edr.l1HardforkFromString(edr.PRAGUE)),
      hardfork: edr.PRAGUE,
      initialBaseFeePerGas: 0n,
      minGasPrice: 0n,
      mining: { autoMine: false, blockGasLimit: BigInt(gasLimit), memPool: { order: edr.MineOrdering.Priority } },
      network: { genesisBlockGasLimit: BigInt(gasLimit), genesisBlockTime: BigInt(begin) },
      networkId: BigInt(chainId),
      observability: {},
      ownedAccounts: [],
      precompileOverrides: [],
      transactionGasCap: false,
    },
    { enable: false, decodeConsoleLogInputsCallback: () => [], printLineCallback: () => {} },
    { subscriptionCallback: () => {} },
    new edr.ContractDecoder(),
  )

  let asked = 0
  let line: Promise<unknown> = Promise.resolve()
  let underWay = 0
  /** Asks the EVM, after everything that was asked before. */
  function ask(method: string, params: readonly unknown[]): Promise<unknown> {
    underWay++
    const answer = line.then(async () => {
      const response = await evm.handleRequest(JSON.stringify({ jsonrpc: '2.0', id: ++asked, method, params }))
      const data = response.data as unknown
      const { result, error } = (typeof data === 'string' ? JSON.parse(data) : data) as {
        result?: unknown
        error?: RpcFailure
      }
      if (error) throw rpcError(error)
      return result
    })
    line = answer.catch(() => {}).then(() => void underWay--)
    return answer
  }

  let blocks: Block[] = []
  let automine = false
  let sent = new Map<Hex, ModelTransaction>()
  let included = new Map<Hex, number>()
  let spent = new Map<string, Spent>()
  /** Answers of calls: the same until there is another block. */
  let called = new Map<string, Promise<unknown>>()

  const head = (): Block => blocks.at(-1)!
  async function note(number: number): Promise<void> {
    const answer = (await ask('eth_getBlockByNumber', [quantity(number), false])) as Record<string, unknown>
    const hashes = answer['transactions'] as readonly Hex[]
    const logs =
      hashes.length === 0 ? [] : ((await ask('eth_getLogs', [{ fromBlock: quantity(number), toBlock: quantity(number) }])) as RawLog[])
    for (const hash of hashes) {
      included.set(hash, number)
      const receipt = (await ask('eth_getTransactionReceipt', [hash])) as Record<'from' | 'gasUsed' | 'effectiveGasPrice', string>
      const from = receipt.from.toLowerCase()
      const used = BigInt(receipt.gasUsed)
      const before = spent.get(from) ?? NOTHING
      spent.set(from, { gas: before.gas + used, wei: before.wei + used * BigInt(receipt.effectiveGasPrice) })
    }
    const snapshot = (await ask('evm_snapshot', [])) as string
    called = new Map()
    const timestamp = Number(answer['timestamp'])
    blocks.push({ number, hash: answer['hash'] as Hex, timestamp, answer, logs, snapshot })
    // A block that is more than half full would raise the price.
    if (BigInt(answer['gasUsed'] as string) > 0n) await ask('hardhat_setNextBlockBaseFeePerGas', ['0x0'])
  }
  async function noteNew(): Promise<void> {
    const newest = Number(await ask('eth_blockNumber', []))
    for (let number = head().number + 1; number <= newest; number++) await note(number)
  }
  blocks = []
  await note(0)

  const chain: ModelChain = {
    chainId,
    get head() {
      return head().number
    },
    get time() {
      return head().timestamp
    },
    view() {
      const waiting: (() => void)[] = []
      let hung = false
      const provider = new BrowserProvider({ request: () => Promise.reject(new Error('not used')) }, undefined, {
        cacheTimeout: -1,
        staticNetwork: Network.from(chainId),
      })
      // The way of ethers waits by a timer, to make batches of questions.
      provider.send = async (method, params) => {
        if (hung) await new Promise<void>((resolve) => waiting.push(resolve))
        try {
          return (await chain.send(method, params as readonly unknown[])) as object
        } catch (error) {
          // Errors as ethers gives them: with what a contract reverts with.
          const payload = { jsonrpc: '2.0', id: 1, method, params } as const
          throw provider.getRpcError(payload, { id: 1, error: (error as ReturnType<typeof rpcError>).error })
        }
      }
      return {
        provider,
        get hung() {
          return hung
        },
        set hung(on) {
          hung = on
          if (!on) for (const go of waiting.splice(0)) go()
        },
      }
    },
    async mine(timestamp) {
      await ask('evm_mine', [Math.max(timestamp, head().timestamp + 1)])
      await note(head().number + 1)
    },
    waiting: () => [...sent.values()].filter(({ hash }) => !included.has(hash)),
    async reorg(depth, drops = () => false) {
      const keep = blocks.at(-1 - depth)
      if (!keep) throw new Error(`there are no ${depth} blocks to replace`)
      const { timestamp } = head()
      await ask('evm_revert', [keep.snapshot])
      blocks = blocks.slice(0, -depth)
      // A snapshot can be used once.
      blocks[blocks.length - 1] = { ...keep, snapshot: (await ask('evm_snapshot', [])) as string }
      for (const [hash, number] of included) if (number > keep.number) included.delete(hash)
      for (const transaction of chain.waiting()) if (drops(transaction)) sent.delete(transaction.hash)
      // Another second: so none of the new blocks has the hash of an old one.
      const from = keep.timestamp
      for (let i = 1; i <= depth; i++) {
        if (i === depth) for (const { raw } of chain.waiting()) await ask('eth_sendRawTransaction', [raw]).catch(() => {})
        await chain.mine(Math.max(from + Math.floor(((timestamp - from) * i) / depth) + 1, head().timestamp + 1))
      }
    },
    setGasLimit: async (limit) => void (await ask('evm_setBlockGasLimit', [quantity(limit)])),
    spentBy: (account) => spent.get(account.toLowerCase()) ?? NOTHING,
    async setAutomine(on) {
      await ask('evm_setAutomine', [on])
      automine = on
    },
    async mark() {
      let snapshot = (await ask('evm_snapshot', [])) as string
      const then = [...blocks]
      const [thenSent, thenIncluded] = [new Map(sent), new Map(included)]
      return async () => {
        await ask('evm_revert', [snapshot])
        snapshot = (await ask('evm_snapshot', [])) as string
        const last = then.at(-1)!
        blocks = [...then.slice(0, -1), { ...last, snapshot: (await ask('evm_snapshot', [])) as string }]
        sent = new Map(thenSent)
        included = new Map(thenIncluded)
        called = new Map()
        spent = new Map()
      }
    },
    async idle() {
      for (;;) {
        // Whatever needs no answer of the EVM has run when this comes back.
        await new Promise((resolve) => setImmediate(resolve))
        if (underWay === 0) return
        await line
      }
    },
    async send(method, params) {
      switch (method) {
        case 'eth_chainId':
          return quantity(chainId)
        case 'eth_blockNumber':
          return quantity(head().number)
        case 'eth_gasPrice':
        case 'eth_maxPriorityFeePerGas':
          return '0x0'
        case 'eth_getBlockByNumber': {
          const [which, full] = params as [string, boolean]
          const number = which === 'latest' ? head().number : Number(which)
          if (full || Number.isNaN(number)) return ask(method, params)
          return blocks[number]?.answer ?? null
        }
        case 'eth_call': {
          const key = JSON.stringify(params)
          const answer = called.get(key) ?? ask(method, params)
          called.set(key, answer)
          return answer
        }
        case 'eth_getLogs':
          return logsOf(params[0] as LogFilter)
        case 'eth_sendRawTransaction': {
          const raw = params[0] as string
          const hash = keccak256(raw) as Hex
          try {
            await ask(method, params)
          } finally {
            if (automine) await noteNew()
          }
          // Who sent it, by the node: to find that out from a signature takes long.
          const { from, input } = (await ask('eth_getTransactionByHash', [hash])) as { from: Hex; input: Hex }
          sent.set(hash, { hash, raw, from, data: input })
          return hash
        }
        default:
          return ask(method, params)
      }
    },
  }
  return chain

  function logsOf({ address, topics = [], blockHash, fromBlock, toBlock }: LogFilter): readonly RawLog[] {
    const number = (tag: string | undefined, none: number): number => (tag === undefined || tag === 'latest' ? none : Number(tag))
    let from = number(fromBlock, 0)
    let to = number(toBlock, head().number)
    if (blockHash !== undefined) {
      const block = blocks.findLast(({ hash }) => hash === blockHash)
      if (!block) throw rpcError({ code: -32000, message: 'unknown block' })
      from = to = block.number
    }
    const addresses = address === undefined ? undefined : [address].flat().map((each) => each.toLowerCase())
    return blocks
      .slice(from, to + 1)
      .flatMap(({ logs }) => logs)
      .filter(
        (log) =>
          (!addresses || addresses.includes(log.address.toLowerCase())) &&
          topics.every((wanted, i) => wanted === null || [wanted].flat().includes(log.topics[i]!)),
      )
  }
}

interface LogFilter {
  readonly address?: string | readonly string[]
  readonly topics?: readonly (string | readonly string[] | null)[]
  readonly blockHash?: string
  readonly fromBlock?: string
  readonly toBlock?: string
}

interface RpcFailure {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

function rpcError({ code, message, data }: RpcFailure): Error & { readonly error: RpcFailure } {
  // The data of a revert lies deeper here than with other nodes.
  const inner = typeof data === 'object' && data !== null && 'data' in data ? data.data : data
  return Object.assign(new Error(message), { error: { code, message, data: inner } })
}
