import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import vectors from '../../../test/fixtures/des/vectors.json' with { type: 'json' }
import { recoverPayer, transferDigest } from '../../core/crypto/graphene/index.ts'
import { toHex } from '../../core/bytes.ts'
import {
  documentDialect,
  MAX_REQUEST_ITEMS,
  readCreated,
  readJson,
  readRequest,
  sdkDialect,
  writeCreated,
  writeJson,
  writeRequest,
  type Dialect,
  type RequestItem,
} from './index.ts'

const documents = vectors.requests[0]!
/** The documents' body with one thing changed. */
const changed = (change: (item: Record<string, unknown>, params: Record<string, unknown>) => void): unknown => {
  const body = readJson(documents.text) as Record<string, unknown>[]
  change(body[0]!, body[0]!.requestParams as Record<string, unknown>)
  return body
}
const refusal = (field: string): unknown => expect.objectContaining({ name: 'SluiceError', code: 'BAD_MESSAGE', details: { field } })

describe('readRequest', () => {
  it.each(vectors.requests)('of $client', ({ text, nonce, dialect }) => {
    const { items, dialect: read } = readRequest(readJson(text))
    expect(read).toEqual(dialect)
    expect(items[0]!.nonce).toBe(BigInt(nonce))
    const { signatures, ...params } = items[0]!.requestParams
    expect(params).toEqual({
      from: '1.2.20',
      to: '1.2.11',
      proxyAccount: '1.2.17',
      percent: 10000,
      amount: { amount: 50000n, assetId: '1.3.1' },
      memo: '68b329da9893e34099c7d8ad5cb9c940',
      expiration: 1512806319,
    })
    expect(toHex(transferDigest(params))).toBe(`0x${vectors.transferParams[0]!.digest}`)
    expect(recoverPayer({ ...params, signatures })).toBe(vectors.transferParams[0]!.publicKey)
  })

  it.each(vectors.requests)('and writeRequest answers $client in kind', ({ text, dialect }) => {
    const { items, dialect: read } = readRequest(readJson(text))
    const written = writeJson(writeRequest(items, read))
    // As the client wrote it, but for the order, the space and the alias.
    expect(readJson(written)).toEqual(readJson(text.replace('"1.1"', '"1.3.1"')))
    expect(read).toEqual(dialect)
  })

  it('takes the two spellings mixed, and both at once if they agree', () => {
    const expected = readRequest(readJson(documents.text)).items
    const mixed: unknown[] = [
      changed((_, params) => (params.proxyAccount = '1.2.17')),
      changed((_, params) => (params.expiration = 1512806319)),
      changed((_, params) => (params.expiration = '2017-12-09T07:58:39Z')),
      changed((_, params) => {
        params.percentage = params.percent
        delete params.percent
      }),
      changed((_, params) => (params.amount = { amount: '50000', assetId: '1.3.1' })),
      changed((item) => (item.nonce = '150123121123123')),
      changed((item, params) => {
        item.request_params = params
        delete item.requestParams
      }),
    ]
    for (const body of mixed) expect(readRequest(body).items).toEqual(expected)
  })

  it.each<[string, Parameters<typeof changed>[0]]>([
    ['request[0].params', (item) => (item.params = 'HUI712124DMOKF23F2G23H8FG1H8GH482GH34GH83H9KD1K0D1K0F10DQK0S0K1210E12E==')],
    ['request[0].params', (item) => (item.params = '')],
    ['request[0].params', (item) => (item.params = 'ab'.repeat(17))],
    ['request[0].params', (item) => (item.params = 'AB'.repeat(16))],
    ['request[0].params', (item) => (item.params = 'v2:abc')],
    ['request[0].params', (item) => (item.params = 'v2:')],
    ['request[0].params', (item) => delete item.params],
    ['request[0].nonce', (item) => (item.nonce = 1.5)],
    ['request[0].nonce', (item) => (item.nonce = -1)],
    ['request[0].nonce', (item) => (item.nonce = '0x10')],
    ['request[0].nonce', (item) => (item.nonce = 2 ** 53)],
    ['request[0].nonce', (item) => (item.nonce = 2n ** 64n)],
    ['request[0].nonce', (item) => (item.nonce = '')],
    ['request[0].nonce', (item) => (item.nonce = null)],
    ['request[0].extra', (item) => (item.extra = 1)],
    ['request[0].requestParams', (item) => (item.requestParams = [])],
    ['request[0].requestParams', (item) => delete item.requestParams],
    ['request[0].requestParams.from', (_, params) => (params.from = '1.3.20')],
    ['request[0].requestParams.to', (_, params) => (params.to = 11)],
    ['request[0].requestParams.proxyAccount', (_, params) => delete params.proxy_account],
    ['request[0].requestParams', (_, params) => (params.proxyAccount = '1.2.18')],
    ['request[0].requestParams.percent', (_, params) => (params.percent = 10001)],
    ['request[0].requestParams.percent', (_, params) => (params.percent = 0.5)],
    ['request[0].requestParams.percent', (_, params) => delete params.percent],
    ['request[0].requestParams.amount', (_, params) => (params.amount = 50000)],
    ['request[0].requestParams.amount.amount', (_, params) => (params.amount = { amount: 2n ** 63n, asset_id: '1.1' })],
    ['request[0].requestParams.amount.amount', (_, params) => (params.amount = { amount: '1e3', asset_id: '1.1' })],
    ['request[0].requestParams.amount.assetId', (_, params) => (params.amount = { amount: 1, asset_id: '1.2.1' })],
    ['request[0].requestParams.amount.assetId', (_, params) => (params.amount = { amount: 1 })],
    ['request[0].requestParams.memo', (_, params) => (params.memo = '信'.repeat(34))],
    ['request[0].requestParams.expiration', (_, params) => (params.expiration = 1512806319000)],
    ['request[0].requestParams.expiration', (_, params) => (params.expiration = '2017-02-31T07:58:39')],
    ['request[0].requestParams.expiration', (_, params) => (params.expiration = '2017-12-09T07:58:39+08:00')],
    ['request[0].requestParams.expiration', (_, params) => (params.expiration = '2107-12-09T07:58:39')],
    ['request[0].requestParams.expiration', (_, params) => (params.expiration = null)],
    ['request[0].requestParams.signatures', (_, params) => (params.signatures = [])],
    ['request[0].requestParams.signatures', (_, params) => (params.signatures = 'xxxx')],
    ['request[0].requestParams.signatures', (_, params) => (params.signatures = Array.from({ length: 17 }, () => '00'.repeat(65)))],
    ['request[0].requestParams.signatures[0]', (_, params) => (params.signatures = ['xxxx'])],
    ['request[0].requestParams.signatures[0]', (_, params) => (params.signatures = ['0x' + '00'.repeat(64)])],
    ['request[0].requestParams.__proto__', (_, params) => Object.defineProperty(params, '__proto__', { value: 1, enumerable: true })],
  ])('names %s', (field, change) => {
    expect(() => readRequest(changed(change))).toThrow(refusal(field))
  })

  it('refuses what is no list, empty or too long', () => {
    const item = (readJson(documents.text) as unknown[])[0]
    for (const body of [null, {}, 'x', [], Array(MAX_REQUEST_ITEMS + 1).fill(item)]) expect(() => readRequest(body)).toThrow(refusal('request'))
    expect(readRequest(Array(MAX_REQUEST_ITEMS).fill(item)).items.length).toBe(MAX_REQUEST_ITEMS)
  })

  it('says what is wrong in words, and never repeats what came', () => {
    const secret = 'a secret of the client'
    const message = (change: Parameters<typeof changed>[0]): string => {
      try {
        readRequest(changed(change))
      } catch (error) {
        return (error as Error).message
      }
      return ''
    }
    expect(message((item) => (item.params = secret))).toMatch(/^request\[0\]\.params must be sealed data/)
    expect(message((item) => delete item.params)).toBe('request[0].params is missing')
    expect(message((item) => (item.extra = secret))).toBe('request[0].extra is no field here')
    expect(message((item) => (item.requestParams = secret))).toBe('request[0].requestParams must be an object')
    expect(message((_, params) => (params.from = secret))).not.toContain(secret)
  })

  it('survives any JSON', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => {
      expect(() => readRequest([value])).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }))
    }))
  })

  it('reads what writeRequest writes, in every dialect', () => {
    const uint32 = fc.integer({ min: 0, max: 0xffff_ffff })
    const account = uint32.map((n) => `1.2.${n}` as const)
    const item: fc.Arbitrary<RequestItem> = fc.record({
      params: fc.constantFrom('ab'.repeat(16), 'v2:abcd'),
      nonce: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      requestParams: fc.record({
        from: account,
        to: account,
        proxyAccount: account,
        amount: fc.record({ amount: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), assetId: uint32.map((n) => `1.3.${n}` as const) }),
        percent: fc.integer({ min: 0, max: 10000 }),
        memo: fc.string({ maxLength: 24 }),
        expiration: uint32,
        signatures: fc.array(fc.uint8Array({ minLength: 65, maxLength: 65 }), { minLength: 1, maxLength: 2 }),
      }),
    })
    const dialect: fc.Arbitrary<Dialect> = fc.record({
      naming: fc.constantFrom('snake', 'camel'), time: fc.constantFrom('iso', 'unix'), nonce: fc.constantFrom('number', 'text'),
    })
    fc.assert(fc.property(fc.array(item, { minLength: 1, maxLength: 3 }), dialect, (items, dialect) => {
      expect(readRequest(readJson(writeJson(writeRequest(items, dialect))))).toEqual({ items, dialect })
    }))
    expect([documentDialect.naming, sdkDialect.naming]).toEqual(['snake', 'camel'])
  })
})

describe('readCreated', () => {
  it('reads either spelling of what writeCreated writes', () => {
    expect(readCreated(writeCreated('f4d6'))).toBe('f4d6')
    expect(readCreated({ requestId: 'QmX', more: 1 })).toBe('QmX')
    for (const bad of [{}, { request_id: 1 }, { request_id: '' }, { request_id: '../x' }, null]) {
      expect(() => readCreated(bad)).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }))
    }
  })
})
