/**
 * The exchange of balance proofs in each channel: what this node signs, what it accepts, and how both ends find together
 * again. A payment is verified in `accept`, and nowhere else.
 * @module
 */
import { equalBytes, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Link } from '../link/link.ts'
import { advance, assertProofMatches, paidBy, promisedBy, proofOf, type Side } from '../state/side.ts'
import {
  encodeProofMessage,
  NO_HASH,
  referenceOf,
  type ProofDetails,
  type ProofMessage,
  type ProofMessageType,
  type Typed,
} from '../wire/messages.ts'
import {
  capacityOf,
  channelKey,
  encodeChannel,
  encodeLock,
  encodeSide,
  historyKey,
  historyLayout,
  lockKey,
  maySign,
  OUTBOX,
  outKey,
  partnerCapacityOf,
  proofChannel,
  sideKey,
  type Channel,
  type LockRecord,
} from './channel.ts'
import type { NodeContext } from './context.ts'
import type { RecoveryParts } from './recovery.ts'
import { encode } from '../wire/codec.ts'
import { assertPaid } from '../stream/streamTerms.ts'

/** What the payments above learn from the exchange. */
export interface ProofHandlers {
  /** A proof of the partner is accepted, in memory; what follows from it goes through the journal. `lock` is what it is about. */
  accepted(channel: Channel, message: ProofMessage, lock: LockRecord | undefined): void
  /** The partner has everything up to `nonce`. */
  acknowledged(channel: Channel, nonce: number): void
  /** A lock of this node was taken out or paid by a run whose store is lost: nobody here knows which. */
  forgotten(lock: LockRecord): void
  /** Both sides agree again and can go on. */
  synced(channel: Channel): void
  /** Whether a pending lock of the partner may be taken out: it is given back, or over on chain without a secret. */
  mayRemove(lock: LockRecord): boolean
}

/** See {@link createProofs}. */
export interface Proofs {
  /**
   * Signs the next proof of a channel and sends it once it is stored.
   * @param lock - what to keep beside a new lock.
   * @returns its nonce.
   * @throws `CHANNEL_NOT_OPEN`, `CHANNEL_BUSY`, `CHAIN_STALLED`, `CAPACITY_SHORT`, `OVERLOADED`, `TOO_MANY_LOCKS`;
   * `PARTNER_OFFLINE` until both have said where they stand: a store that is behind must not sign.
   */
  sign<T extends ProofMessageType>(channel: Channel, type: T, details: ProofDetails<T>, lock?: LockRecord): number
  /** Takes a proof of the partner. @throws what is wrong with it; then nothing has changed. */
  accept(link: Link, message: ProofMessage): void
  processed(link: Link, message: Typed<'processed'>): void
  /** Tells the partner where this node stands. */
  sync(channel: Channel): void
  onSync(link: Link, message: Typed<'sync'>): void
  onState(link: Link, message: Typed<'state'>): Promise<void>
  /** Sends again what has not been acknowledged for a while. */
  resend(channel: Channel): void
  /** Asks again for what came too early to be taken. */
  retry(channel: Channel): void
  /** The link is gone. */
  lost(account: Hex): void
  /** A channel of this partner. @throws `CHANNEL_NOT_FOUND` */
  channelOf(link: Link, channelId: Hex): Channel
  saveChannel(channel: Channel): void
  saveLock(channel: Channel, own: boolean, lock: LockRecord): void
  dropLock(channel: Channel, own: boolean, index: number): void
}

/** What gives, or promises to give. */
const promises: ReadonlySet<ProofMessageType> = new Set(['payment', 'lock', 'stream'])

/** Milliseconds after which a receipt is sent that nobody waits for. */
const RECEIPT_DELAY = 20
/** Milliseconds after which an unacknowledged proof is sent again. */
const RESEND_AFTER = 5_000

/** Creates the exchange of a node's balance proofs. */
export function createProofs(context: NodeContext, handlers: ProofHandlers): Proofs {
  const { journal, links, log, clock, time, key, locks } = context
  const { secp256k1 } = engine()
  /** Channels in which something is accepted that the partner has not been told of. */
  const untold = new Set<Channel>()
  /** Those in which the partner waits to be told. */
  const awaited = new Set<Channel>()
  /** Channels whose partner took a lock out before that was sure here. */
  const early = new Set<Channel>()

  const saveSide = (channel: Channel, own: boolean): void => {
    journal.put(sideKey(channel.id, own), () => encodeSide(own ? channel.own : channel.theirs))
    journal.thenLast(channel.unacked, () =>
      context.events.emit('balance', {
        channelId: channel.id,
        capacity: capacityOf(channel),
        partnerCapacity: partnerCapacityOf(channel),
      }),
    )
  }
  const saveChannel = (channel: Channel): void => journal.put(channelKey(channel.id), () => encodeChannel(channel))
  const saveLock = (channel: Channel, own: boolean, lock: LockRecord): void => {
    locks.set({ channel, own, lock })
    journal.put(lockKey(channel.id, own, lock.index), () => encodeLock(lock))
  }
  /** Notes what a proof has changed about the locks. */
  const note = (channel: Channel, own: boolean, type: ProofMessageType, index: number): void => {
    const { nonce, locks: tree } = own ? channel.own : channel.theirs
    const lock = tree.locks.get(index)
    const change = type === 'lock' ? { reset: false, added: [lock!], gone: [] } : { reset: false, added: [], gone: [{ index }] }
    journal.put(historyKey(channel.id, own, nonce), () => encode(historyLayout, change))
  }
  const dropLock = (channel: Channel, own: boolean, index: number): void => {
    locks.delete(channel.id, own, index)
    journal.delete(lockKey(channel.id, own, index))
  }
  const channelOf = (link: Link, channelId: Hex): Channel => {
    const channel = context.channels.get(channelId)
    if (channel && channel.partner === link.account) return channel
    throw new SluiceError('CHANNEL_NOT_FOUND', `there is no channel ${channelId} with ${link.account}`, {
      details: { channelId },
    })
  }
  const digestOf = (channel: Channel, own: boolean, side: Side | Omit<Side, 'signature'>): Uint8Array =>
    context.digests(channel.tokenNetwork).BalanceProof(proofOf((own ? channel.ownChannel : channel.theirChannel)!, side))

  const recovery: RecoveryParts = { context, handlers, saveSide, saveLock, dropLock, digestOf, signedBy, receipt, sync }

  return {
    channelOf,
    saveChannel,
    saveLock,
    dropLock,

    sign(channel, type, details, lock) {
      if (channel.phase !== 'open') {
        throw new SluiceError('CHANNEL_NOT_OPEN', `channel ${channel.id} is ${channel.phase}`, {
          details: { channelId: channel.id, phase: channel.phase },
        })
      }
      if (!channel.synced) {
        throw new SluiceError('PARTNER_OFFLINE', `${channel.partner}, partner in channel ${channel.id}, is not linked`, {
          details: { channelId: channel.id, partner: channel.partner },
        })
      }
      if (channel.closing)
        throw new SluiceError('CHANNEL_BUSY', `channel ${channel.id} is being closed`, { details: { channelId: channel.id } })
      if (channel.unacked.size >= OUTBOX && type !== 'unlock' && type !== 'remove') {
        throw new SluiceError('OVERLOADED', `${OUTBOX} payments wait for their receipt`, {
          details: { channelId: channel.id, limit: OUTBOX },
        })
      }
      if (!context.counts(channel)) {
        // The partner would not take it: the contract would not.
        context.registerKey(channel)
        throw new SluiceError('CHANNEL_BUSY', `this node's session key is not registered in channel ${channel.id} yet`, {
          details: { channelId: channel.id, signer: key.address },
        })
      }
      if (promises.has(type)) time.assertMoving()
      const reference = referenceOf(type, details)
      const next = advance(channel.own, type, details, reference)
      const spent = paidBy(next) + promisedBy(next) - paidBy(channel.own) - promisedBy(channel.own)
      if (spent > 0n) {
        const capacity = capacityOf(channel)
        if (spent > capacity) {
          throw new SluiceError('CAPACITY_SHORT', `${capacity} can be sent in channel ${channel.id}, ${spent} are asked for`, {
            details: { channelId: channel.id, capacity, amount: spent },
          })
        }
      }
      const signature = key.sign(digestOf(channel, true, next)).subarray(0, 64)
      const {
        nonce,
        transferred,
        locks: { total: locked, root: locksroot },
      } = next
      channel.own = { ...next, signature }
      const packet = encodeProofMessage(type, channel.id, { nonce, transferred, locked, locksroot, signature }, details)
      saveSide(channel, true)
      if ('index' in details) note(channel, true, type, (details as { readonly index: number }).index)
      if (lock) saveLock(channel, true, lock)
      else if (type === 'unlock' || type === 'remove') dropLock(channel, true, (details as ProofDetails<'remove'>).index)
      if (channel.unacked.size === 0) channel.progressAt = clock.now()
      channel.unacked.set(nonce, packet)
      journal.put(outKey(channel.id, nonce), () => packet)
      journal.then(() => {
        channel.durable = nonce
        if (channel.synced) links.get(channel.partner)?.sendPacket(packet)
      })
      return nonce
    },

    accept(link, message) {
      const channel = channelOf(link, message.channelId)
      const { theirs } = channel
      if (message.nonce <= theirs.nonce) {
        if (message.nonce === theirs.nonce && theirs.signature && !equalBytes(message.signature, theirs.signature))
          void import('./recovery.ts').then(({ keepEquivocation }) => keepEquivocation(channel, message, recovery))
        receipt(channel, true)
        return
      }
      if (message.nonce > theirs.nonce + 1) {
        // Something was lost on the way; it comes again, and this one with it.
        log.debug('a proof before this one is missing', {
          channelId: channel.id,
          nonce: message.nonce,
          expected: theirs.nonce + 1,
        })
        return
      }
      if (channel.phase !== 'open' || channel.closing) {
        // It could no longer be shown to the contract. If the channel goes on after all, it comes again.
        log.debug('a proof came while the channel ends', { channelId: channel.id, nonce: message.nonce })
        return
      }
      if (message.type !== 'remove' && time.stalled()) {
        // The channel may be closed already, without it: so no unlock is taken either, for which others would be paid. It comes
        // again.
        log.warn('a payment came while the chain stands still', { channelId: channel.id, nonce: message.nonce, type: message.type })
        return
      }
      if (!channel.theirChannel || !channel.theirSigner)
        throw new SluiceError('BAD_MESSAGE', `${message.type} came before sync`, { details: { field: 'type' } })
      if (!maySign(channel, link.signer)) {
        // What the account lets sign today it may disown tomorrow. Once the key is registered, it comes again.
        log.warn('a proof came by a key that is not registered in its channel', {
          channelId: channel.id,
          nonce: message.nonce,
          signer: link.signer,
        })
        return
      }
      const index = 'index' in message ? message.index : undefined
      const lock = index === undefined ? undefined : locks.get(channel.id, false, index)?.lock
      const next = advance(theirs, message.type, message as never, referenceOf(message.type, message as never))
      assertProofMatches(next, message)
      const left = partnerCapacityOf(channel, next)
      if (left < 0n) {
        throw new SluiceError('PROOF_INVALID', `the partner spends ${-left} more than it has in channel ${channel.id}`, {
          details: { field: 'transferred', channelId: channel.id, missing: -left },
        })
      }
      if (!secp256k1.verify(digestOf(channel, false, next), message.signature, link.publicKey)) {
        throw new SluiceError(
          'BAD_SIGNATURE',
          `signature of the balance proof must be by ${link.signer}, key of the partner ${channel.partner}`,
          {
            details: { field: 'signature', owner: 'partner', expected: link.signer },
          },
        )
      }
      if (message.type === 'remove' && lock && !handlers.mayRemove(lock)) {
        // It may be right as soon as our chain has come as far.
        early.add(channel)
        log.debug('a lock is not over yet', { channelId: channel.id, index: lock.index })
        return
      }
      channel.theirs = { ...next, signature: message.signature }
      signedBy(channel, link)
      saveSide(channel, false)
      if (index !== undefined) note(channel, false, message.type, index)
      if (message.type === 'lock') {
        const { paymentId, initiator, target, total, route, index, amount, expiry, secrethash } = message
        saveLock(channel, false, {
          index,
          amount,
          expiry,
          secrethash,
          paymentId,
          initiator,
          target,
          total,
          route,
          twin: undefined,
          secret: undefined,
          givenBack: false,
          publicAt: 0,
        })
      } else if (message.type === 'unlock' || message.type === 'remove') dropLock(channel, false, message.index)
      receipt(channel, message.type === 'payment')
      handlers.accepted(channel, message, message.type === 'lock' ? locks.get(channel.id, false, message.index)?.lock : lock)
    },

    processed(link, { channelId, nonce }) {
      acknowledge(channelOf(link, channelId), nonce)
    },

    sync,

    onSync(link, message) {
      const channel = context.channels.get(message.channelId)
      if (!channel || channel.partner !== link.account) return // not confirmed here yet: it is told as soon as it is
      let changed = false
      if (!channel.theirs.signature) signedBy(channel, link)
      if (!channel.theirWatch) {
        channel.theirWatch = message.watch
        channel.theirChannel = proofChannel(channel.id, message.watch)
        changed = true
      } else if (!equalBytes(channel.theirWatch, message.watch)) {
        throw new SluiceError('BAD_MESSAGE', `the watch of channel ${channel.id} can't change`, { details: { field: 'watch' } })
      }
      if (message.deposit !== channel.seenDeposit) {
        channel.seenDeposit = message.deposit
        changed = true
      }
      if (changed) saveChannel(channel)
      if (message.nonce < channel.theirs.nonce) sendState(channel, false)
      if (message.accepted > channel.own.nonce) return // this store is behind: the partner shows the proof that is missing
      if (message.accepted === channel.own.nonce && catchUpStream(channel, message.steps, message.preimage))
        saveSide(channel, true)
      const first = !channel.synced
      channel.synced = true
      acknowledge(channel, message.accepted)
      if (first) {
        sync(channel)
        if (channel.own.nonce > message.accepted && !channel.unacked.has(message.accepted + 1)) sendState(channel, true)
        else resend(channel)
      } else if (message.accepted < channel.durable) resend(channel)
      handlers.synced(channel)
    },

    async onState(link, message) {
      const { takeState } = await import('./recovery.ts')
      takeState(channelOf(link, message.channelId), link, message, recovery)
    },

    resend,

    retry(channel) {
      if (early.delete(channel)) sync(channel)
    },

    lost(account) {
      for (const channel of context.channels.values()) if (channel.partner === account) channel.synced = false
    },
  }

  /** Notes whose key has signed the partner's last proof: it may sign the next one by another. */
  function signedBy(channel: Channel, { publicKey, signer }: Link): void {
    if (channel.theirSigner && equalBytes(channel.theirSigner.publicKey, publicKey)) return
    channel.theirSigner = { publicKey, address: signer }
    saveChannel(channel)
  }

  /**
   * Tells the partner, once it is stored, how far it is accepted: at once where somebody waits for it, else a little later,
   * together with what comes meanwhile. A write to a socket costs as much as a signature.
   */
  function receipt(channel: Channel, isAwaited: boolean): void {
    const { nonce } = channel.theirs
    if (isAwaited) awaited.add(channel)
    journal.thenLast(channel, () => {
      channel.stored = nonce
      if (awaited.delete(channel)) return tellStored(channel)
      if (untold.has(channel)) return
      untold.add(channel)
      void clock.sleep(RECEIPT_DELAY).then(() => untold.has(channel) && tellStored(channel))
    })
  }

  function tellStored(channel: Channel): void {
    untold.delete(channel)
    links.get(channel.partner)?.send('processed', { channelId: channel.id, nonce: channel.stored })
  }

  function acknowledge(channel: Channel, nonce: number): void {
    if (nonce <= channel.acked) return
    if (nonce > channel.own.nonce) {
      throw new SluiceError('BAD_MESSAGE', `nonce ${nonce} was never signed in channel ${channel.id}`, {
        details: { field: 'nonce' },
      })
    }
    channel.acked = nonce
    channel.progressAt = clock.now()
    for (const sent of channel.unacked.keys()) {
      if (sent > nonce) break
      channel.unacked.delete(sent)
    }
    handlers.acknowledged(channel, nonce)
  }

  function sync(channel: Channel): void {
    const { id, own, theirs, theirDeposit } = channel
    links.get(channel.partner)?.send('sync', {
      channelId: id,
      nonce: own.nonce,
      accepted: channel.stored,
      steps: theirs.stream?.steps ?? 0,
      preimage: theirs.stream?.preimage ?? NO_HASH,
      deposit: theirDeposit,
      watch: context.watchOf(id),
    })
  }

  function resend(channel: Channel): void {
    const link = links.get(channel.partner)
    if (!link || !channel.synced || channel.unacked.size === 0) return
    channel.progressAt = clock.now()
    for (const [nonce, packet] of channel.unacked) if (nonce <= channel.durable) link.sendPacket(packet)
  }

  function sendState(channel: Channel, own: boolean): void {
    const side = own ? channel.own : channel.theirs
    const { signature } = side
    if (!signature) return
    const state = {
      channelId: channel.id,
      own,
      nonce: side.nonce,
      transferred: side.transferred,
      locked: side.locks.total,
      locksroot: side.locks.root,
      signature,
      reference: side.reference,
      locks: [...side.locks.locks.values()],
      stream: side.stream,
    }
    journal.then(() => links.get(channel.partner)?.send('state', state)) // of this node's own: not before it is stored
  }
}

/** Brings this node's stream as far as the partner can prove that it was shown. @throws `PROOF_INVALID` */
function catchUpStream(channel: Channel, steps: number, preimage: Hex): boolean {
  const { stream } = channel.own
  if (!stream || steps <= stream.steps) return false
  assertPaid(stream, { steps, preimage })
  channel.own = { ...channel.own, stream: { ...stream, steps, preimage } }
  return true
}

/** Whether a channel has waited long enough to send again. */
export function isOverdue(channel: Channel, now: number): boolean {
  return channel.unacked.size > 0 && now - channel.progressAt >= RESEND_AFTER
}
