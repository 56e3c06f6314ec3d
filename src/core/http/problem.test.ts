import { describe, expect, it } from 'vitest'
import * as v from 'valibot'
import { SluiceError, type ErrorCode } from '../errors.ts'
import { isRefusal, plainFormat, problemOf, problemSchema, refusal, statusOf } from './problem.ts'

const answerTo = (error: unknown): Response => plainFormat().problem(error, new Request('http://localhost/'))

describe('a problem', () => {
  it('says what an error says, in plain values', async () => {
    const error = new SluiceError('CAPACITY_SHORT', '5 can be sent', {
      details: { capacity: 5n, channelId: '0x12' },
      cause: new Error('inner'),
    })
    const answer = answerTo(error)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    const body: unknown = await answer.json()
    expect(v.is(problemSchema, body)).toBe(true)
    expect(body).toEqual({
      type: 'urn:sluice:problem:capacity-short',
      title: 'Capacity short',
      status: 402,
      detail: '5 can be sent',
      code: 'CAPACITY_SHORT',
      details: { capacity: '5', channelId: '0x12' },
    })
  })

  it('says nothing of what is inside or behind', async () => {
    const url = 'https://rpc.example/secret-key'
    const wrapped = (['RPC_FAILED', 'STORE_FAILED', 'SQL_FAILED'] as const).map(
      (code) => new SluiceError(code, url, { details: { url } }),
    )
    for (const error of [new Error(url), url, undefined, { refusal: 'INTERNAL', detail: url }, ...wrapped]) {
      const answer = answerTo(error)
      expect(answer.status).toBeGreaterThanOrEqual(500)
      expect(await answer.text()).not.toContain('secret-key')
    }
  })

  it.each<[ErrorCode, number]>([
    ['BAD_ARGUMENT', 400],
    ['BAD_MESSAGE', 400],
    ['UNAUTHENTICATED', 401],
    ['BALANCE_SHORT', 402],
    ['NOT_ALLOWED', 403],
    ['NO_SUCH_VOTE', 404],
    ['NO_ROUTE', 409],
    ['MESSAGE_TOO_LARGE', 413],
    ['SQL_FAILED', 500],
    ['OVERLOADED', 503],
    ['TIMEOUT', 504],
    // A contract's refusals.
    ['SETTLE_TOO_EARLY', 409],
    ['NO_OPEN_CHANNEL', 409],
  ])('%s is %i', (code, status) => {
    expect([statusOf(code), problemOf(new SluiceError(code, 'so it is')).status]).toEqual([status, status])
  })

  it('has the status that a service wants', () => {
    const statuses = { BAD_MESSAGE: 409, SQL_FAILED: 503 }
    expect(problemOf(new SluiceError('BAD_MESSAGE', 'so it is'), statuses).status).toBe(409)
    expect(problemOf(new SluiceError('NO_SUCH_VOTE', 'so it is'), statuses).status).toBe(404)
  })

  it('is a refusal only if it was made as one', () => {
    expect(isRefusal(refusal('NOT_OFFERED', 'not so'))).toBe(true)
    expect(problemOf(refusal('NOT_OFFERED', 'not so'))).toMatchObject({ status: 405, code: 'NOT_OFFERED', detail: 'not so' })
    for (const other of [{ ...refusal('NOT_OFFERED', 'not so') }, null, 'NOT_OFFERED', new Error('x')])
      expect(isRefusal(other)).toBe(false)
  })
})
