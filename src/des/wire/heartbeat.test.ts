import { describe, expect, it } from 'vitest'
import vectors from '../../../test/fixtures/des/vectors.json' with { type: 'json' }
import { keyFromWif } from '../../core/crypto/graphene/index.ts'
import { heartbeatText, isTimely, MAX_PRODUCTS, readHeartbeat, readJson, verifyHeartbeat, writeHeartbeat, writeJson, type HeartbeatForm } from './index.ts'

const key = keyFromWif(vectors.keys[1]!.wif)
const [account, products, , queryUrl] = vectors.heartbeats
const refusal = (field: string): unknown => expect.objectContaining({ name: 'SluiceError', code: 'BAD_MESSAGE', details: { field } })
const badSignature: unknown = expect.objectContaining({ name: 'SluiceError', code: 'BAD_SIGNATURE' })

describe('heartbeats', () => {
  it.each(vectors.heartbeats)('$text', ({ form, text, body, publicKey }) => {
    const heartbeat = readHeartbeat(body)
    expect(heartbeatText(heartbeat, form as HeartbeatForm)).toBe(text)
    expect(verifyHeartbeat(heartbeat, publicKey)).toBe(form)
  })

  it('are refused with anything changed that was signed', () => {
    const swaps: [typeof account, object][] = [
      [queryUrl, { queryUrl: 'https://evil.example/' }],
      [queryUrl, { products: [1, 2, 3] }],
      [queryUrl, { timestamp: 1508911024802 }],
      [queryUrl, { account: '1.2.12' }],
      [queryUrl, { queryUrl: undefined }],
      [products, { products: [1] }],
      [products, { timestamp: 1508911024802 }],
      [account, { account: '1.2.12' }],
      // An address that nobody signed.
      [account, { queryUrl: 'https://evil.example/' }],
      [products, { queryUrl: 'https://evil.example/' }],
    ]
    for (const [heartbeat, swap] of swaps) {
      const swapped = readHeartbeat({ ...heartbeat!.body, ...swap })
      expect(() => verifyHeartbeat(swapped, key.publicKey), JSON.stringify(swap)).toThrow(badSignature)
    }
    expect(() => verifyHeartbeat(readHeartbeat(account!.body), vectors.keys[0]!.publicKey)).toThrow(badSignature)
  })

  it('are written as they are read', () => {
    for (const heartbeat of [
      { account: '1.2.11' as const, products: [3], timestamp: 1508911024801, queryUrl: 'http://a.example:1/x?y=1' },
      { account: '1.2.11' as const, products: [], timestamp: 1508911024801 },
    ]) {
      const read = readHeartbeat(readJson(writeJson(writeHeartbeat(heartbeat, key))))
      expect(read).toMatchObject(heartbeat)
      expect(verifyHeartbeat(read, key.publicKey)).toBe('queryUrl' in heartbeat ? 'queryUrl' : 'products')
    }
  })

  it('tell suites signed, and with an address only', () => {
    const heartbeat = { account: '1.2.11' as const, products: [1, 2], timestamp: 1508911024801, queryUrl: 'http://a.example/', suites: [2] }
    const written = writeHeartbeat(heartbeat, key)
    expect(heartbeatText(heartbeat, 'suites')).toBe('1.2.11|[1,2]|http://a.example/|1508911024801|[2]')
    expect(verifyHeartbeat(readHeartbeat(written), key.publicKey)).toBe('suites')
    const { suites: _, ...without } = writeHeartbeat({ ...heartbeat, suites: undefined }, key)
    const unsigned = [...[[], [2, 3], null].map((suites) => ({ ...written, suites })), { ...without, suites: [2] }]
    for (const swapped of unsigned) {
      expect(() => verifyHeartbeat(readHeartbeat(swapped), key.publicKey), JSON.stringify(swapped)).toThrow(badSignature)
    }
    expect(() => readHeartbeat({ ...written, queryUrl: undefined })).toThrow(refusal('heartbeat'))
    expect(() => readHeartbeat({ ...written, suites: [0] })).toThrow(refusal('heartbeat.suites[0]'))
    expect(() => readHeartbeat({ ...written, suites: Array(9).fill(2) })).toThrow(refusal('heartbeat.suites'))
  })

  it('count from 3 s ago to 3 s and the skew ahead, in milliseconds and in seconds', () => {
    const now = 1508911024000
    const at = (timestamp: number, skew?: number): boolean => isTimely({ account: '1.2.11', products: [], timestamp }, now, skew)
    expect([at(now - 3001), at(now - 3000), at(now + 3000), at(now + 3001)]).toEqual([false, true, true, false])
    expect([at(now + 3001, 1), at(now + 3002, 1), at(now - 3001, 1)]).toEqual([true, false, false])
    expect([at(1508911020), at(1508911021), at(1508911027), at(1508911028)]).toEqual([false, true, true, false])
    expect(at(15089110248010)).toBe(false)
  })

  it.each<[string, object]>([
    ['heartbeat.account', { account: '1.3.11' }],
    ['heartbeat.products', { products: 1 }],
    ['heartbeat.products', { products: Array(MAX_PRODUCTS + 1).fill(1) }],
    ['heartbeat.products[1]', { products: [1, -2] }],
    ['heartbeat.products[0]', { products: [1.5] }],
    ['heartbeat.timestamp', { timestamp: 'now' }],
    ['heartbeat.timestamp', { timestamp: 0 }],
    ['heartbeat.queryUrl', { queryUrl: 'ftp://a.example' }],
    ['heartbeat.queryUrl', { queryUrl: 'javascript:alert(1)' }],
    ['heartbeat.queryUrl', { queryUrl: 'http://' }],
    ['heartbeat.queryUrl', { queryUrl: 'https://a.example/' + 'x'.repeat(2048) }],
    ['heartbeat.signature', { signature: 'ff' }],
    ['heartbeat.signature', { signature: undefined }],
    ['heartbeat.more', { more: 1 }],
  ])('names %s', (field, change) => {
    expect(() => readHeartbeat({ ...account!.body, ...change })).toThrow(refusal(field))
  })
})
