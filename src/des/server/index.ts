/**
 * The data exchange service as a server: market, exchange, accounts, evidence. See docs/des.md.
 * @module
 */
export type { Clock } from '../../core/clock.ts'
export type { AccountId, AssetId, GrapheneKey, PublicKeyText } from '../../core/crypto/graphene/index.ts'
export { listenHttp, type HttpListener, type HttpService, type ListenHttpOptions } from '../../core/http/index.ts'
export type { DeadJob } from '../../core/jobs/index.ts'
export type { Logger } from '../../core/log.ts'
export {
  openPglite,
  openPostgres,
  type PgliteOptions,
  type PostgresOptions,
  type Sql,
  type TransactionOptions,
} from '../../core/sql/index.ts'
export { createExchangeServer, type ExchangeServer, type ExchangeServerOptions } from './exchangeServer.ts'
export type { ChainOptions } from './chain/index.ts'
export { kuboContentStore, type KuboContentStoreOptions } from './content/index.ts'
export type { ContentStore, ExchangeRules } from './context.ts'
export type { ExchangeAccounts, MoneyRequest } from './exchange/ledgerSettlement.ts'
export type { MarketUser } from './market/index.ts'
export { defaultRules } from './rules.ts'
export type { MailOptions } from './notices/index.ts'
