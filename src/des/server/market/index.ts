/**
 * The market: who takes part, what is sold, and what members vote about.
 * @module
 */
export { merchantOf } from './accounts.ts'
export { marketRoutes } from './routes.ts'
export type { MarketUser } from './user.ts'
export { expireVotes } from './votes.ts'
