import { Validator } from '@seriousme/openapi-schema-validator'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { readJson, writeJson } from '../../des/wire/json.ts'
import { httpServiceSuite } from '../../testing/httpServiceSuite.ts'
import { createManualClock } from '../../testing/manualClock.ts'
import { SluiceError } from '../errors.ts'
import { bearerOf } from './guards.ts'
import { createHttpService, type HttpService, type HttpServiceOptions } from './httpService.ts'
import { problemAnswer, problemOf } from './problem.ts'
import { route, routeFor, type AnswerFormat, type Route } from './route.ts'

interface User {
  readonly name: string
}
const OPERATOR = 'the-operators-own-token'
const ask = routeFor<User>()
/** Names of handlers that ran. */
const ran: string[] = []
const thing = v.object({ id: v.number(), name: v.pipe(v.string(), v.maxLength(5, 'must be short')) })

const routes: readonly Route[] = [
  route({
    method: 'get',
    path: '/things/{id}',
    id: 'getThing',
    summary: 'A thing',
    access: 'public',
    params: v.object({ id: v.pipe(v.string(), v.regex(/^\d+$/, 'must be a number'), v.transform(Number)) }),
    query: v.strictObject({ limit: v.optional(v.string(), '7') }),
    answer: v.object({ id: v.number(), limit: v.string() }),
    handle: ({ params, query }) => ({ id: params.id, limit: query.limit }),
  }),
  ask({
    method: 'put',
    path: '/things/{id}',
    id: 'putThing',
    summary: 'Puts a thing',
    access: 'user',
    params: v.object({ id: v.string() }),
    body: thing,
    status: 201,
    answer: v.object({ by: v.string(), name: v.string() }),
    handle({ body, user }) {
      ran.push('putThing')
      return { by: user.name, name: body.name }
    },
  }),
  route({
    method: 'delete',
    path: '/things/{id}',
    id: 'deleteThing',
    summary: 'Deletes a thing',
    access: 'operator',
    params: v.object({ id: v.string() }),
    status: 204,
    handle: () => void ran.push('deleteThing'),
  }),
  route({
    method: 'post',
    path: '/big',
    id: 'big',
    summary: 'Takes big numbers',
    access: 'public',
    body: v.object({ n: v.union([v.bigint(), v.number()]) }),
    answer: v.object({ n: v.union([v.bigint(), v.number()]) }),
    maxBody: 1000,
    handle: ({ body }) => body,
  }),
  route({
    method: 'get',
    path: '/bytes',
    id: 'bytes',
    summary: 'Bytes',
    access: 'public',
    media: 'image/png',
    query: v.object({ v: v.optional(v.string()) }),
    handle: ({ query }) =>
      new Response(Uint8Array.of(1, 2), {
        headers: { 'content-type': 'image/png', ...(query.v && { 'cache-control': 'public, max-age=31536000, immutable' }) },
      }),
  }),
  route({
    method: 'get',
    path: '/fail',
    id: 'fail',
    summary: 'Fails',
    access: 'public',
    handle: ({ request }) => {
      const what = new URL(request.url).searchParams.get('as')
      if (what === 'error') throw new Error('the secret is 42')
      throw new SluiceError('CONFLICT', 'it is there', { details: { name: 'x' } })
    },
  }),
]
const about = { title: 'Things', version: '1.0.0', description: 'Keeps things.' }
const make = (more: Partial<HttpServiceOptions<User>> = {}): HttpService =>
  createHttpService<User>({
    ...about,
    routes,
    operatorToken: OPERATOR,
    authenticate: (request) => (bearerOf(request) === 'ann' ? { name: 'Ann' } : undefined),
    ...more,
  })
const service = make()

type Init = RequestInit & { token?: string; json?: unknown; duplex?: 'half' }
async function get(path: string, { token, json, ...init }: Init = {}, where = service) {
  const headers = new Headers(init.headers)
  if (token) headers.set('authorization', `Bearer ${token}`)
  if (json !== undefined) headers.set('content-type', 'application/json')
  const body = json === undefined ? {} : { body: JSON.stringify(json) }
  const answer = await where.fetch(
    new Request(path.startsWith('http') ? path : `http://localhost${path}`, { ...init, ...body, headers }),
  )
  const text = await answer.text()
  return {
    status: answer.status,
    headers: answer.headers,
    text,
    body: (text !== '' && /json/.test(answer.headers.get('content-type') ?? '') ? JSON.parse(text) : undefined) as Record<
      string,
      unknown
    >,
  }
}

describe('a service', () => {
  it('answers with what a handler makes of checked input', async () => {
    expect(await get('/things/5?limit=9')).toMatchObject({ status: 200, body: { id: 5, limit: '9' } })
    expect((await get('/things/5')).body).toEqual({ id: 5, limit: '7' })
    expect(await get('/things/5', { method: 'PUT', token: 'ann', json: { id: 1, name: 'x' } })).toMatchObject({
      status: 201,
      body: { by: 'Ann', name: 'x' },
    })
    expect(await get('/things/5', { method: 'DELETE', token: OPERATOR })).toMatchObject({ status: 204, text: '' })
    const { headers } = await get('/bytes')
    expect([headers.get('content-type'), headers.get('cache-control'), headers.get('x-content-type-options')]).toEqual([
      'image/png',
      'no-store',
      'nosniff',
    ])
    expect(await get('/things/5', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' })
  })

  it('says what is wrong with a field in words, and repeats nothing of it', async () => {
    const put = async (json: unknown) => (await get('/things/5', { method: 'PUT', token: 'ann', json })).body.detail
    expect(await put({ name: 'x' })).toBe('id: is missing')
    expect(await put({ id: 'secret', name: 'x' })).toBe('id: must be number')
    expect(await put({ id: 1, name: 'too long' })).toBe('name: must be short')
    expect(await put('secret')).toBe('body: must be an object')
    expect((await get('/things/5?extra=secret')).body.detail).toBe('extra: is no field here')
    const strict = createHttpService({
      ...about,
      routes: [
        route({
          method: 'get',
          path: '/a',
          id: 'a',
          summary: 'A',
          access: 'public',
          query: v.object({
            form: v.optional(v.pipe(v.string(), v.regex(/^\d+$/))),
            either: v.optional(
              v.union([
                v.literal(''),
                v.pipe(
                  v.string(),
                  v.check((text) => text === '5', 'must be five'), v.transform(Number)
                ),
              ]),
            ),
            none: v.optional(v.union([v.literal('b'), v.literal('c')])),
          }),
          handle: () => null,
        }),
      ],
    })
    for (const [query, detail] of [
      ['form=secret', 'form: must match /^\\d+$/'],
      ['either=secret', 'either: must be five'],
      ['none=secret', 'none: must be ("b" | "c")'],
    ] as const)
      expect((await get(`/a?${query}`, {}, strict)).body.detail).toBe(detail)
  })

  it('says whether a token is missing or of no use', async () => {
    const detail = async (init: Init) => (await get('/things/5', { method: 'PUT', json: {}, ...init })).body.detail
    expect(await detail({})).toBe('a bearer token is needed')
    expect(await detail({ token: 'of-yesterday' })).toBe('the bearer token is unknown, or has ended')
  })

  it('lets nothing be kept on the way, unless a handler says so', async () => {
    const kept = async (path: string, init?: Init) => (await get(path, init)).headers.get('cache-control')
    for (const method of ['GET', 'HEAD']) expect(await kept('/bytes?v=1', { method })).toBe('public, max-age=31536000, immutable')
    for (const path of ['/bytes', '/things/5', '/fail', '/nothing', '/health', '/openapi.json'])
      expect([path, await kept(path)]).toEqual([path, 'no-store'])
    // Refused before the handler of what may be kept.
    expect(await kept('/bytes?v=1', { method: 'POST' })).toBe('no-store')
    expect(await kept('http://evil.example/bytes?v=1')).toBe('no-store')
  })

  it.each<[string, Init, number, string, string[]]>([
    ['/things/x', {}, 400, 'BAD_ARGUMENT', ['id']],
    ['/things/1?limi=1', {}, 400, 'BAD_ARGUMENT', ['limi']],
    ['/things/1', { method: 'PUT', token: 'ann', json: { id: '1', name: 'too long' } }, 400, 'BAD_ARGUMENT', ['id', 'name']],
    ['/things/1', { method: 'PUT', token: 'ann', json: 7 }, 400, 'BAD_ARGUMENT', ['body']],
    ['/nothing', {}, 404, 'NOT_FOUND', []],
    ['/fail', {}, 409, 'CONFLICT', ['name']],
    [
      '/things/1',
      { method: 'PUT', token: 'ann', body: 'x', headers: { 'content-type': 'text/plain' } },
      415,
      'MEDIA_TYPE_UNSUPPORTED',
      [],
    ],
    ['/big', { method: 'POST', json: { n: 'x'.repeat(1000) } }, 413, 'MESSAGE_TOO_LARGE', ['limit']],
    ['/fail?as=error', {}, 500, 'INTERNAL', []],
  ])('%s is refused', async (path, init, status, code, details) => {
    const answer = await get(path, init)
    expect(answer).toMatchObject({ status, body: { status, code } })
    expect(Object.keys(answer.body['details'] as object)).toEqual(details)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(answer.text).not.toContain('42')
  })

  it('names the methods that a path takes', async () => {
    const { status, headers } = await get('/things/1', { method: 'POST', json: {} })
    expect([status, headers.get('allow')]).toEqual([405, 'GET, HEAD, PUT, DELETE'])
  })

  it('asks who it is before it reads anything', async () => {
    let read = 0
    const body = (): ReadableStream => new ReadableStream({ pull: () => void read++ }, { highWaterMark: 0 })
    const headers = { 'content-type': 'application/json' }
    ran.length = 0
    expect(await get('/things/1', { method: 'PUT', body: body(), duplex: 'half', headers })).toMatchObject({
      status: 401,
      body: { code: 'UNAUTHENTICATED' },
    })
    expect(await get('/things/x', { method: 'PUT', body: body(), duplex: 'half' })).toMatchObject({ status: 401 })
    expect((await get('/things/1', { method: 'PUT', json: {} })).headers.get('www-authenticate')).toBe('Bearer')
    expect(await get('/things/1', { method: 'DELETE', token: 'ann' })).toMatchObject({
      status: 403,
      body: { code: 'NOT_ALLOWED' },
    })
    expect(await get('/things/1', { method: 'DELETE' })).toMatchObject({ status: 401 })
    expect(await get('/things/1', { method: 'DELETE', token: `${OPERATOR}x` })).toMatchObject({ status: 401 })
    expect(await get('/things/1', { method: 'PUT', token: OPERATOR, json: { id: 1, name: 'x' } })).toMatchObject({ status: 401 })
    expect(await get('http://evil.example/big', { method: 'POST', body: body(), duplex: 'half', headers })).toMatchObject({
      status: 403,
    })
    expect(
      await get('/big', {
        method: 'POST',
        body: body(),
        duplex: 'half',
        headers: { ...headers, origin: 'https://evil.example' },
      }),
    ).toMatchObject({ status: 403 })
    expect([read, ran]).toEqual([0, []])
  })

  it('tells no stranger which paths there are, where nothing is open to him', async () => {
    const closed = make({ routes: routes.filter(({ access }) => access !== 'public') })
    expect((await get('/nothing', {}, closed)).status).toBe(401)
    expect((await get('/nothing', { token: 'ann' }, closed)).status).toBe(404)
    expect((await get('/things/1', { method: 'POST', json: {} }, closed)).status).toBe(401)
  })

  it('reads and writes numbers as it is told', async () => {
    const exact = make({ readBody: readJson, writeBody: writeJson })
    const headers = { 'content-type': 'application/json' }
    expect((await get('/big', { method: 'POST', body: '{"n":9007199254740993}', headers }, exact)).text).toBe(
      '{"n":9007199254740993}',
    )
    expect(await get('/big', { method: 'POST', body: '{"n":', headers }, exact)).toMatchObject({
      status: 400,
      body: { code: 'BAD_MESSAGE' },
    })
  })

  it('answers in the format of the service, or the route', async () => {
    const envelope: AnswerFormat = {
      schema: (data) => v.object({ code: v.number(), data: data ?? v.null() }),
      answer: (data) => ({ code: 0, data }),
      problem(error, request) {
        const problem = problemOf(error, { CONFLICT: 418 })
        if (request.headers.get('accept') === 'application/problem+json') return problemAnswer(problem)
        return Response.json({ code: problem.status, data: null }, { status: problem.status })
      },
    }
    const wrapped = make({ format: envelope })
    expect((await get('/things/5', {}, wrapped)).body).toEqual({ code: 0, data: { id: 5, limit: '7' } })
    expect(await get('/fail', {}, wrapped)).toMatchObject({ status: 418, body: { code: 418 } })
    expect((await get('/fail', { headers: { accept: 'application/problem+json' } }, wrapped)).body).toMatchObject({
      code: 'CONFLICT',
    })
    const { status, headers, body } = await get('/things/1', { method: 'POST', json: {} }, wrapped)
    expect([status, headers.get('allow'), body]).toEqual([405, 'GET, HEAD, PUT, DELETE', { code: 405, data: null }])
    const mixed = make({ routes: [...routes.slice(1), { ...routes[0]!, format: envelope }] })
    expect((await get('/things/5', {}, mixed)).body).toEqual({ code: 0, data: { id: 5, limit: '7' } })
    expect((await get('/fail', {}, mixed)).body).toMatchObject({ code: 'CONFLICT' })
  })
})

it('a service answers even if a format fails', async () => {
  const fail = (): never => {
    throw new Error('the secret is 42')
  }
  const broken = make({ format: { schema: (value) => value, answer: fail, problem: fail } })
  for (const path of ['/things/5', '/things/x', '/nothing']) {
    const answer = await get(path, {}, broken)
    expect(answer).toMatchObject({ status: 500, body: { code: 'INTERNAL' } })
    expect(answer.text).not.toContain('42')
  }
  expect((await get('http://evil.example/', {}, broken)).status).toBe(500)
  expect((await get('/things/5', {}, make({ writeBody: fail }))).status).toBe(500)
})

describe('a service with much to do', () => {
  const waiting = (handle: Route['handle'], more: Partial<HttpServiceOptions<User>> = {}): HttpService =>
    make({
      routes: [
        route({ method: 'post', path: '/wait', id: 'wait', summary: 'Waits', access: 'public', body: v.unknown(), handle }),
      ],
      ...more,
    })

  it('takes so many requests at once, but says that it lives', async () => {
    let go = (): void => {}
    const gate = new Promise<void>((resolve) => (go = resolve))
    const busy = waiting(
      async () => {
        await gate
        return { done: true }
      },
      { maxRequests: 2 },
    )
    const post = () => get('/wait', { method: 'POST', json: {} }, busy)
    const first = [post(), post()]
    await new Promise((resolve) => setTimeout(resolve, 20))
    const refused = await post()
    expect(refused).toMatchObject({ status: 503, body: { code: 'OVERLOADED', details: { limit: 2 } } })
    expect(refused.headers.get('retry-after')).toBe('1')
    expect((await get('/health', {}, busy)).status).toBe(200)
    go()
    expect((await Promise.all(first)).map(({ status }) => status)).toEqual([200, 200])
    expect((await post()).status).toBe(200)
  })

  it('answers in time, says what to ask for, and holds the place until the work is over', async () => {
    const clock = createManualClock()
    let go = (): void => {}
    let told = false
    const gate = new Promise<void>((resolve) => (go = resolve))
    const slow = waiting(
      async ({ signal, marks }) => {
        marks['requestId'] = '17'
        signal.addEventListener('abort', () => (told = true))
        await gate
      },
      { clock, deadline: 1000, maxRequests: 1 },
    )
    const answer = get('/wait', { method: 'POST', json: {} }, slow)
    await clock.advance(999)
    expect(told).toBe(false)
    await clock.advance(1)
    expect(await answer).toMatchObject({ status: 504, body: { code: 'TIMEOUT', details: { requestId: '17', deadline: 1000 } } })
    expect(told).toBe(true)
    expect((await get('/wait', { method: 'POST', json: {} }, slow)).status).toBe(503)
    go()
    await clock.advance(0)
    expect((await get('/wait', { method: 'POST', json: {} }, slow)).status).toBe(200)
  })

  it('lets go of a body that never ends', async () => {
    const clock = createManualClock()
    const slow = waiting(() => 1, { clock, deadline: 1000, maxRequests: 1 })
    let cancelled = false
    const body = new ReadableStream({ cancel: () => void (cancelled = true) })
    const answer = get('/wait', { method: 'POST', body, duplex: 'half', headers: { 'content-type': 'application/json' } }, slow)
    await clock.advance(1000)
    expect((await answer).status).toBe(504)
    await clock.advance(0)
    expect(cancelled).toBe(true)
    expect((await get('/wait', { method: 'POST', json: {} }, slow)).status).toBe(200)
  })
})

describe('web pages', () => {
  it('are let in from where they are welcome', async () => {
    const origin = 'https://wallet.example'
    const open = make({ origins: [origin] })
    const { headers } = await get('/things/1', { headers: { origin } }, open)
    expect([headers.get('access-control-allow-origin'), headers.get('vary')]).toEqual([origin, 'origin'])
    const asked = await get('/things/1', { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'PUT' } }, open)
    expect([asked.status, asked.headers.get('access-control-allow-methods')]).toEqual([204, expect.stringContaining('PUT')])
    expect(
      (await get('/things/1', { headers: { origin: 'https://evil.example' } }, open)).headers.get('access-control-allow-origin'),
    ).toBe(null)
  })
})

describe('its own routes', () => {
  it('say whether it lives and is ready', async () => {
    const broken: { with?: Error } = {}
    const checked = make({
      health: {
        sql: async () => {
          if (broken.with) throw broken.with
        },
        chain: async () => {},
      },
    })
    expect((await get('/health', {}, checked)).body).toEqual({ status: 'live' })
    expect(await get('/ready', {}, checked)).toMatchObject({
      status: 200,
      body: { status: 'ready', checks: { sql: 'ok', chain: 'ok' } },
    })
    broken.with = new SluiceError('SQL_FAILED', 'the password is 42')
    const unready = await get('/ready', {}, checked)
    expect(unready).toMatchObject({ status: 503, body: { status: 'unready', checks: { sql: 'SQL_FAILED', chain: 'ok' } } })
    expect((await get('/health', {}, checked)).status).toBe(200)
  })

  it('do not wait for a check that hangs', async () => {
    const clock = createManualClock()
    const hanging = make({ clock, health: { sql: () => new Promise(() => {}) } })
    const answer = get('/ready', {}, hanging)
    await clock.advance(2000)
    expect((await answer).body).toEqual({ status: 'unready', checks: { sql: 'TIMEOUT' } })
  })

  it('describe the service in valid OpenAPI', async () => {
    const { body } = await get('/openapi.json')
    expect(await new Validator().validate(structuredClone(body))).toEqual({ valid: true })
    const paths = body['paths'] as Record<string, Record<string, { security?: object; parameters: object[]; responses: object }>>
    expect(Object.keys(paths)).toEqual(['/things/{id}', '/big', '/bytes', '/fail', '/health', '/ready', '/openapi.json'])
    const { get: one, put, delete: gone } = paths['/things/{id}']!
    expect(one!.parameters).toMatchObject([
      { name: 'id', in: 'path', required: true },
      { name: 'limit', in: 'query', required: false, schema: { default: '7' } },
    ])
    expect([one!.security, put!.security, gone!.security]).toEqual([[], undefined, [{ operatorToken: [] }]])
    expect(Object.keys(put!.responses)).toEqual(['201', '400', '401', '403', '413', '415', '500', '503', '504'])
  })
})

httpServiceSuite(
  'things',
  async () => ({
    service: make({ readBody: readJson, writeBody: writeJson }),
    headersOf: (access) => ({ authorization: `Bearer ${access === 'user' ? 'ann' : OPERATOR}` }),
    likely: { id: ['1', '77'], name: ['x', 'short'], as: ['error'] },
    skip: ['fail'],
  }),
  { describe, it, expect },
)

it('a service is made only of what fits together', () => {
  const keyed = [route({ method: 'post', path: '/', id: 'x', summary: 'x', access: 'user', keyed: true, handle: () => {} })]
  for (const [name, options] of Object.entries<Partial<HttpServiceOptions<User>>>({
    operatorToken: { operatorToken: 'short' },
    hosts: { hosts: ['a b'] },
    origins: { origins: ['*'] },
    keys: { routes: keyed },
    deadline: { deadline: 0 },
    maxRequests: { maxRequests: 0.5 },
    userId: { routes: keyed, keys: { claim: async () => ({ is: 'running' }) } },
  })) {
    expect(() => make(options), name).toThrow(name)
  }
})
