import * as v from 'valibot'
import { sql as statement } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createManualClock } from '../../testing/manualClock.ts'
import { postgresEngine } from '../../testing/sqlEngines.ts'
import { SluiceError } from '../errors.ts'
import { openPostgres, type Sql } from '../sql/index.ts'
import { bearerOf } from './guards.ts'
import { createHttpService, type HttpService } from './httpService.ts'
import { sqlIdempotencyKeys, type IdempotencyKeys, type KeyState } from './idempotency.ts'
import { routeFor } from './route.ts'

const clock = createManualClock(1_000_000)
let engine: Awaited<ReturnType<typeof postgresEngine>>
/** Two processes of one database. */
let databases: Sql<unknown>[] = []
let keys: IdempotencyKeys[] = []
const ask = { owner: 'ann', key: 'k', fingerprint: 'f' }
const answer = { status: 201, media: 'text/plain', body: Uint8Array.of(1, 0, 2) }

beforeAll(async () => {
  engine = await postgresEngine()
}, 60_000)
beforeEach(async () => {
  for (const each of databases) await each.close()
  const url = await engine.openUrl()
  databases = [openPostgres({ url, pool: 20 }), openPostgres({ url, pool: 20 })]
  keys = await Promise.all(databases.map((sql) => sqlIdempotencyKeys(sql, { clock, keep: 100_000, lease: 900 })))
})
afterAll(async () => {
  for (const each of databases) await each.close()
  await engine?.stop()
})

type Free = KeyState & { is: 'free' }
async function claimed(at = 0): Promise<Free> {
  const state = await keys[at]!.claim(ask)
  expect(state.is).toBe('free')
  return state as Free
}
const is = async (at = 0, more: Partial<typeof ask> = {}): Promise<string> => (await keys[at]!.claim({ ...ask, ...more })).is

describe('a key', () => {
  it("is one's who claims it, whoever else does at once", async () => {
    const states = await Promise.all(Array.from({ length: 30 }, (_, i) => keys[i % 2]!.claim(ask)))
    expect(states.map((state) => state.is).sort()).toEqual(['free', ...Array<string>(29).fill('running')])
    const free = states.find((state) => state.is === 'free')!
    await free.keep(answer)
    expect(await keys[1]!.claim(ask)).toEqual({ is: 'answered', answer })
  })

  it("is each owner's own, and of one request", async () => {
    const first = await claimed()
    expect(await is(1, { fingerprint: 'other' })).toBe('other')
    expect(await is(1, { owner: 'bob', fingerprint: 'other' })).toBe('free')
    expect(await is(1, { key: 'k2', fingerprint: 'other' })).toBe('free')
    await first.keep(answer)
    expect(await is(1, { fingerprint: 'other' })).toBe('other')
  })

  it('may be given up', async () => {
    const sleeping = clock.sleeping
    await (await claimed()).free()
    const second = await claimed(1)
    await second.keep(answer)
    // Nobody renews what is over.
    expect(clock.sleeping).toBe(sleeping)
  })

  it('stays while its request runs, and is free a lease after its process ended', async () => {
    const first = await claimed()
    for (let i = 0; i < 20; i++) {
      await clock.advance(300)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(await is(1)).toBe('running')
    // As if the process were gone: nobody renews.
    await first.keep(answer)
    await statement`update idempotency_keys set status = null, leased_until = ${clock.now() + 900}`.execute(databases[0]!.db)
    await clock.advance(899)
    expect(await is(1)).toBe('running')
    await clock.advance(1)
    expect(await is(1, { fingerprint: 'other' })).toBe('free')
  })

  it('is not taken back by who lost it', async () => {
    const first = await claimed()
    await statement`update idempotency_keys set leased_until = 0`.execute(databases[0]!.db)
    const second = await claimed(1)
    await first.free()
    expect(await is()).toBe('running')
    await first.keep({ ...answer, status: 500 })
    expect(await is()).toBe('running')
    await second.keep(answer)
    expect(await keys[0]!.claim(ask)).toEqual({ is: 'answered', answer })
    await second.free()
    expect(await is()).toBe('answered')
  })

  it('is forgotten in time, with its answer', async () => {
    await (await claimed()).keep(answer)
    await clock.advance(99_999)
    expect(await is()).toBe('answered')
    await clock.advance(1)
    await (await claimed()).keep(answer)
    await clock.advance(200_000)
    await is(0, { key: 'other' })
    const { rows } = await statement`select key from idempotency_keys`.execute(databases[0]!.db)
    expect(rows).toEqual([{ key: 'other' }])
  })
})

describe('a keyed request', () => {
  let runs = 0
  let failure: Error | undefined
  const route = routeFor<string>()
  const body = v.looseObject({})
  const about = { title: 'x', version: '1', description: 'x' }
  const options = (at: number) => ({ ...about, keys: keys[at]!, userId: (user: string) => user, authenticate: bearerOf })
  const routes = [
    route({
      method: 'post',
      path: '/pay',
      id: 'pay',
      summary: 'Pays',
      access: 'user',
      keyed: true,
      body,
      status: 201,
      answer: v.object({ run: v.number() }),
      async handle() {
        const run = ++runs
        await new Promise((resolve) => setTimeout(resolve, 30))
        if (failure) throw failure
        return { run }
      },
    }),
  ]
  const services = (): HttpService[] => [0, 1].map((at) => createHttpService({ ...options(at), routes }))
  const post = async (service: HttpService, { key = 'a', user = 'ann', body = '{}', path = '/pay' } = {}) => {
    const headers = {
      'content-type': 'application/json',
      authorization: `Bearer ${user}`,
      ...(key ? { 'idempotency-key': key } : {}),
    }
    const response = await service.fetch(new Request(`http://localhost${path}`, { method: 'POST', body, headers }))
    return {
      status: response.status,
      media: response.headers.get('content-type'),
      body: (await response.json()) as { run?: number; code?: string },
    }
  }
  beforeEach(() => {
    runs = 0
    failure = undefined
  })

  it('runs once, and has one answer', async () => {
    const [one, two] = services() as [HttpService, HttpService]
    const both = await Promise.all([post(one), post(two)])
    expect(both.map(({ status }) => status).sort()).toEqual([201, 409])
    expect(both.find(({ status }) => status === 409)!.body.code).toBe('IDEMPOTENCY_KEY_IN_USE')
    expect(await post(two)).toEqual({ status: 201, media: 'application/json', body: { run: 1 } })
    expect((await post(two, { body: '{"a":1}' })).body.code).toBe('IDEMPOTENCY_KEY_REUSED')
    expect((await post(two, { path: '/pay?x=1' })).status).toBe(422)
    expect(runs).toBe(1)
    expect([
      (await post(one, { user: 'bob' })).body.run,
      (await post(one, { key: 'b' })).body.run,
      (await post(one, { key: '' })).body.run,
    ]).toEqual([2, 3, 4])
  })

  it('keeps a failure as well, but for one after which nothing was begun', async () => {
    const [service] = services() as [HttpService]
    failure = new SluiceError('BALANCE_SHORT', 'there is not enough')
    expect([(await post(service)).status, (await post(service)).status, runs]).toEqual([402, 402, 1])
    failure = new Error('the connection was lost at commit')
    expect([(await post(service, { key: 'b' })).status, (await post(service, { key: 'b' })).body.code, runs]).toEqual([
      500,
      'INTERNAL',
      2,
    ])
    failure = new SluiceError('OVERLOADED', 'later')
    expect((await post(service, { key: 'c' })).status).toBe(503)
    failure = undefined
    expect((await post(service, { key: 'c' })).body.run).toBe(4)
  })

  it('that answers too late is found under its key', async () => {
    const [, two] = services() as [HttpService, HttpService]
    const hasty = createHttpService({ ...options(0), deadline: 5, routes })
    expect((await post(hasty)).status).toBe(504)
    await new Promise((resolve) => setTimeout(resolve, 80))
    expect((await post(two)).body).toEqual({ run: 1 })
  })

  it.each(['with spaces in it', 'x'.repeat(256), 'ü'])('is refused under the key %j', async (key) => {
    const [service] = services() as [HttpService]
    expect(await post(service, { key })).toMatchObject({ status: 400, body: { code: 'BAD_ARGUMENT' } })
    expect(runs).toBe(0)
  })
})
