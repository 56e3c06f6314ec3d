import { isSluiceError, type ErrorCode } from './errors.ts'

/**
 * Codes whose sentences are made of what the other side sent or can see: its message, its order, its channel. The others
 * may quote a path, a database, a node or the configuration.
 */
const OPEN: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'BAD_MESSAGE', 'BAD_FRAME', 'BAD_SIGNATURE', 'MESSAGE_TOO_LARGE', 'UNEXPECTED_MESSAGE', 'VERSION_MISMATCH', 'WRONG_CHAIN',
  'OVERLOADED', 'PEER_REFUSED', 'SELLER_BLIND',
  // orders
  'NO_SUCH_ITEM', 'NO_SUCH_ORDER', 'OFFER_EXPIRED', 'RANGE_INVALID', 'PRICE_MISMATCH', 'ORDER_MISMATCH', 'ORDER_UNCONFIRMED',
  'ORDER_FINISHED', 'ORDER_EXPIRED', 'ORDER_TOO_SMALL', 'DEPOSIT_SHORT', 'PAYMENT_UNSUPPORTED', 'PAYMENT_INVALID', 'PAYMENT_LATE',
  // channels
  'CAPACITY_SHORT', 'CHANNEL_BUSY', 'CHANNEL_NOT_FOUND', 'CHANNEL_NOT_OPEN', 'EXPIRY_OUT_OF_RANGE', 'FEE_TOO_LOW', 'FEE_TOO_HIGH',
  'PAYMENT_EXPIRED', 'PAYMENT_REFUSED', 'PROOF_INVALID', 'STATE_STALE', 'TOO_MANY_LOCKS', 'BAD_ARGUMENT',
])

/** What is said of the others, where more than the code helps. */
const NEUTRAL: Readonly<Partial<Record<ErrorCode, string>>> = {
  SOURCE_FAILED: 'the data cannot be read at the moment; try again later',
  RPC_FAILED: 'the chain cannot be asked at the moment; try again later',
  TIMEOUT: 'it took too long; try again later',
  ABORTED: 'it was ended before it was done',
  STOPPED: 'it is no longer running',
}

/**
 * What a stranger may read of an error: its code, and its sentence if that tells only what the stranger knows. Paths, inner
 * errors and configuration stay behind: log the error itself for the owner.
 */
export function forStrangers(error: unknown): { readonly code: ErrorCode; readonly message: string } {
  if (!isSluiceError(error)) return { code: 'PEER_REFUSED', message: 'a fault of its own' }
  const { code, shortMessage } = error
  return { code, message: OPEN.has(code) ? shortMessage : (NEUTRAL[code] ?? 'a fault of its own; try again later') }
}
