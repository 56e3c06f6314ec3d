import { toJsonSchema, type ConversionConfig } from '@valibot/to-json-schema'
import * as v from 'valibot'
import { snakeCase } from './eventStream.ts'
import { problemSchema } from './problem.ts'
import { routes, VERSION, type Route } from './routes.ts'
import { addressIn, channelAnswer, eventSchemas, paymentAnswer, paymentEventAnswer, pendingTransferAnswer } from './schemas.ts'

const definitions = {
  Channel: channelAnswer,
  Payment: paymentAnswer,
  PaymentEvent: paymentEventAnswer,
  PendingTransfer: pendingTransferAnswer,
  Problem: problemSchema,
}
const config = (side: 'input' | 'output'): ConversionConfig => ({
  target: 'draft-2020-12',
  typeMode: side,
  definitions,
  overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
  // What no schema can say: an address's checksum, how large a number of decimal text is.
  ignoreActions: ['check'],
})

/** JSON Schema of a schema; what is shared is referred to. */
function jsonSchema(schema: v.GenericSchema): object {
  const { $schema: _, $defs: __, ...rest } = toJsonSchema(schema, config('input'))
  return rest
}

const reasons: Readonly<Record<number, string>> = {
  400: 'Something in the request is wrong; `details` names it',
  401: 'The bearer token is missing or wrong',
  402: 'There is not enough money in the channel or in the account',
  403: 'The host or the origin is refused',
  404: 'There is no such path, token, channel, or a path has a malformed address',
  405: 'Not offered',
  409: 'The state of a channel, the partner or the contract does not allow it',
  413: 'The body is too large',
  415: 'The body is not declared as JSON',
  422: 'The Idempotency-Key was used for another payment',
  500: 'Something went wrong inside',
  502: 'The Ethereum node did not do its part',
  503: 'There is too much to do, or the node has stopped',
  504: 'It takes too long. What was begun goes on: look at the state, or repeat the request',
}

/** Statuses that every path can answer with, by what it takes. */
function problemsOf({ method, path, body, query, problems }: Route): number[] {
  const always = path === '/health' ? [403] : [401, 403, 500, 503, 504]
  const ofPath = path.includes('{') ? [404] : []
  const ofBody = method === 'get' ? [] : body ? [400, 413, 415, 502] : [415]
  return [...new Set([...always, ...ofPath, ...ofBody, ...(query ? [400] : []), ...problems])].sort((a, b) => a - b)
}

/** Makes the OpenAPI 3.1 document of the HTTP service from its routes and their schemas. */
export function openApi(): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) (paths[route.path] ??= {})[route.method] = operation(route)
  const components = Object.fromEntries(Object.entries(definitions).map(([name, schema]) => {
    const { $defs } = toJsonSchema(v.object({ schema }), config('input'))
    return [name, $defs![name]!]
  }))
  return {
    openapi: '3.1.1',
    info: {
      title: 'Sluice payment channel node',
      version: VERSION,
      description: [
        'Drives one payment channel node. Paths and names follow the REST API of Raiden, version 1, where it has them.',
        'Amounts are decimal text in the token\'s smallest unit; addresses are answered with their EIP-55 checksum.',
        'Problems follow RFC 9457.',
      ].join(' '),
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ token: [] }],
    paths,
    components: {
      schemas: {
        ...components,
        ...Object.fromEntries(Object.entries(eventSchemas).map(([name, schema]) => [`Event.${snakeCase(name)}`, jsonSchema(schema)])),
      },
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
  }
}

function operation(route: Route): object {
  const { id, summary, description, path, query, body, status, answer, keyed } = route
  const problem = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } }
  const unavailable = { 'application/json': { schema: answer && jsonSchema(answer) } }
  const good = answer
    ? { 'application/json': { schema: jsonSchema(answer) } }
    : id === 'getEvents' ? { 'text/event-stream': { schema: { type: 'string' } } } : { 'application/json': { schema: { type: 'object' } } }
  const parameters = [
    ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: jsonSchema(addressIn) })),
    ...(query ? queryParameters(jsonSchema(query)) : []),
    ...(keyed ? [{
      name: 'Idempotency-Key', in: 'header', required: false, description: 'Names the payment, instead of an identifier',
      schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' },
    }] : []),
  ]
  return {
    operationId: id,
    summary,
    ...(description ? { description } : {}),
    ...(path === '/health' ? { security: [] } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body ? { requestBody: { required: true, content: { 'application/json': { schema: jsonSchema(body) } } } } : {}),
    responses: {
      ...(status < 400 ? { [status]: { description: summary, content: good } } : {}),
      ...Object.fromEntries(problemsOf(route).map((code) =>
        [code, { description: reasons[code]!, content: id === 'health' && code === 503 ? unavailable : problem }])),
    },
  }
}

function queryParameters(schema: object): object[] {
  const { properties = {} } = schema as { properties?: Record<string, { description?: string }> }
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name, in: 'query', required: false, ...(description ? { description } : {}), schema: rest,
  }))
}
