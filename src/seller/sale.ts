/**
 * One order's stream of chunks: sends as far as the unpaid window lets it, and waits for payment.
 * @module
 */
import type { ChunkClaim } from '../contracts/typedData.ts'
import { createBell } from '../core/bell.ts'
import { equalBytes, toHex, type Hex } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { engine } from '../core/crypto/engine.ts'
import { leafHash } from '../core/crypto/merkle.ts'
import { SluiceError } from '../core/errors.ts'
import type { Acknowledgement, Till } from '../payments/payment.ts'
import { frameFor } from '../protocol/frame.ts'
import type { Identity } from '../protocol/identity.ts'
import { SLOWEST_LINK } from '../protocol/limits.ts'
import type { ChunkRange } from '../protocol/menu.ts'
import { encodeMessage } from '../protocol/message.ts'
import type { Transport } from '../protocol/transport.ts'
import { unpaidWindow } from '../protocol/window.ts'
import { sendable, waitingFor, type Flow } from './flow.ts'
import type { FramePool } from './framePool.ts'
import { isStored, type Offered } from './item.ts'
import type { SourceReader } from './source.ts'

/** What was agreed about how an order is delivered. */
export interface Delivery {
  readonly id: Hex
  readonly offered: Offered
  readonly range: ChunkRange
  /** Bytes of the order. */
  readonly total: number
  /** `json` is the seed's form of `data`; `binary` the frame. */
  readonly form: 'binary' | 'json'
  /** Whether the buyer wants every chunk signed. */
  readonly claims: boolean
  /** The most chunks that may be unpaid. */
  readonly cap: number
  /** Whether the order was opened before, and forgotten since, or by an earlier run of the seller. */
  readonly again: boolean
  /** The order was left, or delivered and paid: what was paid may come again, and nothing more. */
  readonly over: boolean
  /** Whether money was put up before anything is delivered. */
  readonly deposited: boolean
  /** Bytes that were sent again although they were paid. */
  readonly redelivered: number
}

/** What a sale needs of its seller. */
export interface SaleContext {
  readonly identity: Identity
  readonly clock: Clock
  readonly frames: FramePool
  /** Milliseconds that a payment may be late, once its data can have arrived. */
  readonly ackTimeout: number
  /** Makes durable what must survive a restart. */
  note(changes: { readonly begun?: true; readonly redelivered?: number }): Promise<void>
}

/** A sale that is going on. */
export interface Sale {
  readonly delivery: Delivery
  readonly till: Till
  /** Bytes that have ever been sent of this order. */
  readonly sent: number
  /**
   * Streams from byte `received` on until the order is paid in full, the live data ends, or `signal` fires.
   * @throws `PAYMENT_LATE`, `DEPOSIT_SHORT`, `ORDER_FINISHED`, `SOURCE_FAILED`, `RANGE_INVALID`, `ABORTED`.
   */
  stream(to: { transport: Transport; stream: number; received: number; signal: AbortSignal }): Promise<void>
  /** Takes an acknowledgement. @throws `PAYMENT_INVALID` when it is for more than was sent. */
  acknowledge(ack: Acknowledgement): Promise<void>
  /** Tells a live source that nobody listens any more. */
  close(): void
}

/** Bytes that are read and handed to the transport at once. */
const BATCH = 1024 * 1024

/** Bytes per second that a reader must take, for the time allowed to wait for it. */
const SLOWEST_READER = 4 * 1024

/** Opens a sale on an order whose money is there. */
export function createSale(delivery: Delivery, till: Till, context: SaleContext, onPaid: (paid: number) => void): Sale {
  const { item } = delivery.offered
  const { granularity } = item
  const bell = createBell()
  const chunks = isStored(delivery.offered)
    ? storedChunks(delivery, delivery.offered)
    : liveChunks(delivery, delivery.offered.live)
  till.onChange = bell.ring
  // An earlier run has sent as much as it could, for all we know: the buyer's ACK for it comes again.
  let sent = delivery.again
    ? Math.min(delivery.total, till.paid + unpaidWindow(Math.floor(till.paid / granularity), delivery.cap) * granularity)
    : till.paid
  /** Bytes sent again although they were paid: a lost tail is worth one more delivery, not endless ones. */
  let redelivered = delivery.redelivered

  const flow = (position: number): Flow => ({
    total: chunks.ended ?? delivery.total,
    granularity,
    cap: delivery.cap,
    position,
    paid: till.paid,
    covered: till.covered,
  })

  /** Acknowledgements that are being taken. */
  let taking = 0

  /**
   * Waits until the till changes. The time allowed counts when the buyer can act: not while what was sent is on its way
   * over a slow link, and not while we look for a payment that it has named.
   */
  const wait = async (position: number, transport: Transport, signal: AbortSignal): Promise<void> => {
    const state = waitingFor(flow(position))
    const before = till.paid + till.covered
    const flight = state === 'payment' ? ((position - till.paid) / SLOWEST_LINK) * 1000 : 0
    let since = context.clock.now()
    let buffered = transport.buffered ?? 0
    for (;;) {
      await bell.wait()
      if (signal.aborted) throw new SluiceError('ABORTED', 'the stream was ended')
      if (till.ended !== undefined || till.paid + till.covered > before || chunks.ended !== undefined) return
      const now = context.clock.now()
      const left = transport.buffered ?? 0
      // A link that takes next to nothing is a reader that holds its place.
      if (taking > 0 || (now - since >= 1000 && buffered - left >= (SLOWEST_READER * (now - since)) / 1000)) {
        since = now
        buffered = left
      }
      if (now - since < context.ackTimeout + flight) continue
      if (state === 'deposit') {
        throw new SluiceError(
          'DEPOSIT_SHORT',
          `deposit is ${till.missing} short of the order's price: it covers ${till.covered} of ${delivery.total} bytes`,
          { details: { covered: till.covered, total: delivery.total, missing: till.missing } },
        )
      }
      throw new SluiceError('PAYMENT_LATE', `no payment came for ${position - till.paid} bytes within ${context.ackTimeout} ms`, {
        details: { unpaid: position - till.paid, timeout: context.ackTimeout },
      })
    }
  }

  /** Rings now and then, so that a wait sees that its time is over: one timer for a stream, not one for each wait. */
  const tick = async (signal: AbortSignal): Promise<void> => {
    const step = Math.max(1, Math.min(1000, context.ackTimeout / 4))
    for (;;) {
      await context.clock.sleep(step, signal)
      bell.ring()
    }
  }

  return {
    delivery,
    till,
    get sent() {
      return sent
    },
    stream: async ({ transport, stream, received, signal }) => {
      if (received > Math.max(sent, till.paid) + delivery.cap * granularity || received > delivery.total) {
        throw new SluiceError('RANGE_INVALID', `cannot go on at byte ${received}: ${sent} were sent`, {
          details: { received, sent },
        })
      }
      const lost = Math.max(0, till.paid - received)
      redelivered += lost
      if (redelivered > delivery.total) {
        throw new SluiceError('RANGE_INVALID', 'the order was already delivered twice over', { details: { redelivered } })
      }
      if (lost > 0) await context.note({ redelivered })
      let position = received
      let run = false
      const ticking = new AbortController()
      const wake = (): void => bell.ring()
      signal.addEventListener('abort', wake)
      const reader = await chunks.open(position)
      tick(ticking.signal).catch(() => {}) // ends by the abort of its sleep
      try {
        for (;;) {
          if (signal.aborted) throw new SluiceError('ABORTED', 'the stream was ended')
          if (till.ended !== undefined) throw new SluiceError('ORDER_FINISHED', `the order ended: ${till.ended}`)
          const now = flow(position)
          if (position >= now.total && now.paid >= now.total) return
          const count = sendable(now, Math.max(1, Math.floor(BATCH / granularity)))
          if (count === 0) {
            if (delivery.over) throw new SluiceError('ORDER_FINISHED', `order ${delivery.id} is over: all that was paid has been sent`)
            await wait(position, transport, signal)
            continue
          }
          const batch = await reader.next(position, count, run, stream, signal)
          if (batch.packets.length === 0) continue // live data came to its end, or the order did
          for (const packet of batch.packets) {
            transport.send(packet, typeof packet === 'string' ? undefined : () => context.frames.give(packet))
          }
          run = true
          position += batch.bytes
          sent = Math.max(sent, position)
          await transport.drained()
        }
      } finally {
        ticking.abort()
        signal.removeEventListener('abort', wake)
        await reader.close()
      }
    },
    acknowledge: async (ack) => {
      if (ack.transferred > sent) {
        throw new SluiceError('PAYMENT_INVALID', `ACK is for ${ack.transferred} bytes, ${sent} were sent`, {
          details: { transferred: ack.transferred, sent },
        })
      }
      const before = till.paid
      taking++
      try {
        await till.receive(ack)
      } finally {
        taking--
      }
      if (till.paid > before) onPaid(till.paid)
      chunks.paid(till.paid)
      bell.ring()
    },
    close: chunks.close,
  }

  /** Chunks of stored data: read where they lie, proven by the tree. */
  function storedChunks(
    { id, range, form, claims, total }: Delivery,
    { source, tree }: Extract<Offered, { tree: unknown }>,
  ): Chunks {
    return {
      ended: undefined,
      paid: () => {},
      close: () => {},
      open: async (from): Promise<ChunkReader> => {
        if (from % granularity !== 0 && from !== total) {
          throw new SluiceError('RANGE_INVALID', `no chunk begins at byte ${from}`, { details: { received: from } })
        }
        const file: SourceReader = await source.open()
        return {
          close: () => file.close(),
          next: async (position, count, run, stream) => {
            const first = range.first + position / granularity
            const frames: { frame: Uint8Array; body: Uint8Array }[] = []
            let bytes = 0
            // A signed claim stands alone before a judge, so it carries its whole proof.
            const whole = claims || form === 'json'
            for (let i = 0; i < count; i++) {
              const length = Math.min(granularity, total - position - bytes)
              const proof = !whole && (run || i > 0) ? tree.runProof(first + i) : tree.proof(first + i)
              const claim = claims && form === 'binary' ? EMPTY_CLAIM : undefined
              frames.push(frameFor(stream, first + i, length, proof, claim, context.frames.take))
              bytes += length
            }
            await file.read(
              range.first * granularity + position,
              frames.map(({ body }) => body),
            )
            if (!whole) return { bytes, packets: frames.map(({ frame }) => frame) }
            const packets: (string | Uint8Array)[] = []
            for (const [i, { frame, body }] of frames.entries()) {
              const index = first + i
              const leaf = leafHash(body)
              if (!equalBytes(leaf, tree.leaf(index))) {
                // Signed, it would be the proof that takes the deposit back.
                throw new SluiceError('SOURCE_FAILED', `the data of "${item.id}" has changed since it was put on the menu`)
              }
              const signature = await signClaim({
                orderId: id,
                index,
                leaf: toHex(leaf),
                proofHash: toHex(engine().keccak256(tree.proof(index))),
              })
              packets.push(
                form === 'json' ? jsonChunk(index, body, tree.proof(index), signature) : withClaim(frame, body, signature),
              )
            }
            return { bytes, packets }
          },
        }
      },
    }
  }

  /** Chunks of live data: taken as they come, kept until they are paid so that a lost link costs nothing. */
  function liveChunks({ id, form, claims, total, again }: Delivery, live: () => AsyncIterable<Uint8Array>): Chunks {
    const unpaid: { at: number; index: number; bytes: Uint8Array }[] = []
    const input = live()[Symbol.asyncIterator]()
    let rest: Uint8Array = new Uint8Array(0)
    let made = 0
    let index = 0
    let begun = false
    let making: Promise<void> | undefined
    let failure: SluiceError | undefined
    /** Takes one more chunk from the source, or notes that it has ended. */
    const make = async (): Promise<void> => {
      while (rest.length === 0) {
        const next = await input.next()
        if (next.done) {
          state.ended = made
          return
        }
        rest = next.value
      }
      const bytes = rest.slice(0, Math.min(granularity, rest.length, total - made))
      rest = rest.subarray(bytes.length)
      unpaid.push({ at: made, index: index++, bytes })
      made += bytes.length
    }
    /** Waits for one more chunk, on the bell: the source may stay silent for as long as the stream lasts. */
    const oneMore = async (signal: AbortSignal): Promise<boolean> => {
      const before = made
      making ??= make()
        .catch((cause: unknown) => {
          failure = new SluiceError('SOURCE_FAILED', `the live data of "${item.id}" broke off`, { cause })
        })
        .finally(() => {
          making = undefined
          bell.ring()
        })
      while (made === before && state.ended === undefined) {
        if (failure) throw failure
        if (signal.aborted || till.ended !== undefined) return false
        await bell.wait()
      }
      return made > before
    }
    const state: Chunks = {
      ended: undefined,
      paid: (paid) => {
        while (unpaid.length > 0 && unpaid[0]!.at + unpaid[0]!.bytes.length <= paid) unpaid.shift()
        if (paid >= total) state.close()
      },
      close: () => void Promise.resolve(input.return?.()).catch(() => {}),
      open: (from): Promise<ChunkReader> => {
        // Another run of the source is other data: it would come on top of what was sent.
        if (again || (from !== made && !unpaid.some(({ at }) => at === from))) {
          throw new SluiceError('RANGE_INVALID', `live data is gone at byte ${from}`, { details: { received: from } })
        }
        return Promise.resolve({
          close: () => Promise.resolve(),
          next: async (position, _count, _run, stream, signal) => {
            if (position === made && !(await oneMore(signal))) return { bytes: 0, packets: [] }
            const chunk = unpaid.find(({ at }) => at === position)!
            if (!begun) await context.note({ begun: true })
            begun = true
            const { frame, body } = frameFor(
              stream,
              chunk.index,
              chunk.bytes.length,
              NO_PROOF,
              claims && form === 'binary' ? EMPTY_CLAIM : undefined,
              context.frames.take,
            )
            body.set(chunk.bytes)
            if (!claims && form === 'binary') return { bytes: body.length, packets: [frame] }
            const signature = await signClaim({
              orderId: id,
              index: chunk.index,
              leaf: toHex(leafHash(body)),
              proofHash: toHex(engine().keccak256(NO_PROOF)),
            })
            const packet = form === 'json' ? jsonChunk(chunk.index, body, NO_PROOF, signature) : withClaim(frame, body, signature)
            return { bytes: body.length, packets: [packet] }
          },
        })
      },
    }
    return state
  }

  function signClaim(claim: ChunkClaim): Promise<Uint8Array> {
    return context.identity.signTyped('ChunkClaim', claim)
  }

  function jsonChunk(index: number, body: Uint8Array, proof: Uint8Array, signature: Uint8Array): string {
    const hashes: Hex[] = []
    for (let at = 0; at < proof.length; at += 32) hashes.push(toHex(proof.subarray(at, at + 32)))
    return encodeMessage({
      type: 'data',
      payload: {
        order_ID: delivery.id,
        index,
        proof: hashes,
        data: Buffer.from(body.buffer, body.byteOffset, body.length).toString('base64'),
      },
      signature,
      verification: '',
    })
  }
}

/** The chunks of one order. */
interface Chunks {
  /** Bytes there were, once live data has ended before the order did. */
  ended: number | undefined
  open(from: number): Promise<ChunkReader>
  /** Chunks before this byte won't be asked for again, unless they are stored. */
  paid(bytes: number): void
  close(): void
}

interface ChunkReader {
  /** The packets of up to `count` chunks from `position` on; `run` if the chunk before it has just been sent. */
  next(
    position: number,
    count: number,
    run: boolean,
    stream: number,
    signal: AbortSignal,
  ): Promise<{ bytes: number; packets: readonly (string | Uint8Array)[] }>
  close(): Promise<void>
}

const NO_PROOF = new Uint8Array(0)
const EMPTY_CLAIM = new Uint8Array(65)

/** Puts the signature in the place that was left for it before the leaf tag and the chunk. */
function withClaim(frame: Uint8Array, body: Uint8Array, signature: Uint8Array): Uint8Array {
  frame.set(signature, frame.length - body.length - 1 - signature.length)
  return frame
}
