import { describe, expect, it } from 'vitest'
import { dayOf, monthOf, readDay } from './days.ts'

const CHINA = 480

describe('days of bills', () => {
  it("begin at 16:00 UTC for UTC+8, as the seed's samples do", () => {
    expect([dayOf(1527350400000, CHINA), dayOf(1527350399999, CHINA)]).toEqual([1527350400000, 1527264000000])
    expect(readDay('2018-05-27', CHINA)).toBe(1527350400000)
    expect(readDay('2018-05-27', -300)).toBe(Date.UTC(2018, 4, 27, 5))
  })

  it('make months, over the end of the year and in leap years', () => {
    expect(monthOf(Date.UTC(2018, 4, 31, 15, 59, 59, 999), CHINA)).toEqual({
      from: Date.UTC(2018, 3, 30, 16),
      to: Date.UTC(2018, 4, 31, 16),
    })
    expect(monthOf(Date.UTC(2018, 4, 31, 16), CHINA)).toEqual({ from: Date.UTC(2018, 4, 31, 16), to: Date.UTC(2018, 5, 30, 16) })
    expect(monthOf(readDay('2019-12-31', CHINA)!, CHINA).to).toBe(readDay('2020-01-01', CHINA))
    expect(monthOf(readDay('2020-02-29', CHINA)!, CHINA).to).toBe(readDay('2020-03-01', CHINA))
  })

  it('are dates that there are', () => {
    for (const text of ['2018-02-29', '2018-13-01', '2018-5-1', '2018-05-01T00:00', '', '20180501'])
      expect(readDay(text, CHINA)).toBeUndefined()
  })
})
