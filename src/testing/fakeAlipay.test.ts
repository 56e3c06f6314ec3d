import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { alipayGateway } from '../../test/fixtures/trade/alipayGateway.ts'
import { alipayGatewaySuite } from './alipayGatewaySuite.ts'
import { startFakeAlipay } from './fakeAlipay.ts'

alipayGatewaySuite('the gateway of the tests', alipayGateway, { describe, it, expect })

describe('startFakeAlipay', () => {
  it('answers nobody but its merchant', async () => {
    const alipay = await startFakeAlipay()
    const other = await startFakeAlipay()
    const tradeNo = alipay.pay('1', 100n)
    const signal = AbortSignal.timeout(5000)
    const merchantPrivateKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    await expect(alipayGateway({ ...alipay, merchantPrivateKey }).trade(tradeNo, { signal })).rejects.toThrow('isv.invalid-signature')
    await expect(alipayGateway({ ...alipay, appId: other.appId }).trade(tradeNo, { signal })).rejects.toThrow('isv.invalid-app-id')
    expect(await alipayGateway(alipay).trade(tradeNo, { signal })).toMatchObject({ paidFen: 100n })
    await alipay.stop()
    await other.stop()
  })

  it('takes the numbers and amounts that Alipay takes', async () => {
    const alipay = await startFakeAlipay()
    for (const outTradeNo of ['', '0x-1', 'a'.repeat(65), '量']) expect(() => alipay.pay(outTradeNo, 1n)).toThrow('out_trade_no')
    for (const fen of [0n, -1n, 10_000_000_001n]) expect(() => alipay.pay('1', fen)).toThrow('fen')
    await alipay.stop()
  })
})
