/**
 * What a seller offers, and what a buyer picks of it.
 * @module
 */
import { computeFrom } from '../core/argument.ts'
import { toHex, utf8, type Hex } from '../core/bytes.ts'
import { engine } from '../core/crypto/engine.ts'
import { SluiceError } from '../core/errors.ts'
import { canonicalText } from './message.ts'
import type { PaymentKind, PaymentMode, Payload } from './wire.ts'

/** The token address that stands for the chain's own coin. */
export const ETH = '0x0000000000000000000000000000000000000000'

/** 32 zero bytes: no root, no session. */
export const ZERO32: Hex = `0x${'0'.repeat(64)}`

/** One thing on a menu. */
export interface Item {
  /** The seller's name for it (`data_ID`), unique in the menu. */
  readonly id: string
  /** Bytes; for live data the most that one order can take. */
  readonly size: number
  /** A line for people (`data_info`). */
  readonly info: string
  /** Price of all `size` bytes, in the smallest unit of `token`. */
  readonly price: bigint
  /** ERC-20 address, or {@link ETH}. */
  readonly token: string
  /** Bytes per chunk; only the last chunk is shorter. Live chunks are of any size up to it. */
  readonly granularity: number
  /** RFC 6962 root over the SHA-256 leaves of the chunks; 32 zero bytes for live data. */
  readonly root: Hex
  /** Data that is made while it is sold: no root, no ranges. */
  readonly live: boolean
  /** Chunks that anyone may have for nothing. */
  readonly sample: ChunkRange | undefined
  /** Price of all `size` bytes in fen, if the seller takes Alipay. */
  readonly alipayPrice: bigint | undefined
}

/** A seller's signed offer. */
export interface Menu {
  readonly items: readonly Item[]
  /** Bytes per chunk of items that don't say otherwise. */
  readonly granularity: number
  readonly payments: readonly PaymentKind[]
  readonly modes: readonly PaymentMode[]
  /** Chunks that may be sent and not yet paid, once the window has grown. */
  readonly window: number
  /** The account that is paid. */
  readonly seller: string
  readonly chainId: bigint
  /** The order contract. */
  readonly contract: string
  /** Unix seconds after which the seller takes no order on this menu. */
  readonly validUntil: number | undefined
}

/** Consecutive chunks of an item. */
export interface ChunkRange {
  readonly first: number
  readonly count: number
}

/** Writes a menu under the seed's names. */
export function menuToWire(menu: Menu): Payload<'menu'> {
  return computeFrom('menu', 'a Menu', () => {
    return {
      list_of_available_data: menu.items.map((item) => ({
        data_ID: item.id,
        data_size: item.size,
        data_info: item.info,
        price: item.price.toString(),
        token: item.token.toLowerCase(),
        granularity: item.granularity,
        data_root: item.root,
        live: item.live,
        sample: item.sample ? { first_chunk: item.sample.first, chunk_count: item.sample.count } : null,
        alipay_price: item.alipayPrice?.toString() ?? null,
      })),
      granularity: menu.granularity,
      list_of_available_payment: [...menu.payments],
      list_of_available_mode: [...menu.modes],
      window: menu.window,
      seller: menu.seller.toLowerCase(),
      chain_id: menu.chainId.toString(),
      contract: menu.contract.toLowerCase(),
      valid_until: menu.validUntil ?? null,
    }
  })
}

/** Reads a menu. */
export function menuFromWire(payload: Payload<'menu'>): Menu {
  return computeFrom('payload', 'the payload of a menu message', () => {
    return {
      items: payload.list_of_available_data.map((item) => ({
        id: item.data_ID,
        size: item.data_size,
        info: item.data_info,
        price: BigInt(item.price),
        token: item.token,
        granularity: item.granularity,
        root: item.data_root as Hex,
        live: item.live,
        sample: item.sample ? { first: item.sample.first_chunk, count: item.sample.chunk_count } : undefined,
        alipayPrice: item.alipay_price === null ? undefined : BigInt(item.alipay_price),
      })),
      granularity: payload.granularity,
      payments: payload.list_of_available_payment,
      modes: payload.list_of_available_mode,
      window: payload.window,
      seller: payload.seller,
      chainId: BigInt(payload.chain_id),
      contract: payload.contract,
      validUntil: payload.valid_until ?? undefined,
    }
  })
}

/** What a registry entry holds of a menu: keccak-256 of the payload's RFC 8785 text. */
export function menuHash(menu: Menu): Hex {
  return computeFrom('menu', 'a Menu', () => {
    return toHex(engine().keccak256(utf8(canonicalText(menuToWire(menu)))))
  })
}

/** The item of that id. @throws `NO_SUCH_ITEM` with the ids there are. */
export function findItem(menu: Menu, id: string): Item {
  return computeFrom('menu', 'a Menu', () => {
    const item = menu.items.find((candidate) => candidate.id === id)
    if (item) return item
    const ids = menu.items.slice(0, 10).map((candidate) => candidate.id)
    throw new SluiceError('NO_SUCH_ITEM', `the seller has no item "${id}"; it has ${ids.map((x) => `"${x}"`).join(', ') || 'none'}`, {
      details: { item: id },
    })
  })
}

/** How many chunks an item has; 0 for live data, which isn't cut before it is made. */
export function chunkCount(item: Item): number {
  return computeFrom('item', 'an Item of a Menu', () => {
    return item.live ? 0 : Math.ceil(item.size / item.granularity)
  })
}

/** Which part of an item a buyer wants: bytes `[start, end)`, or chunks. All of it if neither is given. */
export interface Selection {
  readonly bytes?: readonly [start: number, end: number] | undefined
  readonly chunks?: ChunkRange | undefined
}

/** The chunks that a selection needs, and the bytes they hold: what is ordered and paid. */
export interface Range extends ChunkRange {
  readonly bytes: number
}

/**
 * The whole chunks that cover a selection: a chunk is the unit of proof and of payment.
 * @throws `RANGE_INVALID` when it leaves the item.
 */
export function rangeOf(item: Item, selection: Selection = {}): Range {
  return computeFrom('selection', 'bytes such as [0, 1024], or chunks such as { first: 0, count: 1 }, of an Item of a Menu', () => {
    const { bytes, chunks } = selection
    if (item.live) {
      const most = bytes ? bytes[1] : item.size
      if (chunks || (bytes && bytes[0] !== 0) || !isCount(most, 1, item.size)) {
        throw outOfRange(item, 'live data is sold from its start: ask for bytes [0, n)')
      }
      return { first: 0, count: Math.ceil(most / item.granularity), bytes: most }
    }
    const total = chunkCount(item)
    let first = 0
    let end = total
    if (bytes) {
      if (!isCount(bytes[0], 0, item.size) || !isCount(bytes[1], bytes[0] + 1, item.size)) {
        throw outOfRange(item, `bytes [${bytes[0]}, ${bytes[1]}) do not lie in [0, ${item.size})`)
      }
      first = Math.floor(bytes[0] / item.granularity)
      end = Math.ceil(bytes[1] / item.granularity)
    } else if (chunks) {
      first = chunks.first
      end = chunks.first + chunks.count
    }
    if (!isCount(first, 0, total - 1) || !isCount(end, first + 1, total)) {
      throw outOfRange(item, `chunks ${first} to ${end - 1} are not among its ${total}`)
    }
    return { first, count: end - first, bytes: Math.min(item.size, end * item.granularity) - first * item.granularity }
  })
}

/** What part of an item costs: in proportion, rounded up to the smallest unit. */
export function priceOf(item: Pick<Item, 'size'>, price: bigint, bytes: number): bigint {
  return computeFrom('item', 'an Item of a Menu, beside a price as bigint and whole bytes', () => {
    const size = BigInt(item.size)
    return (price * BigInt(bytes) + size - 1n) / size
  })
}

function isCount(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max
}

function outOfRange(item: Item, problem: string): SluiceError {
  return new SluiceError('RANGE_INVALID', `item "${item.id}": ${problem}`, { details: { item: item.id, size: item.size } })
}
