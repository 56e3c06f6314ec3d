/**
 * Both ways to be paid, on their real counterparts: a chain, and a gateway that signs.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { alipayGateway } from '../../test/fixtures/trade/alipayGateway.ts'
import { dataTradeContract } from '../contracts/dataTrade.ts'
import type { Order } from '../contracts/order.ts'
import { dataTradeDigests, dataTradeDomain, type DataTradeDomain } from '../contracts/typedData.ts'
import { fromHex, randomBytes, toHex } from '../core/bytes.ts'
import { systemClock } from '../core/clock.ts'
import { generateKey, keyFromSecret } from '../core/crypto/key.ts'
import { silentLogger } from '../core/log.ts'
import { memoryStore } from '../core/store/memoryStore.ts'
import { ETH, ZERO32 } from '../protocol/menu.ts'
import { startDevnet, type Devnet } from '../testing/devnet.ts'
import { startFakeAlipay, type FakeAlipay } from '../testing/fakeAlipay.ts'
import { paymentSuite, type PaymentUnderTest, type PlacedOrder } from '../testing/paymentSuite.ts'
import { alipayPayer, alipayPayments, CNY, outTradeNo } from './alipay.ts'
import { samplePayments } from './prepaid.ts'
import { tokenPayments } from './token/seller.ts'

let devnet: Devnet
let domain: DataTradeDomain
let alipay: FakeAlipay

beforeAll(async () => {
  ;[devnet, alipay] = await Promise.all([startDevnet(), startFakeAlipay()])
  domain = dataTradeDomain(devnet.chainId, devnet.deployment.dataTrade)
})
afterAll(async () => {
  await devnet.stop()
  await alipay.stop()
})

const terms = (changes: Partial<Order>): Order => ({
  buyer: ETH,
  seller: devnet.accounts[0]!.address,
  token: ETH,
  ackSigner: ETH,
  price: 1_000_000n,
  totalData: 1000,
  chunks: 0,
  dataRoot: ZERO32,
  deadline: Math.floor(Date.now() / 1000) + 86_400,
  salt: toHex(randomBytes(32)),
  ...changes,
})
const payableOf = (order: Order): PlacedOrder['payable'] => ({ id: toHex(dataTradeDigests(domain).Order(order)), order, mode: 'voucher' })

async function openToken(): Promise<PaymentUnderTest> {
  const wallet = devnet.accounts[1]!
  const entries = new Map<string, Uint8Array>()
  let store = memoryStore(entries)
  const start = () =>
    tokenPayments({
      signer: devnet.accounts[0]!,
      domain,
      store,
      clock: systemClock,
      log: silentLogger,
      confirmTimeout: 150,
      settleDelay: 60_000,
    })
  let method = await start()
  return {
    method,
    domain,
    place: async (percent) => {
      const session = generateKey()
      const order = terms({ buyer: wallet.address, ackSigner: session.address })
      const deposit = (order.price * BigInt(percent)) / 100n
      let verification = ''
      if (percent > 0) {
        const sent = await dataTradeContract(domain.verifyingContract, wallet).create(order, deposit, { value: deposit })
        await sent.wait()
        verification = sent.hash
      }
      return { payable: payableOf(order), verification, buyer: keyFromSecret(fromHex(wallet.privateKey)), session }
    },
    reopen: async () => {
      await method.close()
      await store.close()
      store = memoryStore(entries)
      return (method = await start())
    },
    close: () => method.close(),
  }
}

async function openAlipay(): Promise<PaymentUnderTest> {
  const entries = new Map<string, Uint8Array>()
  let store = memoryStore(entries)
  const start = () => alipayPayments({ gateway: alipayGateway(alipay), digests: dataTradeDigests(domain), store })
  const method = start()
  return {
    method,
    domain,
    place: async (percent) => {
      const [buyer, session] = [generateKey(), generateKey()]
      const order = terms({ buyer: buyer.address, ackSigner: session.address, token: CNY, price: 1000n })
      const payable = payableOf(order)
      const fen = (order.price * BigInt(percent)) / 100n
      return { payable, verification: percent > 0 ? alipay.pay(outTradeNo(payable.id), fen) : '', buyer, session }
    },
    reopen: async () => {
      await store.close()
      store = memoryStore(entries)
      return start()
    },
    close: () => Promise.resolve(),
  }
}

paymentSuite('tokenPayments', openToken, { describe, it, expect })
paymentSuite('alipayPayments', openAlipay, { describe, it, expect })

describe('alipayPayments', () => {
  const { signal } = new AbortController()

  it.each([
    ['WAIT_BUYER_PAY', 'ORDER_UNCONFIRMED'],
    ['TRADE_CLOSED', 'ORDER_UNCONFIRMED'],
    ['TRADE_SUCCESS', 'no error'],
    ['TRADE_FINISHED', 'no error'],
  ])('takes a trade that is %s: %s', async (status, code) => {
    const { method, place } = await openAlipay()
    const { payable, verification } = await place(100)
    alipay.setStatus(verification, status)
    const result = await method.accept(payable, verification, { signal }).then(
      () => 'no error',
      (error: { code: string }) => error.code,
    )
    expect(result).toBe(code)
  })

  it('takes no order in anything but fen', async () => {
    const { method, place } = await openAlipay()
    const { payable, verification } = await place(100)
    const other = { ...payable, order: { ...payable.order, token: ETH } }
    await expect(method.accept(other, verification, { signal })).rejects.toMatchObject({ code: 'ORDER_MISMATCH', details: { field: 'token' } })
  })

  it('holds to the trade that it knows of an order, whatever it is shown later', async () => {
    const { method, place } = await openAlipay()
    const { payable, verification } = await place(50)
    await method.accept(payable, verification, { signal })
    const other = alipay.pay(outTradeNo(payable.id), 1000n)
    expect((await method.accept(payable, other, { signal })).covered).toBe(500)
  })

  it('stays closed when Alipay takes the money back before the order is opened again', async () => {
    const { method, place } = await openAlipay()
    const { payable, verification } = await place(100)
    await method.accept(payable, verification, { signal })
    alipay.setStatus(verification, 'TRADE_CLOSED')
    await expect(method.accept(payable, '', { signal })).rejects.toMatchObject({ code: 'ORDER_UNCONFIRMED' })
  })

  it('believes nobody but Alipay', async () => {
    const { method, place } = await openAlipay()
    const { payable, verification } = await place(100)
    alipay.fault('forged')
    await expect(method.accept(payable, verification, { signal })).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
    alipay.fault()
  })
})

describe('alipayPayer', () => {
  it('lets the whole price be paid under the number of the order', async () => {
    const order = terms({ token: CNY, price: 650n })
    const payable = payableOf(order)
    const paid: unknown[] = []
    const payer = alipayPayer({
      pay: (bill) => {
        paid.push(bill)
        return Promise.resolve('2026')
      },
    })
    const { signal } = new AbortController()
    expect(await payer.open(payable, { deposit: 0n, signal })).toEqual({ verification: '2026' })
    expect(paid).toEqual([{ outTradeNo: payable.id.slice(2), fen: 650n }])
    expect(outTradeNo(payable.id)).toMatch(/^[0-9a-f]{64}$/)
    expect(await payer.pay(payable, 10, { signal })).toEqual({ verification: '' })
  })
})

describe('samplePayments', () => {
  it('takes orders that cost nothing, and no other', async () => {
    const method = samplePayments(dataTradeDigests(domain))
    const { signal } = new AbortController()
    const till = await method.accept(payableOf(terms({ price: 0n })), '', { signal })
    expect([till.paid, till.covered, till.missing, till.ended]).toEqual([0, 1000, 0n, undefined])
    await expect(method.accept(payableOf(terms({ price: 1n })), '', { signal })).rejects.toMatchObject({ code: 'PRICE_MISMATCH' })
  })
})
