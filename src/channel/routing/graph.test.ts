import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createManualClock } from '../../testing/manualClock.ts'
import { NO_FEES } from './fees.ts'
import { createGraph, type Graph } from './graph.ts'
import { findPaths } from './paths.ts'
import { address, channelId, said } from './testNetwork.testing.ts'

const open = (graph: Graph, id: number, a: number, b: number, total = 1000n): void =>
  graph.addChannel({ channelId: channelId(id), participants: [address(a), address(b)], total })
const carries = (graph: Graph, amount: bigint, from = 0, to = 1): boolean =>
  findPaths(graph, { from: address(from), to: address(to), amount }).length > 0

describe('a routing graph', () => {
  it('sends nothing over a channel before its sender said what it can send', () => {
    const graph = createGraph({ clock: createManualClock() })
    open(graph, 1, 0, 1)
    expect(carries(graph, 1n)).toBe(false)
    expect(graph.announce(channelId(1), address(0), said({ capacity: 500n }))).toBe(true)
    expect(carries(graph, 500n)).toBe(true)
    expect(carries(graph, 501n)).toBe(false)
    expect(carries(graph, 1n, 1, 0)).toBe(false)
  })

  it('knows only channels of the chain, and only their ends', () => {
    const graph = createGraph({ clock: createManualClock() })
    open(graph, 1, 0, 1)
    open(graph, 2, 1, 2)
    expect(graph.announce(channelId(9), address(0), said({ capacity: 5n }))).toBe(false)
    expect(graph.announce(channelId(1), address(9), said({ capacity: 5n }))).toBe(false)
    expect(graph.announce(channelId(1), address(2), said({ capacity: 5n }))).toBe(false)
    expect(graph.direction(channelId(1), address(2))).toBeUndefined()
    expect(() => open(graph, 3, 4, 4)).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
    expect(graph.size).toEqual({ nodes: 3, channels: 2 })
  })

  it('keeps what was said last, by sequence', () => {
    const graph = createGraph({ clock: createManualClock() })
    open(graph, 1, 0, 1)
    expect(graph.announce(channelId(1), address(0), said({ capacity: 5n, sequence: 7 }))).toBe(true)
    expect(graph.announce(channelId(1), address(0), said({ capacity: 6n, sequence: 7 }))).toBe(false)
    expect(graph.announce(channelId(1), address(0), said({ capacity: 6n, sequence: 6 }))).toBe(false)
    expect(graph.direction(channelId(1), address(0))).toEqual(said({ capacity: 5n, sequence: 7 }))
    expect(graph.announce(channelId(1), address(0), said({ capacity: 50n, sequence: 8, enabled: false }))).toBe(true)
    expect(carries(graph, 1n)).toBe(false)
    expect(graph.announce(channelId(1), address(0), said({ capacity: 50n, sequence: 9 }))).toBe(true)
    expect(carries(graph, 50n)).toBe(true)
  })

  it('refuses fees out of range and keeps what it has', () => {
    const graph = createGraph({ clock: createManualClock() })
    open(graph, 1, 0, 1)
    graph.announce(channelId(1), address(0), said({ capacity: 5n }))
    const bad = said({ capacity: 6n, sequence: 2, fees: { ...NO_FEES, flat: -1n } })
    expect(() => graph.announce(channelId(1), address(0), bad)).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
    expect(graph.direction(channelId(1), address(0))?.capacity).toBe(5n)
  })

  it('never counts on more than the channel holds', () => {
    const graph = createGraph({ clock: createManualClock() })
    open(graph, 1, 0, 1, 100n)
    graph.announce(channelId(1), address(0), said({ capacity: 500n }))
    expect(carries(graph, 101n)).toBe(false)
    open(graph, 1, 0, 1, 300n)
    expect(carries(graph, 300n)).toBe(true)
    expect(carries(graph, 301n)).toBe(false)
    open(graph, 1, 0, 1, 900n)
    expect(carries(graph, 500n)).toBe(true)
    expect(carries(graph, 501n)).toBe(false)
  })

  it('believes what a failure taught until its time is over', async () => {
    const clock = createManualClock(1_000_000)
    const graph = createGraph({ clock })
    open(graph, 1, 0, 1)
    graph.announce(channelId(1), address(0), said({ capacity: 500n }))
    graph.limit(channelId(1), address(0), 100n, 5000)
    expect([carries(graph, 100n), carries(graph, 101n)]).toEqual([true, false])
    graph.announce(channelId(1), address(0), said({ capacity: 600n, sequence: 2 }))
    expect(carries(graph, 101n)).toBe(false)
    graph.limit(channelId(1), address(0), 0n, 9000)
    expect(carries(graph, 1n)).toBe(false)
    await clock.advance(8999)
    expect(carries(graph, 1n)).toBe(false)
    await clock.advance(1)
    expect(carries(graph, 600n)).toBe(true)
    graph.limit(channelId(7), address(0), 0n, 9000)
    graph.limit(channelId(1), address(7), 0n, 9000)
  })

  it('forgets all of a closed channel', () => {
    const graph = createGraph({ clock: createManualClock() })
    open(graph, 1, 0, 1)
    graph.announce(channelId(1), address(0), said({ capacity: 5n, sequence: 7 }))
    graph.limit(channelId(1), address(0), 0n, 9000)
    graph.removeChannel(channelId(1))
    graph.removeChannel(channelId(1))
    expect([graph.channel(channelId(1)), graph.direction(channelId(1), address(0))]).toEqual([undefined, undefined])
    expect(graph.size).toEqual({ nodes: 0, channels: 0 })
    // The numbers are used again, what was said under them is not.
    open(graph, 2, 0, 1)
    expect(carries(graph, 1n)).toBe(false)
    graph.announce(channelId(2), address(0), said({ capacity: 5n }))
    expect(carries(graph, 5n)).toBe(true)
    expect(graph.table.channels).toHaveLength(1)
  })

  it('holds no more channels than it may', () => {
    const graph = createGraph({ clock: createManualClock(), maxChannels: 2 })
    open(graph, 1, 0, 1)
    open(graph, 2, 1, 2)
    expect(() => open(graph, 3, 2, 3)).toThrow(expect.objectContaining({ code: 'OVERLOADED' }))
    expect(graph.size).toEqual({ nodes: 3, channels: 2 })
    open(graph, 2, 1, 2, 5n)
    graph.removeChannel(channelId(1))
    open(graph, 3, 2, 3)
  })

  it('has after any changes what a graph has that was built at once', { timeout: 30_000 }, () => {
    const step = fc.record({
      id: fc.nat(200),
      a: fc.nat(8),
      b: fc.nat(8),
      close: fc.integer({ min: 0, max: 2 }).map((n) => n === 0),
      total: fc.bigInt(1n, 999n),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 400, size: 'max' }), (steps) => {
        const graph = createGraph({ clock: createManualClock() })
        const model = new Map<string, { ends: [string, string]; total: bigint }>()
        for (const { id, a, b, close, total } of steps) {
          if (close) {
            graph.removeChannel(channelId(id))
            model.delete(channelId(id))
          } else if (a !== b) {
            open(graph, id, a, b, total)
            const known = model.get(channelId(id))
            model.set(channelId(id), { ends: known?.ends ?? [address(a), address(b)], total })
          }
        }
        const { table } = graph
        const links = [...table.nodeIds].flatMap(([name, node]) => {
          expect(table.lengths[node]).toBeGreaterThan(0)
          return Array.from({ length: table.lengths[node]! / 2 }, (_, i) => {
            const [edge, next] = table.links.subarray(table.starts[node]! + 2 * i)
            expect([table.source[edge!], table.source[edge! ^ 1]]).toEqual([node, next])
            return `${table.channels[edge! >> 1]!.channelId} ${name} ${table.addresses[next!]}`
          })
        })
        const expected = [...model].flatMap(([id, { ends: [a, b] }]) => [`${id} ${a} ${b}`, `${id} ${b} ${a}`])
        expect(links.sort()).toEqual(expected.sort())
        for (const [id, { total }] of model) expect(graph.channel(id)?.total).toBe(total)
        expect(graph.size.channels).toBe(model.size)
        expect(table.links.length).toBeLessThanOrEqual(4096)
      }),
      { numRuns: 200 },
    )
  })
})
