/**
 * Brings deposits back: by closing an order, or by convicting its seller. Loaded when it is needed, which is seldom.
 * @module
 */
import { dataTradeInterface, type OrderState } from '../../contracts/dataTrade.ts'
import type { Order } from '../../contracts/order.ts'
import { toHex, type Hex } from '../../core/bytes.ts'
import { revertCode } from '../../core/chain/revert.ts'
import type { Rpc } from '../../core/chain/rpc.ts'
import type { Sender } from '../../core/chain/sender.ts'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { ChainBook, ChainOrder } from './book.ts'

/** An order that the payer has opened. */
export interface OpenedOrder {
  readonly id: Hex
  readonly order: Order
}

/** What came back of a deposit. */
export interface Reclaimed {
  /** How the order ended: `none` if it never came on chain. */
  readonly state: 'none' | 'settled' | 'disputed'
  /** To the buyer. */
  readonly refunded: bigint
  /** To the seller, in all. */
  readonly paid: bigint
}

/** What the contract's `dispute` takes. */
export interface Evidence {
  readonly index: number
  readonly leaf: Hex
  readonly proof: readonly Hex[]
  readonly signature: Hex
}

/** How to stop waiting. */
export interface SignalOptions {
  readonly signal?: AbortSignal | undefined
}

/** Options of {@link TokenPayer.reclaim}. */
export interface ReclaimOptions extends SignalOptions {
  /** The buyer's last acknowledgement. @default none */
  readonly ack?: { readonly transferred: number; readonly signature: Uint8Array } | undefined
}

/** The order contract, and how to reach it. */
export interface RecoveryChain {
  /** Address of the order contract. */
  readonly to: string
  readonly book: ChainBook
  readonly sender: Sender
  readonly rpc: Rpc
  readonly clock: Clock
}

/** What the contract says to one who comes second, or by a clock that runs ahead of the chain's. */
const OVERTAKEN: ReadonlySet<string> = new Set(['ORDER_ALREADY_FINISHED', 'CLOSE_ALREADY_REQUESTED', 'SETTLE_TOO_EARLY'])

/** See `TokenPayer.reclaim`. */
export async function reclaim(
  chain: RecoveryChain,
  { id, order }: OpenedOrder,
  { ack, signal }: ReclaimOptions,
): Promise<Reclaimed> {
  const { to, book, sender, clock } = chain
  const grace = await book.grace(signal)
  const voucher = [ack?.transferred ?? 0, ack ? toHex(ack.signature) : '0x'] as const
  for (;;) {
    const seen = await read(chain, id, 'none', signal)
    if (seen.state !== 'open') return outcome(chain, id, signal)
    const now = await book.time(signal)
    const opensAt = seen.closeAt !== 0 ? seen.closeAt : order.deadline + grace
    const complete = Math.max(seen.transferred, voucher[0]) >= order.totalData
    try {
      if (complete || now >= opensAt) {
        const data = dataTradeInterface.encodeFunctionData('settle', [order, ...voucher])
        await sender.send({ to, data }, { label: `settle order ${id}`, signal })
        return await outcome(chain, id, signal)
      }
      if (seen.closeAt === 0) {
        const data = dataTradeInterface.encodeFunctionData('requestClose', [order])
        await sender.send({ to, data }, { label: `ask to close order ${id}`, signal })
        continue
      }
    } catch (error) {
      // The seller was faster, or the chain's clock is behind its newest block.
      if (!OVERTAKEN.has(revertCode(error) ?? '')) throw error
      await clock.sleep(book.pollInterval, signal)
      continue
    }
    await clock.sleep(Math.max(book.pollInterval, Math.min(60_000, ((opensAt - now) * 1000) / 2)), signal)
  }
}

/** See `TokenPayer.dispute`. */
export async function dispute(
  chain: RecoveryChain,
  { id, order }: OpenedOrder,
  { index, leaf, proof, signature }: Evidence,
  signal: AbortSignal | undefined,
): Promise<Reclaimed> {
  const data = dataTradeInterface.encodeFunctionData('dispute', [order, index, leaf, [...proof], signature])
  try {
    await chain.sender.send({ to: chain.to, data }, { label: `dispute order ${id}`, signal })
  } catch (error) {
    if (revertCode(error) !== 'ORDER_ALREADY_FINISHED') throw error // else the seller was faster, and gave back the rest itself
  }
  return outcome(chain, id, signal)
}

/**
 * Reads an order that we may have changed a moment ago.
 * @param stale the state that a node shows which has not seen the change.
 */
function read(
  { book, rpc, sender }: RecoveryChain,
  id: Hex,
  stale: OrderState,
  signal: AbortSignal | undefined,
): Promise<ChainOrder> {
  return rpc.follow(sender.address, () => book.order(id, 1, signal), {
    doubts: (answer, last) => 'value' in answer && (answer.value.state === stale || answer.value.block < last.blockNumber),
    signal,
  })
}

/** What a finished order came to, whoever finished it. */
async function outcome(chain: RecoveryChain, id: Hex, signal: AbortSignal | undefined): Promise<Reclaimed> {
  const { state, deposit, paid } = await read(chain, id, 'open', signal)
  if (state === 'open') throw new SluiceError('ORDER_NOT_FINISHED', `order ${id} is still open`, { details: { order: id } })
  return { state, refunded: deposit - paid, paid }
}
