import { expect, it } from 'vitest'
import { createManualClock } from './manualClock.ts'

it('stands still until it is advanced', async () => {
  const clock = createManualClock(1000)
  const order: string[] = []
  void clock.sleep(20).then(() => order.push(`b ${clock.now()}`))
  void clock.sleep(10).then(async () => {
    order.push(`a ${clock.now()}`)
    await clock.sleep(15)
    order.push(`c ${clock.now()}`)
  })
  void clock.sleep(31).then(() => order.push('late'))
  await clock.advance(30)
  expect(order).toEqual(['a 1010', 'b 1020', 'c 1025'])
  expect(clock.now()).toBe(1030)
  expect(clock.sleeping).toBe(1)
})

it('lets go of a sleep that is aborted', async () => {
  const clock = createManualClock()
  const stop = new AbortController()
  const sleep = expect(clock.sleep(10, stop.signal)).rejects.toMatchObject({ code: 'ABORTED' })
  expect(clock.sleeping).toBe(1)
  stop.abort()
  await sleep
  expect(clock.sleeping).toBe(0)
  await expect(clock.sleep(10, stop.signal)).rejects.toMatchObject({ code: 'ABORTED' })
})
