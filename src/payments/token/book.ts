/**
 * Reads orders from the chain.
 * @module
 */
import type { Provider } from 'ethers'
import { dataTradeContract, orderStates, type OrderState } from '../../contracts/dataTrade.ts'
import type { DataTradeDomain } from '../../contracts/typedData.ts'
import type { Hex } from '../../core/bytes.ts'
import { createRpc, pollIntervalOf } from '../../core/chain/rpc.ts'
import type { Clock } from '../../core/clock.ts'

/** An order as the chain has it. */
export interface ChainOrder {
  /** Number of the block that shows it. */
  readonly block: number
  /** `none` also for an order that isn't deep enough yet. */
  readonly state: OrderState
  readonly deposit: bigint
  /** Paid to the seller so far. */
  readonly paid: bigint
  /** Bytes that the buyer has recorded on chain. */
  readonly transferred: number
  /** Unix seconds at which the buyer's close request takes effect; 0 without one. */
  readonly closeAt: number
}

/** The order contract, read at a depth. */
export interface ChainBook {
  /** Milliseconds between two looks that make sense on this chain. */
  readonly pollInterval: number
  /** An order, as of the block that has `confirmations` (1 is the newest). */
  order(id: Hex, confirmations: number, signal?: AbortSignal): Promise<ChainOrder>
  /** Unix seconds of the newest block. */
  time(signal?: AbortSignal): Promise<number>
  /** Number of the newest block. */
  head(signal?: AbortSignal): Promise<number>
  /** Seconds that the seller has after a deadline or a close request. */
  grace(signal?: AbortSignal): Promise<number>
}

/** Times that a read is tried before it counts as failed. */
const ATTEMPTS = 6

/** Opens the order contract of a domain for reading. */
export function chainBook(provider: Provider, domain: DataTradeDomain, clock: Clock): ChainBook {
  const contract = dataTradeContract(domain.verifyingContract, provider)
  const rpc = createRpc({ provider, clock })
  return {
    pollInterval: pollIntervalOf(domain.chainId),
    order: async (id, confirmations, signal) => {
      const blockTag = (await rpc.head({ attempts: ATTEMPTS, signal })) - confirmations + 1
      if (blockTag < 0) return { block: blockTag, state: 'none', deposit: 0n, paid: 0n, transferred: 0, closeAt: 0 }
      // Both at one block, so that they belong together.
      const [seen, account] = await rpc.ask('order', () => Promise.all([contract.orders(id, { blockTag }), contract.account(id, { blockTag })]), {
        attempts: ATTEMPTS,
        signal,
      })
      return {
        block: blockTag,
        state: orderStates[Number(account.state)]!,
        deposit: account.deposit,
        paid: account.paid,
        transferred: Number(seen.data_transfered),
        closeAt: Number(account.closeAt),
      }
    },
    time: async (signal) => {
      const head = await rpc.head({ attempts: ATTEMPTS, signal })
      return (await rpc.header(head, { attempts: ATTEMPTS, signal }))?.timestamp ?? Math.floor(clock.now() / 1000)
    },
    head: (signal) => rpc.head({ attempts: ATTEMPTS, signal }),
    grace: (signal) => rpc.ask('grace period', async () => Number(await contract.grace()), { attempts: ATTEMPTS, signal }),
  }
}
