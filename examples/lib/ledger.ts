/**
 * What happened to the money, as the chain tells it: nothing here is taken from what a seller or buyer says.
 * @module
 */
import type { Provider, TransactionReceipt } from 'ethers'
import type { Hex } from 'sluice-sdk'
import { dataTradeContract, dataTradeInterface } from 'sluice-sdk/contracts'

/** One transaction. */
export interface LedgerTransaction {
  readonly from: string
  readonly gas: bigint
  /** Wei paid for the gas. */
  readonly fee: bigint
  /** The order it is about, if it is about one. */
  readonly order: Hex | undefined
}

/** One finished order. */
export interface LedgerOrder {
  readonly id: Hex
  readonly buyer: string
  readonly seller: string
  readonly deposit: bigint
  /** To the seller. */
  readonly paid: bigint
  /** Back to the buyer. */
  readonly refunded: bigint
  readonly transactions: readonly LedgerTransaction[]
}

/** A stretch of the chain. */
export interface Ledger {
  readonly orders: readonly LedgerOrder[]
  readonly transactions: readonly LedgerTransaction[]
}

/** Reads every transaction after block `since`, and every order that one of them finished. */
export async function readLedger(provider: Provider, dataTrade: string, since: number): Promise<Ledger> {
  const contract = dataTradeContract(dataTrade, provider)
  const transactions: LedgerTransaction[] = []
  const refunds = new Map<Hex, bigint>()

  const enter = (receipt: TransactionReceipt): void => {
    const logs = receipt.logs.filter(({ address }) => address === dataTrade)
    const events = logs.map((log) => dataTradeInterface.parseLog(log)!)
    for (const { name, args } of events) {
      if (name === 'Settled' || name === 'Disputed') refunds.set(args.id as Hex, args.refunded as bigint)
    }
    const { from, gasUsed: gas, fee } = receipt
    transactions.push({ from, gas, fee, order: events[0]?.args.id as Hex | undefined })
  }

  const head = await provider.getBlockNumber()
  for (let number = since + 1; number <= head; number++) {
    for (const hash of (await provider.getBlock(number))!.transactions) enter((await provider.getTransactionReceipt(hash))!)
  }

  const orders: LedgerOrder[] = []
  for (const [id, refunded] of refunds) {
    const [{ buyer, seller }, { deposit, paid }] = await Promise.all([contract.orders(id), contract.account(id)])
    orders.push({ id, buyer, seller, deposit, paid, refunded, transactions: transactions.filter(({ order }) => order === id) })
  }
  return { orders, transactions }
}
