/**
 * What a node knows of the network around it: the graphs of its token networks, what it tells of its own channels, and the
 * paths of its payments.
 * @module
 */
import type { Hex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'
import type { BlockchainService } from '../chain/blockchainService.ts'
import type { Link } from '../link/link.ts'
import { decodeAnnouncement, signAnnouncement } from '../routing/announcement.ts'
import { NO_FEES, type FeeSchedule } from '../routing/fees.ts'
import { createGossip, type Gossip } from '../routing/gossip.ts'
import { createGraph, type Graph } from '../routing/graph.ts'
import { findPaths, whyNoPath } from '../routing/paths.ts'
import { splitPayment } from '../routing/split.ts'
import { encodeChannelMessage, MAX_HOPS, NO_HASH, type Typed } from '../wire/messages.ts'
import { capacityOf, type Channel } from './channel.ts'
import type { NodeContext } from './context.ts'
import type { ForeignChannel, ForeignChannels } from './foreignChannels.ts'
import type { PathOptions, PlannedPart } from './pathPayments.ts'

/** Options of {@link createRouting}. */
export interface RoutingOptions {
  readonly context: NodeContext
  readonly chain: BlockchainService
  readonly fees: FeeSchedule | false
  readonly revealTimeout: number
  readonly isSigner: (account: string, signer: string, delegation: Uint8Array) => boolean
  readonly foreign: ForeignChannels
  /** The links that stand. */
  readonly linked: Iterable<Link>
}

/** See {@link createRouting}. */
export interface Routing {
  readonly plan: PathOptions['plan']
  /** Resolves when what the linked peers know has come, or after {@link PATIENCE}. */
  readonly prepare: () => Promise<unknown>
  /** A channel could not carry a payment: it is avoided for a while. */
  blame(channelId: Hex): void
  /** What a channel of this node can carry has changed. */
  changed(channel: Channel): void
  /** A channel of this node was opened, paid into, closed. */
  chainChanged(channel: Channel): void
  /** A channel of others has changed on chain; undefined if it is no more. */
  foreignChanged(channelId: Hex, tokenNetwork: Hex, channel: ForeignChannel | undefined): void
  linked(link: Link): void
  lost(link: Link): void
  onMessage(link: Link, message: Typed<'announcement' | 'gossipRequest' | 'gossipEnd'>): void
  graph(tokenNetwork: Hex): Graph
  stop(): void
}

/** Milliseconds for which what was learned from a failure counts. */
const BLAME = 30_000
/** Milliseconds between two announcements of one channel. */
const ANNOUNCE_EVERY = 1_000
/** The same where only the capacity has changed, by less than a {@link SMALL_PART} of what the channel holds. */
const ANNOUNCE_SMALL_EVERY = 60_000
const SMALL_PART = 16n
/** Milliseconds to wait for what the linked peers know. */
const PATIENCE = 2_000
/** Announcements that are kept because the chain has not told of their channel, or of its deposit, yet. */
const MAX_EARLY = 1_024
/** Parts of a payment, at most. */
const MAX_PARTS = 8

interface Network {
  readonly graph: Graph
  readonly gossip: Gossip
}

/**
 * Creates what routes a node's payments, with a graph of all that the chain has told so far. A node that forwards nothing
 * needs it for its first payment over several hops.
 */
export function createRouting(options: RoutingOptions): Routing {
  const { context, chain, fees, revealTimeout, isSigner, foreign } = options
  const { account, key, clock, log, links, channels } = context
  const chainId = Number(chain.chainId)
  const networks = new Map<Hex, Network>()
  const stopping = new AbortController()
  /** Peers whose announcements are still coming, by network and account. */
  const expected = new Set<string>()
  let informed: (() => void) | undefined
  /** Channels of which something is to be told, and when that may be. */
  const due = new Set<Channel>()
  const told = new Map<Hex, { readonly at: number; readonly capacity: bigint; readonly enabled: boolean }>()
  let sequence = 0
  let telling = false
  /** By channel and participant: a peer may see a block before this node does. */
  const early = new Map<string, Uint8Array>()

  const networkOf = (tokenNetwork: Hex): Network => networks.get(tokenNetwork)!

  function join(tokenNetwork: Hex, channelId: Hex, channel: ForeignChannel): void {
    const { participant1, participant2, deposit1, deposit2, withdrawn1, withdrawn2 } = channel
    const total = deposit1 + deposit2 - withdrawn1 - withdrawn2
    networkOf(tokenNetwork).graph.addChannel({ channelId, participants: [participant1, participant2], total })
  }

  /** Passes an announcement on. */
  const spread = (signed: Uint8Array, to: readonly string[]): void => {
    const packet = encodeChannelMessage('announcement', { signed })
    for (const peer of to) {
      const link = links.get(peer)
      if (link && !link.congested) link.sendPacket(packet)
    }
  }

  const isUsable = (channel: Channel): boolean => fees !== false && channel.phase === 'open' && channel.synced && !channel.closing

  /** When a channel may be told of again: at once if others could lose a payment by what they know, else rarely. */
  function mayTellAt(channel: Channel): number {
    const known = told.get(channel.id)
    if (!known) return -Infinity
    const total = channel.ownDeposit + channel.theirDeposit - channel.ownWithdrawn - channel.theirWithdrawn
    const change = capacityOf(channel) - known.capacity
    const isSmall = known.enabled === isUsable(channel) && SMALL_PART * (change < 0n ? -change : change) < total
    return known.at + (isSmall ? ANNOUNCE_SMALL_EVERY : ANNOUNCE_EVERY)
  }

  function announce(channel: Channel): void {
    sequence = Math.max(sequence + 1, clock.now())
    const capacity = capacityOf(channel)
    told.set(channel.id, { at: clock.now(), capacity, enabled: isUsable(channel) })
    const announcement = signAnnouncement(
      {
        chainId,
        tokenNetwork: channel.tokenNetwork,
        channelId: channel.id,
        participant: account,
        partner: channel.partner,
        sequence,
        nonces: { own: channel.own.nonce, partner: channel.theirs.nonce },
        capacity: capacity > 0n ? capacity : 0n,
        fees: fees || NO_FEES,
        revealTimeout,
        enabled: isUsable(channel),
      },
      key,
      context.delegation,
    )
    const verdict = networkOf(channel.tokenNetwork).gossip.receive(announcement.bytes)
    if (verdict.news) spread(announcement.bytes, verdict.to)
    else log.debug('an announcement of our own is no news', { channelId: channel.id, why: verdict.why })
  }

  /** Looks again at what was said of a channel too early. */
  function replay(channelId: Hex, tokenNetwork: Hex): void {
    // Of a copy: what is still too early is put back.
    for (const [id, signed] of [...early]) {
      if (!id.startsWith(channelId)) continue
      early.delete(id)
      take(tokenNetwork, signed, undefined)
    }
  }

  /** @returns why it is no news; undefined if it is. */
  function take(tokenNetwork: Hex, signed: Uint8Array, from: Hex | undefined): string | undefined {
    const verdict = networkOf(tokenNetwork).gossip.receive(signed, from)
    if (verdict.news) {
      spread(signed, verdict.to)
      return undefined
    }
    if (verdict.why === 'unknown' || verdict.why === 'capacity') {
      const { channelId, participant } = decodeAnnouncement(signed)
      early.delete(`${channelId}/${participant}`)
      early.set(`${channelId}/${participant}`, signed)
      if (early.size > MAX_EARLY) early.delete(early.keys().next().value!)
    }
    return verdict.why
  }

  async function tell(): Promise<void> {
    if (telling) return
    telling = true
    while (due.size > 0 && !stopping.signal.aborted) {
      const now = clock.now()
      let wait = ANNOUNCE_EVERY
      for (const channel of due) {
        const left = mayTellAt(channel) - now
        if (left <= 0) {
          due.delete(channel)
          // A channel that could never be used needs no telling that it can't.
          if (channel.phase === 'open' && (isUsable(channel) || told.has(channel.id))) announce(channel)
        } else wait = Math.min(wait, left)
      }
      if (due.size > 0) await clock.sleep(wait, stopping.signal).catch(() => {})
    }
    telling = false
  }

  const changed = (channel: Channel): void => {
    if (due.has(channel)) return
    due.add(channel)
    void tell()
  }

  function ask(link: Link, tokenNetwork: Hex, after: Hex): void {
    const { gossip } = networkOf(tokenNetwork)
    gossip.expect(link.account)
    expected.add(`${tokenNetwork}/${link.account}`)
    link.send('gossipRequest', { tokenNetwork, since: 0, after })
  }
  function heard(tokenNetwork: Hex, peer: Hex): void {
    if (expected.delete(`${tokenNetwork}/${peer}`) && expected.size === 0) informed?.()
  }
  function linked(link: Link): void {
    for (const [tokenNetwork, { gossip }] of networks) {
      gossip.link(link.account)
      ask(link, tokenNetwork, NO_HASH)
    }
  }

  for (const tokenNetwork of chain.networks.keys()) {
    const graph = createGraph({ clock })
    networks.set(tokenNetwork, { graph, gossip: createGossip({ graph, chainId, tokenNetwork, clock, isSigner }) })
    for (const [channelId, channel] of foreign.of(tokenNetwork)) join(tokenNetwork, channelId, channel)
  }
  for (const channel of channels.values()) chainChanged(channel)
  for (const link of options.linked) linked(link)
  const ready = Promise.race([
    new Promise<void>((resolve) => {
      informed = resolve
      if (expected.size === 0) resolve()
    }),
    clock.sleep(PATIENCE, stopping.signal).catch(() => {}),
  ])

  return {
    prepare: () => ready,

    plan({ tokenNetwork, to, amount, maxFee, split, avoid }) {
      const { graph } = networkOf(tokenNetwork)
      useOwn(graph, tokenNetwork)
      const query = { from: account, to, amount, maxFee: maxFee < 0n ? 0n : maxFee, maxHops: MAX_HOPS, avoid: [...avoid] }
      const whole = findPaths(graph, { ...query, count: 1 })
      const paths = whole.length > 0 ? whole : split ? splitPayment(graph, { ...query, maxParts: MAX_PARTS }) : undefined
      if (!paths) {
        const unlinked = [...channels.values()].some(
          ({ partner, phase, synced, tokenNetwork: of }) => partner === to && of === tokenNetwork && phase === 'open' && !synced,
        )
        throw unlinked ? notLinked(to, amount) : noRoute(whyNoPath(graph, query), to, amount)
      }
      return paths.map(
        ({ hops }): PlannedPart => ({
          amount: hops.at(-1)!.amount,
          hops: hops.map(({ node, channelId, amount: locked }, i) => ({
            node: node as Hex,
            channelId: channelId as Hex,
            amount: locked,
            // What the node at the end of this hop needs between this lock and the one that it sends on.
            revealTimeout: (hops[i + 1] && graph.direction(hops[i + 1]!.channelId, node)?.revealTimeout) ?? revealTimeout,
          })),
        }),
      )
    },

    blame(channelId) {
      for (const { graph } of networks.values()) {
        const channel = graph.channel(channelId)
        for (const from of channel?.participants ?? []) if (from !== account) graph.limit(channelId, from, 0n, BLAME)
      }
    },

    changed,

    chainChanged,

    foreignChanged(channelId, tokenNetwork, channel) {
      const network = networks.get(tokenNetwork)
      if (!network) return
      if (channel) join(tokenNetwork, channelId, channel)
      else network.graph.removeChannel(channelId)
      replay(channelId, tokenNetwork)
    },

    linked,

    lost(link) {
      for (const [tokenNetwork, { gossip }] of networks) {
        gossip.unlink(link.account)
        heard(tokenNetwork, link.account)
      }
      for (const channel of channels.values()) if (channel.partner === link.account) changed(channel)
    },

    onMessage(link, message) {
      switch (message.type) {
        case 'announcement':
          for (const tokenNetwork of networks.keys()) {
            const why = take(tokenNetwork, message.signed, link.account)
            if (why === 'network') continue
            if (why === 'signature' || why === 'malformed') {
              throw new SluiceError('BAD_MESSAGE', `an announcement is not as its signer wrote it: ${why}`, {
                details: { field: 'signed' },
              })
            }
            return
          }
          return
        case 'gossipRequest': {
          const page = networks.get(message.tokenNetwork)?.gossip.page(message, link.account)
          if (!page) return
          for (const signed of page.announcements) link.send('announcement', { signed })
          link.send('gossipEnd', { tokenNetwork: message.tokenNetwork, next: page.next as Hex, more: page.more })
          return
        }
        case 'gossipEnd': {
          if (!networks.has(message.tokenNetwork)) return
          if (message.more) ask(link, message.tokenNetwork, message.next)
          else heard(message.tokenNetwork, link.account)
        }
      }
    },

    graph: (tokenNetwork) => networkOf(tokenNetwork).graph,
    stop: () => stopping.abort(),
  }

  function chainChanged(channel: Channel): void {
    const { graph } = networkOf(channel.tokenNetwork)
    if (channel.phase !== 'open') {
      graph.removeChannel(channel.id)
      told.delete(channel.id)
      return
    }
    const total = channel.ownDeposit + channel.theirDeposit - channel.ownWithdrawn - channel.theirWithdrawn
    graph.addChannel({ channelId: channel.id, participants: [account, channel.partner], total })
    replay(channel.id, channel.tokenNetwork)
    changed(channel)
  }

  /** A node knows its own channels better than anything that was announced of them. */
  function useOwn(graph: Graph, tokenNetwork: Hex): void {
    for (const channel of channels.values()) {
      if (channel.tokenNetwork !== tokenNetwork || channel.phase !== 'open') continue
      const capacity = capacityOf(channel)
      const enabled = channel.synced && !channel.closing
      graph.know(channel.id, account, { capacity: enabled && capacity > 0n ? capacity : 0n, enabled })
    }
  }
}

function notLinked(to: Hex, amount: bigint): SluiceError {
  return new SluiceError('PARTNER_OFFLINE', `${to}, a partner, is not linked, and no path over others can carry ${amount}`, {
    details: { to, amount },
  })
}

function noRoute(why: string | undefined, to: Hex, amount: bigint): SluiceError {
  const details = { to, amount, why }
  switch (why) {
    case 'fee':
      return new SluiceError('FEE_TOO_HIGH', `every path to ${to} costs more than maxFee allows`, { details })
    case 'capacity':
      return new SluiceError('CAPACITY_SHORT', `no path to ${to} can carry ${amount}, alone or in parts`, { details })
    case 'hops':
      return new SluiceError('NO_ROUTE', `${to} is more than ${MAX_HOPS} hops away`, { details })
    default:
      return new SluiceError('NO_ROUTE', `there is no path to ${to}`, { details })
  }
}
