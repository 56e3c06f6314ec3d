import { spawnSync } from 'node:child_process'
import { expect, it } from 'vitest'

interface Summary {
  readonly runs: number
  readonly lost: number
  readonly prints: readonly string[]
}

/** Runs the model in a process of its own, as one file: what is loaded while it runs would make a seed mean less. */
function run(...args: readonly string[]): { readonly said: string; readonly summary: Summary } {
  const { stdout, stderr } = spawnSync(process.execPath, ['scripts/hostile.mjs', ...args], { encoding: 'utf8' })
  const last = stdout.trim().split('\n').at(-1)!
  return { said: `${stdout}${stderr}`, summary: JSON.parse(last) as Summary }
}

it('leaves everybody honest what it is owed, whatever its neighbours do', { timeout: 300_000 }, () => {
  const { summary, said } = run('--runs', '24', '--seed', '1')
  expect(summary.lost, said).toBe(0)
  expect(summary.runs).toBe(24)
})

it('repeats a run by its seed', { timeout: 120_000 }, () => {
  const whole = run('--runs', '2', '--seed', '500').summary.prints
  expect(run('--runs', '1', '--seed', '501').summary.prints).toEqual(whole.slice(1))
})

it('notices that steps of a hash chain can be taken out', { timeout: 300_000 }, () => {
  expect(run('--without', 'signed-steps', '--runs', '100', '--first').summary.lost).toBe(1)
})
