/**
 * The cheapest paths of a payment.
 * @module
 */
import { assertArgument } from '../../core/errors.ts'
import { type Graph } from './graph.ts'
import { prepareSearch, type Route, type Terms } from './search.ts'

/** A payment that wants a path. */
export interface PathQuery {
  /** The address of the payer. */
  readonly from: string
  /** The address of the payee. */
  readonly to: string
  /** What arrives, in the token's smallest unit; at least 1. */
  readonly amount: bigint
  /** The most channels of a path, 8 if not given: each mediator adds to the time that money may stay locked. */
  readonly maxHops?: number | undefined
  /** The most that all mediators together may keep; no limit if not given. */
  readonly maxFee?: bigint | undefined
  /** Addresses of nodes and ids of channels that no path may use. */
  readonly avoid?: readonly string[] | undefined
}

/** A channel of a path, by the node it leads to. */
export interface Hop {
  /** The address of the node that receives the lock. */
  readonly node: string
  readonly channelId: string
  /** What is locked on the channel into this node. */
  readonly amount: bigint
  /** What this node keeps of it; the target keeps no fee. */
  readonly fee: bigint
}

/** A way for a payment: no node twice, every amount exact. */
export interface Path {
  /** From the first mediator, or the target, to the target. */
  readonly hops: readonly Hop[]
  /** What the payer sends. */
  readonly total: bigint
  /** What the mediators keep in all. */
  readonly fee: bigint
}

/** The most paths that can be asked for at once. */
const MAX_PATHS = 64

/** What a hop counts beside its fee when paths are compared: a ten-thousandth of the amount, and 1. */
const hopCostOf = (amount: bigint): bigint => amount / 10_000n + 1n

/**
 * Finds the cheapest paths of a payment, the cheapest first, by their fee and a ten-thousandth of the amount for each hop.
 *
 * Every path given fits exactly, under what the graph knows. Their order is exact while fees stay below 2^53 units; above
 * that, two whose costs differ by less than the 2^-50th part may be taken for equal. The method is Yen's, with Lawler's way
 * to never search the same part twice, over the search of `prepareSearch`.
 * @returns up to `count` (3 if not given) paths; an empty list when there is none: {@link whyNoPath} tells the reason.
 * @throws `BAD_ARGUMENT` for an amount below 1, a `count` not from 1 to 64, `maxHops` not from 1 to 64, `from` equal to `to`.
 */
export function findPaths(graph: Graph, query: PathQuery & { readonly count?: number | undefined }): readonly Path[] {
  const { count = 3 } = query
  assertArgument(Number.isInteger(count) && count >= 1 && count <= MAX_PATHS, 'count', `from 1 to ${MAX_PATHS}`)
  const terms = termsOf(graph, query)
  return terms ? cheapestRoutes(graph, terms, count).map((route) => pathOf(graph, terms, route)) : []
}

/** Reads a query, or returns undefined if an end of it is not in the graph or is to be avoided. @throws `BAD_ARGUMENT` */
export function termsOf(graph: Graph, query: PathQuery, reserved: ReadonlyMap<number, bigint> = new Map()): Terms | undefined {
  const { amount, maxHops = 8, maxFee, avoid = [] } = query
  assertArgument(amount > 0n, 'amount', 'at least 1')
  assertArgument(Number.isInteger(maxHops) && maxHops >= 1 && maxHops <= 64, 'maxHops', 'from 1 to 64')
  assertArgument(query.from.toLowerCase() !== query.to.toLowerCase(), 'to', 'another node than from')
  graph.expire()
  const { nodeIds, channelIds } = graph.table
  const from = nodeIds.get(query.from.toLowerCase())
  const to = nodeIds.get(query.to.toLowerCase())
  const avoidNodes = new Set<number>()
  const avoidEdges = new Set<number>()
  for (const name of avoid) {
    const node = nodeIds.get(name.toLowerCase())
    if (node !== undefined) avoidNodes.add(node)
    const channel = channelIds.get(name.toLowerCase())
    if (channel !== undefined) avoidEdges.add(2 * channel).add(2 * channel + 1)
  }
  if (from === undefined || to === undefined || avoidNodes.has(from) || avoidNodes.has(to)) return undefined
  return {
    from, to, amount, maxHops, avoidNodes, avoidEdges, reserved,
    maxFee: maxFee ?? 1n << 256n,
    hopCost: hopCostOf(amount),
  }
}

/** The `count` cheapest routes, the cheapest first. */
export function cheapestRoutes(graph: Graph, terms: Terms, count: number): readonly Route[] {
  // The less the fee may be, the better a search knows what edges cost. Routes that cost no more than the limit are
  // cheaper than all whose fee is above it.
  const maxFee = terms.amount / 32n
  if (maxFee < terms.maxFee) {
    const routes = yen(graph, { ...terms, maxFee }, count)
    const last = routes[count - 1]
    if (last && last.cost <= maxFee) return routes
  }
  return yen(graph, terms, count)
}

function yen(graph: Graph, terms: Terms, count: number): readonly (Route & { readonly cost: bigint })[] {
  interface Candidate extends Route {
    readonly cost: bigint
    /** Up to here it is equal to a route that was found before, and other routes than it were looked for. */
    readonly kept: number
  }
  const search = prepareSearch(graph.table, terms)
  const candidates: Candidate[] = []
  const found: Candidate[] = []

  const look = (route: Route | undefined, keep: number): void => {
    const banned = new Set<number>()
    for (const { edges } of found) {
      if (edges.slice(0, keep).every((edge, i) => edge === route!.edges[i])) banned.add(edges[keep]!)
    }
    // Beyond the dearest candidate that can still be taken, there is nothing to look for.
    const last = candidates[count - found.length - 1]
    const next = search.cheapest(route, keep, banned, last ? Number(last.cost) : Infinity)
    if (!next) return
    const cost = next.amounts[next.amounts.length - 1]! - terms.amount + terms.hopCost * BigInt(next.edges.length)
    const at = candidates.findIndex((other) => other.cost > cost)
    candidates.splice(at < 0 ? candidates.length : at, 0, { ...next, cost, kept: keep })
  }

  look(undefined, 0)
  while (found.length < count) {
    const next = candidates.shift()
    if (!next) break
    found.push(next)
    if (found.length === count) break
    for (let keep = next.kept; keep < next.edges.length; keep++) look(next, keep)
  }
  return found
}

/** A route as a path from the source to the target. */
export function pathOf(graph: Graph, terms: Terms, { edges, amounts }: Route): Path {
  const { addresses, channels, source } = graph.table
  const hops = edges.map((edge, i) => ({
    node: addresses[source[edge ^ 1]!]!,
    channelId: channels[edge >> 1]!.channelId,
    amount: amounts[i]!,
    fee: i === 0 ? 0n : amounts[i]! - amounts[i - 1]!,
  }))
  const total = amounts[amounts.length - 1]!
  return { hops: hops.reverse(), total, fee: total - terms.amount }
}

/**
 * Tells why a payment has no path, by looking again with fewer conditions: `fee` when only `maxFee` is in the way,
 * `capacity` when channels lead there in `maxHops` that are too small, closed to payments or say nothing, `hops` when only
 * longer ways do, `unreachable` when none does. Undefined when there is a path.
 */
export function whyNoPath(graph: Graph, query: PathQuery): 'fee' | 'capacity' | 'hops' | 'unreachable' | undefined {
  const terms = termsOf(graph, query)
  if (!terms) return 'unreachable'
  if (cheapestRoutes(graph, terms, 1).length > 0) return undefined
  if (cheapestRoutes(graph, { ...terms, maxFee: 1n << 256n }, 1).length > 0) return 'fee'
  const { links, starts, lengths } = graph.table
  const distance = new Map([[terms.from, 0]])
  for (const [node, hops] of distance) {
    if (node === terms.to) return hops <= terms.maxHops ? 'capacity' : 'hops'
    for (let at = starts[node]!; at < starts[node]! + lengths[node]!; at += 2) {
      const next = links[at + 1]!
      if (!distance.has(next) && !terms.avoidNodes.has(next) && !terms.avoidEdges.has(links[at]!)) distance.set(next, hops + 1)
    }
  }
  return 'unreachable'
}
