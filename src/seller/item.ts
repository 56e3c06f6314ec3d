/**
 * What a seller puts on its menu, made ready to be sold.
 * @module
 */
import { toHex } from '../core/bytes.ts'
import { leafHash, createMerkleTree, type MerkleTree } from '../core/crypto/merkle.ts'
import { assertArgument, SluiceError } from '../core/errors.ts'
import { MAX_GRANULARITY } from '../protocol/frame.ts'
import { chunkCount, ETH, ZERO32, type ChunkRange, type Item } from '../protocol/menu.ts'
import { MAX_BYTES } from '../protocol/wire.ts'
import { toSource, type LiveSource, type Source, type SourceLike } from './source.ts'

/** An item as the seller's program gives it. */
export interface ItemSpec {
  /** Name in the menu, up to 256 characters. */
  readonly id: string
  /** The data: a file's path, bytes, a `Blob`, or a {@link Source}. Give this or `live`. */
  readonly data?: SourceLike | undefined
  /** Data made while it is sold: called once for each order. Needs `maxBytes`. */
  readonly live?: LiveSource | undefined
  /** The most bytes of `live` data that one order can take. */
  readonly maxBytes?: number | undefined
  /** Price of all the bytes, in the smallest unit of `token`. */
  readonly price: bigint
  /** ERC-20 address. @default ETH */
  readonly token?: string | undefined
  /** Price of all the bytes in fen, for buyers who pay with Alipay. */
  readonly alipayPrice?: bigint | undefined
  /** A line for people, up to 4,096 characters. @default '' */
  readonly info?: string | undefined
  /** Bytes per chunk, up to 4 MiB. @default the seller's */
  readonly granularity?: number | undefined
  /** Chunks that anyone may have for nothing. @default none */
  readonly sample?: ChunkRange | undefined
}

/** An item on the menu and what it is served from. */
export type Offered =
  | { readonly item: Item; readonly source: Source; readonly tree: MerkleTree }
  | { readonly item: Item; readonly live: LiveSource }

/**
 * Prepares an item: reads its data once for the Merkle root.
 * @throws `BAD_ARGUMENT` naming the field, `SOURCE_FAILED`.
 */
export async function prepareItem(spec: ItemSpec, defaultGranularity: number): Promise<Offered> {
  const granularity = spec.granularity ?? defaultGranularity
  const where = `items["${spec.id}"]`
  assertArgument(spec.id.length >= 1 && spec.id.length <= 256, 'items[].id', 'a name of 1 to 256 characters')
  assertArgument((spec.info ?? '').length <= 4096, `${where}.info`, 'up to 4,096 characters')
  assertArgument(
    Number.isInteger(granularity) && granularity >= 1 && granularity <= MAX_GRANULARITY,
    `${where}.granularity`,
    `a number of bytes from 1 to ${MAX_GRANULARITY}`,
  )
  assertArgument(spec.price >= 0n && spec.price < 1n << 104n, `${where}.price`, 'from 0 to 2^104 - 1')
  assertArgument((spec.data === undefined) !== (spec.live === undefined), where, 'given either data or live')
  const common = {
    id: spec.id,
    info: spec.info ?? '',
    price: spec.price,
    token: spec.token ?? ETH,
    granularity,
    alipayPrice: spec.alipayPrice,
  }

  if (spec.live) {
    const size = spec.maxBytes ?? 0
    assertArgument(Number.isSafeInteger(size) && size >= 1 && size <= MAX_BYTES, `${where}.maxBytes`, 'a number of bytes for live data')
    assertArgument(spec.sample === undefined, `${where}.sample`, 'left out for live data')
    return { item: { ...common, size, root: ZERO32, live: true, sample: undefined }, live: spec.live }
  }

  const source = await toSource(spec.data!)
  assertArgument(source.size >= 1 && source.size <= MAX_BYTES, `${where}.data`, 'at least one byte')
  const tree = await treeOf(source, granularity)
  const item: Item = { ...common, size: source.size, root: toHex(tree.root), live: false, sample: spec.sample }
  if (spec.sample) {
    const { first, count } = spec.sample
    assertArgument(first >= 0 && count >= 1 && first + count <= chunkCount(item), `${where}.sample`, 'chunks that the item has')
  }
  return { item, source, tree }
}

/** Memory for reading a source through once. */
const READ_AHEAD = 4 * 1024 * 1024

async function treeOf(source: Source, granularity: number): Promise<MerkleTree> {
  const chunks = Math.ceil(source.size / granularity)
  const leaves = new Uint8Array(32 * chunks)
  const perRead = Math.max(1, Math.floor(READ_AHEAD / granularity))
  const buffer = new Uint8Array(Math.min(perRead * granularity, source.size))
  const reader = await source.open()
  try {
    for (let chunk = 0; chunk < chunks; chunk += perRead) {
      const offset = chunk * granularity
      const bytes = buffer.subarray(0, Math.min(buffer.length, source.size - offset))
      await reader.read(offset, [bytes])
      for (let at = 0, i = chunk; at < bytes.length; at += granularity, i++) {
        leaves.set(leafHash(bytes.subarray(at, at + granularity)), 32 * i)
      }
    }
  } finally {
    await reader.close()
  }
  return createMerkleTree(leaves)
}

/** Narrows an offer to one of stored data. */
export function isStored(offered: Offered): offered is Extract<Offered, { tree: MerkleTree }> {
  return 'tree' in offered
}

/** Builds the table of offers. @throws `BAD_ARGUMENT` when two items share a name. */
export function offersById(offers: readonly Offered[]): ReadonlyMap<string, Offered> {
  const byId = new Map<string, Offered>()
  for (const offered of offers) {
    if (byId.has(offered.item.id)) throw new SluiceError('BAD_ARGUMENT', `two items are called "${offered.item.id}"`)
    byId.set(offered.item.id, offered)
  }
  return byId
}
