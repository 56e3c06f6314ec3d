import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createManualClock } from '../../testing/manualClock.ts'
import { NO_FEES } from './fees.ts'
import { createGraph, type Graph } from './graph.ts'
import { findPaths } from './paths.ts'
import { splitPayment } from './split.ts'
import { address, channelId, flawOf, graphOf, networks, said } from './testNetwork.testing.ts'

/** Ways `0 - i - 9` that carry the given amounts. */
function ways(...capacities: readonly bigint[]): Graph {
  const graph = createGraph({ clock: createManualClock() })
  for (const [i, capacity] of capacities.entries()) {
    for (const [j, [a, b]] of [[0, i + 1] as const, [i + 1, 9] as const].entries()) {
      const id = channelId(2 * i + j)
      graph.addChannel({ channelId: id, participants: [address(a), address(b)], total: 1000n })
      graph.announce(id, address(a), said({ capacity }))
    }
  }
  return graph
}
const query = { from: address(0), to: address(9), amount: 100n }

describe('splitPayment', () => {
  it('takes one path if one carries it all', () => {
    expect(splitPayment(ways(60n, 100n), query)).toEqual(findPaths(ways(60n, 100n), { ...query, count: 1 }))
  })

  it('fills the widest path first', () => {
    const parts = splitPayment(ways(20n, 50n, 40n), query)
    expect(parts?.map(({ hops }) => [Number(hops[0]!.node), hops.at(-1)!.amount])).toEqual([[2, 50n], [3, 40n], [1, 10n]])
  })

  it('gives up when the parts would be too many, too small or too dear', () => {
    expect(splitPayment(ways(20n, 50n, 40n), { ...query, maxParts: 2 })).toBeUndefined()
    expect(splitPayment(ways(20n, 39n, 40n), query)).toBeUndefined()
    expect(splitPayment(ways(), query)).toBeUndefined()
    const graph = ways(60n, 60n)
    for (const [id, from] of [[1, 1], [3, 2]] as const) {
      graph.announce(channelId(id), address(from), said({ capacity: 60n, fees: { ...NO_FEES, flat: 3n }, sequence: 2 }))
    }
    expect(splitPayment(graph, { ...query, maxFee: 6n })?.map((path) => path.fee)).toEqual([3n, 3n])
    expect(splitPayment(graph, { ...query, maxFee: 5n })).toBeUndefined()
    expect(() => splitPayment(graph, { ...query, maxParts: 0 })).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
  })

  it('fills a path no further than the fee allows', () => {
    const graph = ways(60n, 50n)
    const fees = { ...NO_FEES, proportional: 100_000 }
    graph.announce(channelId(1), address(1), said({ capacity: 60n, fees, sequence: 2 }))
    const parts = splitPayment(graph, { ...query, maxFee: 5n })
    expect(parts?.map(({ total, fee }) => [total, fee])).toEqual([[50n, 0n], [55n, 5n]])
  })

  it('gives parts that add up and fit beside each other, fees and all', { timeout: 60_000 }, () => {
    const maxFees = fc.option(fc.bigInt(0n, 100n), { nil: undefined })
    const cases = fc.tuple(networks(), fc.bigInt(1n, 1500n), fc.integer({ min: 1, max: 8 }), maxFees)
    let several = 0
    fc.assert(
      fc.property(cases, ([channels, amount, maxParts, maxFee]) => {
        const graph = graphOf(channels)
        const ask = { from: address(0), to: address(1), amount, maxParts, maxFee }
        const parts = splitPayment(graph, ask)
        if (!parts) return void expect(findPaths(graph, ask)).toEqual([])
        expect(parts.length).toBeLessThanOrEqual(maxParts)
        expect(parts.reduce((sum, part) => sum + part.hops.at(-1)!.amount, 0n)).toBe(amount)
        if (maxFee !== undefined) expect(parts.reduce((sum, part) => sum + part.fee, 0n) <= maxFee).toBe(true)
        const taken = new Map<string, bigint>()
        for (const part of parts) {
          expect(flawOf(graph, part, { ...ask, amount: part.hops.at(-1)!.amount }, taken)).toBeUndefined()
          for (const [i, { channelId, amount }] of part.hops.entries()) {
            const key = `${channelId}/${i === 0 ? ask.from : part.hops[i - 1]!.node}`
            taken.set(key, (taken.get(key) ?? 0n) + amount)
          }
        }
        if (parts.length > 1) several++
      }),
      { numRuns: 3000 },
    )
    expect(several).toBeGreaterThan(100)
  })
})
