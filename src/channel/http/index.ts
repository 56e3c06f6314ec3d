/**
 * The HTTP service of a payment channel node.
 * @module
 */
export { createHttpService, type HttpService, type HttpServiceOptions } from './httpService.ts'
export type { HttpListener, ListenHttpOptions } from '../../core/http/listenHttp.ts'
export { listenHttp } from './listenHttp.ts'
export { openApi } from './openApi.ts'
export { toIdentifier, toPaymentId } from './paymentIdentifier.ts'
