/**
 * A payment as a node remembers it.
 * @module
 */
import type { Hex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Store } from '../../core/store/store.ts'
import { address, decode, encode, hex32, optional, text, u128, u64, u8 } from '../wire/codec.ts'

/**
 * How far a payment is: `pending` while nobody has it for sure and it can still come to nothing; `unknown` once the secret
 * has left and only the chain's clock can tell that it will not come to anything; `done`; `failed`: no money has moved.
 */
export const paymentStates = ['pending', 'unknown', 'done', 'failed'] as const
/** One of {@link paymentStates}. */
export type PaymentState = (typeof paymentStates)[number]

/** A payment that went out, came in or went through. */
export interface Payment {
  /** 32 bytes, chosen by the payer; one id is paid once. */
  readonly id: Hex
  readonly direction: 'out' | 'in'
  readonly tokenNetwork: Hex
  /** The account at the other end. */
  readonly peer: Hex
  /** What arrives, in the token's smallest unit. */
  readonly amount: bigint
  /** What mediators keep on top. */
  readonly fee: bigint
  readonly state: PaymentState
  /** SHA-256 of the secret; undefined for a direct transfer. */
  readonly secrethash: Hex | undefined
  /** Milliseconds since 1970. */
  readonly at: number
  /** Why it failed. */
  readonly reason: string | undefined
}

const layout = {
  tokenNetwork: address,
  peer: address,
  amount: u128,
  fee: u128,
  state: u8,
  secrethash: optional({ hash: hex32 }),
  at: u64,
  reason: optional({ text: text(256) }),
  /** Of the payer only: what it can still give away. */
  secret: optional({ secret: hex32 }),
} as const

/** A payment with the secret that only its payer knows. */
export interface KeptPayment extends Payment {
  readonly secret: Hex | undefined
}

/** Where a payment of this node is kept. */
export const paymentKey = (id: Hex): string => `payment/out/${id}`
/**
 * Where a payment to this node is kept. Others choose its id, so `proof` tells those of one id apart: the secrethash, or the
 * channel and nonce of a direct transfer.
 */
export const receiptKey = (id: Hex, proof: string): string => `payment/in/${id}/${proof}`
/** Where is kept what has come in of a payment in parts. */
export const partsKey = (id: Hex, secrethash: Hex): string => `parts/${id}/${secrethash}`

const sumLayout = { sum: u128 } as const
/** The bytes of what has come in of a payment in parts. */
export const encodeSum = (sum: bigint): Uint8Array => encode(sumLayout, { sum })

/** Reads what has come in of payments in parts, by {@link partsKey}. */
export async function loadSums(store: Store): Promise<Map<string, bigint>> {
  const sums = new Map<string, bigint>()
  for await (const [key, value] of store.list('parts/')) sums.set(key, decode(sumLayout, value).sum)
  return sums
}

/** The bytes of a payment. */
export function encodePayment(payment: KeptPayment): Uint8Array {
  const { state, secrethash, reason, secret } = payment
  return encode(layout, {
    ...payment,
    state: paymentStates.indexOf(state),
    secrethash: secrethash && { hash: secrethash },
    reason: reason === undefined ? undefined : { text: reason },
    secret: secret && { secret },
  })
}

function decodePayment(key: string, value: Uint8Array): KeptPayment {
  const [, direction, id] = key.split('/') as [string, 'out' | 'in', Hex]
  const { state, secrethash, reason, secret, ...rest } = decode(layout, value)
  return {
    ...rest,
    id,
    direction,
    state: paymentStates[state]!,
    secrethash: secrethash?.hash,
    reason: reason?.text,
    secret: secret?.secret,
  }
}

/** Reads one payment of this node. */
export async function loadPayment(store: Store, id: Hex): Promise<KeptPayment | undefined> {
  const key = paymentKey(id)
  const value = await store.get(key)
  return value && decodePayment(key, value)
}

/** Reads the payments of a direction whose ids begin with `idPrefix`, by id. */
export async function* loadPayments(store: Store, direction: 'out' | 'in', idPrefix: string): AsyncIterable<KeptPayment> {
  for await (const [key, value] of store.list(`payment/${direction}/${idPrefix}`)) yield decodePayment(key, value)
}

/** The most that mediators may keep if nothing else is said. */
export function usualFee(amount: bigint): bigint {
  return amount / 20n > 0n ? amount / 20n : 1n
}

/** Why nothing more can be said of a payment. */
export function unknownEnd(paymentId: Hex): SluiceError {
  return new SluiceError('PAYMENT_UNKNOWN', 'this store was behind: only the target knows whether the payment arrived', {
    details: { paymentId },
  })
}

/** What a payment is to its user. */
export function publicPayment({ secret: _, ...payment }: KeptPayment): Payment {
  return payment
}
