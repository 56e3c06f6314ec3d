/**
 * What two nodes say to each other, once their link stands: a byte for the type, then the fields of its layout.
 *
 * The only place where the layouts are written down. docs/channel.md tells what each is for and when it is answered by
 * what; docs/vectors.json has an example of each.
 * @module
 */
import { fromHex, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import {
  address,
  badField,
  bytes,
  flag,
  hex32,
  list,
  optional,
  raw,
  Reader,
  read,
  text,
  u128,
  u16,
  u32,
  u64,
  u8,
  write,
  written,
  type Layout,
  type ValuesOf,
} from './codec.ts'

/** The version of the messages that this library speaks. */
export const CHANNEL_PROTOCOL_VERSION = 1

/** The most hops of a route, and with them the time that a payment can lock up money for. */
export const MAX_HOPS = 12

/** Bytes of what a watchtower keeps, sealed: always the same, so that their number says nothing. */
export const SEALED_APPOINTMENT = 8192

/** Channels that a client shows a watchtower as its stake. */
export const MAX_STAKE_CHANNELS = 32

/** A balance proof beside what the receiver knows of it already: channel, stream, and the reference to the message. */
export const proofFields = { nonce: u64, transferred: u128, locked: u128, locksroot: raw(32), signature: raw(64) } as const

/** A hop that is still ahead: to whom, over which channel, how much, until when. */
const hop = { node: address, channelId: hex32, amount: u128, expiry: u64 } as const

const layouts = {
  // ------------------------------------------------------------------------------------------------------ one channel
  /** Direct transfer. `paymentId` is the proof's reference. */
  payment: { channelId: hex32, ...proofFields, amount: u128, paymentId: hex32 },
  /** Locks an amount for somebody who will know the secret. */
  lock: {
    channelId: hex32,
    ...proofFields,
    index: u16,
    amount: u128,
    expiry: u64,
    secrethash: hex32,
    paymentId: hex32,
    initiator: address,
    target: address,
    /** What the target gets in all, over all parts. */
    total: u128,
    route: list(hop, MAX_HOPS),
  },
  /** Turns a lock whose secret is known into a transfer. */
  unlock: { channelId: hex32, ...proofFields, index: u16, secret: raw(32) },
  /** Takes out a lock that has expired, or that the receiver has given back. */
  remove: { channelId: hex32, ...proofFields, index: u16 },
  /** Anchors a hash chain, or none (`length` 0), after folding `steps` of the last one into `transferred`. */
  stream: { channelId: hex32, ...proofFields, steps: u32, anchor: hex32, unit: u128, length: u32, paymentId: hex32 },
  /** Pays one or more steps of the hash chain. */
  step: { channelId: hex32, steps: u32, preimage: raw(32) },
  /** The receipt: every proof of the other side up to `nonce` is accepted and stored. */
  processed: { channelId: hex32, nonce: u64 },

  // ---------------------------------------------------------------------------------------------------- agreeing again
  /** Where a side stands: its last nonce, the last it accepted, what it has seen on chain. Sent first on every link. */
  sync: {
    channelId: hex32,
    nonce: u64,
    accepted: u64,
    /** Steps of the other side's hash chain that were accepted, and the last preimage. */
    steps: u32,
    preimage: hex32,
    /** The other side's deposit as it is confirmed here. */
    deposit: u128,
    watch: raw(32),
  },
  /** The last proof of one side, with all that it stands for: for whoever has forgotten its own, or missed the other's. */
  state: {
    channelId: hex32,
    /** Whose: the sender's own, or the one that the receiver signed. */
    own: flag,
    ...proofFields,
    reference: raw(32),
    locks: list({ index: u16, amount: u128, expiry: u64, secrethash: hex32 }, 256),
    stream: optional({ anchor: hex32, unit: u128, length: u32, steps: u32, preimage: hex32 }),
  },

  // ----------------------------------------------------------------------------------------------------- on both sides
  /** Asks for consent to a channel that is about to be opened; carries the asker's first proof of it. */
  openRequest: { tokenNetwork: address, channelId: hex32, watch: raw(32), signature: bytes(1024) },
  openConsent: { tokenNetwork: address, channelId: hex32, watch: raw(32), signature: bytes(1024) },
  withdrawRequest: { channelId: hex32, totalWithdraw: u128, validUntil: u64, signature: bytes(1024) },
  withdrawConfirm: { channelId: hex32, totalWithdraw: u128, validUntil: u64, signature: bytes(1024) },
  /** Carries no signature: with one, the partner could end the channel so even after it has refused. */
  closeRequest: { channelId: hex32, nonce: u64, accepted: u64, balance1: u128, balance2: u128, validUntil: u64 },
  closeConfirm: { channelId: hex32, validUntil: u64, signature: bytes(1024) },
  /** A request that is not granted. `request` is the type of message, `channelId` what it was about. */
  refused: { channelId: hex32, request: u8, code: text(64), message: text(256) },

  // ------------------------------------------------------------------------------- a payment over several hops
  /** The target has all that it was promised: it asks the initiator for the secret. Handed back along the path. */
  secretRequest: { paymentId: hex32, secrethash: hex32, amount: u128, expiry: u64, signature: raw(65), delegation: bytes(1024) },
  /** The secret, sealed for the target. Handed forward along the path. */
  secretGrant: { paymentId: hex32, secrethash: hex32, ephemeral: raw(33), sealed: raw(32) },
  /** The initiator has given the payment up: the target may give its locks back at once. Handed forward along the path. */
  secretDenied: { paymentId: hex32, secrethash: hex32 },
  /** The receiver of a lock knows the secret and asks for the unlock. */
  reveal: { channelId: hex32, index: u16, secret: raw(32) },
  /** The receiver of a lock gives it back. `reporter` signed why, so that nobody on the way can blame another. */
  fail: {
    channelId: hex32,
    index: u16,
    paymentId: hex32,
    code: text(64),
    reporter: address,
    /** The channel that could not carry on; zero if it is the target that refuses. */
    failed: hex32,
    signature: raw(65),
    delegation: bytes(1024),
    /** EIP-712 `Release` by the receiver: with it the lock can be taken out before it expires. */
    release: raw(65),
  },

  /** Offers an amount in one token network for an amount in another. */
  swapOffer: { id: hex32, secrethash: hex32, giveNetwork: address, giveAmount: u128, takeNetwork: address, takeAmount: u128 },
  swapAnswer: { id: hex32, accepted: flag },

  // ------------------------------------------------------------------------------------------------------------ gossip
  /** One announcement, as its signer wrote it. */
  announcement: { signed: bytes(2048) },
  /** Asks for announcements newer than `since`, from the channel on that follows `after`. */
  gossipRequest: { tokenNetwork: address, since: u64, after: hex32 },
  gossipEnd: { tokenNetwork: address, next: hex32, more: flag },
  ping: { nonce: u32 },
  pong: { nonce: u32 },

  // -------------------------------------------------------------------------------- a watchtower and its client
  /** What the tower is to keep, and open when the closing of a channel shows the key: in place of number `replaces`. */
  appointment: { hint: raw(16), counter: u64, replaces: u64, validUntil: u64, sealed: raw(SEALED_APPOINTMENT) },
  /**
   * EIP-712 `Receipt`: the tower keeps it until then, and acts if the reward inside is at least this much. Not `promised`:
   * it keeps it only while nobody with more at stake wants the place.
   */
  receipt: {
    hint: raw(16),
    counter: u64,
    validUntil: u64,
    towerDeposit: address,
    reward: u128,
    signature: raw(65),
    promised: flag,
  },
  /** The tower doesn't keep it. `held` is what it has in the place of number `replaces`, if that is another one. */
  declined: {
    hint: raw(16),
    counter: u64,
    code: text(64),
    message: text(256),
    held: optional({ counter: u64, sealed: raw(SEALED_APPOINTMENT) }),
  },
  /** EIP-712 `Stake` by an account: its money, in these channels, stands behind the client of this link. */
  stake: {
    account: address,
    /** Token network and partner of each, 20 bytes and 20. */
    channels: bytes(40 * MAX_STAKE_CHANNELS),
    signature: raw(65),
    delegation: bytes(1024),
  },
} as const satisfies Record<string, Layout>

const codes = {
  payment: 1,
  lock: 2,
  unlock: 3,
  remove: 4,
  stream: 5,
  step: 6,
  processed: 7,
  sync: 16,
  state: 17,
  openRequest: 18,
  openConsent: 19,
  withdrawRequest: 20,
  withdrawConfirm: 21,
  closeRequest: 22,
  closeConfirm: 23,
  refused: 24,
  secretRequest: 32,
  secretGrant: 33,
  reveal: 34,
  fail: 35,
  swapOffer: 36,
  swapAnswer: 37,
  secretDenied: 38,
  announcement: 48,
  gossipRequest: 49,
  gossipEnd: 50,
  ping: 51,
  pong: 52,
  appointment: 64,
  receipt: 65,
  declined: 66,
  stake: 67,
} as const satisfies Record<keyof typeof layouts, number>

/** The name of a type of message. */
export type ChannelMessageType = keyof typeof layouts
/** The fields of one type of message. */
export type ChannelMessageOf<T extends ChannelMessageType> = ValuesOf<(typeof layouts)[T]>
/** A message with its type. */
export type ChannelMessage = Typed<ChannelMessageType>
/** A message of one type, or of one of several. */
export type Typed<T extends ChannelMessageType> = T extends ChannelMessageType
  ? { readonly type: T } & ChannelMessageOf<T>
  : never

const types = new Map<number, ChannelMessageType>(Object.entries(codes).map(([type, code]) => [code, type as ChannelMessageType]))

/** The number of a type on the wire. */
export function codeOf(type: ChannelMessageType): number {
  return codes[type]
}

/** Writes a message as it travels. */
export function encodeChannelMessage<T extends ChannelMessageType>(type: T, fields: ChannelMessageOf<T>): Uint8Array {
  return written((out) => {
    out.u8(codes[type])
    write(layouts[type] as Layout, out, fields as never)
  })
}

/** Writes a message that carries a proof, of its parts. */
export function encodeProofMessage<T extends ProofMessageType>(
  type: T,
  channelId: Hex,
  proof: ValuesOf<typeof proofFields>,
  details: ProofDetails<T>,
): Uint8Array {
  return written((out) => {
    out.u8(codes[type])
    hex32.write(out, channelId)
    write(proofFields, out, proof)
    write(detailLayouts[type] as Layout, out, details as never)
  })
}

/** Reads a message. @throws `BAD_MESSAGE` naming the field. */
export function decodeChannelMessage(packet: Uint8Array): ChannelMessage {
  const from = new Reader(packet)
  const type = types.get(from.u8('type'))
  if (!type) throw badField('type', `${packet[0]} is unknown`)
  const fields = read(layouts[type] as Layout, from) as Record<string, unknown>
  from.end()
  fields['type'] = type
  return fields as unknown as ChannelMessage
}

/** The messages that carry a balance proof. */
export type ProofMessageType = 'payment' | 'lock' | 'unlock' | 'remove' | 'stream'
/** A message that carries a balance proof. */
export type ProofMessage = Typed<ProofMessageType>
/** What such a message says beside the proof and the channel. */
export type ProofDetails<T extends ProofMessageType> = Omit<ChannelMessageOf<T>, keyof typeof proofFields | 'channelId'>

/**
 * The reference of a balance proof: the payment id of a direct transfer as it is, else the SHA-256 of the message's type
 * and of what it says beside the proof.
 */
export function referenceOf<T extends ProofMessageType>(type: T, details: ProofDetails<T>): Uint8Array {
  if (type === 'payment') return fromHex((details as ProofDetails<'payment'>).paymentId, 32)
  const bytes = written((out) => {
    out.u8(codes[type])
    write(detailLayouts[type] as Layout, out, details as never)
  })
  return engine().sha256(bytes)
}

/** What each of them says beside the proof and the channel. */
const detailLayouts = /* @__PURE__ */ Object.fromEntries(
  (['payment', 'lock', 'unlock', 'remove', 'stream'] as const).map((type) => [
    type,
    Object.fromEntries(Object.entries(layouts[type]).filter(([name]) => name !== 'channelId' && !(name in proofFields))),
  ]),
) as unknown as Record<ProofMessageType, Layout>

/** A hop that is still ahead of a lock. */
export type Hop = ValuesOf<typeof hop>

/** Every layout, for the vectors and the documentation. */
export const channelMessageLayouts: Readonly<Record<ChannelMessageType, Layout>> = layouts
/** 32 zero bytes, as hex. */
export const NO_HASH: Hex = `0x${'00'.repeat(32)}`
