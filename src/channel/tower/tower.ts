/**
 * A watchtower: keeps what nodes have sealed for it, and answers the closing of a channel in the place of a node that is
 * not there.
 * @module
 */
import { SigningKey, type Signer } from 'ethers'
import { address as addressRule, amount, assertArguments, callback, clock as clockRule, connectedSigner, having, integer, listOf, logger, milliseconds, optional, seconds, shape, store as storeRule } from '../../core/argument.ts'
import { assertContract } from '../../contracts/assertContract.ts'
import { tokenNetworkInterface } from '../../contracts/tokenNetwork.ts'
import { towerDepositInterface } from '../../contracts/towerDeposit.ts'
import { assertAddress } from '../../core/address.ts'
import { fromHex, randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { claim as claimPlace } from '../../core/chain/claim.ts'
import { createRpc, isDevelopmentChain } from '../../core/chain/rpc.ts'
import { createSender } from '../../core/chain/sender.ts'
import { createWatcher } from '../../core/chain/watcher.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { keyFromSecret } from '../../core/crypto/key.ts'
import { type AsyncCloseable, stops } from '../../core/dispose.ts'
import { assertArgument, isSluiceError, SluiceError, type ErrorCode } from '../../core/errors.ts'
import { forStrangers } from '../../core/forStrangers.ts'
import { createEmitter, type Events } from '../../core/events.ts'
import { silentLogger, type Logger } from '../../core/log.ts'
import type { Store } from '../../core/store/store.ts'
import type { PeerTransport } from '../../protocol/peer.ts'
import { decodeChainEvent } from '../chain/chainEvents.ts'
import { lower, readTokenNetwork } from '../chain/networks.ts'
import type { Link } from '../link/link.ts'
import { createLinks, type Links } from '../link/links.ts'
import { createDelegations } from '../node/identity.ts'
import type { Typed } from '../wire/messages.ts'
import { createAnswers, TICK } from './answers.ts'
import { openBook } from './book.ts'
import { openClosings } from './closings.ts'
import { APPOINTMENTS_PER_SECOND } from './pace.ts'
import { receiptDigest, sealedHashOf } from './receipt.ts'
import { openSpending } from './spending.ts'
import { createStakes } from './stakes.ts'

/** Options of {@link createTower}. */
export interface TowerOptions {
  /** A wallet that holds its key, with a provider: pays for the transactions, is paid the rewards, signs the receipts. */
  readonly signer: Signer
  /** Addresses of the token networks whose closings are answered. */
  readonly tokenNetworks: readonly string[]
  /** Where the tower keeps what it promised. */
  readonly store: Store
  /** Where clients reach it. */
  readonly transport: PeerTransport
  /** Address of the `TowerDeposit` that rewards are taken from. @default none: it works for nothing */
  readonly towerDeposit?: string | undefined
  /** The least reward that it answers a closing for, in the smallest unit of the deposit's token. @default 0n */
  readonly minReward?: bigint | undefined
  /**
   * The least that an answer without a reward must gain its client, by address of the token network, in the token's
   * smallest unit. Name it for tokens: what they are worth in gas is not known here. @default what the answer's gas costs
   * now where the network is for ETH, 1n for a token; 1n on development chains
   */
  readonly minGain?: Readonly<Record<string, bigint>> | undefined
  /**
   * Gas that a client's answers without a reward use in a day. Beyond it they are given only where they gain 20 times
   * the least. @default 3_000_000n, some 25 answers
   */
  readonly freeGas?: bigint | undefined
  /** Whom it works for, by the account of the link: a client's account for this tower alone. @default everyone */
  readonly admit?: ((client: Hex) => boolean) | undefined
  /** Seconds that an appointment lasts at most. @default 90 days */
  readonly maxDuration?: number | undefined
  /** Appointments that are kept in all: 8 KiB each in the store. @default 10000 */
  readonly maxAppointments?: number | undefined
  /** Appointments of one client. @default 1000 */
  readonly maxPerClient?: number | undefined
  /** First block to look at, when the store is new. @default the newest */
  readonly fromBlock?: number | undefined
  /** How deep a block must lie before its closings are answered. @default 1 on development chains, 5 elsewhere */
  readonly confirmations?: number | undefined
  /** Milliseconds between two looks at the chain. @default 200 on development chains, 2000 elsewhere */
  readonly pollInterval?: number | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

/** What a tower tells, by event. */
export interface TowerEvents {
  /** A client has handed in an appointment, and has its receipt. */
  appointed: {
    readonly client: Hex
    readonly hint: Hex
    readonly counter: number
    readonly validUntil: number
    /** Whether the place is kept for it until then; see {@link TowerReceipt.promised}. */
    readonly promised: boolean
  }
  /** A place that was not promised was given to a client with more at stake. */
  dropped: { readonly client: Hex; readonly hint: Hex; readonly counter: number }
  /** The proof was shown for a client; `rewarded` if a reward is set aside for it. */
  shown: {
    readonly tokenNetwork: Hex
    readonly channelId: Hex
    readonly client: Hex
    readonly nonce: number
    readonly rewarded: boolean
    readonly transactionHash: string
  }
  /** The partner's word that it won't claim locks was shown for a client. */
  released: { readonly tokenNetwork: Hex; readonly channelId: Hex; readonly client: Hex; readonly locks: number }
  /** A closing could not be answered now; it is tried again as long as there is time. */
  failed: { readonly tokenNetwork: Hex; readonly channelId: Hex; readonly code: ErrorCode; readonly reason: string }
  /** A reward was paid out, in the smallest unit of the deposit's token. */
  claimed: { readonly tokenNetwork: Hex; readonly channelId: Hex; readonly amount: bigint }
}

/** A watchtower at work. */
export interface Tower extends AsyncCloseable {
  /** The account that clients name, in lower case. */
  readonly account: Hex
  readonly events: Events<TowerEvents>
  /** Appointments that are kept. */
  readonly appointments: number
  /** Waits until what the chain has now is taken in. */
  caughtUp(signal?: AbortSignal): Promise<void>
  /** Stops; what is under way goes on when it is started again. Store and transport remain their owner's. */
  stop(): Promise<void>
}

/** Closings that are kept, beyond those that an appointment is known for. */
const MAX_CLOSINGS = 10_000
/** Clients that are linked at once. */
const MAX_LINKS = 1_000
/** Milliseconds without an appointment after which a link is ended. */
const LINK_IDLE = 60_000
/** Seconds that a place lasts at most that was not promised. */
const UNPROMISED = 7 * 86_400
/** About what showing a proof uses. */
const ANSWER_GAS = 150_000n
/** Milliseconds for which a fee is good enough to rank by. */
const FEE_LASTS = 60_000
const NO_ADDRESS: Hex = `0x${'00'.repeat(20)}`

const optionRules = {
  signer: connectedSigner,
  tokenNetworks: listOf(addressRule, 1),
  store: storeRule,
  transport: having('a transport such as await listenWebSocketPeer()', 'connect'),
  minReward: optional(amount(128)),
  minGain: optional(shape('amounts by token network', {})),
  admit: optional(callback),
  maxDuration: optional(seconds),
  maxAppointments: optional(integer(1)),
  maxPerClient: optional(integer(1)),
  fromBlock: optional(integer(0)),
  confirmations: optional(integer(1)),
  pollInterval: optional(milliseconds),
  clock: optional(clockRule),
  log: optional(logger),
}

/**
 * Creates a watchtower and starts it. It answers a closing as soon as its block is deep enough, and again whenever
 * an older proof stands there, until the challenge period ends.
 * @throws `NOT_DEPLOYED`, `BAD_ARGUMENT`, `STORE_LOCKED` for a second tower on one store, `RPC_FAILED`.
 * @example
 * ```ts
 * const tower = await createTower({ signer, tokenNetworks: [tokenNetwork], store, transport })
 * console.log(`clients name ${tower.account}`)
 * ```
 */
export async function createTower(options: TowerOptions): Promise<Tower> {
  assertArguments(options, optionRules, 'options')
  const { signer, store, transport, admit, minReward = 0n, clock = systemClock, log = silentLogger } = options
  const { freeGas = 3_000_000n, minGain = {} } = options
  const { maxDuration = 90 * 86_400, maxAppointments = 10_000, maxPerClient = 1_000, pollInterval } = options
  const wallet = (signer as { signingKey?: unknown }).signingKey
  const { provider } = signer
  assertArgument(wallet instanceof SigningKey && provider, 'signer', 'a wallet that holds its key, connected to a provider')
  assertArgument(options.tokenNetworks.length > 0, 'tokenNetworks', 'at least one address')
  if (options.towerDeposit !== undefined) assertAddress(options.towerDeposit, 'towerDeposit')
  const towerDeposit = options.towerDeposit === undefined ? undefined : lower(options.towerDeposit)
  assertArgument(minReward >= 0n && (minReward === 0n || towerDeposit), 'minReward', 'given with the towerDeposit that pays it')
  const gains = new Map(Object.entries(minGain).map(([network, gain]) => [lower(network), gain]))
  for (const gain of gains.values()) assertArgument(typeof gain === 'bigint' && gain >= 0n, 'minGain', 'amounts such as 10n ** 15n')
  assertArgument(typeof freeGas === 'bigint' && freeGas >= 0n, 'freeGas', 'an amount of gas such as 3_000_000n')
  const key = keyFromSecret(fromHex(wallet.privateKey, 32))
  const account = lower(key.address)

  const undo: (() => unknown)[] = [claimPlace(store, 'tower', 'a tower')]
  try {
    return await start()
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }

  async function start(): Promise<Tower> {
    const rpc = createRpc({ provider: provider!, clock })
    const chainId = await rpc.chainId({ attempts: 2 })
    if (towerDeposit) await assertContract('TowerDeposit', { provider: provider!, chainId, address: towerDeposit, option: 'towerDeposit', clock })
    const confirmations = options.confirmations ?? (isDevelopmentChain(chainId) ? 1 : 5)
    const sender = await createSender({
      signer,
      store,
      clock,
      log,
      pollInterval,
      confirmations,
      interfaces: [tokenNetworkInterface, towerDepositInterface],
    })
    undo.push(() => sender.close())
    const networks = await Promise.all(options.tokenNetworks.map((address) => readTokenNetwork(provider!, chainId, address)))
    const unpromisedUntil = (): number => Math.floor(clock.now() / 1000) + UNPROMISED
    const limits = { maxAppointments, maxPerClient, networks: networks.length, unpromisedUntil }
    const book = await openBook(store, limits, (place) => onDropped(place))
    const spending = await openSpending(store, freeGas)
    const closings = await openClosings(store, MAX_CLOSINGS, (hint) => book.has(hint))
    const events = createEmitter<TowerEvents>(log)
    const stopping = new AbortController()
    const topics = ['ChannelClosed', 'NonClosingBalanceProofUpdated', 'LocksReleased'] as const
    const watcher = createWatcher({
      provider: provider!,
      name: 'tower',
      store,
      clock,
      log,
      confirmations,
      pollInterval,
      chainId,
      fromBlock: options.fromBlock ?? (await rpc.head({ attempts: 5 })),
      addresses: networks.map(({ address }) => address),
      topics: [topics.map((name) => tokenNetworkInterface.getEvent(name as 'ChannelClosed').topicHash)],
    })
    /** Of the last block, Unix seconds. */
    let chainTime = 0
    let fee = { price: 0n, at: -Infinity }

    /** The least that an answer of so much gas must gain its client. */
    async function leastFor(tokenNetwork: Hex, gas = ANSWER_GAS): Promise<bigint> {
      const named = gains.get(tokenNetwork)
      if (named !== undefined) return named
      const isEth = networks.some(({ address, token }) => address === tokenNetwork && token === NO_ADDRESS)
      if (!isEth || isDevelopmentChain(chainId)) return 1n
      if (Math.abs(clock.now() - fee.at) > FEE_LASTS) {
        const data = await rpc.ask('gas price', () => provider!.getFeeData(), { attempts: 3, signal: stopping.signal })
        fee = { price: data.gasPrice ?? data.maxFeePerGas ?? 0n, at: clock.now() }
      }
      return gas * fee.price
    }

    const stakes = await createStakes({
      chainId,
      tower: account,
      provider: provider!,
      rpc,
      store,
      book,
      tokenNetworks: networks.map(({ address }) => address),
      verifyDelegation: createDelegations(provider!, chainId, networks[0]!.registry).verify,
      leastFor: (tokenNetwork) => leastFor(tokenNetwork),
      clock,
      log,
      signal: stopping.signal,
    })
    const answers = createAnswers({
      account,
      provider: provider!,
      rpc,
      sender,
      book,
      closings,
      spending,
      towerDeposit,
      minReward,
      leastFor,
      events,
      clock,
      log,
      signal: stopping.signal,
      chainTime: () => chainTime,
    })

    // ------------------------------------------------------------------------------------------------ what clients want

    let dropping: Links | undefined
    /** Clients whose appointment is being stored. */
    const storing = new Set<Hex>()
    const rates = new WeakMap<Link, { began: number; count: number }>()
    /** When each link was opened, or has brought an appointment that was taken. */
    const usedAt = new Map<Link, number>()

    /** @throws why an appointment is not taken. */
    function assertWelcome(link: Link, { validUntil }: Typed<'appointment'>): void {
      if (admit && !admit(link.account)) throw new SluiceError('PEER_REFUSED', 'this tower does not work for you')
      const rate = rates.get(link)
      const now = clock.now()
      if (!rate || Math.abs(now - rate.began) >= 1000) rates.set(link, { began: now, count: 1 })
      // Twice what a client sends: clocks and networks bunch it up.
      else if (++rate.count > 2 * APPOINTMENTS_PER_SECOND)
        throw new SluiceError('OVERLOADED', `no more than ${APPOINTMENTS_PER_SECOND} appointments a second`)
      if (storing.has(link.account)) throw new SluiceError('OVERLOADED', 'one appointment at a time')
      if (validUntil <= now / 1000) throw new SluiceError('BAD_MESSAGE', 'validUntil is over', { details: { field: 'validUntil' } })
    }

    async function onAppointment(link: Link, message: Typed<'appointment'>): Promise<void> {
      const { counter, replaces, sealed } = message
      const client = link.account
      const hint = toHex(message.hint)
      const longest = Math.floor(clock.now() / 1000) + maxDuration
      const decline = (code: ErrorCode, reason: string, held?: { counter: number; sealed: Uint8Array }): void =>
        link.send('declined', { hint: message.hint, counter, code, message: reason, held })
      try {
        assertWelcome(link, message)
        storing.add(client)
        try {
          const validUntil = Math.min(message.validUntil, longest)
          const stake = await stakes.of(link)
          const held = await book.put(hint, client, { counter, validUntil, sealed }, replaces, stake)
          if (held) return decline('STATE_STALE', 'another appointment is kept for this hint', held)
          const kept = (await book.get(hint, client))!
          usedAt.set(link, clock.now())
          const receipt = {
            chainId,
            tower: account,
            hint,
            counter,
            sealedHash: sealedHashOf(sealed),
            validUntil: kept.validUntil,
            towerDeposit: minReward > 0n ? towerDeposit! : NO_ADDRESS,
            reward: minReward,
            promised: kept.backing?.promised ?? false,
          }
          const signature = key.sign(receiptDigest(receipt))
          link.send('receipt', { ...receipt, hint: message.hint, signature })
          events.emit('appointed', { client, hint, counter, validUntil: kept.validUntil, promised: receipt.promised })
        } finally {
          storing.delete(client)
        }
        if (closings.isOpen(hint)) answers.wake()
      } catch (error) {
        if (!isSluiceError(error)) throw error
        log.info('an appointment is declined', { client, code: error.code, reason: error.shortMessage })
        decline(error.code, forStrangers(error).message)
      }
    }

    // ------------------------------------------------------------------------------------------------------ life

    const links = (dropping = createLinks({
      identity: { account, key, delegation: new Uint8Array() },
      chainId: Number(chainId),
      instance: toHex(randomBytes(16)),
      capabilities: 0,
      transport,
      clock,
      log,
      find: async () => [],
      // A client has a key of its own for this tower: nothing is delegated.
      verifyDelegation: async () => false,
      maxLinks: MAX_LINKS,
    }))
    undo.push(() => links.close())
    links.onLink((link) => usedAt.set(link, clock.now()))
    links.onLost((link) => usedAt.delete(link))
    links.onMessage((link, message) => {
      if (message.type === 'stake') return stakes.state(link, message)
      return message.type === 'appointment' ? onAppointment(link, message) : undefined
    })

    /** Tells a client that is linked that it should look for another tower. */
    function onDropped({ client, hint, counter }: { readonly client: Hex; readonly hint: Hex; readonly counter: number }): void {
      events.emit('dropped', { client, hint, counter })
      const message = 'the place was given to a client with more at stake'
      dropping?.get(client)?.send('declined', { hint: fromHex(hint, 16), counter, code: 'OVERLOADED', message, held: undefined })
    }

    await watcher.start({
      onLog: async (entry) => {
        const tokenNetwork = lower(entry.address)
        const parsed = tokenNetworkInterface.parseLog(entry)
        if (parsed?.name === 'LocksReleased') {
          const [channelId, sender, locks] = parsed.args as unknown as [Hex, string, readonly Hex[]]
          await closings.released(channelId, lower(sender), [...locks], tokenNetwork, entry.blockNumber)
          return
        }
        const event = decodeChainEvent(entry)
        if (event?.type === 'closed') await closings.closed(event, tokenNetwork, entry.blockNumber)
        else if (event?.type === 'updated') await closings.updated(event, tokenNetwork, entry.blockNumber)
        answers.wake()
      },
      onBlock: async (block) => {
        chainTime = block.timestamp
        await book.expire(chainTime - EXPIRY_PAUSE, (hint) => closings.isOpen(hint))
        answers.tick()
      },
      onRollback: async (block) => {
        await closings.rollBack(block)
        answers.forget()
      },
    })
    undo.push(() => watcher.stop())
    chainTime ||= (await rpc.header(Math.max(watcher.position, 0), { attempts: 5 }))?.timestamp ?? 0
    void ticking()

    async function ticking(): Promise<void> {
      while (!stopping.signal.aborted) {
        await clock.sleep(TICK, stopping.signal).catch(() => {})
        if (stopping.signal.aborted) return
        answers.tick()
        for (const [link, at] of usedAt) if (clock.now() - at >= LINK_IDLE) link.close(1000, 'nothing to say')
        await stakes.review().catch((error: unknown) => log.warn('stakes could not be read', { reason: String(error) }))
      }
    }

    let stopped: Promise<void> | undefined
    return {
      ...stops,
      account,
      events,
      get appointments() {
        return book.size
      },
      caughtUp: (signal) => watcher.caughtUp(signal),
      stop: () =>
        (stopped ??= (async () => {
          stopping.abort()
          for (const step of undo.reverse()) await step()
          await answers.idle()
          events.clear()
        })()),
    }
  }
}

/** Seconds that an appointment is kept beyond its end: a closing of that time may not be deep enough yet. */
const EXPIRY_PAUSE = 3600
