import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'

type Json = Record<string, unknown>
/** An operation of an OpenAPI document. */
export interface Operation {
  readonly operationId: string
  readonly security?: readonly object[]
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Json }[]
  readonly requestBody?: { readonly content: Record<string, { readonly schema: Json }> }
  readonly responses: Record<string, { readonly content?: Record<string, { readonly schema?: Json }> }>
}
/** Where an operation is. */
export interface Place {
  readonly method: string
  /** With `{names}` in it. */
  readonly path: string
  readonly operation: Operation
}

/** Holds answers against an OpenAPI document. */
export interface OpenApiChecker {
  readonly places: readonly Place[]
  /** The operation of a request. @param path - with or without its query. */
  find(method: string, path: string): Operation | undefined
  /** What is wrong with an answer by the document; undefined for nothing. @param text - its body. */
  flawOf(operation: Operation, answer: { readonly status: number; readonly headers: Headers }, text: string): string | undefined
  /** What is wrong with a value by a named schema of the document. */
  flawOfSchema(name: string, value: unknown): string | undefined
}

/** Creates a checker. Objects may have no more fields than the document names: what nobody described must not leave. */
export function createOpenApiChecker(openapi: object): OpenApiChecker {
  const document = JSON.parse(JSON.stringify(openapi)) as { paths: Record<string, Record<string, Operation>>; components: Json }
  const ajv = new Ajv2020({ strict: false })
  formats(ajv)
  ajv.addSchema({ $id: 'openapi', ...exact(document) })
  const validators = new Map<string, ValidateFunction>()
  const places = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  )
  const patterns = Object.keys(document.paths).map((path) => ({
    path,
    pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`),
  }))

  function validate(key: string, schema: Json, value: unknown): string | undefined {
    let check = validators.get(key)
    if (!check) {
      // The same schema, its references pointing into the document.
      const text = JSON.stringify(schema).replaceAll('"#/components', '"openapi#/components')
      check = ajv.compile({ $id: encodeURIComponent(key), ...exact(JSON.parse(text) as Json) })
      validators.set(key, check)
    }
    return check(value) ? undefined : ajv.errorsText(check.errors)
  }

  return {
    places,
    find(method, path) {
      const found = patterns.filter(({ pattern }) => pattern.test(path.split('?')[0]!))
      // A path that is written out goes before one with a name in it.
      const [best] = found.sort((a, b) => a.path.split('{').length - b.path.split('{').length)
      return best && document.paths[best.path]![method.toLowerCase()]
    },
    flawOf({ operationId, responses }, { status, headers }, text) {
      const described = responses[status]
      if (!described) return `${operationId} gave the undocumented status ${status}: ${text}`
      const media = headers.get('content-type')?.split(';')[0]
      if (media === undefined) return described.content ? `${operationId} ${status} gave no content` : undefined
      const content = described.content?.[media]
      if (!content) return `${operationId} ${status} gave the undocumented media type ${media}`
      if (!/json$/.test(media) || !content.schema) return undefined
      const flaw = validate(`${operationId} ${status} ${media}`, content.schema, JSON.parse(text))
      return flaw && `${operationId} ${status}: ${flaw} in ${text}`
    },
    flawOfSchema: (name, value) => validate(`schema ${name}`, { $ref: `#/components/schemas/${name}` }, value),
  }
}

function exact<T>(value: T): T {
  if (Array.isArray(value)) return value.map(exact) as T
  if (typeof value !== 'object' || value === null) return value
  const copy = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, exact(inner as unknown)]))
  return ('properties' in copy && copy['type'] === 'object' ? { additionalProperties: false, ...copy } : copy) as T
}
