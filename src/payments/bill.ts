/**
 * What an item costs.
 * @module
 */
import { ETH, type Item } from '../protocol/menu.ts'
import type { PaymentKind } from '../protocol/wire.ts'
import { CNY } from './alipay.ts'

/** What all bytes of an item cost by one kind of payment. */
export interface Bill {
  /** The `token` of an order. */
  readonly token: string
  /** In the token's smallest unit; undefined when it isn't sold that way. */
  readonly price: bigint | undefined
}

/** Says what all bytes of an item cost by a kind of payment, and in what. */
export function billOf(item: Item, payment: PaymentKind): Bill {
  switch (payment) {
    case 'sample':
      return { token: ETH, price: 0n }
    case 'alipay':
      return { token: CNY, price: item.alipayPrice }
    default:
      return item
  }
}
