import { Validator } from '@seriousme/openapi-schema-validator'
import fc from 'fast-check'
import type { HttpService } from '../core/http/index.ts'
import { createOpenApiChecker, type OpenApiChecker, type Place } from './openApiChecker.ts'
import type { TestRunner } from './suite.ts'

/** A service to be tested, over its `fetch`. */
export interface HttpServiceUnderTest {
  readonly service: HttpService
  /** Headers of one who may call a route, by its security: a user, or the operator. @default none */
  readonly headersOf?: ((access: 'user' | 'operator') => Readonly<Record<string, string>>) | undefined
  /** Values that parameters and fields of this name really have, beside nonsense. @default none */
  readonly likely?: Readonly<Record<string, readonly unknown[]>> | undefined
  /** `operationId`s that are not called with the right headers, as one that stops the service. @default none */
  readonly skip?: readonly string[] | undefined
  /** Tries of each route with nonsense. @default 40 */
  readonly runs?: number | undefined
}

/** Milliseconds in which every answer must have come. */
const PATIENCE = 10_000
const TEXTS: readonly unknown[] = [
  '',
  ' ',
  '0',
  '-1',
  '1e9',
  '01',
  '0x10',
  '1.5',
  '..',
  '%',
  'null',
  '__proto__',
  'constructor',
  '\u0000',
  'é\u{1f600}',
  '9'.repeat(40),
]
const VALUES: readonly unknown[] = [...TEXTS, null, true, 0, -1, 1.5, 1e300, 2 ** 53, [], {}, [[]], 'x'.repeat(10_000)]

/**
 * Tests that a service answers whatever comes in as its own OpenAPI document says: never with 500 and above, never not at all.
 *
 * It really calls every route with what may be right by chance, so it wants a service that nobody else uses.
 */
export function httpServiceSuite(
  name: string,
  open: () => Promise<HttpServiceUnderTest>,
  { describe, it, expect }: TestRunner,
): void {
  interface Opened extends HttpServiceUnderTest {
    readonly checker: OpenApiChecker
    ask(method: string, path: string, init?: RequestInit): Promise<{ status: number; text: string; headers: Headers }>
  }
  let opening: Promise<Opened> | undefined
  const opened = (): Promise<Opened> =>
    (opening ??= open().then((under) => ({
      ...under,
      checker: createOpenApiChecker(under.service.openapi),
      async ask(method, path, init = {}) {
        const request = new Request(`http://localhost${path}`, { method, ...init })
        const answer = await Promise.race([under.service.fetch(request), silence(`${method} ${path}`)])
        const text = await Promise.race([answer.text(), silence(`the body of ${method} ${path}`)])
        return { status: answer.status, text, headers: answer.headers }
      },
    })))
  /** Headers of one who may call an operation; undefined if nobody is known who may. */
  const rightHeaders = ({ headersOf }: Opened, place: Place): Readonly<Record<string, string>> => {
    const access = accessOf(place)
    return access === 'public' ? {} : headersOf?.(access) ?? {}
  }
  const json = { 'content-type': 'application/json' }

  describe(`http service: ${name}`, () => {
    it('is described by valid OpenAPI 3.1', async () => {
      const { service, checker } = await opened()
      const text = JSON.stringify(service.openapi)
      expect(await new Validator().validate(JSON.parse(text) as Record<string, unknown>)).toEqual({ valid: true })
      const ids = checker.places.map(({ operation }) => operation.operationId)
      expect(ids.filter((id, at) => ids.indexOf(id) !== at)).toEqual([])
      const { components } = service.openapi as { components: { schemas: object } }
      const missing = [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].filter(
        ([, name]) => !(name! in components.schemas),
      )
      expect(missing).toEqual([])
    })

    it('refuses strangers where they are not welcome', async () => {
      const all = await opened()
      for (const place of all.checker.places.filter((each) => accessOf(each) !== 'public')) {
        for (const authorization of [
          undefined,
          'Bearer',
          `Bearer ${'0'.repeat(64)}`,
          'Bearer x y',
          'Basic eDp5',
          `Bearer ${'x'.repeat(5000)}`,
        ]) {
          const headers = { ...json, ...(authorization === undefined ? {} : { authorization }) }
          // No JSON: what was not read can't be complained of.
          const init = place.method === 'GET' ? { headers } : { headers, body: '{' }
          const answer = await all.ask(
            place.method,
            fill(place.path, () => '1'),
            init,
          )
          expect([place.operation.operationId, authorization, answer.status]).toEqual([
            place.operation.operationId,
            authorization,
            401,
          ])
          expect(all.checker.flawOf(place.operation, answer, answer.text)).toEqual(undefined)
        }
      }
    })

    it('refuses bodies that are none', async () => {
      const all = await opened()
      const bodies: readonly (readonly [body: BodyInit, type: string, ...expected: number[]])[] = [
        ['', 'application/json', 400],
        ['{', 'application/json', 400],
        ['\ufeff{}', 'application/json', 400],
        [Uint8Array.of(0x22, 0xff, 0x22), 'application/json', 400],
        ['['.repeat(50_000), 'application/json', 400, 413],
        ['{}', 'text/plain', 415],
        ['a=b', 'application/x-www-form-urlencoded', 415],
        ['{}', 'application/jsonx', 415],
      ]
      for (const place of called(all).filter(({ operation }) => operation.requestBody)) {
        for (const [body, type, ...expected] of bodies) {
          const headers = { ...rightHeaders(all, place), 'content-type': type }
          const path = fill(place.path, (name) => textOf(all.likely?.[name]?.[0] ?? '1'))
          const answer = await all.ask(place.method, path, { headers, body })
          // A path that leads nowhere may be said first.
          const fits = expected.includes(answer.status) || (answer.status >= 400 && answer.status < 500 && path !== place.path)
          expect([place.operation.operationId, type, fits, answer.status]).toEqual([
            place.operation.operationId,
            type,
            true,
            answer.status,
          ])
          expect(all.checker.flawOf(place.operation, answer, answer.text)).toEqual(undefined)
        }
      }
    })

    it('answers nonsense as it is described', async () => {
      const all = await opened()
      for (const place of called(all)) {
        const headers = rightHeaders(all, place)
        await fc.assert(
          fc.asyncProperty(requestOf(place, all.likely ?? {}), async ({ path, body }) => {
            const init = place.method === 'GET' ? { headers } : { headers: { ...json, ...headers }, body: JSON.stringify(body) }
            const answer = await all.ask(place.method, path, init)
            if (answer.status >= 500) throw new Error(`${place.method} ${path} gave ${answer.status}: ${answer.text}`)
            // A path of nonsense may be no path of this operation at all.
            if (all.checker.find(place.method, new URL(path, 'http://localhost').pathname) !== place.operation) return
            const flaw = all.checker.flawOf(place.operation, answer, answer.text)
            if (flaw !== undefined) throw new Error(flaw)
          }),
          { numRuns: all.runs ?? 40 },
        )
      }
    })

    it('knows its paths and methods', async () => {
      const all = await opened()
      for (const place of called(all)) {
        const headers = rightHeaders(all, place)
        const path = fill(place.path, () => '1')
        const { status, headers: given } = await all.ask('QUERY', path, { headers })
        const allow = given.get('allow')?.split(', ') ?? []
        const offered = Object.keys(place.operation.responses).some((code) => Number(code) < 400)
        expect([path, status, allow.includes(place.method)]).toEqual([path, 405, offered])
        if (place.method !== 'GET') continue
        const head = await all.ask('HEAD', path, { headers })
        expect([head.status < 500, head.text]).toEqual([true, ''])
      }
      for (const path of ['/..%2f', '/%00', '/%', '/nothing/at/all', '//', '/__proto__']) {
        const { status } = await all.ask('GET', path)
        expect([path, [401, 404].includes(status)]).toEqual([path, true])
      }
    })

    it('does not answer under other names', async () => {
      const { service, checker } = await opened()
      for (const { path, method } of checker.places) {
        const elsewhere = `http://evil.example${fill(path, () => '1')}`
        expect([path, (await service.fetch(new Request(elsewhere, { method }))).status]).toEqual([path, 403])
      }
    })
  })
}

function accessOf({ operation: { security } }: Place): 'public' | 'user' | 'operator' {
  if (security === undefined) return 'user'
  return security.length === 0 ? 'public' : 'operator'
}

const called = ({ checker, skip = [] }: HttpServiceUnderTest & { checker: OpenApiChecker }): readonly Place[] =>
  checker.places.filter(({ operation }) => !skip.includes(operation.operationId))

function fill(path: string, valueOf: (name: string) => string): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(valueOf(name)))
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

type Likely = Readonly<Record<string, readonly unknown[]>>
interface Field {
  readonly properties?: Readonly<Record<string, Field>>
  readonly items?: Field
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Field[]
}

/** A request that is nearly one of an operation: its names, with values of all kinds. */
function requestOf({ path, operation }: Place, likely: Likely): fc.Arbitrary<{ path: string; body: unknown }> {
  const { parameters = [], requestBody } = operation
  const text = (name: string): fc.Arbitrary<string> =>
    fc.oneof(fc.constantFrom(...(likely[name] ?? []), ...TEXTS).map(textOf), fc.string())
  const names = parameters.filter((each) => each.in === 'path').map((each) => each.name)
  const query = fc.record(
    Object.fromEntries(parameters.filter((each) => each.in === 'query').map((each) => [each.name, text(each.name)])),
    { requiredKeys: [] },
  )
  const more = fc.oneof(
    { weight: 4, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: fc.dictionary(fc.string(), fc.string(), { maxKeys: 2 }) },
  )
  const schema = requestBody?.content['application/json']?.schema as Field | undefined
  return fc
    .record({
      values: fc.record(Object.fromEntries(names.map((each) => [each, text(each)]))),
      query,
      more,
      body: schema ? nearly(schema, likely, '') : fc.constant({}),
    })
    .map(({ values, query: known, more: unknown, body }) => {
      const search = new URLSearchParams({ ...known, ...unknown } as Record<string, string>).toString()
      // An empty value would be another path.
      return { path: `${fill(path, (each) => values[each] || '0')}${search && `?${search}`}`, body }
    })
}

/** A value that is nearly one of a schema. */
function nearly(schema: Field, likely: Likely, name: string, depth = 0): fc.Arbitrary<unknown> {
  const nonsense = fc.oneof(fc.constantFrom(...VALUES), fc.jsonValue({ maxDepth: 2 }))
  const known = [...(likely[name] ?? []), ...(schema.enum ?? [])]
  const right: fc.Arbitrary<unknown>[] = known.length > 0 ? [fc.constantFrom(...known)] : []
  if (depth < 6) {
    const { properties, items, anyOf = [] } = schema
    if (properties) {
      const fields = Object.fromEntries(
        Object.entries(properties).map(([field, inner]) => [field, nearly(inner, likely, field, depth + 1)]),
      )
      right.push(fc.record(fields), fc.record(fields, { requiredKeys: [] }))
    }
    if (items) right.push(fc.array(nearly(items, likely, name, depth + 1), { maxLength: 3 }))
    right.push(...anyOf.map((each) => nearly(each, likely, name, depth + 1)))
  }
  return fc.oneof({ weight: 1, arbitrary: nonsense }, ...right.map((arbitrary) => ({ weight: 3, arbitrary })))
}

function silence(what: string): Promise<never> {
  return new Promise((_, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} was not answered within ${PATIENCE} ms`)), PATIENCE)
    timer.unref()
  })
}
