import type { Hex } from '../../core/bytes.ts'
import type { ErrorCode } from '../../core/errors.ts'

/** What a channel node tells, by event. Amounts are in the token's smallest unit. */
export interface ChannelEvents {
  /** A channel was opened on chain, by either side. */
  opened: { readonly channelId: Hex; readonly tokenNetwork: Hex; readonly partner: Hex }
  /** A deposit was confirmed. */
  deposited: { readonly channelId: Hex; readonly participant: Hex; readonly totalDeposit: bigint }
  /** A withdrawal was confirmed. */
  withdrawn: { readonly channelId: Hex; readonly participant: Hex; readonly totalWithdraw: bigint }
  /** A channel was closed: the challenge period runs until `settleAt`, in Unix seconds. */
  closed: { readonly channelId: Hex; readonly closer: Hex; readonly settleAt: number }
  /** A channel was settled; `paid` went to this node. */
  settled: { readonly channelId: Hex; readonly paid: bigint; readonly cooperative: boolean }
  /** A payment has come in, for good. */
  received: { readonly paymentId: Hex; readonly tokenNetwork: Hex; readonly from: Hex; readonly amount: bigint }
  /** The partner has paid by its stream: `total` is all it has ever transferred in the channel. */
  streamed: { readonly channelId: Hex; readonly from: Hex; readonly total: bigint }
  /** A payment has gone out, for good. */
  sent: { readonly paymentId: Hex; readonly tokenNetwork: Hex; readonly to: Hex; readonly amount: bigint; readonly fee: bigint }
  /** A payment has come to nothing; no money has moved. */
  failed: { readonly paymentId: Hex; readonly code: ErrorCode; readonly reason: string }
  /** A payment of others went through this node. */
  mediated: { readonly paymentId: Hex; readonly from: Hex; readonly to: Hex; readonly amount: bigint; readonly fee: bigint }
  /** What the partner can send, or this node, has changed. */
  balance: { readonly channelId: Hex; readonly capacity: bigint; readonly partnerCapacity: bigint }
  /** A peer is linked, or no longer. */
  peer: { readonly account: Hex; readonly linked: boolean }
  /** This store knew less than the partner could prove: it was brought up to date and goes on. */
  recovered: { readonly channelId: Hex; readonly fromNonce: number; readonly toNonce: number }
  /** A partner did what no honest one does. */
  misbehaved: { readonly channelId: Hex | undefined; readonly account: Hex; readonly code: ErrorCode; readonly reason: string }
  /**
   * A watchtower has signed that it watches a channel until then, in Unix seconds, with its newest proof. Not `promised`: only
   * while nobody with more at stake wants the place.
   */
  appointed: {
    readonly channelId: Hex
    readonly tower: Hex
    readonly counter: number
    readonly validUntil: number
    readonly promised: boolean
  }
  /** A watchtower did not answer, or not as it should: the next one takes its place. */
  towerFailed: { readonly channelId: Hex; readonly tower: Hex; readonly code: ErrorCode; readonly reason: string }
  /** This machine's clock is ahead of the chain's by so many seconds (negative: behind), more than `clockTolerance`. */
  clockWrong: { readonly ahead: number }
  /** The store has failed: the node signs and sends nothing more. */
  stopped: { readonly reason: string }
}
