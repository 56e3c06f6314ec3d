import { getEventListeners } from 'node:events'
import { expect, it } from 'vitest'
import { createManualClock } from '../testing/manualClock.ts'
import { throwIfAborted, withDeadline } from './deadline.ts'

const never = () => new Promise<never>(() => {})

it('gives the result, and leaves neither timer nor listener', async () => {
  const clock = createManualClock()
  const { signal } = new AbortController()
  expect(await withDeadline({ what: 'it', ms: 10, signal, clock }, async () => 42)).toBe(42)
  expect(clock.sleeping).toBe(0)
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

it('passes errors on, also those thrown at once', async () => {
  const clock = createManualClock()
  const error = new Error('no')
  const options = { what: 'it', ms: 10, clock }
  await expect(withDeadline(options, () => Promise.reject(error))).rejects.toBe(error)
  const thrower = () => {
    throw error
  }
  await expect(withDeadline(options, thrower)).rejects.toBe(error)
  expect(clock.sleeping).toBe(0)
})

it('ends at the time limit, naming what was waited for', async () => {
  const clock = createManualClock()
  let inner: AbortSignal | undefined
  const late = expect(
    withDeadline({ what: 'receipt of 0x12', ms: 10, clock }, (signal) => {
      inner = signal
      return never()
    }),
  ).rejects.toMatchObject({
    code: 'TIMEOUT',
    shortMessage: 'receipt of 0x12 did not come within 10 ms',
    details: { ms: 10 },
  })
  await clock.advance(9)
  expect(inner?.aborted).toBe(false)
  await clock.advance(1)
  await late
  expect(inner?.aborted).toBe(true)
})

it('ends when the caller aborts', async () => {
  const clock = createManualClock()
  const stop = new AbortController()
  let inner: AbortSignal | undefined
  const ended = expect(
    withDeadline({ what: 'it', ms: 10, signal: stop.signal, clock }, (signal) => {
      inner = signal
      return never()
    }),
  ).rejects.toMatchObject({ code: 'ABORTED', cause: 'enough' })
  stop.abort('enough')
  await ended
  expect(inner?.aborted).toBe(true)
  expect(clock.sleeping).toBe(0)
})

it('does not begin after an abort', async () => {
  let ran = false
  const run = async () => void (ran = true)
  await expect(withDeadline({ what: 'it', signal: AbortSignal.abort() }, run)).rejects.toMatchObject({
    code: 'ABORTED',
  })
  expect(ran).toBe(false)
})

it('has no limit unless told', async () => {
  const clock = createManualClock()
  void withDeadline({ what: 'it', clock }, never)
  expect(clock.sleeping).toBe(0)
})

it('throwIfAborted names what was aborted', () => {
  throwIfAborted(undefined)
  throwIfAborted(new AbortController().signal)
  expect(() => throwIfAborted(AbortSignal.abort(), 'the sale')).toThrow('the sale was aborted')
})
