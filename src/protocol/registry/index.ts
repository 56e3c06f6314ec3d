/**
 * Finding sellers: the registry contract, a registry over HTTP, a list in the program.
 * @module
 */
export { contractRegistry, publishingRegistry, type ContractRegistryOptions } from './contract.ts'
export { httpRegistry, registryHandler, type HttpRegistryOptions } from './http.ts'
export { assertEntry, webSocketEndpoint, type EndpointRule, type ListOptions, type PublishingRegistry, type Registry, type RegistryEntry } from './registry.ts'
export { staticRegistry } from './static.ts'
