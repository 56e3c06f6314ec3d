/**
 * Tills for orders whose money needs no acknowledgement to be kept: samples, and what was paid ahead.
 * @module
 */
import type { DataTradeDigests } from '../contracts/typedData.ts'
import { engine } from '../core/crypto/engine.ts'
import { addressOf } from '../core/crypto/key.ts'
import { SluiceError } from '../core/errors.ts'
import { payFor } from '../protocol/order.ts'
import type { Acknowledgement, PayableOrder, PaymentMethod, Till } from './payment.ts'

/** Checks that an acknowledgement is signed by the order's buyer or session key. @throws `BAD_SIGNATURE` saying by whom. */
export function assertAck(digests: DataTradeDigests, { id, order }: PayableOrder, ack: Acknowledgement): void {
  const digest = digests.Ack({ orderId: id, transferred: ack.transferred })
  const signer = addressOf(engine().secp256k1.recover(digest, ack.signature)).toLowerCase()
  if (signer === order.ackSigner.toLowerCase() || signer === order.buyer.toLowerCase()) return
  throw new SluiceError(
    'BAD_SIGNATURE',
    `the ACK of order ${id} is signed by ${signer}; it must be its ack_signer ${order.ackSigner} or its buyer ${order.buyer}`,
    { details: { field: 'ACK', order: id, signer } },
  )
}

/** What is kept of a till that is paid ahead: how far the buyer says it is. */
export interface Acknowledged {
  /** Bytes that an earlier run kept. */
  readonly paid: number
  keep(paid: number): Promise<void>
}

/**
 * A till on which the acknowledgements only steer the flow: what is covered is ours already.
 * @param record - where the count survives, for orders that can go on after a restart. @default nowhere
 */
export function prepaidTill(digests: DataTradeDigests, payable: PayableOrder, covered: number, record?: Acknowledged): Till {
  let paid = record?.paid ?? 0
  return {
    get paid() {
      return paid
    },
    covered,
    missing: covered < payable.order.totalData ? payable.order.price - payFor(payable.order, covered) : 0n,
    ended: undefined,
    onChange: undefined,
    receive: async (ack) => {
      if (ack.transferred <= paid) return
      assertAck(digests, payable, ack)
      if (ack.transferred > covered) {
        throw new SluiceError('PAYMENT_INVALID', `ACK is for ${ack.transferred} bytes, ${covered} are covered`, {
          details: { transferred: ack.transferred, covered },
        })
      }
      paid = ack.transferred
      await record?.keep(paid)
    },
    finish: () => Promise.resolve(),
  }
}

/** Takes orders for free samples. */
export function samplePayments(digests: DataTradeDigests): PaymentMethod {
  return {
    kind: 'sample',
    accept: async (payable) => {
      if (payable.order.price !== 0n) {
        throw new SluiceError('PRICE_MISMATCH', 'a sample is free: the price of its order must be 0', { details: { given: payable.order.price } })
      }
      return prepaidTill(digests, payable, payable.order.totalData)
    },
    close: () => Promise.resolve(),
  }
}
