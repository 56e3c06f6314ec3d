/**
 * What the chain does to a node's channels, and what the node does about it: shows the newer proof, registers releases,
 * settles, takes out what is left.
 * @module
 */
import { fromHex, toHex, type Hex } from '../../core/bytes.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import { backoff } from '../../core/retry.ts'
import type { BlockchainService, OnChainProof } from '../chain/blockchainService.ts'
import type { ChainEvent } from '../chain/chainEvents.ts'
import { encodeSteps } from '../stream/streamTerms.ts'
import { freshSide, paidBy, proofOf, type Side } from '../state/side.ts'
import type { Store } from '../../core/store/store.ts'
import { address, bytes, decode, encode, hex32, list, raw } from '../wire/codec.ts'
import { NO_HASH } from '../wire/messages.ts'
import type { FirstProof } from './agreements.ts'
import { encodeSide, maySign, newChannel, proofChannel, sideKey, withKey, type Channel, type Presented } from './channel.ts'
import type { NodeContext } from './context.ts'
import type { Proofs } from './proofs.ts'
import type { Releases } from './releases.ts'
import type { Rewind } from './rewind.ts'

const firstProofLayout = { watch: raw(32), signature: bytes(1089), publicKey: raw(65), address } as const
const firstKey = (channelId: Hex): string => `first/${channelId}`

/** See {@link createChainState}. */
export interface ChainState {
  event(event: ChainEvent, tokenNetwork: Hex, block: number): Promise<void>
  /** Does what is due by now: updates, releases, settlements. */
  tick(): void
  /** Takes back what the blocks above `block` have said: they have left the chain. */
  rewind(block: number): Promise<void>
  keepFirstProof(channelId: Hex, proof: FirstProof): void
  /** The digest of the partner's last proof. */
  theirDigest(channel: Channel): Hex
  /** The partner's last proof as the contract takes it; undefined if it has signed none. */
  theirProof(channel: Channel): OnChainProof | undefined
}

/** What else happens with the chain's events. */
export interface ChainStateHandlers {
  /** A channel of this node was opened or changed: it may be routed over, synchronised, linked. */
  changed(channel: Channel): void
  /** A channel of others. */
  foreign(event: ChainEvent, tokenNetwork: Hex): void
  secret(secrethash: Hex, secret: Uint8Array, at: number): void
  /** Locks of one side were paid out on chain: a bit for each number. */
  unlocked(channel: Channel, own: boolean, numbers: bigint): void
  /** Whether a secret is public has to be found out again. */
  rewind(): void
  readonly autoSettle: boolean
  /** Takes out of a settled channel what can be taken out now. */
  unlock(channel: Channel): Promise<void>
}

/** First proofs of channels to come: anybody can give one. */
const MAX_FIRST_PROOFS = 10_000
/** Milliseconds before what can wait is tried again after a failure, at first and at most. */
const PAUSE = 2_000
const LONGEST_PAUSE = 60_000
/** Secrets that may be registered in one transaction. */
const MOST_TOGETHER = 16_384

const NOTHING: Presented = { nonce: 0, transferred: 0n, locked: 0n, locksroot: NO_HASH }

/** Creates what keeps a node's channels as the chain has them. */
export function createChainState(
  context: NodeContext,
  proofs: Proofs,
  chain: BlockchainService,
  kept: { readonly firstProofs: Map<Hex, FirstProof>; readonly releases: Releases; readonly rewind: Rewind },
  handlers: ChainStateHandlers,
): ChainState {
  const { firstProofs, releases, rewind } = kept
  const { account, channels, clock, events, journal, log, time, key } = context
  /** Secrets of a registration whose end has not come yet. */
  let revealed: { readonly secrethash: Hex; readonly secret: Uint8Array }[] = []
  /** Transactions under way. */
  const busy = new Set<string>()
  /** Those that were tried too early, or in vain: how often, and when they are tried again, in milliseconds. */
  const paused = new Map<string, { readonly failures: number; readonly until: number }>()

  /**
   * Sends a transaction that is due, once at a time; what has come too late is settled otherwise.
   * @param isPatient - nothing is lost by waiting: after a failure there is a pause, which grows.
   */
  const send = (what: string, channel: Channel, run: () => Promise<unknown>, isPatient = false): void => {
    const id = `${what}/${channel.id}`
    if (busy.has(id) || (paused.get(id)?.until ?? 0) > clock.now()) return
    busy.add(id)
    run()
      .then(
        () => {
          paused.delete(id)
          log.info(`${what} done`, { channelId: channel.id })
        },
        (error: unknown) => {
          const failures = (paused.get(id)?.failures ?? 0) + 1
          const pause = backoff(failures, { delay: PAUSE, maxDelay: LONGEST_PAUSE })
          if (isPatient) paused.set(id, { failures, until: clock.now() + pause })
          log.warn(`${what} failed`, {
            channelId: channel.id,
            reason: isSluiceError(error) ? `${error.code}: ${error.shortMessage}` : String(error),
          })
        },
      )
      .finally(() => busy.delete(id))
  }

  const isPending = (secrethash: Hex): boolean => [...context.locks.of(secrethash)].length > 0

  const theirProof = (channel: Channel): OnChainProof | undefined => {
    const { theirs, theirSigner, theirChannel, theirWatch } = channel
    // By a key that the contract does not know a proof is none.
    if (!theirs.signature || !theirSigner || !theirChannel || !maySign(channel, theirSigner.address)) return undefined
    const proof = proofOf(theirChannel, theirs)
    const digest = context.digests(channel.tokenNetwork).BalanceProof(proof)
    const { stream } = theirs
    return {
      nonce: theirs.nonce,
      transferred: theirs.transferred,
      locked: theirs.locks.total,
      locksroot: toHex(theirs.locks.root),
      stream: toHex(proof.stream),
      ref: toHex(theirs.reference),
      watch: toHex(theirWatch!),
      signature: context.withV(digest, theirs.signature, theirSigner.publicKey),
      steps: stream && stream.steps > 0 ? encodeSteps(stream) : new Uint8Array(0),
    }
  }

  const onOpened = (event: ChainEvent & { type: 'opened' }, tokenNetwork: Hex, block: number): void => {
    const { channelId, participant1, participant2, epoch, consented } = event
    const partner = participant1 === account ? participant2 : participant1
    const known = channels.get(channelId)
    if (!known) {
      const watch = context.watchOf(channelId)
      const channel = newChannel(
        { id: channelId, tokenNetwork, partner, first: participant1 === account, epoch, consented },
        watch,
      )
      const first = firstProofs.get(channelId)
      if (consented && first) {
        // Both have signed a first proof that says nothing: the next ones are number two.
        const own = proofOf(channel.ownChannel, { ...freshSide, nonce: 1 })
        channel.own = {
          ...freshSide,
          nonce: 1,
          signature: key.sign(context.digests(tokenNetwork).BalanceProof(own)).slice(0, 64),
        }
        channel.theirs = { ...freshSide, nonce: 1, signature: first.signature.slice(0, 64) }
        channel.theirWatch = first.watch
        channel.theirChannel = proofChannel(channelId, first.watch)
        channel.theirSigner = { publicKey: first.publicKey, address: first.address }
        channel.acked = channel.durable = channel.stored = 1
        saveSides(channel)
        firstProofs.delete(channelId)
        journal.delete(firstKey(channelId))
      }
      channels.set(channelId, channel)
      rewind.note(channel, block)
      proofs.saveChannel(channel)
      journal.then(() => events.emit('opened', { channelId, tokenNetwork, partner }))
    } else if (known.consented !== consented) {
      known.consented = consented
      proofs.saveChannel(known)
    }
    handlers.changed(channels.get(channelId)!)
  }

  const saveSides = (channel: Channel): void => {
    journal.put(sideKey(channel.id, true), () => encodeSide(channel.own))
    journal.put(sideKey(channel.id, false), () => encodeSide(channel.theirs))
  }

  const onClosed = (channel: Channel, { closer, fromPartner, settleAt }: ChainEvent & { type: 'closed' }): void => {
    channel.phase = 'closed'
    channel.settleAt = settleAt
    channel.closedByUs = closer === account
    channel.presented = { fromPartner, fromCloser: NOTHING }
    journal.then(() => events.emit('closed', { channelId: channel.id, closer, settleAt }))
  }

  /** Shows what the partner signed last, if it has closed the channel and signed more than is shown. */
  const answer = (channel: Channel): void => {
    const { presented, closedByUs, theirs, settleAt } = channel
    // By the chain's clock: this machine's may be wrong.
    if (closedByUs || !presented || time.confirmed >= settleAt) return
    if (theirs.nonce < presented.fromCloser.nonce || !isWorth(theirs, presented.fromCloser)) return
    const proof = theirProof(channel)
    if (proof)
      send('update balance proof', channel, async () =>
        (await chain.transactions()).update(channel.tokenNetwork, channel.id, channel.partner, presented, proof),
      )
  }

  const settle = (channel: Channel): void => {
    const { presented, settleAt, closedByUs, partner } = channel
    // By either clock: where blocks come only with transactions, the chain's stands still. The estimate decides.
    if (!presented || !handlers.autoSettle || time.now() < settleAt) return
    const [closer, other] = closedByUs ? [account, partner] : [partner, account]
    const run = async (): Promise<unknown> =>
      (await chain.transactions()).settle(channel.tokenNetwork, channel.id, closer, other, presented)
    send('settle channel', channel, run, true)
  }

  return {
    theirProof,
    theirDigest: (channel) =>
      toHex(context.digests(channel.tokenNetwork).BalanceProof(proofOf(channel.theirChannel!, channel.theirs))),

    keepFirstProof(channelId, proof) {
      const [oldest] = firstProofs.keys()
      if (oldest !== undefined && firstProofs.size >= MAX_FIRST_PROOFS) {
        firstProofs.delete(oldest)
        journal.delete(firstKey(oldest))
      }
      firstProofs.set(channelId, proof)
      journal.put(firstKey(channelId), () => encode(firstProofLayout, proof))
    },

    async event(event, tokenNetwork, block) {
      switch (event.type) {
        case 'secret': {
          const { secrethash } = event
          const secret = fromHex(event.secret, 32)
          if (isPending(secrethash)) {
            // Alone, it has no event of its own.
            const at = await chain.revealedAt(tokenNetwork, secrethash)
            if (at > 0) {
              context.noteRegistration(secrethash, [secrethash])
              handlers.secret(secrethash, secret, at)
            }
          }
          if (revealed.push({ secrethash, secret }) > 2 * MOST_TOGETHER) revealed = revealed.slice(-MOST_TOGETHER)
          break
        }
        case 'registered': {
          const secrets = revealed.slice(-event.count)
          const isOurs = secrets.some(({ secrethash }) => isPending(secrethash))
          const at = isOurs ? await chain.listRevealedAt(tokenNetwork, event.key) : 0
          revealed = [] // not before: a call that fails is made again
          if (at === 0) return
          context.noteRegistration(
            event.key,
            secrets.map(({ secrethash }) => secrethash),
          )
          for (const { secrethash, secret } of secrets) handlers.secret(secrethash, secret, at)
          break
        }
        case 'opened':
          if (event.participant1 !== account && event.participant2 !== account) return handlers.foreign(event, tokenNetwork)
          onOpened(event, tokenNetwork, block)
          break
        default: {
          const channel = channels.get(event.channelId)
          if (!channel) return handlers.foreign(event, tokenNetwork)
          rewind.note(channel, block)
          apply(channel, event)
        }
      }
      await journal.settled()
    },

    tick() {
      for (const channel of channels.values()) {
        if (channel.phase === 'closed') {
          answer(channel)
          // Whatever was presented: another of the proofs that the partner has may still be.
          if (releases.isToShow(channel)) send('show releases', channel, () => releases.show(channel, chain))
          settle(channel)
        } else if (channel.phase === 'settled' && isLeft(channel) && handlers.autoSettle) {
          send('unlock', channel, () => handlers.unlock(channel), true)
        }
      }
    },

    async rewind(block) {
      for (const channel of rewind.to(block)) {
        log.warn('the chain has lost what it said of a channel', { channelId: channel.id, block })
        proofs.saveChannel(channel)
        handlers.changed(channel)
      }
      handlers.rewind()
      await journal.settled()
    },
  }

  function apply(channel: Channel, event: Exclude<ChainEvent, { type: 'opened' | 'secret' | 'registered' }>): void {
    const { id: channelId } = channel
    switch (event.type) {
      case 'deposited': {
        const { participant, totalDeposit } = event
        if (participant === account) channel.ownDeposit = totalDeposit
        else channel.theirDeposit = totalDeposit
        journal.then(() => events.emit('deposited', { channelId, participant, totalDeposit }))
        break
      }
      case 'keyAdded':
        if (event.participant === account) channel.ownKeys = withKey(channel.ownKeys, event.signer)
        else channel.theirKeys = withKey(channel.theirKeys, event.signer)
        break
      case 'withdrawn': {
        const { participant, totalWithdraw } = event
        if (participant === account) {
          channel.ownWithdrawn = totalWithdraw
          if (channel.ownWithdraw && channel.ownWithdraw.amount <= totalWithdraw) channel.ownWithdraw = undefined
        } else {
          channel.theirWithdrawn = totalWithdraw
          if (channel.theirWithdraw && channel.theirWithdraw.amount <= totalWithdraw) channel.theirWithdraw = undefined
        }
        journal.then(() => events.emit('withdrawn', { channelId, participant, totalWithdraw }))
        break
      }
      case 'closed':
        onClosed(channel, event)
        break
      case 'updated':
        if (channel.presented) channel.presented = { ...channel.presented, fromCloser: event.fromCloser }
        break
      case 'settled': {
        const { paid1, paid2, locked1, locked2, cooperative } = event
        channel.phase = 'settled'
        channel.leftLocked = { locked1, locked2 }
        channel.settledAt = time.now()
        journal.then(() => events.emit('settled', { channelId, paid: channel.first ? paid1 : paid2, cooperative }))
        break
      }
      case 'released':
        if (event.sender === account) channel.released = [...new Set([...channel.released, ...event.locks])]
        break
      case 'unlocked': {
        const ours = event.sender === account
        const known = ours ? channel.unlockedOwn : channel.unlockedTheirs
        if (!channel.leftLocked || (known | event.numbers) === known) break // told before
        const first = ours === channel.first
        const left = channel.leftLocked[first ? 'locked1' : 'locked2'] - event.toReceiver - event.toSender
        channel.leftLocked = { ...channel.leftLocked, [first ? 'locked1' : 'locked2']: left }
        if (ours) channel.unlockedOwn |= event.numbers
        else channel.unlockedTheirs |= event.numbers
        handlers.unlocked(channel, ours, event.numbers)
        break
      }
    }
    proofs.saveChannel(channel)
    handlers.changed(channel)
  }
}

/** Whether a settlement has left something locked. */
function isLeft({ leftLocked }: Channel): boolean {
  return leftLocked !== undefined && leftLocked.locked1 + leftLocked.locked2 > 0n
}

/** Whether a proof says more than one that was presented: an equal one is not worth its gas. */
function isWorth(side: Side, shown: Presented): boolean {
  const sameLocks = toHex(side.locks.root) === shown.locksroot
  const paysMore = paidBy(side) > shown.transferred
  // Of one nonce only more steps count.
  return side.nonce === shown.nonce ? sameLocks && paysMore : paysMore || !sameLocks
}

const registrationLayout = { secrethashes: list({ hash: hex32 }, 65_535) } as const
/** Where is kept which secrets were registered together. */
export const registrationPlace = (key: Hex): string => `registration/${key}`

/** The bytes of secrethashes. */
export function encodeRegistration(secrethashes: readonly Hex[]): Uint8Array {
  return encode(registrationLayout, { secrethashes: secrethashes.map((hash) => ({ hash })) })
}

/** Reads which secrets were registered together. */
export async function loadRegistrations(store: Pick<Store, 'list'>): Promise<Map<Hex, readonly Hex[]>> {
  const found = new Map<Hex, readonly Hex[]>()
  for await (const [at, value] of store.list('registration/')) {
    found.set(
      at.slice('registration/'.length) as Hex,
      decode(registrationLayout, value).secrethashes.map(({ hash }) => hash),
    )
  }
  return found
}

/** Reads the first proofs that wait for their channels. */
export async function loadFirstProofs(store: {
  list(prefix: string): AsyncIterable<readonly [string, Uint8Array]>
}): Promise<Map<Hex, FirstProof>> {
  const found = new Map<Hex, FirstProof>()
  for await (const [at, value] of store.list('first/'))
    found.set(at.slice('first/'.length) as Hex, decode(firstProofLayout, value))
  return found
}

/** The error for a channel that isn't there. */
export function noChannel(what: string): SluiceError {
  return new SluiceError('CHANNEL_NOT_FOUND', `there is no channel ${what}`, { details: { channel: what } })
}
