import { type ContractRunner, Interface } from 'ethers'
import { contractAt } from './contractAt.ts'
import { towerDepositFragments } from './generated/towerDepositFragments.ts'
import type { TowerDeposit, TowerDepositInterface } from './generated/types/TowerDeposit.ts'

/** The interface of `TowerDeposit.sol`: encodes calls, decodes logs and errors. */
export const towerDepositInterface: TowerDepositInterface = /* @__PURE__ */ new Interface(
  towerDepositFragments,
) as TowerDepositInterface

/**
 * The deposit that watchtowers are paid from, at an address.
 * @param runner A provider to read, a signer to write too.
 * @example
 * ```ts
 * const { deposit } = await towerDepositContract(address, provider).accounts(client)
 * ```
 */
export function towerDepositContract(address: string, runner?: ContractRunner | null): TowerDeposit {
  return contractAt<TowerDeposit>(address, towerDepositInterface, runner)
}
