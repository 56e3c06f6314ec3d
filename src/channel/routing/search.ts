/**
 * The search for one cheapest route, from the target back to the source.
 * @module
 */
import { mediationFee } from './fees.ts'
import { capacityOf, type GraphTable } from './graph.ts'
import { createHeap } from './heap.ts'

/** What a route has to keep to, by the numbers of a {@link GraphTable}. */
export interface Terms {
  readonly from: number
  readonly to: number
  /** What arrives at the target. */
  readonly amount: bigint
  readonly maxHops: number
  readonly maxFee: bigint
  /** What a hop counts beside its fee; at least 1. */
  readonly hopCost: bigint
  readonly avoidNodes: ReadonlySet<number>
  readonly avoidEdges: ReadonlySet<number>
  /** By edge: what other parts of the same payment take of its capacity. */
  readonly reserved: ReadonlyMap<number, bigint>
}

/** A way from the target back to the source, or the part of it next to the target. */
export interface Route {
  /** The edges, the one into the target first. */
  readonly edges: readonly number[]
  /** What is locked on each of them. */
  readonly amounts: readonly bigint[]
}

/** Finds cheapest routes under terms. */
export interface Search {
  /**
   * The cheapest simple route that begins (at the target) with the first `keep` edges of `route` and goes on with none of
   * `banned`, unless it costs more than `most`.
   */
  cheapest(route?: Route, keep?: number, banned?: ReadonlySet<number>, most?: number): Route | undefined
}

/** The most labels and steps of one search (some 80 MB), which ends without a route then: hostile fees can't hold it up. */
const MAX_LABELS = 2 ** 16
const MAX_STEPS = 2 ** 21

/** More hops than any path has. */
const FAR = 255
const UNREACHED = 2 ** 31 - 1
/** In how many steps the cost of a hop is divided where costs are counted in whole steps. */
const STEPS = 8
/** Steps that a hop can cost at most there; dearer ones count as that. */
const RING = 4096

/**
 * Prepares searches under the same terms: computes from the source what every node costs at least.
 *
 * A search goes backwards, since every mediator adds its fee to what the one before it must send: only from the target is
 * it known how much that is. It is an A* search over labels (amount, hops): at a node, a label is dropped when another has
 * neither a greater amount nor more hops, because what comes after it can't be dearer then (see `mediationFee`). Amounts
 * and fees of labels are exact; plain numbers only order the queue and leave out what can't do.
 */
export function prepareSearch(table: Readonly<GraphTable>, terms: Terms): Search {
  const { from, to, amount, maxHops, maxFee, avoidNodes, avoidEdges, reserved } = terms
  const { source, numbers, curves, links, starts, lengths, places, directions, usable } = table
  const size = table.addresses.length
  const hop = Number(terms.hopCost)
  const step = hop / STEPS
  const sum = Number(amount)
  const fewest = fewestHops()
  const bounds = leastCosts()

  /** About the least fee of an edge for what lies between two amounts. */
  function leastFee(edge: number, place: number, low: number, high: number): number {
    const fee = numbers[2 * place + 1]! + numbers[2 * place + 2]! * low
    const held = numbers[2 * place + 3]!
    if (held < 0) return fee
    const curve = curves[edge]!
    const taken = reserved.size > 0 ? Number(reserved.get(edge) ?? 0n) : 0
    const change = taken > 0 ? penaltyAt(curve, held) - penaltyAt(curve, held - taken) : 0
    return Math.max(0, fee + change + leastPenalty(curve, held - taken - high, held - taken - low))
  }

  /** By node: the fewest hops from the source; {@link FAR} when there is no way in `maxHops`. */
  function fewestHops(): Uint8Array {
    const hops = new Uint8Array(size).fill(FAR)
    for (const node of avoidNodes) hops[node] = 0
    hops[from] = 0
    const line = [from]
    for (let i = 0; i < line.length && hops[line[i]!]! < maxHops; i++) {
      const node = line[i]!
      if (node === to) continue
      const count = hops[node]! + 1
      const end = starts[node]! + lengths[node]!
      for (let at = starts[node]!; at < end; at += 2) {
        const edge = links[at]!
        const next = links[at + 1]!
        if (hops[next] !== FAR || numbers[2 * at]! < sum || avoidEdges.has(edge)) continue
        hops[next] = count
        line.push(next)
      }
    }
    for (const node of avoidNodes) hops[node] = FAR
    return hops
  }

  /**
   * By node: what the way from the source costs at least, by Dijkstra's algorithm with a ring of buckets for a queue (Dial).
   * For that costs are counted in whole steps, rounded down: bounds that are a little low cost less than a heap.
   *
   * It ends at the target: a node beyond costs at least as much, and little is searched there.
   */
  function leastCosts(): Int32Array {
    const costs = new Int32Array(size).fill(UNREACHED)
    const most = sum + Number(maxFee)
    /** The first node of each bucket; the others follow by `after`, and -1 ends a list. */
    const ring = new Int32Array(RING).fill(-1)
    const after = new Int32Array(size)
    const before = new Int32Array(size)
    for (const node of avoidNodes) costs[node] = 0
    costs[from] = 0
    ring[0] = from
    after[from] = -1
    let cost = 0
    for (let waiting = 1; waiting > 0 && cost < costs[to]!; cost++) {
      // No hop costs nothing, so none comes back into the bucket that is emptied.
      for (let node = ring[cost % RING]!; node >= 0; node = after[node]!) {
        waiting--
        if (node === to) continue
        const end = starts[node]! + lengths[node]!
        for (let at = starts[node]!; at < end; at += 2) {
          const edge = links[at]!
          const next = links[at + 1]!
          const known = costs[next]!
          if (cost + STEPS >= known || numbers[2 * at]! < sum || avoidEdges.has(edge)) continue
          const fee = node === from ? 0 : leastFee(edge, at, sum, most)
          const total = cost + STEPS + Math.min(Math.floor(fee / step), RING - 1 - STEPS)
          if (total >= known) continue
          if (known === UNREACHED) waiting++
          else {
            if (before[next]! < 0) ring[known % RING] = after[next]!
            else after[before[next]!] = after[next]!
            if (after[next]! >= 0) before[after[next]!] = before[next]!
          }
          const first = ring[total % RING]!
          if (first >= 0) before[first] = next
          after[next] = first
          before[next] = -1
          ring[total % RING] = next
          costs[next] = total
        }
      }
      ring[cost % RING] = -1
    }
    if (costs[to] !== UNREACHED) for (let node = 0; node < size; node++) if (costs[node]! > cost) costs[node] = cost
    for (const node of avoidNodes) costs[node] = UNREACHED
    return costs
  }

  /** What edge `edge` asks of the node it leaves to send `sent` over it, or undefined if it can't. */
  const asked = (edge: number, sent: bigint): bigint | undefined => {
    const taken = reserved.get(edge) ?? 0n
    if (usable[edge]! - taken < sent) return undefined
    if (source[edge] === from) return sent
    return sent + mediationFee(directions[edge]!.fees, sent, capacityOf(table, edge) - taken)
  }

  return {
    cheapest(route = { edges: [], amounts: [] }, keep = 0, banned = new Set(), most = Infinity) {
      if (bounds[to] === UNREACHED) return undefined
      // Labels, by column.
      const nodes: number[] = []
      const amounts: bigint[] = []
      const hops: number[] = []
      const parents: number[] = []
      const edges: number[] = []
      /** The label that was found at the same node before. */
      const others: number[] = []
      /** By node: the label found last; -2 is a node of the part that is kept. */
      const latest = new Int32Array(size).fill(-1)
      // Steps that were not computed yet, by column.
      const stepParents: number[] = []
      const stepEdges: number[] = []
      /** A label, or the complement of a step, by the least that a route through it costs. */
      const queue = createHeap()

      const add = (node: number, sent: bigint, count: number, parent: number, edge: number): number => {
        const label = nodes.push(node) - 1
        amounts.push(sent)
        hops.push(count)
        parents.push(parent)
        edges.push(edge)
        others.push(latest[node]!)
        latest[node] = label
        return label
      }

      const dominated = (node: number, sent: bigint, count: number): boolean => {
        for (let other = latest[node]!; other >= 0; other = others[other]!) {
          if (hops[other]! <= count && amounts[other]! <= sent) return true
        }
        return false
      }

      /** Computes a step: the label it leads to, unless it is not allowed or leads nowhere better. */
      const take = (parent: number, edge: number): number | undefined => {
        const sent = asked(edge, amounts[parent]!)
        const count = hops[parent]! + 1
        if (sent === undefined || sent - amount > maxFee || dominated(source[edge]!, sent, count)) return undefined
        return add(source[edge]!, sent, count, parent, edge)
      }

      let start = to
      for (let i = 0; i < keep; i++) {
        latest[start] = -2
        start = source[route.edges[i]!]!
      }
      queue.push(0, add(start, route.amounts[keep] ?? amount, keep, -1, -1))

      while (queue.size > 0 && nodes.length < MAX_LABELS && stepEdges.length < MAX_STEPS) {
        const entry = queue.pop()
        let label: number | undefined = entry
        if (entry < 0) {
          label = take(stepParents[~entry]!, stepEdges[~entry]!)
          if (label === undefined) continue
          const cost = Number(amounts[label]! - amount) + hop * hops[label]! + step * bounds[nodes[label]!]!
          if (cost > queue.least) {
            queue.push(cost, label)
            continue
          }
        }
        if (nodes[label] === from) {
          const found = { edges: route.edges.slice(0, keep), amounts: route.amounts.slice(0, keep) }
          const tail: number[] = []
          for (let at = label; parents[at]! >= 0; at = parents[at]!) tail.push(at)
          for (const at of tail.reverse()) {
            found.edges.push(edges[at]!)
            found.amounts.push(amounts[parents[at]!]!)
          }
          return found
        }
        const sent = Number(amounts[label]!)
        const cost = Number(amounts[label]! - amount) + hop * (hops[label]! + 1)
        const end = starts[nodes[label]!]! + lengths[nodes[label]!]!
        for (let at = starts[nodes[label]!]!; at < end; at += 2) {
          const edge = links[at]! ^ 1
          const node = links[at + 1]!
          const place = places[edge]!
          if (numbers[2 * place]! < sent) continue
          if (hops[label]! + 1 + fewest[node]! > maxHops || bounds[node] === UNREACHED || latest[node] === -2) continue
          const fee = node === from ? 0 : leastFee(edge, place, sent, sent)
          const least = cost + fee + step * bounds[node]!
          if (least > most || (label === 0 && banned.has(edge)) || avoidEdges.has(edge)) continue
          stepParents.push(label)
          stepEdges.push(edge)
          queue.push(least, -stepEdges.length)
        }
      }
      return undefined
    },
  }
}

/** About the least penalty between two balances: it is at one of them or at a point of the curve. */
function leastPenalty(curve: Float64Array, low: number, high: number): number {
  let least = Math.min(penaltyAt(curve, low), high > low ? penaltyAt(curve, high) : Infinity)
  for (let i = 0; i < curve.length && high > low; i += 2) {
    if (curve[i]! > low && curve[i]! < high && curve[i + 1]! < least) least = curve[i + 1]!
  }
  return least
}

function penaltyAt(curve: Float64Array, balance: number): number {
  if (balance <= curve[0]!) return curve[1]!
  for (let i = 2; i < curve.length; i += 2) {
    const x = curve[i]!
    if (balance > x) continue
    return curve[i + 1]! + ((curve[i - 1]! - curve[i + 1]!) * (x - balance)) / (x - curve[i - 2]!)
  }
  return curve[curve.length - 1]!
}
