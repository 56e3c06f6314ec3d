import { type ContractRunner, Interface } from 'ethers'
import { computeFrom } from '../core/argument.ts'
import type { Hex } from '../core/bytes.ts'
import { contractAt } from './contractAt.ts'
import { dataTradeFragments } from './generated/dataTradeFragments.ts'
import type { DataTrade, DataTradeInterface } from './generated/types/DataTrade.ts'
import type { Order } from './order.ts'

/** The interface of `DataTrade.sol`: encodes calls, decodes logs and errors. */
export const dataTradeInterface: DataTradeInterface = /* @__PURE__ */ new Interface(dataTradeFragments) as DataTradeInterface

/** Where an order stands on chain, as `account` has it. */
export const orderStates = ['none', 'open', 'settled', 'disputed'] as const

/** One of {@link orderStates}. */
export type OrderState = (typeof orderStates)[number]

/**
 * The order contract at an address.
 * @param runner A provider to read, a signer to write too.
 * @example
 * ```ts
 * const contract = dataTradeContract(address, provider)
 * const { data_transfered, is_finished } = await contract.orders(id)
 * ```
 */
export function dataTradeContract(address: string, runner?: ContractRunner | null): DataTrade {
  return contractAt<DataTrade>(address, dataTradeInterface, runner)
}

/** The terms of an order as the contract's calls and its `OrderCreated` event give them. */
export type OrderStruct = {
  readonly [K in keyof Order]: Order[K] extends number ? bigint : Order[K] extends Hex ? string : Order[K]
}

/** The terms of an order out of what ethers decoded. */
export function orderFromStruct(struct: OrderStruct): Order {
  return computeFrom('struct', 'an order as DataTrade.sol has it', () => orderOf(struct))
}

function orderOf(struct: OrderStruct): Order {
  const { buyer, seller, token, ackSigner, price, totalData, chunks, dataRoot, deadline, salt } = struct
  return {
    buyer,
    seller,
    token,
    ackSigner,
    price,
    totalData: Number(totalData),
    chunks: Number(chunks),
    dataRoot: dataRoot as Hex,
    deadline: Number(deadline),
    salt: salt as Hex,
  }
}
