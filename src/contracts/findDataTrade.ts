import type { Provider } from 'ethers'
import { createRpc } from '../core/chain/rpc.ts'
import type { Clock } from '../core/clock.ts'
import { assertContract } from './assertContract.ts'
import { dataTradeContract } from './dataTrade.ts'
import { deployment } from './deployments.ts'
import { dataTradeDomain, type DataTradeDomain } from './typedData.ts'

/** Options of {@link findDataTrade}. */
export interface FindDataTradeOptions {
  readonly provider: Provider
  /** Address of the order contract. @default the known deployment on the provider's chain */
  readonly dataTrade: string | undefined
  readonly clock: Clock
}

/**
 * Finds the order contract, makes sure that it is one, and reads its domain.
 * @throws `BAD_ARGUMENT`, `NOT_DEPLOYED`, `WRONG_CHAIN`, `RPC_FAILED`.
 */
export async function findDataTrade({ provider, dataTrade, clock }: FindDataTradeOptions): Promise<DataTradeDomain> {
  const rpc = createRpc({ provider, clock })
  const ask = { attempts: 2 }
  const chainId = await rpc.chainId(ask)
  const address = dataTrade ?? deployment(chainId).dataTrade
  await assertContract('DataTrade', { provider, chainId, address, option: 'dataTrade', clock })
  const origin = await rpc.ask('origin chain id of dataTrade', () => dataTradeContract(address, provider).originChainId(), ask)
  return dataTradeDomain(chainId, address, origin)
}
