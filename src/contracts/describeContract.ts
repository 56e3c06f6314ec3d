/**
 * Says what stands at an address where something else belongs. Loaded only then.
 * @module
 */
import { Interface } from 'ethers'
import { toHex } from '../core/bytes.ts'
import { domainSeparator } from '../core/crypto/typedData.ts'
import { SluiceError } from '../core/errors.ts'
import { marks, type Call, type ContractKind, type ContractPlace } from './assertContract.ts'

const eip5267 = /* @__PURE__ */ new Interface([
  'function eip712Domain() view returns (bytes1, string name, string version, uint256 chainId, address verifyingContract, bytes32, uint256[])',
])

/** Where the right address comes from. */
const SOURCES: Readonly<Record<ContractKind, string>> = {
  DataTrade: 'the dataTrade that deployContracts of sluice-sdk/contracts/deploy gave on this chain, the same for both sides',
  Registry: 'the registry that deployContracts of sluice-sdk/contracts/deploy gave on this chain',
  SecretRegistry: 'the secretRegistry that deployChannels of sluice-sdk/contracts/deploy gave on this chain',
  TokenNetworkRegistry: 'the tokenNetworkRegistry that deployChannels of sluice-sdk/contracts/deploy gave on this chain',
  TokenNetwork: 'what tokenNetworks(token) of the TokenNetworkRegistry on this chain answers',
  TowerDeposit: 'the towerDeposit that deployChannels of sluice-sdk/contracts/deploy gave on this chain',
  ProxyTransfer: 'the proxyTransfer that deployExchange of sluice-sdk/contracts/deploy gave on this chain',
  Evidence: 'the evidence that deployExchange of sluice-sdk/contracts/deploy gave on this chain',
  'ERC-20': 'the address of the token on this chain, or leave it out for ETH',
}

/** The error for an address that is not what it should be. @throws `WRONG_CHAIN`, `RPC_FAILED`. */
export async function notDeployed(kind: ContractKind, place: ContractPlace, code: string, call: Call): Promise<SluiceError> {
  const { address, chainId, option } = place
  const found = await describe(kind, place, code, call)
  const wanted = kind === 'ERC-20' ? 'a token (ERC-20)' : `the contract ${kind}`
  return new SluiceError(
    'NOT_DEPLOYED',
    `${option} must be ${wanted}, but ${address} on chain ${chainId} is ${found}; set ${option} to ${SOURCES[kind]}`,
    { details: { option, address, chainId, expected: kind, found } },
  )
}

async function describe(
  kind: ContractKind,
  { address, chainId, option }: ContractPlace,
  code: string,
  call: Call,
): Promise<string> {
  if (code === '0x') return 'an address without code: an account, or the contract of another chain'
  if (code.startsWith('0xef0100')) return 'an account that has delegated to code (EIP-7702)'
  const domain = await domainOf(address, call)
  if (domain?.name.startsWith('Sluice ')) {
    if (domain.chainId !== chainId) {
      throw new SluiceError('WRONG_CHAIN', `the node of ${option} serves chain ${domain.chainId}, not ${chainId} as it says`, {
        details: { expected: chainId, actual: domain.chainId },
      })
    }
    const shown = domain.name.replace(/^Sluice /, '').slice(0, 60)
    if (shown !== kind) return `the contract ${shown}`
    const direct = domain.verifyingContract.toLowerCase() === address.toLowerCase()
    const { name, version, verifyingContract } = domain
    const separator = await call(address, '0x3644e515')
    const expected = toHex(domainSeparator({ name, version, chainId, verifyingContract }))
    if (direct && 'returned' in separator && separator.returned !== expected)
      return `a proxy in front of a ${kind}, by which no signature would count`
    return `a ${kind} of version "${version.slice(0, 20)}" that answers otherwise`
  }
  for (const [other, { calls, shownBy }] of Object.entries(marks)) {
    if (other === kind) continue
    const answers = await Promise.all(calls.map((data) => call(address, data)))
    if (shownBy(answers, { chainId, address })) return other === 'ERC-20' ? 'a token (ERC-20)' : `the contract ${other}`
  }
  return 'a contract of another kind'
}

async function domainOf(
  address: string,
  call: Call,
): Promise<{ name: string; version: string; chainId: bigint; verifyingContract: string } | undefined> {
  const answer = await call(address, eip5267.encodeFunctionData('eip712Domain'))
  if ('reverted' in answer) return undefined
  try {
    const [, name, version, chainId, verifyingContract] = eip5267.decodeFunctionResult('eip712Domain', answer.returned)
    return {
      name: String(name),
      version: String(version),
      chainId: BigInt(chainId as bigint),
      verifyingContract: String(verifyingContract),
    }
  } catch {
    return undefined // another function of that selector, or a fallback that answers anything
  }
}
