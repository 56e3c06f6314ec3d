/**
 * Whole exchanges over HTTP: a merchant asks, the exchange checks, holds, forwards, keeps, settles and hands out. The exchange
 * is a process of its own; the merchant, the data source and PostgreSQL share the other core.
 * @module
 */
import { createHash } from 'node:crypto'
import { grapheneKey, seedSecret, signTransferParams, recoverPayer } from '../../src/core/crypto/graphene/index.ts'
import { startPostgres } from '../../src/testing/postgres.ts'
import { median, percentile, type Row } from '../lib/report.ts'
import { createCaller, run, serveAnswer, start } from './load.ts'
import { ask, createQuestions, sealedAnswer, type Market } from './market.ts'

const ROUNDS = 5
const EXCHANGES = 1_500
const AT_ONCE = 64
/** Exchanges one after another, for the time that one takes. */
const ALONE = 300

/** Measures the wanted cases. */
export async function exchange(say: (line: string) => void): Promise<readonly Row[]> {
  const postgres = await startPostgres()
  const source = await serveAnswer(await sealedAnswer())
  const server = start('exchangeProcess.ts', await postgres.createDatabase(), source.url)
  const bare = start('bareProcess.ts', await postgres.createDatabase())
  try {
    const market = (await server.next()) as Market
    const { url: bareUrl } = (await bare.next()) as { url: string }
    const caller = createCaller(market.url, AT_ONCE)
    const bareCaller = createCaller(bareUrl, AT_ONCE)
    const questions = await createQuestions(market)
    const one =
      (bodies: readonly string[]) =>
        (i: number): Promise<void> =>
          ask(caller.call, market.productId, bodies[i]!)
    const figures = {
      whole: [] as number[],
      bare: [] as number[],
      curve: [] as number[],
      cpu: [] as number[],
      trips: [] as number[],
      tripsAlone: [] as number[],
      alone: [] as number[],
    }
    for (let round = -1; round < ROUNDS; round++) {
      const bodies = questions(EXCHANGES)
      const before = await server.used()
      const began = performance.now()
      await run(EXCHANGES, AT_ONCE, one(bodies))
      const whole = EXCHANGES / ((performance.now() - began) / 1000)
      const after = await server.used()
      const cpu = EXCHANGES / (after.cpu - before.cpu)
      const bareBegan = performance.now()
      await run(EXCHANGES, AT_ONCE, async (i) => {
        const { status } = await bareCaller.call('POST', '/', bodies[i])
        if (status !== 200) throw new Error(`bare: ${status}`)
      })
      const bareRate = EXCHANGES / ((performance.now() - bareBegan) / 1000)
      const curve = curveRate(bodies)
      const bodiesAlone = questions(ALONE)
      const { roundTrips } = await server.used()
      const alone = await run(ALONE, 1, one(bodiesAlone))
      const trips = [after.roundTrips - before.roundTrips, (await server.used()).roundTrips - roundTrips] as const
      if (round < 0) continue // warms the compilers
      figures.whole.push(whole)
      figures.cpu.push(cpu)
      figures.trips.push(trips[0] / EXCHANGES)
      figures.tripsAlone.push(trips[1] / ALONE)
      figures.bare.push(bareRate)
      figures.curve.push(curve)
      figures.alone.push(...alone)
      say(
        `  exchange round ${round + 1}: ${[whole, cpu, bareRate, curve]
          .map(Math.round)
          .join(', ')} /s (whole, by the exchange's CPU, bare insert + update, recover + sign), p50 ${percentile(
          alone,
          50,
        ).toFixed(1)} ms, ${(trips[0] / EXCHANGES).toFixed(1)} round trips (${(trips[1] / ALONE).toFixed(1)} alone)`,
      )
    }
    caller.close()
    bareCaller.close()
    const bareFigure = { name: 'bare Hono + PostgreSQL, one insert, one update', value: median(figures.bare) }
    const promised = { name: 'what the seed promises', value: 500 }
    return [
      {
        bench: 'des',
        case: 'exchange-http-postgres',
        value: median(figures.whole),
        unit: 'exchanges/s',
        baseline: bareFigure,
        limit: { name: 'recover + sign alone', value: median(figures.curve) },
      },
      {
        bench: 'des',
        case: 'exchange-http-postgres-cpu',
        value: median(figures.cpu),
        unit: 'exchanges/CPU s',
        baseline: bareFigure,
        limit: { name: 'recover + sign alone', value: median(figures.curve) },
      },
      {
        bench: 'des',
        case: 'exchange-round-trips',
        value: median(figures.trips),
        unit: 'round trips/op',
        baseline: { name: 'one exchange alone', value: median(figures.tripsAlone) },
        limit: { name: 'bare Hono + PostgreSQL, one insert, one update', value: 2 },
      },
      {
        bench: 'des',
        case: 'exchange-p50',
        value: percentile(figures.alone, 50),
        unit: 'ms/op',
        baseline: promised,
        limit: null,
      },
      {
        bench: 'des',
        case: 'exchange-p99',
        value: percentile(figures.alone, 99),
        unit: 'ms/op',
        baseline: promised,
        limit: null,
      },
    ]
  } finally {
    server.stop()
    bare.stop()
    source.close()
    await postgres.stop()
  }
}

/** Recovering a key and a canonical signature, which every exchange takes. */
export function curveRate(bodies: readonly string[]): number {
  const key = grapheneKey(seedSecret('bench curve'))
  const digests = bodies.slice(0, 300).map((body) => new Uint8Array(createHash('sha256').update(body).digest()))
  const params = {
    from: '1.2.1',
    to: '1.2.2',
    proxyAccount: '1.2.3',
    percent: 1000,
    amount: { amount: 1n, assetId: '1.3.1' },
    memo: 'm',
    expiration: 1,
  } as const
  const signed = signTransferParams(params, key)
  const began = performance.now()
  for (const digest of digests) {
    key.sign(digest)
    recoverPayer(signed)
  }
  return digests.length / ((performance.now() - began) / 1000)
}
