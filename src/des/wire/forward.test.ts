import { describe, expect, it } from 'vitest'
import vectors from '../../../test/fixtures/des/vectors.json' with { type: 'json' }
import { toHex, utf8 } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { keyFromWif, signTransferParams, transferDigest, type PublicKeyText } from '../../core/crypto/graphene/index.ts'
import {
  FORWARD_SIGNATURE, FORWARD_WINDOW, forwardText, isForward, readForward, readJson, readQuestion, requestIdOf, verifyForward,
  writeForward, writeJson, type Forward,
} from './index.ts'

const [merchant, des] = [keyFromWif(vectors.keys[0]!.wif), keyFromWif(vectors.keys[2]!.wif)]
const now = 1512806000000
const forward: Forward = {
  params: vectors.ciphers[2]!.sealed,
  nonce: 2n ** 63n - 1n,
  publicKey: merchant.publicKey,
  productId: 1,
  merchantAccountId: '1.2.20',
  requestId: 'ab12',
  requestParams: signTransferParams({
    from: '1.2.20', to: '1.2.11', proxyAccount: '1.2.17', percent: 1000, amount: { amount: 2n ** 60n, assetId: '1.3.1' }, memo: 'm', expiration: 1512806319,
  }, merchant),
  timestamp: now,
}
const { body, headers } = writeForward(forward, des)
const header = headers[FORWARD_SIGNATURE]!
const badSignature: unknown = expect.objectContaining({ name: 'SluiceError', code: 'BAD_SIGNATURE' })

describe('forwards', () => {
  it('are read as they were written, and are questions to who knows no more', () => {
    const value = readJson(writeJson(body))
    const read = readForward(value)
    expect(read).toEqual(forward)
    expect(isForward(read)).toBe(true)
    expect(Object.keys(readQuestion(value)).sort()).toEqual(['merchantAccountId', 'nonce', 'params', 'productId', 'publicKey'])
    verifyForward(forward, header, des.publicKey, now)
  })

  it('are questions alone if a term is missing', () => {
    for (const gone of ['requestId', 'requestParams', 'timestamp']) {
      const read = readForward({ ...body, [gone]: undefined })
      expect(isForward(read)).toBe(false)
      expect(read).toEqual(readQuestion(body))
    }
  })

  it('are signed over the text that is theirs', () => {
    const digest = toHex(engine().sha256(utf8(forward.params))).slice(2)
    expect(forwardText(forward)).toBe(`ab12|1|${merchant.publicKey}|9223372036854775807|${digest}|1512806000000`)
  })

  it('are refused with anything changed that was signed, by anybody else, and at another time', () => {
    const changes: Partial<Forward>[] = [
      { requestId: 'ab13' }, { productId: 2 }, { publicKey: vectors.keys[1]!.publicKey as PublicKeyText }, { nonce: 1n },
      { params: vectors.ciphers[1]!.sealed }, { timestamp: now + 1 },
    ]
    for (const change of changes) {
      const check = (): void => verifyForward({ ...forward, ...change }, header, des.publicKey, now)
      expect(check, Object.keys(change)[0]).toThrow(badSignature)
    }
    expect(() => verifyForward(forward, header, merchant.publicKey, now)).toThrow(badSignature)
    for (const bad of [null, '', 'xx', header.slice(2)]) expect(() => verifyForward(forward, bad, des.publicKey, now)).toThrow(badSignature)
    for (const at of [now - FORWARD_WINDOW, now + FORWARD_WINDOW]) verifyForward(forward, header, des.publicKey, at)
    for (const at of [now - FORWARD_WINDOW - 1, now + FORWARD_WINDOW + 1]) {
      expect(() => verifyForward(forward, header, des.publicKey, at)).toThrow(badSignature)
    }
  })

  it('name the field that is wrong', () => {
    for (const [field, change] of [
      ['question.requestId', { requestId: '../x' }],
      ['question.requestParams.to', { requestParams: { ...(body.requestParams as object), to: 11 } }],
      ['question.timestamp', { timestamp: 'now' }],
      ['question.nonce', { nonce: null }],
    ] as const) {
      expect(() => readForward({ ...body, ...change })).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE', details: { field } }))
    }
  })
})

it('a request is named by the digests of its authorisations', () => {
  const digests = vectors.transferParams.slice(0, 2).map(({ digest }) => digest)
  expect(requestIdOf([toHex(transferDigest(forward.requestParams)).slice(2)])).toMatch(/^[0-9a-f]{64}$/)
  expect(requestIdOf(digests)).toBe(toHex(engine().sha256(Buffer.from(digests.join(''), 'hex'))).slice(2))
})
