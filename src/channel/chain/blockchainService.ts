/**
 * The node's way to the chain: what it reads, the events it follows, the transactions it sends (seed 002).
 * @module
 */
import type { Provider, Signer } from 'ethers'
import { secretRegistryContract, secretRegistryInterface } from '../../contracts/secretRegistry.ts'
import { tokenNetworkContract, tokenNetworkInterface } from '../../contracts/tokenNetwork.ts'
import type { TokenNetwork } from '../../contracts/generated/types/TokenNetwork.ts'
import { toHex, type Hex } from '../../core/bytes.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import { createSender, type Sender, type SentReceipt } from '../../core/chain/sender.ts'
import { createWatcher, type WatchedBlock } from '../../core/chain/watcher.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { Store } from '../../core/store/store.ts'
import { allow } from '../../payments/token/allowance.ts'
import type { Presented } from '../node/channel.ts'
import { decodeChainEvent, type ChainEvent } from './chainEvents.ts'
import { readTokenNetwork, type TokenNetworkInfo } from './networks.ts'

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
  event(event: ChainEvent, tokenNetwork: Hex): void | Promise<void>
  block(block: WatchedBlock): void | Promise<void>
  /** Blocks above this one have left the chain: what they said must be read again. */
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

/** Options of each transaction. */
export interface TransactionOptions {
  readonly signal?: AbortSignal | undefined
}

/** See {@link createBlockchainService}. */
export interface BlockchainService {
  readonly chainId: bigint
  readonly account: string
  readonly networks: ReadonlyMap<Hex, TokenNetworkInfo>
  readonly sender: Sender
  /** Follows the chain. @throws `RPC_FAILED`, `WRONG_CHAIN`. */
  start(handlers: BlockchainHandlers): Promise<void>
  /** Resolves when everything that is deep enough now has been told. */
  caughtUp(signal?: AbortSignal): Promise<void>
  /** The present channel of a pair, as the contract has it. */
  channel(tokenNetwork: Hex, partner: Hex): Promise<Awaited<ReturnType<TokenNetwork['channel']>>>
  /** When the secrets of one registration became public; 0 if they are not. */
  revealedAt(secretRegistry: Hex, key: Hex): Promise<number>
  open(
    tokenNetwork: Hex,
    partner: Hex,
    deposit: bigint,
    watch: Uint8Array,
    consent: Uint8Array,
    options?: TransactionOptions,
  ): Promise<SentReceipt>
  deposit(tokenNetwork: Hex, partner: Hex, totalDeposit: bigint, more: bigint, options?: TransactionOptions): Promise<SentReceipt>
  withdraw(
    tokenNetwork: Hex,
    partner: Hex,
    totalWithdraw: bigint,
    validUntil: number,
    partnerSignature: Uint8Array,
    options?: TransactionOptions,
  ): Promise<SentReceipt>
  closeCooperatively(
    tokenNetwork: Hex,
    participants: readonly [Hex, Hex],
    balances: readonly [bigint, bigint],
    validUntil: number,
    signatures: readonly [Uint8Array, Uint8Array],
    options?: TransactionOptions,
  ): Promise<SentReceipt>
  close(tokenNetwork: Hex, channelId: Hex, partner: Hex, proof: OnChainProof, options?: TransactionOptions): Promise<SentReceipt>
  update(tokenNetwork: Hex, channelId: Hex, closer: Hex, balances: Balances, proof: OnChainProof): Promise<SentReceipt>
  settle(
    tokenNetwork: Hex,
    channelId: Hex,
    closer: Hex,
    partner: Hex,
    balances: Balances,
    options?: TransactionOptions,
  ): Promise<SentReceipt>
  registerSecrets(secretRegistry: Hex, secrets: readonly Uint8Array[], key: string): Promise<SentReceipt>
  end(): Promise<void>
}

/** Opens the node's way to the chain. @throws `NOT_DEPLOYED`, `RPC_FAILED`, `STORE_LOCKED`. */
export async function createBlockchainService(options: BlockchainOptions): Promise<BlockchainService> {
  const { signer, store, clock, log, confirmations, pollInterval } = options
  const provider = signer.provider as Provider
  const sender = await createSender({
    signer,
    store,
    clock,
    log,
    pollInterval,
    interfaces: [tokenNetworkInterface, secretRegistryInterface],
  })
  try {
    const infos = await Promise.all(options.tokenNetworks.map((address) => readTokenNetwork(provider, sender.chainId, address)))
    return connected(infos)
  } catch (error) {
    await sender.close()
    throw error
  }

  function connected(infos: readonly TokenNetworkInfo[]): BlockchainService {
    const networks = new Map(infos.map((info) => [info.address, info]))
    const rpc = createRpc({ provider, clock })
    const watcher = createWatcher({
      provider,
      name: 'channels',
      store,
      clock,
      log,
      confirmations,
      pollInterval,
      fromBlock: options.fromBlock,
      chainId: sender.chainId,
      addresses: [...new Set([...networks.keys(), ...infos.map(({ secretRegistry }) => secretRegistry)])],
    })
    const call = (
      to: Hex,
      data: string,
      label: string,
      more: { value?: bigint; key?: string; signal?: AbortSignal | undefined } = {},
    ): Promise<SentReceipt> => sender.send({ to, data, value: more.value }, { label, key: more.key, signal: more.signal })
    const encode = tokenNetworkInterface.encodeFunctionData.bind(tokenNetworkInterface) as unknown as (
      name: string,
      args: readonly unknown[],
    ) => string

    /** Lets the network take what is paid in; with ETH it is sent along. */
    const payIn = async (network: Hex, amount: bigint, signal: AbortSignal | undefined): Promise<bigint> => {
      const { token } = networks.get(network)!
      if (BigInt(token) === 0n) return amount
      if (amount > 0n) await allow({ provider, rpc, sender, spender: network, token, amount, label: 'approve deposit', signal })
      return 0n
    }

    return {
      chainId: sender.chainId,
      account: sender.address,
      networks,
      sender,
      start: (handlers) =>
        watcher.start({
          onLog: async (entry) => {
            const event = decodeChainEvent(entry)
            if (event) await handlers.event(event, entry.address.toLowerCase() as Hex)
          },
          onBlock: (block) => handlers.block(block),
          onRollback: (block) => handlers.rollback(block),
        }),
      caughtUp: (signal) => watcher.caughtUp(signal),
      channel: (network, partner) =>
        rpc.ask('channel', () => tokenNetworkContract(network, provider).channel(sender.address, partner), { attempts: 3 }),
      revealedAt: async (secretRegistry, key) =>
        Number(
          await rpc.ask('time of a secret', () => secretRegistryContract(secretRegistry, provider).revealedAt(key), {
            attempts: 3,
          }),
        ),
      open: async (network, partner, deposit, watch, consent, { signal } = {}) => {
        const value = await payIn(network, deposit, signal)
        return call(network, encode('open', [partner, deposit, watch, consent]), 'open channel', { value, signal })
      },
      deposit: async (network, partner, totalDeposit, more, { signal } = {}) => {
        const value = await payIn(network, more, signal)
        return call(network, encode('deposit', [sender.address, partner, totalDeposit]), 'deposit', { value, signal })
      },
      withdraw: (network, partner, totalWithdraw, validUntil, partnerSignature, { signal } = {}) =>
        call(
          network,
          encode('withdraw', [sender.address, partner, totalWithdraw, validUntil, '0x', partnerSignature]),
          'withdraw',
          { signal },
        ),
      closeCooperatively: (network, participants, balances, validUntil, signatures, { signal } = {}) =>
        call(network, encode('closeCooperatively', [...participants, ...balances, validUntil, ...signatures]), 'close together', {
          signal,
        }),
      close: (network, channelId, partner, proof, { signal } = {}) =>
        call(network, encode('close', [sender.address, partner, proof, '0x']), 'close channel', {
          key: `close/${channelId}`,
          signal,
        }),
      update: (network, channelId, closer, { fromPartner, fromCloser }, proof) =>
        call(network, encode('update', [closer, sender.address, fromPartner, fromCloser, proof, '0x']), 'update balance proof', {
          key: `update/${channelId}/${proof.nonce}`,
        }),
      settle: (network, channelId, closer, partner, { fromPartner, fromCloser }, { signal } = {}) =>
        call(network, encode('settle', [closer, partner, fromPartner, fromCloser]), 'settle channel', {
          key: `settle/${channelId}`,
          signal,
        }),
      registerSecrets: (secretRegistry, secrets, key) =>
        call(
          secretRegistry,
          secretRegistryInterface.encodeFunctionData('registerSecrets', [secrets.map((secret) => toHex(secret))]),
          'register secrets',
          { key },
        ),
      end: async () => {
        await watcher.stop()
        await sender.close()
      },
    }
  }
}
