import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readFieldSpecs, validateFields, type FieldSpec, type FieldSpecs } from './fieldSpecs.ts'

const read = (specs: unknown): FieldSpecs => readFieldSpecs(specs, 'input')
/** What a value of one field is taken for. */
const taken = (spec: object, value: unknown): unknown => validateFields(read({ a: spec }), { a: value })['a']

describe('readFieldSpecs', () => {
  it("reads the seed's, and all types in any case", () => {
    const sample = { name: { type: 'string', desc: '姓名', required: true, sample: '张三' } }
    expect(read(sample)).toEqual(sample)
    expect(read({ a: { type: 'Integer' }, b: { type: 'DATE' } })).toEqual({ a: { type: 'integer' }, b: { type: 'date' } })
    const nested = { a: { type: 'json', fields: { b: { type: 'array', columns: { c: { type: 'raw' } } } } } }
    expect(read(nested)).toEqual(nested)
    expect(read({ a: { type: 'string', more: 1 } })).toEqual({ a: { type: 'string' } })
  })

  it('refuses what is none, naming the field', () => {
    const nested = (depth: number): object => (depth === 0 ? {} : { a: { type: 'json', fields: nested(depth - 1) } })
    expect(read(nested(8))).toEqual(nested(8))
    const endless = JSON.parse('{"a":'.repeat(20_000) + '1' + '}'.repeat(20_000)) as object
    for (const [specs, field] of [
      [[], 'input'],
      [null, 'input'],
      ['x', 'input'],
      [{ a: {} }, 'input.a.type'],
      [{ a: { type: 'text' } }, 'input.a.type'],
      [{ a: 1 }, 'input.a'],
      [{ a: { type: 'string', required: 1 } }, 'input.a.required'],
      [{ a: { type: 'string', desc: 'x\0' } }, 'input.a.desc'],
      [{ a: { type: 'string', sample: { deep: ['\uD800'] } } }, 'input.a.sample'],
      [{ a: { type: 'long', sample: 2n ** 60n } }, 'input.a.sample'],
      [{ a: { type: 'json', fields: { b: { type: 'x' } } } }, 'input.a.fields.b.type'],
      [{ '': { type: 'string' } }, 'input'],
      [JSON.parse('{"__proto__":{"type":"string"}}'), 'input'],
      [{ ['x'.repeat(65)]: { type: 'string' } }, 'input'],
      [Object.fromEntries(Array.from({ length: 257 }, (_, index) => [`f${index}`, { type: 'string' }])), 'input'],
      [{ a: { type: 'string', sample: 'x'.repeat(65_536) } }, 'input'],
      [{ a: { type: 'integer', defaultsTo: 'one' } }, 'input'],
      [nested(9), 'input'],
      [endless, 'input'],
    ] as const)
      expect(() => read(specs)).toThrow(new RegExp(`^${field.replaceAll('.', '\\.')} ?`))
  })
})

describe('validateFields', () => {
  const good: Record<FieldSpec['type'], readonly unknown[]> = {
    string: ['', '张三'],
    integer: [0, -5, '12', 2n ** 63n - 1n, '-9223372036854775808'],
    long: [2 ** 53 - 1, '9223372036854775807'],
    boolean: [true, false],
    number: [0.5, -1, 2n ** 60n],
    float: [0.5, '-1.25', '3'],
    double: [1e300, '0.1'],
    date: [1527350400000, '2018-05-01', '2018-05-01 12:30:00', '2018-05-01T12:30:00.5Z', '2018-05-01T12:30:00+08:00'],
    json: [{}, { any: 'thing' }],
    array: [[], [1, 'x']],
    raw: [0, '', [], {}, false],
  }
  const bad: Record<Exclude<FieldSpec['type'], 'raw'>, readonly unknown[]> = {
    string: [1, true, {}, []],
    integer: [0.5, 2 ** 53, '1.0', '01', '', 'x', 2n ** 63n, '9223372036854775808', true, NaN],
    long: [1.5, '-9223372036854775809', {}],
    boolean: [0, 'true'],
    number: ['1', NaN, Infinity, {}],
    float: ['1e5', '1.', '.5', '', true],
    double: [Infinity, 'x'],
    date: ['2018-02-30', '2018-05-01T25:00:00', '01.05.2018', 1.5, true, '2018-05-01T12:30'],
    json: [[], 'x', 1],
    array: [{}, 'x'],
  }

  it('takes the values of each type, as they came', () => {
    for (const [type, values] of Object.entries(good)) for (const value of values) expect(taken({ type }, value)).toEqual(value)
  })

  it('refuses all others, naming the field and not the value', () => {
    for (const [type, values] of Object.entries(bad)) {
      for (const value of values) {
        let error: unknown
        try {
          taken({ type }, value)
        } catch (thrown) {
          error = thrown
        }
        expect([type, value, error]).toMatchObject([type, value, { code: 'BAD_ARGUMENT', details: { field: 'params.a' } }])
        expect((error as Error).message).toMatch(/^params\.a must be/)
      }
    }
  })

  it('names fields within fields and items', () => {
    const specs = read({
      people: { type: 'array', columns: { home: { type: 'json', fields: { zip: { type: 'integer', required: true } } } } },
    })
    expect(() => validateFields(specs, { people: [{}, { home: {} }] })).toThrow('params.people[1].home.zip is missing')
    expect(() => validateFields(specs, { people: [{ home: { zip: 'x' } }] }, 'answer')).toThrow(
      'answer.people[0].home.zip must be an integer',
    )
    expect(() => validateFields(specs, [])).toThrow('params must be an object')
  })

  it('fills in defaults, leaves out what is not asked for, and misses only what is required', () => {
    const specs = read({
      a: { type: 'string', required: true, defaultsTo: 'x' },
      b: { type: 'integer' },
      c: { type: 'boolean', defaultsTo: false },
    })
    expect(validateFields(specs, { d: 1 })).toEqual({ a: 'x', c: false })
    expect(validateFields(specs, { a: null, b: null, c: true })).toEqual({ a: 'x', c: true })
    expect(() => validateFields(read({ a: { type: 'string', required: true } }), { a: null })).toThrow('params.a is missing')
    // Not what an object inherits.
    expect(() => validateFields(read({ toString: { type: 'raw', required: true } }), {})).toThrow('params.toString is missing')
  })

  it('never lets through what its own result would not pass', () => {
    const type = fc.constantFrom(...(Object.keys(good) as FieldSpec['type'][]))
    const specs = fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), fc.record({ type, required: fc.boolean() }), { maxKeys: 5 })
    fc.assert(
      fc.property(specs, fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), fc.jsonValue()), (fields, value) => {
        let out: Record<string, unknown>
        try {
          out = validateFields(fields, value)
        } catch (error) {
          expect(error).toMatchObject({ code: 'BAD_ARGUMENT' })
          return
        }
        expect(validateFields(fields, out)).toEqual(out)
        expect(Object.keys(out).every((name) => name in fields)).toBe(true)
      }),
    )
  })
})
