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
}

/** Options of {@link createSwaps}. */
export interface SwapOptions {
  /** Decides about an offer. @default none is accepted */
  readonly accept?: ((offer: SwapOffer) => boolean | Promise<boolean>) | undefined
  /** Seconds, see {@link LockTimes}. */
  readonly revealTimeout: number
  /** Milliseconds to wait for an answer. */
  readonly answerTimeout?: number | undefined
}

/** The maker's lock lasts as many reveal timeouts: enough for the taker's payment over any path. */
const MAKER_TIMEOUTS = 24
/** Swaps that may be under way, on each side. */
const MAX_SWAPS = 256

/** Creates the swaps of a node. */
export function createSwaps(context: NodeContext, transfers: Transfers, options: SwapOptions): Swaps {
  const { links, clock, log, account } = context
  const { accept = () => false, answerTimeout = 15_000, revealTimeout } = options
  /** Of this node's own offers, by secrethash. */
  const made = new Map<Hex, { readonly secret: Uint8Array; readonly take: SwapSide; readonly taker: Hex }>()
  /** Of accepted offers of others, by secrethash. */
  const taken = new Map<Hex, { readonly offer: SwapOffer; paying: boolean; failed: boolean }>()
  const answers = new Map<Hex, (accepted: boolean) => void>()

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
              answers.set(id, resolve)
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
        answers.get(message.id)?.(message.accepted)
        return
      }
      const { id, secrethash, giveNetwork, giveAmount, takeNetwork, takeAmount } = message
      const offer: SwapOffer = {
        id,
        from: link.account,
        give: { tokenNetwork: giveNetwork, amount: giveAmount },
        take: { tokenNetwork: takeNetwork, amount: takeAmount },
      }
      const possible =
        taken.size < MAX_SWAPS &&
        !taken.has(secrethash) &&
        context.knows(giveNetwork) &&
        context.knows(takeNetwork) &&
        giveAmount > 0n &&
        takeAmount > 0n
      const accepted = possible && (await accept(offer))
      if (accepted) taken.set(secrethash, { offer, paying: false, failed: false })
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
      if (
        swap.failed ||
        lock.paymentId !== offer.id ||
        channel.tokenNetwork !== offer.give.tokenNetwork ||
        amount < offer.give.amount
      ) {
        taken.delete(lock.secrethash)
        throw new SluiceError('PAYMENT_REFUSED', 'the swap has failed, or this is not what was offered')
      }
      if (!swap.paying) {
        swap.paying = true
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
            () => void taken.delete(lock.secrethash),
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
  }
}
