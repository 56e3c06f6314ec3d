import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadGxbjs, type Gxbjs } from '../../../../test/fixtures/des/gxbjs.ts'
import vectors from '../../../../test/fixtures/des/vectors.json' with { type: 'json' }
import { fromHex, toHex } from '../../bytes.ts'
import { keyFromWif } from './key.ts'
import { instanceOf, isAccountId, isAssetId, readAssetId, type AccountId, type AssetId } from './objectId.ts'
import {
  encodeTransferParams,
  recoverPayer,
  signTransferParams,
  transferDigest,
  type SignedTransferParams,
  type TransferParams,
} from './transferParams.ts'

let gxbjs: Gxbjs
beforeAll(async () => {
  gxbjs = await loadGxbjs()
})

const hex = (bytes: Uint8Array): string => toHex(bytes).slice(2)
const bytes = (text: string): Uint8Array => fromHex(`0x${text}`)
const [, , , ...more] = vectors.transferParams
const fromVector = ({ params }: (typeof vectors.transferParams)[number]): TransferParams => ({
  from: params.from as AccountId,
  to: params.to as AccountId,
  proxyAccount: params.proxy_account as AccountId,
  amount: { amount: BigInt(params.amount.amount), assetId: params.amount.asset_id as AssetId },
  percent: params.percent,
  memo: params.memo,
  expiration: params.expiration,
})
const seed = fromVector(vectors.transferParams[0]!)
const merchant = keyFromWif(vectors.keys[0]!.wif)

describe('encodeTransferParams', () => {
  it.each(vectors.transferParams)('$what', (vector) => {
    const params = fromVector(vector)
    expect(hex(encodeTransferParams(params))).toBe(vector.binary)
    expect(hex(transferDigest(params))).toBe(vector.digest)
    expect(hex(encodeTransferParams(params, [bytes(vector.signature)]))).toBe(vector.signedBinary)
    expect(recoverPayer({ ...params, signatures: [bytes(vector.signature)] })).toBe(vector.publicKey)
  })

  it("has the bytes and the digest of GXChain's example", () => {
    const memo = Buffer.from(seed.memo).toString('hex')
    expect(hex(encodeTransferParams(seed))).toBe(`140b1150c300000000000001102720${memo}af972b5a00`)
    expect(hex(transferDigest(seed))).toMatch(/^09907df2.*d8$/)
    expect(more.length).toBe(2)
  })

  it('writes what gxbjs writes', () => {
    const number = fc.integer({ min: 0, max: 0x7fff_ffff })
    fc.assert(
      fc.property(
        fc.tuple(number, number, number, number),
        fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
        fc.integer({ min: 0, max: 10_000 }),
        fc.string({ maxLength: 24, unit: 'grapheme' }).filter((text) => Buffer.byteLength(text) < 100),
        fc.integer({ min: 0, max: 0x7fff_ffff }),
        ([from, to, proxy, asset], amount, percent, memo, expiration) => {
          const ours = encodeTransferParams({
            from: `1.2.${from}`,
            to: `1.2.${to}`,
            proxyAccount: `1.2.${proxy}`,
            amount: { amount, assetId: `1.3.${asset}` },
            percent,
            memo,
            expiration,
          })
          const theirs = gxbjs.ops.signed_proxy_transfer_params.toBuffer({
            from: `1.2.${from}`,
            to: `1.2.${to}`,
            proxy_account: `1.2.${proxy}`,
            amount: { amount: amount.toString(), asset_id: `1.3.${asset}` },
            percentage: percent,
            memo,
            expiration: new Date(expiration * 1000),
            signatures: [],
          })
          expect(hex(ours)).toBe(theirs.toString('hex'))
        },
      ),
    )
  })

  it.each<[string, Partial<TransferParams>]>([
    ['from', { from: '1.3.20' as AccountId }],
    ['to', { to: '1.2.4294967296' }],
    ['proxyAccount', { proxyAccount: '1.2.-1' }],
    ['amount.amount', { amount: { amount: -1n, assetId: '1.3.1' } }],
    ['amount.amount', { amount: { amount: 2n ** 63n, assetId: '1.3.1' } }],
    ['amount.assetId', { amount: { amount: 1n, assetId: '1.1' as AssetId } }],
    ['amount.assetId', { amount: { amount: 1n, assetId: '1.2.1' as AssetId } }],
    ['percent', { percent: 10_001 }],
    ['percent', { percent: 0.5 }],
    ['memo', { memo: 'x'.repeat(100) }],
    ['memo', { memo: '信'.repeat(34) }],
    ['expiration', { expiration: 2 ** 32 }],
    ['expiration', { expiration: -1 }],
  ])('refuses a bad %s: %o', (name, change) => {
    expect(() => encodeTransferParams({ ...seed, ...change })).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT', details: { name } }))
  })

  it('refuses signatures of another length, and too many', () => {
    const bad: unknown = expect.objectContaining({ details: { name: 'signatures' } })
    expect(() => encodeTransferParams(seed, [new Uint8Array(64)])).toThrow(bad)
    expect(() => encodeTransferParams(seed, Array.from({ length: 17 }, () => new Uint8Array(65)))).toThrow(bad)
  })
})

describe('signTransferParams', () => {
  it('signs so that gxbjs finds the payer', () => {
    const signed = signTransferParams(seed, merchant)
    expect(recoverPayer(signed)).toBe(merchant.publicKey)
    const theirs = gxbjs.Signature.fromHex(hex(signed.signatures[0]!))
    const binary = Buffer.from(encodeTransferParams(seed))
    expect(theirs.verifyBuffer(binary, gxbjs.PublicKey.fromStringOrThrow(merchant.publicKey))).toBe(true)
  })

  it('covers every field', () => {
    const { signatures } = signTransferParams(seed, merchant)
    const changes: Partial<TransferParams>[] = [
      { from: '1.2.21' },
      { to: '1.2.12' },
      { proxyAccount: '1.2.18' },
      { amount: { ...seed.amount, amount: 50_001n } },
      { amount: { ...seed.amount, assetId: '1.3.2' } },
      { percent: 9999 },
      { memo: seed.memo.replace('6', '7') },
      { expiration: seed.expiration + 1 },
    ]
    for (const change of changes) expect(recoverPayer({ ...seed, ...change, signatures })).not.toBe(merchant.publicKey)
  })

  it('takes exactly one signature', () => {
    const { signatures } = signTransferParams(seed, merchant)
    const junk = new Uint8Array(65).fill(1)
    for (const wrong of [[], [junk, ...signatures], [...signatures, junk], [...signatures, ...signatures]]) {
      const params: SignedTransferParams = { ...seed, signatures: wrong }
      expect(() => recoverPayer(params)).toThrow(expect.objectContaining({ code: 'BAD_SIGNATURE', details: { name: 'signatures' } }))
    }
  })
})

describe('names', () => {
  it('are accounts and assets with numbers of 32 bits', () => {
    for (const good of ['1.2.0', '1.2.11', '1.2.4294967295']) expect(isAccountId(good)).toBe(true)
    for (const bad of ['', '1.2', '1.2.', '1.2.01', '1.2.-1', '1.2.1.1', '1.2.1 ', '1.2.1\n', '1.2.4294967296', '1.2.99999999999', '1.3.1', '1-2-1', '1.2.1e3', '1.2.١']) {
      expect(isAccountId(bad), bad).toBe(false)
    }
    expect([isAssetId('1.3.0'), isAssetId('1.2.0'), isAssetId('1.1')]).toEqual([true, false, false])
    expect([readAssetId('1.1'), readAssetId('1.3.7'), readAssetId('1.1.1'), readAssetId('GXC')]).toEqual(['1.3.1', '1.3.7', undefined, undefined])
    expect(instanceOf('1.2.17')).toBe(17)
    expect(() => instanceOf('1.4.17' as AccountId, 'proxy')).toThrow(expect.objectContaining({ details: { name: 'proxy' } }))
  })
})
