/**
 * Finds orders whose time is over, by the key of a party, and settles them: anyone may, seed steps 8 and 9.
 * @module
 */
import { zeroPadValue, type Provider } from 'ethers'
import { abortSignal, address as addressRule, assertArguments, computeFrom, having, integer, optional, provider as providerRule } from '../../core/argument.ts'
import { dataTradeContract, dataTradeInterface, orderFromStruct, type OrderStruct } from '../../contracts/dataTrade.ts'
import type { Order } from '../../contracts/order.ts'
import type { Hex } from '../../core/bytes.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import type { SentReceipt, Sender } from '../../core/chain/sender.ts'

/** An order that anyone may settle. */
export interface OverdueOrder {
  readonly id: Hex
  readonly order: Order
}

/** Options of {@link overdueOrders}. */
export interface OverdueOptions {
  readonly provider: Provider
  /** Address of the order contract. */
  readonly dataTrade: string
  /** A buyer or a seller. */
  readonly party: string
  /** The first block to look at, usually the contract's own. */
  readonly fromBlock: number
  /** Blocks asked for at once. @default 2000 */
  readonly maxRange?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** Ids that one call asks the contract about. */
const PAGE = 200

const optionRules = {
  provider: providerRule,
  dataTrade: addressRule,
  party: addressRule,
  fromBlock: /* @__PURE__ */ integer(0),
  maxRange: /* @__PURE__ */ optional(/* @__PURE__ */ integer(1)),
  signal: /* @__PURE__ */ optional(abortSignal),
}

/**
 * The open orders of a party whose time is over: after the deadline and the grace behind it, or when the window of a
 * close request has passed.
 * @throws `RPC_FAILED`, `ABORTED`.
 */
export async function overdueOrders(options: OverdueOptions): Promise<readonly OverdueOrder[]> {
  assertArguments(options, optionRules, 'options')
  const { provider, dataTrade, party, fromBlock, maxRange = 2000, signal } = options
  const contract = dataTradeContract(dataTrade, provider)
  const rpc = createRpc({ provider })
  const ask = { attempts: 6, signal }
  const head = await rpc.head(ask)
  const created = dataTradeInterface.getEvent('OrderCreated').topicHash
  const who = zeroPadValue(party, 32)
  const found = new Map<Hex, Order>()
  for (let from = fromBlock; from <= head; from += maxRange) {
    const toBlock = Math.min(head, from + maxRange - 1)
    for (const topics of [
      [created, null, who],
      [created, null, null, who],
    ]) {
      for (const log of await rpc.ask('orders', () => provider.getLogs({ address: dataTrade, topics, fromBlock: from, toBlock }), ask)) {
        const parsed = dataTradeInterface.parseLog(log)!
        found.set(parsed.args.id as Hex, orderFromStruct(parsed.args.order as OrderStruct))
      }
    }
  }
  const orders = [...found].map(([id, order]) => ({ id, order }))
  const overdue: OverdueOrder[] = []
  for (let at = 0; at < orders.length; at += PAGE) {
    const page = orders.slice(at, at + PAGE)
    const over = await rpc.ask('overdue orders', () => contract.overdue(page.map(({ id }) => id)), ask)
    overdue.push(...page.filter((_, i) => over[i]))
  }
  return overdue
}

/** Settles overdue orders in one transaction, from any account: by the count on chain, or what was redeemed. */
export async function settleOverdue(sender: Sender, dataTrade: string, orders: readonly OverdueOrder[]): Promise<SentReceipt> {
  assertArguments({ sender, dataTrade }, { sender: having('a sender of a payer or seller', 'send'), dataTrade: addressRule })
  const data = computeFrom('orders', 'what overdueOrders() returns', () =>
    dataTradeInterface.encodeFunctionData('settleBatch', [orders.map(({ order }) => ({ order, transferred: 0, signature: '0x' }))]))
  return sender.send({ to: dataTrade, data }, { label: `settle ${orders.length} overdue orders` })
}
