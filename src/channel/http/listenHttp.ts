import { assertArguments, having } from '../../core/argument.ts'
import { assertArgument } from '../../core/errors.ts'
import { listenHttp as listen, type HttpListener, type ListenHttpOptions } from '../../core/http/listenHttp.ts'
import type { HttpService } from './httpService.ts'

const LOOPBACK = ['127.0.0.1', '::1', 'localhost']

/**
 * Puts a service on a port, in Node. Reaching it from elsewhere also takes its name in the service's `hosts`, and TLS by
 * a proxy in front.
 * @throws `CONNECTION_FAILED` if the port can't be had; `BAD_ARGUMENT` for a service without a token on another address
 * than the machine's own.
 */
export async function listenHttp(service: HttpService, options: ListenHttpOptions = {}): Promise<HttpListener> {
  assertArguments({ service }, { service: having('what createHttpService() returns', 'fetch') })
  const { host = '127.0.0.1' } = options
  assertArgument(!service.open || LOOPBACK.includes(host), 'host', 'an address of the loopback for a service without a token')
  return listen(service, options)
}
