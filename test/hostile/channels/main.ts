/**
 * Runs the hostile model of payment channels: `--runs N`, `--seed N` of the first run, `--trace` to see what happened. Prints a
 * line of JSON for each run that somebody lost in, and one at the end.
 * @module
 */
import { parseArgs } from 'node:util'
import { setEngine } from '../../../src/core/crypto/engine.ts'
import { nativeSecp256k1 } from '../../../src/core/crypto/native.ts'
import { runOnce } from './run.ts'
import { setUp } from './setup.ts'
import { themes } from './world.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    /** What the runs are about. @default each by its seed */
    theme: { type: 'string' },
    trace: { type: 'boolean', default: false },
    /** Ends with the first run that somebody lost in. */
    first: { type: 'boolean', default: false },
  },
})
const [runs, first] = [Number(values.runs), Number(values.seed)]
const theme = themes.find((each) => each === values.theme)
const text = (value: unknown): string =>
  JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? String(each) : each))

// Nobody reads where an error came from here, and nodes end each wait by one.
Error.stackTraceLimit = 0
setEngine({ secp256k1: nativeSecp256k1() })
const setup = await setUp()
const began = performance.now()
const cpu = process.cpuUsage()
let lost = 0
let done = 0
const prints: string[] = []
for (let seed = first; seed < first + runs; seed++) {
  const { losses, print, trace, blocks } = await runOnce(setup, seed, theme)
  done++
  if (process.env['SHOW_RUNS'] !== undefined) console.error(seed, trace[0], blocks, process.cpuUsage(cpu).user / 1e6)
  prints.push(print)
  if (values.trace) console.log(trace.join('\n'))
  if (losses.length === 0) continue
  lost++
  console.log(text({ seed, losses, blocks, ...(!values.trace && { trace }) }))
  if (values.first) break
}
const { user, system } = process.cpuUsage(cpu)
const cpuSeconds = (user + system) / 1e6
const seconds = (performance.now() - began) / 1000
const perMinute = (time: number): number => Math.round((60 * done) / time)
console.log(
  text({
    runs: done,
    seed: first,
    lost,
    seconds,
    cpuSeconds,
    perMinute: perMinute(seconds),
    perCpuMinute: perMinute(cpuSeconds),
    prints,
  }),
)
process.exit(lost > 0 ? 1 : 0)
