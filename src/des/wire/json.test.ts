import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readJson, writeJson } from './json.ts'

const badMessage: unknown = expect.objectContaining({ name: 'SluiceError', code: 'BAD_MESSAGE' })

describe('readJson', () => {
  it('keeps long integers exact', () => {
    expect(readJson('[9223372036854775807, -9007199254740993 ,18446744073709551615]')).toEqual([
      9223372036854775807n, -9007199254740993n, 18446744073709551615n,
    ])
    expect(readJson('{"nonce":9007199254740993,"b":[{"c":12345678901234567890123}]}')).toEqual({
      nonce: 9007199254740993n, b: [{ c: 12345678901234567890123n }],
    })
    expect(readJson('["\\\\",9007199254740993,"\\\\\\"",9007199254740993]')).toEqual(['\\', 9007199254740993n, '\\"', 9007199254740993n])
    expect(readJson('9007199254740992')).toBe(9007199254740992n)
  })

  it('leaves all else to JSON.parse', () => {
    for (const text of ['9007199254740991', '-9007199254740991', '12345678901234567890.5', '1234567890123456789e2', '1234567890123456789E+2', '0.12345678901234567890',
      '"12345678901234567890"', '{"12345678901234567890":1}', '["a\\"12345678901234567890"]', '"\\\\"', 'null', '{}', '1e3']) {
      expect(readJson(text), text).toEqual(JSON.parse(text))
    }
    const mixed = '{"a":"12345678901234567890","\\"12345678901234567890":12345678901234567890,"__proto__":{"x":12345678901234567890}}'
    const value = readJson(mixed) as Record<string, unknown>
    expect(value.a).toBe('12345678901234567890')
    expect(value['"12345678901234567890']).toBe(12345678901234567890n)
    expect(({} as { x?: unknown }).x).toBe(undefined)
  })

  it('reads what JSON.stringify writes', () => {
    fc.assert(fc.property(fc.json(), (text) => {
      expect(writeJson(readJson(text))).toBe(JSON.stringify(JSON.parse(text)))
    }), { numRuns: 300 })
  })

  it('reads back what writeJson writes', () => {
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.string(),
        fc.bigInt({ min: 2n ** 53n, max: 10n ** 40n - 1n }),
        fc.bigInt({ min: -(10n ** 40n) + 1n, max: -(2n ** 53n) }),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(fc.string().filter((key) => key !== '__proto__'), tie('value'), { maxKeys: 4, noNullPrototype: true }),
      ),
    }))
    fc.assert(fc.property(value, (each) => {
      expect(readJson(writeJson(each))).toEqual(each)
    }), { numRuns: 300 })
  })

  it('reads bodies of many megabytes', () => {
    for (const long of ['ab'.repeat(2 ** 22), '\\"'.repeat(2 ** 21), '"'.repeat(2 ** 21)]) {
      expect(readJson(`${JSON.stringify([long]).slice(0, -1)},9007199254740993]`)).toEqual([long, 9007199254740993n])
    }
  })

  it('takes no time for numbers of many digits: no schema takes such a one', () => {
    expect(readJson('1'.repeat(40))).toBe(BigInt('1'.repeat(40)))
    expect(readJson('1'.repeat(41))).toBe(Number('1'.repeat(41)))
    expect(readJson('1'.repeat(1_000_000))).toBe(Infinity)
  })

  it('refuses what is no JSON, also with a long integer in it', () => {
    const long = '12345678901234567890'
    for (const text of ['', '{', `0${long}`, `-0${long}`, `+${long}`, `{${long}:1}`, `[${long}`, `${long}${'"'}`, `"a ${long}`, `${long} ${long}`, `"${long}`, `"\\${long}`, `--${long}`, `${long}n`,
      `${long}.`, `[1,${long},]`, `"\n${long}"`, `'${long}'`, `a${long}`, 'NaN', 'undefined', `[${'['.repeat(200_000)}${long}`, `${'['.repeat(200_000)}${long}${']'.repeat(200_000)}`]) {
      expect(() => readJson(text), text.slice(0, 60)).toThrow(badMessage)
    }
  })

  it('gets garbage refused as JSON.parse refuses it', () => {
    const unit = fc.constantFrom('"', '\\', '1234567890123456789', '0', '-', '.', 'e', '{', '}', '[', ']', ':', ',', ' ', 'a', '\n')
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 12 }), (text) => {
        let parses = true
        try {
          JSON.parse(text)
        } catch {
          parses = false
        }
        if (parses) readJson(text)
        else expect(() => readJson(text)).toThrow(badMessage)
      }),
      { numRuns: 5000 },
    )
  })
})
