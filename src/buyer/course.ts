/**
 * The course of one order: chunks come in, are checked, wait for the caller, and are paid once it has had them; a lost
 * link is sought again.
 * @module
 */
import type { Order } from '../contracts/order.ts'
import type { DataTradeDigests } from '../contracts/typedData.ts'
import { createBell } from '../core/bell.ts'
import { equalBytes, toHex, utf8, type Hex } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { engine } from '../core/crypto/engine.ts'
import { createMerkleBuilder } from '../core/crypto/merkle.ts'
import { isSluiceError, SluiceError } from '../core/errors.ts'
import type { createEmitter } from '../core/events.ts'
import type { Logger } from '../core/log.ts'
import type { Payer, PayableOrder } from '../payments/payment.ts'
import type { Identity } from '../protocol/identity.ts'
import { SLOWEST_LINK } from '../protocol/limits.ts'
import type { Item, Range } from '../protocol/menu.ts'
import { encodeMessage } from '../protocol/message.ts'
import { orderToWire, payFor } from '../protocol/order.ts'
import { unpaidWindow } from '../protocol/window.ts'
import type { Payload, PaymentKind, PaymentMode } from '../protocol/wire.ts'
import { createIntake, type Chunk, type WrongChunk } from './intake.ts'
import { refusal, type Link } from './link.ts'

/** How far a purchase is. */
export interface Progress {
  readonly orderId: Hex
  /** Bytes handed to the caller and paid. */
  readonly bytes: number
  /** Bytes of the order. */
  readonly total: number
  /** What the bytes cost so far. */
  readonly paid: bigint
  /** What all of them cost. */
  readonly price: bigint
  /** Bytes per second, since the stream began. */
  readonly rate: number
  /** Milliseconds that the rest will take at this rate. */
  readonly remaining: number
}

/** What came of a purchase. */
export interface Receipt {
  readonly orderId: Hex
  readonly seller: string
  readonly item: string
  readonly bytes: number
  readonly chunks: number
  readonly paid: bigint
  readonly price: bigint
  readonly milliseconds: number
  /** How often the link was lost and found again. */
  readonly reconnects: number
  /** The seller's rating of this buyer, with a signature that is good for the contract's `rate`. */
  readonly rating: { readonly score: number; readonly comment: string; readonly signature: Hex } | undefined
}

/** What happens during a purchase. */
export interface PurchaseEvents {
  /** The order exists; `verification` is its transaction or receipt. */
  order: { orderId: Hex; verification: string }
  /** After each payment. */
  progress: Progress
  /** The link was lost and is sought again. */
  reconnect: { orderId: Hex; attempt: number; reason: string }
  /** The link is back; the stream goes on at byte `received` of the order. */
  resume: { orderId: Hex; received: number }
}

/** What is kept of an order, so that it can go on after a crash. */
export interface PurchaseRecord {
  readonly id: Hex
  readonly order: Order
  readonly url: string
  readonly item: Item
  readonly range: Range
  /** What makes the salt, and so the id, unique. */
  readonly nonce: Hex
  /** Part of the range that the caller asked for, in bytes from its start. */
  readonly slice: readonly [start: number, end: number]
  readonly payment: PaymentKind
  readonly mode: PaymentMode
  readonly form: 'binary' | 'json'
  readonly claims: boolean
  readonly window: number
  readonly deposit: bigint
  readonly verification: string
  /** Which menu it was ordered from. */
  readonly menuHash: Hex
}

/** Where a purchase stands: what was last acknowledged, and the Merkle frontier of the chunks before it. */
export interface Standing {
  readonly acked: number
  readonly signature: Uint8Array
  readonly frontier: Uint8Array
}

/** Where a purchase begins. */
export interface Start {
  readonly record: PurchaseRecord
  /** What an earlier run acknowledged. */
  readonly standing?: Standing | undefined
  /** Bytes that the caller has already. */
  readonly received: number
  /** Merkle frontier of their chunks. */
  readonly frontier?: Uint8Array | undefined
  /** What the caller has beyond `received`. */
  readonly ahead?: Ahead | undefined
}

/** Data that a caller has already, though it comes again: what can't be checked before its chunk is here. */
export interface Ahead {
  /** Where it ends, in bytes from the start of the order. */
  readonly end: number
  /** Holds it against a chunk. @throws `PARTIAL_MISMATCH`. */
  check(chunk: Pick<Chunk, 'body' | 'leaf' | 'end'>): void
}

/** What an order's course needs of its buyer. */
export interface CourseContext {
  readonly identity: Identity
  readonly digests: DataTradeDigests
  payerOf(record: PurchaseRecord): Payer
  readonly clock: Clock
  readonly log: Logger
  readonly reconnects: number
  /** Milliseconds to wait for the seller's exit. */
  readonly exitTimeout: number
  /** Milliseconds until the first chunk must come: the seller may wait for confirmations. */
  readonly openTimeout: number
  /** Milliseconds until another chunk must come while one is due. */
  readonly stallTimeout: number
  /** Makes the order, or finds the stored one. */
  prepare(signal: AbortSignal): Promise<Start>
  link(url: string, signal: AbortSignal): Promise<Link>
  /** Makes what was acknowledged durable. */
  save(id: Hex, standing: Standing): Promise<void>
  /** Notes how the order ended. */
  close(id: Hex, state: 'done' | 'failed', evidence: WrongChunk | undefined): Promise<void>
  rate(receipt: Omit<Receipt, 'rating'>): { readonly score: number; readonly comment: string } | undefined
}

/** Milliseconds that a chunk may stay unpaid while no other follows: live data trickles. */
const ACK_DELAY = 20

/** The course of one order, from the first chunk to the receipt. */
export interface Course {
  /** The next chunk, or nothing when all are here. */
  next(): Promise<Chunk | undefined>
  /** The caller is done with a chunk. */
  consumed(chunk: Chunk): void
  finish(): Promise<Receipt>
  /** Pays for what was handed over, and goes. */
  leave(): Promise<Receipt>
  fail(error: unknown): Promise<void>
}

/** Begins a course; nothing happens until its first chunk is asked for. */
export function createCourse(
  context: CourseContext,
  events: ReturnType<typeof createEmitter<PurchaseEvents>>,
  { record, standing, received, frontier: known }: Start,
  signal: AbortSignal,
): Course {
  const { clock, identity, digests } = context
  const { id, order, item, range } = record
  const { granularity } = item
  const payer = context.payerOf(record)
  const payable: PayableOrder = { id, order, mode: record.mode }
  const cap = record.mode === 'onchain' && record.payment === 'token' ? 1 : record.window
  const began = clock.now()
  const startedAt = received
  const arrived = createBell()
  const queue: Chunk[] = []
  const builder = createMerkleBuilder(known)
  let total = order.totalData
  /** Bytes that have passed every check. */
  let checked = received
  /** Index of the chunk after them. */
  let next = item.live ? builder.size : range.first + Math.floor(received / granularity)
  const intake = createIntake({
    orderId: id,
    item,
    total: order.totalData,
    from: received,
    index: next,
    claims: record.claims || record.form === 'json',
    seller: order.seller,
    digests,
  })
  let handed: Chunk | undefined
  let consumed = received
  let acked = standing?.acked ?? 0
  let current = standing
  let chunks = 0
  let failure: Error | undefined
  let reconnects = 0
  /** Tries to find the seller again since a chunk last came: a link on which nothing comes is no better than none. */
  let attempts = 0
  /** Nothing has come on this link yet. */
  let fresh = true
  let link: Link | undefined
  let line: { readonly stream: number; detach(): void } | undefined
  let exit: Payload<'exit'> | undefined
  let over = false
  /** Why the seller ended the stream for lateness, while it is for us to pay first. */
  let parked: string | undefined
  /** The last chunk whose hash is waited for. */
  let tail: Promise<void> | undefined

  const failWith = (error: unknown): void => {
    failure ??= error instanceof Error ? error : new Error(String(error))
    arrived.ring()
  }
  const onAbort = (): void =>
    failWith(
      isSluiceError(signal.reason, 'STOPPED')
        ? signal.reason
        : new SluiceError('ABORTED', `the purchase of "${item.id}" was aborted by the caller`, { cause: signal.reason }),
    )
  signal.addEventListener('abort', onAbort, { once: true })

  const windowEnd = (): number => acked + unpaidWindow(Math.floor(acked / granularity), cap) * granularity

  const admitted = (chunk: Chunk): void => {
    checked = chunk.end
    next = chunk.index + 1
    fresh = false
    attempts = 0
    queue.push(chunk)
    arrived.ring()
  }

  /** The caller has had a chunk: it is to be paid. */
  const take = (chunk: Chunk): void => {
    handed = undefined
    consumed = chunk.end
    chunks++
    builder.append(chunk.leaf)
  }

  const attach = (to: Link): void => {
    link = to
    fresh = true
    line = to.attach({
      orderId: id,
      chunk: (frame) => {
        if (failure !== undefined || over) return
        try {
          const chunk = intake.admit(frame, windowEnd())
          if (!(chunk instanceof Promise)) return admitted(chunk)
          tail = chunk.then((proven) => {
            if (failure === undefined) admitted(proven)
          }, failWith)
        } catch (error) {
          failWith(error)
        }
      },
      exit: (payload) => {
        if (payload.reason && LATE.has(payload.reason.code) && !over) return park(payload.reason.code)
        exit = payload
        // Who has all of it needs nothing more of the seller, which may have forgotten the order by then.
        if (payload.reason && intake.position < total) failWith(refusal(payload.reason))
        else if (item.live) total = intake.position
        else if (intake.position < total) failWith(refusal(null))
        arrived.ring()
      },
      lost: (reason) => {
        if (over) return arrived.ring()
        if (parked !== undefined) return
        void reconnect(reason.reason || `code ${reason.code}`)
      },
    })
  }

  /**
   * The seller waits no longer. The order lives on: it is resumed at once where we have paid, and otherwise when the caller
   * has come back for more, and what it had is paid.
   */
  const park = (why: string): void => {
    parked = why
    if (paying && !(record.payment === 'token' && record.mode === 'onchain')) void giveUpPayment(paying, why)
    void Promise.resolve(tail)
      .catch(() => {})
      .then(unpark)
  }

  /** A payment that is under way when the seller gives up is waited for a little; one on chain, as long as the chain takes. */
  const giveUpPayment = async (current: Promise<void>, why: string): Promise<void> => {
    await clock.sleep(OVERDUE_PAYMENT, watching.signal).catch(() => {})
    if (paying === current && parked !== undefined && !over) {
      failWith(refusal({ code: why, message: `no payment came in time; order ${id} can be resumed` }))
    }
  }

  const unpark = (): void => {
    if (parked === undefined || over || failure !== undefined) return
    if (checked >= Math.min(total, windowEnd())) return // it is for us to pay first
    const why = parked
    parked = undefined
    void reconnect(why)
  }

  /** Gives up a link that stays silent while data is due; it is sought again then. */
  const watch = async (): Promise<void> => {
    const step = Math.min(context.openTimeout, context.stallTimeout) / 4
    let position = -1
    let since = 0
    /** A chunk may be on its way for as long as this. */
    const flight = (item.granularity / SLOWEST_LINK) * 1000
    while (!over) {
      await clock.sleep(step, watching.signal)
      const due = line !== undefined && parked === undefined && !item.live && intake.position < Math.min(total, windowEnd())
      if (!due || intake.position !== position) {
        position = intake.position
        since = clock.now()
      } else if (clock.now() - since >= (fresh ? context.openTimeout : context.stallTimeout) + flight) link?.close()
    }
  }

  const begin = async (): Promise<void> => {
    const to = await context.link(record.url, signal)
    if (to.menu.seller.toLowerCase() !== order.seller.toLowerCase()) {
      throw new SluiceError(
        'NO_SUCH_SELLER',
        `${record.url} is now the seller ${to.menu.seller}; order ${id} is with ${order.seller}`,
        {
          details: { order: id, seller: order.seller },
        },
      )
    }
    attach(to)
    await greet(to)
  }

  /** Asks for the order, or for the rest of it: the seed's way, by the last ACK again. */
  const greet = async (to: Link): Promise<void> => {
    if (checked === 0 && acked === 0) {
      await to.send('order', orderMessage(record, line!.stream, to.session), record.verification)
      return
    }
    await to.send('resume', { order_ID: id, received: checked, stream: line!.stream, session: to.session })
    if (current) to.sendRaw(ackText(id, current.acked, current.signature, lastVerification))
  }

  const reconnect = async (why: string): Promise<void> => {
    line?.detach()
    line = undefined
    link = undefined
    await tail?.catch(() => {})
    tail = undefined
    intake.rewind(checked, next)
    const giveUp = (cause: unknown): void =>
      failWith(
        new SluiceError('CONNECTION_LOST', `lost the seller at ${record.url} (${why}); order ${id} can be resumed`, {
          details: { order: id, url: record.url, acked },
          cause,
        }),
      )
    while (!over && failure === undefined) {
      if (attempts >= context.reconnects) return giveUp(undefined)
      const attempt = ++attempts
      events.emit('reconnect', { orderId: id, attempt, reason: why })
      try {
        await clock.sleep(Math.min(10_000, 100 * 2 ** (attempt - 1)), signal)
        await begin()
        reconnects++
        events.emit('resume', { orderId: id, received: checked })
        return
      } catch (error) {
        if (attempts >= context.reconnects || !isSluiceError(error) || !RETRIED.has(error.code)) return giveUp(error)
      }
    }
  }

  // --- paying ---

  const watching = new AbortController()
  /** Not the caller's signal: who calls off a purchase still pays for what came. */
  const payment = new AbortController()
  let lastVerification = ''
  let paying: Promise<void> | undefined
  let delayed = false

  /**
   * Pays for what the caller has had: each half window, so that the other half is on its way while a payment is; at the
   * end; and when nothing follows for a while.
   */
  const payWhenDue = (): void => {
    if (consumed <= acked || paying) return
    const window = unpaidWindow(Math.floor(acked / granularity), cap)
    if (consumed - acked >= Math.ceil(window / 2) * granularity || consumed >= total) return startPaying()
    if (delayed) return
    // One timer at a time, left to run out: there are thousands of payments a second.
    delayed = true
    clock.sleep(ACK_DELAY, watching.signal).then(
      () => {
        delayed = false
        startPaying()
      },
      () => {},
    )
  }

  const startPaying = (): void => {
    if (paying || consumed <= acked || failure !== undefined) return
    paying = payOnce()
      .catch(failWith)
      .finally(() => {
        paying = undefined
        if (failure === undefined && !over) payWhenDue()
        arrived.ring()
      })
  }

  /** Persist, then send: the acknowledgement is durable before it can be used against us. */
  const payOnce = async (): Promise<void> => {
    const transferred = consumed
    const frontier = builder.state()
    const { verification } = await payer.pay(payable, transferred, { signal: payment.signal })
    const signature = await identity.signTyped('Ack', { orderId: id, transferred })
    const next = { acked: transferred, signature, frontier }
    await context.save(id, next)
    current = next
    lastVerification = verification
    acked = transferred
    link?.sendRaw(ackText(id, transferred, signature, verification))
    unpark()
    const elapsed = Math.max(1, clock.now() - began)
    const rate = ((transferred - startedAt) / elapsed) * 1000
    events.emit('progress', {
      orderId: id,
      bytes: transferred,
      total,
      paid: payFor(order, transferred),
      price: order.price,
      rate,
      remaining: rate > 0 ? Math.ceil(((total - transferred) / rate) * 1000) : 0,
    })
  }

  /** Waits until the acknowledgement of everything consumed has left. */
  const settleUp = async (): Promise<void> => {
    while (acked < consumed && failure === undefined) {
      startPaying()
      await paying
    }
  }

  const summary = (): Omit<Receipt, 'rating'> => ({
    orderId: id,
    seller: order.seller,
    item: item.id,
    bytes: consumed,
    chunks,
    paid: payFor(order, acked),
    price: order.price,
    milliseconds: clock.now() - began,
    reconnects,
  })

  /** Says goodbye with a rating, and waits a little for the seller's. */
  const goodbye = async (): Promise<Receipt> => {
    over = true
    const opinion = context.rate(summary())
    const rating = opinion && {
      ...opinion,
      signature: toHex(
        await identity.signTyped('Rating', {
          orderId: id,
          score: opinion.score,
          commentHash: toHex(engine().keccak256(utf8(opinion.comment))),
        }),
      ),
    }
    // Until it answers, the seller may not have our last payment for good: a link that is lost now is sought again.
    const enough = new AbortController()
    const late = clock.sleep(context.exitTimeout, enough.signal).catch(() => {})
    let isLate = false
    void late.then(() => (isLate = true))
    let told: Link | undefined
    while (!exit && !isLate) {
      if (!link?.open) {
        await Promise.race([begin().catch(() => clock.sleep(FAREWELL_DELAY, enough.signal).catch(() => {})), late])
      } else if (told !== link) {
        told = link
        await link.send('exit', { order_ID: id, session: link.session, rating: rating ?? null, reason: null })
      } else await Promise.race([arrived.wait(), late])
    }
    enough.abort()
    release()
    await context.close(id, 'done', undefined)
    return { ...summary(), rating: (exit?.rating as Receipt['rating'] | null | undefined) ?? undefined }
  }

  const release = (): void => {
    over = true
    signal.removeEventListener('abort', onAbort)
    watching.abort()
    line?.detach()
  }

  let beginning: Promise<void> | undefined
  return {
    next: async () => {
      if (!beginning) {
        beginning = begin()
        watch().catch(() => {}) // ends by the abort of its sleep
      }
      await beginning
      for (;;) {
        // Who calls it off wants nothing of what waits here, and doesn't pay for it.
        if (failure !== undefined && signal.aborted) throw failure
        const chunk = queue.shift()
        if (chunk) {
          handed = chunk
          return chunk
        }
        if (failure !== undefined) throw failure
        if (consumed >= total && acked >= consumed) return undefined
        await arrived.wait()
      }
    },
    consumed: (chunk) => {
      take(chunk)
      if (standing && consumed === standing.acked && !equalBytes(builder.state(), standing.frontier)) {
        return failWith(
          new SluiceError('PARTIAL_MISMATCH', `the partial data given is not what order ${id} delivered`, {
            details: { order: id },
          }),
        )
      }
      payWhenDue()
    },
    finish: async () => {
      await settleUp()
      if (failure !== undefined) throw failure
      return goodbye()
    },
    leave: async () => {
      if (handed) take(handed)
      await settleUp()
      return goodbye()
    },
    fail: async (error) => {
      release()
      const code = isSluiceError(error) ? error.code : 'PEER_REFUSED'
      // What came is paid. An order that a closing buyer leaves goes on with the next one.
      if (code === 'ABORTED' || code === 'STOPPED') {
        failure = undefined
        await settleUp().catch(() => {})
      }
      payment.abort()
      // A fault of our own (a full disk, a node that is down, the wrong file) leaves the order as it is, to be resumed.
      if (!FINAL.has(code)) return
      if (link?.open && isSluiceError(error)) {
        await link
          .send('exit', { order_ID: id, session: link.session, rating: null, reason: { code, message: error.shortMessage.slice(0, 4096) } })
          .catch(() => {})
        // The seller has been told, and settles: there is nothing to go on with.
        if (code === 'ABORTED') await context.close(id, 'done', undefined)
      }
      if (code !== 'ABORTED') await context.close(id, 'failed', intake.evidence)
    },
  }
}

/** Milliseconds between two tries to say goodbye. */
const FAREWELL_DELAY = 250

/** What ends an order: the caller's will, or a seller that broke the rules. */
const FINAL: ReadonlySet<string> = new Set(['ABORTED', 'WRONG_CHUNK', 'BAD_SIGNATURE', 'UNEXPECTED_MESSAGE'])

/** Milliseconds that a payment of ours may take beyond the seller's patience. */
const OVERDUE_PAYMENT = 5000

/** Why a seller ends a stream whose order can go on: it waited long enough. */
const LATE: ReadonlySet<string> = new Set(['PAYMENT_LATE', 'TIMEOUT'])

/** Failures of a link that another try may mend. */
const RETRIED: ReadonlySet<string> = new Set(['CONNECTION_FAILED', 'CONNECTION_LOST', 'TIMEOUT', 'OVERLOADED'])

/** The `order` message of a record. */
function orderMessage(record: PurchaseRecord, stream: number, session: Hex): Payload<'order'> {
  return {
    order_hash: record.id,
    data_ID: record.item.id,
    payment: record.payment,
    mode: record.mode,
    terms: orderToWire(record.order),
    nonce: record.nonce,
    first_chunk: record.range.first,
    chunk_count: record.range.count,
    form: record.form,
    claims: record.claims,
    stream,
    session,
  }
}

function ackText(id: Hex, transferred: number, signature: Uint8Array, verification: string): string {
  return encodeMessage({ type: 'ACK', payload: { order_ID: id, transferred }, signature, verification })
}

