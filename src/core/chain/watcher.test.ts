import { type HDNodeWallet, id, Interface, JsonRpcProvider } from 'ethers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Devnet, startDevnet } from '../../testing/devnet.ts'
import { type RpcFault, type RpcProxy, startRpcProxy } from '../../testing/rpcProxy.ts'
import { isSluiceError } from '../errors.ts'
import { type Logger, silentLogger } from '../log.ts'
import { memoryStore } from '../store/memoryStore.ts'
import type { ChainLog } from './chainLog.ts'
import { createWatcher, type Watcher, type WatcherHandlers, type WatcherOptions } from './watcher.ts'

let devnet: Devnet
let proxy: RpcProxy
let provider: JsonRpcProvider
let token: string
let fromBlock: number
const watchers: Watcher[] = []

const erc20 = new Interface([
  'function mint(address to, uint256 amount)',
  'event Transfer(address indexed from, address indexed to, uint256 value)',
])

beforeEach(async () => {
  devnet = await startDevnet()
  proxy = await startRpcProxy(devnet.url)
  provider = new JsonRpcProvider(proxy.url, 31337, { staticNetwork: true, batchStallTime: 1 })
  token = await (await devnet.deployToken()).getAddress()
  fromBlock = (await devnet.provider.getBlockNumber()) + 1
})

afterEach(async () => {
  proxy.rule()
  await Promise.all(watchers.splice(0).map((watcher) => watcher.stop()))
  provider.destroy()
  await proxy.stop()
  await devnet.stop()
})

/** Makes a block with a log for each amount. */
async function mint(...amounts: number[]): Promise<void> {
  await devnet.setAutomine(false)
  const minter = devnet.accounts[0] as HDNodeWallet
  const nonce = await devnet.provider.getTransactionCount(minter.address)
  for (const [i, amount] of amounts.entries()) {
    const data = erc20.encodeFunctionData('mint', [minter.address, amount])
    await minter.sendTransaction({ to: token, data, nonce: nonce + i, gasLimit: 200_000 })
  }
  await devnet.mine()
  await devnet.setAutomine(true)
}

function watcher(options: Partial<WatcherOptions> = {}): Watcher {
  const made = createWatcher({
    provider,
    name: 'test',
    addresses: [token],
    topics: [erc20.getEvent('Transfer')!.topicHash],
    fromBlock,
    pollInterval: 20,
    rpcTimeout: 1000,
    ...options,
  })
  watchers.push(made)
  return made
}

const amountOf = ({ topics, data }: ChainLog) => Number(erc20.parseLog({ topics: [...topics], data })!.args[2])

/** Keeps what a good consumer would: a rollback takes back what came from the blocks above. */
function ledger() {
  const entries: { block: number; amount: number }[] = []
  const blocks: number[] = []
  const rollbacks: number[] = []
  const handlers: WatcherHandlers = {
    onLog: (log) => void entries.push({ block: log.blockNumber, amount: amountOf(log) }),
    onBlock: ({ number }) => void blocks.push(number),
    onRollback: (block) => {
      rollbacks.push(block)
      while (entries.length && entries.at(-1)!.block > block) entries.pop()
    },
  }
  return { handlers, blocks, rollbacks, amounts: () => entries.map(({ amount }) => amount) }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function until(check: () => unknown, ms = 5000): Promise<void> {
  for (const end = Date.now() + ms; !(await check()); await pause(10)) {
    if (Date.now() > end) expect.fail(`waited too long for ${check.toString()}`)
  }
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe('delivery', () => {
  it('gives each log once, in order, and each block after its logs', async () => {
    await mint(1, 2)
    await mint(3)
    const { handlers, amounts, blocks } = ledger()
    const watched = watcher()
    expect(watched.position).toBe(fromBlock - 1)
    await watched.start(handlers)
    await watched.caughtUp()
    expect(amounts()).toEqual([1, 2, 3])
    await mint(4)
    await watched.caughtUp()
    expect(amounts()).toEqual([1, 2, 3, 4])
    await devnet.mine(2)
    await watched.caughtUp()
    expect(blocks).toEqual(range(fromBlock, fromBlock + 4))
    expect(watched.position).toBe(fromBlock + 4)
  })

  it('gives no log of other contracts or topics', async () => {
    await mint(1)
    const { handlers, amounts } = ledger()
    const none = [
      watcher({ addresses: [devnet.deployment.registry] }),
      watcher({ topics: [id('Other()')] }),
      watcher({ topics: [null, id('x')] }),
    ]
    for (const watched of none) {
      await watched.start(handlers)
      await watched.caughtUp()
    }
    expect(amounts()).toEqual([])
  })

  it('waits for confirmations', async () => {
    const { handlers, amounts, blocks } = ledger()
    const watched = watcher({ confirmations: 3 })
    await watched.start(handlers)
    await mint(1)
    await devnet.mine()
    await watched.caughtUp()
    expect(amounts()).toEqual([])
    await devnet.mine()
    await watched.caughtUp()
    expect(amounts()).toEqual([1])
    expect(blocks).toEqual([fromBlock])
  })

  it('calls a handler that failed again, and skips nothing', async () => {
    await mint(1, 2, 3)
    const { handlers, amounts } = ledger()
    let failures = 0
    const watched = watcher()
    await watched.start({
      ...handlers,
      onLog: async (log) => {
        if (amountOf(log) === 2 && failures++ < 1) throw new Error('not now')
        await handlers.onLog(log)
      },
    })
    await watched.caughtUp()
    expect(failures).toBe(2)
    expect(amounts()).toEqual([1, 2, 3])
  })

  it('waits for a handler before it goes on, and before it stores its place', async () => {
    await mint(1)
    await mint(2)
    const entries = new Map<string, Uint8Array>()
    let release!: () => void
    const held = new Promise<void>((resolve) => (release = resolve))
    const seen: number[] = []
    const watched = watcher({ store: memoryStore(entries) })
    await watched.start({
      onLog: async (log) => {
        seen.push(amountOf(log))
        await held
      },
    })
    await until(() => seen.length)
    await pause(100)
    expect(seen).toEqual([1])
    expect([...entries.keys()].filter((key) => key.includes('/block/'))).toEqual([])
    release()
    await watched.caughtUp()
    expect(seen).toEqual([1, 2])
  })

  it('tells apart who stops waiting and who stops watching', async () => {
    const watched = watcher()
    await watched.start({ onLog() {} })
    proxy.rule(() => 'hang')
    const stop = new AbortController()
    const aborted = expect(watched.caughtUp(stop.signal)).rejects.toMatchObject({ code: 'ABORTED' })
    const stopped = expect(watched.caughtUp()).rejects.toMatchObject({ code: 'ABORTED' })
    stop.abort()
    await aborted
    await watched.stop()
    await stopped
  })
})

describe('catching up', () => {
  it('asks for ranges below the newest blocks, and for no more than maxRange', async () => {
    await mint(1)
    await devnet.mine(100)
    await mint(2)
    await devnet.mine(30)
    const { handlers, amounts, blocks } = ledger()
    const watched = watcher({ maxRange: 50 })
    await watched.start(handlers)
    await watched.caughtUp()
    expect(amounts()).toEqual([1, 2])
    const spans = rangesAsked()
    expect(spans.map(([from, to]) => to - from + 1)).toEqual([50, 50, 16])
    expect(blocks.slice(0, 3)).toEqual([fromBlock + 49, fromBlock + 99, fromBlock + 115])
    expect(blocks.slice(3)).toEqual(range(fromBlock + 116, fromBlock + 131))
  })

  it('asks for less where the node refuses, and for more again where it does not', async () => {
    for (const amount of range(1, 10)) {
      await mint(amount)
      await devnet.mine(39)
    }
    let most = 60
    proxy.rule((method, params) => {
      const { fromBlock, toBlock } = (params[0] ?? {}) as { fromBlock?: string; toBlock?: string }
      if (method !== 'eth_getLogs' || fromBlock === undefined) return undefined
      if (Number(toBlock) - Number(fromBlock) < most) return undefined
      return { error: { code: -32005, message: 'query returned more than 10000 results' } }
    })
    const { handlers, amounts } = ledger()
    const watched = watcher({ maxRange: 400 })
    await watched.start({
      ...handlers,
      onLog: async (log) => {
        await handlers.onLog(log)
        if (amountOf(log) === 4) most = 1000
      },
    })
    await watched.caughtUp()
    expect(amounts()).toEqual(range(1, 10))
    const spans = rangesAsked().map(([from, to]) => to - from + 1)
    expect(spans.slice(0, 4)).toEqual([384, 192, 96, 48])
    expect(Math.max(...spans.slice(4))).toBeGreaterThan(60)
  })

  it('does not take an outage or a rate limit for a refusal', async () => {
    await devnet.mine(60)
    const faults: RpcFault[] = ['cut', { error: { code: -32005, message: 'rate limit exceeded' } }]
    proxy.rule((method) => (method === 'eth_getLogs' ? faults.shift() : undefined))
    const watched = watcher()
    await watched.start({ onLog() {} })
    await watched.caughtUp()
    expect(new Set(rangesAsked().map(([from, to]) => to - from + 1)).size).toBe(1)
    expect(rangesAsked().length).toBe(3)
  })

  it.each([
    ['near the newest block', 0],
    ['further down', 40],
  ])('stops between blocks and goes on there, %s', async (_, deep) => {
    for (const amount of range(1, 5)) await mint(amount)
    if (deep) await devnet.mine(deep)
    const { handlers, amounts } = ledger()
    const watched = watcher({ store: memoryStore() })
    let stopped: Promise<void> | undefined
    await watched.start({
      ...handlers,
      onLog: async (log) => {
        await handlers.onLog(log)
        if (amountOf(log) === 3) stopped = watched.stop()
      },
    })
    await until(() => stopped !== undefined)
    await stopped
    expect(watched.position).toBe(fromBlock + 2)
    expect(amounts()).toEqual([1, 2, 3])
    await watched.start(handlers)
    await watched.caughtUp()
    expect(amounts()).toEqual([1, 2, 3, 4, 5])
  })
})

/** The ranges of blocks that the node was asked to search. */
function rangesAsked(): [from: number, to: number][] {
  return proxy.requests
    .filter(({ method, params }) => method === 'eth_getLogs' && 'fromBlock' in (params[0] as object))
    .map(({ params }) => {
      const { fromBlock, toBlock } = params[0] as { fromBlock: string; toBlock: string }
      return [Number(fromBlock), Number(toBlock)]
    })
}

describe('reorganisations', () => {
  it('takes back what left the chain and delivers what came instead', async () => {
    const { handlers, amounts, rollbacks } = ledger()
    const watched = watcher()
    await watched.start(handlers)
    for (const amount of [1, 2, 3]) await mint(amount)
    await watched.caughtUp()
    await devnet.reorg(2)
    await watched.caughtUp()
    expect(rollbacks).toEqual([fromBlock])
    expect(amounts()).toEqual([1])
    await mint(4)
    await watched.caughtUp()
    expect(amounts()).toEqual([1, 4])
  })

  it('sees one that comes together with new blocks', async () => {
    const { handlers, amounts, rollbacks } = ledger()
    const watched = watcher()
    await watched.start(handlers)
    for (const amount of [1, 2, 3]) await mint(amount)
    await watched.caughtUp()
    proxy.rule(() => 'cut')
    await devnet.reorg(1)
    await mint(5)
    await mint(6)
    proxy.rule()
    await watched.caughtUp()
    expect(rollbacks).toEqual([fromBlock + 1])
    expect(amounts()).toEqual([1, 2, 5, 6])
  })

  it('sees one that has many new blocks above it', async () => {
    const { handlers, amounts, rollbacks } = ledger()
    const watched = watcher()
    await watched.start(handlers)
    for (const amount of [1, 2, 3]) await mint(amount)
    await watched.caughtUp()
    proxy.rule(() => 'cut')
    await devnet.reorg(1)
    await mint(5)
    await devnet.mine(40)
    proxy.rule()
    await watched.caughtUp()
    expect(rollbacks).toEqual([fromBlock + 1])
    expect(amounts()).toEqual([1, 2, 5])
  })

  it('sees one to a chain that is shorter at first', async () => {
    const { handlers, amounts } = ledger()
    const watched = watcher()
    await watched.start(handlers)
    await mint(1)
    const snapshot = await devnet.snapshot()
    for (const amount of [2, 3, 4]) await mint(amount)
    await watched.caughtUp()
    await devnet.revert(snapshot)
    await watched.caughtUp()
    expect(amounts()).toEqual([1, 2, 3, 4]) // a node that lags behind looks the same
    await mint(7)
    await watched.caughtUp()
    expect(amounts()).toEqual([1, 7])
  })

  it('does not see one above the confirmations', async () => {
    const { handlers, amounts, rollbacks } = ledger()
    const watched = watcher({ confirmations: 3 })
    await watched.start(handlers)
    await mint(1)
    await mint(2)
    await devnet.mine()
    await watched.caughtUp()
    await devnet.reorg(2)
    await devnet.mine(3)
    await watched.caughtUp()
    expect(amounts()).toEqual([1])
    expect(rollbacks).toEqual([])
  })

  it('goes back to the first block when one is deeper than what it remembers', async () => {
    await mint(1)
    const snapshot = await devnet.snapshot()
    await mint(2)
    await devnet.mine(40)
    const { handlers, amounts, rollbacks } = ledger()
    const watched = watcher() // remembers the end of one range, and the newest blocks
    await watched.start(handlers)
    await watched.caughtUp()
    expect(amounts()).toEqual([1, 2])
    await devnet.revert(snapshot)
    await mint(3)
    await devnet.mine(41)
    await watched.caughtUp()
    expect(rollbacks).toEqual([fromBlock - 1])
    expect(amounts()).toEqual([1, 3])
  })

  it('stays with one chain when the node changes its mind while it is being asked', async () => {
    await mint(1)
    await mint(2)
    const { handlers, amounts } = ledger()
    let done = false
    proxy.rule(async (method) => {
      if (method === 'eth_getLogs' && !done) {
        done = true
        await devnet.reorg(1)
        await mint(8)
      }
      return undefined
    })
    const watched = watcher()
    await watched.start(handlers)
    await watched.caughtUp()
    expect(done).toBe(true)
    expect(amounts()).toEqual([1, 8])
  })

  it('does not mix two chains when headers come from both', async () => {
    for (const amount of [1, 2, 3]) await mint(amount)
    const old = (await devnet.provider.getBlock(fromBlock + 1))!.hash
    const oldLogs: unknown = await devnet.provider.send('eth_getLogs', [{ blockHash: old, address: token }])
    const { handlers, amounts } = ledger()
    let done = false
    proxy.rule(async (method, params) => {
      if (method === 'eth_getBlockByNumber' && Number(params[0]) === fromBlock + 2 && !done) {
        done = true
        await devnet.reorg(2)
        await mint(9)
      }
      // Nodes remember for a while what was in a block that they have dropped.
      return method === 'eth_getLogs' && (params[0] as { blockHash?: string }).blockHash === old ? { result: oldLogs } : undefined
    })
    const watched = watcher()
    await watched.start(handlers)
    await watched.caughtUp()
    expect(done).toBe(true)
    expect(amounts()).toEqual([1, 9])
  })

  it('misses nothing when a reorganisation falls into the search of a range', async () => {
    await devnet.mine(10)
    await mint(1)
    await devnet.mine(30)
    const { handlers, amounts } = ledger()
    let done = false
    proxy.rule(async (method) => {
      if (method !== 'eth_getLogs' || done) return undefined
      done = true
      await devnet.reorg(35)
      await mint(9)
      await devnet.mine(30)
      return { result: [] } // as the old chain had it
    })
    const watched = watcher()
    await watched.start(handlers)
    await watched.caughtUp()
    expect(amounts()).toEqual([9])
  })
})

describe('outages', () => {
  it('goes on where it was, with nothing missing, and reports both', async () => {
    const lines: string[] = []
    const log: Logger = { debug() {}, info: (line) => lines.push(line), warn: (line) => lines.push(line), error() {} }
    const { handlers, amounts } = ledger()
    const watched = watcher({ log })
    await watched.start(handlers)
    await mint(1)
    await watched.caughtUp()
    proxy.rule(() => 'cut')
    for (const amount of [2, 3]) await mint(amount)
    await until(() => lines.length >= 2)
    expect(amounts()).toEqual([1])
    proxy.rule()
    await watched.caughtUp()
    expect(amounts()).toEqual([1, 2, 3])
    expect(lines.at(-1)).toContain('goes on')
  })

  it('is not fooled by a node that knows the number of a block but not its logs', async () => {
    const { handlers, amounts } = ledger()
    const watched = watcher()
    await watched.start(handlers)
    await watched.caughtUp()
    let behind = true
    // A node that lags answers a range beyond its head with nothing, and a hash that it does not know with an error.
    proxy.rule((method, params) => {
      if (method !== 'eth_getLogs' || !behind) return undefined
      return 'blockHash' in (params[0] as object) ? { error: { code: -32000, message: 'unknown block' } } : { result: [] }
    })
    await mint(1)
    await pause(200)
    expect(amounts()).toEqual([])
    behind = false
    await watched.caughtUp()
    expect(amounts()).toEqual([1])
  })

  it('waits for a node that knows the number of a block but not the block', async () => {
    const { handlers, amounts, rollbacks } = ledger()
    const errors: string[] = []
    const watched = watcher({ log: { ...silentLogger, error: (line) => errors.push(line) } })
    await watched.start(handlers)
    await watched.caughtUp()
    proxy.rule((method) => (method === 'eth_getBlockByNumber' ? { result: null } : undefined))
    await mint(1)
    await pause(100)
    expect([amounts(), rollbacks, errors]).toEqual([[], [], []])
    proxy.rule()
    await watched.caughtUp()
    expect(amounts()).toEqual([1])
  })

  it('gives up a request that hangs', async () => {
    const { handlers, amounts } = ledger()
    const watched = watcher({ rpcTimeout: 100 })
    await watched.start(handlers)
    let hangs = 0
    proxy.rule((method) => (method === 'eth_getLogs' && hangs++ < 2 ? 'hang' : undefined))
    await mint(1)
    await watched.caughtUp()
    expect(hangs).toBe(3)
    expect(amounts()).toEqual([1])
  })

  it('does not start without a node', async () => {
    proxy.rule(() => ({ status: 401 }))
    const watched = watcher()
    await expect(watched.start({ onLog() {} })).rejects.toMatchObject({ code: 'RPC_FAILED' })
    proxy.rule()
    await watched.start({ onLog() {} })
    await watched.caughtUp()
  })
})

describe('restarts', () => {
  it('resumes after the block that was delivered last', async () => {
    const entries = new Map<string, Uint8Array>()
    const { handlers, amounts } = ledger()
    await mint(1)
    await run(entries, handlers)
    await mint(2)
    const { position } = await run(entries, handlers)
    expect(amounts()).toEqual([1, 2])
    expect(position).toBe(fromBlock + 1)
  })

  it('walks back when the block that it stopped at has left the chain', async () => {
    const entries = new Map<string, Uint8Array>()
    const { handlers, amounts, rollbacks } = ledger()
    for (const amount of [1, 2, 3]) await mint(amount)
    await run(entries, handlers)
    await devnet.reorg(2)
    await mint(4)
    await run(entries, handlers)
    expect(rollbacks).toEqual([fromBlock])
    expect(amounts()).toEqual([1, 4])
    // The hashes of the old blocks are gone from the store too.
    await run(entries, handlers)
    expect(rollbacks).toEqual([fromBlock])
  })

  it('forgets the blocks above the one that it went back to', async () => {
    const entries = new Map<string, Uint8Array>()
    const { handlers, amounts, rollbacks } = ledger()
    await mint(1)
    const snapshot = await devnet.snapshot()
    await mint(2)
    await mint(3)
    await run(entries, handlers)
    await devnet.revert(snapshot)
    await mint(4)
    await run(entries, handlers)
    await mint(5)
    await run(entries, handlers)
    expect(amounts()).toEqual([1, 4, 5])
    expect(rollbacks).toEqual([fromBlock])
  })

  it('delivers again what was under way when it was killed', async () => {
    const entries = new Map<string, Uint8Array>()
    const first = ledger()
    await mint(1)
    await mint(2)
    await run(entries, first.handlers)
    await mint(3)
    const copy = new Map(entries)
    await run(entries, first.handlers)
    const second = ledger()
    await run(copy, second.handlers) // the store as it was before the last delivery
    expect(second.amounts()).toEqual([3])
  })

  it('keeps no more hashes than it needs', async () => {
    const entries = new Map<string, Uint8Array>()
    await devnet.mine(300)
    await run(entries, ledger().handlers, { maxRange: 1 })
    expect([...entries.keys()].filter((key) => key.includes('/block/')).length).toBe(256)
  })

  it('refuses to share its place', async () => {
    const store = memoryStore()
    const [first, second] = [watcher({ store }), watcher({ store })]
    await first.start({ onLog() {} })
    await expect(second.start({ onLog() {} })).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    await watcher({ store, name: 'other' }).start({ onLog() {} })
    await first.stop()
    await second.start({ onLog() {} })
  })

  it('refuses another chain, and starts over on one that was started anew', async () => {
    const entries = new Map<string, Uint8Array>()
    const { handlers, rollbacks } = ledger()
    await mint(1)
    await run(entries, handlers)
    await expect(run(new Map(), handlers, { chainId: 1n })).rejects.toMatchObject({ code: 'WRONG_CHAIN' })
    const other = new Map(
      [...entries].map(([key, value]) => [key, key.endsWith('/chain') ? new TextEncoder().encode('5-abc') : value]),
    )
    const error: unknown = await run(other, handlers).catch((error: unknown) => error)
    expect(isSluiceError(error, 'WRONG_CHAIN') && error.details).toEqual({ expected: 5n, actual: 31337n })
    const anew = new Map(
      [...entries].map(([key, value]) => [key, key.endsWith('/chain') ? new TextEncoder().encode('31337-abc') : value]),
    )
    await run(anew, handlers)
    expect(rollbacks).toEqual([fromBlock - 1])
  })
})

/** A run of a watcher, from its start over catching up to its end. */
async function run(
  entries: Map<string, Uint8Array>,
  handlers: WatcherHandlers,
  options: Partial<WatcherOptions> = {},
): Promise<Watcher> {
  const store = memoryStore(entries)
  const watched = watcher({ store, ...options })
  try {
    await watched.start(handlers)
    await watched.caughtUp()
    await watched.stop()
  } finally {
    await store.close()
  }
  return watched
}

describe('a watcher whose node does not give what it asks for', () => {
  it.each([1, 3])('asks fewer questions at once when batches of more than %i are refused', async (most) => {
    proxy.limitBatches(most)
    const seen = ledger()
    for (let amount = 1; amount <= 12; amount++) await mint(amount)
    await watcher().start(seen.handlers)
    await until(() => seen.amounts().length === 12)
    expect(seen.amounts()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
  })

  it('says that it is blind, with the words of the node, and when it sees again', async () => {
    const seen = ledger()
    const made = watcher()
    await made.start(seen.handlers)
    await made.caughtUp()
    expect(made.blind).toBeUndefined()
    proxy.rule((method) => (method === 'eth_getLogs' ? { error: { code: -32601, message: 'eth_getLogs is not offered here' } } : undefined))
    await mint(5)
    await until(() => made.blind)
    expect(made.blind).toMatchObject({ code: 'RPC_FAILED', shortMessage: expect.stringContaining('eth_getLogs is not offered here') as string })
    proxy.rule()
    await until(() => made.blind === undefined)
    await until(() => seen.amounts().length === 1)
  })

  it('is blind when it does not come to the newest block in time', async () => {
    const made = watcher({ blindAfter: 100, rpcTimeout: 60_000 })
    await made.start(ledger().handlers)
    await made.caughtUp()
    let hanging = false
    proxy.rule((method) => {
      if (method !== 'eth_blockNumber') return undefined
      hanging = true
      return 'hang'
    })
    await until(() => hanging && made.blind)
    expect(made.blind).toMatchObject({ code: 'RPC_FAILED', shortMessage: expect.stringContaining('newest block') as string })
  })
})
