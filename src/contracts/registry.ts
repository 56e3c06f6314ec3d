import { Contract, type ContractRunner, Interface } from 'ethers'
import { registryFragments } from './generated/registryFragments.ts'
import type { Registry, RegistryInterface } from './generated/types/Registry.ts'

/** The interface of `Registry.sol`: encodes calls, decodes logs and errors. */
export const registryInterface: RegistryInterface = /* @__PURE__ */ new Interface(registryFragments) as RegistryInterface

/** The key of the sellers of data in the registry: keccak-256 of `data`. */
export const DATA_SERVICE = '0x8f54f1c2d0eb5771cd5bf67a6689fcd6eed9444d91a39e5ef32a9b4ae5ca14ff'

/**
 * The registry at an address.
 * @param runner A provider to read, a signer to write too.
 * @example
 * ```ts
 * const sellers = await registryContract(address, provider).list(DATA_SERVICE, 0, 100)
 * ```
 */
export function registryContract(address: string, runner?: ContractRunner | null): Registry {
  return new Contract(address, registryInterface, runner) as unknown as Registry
}
