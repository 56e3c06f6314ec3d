/**
 * The node's way to the chain: what it reads, the events it follows, the transactions it sends (seed 002).
 * @module
 */
import type { Filter, Log, Provider, Signer } from 'ethers'
import { secretRegistryContract, secretRegistryInterface } from '../../contracts/secretRegistry.ts'
import { tokenNetworkReader } from '../../contracts/tokenNetworkView.ts'
import type { TokenNetwork } from '../../contracts/generated/types/TokenNetwork.ts'
import type { Hex } from '../../core/bytes.ts'
import { asksTooMuch, createRpc } from '../../core/chain/rpc.ts'
import { createWatcher, type WatchedBlock } from '../../core/chain/watcher.ts'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import type { Store } from '../../core/store/store.ts'
import type { Presented } from '../node/channel.ts'
import { decodeChainEvent, type ChainEvent } from './chainEvents.ts'
import { readTokenNetwork, type TokenNetworkInfo } from './networks.ts'
import type { Transactions } from './transactions.ts'

/** Options of {@link createBlockchainService}. */
export interface BlockchainOptions {
  readonly signer: Signer
  readonly tokenNetworks: readonly string[]
  readonly store: Store
  readonly fromBlock: number
  readonly confirmations: number
  readonly pollInterval?: number | undefined
  readonly clock: Clock
  readonly log: Logger
}

/** What is told about the chain, in its order; each call is awaited. */
export interface BlockchainHandlers {
  event(event: ChainEvent, tokenNetwork: Hex, block: number): void | Promise<void>
  block(block: WatchedBlock): void | Promise<void>
  /** Blocks above this one have left the chain: what they said is taken back, what stands there now is told again. */
  rollback(block: number): void | Promise<void>
}

/** The two balances that a closed channel's commitment is made of. */
export interface Balances {
  readonly fromPartner: Presented
  readonly fromCloser: Presented
}

/** A balance proof as the contract takes it. */
export interface OnChainProof extends Presented {
  readonly stream: Hex
  readonly ref: Hex
  readonly watch: Hex
  readonly signature: Uint8Array
  /** The paid steps of its hash chain; empty for none. */
  readonly steps: Uint8Array
}

/** The registration by which a secret became public. */
export interface Registration {
  /** Under which the registry keeps its time. */
  readonly key: Hex
  /** The secrets that were registered together, in their order. */
  readonly secrethashes: readonly Hex[]
  readonly secrethash: Hex
  readonly secret: Hex
  /** Of the block, in Unix seconds. */
  readonly at: number
}

/** See {@link createBlockchainService}. */
export interface BlockchainService {
  readonly chainId: bigint
  readonly account: string
  readonly networks: ReadonlyMap<Hex, TokenNetworkInfo>
  /** Follows the chain. @throws `RPC_FAILED`, `WRONG_CHAIN`. */
  start(handlers: BlockchainHandlers): Promise<void>
  /** Resolves when everything that is deep enough now has been told. */
  caughtUp(signal?: AbortSignal): Promise<void>
  /** The present channel of a pair, as the contract has it. */
  channel(tokenNetwork: Hex, partner: Hex): Promise<Awaited<ReturnType<TokenNetwork['channel']>>>
  /** When the secrets of one registration became public; 0 if they are not. */
  revealedAt(secretRegistry: Hex, key: Hex): Promise<number>
  /** Searches the chain, from the first block on, for the first registration of each secret. */
  registrations(secretRegistry: Hex, secrethashes: readonly Hex[]): Promise<readonly Registration[]>
  /** Time of the last block that was told, in Unix seconds; 0 before the first. */
  toldUntil(): Promise<number>
  /** What sends transactions; loads it at the first call. */
  transactions(): Promise<Transactions>
  end(): Promise<void>
}

/** Opens the node's way to the chain. @throws `NOT_DEPLOYED`, `RPC_FAILED`, `STORE_LOCKED`. */
export async function createBlockchainService(options: BlockchainOptions): Promise<BlockchainService> {
  const { signer, store, clock, log, confirmations, pollInterval } = options
  const provider = signer.provider as Provider
  const rpc = createRpc({ provider, clock })
  const [account, { chainId }] = await Promise.all([signer.getAddress(), rpc.identify()])
  const infos = await Promise.all(options.tokenNetworks.map((address) => readTokenNetwork(provider, chainId, address)))
  const networks = new Map(infos.map((info) => [info.address, info]))
  const watcher = createWatcher({
    provider,
    name: 'channels',
    store,
    clock,
    log,
    confirmations,
    pollInterval,
    fromBlock: options.fromBlock,
    chainId,
    addresses: [...new Set([...networks.keys(), ...infos.map(({ secretRegistry }) => secretRegistry)])],
  })

  let sending: Promise<Transactions> | undefined
  const transactions = (): Promise<Transactions> => {
    if (!sending) {
      sending = import('./transactions.ts').then(({ createTransactions }) =>
        createTransactions({ signer, networks, store, clock, log, confirmations, pollInterval }),
      )
      sending.catch(() => (sending = undefined)) // the next call tries again
    }
    return sending
  }
  const search = (filter: Filter, fromBlock: number, toBlock: number): Promise<Log[]> =>
    rpc
      .ask('logs', () => provider.getLogs({ ...filter, fromBlock, toBlock }), { attempts: 3 })
      .catch(async (error: unknown) => {
        if (fromBlock === toBlock || !asksTooMuch(error)) throw error
        const middle = Math.floor((fromBlock + toBlock) / 2)
        return [...(await search(filter, fromBlock, middle)), ...(await search(filter, middle + 1, toBlock))]
      })

  /** Finds out with which others a secret was registered. */
  const registrationOf = async (log: Log): Promise<Registration> => {
    const { address, blockHash, transactionHash, index } = log
    const [header, logs] = await Promise.all([
      rpc.header(log.blockNumber, { attempts: 3 }),
      rpc.ask('logs', () => provider.getLogs({ address, blockHash }), { attempts: 3 }),
    ])
    if (header?.hash !== blockHash)
      throw new SluiceError('RPC_FAILED', `block ${log.blockNumber} has been replaced while it was read`)
    const [secrethash, secret] = [log.topics[1] as Hex, log.data as Hex]
    const before: Hex[] = []
    for (const each of logs) {
      if (each.transactionHash !== transactionHash) continue
      const event = decodeChainEvent(each)
      if (event?.type === 'secret') before.push(event.secrethash)
      if (event?.type !== 'registered' || each.index < index) continue
      const secrethashes = before.slice(-event.count)
      if (index < each.index - event.count) break // this list is another
      return { key: event.key, secrethashes, secrethash, secret, at: header.timestamp }
    }
    return { key: secrethash, secrethashes: [secrethash], secrethash, secret, at: header.timestamp }
  }

  // What an earlier run has sent and not seen through is looked after from the start.
  if (await isAny(store.list('transaction/'))) await transactions()

  return {
    chainId,
    account,
    networks,
    start: (handlers) =>
      watcher.start({
        onLog: async (entry) => {
          const event = decodeChainEvent(entry)
          if (event) await handlers.event(event, entry.address.toLowerCase() as Hex, entry.blockNumber)
        },
        onBlock: (block) => handlers.block(block),
        onRollback: (block) => handlers.rollback(block),
      }),
    caughtUp: (signal) => watcher.caughtUp(signal),
    channel: (network, partner) =>
      rpc.ask('channel', () => tokenNetworkReader(network, provider).channel(account, partner), { attempts: 3 }),
    revealedAt: async (secretRegistry, key) =>
      Number(
        await rpc.ask('time of a secret', () => secretRegistryContract(secretRegistry, provider).revealedAt(key), {
          attempts: 3,
        }),
      ),
    async registrations(address, secrethashes) {
      const first = new Map<string, Log>()
      const topics = [REVEALED, [...secrethashes]]
      for (const log of await search({ address, topics }, options.fromBlock, await rpc.head({ attempts: 3 })))
        if (!first.has(log.topics[1]!)) first.set(log.topics[1]!, log)
      const found = []
      for (const log of first.values()) found.push(await registrationOf(log))
      return found
    },
    async toldUntil() {
      if (watcher.position < 0) return 0
      return (await rpc.header(watcher.position, { attempts: 3 }))?.timestamp ?? 0
    },
    transactions,
    end: async () => {
      await watcher.stop()
      await (await sending?.catch(() => undefined))?.end()
    },
  }
}

const REVEALED = /* @__PURE__ */ secretRegistryInterface.getEvent('SecretRevealed').topicHash

async function isAny(entries: AsyncIterable<unknown>): Promise<boolean> {
  for await (const _ of entries) return true
  return false
}
