/**
 * When the two ends of a channel don't agree: a store that was behind is brought up to date, a partner that has signed two
 * proofs of one nonce is convicted. Loaded when that happens.
 * @module
 */
import { equalBytes, toHex, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Link } from '../link/link.ts'
import { lockTreeOf, type Lock } from '../state/lockTree.ts'
import { assertProofMatches, paidBy, proofOf, ZERO_32, type Side } from '../state/side.ts'
import { assertPaid } from '../stream/streamTerms.ts'
import { encode } from '../wire/codec.ts'
import { encodeChannelMessage, referenceOf, type ProofMessage, type Typed } from '../wire/messages.ts'
import { evidenceLayout, historyKey, historyLayout, maySign, partnerCapacityOf, type Channel, type LockRecord } from './channel.ts'
import type { NodeContext } from './context.ts'
import type { ProofHandlers, Proofs } from './proofs.ts'

/** What of the exchange of proofs it works with. */
export interface RecoveryParts extends Pick<Proofs, 'saveLock' | 'dropLock' | 'sync'> {
  readonly context: NodeContext
  readonly handlers: ProofHandlers
  saveSide(channel: Channel, own: boolean): void
  digestOf(channel: Channel, own: boolean, side: Side | Omit<Side, 'signature'>): Uint8Array
  signedBy(channel: Channel, link: Link): void
  receipt(channel: Channel, isAwaited: boolean): void
}

/** Takes a later state of one side that the partner shows. @throws what is wrong with it; then nothing has changed. */
export function takeState(channel: Channel, link: Link, message: Typed<'state'>, parts: RecoveryParts): void {
  const { context, handlers, saveSide, saveLock, dropLock, digestOf, signedBy, receipt, sync } = parts
  const { journal, locks, log, key } = context
  const { secp256k1 } = engine()
  const ours = !message.own
  const side = ours ? channel.own : channel.theirs
  if (message.nonce <= side.nonce) return
  const given: Side = {
    nonce: message.nonce,
    transferred: message.transferred,
    locks: lockTreeOf(message.locks),
    stream: message.stream,
    reference: message.reference,
    signature: message.signature,
  }
  assertProofMatches(given, message)
  if (!ours && (channel.phase !== 'open' || channel.closing)) return
  const by = (publicKey: Uint8Array | undefined): boolean =>
    publicKey !== undefined && secp256k1.verify(digestOf(channel, ours, given), message.signature, publicKey)
  const before = channel.theirSigner
  const known = !ours && before !== undefined && maySign(channel, before.address) && by(before.publicKey)
  if (!channel.theirChannel || !(known || by(ours ? key.publicKey : link.publicKey))) {
    const expected = ours ? key.address : link.signer
    throw new SluiceError('BAD_SIGNATURE', `the state shown of channel ${channel.id} must be signed by ${expected}`, {
      details: { field: 'state.signature', owner: ours ? 'this node' : 'partner', expected },
    })
  }
  if (!ours && !known && !maySign(channel, link.signer)) return // it comes again when the key is registered
  // The signature covers the chain, not how far it has been paid.
  if (given.stream) assertPaid(given.stream, given.stream)
  // What was locked before is locked still, was paid, or may be taken out.
  let least = paidBy(side)
  for (const lock of ours ? [] : side.locks.locks.values()) {
    const record = locks.get(channel.id, false, lock.index)?.lock
    if (!isSame(lock, given.locks.locks.get(lock.index)) && !(record && handlers.mayRemove(record))) least += lock.amount
  }
  if (paidBy(given) < least) {
    throw new SluiceError('PROOF_INVALID', 'a later proof gives less than an earlier one', {
      details: { field: 'transferred' },
    })
  }
  const fromNonce = side.nonce
  if (ours) {
    channel.own = given
    channel.durable = given.nonce
    channel.acked = given.nonce
    channel.unacked.clear()
    channel.synced = true
  } else {
    if (partnerCapacityOf(channel, given) < 0n)
      throw new SluiceError('PROOF_INVALID', 'the state shown spends more than there is', {
        details: { field: 'transferred' },
      })
    channel.theirs = given
    if (!known) signedBy(channel, link)
  }
  saveSide(channel, ours)
  journal.put(historyKey(channel.id, ours, given.nonce), () =>
    encode(historyLayout, { reset: true, added: [...given.locks.locks.values()], gone: [] }),
  )
  for (const lock of side.locks.locks.values()) {
    if (isSame(lock, given.locks.locks.get(lock.index))) continue
    const record = locks.get(channel.id, ours, lock.index)?.lock
    dropLock(channel, ours, lock.index)
    if (ours && record) handlers.forgotten(record)
  }
  if (ours) handlers.acknowledged(channel, given.nonce)
  for (const lock of given.locks.locks.values()) {
    if (!isSame(lock, side.locks.locks.get(lock.index)))
      saveLock(channel, ours, unknownLock(lock, ours ? context.account : channel.partner))
  }
  log.warn('this store was behind and has been brought up to date', {
    channelId: channel.id,
    own: ours,
    fromNonce,
    toNonce: given.nonce,
  })
  journal.then(() => {
    context.events.emit('recovered', { channelId: channel.id, fromNonce, toNonce: given.nonce })
    sync(channel)
    if (ours) handlers.synced(channel)
  })
  if (!ours) receipt(channel, true)
}

/** Two proofs of one nonce: no honest node makes them. The second is kept beside the first, as evidence. */
export function keepEquivocation(channel: Channel, message: ProofMessage, { context, digestOf }: RecoveryParts): void {
  const { journal, log } = context
  const side = { ...channel.theirs, transferred: message.transferred, nonce: message.nonce }
  const proof = {
    ...proofOf(channel.theirChannel!, side),
    locked: message.locked,
    locksroot: message.locksroot,
    reference: referenceOf(message.type, message as never),
  }
  const digest = context.digests(channel.tokenNetwork).BalanceProof(proof)
  if (equalBytes(digest, digestOf(channel, false, channel.theirs))) return // the same, signed again
  if (!channel.theirSigner || !engine().secp256k1.verify(digest, message.signature, channel.theirSigner.publicKey)) return
  const reason = `two proofs of nonce ${message.nonce} are signed`
  // One is enough.
  journal.put(`evidence/${channel.id}/${message.nonce}`, () =>
    encode(evidenceLayout, { message: encodeChannelMessage(message.type, message as never), reason }),
  )
  log.error(reason, { channelId: channel.id, partner: channel.partner })
  journal.then(() =>
    context.events.emit('misbehaved', { channelId: channel.id, account: channel.partner, code: 'PROOF_INVALID', reason }),
  )
}

function isSame(a: Lock, b: Lock | undefined): boolean {
  return b !== undefined && a.amount === b.amount && a.expiry === b.expiry && a.secrethash === b.secrethash
}

/** A lock of which nothing but the lock is known: it ends by its secret or by its expiry. */
function unknownLock(lock: { index: number; amount: bigint; expiry: number; secrethash: Hex }, initiator: Hex): LockRecord {
  const { index, amount, expiry, secrethash } = lock
  return {
    index,
    amount,
    expiry,
    secrethash,
    paymentId: toHex(ZERO_32),
    initiator,
    target: `0x${'00'.repeat(20)}`,
    total: 0n,
    route: [],
    twin: undefined,
    secret: undefined,
    givenBack: false,
    publicAt: 0,
  }
}
