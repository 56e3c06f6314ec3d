import { describe, expect, it } from 'vitest'
import * as v from 'valibot'
import { SluiceError, type ErrorCode } from '../../core/errors.ts'
import { problemOf, problemSchema, refusal, statusOf } from './problem.ts'

describe('a problem', () => {
  it('says what an error says, in plain values', async () => {
    const error = new SluiceError('CAPACITY_SHORT', '5 can be sent', { details: { capacity: 5n, channelId: '0x12' }, cause: new Error('inner') })
    const answer = problemOf(error)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    const body: unknown = await answer.json()
    expect(v.is(problemSchema, body)).toBe(true)
    expect(body).toEqual({
      type: 'urn:sluice:problem:capacity-short', title: 'Capacity short', status: 402, detail: '5 can be sent', code: 'CAPACITY_SHORT',
      details: { capacity: '5', channelId: '0x12' }, errors: '5 can be sent',
    })
  })

  it('says nothing of what is inside or behind', async () => {
    const url = 'https://rpc.example/secret-key'
    for (const error of [
      new Error(url), url, undefined, new SluiceError('RPC_FAILED', url, { details: { url } }), new SluiceError('STORE_FAILED', url, { details: { url } }),
    ]) {
      const answer = problemOf(error)
      expect(answer.status).toBeGreaterThanOrEqual(500)
      expect(await answer.text()).not.toContain('secret-key')
    }
  })

  it.each<[ErrorCode, number]>([
    ['BAD_ARGUMENT', 400], ['INSUFFICIENT_FUNDS', 402], ['CHANNEL_NOT_FOUND', 404], ['NO_ROUTE', 409], ['MESSAGE_TOO_LARGE', 413],
    ['OVERLOADED', 503], ['TIMEOUT', 504],
    // A contract's refusals.
    ['SETTLE_TOO_EARLY', 409], ['NO_OPEN_CHANNEL', 409],
  ])('%s is %i', (code, status) => {
    expect(statusOf(code)).toBe(status)
    expect(problemOf(new SluiceError(code, 'so it is')).status).toBe(status)
  })

  it('keeps the headers of a refusal', () => {
    const { status, headers } = refusal('METHOD_NOT_ALLOWED', 'not so', { allow: 'GET' })
    expect([status, headers.get('allow')]).toEqual([405, 'GET'])
  })
})
