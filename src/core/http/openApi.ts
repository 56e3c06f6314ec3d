import { toJsonSchema, type ConversionConfig } from '@valibot/to-json-schema'
import * as v from 'valibot'
import { IDEMPOTENCY_KEY } from './guards.ts'
import { problemSchema } from './problem.ts'
import type { AnswerFormat, Route, Schema } from './route.ts'

/** Options of {@link openApi}. */
export interface OpenApiOptions {
  readonly routes: readonly Route[]
  readonly title: string
  readonly version: string
  readonly description: string
  /** Schemas that are shared, by name: where one stands in a route, the document refers to it. @default none */
  readonly definitions?: Readonly<Record<string, Schema>> | undefined
  /** How answers are written, unless a route has a format of its own. */
  readonly format: AnswerFormat
  /** What each status of a problem means, where the service has more to say. @default {@link reasons} */
  readonly reasons?: Readonly<Record<number, string>> | undefined
  /** Status of a path whose parameters are malformed. @default 400 */
  readonly malformedPath?: 400 | 404 | undefined
}

/** What each status of a problem means. */
const reasons: Readonly<Record<number, string>> = {
  400: 'Something in the request is wrong; `details` names it',
  401: 'The bearer token is missing or wrong',
  402: 'There is not enough money',
  403: 'The host or the origin is refused, or the caller may not do that',
  404: 'There is no such thing',
  405: 'Not offered',
  409: 'The state of things does not allow it',
  413: 'The body is too large',
  415: 'The body is not declared as JSON',
  422: 'The Idempotency-Key was used for another request',
  500: 'Something went wrong inside',
  502: 'Something behind this service did not do its part',
  503: 'There is too much to do, or the service is stopping',
  504: 'It takes too long. What was begun goes on: look at the state, or repeat the request',
}

const KEY_MEANING = 'Names the request: repeated under the same key, it gets the first answer again'

/** Makes the OpenAPI 3.1 document of a service from its routes and their schemas. */
export function openApi(options: OpenApiOptions): object {
  const { routes, title, version, description, definitions = {} } = options
  const named = 'Problem' in definitions ? definitions : { ...definitions, Problem: problemSchema }
  const config: ConversionConfig = {
    target: 'draft-2020-12',
    typeMode: 'input',
    definitions: named,
    overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
    overrideSchema({ valibotSchema, jsonSchema: made }) {
      if (valibotSchema.type === 'bigint') return { type: 'integer' }
      // Said aloud: all other objects have no more fields than they name.
      return valibotSchema.type === 'loose_object' ? { ...made, additionalProperties: true } : undefined
    },
    // What no JSON Schema can say is left out: an address's checksum, how large a number in decimal text is.
    errorMode: 'ignore',
  }
  /** What is shared is referred to. */
  const jsonSchema = (schema: Schema): object => {
    const { $schema: _, $defs: __, ...rest } = toJsonSchema(wanted(schema), config)
    return rest
  }
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) (paths[route.path] ??= {})[route.method] = operation(route, options, jsonSchema)
  const components = toJsonSchema(v.unknown(), config).$defs!
  return {
    openapi: '3.1.1',
    info: { title, version, description, license: { name: 'MIT', identifier: 'MIT' } },
    servers: [{ url: '/' }],
    security: [{ token: [] }],
    paths,
    components: {
      schemas: components,
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer' },
        ...(routes.some(({ access }) => access === 'operator') ? { operatorToken: { type: 'http', scheme: 'bearer' } } : {}),
      },
    },
  }
}

/** Every status of a problem that a route may answer with. */
function problemsOf(route: Route, malformedPath: 400 | 404 = 400): number[] {
  const { method, path, access, params, query, body, keyed, immediate, problems = [] } = route
  const always = immediate ? [403] : [...(access === 'public' ? [] : [401]), 403, 500, 503, 504]
  const ofBody = method === 'get' ? [] : body ? [400, 413, 415] : [415]
  const ofKey = keyed === true ? [400, 409, 422] : []
  const all = [
    ...always,
    ...(params && path.includes('{') ? [malformedPath] : []),
    ...(query ? [400] : []),
    ...ofBody,
    ...ofKey,
    ...problems,
  ]
  return [...new Set(all)].sort((a, b) => a - b)
}

/** Where an object is put right first, the last of its pipe says what it should be. */
function wanted(schema: Schema): Schema {
  const last = 'pipe' in schema ? (schema.pipe as readonly { readonly kind: string }[]).at(-1) : undefined
  return schema.type === 'custom' && last?.kind === 'schema' ? (last as Schema) : schema
}

const json = (schema: object): object => ({ 'application/json': { schema } })

function operation(route: Route, options: OpenApiOptions, jsonSchema: (schema: Schema) => object): object {
  const { id, summary, description, access, params, query, body, status = 200, answers = {}, keyed } = route
  const { format = options.format } = route
  const { problems = { 'application/problem+json': options.definitions?.Problem ?? problemSchema } } = format
  const told = { ...reasons, ...options.reasons }
  const problem = Object.fromEntries(Object.entries(problems).map(([media, schema]) => [media, { schema: jsonSchema(schema) }]))
  const parameters = [
    ...(params ? parametersOf('path', jsonSchema(params)) : []),
    ...(query ? parametersOf('query', jsonSchema(query)) : []),
    ...(keyed ? [keyParameter(keyed === true ? KEY_MEANING : keyed.meaning)] : []),
  ]
  const responses: Record<number, object> = {}
  if (status < 400) responses[status] = { description: summary, ...contentOf(route, format, jsonSchema) }
  for (const code of problemsOf(route, options.malformedPath)) responses[code] = { description: told[code], content: problem }
  for (const [code, schema] of Object.entries(answers)) {
    responses[Number(code)] = { description: told[Number(code)] ?? summary, content: json(jsonSchema(schema)) }
  }
  return {
    operationId: id,
    summary,
    ...(description ? { description } : {}),
    ...(access === 'user' ? {} : { security: access === 'public' ? [] : [{ operatorToken: [] }] }),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body ? { requestBody: { required: true, content: json(jsonSchema(body)) } } : {}),
    responses,
  }
}

/** What a good answer holds. */
function contentOf({ answer, media, status }: Route, format: AnswerFormat, jsonSchema: (schema: Schema) => object): object {
  if (status === 204) return {}
  if (media !== undefined && media !== 'application/json') {
    return { content: { [media]: media.startsWith('text/') ? { schema: { type: 'string' } } : {} } }
  }
  const schema = media === undefined || answer ? format.schema(answer) : undefined
  return { content: json(schema ? jsonSchema(schema) : { type: 'object' }) }
}

function keyParameter(description: string): object {
  const schema = { type: 'string', pattern: IDEMPOTENCY_KEY.source }
  return { name: 'Idempotency-Key', in: 'header', required: false, description, schema }
}

function parametersOf(where: 'path' | 'query', schema: object): object[] {
  type Fields = { properties?: Record<string, { description?: string }>; required?: string[] }
  const { properties = {}, required = [] } = schema as Fields
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: where,
    required: where === 'path' || required.includes(name),
    ...(description ? { description } : {}),
    schema: rest,
  }))
}
