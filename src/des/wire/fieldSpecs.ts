/**
 * What a product asks and answers: the types of its fields, and whether a value has them.
 * @module
 */
import * as v from 'valibot'
import { SluiceError } from '../../core/errors.ts'
import { plainObject, readBy } from './fields.ts'
import { MAX_FIELDS, type ProductField } from './product.ts'

/** Types of fields: those of GXChain's Node client, then those that its Java and Python clients have besides. */
export const fieldTypes = [
  'string',
  'integer',
  'boolean',
  'number',
  'json',
  'array',
  'raw',
  'long',
  'float',
  'double',
  'date',
] as const

/** A field as it was published. */
export interface FieldSpec extends ProductField {
  readonly type: (typeof fieldTypes)[number]
  /** What stands for it where it is missing. */
  readonly defaultsTo?: unknown
  /** Fields of a `json`; without them it may be any object. */
  readonly fields?: FieldSpecs | undefined
  /** Fields of each item of an `array`; without them it may be any list. */
  readonly columns?: FieldSpecs | undefined
}

/** Fields by name. */
export type FieldSpecs = Readonly<Record<string, FieldSpec>>

/** Fields within fields at most. */
const MAX_DEPTH = 8
/** Each of them is an object in an object, and there is one around all. */
const MAX_LEVELS = 2 * MAX_DEPTH + 1
/** Characters of a field's name at most. */
const MAX_NAME = 64
/** Characters of all specifications of an input or output, as JSON, at most. */
const MAX_TEXT = 65_536

/** Texts that PostgreSQL can keep: no NUL, no half of a surrogate pair. */
const UNSTORABLE = /[\0\p{Surrogate}]/u

const words = v.pipe(
  v.string('must be text'),
  v.maxLength(10_000, 'must have at most 10000 characters'),
  v.check((text) => !UNSTORABLE.test(text), 'must be plain text'),
)

/** Any JSON that stays exact wherever it is read. */
const example = v.check(
  (value: unknown) => isExact(value),
  'must be JSON of plain text, with no integer beyond 2^53: write that as text',
)

const spec: v.GenericSchema<unknown, FieldSpec> = v.pipe(
  plainObject,
  v.object({
    type: v.pipe(v.string('must be text'), v.toLowerCase(), v.picklist(fieldTypes, `must be one of ${fieldTypes.join(', ')}`)),
    desc: v.exactOptional(words),
    required: v.exactOptional(v.boolean('must be true or false')),
    sample: v.exactOptional(v.pipe(v.unknown(), example)),
    defaultsTo: v.exactOptional(v.pipe(v.unknown(), example)),
    fields: v.exactOptional(v.lazy(() => specs)),
    columns: v.exactOptional(v.lazy(() => specs)),
  }),
)

const specs: v.GenericSchema<unknown, FieldSpecs> = v.pipe(
  plainObject,
  v.maxEntries(MAX_FIELDS, `must have at most ${MAX_FIELDS} fields`),
  // It would be the prototype of what is built up.
  v.check((value) => !Object.hasOwn(value, '__proto__'), 'must not have a field __proto__'),
  v.record(
    v.pipe(
      words,
      v.minLength(1, 'must have a name for each field'),
      v.maxLength(MAX_NAME, `must have names of at most ${MAX_NAME} characters`),
    ),
    spec,
  ),
)

/** Specifications of an input or output, as a product's publisher writes them. What it writes besides is left out. */
export const fieldSpecs: v.GenericSchema<unknown, FieldSpecs> = /* @__PURE__ */ v.pipe(
  v.unknown(),
  // Before anything that walks down into it.
  v.check((value) => depthOf(value) <= MAX_LEVELS, `must have at most ${MAX_DEPTH} fields within one another`),
  specs,
  v.check((value) => JSON.stringify(value).length <= MAX_TEXT, `must have at most ${MAX_TEXT} characters`),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    const flaw = flawedDefault(dataset.value, '')
    if (flaw !== undefined) addIssue({ message: `must have defaults of the types they name, unlike ${flaw}` })
  }),
)

/** Reads the specifications of an input or output, after `readJson`. @throws `BAD_MESSAGE` naming the field. */
export function readFieldSpecs(value: unknown, what: string): FieldSpecs {
  return readBy(fieldSpecs, value, what)
}

/**
 * Whether a value is what a product asks, or answers; what is missing gets its default, what is not asked for is left out.
 *
 * Integers may come as decimal text, as clients of typed languages send them; values are passed on as they came.
 * @param what names the value in errors.
 * @throws `BAD_ARGUMENT` naming the field: `params.photo.width must be an integer`.
 */
export function validateFields(specs: FieldSpecs, value: unknown, what = 'params'): Record<string, unknown> {
  if (!isObject(value)) throw wrong(what, 'must be an object')
  const out: Record<string, unknown> = {}
  for (const [name, spec] of Object.entries(specs)) {
    const field = `${what}.${name}`
    const given = Object.hasOwn(value, name) ? value[name] : undefined
    // Clients of typed languages write null for what they don't have.
    const taken = given ?? spec.defaultsTo
    if (taken === undefined || taken === null) {
      if (spec.required) throw wrong(field, 'is missing')
    } else {
      out[name] = validateField(spec, taken, field)
    }
  }
  return out
}

function validateField(spec: FieldSpec, value: unknown, field: string): unknown {
  switch (spec.type) {
    case 'string':
      if (typeof value !== 'string') throw wrong(field, 'must be text')
      return value
    case 'boolean':
      if (typeof value !== 'boolean') throw wrong(field, 'must be true or false')
      return value
    case 'integer':
    case 'long':
      if (!isInteger(value)) throw wrong(field, 'must be an integer of 64 bits')
      return value
    case 'number':
      if (!isNumber(value)) throw wrong(field, 'must be a number')
      return value
    case 'float':
    case 'double':
      if (!isNumber(value) && !(typeof value === 'string' && /^-?\d{1,40}(\.\d{1,40})?$/.test(value)))
        throw wrong(field, 'must be a number')
      return value
    case 'date':
      if (!isDate(value)) throw wrong(field, 'must be milliseconds since 1970, or a date as 2018-05-01 or 2018-05-01T12:30:00')
      return value
    case 'json':
      if (spec.fields) return validateFields(spec.fields, value, field)
      if (!isObject(value)) throw wrong(field, 'must be an object')
      return value
    case 'array': {
      if (!Array.isArray(value)) throw wrong(field, 'must be a list')
      const { columns } = spec
      return columns ? value.map((item, index) => validateFields(columns, item, `${field}[${index}]`)) : value
    }
    case 'raw':
      return value
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isNumber = (value: unknown): boolean => Number.isFinite(value) || typeof value === 'bigint'

/** A whole number within int64, bare or as text. */
function isInteger(value: unknown): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value)
  if (typeof value !== 'string' && typeof value !== 'bigint') return false
  if (typeof value === 'string' && !/^-?(0|[1-9]\d{0,18})$/.test(value)) return false
  const exact = BigInt(value)
  return BigInt.asIntN(64, exact) === exact
}

/** A date, with a time of day and a zone if need be, that there is: 31 February is none. */
function isDate(value: unknown): boolean {
  if (typeof value !== 'string') return isInteger(value)
  const parts = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)(Z|[+-]\d\d:?\d\d)?)?$/.exec(value)
  if (!parts) return false
  const [, day, time = '00:00:00'] = parts
  const at = new Date(`${day}T${time}Z`)
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(day!)
}

/** The first field whose default is of another type. */
function flawedDefault(specs: FieldSpecs, above: string): string | undefined {
  for (const [name, spec] of Object.entries(specs)) {
    const field = above + name
    if (spec.defaultsTo !== undefined && spec.defaultsTo !== null) {
      try {
        validateField(spec, spec.defaultsTo, field)
      } catch {
        return field
      }
    }
    const below = flawedDefault({ ...spec.fields, ...spec.columns }, `${field}.`)
    if (below !== undefined) return below
  }
  return undefined
}

/** How many objects and lists lie within one another; counts no further than it matters. */
function depthOf(value: unknown, level = 0): number {
  if (typeof value !== 'object' || value === null) return level
  if (level > MAX_LEVELS) return level
  return Math.max(level + 1, ...Object.values(value).map((each) => depthOf(each, level + 1)))
}

function isExact(value: unknown): boolean {
  if (typeof value === 'string') return !UNSTORABLE.test(value)
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).every(([name, each]) => isExact(name) && isExact(each))
  return typeof value === 'boolean' || value === null
}

function wrong(field: string, flaw: string): SluiceError {
  return new SluiceError('BAD_ARGUMENT', `${field} ${flaw}`, { details: { field } })
}
