/**
 * All links of a node: one to each account, whoever opened it.
 *
 * Both sides may dial at once, and a socket may be dead on one side only. So of two accounts the lower one chooses: once
 * each knows the other, the higher one says on which links it is ready, the lower one answers on the one that counts, and
 * numbers its choices. The last choice stands on both sides.
 * @module
 */
import type { Hex } from '../../core/bytes.ts'
import { aborted, systemClock } from '../../core/clock.ts'
import { throwIfAborted, withDeadline } from '../../core/deadline.ts'
import { assertArgument, isSluiceError, SluiceError } from '../../core/errors.ts'
import { createEmitter } from '../../core/events.ts'
import { silentLogger, type Logger } from '../../core/log.ts'
import { backoff } from '../../core/retry.ts'
import type { PeerTransport } from '../../protocol/peer.ts'
import type { CloseReason, Transport } from '../../protocol/transport.ts'
import { badField } from '../wire/codec.ts'
import type { ChannelMessage } from '../wire/messages.ts'
import { handshake, HANDSHAKE_TIMEOUT, type HandshakeTerms, type SecuredTransport } from './handshake.ts'
import { closeOf, createLink, type Link, type OwnedLink } from './link.ts'

/**
 * Handshakes that others began and that are under way at once; one more ends the oldest of the address that has the most of
 * them, with 1013.
 */
export const MOST_HANDSHAKES = 64
/** Handshakes that others may begin within a second; further ones close with 1013, but for the first of each address. */
export const HANDSHAKES_PER_SECOND = 100
/** The same with those first ones: a handshake costs signatures, whoever begins it. */
const ADDRESSES_PER_SECOND = 4 * HANDSHAKES_PER_SECOND
/** Attempts in a row that a kept account may fail before it counts as away. */
const MOST_FAILURES = 3
/** Endpoints of one account that are tried. */
const MOST_ENDPOINTS = 8
/** Milliseconds that looking for them may take. */
const FIND_TIMEOUT = 30_000
/** Milliseconds that a link must have lasted for the next pause to begin small again. */
const STABLE = 30_000
/** The longest pause between two attempts to reach an account, in milliseconds. */
const LONGEST_PAUSE = 60_000

/** Options of {@link createLinks}. */
export interface LinksOptions extends HandshakeTerms {
  readonly transport: PeerTransport
  /** The URLs at which a node may be reached, best first. */
  readonly find: (account: Hex, options: { readonly signal: AbortSignal }) => Promise<readonly string[]>
  /** @default silent */
  readonly log?: Logger | undefined
  /** Accounts that are linked at once. Where there are more, those with the better standing come first. @default 256 */
  readonly maxLinks?: number | undefined
  /** The standing of the accounts with which money is at stake, 0 the best; without money there is none. @default none has any */
  readonly standings?: (() => ReadonlyMap<Hex, number>) | undefined
}

/** See {@link createLinks}. */
export interface Links {
  /** The link to an account, if it stands. */
  get(account: string): Link | undefined
  /**
   * The link to an account; opens it if there is none. Callers that ask meanwhile share one attempt.
   * @throws `PARTNER_OFFLINE` when it isn't at any of its endpoints, `TIMEOUT` when `find` doesn't answer, `ABORTED`, or
   * what `find` throws.
   */
  connect(account: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<Link>
  /** Opens the link to an account again whenever it is lost, until the returned function is called. */
  keep(account: string): () => void
  /** Whether the link to a kept account is about to come: it has none, and has not failed to be reached several times. */
  expects(account: string): boolean
  /** Calls `handler` with every new link, after `onLost` with the one that it replaces. */
  onLink(handler: (link: Link) => void): () => void
  /** Calls `handler` once for every link that `onLink` told of. */
  onLost(handler: (link: Link, reason: CloseReason) => void): () => void
  /**
   * Calls `handler` with every message but `ping` and `pong`. What it throws ends the link: 1008 and the code for a
   * `SluiceError`, else 1011.
   */
  onMessage(handler: (link: Link, message: ChannelMessage) => unknown): () => void
  /**
   * Calls `handler` when an account that is linked comes again from another process: two processes share a key, or the
   * first one was cut off without a word.
   */
  onConflict(handler: (account: Hex, instance: Hex) => void): () => void
  /** Ends all links, and takes no more. The transport remains its owner's. */
  close(): Promise<void>
}

/** A link that is not chosen yet. */
interface Candidate {
  readonly link: OwnedLink
  /** Whether this side opened it. */
  readonly dialled: boolean
  /** Whether this side, which doesn't choose, has said that it is ready. */
  offered: boolean
  readonly chosen: (link: Link) => void
  readonly settled: Promise<unknown>
}

/** What is known of an account while anything to it is open. */
interface Peer {
  readonly account: Hex
  /** When it last said something, in milliseconds. */
  heardAt: number
  active: OwnedLink | undefined
  /** The number of the last choice, and the run of the node whose number it is. */
  generation: number
  instance: Hex | undefined
  readonly candidates: Set<Candidate>
}

/** An attempt to reach an account. */
interface Attempt {
  readonly link: Promise<Link>
  readonly found: (link: Link) => void
  readonly stop: AbortController
  callers: number
  /** Those of them that this node itself has sent: to whoever they go, the link is wanted. */
  askers: number
}

/** Creates the links of a node, and takes those that others open. */
export function createLinks(options: LinksOptions): Links {
  const { identity, transport: network, find, clock = systemClock, log = silentLogger, maxLinks = 256 } = options
  const { standings = () => new Map<Hex, number>() } = options
  const own = identity.account
  const peers = new Map<Hex, Peer>()
  const attempts = new Map<Hex, Attempt>()
  const kept = new Map<Hex, { keepers: number; failures: number; readonly stop: AbortController }>()
  /** Of the transports that others opened, the oldest first. */
  const handshakes = new Map<AbortController, string>()
  const messageHandlers = new Set<(link: Link, message: ChannelMessage) => unknown>()
  const events = createEmitter<{
    link: Link
    lost: { readonly link: Link; readonly reason: CloseReason }
    conflict: { readonly account: Hex; readonly instance: Hex }
  }>(log)
  const over = new AbortController()
  const tasks = new Set<Promise<unknown>>()
  let choices = 0
  let second = { began: -Infinity, handshakes: 0, hosts: new Set<string>() }

  /** Lets {@link Links.close} wait for it. */
  const track = (task: Promise<unknown>): void => {
    const done = task.catch(() => {}).finally(() => tasks.delete(done))
    tasks.add(done)
  }

  // ------------------------------------------------------------------------------------------------- one link of several

  /**
   * Ends the link that is worth the least, if that is less than the one to `account`: of those without money at stake, which
   * anybody can have, one that is not kept first, the idlest of them. @returns false if there is none.
   */
  const makeRoom = (account: Hex): boolean => {
    const known = standings()
    const standingOf = (of: Hex): number => ((attempts.get(of)?.askers ?? 0) > 0 ? -1 : (known.get(of) ?? Infinity))
    const rank = (peer: Peer): readonly number[] => [standingOf(peer.account), kept.has(peer.account) ? 0 : 1, -peer.heardAt]
    let least: { readonly peer: Peer; readonly rank: readonly number[] } | undefined
    for (const peer of peers.values()) {
      const its = rank(peer)
      if (!least || isBehind(its, least.rank)) least = { peer, rank: its }
    }
    if (!least || standingOf(account) >= standingOf(least.peer.account)) return false
    for (const link of linksOf(least.peer)) link.close(1013, 'makes room for a partner')
    return true
  }

  /** @throws `OVERLOADED` */
  const peerOf = (account: Hex): Peer => {
    let peer = peers.get(account)
    if (peer) return peer
    if (peers.size >= maxLinks && !makeRoom(account)) {
      throw new SluiceError('OVERLOADED', `${maxLinks} accounts are linked already`, { details: { maxLinks } })
    }
    peer = { account, heardAt: clock.now(), active: undefined, generation: 0, instance: undefined, candidates: new Set() }
    peers.set(account, peer)
    return peer
  }

  /** Resolves once the link is the one that counts. @throws `CONNECTION_LOST`, `TIMEOUT`, `ABORTED`, `OVERLOADED` */
  const admit = (peer: Peer, secured: SecuredTransport, dialled: boolean, signal: AbortSignal): Promise<Link> => {
    const { account, instance } = secured
    if (peer.active && peer.active.instance !== instance) events.emit('conflict', { account, instance })
    let chosen!: (link: Link) => void
    let refused!: (error: SluiceError) => void
    const settled = new Promise<Link>((resolve, reject) => ((chosen = resolve), (refused = reject)))
    const link = createLink(
      secured,
      {
        ready: (generation) => onReady(peer, candidate, generation),
        message: (message) => {
          peer.heardAt = clock.now()
          return deliver(link, message)
        },
        ended: (reason) => {
          peer.candidates.delete(candidate)
          refused(lostLink(account, reason))
          if (peer.active === link) {
            peer.active = undefined
            log.info('link lost', { account, peer: secured.transport.peer, ...reason })
            events.emit('lost', { link, reason })
          }
          offer(peer)
          if (!peer.active && peer.candidates.size === 0 && peers.get(account) === peer) peers.delete(account)
        },
      },
      clock,
    )
    const candidate: Candidate = { link, dialled, offered: false, chosen, settled }
    peer.candidates.add(candidate)
    return withDeadline({ what: `the choice of a link to ${account}`, ms: HANDSHAKE_TIMEOUT, signal, clock }, (stop) => {
      stop.addEventListener('abort', () => {
        if (peer.candidates.has(candidate)) link.close(...closeOf(stop.reason))
      })
      link.start()
      offer(peer)
      return settled
    })
  }

  /** On the side that doesn't choose: says on which links it is ready. */
  const offer = (peer: Peer): void => {
    if (own < peer.account) return
    for (const candidate of [...peer.candidates]) {
      const { link, dialled, offered } = candidate
      if (offered || !link.open) continue
      // The other side can't know whether this one still needs what it dialled. An attempt ends once there is a link.
      if (dialled && [...peer.candidates].some((other) => other.offered)) continue
      candidate.offered = true
      link.ready(0)
    }
  }

  const onReady = (peer: Peer, candidate: Candidate, generation: number): void => {
    const { link } = candidate
    if (own < peer.account) {
      if (generation !== 0) throw badField('ready.generation', 'must be 0 on the side that does not choose')
      link.ready(++choices)
      return activate(peer, candidate, choices)
    }
    if (generation === 0 || !candidate.offered) throw badField('ready.generation', 'comes from the side that does not choose')
    if (peer.instance === link.instance && generation <= peer.generation) return link.close(1000, 'a later link was chosen')
    activate(peer, candidate, generation)
  }

  const activate = (peer: Peer, candidate: Candidate, generation: number): void => {
    const { link, chosen } = candidate
    peer.generation = generation
    peer.instance = link.instance
    peer.active?.close(1000, 'replaced by a newer link') // the candidate keeps the place of its account meanwhile
    if (!link.open) return // ended by who heard of the loss
    peer.active = link
    peer.candidates.delete(candidate)
    chosen(link)
    attempts.get(peer.account)?.found(link)
    log.info('linked', { account: link.account, dialled: candidate.dialled })
    events.emit('link', link)
  }

  const deliver = (link: Link, message: ChannelMessage): unknown => {
    const noted = (error: unknown): never => {
      const details = { account: link.account, type: message.type, error: String(error) }
      if (isSluiceError(error)) log.warn('message refused', { ...details, code: error.code })
      else log.error('a message handler failed', details)
      throw error
    }
    const results: unknown[] = []
    for (const handler of messageHandlers) {
      if (!link.open) break
      try {
        const result = handler(link, message)
        if (result instanceof Promise) results.push(result.catch(noted))
      } catch (error) {
        noted(error)
      }
    }
    return results.length > 0 ? Promise.all(results) : undefined
  }

  /** Makes a link of a transport, or closes it. */
  const establish = async (
    transport: Transport,
    dialled: boolean,
    expected: Hex | undefined,
    signal: AbortSignal,
    hastened?: () => void,
  ): Promise<Link> => {
    let secured: SecuredTransport
    let peer: Peer
    try {
      secured = await handshake(transport, options, { dialled, expected, signal })
      throwIfAborted(signal)
      peer = peerOf(secured.account)
      // It has shown whose it is: strangers who come by the hundred don't push it out.
      if (standings().has(secured.account)) hastened?.()
    } catch (error) {
      transport.close(...closeOf(error))
      throw error
    }
    return admit(peer, secured, dialled, signal)
  }

  // ------------------------------------------------------------------------------------------------- opened by others

  network.accept((transport) => {
    if (over.signal.aborted) return transport.close(...CLOSING)
    const host = transport.peer.replace(/:\d+$/, '')
    const now = clock.now()
    if (Math.abs(now - second.began) >= 1000) second = { began: now, handshakes: 0, hosts: new Set() }
    const most = second.hosts.has(host) ? HANDSHAKES_PER_SECOND : ADDRESSES_PER_SECOND
    second.hosts.add(host)
    if (++second.handshakes > most) return transport.close(1013, 'too many handshakes')
    if (handshakes.size >= MOST_HANDSHAKES) {
      // An honest one takes a moment, and comes alone.
      const oldest = oldestOfMost(handshakes)
      handshakes.delete(oldest)
      oldest.abort(new SluiceError('OVERLOADED', 'too many handshakes'))
    }
    const stop = new AbortController()
    handshakes.set(stop, host)
    track(
      establish(transport, false, undefined, stop.signal, () => handshakes.delete(stop))
        .catch((error: unknown) => log.debug('no link', { peer: transport.peer, error: String(error) }))
        .finally(() => handshakes.delete(stop)),
    )
  })

  // ------------------------------------------------------------------------------------------------- opened here

  const open = (url: string, signal: AbortSignal): Promise<Transport> =>
    withDeadline({ what: `a connection to ${url}`, ms: HANDSHAKE_TIMEOUT, signal, clock }, async (stop) => {
      const transport = await network.connect(url, { signal: stop })
      if (stop.aborted) transport.close() // nobody waits for it any more
      return transport
    })

  const dial = async (account: Hex, signal: AbortSignal): Promise<Link> => {
    let cause: unknown
    const what = `the endpoints of ${account}`
    const urls = await withDeadline({ what, ms: FIND_TIMEOUT, signal, clock }, (stop) => find(account, { signal: stop }))
    for (const url of urls.slice(0, MOST_ENDPOINTS)) {
      try {
        return await establish(await open(url, signal), true, account, signal)
      } catch (error) {
        throwIfAborted(signal, `connecting to ${account}`)
        cause = error
        log.debug('no link', { account, url, error: String(error) })
      }
    }
    // It may have dialled too, and prefer that link.
    await Promise.allSettled([...(peers.get(account)?.candidates ?? [])].map((candidate) => candidate.settled))
    const link = peers.get(account)?.active
    if (link) return link
    throw new SluiceError('PARTNER_OFFLINE', `${account} is not at any of its endpoints`, { cause, details: { account } })
  }

  const attempt = (account: Hex): Attempt => {
    const stop = new AbortController()
    let found!: (link: Link) => void
    const elsewhere = new Promise<Link>((resolve) => (found = resolve))
    const link = Promise.race([dial(account, stop.signal), elsewhere]).finally(() => {
      stop.abort()
      if (attempts.get(account)?.stop === stop) attempts.delete(account)
    })
    track(link)
    const begun = { link, found, stop, callers: 0, askers: 0 }
    attempts.set(account, begun)
    return begun
  }

  const connect = async (account: Hex, signal: AbortSignal | undefined, isAsked: boolean): Promise<Link> => {
    const active = peers.get(account)?.active
    if (active) return active
    throwIfAborted(over.signal, `connecting to ${account}`)
    const shared = attempts.get(account) ?? attempt(account)
    const asks = isAsked ? 1 : 0
    shared.callers++
    shared.askers += asks
    try {
      return await withDeadline({ what: `connecting to ${account}`, signal, clock }, () => shared.link)
    } finally {
      shared.askers -= asks
      if (--shared.callers === 0) {
        shared.stop.abort()
        if (attempts.get(account) === shared) attempts.delete(account)
      }
    }
  }

  const keepAlive = async (account: Hex, entry: { failures: number; readonly stop: AbortController }): Promise<void> => {
    const { signal } = entry.stop
    for (let pauses = 0; ; ) {
      try {
        const link = await connect(account, signal, false)
        entry.failures = 0
        const since = clock.now()
        await lossOf(link, signal)
        if (clock.now() - since >= STABLE) pauses = 0
      } catch (error) {
        throwIfAborted(signal)
        entry.failures++
        log.debug('a partner is not reached', { account, error: String(error) })
      }
      await clock.sleep(backoff(++pauses, { maxDelay: LONGEST_PAUSE }), signal)
    }
  }

  const lossOf = (link: Link, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (!link.open) return resolve()
      const stop = (): void => {
        off()
        reject(aborted(signal))
      }
      const off = events.on('lost', ({ link: lost }) => {
        if (lost !== link) return
        off()
        signal.removeEventListener('abort', stop)
        resolve()
      })
      signal.addEventListener('abort', stop, { once: true })
    })

  return {
    get: (account) => peers.get(accountOf(account))?.active,
    connect: async (name, { signal } = {}) => {
      const account = accountOf(name)
      assertArgument(account !== own, 'account', 'of another node')
      return connect(account, signal, true)
    },
    expects: (name) => {
      const account = accountOf(name)
      const entry = kept.get(account)
      return entry !== undefined && entry.failures < MOST_FAILURES && !peers.get(account)?.active
    },
    keep: (name) => {
      const account = accountOf(name)
      assertArgument(account !== own, 'account', 'of another node')
      let entry = kept.get(account)
      if (!entry) {
        entry = { keepers: 0, failures: 0, stop: new AbortController() }
        kept.set(account, entry)
        if (!over.signal.aborted) track(keepAlive(account, entry))
      }
      const mine = entry
      mine.keepers++
      let done = false
      return () => {
        if (done) return
        done = true
        if (--mine.keepers > 0) return
        mine.stop.abort()
        kept.delete(account)
      }
    },
    onLink: (handler) => events.on('link', handler),
    onLost: (handler) => events.on('lost', ({ link, reason }) => handler(link, reason)),
    onMessage: (handler) => {
      messageHandlers.add(handler)
      return () => void messageHandlers.delete(handler)
    },
    onConflict: (handler) => events.on('conflict', ({ account, instance }) => handler(account, instance)),
    close: async () => {
      over.abort()
      for (const stop of handshakes.keys()) stop.abort()
      for (const { stop } of [...kept.values(), ...attempts.values()]) stop.abort()
      for (const peer of [...peers.values()]) for (const link of linksOf(peer)) link.close(...CLOSING)
      while (tasks.size > 0) await Promise.all(tasks)
    },
  }
}

const CLOSING = [1001, 'the node is closing'] as const

/** Whether the first of two ranks is behind the second, by the first number in which they differ. */
function isBehind(one: readonly number[], other: readonly number[]): boolean {
  const at = one.findIndex((value, i) => value !== other[i])
  return at >= 0 && one[at]! > other[at]!
}

/** The oldest of the handshakes of that address which has the most of them. */
function oldestOfMost(handshakes: ReadonlyMap<AbortController, string>): AbortController {
  const counts = new Map<string, number>()
  for (const host of handshakes.values()) counts.set(host, (counts.get(host) ?? 0) + 1)
  const most = Math.max(...counts.values())
  return [...handshakes].find(([, host]) => counts.get(host) === most)![0]
}

function linksOf(peer: Peer): readonly Link[] {
  return [...[...peer.candidates].map(({ link }) => link), ...(peer.active ? [peer.active] : [])]
}

function lostLink(account: Hex, { code, reason }: CloseReason): SluiceError {
  return new SluiceError('CONNECTION_LOST', `the link to ${account} ended: ${code} ${reason}`, {
    details: { account, closeCode: code, reason },
  })
}

function accountOf(name: string): Hex {
  assertArgument(/^0x[0-9a-fA-F]{40}$/.test(name), 'account', 'an address')
  return name.toLowerCase() as Hex
}
