/**
 * What tests and examples need around the library: a development chain, a clock, faults, and suites that implementations of
 * ports must pass.
 * @module
 */
export { alipayGatewaySuite } from './alipayGatewaySuite.ts'
export {
  startDevnet, type Devnet, type DevnetExchange, type DevnetExchangeAccount, type DevnetExchangeOptions, type DevnetOptions,
} from './devnet.ts'
export { startFakeAlipay, type AlipayFault, type FakeAlipay } from './fakeAlipay.ts'
export { jobsSuite } from './jobsSuite.ts'
export { ledgerSuite } from './ledgerSuite.ts'
export { createManualClock, type ManualClock } from './manualClock.ts'
export { paymentSuite, type PaymentUnderTest, type PlacedOrder } from './paymentSuite.ts'
export { peerTransportSuite, type PeersUnderTest } from './peerTransportSuite.ts'
export { registrySuite, type RegistryUnderTest } from './registrySuite.ts'
export { startRpcProxy, type RpcFault, type RpcProxy, type RpcRule, type RpcStatus } from './rpcProxy.ts'
export { sqlSuite } from './sqlSuite.ts'
export { storeSuite, type StoreUnderTest } from './storeSuite.ts'
export type { TestRunner } from './suite.ts'
export { transportSuite, type TransportSuiteOptions, type TransportsUnderTest } from './transportSuite.ts'
