import type { Signer } from 'ethers'
import { address as addressRule, assertArguments, callback, clock as clockRule, connectedSigner, either, having, integer, listOf, logger, milliseconds, optional, seconds, store as storeRule } from '../core/argument.ts'
import { fromHex, randomBytes, toHex, type Hex } from '../core/bytes.ts'
import { claim } from '../core/chain/claim.ts'
import type { TransactionCall } from '../core/chain/sender.ts'
import { createRpc, isDevelopmentChain } from '../core/chain/rpc.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { engine } from '../core/crypto/engine.ts'
import { type AsyncCloseable, stops } from '../core/dispose.ts'
import { assertArgument, isSluiceError, SluiceError } from '../core/errors.ts'
import { createEmitter, type Events } from '../core/events.ts'
import { silentLogger, type Logger } from '../core/log.ts'
import { memoryStore } from '../core/store/memoryStore.ts'
import { copyStore } from '../core/store/copyStore.ts'
import type { Store } from '../core/store/store.ts'
import type { PeerTransport } from '../protocol/peer.ts'
import { createAlarmService, type AlarmService } from './chain/alarmService.ts'
import { createBlockchainService } from './chain/blockchainService.ts'
import type { TokenNetworkInfo } from './chain/networks.ts'
import type { Discovery } from './discovery/discovery.ts'
import { createLinks } from './link/links.ts'
import type { Link } from './link/link.ts'
import type { Agreements } from './node/agreements.ts'
import { capacityOf, isSettledFor, loadChannels, partnerCapacityOf, type Channel, type Phase } from './node/channel.ts'
import {
  createChainState,
  encodeRegistration,
  loadFirstProofs,
  loadRegistrations,
  noChannel,
  registrationPlace,
} from './node/chainState.ts'
import { createChainTime } from './node/chainTime.ts'
import type { NodeContext } from './node/context.ts'
import type { ChannelEvents } from './node/events.ts'
import { openLeastLock } from './node/leastLock.ts'
import { createDelegations, nodeIdentity, watchOf } from './node/identity.ts'
import { createJournal } from './node/journal.ts'
import { createLocks } from './node/locks.ts'
import type { CloseOptions, OpenManyRequest, OpenRequest, OperationOptions, Operations } from './node/operations.ts'
import { loadPayments, publicPayment, type Payment } from './node/payment.ts'
import { createProofs, isOverdue } from './node/proofs.ts'
import { createRegistrar } from './node/registrar.ts'
import { openReleases } from './node/releases.ts'
import { openRewind } from './node/rewind.ts'
import type { Routing } from './node/routing.ts'
import { openForeignChannels } from './node/foreignChannels.ts'
import type { SwapOffer, Swapped, Swaps, SwapSide } from './node/swaps.ts'
import type { PaymentStream, Streams } from './node/streams.ts'
import { createTransfers, type PayRequest } from './node/transfers.ts'
import { NO_FEES, assertFeeSchedule, mediationFee, type FeeSchedule } from './routing/fees.ts'
import type { TowerClient, TowersOptions } from './tower/towerClient.ts'
import { NO_HASH, type ChannelMessage } from './wire/messages.ts'

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

/** A node of the payment channel network. */
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
   * Opens a channel with `partner`, and waits until both nodes have seen it. A partner that is linked is asked to consent
   * first, which lets a watchtower look after the channel.
   * @throws `PAIR_HAS_CHANNEL`, `INSUFFICIENT_FUNDS`, `PEER_REFUSED`, and what sending a transaction throws.
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
   * Pays. Resolves when the money is the target's for good.
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

/** Payments that may wait to be taken from {@link ChannelNode.incoming}. */
const MAX_INCOMING = 10_000
/** Milliseconds between two looks at what waits for something. */
const TICK = 1_000
/** Milliseconds before an account that declined is asked again for a delegation. */
const RENEW_PAUSE = 86_400_000

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
  const { signer, transport, discovery, clock = systemClock, log = silentLogger, fees = NO_FEES, autoSettle = true } = options
  const tokenNetworks = typeof options.tokenNetwork === 'string' ? [options.tokenNetwork] : options.tokenNetwork
  assertArgument(tokenNetworks.length > 0, 'tokenNetwork', 'at least one address')
  assertArgument(signer.provider, 'signer', 'connected to a provider')
  if (fees) assertFeeSchedule(fees)
  const store = options.store ?? memoryStore()
  const release = claim(store, 'channel-node', 'a channel node')
  const undo: (() => unknown)[] = [release]
  try {
    return await start()
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }

  async function start(): Promise<ChannelNode> {
    const network = await createRpc({ provider: signer.provider!, clock }).chainId({ attempts: 5 })
    const dev = isDevelopmentChain(network)
    const { confirmations = dev ? 1 : 5, revealTimeout = dev ? 60 : 600, holdTime = 30, fromBlock = 0 } = options
    const { stallTimeout = dev ? Infinity : revealTimeout / 2, clockTolerance = dev ? Infinity : revealTimeout / 2 } = options
    const chain = await createBlockchainService({
      signer,
      tokenNetworks,
      store,
      clock,
      log,
      confirmations,
      fromBlock,
      pollInterval: options.pollInterval,
    })
    undo.push(() => chain.end())
    const infos = [...chain.networks.values()]
    const registry = infos[0]!.registry
    assertArgument(
      infos.every((info) => info.registry === registry),
      'tokenNetwork',
      'of one registry of token networks',
    )
    const identity = await nodeIdentity(signer, store, chain.chainId, registry, clock)
    const { account, key, sessionKey } = identity
    const delegations = createDelegations(signer.provider!, chain.chainId, registry, clock)
    const { channels: loaded, locks: lockBook } = await loadChannels(store)
    const firstProofs = await loadFirstProofs(store)
    const registrations = await loadRegistrations(store)

    const stopping = new AbortController()
    const events = createEmitter<ChannelEvents>(log)
    const journal = createJournal(
      store,
      (error) => {
        const reason = error instanceof Error ? error.message : String(error)
        log.error('the store has failed: the node stops', { reason })
        events.emit('stopped', { reason })
        void stop()
      },
      (error) => log.error('an effect failed', { reason: error instanceof Error ? error.message : String(error) }),
    )
    const alarm = createAlarmService(log)
    const time = createChainTime({
      clock,
      stallTimeout,
      clockTolerance,
      onClock(ahead, isWrong) {
        if (!isWrong) return log.info('the clock of this machine is right again', { ahead })
        log.error('the clock of this machine is wrong by the blocks that come: set it, or see whether the RPC node lags', { ahead })
        events.emit('clockWrong', { ahead })
      },
    })
    const { minLock } = options
    const least = await openLeastLock({ networks: infos, minLock, isFree: dev, gasPrice: () => chain.gasPrice(), clock, log })
    const channels = new Map(loaded.map((channel) => [channel.id, channel]))
    const releases = await openReleases(store, { journal, time, clock, channels })
    const foreign = await openForeignChannels(store, journal)
    const rewind = await openRewind(store, journal, channels, fromBlock)
    // Partners come from here on: all that waits is above, since a link that nobody hears of would never be used.
    const links = createLinks({
      identity,
      chainId: Number(chain.chainId),
      instance: toHex(randomBytes(16)),
      capabilities: fees ? 1 : 0,
      transport,
      clock,
      log,
      find: async (to, { signal }) => (discovery ? discovery.find(to, { signal }) : []),
      verifyDelegation: delegations.verify,
    })
    undo.push(() => links.close())
    const { secp256k1 } = engine()
    const context: NodeContext = {
      account,
      key,
      get delegation() {
        return identity.delegation
      },
      sessionKey,
      counts: (channel) => sessionKey === undefined || channel.ownKeys.includes(sessionKey),
      registerKey,
      clock,
      log,
      journal,
      links,
      events,
      time,
      channels,
      locks: lockBook,
      digests: (tokenNetwork) => chain.networks.get(tokenNetwork)!.digests,
      knows: (tokenNetwork) => chain.networks.has(tokenNetwork),
      recovers: (digest, signature, publicKey) => secp256k1.verify(digest, signature, publicKey),
      withV: (digest, rs, publicKey) => {
        const bytes = new Uint8Array(65)
        bytes.set(rs)
        bytes[64] = 27
        if (!secp256k1.verify(digest, bytes, publicKey)) bytes[64] = 28
        return bytes
      },
      noteRegistration: (id, secrethashes) => {
        registrations.set(id, secrethashes)
        journal.put(registrationPlace(id), () => encodeRegistration(secrethashes))
      },
      keepFirstProof: (channelId, proof) => chainState.keepFirstProof(channelId, proof),
      watchOf: (channelId) => watchOf(identity.secret, channelId),
    }
    let towers: TowerClient | undefined

    const proofs = createProofs(context, {
      accepted(channel, message, lock) {
        switch (message.type) {
          case 'payment':
            transfers.paidDirectly(channel, message)
            break
          case 'lock':
            locks.locked(channel, lock!)
            break
          case 'unlock':
            locks.unlocked(channel, lock!, message.secret)
            break
          case 'stream':
            if (streams) streams.anchored(channel)
            else void streaming()
            break
          case 'remove':
            break
        }
        towers?.changed(channel)
        routing?.changed(channel)
      },
      acknowledged(channel, nonce) {
        towers?.changed(channel)
        transfers.acknowledged(channel, nonce)
      },
      forgotten: (lock) => transfers.forgotten(lock),
      synced(channel) {
        locks.pursue(channel)
        if (streams) streams.synced(channel)
        else if (channel.own.stream) void streaming().then((loaded) => channel.synced && loaded.synced(channel))
        towers?.changed(channel)
        routing?.changed(channel)
      },
      mayRemove: (lock) => locks.mayRemove(lock),
    })
    /** Loaded when somebody pays by a hash chain. */
    let streams: Streams | undefined
    const streaming = async (): Promise<Streams> => {
      if (streams) return streams
      const { createStreams } = await import('./node/streams.ts')
      return (streams ??= createStreams(context, proofs))
    }
    const fold = async (channel: Channel): Promise<void> => {
      if (channel.own.stream && channel.synced) (await streaming()).fold(channel)
    }
    /** Loaded when a payment over several hops is made, at the start by a node that forwards them. */
    let routing: Routing | undefined
    const linked = new Set<Link>()
    const loadRouting = async (): Promise<Routing> => {
      if (routing) return routing
      const { createRouting } = await import('./node/routing.ts')
      const { isSigner } = delegations
      return (routing ??= createRouting({ context, chain, fees, revealTimeout, isSigner, foreign, linked }))
    }
    const transfers = createTransfers(context, proofs, {
      store,
      revealTimeout,
      isSigner: delegations.isSigner,
      plan: (request) => routing!.plan(request), // prepared before
      prepare: async () => (await loadRouting()).prepare(),
      blame: (channelId) => routing?.blame(channelId),
    })
    const locks = createLocks(
      context,
      proofs,
      releases,
      { revealTimeout, maxLockTime: 64 * revealTimeout, holdTime },
      {
        requested: (message, publicKey) => transfers.requested(message, publicKey),
        paid: (lock, secret) => transfers.paid(lock, secret),
        returned: (channel, lock, report) => transfers.returned(channel, lock, report),
        received: (lock, channel, amount) => transfers.received(lock, channel, amount),
        feeFor: (channel, amount) => {
          if (!fees) throw new SluiceError('PAYMENT_REFUSED', 'this node forwards nothing')
          return mediationFee(fees, amount, capacityOf(channel))
        },
        secretFor: (lock, channel, amount) => swaps?.secretFor(lock, channel, amount),
        mayTake: (lock, channel, amount, expiry) => !swaps?.holds(lock, channel, amount, expiry),
        register: (secrets) => register(secrets),
        minLock: least.of,
        search: async (secrethashes) => {
          for (const { key: id, secrethashes: list, secrethash, secret, at } of await chain.registrations(
            infos[0]!.secretRegistry,
            secrethashes,
          )) {
            context.noteRegistration(id, list)
            locks.onSecretOnChain(secrethash, fromHex(secret, 32), at)
          }
        },
      },
    )
    let swaps: Swaps | undefined
    const swapping = async (): Promise<Swaps> =>
      (swaps ??= (await import('./node/swaps.ts')).createSwaps(context, transfers, { accept: options.acceptSwap, revealTimeout }))
    /** Loaded when a channel is opened, paid out of or closed together: paying does without. */
    let agreeing: Promise<Agreements> | undefined
    const agreements = (): Promise<Agreements> =>
      (agreeing ??= import('./node/agreements.ts').then(({ createAgreements }) =>
        createAgreements(context, proofs, { consent: options.consent, fold }),
      ))
    const chainState = createChainState(
      context,
      proofs,
      chain,
      { firstProofs, releases, rewind },
      {
        autoSettle,
        unlocked: (channel, own, numbers) => locks.unlockedOnChain(channel, own, numbers),
        unlock: async (channel) => {
          const { unlockChannel } = await import('./node/unlocks.ts')
          await unlockChannel(channel, { context, chain, store, registrations })
        },
        changed(channel) {
          routing?.chainChanged(channel)
          if (channel.phase === 'open') {
            keep(channel.partner)
            if (links.get(channel.partner)) proofs.sync(channel)
          }
          if (channel.phase !== 'open') locks.pursue(channel)
          towers?.changed(channel)
          if (channel.phase === 'settled') transfers.settled(channel)
        },
        foreign: (event, tokenNetwork) => {
          const channel = foreign.event(event, tokenNetwork)
          if ('channelId' in event) routing?.foreignChanged(event.channelId, tokenNetwork, channel)
        },
        secret: (secrethash, secret, at) => locks.onSecretOnChain(secrethash, secret, at),
        rewind: () => locks.rewind(),
      },
    )

    /** Channels in which this node's session key is being registered. */
    const introducing = new Set<Hex>()
    function registerKey(channel: Channel): void {
      if (!sessionKey || channel.phase !== 'open' || introducing.has(channel.id)) return
      introducing.add(channel.id)
      chain
        .transactions()
        .then((transactions) => transactions.addSessionKey(channel.tokenNetwork, channel.id, channel.partner, sessionKey))
        .catch((error: unknown) => {
          log.error('the session key could not be registered, trying again when it is needed', {
            channelId: channel.id,
            reason: error instanceof Error ? error.message : String(error),
          })
        })
        .finally(() => introducing.delete(channel.id))
    }

    const register = createRegistrar({
      clock,
      log,
      gasLimit: () => chain.gasLimit(),
      send: async (secrets, id) => (await chain.transactions()).registerSecrets(infos[0]!.secretRegistry, secrets, id),
    })

    const kept = new Map<Hex, () => void>()
    function keep(partner: Hex): void {
      if (!kept.has(partner)) kept.set(partner, links.keep(partner))
    }

    function onMessage(link: Link, message: ChannelMessage): unknown {
      switch (message.type) {
        case 'payment':
        case 'lock':
        case 'unlock':
        case 'remove':
        case 'stream':
          return proofs.accept(link, message)
        case 'step':
          if (streams) return streams.onStep(link, message)
          return streaming().then(() => proofs.sync(proofs.channelOf(link, message.channelId))) // then it is shown again
        case 'processed':
          return proofs.processed(link, message)
        case 'sync':
          return proofs.onSync(link, message)
        case 'state':
          return proofs.onState(link, message)
        case 'secretRequest':
          return locks.onSecretRequest(link, message)
        case 'secretGrant':
          return locks.onSecretGrant(link, message)
        case 'secretDenied':
          return locks.onSecretDenied(link, message)
        case 'reveal':
          return locks.onReveal(link, message)
        case 'fail':
          return locks.onFail(link, message)
        case 'announcement':
        case 'gossipRequest':
        case 'gossipEnd':
          return (routing ?? NOTHING_KNOWN).onMessage(link, message)
        case 'swapOffer':
        case 'swapAnswer':
          return swapping().then((loaded) => loaded.onMessage(link, message))
        case 'openRequest':
        case 'openConsent':
        case 'withdrawRequest':
        case 'withdrawConfirm':
        case 'closeRequest':
        case 'closeConfirm':
        case 'refused':
          return agreements().then((loaded) => loaded.onMessage(link, message))
        default:
          return
      }
    }

    let isLoaded = false
    const loading = (async () => {
      await transfers.load()
      if (fees) await loadRouting()
      isLoaded = true
    })()
    loading.catch(() => {}) // thrown below
    links.onMessage((link, message) => {
      const failed = (error: unknown): never => {
        if (isSluiceError(error)) {
          const channelId = 'channelId' in message ? message.channelId : undefined
          log.warn('a peer broke a rule', {
            account: link.account,
            type: message.type,
            code: error.code,
            reason: error.shortMessage,
          })
          events.emit('misbehaved', { channelId, account: link.account, code: error.code, reason: error.shortMessage })
        }
        throw error
      }
      try {
        // A partner may be faster than the store: what it says of a payment must find it.
        const answer = isLoaded ? onMessage(link, message) : loading.then(() => onMessage(link, message))
        return answer instanceof Promise ? answer.catch(failed) : undefined
      } catch (error) {
        return failed(error)
      }
    })
    links.onLink((link) => {
      for (const channel of channels.values())
        if (channel.partner === link.account && channel.phase === 'open') proofs.sync(channel)
      linked.add(link)
      routing?.linked(link)
      events.emit('peer', { account: link.account, linked: true })
    })
    links.onConflict((of, instance) => log.warn('an account is linked from two processes', { account: of, instance }))
    links.onLost((link) => {
      proofs.lost(link.account)
      linked.delete(link)
      routing?.lost(link)
      events.emit('peer', { account: link.account, linked: false })
    })

    await loading
    if (options.towers) {
      const { createTowerClient } = await import('./tower/towerClient.ts')
      const { theirProof } = chainState
      const parts = { context, store, transport, chainId: chain.chainId, secret: identity.secret, theirProof }
      towers = await createTowerClient(parts, options.towers)
      undo.push(() => towers!.close())
    }
    await chain.start({
      event: chainState.event,
      block: (block, left) => {
        time.block(block.timestamp, left)
        rewind.forgetBelow(block.number)
        alarm.ring(block)
      },
      rollback: (block) => chainState.rewind(block),
    })
    // What was over before a restart is over now, with no new block.
    time.begin(await chain.toldUntil())
    alarm.onBlock(() => tick())
    void ticking()
    for (const channel of channels.values()) {
      routing?.chainChanged(channel)
      if (channel.phase === 'open') keep(channel.partner)
    }
    if (discovery?.announce && transport.endpoint !== undefined) {
      discovery
        .announce(transport.endpoint, { signal: stopping.signal })
        .catch((error: unknown) =>
          log.warn('this node could not be announced', { reason: error instanceof Error ? error.message : String(error) }),
        )
    }

    function tick(): void {
      chainState.tick()
      renew()
      least.refresh()
      for (const channel of channels.values()) {
        if (channel.closing || channel.ownWithdraw || channel.theirWithdraw)
          void agreements().then((loaded) => loaded.expire(channel))
        proofs.retry(channel)
        if (isOverdue(channel, clock.now())) proofs.resend(channel)
      }
      locks.pursue()
      releases.prune(chain).catch((error: unknown) =>
        log.warn('releases could not be searched for, trying again', {
          reason: error instanceof Error ? error.message : String(error),
        }),
      )
    }

    /** Whether the account is being asked for a delegation that lasts longer. */
    let renewing = false
    function renew(): void {
      if (renewing || !identity.isDue()) return
      renewing = true
      identity
        .renew()
        .catch((error: unknown) => log.error('the delegation to the session key is not renewed', { reason: String(error) }))
        .finally(() => void clock.sleep(RENEW_PAUSE, stopping.signal).then(() => (renewing = false), () => {}))
    }

    async function ticking(): Promise<void> {
      while (!stopping.signal.aborted) {
        await clock.sleep(TICK, stopping.signal).catch(() => {})
        if (!stopping.signal.aborted) tick()
      }
    }

    const only = (tokenNetwork: string | undefined): Hex => {
      const address = (tokenNetwork ?? (infos.length === 1 ? infos[0]!.address : undefined))?.toLowerCase() as Hex | undefined
      assertArgument(address !== undefined && chain.networks.has(address), 'tokenNetwork', 'one of the node')
      return address
    }
    const find = (channelId: string): Channel => {
      const channel = channels.get(channelId.toLowerCase() as Hex)
      if (!channel) throw noChannel(channelId)
      return channel
    }

    /** Loaded with the first call that needs the chain. */
    const operations = async (): Promise<Operations> => {
      const { createOperations } = await import('./node/operations.ts')
      return createOperations({ context, chain, signer, proofs, chainState, agreements, fold, only })
    }

    let stopped: Promise<void> | undefined
    function stop(): Promise<void> {
      return (stopped ??= (async () => {
        stopping.abort()
        for (const letGo of kept.values()) letGo()
        routing?.stop()
        await links.close()
        await towers?.close()
        await chain.end()
        await discovery?.close()
        await journal.settled().catch(() => {})
        events.clear()
        release()
      })())
    }

    return {
      ...stops,
      account,
      chainId: chain.chainId,
      networks: infos,
      events,
      alarm,

      open: async (request) => info(await (await operations()).open(request)),
      openMany: async (request) => (await (await operations()).openMany(request)).map(info),
      relayable: {
        open: async (request) => (await operations()).relayable.open(request),
        close: async (channelId) => (await operations()).relayable.close(channelId),
      },
      deposit: async (channelId, total, options) => info(await (await operations()).deposit(channelId, total, options)),
      withdraw: async (channelId, total, options) => info(await (await operations()).withdraw(channelId, total, options)),
      close: async (channelId, options) => info(await (await operations()).close(channelId, options)),
      settle: async (channelId, options) => info(await (await operations()).settle(channelId, options)),

      pay: ({ to, tokenNetwork, id, ...request }) => {
        assertArgument(request.amount > 0n, 'amount', 'at least 1')
        assertArgument(id === undefined || /^0x[0-9a-fA-F]{64}$/.test(id), 'id', '32 bytes as hex')
        assertArgument(/^0x[0-9a-fA-F]{40}$/.test(to) && to.toLowerCase() !== account, 'to', 'the address of another account')
        return transfers.pay({
          ...request,
          to: to.toLowerCase() as Hex,
          tokenNetwork: only(tokenNetwork),
          id: id?.toLowerCase() as Hex | undefined,
        })
      },

      async stream({ to, unit, tokenNetwork }) {
        const at = only(tokenNetwork)
        const channel = [...channels.values()].find(
          ({ partner, tokenNetwork: network, phase }) => partner === to.toLowerCase() && network === at && phase === 'open',
        )
        if (!channel) throw noChannel(`with ${to}`)
        return (await streaming()).open(channel, unit)
      },

      async swap({ to, give, take, signal }) {
        const side = ({ tokenNetwork, amount }: typeof give): SwapSide => {
          assertArgument(amount > 0n, 'amount', 'at least 1')
          return { tokenNetwork: only(tokenNetwork), amount }
        }
        return (await swapping()).offer(to.toLowerCase() as Hex, side(give), side(take), signal)
      },

      channels: () => [...channels.values()].map(info),
      channel: (channelId) => info(find(channelId)),

      async *payments(direction, idPrefix = '') {
        await journal.settled()
        const underWay = new Set<Hex>()
        if (direction !== 'in') {
          for (const payment of transfers.pending) {
            if (!payment.id.startsWith(idPrefix)) continue
            underWay.add(payment.id)
            yield payment
          }
        }
        for (const each of direction ? [direction] : (['out', 'in'] as const)) {
          for await (const payment of loadPayments(store, each, idPrefix))
            if (each === 'in' || !underWay.has(payment.id)) yield publicPayment(payment)
        }
      },

      incoming: ({ signal } = {}) => incoming(events, signal, stopping.signal),

      async connect(to, { signal } = {}) {
        await links.connect(to.toLowerCase(), { signal })
      },

      backup: (to) => journal.alone(() => copyStore(store, to)),
      caughtUp: (signal) => chain.caughtUp(signal),
      stop,
    }

    function info(channel: Channel): ChannelInfo {
      return {
        id: channel.id,
        tokenNetwork: channel.tokenNetwork,
        partner: channel.partner,
        phase: channel.phase,
        totalDeposit: channel.ownDeposit,
        totalWithdraw: channel.ownWithdrawn,
        partnerTotalDeposit: channel.theirDeposit,
        partnerTotalWithdraw: channel.theirWithdrawn,
        capacity: isSettledFor(channel) ? 0n : capacityOf(channel),
        partnerCapacity: isSettledFor(channel) ? 0n : partnerCapacityOf(channel),
        locked: channel.own.locks.total,
        partnerLocked: channel.theirs.locks.total,
        settleAt: channel.settleAt,
        online: channel.synced,
      }
    }
  }
}

/** What a node that knows of no other channels answers. */
const NOTHING_KNOWN: Pick<Routing, 'onMessage'> = {
  onMessage(link, message) {
    if (message.type === 'gossipRequest')
      link.send('gossipEnd', { tokenNetwork: message.tokenNetwork, next: NO_HASH, more: false })
  },
}

/** Payments as they come in, until either signal fires. @throws `OVERLOADED` when they are not taken. */
async function* incoming(
  events: Events<ChannelEvents>,
  signal: AbortSignal | undefined,
  stopped: AbortSignal,
): AsyncIterable<ChannelEvents['received']> {
  const waiting: ChannelEvents['received'][] = []
  let wake = (): void => {}
  const ring = (): void => wake()
  const off = events.on('received', (payment) => {
    if (waiting.length <= MAX_INCOMING) waiting.push(payment)
    wake()
  })
  signal?.addEventListener('abort', ring)
  stopped.addEventListener('abort', ring)
  try {
    while (!signal?.aborted && !stopped.aborted) {
      const next = waiting.shift()
      if (next) yield next
      else await new Promise<void>((resolve) => (wake = resolve))
      if (waiting.length > MAX_INCOMING)
        throw new SluiceError('OVERLOADED', `more than ${MAX_INCOMING} payments have not been taken`, {
          details: { limit: MAX_INCOMING },
        })
    }
  } finally {
    off()
    signal?.removeEventListener('abort', ring)
    stopped.removeEventListener('abort', ring)
  }
}
