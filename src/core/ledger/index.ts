/**
 * The ledger: who owns how much.
 * @module
 */
export { createLedger, type HoldRequest, type Balance, type Ledger, type LedgerEntry, type Posting } from './ledger.ts'
