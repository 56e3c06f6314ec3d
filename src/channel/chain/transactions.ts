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
  /** Called when it leaves. */
  readonly onSent?: (() => void) | undefined
}

/** A channel to be opened. */
export interface Opening {
  readonly partner: Hex
  readonly deposit: bigint
  /** What the partner has signed, if it was there. */
  readonly consent: { readonly watch: Uint8Array; readonly signature: Uint8Array } | undefined
  /** The key that is to sign for this account in it; undefined for the account's own. */
  readonly sessionKey: Hex | undefined
}

/** What a node sends to the contracts. Each throws what `Sender.send` does. */
export interface Transactions {
  open(tokenNetwork: Hex, opening: Opening, options?: TransactionOptions): Promise<SentReceipt>
  /** Opens several in one transaction. */
  openMany(tokenNetwork: Hex, openings: readonly Opening[], options?: TransactionOptions): Promise<SentReceipt>
  /** @param more - by how much the deposit grows. `sessionKey` is registered with it. */
  deposit(
    tokenNetwork: Hex,
    partner: Hex,
    totalDeposit: bigint,
    more: bigint,
    options?: TransactionOptions & { readonly sessionKey?: Hex | undefined },
  ): Promise<SentReceipt>
  /** Registers a key that is to sign for this account in a channel. */
  addSessionKey(tokenNetwork: Hex, channelId: Hex, partner: Hex, sessionKey: Hex): Promise<SentReceipt>
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
    more: TransactionOptions & { readonly value?: bigint; readonly key?: string } = {},
  ): Promise<SentReceipt> => {
    const { value, key, signal, onSent } = more
    return sender.send({ to, data, value }, { label, key, signal, onSent })
  }

  /** Sends what the chain lacks: what was sent for it before has failed, or a reorganisation has undone it. */
  const callAgain = async (
    to: Hex,
    data: string,
    label: string,
    more: TransactionOptions & { readonly key: string },
  ): Promise<SentReceipt> => {
    if (sender.find(more.key)?.done) await sender.forget(more.key)
    return call(to, data, label, more)
  }

  /** Calls with what is paid in: ETH is sent along, of a token the network may take as much. */
  const payIn = async (
    network: Hex,
    data: string,
    label: string,
    amount: bigint,
    waiting: TransactionOptions,
  ): Promise<SentReceipt> => {
    const { token } = networks.get(network)!
    const isEth = BigInt(token) === 0n
    const pay = (): Promise<SentReceipt> => call(network, data, label, { ...waiting, value: isEth ? amount : 0n })
    if (isEth || amount === 0n) return pay()
    return allow({ provider, rpc, sender, spender: network, token, amount, label: 'approve deposit', ...waiting }, pay)
  }

  const isRegistered = async (secretRegistry: Hex, secrets: readonly Uint8Array[]): Promise<boolean> => {
    const { sha256, keccak256 } = engine()
    const hashes = secrets.map((secret) => sha256(secret))
    const registry = secretRegistryContract(secretRegistry, provider)
    const ask = (): Promise<bigint> =>
      hashes.length === 1 ? registry.revealedAt(hashes[0]!) : registry.listRevealedAt(keccak256(concatBytes(...hashes)))
    return (await rpc.ask('time of the secrets', ask, { attempts: 3 })) > 0n
  }

  const keyCall = (partner: Hex, sessionKey: Hex): string =>
    encode('addSessionKey', [sender.address, partner, sessionKey, new Uint8Array(0)])
  const openCalls = ({ partner, deposit, consent, sessionKey }: Opening): readonly string[] => [
    encode('open', [partner, deposit, consent?.watch ?? new Uint8Array(32), consent?.signature ?? new Uint8Array(0)]),
    ...(sessionKey ? [keyCall(partner, sessionKey)] : []),
  ]
  /** One call as it is, more of them as a batch. */
  const together = (calls: readonly string[]): string => (calls.length === 1 ? calls[0]! : encode('batch', [calls]))

  return {
    open: (network, opening, waiting = {}) =>
      payIn(network, together(openCalls(opening)), 'open channel', opening.deposit, waiting),
    openMany: (network, openings, waiting = {}) => {
      const total = openings.reduce((sum, { deposit }) => sum + deposit, 0n)
      return payIn(network, encode('batch', [openings.flatMap(openCalls)]), `open ${openings.length} channels`, total, waiting)
    },
    deposit: (network, partner, totalDeposit, more, { sessionKey, ...waiting } = {}) => {
      const paying = encode('deposit', [sender.address, partner, totalDeposit])
      const calls = sessionKey ? [keyCall(partner, sessionKey), paying] : [paying]
      return payIn(network, together(calls), 'deposit', more, waiting)
    },
    addSessionKey: (network, channelId, partner, sessionKey) =>
      callAgain(network, keyCall(partner, sessionKey), 'register session key', { key: `session/${channelId}/${sessionKey}` }),
    withdraw: (network, partner, totalWithdraw, validUntil, partnerSignature, waiting = {}) =>
      call(
        network,
        encode('withdraw', [sender.address, partner, totalWithdraw, validUntil, '0x', partnerSignature]),
        'withdraw',
        waiting,
      ),
    closeCooperatively: (network, participants, balances, validUntil, signatures, waiting = {}) =>
      call(network, encode('closeCooperatively', [...participants, ...balances, validUntil, ...signatures]), 'close together', waiting),
    close: (network, channelId, partner, proof, waiting = {}) =>
      callAgain(network, encode('close', [sender.address, partner, proof, '0x']), 'close channel', {
        key: `close/${channelId}`,
        ...waiting,
      }),
    update: (network, channelId, closer, { fromPartner, fromCloser }, proof) =>
      callAgain(
        network,
        encode('update', [closer, sender.address, fromPartner, fromCloser, proof, '0x']),
        'update balance proof',
        {
          // More steps of the same proof are another answer.
          key: `update/${channelId}/${fromCloser.nonce}/${proof.nonce}/${toHex(engine().keccak256(proof.steps)).slice(2, 18)}`,
        },
      ),
    registerReleases: (network, partner, releases) =>
      call(network, encode('registerReleases', [sender.address, partner, releases]), 'register releases'),
    settle: (network, channelId, closer, partner, { fromPartner, fromCloser }, waiting = {}) =>
      callAgain(network, encode('settle', [closer, partner, fromPartner, fromCloser]), 'settle channel', {
        key: `settle/${channelId}`,
        ...waiting,
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
