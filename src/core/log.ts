import type { ErrorDetails } from './errors.ts'

/**
 * Where Sluice reports what an operator may want to know.
 *
 * A logger of pino, winston or the console fits behind four short functions. Details are plain values that are safe to
 * keep; no key, signature or voucher is ever passed.
 */
export interface Logger {
  debug(message: string, details?: ErrorDetails | undefined): void
  info(message: string, details?: ErrorDetails | undefined): void
  warn(message: string, details?: ErrorDetails | undefined): void
  error(message: string, details?: ErrorDetails | undefined): void
}

/** The logger that keeps silent, the default everywhere. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
