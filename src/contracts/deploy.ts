import { ContractFactory, getCreateAddress, type InterfaceAbi, type Provider, type Signer, ZeroAddress } from 'ethers'
import { address as addressRule, assertArguments, optional, rule, signer as signerRule } from '../core/argument.ts'
import { revertData } from '../core/chain/revert.ts'
import { createRpc } from '../core/chain/rpc.ts'
import { createSender } from '../core/chain/sender.ts'
import { reasonOf } from '../core/chain/verdict.ts'
import { assertArgument, SluiceError } from '../core/errors.ts'
import type { ChannelDeployment, Deployment, ExchangeDeployment } from './deployments.ts'
import { dataTradeAbi } from './generated/dataTradeAbi.ts'
import { dataTradeBytecode } from './generated/dataTradeBytecode.ts'
import { evidenceAbi } from './generated/evidenceAbi.ts'
import { evidenceBytecode } from './generated/evidenceBytecode.ts'
import { proxyTransferAbi } from './generated/proxyTransferAbi.ts'
import { proxyTransferBytecode } from './generated/proxyTransferBytecode.ts'
import { registryAbi } from './generated/registryAbi.ts'
import { registryBytecode } from './generated/registryBytecode.ts'
import { secretRegistryAbi } from './generated/secretRegistryAbi.ts'
import { secretRegistryBytecode } from './generated/secretRegistryBytecode.ts'
import { tokenNetworkRegistryAbi } from './generated/tokenNetworkRegistryAbi.ts'
import { tokenNetworkRegistryBytecode } from './generated/tokenNetworkRegistryBytecode.ts'
import { towerDepositAbi } from './generated/towerDepositAbi.ts'
import { towerDepositBytecode } from './generated/towerDepositBytecode.ts'

/** Options of {@link deployContracts}. */
export interface DeployOptions {
  /**
   * Seconds that sellers have after a deadline or a close request to redeem what they hold. Buyers wait as long for
   * their money when a seller is gone; sellers that are offline for longer can lose theirs.
   * @default 3600
   */
  readonly grace?: number | undefined
}

const callRules = { signer: signerRule, options: /* @__PURE__ */ rule('an object of options', (value) => typeof value === 'object' && value !== null) }

/**
 * Deploys `DataTrade.sol` and `Registry.sol`, in two transactions.
 * @throws `HARDFORK_MISSING` if the chain does not run what the contracts are compiled for; `BAD_ARGUMENT` for a signer without
 * provider; `INSUFFICIENT_FUNDS`, `TRANSACTION_REJECTED`, `CONTRACT_REVERTED`, `RPC_FAILED`.
 * @example
 * ```ts
 * const { dataTrade, registry, fromBlock } = await deployContracts(signer)
 * ```
 */
export async function deployContracts(signer: Signer, options: DeployOptions = {}): Promise<Deployment> {
  assertArguments({ signer, options }, callRules)
  const { grace = 3600 } = options
  assertArgument(Number.isInteger(grace) && grace >= 0 && grace < 2 ** 31, 'grace', 'whole seconds below 2^31')
  const dataTrade = await deploy('DataTrade', signer, dataTradeAbi, dataTradeBytecode, [grace])
  const registry = await deploy('Registry', signer, registryAbi, registryBytecode, [])
  return { dataTrade: dataTrade.address, registry: registry.address, fromBlock: dataTrade.block }
}

/** Options of {@link deployChannels}. */
export interface DeployChannelsOptions {
  /**
   * Seconds between the closing of a channel and its settlement: how long a node may be offline at most. Unearned locks
   * go back as long after the settlement. Clients of watchtowers wait twice as long for their deposit.
   * @default 86400
   */
  readonly challengePeriod?: number | undefined
}

/**
 * Deploys `SecretRegistry.sol`, `TokenNetworkRegistry.sol` and, for rewards in ETH, `TowerDeposit.sol`, in three
 * transactions. The network of a token is made by anyone with `createTokenNetwork` of the registry.
 * @throws `HARDFORK_MISSING` if the chain does not run what the contracts are compiled for; `BAD_ARGUMENT` for a signer without
 * provider; `INSUFFICIENT_FUNDS`, `TRANSACTION_REJECTED`, `CONTRACT_REVERTED`, `RPC_FAILED`.
 * @example
 * ```ts
 * const { tokenNetworkRegistry } = await deployChannels(signer)
 * await (await tokenNetworkRegistryContract(tokenNetworkRegistry, signer).createTokenNetwork(token)).wait()
 * ```
 */
export async function deployChannels(
  signer: Signer,
  options: DeployChannelsOptions = {},
): Promise<ChannelDeployment> {
  assertArguments({ signer, options }, callRules)
  const { challengePeriod = 86_400 } = options
  assertArgument(
    Number.isInteger(challengePeriod) && challengePeriod > 0 && challengePeriod < 2 ** 31,
    'challengePeriod',
    'whole seconds from 1 to below 2^31',
  )
  const secrets = await deploy('SecretRegistry', signer, secretRegistryAbi, secretRegistryBytecode, [])
  const networks = await deploy('TokenNetworkRegistry', signer, tokenNetworkRegistryAbi, tokenNetworkRegistryBytecode, [
    challengePeriod,
    secrets.address,
  ])
  const towers = await deploy('TowerDeposit', signer, towerDepositAbi, towerDepositBytecode, [
    networks.address,
    ZeroAddress,
    2 * challengePeriod,
  ])
  return {
    secretRegistry: secrets.address,
    tokenNetworkRegistry: networks.address,
    towerDeposit: towers.address,
    fromBlock: secrets.block,
  }
}

/** Options of {@link deployExchange}. */
export interface DeployExchangeOptions {
  /** Address of who may add assets. @default the signer's */
  readonly operator?: string | undefined
  /**
   * Log2 of the places for digests of transfers: each is used again once its authorisation has expired, for a quarter of
   * the gas. About four times as many as authorisations that are good at a time serve best.
   * @default 14
   */
  readonly placeBits?: number | undefined
}

/**
 * Deploys `ProxyTransfer.sol` and `Evidence.sol`, in two transactions. The operator adds assets with `addAsset`, merchants
 * and data sources open their accounts with `open`.
 * @throws `HARDFORK_MISSING` if the chain does not run what the contracts are compiled for; `BAD_ARGUMENT` for a signer without
 * provider; `INSUFFICIENT_FUNDS`, `TRANSACTION_REJECTED`, `CONTRACT_REVERTED`, `RPC_FAILED`.
 * @example
 * ```ts
 * const { proxyTransfer } = await deployExchange(signer)
 * await (await proxyTransferContract(proxyTransfer, signer).addAsset(1, ZeroAddress)).wait()
 * ```
 */
export async function deployExchange(
  signer: Signer,
  options: DeployExchangeOptions = {},
): Promise<ExchangeDeployment> {
  assertArguments({ signer, options }, callRules)
  const { operator, placeBits = 14 } = options
  assertArguments({ operator }, { operator: optional(addressRule) })
  assertArgument(Number.isInteger(placeBits) && placeBits >= 0 && placeBits <= 32, 'placeBits', 'a whole number from 0 to 32')
  const transfers = await deploy('ProxyTransfer', signer, proxyTransferAbi, proxyTransferBytecode, [
    operator ?? (await signer.getAddress()),
    placeBits,
  ])
  const evidence = await deploy('Evidence', signer, evidenceAbi, evidenceBytecode, [])
  return { proxyTransfer: transfers.address, evidence: evidence.address, fromBlock: transfers.block }
}

/**
 * Code that runs the opcodes which the compiler may use for a hardfork and no earlier one has.
 * Source: EIP-3855 (PUSH0), EIP-5656 (MCOPY), EIP-1153 (TLOAD).
 */
const HARDFORKS = [
  { hardfork: 'Shanghai', probe: '0x5f5ff3' },
  { hardfork: 'Cancun', probe: '0x6000600060005e60005c60006000f3' },
] as const

/** Runs the opcodes that the contracts are made of, before they cost anything. @throws `HARDFORK_MISSING`, `RPC_FAILED`. */
async function assertHardfork(name: string, provider: Provider, chainId: bigint): Promise<void> {
  const rpc = createRpc({ provider })
  for (const { hardfork, probe } of HARDFORKS) {
    const run = () => provider.call({ data: probe }).then(() => true, isFailedCall)
    if (await rpc.ask(`opcodes of ${hardfork}`, run, { attempts: 5 })) continue
    throw new SluiceError(
      'HARDFORK_MISSING',
      `chain ${chainId} does not run the opcodes of the ${hardfork} hardfork, which ${name} is compiled for: nothing was sent`,
      { details: { contract: name, chainId, hardfork } },
    )
  }
}

/** False for a call that the chain has run and that failed; throws what kept the node from running it. */
function isFailedCall(error: unknown): false {
  if (revertData(error) !== undefined) return false
  if (/opcode|not ?activated|undefined instruction|bad instruction/i.test(reasonOf(error))) return false
  throw error
}

async function deploy(
  name: string,
  signer: Signer,
  abi: InterfaceAbi,
  bytecode: string,
  args: readonly unknown[],
): Promise<{ address: string; block: number }> {
  const sender = await createSender({ signer })
  try {
    await assertHardfork(name, signer.provider!, sender.chainId)
    const { data } = await new ContractFactory(abi, bytecode).getDeployTransaction(...args)
    const receipt = await sender.send({ to: null, data }, { label: `deployment of ${name}` })
    return { address: getCreateAddress({ from: sender.address, nonce: receipt.nonce }), block: receipt.blockNumber }
  } finally {
    await sender.close()
  }
}
