/**
 * What all of Sluice shares: errors, clocks, logs, and the engine that signs and hashes.
 * @module
 */
export { toHex, fromHex, type Hex } from './core/bytes.ts'
export { systemClock, type Clock } from './core/clock.ts'
export { engine, resetEngine, setEngine, type Engine, type Secp256k1 } from './core/crypto/engine.ts'
export { generateKey, keyFromSecret, type Key } from './core/crypto/key.ts'
export { isSluiceError, SluiceError, type ContractErrorCode, type ErrorCode, type ErrorDetails, type SluiceErrorOptions } from './core/errors.ts'
export type { Events } from './core/events.ts'
export { consoleLogger, type ConsoleLoggerOptions, type LogLevel } from './core/consoleLogger.ts'
export type { AsyncCloseable } from './core/dispose.ts'
export { silentLogger, type Logger } from './core/log.ts'
