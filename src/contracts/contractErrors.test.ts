import { readFileSync } from 'node:fs'
import { ZeroAddress, ZeroHash, type Interface } from 'ethers'
import { expect, it } from 'vitest'
import { errorCodeOf, revertError } from '../core/chain/revert.ts'
import { dataTradeInterface } from './dataTrade.ts'
import { evidenceInterface } from './evidence.ts'
import { dataTradeAbi } from './generated/dataTradeAbi.ts'
import { evidenceAbi } from './generated/evidenceAbi.ts'
import { proxyTransferAbi } from './generated/proxyTransferAbi.ts'
import { registryAbi } from './generated/registryAbi.ts'
import { secretRegistryAbi } from './generated/secretRegistryAbi.ts'
import { tokenNetworkAbi } from './generated/tokenNetworkAbi.ts'
import { tokenNetworkRegistryAbi } from './generated/tokenNetworkRegistryAbi.ts'
import { towerDepositAbi } from './generated/towerDepositAbi.ts'
import { proxyTransferInterface } from './proxyTransfer.ts'
import { registryInterface } from './registry.ts'
import { secretRegistryInterface } from './secretRegistry.ts'
import { tokenNetworkInterface } from './tokenNetwork.ts'
import { tokenNetworkRegistryInterface } from './tokenNetworkRegistry.ts'
import { towerDepositInterface } from './towerDeposit.ts'

const source = readFileSync(new URL('../core/errors.ts', import.meta.url), 'utf8')

/** The members of a union type of `errors.ts`, which has no form at run time. */
function members(type: string): string[] {
  const declaration = new RegExp(`export type ${type} =((?:\\s*//.*|\\s*\\| \\S+)+)`).exec(source)
  return [...(declaration?.[1] ?? '').matchAll(/\| '([A-Z_]+)'/g)].map(([, code]) => code!)
}

const contracts = [
  ['DataTrade.sol', dataTradeInterface, dataTradeAbi],
  ['Evidence.sol', evidenceInterface, evidenceAbi],
  ['ProxyTransfer.sol', proxyTransferInterface, proxyTransferAbi],
  ['Registry.sol', registryInterface, registryAbi],
  ['SecretRegistry.sol', secretRegistryInterface, secretRegistryAbi],
  ['TokenNetwork.sol', tokenNetworkInterface, tokenNetworkAbi],
  ['TokenNetworkRegistry.sol', tokenNetworkRegistryInterface, tokenNetworkRegistryAbi],
  ['TowerDeposit.sol', towerDepositInterface, towerDepositAbi],
] as const

const names = new Set(contracts.flatMap(([, , abi]) => abi.flatMap((entry) => (entry.type === 'error' ? [entry.name] : []))))

it('every custom error has its code, and every code its custom error', () => {
  expect(members('ContractErrorCode').sort()).toEqual([...names].map(errorCodeOf).sort())
})

it('no code of a contract means something else too', () => {
  const others = new Set(members('ErrorCode'))
  expect(others.size).toBeGreaterThan(20)
  expect(members('ContractErrorCode').filter((code) => others.has(code))).toEqual([])
})

it.each(contracts)('%s: what it reverts with becomes a typed error', (_, face: Interface, abi) => {
  for (const entry of abi) {
    if (entry.type !== 'error') continue
    const fragment = face.getError(entry.name)!
    const zeros: Record<string, unknown> = { address: ZeroAddress, bytes32: ZeroHash }
    const zero = fragment.inputs.map(({ baseType }) => zeros[baseType] ?? 0)
    const error = revertError(face.encodeErrorResult(fragment, zero), contracts.map(([, known]) => known))
    expect(error.code).toBe(errorCodeOf(entry.name))
    expect(Object.keys(error.details)).toEqual(['error', ...fragment.inputs.map((input) => input.name)])
  }
})
