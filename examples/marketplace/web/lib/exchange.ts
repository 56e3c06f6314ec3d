/**
 * The portal's ways to the exchange: for everybody, and for who has signed in.
 * @module
 */
import { createMarketClient, createMerchant, grapheneKey, type AccountId, type MarketClient, type Merchant } from 'sluice-sdk/des'

/** Who has signed in, and what that allows. */
export interface Session {
  readonly account: AccountId
  readonly merchantId: number
  readonly market: MarketClient
}

/** The portal is served by the exchange itself. */
const baseUrl = location.origin

/** The market for who has not signed in. */
export const publicMarket: MarketClient = createMarketClient({ baseUrl })

/** Reads what anybody may: who sells a product now, and evidence. Its key is of no account and signs nothing. */
export const reader: Pick<Merchant, 'getProduct' | 'evidence'> = createMerchant({
  account: '1.2.0',
  key: grapheneKey(crypto.getRandomValues(new Uint8Array(32))),
  baseUrl,
})

/**
 * Signs in with an account's key, which this page alone holds, in memory, until one signs out or leaves it.
 * @throws `BAD_KEY`, `UNAUTHENTICATED`, `CONNECTION_FAILED`
 */
export async function signIn(account: AccountId, wif: string): Promise<Session> {
  const market = createMarketClient({ baseUrl, signIn: { account, key: wif.trim() } })
  const { merchantId } = await market.profile()
  return { account, merchantId, market }
}
