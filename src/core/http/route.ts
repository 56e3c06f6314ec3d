/**
 * One method of one path: what it takes, what it answers, what it does. The same schemas check, document and type it.
 * @module
 */
import type * as v from 'valibot'
import type { Refusal } from './problem.ts'

/** Any schema. */
export type Schema = v.GenericSchema
type Output<S> = S extends Schema ? v.InferOutput<S> : undefined
/** What a handler gives: a value of its schema, a whole answer, or a refusal. */
type Given<A> = A extends Schema ? v.InferInput<A> | Response | Refusal : unknown

/** Who may call: everybody; whoever has signed in; the operator. */
export type Access = 'public' | 'user' | 'operator'

/** What a request brings, checked. */
export interface RouteInput<P, Q, B, U> {
  readonly params: P
  readonly query: Q
  readonly body: B
  /** Who has signed in; undefined on public routes. */
  readonly user: U
  readonly request: Request
  /** Fires when the client is gone or the deadline has passed. */
  readonly signal: AbortSignal
  /** Details of the answer if it comes too late: what to ask for then. A handler adds them before it waits. */
  readonly marks: Record<string, string>
}

/** How what a handler returns or throws is put in an answer; a service may have several. */
export interface AnswerFormat {
  /** Schema of the answer around that of the value, for the document. */
  schema(value: Schema | undefined): Schema | undefined
  /** The JSON of the answer, which `writeBody` turns into text. */
  answer(value: unknown): unknown
  /** The answer to whatever was thrown, or to a `Refusal` of the service; `problemOf` tells what may be said of either. */
  problem(error: unknown, request: Request): Response
  /** Schemas of problems by media type, for the document. @default RFC 9457's problem details */
  readonly problems?: Readonly<Record<string, Schema>> | undefined
}

/** A route as a service runs it. */
export interface Route {
  readonly method: 'get' | 'put' | 'post' | 'patch' | 'delete'
  /** With `{names}` in it: `/market/product/{productId}`. */
  readonly path: string
  /** `operationId`. */
  readonly id: string
  /** One sentence, without the full stop. */
  readonly summary: string
  readonly description?: string | undefined
  readonly access: Access
  readonly params?: Schema | undefined
  readonly query?: Schema | undefined
  readonly body?: Schema | undefined
  /** Bytes that a body may have at most. @default 65536 */
  readonly maxBody?: number | undefined
  /** Of the value that the handler returns; undefined for none, or for a whole `Response`. */
  readonly answer?: Schema | undefined
  /** @default 200 */
  readonly status?: number | undefined
  /** Other statuses that it may answer with in a `Response`, and the JSON then, for the document. */
  readonly answers?: Readonly<Record<number, Schema>> | undefined
  /** Statuses of the problems that are its own, for the document. */
  readonly problems?: readonly number[] | undefined
  /** @default the service's */
  readonly format?: AnswerFormat | undefined
  /**
   * Whether it takes an `Idempotency-Key`: the second request of a key gets the first one's answer. An object says what the
   * key means, where the handler itself sees to it. @default false
   */
  readonly keyed?: boolean | { readonly meaning: string } | undefined
  /** Answers at once, also when the service is full: nothing of it waits. @default false */
  readonly immediate?: boolean | undefined
  /** Media type of an answer that is a `Response`. @default application/json */
  readonly media?: string | undefined
  handle(input: RouteInput<unknown, unknown, unknown, unknown>): unknown
}

/** Describes a route; the types of its handler follow from its schemas. `U` is who has signed in. */
export function route<
  U,
  P extends Schema | undefined = undefined,
  Q extends Schema | undefined = undefined,
  B extends Schema | undefined = undefined,
  A extends Schema | undefined = undefined
>(
  spec: Omit<Route, 'handle' | 'params' | 'query' | 'body' | 'answer'> & {
    readonly params?: P
    readonly query?: Q
    readonly body?: B
    readonly answer?: A
    handle(input: RouteInput<Output<P>, Output<Q>, Output<B>, U>): Given<A> | Promise<Given<A>>
  },
): Route {
  return spec
}

/** {@link route} for services whose users are of type `U`: `const route = routeFor<Merchant>()`. */
export function routeFor<U>() {
  return <
    P extends Schema | undefined = undefined,
    Q extends Schema | undefined = undefined,
    B extends Schema | undefined = undefined,
    A extends Schema | undefined = undefined
  >(
    spec: Parameters<typeof route<U, P, Q, B, A>>[0],
  ): Route => route<U, P, Q, B, A>(spec)
}
