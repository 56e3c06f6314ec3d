/**
 * Whole exchanges in one process and on one core: merchant, exchange with PGlite, and data source.
 * @module
 */
import { sql as statement } from 'kysely'
import { openPglite } from '../../src/core/sql/index.ts'
import { median, type Row } from '../lib/report.ts'
import { curveRate } from './exchange.ts'
import { run, serveAnswer } from './load.ts'
import { ask, createQuestions, openMarket, sealedAnswer, type Call } from './market.ts'

const ROUNDS = 5
const EXCHANGES = 300
const AT_ONCE = 64

/** Measures the case. */
export async function inProcess(say: (line: string) => void): Promise<readonly Row[]> {
  const source = await serveAnswer(await sealedAnswer())
  const market = await openMarket(undefined, source.url)
  const bare = await openPglite<unknown>()
  await statement`create table bare (id int8 generated always as identity primary key, body text not null,
    done boolean not null default false)`.execute(bare.db)
  try {
    const questions = await createQuestions(market)
    const call: Call = async (method, path, body) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' }
      const answer = await market.server.fetch(new Request(`http://localhost${path}`, { method, body: body ?? null, headers }))
      return { status: answer.status, text: await answer.text() }
    }
    const rates: number[] = []
    const curve: number[] = []
    const bareRates: number[] = []
    for (let round = -1; round < ROUNDS; round++) {
      const bodies = questions(EXCHANGES)
      const began = performance.now()
      await run(EXCHANGES, AT_ONCE, (i) => ask(call, market.productId, bodies[i]!))
      const rate = EXCHANGES / ((performance.now() - began) / 1000)
      const bareBegan = performance.now()
      await run(EXCHANGES, AT_ONCE, async (i) => {
        const { rows } = await statement<{ id: bigint }>`insert into bare (body) values (${bodies[i]}) returning id`.execute(
          bare.db,
        )
        await statement`update bare set done = true where id = ${rows[0]!.id}`.execute(bare.db)
      })
      const bareRate = EXCHANGES / ((performance.now() - bareBegan) / 1000)
      if (round < 0) continue // warms the compilers
      rates.push(rate)
      bareRates.push(bareRate)
      curve.push(curveRate(bodies))
      say(
        `  in process, round ${round + 1}: ${Math.round(rate)} exchanges/s, bare insert + update ${Math.round(
          bareRate,
        )}, recover + sign ${Math.round(curve.at(-1)!)} /s`,
      )
    }
    return [
      {
        bench: 'des',
        case: 'exchange-in-process',
        value: median(rates),
        unit: 'exchanges/s',
        baseline: { name: 'PGlite, one insert, one update', value: median(bareRates) },
        limit: { name: 'recover + sign alone', value: median(curve) },
      },
    ]
  } finally {
    await bare.close()
    await market.close()
    source.close()
  }
}
