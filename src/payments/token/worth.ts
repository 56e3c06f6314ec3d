/**
 * What a settlement must bring to be worth its gas.
 * @module
 */
import type { Provider } from 'ethers'
import { createRpc, isDevelopmentChain } from '../../core/chain/rpc.ts'
import type { Clock } from '../../core/clock.ts'
import { ETH } from '../../protocol/menu.ts'

/** A least sum per token: by address in lower case, the zero address for ETH, or as a function of it. */
export type MinSettlement = Readonly<Record<string, bigint>> | ((token: string) => bigint | Promise<bigint>)

/** Gas that one more order costs in a settlement. */
const GAS_PER_ORDER = 50_000n
/** Gas of a settlement of one order, generously. */
export const SETTLEMENT_GAS = 200_000n
/** Wei per gas up to which a development chain's coins are taken for what they are: nothing. */
const PLAY_MONEY = 20n * 10n ** 9n
/** Milliseconds that a fee is believed. */
const FRESH = 15_000

/** Options of {@link createWorth}. */
export interface WorthOptions {
  readonly provider: Provider
  readonly chainId: bigint
  readonly clock: Clock
  readonly minSettlement: MinSettlement | undefined
}

/** See {@link createWorth}. */
export interface Worth {
  /** Wei per gas now. @throws `RPC_FAILED`. */
  gasPrice(signal?: AbortSignal): Promise<bigint>
  /** The least sum of a token that is settled. @throws `RPC_FAILED`. */
  least(token: string, signal?: AbortSignal): Promise<bigint>
}

/**
 * Tells the least sum that is worth settling: what `minSettlement` says, else for ETH what one more order in a settlement
 * costs at the current fee. Tokens have no price here, so without a word of the seller's each sum of one is settled.
 */
export function createWorth({ provider, chainId, clock, minSettlement }: WorthOptions): Worth {
  const rpc = createRpc({ provider, clock })
  let known: { readonly at: number; readonly price: bigint } | undefined
  const gasPrice = async (signal?: AbortSignal): Promise<bigint> => {
    if (!known || Math.abs(clock.now() - known.at) > FRESH) {
      const fees = await rpc.ask('gas price', () => provider.getFeeData(), { attempts: 3, signal })
      known = { at: clock.now(), price: fees.gasPrice ?? fees.maxFeePerGas ?? 0n }
    }
    return known.price
  }
  return {
    gasPrice,
    least: async (address, signal) => {
      const token = address.toLowerCase()
      if (typeof minSettlement === 'function') return minSettlement(token)
      const told = Object.entries(minSettlement ?? {}).find(([name]) => name.toLowerCase() === token)
      if (told) return told[1]
      if (token !== ETH) return 0n
      const price = await gasPrice(signal)
      return isDevelopmentChain(chainId) && price <= PLAY_MONEY ? 0n : price * GAS_PER_ORDER
    },
  }
}
