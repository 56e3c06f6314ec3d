/**
 * Measures what the contracts cost: every call as a real transaction on a development chain, beside the figure of
 * another system.
 *
 *     npm run gas                                print the table
 *     npm run gas -- --json FILE                 write it too
 *     npm run gas -- --check                     fail when a figure is more than 1 % above gas-snapshot.json
 *     npm run gas -- --json gas-snapshot.json    accept the figures
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { startDevnet, type Devnet } from '../src/testing/devnet.ts'
import { measureChannels } from './gas/channels.ts'
import { measureDataTrade } from './gas/dataTrade.ts'
import { measureExchange } from './gas/exchange.ts'
import { NOW, type Row } from './gas/row.ts'

const { values: flags } = parseArgs({ options: { json: { type: 'string' }, check: { type: 'boolean', default: false } } })

const rows = [
  ...(await measured(measureDataTrade)),
  ...(await measured(measureChannels)),
  ...(await measured(measureExchange)),
]
print(rows)
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(rows, null, 2)}\n`)
if (flags.check) {
  check(rows, JSON.parse(readFileSync(new URL('../gas-snapshot.json', import.meta.url), 'utf8')) as Row[])
}

/** What is measured on a chain of its own. */
async function measured(measure: (chain: Devnet) => Promise<Row[]>): Promise<Row[]> {
  const devnet = await startDevnet({ args: ['--timestamp', String(NOW)] })
  return measure(devnet).finally(() => devnet.stop())
}

function print(rows: readonly Row[]): void {
  const number = (gas: number): string => gas.toLocaleString('en')
  const lines = [['contract', 'call', 'gas', 'anchor', '']]
  for (const { contract, call, gas, anchor } of rows) {
    lines.push([contract, call, number(gas), anchor ? number(anchor.gas) : '', anchor?.name ?? ''])
  }
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  for (const line of lines) {
    console.log(line.map((cell, column) => (column === 2 || column === 3 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!))).join('  ').trimEnd())
  }
}

/** Ends the process with 1 when a figure has grown, or the snapshot doesn't know it. */
function check(rows: readonly Row[], snapshot: readonly Row[]): void {
  const keyOf = ({ contract, call }: Row): string => `${contract}: ${call}`
  const known = new Map(snapshot.map((row) => [keyOf(row), row.gas]))
  const problems = rows.flatMap((row) => {
    const before = known.get(keyOf(row))
    known.delete(keyOf(row))
    if (before === undefined) return [`${keyOf(row)} is not in gas-snapshot.json`]
    return row.gas > before * 1.01 ? [`${keyOf(row)} takes ${row.gas} gas, ${before} before`] : []
  })
  problems.push(...[...known.keys()].map((key) => `${key} is no longer measured`))
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) process.exitCode = 1
  else console.log('\nno figure has grown by more than 1 %')
}
