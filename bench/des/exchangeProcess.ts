/**
 * An exchange as a process of its own, on a PostgreSQL: `exchangeProcess.ts URL SOURCE_URL`. Prints what its peer needs, and
 * its CPU time whenever it reads a line.
 * @module
 */
import { createInterface } from 'node:readline'
import { openPostgres } from '../../src/core/sql/index.ts'
import { startExchange } from '../../src/des/server/exchange/exchange.testing.ts'

const [, , url, sourceUrl] = process.argv as [string, string, string, string]
const sql = openPostgres({ url, pool: 8 })
const exchange = await startExchange(sql, { rules: { offlineAfter: 3_600_000 } })
const buyer = await exchange.person('bench buyer', 10n ** 15n)
const seller = await exchange.person('bench seller')
const productId = await exchange.product(seller)
await exchange.context.sql.db
  .insertInto('des_datasources')
  .values({
    account: seller.account,
    timestamp: Date.now(),
    beat_at: Date.now() + 3_600_000,
    service_url: sourceUrl,
    products: [productId],
    suites: [],
  })
  .execute()
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)
say({
  url: exchange.listener.url,
  productId,
  exchange: exchange.context.account,
  exchangeKey: exchange.context.key.publicKey,
  buyer: buyer.account,
  seller: seller.account,
})
createInterface({ input: process.stdin })
  .on('line', () => {
    const { user, system } = process.cpuUsage()
    say({ cpu: (user + system) / 1e6 })
  })
  .on('close', () => process.exit())
