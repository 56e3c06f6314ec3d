/**
 * Payments in parts, when no single path carries them.
 * @module
 */
import { assertArgument } from '../../core/errors.ts'
import { mediationFee } from './fees.ts'
import { capacityOf, type Graph } from './graph.ts'
import { cheapestRoutes, pathOf, termsOf, type Path, type PathQuery } from './paths.ts'
import { type Terms } from './search.ts'

/** The most parts that can be asked for. */
const MAX_PARTS = 64

/**
 * Finds paths whose parts add up to the amount, or undefined if it finds none.
 *
 * One path, the cheapest, if one carries it all. Otherwise it takes the path with the widest bottleneck, fills it, takes the
 * cheapest path for what fits there, and goes on with the rest; what a part locks is not there for the next. That is greedy:
 * it keeps the number of parts low, is not the cheapest set, and may miss sets where a wide path had to give way. `maxFee`
 * is for all parts together. Parts that share a channel with an imbalance fee are priced in the order given: send them in it.
 * @throws `BAD_ARGUMENT` as `findPaths` does, and for `maxParts` (8 if not given) not from 1 to 64.
 */
export function splitPayment(
  graph: Graph,
  query: PathQuery & { readonly maxParts?: number | undefined },
): readonly Path[] | undefined {
  const { maxParts = 8 } = query
  assertArgument(Number.isInteger(maxParts) && maxParts >= 1 && maxParts <= MAX_PARTS, 'maxParts', `from 1 to ${MAX_PARTS}`)
  const reserved = new Map<number, bigint>()
  const all = termsOf(graph, query, reserved)
  if (!all) return undefined
  const paths: Path[] = []
  let left = query.amount
  let feeLeft = all.maxFee
  while (paths.length < maxParts) {
    let terms: Terms = { ...all, amount: left, maxFee: feeLeft }
    let [route] = cheapestRoutes(graph, terms, 1)
    if (!route) {
      const widest = widestWay(graph, terms)
      if (!widest) return undefined
      const amount = most(graph, terms, widest)
      // No later part is wider than this one.
      if (amount === 0n || amount >= left || widest.width * BigInt(maxParts - paths.length) < left) return undefined
      terms = { ...terms, amount }
      ;[route] = cheapestRoutes(graph, terms, 1)
      if (!route) return undefined
    }
    const path = pathOf(graph, terms, route)
    paths.push(path)
    left -= terms.amount
    feeLeft -= path.fee
    if (left === 0n) return paths
    for (const [i, edge] of route.edges.entries()) reserved.set(edge, (reserved.get(edge) ?? 0n) + route.amounts[i]!)
  }
  return undefined
}

/** The edges of a way, the one into the target first, and the least that one of them can carry. */
interface Way {
  readonly edges: readonly number[]
  readonly width: bigint
}

/** The way of up to `maxHops` with the widest bottleneck, fees left aside: hop by hop from the target (Bellman and Ford). */
function widestWay(graph: Graph, { from, to, maxHops, avoidNodes, avoidEdges, reserved }: Terms): Way | undefined {
  const { links, starts, lengths, usable } = graph.table
  const widths = new Map([[to, 1n << 256n]])
  /** For each number of hops: the edge by which a node got wider. */
  const steps: Map<number, number>[] = []
  let changed = new Map(widths)
  for (let hops = 0; hops < maxHops && changed.size > 0; hops++) {
    const step = new Map<number, number>()
    const wider = new Map<number, bigint>()
    for (const [node, width] of changed) {
      if (node === from) continue
      for (let at = starts[node]!; at < starts[node]! + lengths[node]!; at += 2) {
        const edge = links[at]! ^ 1
        const next = links[at + 1]!
        let reach = usable[edge]!
        if (reach === 0n || avoidNodes.has(next) || avoidEdges.has(edge)) continue
        reach -= reserved.get(edge) ?? 0n
        if (reach > width) reach = width
        if (reach <= (widths.get(next) ?? 0n) || reach <= (widths.get(from) ?? 0n)) continue
        widths.set(next, reach)
        wider.set(next, reach)
        step.set(next, edge)
      }
    }
    steps.push(step)
    changed = wider
  }
  const width = widths.get(from)
  if (width === undefined) return undefined
  const { source } = graph.table
  const edges: number[] = []
  let hops = steps.findLastIndex((step) => step.has(from))
  for (let node = from; node !== to; hops--) {
    const edge = steps[hops]!.get(node)!
    edges.unshift(edge)
    node = source[edge ^ 1]!
  }
  return { edges, width }
}

/** The most that can arrive over a way, up to what is left, and within the fee that is left: by halving. */
function most(graph: Graph, { amount, maxFee, reserved }: Terms, { edges, width }: Way): bigint {
  const { directions, usable } = graph.table
  const taken = (edge: number): bigint => reserved.get(edge) ?? 0n
  const fits = (arrives: bigint): boolean => {
    let sent = arrives
    return edges.every((edge, i) => {
      if (i > 0) {
        const before = edges[i - 1]!
        sent += mediationFee(directions[before]!.fees, sent, capacityOf(graph.table, before) - taken(before))
      }
      return sent <= usable[edge]! - taken(edge) && sent - arrives <= maxFee
    })
  }
  let low = 0n
  let high = width < amount ? width : amount
  while (low < high) {
    const middle = (low + high + 1n) / 2n
    if (fits(middle)) low = middle
    else high = middle - 1n
  }
  return low
}
