import { expect, it } from 'vitest'
import { exchangeKillRuns } from '../../scripts/soak/exchangeKillRuns.ts'

it('two servers of one database that are killed charge nobody twice, and lose nothing', async () => {
  const seed = Date.now() % 1_000_000_000
  // Side by side: most of a run is waiting for what the dead have left.
  const reports = await Promise.all([seed, seed + 1].map((each) => exchangeKillRuns({ runs: 1, seed: each })))
  for (const [run, { failures, kills }] of reports.entries()) {
    expect(failures, `seed ${seed + run}`).toEqual([])
    expect(kills).toBeGreaterThan(0)
  }
}, 240_000)
