import type { TokenNetworkDigests } from '../../contracts/channelTypes.ts'
import type { Hex } from '../../core/bytes.ts'
import type { Clock } from '../../core/clock.ts'
import type { Key } from '../../core/crypto/key.ts'
import type { Emitter } from '../../core/events.ts'
import type { Logger } from '../../core/log.ts'
import type { FirstProof } from './agreements.ts'
import type { Links } from '../link/links.ts'
import type { Channel, LockBook } from './channel.ts'
import type { ChannelEvents } from './events.ts'
import type { Journal } from './journal.ts'

/** What the parts of a node share. */
export interface NodeContext {
  /** The account whose money it is, in lower case. */
  readonly account: Hex
  /** Signs: the account's own key or its session key. */
  readonly key: Key
  /** What shows that the session key may sign, at links and when it is registered; empty if it is the account's own. */
  readonly delegation: Uint8Array
  /** The session key's address; undefined where the account's own key signs. */
  readonly sessionKey: Hex | undefined
  /** Whether what this node signs in a channel counts on chain: its key is the account's own, or registered there. */
  counts(channel: Channel): boolean
  /** Registers this node's session key in a channel, if that is not under way. */
  registerKey(channel: Channel): void
  readonly clock: Clock
  readonly log: Logger
  readonly journal: Journal
  readonly links: Links
  readonly events: Emitter<ChannelEvents>
  readonly time: ChainTime
  readonly channels: Map<Hex, Channel>
  readonly locks: LockBook
  digests(tokenNetwork: Hex): TokenNetworkDigests
  /** Whether this node takes part in a token network. */
  knows(tokenNetwork: Hex): boolean
  /** Whether a signature of 65 bytes, v included, is by a key: what a contract will recover. */
  recovers(digest: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean
  /** A signature as a contract takes it: v added. */
  withV(digest: Uint8Array, rs: Uint8Array, publicKey: Uint8Array): Uint8Array
  /** Keeps which secrets were registered together: that is how they are claimed. */
  noteRegistration(key: Hex, secrethashes: readonly Hex[]): void
  /** Keeps the proof that a channel begins with until the channel is there. */
  keepFirstProof(channelId: Hex, proof: FirstProof): void
  /** Secret bytes that this node shows whoever opens a channel with it. */
  watchOf(channelId: Hex): Uint8Array
  /** @throws `STOPPED` */
  assertRunning(): void
}

/** What time it is on chain, in Unix seconds. */
export interface ChainTime {
  /** Of the last block that is deep enough: what is over by it is over for good. */
  readonly confirmed: number
  /** The later of the newest block and this machine's clock: what is not over by it can still be reached. */
  now(): number
  /** Whether no block has come for so long that a closing could be missed: then nothing more may be promised or taken. */
  stalled(): boolean
  /** @throws `CHAIN_STALLED` if so, saying since when and what to set. */
  assertMoving(): void
}
