import { type ContractRunner, Interface } from 'ethers'
import { contractAt } from './contractAt.ts'
import { registryFragments } from './generated/registryFragments.ts'
import type { Registry, RegistryInterface } from './generated/types/Registry.ts'

/** The interface of `Registry.sol`: encodes calls, decodes logs and errors. */
export const registryInterface: RegistryInterface = /* @__PURE__ */ new Interface(registryFragments) as RegistryInterface

/** The key of the sellers of data in the registry: keccak-256 of `data`. */
export const DATA_SERVICE = '0x8f54f1c2d0eb5771cd5bf67a6689fcd6eed9444d91a39e5ef32a9b4ae5ca14ff'

/** The key of channel nodes in the registry, with where they are reached: keccak-256 of `channel`. */
export const CHANNEL_SERVICE = '0xb1d9bb384c97b60657b57c9ef2b09a91d8a63c3f635bc8b05816cb8759d7e17a'

/** The key of the seeds of the channel nodes' Kademlia network, with their multiaddrs: keccak-256 of `channel/kademlia`. */
export const KADEMLIA_SERVICE = '0x07ddeac38eddeb27abcb3eaef140dff6d0f5a2c166bb80576382cf7710c03a31'

/**
 * The registry at an address.
 * @param runner A provider to read, a signer to write too.
 * @example
 * ```ts
 * const sellers = await registryContract(address, provider).list(DATA_SERVICE, 0, 100)
 * ```
 */
export function registryContract(address: string, runner?: ContractRunner | null): Registry {
  return contractAt<Registry>(address, registryInterface, runner)
}
