/**
 * What a watchtower is given for a channel, and how it is sealed until the channel's closing shows the key.
 * @module
 */
import nacl from 'tweetnacl'
import { assertArguments, byteString, computeFrom, hexText } from '../../core/argument.ts'
import { concatBytes, fromHex, randomBytes, toHex, utf8, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { SluiceError } from '../../core/errors.ts'
import type { OnChainProof } from '../chain/blockchainService.ts'
import type { Presented } from '../node/channel.ts'
import { address, bytes, decode, encode, hex32, list, optional, raw, u128, u64 } from '../wire/codec.ts'
import { NO_HASH, SEALED_APPOINTMENT } from '../wire/messages.ts'

/** A reward as `TowerDeposit.update` takes it, and where it is paid from. */
export interface TowerReward {
  /** Address of the `TowerDeposit`. */
  readonly deposit: Hex
  /** Who is paid; zero for whoever shows the proof. */
  readonly tower: Hex
  readonly amount: bigint
  readonly signature: Uint8Array
}

/** The partner's word that it won't claim a lock. */
export interface ShownRelease {
  /** Hash of the lock, as it is a leaf of the tree. */
  readonly lock: Uint8Array
  /** EIP-712 `Release` by the partner. */
  readonly signature: Uint8Array
}

/** All that it takes to answer a closing for somebody. */
export interface Appointment {
  readonly tokenNetwork: Hex
  /** The client's partner: who would have closed the channel. */
  readonly closer: Hex
  readonly client: Hex
  /** The newest balance proof of the partner. */
  readonly proof: OnChainProof
  /** EIP-712 `Update` by the client over it and its steps. */
  readonly updateSignature: Uint8Array
  readonly reward: TowerReward | undefined
  /** Of locks of the client that have not expired. */
  readonly releases: readonly ShownRelease[]
}

/** By the account's own key or one that is registered in the channel. */
const SIGNATURE = 65
/** Releases that fit beside everything else. */
export const MAX_RELEASES = 32

const layout = {
  tokenNetwork: address,
  closer: address,
  client: address,
  nonce: u64,
  transferred: u128,
  locked: u128,
  locksroot: hex32,
  stream: hex32,
  ref: hex32,
  watch: hex32,
  signature: bytes(SIGNATURE),
  steps: bytes(128),
  updateSignature: bytes(SIGNATURE),
  reward: optional({ deposit: address, tower: address, amount: u128, signature: bytes(SIGNATURE) }),
  releases: list({ lock: raw(32), signature: bytes(SIGNATURE) }, MAX_RELEASES),
} as const

const { nonceLength, overheadLength } = nacl.secretbox
/** Bytes inside the seal: the content behind its length, then zeros. */
const PLAIN = SEALED_APPOINTMENT - nonceLength - overheadLength

/** What is public as soon as a channel is closed. */
export interface ShownByClosing {
  readonly channelId: Hex
  /** The secret of the side that did not close; zero if the channel was closed without a proof. */
  readonly watch: Hex
}

/** How a tower finds what it has of a channel: 16 bytes of a SHA-256. */
export function hintOf(closing: ShownByClosing): Hex {
  return computeFrom('closing', '{ channelId, watch } of a closing', () => {
    const { channelId, watch } = closing
    return toHex(hash('sluice tower hint', channelId, watch).subarray(0, 16))
  })
}

function hash(tag: string, channelId: Hex, watch: Hex): Uint8Array {
  return engine().sha256(utf8(tag), fromHex(channelId, 32), fromHex(watch, 32))
}

/** The bytes of an appointment. Those of equal ones are equal. */
export function encodeAppointment({ proof, ...rest }: Appointment): Uint8Array {
  return encode(layout, { ...proof, ...rest })
}

/** Reads the bytes of an appointment. @throws `BAD_MESSAGE` naming the field. */
export function decodeAppointment(content: Uint8Array): Appointment {
  assertArguments({ content }, { content: byteString() })
  const { tokenNetwork, closer, client, updateSignature, reward, releases, ...proof } = decode(layout, content)
  return { tokenNetwork, closer, client, proof, updateSignature, reward, releases }
}

/**
 * Seals the bytes of an appointment: the same length for every one, and other bytes each time.
 *
 * Source: NaCl `crypto_secretbox` (XSalsa20-Poly1305), under the SHA-256 of a tag, channel id and watch.
 * @throws `MESSAGE_TOO_LARGE`
 */
export function seal(content: Uint8Array, closing: ShownByClosing): Uint8Array {
  if (content.length + 2 > PLAIN) {
    throw new SluiceError('MESSAGE_TOO_LARGE', `an appointment has ${content.length} bytes, and at most ${PLAIN - 2} fit`, {
      details: { size: content.length, limit: PLAIN - 2 },
    })
  }
  const plain = new Uint8Array(PLAIN)
  new DataView(plain.buffer).setUint16(0, content.length) // fits: less than PLAIN, which is below 2^16
  plain.set(content, 2)
  const nonce = randomBytes(nonceLength)
  return concatBytes(nonce, nacl.secretbox(plain, nonce, hash('sluice tower key', closing.channelId, closing.watch)))
}

/**
 * Opens what was sealed. Anyone can once the channel is closed: so a tower's failure can be shown to others.
 * @throws `BAD_KEY` if it was sealed for another closing, or changed.
 */
export function unseal(sealed: Uint8Array, closing: ShownByClosing): Uint8Array {
  assertArguments({ sealed }, { sealed: byteString() })
  assertArguments(closing, { channelId: hexText(32), watch: hexText(32) }, 'closing')
  const key = hash('sluice tower key', closing.channelId, closing.watch)
  const plain =
    sealed.length === SEALED_APPOINTMENT
      ? nacl.secretbox.open(sealed.subarray(nonceLength), sealed.subarray(0, nonceLength), key)
      : null
  const size = plain && new DataView(plain.buffer, plain.byteOffset).getUint16(0)
  if (!plain || size! + 2 > PLAIN) {
    throw new SluiceError('BAD_KEY', `the appointment was not sealed for this closing of channel ${closing.channelId}`, {
      details: { channelId: closing.channelId },
    })
  }
  return plain.slice(2, 2 + size!)
}

/** What a proof says was paid, with the steps of its hash chain. */
export function paidByProof({ transferred, steps }: Pick<OnChainProof, 'transferred' | 'steps'>): bigint {
  if (steps.length !== 128) return transferred
  const view = new DataView(steps.buffer, steps.byteOffset)
  const unit = (view.getBigUint64(48) << 64n) | view.getBigUint64(56)
  return transferred + unit * BigInt(view.getUint32(124))
}

/** Whether the contract takes a proof after what was shown: it is newer, or the same with more steps. */
export function isTaken(proof: OnChainProof, shown: Presented): boolean {
  if (proof.nonce !== shown.nonce) return proof.nonce > shown.nonce
  return proof.locked === shown.locked && proof.locksroot === shown.locksroot && paidByProof(proof) > shown.transferred
}

/** The watch of a channel that is closed without a proof. */
export const NO_WATCH = NO_HASH
