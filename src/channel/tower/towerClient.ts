/**
 * A node's side of its watchtowers: seals what they need, keeps their receipts, goes to the next one when one fails.
 * @module
 */
import { stepsHash } from '../../contracts/channelTypes.ts'
import { fromHex, randomBytes, toHex, utf8, type Hex } from '../../core/bytes.ts'
import { createBell } from '../../core/bell.ts'
import { engine } from '../../core/crypto/engine.ts'
import { keyFromSecret } from '../../core/crypto/key.ts'
import { withDeadline } from '../../core/deadline.ts'
import { assertArgument, isSluiceError, SluiceError, type ErrorCode } from '../../core/errors.ts'
import { backoff } from '../../core/retry.ts'
import type { Store } from '../../core/store/store.ts'
import type { PeerTransport } from '../../protocol/peer.ts'
import type { OnChainProof } from '../chain/blockchainService.ts'
import type { Link } from '../link/link.ts'
import { createLinks, type Links } from '../link/links.ts'
import type { Channel } from '../node/channel.ts'
import type { NodeContext } from '../node/context.ts'
import { releaseLayout } from '../node/releases.ts'
import { paidBy, proofOf } from '../state/side.ts'
import { address, decode, encode, flag, raw, u128, u64 } from '../wire/codec.ts'
import { MAX_STAKE_CHANNELS, NO_HASH, SEALED_APPOINTMENT, type Typed } from '../wire/messages.ts'
import {
  decodeAppointment,
  encodeAppointment,
  hintOf,
  MAX_RELEASES,
  NO_WATCH,
  paidByProof,
  seal,
  unseal,
  type Appointment,
  type ShownRelease,
} from './appointment.ts'
import { encodeStakeChannels, sealedHashOf, stakeDigest, verifyReceipt, type TowerReceipt } from './receipt.ts'
import { rewardDigest } from './rewardDigest.ts'
import { APPOINTMENTS_PER_SECOND } from './pace.ts'

/** A watchtower that a node may use. */
export interface TowerChoice {
  /** The account that signs its receipts. */
  readonly account: string
  readonly url: string
  /**
   * What it is promised for each closing that it answers, out of this account's deposit in the `TowerDeposit` at an
   * address. @default nothing
   */
  readonly reward?: { readonly deposit: string; readonly amount: bigint } | undefined
}

/** How a node uses watchtowers. */
export interface TowersOptions {
  /** In order of preference. One that fails is left out for a while, and the next one takes its place. */
  readonly towers: readonly TowerChoice[]
  /** How many of them have each appointment. @default 1 */
  readonly copies?: number | undefined
  /** Seconds that a tower is asked to watch; renewed after half of it. @default 30 days */
  readonly duration?: number | undefined
  /** Milliseconds between two appointments of one channel: what is paid in between is unwatched. @default 1000 */
  readonly interval?: number | undefined
  /**
   * Whether a channel that was opened without consent, and so can be closed without a proof, is also sealed by its id
   * alone. Its partner can close it so that nothing else opens; but a tower can open it before, for ids are public.
   * @default true
   */
  readonly sealByChannelId?: boolean | undefined
  /**
   * Whether the towers are shown the account of this node and its largest channels: then they keep a place for it until
   * the receipt ends. Otherwise they know the node by a key of its own for each tower, and keep its appointments for a week
   * at most, while nobody with more at stake wants the place. @default true
   */
  readonly showStake?: boolean | undefined
}

/** What the client takes from its node. */
export interface TowerClientParts {
  readonly context: NodeContext
  readonly store: Store
  readonly transport: PeerTransport
  readonly chainId: bigint
  /** Of this node alone: what its key for each tower is made of. */
  readonly secret: Uint8Array
  theirProof(channel: Channel): OnChainProof | undefined
}

/** See {@link createTowerClient}. */
export interface TowerClient {
  /** There may be something new to watch for in a channel. */
  changed(channel: Channel): void
  close(): Promise<void>
}

/** How an appointment is sealed: by the watch secret, or by what is public from the start. */
const kinds = ['by watch', 'by channel id'] as const
type Kind = (typeof kinds)[number]

/** What is kept of an appointment that a tower has signed for: enough to show others that it did. */
const keptLayout = {
  counter: u64,
  validUntil: u64,
  towerDeposit: address,
  reward: u128,
  signature: raw(65),
  promised: flag,
  /** SHA-256 of the content. */
  print: raw(32),
  sealed: raw(SEALED_APPOINTMENT),
} as const
type Kept = ReturnType<typeof decode<typeof keptLayout>>

/** Where it is kept. */
const keyOf = (tower: Hex, id: Hex, kind: Kind): string => `receipt/${tower}/${id}/${kinds.indexOf(kind)}`

/** Milliseconds that a tower has to answer. */
const ANSWER_TIMEOUT = 10_000
/** Milliseconds without work after which the link to a tower is ended: it has room for others then. */
const IDLE = 30_000
/** Milliseconds that the towers have to take what they lack when the node stops. */
const LAST_WORD = 3_000
/** The least pause before a tower is asked for more time, in milliseconds. */
const RENEW_PAUSE = 60_000
/** The longest that a tower which failed is left out, in milliseconds. */
const LONGEST_REST = 600_000

/** An appointment that was sent, and whom to tell what comes of it. */
interface Waiting {
  readonly hint: Hex
  readonly counter: number
  resolve(answer: Typed<'receipt' | 'declined'>): void
  reject(error: unknown): void
}

/** A tower and how this node stands with it. */
interface Post {
  readonly tower: Hex
  readonly url: string
  readonly reward: { readonly deposit: Hex; readonly amount: bigint } | undefined
  readonly links: Links
  /** This node's account for this tower alone. */
  readonly client: Hex
  /** By channel: which version of it the tower has, when it got it, and when it is asked for more time (ms). */
  readonly marks: Map<Hex, { version: number; at: number; renewAt: number }>
  /** The link on which the stake was shown, and what it was. */
  shown: { readonly link: Link; readonly channels: string } | undefined
  readonly bell: ReturnType<typeof createBell>
  waiting: Waiting | undefined
  failures: number
  restingUntil: number
}

/** Creates a node's side of its watchtowers. */
export async function createTowerClient(parts: TowerClientParts, options: TowersOptions): Promise<TowerClient> {
  const { context, store, chainId } = parts
  const { account, key, journal, log, clock, events } = context
  const { towers, copies = 1, duration = 30 * 86_400, interval = 1000, sealByChannelId = true, showStake = true } = options
  assertArgument(towers.length > 0, 'towers', 'at least one')
  assertArgument(Number.isSafeInteger(copies) && copies >= 1, 'copies', 'a whole number from 1')
  assertArgument(Number.isSafeInteger(duration) && duration >= 3600, 'duration', 'an hour or more, in seconds')
  const over = new AbortController()
  /** Whether the node is stopping: the towers get what they lack, as fast as they take it. */
  let finishing = false
  /** How often something about a channel has changed in this run. */
  const versions = new Map<Hex, number>()
  const posts = await Promise.all(towers.map(open))
  const running = posts.map((post) => run(post))
  const offs = [
    events.on('streamed', ({ channelId }) => changed(channelId)),
    events.on('recovered', ({ channelId }) => changed(channelId)),
  ]
  return {
    changed: ({ id }) => changed(id),
    async close() {
      for (const off of offs) off()
      // What came last is what a tower needs most.
      finishing = true
      for (const { bell } of posts) bell.ring()
      await Promise.race([Promise.all(running), clock.sleep(LAST_WORD, over.signal).catch(() => {})])
      over.abort()
      for (const { bell } of posts) bell.ring()
      await Promise.all(posts.map(({ links }) => links.close()))
      await Promise.all(running)
    },
  }

  /** Waits until all that has been put so far is stored; not for what comes meanwhile. */
  function durable(): Promise<void> {
    const { signal } = over
    return withDeadline({ what: 'the store', signal, clock }, () => new Promise<void>((resolve) => journal.then(resolve)))
  }

  function changed(id: Hex): void {
    versions.set(id, (versions.get(id) ?? 0) + 1)
    for (const { bell } of posts) bell.ring()
  }

  async function open({ account: name, url, reward }: TowerChoice): Promise<Post> {
    assertArgument(/^0x[0-9a-fA-F]{40}$/.test(name), 'account', 'the address of a tower')
    const tower = name.toLowerCase() as Hex
    const own = keyFromSecret(engine().sha256(utf8('sluice tower client'), parts.secret, fromHex(tower, 20)))
    const client = own.address.toLowerCase() as Hex
    const links = createLinks({
      identity: { account: client, key: own, delegation: new Uint8Array() },
      chainId: Number(chainId),
      instance: toHex(randomBytes(16)),
      capabilities: 0,
      // The transport is the node's: others open links to the node, never to this.
      transport: { ...parts.transport, accept: () => {} },
      clock,
      log,
      find: async () => [url],
      verifyDelegation: async () => false,
      maxLinks: 1,
    })
    const post: Post = {
      tower,
      url,
      reward: reward && { deposit: reward.deposit.toLowerCase() as Hex, amount: reward.amount },
      links,
      client,
      shown: undefined,
      marks: new Map(),
      bell: createBell(),
      waiting: undefined,
      failures: 0,
      restingUntil: 0,
    }
    for await (const [at, value] of store.list(`receipt/${tower}/`)) {
      const id = at.split('/')[2] as Hex
      const { validUntil } = decode(keptLayout, value)
      if (validUntil < clock.now() / 1000 && context.channels.get(id)?.phase !== 'open') {
        journal.delete(at)
        continue
      }
      const renewAt = Math.min((validUntil - duration / 2) * 1000, post.marks.get(id)?.renewAt ?? Infinity)
      post.marks.set(id, { version: 0, at: 0, renewAt })
    }
    links.onMessage((_link, message) => {
      if (message.type !== 'receipt' && message.type !== 'declined') return
      const { waiting } = post
      if (waiting?.hint === toHex(message.hint) && waiting.counter === message.counter) return waiting.resolve(message)
      if (message.type === 'declined') dropped(post, toHex(message.hint), message.message)
    })
    links.onLost((_link, { code, reason }) =>
      post.waiting?.reject(new SluiceError('CONNECTION_LOST', `the link to tower ${tower} ended: ${code} ${reason}`)),
    )
    return post
  }

  /** Gives a tower what it should have, one after the other. */
  async function run(post: Post): Promise<void> {
    let idleSince = clock.now()
    while (!over.signal.aborted) {
      const now = clock.now()
      const next = isWanted(post, now) ? nextDue(post) : undefined
      if (next && next.at <= now) {
        await attend(post, next.channel)
        idleSince = clock.now()
        await clock.sleep(1000 / APPOINTMENTS_PER_SECOND, over.signal).catch(() => {})
        continue
      }
      if (finishing) return
      if (now - idleSince >= IDLE) post.links.get(post.tower)?.close(1000, 'nothing to say')
      const wakeAt = Math.min(now + IDLE, next?.at ?? Infinity, post.restingUntil > now ? post.restingUntil : Infinity)
      const timer = new AbortController()
      await Promise.race([post.bell.wait(), clock.sleep(Math.max(wakeAt - now, 1), timer.signal).catch(() => {})])
      timer.abort()
    }
  }

  /** Whether a tower is one of the first that do not rest. */
  function isWanted(post: Post, now: number): boolean {
    return posts
      .filter(({ restingUntil }) => restingUntil <= now)
      .slice(0, copies)
      .includes(post)
  }

  function nextDue(post: Post): { readonly channel: Channel; readonly at: number } | undefined {
    let first: { readonly channel: Channel; readonly at: number } | undefined
    for (const channel of context.channels.values()) {
      if (channel.phase !== 'open') continue
      const mark = post.marks.get(channel.id)
      const version = versions.get(channel.id) ?? 0
      let at = mark?.renewAt ?? Infinity
      if (version > 0 && mark?.version !== version) at = Math.min(at, mark && !finishing ? mark.at + interval : 0)
      if (at < (first?.at ?? Infinity)) first = { channel, at }
    }
    return first
  }

  async function attend(post: Post, channel: Channel): Promise<void> {
    const version = versions.get(channel.id) ?? 0
    const began = clock.now()
    const renews = (post.marks.get(channel.id)?.renewAt ?? Infinity) <= began
    let validUntil = Infinity
    try {
      await durable() // what this node may still forget is nobody else's either
      for (const kind of kinds) {
        if (kind === 'by channel id' && (channel.consented || !sealByChannelId)) continue
        const end = await appoint(post, channel, kind, version > 0, renews)
        if (end !== undefined) validUntil = Math.min(validUntil, end)
      }
      post.failures = 0
    } catch (error) {
      if (over.signal.aborted) return
      const code: ErrorCode = isSluiceError(error) ? error.code : 'BAD_MESSAGE'
      const reason = isSluiceError(error) ? error.shortMessage : String(error)
      log.warn('a watchtower failed', { tower: post.tower, channelId: channel.id, code, reason })
      events.emit('towerFailed', { tower: post.tower, channelId: channel.id, code, reason })
      if (code !== 'STATE_STALE') {
        // Not the tower's fault then: its receipt is for something newer than this store has.
        post.restingUntil = clock.now() + backoff(++post.failures, { delay: 5_000, maxDelay: LONGEST_REST })
        for (const { bell } of posts) bell.ring()
        return
      }
    }
    // A channel with nothing to watch for is looked at again when it changes. A tower may watch for less than was asked.
    const now = clock.now()
    const before = post.marks.get(channel.id)?.renewAt ?? 0
    const renewAt = renews || before <= now ? now + Math.max((validUntil * 1000 - now) / 2, RENEW_PAUSE) : before
    post.marks.set(channel.id, { version, at: now, renewAt: Math.min(renewAt, validUntil * 1000) })
  }

  /**
   * Makes sure that a tower has what it needs, or more time for what it has.
   * @param mayReplace - false until the partner has said in this run where the channel stands: a store that was restored
   * from a copy may be behind what the tower has.
   * @param renews - whether it is time to ask for more.
   * @returns until when the tower watches, Unix seconds; undefined if there is nothing to watch for.
   */
  async function appoint(
    post: Post,
    channel: Channel,
    kind: Kind,
    mayReplace: boolean,
    renews: boolean,
  ): Promise<number | undefined> {
    const { tower } = post
    const at = keyOf(tower, channel.id, kind)
    const stored = await store.get(at)
    const kept = stored && decode(keptLayout, stored)
    const watch = kind === 'by watch' ? toHex(context.watchOf(channel.id)) : NO_WATCH
    const closing = { channelId: channel.id, watch }
    const now = Math.floor(clock.now() / 1000)
    const content = mayReplace ? await contentOf(post, channel, kept !== undefined) : undefined
    const print = content && engine().sha256(content)
    if (!content || (kept && toHex(kept.print) === toHex(print!))) {
      if (!kept) return undefined
      if (!renews) return kept.validUntil
      const answer = await ask(post, closing, kept, kept.counter, now + duration)
      if (answer.type === 'declined') refuse(answer)
      return keep(post, at, closing, kept, answer)
    }
    let replaces = kept?.counter ?? 0
    const sealed = seal(content, closing)
    for (let tries = 1; ; tries++) {
      const answer = await ask(post, closing, { counter: replaces + 1, sealed }, replaces, now + duration)
      if (answer.type === 'receipt') return keep(post, at, closing, { counter: replaces + 1, sealed, print: print! }, answer)
      // An earlier run of this node has made another one: its receipt was lost, or this store is an old copy.
      replaces = (tries === 1 ? answer.held?.counter : undefined) ?? refuse(answer)
      assertNotNewer(answer)
    }

    function assertNotNewer({ held }: Typed<'declined'>): void {
      const { proof } = decodeAppointment(unseal(held!.sealed, closing))
      const { nonce } = channel.theirs
      if (proof.nonce < nonce || (proof.nonce === nonce && paidByProof(proof) <= paidBy(channel.theirs))) return
      throw new SluiceError('STATE_STALE', `tower ${tower} has proof ${proof.nonce} of channel ${channel.id}, this store ${nonce}`, {
        details: { channelId: channel.id, held: proof.nonce, known: nonce },
      })
    }

    function refuse(answer: Typed<'declined'>): never {
      if (answer.held) assertNotNewer(answer)
      const { code, message } = answer
      throw new SluiceError('PEER_REFUSED', `tower ${tower} refused: ${message}`, { details: { tower, code, message } })
    }
  }

  /** Shows a tower what stands behind this node, once for a link, and again when its channels are others. */
  function state(post: Post, link: Link): void {
    const { tower, client } = post
    const totalOf = ({ ownDeposit, theirDeposit, ownWithdrawn, theirWithdrawn }: Channel): bigint =>
      ownDeposit + theirDeposit - ownWithdrawn - theirWithdrawn
    const channels = [...context.channels.values()]
      .filter((channel) => channel.phase === 'open' && totalOf(channel) > 0n)
      .sort((a, b) => (totalOf(a) < totalOf(b) ? 1 : -1))
      .slice(0, MAX_STAKE_CHANNELS)
      .map(({ tokenNetwork, partner }) => ({ tokenNetwork, partner }))
    if (channels.length === 0) return
    const text = JSON.stringify(channels)
    if (post.shown?.link === link && post.shown.channels === text) return
    post.shown = { link, channels: text }
    const signature = key.sign(stakeDigest(chainId, { tower, client, account }))
    link.send('stake', { account, channels: encodeStakeChannels(channels), signature, delegation: context.delegation })
  }

  /** A tower has given a place away that it had not promised: another one is asked to watch. */
  function dropped(post: Post, hint: Hex, reason: string): void {
    for (const { id } of context.channels.values()) {
      if (![toHex(context.watchOf(id)), NO_WATCH].some((watch) => hintOf({ channelId: id, watch }) === hint)) continue
      post.marks.delete(id)
      post.restingUntil = clock.now() + backoff(++post.failures, { delay: 5_000, maxDelay: LONGEST_REST })
      events.emit('towerFailed', { tower: post.tower, channelId: id, code: 'OVERLOADED', reason })
      for (const { bell } of posts) bell.ring()
    }
  }

  /** Sends an appointment and waits for what the tower says. */
  async function ask(
    post: Post,
    closing: { readonly channelId: Hex; readonly watch: Hex },
    { counter, sealed }: Pick<Kept, 'counter' | 'sealed'>,
    replaces: number,
    validUntil: number,
  ): Promise<Typed<'receipt' | 'declined'>> {
    const { tower, links } = post
    const hint = hintOf(closing)
    return withDeadline({ what: `the receipt of tower ${tower}`, ms: ANSWER_TIMEOUT, signal: over.signal, clock }, async (ended) => {
      const link = await links.connect(tower, { signal: ended })
      if (showStake) state(post, link)
      try {
        return await new Promise<Typed<'receipt' | 'declined'>>((resolve, reject) => {
          post.waiting = { hint, counter, resolve, reject }
          ended.addEventListener('abort', () => reject(ended.reason as Error))
          link.send('appointment', { hint: fromHex(hint, 16), counter, replaces, validUntil, sealed })
        })
      } finally {
        post.waiting = undefined
      }
    })
  }

  /** Keeps a receipt, once it is right. */
  async function keep(
    post: Post,
    at: string,
    closing: { readonly channelId: Hex; readonly watch: Hex },
    { counter, sealed, print }: Pick<Kept, 'counter' | 'sealed' | 'print'>,
    answer: Typed<'receipt'>,
  ): Promise<number> {
    const { tower, reward } = post
    const { validUntil, towerDeposit, signature, promised } = answer
    const receipt: TowerReceipt = {
      chainId,
      tower,
      hint: hintOf(closing),
      counter,
      sealedHash: sealedHashOf(sealed),
      validUntil,
      towerDeposit,
      reward: answer.reward,
      promised: answer.promised,
      signature,
    }
    verifyReceipt(receipt)
    if (validUntil < clock.now() / 1000 + 3600)
      throw new SluiceError('BAD_MESSAGE', `tower ${tower} watches no longer than until ${validUntil}`, { details: { field: 'validUntil' } })
    if (answer.reward > 0n && !(reward && reward.deposit === towerDeposit && reward.amount >= answer.reward)) {
      throw new SluiceError('FEE_TOO_LOW', `tower ${tower} asks for a reward of ${answer.reward} out of ${towerDeposit}`, {
        details: { tower, reward: answer.reward, towerDeposit },
      })
    }
    const kept = { counter, validUntil, towerDeposit, reward: answer.reward, signature, promised, print, sealed }
    journal.put(at, () => encode(keptLayout, kept))
    await durable()
    const { channelId } = closing
    events.emit('appointed', { channelId, tower, counter, validUntil, promised })
    return validUntil
  }

  /** What a tower needs for a channel; undefined if there is nothing to lose in it. */
  async function contentOf(post: Post, channel: Channel, always: boolean): Promise<Uint8Array | undefined> {
    const signedProof = parts.theirProof(channel)
    const proof = signedProof ?? NO_PROOF
    const releases = await releasesOf(channel)
    if (!always && releases.length === 0 && paidBy(channel.theirs) === 0n && proof.locked === 0n) return undefined
    const { id, tokenNetwork, partner } = channel
    const digests = context.digests(tokenNetwork)
    const digest = signedProof && toHex(digests.BalanceProof(proofOf(channel.theirChannel!, channel.theirs)))
    if (!context.counts(channel)) {
      // By a key that the contract does not know nothing could be shown: it is done again once it does.
      context.registerKey(channel)
      return undefined
    }
    const { tower, reward } = post
    const promise = reward && { tokenNetwork, channelId: id, nonce: proof.nonce, tower, amount: reward.amount }
    const appointment: Appointment = {
      tokenNetwork,
      closer: partner,
      client: account,
      proof,
      updateSignature: digest
        ? key.sign(digests.Update({ channelId: id, proof: digest, steps: stepsHash(proof.steps) }))
        : new Uint8Array(0),
      reward: reward && { ...reward, tower, signature: key.sign(rewardDigest(chainId, reward.deposit, promise!)) },
      releases,
    }
    for (let fewer = releases; ; fewer = fewer.slice(0, -1)) {
      const content = encodeAppointment({ ...appointment, releases: fewer })
      if (content.length <= SEALED_APPOINTMENT - 64 || fewer.length === 0) {
        if (fewer.length < releases.length) log.warn('not all releases fit into an appointment', { channelId: id })
        return content
      }
    }
  }

  /** The partner's releases of locks that it could still claim, those that expire last first. */
  async function releasesOf({ id }: Channel): Promise<readonly ShownRelease[]> {
    const found = []
    for await (const [, value] of store.list(`release/${id}/`)) {
      const release = decode(releaseLayout, value)
      if (release.expiry > context.time.now() || release.claimable > 0) found.push(release)
    }
    return found
      .sort((a, b) => b.expiry - a.expiry)
      .slice(0, MAX_RELEASES)
      .map((release) => ({ lock: release.lock, signature: release.signature }))
  }
}

/** Stands for the proof of a partner that has signed none, and only released locks. */
const NO_PROOF: OnChainProof = {
  nonce: 0,
  transferred: 0n,
  locked: 0n,
  locksroot: NO_HASH,
  stream: NO_HASH,
  ref: NO_HASH,
  watch: NO_HASH,
  signature: new Uint8Array(0),
  steps: new Uint8Array(0),
}
