import { describe, expect, it } from 'vitest'
import { utf8 } from '../../core/bytes.ts'
import { generateKey, type Key } from '../../core/crypto/key.ts'
import { personalDigest } from '../../core/crypto/signature.ts'
import {
  compareRecords,
  LONGEST_VALIDITY,
  MAX_RECORD,
  signEndpointRecord,
  verifyEndpointRecord,
  type RecordSigner,
} from './endpointRecord.ts'

const signerOf = ({ address, sign }: Key): RecordSigner => ({ address, signBytes: async (bytes) => sign(personalDigest(bytes)) })
const key = generateKey()
const signer = signerOf(key)
const now = 1_800_000_000_000
const expected = { account: key.address, chainId: 1n, now }
const content = { chainId: 1n, endpoints: ['wss://node.example/', 'ws://10.0.0.1:9000/'], sequence: 7, validUntil: now / 1000 + 3600 }
const record = (changes: Partial<typeof content> = {}, by = signer): Promise<Uint8Array> =>
  signEndpointRecord(by, { ...content, ...changes })
/** Changes fields of a signed record; the signature stays. */
const changed = async (changes: object): Promise<Uint8Array> => {
  const value = { ...(JSON.parse(new TextDecoder().decode(await record())) as object), ...changes }
  return utf8(JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))))
}

describe('an endpoint record', () => {
  it('comes back as it was signed, whichever way the account is spelt', async () => {
    const bytes = await record()
    expect(verifyEndpointRecord(bytes, expected)).toEqual({ account: key.address.toLowerCase(), ...content })
    expect(verifyEndpointRecord(bytes, { ...expected, account: key.address.toLowerCase() })).toMatchObject({ sequence: 7 })
    expect(bytes.length).toBeLessThan(600)
  })

  it.each<[string, object, string]>([
    ['another endpoint', { endpoints: ['wss://evil.example/'] }, 'BAD_SIGNATURE'],
    ['another sequence', { sequence: 8 }, 'BAD_SIGNATURE'],
    ['another end', { valid_until: content.validUntil + 1 }, 'BAD_SIGNATURE'],
    ['no endpoint', { endpoints: [] }, 'BAD_MESSAGE'],
    ['too many endpoints', { endpoints: Array.from({ length: 5 }, (_, i) => `wss://${i}.example/`) }, 'BAD_MESSAGE'],
    ['an endpoint of another kind', { endpoints: ['javascript:alert(1)'] }, 'BAD_MESSAGE'],
    ['a long endpoint', { endpoints: [`wss://${'x'.repeat(250)}/`] }, 'BAD_MESSAGE'],
    ['a fraction for a sequence', { sequence: 7.5 }, 'BAD_MESSAGE'],
    ['a sequence below zero', { sequence: -1 }, 'BAD_MESSAGE'],
    ['a sequence beyond what numbers hold', { sequence: 2 ** 53 }, 'BAD_MESSAGE'],
    ['a field more', { hint: 1 }, 'BAD_MESSAGE'],
    ['a field less', { sequence: undefined }, 'BAD_MESSAGE'],
    ['a short signature', { signature: '0x12' }, 'BAD_MESSAGE'],
    ['no signature at all', { signature: `0x${'00'.repeat(65)}` }, 'BAD_SIGNATURE'],
    ['more bytes than there may be', { hint: 'x'.repeat(MAX_RECORD) }, 'MESSAGE_TOO_LARGE'],
  ])('is refused with %s', async (_what, changes, code) => {
    const bytes = await changed(changes)
    expect(() => verifyEndpointRecord(bytes, expected)).toThrowError(expect.objectContaining({ code }) as Error)
  })

  const field = (name: string): Error => expect.objectContaining({ code: 'BAD_MESSAGE', details: { field: name } }) as Error

  it('is refused from another account, though that has signed it', async () => {
    const bytes = await record({}, signerOf(generateKey()))
    expect(() => verifyEndpointRecord(bytes, expected)).toThrowError(field('account'))
  })

  it('is refused for another chain', async () => {
    const bytes = await record({ chainId: 5n })
    expect(() => verifyEndpointRecord(bytes, expected)).toThrowError(field('chain_id'))
  })

  it('is refused once it is over, and while its end is too far', async () => {
    const end = content.validUntil * 1000
    const bytes = await record()
    expect(verifyEndpointRecord(bytes, { ...expected, now: end - 1 }).sequence).toBe(7)
    expect(() => verifyEndpointRecord(bytes, { ...expected, now: end })).toThrowError(field('valid_until'))
    expect(() => verifyEndpointRecord(bytes, { ...expected, now: end - (LONGEST_VALIDITY + 301) * 1000 })).toThrowError(field('valid_until'))
  })

  it('is refused in another spelling, and when it is no JSON', async () => {
    const text = new TextDecoder().decode(await record())
    const texts = [` ${text}`, text.replace('"sequence":7', '"sequence":7.0'), '{', 'null', '', `\ufeff${text}`]
    for (const bytes of [...texts.map(utf8), Uint8Array.of(0xff)]) {
      expect(() => verifyEndpointRecord(bytes, expected)).toThrowError(field('record'))
    }
  })

  it('is refused with bytes that are no UTF-8, though they read like what was signed', async () => {
    const bytes = await record({ endpoints: ['wss://node.example/\ufffd'] })
    expect(verifyEndpointRecord(bytes, expected).sequence).toBe(7)
    const at = bytes.indexOf(0xef)
    const forged = Uint8Array.from([...bytes.subarray(0, at), 0xff, ...bytes.subarray(at + 3)])
    expect(() => verifyEndpointRecord(forged, expected)).toThrowError(field('record'))
  })

  it('is not signed when nobody would take it', async () => {
    await expect(record({ endpoints: ['http://x/'] })).rejects.toMatchObject({ code: 'BAD_MESSAGE' })
    await expect(record({ sequence: 2 ** 53 })).rejects.toMatchObject({ code: 'BAD_MESSAGE' })
  })

  it('gives way to one with a higher sequence; of two with the same, all take the same', async () => {
    const [old, next] = [await record(), await record({ sequence: 8 })]
    const other = await record({ sequence: 8, validUntil: content.validUntil - 1 })
    expect(compareRecords(old, next)).toBeGreaterThan(0)
    expect(compareRecords(next, old)).toBeLessThan(0)
    expect(compareRecords(next, next)).toBe(0)
    expect(Math.sign(compareRecords(next, other))).toBe(-Math.sign(compareRecords(other, next)))
    expect(compareRecords(next, other)).not.toBe(0)
  })
})
