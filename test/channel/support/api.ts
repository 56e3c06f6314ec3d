/**
 * A client of a node's HTTP service that holds every answer against the OpenAPI document.
 * @module
 */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { expect } from 'vitest'
import { openApi } from '../../../src/channel/http/openApi.ts'

type Json = Record<string, unknown>
interface Operation {
  readonly operationId: string
  readonly responses: Record<string, { content: Record<string, { schema: Json }> }>
}
const document = openApi() as { paths: Record<string, Record<string, Operation>>; components: Json }

/** Every operation of the document, by id. */
export const operations = new Map(
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId }]) => [operationId, { path, method }] as const)),
)
/** Statuses that were answered, by operation. */
export const answered = new Map<string, Set<number>>()

const ajv = new Ajv2020({ strict: false })
formats(ajv)
ajv.addSchema({ $id: 'openapi', ...exact(document) })
const validators = new Map<string, ValidateFunction>()

/** An answer: its status, and its JSON or text. */
export interface Answer {
  readonly status: number
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what it is, the document says and the test knows
  readonly body: any
  readonly headers: Headers
}

/** Asks, and checks the answer against the document if it describes the path. */
export async function ask(fetch: (request: Request) => Promise<Response>, method: string, path: string, options: {
  readonly body?: unknown
  readonly headers?: Record<string, string>
  readonly base?: string
} = {}): Promise<Answer> {
  const { body, headers = {}, base = 'http://localhost:5001' } = options
  const sent = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
  const type = body === undefined ? {} : { 'content-type': 'application/json' }
  const response = await fetch(new Request(base + path, { method, headers: { ...type, ...headers }, ...sent }))
  const text = await response.text()
  const json = /json/.test(response.headers.get('content-type') ?? '')
  const answer = { status: response.status, body: json && text !== '' ? (JSON.parse(text) as unknown) : text, headers: response.headers }
  const operation = operationOf(method, path)
  if (operation && method !== 'HEAD') {
    const { operationId, responses } = operation
    expect(Object.keys(responses), `${method} ${path} gave an undocumented status: ${text}`).toContain(String(answer.status))
    const media = response.headers.get('content-type')!.split(';')[0]!
    expect(Object.keys(responses[answer.status]!.content)).toContain(media)
    if (json) {
      const key = `${operationId} ${answer.status} ${media}`
      const at = `${key.replaceAll(/[^A-Za-z0-9]/g, '_')}`
      const validate = validators.get(key) ?? ajv.compile(local(responses[answer.status]!.content[media]!.schema, at))
      validators.set(key, validate)
      expect(validate(answer.body), `${key}: ${ajv.errorsText(validate.errors)} in ${text}`).toBe(true)
    }
    const statuses = answered.get(operationId) ?? new Set()
    answered.set(operationId, statuses.add(answer.status))
  }
  return answer
}

/** Checks what an event carries against the document. */
export function expectEvent(name: string, data: unknown): void {
  const validate = ajv.getSchema(`openapi#/components/schemas/Event.${name}`)!
  expect(validate(data), `${name}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(data)}`).toBe(true)
}

/** The same schema, its references pointing into the document. */
function local(schema: Json, $id: string): Json {
  const text = JSON.stringify(schema).replaceAll('"#/components', '"openapi#/components')
  return { $id, ...exact(JSON.parse(text) as Json) }
}

/** The same schemas, but objects have no more fields than they name: what nobody described must not leave. */
function exact<T>(value: T): T {
  if (Array.isArray(value)) return value.map(exact) as T
  if (typeof value !== 'object' || value === null) return value
  const copy = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, exact(inner as unknown)]))
  return ('properties' in copy && copy['type'] === 'object' ? { ...copy, additionalProperties: false } : copy) as T
}

function operationOf(method: string, path: string): Operation | undefined {
  const [pathname] = path.split('?')
  for (const [template, methods] of Object.entries(document.paths)) {
    const pattern = new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+').replaceAll('.', '\\.')}$`)
    if (pattern.test(pathname!)) return methods[method.toLowerCase()]
  }
  return undefined
}
