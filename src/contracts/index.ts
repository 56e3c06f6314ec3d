/**
 * The contracts: bindings, signed types, known deployments. What deploys them is `sluice-sdk/contracts/deploy`.
 * @module
 */
export { dataTradeContract, dataTradeInterface, orderFromStruct, orderStates, type OrderState, type OrderStruct } from './dataTrade.ts'
export { deployment, deployments, type ChannelDeployment, type Deployment, type ExchangeDeployment } from './deployments.ts'
export { evidenceContract, evidenceInterface } from './evidence.ts'
export { dataTradeAbi } from './generated/dataTradeAbi.ts'
export { evidenceAbi } from './generated/evidenceAbi.ts'
export { proxyTransferAbi } from './generated/proxyTransferAbi.ts'
export { registryAbi } from './generated/registryAbi.ts'
export { secretRegistryAbi } from './generated/secretRegistryAbi.ts'
export { tokenNetworkAbi } from './generated/tokenNetworkAbi.ts'
export { tokenNetworkRegistryAbi } from './generated/tokenNetworkRegistryAbi.ts'
export { towerDepositAbi } from './generated/towerDepositAbi.ts'
export type {
  TypedContractEvent,
  TypedContractMethod,
  TypedDeferredTopicFilter,
  TypedEventLog,
  TypedListener,
  TypedLogDescription,
} from './generated/types/common.ts'
export type { DataTrade, DataTradeInterface } from './generated/types/DataTrade.ts'
export type { Evidence, EvidenceInterface } from './generated/types/Evidence.ts'
export type { ProxyTransfer, ProxyTransferInterface } from './generated/types/ProxyTransfer.ts'
export type { Registry, RegistryInterface } from './generated/types/Registry.ts'
export type { SecretRegistry, SecretRegistryInterface } from './generated/types/SecretRegistry.ts'
export type { TokenNetwork, TokenNetworkInterface } from './generated/types/TokenNetwork.ts'
export type { TokenNetworkRegistry, TokenNetworkRegistryInterface } from './generated/types/TokenNetworkRegistry.ts'
export type { TowerDeposit, TowerDepositInterface } from './generated/types/TowerDeposit.ts'
export type { Order } from './order.ts'
export type { SignedTransferParams, TransferParams } from '../core/crypto/graphene/index.ts'
export { encodeTransfer, encodeTransfers, proxyTransferContract, proxyTransferInterface, type AuthorisedTransfer } from './proxyTransfer.ts'
export { CHANNEL_SERVICE, DATA_SERVICE, KADEMLIA_SERVICE, registryContract, registryInterface } from './registry.ts'
export { secretRegistryContract, secretRegistryInterface } from './secretRegistry.ts'
export { tokenNetworkContract, tokenNetworkInterface } from './tokenNetwork.ts'
export { channelStates, type ChannelState } from './tokenNetworkView.ts'
export { tokenNetworkRegistryContract, tokenNetworkRegistryInterface } from './tokenNetworkRegistry.ts'
export { towerDepositContract, towerDepositInterface } from './towerDeposit.ts'
export {
  dataTradeDigests,
  dataTradeDomain,
  dataTradeTypes,
  orderId,
  type Ack,
  type ChunkClaim,
  type DataTradeDigests,
  type DataTradeDomain,
  type DataTradeMessages,
  type Rating,
} from './typedData.ts'
export { encodeLocks, unlockedNumbers, type LocksToUnlock, type UnlockableLock } from './unlock.ts'
