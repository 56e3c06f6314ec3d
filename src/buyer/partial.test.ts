import { describe, expect, it } from 'vitest'
import { toHex } from '../core/bytes.ts'
import { createMerkleBuilder, createMerkleTree, leafHash } from '../core/crypto/merkle.ts'
import { ETH } from '../protocol/menu.ts'
import { checkPartial, type Partial } from './partial.ts'
import type { PurchaseRecord, Standing } from './course.ts'

/** Chunks 1 to 4 of five, the last of them short: 330 bytes. */
const data = Uint8Array.from({ length: 330 }, (_, i) => i * 11)
const leaves = [0, 1, 2, 3].map((i) => leafHash(data.subarray(100 * i, 100 * (i + 1))))
const record: PurchaseRecord = {
  id: `0x${'0d'.repeat(32)}`,
  order: {
    buyer: ETH,
    seller: ETH,
    token: ETH,
    ackSigner: ETH,
    price: 330n,
    totalData: 330,
    chunks: 5,
    dataRoot: toHex(createMerkleTree(leaves).root),
    deadline: 0,
    salt: `0x${'00'.repeat(32)}`,
  },
  url: 'ws://localhost',
  item: {
    id: 'x',
    size: 430,
    info: '',
    price: 430n,
    token: ETH,
    granularity: 100,
    root: `0x${'00'.repeat(32)}`,
    live: false,
    sample: undefined,
    alipayPrice: undefined,
  },
  range: { first: 1, count: 4, bytes: 330 },
  slice: [0, 330],
  payment: 'token',
  mode: 'voucher',
  form: 'binary',
  claims: false,
  window: 4,
  deposit: 330n,
  verification: '',
  menuHash: `0x${'00'.repeat(32)}`,
}

/** The state behind the first `chunks` chunks. */
function frontier(chunks: number): Uint8Array {
  const builder = createMerkleBuilder()
  for (const leaf of leaves.slice(0, chunks)) builder.append(leaf)
  return builder.state()
}
const acked = (bytes: number): Standing => ({
  acked: bytes,
  signature: new Uint8Array(65),
  frontier: frontier(Math.ceil(bytes / 100)),
})

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size)
}

describe('checkPartial', () => {
  it.each<[string, Partial]>([
    ['bytes', data.slice(0, 200)],
    ['a Blob', new Blob([data.slice(0, 200)])],
    ['a stream in pieces of 1', inPieces(data.slice(0, 200), 1)],
    ['a stream in pieces of 99', inPieces(data.slice(0, 200), 99)],
    ['a stream in pieces of 101', inPieces(data.slice(0, 200), 101)],
  ])('takes %s', async (_name, partial) => {
    expect(await checkPartial(record, acked(200), partial)).toEqual({ received: 200, frontier: frontier(2) })
  })

  it('takes all of the order, its short last chunk included', async () => {
    expect(await checkPartial(record, acked(330), data)).toEqual({ received: 330, frontier: frontier(4) })
  })

  it('asks again for what is missing, from the last whole chunk', async () => {
    expect(await checkPartial(record, acked(300), data.slice(0, 250))).toEqual({ received: 200, frontier: frontier(2) })
    expect(await checkPartial(record, acked(300), data.slice(0, 99))).toEqual({ received: 0, frontier: frontier(0) })
    expect(await checkPartial(record, acked(300), new Uint8Array(0))).toEqual({ received: 0, frontier: frontier(0) })
  })

  it('looks no farther than what was acknowledged: what lies behind comes again', async () => {
    const longer = data.slice(0, 330)
    longer.fill(0, 200)
    expect(await checkPartial(record, acked(200), longer)).toEqual({ received: 200, frontier: frontier(2) })
    expect(await checkPartial(record, undefined, longer)).toEqual({ received: 0, frontier: frontier(0) })
  })

  it('does not read a stream to its end for nothing', async () => {
    let read = 0
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      while (read < 100) yield data.slice(100 * read, 100 * ++read)
    }
    await checkPartial(record, acked(200), endless())
    expect(read).toBeLessThanOrEqual(3)
  })

  it.each([0, 99, 100, 199])('refuses data with a wrong byte at %i', async (at) => {
    const wrong = data.slice(0, 200)
    wrong[at]! ^= 1
    await expect(checkPartial(record, acked(200), wrong)).rejects.toMatchObject({ code: 'PARTIAL_MISMATCH', details: { order: record.id, acked: 200 } })
  })

  it('refuses what it could not check', async () => {
    const live = { ...record, item: { ...record.item, live: true } }
    for (const changed of [live, { ...record, slice: [1, 330] as const }, { ...record, slice: [0, 329] as const }]) {
      await expect(checkPartial(changed, acked(200), data)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    }
  })
})
