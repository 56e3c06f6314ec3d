import { sql as statement } from 'kysely'
import { SluiceError } from '../core/errors.ts'
import { createJobs, type Jobs, type JobsOptions, type NewJob } from '../core/jobs/jobs.ts'
import type { Sql } from '../core/sql/sql.ts'
import { createManualClock } from './manualClock.ts'
import { assertSuite, codeOf, type TestRunner } from './suite.ts'

/**
 * Tests that jobs keep their promises on a database.
 * @param open opens an empty database at every call.
 */
export function jobsSuite(name: string, open: () => Promise<Sql<unknown>>, runner: TestRunner): void {
  assertSuite(name, open, runner)
  const { describe, it, expect } = runner
  interface Bench {
    readonly sql: Sql<unknown>
    /** Starts a worker, which is stopped in the end. */
    worker(options: JobsOptions): Promise<Jobs>
    add(jobs: Jobs, job: NewJob): Promise<boolean>
  }

  const test = (what: string, body: (bench: Bench) => Promise<void>): unknown =>
    it(what, async () => {
      const sql = await open()
      const workers: Jobs[] = []
      try {
        await body({
          sql,
          async worker(options) {
            // By a clock that is moved by hand, polls would only be in the way: `wake` stands for them.
            const jobs = await createJobs(sql, { pollInterval: options.clock ? 2 ** 50 : 20, ...options })
            workers.push(jobs)
            jobs.start()
            return jobs
          },
          add: async (jobs, job) => {
            const added = await sql.transaction((tx) => jobs.add(tx, job))
            jobs.wake()
            return added
          },
        })
      } finally {
        await Promise.all(workers.map((each) => each.stop()))
        await sql.close()
      }
    })

  /** Waits for something that real input and output brings about. */
  const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
    for (let round = 0; round < 1000; round++) {
      if (await holds()) return
      await pause(10)
    }
    throw new Error('it did not happen')
  }
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
  const ended = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))

  const column = async <T>(sql: Sql<unknown>, what: string): Promise<T[]> => {
    const { rows } = await statement<{ value: T }>`select ${statement.raw(what)} as value from jobs order by id`.execute(sql.db)
    return rows.map((row) => row.value)
  }
  const states = (sql: Sql<unknown>) => column<string>(sql, 'state')

  describe(`jobs: ${name}`, () => {
    test('runs what was committed, and nothing that was taken back', async ({ sql, worker, add }) => {
      const ran: unknown[] = []
      const jobs = await worker({ handlers: { work: async ({ payload, attempt }) => void ran.push([payload, attempt]) } })
      const undone = sql.transaction(async (tx) => {
        await jobs.add(tx, { kind: 'work', payload: 'no' })
        throw new SluiceError('ABORTED', 'no')
      })
      expect(await codeOf(() => undone)).toEqual('ABORTED')
      expect(await add(jobs, { kind: 'work', payload: { a: [1] } })).toEqual(true)
      await until(async () => (await states(sql)).join() === 'done')
      expect(ran).toEqual([[{ a: [1] }, 1]])
    })

    test('leaves jobs of other kinds alone', async ({ sql, worker, add }) => {
      const ran: unknown[] = []
      const jobs = await worker({ handlers: { work: async ({ payload }) => void ran.push(payload) } })
      await add(jobs, { kind: 'other' })
      await add(jobs, { kind: 'work', payload: 1 })
      await until(async () => (await states(sql)).join() === 'waiting,done')
      expect(ran).toEqual([1])
    })

    test('adds a key once, also for ten at a time', async ({ sql, worker, add }) => {
      let runs = 0
      const jobs = await worker({ handlers: { work: async () => void runs++ } })
      const added = await Promise.all(Array.from({ length: 10 }, () => add(jobs, { kind: 'work', key: 'one' })))
      expect(added.filter(Boolean).length).toEqual(1)
      await until(async () => (await states(sql)).join() === 'done')
      expect(await add(jobs, { kind: 'work', key: 'one' })).toEqual(false)
      expect(await add(jobs, { kind: 'other', key: 'one' })).toEqual(true)
      expect(runs).toEqual(1)
    })

    test('refuses what it could not keep', async ({ worker, add, sql }) => {
      const jobs = await worker({ handlers: {} })
      for (const job of [{ kind: '' }, { kind: 'a', key: '' }, { kind: 'a', runAt: 0.5 }, { kind: 'a', payload: () => 1 }]) {
        expect(await codeOf(() => add(jobs, job))).toEqual('BAD_ARGUMENT')
      }
      expect(await codeOf(() => add(jobs, { kind: 'a', payload: 'x'.repeat(2 ** 20) }))).toEqual('BAD_ARGUMENT')
      expect(await codeOf(() => createJobs(sql, { handlers: {}, lease: 0 }))).toEqual('BAD_ARGUMENT')
      expect(await states(sql)).toEqual([])
    })

    test('waits until a job is due', async ({ worker, add }) => {
      const clock = createManualClock(1000)
      const ran: number[] = []
      const jobs = await worker({ clock, handlers: { work: async () => void ran.push(clock.now()) } })
      await add(jobs, { kind: 'work', runAt: 5000 })
      await clock.advance(3999)
      await pause(100)
      expect(ran).toEqual([])
      await clock.advance(1)
      await until(() => (jobs.wake(), ran.length > 0))
      expect(ran).toEqual([5000])
    })

    test('runs what fails again, later and later, and gives it up with its reason', async ({ sql, worker, add }) => {
      const clock = createManualClock(1000)
      const tries: number[] = []
      const jobs = await worker({
        clock,
        attempts: 4,
        handlers: {
          work: async ({ attempt }) => {
            tries.push(attempt)
            throw new SluiceError('OVERLOADED', 'too much')
          },
        },
      })
      await add(jobs, { kind: 'work', payload: { of: 7 } })
      for (let attempt = 1; attempt < 4; attempt++) {
        await until(async () => (await column(sql, 'reason')).join() !== '' && tries.length >= attempt)
        const longest = BigInt(clock.now() + 1000 * 2 ** (attempt - 1))
        await until(async () => (await column<bigint>(sql, 'due_at'))[0]! <= longest)
        await clock.advance(1000 * 2 ** (attempt - 1))
        await until(() => (jobs.wake(), tries.length > attempt))
      }
      await until(async () => (await states(sql)).join() === 'dead')
      expect(tries).toEqual([1, 2, 3, 4])
      const [job] = await jobs.dead()
      expect([job!.kind, job!.payload, job!.reason]).toEqual(['work', { of: 7 }, 'OVERLOADED: too much'])
      await clock.advance(3_600_000)
      expect(await jobs.revive(job!.id)).toEqual(true)
      expect(await jobs.revive(job!.id)).toEqual(false)
      await until(() => tries.length > 4)
      expect(tries[4]).toEqual(1)
    })

    test('never runs a row twice at a time, nor more rows than it may', async ({ sql, worker }) => {
      const now = new Map<unknown, number>()
      const runs = new Map<unknown, number>()
      let most = 0
      const handler = (own: { running: number }) => async ({ payload }: { payload: unknown }) => {
        now.set(payload, (now.get(payload) ?? 0) + 1)
        runs.set(payload, (runs.get(payload) ?? 0) + now.get(payload)!)
        most = Math.max(most, ++own.running)
        await pause(5)
        own.running--
        now.set(payload, now.get(payload)! - 1)
      }
      const workers = await Promise.all(
        [1, 2, 3, 4].map(() => worker({ concurrency: 4, handlers: { work: handler({ running: 0 }) } })),
      )
      // All at once, so that all workers reach for the same rows.
      await sql.transaction(async (tx) => {
        for (let index = 0; index < 100; index++) await workers[0]!.add(tx, { kind: 'work', payload: index })
      })
      workers.forEach((each) => each.wake())
      await until(async () => (await states(sql)).every((state) => state === 'done'))
      expect([...runs.values()].join()).toEqual(Array.from({ length: 100 }, () => 1).join())
      expect(most <= 4).toEqual(true)
    })

    test('keeps the lease of a handler that takes long', async ({ sql, worker, add }) => {
      const clock = createManualClock(1000)
      let runs = 0
      let finish = (): void => {}
      const work = () => new Promise<void>((resolve) => (runs++, (finish = resolve)))
      const options = { clock, lease: 3000, handlers: { work } }
      const [first, second] = [await worker(options), await worker(options)]
      await add(first, { kind: 'work' })
      await until(() => runs === 1)
      for (let step = 1; step <= 9; step++) {
        await clock.advance(1000)
        await until(async () => (await column<bigint>(sql, 'due_at'))[0] === BigInt(clock.now() + 3000))
        second.wake()
        await pause(10)
      }
      await pause(50)
      expect(runs).toEqual(1)
      finish()
      await until(async () => (await states(sql)).join() === 'done')
    })

    test('takes over from a worker that stands still, which then can’t end the job', async ({ sql, worker, add }) => {
      const [mine, other] = [createManualClock(1000), createManualClock(1000)]
      const ran: string[] = []
      let lost = false
      let release = (): void => {}
      const still = await worker({
        clock: mine,
        lease: 3000,
        handlers: {
          work: async ({ signal, attempt }) => {
            ran.push(`first ${attempt}`)
            void ended(signal).then(() => (lost = true))
            await new Promise<void>((resolve) => (release = resolve))
          },
        },
      })
      await add(still, { kind: 'work' })
      await until(() => ran.length === 1)
      let fail = (_: Error): void => {}
      const next = await worker({
        clock: other,
        lease: 3000,
        handlers: {
          work: ({ attempt }) => {
            ran.push(`second ${attempt}`)
            return new Promise<void>((_, reject) => (fail = reject))
          },
        },
      })
      await other.advance(2999)
      await pause(50)
      expect(ran).toEqual(['first 1'])
      await other.advance(1)
      await until(() => (next.wake(), ran.length === 2))
      await mine.advance(1000)
      await until(() => lost)
      release()
      await pause(50)
      expect(await states(sql)).toEqual(['waiting'])
      fail(new Error('later'))
      await until(async () => (await column(sql, 'reason')).join() === 'Error: later')
      expect(ran).toEqual(['first 1', 'second 2'])
    })

    test('fires the signal before the lease ends if it can’t be renewed in time', async ({ sql, worker, add }) => {
      const clock = createManualClock(1000)
      let lostAt = 0
      let runs = 0
      const jobs = await worker({
        clock,
        lease: 3000,
        handlers: {
          work: async ({ signal }) => {
            runs++
            await ended(signal)
            lostAt = clock.now()
          },
        },
      })
      await add(jobs, { kind: 'work' })
      await until(() => runs === 1)
      await sql.transaction(async (tx) => {
        await statement`select 1 from jobs for update`.execute(tx)
        await clock.advance(1999)
        expect(lostAt).toEqual(0)
        await clock.advance(1)
        await until(() => lostAt > 0)
      })
      expect(lostAt).toEqual(3000)
    })

    test('gives up a job whose process ended in the last attempt', async ({ sql, worker, add }) => {
      let runs = 0
      const jobs = await worker({ attempts: 2, handlers: { work: async () => void runs++ } })
      await sql.transaction(async (tx) => {
        await jobs.add(tx, { kind: 'work' })
        await statement`update jobs set attempt = 2`.execute(tx)
      })
      await until(async () => (await states(sql)).join() === 'dead')
      expect((await jobs.dead())[0]!.reason).toEqual('its process ended in the last attempt')
      expect(runs).toEqual(0)
      await add(jobs, { kind: 'work' })
      await until(() => runs === 1)
    })

    test('runs recurring work once among workers, and again after its interval', async ({ sql, worker }) => {
      const clock = createManualClock(1000)
      const ran: number[] = []
      const options = { clock, handlers: { tick: async () => void ran.push(clock.now()) } }
      const workers = [await worker(options), await worker(options), await worker(options)]
      await Promise.all(workers.map((each) => each.every({ kind: 'tick', interval: 5000 })))
      for (let round = 1; round <= 3; round++) {
        await until(() => (workers.forEach((each) => each.wake()), ran.length === round))
        await until(async () => (await column<number>(sql, 'attempt'))[0] === 0)
        workers.forEach((each) => each.wake())
        await pause(30)
        await clock.advance(5000)
      }
      await until(() => (workers.forEach((each) => each.wake()), ran.length === 4))
      expect(ran).toEqual([1000, 6000, 11_000, 16_000])
      await until(async () => (await column<number>(sql, 'attempt'))[0] === 0)
      await workers[0]!.every({ kind: 'tick', interval: 2000 })
      expect(await column(sql, 'due_at')).toEqual([18_000n])
    })

    test('hands over recurring work that keeps failing to its next interval', async ({ sql, worker }) => {
      const clock = createManualClock(1000)
      let runs = 0
      const jobs = await worker({
        clock,
        attempts: 1,
        handlers: {
          tick: async () => {
            runs++
            throw new Error('no')
          },
        },
      })
      await jobs.every({ kind: 'tick', interval: 5000 })
      await until(async () => (await column(sql, "concat(state, ' ', due_at, ' ', reason)")).join() === 'waiting 6000 Error: no')
      await clock.advance(5000)
      await until(() => (jobs.wake(), runs === 2))
    })

    test('hands work back when it stops', async ({ sql, worker, add }) => {
      const attempts: number[] = []
      const first = await worker({
        handlers: {
          work: async ({ signal, attempt }) => {
            attempts.push(attempt)
            await ended(signal)
            throw new Error('stopped')
          },
        },
      })
      await add(first, { kind: 'work' })
      await until(() => attempts.length === 1)
      await first.stop()
      expect(await column(sql, "concat(state, ' ', attempt)")).toEqual(['waiting 0'])
      await worker({ handlers: { work: async ({ attempt }) => void attempts.push(attempt) } })
      await until(async () => (await states(sql)).join() === 'done')
      expect(attempts).toEqual([1, 1])
    })

    test('forgets what is done after a week', async ({ sql, worker, add }) => {
      const clock = createManualClock(1000)
      const jobs = await worker({ clock, handlers: { work: async () => {} } })
      await add(jobs, { kind: 'work', key: 'one' })
      await until(async () => (await states(sql)).join() === 'done')
      await clock.advance(6 * 86_400_000)
      expect(await add(jobs, { kind: 'work', key: 'one' })).toEqual(false)
      await pause(50)
      expect(await states(sql)).toEqual(['done'])
      await clock.advance(86_400_000)
      await until(async () => (jobs.wake(), (await states(sql)).length === 0))
    })
  })
}
