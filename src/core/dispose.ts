/**
 * `await using` (ECMAScript's explicit resource management) for what is closed or stopped.
 *
 *     return { ...closes, close: … }
 * @module
 */

declare global {
  // As `lib.esnext.disposable` and `@types/node` have it, for programs that are compiled without either.
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol
  }
}

/** What `await using` closes at the end of its block, by `close` or `stop`. */
export interface AsyncCloseable {
  /** Closes or stops it, as `close` or `stop` does. */
  [Symbol.asyncDispose](): Promise<void>
}

// A browser without the symbol gets a stand-in; what transpiles `await using` for it looks for the same one.
const asyncDispose: symbol = (Symbol as { asyncDispose?: symbol }).asyncDispose ?? Symbol.for('Symbol.asyncDispose')

/** Spread into an object: `await using` calls its `close`. */
export const closes = {
  async [asyncDispose](this: { close(): unknown }): Promise<void> {
    await this.close()
  },
} as unknown as AsyncCloseable

/** Spread into an object: `await using` calls its `stop`. */
export const stops = {
  async [asyncDispose](this: { stop(): unknown }): Promise<void> {
    await this.stop()
  },
} as unknown as AsyncCloseable
