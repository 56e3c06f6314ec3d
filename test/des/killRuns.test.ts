import { expect, it } from 'vitest'
import { exchangeKillRuns } from '../../scripts/soak/exchangeKillRuns.ts'

it('two servers of one database that are killed charge nobody twice, and lose nothing', async () => {
  const seed = Date.now() % 1_000_000_000
  const { failures, kills } = await exchangeKillRuns({ runs: 2, seed })
  expect(failures, `seed ${seed}`).toEqual([])
  expect(kills).toBeGreaterThan(0)
}, 240_000)
