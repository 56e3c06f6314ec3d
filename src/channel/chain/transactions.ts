/**
 * The transactions of a node. Loaded when the first one is sent: a page that pays in channels it has needs none.
 * @module
 */
import type { Provider, Signer } from 'ethers'
import { secretRegistryContract, secretRegistryInterface } from '../../contracts/secretRegistry.ts'
import { tokenNetworkInterface } from '../../contracts/tokenNetwork.ts'
import { concatBytes, toHex, type Hex } from '../../core/bytes.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import { createSender, type SentReceipt } from '../../core/chain/sender.ts'
import type { Clock } from '../../core/clock.ts'
import { engine } from '../../core/crypto/engine.ts'
import type { Logger } from '../../core/log.ts'
import type { Store } from '../../core/store/store.ts'
import { allow } from '../../payments/token/allowance.ts'
import type { Balances, OnChainProof } from './blockchainService.ts'
import type { TokenNetworkInfo } from './networks.ts'

/** Options of {@link createTransactions}. */
export interface TransactionsOptions {
  readonly signer: Signer
  readonly networks: ReadonlyMap<Hex, TokenNetworkInfo>
  readonly store: Store
  /** How deep a transaction must lie to be done: until then one that a reorganisation undoes is sent again. */
  readonly confirmations: number
  readonly pollInterval?: number | undefined
  readonly clock: Clock
  readonly log: Logger
}

/** Options of each transaction. */
export interface TransactionOptions {
  readonly signal?: AbortSignal | undefined
}

/** A channel to be opened. */
export interface Opening {
  readonly partner: Hex
  readonly deposit: bigint
  /** What the partner has signed, if it was there. */
  readonly consent: { readonly watch: Uint8Array; readonly signature: Uint8Array } | undefined
}

/** What a node sends to the contracts. Each throws what `Sender.send` does. */
export interface Transactions {
  open(tokenNetwork: Hex, opening: Opening, options?: TransactionOptions): Promise<SentReceipt>
  /** Opens several in one transaction. */
  openMany(tokenNetwork: Hex, openings: readonly Opening[], options?: TransactionOptions): Promise<SentReceipt>
  /** @param more - by how much the deposit grows. */
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
  /** Shows releases that the partner has signed for locks of this node. */
  registerReleases(
    tokenNetwork: Hex,
    partner: Hex,
    releases: readonly { readonly lock: Hex; readonly signature: Uint8Array }[],
  ): Promise<SentReceipt>
  settle(
    tokenNetwork: Hex,
    channelId: Hex,
    closer: Hex,
    partner: Hex,
    balances: Balances,
    options?: TransactionOptions,
  ): Promise<SentReceipt>
  /** @param sides - who locked, and who may earn it. */
  unlock(
    tokenNetwork: Hex,
    sides: readonly [sender: Hex, receiver: Hex],
    epoch: number,
    locked: bigint,
    other: { readonly locked: bigint; readonly locksroot: Hex },
    locks: Hex,
  ): Promise<SentReceipt>
  registerSecrets(secretRegistry: Hex, secrets: readonly Uint8Array[], key: string): Promise<SentReceipt>
  end(): Promise<void>
}

/** Creates the sender of a node, and takes up what an earlier run has left. @throws `STORE_LOCKED`, `RPC_FAILED`. */
export async function createTransactions(options: TransactionsOptions): Promise<Transactions> {
  const { signer, networks, store, clock, log, confirmations, pollInterval } = options
  const provider = signer.provider as Provider
  const interfaces = [tokenNetworkInterface, secretRegistryInterface]
  const sender = await createSender({ signer, store, clock, log, confirmations, pollInterval, interfaces })
  const rpc = createRpc({ provider, clock })
  const encode = tokenNetworkInterface.encodeFunctionData.bind(tokenNetworkInterface) as unknown as (
    name: string,
    args: readonly unknown[],
  ) => string
  const call = (
    to: Hex,
    data: string,
    label: string,
    more: { value?: bigint; key?: string; signal?: AbortSignal | undefined } = {},
  ): Promise<SentReceipt> => sender.send({ to, data, value: more.value }, { label, key: more.key, signal: more.signal })

  /** Sends what the chain lacks: what was sent for it before has failed, or a reorganisation has undone it. */
  const callAgain = async (
    to: Hex,
    data: string,
    label: string,
    more: { key: string; signal?: AbortSignal | undefined },
  ): Promise<SentReceipt> => {
    if (sender.find(more.key)?.done) await sender.forget(more.key)
    return call(to, data, label, more)
  }

  /** Lets the network take what is paid in; with ETH it is sent along. */
  const payIn = async (network: Hex, amount: bigint, signal: AbortSignal | undefined): Promise<bigint> => {
    const { token } = networks.get(network)!
    if (BigInt(token) === 0n) return amount
    if (amount > 0n) await allow({ provider, rpc, sender, spender: network, token, amount, label: 'approve deposit', signal })
    return 0n
  }

  const isRegistered = async (secretRegistry: Hex, secrets: readonly Uint8Array[]): Promise<boolean> => {
    const { sha256, keccak256 } = engine()
    const hashes = secrets.map((secret) => sha256(secret))
    const key = hashes.length === 1 ? hashes[0]! : keccak256(concatBytes(...hashes))
    const ask = (): Promise<bigint> => secretRegistryContract(secretRegistry, provider).revealedAt(key)
    return (await rpc.ask('time of the secrets', ask, { attempts: 3 })) > 0n
  }

  const openCall = ({ partner, deposit, consent }: Opening): string =>
    encode('open', [partner, deposit, consent?.watch ?? new Uint8Array(32), consent?.signature ?? new Uint8Array(0)])

  return {
    open: async (network, opening, { signal } = {}) => {
      const value = await payIn(network, opening.deposit, signal)
      return call(network, openCall(opening), 'open channel', { value, signal })
    },
    openMany: async (network, openings, { signal } = {}) => {
      const value = await payIn(
        network,
        openings.reduce((sum, { deposit }) => sum + deposit, 0n),
        signal,
      )
      return call(network, encode('batch', [openings.map(openCall)]), `open ${openings.length} channels`, { value, signal })
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
      callAgain(network, encode('close', [sender.address, partner, proof, '0x']), 'close channel', {
        key: `close/${channelId}`,
        signal,
      }),
    update: (network, channelId, closer, { fromPartner, fromCloser }, proof) =>
      callAgain(
        network,
        encode('update', [closer, sender.address, fromPartner, fromCloser, proof, '0x']),
        'update balance proof',
        {
          key: `update/${channelId}/${fromCloser.nonce}/${proof.nonce}`,
        },
      ),
    registerReleases: (network, partner, releases) =>
      call(network, encode('registerReleases', [sender.address, partner, releases]), 'register releases'),
    settle: (network, channelId, closer, partner, { fromPartner, fromCloser }, { signal } = {}) =>
      callAgain(network, encode('settle', [closer, partner, fromPartner, fromCloser]), 'settle channel', {
        key: `settle/${channelId}`,
        signal,
      }),
    unlock: (network, [from, to], epoch, locked, other, locks) =>
      call(network, encode('unlock', [from, to, epoch, locked, other, locks]), 'unlock'),
    registerSecrets: async (secretRegistry, secrets, key) => {
      if (sender.find(key)?.done && !(await isRegistered(secretRegistry, secrets))) await sender.forget(key)
      return call(
        secretRegistry,
        secretRegistryInterface.encodeFunctionData('registerSecrets', [secrets.map((secret) => toHex(secret))]),
        'register secrets',
        { key },
      )
    },
    end: () => sender.close(),
  }
}
