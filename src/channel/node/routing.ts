/**
 * What a node knows of the network around it: the graphs of its token networks, what it tells of its own channels, and the
 * paths of its payments.
 * @module
 */
import type { Hex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'
import type { BlockchainService } from '../chain/blockchainService.ts'
import type { ChainEvent } from '../chain/chainEvents.ts'
import type { Link } from '../link/link.ts'
import { decodeAnnouncement, signAnnouncement } from '../routing/announcement.ts'
import { NO_FEES, type FeeSchedule } from '../routing/fees.ts'
import type { Store } from '../../core/store/store.ts'
import { address, decode, encode, u128, type ValuesOf } from '../wire/codec.ts'
import { createGossip, type Gossip } from '../routing/gossip.ts'
import { createGraph, type Graph } from '../routing/graph.ts'
import { MAX_HOPS, NO_HASH, type Typed } from '../wire/messages.ts'
import { capacityOf, type Channel } from './channel.ts'
import type { NodeContext } from './context.ts'
import type { PlannedPart, TransferOptions } from './transfers.ts'

/** Options of {@link createRouting}. */
export interface RoutingOptions {
  readonly context: NodeContext
  readonly chain: BlockchainService
  readonly fees: FeeSchedule | false
  readonly revealTimeout: number
  readonly isSigner: (account: string, signer: string, delegation: Uint8Array) => boolean
}

/** See {@link createRouting}. */
export interface Routing {
  readonly plan: TransferOptions['plan']
  /** Loads what searches for paths: who only pays its partners does without. */
  readonly prepare: () => Promise<unknown>
  /** A channel could not carry a payment: it is avoided for a while. */
  blame(channelId: Hex): void
  /** What a channel of this node can carry has changed. */
  changed(channel: Channel): void
  /** A channel of this node was opened, paid into, closed. */
  chainChanged(channel: Channel): void
  foreign(event: ChainEvent, tokenNetwork: Hex): void
  /** Takes up what an earlier run has seen. */
  load(store: Pick<Store, 'list'>): Promise<void>
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
/** Announcements that are kept because the chain has not told of their channel, or of its deposit, yet. */
const MAX_EARLY = 1_024
/** Parts of a payment, at most. */
const MAX_PARTS = 8

const seenLayout = {
  participant1: address,
  participant2: address,
  deposit1: u128,
  deposit2: u128,
  withdrawn1: u128,
  withdrawn2: u128,
} as const
type SeenChannel = ValuesOf<typeof seenLayout>
const seenKey = (tokenNetwork: Hex, channelId: Hex | ''): string => `graph/${tokenNetwork}/${channelId}`
/** Channels of a network that are kept. */
const MAX_CHANNELS = 2 ** 17

interface Network {
  readonly graph: Graph
  readonly gossip: Gossip
  /** Channels of others, as the chain has them. */
  readonly seen: Map<Hex, SeenChannel>
}

/** Creates what routes a node's payments. */
export function createRouting({ context, chain, fees, revealTimeout, isSigner }: RoutingOptions): Routing {
  const { account, key, delegation, clock, log, links, channels } = context
  const chainId = Number(chain.chainId)
  const networks = new Map<Hex, Network>()
  for (const tokenNetwork of chain.networks.keys()) {
    const graph = createGraph({ clock })
    networks.set(tokenNetwork, {
      graph,
      gossip: createGossip({ graph, chainId, tokenNetwork, clock, isSigner }),
      seen: new Map(),
    })
  }
  const stopping = new AbortController()
  let search: typeof import('../routing/pathSearch.ts') | undefined
  const prepare = async (): Promise<void> => {
    search ??= await import('../routing/pathSearch.ts')
  }
  /** Channels of which something is to be told, and when that may be. */
  const due = new Set<Channel>()
  const toldAt = new Map<Hex, number>()
  let sequence = 0
  let telling = false
  /** By channel and participant: a peer may see a block before this node does. */
  const early = new Map<string, Uint8Array>()

  const networkOf = (tokenNetwork: Hex): Network => networks.get(tokenNetwork)!

  /** Keeps a channel of others as the chain has it: a restarted node hears of it no more. */
  function note(tokenNetwork: Hex, channelId: Hex, channel: SeenChannel): void {
    const { graph, seen } = networkOf(tokenNetwork)
    if (!seen.has(channelId) && graph.size.channels >= MAX_CHANNELS) return
    seen.set(channelId, channel)
    context.journal.put(seenKey(tokenNetwork, channelId), () => encode(seenLayout, channel))
    join(tokenNetwork, channelId, channel)
  }

  function join(tokenNetwork: Hex, channelId: Hex, channel: SeenChannel): void {
    const { participant1, participant2, deposit1, deposit2, withdrawn1, withdrawn2 } = channel
    const total = deposit1 + deposit2 - withdrawn1 - withdrawn2
    networkOf(tokenNetwork).graph.addChannel({ channelId, participants: [participant1, participant2], total })
  }

  /** Passes an announcement on. */
  const spread = (signed: Uint8Array, to: readonly string[]): void => {
    for (const peer of to) {
      const link = links.get(peer)
      if (link && !link.congested) link.send('announcement', { signed })
    }
  }

  const isUsable = (channel: Channel): boolean => fees !== false && channel.phase === 'open' && channel.synced && !channel.closing

  function announce(channel: Channel): void {
    toldAt.set(channel.id, clock.now())
    sequence = Math.max(sequence + 1, clock.now())
    const capacity = capacityOf(channel)
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
      delegation,
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
        const left = (toldAt.get(channel.id) ?? -Infinity) + ANNOUNCE_EVERY - now
        if (left <= 0) {
          due.delete(channel)
          // A channel that could never be used needs no telling that it can't.
          if (channel.phase === 'open' && (isUsable(channel) || toldAt.has(channel.id))) announce(channel)
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

  return {
    prepare,

    plan({ tokenNetwork, to, amount, maxFee, split, avoid }) {
      if (!search) throw new SluiceError('NO_ROUTE', "paths can't be searched yet")
      const { graph } = networkOf(tokenNetwork)
      useOwn(graph, tokenNetwork)
      const query = { from: account, to, amount, maxFee: maxFee < 0n ? 0n : maxFee, maxHops: MAX_HOPS, avoid: [...avoid] }
      const whole = search.findPaths(graph, { ...query, count: 1 })
      const paths = whole.length > 0 ? whole : split ? search.splitPayment(graph, { ...query, maxParts: MAX_PARTS }) : undefined
      if (!paths) throw noRoute(search.whyNoPath(graph, query), to, amount)
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

    chainChanged(channel) {
      const { graph } = networkOf(channel.tokenNetwork)
      if (channel.phase !== 'open') {
        graph.removeChannel(channel.id)
        return
      }
      const total = channel.ownDeposit + channel.theirDeposit - channel.ownWithdrawn - channel.theirWithdrawn
      graph.addChannel({ channelId: channel.id, participants: [account, channel.partner], total })
      replay(channel.id, channel.tokenNetwork)
      changed(channel)
    },

    foreign(event, tokenNetwork) {
      const network = networks.get(tokenNetwork)
      if (!network) return
      const { graph, seen } = network
      if (event.type === 'opened') {
        const { channelId, participant1, participant2 } = event
        note(tokenNetwork, channelId, { participant1, participant2, deposit1: 0n, deposit2: 0n, withdrawn1: 0n, withdrawn2: 0n })
      } else if (event.type === 'deposited' || event.type === 'withdrawn') {
        const known = seen.get(event.channelId)
        if (!known) return
        const first = event.participant === known.participant1
        if (event.type === 'deposited')
          note(tokenNetwork, event.channelId, { ...known, [first ? 'deposit1' : 'deposit2']: event.totalDeposit })
        else note(tokenNetwork, event.channelId, { ...known, [first ? 'withdrawn1' : 'withdrawn2']: event.totalWithdraw })
      } else if (event.type === 'closed' || event.type === 'settled') {
        if (seen.delete(event.channelId)) context.journal.delete(seenKey(tokenNetwork, event.channelId))
        graph.removeChannel(event.channelId)
      }
      if ('channelId' in event) replay(event.channelId, tokenNetwork)
    },

    async load(store) {
      for (const [tokenNetwork, { seen }] of networks) {
        for await (const [at, value] of store.list(seenKey(tokenNetwork, ''))) {
          const channelId = at.slice(at.lastIndexOf('/') + 1) as Hex
          const known = decode(seenLayout, value)
          seen.set(channelId, known)
          join(tokenNetwork, channelId, known)
        }
      }
    },

    linked(link) {
      for (const [tokenNetwork, { gossip }] of networks) {
        gossip.link(link.account)
        gossip.expect(link.account)
        link.send('gossipRequest', { tokenNetwork, since: 0, after: NO_HASH })
      }
    },

    lost(link) {
      for (const { gossip } of networks.values()) gossip.unlink(link.account)
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
          const network = networks.get(message.tokenNetwork)
          if (!network || !message.more) return
          network.gossip.expect(link.account)
          link.send('gossipRequest', { tokenNetwork: message.tokenNetwork, since: 0, after: message.next })
        }
      }
    },

    graph: (tokenNetwork) => networkOf(tokenNetwork).graph,
    stop: () => stopping.abort(),
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
