/**
 * Payments of this node: direct ones, what comes in, and the way to those over several hops.
 * @module
 */
import { randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { aborted } from '../../core/clock.ts'
import { withDeadline } from '../../core/deadline.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import type { Store } from '../../core/store/store.ts'
import { decodeChannelMessage, type Typed } from '../wire/messages.ts'
import { capacityOf, type Channel, type LockRecord } from './channel.ts'
import type { NodeContext } from './context.ts'
import type { Report } from './locks.ts'
import type { PathOptions, PathPayments } from './pathPayments.ts'
import {
  encodePayment,
  encodeSum,
  loadPayment,
  loadSums,
  partsKey,
  paymentKey,
  publicPayment,
  receiptKey,
  unknownEnd,
  usualFee,
  type KeptPayment,
  type Payment,
} from './payment.ts'
import type { Proofs } from './proofs.ts'

/** What is to be paid. */
export interface PayRequest {
  readonly tokenNetwork: Hex
  readonly to: Hex
  /** What arrives, in the token's smallest unit. */
  readonly amount: bigint
  /** 32 bytes that name the payment: paying an id again asks for the first payment's result. @default random */
  readonly id?: Hex | undefined
  /** The most that mediators may keep. @default 5 % of the amount, and at least 1 */
  readonly maxFee?: bigint | undefined
  /** Whether it may be split over several paths. @default true */
  readonly split?: boolean | undefined
  /** Stops the payment if it can still be stopped. */
  readonly signal?: AbortSignal | undefined
  /** Milliseconds to wait at most, also for a link or a deposit that is just coming. @default 60000 */
  readonly timeout?: number | undefined
  /** Pays whoever shows the secret of this hash, which somebody else has made: for swaps. @default a secret of our own */
  readonly secrethash?: Hex | undefined
  /** Seconds that the last lock lasts. @default twice the reveal timeout */
  readonly lockTime?: number | undefined
  /** Unix seconds by which the first lock has to be over. @default no limit */
  readonly latest?: number | undefined
}

/** What the payments ask of the rest of the node. */
export interface TransferOptions extends PathOptions {
  readonly store: Store
}

/** Milliseconds for which a payment waits at most if nothing else is said. */
const TIMEOUT = 60_000
/** Milliseconds between two looks at what a payment waits for. */
const LOOK = 20

/** See {@link createTransfers}. */
export interface Transfers {
  pay(request: PayRequest): Promise<Payment>
  /** The partner has paid directly. */
  paidDirectly(channel: Channel, message: Typed<'payment'>): void
  acknowledged(channel: Channel, nonce: number): void
  /** A channel was settled: what waits for a receipt is decided by what was presented. */
  settled(channel: Channel): void
  requested(message: Typed<'secretRequest'>, publicKey: Uint8Array): boolean
  paid(lock: LockRecord, secret: Uint8Array): void
  returned(channel: Channel, lock: LockRecord, report: Report | undefined): void
  /** Only the target knows what has become of what this locked. */
  forgotten(lock: LockRecord): void
  received(lock: LockRecord, channel: Channel, amount: bigint): void
  /** Takes up the payments of an earlier run. */
  load(): Promise<void>
  /** Payments under way. */
  readonly pending: Iterable<Payment>
}

/** A direct payment that waits for its receipt. */
interface Waiting {
  readonly nonce: number
  readonly payment: KeptPayment
  readonly done: (error?: SluiceError) => void
}

/** Random bytes for ids, drawn many at a time. */
let pool = new Uint8Array(0)
let drawn = 0

function freshId(): Hex {
  if (drawn === pool.length) {
    pool = randomBytes(4096) as Uint8Array<ArrayBuffer>
    drawn = 0
  }
  return toHex(pool.subarray(drawn, (drawn += 32)))
}

/** Creates the payments of a node. */
export function createTransfers(context: NodeContext, proofs: Proofs, options: TransferOptions): Transfers {
  const { journal, channels, clock, events, locks } = context
  const { store } = options
  let paths: PathPayments | undefined
  const loadPaths = async (): Promise<PathPayments> => {
    if (paths) return paths // importing anew takes time, too
    const { createPathPayments } = await import('./pathPayments.ts')
    return (paths ??= createPathPayments(context, proofs, options))
  }
  /** Direct payments that wait for their receipt, by channel, oldest first. */
  const direct = new Map<Hex, Waiting[]>()
  /** Ids being paid, and how that ends. */
  const paying = new Map<Hex, Promise<Payment>>()
  /** What has come in of payments in parts, by {@link partsKey}. */
  let incoming = new Map<string, bigint>()

  const save = (payment: KeptPayment): void => journal.put(paymentKey(payment.id), () => encodePayment(payment))
  const saveReceipt = (payment: KeptPayment, proof: string): void =>
    journal.put(receiptKey(payment.id, proof), () => encodePayment(payment))

  return {
    pay(request) {
      if (
        request.id === undefined &&
        request.secrethash === undefined &&
        request.signal === undefined &&
        request.timeout === undefined
      ) {
        const channel = directChannel(request)
        if (channel) return payDirectly(freshId(), channel, request)
      }
      const id = request.id ?? freshId()
      const known = paying.get(id)
      if (known) return known
      const run = payOnce(id, request).finally(() => paying.delete(id))
      paying.set(id, run)
      return run
    },

    paidDirectly(channel, { amount, paymentId, nonce }) {
      const payment: KeptPayment = {
        id: paymentId,
        direction: 'in',
        tokenNetwork: channel.tokenNetwork,
        peer: channel.partner,
        amount,
        fee: 0n,
        state: 'done',
        secrethash: undefined,
        at: clock.now(),
        reason: undefined,
        secret: undefined,
      }
      saveReceipt(payment, `${channel.id}/${nonce}`)
      journal.then(() =>
        events.emit('received', { paymentId, tokenNetwork: channel.tokenNetwork, from: channel.partner, amount }),
      )
    },

    acknowledged(channel, nonce) {
      const waiting = direct.get(channel.id)
      if (!waiting) return
      let count = 0
      for (const { nonce: sent, payment, done } of waiting) {
        if (sent > nonce) break
        count++
        done()
        events.emit('sent', {
          paymentId: payment.id,
          tokenNetwork: payment.tokenNetwork,
          to: payment.peer,
          amount: payment.amount,
          fee: 0n,
        })
      }
      waiting.splice(0, count)
    },

    settled(channel) {
      const waiting = direct.get(channel.id)
      const { presented, closedByUs } = channel
      if (!waiting || !presented) return
      direct.delete(channel.id)
      const shown = (closedByUs ? presented.fromCloser : presented.fromPartner).nonce
      for (const { nonce, payment, done } of waiting) {
        if (nonce <= shown) {
          done()
          continue
        }
        const reason = 'the channel was settled without this payment'
        save({ ...payment, state: 'failed', reason })
        journal.then(() => {
          done(new SluiceError('PAYMENT_FAILED', reason, { details: { paymentId: payment.id } }))
          events.emit('failed', { paymentId: payment.id, code: 'PAYMENT_FAILED', reason })
        })
      }
    },

    requested: (message, publicKey) => paths?.requested(message, publicKey) ?? false, // given up
    paid: (lock, secret) => paths?.paid(lock, secret),
    returned: (channel, lock, report) => paths?.returned(channel, lock, report),
    forgotten: (lock) => paths?.forgotten(lock),

    received(lock, channel, amount) {
      const parts = partsKey(lock.paymentId, lock.secrethash)
      const sum = (incoming.get(parts) ?? 0n) + amount
      if (sum < lock.total) {
        incoming.set(parts, sum)
        journal.put(parts, () => encodeSum(sum))
        return
      }
      if (incoming.delete(parts)) journal.delete(parts)
      saveReceipt(
        {
          id: lock.paymentId,
          direction: 'in',
          tokenNetwork: channel.tokenNetwork,
          peer: lock.initiator,
          amount: sum,
          fee: 0n,
          state: 'done',
          secrethash: lock.secrethash,
          at: clock.now(),
          reason: undefined,
          secret: undefined,
        },
        lock.secrethash,
      )
      journal.then(() =>
        events.emit('received', {
          paymentId: lock.paymentId,
          tokenNetwork: channel.tokenNetwork,
          from: lock.initiator,
          amount: sum,
        }),
      )
    },

    async load() {
      incoming = await loadSums(store)
      for (const channel of channels.values()) {
        for (const packet of channel.unacked.values()) {
          const message = decodeChannelMessage(packet)
          if (message.type !== 'payment') continue
          const payment = await loadPayment(store, message.paymentId)
          if (payment) wait(channel, { nonce: message.nonce, payment, done: () => {} })
        }
      }
      for (const { own, lock } of locks.all()) {
        if (!own || lock.twin) continue
        const payment = await loadPayment(store, lock.paymentId)
        if (!payment || payment.state === 'done' || payment.state === 'failed') continue
        ;(await loadPaths()).takeUp(payment, lock)
      }
    },

    get pending() {
      return [
        ...(paths?.pending ?? []),
        ...[...direct.values()].flat().map(({ payment }): KeptPayment => ({ ...payment, state: 'unknown' })),
      ].map(publicPayment)
    },
  }

  async function payOnce(id: Hex, request: PayRequest): Promise<Payment> {
    if (request.signal?.aborted) throw aborted(request.signal, 'the payment')
    if (request.id !== undefined) {
      const known = paths?.find(id) ?? (await loadPayment(store, id))
      if (known) return joined(known, request)
    }
    const began = clock.now()
    await ready(request)
    const channel = request.secrethash === undefined ? directChannel(request) : undefined
    // Where there is no way still, that is why it fails, and not the time that is over.
    const left = Math.max(1, (request.timeout ?? TIMEOUT) - (clock.now() - began))
    if (!channel) return (await loadPaths()).pay(id, { ...request, timeout: left })
    const { signal } = request
    const ms = request.timeout === undefined ? undefined : left
    const what = `receipt of payment ${id}`
    return withDeadline({ what, ms, signal, clock }, () => payDirectly(id, channel, request)).catch((error: unknown) => {
      if (!isSluiceError(error, 'TIMEOUT') && !isSluiceError(error, 'ABORTED')) throw error
      // It is signed and will arrive, unless the channel ends before: ask for it by its id.
      throw new SluiceError('PAYMENT_UNKNOWN', `${what} did not come yet: the payment may have arrived`, {
        cause: error,
        details: { paymentId: id },
      })
    })
  }

  /**
   * Waits while nothing can carry a payment yet, but a channel that could is just coming: its partner is being linked, or has
   * not seen the deposit. @throws `ABORTED`, `STOPPED`
   */
  async function ready(request: PayRequest): Promise<void> {
    const { tokenNetwork, signal, timeout: ms = TIMEOUT } = request
    const isReady = async (): Promise<boolean> => {
      if (request.secrethash === undefined && directChannel(request)) return true
      if (![...channels.values()].some((channel) => channel.tokenNetwork === tokenNetwork && isComing(channel))) return true
      await options.prepare()
      return isPlannable(request)
    }
    await withDeadline({ what: 'a way for the payment', ms, signal, clock }, async (ended) => {
      while (!ended.aborted && !(await isReady())) {
        context.assertRunning()
        await clock.sleep(LOOK, ended).catch(() => {})
      }
    }).catch((error: unknown) => {
      if (!isSluiceError(error, 'TIMEOUT')) throw error
    })
  }

  function isPlannable({ tokenNetwork, to, amount, maxFee, split = true }: PayRequest): boolean {
    try {
      options.plan({ tokenNetwork, to, amount, maxFee: maxFee ?? usualFee(amount), split, avoid: new Set() })
      return true
    } catch (error) {
      // Others say more when the payment is made.
      return !(['NO_ROUTE', 'CAPACITY_SHORT', 'PARTNER_OFFLINE'] as const).some((code) => isSluiceError(error, code))
    }
  }

  function isComing(channel: Channel): boolean {
    const { partner, phase, closing, synced, seenDeposit, ownDeposit } = channel
    if (phase !== 'open' || closing) return false
    return context.links.get(partner) ? !synced || seenDeposit < ownDeposit : context.links.expects(partner)
  }

  /** The result of a payment that was begun before under the same id. */
  async function joined(known: KeptPayment, request: PayRequest): Promise<Payment> {
    const { to, amount, tokenNetwork } = request
    if (known.peer !== to || known.amount !== amount || known.tokenNetwork !== tokenNetwork) {
      throw new SluiceError('PAYMENT_ID_TAKEN', `payment ${known.id} was for ${known.amount} to ${known.peer}`, {
        details: { paymentId: known.id },
      })
    }
    const underWay = paths?.join(known.id)
    if (underWay) return underWay
    if (known.state === 'failed')
      throw new SluiceError('PAYMENT_FAILED', known.reason ?? 'the payment failed', { details: { paymentId: known.id } })
    if (known.state === 'pending' || known.state === 'unknown') {
      await journal.settled() // it may have just ended
      const { state } = (await loadPayment(store, known.id))!
      if (state === known.state) throw unknownEnd(known.id)
      return joined({ ...known, state }, request)
    }
    return publicPayment(known)
  }

  function directChannel({ tokenNetwork, to, amount }: PayRequest): Channel | undefined {
    for (const channel of channels.values()) {
      if (
        channel.partner === to &&
        channel.tokenNetwork === tokenNetwork &&
        channel.phase === 'open' &&
        channel.synced &&
        !channel.closing &&
        capacityOf(channel) >= amount
      )
        return channel
    }
    return undefined
  }

  function payDirectly(id: Hex, channel: Channel, { amount, to, tokenNetwork }: PayRequest): Promise<Payment> {
    const payment: KeptPayment = {
      id,
      direction: 'out',
      tokenNetwork,
      peer: to,
      amount,
      fee: 0n,
      state: 'done',
      secrethash: undefined,
      at: clock.now(),
      reason: undefined,
      secret: undefined,
    }
    return new Promise((resolve, reject) => {
      const nonce = proofs.sign(channel, 'payment', { amount, paymentId: id })
      save(payment)
      wait(channel, { nonce, payment, done: (error) => (error ? reject(error) : resolve(publicPayment(payment))) })
    })
  }

  function wait(channel: Channel, payment: Waiting): void {
    const waiting = direct.get(channel.id)
    if (waiting) waiting.push(payment)
    else direct.set(channel.id, [payment])
  }
}
