/**
 * HTTP: routes with schemas, put together to a service, put on a port; and the way out to addresses that strangers chose.
 * @module
 */
export { createHttpService, type HttpService } from './httpService.ts'
export { listenHttp, type HttpListener, type ListenHttpOptions } from './listenHttp.ts'
export { problemAnswer, problemOf, problemSchema, type Problem } from './problem.ts'
export { route, type AnswerFormat, type Route, type Schema } from './route.ts'
