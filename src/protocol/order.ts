/**
 * The arithmetic of an order, and its form in the `order` message.
 * @module
 */
import { computeFrom } from '../core/argument.ts'
import type { Order } from '../contracts/order.ts'
import { toHex, type Hex } from '../core/bytes.ts'
import { typedDataHasher } from '../core/crypto/typedData.ts'
import type { Item } from './menu.ts'
import type { Payload } from './wire.ts'

/** The fields of {@link saltFor}, in the order in which they are hashed. */
export const orderScopeFields = [
  { name: 'nonce', type: 'bytes16' },
  { name: 'item', type: 'string' },
  { name: 'live', type: 'bool' },
  { name: 'firstChunk', type: 'uint64' },
  { name: 'chunkCount', type: 'uint64' },
  { name: 'granularity', type: 'uint64' },
  { name: 'payment', type: 'string' },
  { name: 'mode', type: 'string' },
] as const

/** The part of an `order` message that its salt commits to. */
export type OrderScope = Pick<Payload<'order'>, 'nonce' | 'data_ID' | 'first_chunk' | 'chunk_count' | 'payment' | 'mode'>

/**
 * The `salt` of an order: it commits to item, chunks, chunk size and kind of payment, which the contract doesn't know.
 * The order's id commits to the salt, so that one order pays for one thing.
 *
 * Source: EIP-712, the struct `OrderScope` under the domain of that name, version 1, without chain or contract: the
 * order's own hash has those.
 */
export function saltFor(scope: OrderScope, item: Pick<Item, 'live' | 'granularity'>): Hex {
  const hash = typedDataHasher({ name: 'Sluice OrderScope', version: '1' }, 'OrderScope', orderScopeFields)
  return toHex(
    hash({
      nonce: scope.nonce,
      item: scope.data_ID,
      live: item.live,
      firstChunk: scope.first_chunk,
      chunkCount: scope.chunk_count,
      granularity: item.granularity,
      payment: scope.payment,
      mode: scope.mode,
    }),
  )
}

/** Price of the first `transferred` bytes of an order: in proportion, rounded down; the dust stays with the buyer. */
export function payFor(order: Pick<Order, 'price' | 'totalData'>, transferred: number): bigint {
  return computeFrom('order', 'an order with price and totalData, beside whole bytes', () => {
    return (order.price * BigInt(transferred)) / BigInt(order.totalData)
  })
}

/** Bytes of an order that a deposit pays for in full. */
export function coveredBytes(order: Pick<Order, 'price' | 'totalData'>, deposit: bigint): number {
  return computeFrom('order', 'an order with price and totalData, beside a deposit as bigint', () => {
    if (deposit >= order.price) return order.totalData
    return Number((deposit * BigInt(order.totalData)) / order.price)
  })
}

/** Writes an order's terms under the wire's names. */
export function orderToWire(order: Order): Payload<'order'>['terms'] {
  return computeFrom('order', 'all terms of an order, as Order has them', () => {
    return {
      buyer: order.buyer.toLowerCase(),
      seller: order.seller.toLowerCase(),
      token: order.token.toLowerCase(),
      ack_signer: order.ackSigner.toLowerCase(),
      price: order.price.toString(),
      total_data: order.totalData,
      chunks: order.chunks,
      data_root: order.dataRoot,
      deadline: order.deadline,
      salt: order.salt,
    }
  })
}

/** Reads an order's terms. */
export function orderFromWire(terms: Payload<'order'>['terms']): Order {
  return computeFrom('terms', 'the terms of an order message', () => {
    return {
      buyer: terms.buyer,
      seller: terms.seller,
      token: terms.token,
      ackSigner: terms.ack_signer,
      price: BigInt(terms.price),
      totalData: terms.total_data,
      chunks: terms.chunks,
      dataRoot: terms.data_root as Hex,
      deadline: terms.deadline,
      salt: terms.salt as Hex,
    }
  })
}
