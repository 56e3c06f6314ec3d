/**
 * What a seller puts on its menu, made ready to be sold.
 * @module
 */
import { address, amount, assertArguments, integer, optional, rule, shape, text, type Rule } from '../core/argument.ts'
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
  assertSpec(spec)
  const granularity = spec.granularity ?? defaultGranularity
  const where = nameOf(spec)
  const common = {
    id: spec.id,
    info: spec.info ?? '',
    price: spec.price,
    token: spec.token ?? ETH,
    granularity,
    alipayPrice: spec.alipayPrice,
  }

  if (spec.live) {
    assertArguments(spec, { maxBytes: integer(1, MAX_BYTES, 'number of bytes for live data', 1_000_000) }, where)
    const size = spec.maxBytes!
    assertArgument(spec.sample === undefined, `${where}.sample`, 'left out for live data')
    return { item: { ...common, size, root: ZERO32, live: true, sample: undefined }, live: spec.live }
  }

  const source = await toSource(spec.data!, `${where}.data`)
  assertArgument(source.size >= 1 && source.size <= MAX_BYTES, `${where}.data`, 'at least one byte')
  const tree = await treeOf(source, granularity)
  const item: Item = { ...common, size: source.size, root: toHex(tree.root), live: false, sample: spec.sample }
  if (spec.sample) {
    const { first, count } = spec.sample
    assertArgument(first + count <= chunkCount(item) && count <= MAX_SAMPLE, `${where}.sample`, `up to ${MAX_SAMPLE} of the item's ${chunkCount(item)} chunks, such as { first: 0, count: 1 }`)
  }
  return { item, source, tree }
}

const isWellFormed = (value: unknown): boolean => typeof value === 'string' && !/[\ud800-\udfff]/u.test(value)
const money = (example: string): Rule =>
  rule(`an amount in the smallest unit as a bigint below 2^104, such as ${example}`, (value) => amount(104).holds(value))

const nameRule = /* @__PURE__ */ rule(
  'a name of 1 to 256 characters, such as "weather", without half of a surrogate pair', // which has no UTF-8
  (value) => text(1, 256).holds(value) && isWellFormed(value),
)

const itemRules = {
  info: /* @__PURE__ */ optional(
    /* @__PURE__ */ rule(
      'well-formed text of up to 4,096 characters, such as "hourly, in °C"',
      (value) => text(0, 4096).holds(value) && isWellFormed(value),
    ),
  ),
  granularity: /* @__PURE__ */ optional(/* @__PURE__ */ integer(1, MAX_GRANULARITY, 'number of bytes', 262_144)),
  price: /* @__PURE__ */ money('1000n'),
  alipayPrice: /* @__PURE__ */ optional(/* @__PURE__ */ money('150n for 1.50 yuan')),
  token: /* @__PURE__ */ optional(address),
  live: /* @__PURE__ */ optional(
    /* @__PURE__ */ rule('a function that gives an async iterable of bytes', (value) => typeof value === 'function'),
  ),
  sample: /* @__PURE__ */ optional(
    /* @__PURE__ */ shape('chunks such as { first: 0, count: 1 }', { first: integer(0), count: integer(1) }),
  ),
}

/** Throws `BAD_ARGUMENT` naming the field that doesn't fit, before anything is read. */
function assertSpec(spec: ItemSpec): void {
  assertArguments(spec, { id: nameRule }, 'items[]')
  const where = nameOf(spec)
  assertArguments(spec, itemRules, where)
  assertArgument((spec.data === undefined) !== (spec.live === undefined), where, 'given either data or live')
}

/** How an item is called in errors. */
const nameOf = ({ id }: ItemSpec): string => `items["${id}"]`

/** Chunks that a sample can have on the wire. */
const MAX_SAMPLE = 1024

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
