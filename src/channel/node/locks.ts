/**
 * The life of a hash lock, whoever locked it: forwarded, asked for, claimed, given back or expired.
 *
 * Each step is decided from what is stored and the time alone, by `pursue`; messages, blocks, links and restarts only say
 * that it is worth looking again. So a lost message or a crash at any point delays a lock and never decides it.
 * @module
 */
import { concatBytes, fromHex, toHex, utf8, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { generateSecret, type Key } from '../../core/crypto/key.ts'
import { assertSignedBy, personalDigest } from '../../core/crypto/signature.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import type { Link } from '../link/link.ts'
import { freeIndex, leafHash, MAX_LOCKS } from '../state/lockTree.ts'
import { isSecretOf } from '../state/side.ts'
import { NO_HASH, type Typed } from '../wire/messages.ts'
import { maySign, type Channel, type LockEntry, type LockRecord } from './channel.ts'
import type { NodeContext } from './context.ts'
import type { Proofs } from './proofs.ts'
import type { Endangered } from './registrar.ts'
import type { Releases } from './releases.ts'

/** Why a lock came back. */
export interface Report {
  readonly code: string
  /** Who says so; the direct partner if nobody signed. */
  readonly reporter: Hex
  /** The channel that could not carry on; zero if it was the target. */
  readonly failed: Hex
  readonly signature: Uint8Array
  readonly delegation: Uint8Array
}

/** What the payer's side learns of its locks. */
export interface LockHandlers {
  /** The target asks for the secret. @returns false if nobody will ever get it. */
  requested(message: Typed<'secretRequest'>, publicKey: Uint8Array): boolean
  /** A lock of a payment of ours has become a transfer. */
  paid(lock: LockRecord, secret: Uint8Array): void
  /** A lock of a payment of ours is free again. */
  returned(channel: Channel, lock: LockRecord, report: Report | undefined): void
  /** A payment to us is complete: every part is ours. */
  received(lock: LockRecord, channel: Channel, amount: bigint): void
  /** What is to be paid for forwarding an amount over a channel of ours. */
  feeFor(channel: Channel, amount: bigint): bigint
  /** The secret of a payment that is all here, if this node has made it itself. */
  secretFor(lock: LockRecord, channel: Channel, amount: bigint): Uint8Array | undefined
  /**
   * Whether a payment that is all here should be taken now; false leaves it, a throw gives it back.
   * @param expiry - of its first part that is over.
   */
  mayTake(lock: LockRecord, channel: Channel, amount: bigint, expiry: number): boolean
  /** Whether the other half of a swap is being paid by this lock: until that has failed, it can't be given back. */
  isHeld(lock: LockRecord): boolean
  /** Registers secrets on chain: their locks are about to expire. */
  register(secrets: readonly Endangered[]): void
  /** The smallest lock that is worth claiming in a token network. */
  minLock(tokenNetwork: Hex): bigint
  /** Searches the chain for registrations of secrets, and tells of each by `onSecretOnChain`. */
  search(secrethashes: readonly Hex[]): Promise<void>
}

/** Times of a node, in seconds. */
export interface LockTimes {
  /** Before a lock expires, its secret must be registered this long: for that and for a crowded chain. */
  readonly revealTimeout: number
  /** The longest that a lock may take. */
  readonly maxLockTime: number
  /** How long an incomplete payment to us is held. */
  readonly holdTime: number
}

/** See {@link createLocks}. */
export interface Locks {
  /** The partner has locked something. */
  locked(channel: Channel, lock: LockRecord): void
  /** The partner has turned a lock into a transfer. */
  unlocked(channel: Channel, lock: LockRecord, secret: Uint8Array): void
  onSecretRequest(link: Link, message: Typed<'secretRequest'>): void
  onSecretGrant(link: Link, message: Typed<'secretGrant'>): void
  onSecretDenied(link: Link, message: Typed<'secretDenied'>): void
  onReveal(link: Link, message: Typed<'reveal'>): void
  onFail(link: Link, message: Typed<'fail'>): void
  mayRemove(lock: LockRecord): boolean
  /** Locks of one side were paid out on chain: a bit for each number. */
  unlockedOnChain(channel: Channel, own: boolean, numbers: bigint): void
  /** A secret is public. @param at - of the block, Unix seconds. */
  onSecretOnChain(secrethash: Hex, secret: Uint8Array, at: number): void
  /** Blocks have left the chain: whether a secret is public has to be found out again. */
  rewind(): void
  /** Looks again at the locks of a channel, or at all. */
  pursue(channel?: Channel): void
}

/** Milliseconds after which what was asked of a partner about a lock is asked again. */
const AGAIN_AFTER = 5_000

/** Whether the secret of a lock was registered before it expired. */
function isPublicInTime({ publicAt, expiry }: LockRecord): boolean {
  return publicAt > 0 && publicAt < expiry
}

/** Bytes that a failure's signature covers. */
export function failBytes(paymentId: Hex, code: string, failed: Hex): Uint8Array {
  return concatBytes(utf8('sluice channel failure'), fromHex(paymentId, 32), fromHex(failed, 32), utf8(code))
}

/** Bytes that a secret request's signature covers. */
export function requestBytes({
  paymentId,
  secrethash,
  amount,
  expiry,
}: Pick<Typed<'secretRequest'>, 'paymentId' | 'secrethash' | 'amount' | 'expiry'>): Uint8Array {
  return concatBytes(utf8('sluice secret request'), fromHex(paymentId, 32), fromHex(secrethash, 32), utf8(`${amount} ${expiry}`))
}

/** Creates what looks after a node's hash locks. */
export function createLocks(
  context: NodeContext,
  proofs: Proofs,
  releases: Releases,
  times: LockTimes,
  handlers: LockHandlers,
): Locks {
  const { journal, links, locks, log, time, account, key } = context
  /** When a lock was last looked at because time had passed, in milliseconds. */
  const lookedAt = new WeakMap<LockRecord, number>()
  /** What was signed to give a lock back: it is said again until the lock is gone, and a partner may leave hundreds. */
  const refusals = new WeakMap<LockRecord, Report & { readonly release: Uint8Array }>()
  /** Since when an incomplete payment to us is held. */
  const heldSince = new Map<string, number>()
  /** Locks whose secret the chain was searched for. What is registered from then on is told by the chain's events. */
  let searched = new WeakSet<LockRecord>()
  const wanted = new Set<Hex>()
  let searching: Promise<void> | undefined

  const isOurs = ({ target }: LockRecord): boolean => target === account
  /** The lock on the other side of this node. Numbers are used again: another one may lie there by now. */
  const twinOf = ({ channel, lock, own }: LockEntry): LockEntry | undefined => {
    const twin = lock.twin && locks.get(lock.twin.channelId, !own, lock.twin.index)
    const back = twin?.lock.twin
    const isSame = twin?.lock.secrethash === lock.secrethash && back?.channelId === channel.id && back.index === lock.index
    return isSame ? twin : undefined
  }

  /**
   * Whether a lock of the partner can be claimed for certain by whoever knows its secret: with time to register it, in a
   * channel that is open or whose closing has shown it. Who has not seen the newest block does not know.
   */
  function isCertain({ channel, lock }: LockEntry): boolean {
    if (lock.givenBack || time.stalled()) return false
    const isPublic = isPublicInTime(lock)
    if (channel.phase === 'open') return isPublic || lock.expiry - time.now() >= times.revealTimeout
    const { presented, closedByUs, theirs } = channel
    const shown = closedByUs ? presented?.fromPartner : presented?.fromCloser
    return isPublic && shown !== undefined && shown.nonce >= theirs.nonce
  }

  /**
   * What this node gets by the secret that pays a lock of its own: what that was forwarded from, or the other half of a swap.
   * Undefined for a lock of the partner that has become a transfer, or that was over before the one of this node.
   */
  const sourcesOf = (entry: LockEntry): readonly LockEntry[] => {
    if (!entry.lock.twin) return [...locks.of(entry.lock.secrethash)].filter(({ own, lock }) => !own && isOurs(lock))
    const twin = twinOf(entry)
    return twin ? [twin] : []
  }

  /**
   * Whether a lock of this node may be paid: nothing is paid for a secret before it is certain that the secret is worth
   * anything. What its receiver can claim on chain is paid in any case.
   */
  const isCovered = (entry: LockEntry): boolean => isPublicInTime(entry.lock) || sourcesOf(entry).every(isCertain)

  /** Whether this node has locked something by a lock of the partner that can still be claimed from it. */
  const isSpent = (entry: LockEntry): boolean =>
    [...locks.of(entry.lock.secrethash)].some(
      (each) =>
        each.own &&
        !each.lock.givenBack &&
        sourcesOf(each).some(({ channel, lock }) => channel === entry.channel && lock.index === entry.lock.index),
    )

  /** The partner locked it: forward, ask for the secret, claim, or give back. */
  function pursueIncoming(entry: LockEntry): void {
    const { channel, lock } = entry
    if (lock.givenBack) return sendFail(entry, () => reportOf(lock, 'PAYMENT_FAILED', NO_HASH))
    // It was given back before: the partner could show that word against this one.
    if (releases.isGiven(channel, lock)) return giveBack(entry, 'PAYMENT_REFUSED')
    if (lock.secret) {
      sendReveal(entry)
      return
    }
    isOver(lock) // so that the partner's word for it is believed at once
    if (lock.expiry <= time.now()) return // the partner takes it out once that is confirmed
    if (isOurs(lock)) {
      if (lock.amount < handlers.minLock(channel.tokenNetwork)) return giveBack(entry, 'PAYMENT_REFUSED')
      return ask(entry)
    }
    if (lock.twin) {
      // Forwarded. If what it was forwarded to is gone without a secret, so is this.
      if (!twinOf(entry)) giveBack(entry, 'PAYMENT_FAILED')
      return
    }
    // What an older store had to be told of may have been forwarded: it ends by its secret or by its expiry.
    if (lock.paymentId === NO_HASH) return
    if (lock.amount < handlers.minLock(channel.tokenNetwork)) return giveBack(entry, 'PAYMENT_REFUSED')
    if (lock.route.length === 0) return giveBack(entry, 'NO_ROUTE')
    if (channel.phase === 'open') forward(entry)
  }

  function forward(entry: LockEntry): void {
    const { lock } = entry
    const [hop, ...rest] = lock.route as [LockRecord['route'][number], ...LockRecord['route'][number][]]
    const out = context.channels.get(hop.channelId)
    try {
      if (!out || out.partner !== hop.node || out.tokenNetwork !== entry.channel.tokenNetwork || out === entry.channel) {
        throw new SluiceError('NO_ROUTE', `there is no channel ${hop.channelId} to ${hop.node}`)
      }
      const fee = lock.amount - hop.amount
      const due = handlers.feeFor(out, hop.amount)
      if (fee < due) throw new SluiceError('FEE_TOO_LOW', `${fee} is offered, ${due} is due`)
      assertTime(lock, hop.expiry)
      assertPlace(out, hop.amount)
      const index = freeIndex(out.own.locks)
      const { secrethash, paymentId, initiator, target, total } = lock
      const onward = {
        index,
        amount: hop.amount,
        expiry: hop.expiry,
        secrethash,
        paymentId,
        initiator,
        target,
        total,
        route: rest,
      }
      proofs.sign(out, 'lock', onward, {
        ...onward,
        twin: { channelId: entry.channel.id, index: lock.index },
        secret: undefined,
        givenBack: false,
        publicAt: 0,
      })
      proofs.saveLock(entry.channel, false, { ...lock, twin: { channelId: out.id, index } })
    } catch (error) {
      if (!isSluiceError(error)) throw error
      log.info('a payment could not be forwarded', { paymentId: lock.paymentId, code: error.code, reason: error.shortMessage })
      giveBack(entry, error.code, hop.channelId)
    }
  }

  /** What comes in must stay claimable long enough after what goes out is over. */
  function assertTime(lock: LockRecord, expiry: number): void {
    const now = time.now()
    const fail = (what: string): never => {
      throw new SluiceError('EXPIRY_OUT_OF_RANGE', what, { details: { incoming: lock.expiry, outgoing: expiry, now } })
    }
    if (lock.expiry - expiry < times.revealTimeout)
      fail(`the outgoing lock must expire ${times.revealTimeout} s before the incoming one`)
    if (expiry - now < times.revealTimeout) fail('the outgoing lock expires too soon')
    if (lock.expiry - now > times.maxLockTime) fail('the lock would take too long')
  }

  /** We are the target: ask for the secret as soon as all parts are here. */
  function ask(entry: LockEntry): void {
    if (time.stalled()) return // a secret that is known now may be too late
    const { lock, channel } = entry
    const { paymentId, secrethash, total, initiator } = lock
    const parts = [...locks.of(secrethash)].filter(
      (part) => !part.own && !part.lock.givenBack && part.lock.paymentId === paymentId,
    )
    const group = `${paymentId}/${secrethash}`
    const now = time.now()
    /** Of the first that is over: what is paid by the secret must be over before. */
    const expiry = Math.min(...parts.map((part) => part.lock.expiry))
    try {
      if (expiry - now < times.revealTimeout) throw new SluiceError('EXPIRY_OUT_OF_RANGE', 'the lock expires too soon')
      if (lock.expiry - now > times.maxLockTime) throw new SluiceError('EXPIRY_OUT_OF_RANGE', 'the lock would take too long')
      if (
        parts.some(
          (part) =>
            part.lock.total !== total || part.lock.initiator !== initiator || part.channel.tokenNetwork !== channel.tokenNetwork,
        )
      ) {
        throw new SluiceError('PAYMENT_REFUSED', 'the parts of the payment disagree')
      }
      const amount = parts.reduce((sum, part) => sum + part.lock.amount, 0n)
      if (amount < total) {
        const since = heldSince.get(group) ?? now
        heldSince.set(group, since)
        if (now - since > times.holdTime) throw new SluiceError('PAYMENT_EXPIRED', 'the other parts of the payment did not come')
        return
      }
      if (!parts.every(isCertain)) return
      const known = handlers.secretFor(lock, channel, amount)
      if (known) return learn(secrethash, known, false)
      if (!handlers.mayTake(lock, channel, amount, expiry)) return
      heldSince.delete(group)
      const request = { paymentId, secrethash, amount, expiry }
      const signature = key.sign(personalDigest(requestBytes(request)))
      journal.then(() =>
        links.get(channel.partner)?.send('secretRequest', { ...request, signature, delegation: context.delegation }),
      )
    } catch (error) {
      if (!isSluiceError(error)) throw error
      heldSince.delete(group)
      for (const part of parts) giveBack(part, error.code)
    }
  }

  /** This node locked it: claimable by the partner once the secret is out in time, free once it is over without. */
  function pursueOwn(entry: LockEntry): void {
    const { channel, lock } = entry
    const claimable = isPublicInTime(lock) || lock.expiry > time.now()
    // It may have come while nothing could be paid for it; then it is with what this node gets by it.
    const secret = lock.secret ?? sourcesOf(entry).find((source) => source.lock.secret)?.lock.secret
    if (secret && claimable) return isCovered(entry) ? unlock(channel, lock, fromHex(secret)) : undefined
    if (isOver(lock)) release(channel, lock, undefined)
  }

  /**
   * Whether a lock can't be claimed any more. Its secret may have been registered before the lock was there, which told
   * nobody; so the chain is searched before.
   */
  function isOver(lock: LockRecord): boolean {
    if (isPublicInTime(lock)) return false
    // A little before, so that nobody waits for the search when it is over.
    if (lock.expiry - times.revealTimeout / 2 < time.confirmed && !searched.has(lock)) search(lock.secrethash)
    return lock.expiry < time.confirmed && searched.has(lock)
  }

  /** Searches for the secrets of locks, all that are wanted meanwhile at once. */
  function search(secrethash: Hex): void {
    wanted.add(secrethash)
    searching ??= runSearch().finally(() => (searching = undefined))
  }

  async function runSearch(): Promise<void> {
    await Promise.resolve() // the turn goes on: whatever else it wants belongs to this search
    while (wanted.size > 0) {
      const hashes = [...wanted]
      wanted.clear()
      const seen = searched
      try {
        await handlers.search(hashes)
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        log.warn('the chain could not be searched for secrets, trying again later', { secrets: hashes.length, reason })
        return
      }
      for (const entry of hashes.flatMap((hash) => [...locks.of(hash)])) {
        seen.add(entry.lock)
        tryPursue(entry)
        if (!entry.own) proofs.retry(entry.channel)
      }
    }
  }

  function unlock(channel: Channel, lock: LockRecord, secret: Uint8Array): void {
    learn(lock.secrethash, secret)
    if (channel.phase !== 'open' && lock.secret) return // claimed on chain; that was told
    if (!lock.twin) handlers.paid(lock, secret)
    // Whoever waits for the secret hears of it before this node spends time on a signature. Without the partner it waits for
    // its return: by its secret the lock is safe already.
    journal.then(() => {
      const now = locks.get(channel.id, true, lock.index)
      if (now?.lock.secrethash !== lock.secrethash || channel.phase !== 'open' || !channel.synced) return
      proofs.sign(channel, 'unlock', { index: lock.index, secret })
    })
  }

  /** Takes a lock out that nobody can claim any more, and passes that on to where it came from. */
  function release(channel: Channel, lock: LockRecord, report: Report | undefined): void {
    const incoming = twinOf({ channel, own: true, lock })
    if (channel.phase === 'open') {
      if (!channel.synced) return
      proofs.sign(channel, 'remove', { index: lock.index })
    } else {
      if (lock.givenBack) return
      proofs.saveLock(channel, true, { ...lock, givenBack: true })
    }
    if (lock.twin) {
      if (incoming) giveBack(incoming, report?.code ?? 'PAYMENT_EXPIRED', channel.id, report)
    } else handlers.returned(channel, lock, report)
  }

  function giveBack(entry: LockEntry, code: string, failed: Hex = NO_HASH, report?: Report): void {
    const { channel, lock } = entry
    if (lock.secret) return // ours already
    // Between two attempts to pay the other half nothing is locked, and the next one may succeed.
    if (!lock.givenBack && isOurs(lock) && handlers.isHeld(lock)) return
    if (!lock.givenBack && isSpent(entry)) return // whoever holds what was locked by it could still show the secret
    if (!lock.givenBack) {
      proofs.saveLock(channel, false, { ...lock, givenBack: true })
      releases.give(channel, lock)
    }
    sendFail(entry, () => report ?? reportOf(lock, code, failed))
  }

  function reportOf({ paymentId }: LockRecord, code: string, failed: Hex): Report {
    return {
      code,
      failed,
      reporter: account,
      delegation: context.delegation,
      signature: key.sign(personalDigest(failBytes(paymentId, code, failed))),
    }
  }

  function sendFail({ channel, lock }: LockEntry, report: () => Report): void {
    const { paymentId, index } = lock
    const said = refusals.get(lock) ?? { ...report(), release: key.sign(releaseDigest(channel, channel.partner, lock)) }
    refusals.set(lock, said)
    journal.then(() => links.get(channel.partner)?.send('fail', { channelId: channel.id, index, paymentId, ...said }))
  }

  function releaseDigest(channel: Channel, sender: Hex, lock: LockRecord): Uint8Array {
    return context.digests(channel.tokenNetwork).Release({ channelId: channel.id, sender, lock: leafHash(lock) })
  }

  function sendReveal({ channel, lock }: LockEntry): void {
    const secret = fromHex(lock.secret!)
    journal.then(() => links.get(channel.partner)?.send('reveal', { channelId: channel.id, index: lock.index, secret }))
  }

  /**
   * Keeps a secret beside every lock that it opens, and claims those that are ours.
   * @param spent - whether the other side is known to have it, so that what we locked is theirs.
   */
  function learn(secrethash: Hex, secret: Uint8Array, spent = true): void {
    for (const entry of locks.of(secrethash)) {
      if (entry.lock.secret || entry.lock.givenBack || (entry.own && !spent)) continue
      const lock = { ...entry.lock, secret: toHex(secret) }
      proofs.saveLock(entry.channel, entry.own, lock)
      if (!entry.own) sendReveal({ ...entry, lock })
    }
  }

  /** Claims on chain what the partner has not unlocked in time. */
  function registerEndangered(): void {
    const endangered = new Map<Hex, Endangered>()
    for (const { own, lock, channel } of locks.all()) {
      if (own || !lock.secret || lock.givenBack || lock.publicAt > 0 || !isClaimable(channel)) continue
      // Either clock may say that it is time; only the chain's that it is over.
      if (lock.expiry <= time.confirmed) continue
      if (channel.phase === 'open' && lock.expiry - time.now() > times.revealTimeout) continue
      const amount = (endangered.get(lock.secrethash)?.amount ?? 0n) + lock.amount
      endangered.set(lock.secrethash, { secret: fromHex(lock.secret), tokenNetwork: channel.tokenNetwork, amount })
    }
    if (endangered.size > 0) handlers.register([...endangered.values()])
  }

  function tryPursue(entry: LockEntry): void {
    try {
      if (entry.own) pursueOwn(entry)
      else pursueIncoming(entry)
    } catch (error) {
      log.warn('a lock could not be pursued, trying again later', {
        channelId: entry.channel.id,
        index: entry.lock.index,
        reason: error instanceof Error ? error.message : String(error),
      })
    }
  }

  return {
    locked: (channel, lock) => tryPursue({ channel, own: false, lock }),

    unlocked(channel, lock, secret) {
      learn(lock.secrethash, secret)
      if (!isOurs(lock)) {
        if (lock.twin) {
          const out = locks.get(lock.twin.channelId, true, lock.twin.index)
          journal.then(() =>
            context.events.emit('mediated', {
              paymentId: lock.paymentId,
              from: channel.partner,
              to: lock.route[0]?.node ?? lock.target,
              amount: lock.route[0]?.amount ?? 0n,
              fee: lock.amount - (lock.route[0]?.amount ?? lock.amount),
            }),
          )
          if (out) tryPursue(out)
        }
        return
      }
      handlers.received(lock, channel, lock.amount)
    },

    onSecretRequest(link, message) {
      const { secrethash, paymentId } = message
      const mine = [...locks.of(secrethash)].find(
        ({ own, lock, channel }) => own && lock.paymentId === paymentId && channel.partner === link.account,
      )
      if (!mine) return
      if (mine.lock.twin) {
        const incoming = twinOf(mine)
        if (incoming) links.get(incoming.channel.partner)?.send('secretRequest', message)
        return
      }
      const publicKey = signerOf(message)
      if (!publicKey) return log.warn('a secret is asked for without a signature', { paymentId })
      if (!handlers.requested(message, publicKey)) link.send('secretDenied', { paymentId, secrethash })
    },

    onSecretGrant(link, message) {
      const { secrethash, paymentId } = message
      const incoming = [...locks.of(secrethash)].filter(({ own, lock }) => !own && lock.paymentId === paymentId)
      const first = incoming.find(({ channel }) => channel.partner === link.account)
      if (!first) return
      if (!isOurs(first.lock)) {
        const out = twinOf(first)
        if (out) links.get(out.channel.partner)?.send('secretGrant', message)
        return
      }
      const secret = unseal(message, key)
      // Whoever handed it on can't know better, so it is not its fault.
      if (!secret || !isSecretOf(secret, secrethash)) return log.warn('what was granted is not the secret', { paymentId })
      if (first.lock.expiry <= time.now()) return
      learn(secrethash, secret, false)
    },

    onSecretDenied(link, message) {
      const { secrethash, paymentId } = message
      for (const entry of locks.of(secrethash)) {
        const { own, lock, channel } = entry
        if (own || lock.paymentId !== paymentId || channel.partner !== link.account) continue
        if (isOurs(lock)) giveBack(entry, 'PAYMENT_FAILED')
        else {
          const out = twinOf(entry)
          if (out) links.get(out.channel.partner)?.send('secretDenied', message)
        }
      }
    },

    onReveal(link, { channelId, index, secret }) {
      const channel = proofs.channelOf(link, channelId)
      const entry = locks.get(channelId, true, index)
      if (!entry) return // unlocked before
      if (!isSecretOf(secret, entry.lock.secrethash)) {
        // Said again before the unlock came, and the number has another lock since.
        log.debug('a secret does not belong to the lock that it was revealed for', { channelId, index })
        return
      }
      if (entry.lock.expiry <= time.now() && !isPublicInTime(entry.lock)) {
        log.info('a secret came after its lock had expired', { channelId, index })
        return
      }
      if (isCovered(entry)) return unlock(channel, entry.lock, secret)
      log.info('a secret came while it is not sure that it can be used: nothing is paid for it yet', { channelId, index })
      learn(entry.lock.secrethash, secret, false)
    },

    onFail(link, message) {
      const { channelId, index, paymentId, code, reporter, failed, signature, delegation } = message
      const channel = proofs.channelOf(link, channelId)
      const entry = locks.get(channelId, true, index)
      if (!entry || entry.lock.paymentId !== paymentId) return
      // Without this word the partner could still claim the lock with the older proof that has it.
      assertSignedBy(releaseDigest(channel, account, entry.lock), message.release, link.signer, {
        field: 'fail.release',
        owner: 'the partner',
      })
      if (!maySign(channel, link.signer)) {
        log.warn('a lock was given back by a key that is not registered in its channel', { channelId, index, signer: link.signer })
        return
      }
      const report = { code, reporter, failed, signature, delegation }
      releases.keep(channel, entry.lock, message.release)
      release(channel, entry.lock, report)
    },

    unlockedOnChain(channel, own, numbers) {
      for (const { channel: where, own: side, lock } of locks.all()) {
        if (where !== channel || side !== own || ((numbers >> BigInt(lock.index)) & 1n) === 0n) continue
        proofs.dropLock(channel, own, lock.index)
        // What was given back is no payment, however public its secret has become: its payer shows the word for it.
        if (own || lock.givenBack || !isPublicInTime(lock)) continue
        if (isOurs(lock)) handlers.received(lock, channel, lock.amount)
      }
    },

    mayRemove: (lock) => lock.givenBack || isOver(lock),

    rewind() {
      searched = new WeakSet()
      for (const { channel, own, lock } of locks.all()) {
        if (lock.publicAt === 0) continue
        proofs.saveLock(channel, own, { ...lock, publicAt: 0 })
        search(lock.secrethash)
      }
    },

    onSecretOnChain(secrethash, secret, at) {
      for (const { channel, own, lock } of locks.of(secrethash)) {
        if (lock.publicAt === 0 || at < lock.publicAt) proofs.saveLock(channel, own, { ...lock, publicAt: at })
      }
      if ([...locks.of(secrethash)].some(({ lock }) => isPublicInTime(lock))) learn(secrethash, secret)
      for (const entry of locks.of(secrethash)) tryPursue(entry)
    },

    pursue(channel) {
      const now = context.clock.now()
      for (const { channel: where, own, lock } of locks.all()) {
        if (channel ? where !== channel : !own && now - (lookedAt.get(lock) ?? -Infinity) < AGAIN_AFTER) continue
        const current = locks.get(where.id, own, lock.index)
        if (!current) continue
        lookedAt.set(current.lock, now)
        tryPursue(current)
      }
      registerEndangered()
    },
  }
}

/** Whether what the partner has locked in a channel can be claimed still. */
function isClaimable({ phase, leftLocked, first }: Channel): boolean {
  return phase !== 'settled' || (leftLocked?.[first ? 'locked2' : 'locked1'] ?? 0n) > 0n
}

/** Places that forwarded locks of any size may take; the others are for those that hold their share of the channel. */
const PLACES_FOR_ALL = MAX_LOCKS / 2

/** Asserts that a lock to be forwarded is worth its place: small ones must not crowd out large ones. */
function assertPlace({ own, ownDeposit, theirDeposit, ownWithdrawn, theirWithdrawn }: Channel, amount: bigint): void {
  const share = (ownDeposit + theirDeposit - ownWithdrawn - theirWithdrawn) / BigInt(MAX_LOCKS)
  if (own.locks.locks.size < PLACES_FOR_ALL || amount >= share) return
  throw new SluiceError('TOO_MANY_LOCKS', `${PLACES_FOR_ALL} locks are pending: the other places are for locks of ${share} or more`, {
    details: { limit: PLACES_FOR_ALL, amount, share },
  })
}

/** Seals a secret for whoever holds the key of `publicKey`: a one-time pad out of a fresh key agreement. */
export function seal(secret: Uint8Array, publicKey: Uint8Array): { readonly ephemeral: Uint8Array; readonly sealed: Uint8Array } {
  const { secp256k1 } = engine()
  const own = generateSecret()
  const ephemeral = secp256k1.publicKey(own, true)
  return { ephemeral, sealed: pad(secret, secp256k1.sharedPoint(own, publicKey), ephemeral) }
}

/** Undefined if it was sealed with no key at all. */
function unseal({ sealed, ephemeral }: Typed<'secretGrant'>, key: Key): Uint8Array | undefined {
  try {
    return pad(sealed, key.agree(ephemeral), ephemeral)
  } catch (error) {
    if (isSluiceError(error, 'BAD_KEY')) return undefined
    throw error
  }
}

/** The key that signed; undefined if none did. */
function signerOf(message: Typed<'secretRequest'>): Uint8Array | undefined {
  try {
    return engine().secp256k1.recover(personalDigest(requestBytes(message)), message.signature)
  } catch (error) {
    if (isSluiceError(error, 'BAD_SIGNATURE')) return undefined
    throw error
  }
}

function pad(bytes: Uint8Array, shared: Uint8Array, ephemeral: Uint8Array): Uint8Array {
  const mask = engine().sha256(utf8('sluice secret grant'), shared, ephemeral)
  return bytes.map((byte, i) => byte ^ mask[i]!)
}
