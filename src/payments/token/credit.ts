/**
 * Money that could not be pushed to its owner, and waits in the order contract.
 * @module
 */
import type { Provider } from 'ethers'
import { address as addressRule, assertArguments, having, provider as providerRule } from '../../core/argument.ts'
import { dataTradeContract, dataTradeInterface } from '../../contracts/dataTrade.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import type { Sender, SentReceipt } from '../../core/chain/sender.ts'
import { ETH } from '../../protocol/menu.ts'

/** What an account can take out of the order contract. @throws `RPC_FAILED`. */
export async function creditOf(provider: Provider, dataTrade: string, account: string, token: string = ETH): Promise<bigint> {
  assertArguments({ provider }, { provider: providerRule })
  assertArguments({ dataTrade, account, token }, { dataTrade: addressRule, account: addressRule, token: addressRule })
  return createRpc({ provider }).ask('credit', () => dataTradeContract(dataTrade, provider).credit(token, account), { attempts: 3 })
}

/**
 * Takes out the credit of the sender's account, to an address that can receive it.
 * @throws `NOTHING_TO_WITHDRAW`, `WITHDRAW_FAILED` when that address refuses it too.
 */
export async function withdrawCredit(sender: Sender, dataTrade: string, to: string, token: string = ETH): Promise<SentReceipt> {
  assertArguments({ sender }, { sender: having('a sender of a payer or seller', 'send') })
  assertArguments({ dataTrade, to, token }, { dataTrade: addressRule, to: addressRule, token: addressRule })
  return sender.send({ to: dataTrade, data: dataTradeInterface.encodeFunctionData('withdraw', [token, to]) }, { label: 'withdraw credit' })
}
