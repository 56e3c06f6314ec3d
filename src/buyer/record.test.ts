import { describe, expect, it } from 'vitest'
import { utf8, type Hex } from '../core/bytes.ts'
import { memoryStore } from '../core/store/memoryStore.ts'
import { ETH, ZERO32 } from '../protocol/menu.ts'
import type { PurchaseRecord } from './course.ts'
import { purchaseBook, type StoredPurchase } from './record.ts'

const record = (digit: string): PurchaseRecord => ({
  id: `0x${digit.repeat(64)}`,
  order: {
    buyer: ETH,
    seller: ETH,
    token: ETH,
    ackSigner: ETH,
    price: (1n << 104n) - 1n,
    totalData: 2 ** 48 - 1,
    chunks: 5,
    dataRoot: ZERO32,
    deadline: 1_790_000_000,
    salt: ZERO32,
  },
  nonce: ZERO32,
  url: 'ws://localhost',
  item: {
    id: '{"$bigint":"7"}',
    size: 430,
    info: '量 "quoted" \\ ',
    price: 0n,
    token: ETH,
    granularity: 100,
    root: ZERO32,
    live: false,
    sample: { first: 0, count: 1 },
    alipayPrice: 650n,
  },
  range: { first: 1, count: 4, bytes: 330 },
  slice: [0, 330],
  payment: 'token',
  mode: 'voucher',
  form: 'binary',
  claims: true,
  window: 4,
  deposit: 330n,
  verification: '0x12',
  menuHash: `0x${'00'.repeat(32)}`,
})
const stored = (digit: string): StoredPurchase => ({
  record: record(digit),
  state: 'open',
  evidence: { index: 3, leaf: ZERO32, proof: [ZERO32, ZERO32], signature: `0x${'1b'.repeat(65)}` },
})

describe('purchaseBook', () => {
  it('gives back what was put in, amounts to the last digit', async () => {
    const book = purchaseBook(memoryStore())
    await book.put(stored('a'))
    expect(await book.get(record('a').id)).toEqual(stored('a'))
    await book.put({ ...stored('a'), state: 'done' })
    expect((await book.get(record('a').id)).state).toBe('done')
  })

  it('lists every order once, and nothing else', async () => {
    const store = memoryStore()
    const book = purchaseBook(store)
    await book.put(stored('b'))
    await book.put(stored('a'))
    await book.saveStanding(record('a').id, { acked: 1, signature: new Uint8Array(65), frontier: new Uint8Array(8) })
    await store.write([{ key: 'session', value: utf8('sealed') }])
    const ids: Hex[] = []
    for await (const { record: one } of book.list()) ids.push(one.id)
    expect(ids).toEqual([record('a').id, record('b').id])
  })

  it('keeps where an order stands', async () => {
    const book = purchaseBook(memoryStore())
    const { id } = record('a')
    expect(await book.standing(id)).toBeUndefined()
    const standing = { acked: 2 ** 48 - 1, signature: new Uint8Array(65).fill(7), frontier: new Uint8Array(72).fill(9) }
    await book.saveStanding(id, standing)
    expect(await book.standing(id)).toEqual(standing)
  })

  it('says which order is not there', async () => {
    await expect(purchaseBook(memoryStore()).get(record('c').id)).rejects.toMatchObject({ code: 'NO_SUCH_ORDER', details: { order: record('c').id } })
  })

  it('says when a record is damaged', async () => {
    const store = memoryStore()
    await store.write([{ key: `order/${record('a').id}`, value: utf8('{"record":') }])
    await expect(purchaseBook(store).get(record('a').id)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
  })
})
