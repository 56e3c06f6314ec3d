/**
 * Transactions of a running order: the count after each granule in mode `onchain`, and top-ups. Loaded for those alone.
 * @module
 */
import { dataTradeInterface } from '../../contracts/dataTrade.ts'
import type { Hex } from '../../core/bytes.ts'
import { revertCode } from '../../core/chain/revert.ts'
import type { SentReceipt } from '../../core/chain/sender.ts'
import type { OpenedOrder, RecoveryChain } from './recovery.ts'

type Chain = Pick<RecoveryChain, 'to' | 'sender'>

/** Records on chain that the first `transferred` bytes have come. */
export async function recordTransferred(
  { to, sender }: Chain,
  id: Hex,
  transferred: number,
  signal: AbortSignal,
): Promise<{ verification: string }> {
  const data = dataTradeInterface.encodeFunctionData('updateTransferred', [id, transferred])
  try {
    const { hash } = await sender.send({ to, data }, { label: `record ${transferred} bytes of order ${id}`, signal })
    return { verification: hash }
  } catch (error) {
    // An earlier run recorded it, and ended before it could say so; its transaction may have been mined beside this one.
    if (revertCode(error) === 'TRANSFERRED_NOT_INCREASED') return { verification: '' }
    throw error
  }
}

/** Raises a deposit by `amount`, sending `value` wei along. */
export async function topUp(
  { to, sender }: Chain,
  { id, order }: OpenedOrder,
  amount: bigint,
  value: bigint,
  signal: AbortSignal | undefined,
): Promise<SentReceipt> {
  const data = dataTradeInterface.encodeFunctionData('topUp', [order, amount])
  return sender.send({ to, data, value }, { label: `top up order ${id}`, signal })
}
