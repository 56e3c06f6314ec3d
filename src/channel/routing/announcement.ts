/**
 * What one side of a channel tells everybody about sending over it.
 * @module
 */
import { concatBytes, utf8 } from '../../core/bytes.ts'
import { type Key } from '../../core/crypto/key.ts'
import { personalDigest, recoverAddress } from '../../core/crypto/signature.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import { address, badField, bytes, flag, hex32, list, raw, Reader, read, u128, u32, u64, u8, Writer, write } from '../wire/codec.ts'
import { assertFeeSchedule, MAX_POINTS } from './fees.ts'
import { type Direction } from './graph.ts'

/** What `participant` can send to `partner`, and at what price. Addresses and ids are lower-case hex. */
export interface Announcement extends Omit<Direction, 'signed'> {
  readonly chainId: number
  readonly tokenNetwork: string
  readonly channelId: string
  readonly participant: string
  readonly partner: string
}

/** An announcement with what proves who made it. */
export interface SignedAnnouncement extends Announcement {
  /** 65 bytes by the participant or by its session key. */
  readonly signature: Uint8Array
  /** What makes the session key the participant's; empty when it signed itself. */
  readonly delegation: Uint8Array
  /** All of it as it travels. */
  readonly bytes: Uint8Array
}

/** Tells whether `signer` may sign for `participant`, by a delegation that it has to check. */
export type IsSigner = (participant: string, signer: string, delegation: Uint8Array) => boolean

const VERSION = 1
/** Bytes of a delegation: a signature, or what the participant's contract takes for one (ERC-1271). */
const MAX_DELEGATION = 1024
/** Seconds: a mediator that wants to hold money for more than a day is not one. */
const MAX_REVEAL_TIMEOUT = 86_400

/** The signed fields, in this order, big endian, without gaps. */
const body = {
  version: u8,
  chainId: u64,
  tokenNetwork: address,
  channelId: hex32,
  participant: address,
  partner: address,
  sequence: u64,
  ownNonce: u64,
  partnerNonce: u64,
  capacity: u128,
  revealTimeout: u32,
  enabled: flag,
  flat: u128,
  proportional: u32,
  imbalance: list({ balance: u128, penalty: u128 }, MAX_POINTS),
} as const
const proof = { signature: raw(65), delegation: bytes(MAX_DELEGATION) } as const

/** The fields of an announcement as they are signed. @throws `BAD_MESSAGE`, `BAD_ARGUMENT` for a value out of range. */
export function encodeAnnouncement(announcement: Announcement): Uint8Array {
  check(announcement)
  const { fees, nonces } = announcement
  const out = new Writer()
  write(body, out, {
    ...(announcement as Announcement & Record<'tokenNetwork' | 'channelId' | 'participant' | 'partner', `0x${string}`>),
    version: VERSION,
    ownNonce: nonces.own,
    partnerNonce: nonces.partner,
    flat: fees.flat,
    proportional: fees.proportional,
    imbalance: fees.imbalance.map(([balance, penalty]) => ({ balance, penalty })),
  })
  return out.finish()
}

/** Signs an announcement with the participant's key, or with its session key and the delegation. @throws `BAD_MESSAGE` */
export function signAnnouncement(
  announcement: Announcement,
  key: Pick<Key, 'sign'>,
  delegation: Uint8Array = new Uint8Array(),
): SignedAnnouncement {
  const signed = encodeAnnouncement(announcement)
  const signature = key.sign(digestOf(signed))
  const out = new Writer()
  out.raw(signed)
  write(proof, out, { signature, delegation })
  return decodeAnnouncement(out.finish())
}

/** Reads an announcement, and nothing behind it. Does not check the signature. @throws `BAD_MESSAGE` naming the field. */
export function decodeAnnouncement(bytes: Uint8Array): SignedAnnouncement {
  const from = new Reader(bytes)
  const { version, ownNonce, partnerNonce, flat, proportional, imbalance, ...rest } = read(body, from)
  if (version !== VERSION) throw badField('version', `must be ${VERSION}`)
  const announcement = {
    ...rest,
    nonces: { own: ownNonce, partner: partnerNonce },
    fees: { flat, proportional, imbalance: imbalance.map(({ balance, penalty }) => [balance, penalty] as const) },
  }
  check(announcement)
  const { signature, delegation } = read(proof, from)
  from.end()
  return { ...announcement, signature, delegation, bytes: Uint8Array.from(bytes) }
}

/**
 * Asserts that the participant signed, or a session key that may.
 * @throws `BAD_SIGNATURE`
 */
export function verifyAnnouncement(announcement: SignedAnnouncement, isSigner: IsSigner): void {
  const { participant, signature, delegation, bytes } = announcement
  const signed = bytes.subarray(0, bytes.length - 65 - 2 - delegation.length)
  let signer: string | undefined
  try {
    signer = recoverAddress(digestOf(signed), signature).toLowerCase()
  } catch (error) {
    if (!isSluiceError(error, 'BAD_SIGNATURE')) throw error
  }
  // Nothing may ride along with a signature that needs no delegation: it is passed on to everybody.
  if (signer === participant ? delegation.length === 0 : signer !== undefined && isSigner(participant, signer, delegation)) return
  throw new SluiceError('BAD_SIGNATURE', `the announcement is not signed by ${participant} or a key of its`, {
    details: { field: 'signature', participant, signer },
  })
}

/** The tag keeps a signature from meaning anything else that the key signs. Source: EIP-191. */
function digestOf(signed: Uint8Array): Uint8Array {
  return personalDigest(concatBytes(utf8('Sluice channel announcement\n'), signed))
}

function check({ chainId, participant, partner, sequence, nonces, capacity, revealTimeout, fees }: Announcement): void {
  for (const [name, value] of Object.entries({ chainId, sequence, ownNonce: nonces.own, partnerNonce: nonces.partner })) {
    if (!(Number.isSafeInteger(value) && value >= 0)) throw badField(name, 'must be a whole number below 2^53')
  }
  if (capacity < 0n || capacity >> 128n > 0n) throw badField('capacity', 'must be from 0 to 2^128 - 1')
  if (participant.toLowerCase() === partner.toLowerCase()) throw badField('partner', 'must not be the participant')
  if (!(Number.isInteger(revealTimeout) && revealTimeout >= 1 && revealTimeout <= MAX_REVEAL_TIMEOUT)) {
    throw badField('revealTimeout', `must be from 1 to ${MAX_REVEAL_TIMEOUT} seconds`)
  }
  assertFeeSchedule(fees, 'BAD_MESSAGE')
}
