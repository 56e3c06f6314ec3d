/**
 * What an answer to a closing is worth to the client, by the channel's own settlement. Pure.
 * @module
 */
import type { Presented } from '../node/channel.ts'
import { settlementAmounts } from '../state/settlement.ts'

/** What one side of a closed channel has paid in and taken out, as the chain has it. */
export interface SideMoney {
  readonly deposit: bigint
  readonly withdrawn: bigint
}

/** The money of a closed channel, and what the closer presented of the client's. */
export interface ClosedMoney {
  readonly client: SideMoney
  readonly closer: SideMoney
  readonly fromClient: Presented
}

/** The settlement if `fromCloser` is the last that is shown of the closer. */
function settled({ client, closer, fromClient }: ClosedMoney, fromCloser: Presented): ReturnType<typeof settlementAmounts> {
  return settlementAmounts(
    { ...client, transferred: fromClient.transferred, locked: fromClient.locked },
    { ...closer, transferred: fromCloser.transferred, locked: fromCloser.locked },
  )
}

/**
 * What the client gains when `after` stands on chain instead of `before`: what it is paid, and the closer's locks, which
 * it may have the secrets of. Never more than the deposits hold, whatever the proofs say.
 */
export function gainOf(money: ClosedMoney, before: Presented, after: Presented): bigint {
  const worth = ({ pays1, locked2 }: ReturnType<typeof settled>): bigint => pays1 + locked2
  return worth(settled(money, after)) - worth(settled(money, before))
}

/** What the closer could still claim of the client's locks: the most that releases can save. */
export function releasable(money: ClosedMoney, shown: Presented): bigint {
  return settled(money, shown).locked1
}
