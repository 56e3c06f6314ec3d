import { type ContractRunner, Interface } from 'ethers'
import { contractAt } from './contractAt.ts'
import { evidenceFragments } from './generated/evidenceFragments.ts'
import type { Evidence, EvidenceInterface } from './generated/types/Evidence.ts'

/** The interface of `Evidence.sol`: encodes calls, decodes logs and errors. */
export const evidenceInterface: EvidenceInterface = /* @__PURE__ */ new Interface(evidenceFragments) as EvidenceInterface

/**
 * The contract that roots of records are anchored in, at an address.
 * @param runner A provider to read, a signer to write too.
 * @example
 * ```ts
 * const at = await evidenceContract(address, provider).verify(exchange, root, size, index, digest, proof)
 * ```
 */
export function evidenceContract(address: string, runner?: ContractRunner | null): Evidence {
  return contractAt<Evidence>(address, evidenceInterface, runner)
}
