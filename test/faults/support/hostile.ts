/**
 * Deploys the hostile tokens and receivers of `test/solidity/Hostile.sol`.
 * @module
 */
import { readFile } from 'node:fs/promises'
import { Contract, ContractFactory, type HDNodeWallet, type InterfaceAbi } from 'ethers'

/** Deploys one of them from an account. */
export async function deployHostile(
  account: HDNodeWallet,
  name: string,
  ...args: readonly unknown[]
): Promise<{ address: string; contract: HostileContract }> {
  const file = new URL('../../fixtures/contracts/hostile.json', import.meta.url)
  const { abi, bytecode } = (JSON.parse(await readFile(file, 'utf8')) as Record<string, { abi: InterfaceAbi; bytecode: string }>)[
    name
  ]!
  const deployed = await new ContractFactory(abi, bytecode, account).deploy(...args)
  await deployed.deploymentTransaction()!.wait()
  const address = await deployed.getAddress()
  return { address, contract: new Contract(address, abi, account) as unknown as HostileContract }
}

/** What the tests call of them. */
export interface HostileContract {
  mint(to: string, amount: bigint): Promise<{ wait(): Promise<unknown> }>
  refuse(yes: boolean): Promise<{ wait(): Promise<unknown> }>
  setBlocked(account: string, yes: boolean): Promise<{ wait(): Promise<unknown> }>
  arm(target: string, data: string): Promise<{ wait(): Promise<unknown> }>
  burn(yes: boolean): Promise<{ wait(): Promise<unknown> }>
  hookSucceeded(): Promise<boolean>
  balanceOf(account: string): Promise<bigint>
  execute(to: string, call: string, overrides: { value: bigint }): Promise<{ wait(): Promise<unknown> }>
}
