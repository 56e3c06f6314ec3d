/**
 * Checks data that an earlier run received, before an order goes on behind it.
 * @module
 */
import { concatBytes, equalBytes } from '../core/bytes.ts'
import { leafHash, createMerkleBuilder } from '../core/crypto/merkle.ts'
import { SluiceError } from '../core/errors.ts'
import type { Ahead, PurchaseRecord, Standing } from './course.ts'

/** Data from the start of an order: bytes, a `Blob`, or a stream such as Node's `createReadStream(path)`. */
export type PartialData = Uint8Array | Blob | AsyncIterable<Uint8Array>

/**
 * Finds how many whole chunks of the acknowledged ones are there, and checks them as far as that can be done now; what
 * is missing comes again, unpaid, and the check ends when the last acknowledged chunk is here. What lies behind them is
 * held against its chunks as they come, and not handed out again.
 * @throws `PARTIAL_MISMATCH` when the data is not what the order delivered, or longer than the order.
 */
export async function checkPartial(
  record: PurchaseRecord,
  standing: Standing | undefined,
  partial: PartialData,
): Promise<{ received: number; frontier: Uint8Array; ahead: Ahead }> {
  const { id, item, slice, order, range } = record
  if (item.live || slice[0] !== 0 || slice[1] !== range.bytes) {
    throw new SluiceError('BAD_ARGUMENT', 'partial can be checked only for orders of whole chunks of stored data', { details: { order: id } })
  }
  const acked = standing?.acked ?? 0
  const builder = createMerkleBuilder()
  let received = 0
  const take = (chunk: Uint8Array): void => {
    builder.append(leafHash(chunk))
    received += chunk.length
  }
  const mismatch = (problem: string): SluiceError =>
    new SluiceError('PARTIAL_MISMATCH', `the partial data given is not what order ${id} delivered: ${problem}`, { details: { order: id, acked } })
  /** Leaves of whole chunks behind the acknowledged ones. */
  const leaves: Uint8Array[] = []
  let at = 0
  let rest: Uint8Array = new Uint8Array(0)
  for await (const part of pieces(partial)) {
    if (!(part instanceof Uint8Array)) throw new SluiceError('BAD_ARGUMENT', 'partial must give bytes: a Uint8Array, a Blob or a stream of Uint8Array')
    rest = rest.length === 0 ? part : concatBytes(rest, part)
    if (at + rest.length > order.totalData) throw mismatch(`it is longer than the order's ${order.totalData} bytes`)
    for (;;) {
      const length = Math.min(item.granularity, order.totalData - at)
      if (length === 0 || rest.length < length) break
      const chunk = rest.subarray(0, length)
      if (at < acked) take(chunk)
      else leaves.push(leafHash(chunk))
      at += length
      rest = rest.subarray(length)
    }
  }
  if (standing && received === acked && !equalBytes(builder.state(), standing.frontier)) throw mismatch('it differs in what was acknowledged')
  const tail = rest.slice()
  const ahead: Ahead = {
    end: at + tail.length,
    check: ({ body, leaf, end }) => {
      const from = end - body.length
      const same =
        from < at
          ? equalBytes(leaf, leaves[Math.floor((from - received) / item.granularity)]!)
          : equalBytes(body.subarray(0, tail.length), tail)
      if (!same) throw mismatch(`it differs in the chunk at byte ${from}`)
    },
  }
  return { received, frontier: builder.state(), ahead }
}

async function* pieces(partial: PartialData): AsyncGenerator<Uint8Array> {
  if (partial instanceof Uint8Array) yield partial
  else if (partial instanceof Blob) {
    const step = 4 * 1024 * 1024
    for (let at = 0; at < partial.size; at += step) yield new Uint8Array(await partial.slice(at, at + step).arrayBuffer())
  } else yield* partial
}
