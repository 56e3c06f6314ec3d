/**
 * A purchase as its caller sees it: an iteration over the data of one order.
 * @module
 */
import { concatBytes, type Hex } from '../core/bytes.ts'
import { SluiceError } from '../core/errors.ts'
import { createEmitter, type Events } from '../core/events.ts'
import type { Course, CourseContext, PurchaseEvents, Receipt, Start } from './course.ts'

/** A purchase that is going on. Iterate over it to let data flow; leave the loop to stop and pay only for what came. */
export interface Purchase extends AsyncIterable<Uint8Array> {
  readonly events: Events<PurchaseEvents>
  /** The order's id. Asking for it makes the order, with its deposit, unless the iteration has begun. */
  readonly orderId: Promise<Hex>
  /**
   * Where the first byte of the iteration belongs, in bytes from the start of the order: 0 unless it was resumed. Known
   * before the iteration; asking for it makes the order, as with {@link Purchase.orderId}.
   */
  readonly offset: Promise<number>
  /** Resolves when the purchase is over, in full or by leaving the loop. Rejects with what ended it. */
  readonly receipt: Promise<Receipt>
  /** Runs the purchase to its end and joins the data. For small items: it all lies in memory. */
  bytes(): Promise<Uint8Array>
}

/** Opens a purchase; nothing happens until it is iterated, or asked for its order. */
export function createPurchase(context: CourseContext, signal: AbortSignal | undefined): Purchase {
  const events = createEmitter<PurchaseEvents>(context.log)
  const orderId = deferred<Hex>()
  const offset = deferred<number>()
  const receipt = deferred<Receipt>()
  let started = false
  const stop = new AbortController()
  let preparing: Promise<Start> | undefined

  /** Makes or finds the order, once. */
  const prepare = (): Promise<Start> => {
    preparing ??= context.prepare(stop.signal).then(
      (start) => {
        const { record, received, ahead } = start
        orderId.resolve(record.id)
        offset.resolve(Math.max(0, ahead?.end ?? 0, received - record.slice[0]))
        events.emit('order', { orderId: record.id, verification: record.verification })
        return start
      },
      (error: unknown) => {
        orderId.reject(error)
        offset.reject(error)
        receipt.reject(error)
        throw error
      },
    )
    preparing.catch(() => {}) // whoever waits for it hears of it
    return preparing
  }
  const abort = (): void => stop.abort(signal?.reason)
  if (signal?.aborted) abort()
  else signal?.addEventListener('abort', abort, { once: true })

  async function* run(): AsyncGenerator<Uint8Array, void, undefined> {
    if (started) throw new SluiceError('BAD_ARGUMENT', 'a purchase can be iterated only once')
    started = true
    let course: Course | undefined
    let complete = false
    try {
      // Loaded when data is to flow.
      const { createCourse } = await import('./course.ts')
      const start = await prepare()
      const { record, ahead } = start
      course = createCourse(context, events, start, stop.signal)
      for (;;) {
        const chunk = await course.next()
        if (!chunk) break
        const from = chunk.end - chunk.body.length
        if (ahead && from < ahead.end) ahead.check(chunk)
        const [begin, end] = record.slice
        const first = Math.max(begin, ahead?.end ?? 0)
        const part = from < first || chunk.end > end ? chunk.body.subarray(Math.max(0, first - from), end - from) : chunk.body
        if (part.length > 0) yield part
        course.consumed(chunk)
      }
      complete = true
      receipt.resolve(await course.finish())
    } catch (error) {
      complete = true
      await course?.fail(error)
      receipt.reject(error)
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
      // Left by `break` or `return`: what was handed over is paid, the rest comes back.
      if (!complete && course) {
        await course.leave().then(receipt.resolve, receipt.reject)
      }
    }
  }

  return {
    events,
    get orderId() {
      void prepare()
      return orderId.promise
    },
    get offset() {
      void prepare()
      return offset.promise
    },
    receipt: receipt.promise,
    [Symbol.asyncIterator]: run,
    bytes: async () => {
      const parts: Uint8Array[] = []
      for await (const part of run()) parts.push(part)
      return concatBytes(...parts)
    },
  }
}

function deferred<T>(): { readonly promise: Promise<T>; resolve(value: T): void; reject(error: unknown): void } {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  promise.catch(() => {}) // whoever asks for it hears of it
  return { promise, resolve, reject }
}
