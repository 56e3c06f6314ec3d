import { type ContractRunner, Interface } from 'ethers'
import { contractAt } from './contractAt.ts'
import { secretRegistryFragments } from './generated/secretRegistryFragments.ts'
import type { SecretRegistry, SecretRegistryInterface } from './generated/types/SecretRegistry.ts'

/** The interface of `SecretRegistry.sol`: encodes calls, decodes logs and errors. */
export const secretRegistryInterface: SecretRegistryInterface = /* @__PURE__ */ new Interface(
  secretRegistryFragments,
) as SecretRegistryInterface

/**
 * The secret registry at an address.
 * @param runner A provider to read, a signer to write too.
 * @example
 * ```ts
 * const { hash } = await secretRegistryContract(address, signer).registerSecrets([secret])
 * ```
 */
export function secretRegistryContract(address: string, runner?: ContractRunner | null): SecretRegistry {
  return contractAt<SecretRegistry>(address, secretRegistryInterface, runner)
}
