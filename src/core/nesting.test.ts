import fc from 'fast-check'
import { expect, it } from 'vitest'
import { endOfString, nestsDeeper } from './nesting.ts'

const depthOf = (value: unknown): number =>
  typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0

it('tells how deep any JSON is', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), fc.nat(9), (value, levels) => {
      expect(nestsDeeper(JSON.stringify(value), levels)).toBe(depthOf(value) > levels)
    }),
    { numRuns: 2000 },
  )
})

it.each(['"[[[["', '"\\"[[[["', '"\\\\\\"[[[["', '["[[[[", "]]"]', '"[[[[', ''])('what is in strings does not count: %s', (text) => {
  expect(nestsDeeper(text, 1)).toBe(false)
})

it('looks at no more than the levels that are allowed', () => {
  expect(nestsDeeper('[[["', 2)).toBe(true)
  expect(nestsDeeper('"\\\\"[[[', 2)).toBe(true)
})

it('finds the end of a string, also of one that has none', () => {
  expect(endOfString('"a\\"b"', 0)).toBe(5)
  expect(endOfString('"a', 0)).toBe(2)
})
