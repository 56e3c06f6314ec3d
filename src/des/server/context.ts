import type { AccountId, AssetId, GrapheneKey, PublicKeyText, SignedTransferParams } from '../../core/crypto/graphene/index.ts'
import type { Clock } from '../../core/clock.ts'
import type { Ledger } from '../../core/ledger/index.ts'
import type { Logger } from '../../core/log.ts'
import type { Telemetry } from '../../core/telemetry/index.ts'
import type { Sql, Tx } from '../../core/sql/index.ts'
import type { Database } from './database.ts'

/** What the parts of an exchange share. All state is in SQL: any number of processes may have a context of one database. */
export interface ExchangeContext {
  readonly sql: Sql<Database>
  readonly ledger: Ledger
  readonly settlement: Settlement
  readonly content: ContentStore
  readonly clock: Clock
  readonly log: Logger
  readonly telemetry: Telemetry
  /** Signs what the exchange says: `proxy_account`'s. */
  readonly key: GrapheneKey
  /** `proxy_account`. */
  readonly account: AccountId
  /** What the exchange keeps of each amount, in ten-thousandths. */
  readonly percent: number
  readonly rules: ExchangeRules
  /** Tells members of something, in the caller's transaction: in the notification centre, and by e-mail. */
  notify(tx: Tx, notice: Notice): Promise<void>
}

/** What an operator may set; the defaults are the seed's. */
export interface ExchangeRules {
  /** Milliseconds without a heartbeat after which a data source is offline. @default 50000 */
  readonly offlineAfter: number
  /** Milliseconds that clocks of data sources may be ahead beyond the window of 3 s. @default 0 */
  readonly clockSkew: number
  /** Milliseconds that a vote is open. @default two days */
  readonly voteLasts: number
  /** Applications refused in a row that lock an account out. @default 5 */
  readonly refusals: number
  /** Milliseconds for which it may not apply then. @default three days */
  readonly lockout: number
  /** Milliseconds in which a data source has to answer. @default 8000 */
  readonly answerTimeout: number
  /** The same for products that touch privacy. @default 120000 */
  readonly privacyTimeout: number
  /** Milliseconds that sealed answers are kept; their digests stay. @default 30 days */
  readonly keepAnswers: number
  /** Minutes that the day of a bill begins before UTC's. @default 480, UTC+8 */
  readonly billingOffset: number
  /** Decimals of each asset: amounts in bills are whole units divided by ten to this power. @default 5 */
  readonly decimals: number
  /** Lets service URLs be private addresses: for trials on one machine. @default false */
  readonly allowPrivateAddresses: boolean
}

/** Somebody should know something. */
export interface Notice {
  /** `merchantId`s. */
  readonly merchants: readonly number[]
  readonly kind: string
  readonly details: Readonly<Record<string, string | number>>
}

/** An authorised transfer that is due: the data source has answered. */
export interface DueTransfer {
  readonly item: bigint
  /** SHA-256 of the unsigned request_params, in hex without 0x. */
  readonly digest: string
  readonly params: SignedTransferParams
  /** CID of the sealed answer. */
  readonly proxyMemo: string
}

/** What has become of a transfer. */
export type TransferEnd =
  | { readonly is: 'done'; readonly item: bigint; readonly txid: string }
  | { readonly is: 'refused'; readonly item: bigint; readonly reason: string }

/**
 * Where the money is: on a chain, or in the ledger of this database.
 *
 * Who calls it owns the items' states: an item is PENDING_SETTLEMENT in SQL before `submit` hears of it, and only `ended` or
 * what `settle` returns takes it out of that state.
 */
export interface Settlement {
  /** An account's key; undefined for none. Cached at most until it changes. */
  publicKeyOf(account: AccountId): Promise<PublicKeyText | undefined>
  /** The ledger account that holds what `account` may spend: held by the exchange, captured when a transfer is final. */
  ledgerAccount(tx: Tx, account: AccountId, asset: AssetId): Promise<bigint>
  /**
   * Where the ledger is all there is: moves the money in the caller's transaction, and it is final with it. Undefined where
   * a chain has to do it.
   */
  readonly settle?: ((tx: Tx, transfers: readonly DueTransfer[]) => Promise<readonly TransferEnd[]>) | undefined
  /**
   * Sends transfers to the chain. Idempotent by digest: what is sent already, or done, is not sent again. Resolves once they
   * are handed over; the end of each is told to `ended` once it is final, by the process that watches the chain. One that can
   * never happen any more (its expiration passed without it) is told as refused.
   */
  readonly submit?: ((transfers: readonly DueTransfer[]) => Promise<void>) | undefined
  /**
   * Begins to watch the chain, in one of all processes at a time. `ended` is called in the transaction that also books the
   * transfer, at least once for each item; the caller sets the item's state in it.
   */
  start?(ended: (tx: Tx, ends: readonly TransferEnd[]) => Promise<void>): Promise<void>
  stop?(): Promise<void>
}

/** Keeps sealed answers under their CIDs. */
export interface ContentStore {
  /** @returns the CIDv0 of `bytes`, computed here, whoever keeps them. */
  put(bytes: Uint8Array): Promise<string>
  /** Undefined if it is not there any more. */
  get(cid: string): Promise<Uint8Array | undefined>
  /** Forgets what was put before this time. @returns how many. */
  dropBefore(time: number): Promise<number>
}
