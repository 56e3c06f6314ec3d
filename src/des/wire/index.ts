/**
 * What DES, its buyers and its data sources say to each other, in every dialect of GXChain's clients.
 * @module
 */
export { FORWARD_SIGNATURE, FORWARD_WINDOW, forwardText, isForward, readForward, verifyForward, writeForward } from './forward.ts'
export type { Forward } from './forward.ts'
export { isTimely, heartbeatText, HEARTBEAT_WINDOW, MAX_PRODUCTS, readHeartbeat, verifyHeartbeat, writeHeartbeat } from './heartbeat.ts'
export type { HeartbeatForm } from './heartbeat.ts'
export { readJson, writeJson } from './json.ts'
export { memoOf, readPayload, writePayload, type Payload } from './payload.ts'
export { readProduct, writeProduct, type OnlineSource, type ProductAnswer, type ProductField } from './product.ts'
export {
  documentDialect,
  MAX_REQUEST_ITEMS,
  readCreated,
  readRequest,
  readTransferParams,
  requestIdOf,
  sdkDialect,
  writeCreated,
  writeRequest,
  writeTransferParams,
  type Dialect,
  type RequestItem,
} from './request.ts'
export { readResult, writeResult } from './result.ts'
export type { RequestResult, RequestState, SourceResult, SourceState } from './result.ts'
export { readQuestion, readSourceData, type SourceQuestion } from './source.ts'
