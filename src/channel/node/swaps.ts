/**
 * Swaps: two payments in two token networks that one secret opens, so that both happen or neither.
 *
 * Who offers (the maker) makes the secret and locks first, for long; who accepts (the taker) sees that lock and pays for the
 * same secret, with less time. The maker takes that payment, which shows the secret to the taker, who takes the first one.
 * @module
 */
import { randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { generateSecret } from '../../core/crypto/key.ts'
import { withDeadline } from '../../core/deadline.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import { secrethashOf } from '../state/side.ts'
import type { Link } from '../link/link.ts'
import type { Typed } from '../wire/messages.ts'
import type { Channel, LockRecord } from './channel.ts'
import type { NodeContext } from './context.ts'
import { createOffers } from './offers.ts'
import type { Transfers } from './transfers.ts'

/** An amount in one token network. */
export interface SwapSide {
  readonly tokenNetwork: Hex
  /** In the token's smallest unit. */
  readonly amount: bigint
}

/** What somebody offers. */
export interface SwapOffer {
  readonly id: Hex
  readonly from: Hex
  /** What the maker gives, and the taker gets. */
  readonly give: SwapSide
  /** What the maker wants for it. */
  readonly take: SwapSide
}

/** How a swap ended. */
export interface Swapped extends SwapOffer {
  readonly secrethash: Hex
}

/** See {@link createSwaps}. */
export interface Swaps {
  /**
   * Offers a swap to a node, and carries it out if it is accepted.
   * @throws `PEER_REFUSED`, `PARTNER_OFFLINE`, and what `pay` throws: then nothing was given.
   */
  offer(to: Hex, give: SwapSide, take: SwapSide, signal?: AbortSignal): Promise<Swapped>
  onMessage(link: Link, message: Typed<'swapOffer' | 'swapAnswer'>): Promise<void> | void
  /** The secret of a payment to this node that it has made itself: it is the maker, and what it wants is there. */
  secretFor(lock: LockRecord, channel: Channel, amount: bigint): Uint8Array | undefined
  /**
   * Whether a payment to this node is the maker's half of a swap: it is held then, and the other half is paid.
   * @param expiry - of the first part of it that is over.
   */
  holds(lock: LockRecord, channel: Channel, amount: bigint, expiry: number): boolean
  /** Whether the other half is being paid by this lock. */
  isPaying(lock: LockRecord): boolean
}

/** Options of {@link createSwaps}. */
export interface SwapOptions {
  /** Decides about an offer. @default none is accepted */
  readonly accept?: ((offer: SwapOffer) => boolean | Promise<boolean>) | undefined
  /** Seconds, see {@link LockTimes}. */
  readonly revealTimeout: number
  /** Milliseconds to wait for an answer. */
  readonly answerTimeout?: number | undefined
  /** The accounts with which money is at stake, 0 the best: they come first where there are too many offers. */
  readonly standings: () => ReadonlyMap<Hex, number>
}

/** The maker's lock lasts as many reveal timeouts: enough for the taker's payment over any path. */
const MAKER_TIMEOUTS = 24
/** Swaps that may be under way, on each side. */
const MAX_SWAPS = 256
/** Of those that are offered: by one account. */
const MAX_SWAPS_OF_ONE = 16
/** Milliseconds that an offer that was taken waits for what the maker locks. */
const LOCK_PATIENCE = 120_000

/** Creates the swaps of a node. */
export function createSwaps(context: NodeContext, transfers: Transfers, options: SwapOptions): Swaps {
  const { links, clock, log, account, time } = context
  const { accept = () => false, answerTimeout = 15_000, revealTimeout } = options
  /** Of this node's own offers, by secrethash. */
  const made = new Map<Hex, { readonly secret: Uint8Array; readonly take: SwapSide; readonly taker: Hex }>()
  /** Of accepted offers of others, by secrethash. */
  const taken = createOffers<SwapOffer>({
    now: () => clock.now(),
    confirmed: () => time.confirmed,
    standings: options.standings,
    most: MAX_SWAPS,
    mostOfOne: MAX_SWAPS_OF_ONE,
    patience: LOCK_PATIENCE,
  })
  const answers = new Map<Hex, { readonly from: Hex; readonly answer: (accepted: boolean) => void }>()

  /** What the owner says of an offer; an answer that comes too late for the maker is none. */
  const isWanted = (offer: SwapOffer): Promise<boolean> =>
    withDeadline({ what: 'the answer of acceptSwap', ms: answerTimeout, clock }, async () => (await accept(offer)) === true).catch(
      (error: unknown) => {
        log.error('acceptSwap has failed: the offer is refused', { swapId: offer.id, reason: String(error) })
        return false
      },
    )

  return {
    async offer(to, give, take, signal) {
      if (made.size >= MAX_SWAPS)
        throw new SluiceError('OVERLOADED', `${MAX_SWAPS} swaps are under way`, { details: { limit: MAX_SWAPS } })
      const link = await links.connect(to, { signal })
      const secret = generateSecret()
      const secrethash = secrethashOf(secret)
      const id = toHex(randomBytes(32))
      made.set(secrethash, { secret, take, taker: to })
      try {
        const accepted = await withDeadline(
          { what: 'answer to the swap', ms: answerTimeout, signal, clock },
          () =>
            new Promise<boolean>((resolve) => {
              answers.set(id, { from: to, answer: resolve })
              link.send('swapOffer', {
                id,
                secrethash,
                giveNetwork: give.tokenNetwork,
                giveAmount: give.amount,
                takeNetwork: take.tokenNetwork,
                takeAmount: take.amount,
              })
            }),
        )
        if (!accepted) throw new SluiceError('PEER_REFUSED', `${to} does not want the swap`, { details: { account: to } })
        await transfers.pay({
          tokenNetwork: give.tokenNetwork,
          to,
          amount: give.amount,
          id,
          signal,
          secrethash,
          lockTime: MAKER_TIMEOUTS * revealTimeout,
        })
        return { id, from: account, give, take, secrethash }
      } finally {
        made.delete(secrethash)
        answers.delete(id)
      }
    },

    async onMessage(link, message) {
      if (message.type === 'swapAnswer') {
        const waiting = answers.get(message.id)
        if (waiting?.from === link.account) waiting.answer(message.accepted)
        return
      }
      const { id, secrethash, giveNetwork, giveAmount, takeNetwork, takeAmount } = message
      const offer: SwapOffer = {
        id,
        from: link.account,
        give: { tokenNetwork: giveNetwork, amount: giveAmount },
        take: { tokenNetwork: takeNetwork, amount: takeAmount },
      }
      const possible = context.knows(giveNetwork) && context.knows(takeNetwork) && giveAmount > 0n && takeAmount > 0n
      // A place before the answer: while it is thought about, others come.
      const place = possible ? taken.keep(secrethash, link.account, offer) : undefined
      const wanted = place !== undefined && (await isWanted(offer))
      // It may have lapsed meanwhile: the maker has given up then.
      const accepted = wanted && taken.get(secrethash) === place
      if (!wanted && place && taken.get(secrethash) === place) taken.drop(secrethash)
      link.send('swapAnswer', { id, accepted })
    },

    secretFor(lock, channel, amount) {
      const swap = made.get(lock.secrethash)
      if (!swap || channel.tokenNetwork !== swap.take.tokenNetwork || lock.initiator !== swap.taker || amount < swap.take.amount)
        return undefined
      return swap.secret
    },

    holds(lock, channel, amount, expiry) {
      const swap = taken.get(lock.secrethash)
      if (!swap) return false
      const { offer } = swap
      const isOffered =
        lock.paymentId === offer.id && channel.tokenNetwork === offer.give.tokenNetwork && amount >= offer.give.amount
      if (swap.failed || !isOffered) {
        // What is being paid stays, and whoever else knows the hash ends nobody's swap.
        if (swap.failed || (!swap.paying && lock.paymentId === offer.id)) taken.drop(lock.secrethash)
        throw new SluiceError('PAYMENT_REFUSED', 'the swap has failed, or this is not what was offered')
      }
      if (!swap.paying) {
        swap.paying = true
        swap.expiry = expiry
        transfers
          .pay({
            tokenNetwork: offer.take.tokenNetwork,
            to: offer.from,
            amount: offer.take.amount,
            secrethash: lock.secrethash,
            // It must be over before any part of the maker's can be: what it shows has to be of use still.
            latest: expiry - 2 * revealTimeout,
          })
          .then(
            () => taken.drop(lock.secrethash),
            (error: unknown) => {
              // What was locked is back by now, so what is held can go back too.
              swap.failed = true
              log.info('the other half of a swap failed', {
                swapId: offer.id,
                code: isSluiceError(error) ? error.code : 'PAYMENT_FAILED',
              })
            },
          )
      }
      return true
    },

    isPaying(lock) {
      const swap = taken.get(lock.secrethash)
      return swap !== undefined && swap.paying && !swap.failed && lock.paymentId === swap.offer.id
    },
  }
}
