/**
 * Payments over several hops and paths, as their payer sees them. Loaded with the first one.
 * @module
 */
import { fromHex, toHex, type Hex } from '../../core/bytes.ts'
import { aborted } from '../../core/clock.ts'
import { engine } from '../../core/crypto/engine.ts'
import { addressOf, generateSecret } from '../../core/crypto/key.ts'
import { personalDigest } from '../../core/crypto/signature.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import { freeIndex } from '../state/lockTree.ts'
import { secrethashOf } from '../state/side.ts'
import { NO_HASH, type Hop, type Typed } from '../wire/messages.ts'
import type { Channel, LockRecord } from './channel.ts'
import type { NodeContext } from './context.ts'
import { failBytes, seal, type Report } from './locks.ts'
import { encodePayment, paymentKey, publicPayment, unknownEnd, usualFee, type KeptPayment, type Payment } from './payment.ts'
import type { Proofs } from './proofs.ts'
import type { PayRequest } from './transfers.ts'

/** A part of a payment on its way over one path. */
export interface PlannedPart {
  /** What of it arrives. */
  readonly amount: bigint
  /** From the first hop on, over a channel of ours, to the target. */
  readonly hops: readonly {
    readonly node: Hex
    readonly channelId: Hex
    readonly amount: bigint
    readonly revealTimeout: number
  }[]
}

/** What payments over several hops ask of the rest of the node. */
export interface PathOptions {
  /** Seconds, see `LockTimes`. */
  readonly revealTimeout: number
  /** Finds paths for an amount. @throws `NO_ROUTE`, `FEE_TOO_HIGH`, `CAPACITY_SHORT`. */
  plan(request: {
    tokenNetwork: Hex
    to: Hex
    amount: bigint
    maxFee: bigint
    split: boolean
    avoid: ReadonlySet<Hex>
  }): readonly PlannedPart[]
  /** Gets ready to plan. */
  prepare(): Promise<unknown>
  /** A channel could not carry a payment: leave it alone for a while. */
  blame(channelId: Hex): void
  /** Whether a key may sign for an account, by the delegation it shows. */
  isSigner(account: Hex, signer: Hex, delegation: Uint8Array): boolean
}

/** See {@link createPathPayments}. */
export interface PathPayments {
  pay(id: Hex, request: PayRequest): Promise<Payment>
  /** The end of a payment that is under way; undefined if there is none of this id. */
  join(id: Hex): Promise<Payment> | undefined
  /** One that is under way. */
  find(id: Hex): KeptPayment | undefined
  /** Takes up a payment of an earlier run, of which something is locked still. */
  takeUp(payment: KeptPayment, lock: LockRecord): void
  /** The target asks for the secret. @returns false if nobody will ever get it. */
  requested(message: Typed<'secretRequest'>, publicKey: Uint8Array): boolean
  paid(lock: LockRecord, secret: Uint8Array): void
  returned(channel: Channel, lock: LockRecord, report: Report | undefined): void
  /** Only the target knows what has become of what this locked. */
  forgotten(lock: LockRecord): void
  /** Those under way. */
  readonly pending: readonly KeptPayment[]
}

/** How often a part that came back is sent over another path. */
const MAX_ATTEMPTS = 12

interface Outgoing {
  payment: KeptPayment
  /** Locked, not yet turned into transfers. */
  readonly parts: Map<string, LockRecord>
  readonly avoid: Set<Hex>
  attempts: number
  /** Parts that were ever locked. */
  locked: number
  readonly lockTime: number | undefined
  readonly latest: number | undefined
  maxFee: bigint
  split: boolean
  /** Fees of the parts that were locked. */
  stopped: SluiceError | undefined
  settle: ((error?: SluiceError) => void) | undefined
}

/** Creates the payments of a node over several hops. */
export function createPathPayments(context: NodeContext, proofs: Proofs, options: PathOptions): PathPayments {
  const { journal, channels, clock, account, log, events, time, locks } = context
  const { revealTimeout } = options
  /** Payments that are not over. */
  const outgoing = new Map<Hex, Outgoing>()

  const save = (payment: KeptPayment): void => journal.put(paymentKey(payment.id), () => encodePayment(payment))

  return {
    pay,

    join(id) {
      const run = outgoing.get(id)
      return (
        run &&
        new Promise((resolve, reject) => {
          const before = run.settle
          run.settle = (error) => {
            before?.(error)
            if (error) reject(error)
            else resolve(publicPayment(run.payment))
          }
        })
      )
    },

    find: (id) => outgoing.get(id)?.payment,

    takeUp(payment, lock) {
      const run = outgoing.get(payment.id) ?? {
        payment,
        parts: new Map(),
        avoid: new Set(),
        attempts: 0,
        locked: 0,
        maxFee: payment.fee,
        split: false,
        lockTime: undefined,
        latest: undefined,
        stopped: undefined,
        settle: undefined,
      }
      run.parts.set(partKey(lock), lock)
      outgoing.set(payment.id, run)
    },

    requested(message, publicKey) {
      const { paymentId, secrethash, amount, delegation } = message
      const signer = addressOf(publicKey).toLowerCase() as Hex
      const run = outgoing.get(paymentId)
      if (!run) return false // given up: without this, what is locked would wait for its expiry
      const { payment } = run
      if (payment.secrethash !== secrethash || payment.secret === undefined) return true
      if (signer !== payment.peer && !options.isSigner(payment.peer, signer, delegation)) {
        // Whoever handed it on can't know better, so it is not its fault.
        log.warn('a secret is asked for by somebody else than the target', { paymentId, target: payment.peer, signer })
        return true
      }
      const locked = [...run.parts.values()]
      const there = locked.reduce((sum, part) => sum + arriving(part), 0n)
      if (payment.state === 'pending') {
        if (amount !== payment.amount || there !== amount || run.stopped) return true
        if (locked.some(({ expiry }) => expiry <= time.now())) return true
        run.payment = { ...payment, state: 'unknown' }
        save(run.payment)
      }
      const grant = { paymentId, secrethash, ...seal(fromHex(payment.secret, 32), publicKey) }
      const partner = [...locks.of(secrethash)].find(({ own, lock }) => own && lock.paymentId === paymentId)?.channel.partner
      if (partner) journal.then(() => context.links.get(partner)?.send('secretGrant', grant))
      return true
    },

    paid(lock, secret) {
      const run = outgoing.get(lock.paymentId)
      if (!run) return
      run.parts.delete(partKey(lock))
      if (run.payment.secret === undefined) run.payment = { ...run.payment, secret: toHex(secret) }
      if (run.parts.size > 0) return
      finish(run, 'done')
    },

    returned(channel, lock, report) {
      const run = outgoing.get(lock.paymentId)
      if (!run?.parts.delete(partKey(lock))) return
      run.payment = { ...run.payment, fee: run.payment.fee - (lock.amount - arriving(lock)) }
      const code = report?.code ?? 'PAYMENT_EXPIRED'
      const blamed = report && isTrue(lock, channel.partner, report) ? report.failed : channel.id
      if (blamed !== NO_HASH) {
        run.avoid.add(blamed)
        if (blamed !== channel.id || code === 'PAYMENT_EXPIRED') options.blame(blamed)
      }
      if (run.payment.state === 'unknown') {
        // The secret is out: another part may still be claimed, but no new one must be locked.
        if (run.parts.size === 0)
          finish(run, 'failed', new SluiceError('PAYMENT_EXPIRED', 'the target did not claim the payment in time'))
        return
      }
      const refusedByTarget = blamed === NO_HASH
      if (run.stopped || refusedByTarget || !run.settle || ++run.attempts > MAX_ATTEMPTS) {
        const by = report ? ` by ${report.reporter}` : ''
        const details = { paymentId: lock.paymentId, code, reporter: report?.reporter }
        giveUp(run, new SluiceError('PAYMENT_FAILED', `the payment could not be delivered: ${code}${by}`, { details }))
        return
      }
      try {
        lockParts(run, arriving(lock))
      } catch (error) {
        giveUp(run, asError(error))
      }
    },

    forgotten(lock) {
      const run = outgoing.get(lock.paymentId)
      if (!run?.parts.delete(partKey(lock)) || run.parts.size > 0) return
      run.payment = { ...run.payment, state: 'unknown', reason: unknownEnd(lock.paymentId).shortMessage }
      outgoing.delete(lock.paymentId)
      save(run.payment)
      journal.then(() => run.settle?.(unknownEnd(lock.paymentId)))
    },

    get pending() {
      return [...outgoing.values()].map(({ payment }) => payment)
    },
  }

  async function pay(id: Hex, request: PayRequest): Promise<Payment> {
    const { tokenNetwork, to, amount, signal, timeout = 60_000 } = request
    await options.prepare()
    if (signal?.aborted) throw aborted(signal, 'the payment')
    const maxFee = request.maxFee ?? usualFee(amount)
    const secret = request.secrethash === undefined ? generateSecret() : undefined
    const run: Outgoing = {
      payment: {
        id,
        direction: 'out',
        tokenNetwork,
        peer: to,
        amount,
        fee: 0n,
        state: 'pending',
        secrethash: request.secrethash ?? secrethashOf(secret!),
        at: clock.now(),
        reason: undefined,
        secret: secret && toHex(secret),
      },
      parts: new Map(),
      avoid: new Set(),
      attempts: 0,
      locked: 0,
      maxFee,
      split: request.split ?? true,
      lockTime: request.lockTime,
      latest: request.latest,
      stopped: undefined,
      settle: undefined,
    }
    outgoing.set(id, run)
    const timer = new AbortController()
    const ended = new Promise<void>((resolve, reject) => (run.settle = (error) => (error ? reject(error) : resolve())))
    const stop = (error: SluiceError): void => {
      if (outgoing.get(id) !== run) return
      if (run.payment.state === 'pending') return giveUp(run, error)
      // The secret is out: it goes on, but nobody waits any longer.
      const { code, shortMessage } = error
      run.settle?.(
        new SluiceError('PAYMENT_UNKNOWN', `${shortMessage}, but may still arrive: ask for it by its id`, {
          cause: error,
          details: { paymentId: id, code },
        }),
      )
      run.settle = undefined
    }
    const onAbort = (): void => stop(aborted(signal, 'the payment'))
    signal?.addEventListener('abort', onAbort, { once: true })
    clock.sleep(timeout, timer.signal).then(
      () =>
        stop(
          new SluiceError('TIMEOUT', `the payment was not complete within ${timeout} ms`, {
            details: { paymentId: id, timeout },
          }),
        ),
      () => {},
    )
    try {
      lockParts(run, amount)
    } catch (error) {
      stop(asError(error))
    }
    try {
      await ended
      return publicPayment(run.payment)
    } finally {
      timer.abort('over') // without a reason each payment would make an error, with its stack
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Locks what is missing of a payment on the best paths there are. */
  function lockParts(run: Outgoing, amount: bigint): void {
    const { payment } = run
    const parts = options.plan({
      tokenNetwork: payment.tokenNetwork,
      to: payment.peer,
      amount,
      maxFee: run.maxFee - payment.fee,
      split: run.split,
      avoid: run.avoid,
    })
    const now = time.now()
    for (const part of parts) {
      const [first] = part.hops
      const channel = first && channels.get(first.channelId)
      if (!channel) throw new SluiceError('NO_ROUTE', 'the path does not begin in a channel of this node')
      // The last lock lasts twice as long as its receiver needs on chain; each before it as much longer as that mediator needs.
      // A part that is tried again differs from the one that was given back: who has given that back takes none like it.
      const expiries: number[] = []
      let expiry = now + (run.lockTime ?? 2 * Math.max(revealTimeout, part.hops.at(-1)!.revealTimeout)) + run.locked++
      for (let i = part.hops.length - 1; i >= 0; i--) {
        expiries[i] = expiry
        if (i > 0) expiry += part.hops[i - 1]!.revealTimeout
      }
      if (run.latest !== undefined && expiries[0]! > run.latest) {
        throw new SluiceError('EXPIRY_OUT_OF_RANGE', 'there is too little time for this path', {
          details: { paymentId: payment.id, expiry: expiries[0], latest: run.latest },
        })
      }
      const hops: Hop[] = part.hops.map(({ node, channelId, amount: locked }, i) => ({
        node,
        channelId,
        amount: locked,
        expiry: expiries[i]!,
      }))
      const [mine, ...route] = hops as [Hop, ...Hop[]]
      const lock: LockRecord = {
        index: freeIndex(channel.own.locks),
        amount: mine.amount,
        expiry: mine.expiry,
        secrethash: payment.secrethash!,
        paymentId: payment.id,
        initiator: account,
        target: payment.peer,
        total: payment.amount,
        route,
        twin: undefined,
        secret: undefined,
        givenBack: false,
        publicAt: 0,
      }
      proofs.sign(channel, 'lock', lock, lock)
      run.parts.set(partKey(lock), lock)
      run.payment = { ...run.payment, fee: run.payment.fee + mine.amount - part.amount }
    }
    save(run.payment)
  }

  /**
   * Locks nothing more. With a secret of our own, which nobody gets now, the payment has failed, and what is locked comes
   * back or expires. With the secret of somebody else it can still be claimed as long as something is locked.
   */
  function giveUp(run: Outgoing, error: SluiceError): void {
    run.stopped ??= error
    if (run.payment.secret !== undefined || run.parts.size === 0) finish(run, 'failed', run.stopped)
  }

  function finish(run: Outgoing, state: 'done' | 'failed', error?: SluiceError): void {
    run.payment = { ...run.payment, state, reason: error?.shortMessage }
    const { payment } = run
    outgoing.delete(payment.id)
    save(payment)
    journal.then(() => {
      run.settle?.(error)
      const { id: paymentId, tokenNetwork, peer: to, amount, fee } = payment
      if (error) events.emit('failed', { paymentId, code: error.code, reason: error.shortMessage })
      else events.emit('sent', { paymentId, tokenNetwork, to, amount, fee })
    })
  }

  /** Whether the reporter of a failure was on the path, and signed. */
  function isTrue(lock: LockRecord, firstHop: Hex, { code, reporter, failed, signature, delegation }: Report): boolean {
    // Only the target may say that it was itself.
    if (failed === NO_HASH && reporter !== lock.target) return false
    if (reporter !== lock.target && reporter !== firstHop && !lock.route.some(({ node }) => node === reporter)) return false
    try {
      const signer = addressOf(
        engine().secp256k1.recover(personalDigest(failBytes(lock.paymentId, code, failed)), signature),
      ).toLowerCase() as Hex
      return signer === reporter || options.isSigner(reporter, signer, delegation)
    } catch (error) {
      if (isSluiceError(error, 'BAD_SIGNATURE')) log.debug('a failure is not signed by its reporter', { reporter })
      return false
    }
  }
}

/** What of a lock reaches the target. */
function arriving({ amount, route }: LockRecord): bigint {
  return route.at(-1)?.amount ?? amount
}

const partKey = ({ index, route, expiry, amount }: LockRecord): string =>
  `${index}/${expiry}/${amount}/${route.map(({ channelId }) => channelId).join()}`

function asError(error: unknown): SluiceError {
  return isSluiceError(error)
    ? error
    : new SluiceError('PAYMENT_FAILED', error instanceof Error ? error.message : String(error), { cause: error })
}
