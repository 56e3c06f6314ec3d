import { assertArguments, callback, text } from './argument.ts'
import { EventEmitter } from 'eventemitter3'
import { silentLogger, type Logger } from './log.ts'

/**
 * The events of a node as its user sees them: `M` maps an event's name to what it carries.
 * @example
 * ```ts
 * const off = seller.events.on('paid', ({ orderId, amount }) => console.log(orderId, amount))
 * off()
 * ```
 */
export interface Events<M extends object> {
  /** Calls `listener` at every `event` until the returned function is called. */
  on<K extends keyof M & string>(event: K, listener: (payload: M[K]) => unknown): () => void
  /** Calls `listener` at the next `event` only, unless the returned function is called before. */
  once<K extends keyof M & string>(event: K, listener: (payload: M[K]) => unknown): () => void
}

/** The side of {@link Events} that the node itself holds. */
export interface Emitter<M extends object> extends Events<M> {
  /** Calls every listener of `event`, in the order of registration. Never throws. */
  emit<K extends keyof M & string>(event: K, payload: M[K]): void
  /** Drops every listener. */
  clear(): void
}

const listenRules = { event: /* @__PURE__ */ text(1), listener: callback }

/**
 * Creates an emitter whose listeners cannot break the one who emits.
 *
 * What a listener throws, or rejects with, goes to `log` as an error; the other listeners still run.
 */
export function createEmitter<M extends object>(log: Logger = silentLogger): Emitter<M> {
  const emitter = new EventEmitter<Record<string, (payload: unknown) => void>>()

  const guarded = (event: string, listener: (payload: never) => unknown) => {
    const failed = (error: unknown) =>
      log.error(`listener of event ${event} failed`, {
        event,
        error: error instanceof Error ? error.message : String(error),
      })
    return (payload: unknown) => {
      try {
        const result = listener(payload as never)
        if (result instanceof Promise) result.catch(failed)
      } catch (error) {
        failed(error)
      }
    }
  }

  return {
    on(event, listener) {
      assertArguments({ event, listener }, listenRules)
      const call = guarded(event, listener)
      emitter.on(event, call)
      return () => void emitter.off(event, call)
    },
    once(event, listener) {
      assertArguments({ event, listener }, listenRules)
      const call = guarded(event, listener)
      emitter.once(event, call)
      return () => void emitter.off(event, call)
    },
    emit: (event, payload) => void emitter.emit(event, payload),
    clear: () => void emitter.removeAllListeners(),
  }
}
