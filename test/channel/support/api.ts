/**
 * A client of a node's HTTP service that holds every answer against the OpenAPI document.
 * @module
 */
import { expect } from 'vitest'
import { openApi } from '../../../src/channel/http/openApi.ts'
import { createOpenApiChecker } from '../../../src/testing/openApiChecker.ts'

const checker = createOpenApiChecker(openApi())

/** Every operation of the document, by id. */
export const operations = new Map(checker.places.map(({ path, method, operation }) => [operation.operationId, { path, method }]))
/** Statuses that were answered, by operation. */
export const answered = new Map<string, Set<number>>()

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
  const operation = checker.find(method, path)
  if (operation && method !== 'HEAD') {
    expect(checker.flawOf(operation, answer, text), `${method} ${path}`).toBe(undefined)
    const statuses = answered.get(operation.operationId) ?? new Set()
    answered.set(operation.operationId, statuses.add(answer.status))
  }
  return answer
}

/** Checks what an event carries against the document. */
export function expectEvent(name: string, data: unknown): void {
  expect(checker.flawOfSchema(`Event.${name}`, data), JSON.stringify(data)).toBe(undefined)
}
