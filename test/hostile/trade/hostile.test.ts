import { spawnSync } from 'node:child_process'
import { expect, it } from 'vitest'

interface Summary {
  readonly runs: number
  readonly lost: number
  readonly prints: readonly string[]
}

/** Runs the model in a process of its own, as one file: what is loaded while it runs would make a seed mean less. */
function run(...args: readonly string[]): { readonly said: string; readonly summary: Summary } {
  const { stdout, stderr } = spawnSync(process.execPath, ['scripts/hostile.mjs', '--model', 'trade', ...args], { encoding: 'utf8' })
  const last = stdout.trim().split('\n').at(-1)!
  return { said: `${stdout}${stderr}`, summary: JSON.parse(last) as Summary }
}

it('leaves an honest seller its money, and an honest buyer its data or its deposit', { timeout: 300_000 }, () => {
  const { summary, said } = run('--runs', '40', '--seed', '1')
  expect(summary.lost, said).toBe(0)
  expect(summary.runs).toBe(40)
})

it('repeats a run by its seed', { timeout: 120_000 }, () => {
  const whole = run('--runs', '4', '--seed', '500').summary.prints
  expect(run('--runs', '1', '--seed', '503').summary.prints).toEqual(whole.slice(3))
})

it.each(['one-thing', 'deposit'])('notices that the guard %s is gone', { timeout: 300_000 }, (guard) => {
  expect(run('--without', guard, '--runs', '60', '--first').summary.lost).toBe(1)
})
