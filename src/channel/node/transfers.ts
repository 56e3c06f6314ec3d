/**
 * Payments of this node: direct ones, and those over several hops and paths as the payer sees them.
 * @module
 */
import { fromHex, randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { aborted } from '../../core/clock.ts'
import { engine } from '../../core/crypto/engine.ts'
import { generateSecret, addressOf } from '../../core/crypto/key.ts'
import { personalDigest } from '../../core/crypto/signature.ts'
import { withDeadline } from '../../core/deadline.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import type { Store } from '../../core/store/store.ts'
import { freeIndex } from '../state/lockTree.ts'
import { secrethashOf } from '../state/side.ts'
import { decodeChannelMessage, NO_HASH, type Hop, type Typed } from '../wire/messages.ts'
import { capacityOf, type Channel, type LockRecord } from './channel.ts'
import type { NodeContext } from './context.ts'
import { failBytes, requestBytes, seal, type Report } from './locks.ts'
import {
  encodePayment,
  encodeSum,
  loadPayment,
  loadSums,
  partsKey,
  paymentKey,
  publicPayment,
  receiptKey,
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
  /** Milliseconds to wait at most. @default 60000 */
  readonly timeout?: number | undefined
  /** Pays whoever shows the secret of this hash, which somebody else has made: for swaps. @default a secret of our own */
  readonly secrethash?: Hex | undefined
  /** Seconds that the last lock lasts. @default twice the reveal timeout */
  readonly lockTime?: number | undefined
  /** Unix seconds by which the first lock has to be over. @default no limit */
  readonly latest?: number | undefined
}

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

/** What the payments ask of the rest of the node. */
export interface TransferOptions {
  readonly store: Store
  /** Seconds, see {@link LockTimes}. */
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

/** See {@link createTransfers}. */
export interface Transfers {
  pay(request: PayRequest): Promise<Payment>
  /** The partner has paid directly. */
  paidDirectly(channel: Channel, message: Typed<'payment'>): void
  acknowledged(channel: Channel, nonce: number): void
  /** A channel was settled: what waits for a receipt is decided by what was presented. */
  settled(channel: Channel): void
  requested(message: Typed<'secretRequest'>, signer: Hex): boolean
  paid(lock: LockRecord, secret: Uint8Array): void
  returned(channel: Channel, lock: LockRecord, report: Report | undefined): void
  received(lock: LockRecord, channel: Channel, amount: bigint): void
  /** Takes up the payments of an earlier run. */
  load(): Promise<void>
  /** Payments under way. */
  readonly pending: Iterable<Payment>
}

/** How often a part that came back is sent over another path. */
const MAX_ATTEMPTS = 12

/** A direct payment that waits for its receipt. */
interface Waiting {
  readonly nonce: number
  readonly payment: KeptPayment
  readonly done: (error?: SluiceError) => void
}

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
  const { journal, channels, clock, account, log, events, time, locks } = context
  const { store, revealTimeout } = options
  /** Mediated payments that are not over. */
  const outgoing = new Map<Hex, Outgoing>()
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

    requested(message, signer) {
      const { paymentId, secrethash, amount, signature, delegation } = message
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
      const publicKey = engine().secp256k1.recover(personalDigest(requestBytes(message)), signature)
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
      }
    },

    get pending() {
      return [
        ...[...outgoing.values()].map(({ payment }) => payment),
        ...[...direct.values()].flat().map(({ payment }): KeptPayment => ({ ...payment, state: 'unknown' })),
      ].map(publicPayment)
    },
  }

  async function payOnce(id: Hex, request: PayRequest): Promise<Payment> {
    if (request.signal?.aborted) throw aborted(request.signal, 'the payment')
    if (request.id !== undefined) {
      const known = outgoing.get(id)?.payment ?? (await loadPayment(store, id))
      if (known) return joined(known, request)
    }
    const channel = request.secrethash === undefined ? directChannel(request) : undefined
    if (!channel) return payOverPaths(id, request)
    const { signal, timeout: ms } = request
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

  /** The result of a payment that was begun before under the same id. */
  async function joined(known: KeptPayment, { to, amount, tokenNetwork }: PayRequest): Promise<Payment> {
    if (known.peer !== to || known.amount !== amount || known.tokenNetwork !== tokenNetwork) {
      throw new SluiceError('PAYMENT_ID_TAKEN', `payment ${known.id} was for ${known.amount} to ${known.peer}`, {
        details: { paymentId: known.id },
      })
    }
    const run = outgoing.get(known.id)
    if (run) {
      await new Promise<void>((resolve, reject) => {
        const before = run.settle
        run.settle = (error) => {
          before?.(error)
          if (error) reject(error)
          else resolve()
        }
      })
      return publicPayment(run.payment)
    }
    if (known.state === 'failed')
      throw new SluiceError('PAYMENT_FAILED', known.reason ?? 'the payment failed', { details: { paymentId: known.id } })
    return publicPayment({ ...known, state: 'done' })
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

  async function payOverPaths(id: Hex, request: PayRequest): Promise<Payment> {
    const { tokenNetwork, to, amount, signal, timeout = 60_000 } = request
    await options.prepare()
    const maxFee = request.maxFee ?? (amount / 20n > 0n ? amount / 20n : 1n)
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
      if (run.payment.state === 'pending' && outgoing.get(id) === run) giveUp(run, error)
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
      timer.abort()
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
