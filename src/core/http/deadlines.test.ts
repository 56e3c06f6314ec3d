import { expect, it } from 'vitest'
import { createManualClock } from '../../testing/manualClock.ts'
import { createDeadlines } from './deadlines.ts'

it('calls who waits too long, in time, and nobody else', async () => {
  const clock = createManualClock(5)
  const deadlines = createDeadlines(1000, clock)
  const late: string[] = []
  const begin = (name: string): (() => void) => deadlines.begin(() => late.push(`${name} at ${clock.now()}`))
  begin('a')
  await clock.advance(10)
  const end = begin('b')
  begin('c')
  await clock.advance(600)
  begin('d')
  end()
  await clock.advance(389)
  expect(late).toEqual([])
  await clock.advance(1)
  expect(late).toEqual(['a at 1005'])
  await clock.advance(10_000)
  expect(late).toEqual(['a at 1005', 'c at 1015', 'd at 1615'])
  expect(clock.sleeping).toBe(0)
  begin('e')
  await clock.advance(1000)
  expect(late[3]).toBe('e at 12005')
})

it('has one timer for all, and soon none', async () => {
  const clock = createManualClock()
  const deadlines = createDeadlines(60_000, clock)
  const ends = Array.from({ length: 100 }, () => deadlines.begin(() => {}))
  expect(clock.sleeping).toBe(1)
  await clock.advance(30_000)
  expect(clock.sleeping).toBe(1)
  for (const end of ends) end()
  await clock.advance(250)
  expect(clock.sleeping).toBe(0)
})
