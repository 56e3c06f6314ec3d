/**
 * What a node knows of one token network: which channels there are, and what each side says it can send.
 * @module
 */
import { type Clock } from '../../core/clock.ts'
import { assertArgument, SluiceError } from '../../core/errors.ts'
import { assertFeeSchedule, NO_FEES, penalty, type FeeSchedule } from './fees.ts'

/** What one side of a channel said last about sending over it. */
export interface Direction {
  /** What it can still send, in the token's smallest unit. */
  readonly capacity: bigint
  /** What it charges for sending on somebody else's payment. */
  readonly fees: FeeSchedule
  /** Seconds that it needs between the expiry of what it receives and of what it sends. */
  readonly revealTimeout: number
  /** Whether it forwards at all. */
  readonly enabled: boolean
  /** Milliseconds since 1970; a newer statement has a higher one. */
  readonly sequence: number
  /** The nonces of the last balance proofs that it knew: its own and its partner's. */
  readonly nonces: { readonly own: number; readonly partner: number }
  /** The statement as it was signed, to be passed on. */
  readonly signed?: Uint8Array | undefined
}

/** A channel as the chain tells of it. */
export interface GraphChannel {
  readonly channelId: string
  readonly participants: readonly [string, string]
  /** Deposits of both sides less what was withdrawn: more can't be sent in either direction. */
  readonly total: bigint
}

/** Options of {@link createGraph}. */
export interface GraphOptions {
  readonly clock: Clock
  /** The most channels, 2^17 (131,072) if not given. A known channel with curves on both sides takes up to 8 KiB. */
  readonly maxChannels?: number | undefined
}

/**
 * The routing graph of one token network. Channel ids and addresses may be in upper or lower case.
 *
 * It has an owner for each part: the chain's events add, change and remove channels; announcements whose signature was
 * checked (`createGossip`) describe their directions; the node's own failed payments limit them for a while.
 */
export interface Graph {
  /**
   * Adds a channel that the chain told of; one that is known gets the new total.
   * @throws `OVERLOADED` when there are too many, `BAD_ARGUMENT` for a channel of one node with itself.
   */
  addChannel(channel: GraphChannel): void
  /** Forgets a channel that was closed, and everything said about it. */
  removeChannel(channelId: string): void
  /** A known channel. */
  channel(channelId: string): GraphChannel | undefined
  /** What `from` said last about sending over a channel. */
  direction(channelId: string, from: string): Direction | undefined
  /**
   * Takes what `from` says about sending over a channel; a capacity above the channel's total counts as the total.
   * @returns false, and changes nothing, unless the channel is known, `from` is in it and the sequence is newer.
   * @throws `BAD_ARGUMENT` for a fee schedule out of range.
   */
  announce(channelId: string, from: string, direction: Direction): boolean
  /** Notes what this node itself can send over a channel of its own; what it has announced of it is kept. */
  know(channelId: string, from: string, direction: Pick<Direction, 'capacity' | 'enabled'>): void
  /**
   * Believes for `ms` milliseconds that `from` can send no more than `capacity` over a channel, whatever it says: learned
   * from a payment that failed there; 0 avoids the direction. The latest call counts; does nothing for an unknown one.
   */
  limit(channelId: string, from: string, capacity: bigint, ms: number): void
  /** How much there is. */
  readonly size: { readonly nodes: number; readonly channels: number }
  /** The columns that searches read. */
  readonly table: Readonly<GraphTable>
  /** Ends limits whose time is over; searches call it first. */
  expire(): void
}

/**
 * The graph by dense numbers: channel `c` has the edges `2c` (from its first participant) and `2c + 1` (back), so the
 * other direction of edge `e` is `e ^ 1`. Numbers of removed nodes and channels are used again. The columns of numbers are
 * replaced when they grow: don't keep them across changes.
 */
export interface GraphTable {
  readonly nodeIds: Map<string, number>
  /** Addresses as the chain's events gave them; undefined for a free number. */
  readonly addresses: (string | undefined)[]
  /**
   * The edges that leave each node, each followed by the node it leads to; those that enter it are their counterparts.
   * One column for all nodes, since it is most of what a search reads: `lengths[n]` numbers from `starts[n]` on.
   */
  links: Int32Array
  starts: Int32Array
  lengths: Int32Array
  readonly channelIds: Map<string, number>
  readonly channels: (GraphChannel | undefined)[]
  /** By edge: what was said. */
  readonly directions: (Direction | undefined)[]
  /** By edge: the most that can be sent; 0 unless announced and enabled. */
  readonly usable: bigint[]
  /** By edge: the node it leaves; the one it leads to is `source[e ^ 1]`. */
  source: Int32Array
  /** By edge: where in `links` it stands. */
  places: Int32Array
  /**
   * By place in `links`, four numbers for each edge (from twice its place on), so that they lie in the order of a search:
   * `usable`, where rounding keeps order (an amount that fits in truth fits by these numbers as well); the part of the fee
   * that every amount pays, less the penalty before; the part of the amount; `capacityOf`, or -1 without a curve.
   */
  numbers: Float64Array
  /** By edge: the imbalance curve as numbers, balance and penalty by turns; undefined without one. */
  readonly curves: (Float64Array | undefined)[]
}

/** What changes need and searches don't. */
interface Columns {
  /** By node: how many numbers fit in `links` until its edges have to move behind all others. */
  rooms: Int32Array
}

/** Creates an empty graph. */
export function createGraph({ clock, maxChannels = 2 ** 17 }: GraphOptions): Graph {
  const table: GraphTable & Columns = {
    nodeIds: new Map(),
    addresses: [],
    links: new Int32Array(512),
    starts: new Int32Array(32),
    lengths: new Int32Array(32),
    rooms: new Int32Array(32),
    channelIds: new Map(),
    channels: [],
    directions: [],
    usable: [],
    source: new Int32Array(64),
    numbers: new Float64Array(2 * 512),
    curves: [],
    places: new Int32Array(64),
  }
  const freeNodes: number[] = []
  /** Numbers of `links` that are given to nodes: at most twice what the most edges at one time needed, and 8 a node. */
  let given = 0
  const freeChannels: number[] = []
  /** By edge; never more than there are edges. */
  const limits = new Map<number, { readonly capacity: bigint; readonly until: number }>()

  const nodeOf = (address: string): number => {
    const key = address.toLowerCase()
    const known = table.nodeIds.get(key)
    if (known !== undefined) return known
    const id = freeNodes.pop() ?? table.addresses.length
    if (id === table.starts.length) {
      table.starts = wider(table.starts)
      table.lengths = wider(table.lengths)
      table.rooms = wider(table.rooms)
    }
    table.nodeIds.set(key, id)
    table.addresses[id] = address
    return id
  }

  const edgeOf = (channelId: string, from: string): number => {
    const c = table.channelIds.get(channelId.toLowerCase())
    const node = table.nodeIds.get(from.toLowerCase())
    if (c === undefined || node === undefined) return -1
    return table.source[2 * c] === node ? 2 * c : table.source[2 * c + 1] === node ? 2 * c + 1 : -1
  }

  const attach = (edge: number, node: number, next: number): void => {
    const length = table.lengths[node]!
    if (length === table.rooms[node]) {
      // A free number keeps its room, so what is left behind adds up to less than what is used.
      const start = table.starts[node]!
      table.rooms[node] = Math.max(8, 2 * length)
      table.starts[node] = given
      given += table.rooms[node]
      while (given > table.links.length) {
        table.links = wider(table.links)
        table.numbers = wider(table.numbers)
      }
      table.numbers.copyWithin(2 * table.starts[node], 2 * start, 2 * (start + length))
      table.links.copyWithin(table.starts[node], start, start + length)
      for (let at = 0; at < length; at += 2) table.places[table.links[table.starts[node] + at]!] = table.starts[node] + at
    }
    const place = table.starts[node]! + length
    table.links[place] = edge
    table.links[place + 1] = next
    table.places[edge] = place
    table.source[edge] = node
    table.lengths[node] = length + 2
  }

  const detach = (edge: number): void => {
    const node = table.source[edge]!
    const place = table.places[edge]!
    const last = table.lengths[node]! - 2
    table.lengths[node] = last
    const end = table.starts[node]! + last
    table.links.copyWithin(place, end, end + 2)
    table.numbers.copyWithin(2 * place, 2 * end, 2 * end + 4)
    table.places[table.links[place]!] = place
    if (last > 0) return
    table.nodeIds.delete(table.addresses[node]!.toLowerCase())
    table.addresses[node] = undefined
    freeNodes.push(node)
  }

  /** Computes what searches read of an edge. */
  const refresh = (edge: number): void => {
    const direction = table.directions[edge]
    let usable = direction?.enabled ? capacityOf(table, edge) : 0n
    const limited = limits.get(edge)
    if (limited && limited.capacity < usable) usable = limited.capacity
    table.usable[edge] = usable
    const at = 2 * table.places[edge]!
    table.numbers[at] = Number(usable)
    if (!direction) return void (table.curves[edge] = undefined)
    const { flat, proportional, imbalance } = direction.fees
    const capacity = capacityOf(table, edge)
    const curved = imbalance.length > 0
    table.numbers[at + 1] = Number(curved ? flat - penalty(direction.fees, capacity, false) : flat)
    table.numbers[at + 2] = proportional / 1e6
    table.numbers[at + 3] = curved ? Number(capacity) : -1
    table.curves[edge] = curved ? Float64Array.from(imbalance.flat(), Number) : undefined
  }

  return {
    table,
    get size() {
      return { nodes: table.nodeIds.size, channels: table.channelIds.size }
    },

    addChannel(channel) {
      const key = channel.channelId.toLowerCase()
      const [a, b] = channel.participants
      assertArgument(a.toLowerCase() !== b.toLowerCase(), 'participants', 'two different addresses')
      let c = table.channelIds.get(key)
      if (c === undefined) {
        if (table.channelIds.size >= maxChannels) {
          throw new SluiceError('OVERLOADED', `the graph holds ${maxChannels} channels, its maxChannels`, { details: { maxChannels } })
        }
        c = freeChannels.pop() ?? table.channels.length
        if (2 * c === table.source.length) {
          table.source = wider(table.source)
          table.places = wider(table.places)
        }
        table.channelIds.set(key, c)
        table.channels[c] = channel
        attach(2 * c, nodeOf(a), nodeOf(b))
        attach(2 * c + 1, nodeOf(b), nodeOf(a))
      }
      table.channels[c] = { ...table.channels[c]!, total: channel.total }
      refresh(2 * c)
      refresh(2 * c + 1)
    },

    removeChannel(channelId) {
      const c = table.channelIds.get(channelId.toLowerCase())
      if (c === undefined) return
      for (const edge of [2 * c, 2 * c + 1]) {
        limits.delete(edge)
        table.directions[edge] = undefined
        refresh(edge)
        detach(edge)
      }
      table.channels[c] = undefined
      table.channelIds.delete(channelId.toLowerCase())
      freeChannels.push(c)
    },

    channel(channelId) {
      const c = table.channelIds.get(channelId.toLowerCase())
      return c === undefined ? undefined : table.channels[c]
    },

    direction: (channelId, from) => table.directions[edgeOf(channelId, from)],

    announce(channelId, from, direction) {
      const edge = edgeOf(channelId, from)
      if (edge < 0) return false
      assertFeeSchedule(direction.fees)
      const known = table.directions[edge]
      if (known && known.sequence >= direction.sequence) return false
      table.directions[edge] = direction
      refresh(edge)
      return true
    },

    know(channelId, from, { capacity, enabled }) {
      const edge = edgeOf(channelId, from)
      if (edge < 0) return
      const known = table.directions[edge]
      if (known?.capacity === capacity && known.enabled === enabled) return
      table.directions[edge] = { ...(known ?? UNSAID), capacity, enabled }
      refresh(edge)
    },

    limit(channelId, from, capacity, ms) {
      const edge = edgeOf(channelId, from)
      if (edge < 0) return
      limits.set(edge, { capacity, until: clock.now() + ms })
      refresh(edge)
    },

    expire() {
      const now = clock.now()
      for (const [edge, { until }] of limits) {
        if (until > now) continue
        limits.delete(edge)
        refresh(edge)
      }
    },
  }
}

/** A direction of which nothing was announced. */
const UNSAID: Direction = {
  capacity: 0n,
  fees: NO_FEES,
  revealTimeout: 0,
  enabled: false,
  sequence: 0,
  nonces: { own: 0, partner: 0 },
}

/** A column of twice the length. */
function wider<T extends Int32Array | Float64Array>(column: T): T {
  const next = (column instanceof Int32Array ? new Int32Array(2 * column.length) : new Float64Array(2 * column.length)) as T
  next.set(column)
  return next
}

/** What fees are computed from: what the sender says it can send, and no more than the channel holds. */
export function capacityOf({ directions, channels }: Readonly<GraphTable>, edge: number): bigint {
  const { capacity } = directions[edge]!
  const { total } = channels[edge >> 1]!
  return capacity < total ? capacity : total
}
