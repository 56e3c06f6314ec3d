/**
 * Buying data: {@link createBuyer}.
 * @module
 */
export { createBuyer, type Buyer, type BuyerOptions, type BuyOptions, type ResumeOptions } from './buyer.ts'
export type { WrongChunk } from './intake.ts'
export type { PartialData } from './partial.ts'
export type { Progress, PurchaseEvents, PurchaseRecord, Receipt } from './course.ts'
export type { Purchase } from './purchase.ts'
export type { PurchaseState, StoredPurchase } from './record.ts'
