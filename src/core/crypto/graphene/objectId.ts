/**
 * Names of things on GXChain: accounts `1.2.N` and assets `1.3.N`.
 * @module
 */
import { assertArgument } from '../../errors.ts'

/** An account: `1.2.11`. */
export type AccountId = `1.2.${string}`
/** An asset: `1.3.1` is GXC. */
export type AssetId = `1.3.${string}`

/** GXC, the asset that all of GXChain counts in. */
export const CORE_ASSET: AssetId = '1.3.1'
/** What DES's documents call {@link CORE_ASSET}. */
const CORE_ALIAS = '1.1'

/** The number that a name ends in has 32 bits where it is signed. */
const LARGEST = 0xffff_ffff

/** Whether a text names an account: `1.2.` and a number below 2^32 without leading zeros. */
export function isAccountId(text: string): text is AccountId {
  return isObjectId(text, '1.2.')
}

/** Whether a text names an asset by its own name, not the alias. */
export function isAssetId(text: string): text is AssetId {
  return isObjectId(text, '1.3.')
}

/** Reads an asset: `1.3.N`, or the alias `1.1` for `1.3.1`. @returns `undefined` for anything else. */
export function readAssetId(text: string): AssetId | undefined {
  if (text === CORE_ALIAS) return CORE_ASSET
  return isAssetId(text) ? text : undefined
}

/** The number that a name ends in. @throws `BAD_ARGUMENT` naming the argument unless it is an account or an asset. */
export function instanceOf(id: AccountId | AssetId, name = 'id'): number {
  assertArgument(isAccountId(id) || isAssetId(id), name, 'an account 1.2.N or an asset 1.3.N, N below 2^32')
  return Number(id.slice(4))
}

function isObjectId(text: string, space: string): boolean {
  return text.startsWith(space) && /^(0|[1-9]\d{0,9})$/.test(text.slice(4)) && Number(text.slice(4)) <= LARGEST
}
