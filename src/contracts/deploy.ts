import { ContractFactory, isError, type InterfaceAbi, type Signer, ZeroAddress } from 'ethers'
import { revertData, revertError } from '../core/chain/revert.ts'
import { rpcError } from '../core/chain/rpc.ts'
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

/**
 * Deploys `DataTrade.sol` and `Registry.sol`, in two transactions.
 * @throws `INSUFFICIENT_FUNDS`, `TRANSACTION_REJECTED`, `CONTRACT_REVERTED`, `RPC_FAILED`.
 * @example
 * ```ts
 * const { dataTrade, registry, fromBlock } = await deployContracts(signer)
 * ```
 */
export async function deployContracts(signer: Signer, { grace = 3600 }: DeployOptions = {}): Promise<Deployment> {
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
 * @throws `INSUFFICIENT_FUNDS`, `TRANSACTION_REJECTED`, `CONTRACT_REVERTED`, `RPC_FAILED`.
 * @example
 * ```ts
 * const { tokenNetworkRegistry } = await deployChannels(signer)
 * await (await tokenNetworkRegistryContract(tokenNetworkRegistry, signer).createTokenNetwork(token)).wait()
 * ```
 */
export async function deployChannels(
  signer: Signer,
  { challengePeriod = 86_400 }: DeployChannelsOptions = {},
): Promise<ChannelDeployment> {
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
 * @throws `INSUFFICIENT_FUNDS`, `TRANSACTION_REJECTED`, `CONTRACT_REVERTED`, `RPC_FAILED`.
 * @example
 * ```ts
 * const { proxyTransfer } = await deployExchange(signer)
 * await (await proxyTransferContract(proxyTransfer, signer).addAsset(1, ZeroAddress)).wait()
 * ```
 */
export async function deployExchange(
  signer: Signer,
  { operator, placeBits = 14 }: DeployExchangeOptions = {},
): Promise<ExchangeDeployment> {
  assertArgument(Number.isInteger(placeBits) && placeBits >= 0 && placeBits <= 32, 'placeBits', 'a whole number from 0 to 32')
  const transfers = await deploy('ProxyTransfer', signer, proxyTransferAbi, proxyTransferBytecode, [
    operator ?? (await signer.getAddress()),
    placeBits,
  ])
  const evidence = await deploy('Evidence', signer, evidenceAbi, evidenceBytecode, [])
  return { proxyTransfer: transfers.address, evidence: evidence.address, fromBlock: transfers.block }
}

async function deploy(
  name: string,
  signer: Signer,
  abi: InterfaceAbi,
  bytecode: string,
  args: readonly unknown[],
): Promise<{ address: string; block: number }> {
  try {
    const contract = await new ContractFactory(abi, bytecode, signer).deploy(...args)
    const receipt = await contract.deploymentTransaction()?.wait()
    if (!receipt?.contractAddress) throw new SluiceError('RPC_FAILED', `node gave no receipt of the deployment of ${name}`)
    return { address: receipt.contractAddress, block: receipt.blockNumber }
  } catch (error) {
    const data = revertData(error)
    if (data !== undefined) throw revertError(data)
    // The error of ethers may hold the node's URL with its key: only what rpcError leaves of it goes on.
    const cause = rpcError(error, `deployment of ${name}`)
    if (isError(error, 'INSUFFICIENT_FUNDS')) {
      throw new SluiceError('INSUFFICIENT_FUNDS', `the deployer can't pay for the deployment of ${name}`, { cause })
    }
    if (isError(error, 'ACTION_REJECTED')) {
      throw new SluiceError('TRANSACTION_REJECTED', `the deployment of ${name} was rejected in the wallet`, { cause })
    }
    throw cause
  }
}
