/**
 * The node's way to the chain: what it reads, the events it follows, the transactions it sends (seed 002).
 * @module
 */
import type { Provider, Signer } from 'ethers'
import { secretRegistryContract } from '../../contracts/secretRegistry.ts'
import { tokenNetworkReader } from '../../contracts/tokenNetworkView.ts'
import type { TokenNetwork } from '../../contracts/generated/types/TokenNetwork.ts'
import type { Hex } from '../../core/bytes.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import type { WatchedBlock } from '../../core/chain/watcher.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { Store } from '../../core/store/store.ts'
import type { Presented } from '../node/channel.ts'
import { decodeChainEvent, type ChainEvent } from './chainEvents.ts'
import { readTokenNetwork, type TokenNetworkInfo } from './networks.ts'
import type { Registration } from './registrations.ts'
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
  /** @param left - blocks that count as well and are told next. */
  block(block: WatchedBlock, left: number): void | Promise<void>
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
  /** When a secret that was registered alone became public; 0 if it was not. */
  revealedAt(secretRegistry: Hex, secrethash: Hex): Promise<number>
  /** When a list of several secrets became public; 0 if it was not registered as such. */
  listRevealedAt(secretRegistry: Hex, key: Hex): Promise<number>
  /** Searches the chain, from the first block on, for the first registration of each secret. */
  registrations(secretRegistry: Hex, secrethashes: readonly Hex[]): Promise<readonly Registration[]>
  /** Time of the last block that was told, in Unix seconds; 0 before the first. */
  toldUntil(): Promise<number>
  /** Number of the newest block, however deep it lies. @throws `RPC_FAILED` */
  head(): Promise<number>
  /** The most gas that a transaction may use: a block's, or what EIP-7825 allows. @throws `RPC_FAILED` */
  gasLimit(): Promise<bigint>
  /** Wei for a unit of gas as it is now. @throws `RPC_FAILED` */
  gasPrice(): Promise<bigint>
  /** What sends transactions; loads it at the first call. */
  transactions(): Promise<Transactions>
  end(): Promise<void>
}

/** Gas that a transaction may use on Ethereum, whatever a block has. Source: EIP-7825. */
const MOST_GAS = 2n ** 24n

/** Opens the node's way to the chain. @throws `NOT_DEPLOYED`, `RPC_FAILED`, `STORE_LOCKED`. */
export async function createBlockchainService(options: BlockchainOptions): Promise<BlockchainService> {
  const { signer, store, clock, log, confirmations, pollInterval } = options
  const provider = signer.provider as Provider
  const rpc = createRpc({ provider, clock })
  const [account, { chainId }] = await Promise.all([signer.getAddress(), rpc.identify()])
  const infos = await Promise.all(options.tokenNetworks.map((address) => readTokenNetwork(provider, chainId, address)))
  const networks = new Map(infos.map((info) => [info.address, info]))
  const { createWatcher } = await import('../../core/chain/watcher.ts')
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
        onBlock: (block, left) => handlers.block(block, left),
        onRollback: (block) => handlers.rollback(block),
      }),
    caughtUp: (signal) => watcher.caughtUp(signal),
    channel: (network, partner) =>
      rpc.ask('channel', () => tokenNetworkReader(network, provider).channel(account, partner), { attempts: 3 }),
    revealedAt: async (secretRegistry, secrethash) =>
      Number(
        await rpc.ask('time of a secret', () => secretRegistryContract(secretRegistry, provider).revealedAt(secrethash), {
          attempts: 3,
        }),
      ),
    listRevealedAt: async (secretRegistry, key) =>
      Number(
        await rpc.ask('time of secrets', () => secretRegistryContract(secretRegistry, provider).listRevealedAt(key), {
          attempts: 3,
        }),
      ),
    async registrations(secretRegistry, secrethashes) {
      const { searchRegistrations } = await import('./registrations.ts')
      return searchRegistrations({ provider, rpc, secretRegistry, secrethashes, fromBlock: options.fromBlock })
    },
    async toldUntil() {
      if (watcher.position < 0) return 0
      return (await rpc.header(watcher.position, { attempts: 3 }))?.timestamp ?? 0
    },
    head: () => rpc.head(),
    async gasLimit() {
      const block = await rpc.ask('newest block', () => provider.getBlock('latest'), { attempts: 3 })
      return block && block.gasLimit < MOST_GAS ? block.gasLimit : MOST_GAS
    },
    async gasPrice() {
      const { gasPrice, maxFeePerGas } = await rpc.ask('gas price', () => provider.getFeeData())
      return gasPrice ?? maxFeePerGas ?? 0n
    },
    transactions,
    end: async () => {
      await watcher.stop()
      await (await sending?.catch(() => undefined))?.end()
    },
  }
}

async function isAny(entries: AsyncIterable<unknown>): Promise<boolean> {
  for await (const _ of entries) return true
  return false
}
