/**
 * A channel as a node keeps it, and what of it can be spent.
 * @module
 */
import { concatBytes, fromHex, toHex, u64Bytes, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import type { Store } from '../../core/store/store.ts'
import { lockTreeOf, type Lock } from '../state/lockTree.ts'
import { freshSide, paidBy, promisedBy, type Side, type UnsignedSide } from '../state/side.ts'
import {
  address,
  bytes,
  decode,
  encode,
  flag,
  hex32,
  list,
  optional,
  raw,
  text,
  u128,
  u16,
  u256,
  u32,
  u64,
  u8,
  type ValuesOf,
} from '../wire/codec.ts'
import { decodeChannelMessage, MAX_HOPS } from '../wire/messages.ts'

/** Where a channel stands on chain, as far as that is confirmed. */
export const phases = ['open', 'closed', 'settled'] as const
/** One of {@link phases}. */
export type Phase = (typeof phases)[number]

/** Something that both sides have to agree on, and that blocks what would contradict it until then. */
export interface Pending {
  readonly amount: bigint
  /** Unix seconds. */
  readonly validUntil: number
}

/** What the chain says of a channel, as far as that is confirmed here. */
export interface ChainView {
  phase: Phase
  ownDeposit: bigint
  theirDeposit: bigint
  ownWithdrawn: bigint
  theirWithdrawn: bigint
  /** Withdrawals that both sides have signed and the chain does not show yet. */
  ownWithdraw: Pending | undefined
  theirWithdraw: Pending | undefined
  consented: boolean
  /** Session keys that are registered for this node and for its partner, the newest {@link MOST_KEYS}, oldest first. */
  ownKeys: readonly Hex[]
  theirKeys: readonly Hex[]
  /** Unix seconds; 0 while open. */
  settleAt: number
  closedByUs: boolean
  /** When it was settled, in Unix seconds; 0 before. */
  settledAt: number
  /** What the closer presented of the other side, and the other side of the closer. */
  presented: { readonly fromPartner: Presented; readonly fromCloser: Presented } | undefined
  /** Hashes of this node's locks whose release was shown. */
  released: readonly Hex[]
  /** Locked by side 1 and side 2 when the channel was settled. */
  leftLocked: { readonly locked1: bigint; readonly locked2: bigint } | undefined
  /** A bit for each lock that was unlocked since: of this node's, and of the partner's. */
  unlockedOwn: bigint
  unlockedTheirs: bigint
}

/** A channel of this node. Its fields change only in `node/`, and each change goes through the journal. */
export interface Channel extends ChainView {
  readonly id: Hex
  readonly tokenNetwork: Hex
  readonly partner: Hex
  /** Whether this node is participant 1, the lower address. */
  readonly first: boolean
  readonly epoch: number
  own: Side
  theirs: Side
  /** What this node's proofs name: keccak-256 of channel id and its watch secret. */
  readonly ownChannel: Uint8Array
  theirChannel: Uint8Array | undefined
  theirWatch: Uint8Array | undefined

  /** This node's deposit as the partner has said it is confirmed there. */
  seenDeposit: bigint
  /** While the partner could end the channel with these balances, nothing else may be signed. */
  closing: Pending | undefined

  /** Key that signs the partner's proofs. */
  theirSigner: { readonly publicKey: Uint8Array; readonly address: Hex } | undefined

  // Only in memory.
  /** The highest of this node's nonces that the partner has acknowledged. */
  acked: number
  /** Whether the partner has said where it stands since its link was opened. */
  synced: boolean
  /** Encoded proof messages above `acked`, by nonce: they are sent again until the partner has them. */
  readonly unacked: Map<number, Uint8Array>
  /** The highest of the partner's nonces that is durable here, and so may be acknowledged. */
  stored: number
  /** The highest of this node's nonces that is durable, and so may leave. */
  durable: number
  /** When the partner last acknowledged something, in milliseconds. */
  progressAt: number
}

/** One side's balance as it was presented to the contract. */
export interface Presented {
  readonly nonce: number
  readonly transferred: bigint
  readonly locked: bigint
  readonly locksroot: Hex
}

/** What of a lock travels with it and is needed after a restart. */
export interface LockRecord extends Lock {
  readonly paymentId: Hex
  readonly initiator: Hex
  readonly target: Hex
  readonly total: bigint
  readonly route: readonly { readonly node: Hex; readonly channelId: Hex; readonly amount: bigint; readonly expiry: number }[]
  /** The lock on the other side of this node that it was forwarded from, or to. */
  readonly twin: { readonly channelId: Hex; readonly index: number } | undefined
  /** Known, so the lock can be claimed: by this node if the partner locked it. */
  readonly secret: Hex | undefined
  /** Given back to the partner that locked it: it will be removed, and never claimed. */
  readonly givenBack: boolean
  /** When its secret was registered on chain, in Unix seconds; 0 if it was not. */
  readonly publicAt: number
}

/** A pending lock and where it lies. */
export interface LockEntry {
  readonly channel: Channel
  /** Whether this node locked it; else the partner did. */
  readonly own: boolean
  readonly lock: LockRecord
}

/** The pending locks of all channels. */
export interface LockBook {
  get(channelId: Hex, own: boolean, index: number): LockEntry | undefined
  set(entry: LockEntry): void
  delete(channelId: Hex, own: boolean, index: number): void
  /** Those that one secret opens. */
  of(secrethash: Hex): Iterable<LockEntry>
  all(): Iterable<LockEntry>
}

/** Creates an empty book. */
function createLockBook(): LockBook {
  const entries = new Map<string, LockEntry>()
  const bySecret = new Map<Hex, Set<string>>()
  return {
    get: (channelId, own, index) => entries.get(lockKey(channelId, own, index)),
    set(entry) {
      const key = lockKey(entry.channel.id, entry.own, entry.lock.index)
      entries.set(key, entry)
      const { secrethash } = entry.lock
      const keys = bySecret.get(secrethash)
      if (keys) keys.add(key)
      else bySecret.set(secrethash, new Set([key]))
    },
    delete(channelId, own, index) {
      const key = lockKey(channelId, own, index)
      const entry = entries.get(key)
      if (!entry) return
      entries.delete(key)
      const keys = bySecret.get(entry.lock.secrethash)!
      keys.delete(key)
      if (keys.size === 0) bySecret.delete(entry.lock.secrethash)
    },
    of: (secrethash) => [...(bySecret.get(secrethash) ?? [])].map((key) => entries.get(key)!),
    all: () => [...entries.values()],
  }
}

/** Session keys that are remembered of each side: a partner may register as many as it likes. */
const MOST_KEYS = 8

/** Adds a key to those that are registered. */
export function withKey(keys: readonly Hex[], signer: Hex): readonly Hex[] {
  return [...keys.filter((key) => key !== signer), signer].slice(-MOST_KEYS)
}

/**
 * Whether what a key signs for the partner counts in a channel, whatever the partner does later: it is the account's own, or
 * registered on chain for this channel.
 */
export function maySign({ partner, theirKeys }: Pick<Channel, 'partner' | 'theirKeys'>, signer: Hex): boolean {
  return signer === partner || theirKeys.includes(signer)
}

const presentedLayout = { nonce: u64, transferred: u128, locked: u128, locksroot: hex32 } as const
const pendingLayout = { amount: u128, validUntil: u64 } as const
/** The bytes of a {@link ChainView}. */
export const chainViewLayout = {
  phase: u8,
  ownDeposit: u128,
  theirDeposit: u128,
  ownWithdrawn: u128,
  theirWithdrawn: u128,
  ownWithdraw: optional(pendingLayout),
  theirWithdraw: optional(pendingLayout),
  consented: flag,
  ownKeys: list({ signer: address }, MOST_KEYS),
  theirKeys: list({ signer: address }, MOST_KEYS),
  settleAt: u64,
  closedByUs: flag,
  settledAt: u64,
  fromPartner: optional(presentedLayout),
  fromCloser: optional(presentedLayout),
  released: list({ lock: hex32 }, 65_535),
  leftLocked: optional({ locked1: u128, locked2: u128 }),
  unlockedOwn: u256,
  unlockedTheirs: u256,
} as const
const channelLayout = {
  ...chainViewLayout,
  tokenNetwork: address,
  partner: address,
  first: flag,
  epoch: u64,
  seenDeposit: u128,
  ownChannel: raw(32),
  theirWatch: optional({ watch: raw(32) }),
  closing: optional(pendingLayout),
  theirSigner: optional({ publicKey: raw(65), address }),
} as const
const streamLayout = { anchor: hex32, unit: u128, length: u32, steps: u32, preimage: hex32 } as const
const sideLayout = {
  nonce: u64,
  transferred: u128,
  reference: raw(32),
  signature: optional({ rs: raw(64) }),
  stream: optional(streamLayout),
} as const
const lockLayout = {
  index: u16,
  amount: u128,
  expiry: u64,
  secrethash: hex32,
  paymentId: hex32,
  initiator: address,
  target: address,
  total: u128,
  route: list({ node: address, channelId: hex32, amount: u128, expiry: u64 }, MAX_HOPS),
  twin: optional({ channelId: hex32, index: u16 }),
  secret: optional({ secret: hex32 }),
  givenBack: flag,
  publicAt: u64,
} as const
/** What was refused once and is kept as it is. */
export const evidenceLayout = { message: bytes(65_535), reason: text(256) } as const

/**
 * What changed in the locks of a side with one of its proofs. Kept for as long as the channel: its partner may present any
 * proof it ever got, and what that one locked is taken out with the locks as they were then.
 */
export const historyLayout = {
  /** Whether what was before is not known: `added` are all the locks. */
  reset: flag,
  added: list({ index: u16, amount: u128, expiry: u64, secrethash: hex32 }, 256),
  gone: list({ index: u16 }, 1),
} as const
const historyPrefix = (id: Hex, own: boolean): string => `history/${id}/${own ? 'own' : 'theirs'}/`
/** Where the change of one proof is kept. */
export const historyKey = (id: Hex, own: boolean, nonce: number): string =>
  historyPrefix(id, own) + String(nonce).padStart(16, '0')

/** The locks of a side as they were with one of its proofs. */
export async function locksAt(store: Store, id: Hex, own: boolean, nonce: number): Promise<ReadonlyMap<number, Lock>> {
  const locks = new Map<number, Lock>()
  for await (const [key, value] of store.list(historyPrefix(id, own))) {
    if (Number(key.slice(-16)) > nonce) break
    const { reset, added, gone } = decode(historyLayout, value)
    if (reset) locks.clear()
    for (const lock of added) locks.set(lock.index, lock)
    for (const { index } of gone) locks.delete(index)
  }
  return locks
}

/** Where a channel is kept. */
export const channelKey = (id: Hex): string => `channel/${id}`
/** Where one side of it is kept. */
export const sideKey = (id: Hex, own: boolean): string => `side/${id}/${own ? 'own' : 'theirs'}`
/** Where a lock is kept. */
export const lockKey = (id: Hex, own: boolean, index: number): string =>
  `lock/${id}/${own ? 'own' : 'theirs'}/${String(index).padStart(5, '0')}`

/** Proofs that may wait for the partner's receipt; beyond, no more are signed. */
export const OUTBOX = 1024
/** Where a proof message waits for its receipt: a ring, so that nothing has to be deleted. */
export const outKey = (id: Hex, nonce: number): string => `out/${id}/${nonce % OUTBOX}`

/** A view as it is encoded. */
export function fromChainView(view: ChainView): ValuesOf<typeof chainViewLayout> {
  const { phase, presented, released, ownKeys, theirKeys, ...rest } = view
  return {
    ...rest,
    phase: phases.indexOf(phase),
    fromPartner: presented?.fromPartner,
    fromCloser: presented?.fromCloser,
    released: released.map((lock) => ({ lock })),
    ownKeys: ownKeys.map((signer) => ({ signer })),
    theirKeys: theirKeys.map((signer) => ({ signer })),
  }
}

/** A view as it was decoded. */
export function toChainView(values: ValuesOf<typeof chainViewLayout>): ChainView {
  const { phase, fromPartner, fromCloser, released, ownKeys, theirKeys, ...rest } = values
  return {
    ...rest,
    phase: phases[phase]!,
    presented: fromPartner && fromCloser && { fromPartner, fromCloser },
    released: released.map(({ lock }) => lock),
    ownKeys: ownKeys.map(({ signer }) => signer),
    theirKeys: theirKeys.map(({ signer }) => signer),
  }
}

/** What the chain says of a channel that has just been opened with nothing in it. */
export function newChainView(): ChainView {
  return {
    phase: 'open',
    ownDeposit: 0n,
    theirDeposit: 0n,
    ownWithdrawn: 0n,
    theirWithdrawn: 0n,
    ownWithdraw: undefined,
    theirWithdraw: undefined,
    consented: false,
    ownKeys: [],
    theirKeys: [],
    settleAt: 0,
    closedByUs: false,
    settledAt: 0,
    presented: undefined,
    released: [],
    leftLocked: undefined,
    unlockedOwn: 0n,
    unlockedTheirs: 0n,
  }
}

/** The bytes of a channel without its sides. */
export function encodeChannel(channel: Channel): Uint8Array {
  return encode(channelLayout, {
    ...channel,
    ...fromChainView(channel),
    theirWatch: channel.theirWatch && { watch: channel.theirWatch },
  })
}

/** The bytes of one side without its locks. */
export function encodeSide({ nonce, transferred, reference, signature, stream }: Side): Uint8Array {
  return encode(sideLayout, { nonce, transferred, reference, signature: signature && { rs: signature }, stream })
}

/** The bytes of a lock. */
export function encodeLock(lock: LockRecord): Uint8Array {
  return encode(lockLayout, { ...lock, secret: lock.secret && { secret: lock.secret } })
}

/** Reads all channels of a store, and the locks with what belongs to them. */
export async function loadChannels(store: Store): Promise<{ readonly channels: Channel[]; readonly locks: LockBook }> {
  const locks = new Map<string, LockRecord>()
  for await (const [key, value] of store.list('lock/')) {
    const { secret, ...lock } = decode(lockLayout, value)
    locks.set(key, { ...lock, secret: secret?.secret })
  }
  const sides = new Map<string, ValuesOf<typeof sideLayout>>()
  for await (const [key, value] of store.list('side/')) sides.set(key, decode(sideLayout, value))
  const sideOf = (id: Hex, own: boolean): Side => {
    const stored = sides.get(sideKey(id, own))
    if (!stored) return freshSide
    const prefix = lockKey(id, own, 0).slice(0, -5)
    const pending = [...locks].filter(([key]) => key.startsWith(prefix)).map(([, lock]) => lock)
    return { ...stored, signature: stored.signature?.rs, locks: lockTreeOf(pending) }
  }
  const channels: Channel[] = []
  for await (const [key, value] of store.list('channel/')) {
    const id = key.slice('channel/'.length) as Hex
    const { theirWatch, fromPartner, fromCloser, ...rest } = decode(channelLayout, value)
    channels.push({
      ...rest,
      ...toChainView({ ...rest, fromPartner, fromCloser }),
      id,
      theirWatch: theirWatch?.watch,
      theirChannel: theirWatch && proofChannel(id, theirWatch.watch),
      own: sideOf(id, true),
      theirs: sideOf(id, false),
      acked: 0,
      synced: false,
      unacked: new Map(),
      stored: 0,
      durable: 0,
      progressAt: 0,
    })
    const channel = channels.at(-1)!
    channel.durable = channel.own.nonce
    channel.stored = channel.theirs.nonce
    const out: { readonly nonce: number; readonly packet: Uint8Array }[] = []
    for await (const [, packet] of store.list(`out/${id}/`)) {
      const message = decodeChannelMessage(packet)
      if ('nonce' in message && message.nonce <= channel.own.nonce && message.nonce > channel.own.nonce - OUTBOX)
        out.push({ nonce: message.nonce, packet })
    }
    // The ring begins anywhere, and its keys are no numbers: they are sent again in the order in which they were signed.
    for (const { nonce, packet } of out.sort((a, b) => a.nonce - b.nonce)) channel.unacked.set(nonce, packet)
  }
  const book = createLockBook()
  for (const channel of channels) {
    for (const own of [true, false]) {
      for (const index of (own ? channel.own : channel.theirs).locks.locks.keys()) {
        book.set({ channel, own, lock: locks.get(lockKey(channel.id, own, index))! })
      }
    }
  }
  return { channels, locks: book }
}

/** What the balance proofs of one side name. */
export function proofChannel(id: Hex, watch: Uint8Array): Uint8Array {
  return engine().keccak256(concatBytes(fromHex(id, 32), watch))
}

/** The id of a channel of two accounts in a token network. @param epoch - 1 for their first there. */
export function channelIdOf(tokenNetwork: Hex, a: Hex, b: Hex, epoch: number): Hex {
  const [low, high] = a.toLowerCase() < b.toLowerCase() ? [a, b] : [b, a]
  const bytes = new Uint8Array(128)
  bytes.set(fromHex(tokenNetwork, 20), 12)
  bytes.set(fromHex(low, 20), 44)
  bytes.set(fromHex(high, 20), 76)
  bytes.set(u64Bytes(epoch, 'epoch'), 120)
  return toHex(engine().keccak256(bytes))
}

/**
 * What this node can send now: deposit - withdrawn + received - sent - pending locks, where a deposit counts once both
 * ends have seen it and a withdrawal as soon as it is agreed.
 */
export function capacityOf(channel: Channel): bigint {
  const deposit = channel.ownDeposit < channel.seenDeposit ? channel.ownDeposit : channel.seenDeposit
  return available(deposit, channel.ownWithdrawn, channel.ownWithdraw, channel.theirs, channel.own)
}

/** What the partner can send now, with `side` as its last word. */
export function partnerCapacityOf(channel: Channel, side: UnsignedSide = channel.theirs): bigint {
  return available(channel.theirDeposit, channel.theirWithdrawn, channel.theirWithdraw, channel.own, side)
}

function available(
  deposit: bigint,
  withdrawn: bigint,
  pending: Pending | undefined,
  received: UnsignedSide,
  sent: UnsignedSide,
): bigint {
  const out = pending && pending.amount > withdrawn ? pending.amount : withdrawn
  return deposit - out + paidBy(received) - paidBy(sent) - promisedBy(sent)
}

/** What would be paid out to this node and to its partner if the channel ended now, locks left aside. */
export function balancesOf(channel: Channel): { readonly own: bigint; readonly theirs: bigint } {
  const sent = paidBy(channel.own) - paidBy(channel.theirs)
  return { own: channel.ownDeposit - channel.ownWithdrawn - sent, theirs: channel.theirDeposit - channel.theirWithdrawn + sent }
}

/** Whether nothing more can be paid in a channel. */
export const isSettledFor = ({ phase }: Channel): boolean => phase !== 'open'

/** A channel that has just been opened. */
export function newChannel(
  about: Pick<Channel, 'id' | 'tokenNetwork' | 'partner' | 'first' | 'epoch' | 'consented'>,
  watch: Uint8Array,
): Channel {
  return {
    ...newChainView(),
    ...about,
    own: freshSide,
    theirs: freshSide,
    ownChannel: proofChannel(about.id, watch),
    theirChannel: undefined,
    theirWatch: undefined,
    seenDeposit: 0n,
    closing: undefined,
    theirSigner: undefined,
    acked: 0,
    synced: false,
    unacked: new Map(),
    stored: 0,
    durable: 0,
    progressAt: 0,
  }
}
