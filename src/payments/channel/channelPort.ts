/**
 * What paying for data needs of a node of the payment channel network; `ChannelNode` fits as it is.
 * @module
 */
import type { Hex } from '../../core/bytes.ts'
import { SluiceError } from '../../core/errors.ts'

/** A payment as its node remembers it. Amounts are in the token's smallest unit. */
export interface ChannelPayment {
  readonly id: Hex
  readonly tokenNetwork: string
  /** The account at the other end. */
  readonly peer: string
  /** What arrives. */
  readonly amount: bigint
  /** What mediators keep on top. */
  readonly fee: bigint
  /** `pending` and `unknown`: not over yet. `failed`: no money has moved. */
  readonly state: 'pending' | 'unknown' | 'done' | 'failed'
}

/** A node of the payment channel network, as far as payments for data need it. */
export interface ChannelPort {
  /** The account whose money it is. */
  readonly account: string
  /**
   * Pays. An id that was paid before is not paid again: the call ends as the first payment does.
   * @throws `NO_ROUTE`, `PARTNER_OFFLINE` and others, see `ChannelNode`.
   */
  pay(request: {
    readonly to: string
    readonly amount: bigint
    readonly tokenNetwork: string
    readonly id: Hex
    /** The most that mediators may keep. */
    readonly maxFee: bigint
  }): Promise<{ readonly fee: bigint }>
  /** The payments of a direction whose ids begin with `idPrefix`, durably known, and those under way. */
  payments(direction: 'in' | 'out', idPrefix: string): AsyncIterable<ChannelPayment>
  readonly events: {
    /** Calls back at each payment that has come in for good, once it is durable; until the returned function is called. */
    on(
      event: 'received',
      listener: (payment: { readonly paymentId: Hex; readonly tokenNetwork: string; readonly amount: bigint }) => void,
    ): () => void
  }
}

/** Token networks by the token that they move: an ERC-20 address, or the zero address for ETH. */
export type TokenNetworks = Readonly<Record<string, string>>

/** Finds the token network of an order's token. @throws `PAYMENT_UNSUPPORTED` when there is none. */
export function tokenNetworkOf(tokenNetworks: TokenNetworks, token: string): string {
  const wanted = token.toLowerCase()
  const found = Object.entries(tokenNetworks).find(([known]) => known.toLowerCase() === wanted)
  if (found) return found[1].toLowerCase()
  throw new SluiceError('PAYMENT_UNSUPPORTED', `no channel network for token ${token} is set up here`, { details: { token } })
}
