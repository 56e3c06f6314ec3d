/**
 * A watchtower: keeps what nodes have sealed for it, and answers the closing of a channel in the place of a node that is
 * not there.
 * @module
 */
import { SigningKey, type Signer } from 'ethers'
import { tokenNetworkInterface } from '../../contracts/tokenNetwork.ts'
import { towerDepositContract, towerDepositInterface } from '../../contracts/towerDeposit.ts'
import { fromHex, randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { claim as claimPlace } from '../../core/chain/claim.ts'
import { createRpc, isDevelopmentChain } from '../../core/chain/rpc.ts'
import { createSender, type SentReceipt } from '../../core/chain/sender.ts'
import { createWatcher } from '../../core/chain/watcher.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { engine } from '../../core/crypto/engine.ts'
import { keyFromSecret } from '../../core/crypto/key.ts'
import { assertArgument, isSluiceError, SluiceError, type ErrorCode } from '../../core/errors.ts'
import { createEmitter, type Events } from '../../core/events.ts'
import { silentLogger, type Logger } from '../../core/log.ts'
import { backoff } from '../../core/retry.ts'
import type { Store } from '../../core/store/store.ts'
import type { PeerTransport } from '../../protocol/peer.ts'
import { decodeChainEvent } from '../chain/chainEvents.ts'
import { lower, readTokenNetwork } from '../chain/networks.ts'
import type { Link } from '../link/link.ts'
import { createLinks } from '../link/links.ts'
import type { Typed } from '../wire/messages.ts'
import { decodeAppointment, unseal, type Appointment, type ShownRelease } from './appointment.ts'
import { openBook } from './book.ts'
import { isOver, openClosings, shownOf, type Closing } from './closings.ts'
import { APPOINTMENTS_PER_SECOND } from './pace.ts'
import { receiptDigest, sealedHashOf } from './receipt.ts'

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
  appointed: { readonly client: Hex; readonly hint: Hex; readonly counter: number; readonly validUntil: number }
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
export interface Tower {
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
/** Clients that are linked at once; an idle one ends its link. */
const MAX_LINKS = 1_000
/** Milliseconds between two looks at what waits for something. */
const TICK = 1_000
/** What comes of showing a proof while somebody else does. */
const RACES: ReadonlySet<ErrorCode> = /* @__PURE__ */ new Set(['NONCE_NOT_INCREASED', 'WRONG_BALANCES', 'TRANSACTION_REVERTED'])
const NO_ADDRESS: Hex = `0x${'00'.repeat(20)}`

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
  const { signer, store, transport, admit, minReward = 0n, clock = systemClock, log = silentLogger } = options
  const { maxDuration = 90 * 86_400, maxAppointments = 10_000, maxPerClient = 1_000, pollInterval } = options
  const wallet = (signer as { signingKey?: unknown }).signingKey
  const { provider } = signer
  assertArgument(wallet instanceof SigningKey && provider, 'signer', 'a wallet that holds its key, connected to a provider')
  assertArgument(options.tokenNetworks.length > 0, 'tokenNetworks', 'at least one address')
  const towerDeposit = options.towerDeposit === undefined ? undefined : lower(options.towerDeposit)
  assertArgument(minReward >= 0n && (minReward === 0n || towerDeposit), 'minReward', 'given with the towerDeposit that pays it')
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
    const { chainId } = await provider!.getNetwork()
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
    const book = await openBook(store, { maxAppointments, maxPerClient })
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

    // ------------------------------------------------------------------------------------------------ what clients want

    /** Clients whose appointment is being stored. */
    const storing = new Set<Hex>()
    const rates = new WeakMap<Link, { began: number; count: number }>()

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
          const held = await book.put(hint, client, { counter, validUntil, sealed }, replaces)
          if (held) return decline('STATE_STALE', 'another appointment is kept for this hint', held)
          const kept = (await book.get(hint, client))!
          const receipt = {
            chainId,
            tower: account,
            hint,
            counter,
            sealedHash: sealedHashOf(sealed),
            validUntil: kept.validUntil,
            towerDeposit: minReward > 0n ? towerDeposit! : NO_ADDRESS,
            reward: minReward,
          }
          const { towerDeposit: deposit, reward } = receipt
          const signature = key.sign(receiptDigest(receipt))
          link.send('receipt', { hint: message.hint, counter, validUntil: kept.validUntil, towerDeposit: deposit, reward, signature })
          events.emit('appointed', { client, hint, counter, validUntil: kept.validUntil })
        } finally {
          storing.delete(client)
        }
        if (closings.isOpen(hint)) {
          quiet.clear()
          tick()
        }
      } catch (error) {
        if (!isSluiceError(error)) throw error
        log.info('an appointment is declined', { client, code: error.code, reason: error.shortMessage })
        decline(error.code, error.shortMessage)
      }
    }

    // ------------------------------------------------------------------------------------------------ what closings need

    /** Closings that are being seen to, that wait for something new, and that are tried again. */
    const busy = new Map<string, Promise<void>>()
    const quiet = new Set<string>()
    const trials = new Map<string, { failures: number; after: number }>()

    const idOf = ({ tokenNetwork, channelId }: Closing): string => `${tokenNetwork}/${channelId}`

    /** What the partner has released and the contract does not know yet. */
    const unreleased = ({ released }: Closing, { releases }: Appointment): readonly ShownRelease[] =>
      releases.filter((release) => !released.some(({ lock }) => lock === toHex(release.lock)))

    /** What can be shown for a closing, the newest proof first. */
    async function candidates(closing: Closing): Promise<readonly Appointment[]> {
      const found: Appointment[] = []
      for (const { sealed, client } of await book.of(closing.hint)) {
        try {
          const appointment = decodeAppointment(unseal(sealed, closing))
          const { tokenNetwork, closer, proof } = appointment
          // Whoever knows the channel can make up an appointment; the contract refuses what is not signed.
          if (tokenNetwork !== closing.tokenNetwork || closer !== closing.closer) continue
          const isNewer = proof.nonce > shownOf(closing).nonce
          if (isNewer || unreleased(closing, appointment).length > 0) found.push(appointment)
        } catch (error) {
          log.info('an appointment can not be opened', { client, hint: closing.hint, reason: String(error) })
        }
      }
      return found.sort((a, b) => b.proof.nonce - a.proof.nonce)
    }

    /** Sends a transaction, or joins the same one of an earlier run. */
    async function send(to: Hex, data: string, label: string): Promise<SentReceipt> {
      const key = `${label}/${toHex(engine().keccak256(fromHex(`${to}${data.slice(2)}`)))}`
      try {
        return await sender.send({ to, data }, { label, key, signal: stopping.signal })
      } finally {
        // The same may be due again when it has left the chain. Before that is known the contract refuses it.
        if (sender.find(key)?.done) await sender.forget(key)
      }
    }

    /** What shows a proof to the contract: with the reward if it is enough, else for nothing if that is enough. */
    function callsFor(closing: Closing, appointment: Appointment): { to: Hex; data: string; rewarded: boolean }[] {
      const { tokenNetwork, closer, fromPartner } = closing
      const { client, proof, updateSignature, reward } = appointment
      const fromCloser = shownOf(closing)
      const calls = []
      const isOurs = reward && reward.deposit === towerDeposit && (reward.tower === account || reward.tower === NO_ADDRESS)
      if (isOurs && reward.amount > 0n && reward.amount >= minReward) {
        const { deposit, ...signed } = reward
        const data = towerDepositInterface.encodeFunctionData('update', [
          tokenNetwork,
          closer,
          client,
          fromPartner,
          fromCloser,
          proof,
          updateSignature,
          signed,
        ])
        calls.push({ to: deposit, data, rewarded: true })
      }
      if (minReward === 0n) {
        const data = tokenNetworkInterface.encodeFunctionData('update', [
          closer,
          client,
          fromPartner,
          fromCloser,
          proof,
          updateSignature,
        ])
        calls.push({ to: tokenNetwork, data, rewarded: false })
      }
      return calls
    }

    async function answer(closing: Closing): Promise<void> {
      const { tokenNetwork, channelId } = closing
      const appointments = await candidates(closing)
      if (appointments.length === 0) quiet.add(idOf(closing))
      let failure: SluiceError | undefined
      for (const appointment of appointments) {
        await release(closing, appointment).catch((error: unknown) => {
          if (!isSluiceError(error)) throw error
          failure = error
        })
      }
      for (const appointment of appointments) {
        if (appointment.proof.nonce <= shownOf(closing).nonce) continue
        const calls = callsFor(closing, appointment)
        if (calls.length === 0)
          failure = new SluiceError('FEE_TOO_LOW', `a reward of ${minReward} is asked for, and less is signed`)
        for (const { to, data, rewarded } of calls) {
          try {
            if (rewarded) await closings.noteReward(closing)
            const receipt = await send(to, data, 'update balance proof')
            trials.delete(idOf(closing))
            const { client, proof } = appointment
            log.info('a proof was shown', { channelId, nonce: proof.nonce, rewarded })
            events.emit('shown', {
              tokenNetwork,
              channelId,
              client,
              nonce: proof.nonce,
              rewarded,
              transactionHash: receipt.hash,
            })
            return
          } catch (error) {
            if (!isSluiceError(error)) throw error
            failure = error
          }
        }
      }
      if (failure) throw failure
    }

    /** Shows the partner's releases, for whoever's proof is worth an answer. */
    async function release(closing: Closing, appointment: Appointment): Promise<void> {
      const releases = unreleased(closing, appointment)
      if (releases.length === 0 || callsFor(closing, appointment).length === 0) return
      const { tokenNetwork, channelId, closer } = closing
      const { client } = appointment
      const data = tokenNetworkInterface.encodeFunctionData('registerReleases', [client, closer, [...releases]])
      await send(tokenNetwork, data, 'register releases')
      events.emit('released', { tokenNetwork, channelId, client, locks: releases.length })
    }

    /** Takes out what was set aside for this tower. */
    async function collect(closing: Closing): Promise<void> {
      const { tokenNetwork, channelId } = closing
      const contract = towerDepositContract(towerDeposit!, provider)
      const due = await rpc.ask('reward', () => contract.claims(tokenNetwork, channelId), { attempts: 3 })
      if (lower(due.tower) === account && due.amount > 0n) {
        const data = towerDepositInterface.encodeFunctionData('claim', [tokenNetwork, channelId])
        await send(towerDeposit!, data, 'claim reward')
        events.emit('claimed', { tokenNetwork, channelId, amount: due.amount })
      }
      await closings.forget(closing)
    }

    async function see(closing: Closing): Promise<void> {
      if (isOver(closing, chainTime)) return closings.forget(closing)
      if (chainTime < closing.settleAt) {
        if (book.has(closing.hint) && !quiet.has(idOf(closing))) await answer(closing)
      } else if (closing.rewarded && towerDeposit) await collect(closing)
    }

    function tick(): void {
      const now = clock.now()
      for (const closing of closings.all()) {
        const id = idOf(closing)
        if (busy.has(id) || now < (trials.get(id)?.after ?? 0) || stopping.signal.aborted) continue
        const task = see(closing)
          .catch((error: unknown) => {
            if (stopping.signal.aborted) return
            const failures = (trials.get(id)?.failures ?? 0) + 1
            trials.set(id, { failures, after: clock.now() + backoff(failures, { delay: TICK, maxDelay: 60_000 }) })
            const { tokenNetwork, channelId } = closing
            // Somebody else was faster, or the next look says what is wrong.
            if (isSluiceError(error) && RACES.has(error.code)) return
            const code = isSluiceError(error) ? error.code : 'RPC_FAILED'
            const reason = isSluiceError(error) ? error.shortMessage : String(error)
            log.warn('a closing could not be answered, trying again', { channelId, code, reason, failures })
            events.emit('failed', { tokenNetwork, channelId, code, reason })
          })
          .finally(() => busy.delete(id))
        busy.set(id, task)
      }
      for (const id of [...trials.keys(), ...quiet]) {
        const [tokenNetwork, channelId] = id.split('/') as [Hex, Hex]
        if (closings.get(tokenNetwork, channelId)) continue
        trials.delete(id)
        quiet.delete(id)
      }
    }

    // ------------------------------------------------------------------------------------------------------ life

    const links = createLinks({
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
    })
    undo.push(() => links.close())
    links.onMessage((link, message) => (message.type === 'appointment' ? onAppointment(link, message) : undefined))

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
        quiet.clear()
      },
      onBlock: async (block) => {
        chainTime = block.timestamp
        await book.expire(chainTime - EXPIRY_PAUSE, (hint) => closings.isOpen(hint))
        tick()
      },
      onRollback: async (block) => {
        await closings.rollBack(block)
        trials.clear()
        quiet.clear()
      },
    })
    undo.push(() => watcher.stop())
    chainTime ||= (await rpc.header(Math.max(watcher.position, 0), { attempts: 5 }))?.timestamp ?? 0
    void ticking()

    async function ticking(): Promise<void> {
      while (!stopping.signal.aborted) {
        await clock.sleep(TICK, stopping.signal).catch(() => {})
        tick()
      }
    }

    let stopped: Promise<void> | undefined
    return {
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
          await Promise.all(busy.values())
          events.clear()
        })()),
    }
  }
}

/** Seconds that an appointment is kept beyond its end: a closing of that time may not be deep enough yet. */
const EXPIRY_PAUSE = 3600
