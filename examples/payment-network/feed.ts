/**
 * What happens in the network, put together from the events of its nodes for a page that shows it.
 * @module
 */
import type { Hex } from 'sluice-sdk'
import type { ChannelEvents, ChannelInfo, ChannelNode, Payment, Phase } from 'sluice-sdk/channel'
import type { Neighbour } from './town.ts'

/** The network as it stands. Amounts are decimal, in wei. */
export interface NetworkView {
  readonly nodes: readonly NodeView[]
  readonly channels: readonly ChannelView[]
  readonly done: number
  readonly failed: number
  /** Paid in all. */
  readonly volume: string
}

/** A node. */
export interface NodeView {
  readonly name: string
  readonly online: boolean
  /** What it can send, over all of its channels. */
  readonly balance: string
}

/** A channel; pairs are in the order of its ends. */
export interface ChannelView {
  readonly id: string
  readonly ends: readonly [string, string]
  readonly phase: Phase
  /** What each end can send. */
  readonly capacity: readonly [string, string]
  /** What each end has promised and not yet paid. */
  readonly locked: readonly [string, string]
}

/** A payment that has come to its end. */
export interface PaymentView {
  readonly from: string
  readonly to: string
  readonly amount: string
  readonly fee: string
  readonly ms: number
  /** The ways it took, from payer to target; none if it failed. */
  readonly paths: readonly (readonly string[])[]
  /** The code of the error if it failed. */
  readonly error?: string
}

/** Turns events of nodes into views. */
export interface Feed {
  /** Listens to a node that was switched on, or forgets one that was switched off. */
  follow(neighbour: Neighbour): void
  /** Calls back with a view of the network after it has changed, and with each payment. */
  listen(to: { network(view: NetworkView): void; payment(view: PaymentView): void }): void
  network(): NetworkView
  /** The newest payments, oldest first. */
  payments(): readonly PaymentView[]
  stop(): void
}

/** Milliseconds between two views of the network. */
const PACE = 50
/** Payments that are kept for a page that comes later. */
const MAX_PAYMENTS = 14
/** Channels that are shown; those that were settled first give way. */
const MAX_CHANNELS = 32
/** Payments whose mediators are remembered. */
const MAX_TRACED = 256
/** Looks for the mediators of a payment, `PACE` apart: they know after the payer that it is paid. */
const MAX_LOOKS = 20

const CHANGES = ['opened', 'deposited', 'withdrawn', 'closed', 'settled', 'balance', 'peer'] as const

/** Creates a feed. */
export function createFeed(): Feed {
  const neighbours = new Map<string, Neighbour>()
  const listening = new Map<string, readonly (() => void)[]>()
  const channels = new Map<string, ChannelView>()
  const hops = new Map<Hex, [from: string, to: string][]>()
  const recent: PaymentView[] = []
  const timers = new Set<NodeJS.Timeout>()
  let out: Parameters<Feed['listen']>[0] | undefined
  let changed = false
  let done = 0
  let failed = 0
  let volume = 0n

  const nameOf = (account: string): string => neighbours.get(account.toLowerCase())?.name ?? account

  const later = (call: () => void): void => {
    const timer = setTimeout(() => {
      timers.delete(timer)
      call()
    }, PACE)
    timers.add(timer)
  }
  const touch = (): void => {
    if (changed) return
    changed = true
    later(() => {
      changed = false
      out?.network(network())
    })
  }

  /** Takes over what a node says about its channels. Both ends say the same, but for what is on its way between them. */
  const look = (node: ChannelNode): void => {
    for (const info of node.channels()) channels.set(info.id, channelView(nameOf(node.account), nameOf(info.partner), info))
    for (const [id, { phase }] of channels) {
      if (channels.size <= MAX_CHANNELS) break
      if (phase === 'settled') channels.delete(id)
    }
  }

  const network = (): NetworkView => {
    for (const { node } of neighbours.values()) if (node) look(node)
    return {
      nodes: [...neighbours.values()].map(({ name, node }) => ({
        name,
        online: node !== undefined,
        balance: String(balanceOf(name, [...channels.values()])),
      })),
      channels: [...channels.values()],
      done,
      failed,
      volume: String(volume),
    }
  }

  const mediated = (node: ChannelNode, { paymentId, from, to }: ChannelEvents['mediated']): void => {
    if (!hops.has(paymentId) && hops.size >= MAX_TRACED) hops.delete(hops.keys().next().value!)
    const known = hops.get(paymentId) ?? []
    hops.set(paymentId, known)
    known.push([nameOf(from), nameOf(node.account)], [nameOf(node.account), nameOf(to)])
  }

  /** Tells of a payment, as soon as its mediators have told by which ways it went. */
  const ended = async (node: ChannelNode, id: Hex, error?: string): Promise<void> => {
    const at = Date.now()
    let payment: Payment | undefined
    for await (const each of node.payments('out', id)) payment = each
    if (!payment) return
    const [from, to] = [nameOf(node.account), nameOf(payment.peer)]
    const tell = (paths: readonly (readonly string[])[]): void => {
      const { amount, fee } = payment
      const view = { from, to, amount: String(amount), fee: String(fee), ms: at - payment.at, paths, ...(error ? { error } : {}) }
      hops.delete(id)
      recent.push(view)
      if (recent.length > MAX_PAYMENTS) recent.shift()
      out?.payment(view)
      touch()
    }
    if (error) {
      failed++
      return tell([])
    }
    done++
    volume += payment.amount
    if (payment.secrethash === undefined) return tell([[from, to]])
    const trace = (looks: number): void => {
      const paths = pathsOf(from, to, hops.get(id) ?? [])
      if (paths || looks >= MAX_LOOKS) tell(paths ?? [])
      else later(() => trace(looks + 1))
    }
    later(() => trace(1))
  }

  return {
    follow(neighbour) {
      const { node, wallet } = neighbour
      const account = wallet.address.toLowerCase()
      neighbours.set(account, neighbour)
      for (const off of listening.get(account) ?? []) off()
      listening.set(
        account,
        node
          ? [
            ...CHANGES.map((event) => node.events.on(event, touch)),
            node.events.on('mediated', (payload) => mediated(node, payload)),
            node.events.on('sent', ({ paymentId }) => ended(node, paymentId)),
            node.events.on('failed', ({ paymentId, code }) => ended(node, paymentId, code)),
          ]
          : [],
      )
      touch()
    },
    listen(to) {
      out = to
      touch()
    },
    network,
    payments: () => recent,
    stop() {
      out = undefined
      for (const timer of timers) clearTimeout(timer)
      for (const offs of listening.values()) for (const off of offs) off()
    },
  }
}

/** A channel as one of its ends sees it, with the ends in the order of their names. */
function channelView(own: string, partner: string, info: ChannelInfo): ChannelView {
  const { id, phase, capacity, partnerCapacity, locked, partnerLocked } = info
  const view = { id, phase }
  return own < partner
    ? { ...view, ends: [own, partner], capacity: [`${capacity}`, `${partnerCapacity}`], locked: [`${locked}`, `${partnerLocked}`] }
    : { ...view, ends: [partner, own], capacity: [`${partnerCapacity}`, `${capacity}`], locked: [`${partnerLocked}`, `${locked}`] }
}

function balanceOf(name: string, channels: readonly ChannelView[]): bigint {
  return channels
    .filter(({ phase }) => phase === 'open')
    .reduce((sum, { ends, capacity }) => sum + (ends.includes(name) ? BigInt(capacity[ends.indexOf(name)]!) : 0n), 0n)
}

/** The ways from one node to another that use every hop; undefined while hops are missing. */
function pathsOf(from: string, to: string, hops: readonly (readonly [string, string])[]): string[][] | undefined {
  const left = [...new Map(hops.map((hop) => [hop.join(), hop])).values()]
  const paths: string[][] = []
  while (left.length > 0) {
    const path = [from]
    while (path.at(-1) !== to) {
      const next = left.findIndex(([start]) => start === path.at(-1))
      if (next < 0) return undefined
      path.push(left.splice(next, 1)[0]![1])
    }
    paths.push(path)
  }
  return paths.length > 0 ? paths : undefined
}
