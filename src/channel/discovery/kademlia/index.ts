/**
 * Finding channel nodes through a Kademlia network: {@link kademliaDiscovery}. Runs in Node, on libp2p.
 * @module
 */
export { kademliaDiscovery, multiaddrEndpoint, type KademliaDiscovery, type KademliaDiscoveryOptions } from './kademlia.ts'
export { MAX_ENDPOINTS } from '../discovery.ts'
export type { RecordSigner } from '../endpointRecord.ts'
