import { expect, test } from 'vitest'
import { killRuns } from '../../scripts/soak/killRuns.ts'

test('six trades between processes that are killed at random points lose nothing and double nothing', async () => {
  const seed = Date.now() % 1_000_000
  const { failures, kills } = await killRuns({ runs: 6, seed })
  expect(failures).toEqual([])
  expect(kills).toBeGreaterThanOrEqual(5)
}, 300_000)
