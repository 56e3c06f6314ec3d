/**
 * Runs a hostile model as it is told to on the command line: `--runs N`, `--seed N` of the first run, `--theme T`, `--trace` to
 * see what happened, `--first` to end with the first loss. Prints a line of JSON for each run that somebody lost in, and one
 * at the end.
 * @module
 */
import { parseArgs } from 'node:util'
import { setEngine } from '../../../src/core/crypto/engine.ts'
import { nativeSecp256k1 } from '../../../src/core/crypto/native.ts'

/** A model of which runs can be made. */
export interface Model<Setup, Theme extends string> {
  readonly themes: readonly Theme[]
  setUp(): Promise<Setup>
  runOnce(setup: Setup, seed: number, theme?: Theme): Promise<ModelRun>
}

/** How a run ended. */
export interface ModelRun {
  readonly losses: readonly unknown[]
  /** Tells whether two runs were the same. */
  readonly print: string
  readonly trace: readonly string[]
  readonly blocks: number
}

/** Makes the runs, and ends the process: with 1 if somebody has lost. */
export async function runModel<Setup, Theme extends string>(model: Model<Setup, Theme>): Promise<never> {
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
  const theme = model.themes.find((each) => each === values.theme)
  if (values.theme !== undefined && theme === undefined) throw new Error(`--theme takes one of ${model.themes.join(', ')}`)
  const text = (value: unknown): string =>
    JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? String(each) : each))

  // Nobody reads where an error came from here, and nodes end each wait by one.
  Error.stackTraceLimit = 0
  setEngine({ secp256k1: nativeSecp256k1() })
  const setup = await model.setUp()
  const began = performance.now()
  const cpu = process.cpuUsage()
  let lost = 0
  let done = 0
  const prints: string[] = []
  for (let seed = first; seed < first + runs; seed++) {
    const { losses, print, trace, blocks } = await model.runOnce(setup, seed, theme)
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
}
