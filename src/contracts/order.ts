/**
 * What two parties agree on, as `DataTrade.sol` knows it.
 * @module
 */
import type { Hex } from '../core/bytes.ts'

/**
 * The terms of an order. The order's id is the EIP-712 hash of them, so none can change.
 *
 * Addresses may be of any case; byte counts stay below 2^48.
 */
export interface Order {
  readonly buyer: string
  readonly seller: string
  /** ERC-20 address; the zero address stands for ETH. */
  readonly token: string
  /** Session key whose acknowledgements count beside the buyer's own; the zero address for none. */
  readonly ackSigner: string
  /** Price of all `totalData` bytes, in the token's smallest unit. */
  readonly price: bigint
  /** Bytes ordered. */
  readonly totalData: number
  /** Leaves under `dataRoot`; 0 when there is no root. */
  readonly chunks: number
  /** RFC 6962 root over the chunks of the whole item; 32 zero bytes for live data. */
  readonly dataRoot: Hex
  /** Unix seconds. */
  readonly deadline: number
  /** 32 bytes that make the id unique, and commit to what the contract doesn't know: see `saltFor` of the protocol. */
  readonly salt: Hex
}
