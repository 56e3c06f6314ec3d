import { expect, it } from 'vitest'
import * as v from 'valibot'
import { SluiceError, type ErrorCode } from '../../core/errors.ts'
import { channelFormat, problemSchema } from './problem.ts'

const answerTo = (error: unknown): Response => channelFormat.problem(error, new Request('http://localhost/'))

it('a problem is one for clients of Raiden, too', async () => {
  const error = new SluiceError('CAPACITY_SHORT', '5 can be sent', { details: { capacity: 5n, channelId: '0x12' } })
  const body: unknown = await answerTo(error).json()
  expect(v.is(problemSchema, body)).toBe(true)
  expect(body).toEqual({
    type: 'urn:sluice:problem:capacity-short', title: 'Capacity short', status: 402, detail: '5 can be sent', code: 'CAPACITY_SHORT',
    details: { capacity: '5', channelId: '0x12' }, errors: '5 can be sent',
  })
  expect(await answerTo(new SluiceError('UNAUTHENTICATED', 'a bearer token is needed')).json()).toEqual({
    type: 'urn:sluice:problem:unauthorized', title: 'Unauthorized', status: 401, detail: 'a bearer token is needed', code: 'UNAUTHORIZED', details: {},
    errors: 'a bearer token is needed',
  })
})

it.each<[ErrorCode, number]>([
  ['BAD_ARGUMENT', 400], ['INSUFFICIENT_FUNDS', 402], ['CHANNEL_NOT_FOUND', 404], ['NO_ROUTE', 409], ['BAD_MESSAGE', 409], ['BAD_SIGNATURE', 409],
  ['MESSAGE_TOO_LARGE', 413], ['OVERLOADED', 503], ['TIMEOUT', 504], ['SETTLE_TOO_EARLY', 409], ['NO_OPEN_CHANNEL', 409],
])('%s is %i', (code, status) => {
  expect(answerTo(new SluiceError(code, 'so it is')).status).toBe(status)
})
