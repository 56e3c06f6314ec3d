/**
 * A purchase as its caller sees it: an iteration over the data of one order.
 * @module
 */
import { concatBytes, type Hex } from '../core/bytes.ts'
import { SluiceError } from '../core/errors.ts'
import { createEmitter, type Events } from '../core/events.ts'
import { createCourse, type Course, type CourseContext, type PurchaseEvents, type Receipt } from './course.ts'

/** A purchase that is going on. Iterate over it to let data flow; leave the loop to stop and pay only for what came. */
export interface Purchase extends AsyncIterable<Uint8Array> {
  readonly events: Events<PurchaseEvents>
  /** The order's id, once it exists. */
  readonly orderId: Promise<Hex>
  /** Where the first chunk of the iteration belongs, in bytes from the start of the order: 0 unless it was resumed. */
  readonly offset: Promise<number>
  /** Resolves when the purchase is over, in full or by leaving the loop. Rejects with what ended it. */
  readonly receipt: Promise<Receipt>
  /** Runs the purchase to its end and joins the data. For small items: it all lies in memory. */
  bytes(): Promise<Uint8Array>
}

/** Opens a purchase; nothing happens until it is iterated. */
export function createPurchase(context: CourseContext, signal: AbortSignal | undefined): Purchase {
  const events = createEmitter<PurchaseEvents>(context.log)
  const orderId = deferred<Hex>()
  const offset = deferred<number>()
  const receipt = deferred<Receipt>()
  let started = false

  async function* run(): AsyncGenerator<Uint8Array, void, undefined> {
    if (started) throw new SluiceError('BAD_ARGUMENT', 'a purchase can be iterated only once')
    started = true
    const stop = new AbortController()
    const abort = (): void => stop.abort(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted) abort()
    let course: Course | undefined
    let complete = false
    try {
      const start = await context.prepare(stop.signal)
      const { record, received } = start
      orderId.resolve(record.id)
      offset.resolve(Math.max(0, received - record.slice[0]))
      events.emit('order', { orderId: record.id, verification: record.verification })
      course = createCourse(context, events, start, stop.signal)
      for (;;) {
        const chunk = await course.next()
        if (!chunk) break
        const from = chunk.end - chunk.body.length
        const [first, end] = record.slice
        const part = from < first || chunk.end > end ? chunk.body.subarray(Math.max(0, first - from), end - from) : chunk.body
        if (part.length > 0) yield part
        course.consumed(chunk)
      }
      complete = true
      receipt.resolve(await course.finish())
    } catch (error) {
      complete = true
      await course?.fail(error)
      orderId.reject(error)
      offset.reject(error)
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
    orderId: orderId.promise,
    offset: offset.promise,
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
