/**
 * Speed of path finding: random payments over a large random network.
 * @module
 */
import { systemClock } from '../../src/core/clock.ts'
import { mediationFee, NO_FEES, type FeeSchedule } from '../../src/channel/routing/fees.ts'
import { createGraph, type Graph } from '../../src/channel/routing/graph.ts'
import { findPaths } from '../../src/channel/routing/paths.ts'
import { percentile, type Row } from '../lib/report.ts'

const NODES = 10_000
/** Channels that each new node opens: 50,000 in all. */
const DEGREE = 5
const QUERIES = 500
/** The textbook is slow. */
const BASELINE_QUERIES = 20
const PATHS = 3

/** Measures the case `paths`: p99 of a query for three paths, and p50 beside it. */
export async function paths(say: (line: string) => void): Promise<readonly Row[]> {
  const random = seeded(1)
  const began = performance.now()
  const graph = network(random)
  const { nodes, channels } = graph.size
  say(`  ${nodes} nodes, ${channels} channels, built in ${Math.round(performance.now() - began)} ms`)
  const queries = Array.from({ length: QUERIES }, () => {
    const from = Math.floor(random() * NODES)
    const to = (from + 1 + Math.floor(random() * (NODES - 1))) % NODES
    return { from: address(from), to: address(to), amount: BigInt(Math.floor(10 ** (15 + 3 * random()))), count: PATHS }
  })
  for (const query of queries.slice(0, 50)) findPaths(graph, query) // warms the compiler

  const times: number[] = []
  let found = 0
  for (const query of queries) {
    const start = performance.now()
    found += findPaths(graph, query).length
    times.push(performance.now() - start)
  }
  const textbook = textbookOf(graph)
  const textbookTimes: number[] = []
  for (const query of queries.slice(0, BASELINE_QUERIES)) {
    const start = performance.now()
    textbook(query.from, query.to, query.amount, PATHS)
    textbookTimes.push(performance.now() - start)
  }
  const traversals: number[] = []
  for (let i = 0; i < 100; i++) {
    const start = performance.now()
    if (traverse(graph) !== 2 * channels) throw new Error('the traversal missed edges')
    traversals.push(performance.now() - start)
  }
  say(`  ${(found / QUERIES).toFixed(2)} paths a query, slowest ${Math.max(...times).toFixed(1)} ms`)
  return [50, 99].map((percent) => ({
    bench: 'channel',
    case: percent === 99 ? 'paths' : `paths-p${percent}`,
    value: percentile(times, percent),
    unit: 'ms/op',
    baseline: { name: `textbook Dijkstra and Yen, ${BASELINE_QUERIES} queries`, value: percentile(textbookTimes, percent) },
    limit: { name: 'one look at every edge', value: percentile(traversals, percent) },
  }))
}

/** Numbers from 0 to 1 that are the same in every run (xorshift32). */
function seeded(seed: number): () => number {
  let state = seed * 0x9e3779b9 | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

const address = (node: number): string => `0x${node.toString(16).padStart(40, '0')}`

/** A network where new nodes open channels to those that have many: a few hubs, many leaves. */
function network(random: () => number): Graph {
  const graph = createGraph({ clock: systemClock })
  /** Every node as often as it has channels. */
  const ends: number[] = []
  let count = 0
  const open = (a: number, b: number): void => {
    const channelId = `0x${(count++).toString(16).padStart(64, '0')}`
    const total = BigInt(Math.floor(10 ** (17 + 2.5 * random())))
    const participants = [address(a), address(b)] as const
    graph.addChannel({ channelId, participants, total })
    const share = (total * BigInt(Math.floor(random() * 1001))) / 1000n
    for (const [i, capacity] of [share, total - share].entries()) {
      const direction = { capacity, fees: fees(random, total), revealTimeout: 600, enabled: random() < 0.98 }
      graph.announce(channelId, participants[i]!, { ...direction, sequence: 1, nonces: { own: 1, partner: 1 } })
    }
    ends.push(a, b)
  }
  for (let a = 0; a <= DEGREE; a++) for (let b = 0; b < a; b++) open(a, b)
  for (let node = DEGREE + 1; node < NODES; node++) {
    const partners = new Set<number>()
    while (partners.size < DEGREE) partners.add(ends[Math.floor(random() * ends.length)]!)
    for (const partner of partners) open(node, partner)
  }
  return graph
}

/** Three of ten forward for nothing, as many ask for more when a channel gets out of balance. */
function fees(random: () => number, total: bigint): FeeSchedule {
  const kind = random()
  if (kind < 0.3) return NO_FEES
  const flat = BigInt(Math.floor(random() * 1e12))
  const proportional = Math.floor(random() * 5000)
  if (kind < 0.7) return { flat, proportional, imbalance: [] }
  const worst = (total * 3n) / 1000n
  return { flat, proportional, imbalance: [[0n, worst], [total / 2n, 0n], [total, worst]] }
}

/** What any search that looks at the whole graph has to do at least. */
function traverse({ table: { addresses, links, starts, lengths, numbers } }: Graph): number {
  let seen = 0
  for (let node = 0; node < addresses.length; node++) {
    const end = starts[node]! + lengths[node]!
    for (let at = starts[node]!; at < end; at += 2) if (links[at]! >= 0 && numbers[2 * at]! >= 0) seen++
  }
  return seen
}

/** The same by the book: strings, a Map, bigints, and Dijkstra's algorithm anew for every spur. */
function textbookOf(graph: Graph): (from: string, to: string, amount: bigint, count: number) => number {
  interface Edge { readonly id: string; readonly from: string; readonly capacity: bigint; readonly fees: FeeSchedule }
  interface Way { readonly nodes: readonly string[]; readonly edges: readonly Edge[]; readonly sums: readonly bigint[] }
  interface Found extends Way { readonly cost: bigint }
  const into = new Map<string, Edge[]>()
  for (const channel of graph.table.channels) {
    for (const [i, from] of channel!.participants.entries()) {
      const direction = graph.direction(channel!.channelId, from)!
      if (!direction.enabled) continue
      const to = channel!.participants[1 - i]!
      const { capacity, fees } = direction
      into.set(to, [...(into.get(to) ?? []), { id: `${channel!.channelId}/${i}`, from, capacity, fees }])
    }
  }
  return (from, to, amount, count) => {
    const hop = amount / 10_000n + 1n
    const dijkstra = (start: string, sum: bigint, nodes: ReadonlySet<string>, edges: ReadonlySet<string>): Way | undefined => {
      const best = new Map<string, { cost: bigint; sum: bigint; edge?: Edge; to?: string }>([[start, { cost: 0n, sum }]])
      const done = new Set<string>()
      const heap: { cost: bigint; node: string }[] = [{ cost: 0n, node: start }]
      while (heap.length > 0) {
        const { node } = popLeast(heap)
        if (done.has(node)) continue
        done.add(node)
        if (node === from) break
        const at = best.get(node)!
        for (const edge of into.get(node) ?? []) {
          if (edge.capacity < at.sum || done.has(edge.from) || nodes.has(edge.from) || edges.has(edge.id)) continue
          const fee = edge.from === from ? 0n : mediationFee(edge.fees, at.sum, edge.capacity)
          const cost = at.cost + fee + hop
          const known = best.get(edge.from)
          if (known && known.cost <= cost) continue
          best.set(edge.from, { cost, sum: at.sum + fee, edge, to: node })
          pushHeap(heap, { cost, node: edge.from })
        }
      }
      if (!done.has(from)) return undefined
      // From the target to the source, as the searches go.
      const found = { nodes: [from], edges: [] as Edge[], sums: [] as bigint[] }
      for (let at = best.get(from)!; at.edge; at = best.get(at.to!)!) {
        found.nodes.unshift(at.to!)
        found.edges.unshift(at.edge)
        found.sums.unshift(best.get(at.to!)!.sum)
      }
      return found
    }
    const costOf = ({ edges, sums }: Way): bigint => sums[sums.length - 1]! - amount + hop * BigInt(edges.length)
    const first = dijkstra(to, amount, new Set(), new Set())
    if (!first) return 0
    const found: Found[] = [{ ...first, cost: costOf(first) }]
    const candidates: Found[] = []
    while (found.length < count) {
      const last = found[found.length - 1]!
      for (let i = 0; i < last.edges.length; i++) {
        const root = last.edges.slice(0, i)
        const same = found.filter((other) => root.every((edge, j) => edge === other.edges[j]))
        const banned = new Set(same.map((other) => other.edges[i]!.id))
        const spur = dijkstra(last.nodes[i]!, last.sums[i] ?? amount, new Set(last.nodes.slice(0, i)), banned)
        if (!spur) continue
        const whole = {
          nodes: [...last.nodes.slice(0, i), ...spur.nodes],
          edges: [...root, ...spur.edges],
          sums: [...last.sums.slice(0, i), ...spur.sums],
        }
        if (candidates.some((other) => other.edges.map((e) => e.id).join() === whole.edges.map((e) => e.id).join())) continue
        candidates.push({ ...whole, cost: costOf(whole) })
      }
      candidates.sort((a, b) => (a.cost < b.cost ? -1 : a.cost > b.cost ? 1 : 0))
      const next = candidates.shift()
      if (!next) break
      found.push(next)
    }
    return found.length
  }
}

function pushHeap<T extends { readonly cost: bigint }>(heap: T[], item: T): void {
  let at = heap.push(item) - 1
  for (let up = (at - 1) >> 1; at > 0 && heap[up]!.cost > item.cost; up = (at - 1) >> 1) {
    heap[at] = heap[up]!
    heap[up] = item
    at = up
  }
}

function popLeast<T extends { readonly cost: bigint }>(heap: T[]): T {
  const least = heap[0]!
  const item = heap.pop()!
  if (heap.length === 0) return least
  heap[0] = item
  for (let at = 0; ;) {
    let down = 2 * at + 1
    if (down + 1 < heap.length && heap[down + 1]!.cost < heap[down]!.cost) down++
    if (down >= heap.length || heap[down]!.cost >= item.cost) return least
    heap[at] = heap[down]!
    heap[down] = item
    at = down
  }
}
