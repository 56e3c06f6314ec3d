/**
 * Checks data that an earlier run received, before an order goes on behind it.
 * @module
 */
import { concatBytes, equalBytes } from '../core/bytes.ts'
import { leafHash, createMerkleBuilder } from '../core/crypto/merkle.ts'
import { SluiceError } from '../core/errors.ts'
import type { PurchaseRecord, Standing } from './course.ts'

/** Data from the start of an order: bytes, a `Blob`, or a stream such as Node's `createReadStream(path)`. */
export type Partial = Uint8Array | Blob | AsyncIterable<Uint8Array>

/**
 * Finds how many whole chunks of the acknowledged ones are there, and checks them as far as that can be done now; what
 * is missing comes again, unpaid, and the check ends when the last acknowledged chunk is here.
 * @throws `PARTIAL_MISMATCH` when the data is not what the order delivered.
 */
export async function checkPartial(
  record: PurchaseRecord,
  standing: Standing | undefined,
  partial: Partial,
): Promise<{ received: number; frontier: Uint8Array }> {
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
  let rest: Uint8Array = new Uint8Array(0)
  for await (const part of pieces(partial)) {
    if (received >= acked) break
    rest = rest.length === 0 ? part : concatBytes(rest, part)
    while (received < acked) {
      const length = Math.min(item.granularity, order.totalData - received)
      if (rest.length < length) break
      take(rest.subarray(0, length))
      rest = rest.subarray(length)
    }
  }
  if (standing && received === acked && !equalBytes(builder.state(), standing.frontier)) {
    throw new SluiceError('PARTIAL_MISMATCH', `the partial data given is not what order ${id} delivered`, { details: { order: id, acked } })
  }
  return { received, frontier: builder.state() }
}

async function* pieces(partial: Partial): AsyncGenerator<Uint8Array> {
  if (partial instanceof Uint8Array) yield partial
  else if (partial instanceof Blob) {
    const step = 4 * 1024 * 1024
    for (let at = 0; at < partial.size; at += step) yield new Uint8Array(await partial.slice(at, at + step).arrayBuffer())
  } else yield* partial
}
