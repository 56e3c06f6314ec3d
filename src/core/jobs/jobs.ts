import { sql as statement } from 'kysely'
import { createBell } from '../bell.ts'
import { aborted, type Clock, systemClock } from '../clock.ts'
import { withDeadline } from '../deadline.ts'
import { type AsyncCloseable, stops } from '../dispose.ts'
import { assertArgument, isSluiceError } from '../errors.ts'
import { type Logger, silentLogger } from '../log.ts'
import { backoff } from '../retry.ts'
import { migrate } from '../sql/migrate.ts'
import { fullJitter, type Sql, type Tx } from '../sql/sql.ts'
import { migrations } from './migrations.ts'

/** What a handler gets. */
export interface JobRun {
  /** The JSON value that was added. */
  readonly payload: unknown
  /** 1 at the first run. */
  readonly attempt: number
  /** Fires when the lease is lost or the worker stops: end soon, somebody else may begin. */
  readonly signal: AbortSignal
}

/** Does the work of a kind. It may be run again after a success nobody recorded, so running it twice must do no harm. */
export type JobHandler = (run: JobRun) => Promise<void>

/** Work to be done once. */
export interface NewJob {
  /** Names the handler. */
  readonly kind: string
  /** The second job of a kind and key is not added, until a week after the first was done. @default none: always added */
  readonly key?: string | undefined
  /** A JSON value, 1 MiB of text at most. @default null */
  readonly payload?: unknown
  /** Milliseconds since 1970. @default at once */
  readonly runAt?: number | undefined
}

/** Work to be done again and again. */
export interface RecurringJob {
  /** Names the handler, and the recurring job: there is one of a kind. */
  readonly kind: string
  /** Milliseconds from the start of a run to the next one. */
  readonly interval: number
}

/** A job that was given up. */
export interface DeadJob {
  readonly id: bigint
  readonly kind: string
  readonly key: string | null
  readonly payload: unknown
  /** What its last run failed with. */
  readonly reason: string
}

/** Work that outlives a process: rows in SQL that the workers of all processes share. */
export interface Jobs extends AsyncCloseable {
  /** Adds a job in the caller's transaction; tells whether its key was new. */
  add(tx: Tx, job: NewJob): Promise<boolean>
  /**
   * Has something run at once and then every `interval`, by one worker among all processes at a time. Call it at each
   * start: the newest interval holds. A run that fails all its attempts waits for the next interval.
   */
  every(job: RecurringJob): Promise<void>
  /** Begins to run jobs of the kinds that there are handlers for. */
  start(): void
  /** Looks for work now rather than at the next poll: call it after the transaction that added a job. */
  wake(): void
  /** Takes no more jobs, fires the signals of those under way, and waits for them; those that fail are due at once. */
  stop(): Promise<void>
  /** Jobs that were given up, the newest first. @param limit how many at most; 100 unless told. */
  dead(limit?: number): Promise<DeadJob[]>
  /** Gives a dead job all its attempts again. Tells whether it was dead. */
  revive(id: bigint): Promise<boolean>
}

/** Options of {@link createJobs}. */
export interface JobsOptions {
  /** What does the work, by kind. */
  readonly handlers: Readonly<Record<string, JobHandler>>
  /** Runs at a time in this process. @default 10 */
  readonly concurrency?: number | undefined
  /**
   * Milliseconds that a job is this process's own; renewed at each third of it while the handler runs. Clocks of processes
   * must agree to within a third of it. @default 30000
   */
  readonly lease?: number | undefined
  /** Milliseconds between looks for work. @default 1000 */
  readonly pollInterval?: number | undefined
  /** Runs of a job at most. @default 10 */
  readonly attempts?: number | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** @default silentLogger */
  readonly log?: Logger | undefined
}

interface Row {
  readonly id: bigint
  readonly kind: string
  readonly payload: unknown
  readonly attempt: number
  /** Counts who took the row: only the newest taker may end it. */
  readonly claim: bigint
  readonly every: bigint | null
}

/** How a run ended. */
type End = 'done' | 'failed' | 'stopped'

/** Milliseconds before the second run at most; doubles with each further one. */
const DELAY = 1000
/** Milliseconds that the pause between two runs grows to at most. */
const MAX_DELAY = 3_600_000
/** Milliseconds that a done job, and so its key, is kept. */
const KEEP = 7 * 86_400_000
/** Milliseconds between two removals of what was kept long enough. */
const PRUNE_INTERVAL = 3_600_000
/** Bytes of a payload's text at most. */
const MAX_PAYLOAD = 2 ** 20
/** Characters of a reason that are kept. */
const MAX_REASON = 1000
/** The key of a recurring job, which no other can have. */
const RECURRING = ''

/** Opens the jobs of a database, laying their table if need be. Nothing runs before {@link Jobs.start}. */
export async function createJobs<DB>(sql: Sql<DB>, options: JobsOptions): Promise<Jobs> {
  const { handlers, concurrency = 10, lease = 30_000, pollInterval = 1000, attempts = 10 } = options
  const { clock = systemClock, log = silentLogger } = options
  for (const [name, value] of Object.entries({ concurrency, lease, pollInterval, attempts })) {
    assertArgument(Number.isSafeInteger(value) && value > 0, name, 'a whole number above zero')
  }
  await migrate(sql, 'jobs', migrations)

  const kinds = Object.keys(handlers)
  const bell = createBell()
  const stop = new AbortController()
  const running = new Set<Promise<void>>()
  let working: Promise<void> | undefined
  let nextPrune = 0

  const claim = async (limit: number): Promise<Row[]> => {
    const now = clock.now()
    const { rows } = await statement<Row>`with due as materialized (
        select id from jobs where state = 'waiting' and due_at <= ${now} and kind = any(${kinds}::text[])
        order by due_at, id limit ${limit} for update skip locked
      ) update jobs set due_at = ${now + lease}, attempt = attempt + 1, claim = claim + 1 from due where jobs.id = due.id
      returning jobs.id, kind, payload, attempt, claim, every`.execute(sql.db)
    return rows
  }

  /** Writes how a run ended, unless somebody else has taken the job meanwhile. */
  const end = async (row: Row, startedAt: number, how: End, reason: string | null): Promise<void> => {
    const now = clock.now()
    const last = row.attempt >= attempts
    let set
    if (how === 'stopped') {
      set = statement`due_at = ${now}, attempt = attempt - 1`
    } else if (how === 'failed' && !last) {
      const pause = backoff(row.attempt, { delay: DELAY, maxDelay: MAX_DELAY, random: fullJitter })
      set = statement`due_at = ${now + pause}, reason = ${reason}`
    } else if (row.every !== null) {
      set = statement`due_at = ${Math.max(now, startedAt + Number(row.every))}, attempt = 0, reason = ${reason}`
    } else {
      set = statement`state = ${how === 'done' ? 'done' : 'dead'}, reason = ${reason}, ended_at = ${now}`
    }
    const { numAffectedRows } = await statement`update jobs set ${set} where ${own(row)}`.execute(sql.db)
    const details = { kind: row.kind, id: row.id, attempt: row.attempt, reason }
    if (numAffectedRows === 0n) log.warn('a job ended after its lease was lost', details)
    else if (how === 'failed') log[last ? 'error' : 'warn'](last ? 'a job was given up' : 'a job failed and will be run again', details)
  }

  /** Keeps the lease as long as it can, until `over` fires; calls `lost` before anybody else may begin. */
  const renew = async (row: Row, startedAt: number, over: AbortSignal, lost: () => void): Promise<void> => {
    const third = Math.ceil(lease / 3)
    for (let until = startedAt + lease; ;) {
      await clock.sleep(third, over)
      const next = clock.now() + lease
      try {
        const renewal = statement`update jobs set due_at = ${next} where ${own(row)}`
        const answer = await withDeadline({ what: 'the renewal', ms: third, clock }, () => renewal.execute(sql.db))
        if (answer.numAffectedRows === 0n) return lost()
        until = next
      } catch (error) {
        log.warn('the lease of a job could not be renewed', { kind: row.kind, id: row.id, reason: reasonOf(error) })
      }
      if (clock.now() + third >= until) return lost()
    }
  }

  const run = async (row: Row, startedAt: number): Promise<void> => {
    if (row.attempt > attempts) return end(row, startedAt, 'failed', 'its process ended in the last attempt')
    const lost = new AbortController()
    const over = new AbortController()
    const renewing = renew(row, startedAt, over.signal, () => {
      lost.abort(aborted(undefined, 'the job, whose lease was lost,'))
    }).catch(() => {}) // over
    let how: End = 'done'
    let reason: string | null = null
    try {
      const signal = AbortSignal.any([stop.signal, lost.signal])
      await handlers[row.kind]!({ payload: row.payload, attempt: row.attempt, signal })
    } catch (error) {
      how = stop.signal.aborted ? 'stopped' : 'failed'
      reason = reasonOf(error)
    }
    over.abort()
    await renewing
    await end(row, startedAt, how, reason)
  }

  const prune = async (): Promise<void> => {
    if (clock.now() < nextPrune) return
    nextPrune = clock.now() + PRUNE_INTERVAL
    await statement`delete from jobs where state = 'done' and ended_at <= ${clock.now() - KEEP}`.execute(sql.db)
  }

  const work = async (): Promise<void> => {
    let rung: Promise<void> | undefined
    while (!stop.signal.aborted) {
      try {
        await prune()
        const startedAt = clock.now()
        const free = concurrency - running.size
        for (const row of free > 0 ? await claim(free) : []) {
          const one = run(row, startedAt)
            .catch((error: unknown) => log.error('the end of a job was not recorded', { kind: row.kind, id: row.id, reason: reasonOf(error) }))
            .finally(() => {
              running.delete(one)
              bell.ring()
            })
          running.add(one)
        }
      } catch (error) {
        log.error('jobs could not be looked for', { reason: reasonOf(error) })
      }
      const timer = new AbortController()
      rung ??= bell.wait().then(() => (rung = undefined))
      await Promise.race([rung, clock.sleep(pollInterval, timer.signal).catch(() => {})])
      timer.abort()
    }
  }

  return {
    ...stops,
    async add(tx, { kind, key, payload = null, runAt = clock.now() }) {
      assertName(kind, 'kind')
      if (key !== undefined) assertName(key, 'key')
      assertArgument(Number.isSafeInteger(runAt), 'runAt', 'whole milliseconds')
      const text = JSON.stringify(payload)
      assertArgument(typeof text === 'string' && text.length <= MAX_PAYLOAD, 'payload', `a JSON value of ${MAX_PAYLOAD} characters at most`)
      const { numAffectedRows } = await statement`insert into jobs (kind, key, payload, due_at, created_at)
        values (${kind}, ${key ?? null}, ${text}::jsonb, ${runAt}, ${clock.now()}) on conflict (kind, key) do nothing`.execute(tx)
      return numAffectedRows === 1n
    },

    async every({ kind, interval }) {
      assertName(kind, 'kind')
      assertArgument(Number.isSafeInteger(interval) && interval > 0, 'interval', 'whole milliseconds above zero')
      // A shorter interval holds from now on; the lease of a run under way (attempt above zero) is left alone.
      await statement`insert into jobs (kind, key, payload, due_at, every, created_at)
        values (${kind}, ${RECURRING}, 'null', ${clock.now()}, ${interval}, ${clock.now()})
        on conflict (kind, key) do update set every = excluded.every,
          due_at = case when jobs.attempt = 0 then least(jobs.due_at, excluded.due_at + excluded.every) else jobs.due_at end
        where jobs.every <> excluded.every`.execute(sql.db)
      bell.ring()
    },

    start() {
      assertArgument(!working && !stop.signal.aborted, 'start', 'called once')
      working = work()
    },

    wake: () => bell.ring(),

    async stop() {
      stop.abort(aborted(undefined, 'the job, whose worker stops,'))
      bell.ring()
      await working
      await Promise.all(running)
    },

    async dead(limit = 100) {
      const { rows } = await statement<DeadJob>`select id, kind, key, payload, reason from jobs
        where state = 'dead' order by ended_at desc, id desc limit ${limit}`.execute(sql.db)
      return rows
    },

    async revive(id) {
      const { numAffectedRows } = await statement`update jobs set state = 'waiting', attempt = 0, due_at = ${clock.now()}, ended_at = null
        where id = ${id} and state = 'dead'`.execute(sql.db)
      bell.ring()
      return numAffectedRows === 1n
    },
  }
}

/** The row while it is this taker's. */
function own({ id, claim }: Row) {
  return statement`id = ${id} and claim = ${claim} and state = 'waiting'`
}

function assertName(text: string, name: string): void {
  assertArgument(text.length > 0 && text.length <= 1000 && !text.includes('\0'), name, '1 to 1000 characters')
}

function reasonOf(error: unknown): string {
  const text = isSluiceError(error) ? `${error.code}: ${error.shortMessage}` : String(error)
  return text.replaceAll('\0', '').slice(0, MAX_REASON)
}
