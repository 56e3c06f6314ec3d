import { openApi as describe } from '../../core/http/openApi.ts'
import type { Route } from '../../core/http/route.ts'
import { snakeCase } from './eventStream.ts'
import { channelFormat, problemSchema } from './problem.ts'
import { routes, VERSION, type RouteContext } from './routes.ts'
import { channelAnswer, eventSchemas, paymentAnswer, paymentEventAnswer, pendingTransferAnswer } from './schemas.ts'

/** What the document says beside the routes. */
export const about = {
  title: 'Sluice payment channel node',
  version: VERSION,
  description: [
    'Drives one payment channel node. Paths and names follow the REST API of Raiden, version 1, where it has them.',
    'Amounts are decimal text in the token\'s smallest unit; addresses are answered with their EIP-55 checksum.',
    'Problems follow RFC 9457.',
  ].join(' '),
  definitions: {
    Channel: channelAnswer,
    Payment: paymentAnswer,
    PaymentEvent: paymentEventAnswer,
    PendingTransfer: pendingTransferAnswer,
    Problem: problemSchema,
    ...Object.fromEntries(Object.entries(eventSchemas).map(([name, schema]) => [`Event.${snakeCase(name)}`, schema])),
  },
  reasons: {
    402: 'There is not enough money in the channel or in the account',
    403: 'The host or the origin is refused',
    404: 'There is no such path, token, channel, or a path has a malformed address',
    409: 'The state of a channel, the partner or the contract does not allow it',
    422: 'The Idempotency-Key was used for another payment',
    502: 'The Ethereum node did not do its part',
    503: 'There is too much to do, or the node has stopped',
  },
  format: channelFormat,
}

/** The routes on a node. @param context - gives what they work on, when they are asked. */
export function routesOf(context: () => RouteContext): readonly Route[] {
  return routes.map((route): Route => ({ ...route, access: route.access ?? 'user', handle: (input) => route.handle(context(), input) }))
}

/** Makes the OpenAPI 3.1 document of the HTTP service from its routes and their schemas. */
export function openApi(): object {
  const nobody = (): never => {
    throw new Error('a document has no node')
  }
  return describe({ ...about, routes: routesOf(nobody), malformedPath: 404 })
}
