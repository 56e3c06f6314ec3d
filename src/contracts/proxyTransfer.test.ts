import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { concatBytes, fromHex, toHex } from '../core/bytes.ts'
import { throwRevert } from '../core/chain/revert.ts'
import {
  encodeTransferParams,
  grapheneKey,
  instanceOf,
  seedSecret,
  signTransferParams,
  transferDigest,
  type AccountId,
  type AssetId,
  type SignedTransferParams,
  type TransferParams,
} from '../core/crypto/graphene/index.ts'
import { startDevnet, type Devnet, type DevnetExchange } from '../testing/devnet.ts'
import { encodeTransfer, encodeTransfers, proxyTransferContract, proxyTransferInterface } from './proxyTransfer.ts'
import type { ProxyTransfer } from './generated/types/ProxyTransfer.ts'

interface Vector {
  readonly what: string
  readonly params: {
    readonly from: AccountId
    readonly to: AccountId
    readonly proxy_account: AccountId
    readonly percent: number
    readonly amount: { readonly amount: string; readonly asset_id: AssetId }
    readonly memo: string
    readonly expiration: number
  }
  readonly binary: string
  readonly digest: string
  readonly signature: string
}
const vectors = JSON.parse(readFileSync(new URL('../../test/fixtures/des/vectors.json', import.meta.url), 'utf8')) as {
  readonly transferParams: readonly Vector[]
}

/** 2017, where the vectors of GXChain's own clients are good. */
const NOW = 1_512_806_319 - 600
const CID = 'QmbTuAu2zM53Rj8rk8J2o7mCzHJr6vf8WdjYyiq5SNaDBF'
const secrets = Array.from({ length: 20 }, (_, i) => seedSecret(i === 19 ? 'merchant' : `account ${i + 1}`))
const keys = secrets.map(grapheneKey)
/** Accounts by their numbers: those of the documents. */
const [MERCHANT, SOURCE, DES] = [20, 11, 17]

let devnet: Devnet
let exchange: DevnetExchange
let contract: ProxyTransfer

beforeAll(async () => {
  devnet = await startDevnet({ args: ['--timestamp', String(NOW)] })
  exchange = await devnet.deployExchange({
    accounts: secrets.map((secret, i) => ({ secret, deposit: i === MERCHANT - 1 ? 10n ** 18n : 0n })),
  })
  contract = proxyTransferContract(exchange.proxyTransfer, exchange.accounts[DES - 1]!.wallet)
}, 60_000)
afterAll(() => devnet.stop())

const fromVector = ({ params: { amount, proxy_account: proxyAccount, ...rest } }: Vector): TransferParams => ({
  ...rest,
  proxyAccount,
  amount: { amount: BigInt(amount.amount), assetId: amount.asset_id },
})

let made = 0
const terms = (changes: Partial<TransferParams> = {}): TransferParams => ({
  from: '1.2.20',
  to: '1.2.11',
  proxyAccount: '1.2.17',
  amount: { amount: 5000n, assetId: '1.3.1' },
  percent: 1000,
  memo: `memo ${++made}`,
  expiration: NOW + 3600,
  ...changes,
})
const signed = (params: TransferParams, who = MERCHANT): SignedTransferParams => signTransferParams(params, keys[who - 1]!)
const balance = (account: number): Promise<bigint> => contract.balanceOf(account, 1)
/** What becomes of a transfer: undefined if it is carried out. */
const carryOut = (transfer: Uint8Array): Promise<void> =>
  contract
    .proxyTransfer(transfer)
    .then(async (sent) => void (await sent.wait()))
    .catch((error: unknown) => throwRevert(error, [proxyTransferInterface]))

describe('the binary form', () => {
  it.each(vectors.transferParams)('of a real client: $what', async (vector) => {
    const read = await contract.read(`0x${vector.binary}`)
    const params = fromVector(vector)
    expect(read.digest).toBe(`0x${vector.digest}`)
    expect([read.from, read.to, read.proxyAccount, read.asset].map(Number)).toEqual(
      [params.from, params.to, params.proxyAccount, params.amount.assetId].map((id) => instanceOf(id)),
    )
    expect([read.amount, Number(read.percentage), Number(read.expiration)]).toEqual([
      params.amount.amount,
      params.percent,
      params.expiration,
    ])
  })

  it('is what TypeScript writes, whatever the numbers', async () => {
    const number = fc.integer({ min: 0, max: 32 }).chain((bits) => fc.integer({ min: 0, max: 2 ** bits - 1 }))
    const account = number.map((n): AccountId => `1.2.${n}`)
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          from: account,
          to: account,
          proxyAccount: account,
          amount: fc.record({ amount: fc.bigInt(0n, 2n ** 63n - 1n), assetId: number.map((n): AssetId => `1.3.${n}`) }),
          percent: fc.integer({ min: 0, max: 10_000 }),
          memo: fc.string({ unit: 'grapheme', maxLength: 99 }).filter((text) => new TextEncoder().encode(text).length < 100),
          expiration: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        }),
        async (params) => {
          const read = await contract.read(encodeTransferParams(params))
          expect(read.digest).toBe(toHex(transferDigest(params)))
          expect(read.amount).toBe(params.amount.amount)
        },
      ),
      { numRuns: 100 },
    )
  })
})

describe('an authorisation', () => {
  it('of a real client is carried out', async () => {
    const [vector] = vectors.transferParams
    const params = { ...fromVector(vector!), signatures: [fromHex(`0x${vector!.signature}`)] }
    await carryOut(encodeTransfer({ params, proxyMemo: CID }))
    expect(await balance(DES)).toBe(50_000n) // the documents' example gives all to the proxy
    expect(await contract.carriedOut(`0x${vector!.digest}`)).toBe(true)
  })

  it('is carried out once, whatever else comes along', async () => {
    const params = signed(terms())
    const before = await balance(SOURCE)
    await carryOut(encodeTransfer({ params, proxyMemo: CID }))
    expect((await balance(SOURCE)) - before).toBe(4500n)
    const again = { code: 'CARRIED_OUT_ALREADY', details: { digest: toHex(transferDigest(params)) } }
    await expect(carryOut(encodeTransfer({ params, proxyMemo: 'another' }))).rejects.toMatchObject(again)
    // gxb-core keys replays on the first signature: [junk, real] passed there. Here there is one, and it doesn't matter.
    expect(() =>
      encodeTransfer({ params: { ...params, signatures: [new Uint8Array(65), params.signatures[0]!] }, proxyMemo: CID }),
    ).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
    const binary = encodeTransferParams(params)
    const junk = concatBytes(Uint8Array.of(binary.length), binary, new Uint8Array(65).fill(31), Uint8Array.of(1, 65))
    await expect(carryOut(concatBytes(junk.subarray(0, -2), params.signatures[0]!, Uint8Array.of(1, 65)))).rejects.toMatchObject({
      code: 'TRANSFERS_MALFORMED',
    })
    // Two listed in the binary form: that isn't what was signed.
    const listed = encodeTransferParams(params, [new Uint8Array(65), params.signatures[0]!])
    await expect(
      carryOut(concatBytes(Uint8Array.of(listed.length), listed, params.signatures[0]!, Uint8Array.of(1, 65))),
    ).rejects.toMatchObject({ code: 'PARAMS_MALFORMED' })
  })

  it.each<[string, Partial<TransferParams>]>([
    ['from', { from: '1.2.1' }],
    ['to', { to: '1.2.12' }],
    ['amount', { amount: { amount: 5001n, assetId: '1.3.1' } }],
    ['percent', { percent: 1001 }],
    ['memo', { memo: 'memo' }],
    ['expiration', { expiration: NOW + 3601 }],
  ])('with another %s than was signed is refused', async (_, change) => {
    const params = signed(terms())
    const before = await balance(MERCHANT)
    await expect(carryOut(encodeTransfer({ params: { ...params, ...change }, proxyMemo: CID }))).rejects.toMatchObject({
      code: 'NOT_SIGNED_BY_PAYER',
    })
    expect(await balance(MERCHANT)).toBe(before)
    await carryOut(encodeTransfer({ params, proxyMemo: CID }))
  })

  it('for another proxy, or of another asset, is refused', async () => {
    const params = signed(terms())
    const changed = (change: Partial<TransferParams>) =>
      carryOut(encodeTransfer({ params: { ...params, ...change }, proxyMemo: CID }))
    await expect(changed({ proxyAccount: '1.2.16' })).rejects.toMatchObject({ code: 'NOT_THE_PROXY' })
    await expect(changed({ amount: { amount: 5000n, assetId: '1.3.2' } })).rejects.toMatchObject({ code: 'NOT_SIGNED_BY_PAYER' })
  })

  it('is refused with any wrong first byte of the signature, and never by a panic', async () => {
    const params = signed(terms())
    const good = params.signatures[0]![0]!
    for (const head of [0, 1, 3, 4, 26, 27, 28, 30, 31, 32, 33, 34, 255].filter((byte) => byte !== good)) {
      const signature = params.signatures[0]!.slice()
      signature[0] = head
      const transfer = encodeTransfer({ params: { ...params, signatures: [signature] }, proxyMemo: CID })
      await expect(carryOut(transfer)).rejects.toMatchObject({ code: 'NOT_SIGNED_BY_PAYER' })
    }
  })
})

it('a batch carries out what can be, and names the rest', async () => {
  const all = Array.from({ length: 50 }, (_, i) => signed(terms(), i === 31 ? SOURCE : MERCHANT))
  const receipt = await (await contract.proxyTransfers(encodeTransfers(all.map((params) => ({ params, proxyMemo: CID }))))).wait()
  const logs = receipt!.logs.map((log) => proxyTransferInterface.parseLog(log)!)
  expect(logs.map(({ args }) => args['digest'] as unknown)).toEqual(all.map((params) => toHex(transferDigest(params))))
  expect(logs.flatMap(({ name }, i) => (name === 'ProxyTransferred' ? [] : [i]))).toEqual([31])
  expect(logs[31]!.args['reason']).toBe(proxyTransferInterface.getError('NotSignedByPayer')!.selector)
  expect(logs[0]!.args['proxyMemo']).toBe(`0x${Buffer.from(CID).toString('hex')}`)
})

describe('encodeTransfer', () => {
  it('refuses a proxy memo that the contract would refuse', () => {
    const params = signed(terms())
    for (const proxyMemo of ['', 'x'.repeat(100), '公'.repeat(34)]) {
      expect(() => encodeTransfer({ params, proxyMemo })).toThrow(expect.objectContaining({ details: { name: 'proxyMemo' } }))
    }
    expect(encodeTransfer({ params, proxyMemo: '公'.repeat(33) })).toHaveLength(1 + encodeTransferParams(params).length + 66 + 99)
  })
})
