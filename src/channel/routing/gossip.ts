/**
 * How announcements spread: what is news, who hears it next, and what a peer that was away is told.
 * @module
 */
import { type Clock } from '../../core/clock.ts'
import { assertArgument, isSluiceError, SluiceError } from '../../core/errors.ts'
import { decodeAnnouncement, verifyAnnouncement, type IsSigner, type SignedAnnouncement } from './announcement.ts'
import { type Direction, type Graph } from './graph.ts'

/** Options of {@link createGossip}. */
export interface GossipOptions {
  readonly graph: Graph
  readonly chainId: number
  /** The address of the contract whose channels are in the graph. */
  readonly tokenNetwork: string
  readonly clock: Clock
  readonly isSigner: IsSigner
  /** The most linked peers, 256 if not given. */
  readonly maxPeers?: number | undefined
}

/** Why an announcement is not news. `malformed` and `signature` are the peer's own fault: it should have checked. */
export type NoNews = 'rate' | 'malformed' | 'network' | 'unknown' | 'stale' | 'future' | 'nonce' | 'capacity' | 'signature'

/** What came of an announcement: it changed the graph and goes to `to`, or it changed nothing. */
export type Verdict = { readonly news: true; readonly to: readonly string[] } | { readonly news: false; readonly why: NoNews }

/** A part of the announcements that a peer asked for. */
export interface GossipPage {
  /** Signed announcements as they travel, up to {@link PAGE_SIZE}. */
  readonly announcements: readonly Uint8Array[]
  /** What to ask on from: the id of the last channel that was looked at. */
  readonly next: string
  readonly more: boolean
}

/** The rules of gossip in one token network. Peers are named by texts that the caller chooses. */
export interface Gossip {
  /** Begins to pass news on to a peer. @throws `OVERLOADED` beyond `maxPeers`. */
  link(peer: string): void
  unlink(peer: string): void
  /**
   * Takes an announcement from a linked peer, or of this node itself if none is given: no rate limits then.
   * @throws `BAD_ARGUMENT` for a peer that is not linked.
   */
  receive(bytes: Uint8Array, peer?: string): Verdict
  /** Lets a peer send one page beyond its rate: call it with each request for one. */
  expect(peer: string): void
  /**
   * Answers a peer that asks for announcements with a sequence above `since`, from the channel behind `after` on; the
   * zero id, or one that is not known any more, begins at the start.
   * @returns undefined when it asks too often.
   */
  page(request: { readonly since: number; readonly after: string }, peer: string): GossipPage | undefined
}

/** The most announcements of a page. */
export const PAGE_SIZE = 128
/** Channels that are looked at for a page. */
const PAGE_CHANNELS = 4096
/** Milliseconds that a sequence may be ahead of this clock: a wrong clock must not silence its owner for long. */
const MAX_SKEW = 600_000
const ZERO_ID = `0x${'0'.repeat(64)}`

/** At most `burst` at once, and one for every `interval` milliseconds. */
interface Rate {
  readonly interval: number
  readonly burst: number
}
/** Announcements of a direction: its owner shouldn't tell of every payment. */
const DIRECTION_RATE: Rate = { interval: 10_000, burst: 10 }
/** Announcements from a peer, good or bad. */
const PEER_RATE: Rate = { interval: 5, burst: 2000 }
/** Pages to a peer. */
const PAGE_RATE: Rate = { interval: 100, burst: 50 }

interface Peer {
  /** When all that came will have been within the rate. */
  announcements: number
  pages: number
}

/** Creates the rules for a graph. */
export function createGossip({ graph, chainId, tokenNetwork, clock, isSigner, maxPeers = 256 }: GossipOptions): Gossip {
  const peers = new Map<string, Peer>()
  /** When all that was said about a direction will have been within the rate, by the last that was said. */
  const paces = new WeakMap<Direction, number>()
  const network = tokenNetwork.toLowerCase()

  const peerOf = (name: string): Peer => {
    const peer = peers.get(name)
    assertArgument(peer, 'peer', 'linked')
    return peer
  }

  /** Why an announcement with these fields is not news, whoever signed it. */
  const flawOf = (announcement: SignedAnnouncement, known: Direction | undefined): NoNews | undefined => {
    const { channelId, participant, partner, sequence, nonces, capacity } = announcement
    if (announcement.chainId !== chainId || announcement.tokenNetwork !== network) return 'network'
    const channel = graph.channel(channelId)
    const ends = channel?.participants.map((end) => end.toLowerCase())
    if (!channel || !ends?.includes(participant) || !ends.includes(partner)) return 'unknown'
    if (known && sequence <= known.sequence) return 'stale'
    if (sequence > clock.now() + MAX_SKEW) return 'future'
    if (known && (nonces.own < known.nonces.own || nonces.partner < known.nonces.partner)) return 'nonce'
    return capacity > channel.total ? 'capacity' : undefined
  }

  return {
    link(name) {
      if (peers.has(name)) return
      if (peers.size >= maxPeers) {
        throw new SluiceError('OVERLOADED', `${maxPeers} peers are linked, the most of maxPeers`, { details: { maxPeers } })
      }
      peers.set(name, { announcements: -Infinity, pages: -Infinity })
    },
    unlink: (name) => void peers.delete(name),

    receive(bytes, name) {
      const refused = (why: NoNews): Verdict => ({ news: false, why })
      const now = clock.now()
      if (name !== undefined) {
        const peer = peerOf(name)
        const next = paced(peer.announcements, now, PEER_RATE)
        if (next === undefined) return refused('rate')
        peer.announcements = next
      }
      let announcement: SignedAnnouncement
      try {
        announcement = decodeAnnouncement(bytes)
      } catch (error) {
        if (isSluiceError(error, 'BAD_MESSAGE')) return refused('malformed')
        throw error
      }
      const { channelId, participant, capacity, fees, revealTimeout, enabled, sequence, nonces } = announcement
      const known = graph.direction(channelId, participant)
      const flaw = flawOf(announcement, known)
      if (flaw) return refused(flaw)
      const pace = paced(known ? (paces.get(known) ?? -Infinity) : -Infinity, now, DIRECTION_RATE)
      if (pace === undefined && name !== undefined) return refused('rate')
      // Last, because it costs most; and only what passes it counts for the direction, or forgers could silence its owner.
      try {
        verifyAnnouncement(announcement, isSigner)
      } catch (error) {
        if (isSluiceError(error, 'BAD_SIGNATURE')) return refused('signature')
        throw error
      }
      const direction = { capacity, fees, revealTimeout, enabled, sequence, nonces, signed: announcement.bytes }
      graph.announce(channelId, participant, direction)
      paces.set(direction, pace ?? now)
      return { news: true, to: [...peers.keys()].filter((other) => other !== name) }
    },

    expect(name) {
      peerOf(name).announcements -= PAGE_SIZE * PEER_RATE.interval
    },

    page({ since, after }, name) {
      const peer = peerOf(name)
      const next = paced(peer.pages, clock.now(), PAGE_RATE)
      if (next === undefined) return undefined
      peer.pages = next
      const { channelIds, channels, directions } = graph.table
      const first = (channelIds.get(after.toLowerCase()) ?? -1) + 1
      const announcements: Uint8Array[] = []
      let last = after
      let c = first
      // Two fit still: a channel is never split between pages.
      for (; c < channels.length && c < first + PAGE_CHANNELS && announcements.length <= PAGE_SIZE - 2; c++) {
        last = channels[c]?.channelId ?? last
        for (const direction of [directions[2 * c], directions[2 * c + 1]]) {
          if (direction?.signed && direction.sequence > since) announcements.push(direction.signed)
        }
      }
      const more = c < channels.length
      return { announcements, next: more ? last : ZERO_ID, more }
    },
  }
}

/** The pace after one more, or undefined when that is too fast (GCRA: a bucket that is one number). */
function paced(pace: number, now: number, { interval, burst }: Rate): number | undefined {
  const next = Math.max(pace, now) + interval
  return next - now > interval * burst ? undefined : next
}
