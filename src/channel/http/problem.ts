/**
 * Problems as clients of Raiden and of this service know them.
 * @module
 */
import * as v from 'valibot'
import { isSluiceError } from '../../core/errors.ts'
import { problemAnswer, problemOf, problemSchema as coreSchema, type Statuses } from '../../core/http/problem.ts'
import type { AnswerFormat } from '../../core/http/route.ts'

/** What a partner said wrong is no fault of the request. */
const statuses: Statuses = { BAD_SIGNATURE: 409, BAD_MESSAGE: 409, BAD_FRAME: 409 }

/** Schema of a problem; `errors` repeats `detail` for clients of Raiden, who look for it. */
export const problemSchema = v.object({
  ...coreSchema.entries,
  errors: v.pipe(v.string(), v.description('The same as detail, for clients of Raiden')),
})

/** The name by which this service has always refused who brings no token. */
const unauthorized = { type: 'urn:sluice:problem:unauthorized', title: 'Unauthorized', code: 'UNAUTHORIZED' }

/** The format of this service: the bare value, and problem details for clients of Raiden, too. */
export const channelFormat: AnswerFormat = {
  schema: (value) => value,
  answer: (value) => value,
  problem(error) {
    const problem = problemOf(error, statuses)
    const more = { ...(isSluiceError(error, 'UNAUTHENTICATED') ? unauthorized : {}), errors: problem.detail }
    return problemAnswer({ ...problem, ...more })
  },
  problems: { 'application/problem+json': problemSchema },
}
