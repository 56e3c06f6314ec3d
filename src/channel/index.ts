/**
 * Payment channels: a node that pays and is paid off chain, directly and over several hops.
 * @module
 */
export { createChannelNode, type ChannelInfo, type ChannelNode, type ChannelNodeOptions, type PaymentRequest } from './channelNode.ts'
export type { AlarmBlock, AlarmService } from './chain/alarmService.ts'
export { combinedDiscovery, type CombinedDiscoveryOptions } from './discovery/combined.ts'
export { MAX_ENDPOINTS, type Discovery, type DiscoveryOptions } from './discovery/discovery.ts'
export { registryDiscovery, type RegistryDiscoveryOptions } from './discovery/registry.ts'
export { staticDiscovery } from './discovery/static.ts'
export type { TokenNetworkInfo } from './chain/networks.ts'
export { phases, type Phase } from './node/channel.ts'
export type { ChannelEvents } from './node/events.ts'
export type { CloseOptions, OpenManyRequest, OpenRequest, OperationOptions } from './node/operations.ts'
export { paymentStates, type Payment, type PaymentState } from './node/payment.ts'
export type { Swapped, SwapOffer, SwapSide } from './node/swaps.ts'
export type { PaymentStream } from './node/streams.ts'
export type { FeeSchedule } from './routing/fees.ts'
export type { TowerChoice, TowersOptions } from './tower/towerClient.ts'
export type { PeerTransport } from '../protocol/peer.ts'
export { webSocketPeer } from '../protocol/websocket/peer.ts'
