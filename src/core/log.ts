import type { ErrorDetails } from './errors.ts'

/**
 * Where Sluice reports what an operator may want to know.
 *
 * A logger of pino, winston or the console fits behind four short functions. Details are plain values that are safe to
 * keep; no key, signature or voucher is ever passed.
 */
export interface Logger {
  /** What helps to follow a fault. */
  debug(message: string, details?: ErrorDetails | undefined): void
  /** What happens now and then, and is well. */
  info(message: string, details?: ErrorDetails | undefined): void
  /** What went wrong and is being mended. */
  warn(message: string, details?: ErrorDetails | undefined): void
  /** What somebody has to look at. */
  error(message: string, details?: ErrorDetails | undefined): void
}

/** The logger that keeps silent, the default everywhere. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
