import { describe, expect, it } from 'vitest'
import { createManualClock } from '../testing/manualClock.ts'
import { createAnswered } from './answered.ts'

const coded = (code: string): unknown => expect.objectContaining({ name: 'SluiceError', code })

describe('what was answered', () => {
  it('is answered once, and given to who asks again, at once too', async () => {
    const answered = createAnswered(createManualClock())
    let asked = 0
    const answer = async (): Promise<string> => `answer ${++asked}`
    const both = await Promise.all([answered.once('a', 1000, answer), answered.once('a', 1000, answer)])
    expect([...both, await answered.once('a', 1000, answer)]).toEqual(['answer 1', 'answer 1', 'answer 1'])
    expect(await answered.once('b', 1000, answer)).toBe('answer 2')
  })

  it('is not what failed', async () => {
    const answered = createAnswered(createManualClock())
    await expect(answered.once('a', 1000, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await answered.once('a', 1000, async () => 'yes')).toBe('yes')
  })

  it('is known for longer than its text is kept', async () => {
    const answered = createAnswered(createManualClock(), 10, 10)
    await answered.once('a', 1000, async () => '123456')
    await answered.once('b', 1000, async () => '123456')
    await expect(answered.once('a', 1000, async () => 'again')).rejects.toEqual(coded('AUTHORISATION_USED'))
    expect(await answered.once('b', 1000, async () => 'again')).toBe('123456')
  })

  it('is bounded: no more is answered until some expires', async () => {
    const clock = createManualClock()
    const answered = createAnswered(clock, 2, 100)
    await answered.once('a', 1000, async () => 'a')
    await answered.once('b', 2000, async () => 'b')
    await expect(answered.once('c', 3000, async () => 'c')).rejects.toEqual(coded('OVERLOADED'))
    await clock.advance(999)
    await expect(answered.once('c', 3000, async () => 'c')).rejects.toEqual(coded('OVERLOADED'))
    await clock.advance(1)
    expect(await answered.once('c', 3000, async () => 'c')).toBe('c')
    expect(await answered.once('b', 2000, async () => 'again')).toBe('b')
  })
})
