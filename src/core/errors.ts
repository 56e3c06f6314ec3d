/**
 * The one error class of Sluice, and its codes.
 * @module
 */

/**
 * Every code a {@link SluiceError} can carry.
 *
 * A Solidity custom error `DepositTooLarge` arrives as `DEPOSIT_TOO_LARGE`: the names map one to one.
 */
export type ErrorCode =
  // What the caller gave
  | 'BAD_ARGUMENT'
  // Waiting
  | 'ABORTED'
  | 'TIMEOUT'
  | 'STOPPED'
  // Keys and signatures
  | 'BAD_SIGNATURE'
  | 'BAD_KEY'
  // Stores
  | 'STORE_LOCKED'
  | 'STORE_FAILED'
  | 'STORE_CORRUPT'
  // SQL, jobs and the ledger
  | 'SQL_FAILED'
  | 'MIGRATION_CHANGED'
  | 'ACCOUNT_NOT_FOUND'
  | 'BALANCE_SHORT'
  | 'HOLD_ENDED'
  | 'HOLD_EXPIRED'
  | 'HOLD_NOT_FOUND'
  | 'KEY_REUSED'
  | 'POSTINGS_UNBALANCED'
  // Servers
  | 'UNAUTHENTICATED'
  | 'NOT_ALLOWED'
  | 'NOT_FOUND'
  | 'CONFLICT'
  | 'ADDRESS_REFUSED'
  // Chain access
  | 'RPC_FAILED'
  | 'WRONG_CHAIN'
  | 'NOT_DEPLOYED'
  | 'HARDFORK_MISSING'
  | 'INSUFFICIENT_FUNDS'
  | 'TRANSACTION_REJECTED'
  | 'TRANSACTION_REVERTED'
  | 'TRANSACTION_REPLACED'
  | 'TRANSACTION_UNKNOWN'
  | 'CONTRACT_REVERTED'
  // Messages and connections
  | 'BAD_MESSAGE'
  | 'BAD_FRAME'
  | 'MESSAGE_TOO_LARGE'
  | 'UNEXPECTED_MESSAGE'
  | 'VERSION_MISMATCH'
  | 'CONNECTION_FAILED'
  | 'CONNECTION_LOST'
  | 'OVERLOADED'
  // Data trade
  | 'NO_SUCH_SELLER'
  | 'NO_SUCH_ITEM'
  | 'NO_SUCH_ORDER'
  | 'OFFER_EXPIRED'
  | 'MENU_MISMATCH'
  | 'RANGE_INVALID'
  | 'PRICE_MISMATCH'
  | 'ORDER_MISMATCH'
  | 'ORDER_UNCONFIRMED'
  | 'ORDER_FINISHED'
  | 'ORDER_EXPIRED'
  | 'DEPOSIT_SHORT'
  | 'PAYMENT_UNSUPPORTED'
  | 'PAYMENT_INVALID'
  | 'PAYMENT_LATE'
  | 'WRONG_CHUNK'
  | 'PARTIAL_MISMATCH'
  | 'SOURCE_FAILED'
  | 'PEER_REFUSED'
  | 'SELLER_BLIND'
  | 'ORDER_TOO_SMALL'
  | 'SETTLEMENT_OWED'
  // payment channels
  | 'CAPACITY_SHORT'
  | 'CHAIN_STALLED'
  | 'CHANNEL_BUSY'
  | 'CHANNEL_EXISTS'
  | 'CHANNEL_NOT_FOUND'
  | 'CHANNEL_NOT_OPEN'
  | 'EXPIRY_OUT_OF_RANGE'
  | 'FEE_TOO_LOW'
  | 'FEE_TOO_HIGH'
  | 'NO_ROUTE'
  | 'PARTNER_OFFLINE'
  | 'PAYMENT_EXPIRED'
  | 'PAYMENT_FAILED'
  | 'PAYMENT_ID_TAKEN'
  | 'PAYMENT_REFUSED'
  | 'PAYMENT_UNKNOWN'
  | 'PROOF_INVALID'
  | 'STATE_STALE'
  | 'TOO_MANY_LOCKS'
  // data exchange service
  | 'APPLICANT_LOCKED_OUT'
  | 'AUTHORISATION_INVALID'
  | 'AUTHORISATION_USED'
  | 'NO_SUCH_PRODUCT'
  | 'NO_SUCH_REQUEST'
  | 'NO_SUCH_VOTE'
  | 'PRODUCT_CHANGED'
  | 'SOURCE_OFFLINE'
  | 'VOTED_ALREADY'
  | 'VOTE_ENDED'
  | ContractErrorCode

/**
 * Codes of the custom errors that Sluice's contracts revert with; the Solidity sources say when.
 *
 * The details hold the error's arguments.
 */
export type ContractErrorCode =
  // several of them
  | 'NOTHING_TO_WITHDRAW'
  | 'NOT_SIGNED_BY'
  | 'REENTERED'
  | 'SETTLE_TOO_EARLY'
  | 'TOKEN_TOOK_FEE'
  | 'TOKEN_TRANSFER_FAILED'
  | 'WITHDRAW_FAILED'
  | 'WRONG_VALUE'
  // DataTrade.sol
  | 'ACK_NOT_SIGNED_BY_BUYER'
  | 'ALREADY_RATED'
  | 'CHUNKS_WITHOUT_ROOT'
  | 'CHUNK_IS_GENUINE'
  | 'CLAIM_NOT_SIGNED_BY_SELLER'
  | 'CLOSE_ALREADY_REQUESTED'
  | 'DEADLINE_OUT_OF_RANGE'
  | 'DEPOSIT_OUT_OF_RANGE'
  | 'NOTHING_TO_REDEEM'
  | 'NOT_THE_BUYER'
  | 'ORDER_ALREADY_FINISHED'
  | 'ORDER_ID_TAKEN'
  | 'ORDER_NOT_FINISHED'
  | 'ORDER_NOT_FOUND'
  | 'ORDER_WITHOUT_ROOT'
  | 'PRICE_TOO_LARGE'
  | 'PROOF_TOO_LONG'
  | 'RATER_NOT_INVOLVED'
  | 'SCORE_OUT_OF_RANGE'
  | 'SELLER_UNUSABLE'
  | 'TOTAL_DATA_OUT_OF_RANGE'
  | 'TRANSFERRED_BEYOND_TOTAL'
  | 'TRANSFERRED_NOT_INCREASED'
  // Evidence.sol
  | 'ANCHORED_ALREADY'
  | 'NO_DIGESTS'
  // ProxyTransfer.sol
  | 'ASSET_REFUSED'
  | 'CARRIED_OUT_ALREADY'
  | 'EXPIRATION_OUT_OF_RANGE'
  | 'KEY_TAKEN'
  | 'MEMO_TOO_LONG'
  | 'NOT_SIGNED_BY_PAYER'
  | 'NOT_THE_ACCOUNTS'
  | 'NOT_THE_PROXY'
  | 'NO_ACCOUNT'
  | 'NO_ASSET'
  | 'NO_PAYEE'
  | 'PAID_TO_PAYER'
  | 'PARAMS_MALFORMED'
  | 'PAYER_SHORT'
  | 'PAYMENT_OUT_OF_RANGE'
  | 'PERCENTAGE_OUT_OF_RANGE'
  | 'PROXY_MEMO_OUT_OF_RANGE'
  | 'TAKE_NOT_PLANNED'
  | 'TAKE_TOO_EARLY'
  | 'TRANSFERS_MALFORMED'
  // Registry.sol
  | 'ALREADY_REGISTERED'
  | 'ENDPOINT_OUT_OF_RANGE'
  | 'NOT_REGISTERED'
  | 'PUBLIC_KEY_NOT_CALLERS'
  // SecretRegistry.sol
  | 'NO_SECRETS'
  | 'ZERO_SECRET'
  // TokenNetwork.sol
  | 'BALANCES_NOT_TOTAL'
  | 'LOCKS_MALFORMED'
  | 'LOCK_PENDING'
  | 'NONCE_NOT_INCREASED'
  | 'NOTHING_TO_UNLOCK'
  | 'NOT_FOR_ETH'
  | 'NO_CLOSED_CHANNEL'
  | 'NO_OPEN_CHANNEL'
  | 'NO_RELEASES'
  | 'PAIR_HAS_CHANNEL'
  | 'PARTNER_UNUSABLE'
  | 'PROOF_MISSING'
  | 'SIGNATURE_EXPIRED'
  | 'STEPS_INVALID'
  | 'TOTAL_DEPOSIT_OUT_OF_RANGE'
  | 'TOTAL_WITHDRAW_OUT_OF_RANGE'
  | 'TRANSFERRED_TOO_LARGE'
  | 'UPDATE_TOO_LATE'
  | 'WRONG_BALANCES'
  | 'WRONG_LOCKS'
  // TokenNetworkRegistry.sol
  | 'CHALLENGE_PERIOD_ZERO'
  | 'TOKEN_NETWORK_EXISTS'
  | 'TOKEN_UNUSABLE'
  // TowerDeposit.sol
  | 'CLAIM_TOO_EARLY'
  | 'NETWORK_UNKNOWN'
  | 'NO_REWARD'
  | 'REWARD_OUTDATED'
  | 'REWARD_UNCOVERED'
  | 'TOWER_DEPOSIT_OUT_OF_RANGE'
  | 'WITHDRAW_NOT_PLANNED'
  | 'WITHDRAW_TOO_EARLY'

/** What an error may carry beside its sentence: plain values that are safe to log. */
export type ErrorDetails = Readonly<Record<string, string | number | bigint | boolean | null | undefined>>

/** Options of {@link SluiceError}. */
export interface SluiceErrorOptions {
  readonly details?: ErrorDetails | undefined
  readonly cause?: unknown
}

/** The error that everything in Sluice throws. Its {@link SluiceError.code} is stable; its sentence is for people. */
export class SluiceError extends Error {
  override readonly name = 'SluiceError'
  /** Tells what happened, for programs. */
  readonly code: ErrorCode
  /** Tells what happened, for people, in one sentence without the cause. */
  readonly shortMessage: string
  /** The figures and names behind the sentence; never a secret. */
  readonly details: ErrorDetails

  constructor(code: ErrorCode, shortMessage: string, options: SluiceErrorOptions = {}) {
    super(shortMessage, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.shortMessage = shortMessage
    this.details = options.details ?? {}
  }

  /** The fields that are safe to log or to send: name, code, sentence and details, bigints as decimal text. */
  toJSON(): { name: string; code: ErrorCode; shortMessage: string; details: Record<string, unknown> } {
    const details = Object.fromEntries(
      Object.entries(this.details).map(([key, value]) => [key, typeof value === 'bigint' ? value.toString() : value]),
    )
    return { name: this.name, code: this.code, shortMessage: this.shortMessage, details }
  }
}

/**
 * Whether `error` is a {@link SluiceError}, of `code` if given.
 *
 * Looks at the shape and not at the class, so it holds across two bundles of this library.
 *
 * @example
 * ```ts
 * try { await buyer.buy('weather') } catch (error) {
 *   if (isSluiceError(error, 'DEPOSIT_SHORT')) console.log(error.details)
 * }
 * ```
 */
export function isSluiceError<const C extends ErrorCode>(error: unknown, code?: C): error is SluiceError & { code: C } {
  return (
    error instanceof Error &&
    error.name === 'SluiceError' &&
    'code' in error &&
    typeof error.code === 'string' &&
    (code === undefined || error.code === code)
  )
}

/** Throws `BAD_ARGUMENT` naming the argument unless `check` holds. */
export function assertArgument(check: unknown, name: string, expected: string): asserts check {
  if (!check) throw new SluiceError('BAD_ARGUMENT', `${name} must be ${expected}`, { details: { name } })
}
