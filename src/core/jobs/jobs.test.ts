import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { jobsSuite } from '../../testing/jobsSuite.ts'
import { pgliteEngine, postgresEngine, type SqlEngine } from '../../testing/sqlEngines.ts'
import { openPostgres } from '../sql/openPostgres.ts'
import { createJobs } from './jobs.ts'

let pglite: SqlEngine
let postgres: Awaited<ReturnType<typeof postgresEngine>>

beforeAll(async () => {
  pglite = await pgliteEngine()
  postgres = await postgresEngine()
}, 60_000)
afterAll(async () => {
  await pglite?.stop()
  await postgres?.stop()
})

jobsSuite('PGlite', () => pglite.open(), { describe, it, expect })
jobsSuite('PostgreSQL', () => postgres.open(), { describe, it, expect })

it('takes over the job of a process that was killed, not before its lease ends', async () => {
  const lease = 3000
  const url = await postgres.openUrl()
  const sql = openPostgres({ url })
  const took: { attempt: number; at: number }[] = []
  const jobs = await createJobs(sql, {
    lease,
    pollInterval: 20,
    handlers: { work: async ({ attempt }) => void took.push({ attempt, at: Date.now() }) },
  })
  await sql.transaction((tx) => jobs.add(tx, { kind: 'work' }))
  const path = fileURLToPath(new URL('worker.testing.ts', import.meta.url))
  const child = spawn(process.execPath, ['--conditions=@sluice/source', '--import', 'tsx', path, url, String(lease)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  const begun = Date.now()
  jobs.start()
  // Longer than the lease: the live process keeps it.
  await new Promise((resolve) => setTimeout(resolve, lease * 1.5))
  expect(took).toEqual([])
  const killed = Date.now()
  child.kill('SIGKILL')
  await vi.waitUntil(() => took.length > 0, { timeout: 20_000 })
  expect(took[0]!.attempt).toBe(2)
  expect(took[0]!.at - killed).toBeGreaterThan(lease / 3)
  expect(took[0]!.at - begun).toBeGreaterThan(lease)
  await jobs.stop()
  await sql.close()
}, 60_000)
