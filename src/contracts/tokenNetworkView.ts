/**
 * A token network as it is read. Apart from its calls: pages carry them only when they make one.
 * @module
 */
import { Contract, Interface, type Provider } from 'ethers'
import { tokenNetworkViewFragments } from './generated/tokenNetworkViewFragments.ts'
import type { TokenNetwork, TokenNetworkInterface } from './generated/types/TokenNetwork.ts'

/** Where the newest channel of a pair stands on chain, as `channel` has it. */
export const channelStates = ['none', 'open', 'closed', 'settled'] as const

/** One of {@link channelStates}. */
export type ChannelState = (typeof channelStates)[number]

/** What decodes the events of `TokenNetwork.sol`. */
export const tokenNetworkView: Pick<TokenNetworkInterface, 'parseLog'> = /* @__PURE__ */ new Interface(tokenNetworkViewFragments)

/** What can be asked of a token network. */
export type TokenNetworkReader = Pick<
  TokenNetwork,
  'challengePeriod' | 'channel' | 'registry' | 'secretRegistry' | 'token'
>

/** The token network at an address, to be read. */
export function tokenNetworkReader(address: string, provider: Provider): TokenNetworkReader {
  return new Contract(address, tokenNetworkViewFragments, provider) as unknown as TokenNetworkReader
}
