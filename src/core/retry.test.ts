import { makeError } from 'ethers'
import { describe, expect, it } from 'vitest'
import { createManualClock } from '../testing/manualClock.ts'
import { SluiceError } from './errors.ts'
import { advise, backoff, httpStatus, retry, retryAfter, type RetryOptions } from './retry.ts'

const coded = (code: string | number, more: object = {}) => Object.assign(new Error('x'), { code }, more)
const answered = (code: number, message = '') =>
  makeError('could not coalesce error', 'UNKNOWN_ERROR', { error: { code, message } })
const http = (statusCode: number, headers = {}) =>
  makeError('server response', 'SERVER_ERROR', {
    request: 'unknown request',
    response: { statusCode, headers } as never,
  })
const called = (code: number, message: string) =>
  makeError('missing revert data', 'CALL_EXCEPTION', {
    action: 'call',
    data: null,
    reason: null,
    transaction: { to: null, data: '0x' },
    invocation: null,
    revert: null,
    info: { error: { code, message } },
  })

describe('advise', () => {
  it.each([
    ['a network that is down', makeError('x', 'NETWORK_ERROR', { event: 'x' }), 'retry'],
    ['a server’s error', http(502), 'retry'],
    ['a server that is overloaded', http(429), 'wait'],
    ['a server that is being serviced', http(503), 'wait'],
    ['a key that is wrong', http(401), 'abort'],
    [
      'a request that took too long',
      makeError('x', 'TIMEOUT', { operation: 'x', reason: 'x', request: undefined as never }),
      'retry',
    ],
    ['an answer cut short', coded('BAD_DATA'), 'retry'],
    ['a nonce that is used', coded('NONCE_EXPIRED'), 'retry'],
    ['a replacement that is too cheap', coded('REPLACEMENT_UNDERPRICED'), 'wait'],
    ['too little money', coded('INSUFFICIENT_FUNDS'), 'abort'],
    ['a user who declines', coded('ACTION_REJECTED'), 'abort'],
    ['a user who declines, unwrapped', coded(4001), 'abort'],
    ['a revert', coded('CALL_EXCEPTION', { data: '0x' }), 'abort'],
    ['a revert without data', called(3, 'execution reverted'), 'abort'],
    ['a revert under another code', called(-32000, 'execution reverted'), 'abort'],
    ['a rate limit that ethers takes for a revert', called(-32005, 'limit exceeded'), 'wait'],
    ['a rate limit in words', answered(-32000, 'Too Many Requests'), 'wait'],
    ['a rate limit', answered(-32005), 'wait'],
    ['an internal error', answered(-32603), 'retry'],
    ['a method that does not exist', answered(-32601), 'abort'],
    ['an error that is new', answered(-39999), 'retry'],
    ['a socket', coded('ECONNRESET'), 'retry'],
    ['a socket of undici', new TypeError('fetch failed', { cause: coded('UND_ERR_SOCKET') }), 'retry'],
    ['a time limit of axios', coded('ECONNABORTED'), 'retry'],
    ['our time limit', new SluiceError('TIMEOUT', 'x'), 'retry'],
    ['our node', new SluiceError('RPC_FAILED', 'x'), 'retry'],
    ['our node, for good', new SluiceError('RPC_FAILED', 'x', { details: { rpcCode: -32601 } }), 'abort'],
    ['our node, by status', new SluiceError('RPC_FAILED', 'x', { details: { status: 403 } }), 'abort'],
    ['our node, overloaded', new SluiceError('RPC_FAILED', 'x', { details: { status: 429 } }), 'wait'],
    ['our peer, overloaded', new SluiceError('OVERLOADED', 'x'), 'wait'],
    ['an end that is not known', new SluiceError('TRANSACTION_UNKNOWN', 'x'), 'abort'],
    ['a caller who aborts', new SluiceError('ABORTED', 'x'), 'abort'],
    ['a defect', new TypeError('x is not a function'), 'abort'],
    ['no error at all', 'x', 'abort'],
  ])('%s', (_, error, advice) => {
    expect(advise(error)).toBe(advice)
  })
})

describe('retry', () => {
  const lost = () => new SluiceError('CONNECTION_LOST', 'x')

  /** Fails with each error in turn, then succeeds; gives the times of the runs. */
  async function timesOf(errors: unknown[], options: RetryOptions = {}): Promise<{ times: number[]; result: unknown }> {
    const clock = createManualClock()
    const times: number[] = []
    const result = retry(
      async (attempt) => {
        times.push(clock.now())
        expect(attempt).toBe(times.length)
        if (errors.length) throw errors.shift()
        return 'done'
      },
      { clock, random: () => 0, ...options },
    ).catch((error: unknown) => error)
    await clock.advance(1_000_000)
    return { times, result: await result }
  }

  it('pauses longer and longer', async () => {
    expect(await timesOf([lost(), lost(), lost(), lost()])).toEqual({
      times: [0, 250, 750, 1750, 3750],
      result: 'done',
    })
  })

  it('pauses for no longer than maxDelay', async () => {
    const { times } = await timesOf([lost(), lost(), lost()], { delay: 100, maxDelay: 150 })
    expect(times).toEqual([0, 100, 250, 400])
  })

  it('shortens pauses by up to half at random', async () => {
    const { times } = await timesOf([lost()], { random: () => 0.5 })
    expect(times).toEqual([0, 188])
    for (let i = 0; i < 100; i++) {
      expect(backoff(1)).toBeGreaterThanOrEqual(125)
      expect(backoff(1)).toBeLessThanOrEqual(250)
    }
  })

  it('leaves one that is overloaded in peace for longer, without a random part', async () => {
    const { times } = await timesOf([http(429), http(429)], { random: () => 0.9 })
    expect(times).toEqual([0, 1000, 3000])
  })

  it('waits as long as Retry-After says, and gives up if that is too long', async () => {
    const asked = (value: string) => http(429, { 'retry-after': value })
    expect((await timesOf([asked('7')])).times).toEqual([0, 7000])
    expect((await timesOf([asked(new Date(9000).toUTCString())])).times).toEqual([0, 9000])
    const late = asked('3600')
    expect(await timesOf([late])).toEqual({ times: [0], result: late })
  })

  it('gives up on what would end the same way, and after the last attempt', async () => {
    const defect = new TypeError('x')
    expect(await timesOf([defect])).toEqual({ times: [0], result: defect })
    const errors = [lost(), lost(), lost()]
    const last = errors[1]
    expect((await timesOf(errors, { attempts: 2 })).result).toBe(last)
  })

  it('reports each pause', async () => {
    const reports: unknown[] = []
    const error = lost()
    await timesOf([error], { onRetry: (...report) => reports.push(report) })
    expect(reports).toEqual([[error, 1, 250]])
  })

  it('takes other advice', async () => {
    expect((await timesOf([new TypeError('x')], { advise: () => 'retry' })).result).toBe('done')
  })

  it('ends when it is aborted', async () => {
    const clock = createManualClock()
    const stop = new AbortController()
    let runs = 0
    const run = () => {
      runs++
      return Promise.reject(lost())
    }
    const ended = expect(retry(run, { clock, signal: stop.signal })).rejects.toMatchObject({ code: 'ABORTED' })
    await clock.advance(10)
    stop.abort()
    await ended
    expect([runs, clock.sleeping]).toEqual([1, 0])
  })
})

it('reads status and Retry-After of ethers, axios, fetch and our own errors', () => {
  expect(httpStatus({ response: { status: 404 } })).toBe(404)
  expect(httpStatus({ response: { status: 200 } })).toBeUndefined()
  expect(retryAfter({ response: { headers: new Headers({ 'retry-after': '2' }) } }, 0)).toBe(2000)
  expect(retryAfter({ response: { headers: { 'retry-after': 'soon' } } }, 0)).toBeUndefined()
  expect(retryAfter({ response: { headers: { 'retry-after': new Date(0).toUTCString() } } }, 5000)).toBe(0)
  expect(retryAfter(new SluiceError('OVERLOADED', 'x', { details: { retryAfter: 300 } }), 0)).toBe(300)
  expect(retryAfter('x', 0)).toBeUndefined()
})
