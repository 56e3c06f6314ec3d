/**
 * Bills: what merchants have spent, in sums and one by one.
 * @module
 */
export { billingRoutes } from './routes.ts'
