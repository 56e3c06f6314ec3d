import { beforeEach, describe, expect, it } from 'vitest'
import { keyFromSecret } from '../../core/crypto/key.ts'
import { createManualClock, type ManualClock } from '../../testing/manualClock.ts'
import { signAnnouncement, type Announcement } from './announcement.ts'
import { NO_FEES } from './fees.ts'
import { createGossip, PAGE_SIZE, type Gossip } from './gossip.ts'
import { createGraph, type Graph } from './graph.ts'
import { address, channelId } from './testNetwork.testing.ts'

const START = 1_700_000_000_000
const owner = keyFromSecret(new Uint8Array(32).fill(1))
const partner = keyFromSecret(new Uint8Array(32).fill(2))
const session = keyFromSecret(new Uint8Array(32).fill(3))
const network = address(0xbeef)
const ZERO = channelId(0)

let clock: ManualClock
let graph: Graph
let gossip: Gossip

beforeEach(() => {
  clock = createManualClock(START)
  graph = createGraph({ clock })
  const isSigner = (participant: string, signer: string): boolean =>
    participant === owner.address.toLowerCase() && signer === session.address.toLowerCase()
  gossip = createGossip({ graph, chainId: 5, tokenNetwork: network, clock, isSigner, maxPeers: 4 })
  graph.addChannel({ channelId: channelId(1), participants: [owner.address, partner.address], total: 1000n })
  for (const peer of ['anna', 'ben', 'cleo']) gossip.link(peer)
})

const fields = (change: Partial<Announcement> = {}): Announcement => ({
  chainId: 5,
  tokenNetwork: network,
  channelId: channelId(1),
  participant: owner.address.toLowerCase(),
  partner: partner.address.toLowerCase(),
  sequence: START,
  nonces: { own: 4, partner: 6 },
  capacity: 700n,
  fees: NO_FEES,
  revealTimeout: 60,
  enabled: true,
  ...change,
})
const signed = (change?: Partial<Announcement>, key = owner): Uint8Array => signAnnouncement(fields(change), key).bytes
const known = () => graph.direction(channelId(1), owner.address)
const refused = (why: string) => ({ news: false, why })

describe('gossip', () => {
  it('applies what is new and passes it on to all but the one it came from', () => {
    const bytes = signed()
    expect(gossip.receive(bytes, 'ben')).toEqual({ news: true, to: ['anna', 'cleo'] })
    expect(known()).toEqual({
      capacity: 700n,
      fees: NO_FEES,
      revealTimeout: 60,
      enabled: true,
      sequence: START,
      nonces: { own: 4, partner: 6 },
      signed: bytes,
    })
    expect(gossip.receive(bytes, 'anna')).toEqual(refused('stale'))
    gossip.unlink('cleo')
    expect(gossip.receive(signed({ sequence: START + 1 }))).toEqual({ news: true, to: ['anna', 'ben'] })
  })

  it('takes a session key that may sign, and no other', () => {
    expect(gossip.receive(signed({}, session), 'ben').news).toBe(true)
    expect(gossip.receive(signed({ sequence: START + 1 }, partner), 'ben')).toEqual(refused('signature'))
  })

  it.each<[string, Partial<Announcement>]>([
    ['network', { chainId: 6 }],
    ['network', { tokenNetwork: address(1) }],
    ['unknown', { channelId: channelId(2) }],
    ['unknown', { partner: address(1) }],
    ['unknown', { participant: address(1) }],
    ['stale', { sequence: START }],
    ['stale', { sequence: START - 1 }],
    ['future', { sequence: START + 600_001 }],
    ['nonce', { sequence: START + 1, nonces: { own: 3, partner: 6 } }],
    ['nonce', { sequence: START + 1, nonces: { own: 4, partner: 5 } }],
    ['capacity', { sequence: START + 1, capacity: 1001n }],
  ])('refuses as %s, and changes nothing', (why, change) => {
    gossip.receive(signed(), 'ben')
    const before = known()
    expect(gossip.receive(signed(change), 'anna')).toEqual(refused(why))
    expect(known()).toBe(before)
    expect(graph.size).toEqual({ nodes: 2, channels: 1 })
  })

  it('takes what lies just inside the limits', () => {
    gossip.receive(signed(), 'ben')
    expect(gossip.receive(signed({ sequence: START + 600_000, capacity: 1000n }), 'ben').news).toBe(true)
  })

  it('refuses a forged or damaged announcement', () => {
    gossip.receive(signed(), 'ben')
    const before = known()
    const good = signed({ sequence: START + 1, capacity: 1n })
    for (let i = 0; i < good.length; i += 7) {
      const bad = Uint8Array.from(good)
      bad[i] = bad[i]! ^ 0x10
      expect(gossip.receive(bad, 'anna').news).toBe(false)
    }
    expect(gossip.receive(good.subarray(1), 'anna')).toEqual(refused('malformed'))
    expect(gossip.receive(new Uint8Array(), 'anna')).toEqual(refused('malformed'))
    expect(known()).toBe(before)
  })

  it('keeps the two directions of a channel apart', () => {
    gossip.receive(signed(), 'ben')
    const back = { participant: partner.address.toLowerCase(), partner: owner.address.toLowerCase() }
    expect(gossip.receive(signed({ ...back, sequence: START - 5, nonces: { own: 1, partner: 1 } }, partner), 'ben').news).toBe(true)
    expect(gossip.receive(signed({ ...back, sequence: START + 5 }, owner), 'ben')).toEqual(refused('signature'))
    expect(known()?.sequence).toBe(START)
  })

  it('slows down who tells of every payment: 10 at once, then one in 10 seconds', async () => {
    for (let i = 0; i < 10; i++) expect(gossip.receive(signed({ sequence: START + i }), 'ben').news).toBe(true)
    expect(gossip.receive(signed({ sequence: START + 10 }), 'anna')).toEqual(refused('rate'))
    expect(known()?.sequence).toBe(START + 9)
    await clock.advance(10_000)
    expect(gossip.receive(signed({ sequence: START + 10 }), 'anna').news).toBe(true)
    expect(gossip.receive(signed({ sequence: START + 11 }), 'anna')).toEqual(refused('rate'))
    // What this node itself says is always taken.
    expect(gossip.receive(signed({ sequence: START + 12 })).news).toBe(true)
  })

  it('lets no forger use up the rate of a direction', () => {
    gossip.receive(signed(), 'ben')
    for (let i = 1; i < 50; i++) expect(gossip.receive(signed({ sequence: START + i }, partner), 'anna')).toEqual(refused('signature'))
    expect(gossip.receive(signed({ sequence: START + 1 }), 'ben').news).toBe(true)
  })

  it('listens to no peer faster than 200 announcements a second, 2,000 at once', async () => {
    const junk = new Uint8Array(3)
    for (let i = 0; i < 2000; i++) expect(gossip.receive(junk, 'anna')).toEqual(refused('malformed'))
    expect(gossip.receive(signed(), 'anna')).toEqual(refused('rate'))
    expect(known()).toBeUndefined()
    gossip.expect('anna')
    for (let i = 0; i < PAGE_SIZE; i++) expect(gossip.receive(junk, 'anna')).toEqual(refused('malformed'))
    expect(gossip.receive(signed(), 'anna')).toEqual(refused('rate'))
    await clock.advance(5)
    expect(gossip.receive(signed(), 'anna').news).toBe(true)
    expect(gossip.receive(signed({ sequence: START + 1 }), 'ben').news).toBe(true)
  })

  it('has no more peers than it may, and hears none that is not linked', () => {
    gossip.link('dora')
    gossip.link('dora')
    expect(() => gossip.link('emil')).toThrow(expect.objectContaining({ code: 'OVERLOADED' }))
    gossip.unlink('anna')
    gossip.link('emil')
    for (const act of [() => gossip.receive(signed(), 'anna'), () => gossip.expect('anna'), () => gossip.page({ since: 0, after: ZERO }, 'anna')]) {
      expect(act).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
    }
    expect(known()).toBeUndefined()
  })
})

describe('pages', () => {
  const CHANNELS = 150
  const sequenceOf = (id: number): number => START - 1000 + id

  beforeEach(() => {
    for (let id = 2; id <= CHANNELS; id++) {
      graph.addChannel({ channelId: channelId(id), participants: [owner.address, partner.address], total: 1000n })
    }
    for (let id = 1; id <= CHANNELS; id++) {
      gossip.receive(signed({ channelId: channelId(id), sequence: sequenceOf(id) }))
      const back = { participant: partner.address.toLowerCase(), partner: owner.address.toLowerCase() }
      if (id % 2 === 0) gossip.receive(signed({ ...back, channelId: channelId(id), sequence: sequenceOf(id) }, partner))
    }
  })

  function all(since: number, between?: () => void): { announcements: Uint8Array[]; sizes: number[] } {
    const announcements: Uint8Array[] = []
    const sizes: number[] = []
    for (let after: string = ZERO, more = true; more; between?.()) {
      const page = gossip.page({ since, after }, 'anna')!
      announcements.push(...page.announcements)
      sizes.push(page.announcements.length)
      ;({ next: after, more } = page)
    }
    return { announcements, sizes }
  }

  it('bring a node that knows nothing to the same graph, each within its bound', () => {
    const { announcements, sizes } = all(0)
    expect(sizes).toHaveLength(2)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(PAGE_SIZE)
    const other = createGraph({ clock })
    const reader = createGossip({ graph: other, chainId: 5, tokenNetwork: network, clock, isSigner: () => false })
    reader.link('ben')
    for (const channel of graph.table.channels) other.addChannel(channel!)
    for (const bytes of announcements) expect(reader.receive(bytes, 'ben').news).toBe(true)
    expect(other.table.directions).toEqual(graph.table.directions)
  })

  it('hold only what is newer than asked for', () => {
    expect(all(sequenceOf(CHANNELS - 2)).announcements).toEqual([
      graph.direction(channelId(CHANNELS - 1), owner.address)!.signed,
      graph.direction(channelId(CHANNELS), owner.address)!.signed,
      graph.direction(channelId(CHANNELS), partner.address)!.signed,
    ])
    expect(all(START)).toEqual({ announcements: [], sizes: [0] })
  })

  it('begin again when the last channel was closed meanwhile', () => {
    const page = gossip.page({ since: 0, after: ZERO }, 'anna')!
    graph.removeChannel(page.next)
    expect(gossip.page({ since: 0, after: page.next }, 'anna')!.announcements[0]).toEqual(page.announcements[0])
  })

  it('are given 50 at once, then ten a second', async () => {
    for (let i = 0; i < 50; i++) expect(gossip.page({ since: START, after: ZERO }, 'anna')).toBeDefined()
    expect(gossip.page({ since: START, after: ZERO }, 'anna')).toBeUndefined()
    expect(gossip.page({ since: START, after: ZERO }, 'ben')).toBeDefined()
    await clock.advance(100)
    expect(gossip.page({ since: START, after: ZERO }, 'anna')).toBeDefined()
    expect(gossip.page({ since: START, after: ZERO }, 'anna')).toBeUndefined()
  })
})
