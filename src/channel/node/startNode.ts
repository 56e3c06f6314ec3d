/**
 * A node at work: its parts, put together. Loaded when a node is created.
 * @module
 */
import { fromHex, randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { createRpc, isDevelopmentChain } from '../../core/chain/rpc.ts'
import { systemClock } from '../../core/clock.ts'
import { engine } from '../../core/crypto/engine.ts'
import { stops } from '../../core/dispose.ts'
import { assertArgument, isSluiceError, SluiceError } from '../../core/errors.ts'
import { createEmitter, type Events } from '../../core/events.ts'
import { silentLogger } from '../../core/log.ts'
import { copyStore } from '../../core/store/copyStore.ts'
import type { Store } from '../../core/store/store.ts'
import { createAlarmService } from '../chain/alarmService.ts'
import { createBlockchainService } from '../chain/blockchainService.ts'
import { createLinks } from '../link/links.ts'
import type { Link } from '../link/link.ts'
import type { Agreements } from './agreements.ts'
import { capacityOf, isSettledFor, loadChannels, partnerCapacityOf, type Channel } from './channel.ts'
import {
  createChainState,
  encodeRegistration,
  loadFirstProofs,
  loadRegistrations,
  noChannel,
  registrationPlace,
} from './chainState.ts'
import { createChainTime } from './chainTime.ts'
import type { NodeContext } from './context.ts'
import type { ChannelEvents } from './events.ts'
import { openLeastLock } from './leastLock.ts'
import { createDelegations, nodeIdentity, watchOf } from './identity.ts'
import { createJournal } from './journal.ts'
import { createLocks } from './locks.ts'
import type { Operations } from './operations.ts'
import { loadPayments, publicPayment, type Payment } from './payment.ts'
import { createProofs, isOverdue } from './proofs.ts'
import { createRegistrar } from './registrar.ts'
import { openReleases } from './releases.ts'
import { openRewind } from './rewind.ts'
import type { Routing } from './routing.ts'
import { openForeignChannels } from './foreignChannels.ts'
import { assertRequest, otherAccount, type RequestName } from './requests.ts'
import { standings } from './standings.ts'
import type { Swaps, SwapSide } from './swaps.ts'
import type { Streams } from './streams.ts'
import { createTransfers } from './transfers.ts'
import { NO_FEES, mediationFee } from '../routing/fees.ts'
import type { TowerClient } from '../tower/towerClient.ts'
import { NO_HASH, type ChannelMessage } from '../wire/messages.ts'

import type { ChannelInfo, ChannelNode, ChannelNodeOptions } from '../channelNode.ts'

/** Payments that may wait to be taken from {@link ChannelNode.incoming}. */
const MAX_INCOMING = 10_000
/** Milliseconds between two looks at what waits for something. */
const TICK = 1_000
/** Seconds without a new block after which an operation waits for confirmations no longer. */
const STANDSTILL = 60
/** Milliseconds before an account that declined is asked again for a delegation. */
const RENEW_PAUSE = 86_400_000

/** What {@link startNode} gets. */
export interface NodeParts {
  readonly options: ChannelNodeOptions
  readonly store: Store
  /** Gives back what the node holds, newest last. */
  readonly undo: (() => unknown)[]
  /** Lets go of the store. */
  readonly release: () => void
}

/** Starts a node. See {@link createChannelNode}. */
export async function startNode({ options, store, undo, release }: NodeParts): Promise<ChannelNode> {
  const { signer, transport, discovery, clock = systemClock, log = silentLogger, fees = NO_FEES, autoSettle = true } = options
  const tokenNetworks = typeof options.tokenNetwork === 'string' ? [options.tokenNetwork] : options.tokenNetwork
  const network = await createRpc({ provider: signer.provider!, clock }).chainId({ attempts: 5 })
  const dev = isDevelopmentChain(network)
  const { confirmations = dev ? 1 : 5, revealTimeout = dev ? 60 : 600, holdTime = 30, fromBlock = 0 } = options
  const { stallTimeout = dev ? Infinity : revealTimeout / 2, clockTolerance = dev ? Infinity : revealTimeout / 2 } = options
  const patience = 1000 * Math.min(stallTimeout, STANDSTILL)
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
    standings: () => standings(channels.values()),
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
    assertRunning,
  }
  let towers: TowerClient | undefined

  function assertRunning(): void {
    if (stopping.signal.aborted) throw new SluiceError('STOPPED', 'the node is stopped: create it again on the same store')
  }
  /** What each public method begins with. */
  function assertCall(name: RequestName, values: unknown, where?: string): void {
    assertRunning()
    assertRequest(name, values, where)
  }

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
    const { createStreams } = await import('./streams.ts')
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
    const { createRouting } = await import('./routing.ts')
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
      isHeld: (lock) => swaps?.isPaying(lock) ?? false,
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
    (swaps ??= (await import('./swaps.ts')).createSwaps(context, transfers, {
      accept: options.acceptSwap,
      revealTimeout,
      standings: () => standings(channels.values()),
    }))
  /** Loaded when a channel is opened, paid out of or closed together: paying does without. */
  let agreeing: Promise<Agreements> | undefined
  const agreements = (): Promise<Agreements> =>
    (agreeing ??= import('./agreements.ts').then(({ createAgreements }) =>
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
        const { unlockChannel } = await import('./unlocks.ts')
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
    const { createTowerClient } = await import('../tower/towerClient.ts')
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
    const { createOperations } = await import('./operations.ts')
    return createOperations({ context, chain, signer, proofs, chainState, agreements, fold, only, confirmations, patience })
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

    async open(request) {
      assertCall('open', request, 'request')
      otherAccount(request.partner, 'request.partner', account)
      return info(await (await operations()).open(request))
    },
    async openMany(request) {
      assertCall('openMany', request, 'request')
      for (const { partner } of request.channels) otherAccount(partner, 'request.channels.partner', account)
      return (await (await operations()).openMany(request)).map(info)
    },
    relayable: {
      async open(request) {
        assertCall('relayableOpen', request, 'request')
        otherAccount(request.partner, 'request.partner', account)
        return (await operations()).relayable.open(request)
      },
      async close(channelId) {
        assertCall('channel', { channelId })
        return (await operations()).relayable.close(channelId)
      },
    },
    async deposit(channelId, totalDeposit, options) {
      assertCall('deposit', { channelId, totalDeposit, options })
      assertRequest('signal', options ?? {}, 'options')
      return info(await (await operations()).deposit(channelId, totalDeposit, options))
    },
    async withdraw(channelId, totalWithdraw, options) {
      assertCall('withdraw', { channelId, totalWithdraw, options })
      assertRequest('signal', options ?? {}, 'options')
      return info(await (await operations()).withdraw(channelId, totalWithdraw, options))
    },
    async close(channelId, options) {
      assertCall('operation', { channelId, options })
      assertRequest('close', options ?? {}, 'options')
      return info(await (await operations()).close(channelId, options))
    },
    async settle(channelId, options) {
      assertCall('operation', { channelId, options })
      assertRequest('signal', options ?? {}, 'options')
      return info(await (await operations()).settle(channelId, options))
    },

    async pay(request) {
      assertCall('pay', request, 'request')
      const { to, tokenNetwork, id, amount, maxFee, split, signal, timeout, lockTime, latest } = request
      return transfers.pay({
        to: otherAccount(to, 'request.to', account),
        tokenNetwork: only(tokenNetwork),
        id: id?.toLowerCase() as Hex | undefined,
        amount,
        maxFee,
        split,
        signal,
        timeout,
        lockTime,
        latest,
      })
    },

    async stream(request) {
      assertCall('stream', request, 'request')
      const { to, unit, tokenNetwork } = request
      const at = only(tokenNetwork)
      const partner = otherAccount(to, 'request.to', account)
      const channel = [...channels.values()].find(
        ({ partner: of, tokenNetwork: network, phase }) => of === partner && network === at && phase === 'open',
      )
      if (!channel) throw noChannel(`with ${to}`)
      return (await streaming()).open(channel, unit)
    },

    async swap(request) {
      assertCall('swap', request, 'request')
      const { to, give, take, signal } = request
      const side = ({ tokenNetwork, amount }: typeof give): SwapSide => ({ tokenNetwork: only(tokenNetwork), amount })
      return (await swapping()).offer(otherAccount(to, 'request.to', account), side(give), side(take), signal)
    },

    channels: () => [...channels.values()].map(info),
    channel(channelId) {
      assertRequest('channel', { channelId })
      return info(find(channelId))
    },

    payments(direction, idPrefix) {
      assertCall('payments', { direction, idPrefix })
      return payments(direction, idPrefix?.toLowerCase())
    },

    incoming(options) {
      assertCall('options', { options })
      assertRequest('signal', options ?? {}, 'options')
      return incoming(events, options?.signal, stopping.signal)
    },

    async connect(to, options) {
      assertCall('connect', { account: to, options })
      assertRequest('signal', options ?? {}, 'options')
      await links.connect(otherAccount(to, 'account', account), { signal: options?.signal })
    },

    async backup(to) {
      assertCall('backup', { to })
      await journal.alone(() => copyStore(store, to))
    },
    async caughtUp(signal) {
      assertCall('signal', { signal })
      await chain.caughtUp(signal)
    },
    stop,
  }

  async function* payments(direction: 'in' | 'out' | undefined, idPrefix = ''): AsyncIterable<Payment> {
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
