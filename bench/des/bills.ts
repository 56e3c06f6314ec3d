/**
 * A month's bill out of 100,000 stored exchanges, while 1,000 data sources say that they are there.
 * @module
 */
import { sql as statement } from 'kysely'
import { openPostgres } from '../../src/core/sql/index.ts'
import { beat } from '../../src/des/server/exchange/sources.ts'
import { startExchange } from '../../src/des/server/exchange/exchange.testing.ts'
import { monthBill } from '../../src/des/server/billing/bills.ts'
import { writeHeartbeat } from '../../src/des/wire/index.ts'
import { startPostgres } from '../../src/testing/postgres.ts'
import { median, percentile, type Row } from '../lib/report.ts'

const EXCHANGES = 100_000
const SOURCES = 1_000
const BILLS = 300

/** Measures the case. */
export async function bills(say: (line: string) => void): Promise<readonly Row[]> {
  const postgres = await startPostgres()
  const sql = openPostgres<unknown>({ url: await postgres.createDatabase(), pool: 4 })
  const exchange = await startExchange(sql, { sweeps: false, rules: { clockSkew: 3_600_000 } })
  try {
    const { context } = exchange
    const buyer = await exchange.person('bench bill buyer', 1n)
    const seller = await exchange.person('bench bill seller')
    const products: number[] = []
    for (let i = 0; i < 20; i++) products.push(await exchange.product(seller))
    const month = Date.UTC(2026, 4, 1) - 8 * 3_600_000
    await statement`insert into des_requests (id, product, version, payer, dialect, total, created_at)
      select lpad(to_hex(n), 64, '0'), (${products}::int[])[1 + n % 20], 1, ${buyer.account}, '{}', 1, ${month}::int8
      from generate_series(1, ${EXCHANGES}::int) n`.execute(sql.db)
    await statement`insert into des_items (request, position, product, payer, payee, digest, amount, asset, authorisation, expiration, nonce,
        state, txid, created_at, ended_at)
      select lpad(to_hex(n), 64, '0'), 0, (${products}::int[])[1 + n % 20], ${buyer.account}, ${seller.account}, lpad(to_hex(n), 64, '0'), n, '1.3.1',
        json_build_object('signatures', repeat('1f', 200)), 0, n, 'SUCCESS', lpad(to_hex(n), 64, '0'), ${month}::int8, ${month}::int8 + n * 26000::int8
      from generate_series(1, ${EXCHANGES}::int) n`.execute(sql.db)
    // What the database does by itself after a minute.
    await statement`vacuum analyze des_items`.execute(sql.db)

    let beats = 0
    let beating = true
    const heart = (async (): Promise<void> => {
      // As a thousand data sources do it: one beat each in thirty seconds.
      for (let timestamp = Date.now(); beating; timestamp += 30) {
        const body = writeHeartbeat({ account: seller.account, products, timestamp, queryUrl: 'http://127.0.0.1:9/' }, seller.key)
        await beat(context, body)
        beats++
        await new Promise((resolve) => setTimeout(resolve, 30_000 / SOURCES))
      }
    })()
    const of = { account: buyer.account, asset: '1.3.1' } as const
    const times: number[] = []
    const scans: number[] = []
    for (let i = -20; i < BILLS; i++) {
      const began = performance.now()
      const bill = await monthBill(context, of, month + 86_400_000)
      const took = performance.now() - began
      const scanBegan = performance.now()
      await statement`select count(*), sum(amount) from des_items where payer = ${buyer.account} and state = 'SUCCESS'`.execute(
        sql.db,
      )
      if (i < 0) continue
      if (bill.length !== products.length) throw new Error(`the bill has ${bill.length} products`)
      times.push(took)
      scans.push(performance.now() - scanBegan)
    }
    beating = false
    await heart
    say(
      `  bill-month: p50 ${percentile(times, 50).toFixed(1)}, p99 ${percentile(times, 99).toFixed(
        1,
      )} ms, ${beats} heartbeats meanwhile`,
    )
    return [
      {
        bench: 'des',
        case: 'bill-month',
        value: percentile(times, 99),
        unit: 'ms/op',
        baseline: { name: 'one sum over the same rows, p99', value: percentile(scans, 99) },
        limit: { name: 'one sum over the same rows, p50', value: median(scans) },
      },
    ]
  } finally {
    await exchange.stop()
    await sql.close()
    await postgres.stop()
  }
}
