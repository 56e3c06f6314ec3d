import { dataTradeDigests, type DataTradeDomain } from '../contracts/typedData.ts'
import { concatBytes, fromHex, toHex, type Hex } from '../core/bytes.ts'
import { generateKey, type Key } from '../core/crypto/key.ts'
import { personalDigest } from '../core/crypto/signature.ts'
import type { PayableOrder, PaymentMethod, Till } from '../payments/payment.ts'
import { assertSuite, codeOf, type TestRunner } from './suite.ts'

/** An order whose money was put up. */
export interface PlacedOrder {
  readonly payable: PayableOrder
  /** What the buyer shows for it. */
  readonly verification: string
  readonly buyer: Key
  /** The order's `ackSigner`. */
  readonly session: Key
}

/** A method, and the hand of a buyer that pays by it. */
export interface PaymentUnderTest {
  readonly method: PaymentMethod
  readonly domain: DataTradeDomain
  /**
   * Whether data flows on credit: nothing is put up beforehand, and each acknowledgement must find its money come in.
   * @default false
   */
  readonly credit?: boolean | undefined
  /** Makes a new order of 1,000 bytes, paid by voucher, and puts up `percent` of its price. */
  place(percent: number): Promise<PlacedOrder>
  /** Closes the method and opens it again on the same store. */
  reopen(): Promise<PaymentMethod>
  /** Ends it. */
  close(): Promise<void>
}

/**
 * Tests that a way to be paid keeps the promises of {@link PaymentMethod} and of its tills.
 * @param open makes a method, for all tests.
 * @example
 * ```ts
 * import { describe, expect, it } from 'vitest'
 * import { paymentSuite } from 'sluice-sdk/testing'
 *
 * paymentSuite('mine', openMyMethod, { describe, it, expect })
 * ```
 */
export function paymentSuite(name: string, open: () => Promise<PaymentUnderTest>, runner: TestRunner): void {
  assertSuite(name, open, runner)
  const { describe, it, expect } = runner
  const { signal } = new AbortController()
  const test = (what: string, body: (under: PaymentUnderTest) => Promise<void>): unknown =>
    it(what, async () => {
      const under = await open()
      try {
        await body(under)
      } finally {
        await under.close()
      }
    })
  /** An acknowledgement by a key, for an order and under a domain. */
  const ack = (by: Key, domain: DataTradeDomain, orderId: Hex, transferred: number) => ({
    transferred,
    signature: by.sign(dataTradeDigests(domain).Ack({ orderId, transferred })),
    verification: '',
  })
  const accepted = ({ method }: PaymentUnderTest, { payable, verification }: PlacedOrder): Promise<Till> =>
    method.accept(payable, verification, { signal })

  describe(`${name} as a way to be paid`, () => {
    test('takes an order whose money is there', async (under) => {
      const till = await accepted(under, await under.place(100))
      expect([till.paid, till.covered, till.missing, till.ended]).toEqual([0, 1000, 0n, undefined])
    })

    test('takes no order whose money is not there; on credit, no acknowledgement', async (under) => {
      const { payable, session } = await under.place(0)
      if (under.credit) {
        const till = await under.method.accept(payable, '', { signal })
        expect(await codeOf(() => till.receive(ack(session, under.domain, payable.id, 1)))).toEqual('PAYMENT_INVALID')
        expect(till.paid).toEqual(0)
        return
      }
      const code = await codeOf(() => under.method.accept(payable, '', { signal }))
      expect(['ORDER_UNCONFIRMED', 'DEPOSIT_SHORT', 'PAYMENT_INVALID'].includes(code) ? 'refused' : code).toEqual('refused')
    })

    test('takes what one order shows for no other', async (under) => {
      const [paid, unpaid] = [await under.place(100), await under.place(0)]
      const code = await codeOf(() => under.method.accept(unpaid.payable, paid.verification, { signal }))
      expect(['ORDER_UNCONFIRMED', 'DEPOSIT_SHORT', 'PAYMENT_INVALID'].includes(code) ? 'refused' : code).toEqual('refused')
    })

    test('covers what the money is enough for', async (under) => {
      const order = await under.place(35)
      const till = await accepted(under, order)
      const { price } = order.payable.order
      expect([till.covered, till.missing]).toEqual(under.credit ? [1000, 0n] : [350, price - (price * 35n) / 100n])
      expect(await codeOf(() => till.receive(ack(order.session, under.domain, order.payable.id, 351)))).toEqual('PAYMENT_INVALID')
      expect(till.paid).toEqual(0)
      await till.receive(ack(order.session, under.domain, order.payable.id, 350))
      expect(till.paid).toEqual(350)
    })

    test('counts acknowledgements of the session key and of the buyer, and only upwards', async (under) => {
      const { payable, verification, session, buyer } = await under.place(100)
      const till = await under.method.accept(payable, verification, { signal })
      const receive = async (by: Key, transferred: number): Promise<number> => {
        await till.receive(ack(by, under.domain, payable.id, transferred))
        return till.paid
      }
      expect(await receive(session, 300)).toEqual(300)
      expect(await receive(session, 300)).toEqual(300)
      expect(await receive(session, 200)).toEqual(300)
      expect(await receive(session, 0)).toEqual(300)
      expect(await receive(buyer, 301)).toEqual(301)
      expect(await receive(session, 1000)).toEqual(1000)
    })

    test('takes many acknowledgements at once', async (under) => {
      const { payable, verification, session } = await under.place(100)
      const till = await under.method.accept(payable, verification, { signal })
      const acks = [100, 300, 200, 500, 400].map((transferred) => ack(session, under.domain, payable.id, transferred))
      await Promise.all(acks.map((one) => till.receive(one)))
      expect(till.paid).toEqual(500)
    })

    test('takes no acknowledgement that the buyer did not sign for this order, chain and contract', async (under) => {
      const { domain } = under
      const placed = await under.place(100)
      const { payable, session } = placed
      const till = await accepted(under, placed)
      const genuine = ack(session, domain, payable.id, 500)
      const mallory = generateKey()
      const forged: Readonly<Record<string, Uint8Array>> = {
        'another key': ack(mallory, domain, payable.id, 500).signature,
        'another order': ack(session, domain, `0x${'77'.repeat(32)}`, 500).signature,
        'another count': ack(session, domain, payable.id, 499).signature,
        'another chain': ack(session, { ...domain, chainId: domain.chainId + 1n }, payable.id, 500).signature,
        'another contract': ack(session, { ...domain, verifyingContract: `0x${'77'.repeat(20)}` }, payable.id, 500).signature,
        'a personal message': session.sign(personalDigest(dataTradeDigests(domain).Ack({ orderId: payable.id, transferred: 500 }))),
        ...malformed(genuine.signature),
      }
      for (const [what, signature] of Object.entries(forged)) {
        expect([what, await codeOf(() => till.receive({ ...genuine, signature }))]).toEqual([what, 'BAD_SIGNATURE'])
      }
      expect(till.paid).toEqual(0)
      // The genuine one still counts: nothing of the others stuck.
      await till.receive(genuine)
      expect(till.paid).toEqual(500)
    })

    test('takes no other signer in the middle of an order', async (under) => {
      const placed = await under.place(100)
      const { payable, session } = placed
      const till = await accepted(under, placed)
      await till.receive(ack(session, under.domain, payable.id, 100))
      expect(await codeOf(() => till.receive(ack(generateKey(), under.domain, payable.id, 200)))).toEqual('BAD_SIGNATURE')
      expect(till.paid).toEqual(100)
    })

    test('knows an order again, with what is paid of it, also after a restart', async (under) => {
      const placed = await under.place(100)
      const { payable, session } = placed
      const till = await accepted(under, placed)
      await till.receive(ack(session, under.domain, payable.id, 700))
      expect((await under.method.accept(payable, '', { signal })).paid).toEqual(700)
      const again = await (await under.reopen()).accept(payable, '', { signal })
      expect([again.paid, again.covered]).toEqual([700, 1000])
      await again.receive(ack(session, under.domain, payable.id, 900))
      expect(again.paid).toEqual(900)
    })

    test('stops waiting for money when it is told to', async (under) => {
      const { payable } = await under.place(0)
      const until = under.credit ? AbortSignal.abort() : AbortSignal.timeout(20)
      const code = await codeOf(() => under.method.accept(payable, '', { signal: until }))
      expect(code === 'no error' || code === 'no SluiceError' ? code : 'refused').toEqual('refused')
    })
  })
}

/** Every way to write a signature that says the same, or nothing. */
function malformed(signature: Uint8Array): Record<string, Uint8Array> {
  const [r, s, v] = [signature.subarray(0, 32), signature.subarray(32, 64), signature[64]!]
  const n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const word = (x: bigint): Uint8Array => fromHex(`0x${x.toString(16).padStart(64, '0')}`)
  const flipped = Uint8Array.of(55 - v)
  // EIP-2098 puts the parity of v in the highest bit of s.
  const compact = Uint8Array.from(s)
  compact[0]! |= (v - 27) << 7
  return {
    'a high s': concatBytes(r, word(n - BigInt(toHex(s))), flipped),
    'v of 0 or 1': concatBytes(r, s, Uint8Array.of(v - 27)),
    'v of 29': concatBytes(r, s, Uint8Array.of(29)),
    'v of EIP-155': concatBytes(r, s, Uint8Array.of(v + 10)),
    'the other v': concatBytes(r, s, flipped),
    'the compact form of EIP-2098': concatBytes(r, compact),
    'the compact form and a zero byte': concatBytes(r, compact, Uint8Array.of(0)),
    'no v': concatBytes(r, s),
    'a byte too many': concatBytes(signature, Uint8Array.of(0)),
    'no bytes': new Uint8Array(0),
    'zeros': new Uint8Array(65),
    'r of zero': concatBytes(word(0n), s, Uint8Array.of(v)),
    's of zero': concatBytes(r, word(0n), Uint8Array.of(v)),
    'r of the order of the group': concatBytes(word(n), s, Uint8Array.of(v)),
    's of the order of the group': concatBytes(r, word(n), Uint8Array.of(v)),
  }
}
