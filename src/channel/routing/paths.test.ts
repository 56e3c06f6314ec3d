import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createManualClock } from '../../testing/manualClock.ts'
import { NO_FEES } from './fees.ts'
import { createGraph, type Graph } from './graph.ts'
import { findPaths, whyNoPath, type Path } from './paths.ts'
import { address, allCosts, channelId, flawOf, graphOf, networks, said } from './testNetwork.testing.ts'

const costOf = ({ hops, fee }: Path, amount: bigint): bigint => fee + BigInt(hops.length) * (amount / 10_000n + 1n)

/** Channels `a-b` of 1,000 that are announced from both sides without fees. */
function net(...edges: readonly (readonly [number, number, (Partial<Parameters<typeof said>[0]> | undefined)?])[]): Graph {
  const graph = createGraph({ clock: createManualClock() })
  for (const [i, [a, b, more]] of edges.entries()) {
    graph.addChannel({ channelId: channelId(i), participants: [address(a), address(b)], total: 1000n })
    for (const end of [a, b]) graph.announce(channelId(i), address(end), said({ capacity: 1000n, ...more }))
  }
  return graph
}
const route = (path: Path | undefined): number[] | undefined => path?.hops.map(({ node }) => Number(node))
const query = { from: address(0), to: address(9), amount: 100n }

describe('findPaths, beside trying everything', () => {
  const cases = fc.record({
    channels: networks(),
    amount: fc.bigInt(1n, 400n),
    count: fc.integer({ min: 1, max: 6 }),
    maxHops: fc.integer({ min: 1, max: 7 }),
    maxFee: fc.option(fc.bigInt(0n, 80n), { nil: undefined }),
  })

  it('finds the same costs in the same order, and paths that hold', { timeout: 60_000 }, () => {
    let found = 0
    fc.assert(
      fc.property(cases, ({ channels, amount, count, maxHops, maxFee }) => {
        const graph = graphOf(channels)
        const ask = { from: address(0), to: address(1), amount, maxHops, ...(maxFee === undefined ? {} : { maxFee }) }
        const paths = findPaths(graph, { ...ask, count })
        expect(paths.map((path) => costOf(path, amount))).toEqual(allCosts(graph, ask).slice(0, count))
        for (const path of paths) expect(flawOf(graph, path, ask)).toBeUndefined()
        expect(new Set(paths.map(({ hops }) => hops.map((hop) => hop.channelId).join())).size).toBe(paths.length)
        if (paths.length === 0) expect(whyNoPath(graph, ask)).toBeDefined()
        else expect(whyNoPath(graph, ask)).toBeUndefined()
        found += paths.length
      }),
      { numRuns: 3000 },
    )
    expect(found).toBeGreaterThan(2000)
  })

  it('stays exact where plain numbers are not: amounts of 2^70 and more', { timeout: 60_000 }, () => {
    const scale = 2n ** 70n + 1n
    fc.assert(
      fc.property(networks(scale), fc.bigInt(1n, 400n), fc.bigInt(-3n, 3n), (channels, units, odd) => {
        const graph = graphOf(channels)
        const ask = { from: address(0), to: address(1), amount: units * (scale + 1n) + odd, maxHops: 7 }
        const paths = findPaths(graph, { ...ask, count: 4 })
        const all = allCosts(graph, ask)
        expect(paths.length).toBe(Math.min(4, all.length))
        for (const [i, path] of paths.entries()) {
          expect(flawOf(graph, path, ask)).toBeUndefined()
          const difference = costOf(path, ask.amount) - all[i]!
          expect((difference < 0n ? -difference : difference) <= all[i]! >> 48n).toBe(true)
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('findPaths', () => {
  it('takes what the mediator asks for its outgoing channel, and nothing for the first', () => {
    const graph = net(
      [0, 1, { fees: { ...NO_FEES, flat: 50n } }],
      [1, 9, { fees: { flat: 5n, proportional: 10_000, imbalance: [] } }],
    )
    expect(findPaths(graph, query)).toEqual([
      {
        hops: [
          { node: address(1), channelId: channelId(0), amount: 106n, fee: 6n },
          { node: address(9), channelId: channelId(1), amount: 100n, fee: 0n },
        ],
        total: 106n,
        fee: 6n,
      },
    ])
  })

  it('compares fees and hops: a hop is worth a ten-thousandth of the amount', () => {
    const fees = (flat: bigint) => ({ fees: { ...NO_FEES, flat } })
    // Two hops for 6 beside three hops for 1 to 5: a hop more counts 1.
    const ways = (flat: bigint) => net([0, 1], [1, 9, fees(6n)], [0, 2], [2, 3], [3, 9, fees(flat)])
    expect(route(findPaths(ways(4n), query)[0])).toEqual([2, 3, 9])
    expect(route(findPaths(ways(6n), query)[0])).toEqual([1, 9])
  })

  it('knows that a dear way to a node may be the only one that goes on', () => {
    // The cheap way to 5 has more hops; with maxHops 4, only the dear one leads on to the source.
    const graph = net([0, 6], [6, 5], [5, 9, { fees: { ...NO_FEES, flat: 30n } }], [5, 8], [8, 7], [7, 9])
    expect(route(findPaths(graph, { ...query, maxHops: 5 })[0])).toEqual([6, 5, 8, 7, 9])
    expect(route(findPaths(graph, { ...query, maxHops: 3 })[0])).toEqual([6, 5, 9])
    expect(findPaths(graph, { ...query, maxHops: 2 })).toEqual([])
  })

  it('keeps a way with more hops to a node when only its smaller amount fits further on', () => {
    const graph = net([0, 6], [6, 5, { capacity: 100n }], [5, 9, { fees: { ...NO_FEES, flat: 1n } }], [5, 8], [8, 7], [7, 9])
    expect(findPaths(graph, query).map(route)).toEqual([[6, 5, 8, 7, 9]])
  })

  it('keeps a dearer way with fewer hops to a node when the short way on turns out too small', () => {
    const dear = { fees: { ...NO_FEES, flat: 10n } }
    const small = { fees: { ...NO_FEES, flat: 5n } }
    const graph = net(
      [0, 6, { capacity: 100n }], [6, 5, small], [0, 3], [3, 4], [4, 5], [5, 9, dear], [5, 8], [8, 7], [7, 9],
    )
    expect(findPaths(graph, { ...query, maxHops: 5 }).map(route)).toEqual([[3, 4, 5, 9]])
  })

  it('goes round what is to be avoided', () => {
    const graph = net([0, 1], [1, 9], [0, 2], [2, 9], [0, 9])
    expect(findPaths(graph, query).map(route)).toHaveLength(3)
    expect(findPaths(graph, { ...query, avoid: [channelId(4)] }).map(route)).toEqual(expect.arrayContaining([[1, 9], [2, 9]]))
    expect(findPaths(graph, { ...query, avoid: [channelId(4), address(1), address(77)] }).map(route)).toEqual([[2, 9]])
    expect(findPaths(graph, { ...query, avoid: [address(9)] })).toEqual([])
  })

  it('passes nothing through the source or the target', () => {
    const graph = net([0, 1], [1, 2], [2, 0], [2, 9], [9, 3], [3, 1])
    for (const path of findPaths(graph, { ...query, count: 20 })) expect(new Set(route(path)).size).toBe(path.hops.length)
    expect(findPaths(graph, { ...query, count: 20 }).map(route)).toHaveLength(allCosts(graph, { ...query, maxHops: 8 }).length)
  })

  it('refuses a query that means nothing', () => {
    const graph = net([0, 9])
    const bads = [
      { amount: 0n }, { amount: -1n }, { count: 0 }, { count: 65 }, { count: 1.5 },
      { maxHops: 0 }, { maxHops: 65 }, { to: query.from },
    ]
    for (const bad of bads) {
      expect(() => findPaths(graph, { ...query, ...bad }), JSON.stringify(bad, (_, value: unknown) => String(value))).toThrow(
        expect.objectContaining({ code: 'BAD_ARGUMENT' }),
      )
    }
  })

  it('finds a way under any writing of an address', () => {
    const upper = (text: string): string => `0x${text.slice(2).toUpperCase()}`
    const graph = net([0xabc, 9])
    expect(findPaths(graph, { ...query, from: upper(address(0xabc)) })).toHaveLength(1)
    expect(findPaths(graph, { ...query, from: address(0xabc), avoid: [upper(channelId(0))] })).toEqual([])
  })
})

describe('whyNoPath', () => {
  const far = net([0, 1], [1, 2, { fees: { ...NO_FEES, flat: 7n } }], [2, 9], [3, 4])
  it.each([
    ['fee', { maxFee: 6n }],
    ['capacity', { amount: 995n }],
    ['capacity', { amount: 5000n }],
    ['hops', { maxHops: 2 }],
    ['unreachable', { to: address(4) }],
    ['unreachable', { to: address(77) }],
    ['unreachable', { avoid: [address(1)] }],
    [undefined, {}],
    [undefined, { maxFee: 7n, amount: 993n }],
  ] as const)('says %s', (why, change) => {
    expect(whyNoPath(far, { ...query, ...change })).toBe(why)
    expect(findPaths(far, { ...query, ...change }).length).toBe(why ? 0 : 1)
  })
})
