import { describe, expect, it } from 'vitest'
import { toHex } from '../core/bytes.ts'
import { createMerkleBuilder, createMerkleTree, leafHash } from '../core/crypto/merkle.ts'
import { ETH } from '../protocol/menu.ts'
import { checkPartial, type PartialData } from './partial.ts'
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
  nonce: `0x${'00'.repeat(32)}`,
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
  it.each<[string, PartialData]>([
    ['bytes', data.slice(0, 200)],
    ['a Blob', new Blob([data.slice(0, 200)])],
    ['a stream in pieces of 1', inPieces(data.slice(0, 200), 1)],
    ['a stream in pieces of 99', inPieces(data.slice(0, 200), 99)],
    ['a stream in pieces of 101', inPieces(data.slice(0, 200), 101)],
  ])('takes %s', async (_name, partial) => {
    expect(await checkPartial(record, acked(200), partial))
      .toMatchObject({ received: 200, frontier: frontier(2), ahead: { end: 200 } })
  })

  it('takes all of the order, its short last chunk included', async () => {
    expect(await checkPartial(record, acked(330), data))
      .toMatchObject({ received: 330, frontier: frontier(4), ahead: { end: 330 } })
  })

  it('asks again for what is missing, from the last whole chunk', async () => {
    expect(await checkPartial(record, acked(300), data.slice(0, 250)))
      .toMatchObject({ received: 200, frontier: frontier(2), ahead: { end: 250 } })
    expect(await checkPartial(record, acked(300), data.slice(0, 99)))
      .toMatchObject({ received: 0, frontier: frontier(0), ahead: { end: 99 } })
    expect(await checkPartial(record, acked(300), new Uint8Array(0)))
      .toMatchObject({ received: 0, frontier: frontier(0), ahead: { end: 0 } })
  })

  const chunk = (first: number, end: number): { body: Uint8Array; leaf: Uint8Array; end: number } => {
    const body = data.slice(first, end)
    return { body, leaf: leafHash(body), end }
  }

  it.each([
    ['whole chunks', 200, 300],
    ['a part of a chunk', 200, 250],
    ['chunks and a part', 100, 250],
    ['all of the order', 0, 330],
    ['a part of what was acknowledged', 300, 250],
  ])('holds what lies behind against its chunks: %s', async (_name, paid, end) => {
    const given = await checkPartial(record, acked(paid), data.slice(0, end))
    expect(given.ahead.end).toBe(end)
    const wrong = data.slice(0, end)
    wrong[end - 1]! ^= 1
    const spoilt = await checkPartial(record, acked(paid), wrong)
    const last = Math.floor((end - 1) / 100) * 100
    for (let at = given.received; at < last; at += 100) for (const each of [given, spoilt]) each.ahead.check(chunk(at, at + 100))
    given.ahead.check(chunk(last, Math.min(330, last + 100)))
    expect(() => spoilt.ahead.check(chunk(last, Math.min(330, last + 100)))).toThrow(/differs in the chunk/)
  })

  it('refuses more than the order holds, and reads no farther', async () => {
    let read = 0
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      for (; read < 100; read++) yield data.slice(0, 100)
    }
    await expect(checkPartial(record, undefined, endless())).rejects.toMatchObject({ code: 'PARTIAL_MISMATCH' })
    expect(read).toBeLessThanOrEqual(4)
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
