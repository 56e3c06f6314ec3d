/**
 * The contracts: bindings, signed types, known deployments. What deploys them is `sluice-sdk/contracts/deploy`.
 * @module
 */
export { dataTradeContract, dataTradeInterface, orderFromStruct, orderStates, type OrderState, type OrderStruct } from './dataTrade.ts'
export { deployment, deployments, type Deployment } from './deployments.ts'
export { dataTradeAbi } from './generated/dataTradeAbi.ts'
export { registryAbi } from './generated/registryAbi.ts'
export type {
  TypedContractEvent,
  TypedContractMethod,
  TypedDeferredTopicFilter,
  TypedEventLog,
  TypedListener,
  TypedLogDescription,
} from './generated/types/common.ts'
export type { DataTrade, DataTradeInterface } from './generated/types/DataTrade.ts'
export type { Registry, RegistryInterface } from './generated/types/Registry.ts'
export type { Order } from './order.ts'
export { DATA_SERVICE, registryContract, registryInterface } from './registry.ts'
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
