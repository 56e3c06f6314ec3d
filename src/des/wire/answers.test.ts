import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import vectors from '../../../test/fixtures/des/vectors.json' with { type: 'json' }
import { utf8 } from '../../core/bytes.ts'
import type { PublicKeyText } from '../../core/crypto/graphene/index.ts'
import {
  memoOf,
  readJson,
  readPayload,
  readProduct,
  readQuestion,
  readResult,
  readSourceData,
  sdkDialect,
  writeJson,
  writePayload,
  writeProduct,
  writeResult,
  type ProductAnswer,
  type RequestResult,
  type SourceQuestion,
} from './index.ts'

const refusal = (field: string): unknown => expect.objectContaining({ name: 'SluiceError', code: 'BAD_MESSAGE', details: { field } })
const publicKey = vectors.keys[1]!.publicKey as PublicKeyText
const sealed = vectors.ciphers[0]!.sealed

const product: ProductAnswer = {
  product: {
    productId: 1,
    productName: 'KYC认证',
    briefDesc: '123',
    categoryId: 1,
    price: { amount: 2n ** 60n, assetId: '1.3.1' },
    datasources: ['1.2.10', '1.2.12'],
    issuer: 14,
    privacy: false,
    input: { name: { type: 'string', desc: '姓名', required: true, sample: '张三' } },
    output: { result: { type: 'boolean', desc: '是否匹配', sample: true } },
  },
  des: { accountId: '1.2.17', percent: 1000 },
  onlineDatasources: [{ accountId: '1.2.10', publicKey }],
}

describe('products', () => {
  it('say accounts and assets in both spellings', () => {
    const written = readJson(writeJson(writeProduct(product)))
    expect(written).toMatchObject({
      product: { price: { amount: 2n ** 60n, assetId: '1.3.1', asset_id: '1.3.1' } },
      des: { accountId: '1.2.17', account_id: '1.2.17', percent: 1000 },
      onlineDatasources: [{ accountId: '1.2.10', account_id: '1.2.10', publicKey }],
    })
    expect(readProduct(written)).toEqual(product)
  })

  it('are read in either', () => {
    const text = writeJson(writeProduct(product))
    for (const gone of [/"(accountId|assetId)":"[^"]*",/g, /,"(account_id|asset_id)":"[^"]*"/g]) {
      const one = text.replaceAll(gone, '')
      expect(one).not.toBe(text)
      expect(readProduct(readJson(one))).toEqual(product)
    }
    // The documents' own example.
    expect(readProduct(readJson(text.replaceAll('"1.3.1"', '"1.1"'))).product.price.assetId).toBe('1.3.1')
  })

  it('may tell their version, and the suites of their data sources', () => {
    const more = {
      ...product,
      product: { ...product.product, version: 3 },
      onlineDatasources: [{ ...product.onlineDatasources[0]!, suites: [2] }],
    }
    expect(readProduct(readJson(writeJson(writeProduct(more))))).toEqual(more)
  })

  it.each<[string, (body: ReturnType<typeof writeProduct>) => void]>([
    ['answer.product.price.amount', (body) => ((body.product as { price: object }).price = { amount: 1.5, assetId: '1.3.1' })],
    ['answer.des', (body) => (body.des = { accountId: '1.2.1', account_id: '1.2.2', percent: 1 })],
    ['answer.des.percent', (body) => (body.des = { accountId: '1.2.1', percent: 10001 })],
    ['answer.onlineDatasources[0].publicKey', (body) => (body.onlineDatasources = [{ accountId: '1.2.1', publicKey: 'GXC****' }])],
    ['answer.onlineDatasources[0].publicKey', (body) => (body.onlineDatasources = [{ accountId: '1.2.1', publicKey: 'GXC1111111111111111111111111111111114T1Anm' }])],
    ['answer.product', (body) => delete body.product],
    ['answer.product.input', (body) => (body.product = { ...product.product, input: [] })],
    ['answer.product.input.name.type', (body) => (body.product = { ...product.product, input: { name: {} } })],
  ])('name %s', (field, change) => {
    const body = writeProduct(product)
    change(body)
    expect(() => readProduct(body)).toThrow(refusal(field))
  })
})

const result: RequestResult = {
  status: 'FINISHED',
  total: 2,
  datasources: [
    { status: 'SUCCESS', datasource: '1.2.11', data: sealed, nonce: 2n ** 60n, datasourcePublicKey: publicKey, txid: 'd1'.repeat(20), comment: '' },
    { status: 'NONE', datasource: '1.2.12' },
  ],
}

describe('results', () => {
  it('are read as they were written, the nonce as the client wrote its own', () => {
    expect(readResult(readJson(writeJson(writeResult(result))))).toEqual(result)
    expect(writeJson(writeResult(result))).toContain('"nonce":1152921504606846976')
    const text = writeJson(writeResult(result, { ...sdkDialect, nonce: 'text' }))
    expect(text).toContain('"nonce":"1152921504606846976"')
    expect(readResult(readJson(text))).toEqual(result)
    expect(readResult(readJson(writeJson(writeResult({ ...result, productId: 7 })))).productId).toBe(7)
  })

  it('may have null for nothing, and more than is known', () => {
    expect(readResult({ ...result, more: 1, datasources: [{ status: 'FAIL', datasource: '1.2.11', comment: '余额不足', data: null, nonce: null, txid: null }] }).datasources).toEqual([
      { status: 'FAIL', datasource: '1.2.11', comment: '余额不足' },
    ])
  })

  it.each<[string, object]>([
    ['result.status', { status: 'DONE' }],
    ['result.total', { total: -1 }],
    ['result.datasources', { datasources: {} }],
    ['result.datasources[0].status', { datasources: [{ status: 'OK', datasource: '1.2.1' }] }],
    ['result.datasources[0].datasource', { datasources: [{ status: 'NONE' }] }],
    ['result.datasources[0]', { datasources: [{ ...result.datasources[0], nonce: undefined }] }],
    ['result.datasources[0]', { datasources: [{ ...result.datasources[0], datasourcePublicKey: undefined }] }],
    ['result.datasources[0].data', { datasources: [{ ...result.datasources[0], data: 'x' }] }],
    ['result.datasources[0].txid', { datasources: [{ ...result.datasources[0], txid: 'x' }] }],
  ])('name %s', (field, change) => {
    expect(() => readResult({ ...result, ...change })).toThrow(refusal(field))
  })
})

describe('questions and answers of data sources', () => {
  const question: SourceQuestion = { params: sealed, nonce: 2n ** 63n - 1n, publicKey, productId: 1, merchantAccountId: '1.2.20' }

  it('have the five fields', () => {
    expect(readQuestion(readJson(writeJson({ ...question, extra: 1 })))).toEqual(question)
    for (const name of Object.keys(question)) {
      expect(() => readQuestion({ ...question, [name]: {} })).toThrow(refusal(`question.${name}`))
    }
  })

  it('are read in the two forms, nothing being 404, false or empty', () => {
    expect(readSourceData(200, { data: sealed })).toEqual({ data: sealed })
    expect(readSourceData(200, { data: sealed, nonce: 5 })).toEqual({ data: sealed, nonce: 5n })
    expect(readSourceData(200, { success: true, data: sealed, nonce: '7', more: 1 })).toEqual({ data: sealed, nonce: 7n })
    for (const nothing of [{ success: false, data: sealed }, { success: true }, { data: '' }, { data: null }, {}]) {
      expect(readSourceData(200, nothing)).toBe(undefined)
    }
    expect(readSourceData(404, undefined)).toBe(undefined)
  })

  it('are refused otherwise', () => {
    expect(() => readSourceData(500, { data: sealed })).toThrow(refusal('answer.status'))
    expect(() => readSourceData(200, { data: 'plain' })).toThrow(refusal('answer.data'))
    expect(() => readSourceData(200, { data: sealed, nonce: 1.5 })).toThrow(refusal('answer.nonce'))
    expect(() => readSourceData(200, { success: 'no', data: sealed })).toThrow(refusal('answer.success'))
    expect(() => readSourceData(200, null)).toThrow(refusal('answer'))
  })
})

describe('payloads', () => {
  it('are opened with the memo of their very bytes', () => {
    const bytes = writePayload({ params: { name: '张三', id: 9007199254740993n }, timestamp: 1512806319000 })
    expect(readPayload(bytes, memoOf(bytes))).toEqual({ params: { name: '张三', id: 9007199254740993n }, timestamp: 1512806319000 })
    expect(readPayload(bytes, `memo ${memoOf(bytes)}`).timestamp).toBe(1512806319000)
    expect(() => readPayload(utf8(`${new TextDecoder().decode(bytes)} `), memoOf(bytes))).toThrow(refusal('requestParams.memo'))
    // RFC 1321, A.5.
    expect(memoOf(utf8('message digest'))).toBe('f96b697d7cb7938d525a2f31aaf161d0')
  })

  it('of one question are never the same, lest the memo tells what is asked', () => {
    const memos = [1, 2].map(() => memoOf(writePayload({ params: { id: 1 }, timestamp: 1 })))
    expect(memos[0]).not.toBe(memos[1])
  })

  it('are not held against a memo that an older server does not send', () => {
    expect(readPayload(writePayload({ params: {}, timestamp: 1512806319000 }), undefined).timestamp).toBe(1512806319000)
  })

  it('take seconds, and spaces as Python writes them', () => {
    const bytes = utf8('{"params": {"a": 1}, "timestamp": 1512806319}')
    expect(readPayload(bytes, memoOf(bytes))).toEqual({ params: { a: 1 }, timestamp: 1512806319000 })
  })

  it('are refused as anything else', () => {
    const cases: [Uint8Array, unknown][] = [
      [utf8('{"params":[],"timestamp":1}'), refusal('input.params')],
      [utf8('{"params":{}}'), refusal('input.timestamp')],
      [utf8('{"params":{},"timestamp":"x"}'), refusal('input.timestamp')],
      [Uint8Array.of(0xff), refusal('input')],
      [utf8('{'), expect.objectContaining({ code: 'BAD_MESSAGE' })],
    ]
    for (const [bytes, refused] of cases) expect(() => readPayload(bytes, memoOf(bytes))).toThrow(refused)
  })
})

it('all readers survive any JSON', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const read of [readProduct, readResult, readQuestion, (each: unknown) => readSourceData(200, each)]) {
        try {
          read(value)
        } catch (error) {
          expect(error).toEqual(expect.objectContaining({ name: 'SluiceError', code: 'BAD_MESSAGE' }))
        }
      }
    }),
  )
})
