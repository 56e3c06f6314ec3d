import { sql as statement } from 'kysely'
import { randomBytes, toHex } from '../bytes.ts'
import { aborted, type Clock, systemClock } from '../clock.ts'
import { assertArgument } from '../errors.ts'
import { type Logger, silentLogger } from '../log.ts'
import { migrate, type Migration } from '../sql/migrate.ts'
import type { Sql } from '../sql/sql.ts'

/** An answer as it is given again. */
export interface KeptAnswer {
  readonly status: number
  /** Its content type, null for none. */
  readonly media: string | null
  readonly body: Uint8Array
}

/** A request under a key. */
export interface KeyedRequest {
  /** Whose key it is: others may use the same one. */
  readonly owner: string
  /** The `Idempotency-Key`. */
  readonly key: string
  /** Tells one request from another: a hash of its method, path, query and body. */
  readonly fingerprint: string
}

/** What is known of a key. */
export type KeyState =
  | {
    /** Nobody has used it: the request is the caller's to run, who then calls one of these. */
    readonly is: 'free'
    /** Keeps the answer for all who ask under the key. */
    keep(answer: KeptAnswer): Promise<void>
    /** Gives the key up: nothing was done, so the request may be repeated. */
    free(): Promise<void>
  }
  /** The first request is under way. */
  | { readonly is: 'running' }
  /** It was used for another request: that one's fingerprint. */
  | { readonly is: 'other'; readonly fingerprint: string }
  | { readonly is: 'answered'; readonly answer: KeptAnswer }

/** Where the answers of requests with an `Idempotency-Key` are kept. Several processes may share one. */
export interface IdempotencyKeys {
  /** Claims a key, or tells what became of it. Of any number of calls at once, one finds it free. */
  claim(request: KeyedRequest): Promise<KeyState>
}

/** Options of {@link sqlIdempotencyKeys}. */
export interface SqlIdempotencyKeysOptions {
  /** Milliseconds that an answer is kept, from when its request began. @default 86400000, a day */
  readonly keep?: number | undefined
  /**
   * Milliseconds after which the key of a process that ended is free again; renewed at each third of it while the request
   * runs. @default 30000
   */
  readonly lease?: number | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

const migrations: readonly Migration[] = [
  {
    name: 'keys',
    up: `
      create table idempotency_keys (
        owner text not null, key text not null, fingerprint text not null, claim text not null,
        leased_until int8 not null, created_at int8 not null, status int, media text, body bytea, primary key (owner, key)
      );
      create index idempotency_keys_age on idempotency_keys (created_at);
    `,
  },
]

interface Row {
  readonly fingerprint: string
  readonly status: number | null
  readonly media: string | null
  readonly body: Uint8Array | null
}

/** Milliseconds between two removals of what was kept long enough. */
const PRUNE_INTERVAL = 60_000

/** Opens the idempotency keys of a database, laying their table if need be. */
export async function sqlIdempotencyKeys<DB>(sql: Sql<DB>, options: SqlIdempotencyKeysOptions = {}): Promise<IdempotencyKeys> {
  const { keep = 86_400_000, lease = 30_000, clock = systemClock, log = silentLogger } = options
  for (const [name, value] of Object.entries({ keep, lease })) {
    assertArgument(Number.isSafeInteger(value) && value > 0, name, 'a whole number above zero')
  }
  await migrate(sql, 'idempotency', migrations)
  let nextPrune = 0

  const prune = async (): Promise<void> => {
    const now = clock.now()
    if (now < nextPrune) return
    nextPrune = now + PRUNE_INTERVAL
    await statement`delete from idempotency_keys where created_at <= ${now - keep}`.execute(sql.db)
  }

  /** Keeps the key while its request runs, until `over` fires. A lost claim is noticed when the answer is kept. */
  const renew = async (own: ReturnType<typeof statement>, over: AbortSignal): Promise<void> => {
    for (;;) {
      await clock.sleep(Math.ceil(lease / 3), over)
      await statement`update idempotency_keys set leased_until = ${clock.now() + lease} where ${own}`
        .execute(sql.db)
        .catch((error: unknown) => log.warn('the lease of an idempotency key could not be renewed', { reason: String(error) }))
    }
  }

  return {
    async claim({ owner, key, fingerprint }) {
      await prune()
      const now = clock.now()
      const claim = toHex(randomBytes(16))
      // Taken as well: a key whose process has ended, and one that was kept long enough.
      const taken = await statement`
        insert into idempotency_keys as old (owner, key, fingerprint, claim, leased_until, created_at)
        values (${owner}, ${key}, ${fingerprint}, ${claim}, ${now + lease}, ${now})
        on conflict (owner, key) do update set fingerprint = excluded.fingerprint, claim = excluded.claim,
          leased_until = excluded.leased_until, created_at = excluded.created_at, status = null, media = null, body = null
        where old.created_at <= ${now - keep} or (old.status is null and old.leased_until <= ${now})`.execute(sql.db)
      if (taken.numAffectedRows === 0n) {
        const { rows } = await statement<Row>`select fingerprint, status, media, body from idempotency_keys
          where owner = ${owner} and key = ${key}`.execute(sql.db)
        const row = rows[0]
        if (row && row.fingerprint !== fingerprint) return { is: 'other', fingerprint: row.fingerprint }
        // A row that is gone was given up just now: whoever repeats the request finds the key free.
        if (!row || row.status === null) return { is: 'running' }
        return { is: 'answered', answer: { status: row.status, media: row.media, body: row.body! } }
      }
      const own = statement`owner = ${owner} and key = ${key} and claim = ${claim} and status is null`
      const over = new AbortController()
      renew(own, over.signal).catch(() => {}) // over
      const end = async (change: ReturnType<typeof statement>): Promise<void> => {
        over.abort(aborted(undefined, 'the lease'))
        const { numAffectedRows } = await change.execute(sql.db)
        if (numAffectedRows === 0n) log.warn('a request ended after the lease of its idempotency key was lost')
      }
      return {
        is: 'free',
        keep: ({ status, media, body }) =>
          end(statement`update idempotency_keys set status = ${status}, media = ${media}, body = ${body} where ${own}`),
        free: () => end(statement`delete from idempotency_keys where ${own}`),
      }
    },
  }
}
