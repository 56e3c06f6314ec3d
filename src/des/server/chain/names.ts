/**
 * What the chain's numbers are called elsewhere.
 * @module
 */
import type { AccountId, AssetId } from '../../../core/crypto/graphene/index.ts'
import type { Ledger } from '../../../core/ledger/index.ts'
import type { Tx } from '../../../core/sql/index.ts'

/** The name of an account by its number in a log. */
export function idOf(number: unknown): AccountId {
  return `1.2.${String(number)}`
}

/** The name of an asset by its number in a log. */
export function assetOf(number: unknown): AssetId {
  return `1.3.${String(number)}`
}

/** The ledger account that mirrors an account of the chain. */
export function ledgerAccount(ledger: Ledger, tx: Tx, account: AccountId, asset: AssetId): Promise<bigint> {
  return ledger.account(tx, { owner: `des/${account}`, asset })
}

/** Where money comes from and goes to. */
export function worldAccount(ledger: Ledger, tx: Tx, asset: AssetId): Promise<bigint> {
  return ledger.account(tx, { owner: 'des/world', asset, kind: 'external' })
}

/** The order in which rows of transfers are locked. */
export function byDigest(one: { readonly digest: string }, other: { readonly digest: string }): number {
  return one.digest < other.digest ? -1 : 1
}
