/**
 * The HTTP service of a payment channel node.
 * @module
 */
export { createHttpService, type HttpService, type HttpServiceOptions } from './httpService.ts'
export { listenHttp, type HttpListener, type ListenHttpOptions } from './listenHttp.ts'
export { openApi } from './openApi.ts'
export { toIdentifier, toPaymentId } from './paymentIdentifier.ts'
