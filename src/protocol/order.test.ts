import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Order } from '../contracts/order.ts'
import { coveredBytes, orderFromWire, orderToWire, payFor } from './order.ts'
import { MAX_BYTES } from './wire.ts'

/** The largest price that the contract has room for. */
const MAX_PRICE = (1n << 104n) - 1n
const terms = fc.record({
  price: fc.oneof(fc.constantFrom(0n, MAX_PRICE), fc.bigInt({ min: 0n, max: 1000n }), fc.bigInt({ min: 0n, max: MAX_PRICE })),
  totalData: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.maxSafeNat().map((x) => 1 + (x % MAX_BYTES)), fc.constant(MAX_BYTES)),
})
const part = fc.double({ min: 0, max: 1, noNaN: true })

describe('payFor', () => {
  it('multiplies before it divides: ten over three pieces pay ten', () => {
    expect([0, 1, 2, 3].map((pieces) => payFor({ price: 10n, totalData: 3 }, pieces))).toEqual([0n, 3n, 6n, 10n])
  })

  it('is the whole price for all bytes, nothing for none, and never falls', () => {
    fc.assert(
      fc.property(terms, part, part, (order, a, b) => {
        const [less, more] = [a, b].map((x) => Math.floor(x * order.totalData)).sort((x, y) => x - y) as [number, number]
        expect(payFor(order, 0)).toBe(0n)
        expect(payFor(order, order.totalData)).toBe(order.price)
        expect(payFor(order, more)).toBeGreaterThanOrEqual(payFor(order, less))
        // The dust of the division stays with the buyer.
        expect(payFor(order, less) * BigInt(order.totalData)).toBeLessThanOrEqual(order.price * BigInt(less))
      }),
    )
  })
})

describe('coveredBytes', () => {
  it('is all bytes for the whole price, and less for one unit less', () => {
    expect(coveredBytes({ price: 1000n, totalData: 1000 }, 1000n)).toBe(1000)
    expect(coveredBytes({ price: 1000n, totalData: 1000 }, 999n)).toBe(999)
    expect(coveredBytes({ price: 1000n, totalData: 1000 }, 5000n)).toBe(1000)
    expect(coveredBytes({ price: 1000n, totalData: 1000 }, 0n)).toBe(0)
    expect(coveredBytes({ price: 0n, totalData: 7 }, 0n)).toBe(7)
  })

  it('never counts a byte that the deposit does not pay for', () => {
    fc.assert(
      fc.property(terms, part, (order, x) => {
        const deposit = (order.price * BigInt(Math.floor(x * 1_000_000))) / 1_000_000n
        const covered = coveredBytes(order, deposit)
        expect(Number.isSafeInteger(covered) && covered >= 0 && covered <= order.totalData).toBe(true)
        expect(payFor(order, covered)).toBeLessThanOrEqual(deposit)
        if (covered === order.totalData) return
        expect(order.price * BigInt(covered + 1)).toBeGreaterThan(deposit * BigInt(order.totalData))
      }),
    )
  })
})

describe('orderToWire', () => {
  const order: Order = {
    buyer: '0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf',
    seller: '0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF',
    token: '0x0000000000000000000000000000000000000000',
    ackSigner: '0x6813Eb9362372EEF6200f3b1dbC3f819671cBA69',
    price: MAX_PRICE,
    totalData: MAX_BYTES,
    chunks: 16,
    dataRoot: `0x${'ab'.repeat(32)}`,
    deadline: 1_790_000_000,
    salt: `0x${'5a'.repeat(32)}`,
  }

  it('writes every term under its own name, addresses in small letters', () => {
    expect(orderToWire(order)).toEqual({
      buyer: order.buyer.toLowerCase(),
      seller: order.seller.toLowerCase(),
      token: order.token,
      ack_signer: order.ackSigner.toLowerCase(),
      price: '20282409603651670423947251286015',
      total_data: 281474976710655,
      chunks: 16,
      data_root: order.dataRoot,
      deadline: 1_790_000_000,
      salt: order.salt,
    })
  })

  it('is undone by orderFromWire', () => {
    const [buyer, seller, ackSigner] = [order.buyer, order.seller, order.ackSigner].map((text) => text.toLowerCase())
    expect(orderFromWire(orderToWire(order))).toEqual({ ...order, buyer, seller, ackSigner })
  })
})
