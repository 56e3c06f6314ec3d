import { type ContractRunner, Interface } from 'ethers'
import { contractAt } from './contractAt.ts'
import { tokenNetworkRegistryFragments } from './generated/tokenNetworkRegistryFragments.ts'
import type { TokenNetworkRegistry, TokenNetworkRegistryInterface } from './generated/types/TokenNetworkRegistry.ts'

/** The interface of `TokenNetworkRegistry.sol`: encodes calls, decodes logs and errors. */
export const tokenNetworkRegistryInterface: TokenNetworkRegistryInterface = /* @__PURE__ */ new Interface(
  tokenNetworkRegistryFragments,
) as TokenNetworkRegistryInterface

/**
 * The registry of token networks at an address.
 * @param runner A provider to read, a signer to write too.
 * @example
 * ```ts
 * const network = await tokenNetworkRegistryContract(address, provider).tokenNetworks(token)
 * ```
 */
export function tokenNetworkRegistryContract(address: string, runner?: ContractRunner | null): TokenNetworkRegistry {
  return contractAt<TokenNetworkRegistry>(address, tokenNetworkRegistryInterface, runner)
}
