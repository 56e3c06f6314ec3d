import { Contract, type ContractRunner, type Interface } from 'ethers'
import { address as addressRule, assertArguments, having, optional } from '../core/argument.ts'

const runnerRule = /* @__PURE__ */ having('an ethers provider, or a signer connected to one', 'call')
const rules = { address: addressRule, runner: /* @__PURE__ */ optional(runnerRule) }

/** Binds an interface to an address, typed by the caller. @throws `BAD_ARGUMENT` for what is no address or no runner. */
export function contractAt<T>(address: string, abi: Interface, runner?: ContractRunner | null): T {
  assertArguments({ address, runner: runner ?? undefined }, rules)
  return new Contract(address, abi, runner) as unknown as T
}
