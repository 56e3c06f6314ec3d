/**
 * SQL: where a server keeps what it must not forget.
 * @module
 */
export { migrate, type Migration } from './migrate.ts'
export { openPglite, type PgliteOptions } from './openPglite.ts'
export { openPostgres, type PostgresOptions } from './openPostgres.ts'
export { type Sql, type TransactionOptions, type Tx } from './sql.ts'
