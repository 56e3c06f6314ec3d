/**
 * Selling data: {@link createSeller}.
 * @module
 */
export type { MerkleTree } from '../core/crypto/merkle.ts'
export type { Connection } from './connection.ts'
export { defaultLimits, type Opinion, type SellerEvents, type SellerLimits } from './desk.ts'
export type { ItemSpec, Offered } from './item.ts'
export type { Listener, ListenOptions } from '../protocol/websocket/listen.ts'
export type { Delivery, Sale } from './sale.ts'
export type { SettledOrders, UnsettledOrder } from '../payments/token/seller.ts'
export type { MinSettlement } from '../payments/token/worth.ts'
export { createSeller, type CloseReport, type Seller, type SellerOptions } from './seller.ts'
export type { LiveSource, Source, SourceLike, SourceReader } from './source.ts'
