import type { AccountId } from '../../../core/crypto/graphene/index.ts'

/** Who has signed in: a merchant, with the account that it is bound to. */
export interface MarketUser {
  readonly merchantId: number
  readonly account: AccountId
}
