import { Contract, type ContractRunner, Interface } from 'ethers'
import { tokenNetworkFragments } from './generated/tokenNetworkFragments.ts'
import type { TokenNetwork, TokenNetworkInterface } from './generated/types/TokenNetwork.ts'

/** The interface of `TokenNetwork.sol`: encodes calls, decodes logs and errors. */
export const tokenNetworkInterface: TokenNetworkInterface = /* @__PURE__ */ new Interface(
  tokenNetworkFragments,
) as TokenNetworkInterface

/** Where the newest channel of a pair stands on chain, as `channel` has it. */
export const channelStates = ['none', 'open', 'closed', 'settled'] as const

/** One of {@link channelStates}. */
export type ChannelState = (typeof channelStates)[number]

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
  return new Contract(address, tokenNetworkInterface, runner) as unknown as TokenNetwork
}
