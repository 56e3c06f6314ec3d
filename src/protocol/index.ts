/**
 * The wire protocol of the data trade: messages, frames, transports.
 * @module
 */
export { decodeFrame, frameFor, MAX_FRAME, MAX_GRANULARITY, type DataFrame } from './frame.ts'
export { keyIdentity, signerIdentity, type Identity } from './identity.ts'
export { memoryPeerNetwork, type MemoryPeerNetwork, type MemoryPeerNetworkOptions } from './memoryPeerNetwork.ts'
export { memoryTransportPair, type MemoryTransportOptions } from './memoryTransport.ts'
export {
  chunkCount,
  ETH,
  findItem,
  menuFromWire,
  menuHash,
  menuToWire,
  priceOf,
  rangeOf,
  type ChunkRange,
  type Item,
  type Menu,
  type Range,
  type Selection,
} from './menu.ts'
export {
  decodeMessage,
  encodeMessage,
  MAX_TEXT_TO_BUYER,
  MAX_TEXT_TO_SELLER,
  messageDigest,
  signedBytes,
  type Message,
  type MessageOf,
} from './message.ts'
export { coveredBytes, orderFromWire, orderToWire, payFor } from './order.ts'
export { MAX_PEER_PACKET, type PeerTransport } from './peer.ts'
export type { CloseReason, Connect, Packet, Receiver, Transport } from './transport.ts'
export { webSocketPeer, type WebSocketPeerOptions } from './websocket/peer.ts'
export { unpaidWindow } from './window.ts'
export { MAX_BYTES, PROTOCOL_VERSION, type MessageType, type Payload, type PaymentKind, type PaymentMode } from './wire.ts'
export { connectWebSocket } from '#websocket'
