import { utf8 } from '../bytes.ts'
import { type ErrorCode, type ErrorDetails, SluiceError } from '../errors.ts'
import type { ChainLog } from './chainLog.ts'
import type { Fees } from './fees.ts'

/** A transaction as it is kept in the store: enough to send the same one again, and nothing that is secret. */
export interface TransactionRecord {
  readonly label: string
  readonly key: string | undefined
  /** Null for one that creates a contract. */
  readonly to: string | null
  readonly data: string
  readonly value: bigint
  readonly gasLimit: bigint
  /** Block at which it was made: it cannot be mined earlier. */
  readonly since: number
  /** Unknown at first for a wallet's transaction. */
  readonly nonce: number | undefined
  /** Each fee it was offered for, newest last. */
  readonly attempts: readonly Attempt[]
  /** How it ended; only records with a key outlive their end. */
  readonly end?: TransactionEnd | undefined
}

/** One signature of a transaction. */
export interface Attempt {
  readonly hash: string
  /** The signed bytes in hex; a wallet keeps its own. */
  readonly raw: string | undefined
  readonly fees: Fees | undefined
}

/** How a transaction ended: with a receipt, or with the error that is thrown. */
export type TransactionEnd =
  | { readonly receipt: SentReceipt }
  | { readonly error: { readonly code: ErrorCode; readonly shortMessage: string; readonly details: ErrorDetails } }

/** A transaction that succeeded and is deep enough. */
export interface SentReceipt {
  /** The hash that was mined: not the first one if the fee was raised. */
  readonly hash: string
  readonly nonce: number
  readonly blockNumber: number
  readonly blockHash: string
  readonly gasUsed: bigint
  /** Wei paid for gas. */
  readonly fee: bigint
  readonly logs: readonly ChainLog[]
}

/** Writes a record. */
export function encodeRecord(record: TransactionRecord): Uint8Array {
  return utf8(
    JSON.stringify({ version: 1, ...record }, (_, value: unknown) =>
      typeof value === 'bigint' ? { wei: value.toString() } : value,
    ),
  )
}

/**
 * Reads a record.
 * @throws `STORE_CORRUPT`.
 */
export function decodeRecord(name: string, bytes: Uint8Array): TransactionRecord {
  try {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes), (_, value: unknown) =>
      typeof value === 'object' && value !== null && 'wei' in value && typeof value.wei === 'string'
        ? BigInt(value.wei)
        : value,
    ) as TransactionRecord & { version: unknown }
    if (value.version !== 1 || !Array.isArray(value.attempts) || value.attempts.length === 0) throw new Error('not version 1')
    return value
  } catch (cause) {
    throw new SluiceError('STORE_CORRUPT', `transaction ${name} in the store cannot be read`, {
      details: { name },
      cause,
    })
  }
}
