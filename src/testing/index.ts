/**
 * What tests and examples need around the library: a development chain, a clock, faults.
 * @module
 */
export { startDevnet, type Devnet, type DevnetOptions } from './devnet.ts'
export { createManualClock, type ManualClock } from './manualClock.ts'
export { startRpcProxy, type RpcFault, type RpcProxy, type RpcRule } from './rpcProxy.ts'
export { storeSuite, type StoreUnderTest, type TestRunner } from './storeSuite.ts'
