import type { ErrorCode } from '../core/errors.ts'
import type { AlipayGateway } from '../payments/alipay.ts'
import { startFakeAlipay, type AlipayFault, type FakeAlipay } from './fakeAlipay.ts'
import { assertSuite, codeOf, type TestRunner } from './suite.ts'

/**
 * Tests that a line to Alipay keeps the promises of {@link AlipayGateway}, against a stand-in that signs as Alipay does.
 * @param open makes a gateway for the merchant of the stand-in.
 * @example
 * ```ts
 * import { describe, expect, it } from 'vitest'
 * import { alipayGatewaySuite } from 'sluice-sdk/testing'
 *
 * alipayGatewaySuite('mine', ({ url, appId, merchantPrivateKey, alipayPublicKey }) =>
 *   createMyGateway({ url, appId, merchantPrivateKey, alipayPublicKey }), { describe, it, expect })
 * ```
 */
export function alipayGatewaySuite(
  name: string,
  open: (alipay: FakeAlipay) => AlipayGateway,
  runner: TestRunner,
): void {
  assertSuite(name, open, runner)
  const { describe, it, expect } = runner
  const test = (what: string, body: (gateway: AlipayGateway, alipay: FakeAlipay) => Promise<void>): unknown =>
    it(what, async () => {
      const alipay = await startFakeAlipay()
      try {
        await body(open(alipay), alipay)
      } finally {
        await alipay.stop()
      }
    })
  const { signal } = new AbortController()
  const order = 'f0'.repeat(32)

  describe(`${name} as a gateway to Alipay`, () => {
    test('tells who paid what, to the fen', async (gateway, alipay) => {
      for (const paidFen of [1n, 10n, 650n, 10_000_000_000n]) {
        const tradeNo = alipay.pay(order, paidFen)
        expect(await gateway.trade(tradeNo, { signal })).toEqual({ tradeNo, outTradeNo: order, paidFen, status: 'TRADE_SUCCESS' })
      }
    })

    test('counts nothing as paid in a trade that waits for its payment or was closed', async (gateway, alipay) => {
      const tradeNo = alipay.pay(order, 650n, 'WAIT_BUYER_PAY')
      for (const status of ['WAIT_BUYER_PAY', 'TRADE_CLOSED']) {
        alipay.setStatus(tradeNo, status)
        expect(await gateway.trade(tradeNo, { signal })).toEqual({ tradeNo, outTradeNo: order, paidFen: 0n, status })
      }
      alipay.setStatus(tradeNo, 'TRADE_FINISHED')
      expect((await gateway.trade(tradeNo, { signal })).paidFen).toEqual(650n)
    })

    test('says when there is no such trade', async (gateway, alipay) => {
      alipay.pay(order, 650n)
      expect(await codeOf(() => gateway.trade('2026010122001999999999999999', { signal }))).toEqual('NO_SUCH_ORDER')
    })

    const faults: readonly (readonly [AlipayFault, ErrorCode])[] = [
      ['forged', 'BAD_SIGNATURE'],
      ['altered', 'BAD_SIGNATURE'],
      ['unsigned', 'BAD_SIGNATURE'],
      ['other-trade', 'BAD_SIGNATURE'],
      ['busy', 'RPC_FAILED'],
      ['bad-gateway', 'RPC_FAILED'],
      ['cut', 'RPC_FAILED'],
    ]
    for (const [fault, code] of faults) {
      test(`takes no answer that is ${fault}, and the next good one`, async (gateway, alipay) => {
        alipay.pay('1', 999_999n)
        const tradeNo = alipay.pay(order, 650n)
        alipay.fault(fault)
        expect(await codeOf(() => gateway.trade(tradeNo, { signal }))).toEqual(code)
        alipay.fault()
        expect((await gateway.trade(tradeNo, { signal })).paidFen).toEqual(650n)
      })
    }

    test('does not take the lack of a trade from anybody but Alipay', async (gateway, alipay) => {
      alipay.fault('forged')
      expect(await codeOf(() => gateway.trade('2026010122001000000000000000', { signal }))).toEqual('BAD_SIGNATURE')
    })

    test('says when nobody is there', async (gateway, alipay) => {
      await alipay.stop()
      expect(await codeOf(() => gateway.trade('1', { signal }))).toEqual('RPC_FAILED')
    })

    test('stops when it is told to', async (gateway, alipay) => {
      const tradeNo = alipay.pay(order, 650n)
      alipay.fault('silent')
      const stop = new AbortController()
      const asking = codeOf(() => gateway.trade(tradeNo, { signal: stop.signal }))
      setTimeout(() => stop.abort(), 20)
      expect(await asking).toEqual('ABORTED')
    })
  })
}
