import { type ContractRunner, Interface } from 'ethers'
import { contractAt } from './contractAt.ts'
import { tokenNetworkCallFragments } from './generated/tokenNetworkCallFragments.ts'
import { tokenNetworkViewFragments } from './generated/tokenNetworkViewFragments.ts'
import type { TokenNetwork, TokenNetworkInterface } from './generated/types/TokenNetwork.ts'

/** The interface of `TokenNetwork.sol`: encodes calls, decodes logs and errors. */
export const tokenNetworkInterface: TokenNetworkInterface = /* @__PURE__ */ new Interface([
  ...tokenNetworkViewFragments,
  ...tokenNetworkCallFragments,
]) as TokenNetworkInterface

/**
 * The token network at an address.
 * @param runner A provider to read, a signer to write too.
 * @example
 * ```ts
 * const { channelId, state } = await tokenNetworkContract(address, provider).channel(me, partner)
 * console.log(channelId, channelStates[Number(state)])
 * ```
 */
export function tokenNetworkContract(address: string, runner?: ContractRunner | null): TokenNetwork {
  return contractAt<TokenNetwork>(address, tokenNetworkInterface, runner)
}
