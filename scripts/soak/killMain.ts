import { parseArgs } from 'node:util'
import { channelKillRuns } from './channelKillRuns.ts'
import { exchangeKillRuns } from './exchangeKillRuns.ts'
import { killRuns } from './killRuns.ts'

const { values, positionals } = parseArgs({
  options: { runs: { type: 'string', default: '200' }, seed: { type: 'string' } },
  allowPositionals: true,
})
const run = positionals[0] === 'channel' ? channelKillRuns : positionals[0] === 'exchange' ? exchangeKillRuns : killRuns
const seed = values.seed === undefined ? Date.now() % 1_000_000_000 : Number(values.seed)
const began = performance.now()
console.log(`seed ${seed}`)
const report = await run({
  runs: Number(values.runs),
  seed,
  onRun: (run, summary) => console.log(`${String(run + 1).padStart(4)}  ${summary}`),
})
const seconds = ((performance.now() - began) / 1000).toFixed(0)
console.log(`\n${report.runs} runs, ${report.kills} kills, ${report.failures.length} failures, ${seconds} s`)
for (const failure of report.failures) console.log(`  ${failure}`)
process.exitCode = report.failures.length === 0 ? 0 : 1
