/**
 * Money that could not be pushed to its owner, and waits in the order contract.
 * @module
 */
import type { Provider } from 'ethers'
import { dataTradeContract, dataTradeInterface } from '../../contracts/dataTrade.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import type { Sender, SentReceipt } from '../../core/chain/sender.ts'
import { ETH } from '../../protocol/menu.ts'

/** What an account can take out of the order contract. @throws `RPC_FAILED`. */
export function creditOf(provider: Provider, dataTrade: string, account: string, token: string = ETH): Promise<bigint> {
  return createRpc({ provider }).ask('credit', () => dataTradeContract(dataTrade, provider).credit(token, account), { attempts: 3 })
}

/**
 * Takes out the credit of the sender's account, to an address that can receive it.
 * @throws `NOTHING_TO_WITHDRAW`, `WITHDRAW_FAILED` when that address refuses it too.
 */
export function withdrawCredit(sender: Sender, dataTrade: string, to: string, token: string = ETH): Promise<SentReceipt> {
  return sender.send({ to: dataTrade, data: dataTradeInterface.encodeFunctionData('withdraw', [token, to]) }, { label: 'withdraw credit' })
}
