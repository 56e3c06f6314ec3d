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
  const { summary, said } = run('--runs', '60', '--seed', '1')
  expect(summary.lost, said).toBe(0)
  expect(summary.runs).toBe(60)
})

it('repeats a run by its seed', { timeout: 120_000 }, () => {
  const whole = run('--runs', '9', '--seed', '500').summary.prints
  expect(run('--runs', '3', '--seed', '506').summary.prints).toEqual(whole.slice(6))
})

it.each(['one-thing', 'deposit', 'alipay-order'])('notices that the guard %s is gone', { timeout: 300_000 }, (guard) => {
  expect(run('--without', guard, '--runs', '60', '--first').summary.lost).toBe(1)
})
