/**
 * Small random networks for the tests of routing, and a path finder that tries everything.
 * @module
 */
import fc from 'fast-check'
import { createManualClock } from '../../testing/manualClock.ts'
import { mediationFee, NO_FEES, type FeeSchedule } from './fees.ts'
import { createGraph, type Direction, type Graph } from './graph.ts'
import { type Path } from './paths.ts'

export const address = (node: number): string => `0x${node.toString(16).padStart(40, '0')}`
export const channelId = (number: number): string => `0x${number.toString(16).padStart(64, '0')}`

/** Fee schedules whose figures are about as large as amounts of a few hundred, times `scale`. */
export function schedules(scale = 1n): fc.Arbitrary<FeeSchedule> {
  const curve = fc.array(fc.tuple(fc.bigInt(1n, 60n), fc.bigInt(-60n, 60n)), { minLength: 2, maxLength: 21 }).map((steps) => {
    let [x, y] = [0n, 30n]
    return steps.map(([run, rise]): [bigint, bigint] => {
      const limited = rise > run ? run : -rise > run ? -run : rise
      ;[x, y] = [x + run, y + limited > 0n ? y + limited : 0n]
      return [x * scale, y * scale]
    })
  })
  const flat = fc.bigInt(0n, 20n).map((fee) => fee * scale)
  return fc.oneof(
    fc.constant(NO_FEES),
    fc.record({ flat, proportional: fc.nat(200_000), imbalance: fc.constant([]) }),
    fc.record({ flat: fc.oneof(fc.constant(0n), flat), proportional: fc.nat(50_000), imbalance: curve }),
  )
}

export interface TestChannel {
  readonly ends: readonly [number, number]
  readonly total: bigint
  readonly sides: readonly { readonly capacity: bigint; readonly fees: FeeSchedule; readonly enabled: boolean }[]
}

/** 4 to 14 channels between up to 6 nodes, sometimes two between the same. */
export function networks(scale = 1n): fc.Arbitrary<readonly TestChannel[]> {
  const amount = fc.bigInt(0n, 600n).map((units) => units * scale + (scale > 1n ? units : 0n))
  const side = fc.record({ capacity: amount, fees: schedules(scale), enabled: fc.integer({ min: 0, max: 9 }).map((n) => n > 0) })
  const channel = fc.record({
    ends: fc.tuple(fc.nat(5), fc.nat(5)).filter(([a, b]) => a !== b),
    total: amount.map((more) => 300n * scale + more),
    sides: fc.tuple(side, side),
  })
  return fc.array(channel, { minLength: 4, maxLength: 14, size: 'max' })
}

export const said = (direction: Partial<Direction> & Pick<Direction, 'capacity'>): Direction => ({
  fees: NO_FEES, revealTimeout: 60, enabled: true, sequence: 1, nonces: { own: 1, partner: 1 }, ...direction,
})

export function graphOf(channels: readonly TestChannel[], clock = createManualClock()): Graph {
  const graph = createGraph({ clock })
  for (const [i, { ends, total, sides }] of channels.entries()) {
    graph.addChannel({ channelId: channelId(i), participants: [address(ends[0]), address(ends[1])], total })
    for (const [j, side] of sides.entries()) graph.announce(channelId(i), address(ends[j]!), said(side))
  }
  return graph
}

/** What every direction can send and what it would charge, by the rules and without the graph's columns. */
function feeOver(graph: Graph, channel: string, from: string, amount: bigint, taken = 0n): bigint | undefined {
  const { total } = graph.channel(channel)!
  const direction = graph.direction(channel, from)
  if (!direction?.enabled) return undefined
  const capacity = (direction.capacity < total ? direction.capacity : total) - taken
  return amount > capacity ? undefined : mediationFee(direction.fees, amount, capacity)
}

/** All simple paths, by trying everything from the target back; each with its cost, the cheapest first. */
export function allCosts(
  graph: Graph,
  query: { from: string; to: string; amount: bigint; maxHops: number; maxFee?: bigint },
): bigint[] {
  const { from, to, amount, maxHops, maxFee } = query
  const costs: bigint[] = []
  const channels = graph.table.channels.filter((channel) => channel !== undefined)
  const go = (node: string, sent: bigint, seen: readonly string[]): void => {
    if (node === from) return void costs.push(sent - amount + BigInt(seen.length - 1) * (amount / 10_000n + 1n))
    if (seen.length > maxHops) return
    for (const { channelId, participants } of channels) {
      if (!participants.includes(node)) continue
      const before = participants.find((end) => end !== node)!
      const fee = feeOver(graph, channelId, before, sent)
      if (fee === undefined || seen.includes(before)) continue
      const sum = before === from ? sent : sent + fee
      if (maxFee === undefined || sum - amount <= maxFee) go(before, sum, [...seen, before])
    }
  }
  go(to, amount, [to])
  return costs.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
}

/** What is wrong with a path, computed anew from its first hop to the last; `taken` is what other parts lock. */
export function flawOf(
  graph: Graph,
  { hops, total, fee }: Path,
  query: { from: string; to: string; amount: bigint },
  taken: ReadonlyMap<string, bigint> = new Map(),
): string | undefined {
  if (hops.length === 0 || hops[0]!.amount !== total || total - fee !== query.amount) return 'the sums'
  if (hops.at(-1)!.node !== query.to || hops.at(-1)!.amount !== query.amount || hops.at(-1)!.fee !== 0n) return 'the target'
  const nodes = [query.from, ...hops.map((hop) => hop.node)]
  if (new Set(nodes).size !== nodes.length) return 'a node comes twice'
  for (const [i, hop] of hops.entries()) {
    const [from, to] = [nodes[i]!, nodes[i + 1]!]
    const channel = graph.channel(hop.channelId)
    if (!channel?.participants.includes(from) || !channel.participants.includes(to)) return 'a channel that leads elsewhere'
    const asked = feeOver(graph, hop.channelId, from, hop.amount, taken.get(`${hop.channelId}/${from}`) ?? 0n)
    if (asked === undefined) return 'a channel that is too small'
    if (i > 0 && (hops[i - 1]!.amount - hop.amount !== asked || hops[i - 1]!.fee !== asked)) return 'a fee'
  }
  return undefined
}
