import type { Signer } from 'ethers'
import {
  address as addressRule,
  assertArguments,
  callback,
  clock as clockRule,
  connectedSigner,
  either,
  having,
  integer,
  listOf,
  logger,
  milliseconds,
  optional,
  seconds,
  store as storeRule,
} from '../core/argument.ts'
import type { Hex } from '../core/bytes.ts'
import { claim } from '../core/chain/claim.ts'
import type { TransactionCall } from '../core/chain/sender.ts'
import type { Clock } from '../core/clock.ts'
import type { AsyncCloseable } from '../core/dispose.ts'
import type { Events } from '../core/events.ts'
import type { Logger } from '../core/log.ts'
import { memoryStore } from '../core/store/memoryStore.ts'
import type { Store } from '../core/store/store.ts'
import type { PeerTransport } from '../protocol/peer.ts'
import type { AlarmService } from './chain/alarmService.ts'
import type { TokenNetworkInfo } from './chain/networks.ts'
import type { Discovery } from './discovery/discovery.ts'
import type { Phase } from './node/channel.ts'
import type { ChannelEvents } from './node/events.ts'
import type { CloseOptions, OpenManyRequest, OpenRequest, OperationOptions } from './node/operations.ts'
import type { Payment } from './node/payment.ts'
import type { SwapOffer, Swapped } from './node/swaps.ts'
import type { PaymentStream } from './node/streams.ts'
import type { PayRequest } from './node/transfers.ts'
import { assertFeeSchedule, type FeeSchedule } from './routing/fees.ts'
import type { TowersOptions } from './tower/towerClient.ts'

/** Options of {@link createChannelNode}. */
export interface ChannelNodeOptions {
  /** An ethers signer with a provider; its account owns the channels. */
  readonly signer: Signer
  /** Address of the token network, or of several: payments name theirs. */
  readonly tokenNetwork: string | readonly string[]
  /** Where the node keeps what it must not forget. @default memory, for trials: a lost store costs money */
  readonly store?: Store | undefined
  /** How the node is reached, and reaches others. */
  readonly transport: PeerTransport
  /** How other nodes are found. @default only those that link by themselves */
  readonly discovery?: Discovery | undefined
  /**
   * First block to look at: the one that the registry of token networks was deployed in, or before. What was there earlier is
   * not seen, secrets that were registered neither. @default 0
   */
  readonly fromBlock?: number | undefined
  /** How deep a block must lie to count; 1 is the newest. @default 1 on development chains, 5 elsewhere */
  readonly confirmations?: number | undefined
  /** Seconds that a secret must be registered before its lock expires. @default 60 on development chains, 600 elsewhere */
  readonly revealTimeout?: number | undefined
  /**
   * Seconds without a new block after which nothing is paid, forwarded or taken any more: a partner could have closed.
   * @default half the reveal timeout; never on development chains, whose blocks come when they are needed
   */
  readonly stallTimeout?: number | undefined
  /**
   * Seconds by which this machine's clock may differ from the time of the blocks that come. A clock that differs by more is
   * told by the event `clockWrong`, and counts no further than that.
   * @default half the reveal timeout; Infinity on development chains, whose time is set by hand
   */
  readonly clockTolerance?: number | undefined
  /** Seconds for which a payment in parts is held while some are missing. @default 30 */
  readonly holdTime?: number | undefined
  /**
   * The smallest lock that is taken, in the token's smallest unit, for all token networks or by address: a smaller one would
   * cost more to claim on chain than it holds, and is given back with `PAYMENT_REFUSED`. Direct payments lock nothing.
   * @default for ETH what 10,000 gas cost at the current price, the share of a claim among many; 0n for other tokens, whose
   * price in gas is not known here: set it; 0n on development chains
   */
  readonly minLock?: bigint | Readonly<Record<string, bigint>> | undefined
  /** What forwarding costs; `false` forwards nothing. @default no fees */
  readonly fees?: FeeSchedule | false | undefined
  /** Whether a channel that a peer wants to open is welcome. @default every one */
  readonly consent?: ((request: { readonly account: Hex; readonly tokenNetwork: Hex }) => boolean) | undefined
  /** Decides about swaps that other nodes offer. @default none is accepted */
  readonly acceptSwap?: ((offer: SwapOffer) => boolean | Promise<boolean>) | undefined
  /** Whether closed channels are settled as soon as they can be. @default true */
  readonly autoSettle?: boolean | undefined
  /** Watchtowers that answer a closing while this node is not there. @default none */
  readonly towers?: TowersOptions | undefined
  /** Milliseconds between two looks at the chain. @default 200 on development chains, 2000 elsewhere */
  readonly pollInterval?: number | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

/** A channel as its user sees it. Amounts are in the token's smallest unit, addresses in lower case. */
export interface ChannelInfo {
  readonly id: Hex
  readonly tokenNetwork: Hex
  readonly partner: Hex
  readonly phase: Phase
  /** What this node has paid in, in all. */
  readonly totalDeposit: bigint
  readonly totalWithdraw: bigint
  readonly partnerTotalDeposit: bigint
  readonly partnerTotalWithdraw: bigint
  /** What this node can send now. */
  readonly capacity: bigint
  /** What the partner can send now. */
  readonly partnerCapacity: bigint
  /** Locked by this node, and by the partner. */
  readonly locked: bigint
  readonly partnerLocked: bigint
  /** Unix seconds; 0 while it is open. */
  readonly settleAt: number
  /** Whether the partner is linked, and both agree on where the channel stands. */
  readonly online: boolean
}

/** What is to be paid. */
export interface PaymentRequest extends Omit<PayRequest, 'tokenNetwork' | 'to' | 'id' | 'secrethash'> {
  /** Account that is to have it. */
  readonly to: string
  /** @default the node's only one */
  readonly tokenNetwork?: string | undefined
  /** 32 bytes as hex that name the payment: paying an id again asks for the first payment's result. @default random */
  readonly id?: string | undefined
}

/**
 * A node of the payment channel network. Its methods throw `BAD_ARGUMENT` that names what is wrong about an argument and shows
 * a right one, and `STOPPED` after `stop`; `channels` and `channel` tell then how things stood.
 */
export interface ChannelNode extends AsyncCloseable {
  /** The account whose money it is, in lower case. */
  readonly account: Hex
  readonly chainId: bigint
  /** The token networks it takes part in, as their contracts say. */
  readonly networks: readonly Omit<TokenNetworkInfo, 'digests'>[]
  readonly events: Events<ChannelEvents>
  /** Calls back with each block that counts. */
  readonly alarm: AlarmService
  /**
   * Opens a channel with `partner`, and waits until it is confirmed; then up to 30 s for a partner that is linked to see the
   * deposit. A partner that can be reached is asked to consent first, which lets a watchtower look after the channel; one that
   * can't within 10 s gets the channel without having consented, and is linked when it comes.
   * @throws `PAIR_HAS_CHANNEL`, `INSUFFICIENT_FUNDS`, `PEER_REFUSED`, `CHAIN_STALLED` when the transaction has left but the
   * chain makes no blocks that would confirm it (after 60 s, or the stall timeout if that is shorter): the channel is there as
   * soon as they come; and what sending a transaction throws.
   */
  open(request: OpenRequest): Promise<ChannelInfo>
  /** Opens several channels in one transaction, each as `open` does; partners that are linked are asked to consent. */
  openMany(request: OpenManyRequest): Promise<readonly ChannelInfo[]>
  /**
   * Makes the calls that this node needs no gas for: signed here, sent by anybody.
   * `open` needs a token with permits (ERC-2612).
   */
  readonly relayable: {
    /** Opens a channel, as `open` does; the deposit is taken by a permit. */
    open(request: OpenRequest & { readonly deposit: bigint }): Promise<TransactionCall>
    /** Closes a channel with the partner's last proof. */
    close(channelId: string): Promise<TransactionCall>
  }
  /** Raises this node's deposit to `totalDeposit` in all. */
  deposit(channelId: string, totalDeposit: bigint, options?: OperationOptions): Promise<ChannelInfo>
  /**
   * Takes money out of an open channel, `totalWithdraw` in all; the partner has to agree. One whose answer did not come can be
   * asked for again.
   */
  withdraw(channelId: string, totalWithdraw: bigint, options?: OperationOptions): Promise<ChannelInfo>
  /**
   * Pays. Resolves when the money is the target's for good. Where there is no way yet, it waits within its timeout for a
   * partner that is being linked and for a deposit that the partner has not seen.
   * @throws `NO_ROUTE`, `CAPACITY_SHORT`, `FEE_TOO_HIGH`, `PARTNER_OFFLINE`, `PAYMENT_FAILED`, `PAYMENT_EXPIRED`,
   * `PAYMENT_ID_TAKEN`, `CHAIN_STALLED`, `TIMEOUT`, `ABORTED`: no money has moved. `PAYMENT_UNKNOWN` when the time is over or
   * the signal fires while it can no longer be stopped: paying the same id again waits for its end.
   */
  pay(request: PaymentRequest): Promise<Payment>
  /**
   * Pays the direct partner `to` by a hash chain: for many small payments in a row, which then cost a hash each.
   * @throws `CHANNEL_NOT_FOUND`, `CHANNEL_BUSY` if the channel has a stream already.
   */
  stream(request: {
    readonly to: string
    readonly unit: bigint
    readonly tokenNetwork?: string | undefined
  }): Promise<PaymentStream>
  /**
   * Swaps an amount in one token network for an amount in another with the node of `to`: both are paid, or neither.
   * @throws `PEER_REFUSED`, `PARTNER_OFFLINE`, and what `pay` throws.
   */
  swap(request: {
    readonly to: string
    readonly give: { readonly tokenNetwork: string; readonly amount: bigint }
    readonly take: { readonly tokenNetwork: string; readonly amount: bigint }
    readonly signal?: AbortSignal | undefined
  }): Promise<Swapped>
  /**
   * Ends a channel: together with the partner if it is there and agrees, which pays out at once; else by the last proof,
   * which pays out after the challenge period.
   */
  close(channelId: string, options?: CloseOptions): Promise<ChannelInfo>
  /** Settles a closed channel whose challenge period is over; see `autoSettle`. */
  settle(channelId: string, options?: OperationOptions): Promise<ChannelInfo>
  /** Every channel of this node, settled ones too. */
  channels(): readonly ChannelInfo[]
  /** @throws `CHANNEL_NOT_FOUND` */
  channel(channelId: string): ChannelInfo
  /** Payments that went out or came in, by id; those under way too. With `idPrefix` only those whose ids begin so. */
  payments(direction?: 'in' | 'out', idPrefix?: string): AsyncIterable<Payment>
  /** Payments as they come in. */
  incoming(options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<ChannelEvents['received']>
  /** Links the node with an account, whether or not they have a channel. @throws `PARTNER_OFFLINE` */
  connect(account: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
  /**
   * Copies the node's store, as it is between two writes, into an empty one that is open; payments wait meanwhile. A node that
   * is started with the copy, however old, signs nothing in a channel before its partner has shown what is missing.
   * @throws `BAD_ARGUMENT` if there is something in `to`; what the stores throw.
   */
  backup(to: Store): Promise<void>
  /** Waits until what the chain has now is taken in. */
  caughtUp(signal?: AbortSignal): Promise<void>
  /** Stops; what is under way goes on when it is started again. The store and the transport remain their owner's. */
  stop(): Promise<void>
}

const optionRules = {
  signer: connectedSigner,
  tokenNetwork: /* @__PURE__ */ either(addressRule, /* @__PURE__ */ listOf(addressRule, 1)),
  store: /* @__PURE__ */ optional(storeRule),
  transport: /* @__PURE__ */ having('a transport such as webSocketPeer()', 'connect'),
  discovery: /* @__PURE__ */ optional(/* @__PURE__ */ having('a discovery such as staticDiscovery({})', 'find')),
  fromBlock: /* @__PURE__ */ optional(/* @__PURE__ */ integer(0)),
  confirmations: /* @__PURE__ */ optional(/* @__PURE__ */ integer(1)),
  revealTimeout: /* @__PURE__ */ optional(seconds),
  stallTimeout: /* @__PURE__ */ optional(seconds),
  clockTolerance: /* @__PURE__ */ optional(seconds),
  holdTime: /* @__PURE__ */ optional(seconds),
  consent: /* @__PURE__ */ optional(callback),
  acceptSwap: /* @__PURE__ */ optional(callback),
  pollInterval: /* @__PURE__ */ optional(milliseconds),
  clock: /* @__PURE__ */ optional(clockRule),
  log: /* @__PURE__ */ optional(logger),
}
/**
 * Creates a node of the payment channel network and starts it.
 * @throws `NOT_DEPLOYED`, `BAD_ARGUMENT`, `STORE_LOCKED` for a second node on one store, `TRANSACTION_REJECTED`, `RPC_FAILED`.
 * @example
 * ```ts
 * const node = await createChannelNode({ signer, tokenNetwork, store, transport, discovery })
 * await node.open({ partner: bob, deposit: 1_000n })
 * await node.pay({ to: bob, amount: 10n })
 * ```
 */
export async function createChannelNode(options: ChannelNodeOptions): Promise<ChannelNode> {
  assertArguments(options, optionRules, 'options')
  if (options.fees) assertFeeSchedule(options.fees)
  const store = options.store ?? memoryStore()
  const release = claim(store, 'channel-node', 'a channel node')
  const undo: (() => unknown)[] = [release]
  try {
    // A page carries what looks after money only when it has some to look after.
    const { startNode } = await import('./node/startNode.ts')
    return await startNode({ options, store, undo, release })
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}
