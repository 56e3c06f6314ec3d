/**
 * A product while somebody fills in its form, and what the market takes.
 * @module
 */
import type { FieldSpec, FieldSpecs, NewProduct, ProductDetails } from 'sluice-sdk/des'
import { sampleText } from '../parts/FieldTable.tsx'
import { amountOf, decimalOf } from './format.ts'
import type { Texts } from './texts.ts'

/** Types of a field, the usual ones first. */
export const FIELD_TYPES = [
  'string',
  'integer',
  'number',
  'boolean',
  'date',
  'json',
  'array',
  'long',
  'float',
  'double',
  'raw',
] as const satisfies readonly FieldSpec['type'][]
/** Bytes of a logo at most, as the exchange takes it. */
export const MAX_LOGO = 256 * 1024

/** A field in the form. */
export interface DraftField {
  readonly key: number
  readonly name: string
  readonly type: FieldSpec['type']
  readonly desc: string
  readonly required: boolean
  readonly sample: string
  /** What the form doesn't show stays as it is. */
  readonly rest: Pick<FieldSpec, 'defaultsTo' | 'fields' | 'columns'>
}

/** A form. */
export interface Draft {
  readonly productName: string
  readonly briefDesc: string
  readonly categoryId: number
  readonly shareStatus: 0 | 1
  readonly price: string
  readonly threshold: string
  readonly privacy: boolean
  readonly input: readonly DraftField[]
  readonly output: readonly DraftField[]
  /** A data URL that was chosen; empty text takes the logo away; undefined leaves it as it is. */
  readonly logo: string | undefined
}

/** What is wrong, by the name of the control: `price`, `input.3.name`. */
export type Flaws = Readonly<Record<string, string>>

let keys = 0

/** A field with nothing in it. */
export function emptyField(): DraftField {
  return { key: keys++, name: '', type: 'string', desc: '', required: true, sample: '', rest: {} }
}

/** A form with nothing in it, or with a product that is to be changed. */
export function draftOf(product: ProductDetails | undefined): Draft {
  if (!product) {
    const fields = { input: [emptyField()], output: [emptyField()] }
    return {
      productName: '',
      briefDesc: '',
      categoryId: 0,
      shareStatus: 0,
      price: '',
      threshold: '70',
      privacy: false,
      logo: undefined,
      ...fields,
    }
  }
  const { productName, briefDesc = '', categoryId, shareStatus = 0, price, privacy, voteThreshold = 1 } = product
  const fieldsOf = (specs: FieldSpecs): DraftField[] =>
    Object.entries(specs).map(([name, { type, desc = '', required = false, sample, ...rest }]) => ({
      key: keys++,
      name,
      type,
      desc,
      required,
      sample: sampleText(sample),
      rest,
    }))
  return {
    productName,
    briefDesc,
    categoryId,
    shareStatus,
    price: decimalOf(price.amount),
    threshold: String(Math.round(voteThreshold * 10_000) / 100),
    privacy,
    input: fieldsOf(product.input),
    output: fieldsOf(product.output),
    logo: undefined,
  }
}

/** Reads a form: the product, or what is wrong with it. */
export function readDraft(draft: Draft, texts: Texts['form']): { product: NewProduct; flaws?: undefined } | { flaws: Flaws } {
  const flaws: Record<string, string> = {}
  if (draft.productName.trim() === '') flaws['productName'] = texts.needed
  if (draft.categoryId === 0) flaws['categoryId'] = texts.needed
  const amount = amountOf(draft.price)
  if (amount === undefined) flaws['price'] = draft.price.trim() === '' ? texts.needed : texts.wrongPrice
  const percent = /^\d{1,3}(\.\d{1,2})?$/.test(draft.threshold.trim()) ? Number(draft.threshold) : 0
  if (percent < 1 || percent > 100) flaws['threshold'] = texts.wrongThreshold

  const specsOf = (list: 'input' | 'output'): FieldSpecs => {
    const specs: Record<string, FieldSpec> = {}
    for (const { key, name, type, desc, required, sample, rest } of draft[list]) {
      if (name.trim() === '') flaws[`${list}.${key}.name`] = texts.needed
      else if (Object.hasOwn(specs, name.trim())) flaws[`${list}.${key}.name`] = texts.sameName
      const read = readSample(type, sample)
      if (read === WRONG) flaws[`${list}.${key}.sample`] = texts.wrongSample(type)
      specs[name.trim()] = {
        type,
        required,
        ...(desc.trim() !== '' && { desc: desc.trim() }),
        ...(read !== undefined && read !== WRONG && { sample: read }),
        ...rest,
      }
    }
    return specs
  }
  const [input, output] = [specsOf('input'), specsOf('output')]
  if (Object.keys(flaws).length > 0) return { flaws }
  const { productName, briefDesc, categoryId, shareStatus, privacy, logo } = draft
  return {
    product: {
      productName: productName.trim(),
      briefDesc: briefDesc.trim(),
      categoryId,
      shareStatus,
      voteThreshold: Math.round(percent * 100) / 10_000,
      price: { amount: amount!, assetId: '1.3.1' },
      privacy,
      input,
      output,
      ...(logo !== undefined && { logoImgBase64: logo }),
    },
  }
}

const WRONG = Symbol('not of its type')

/** A sample as its type has it; undefined for none. */
function readSample(type: FieldSpec['type'], text: string): unknown {
  const sample = text.trim()
  if (sample === '') return undefined
  switch (type) {
    case 'boolean':
      return sample === 'true' || (sample === 'false' ? false : WRONG)
    case 'integer':
    case 'long':
      if (!/^-?\d{1,19}$/.test(sample)) return WRONG
      // Beyond what a number holds exactly, it is sent as text.
      return Number.isSafeInteger(Number(sample)) ? Number(sample) : sample
    case 'number':
    case 'float':
    case 'double':
      return /^-?\d+(\.\d+)?$/.test(sample) ? Number(sample) : WRONG
    case 'json':
    case 'array': {
      const value = parsed(sample)
      return typeof value === 'object' && value !== null && Array.isArray(value) === (type === 'array') ? value : WRONG
    }
    case 'string':
    case 'date':
    case 'raw':
      return text
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
