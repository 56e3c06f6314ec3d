import { describe, expect, it } from 'vitest'
import { toHex } from '../core/bytes.ts'
import { createMerkleTree, leafHash } from '../core/crypto/merkle.ts'
import { ETH, ZERO32 } from '../protocol/menu.ts'
import { isStored, offersById, prepareItem, type ItemSpec } from './item.ts'

const data = Uint8Array.from({ length: 1050 }, (_, i) => i * 3)
const spec: ItemSpec = { id: 'x', data, price: 1000n }
async function* nothing(): AsyncGenerator<Uint8Array> {}

describe('prepareItem', () => {
  it('names what the menu says of stored data', async () => {
    const offered = await prepareItem({ ...spec, info: 'numbers', alipayPrice: 7n, sample: { first: 10, count: 1 } }, 100)
    const leaves = Array.from({ length: 11 }, (_, i) => leafHash(data.subarray(100 * i, 100 * (i + 1))))
    expect(offered.item).toEqual({
      id: 'x',
      size: 1050,
      info: 'numbers',
      price: 1000n,
      token: ETH,
      granularity: 100,
      root: toHex(createMerkleTree(leaves).root),
      live: false,
      sample: { first: 10, count: 1 },
      alipayPrice: 7n,
    })
    expect(isStored(offered)).toBe(true)
  })

  it('has the same root however the data is read', async () => {
    const roots = [data, new Blob([data])].map(async (source) => (await prepareItem({ ...spec, data: source }, 64)).item.root)
    expect(new Set(await Promise.all(roots)).size).toBe(1)
    // More than is read at once, in chunks that don't divide it.
    const big = new Uint8Array(9 * 1024 * 1024 + 1).map((_, i) => i >> 8)
    const { item } = await prepareItem({ ...spec, data: big, granularity: 1_000_003 }, 1)
    const leaves = Array.from({ length: 10 }, (_, i) => leafHash(big.subarray(1_000_003 * i, 1_000_003 * (i + 1))))
    expect(item.root).toBe(toHex(createMerkleTree(leaves).root))
  })

  it('names what the menu says of live data', async () => {
    const offered = await prepareItem({ id: 'x', live: nothing, maxBytes: 5000, price: 1n }, 100)
    expect(offered.item).toMatchObject({ size: 5000, root: ZERO32, live: true, sample: undefined })
    expect(isStored(offered)).toBe(false)
  })

  it.each<[string, Partial<ItemSpec>, string]>([
    ['no name', { id: '' }, 'items[].id'],
    ['too long a name', { id: 'x'.repeat(257) }, 'items[].id'],
    ['too long a description', { info: 'x'.repeat(4097) }, 'items["x"].info'],
    ['a granularity of nothing', { granularity: 0 }, 'items["x"].granularity'],
    ['a granularity over 4 MiB', { granularity: 4 * 1024 * 1024 + 1 }, 'items["x"].granularity'],
    ['a fraction for a granularity', { granularity: 1.5 }, 'items["x"].granularity'],
    ['a price below zero', { price: -1n }, 'items["x"].price'],
    ['a price of 2^104', { price: 1n << 104n }, 'items["x"].price'],
    ['neither data nor live', { data: undefined }, 'items["x"]'],
    ['both data and live', { live: nothing }, 'items["x"]'],
    ['no data in it', { data: new Uint8Array(0) }, 'items["x"].data'],
    ['live data without an end', { data: undefined, live: nothing }, 'items["x"].maxBytes'],
    ['live data of 2^48 bytes', { data: undefined, live: nothing, maxBytes: 2 ** 48 }, 'items["x"].maxBytes'],
    ['a sample of live data', { data: undefined, live: nothing, maxBytes: 10, sample: { first: 0, count: 1 } }, 'items["x"].sample'],
    ['a sample behind its end', { sample: { first: 10, count: 2 } }, 'items["x"].sample'],
    ['a sample of nothing', { sample: { first: 0, count: 0 } }, 'items["x"].sample'],
    ['a sample before its start', { sample: { first: -1, count: 2 } }, 'items["x"].sample'],
  ])('refuses an item with %s', async (_name, changes, name) => {
    await expect(prepareItem({ ...spec, ...changes }, 100)).rejects.toMatchObject({ code: 'BAD_ARGUMENT', details: { name } })
  })

  it('takes the largest price and the longest live data', async () => {
    const { item } = await prepareItem({ id: 'x', live: nothing, maxBytes: 2 ** 48 - 1, price: (1n << 104n) - 1n }, 4 * 1024 * 1024)
    expect(item).toMatchObject({ size: 2 ** 48 - 1, price: (1n << 104n) - 1n })
  })
})

describe('offersById', () => {
  it('refuses two items of one name', async () => {
    const [a, b] = [await prepareItem(spec, 100), await prepareItem({ ...spec, id: 'y' }, 100)]
    expect([...offersById([a, b]).keys()]).toEqual(['x', 'y'])
    expect(() => offersById([a, b, a])).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
  })
})
