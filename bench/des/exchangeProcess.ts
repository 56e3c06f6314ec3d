/**
 * An exchange as a process of its own, on a PostgreSQL: `exchangeProcess.ts URL SOURCE_URL`. Prints what its peer needs, and
 * what it has used whenever it reads a line.
 * @module
 */
import { createInterface } from 'node:readline'
import pg from 'pg'
import { openMarket } from './market.ts'

let roundTrips = 0
const query = pg.Client.prototype.query as (...args: unknown[]) => unknown
pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
  roundTrips++
  return query.apply(this, args)
} as typeof pg.Client.prototype.query

const [, , url, sourceUrl] = process.argv as [string, string, string, string]
const { server: _, close: __, ...market } = await openMarket(url, sourceUrl)
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)
say(market)
createInterface({ input: process.stdin })
  .on('line', () => {
    const { user, system } = process.cpuUsage()
    say({ cpu: (user + system) / 1e6, roundTrips })
  })
  .on('close', () => process.exit())
