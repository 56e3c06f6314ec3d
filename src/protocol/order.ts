/**
 * The arithmetic of an order, and its form in the `order` message.
 * @module
 */
import type { Order } from '../contracts/order.ts'
import type { Hex } from '../core/bytes.ts'
import type { Payload } from './wire.ts'

/** Price of the first `transferred` bytes of an order: in proportion, rounded down; the dust stays with the buyer. */
export function payFor(order: Pick<Order, 'price' | 'totalData'>, transferred: number): bigint {
  return (order.price * BigInt(transferred)) / BigInt(order.totalData)
}

/** Bytes of an order that a deposit pays for in full. */
export function coveredBytes(order: Pick<Order, 'price' | 'totalData'>, deposit: bigint): number {
  if (deposit >= order.price) return order.totalData
  return Number((deposit * BigInt(order.totalData)) / order.price)
}

/** Writes an order's terms under the wire's names. */
export function orderToWire(order: Order): Payload<'order'>['terms'] {
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
}

/** Reads an order's terms. */
export function orderFromWire(terms: Payload<'order'>['terms']): Order {
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
}
