/**
 * What both sides of a channel have to sign: taking money out while it is open, ending it together, and consenting to one
 * that is about to be opened.
 * @module
 */
import { concatBytes, type Hex } from '../../core/bytes.ts'
import { withDeadline } from '../../core/deadline.ts'
import { isSluiceError, SluiceError, type ErrorCode } from '../../core/errors.ts'
import { forStrangers } from '../../core/forStrangers.ts'
import type { Link } from '../link/link.ts'
import { proofOf, freshSide } from '../state/side.ts'
import { codeOf, type ChannelMessageType, type Typed } from '../wire/messages.ts'
import { balancesOf, capacityOf, channelIdOf, maySign, partnerCapacityOf, proofChannel, type Channel } from './channel.ts'
import type { NodeContext } from './context.ts'
import type { Proofs } from './proofs.ts'

/** What the partner has signed, as the contract takes it. */
export interface Signed {
  readonly validUntil: number
  readonly signature: Uint8Array
}

/** See {@link createAgreements}. */
export interface Agreements {
  /**
   * Asks the partner to sign that this node may take out `totalWithdraw` in all.
   * @throws `CAPACITY_SHORT`, `CHANNEL_BUSY`, `PARTNER_OFFLINE`, `PEER_REFUSED`, `TIMEOUT`.
   */
  withdraw(channel: Channel, totalWithdraw: bigint, signal?: AbortSignal): Promise<Signed>
  /**
   * Asks the partner to end the channel with the balances as they are. Nothing is paid in it any more until that has
   * happened or `validUntil` has passed.
   */
  close(channel: Channel, signal?: AbortSignal): Promise<Signed & { readonly balance1: bigint; readonly balance2: bigint }>
  /** Asks a peer to consent to a channel, and exchanges the first proofs of it. @returns the peer's watch and signature. */
  open(
    link: Link,
    tokenNetwork: Hex,
    channelId: Hex,
    signal?: AbortSignal,
  ): Promise<{ readonly watch: Uint8Array; readonly signature: Uint8Array }>
  onMessage(link: Link, message: Typed<AgreementType>): void
  /** Gives free what can no longer happen, once the chain's clock says so for good. */
  expire(channel: Channel): void
}

/** The messages that agreements are made of. */
export type AgreementType =
  | 'openRequest'
  | 'openConsent'
  | 'withdrawRequest'
  | 'withdrawConfirm'
  | 'closeRequest'
  | 'closeConfirm'
  | 'refused'

/** Seconds that a signature for a withdrawal or a closing is good for. */
const VALID_FOR = 600

/** Options of {@link createAgreements}. */
export interface AgreementOptions {
  /** Whether a channel that a peer wants to open is welcome. @default every one */
  readonly consent?: ((request: { readonly account: Hex; readonly tokenNetwork: Hex }) => boolean) | undefined
  /** Ends this node's stream in a channel, so that it can be closed. */
  fold(channel: Channel): Promise<void>
  /** Milliseconds to wait for the partner's answer. @default 15000 */
  readonly answerTimeout?: number | undefined
}

/** Creates what makes a node's agreements with its partners. */
export function createAgreements(context: NodeContext, proofs: Proofs, options: AgreementOptions): Agreements {
  const { account, key, time, journal, links, clock, log } = context
  const { consent = () => true, answerTimeout = 15_000 } = options
  /** Requests that wait for an answer, by its type and channel. */
  const waiting = new Map<
    string,
    {
      readonly from: Hex
      readonly resolve: (message: Typed<AgreementType>) => void
      readonly reject: (error: SluiceError) => void
    }
  >()

  const assertTheirs = (channel: Channel, digest: Uint8Array, signature: Uint8Array, field: string): void => {
    const signer = links.get(channel.partner)
    const counts = signer && maySign(channel, signer.signer)
    if (counts && signature.length === 65 && context.recovers(digest, signature, signer.publicKey)) return
    throw new SluiceError('BAD_SIGNATURE', `${field} must be by ${signer?.signer}, key of the partner ${channel.partner}`, {
      details: { field, owner: 'the partner', expected: signer?.signer },
    })
  }

  /** Who waits for an answer of this peer's. */
  const waitingFor = (link: Link, answer: string | undefined, channelId: Hex) => {
    const waiter = waiting.get(`${answer}/${channelId}`)
    return waiter?.from === link.account ? waiter : undefined
  }

  const ask = <T extends AgreementType>(
    from: Hex,
    what: string,
    channelId: Hex,
    answer: T,
    send: () => void,
    signal?: AbortSignal,
  ): Promise<Typed<T>> => {
    const id = `${answer}/${channelId}`
    if (waiting.has(id))
      throw new SluiceError('CHANNEL_BUSY', `${what} is under way in channel ${channelId} already`, { details: { channelId } })
    return withDeadline(
      { what: `answer to ${what}`, ms: answerTimeout, signal, clock },
      () =>
        new Promise<Typed<AgreementType>>((resolve, reject) => {
          waiting.set(id, { from, resolve, reject })
          journal.then(send)
        }),
    ).finally(() => waiting.delete(id)) as Promise<never>
  }

  const refuse = (link: Link, request: ChannelMessageType, channelId: Hex, code: ErrorCode, message: string): void => {
    log.info(`${request} refused`, { channelId, code, message })
    link.send('refused', { channelId, request: codeOf(request), code, message })
  }

  const linkTo = (channel: Channel): Link => {
    const link = links.get(channel.partner)
    if (link && channel.synced) return link
    throw new SluiceError('PARTNER_OFFLINE', `${channel.partner}, partner in channel ${channel.id}, is not linked`, {
      details: { channelId: channel.id },
    })
  }

  const assertOpen = (channel: Channel): void => {
    if (channel.phase !== 'open')
      throw new SluiceError('CHANNEL_NOT_OPEN', `channel ${channel.id} is ${channel.phase}`, {
        details: { channelId: channel.id },
      })
    if (channel.closing)
      throw new SluiceError('CHANNEL_BUSY', `channel ${channel.id} is being closed`, { details: { channelId: channel.id } })
  }

  /** The balances of participants 1 and 2. */
  const ordered = (channel: Channel): { balance1: bigint; balance2: bigint } => {
    const { own, theirs } = balancesOf(channel)
    return channel.first ? { balance1: own, balance2: theirs } : { balance1: theirs, balance2: own }
  }

  const withdrawDigest = (channel: Channel, participant: Hex, totalWithdraw: bigint, validUntil: number): Uint8Array =>
    context.digests(channel.tokenNetwork).Withdraw({ channelId: channel.id, participant, totalWithdraw, validUntil })

  /** A channel's first proof: it says nothing, and shows who may sign and under which watch. */
  const firstProof = (tokenNetwork: Hex, channel: Uint8Array): Uint8Array =>
    context.digests(tokenNetwork).BalanceProof(proofOf(channel, { ...freshSide, nonce: 1 }))

  /** Whether an id is that of the next channel with a peer, or of the one after, should this node be a little behind. */
  const isNext = (tokenNetwork: Hex, peer: Hex, channelId: Hex): boolean => {
    let last = 0
    for (const channel of context.channels.values())
      if (channel.partner === peer && channel.tokenNetwork === tokenNetwork) last = Math.max(last, channel.epoch)
    return [1, 2].some((more) => channelIdOf(tokenNetwork, account, peer, last + more) === channelId)
  }

  const quietEnough = (channel: Channel): boolean =>
    channel.own.locks.locks.size === 0 &&
    channel.theirs.locks.locks.size === 0 &&
    !channel.ownWithdraw &&
    !channel.theirWithdraw &&
    !channel.own.stream &&
    !channel.theirs.stream

  const handlers: { [T in AgreementType]: (link: Link, message: Typed<T>) => void } = {
    openRequest(link, message) {
      const { tokenNetwork, channelId, watch, signature } = message
      if (!context.knows(tokenNetwork)) return refuse(link, 'openRequest', channelId, 'BAD_MESSAGE', 'unknown token network')
      if (!consent({ account: link.account, tokenNetwork }))
        return refuse(link, 'openRequest', channelId, 'PEER_REFUSED', 'no channel is wanted')
      if (!isNext(tokenNetwork, link.account, channelId))
        return refuse(link, 'openRequest', channelId, 'BAD_MESSAGE', 'not the id of the next channel with this peer')
      const digest = firstProof(tokenNetwork, proofChannel(channelId, watch))
      if (signature.length < 65 || !context.recovers(digest, signature.subarray(0, 65), link.publicKey)) {
        throw new SluiceError('BAD_SIGNATURE', `openRequest.signature must be by ${link.signer}`, {
          details: { field: 'openRequest.signature' },
        })
      }
      context.keepFirstProof(channelId, {
        watch,
        signature,
        publicKey: link.publicKey,
        address: link.signer,
      })
      const ownWatch = context.watchOf(channelId)
      const answer = {
        tokenNetwork,
        channelId,
        watch: ownWatch,
        // By a session key its delegation comes along: the opening registers it.
        signature: concatBytes(key.sign(firstProof(tokenNetwork, proofChannel(channelId, ownWatch))), context.delegation),
      }
      journal.then(() => link.send('openConsent', answer))
    },

    withdrawRequest(link, { channelId, totalWithdraw, validUntil, signature }) {
      const channel = proofs.channelOf(link, channelId)
      try {
        assertOpen(channel)
        const { theirWithdraw } = channel
        if (theirWithdraw && (theirWithdraw.amount !== totalWithdraw || theirWithdraw.validUntil !== validUntil)) {
          throw new SluiceError('CHANNEL_BUSY', 'another withdrawal is under way')
        }
        if (validUntil < time.now() || validUntil > time.now() + 2 * VALID_FOR)
          throw new SluiceError('EXPIRY_OUT_OF_RANGE', 'validUntil is out of range')
        assertTheirs(
          channel,
          withdrawDigest(channel, channel.partner, totalWithdraw, validUntil),
          signature,
          'withdrawRequest.signature',
        )
        if (totalWithdraw <= channel.theirWithdrawn) throw new SluiceError('BAD_ARGUMENT', 'totalWithdraw must grow')
        if (!theirWithdraw && totalWithdraw - channel.theirWithdrawn > partnerCapacityOf(channel))
          throw new SluiceError('CAPACITY_SHORT', 'that is more than there is')
      } catch (error) {
        if (!isSluiceError(error) || error.code === 'BAD_SIGNATURE') throw error
        return refuse(link, 'withdrawRequest', channelId, error.code, forStrangers(error).message)
      }
      channel.theirWithdraw = { amount: totalWithdraw, validUntil }
      proofs.saveChannel(channel)
      const answer = {
        channelId,
        totalWithdraw,
        validUntil,
        signature: key.sign(withdrawDigest(channel, channel.partner, totalWithdraw, validUntil)),
      }
      journal.then(() => link.send('withdrawConfirm', answer))
    },

    closeRequest(link, { channelId, nonce, accepted, balance1, balance2, validUntil }) {
      const channel = proofs.channelOf(link, channelId)
      const expected = ordered(channel)
      try {
        if (channel.phase !== 'open') throw new SluiceError('CHANNEL_NOT_OPEN', `the channel is ${channel.phase}`)
        if (nonce !== channel.theirs.nonce || accepted !== channel.own.nonce || !quietEnough(channel))
          throw new SluiceError('CHANNEL_BUSY', 'payments are under way')
        if (balance1 !== expected.balance1 || balance2 !== expected.balance2)
          throw new SluiceError('PROOF_INVALID', 'the balances are others')
        if (validUntil < time.now() || validUntil > time.now() + 2 * VALID_FOR)
          throw new SluiceError('EXPIRY_OUT_OF_RANGE', 'validUntil is out of range')
        if (channel.closing && channel.closing.validUntil !== validUntil)
          throw new SluiceError('CHANNEL_BUSY', 'the channel is being closed already')
      } catch (error) {
        if (!isSluiceError(error)) throw error
        if (channel.phase === 'open' && !channel.closing) void options.fold(channel) // so that the next request finds it quiet
        return refuse(link, 'closeRequest', channelId, error.code, forStrangers(error).message)
      }
      const digest = context.digests(channel.tokenNetwork).CooperativeClose({ channelId, balance1, balance2, validUntil })
      channel.closing = { amount: balance1, validUntil }
      proofs.saveChannel(channel)
      const answer = { channelId, validUntil, signature: key.sign(digest) }
      journal.then(() => link.send('closeConfirm', answer))
    },

    openConsent: (link, message) => waitingFor(link, 'openConsent', message.channelId)?.resolve(message),
    withdrawConfirm: (link, message) => waitingFor(link, 'withdrawConfirm', message.channelId)?.resolve(message),
    closeConfirm: (link, message) => waitingFor(link, 'closeConfirm', message.channelId)?.resolve(message),

    refused(link, { channelId, request, code, message }) {
      const answer = (
        {
          [codeOf('openRequest')]: 'openConsent',
          [codeOf('withdrawRequest')]: 'withdrawConfirm',
          [codeOf('closeRequest')]: 'closeConfirm',
        } as Record<number, string>
      )[request]
      waitingFor(link, answer, channelId)?.reject(
        new SluiceError('PEER_REFUSED', `${link.account} refused: ${message}`, {
          details: { code, message, channelId, account: link.account },
        }),
      )
    },
  }

  return {
    async withdraw(channel, totalWithdraw, signal) {
      assertOpen(channel)
      const link = linkTo(channel)
      // One whose answer did not come is asked for again as it was: the partner may have signed it.
      const before = channel.ownWithdraw
      const isSame = before?.amount === totalWithdraw && before.validUntil > time.now() + VALID_FOR / 4
      if (before && !isSame)
        throw new SluiceError('CHANNEL_BUSY', `a withdrawal is under way in channel ${channel.id}`, {
          details: { channelId: channel.id },
        })
      const more = totalWithdraw - channel.ownWithdrawn
      if (more <= 0n)
        throw new SluiceError('BAD_ARGUMENT', `totalWithdraw must be above ${channel.ownWithdrawn}`, {
          details: { name: 'totalWithdraw' },
        })
      const capacity = capacityOf(channel)
      if (!isSame && more > capacity)
        throw new SluiceError('CAPACITY_SHORT', `${capacity} can be taken out of channel ${channel.id}`, {
          details: { channelId: channel.id, capacity, amount: more },
        })
      const validUntil = isSame ? before.validUntil : time.now() + VALID_FOR
      const digest = withdrawDigest(channel, account, totalWithdraw, validUntil)
      channel.ownWithdraw = { amount: totalWithdraw, validUntil }
      proofs.saveChannel(channel)
      const request = { channelId: channel.id, totalWithdraw, validUntil, signature: key.sign(digest) }
      const { signature } = await ask(
        channel.partner,
        'withdrawal',
        channel.id,
        'withdrawConfirm',
        () => link.send('withdrawRequest', request),
        signal,
      ).catch((error: unknown) => {
        if (isSluiceError(error, 'PEER_REFUSED')) {
          channel.ownWithdraw = undefined
          proofs.saveChannel(channel)
        }
        throw error
      })
      assertTheirs(channel, digest, signature, 'withdrawConfirm.signature')
      return { validUntil, signature }
    },

    async close(channel, signal) {
      assertOpen(channel)
      const link = linkTo(channel)
      if (!quietEnough(channel) || channel.unacked.size > 0) {
        throw new SluiceError('CHANNEL_BUSY', `payments are under way in channel ${channel.id}`, {
          details: { channelId: channel.id },
        })
      }
      const { id, own, theirs } = channel
      const balances = ordered(channel)
      const validUntil = time.now() + VALID_FOR
      const digest = context.digests(channel.tokenNetwork).CooperativeClose({ channelId: id, ...balances, validUntil })
      channel.closing = { amount: balances.balance1, validUntil }
      proofs.saveChannel(channel)
      const request = {
        channelId: id,
        nonce: own.nonce,
        accepted: theirs.nonce,
        ...balances,
        validUntil,
      }
      try {
        const { signature } = await ask(
          channel.partner,
          'closing',
          id,
          'closeConfirm',
          () => link.send('closeRequest', request),
          signal,
        )
        assertTheirs(channel, digest, signature, 'closeConfirm.signature')
        return { ...balances, validUntil, signature }
      } catch (error) {
        // Refused outright, the partner has nothing to close with; otherwise it may have, until validUntil.
        if (isSluiceError(error, 'PEER_REFUSED')) {
          channel.closing = undefined
          proofs.saveChannel(channel)
        }
        throw error
      }
    },

    async open(link, tokenNetwork, channelId, signal) {
      const watch = context.watchOf(channelId)
      const request = {
        tokenNetwork,
        channelId,
        watch,
        signature: key.sign(firstProof(tokenNetwork, proofChannel(channelId, watch))),
      }
      const answer = await ask(link.account, 'opening', channelId, 'openConsent', () => link.send('openRequest', request), signal)
      const digest = firstProof(tokenNetwork, proofChannel(channelId, answer.watch))
      if (answer.signature.length < 65 || !context.recovers(digest, answer.signature.subarray(0, 65), link.publicKey)) {
        throw new SluiceError('BAD_SIGNATURE', `openConsent.signature must be by ${link.signer}`, {
          details: { field: 'openConsent.signature' },
        })
      }
      const { watch: theirs, signature } = answer
      context.keepFirstProof(channelId, {
        watch: theirs,
        signature,
        publicKey: link.publicKey,
        address: link.signer,
      })
      return { watch: theirs, signature }
    },

    onMessage: (link, message) => (handlers[message.type] as (link: Link, message: Typed<AgreementType>) => void)(link, message),

    expire(channel) {
      const { closing, ownWithdraw, theirWithdraw } = channel
      let changed = false
      if (closing && closing.validUntil < time.confirmed) {
        channel.closing = undefined
        changed = true
      }
      // The partner's side is freed first, so that this node never thinks it has more than the partner does.
      if (theirWithdraw && theirWithdraw.validUntil + VALID_FOR < time.confirmed) {
        channel.theirWithdraw = undefined
        changed = true
      }
      if (ownWithdraw && ownWithdraw.validUntil + 2 * VALID_FOR < time.confirmed) {
        channel.ownWithdraw = undefined
        changed = true
      }
      if (changed) proofs.saveChannel(channel)
    },
  }
}

/** The proof that opens a consented channel, as it is kept until the channel is there. */
export interface FirstProof {
  readonly watch: Uint8Array
  /** As the contract takes it. */
  readonly signature: Uint8Array
  readonly publicKey: Uint8Array
  readonly address: Hex
}
