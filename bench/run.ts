/**
 * Runs benches: `npm run bench [-- NAME...] [--json FILE]`. A name is a bench (`datatrade`) or a case of one
 * (`datatrade/stream-64KiB`); without any, all are run. What was not run keeps its figures in the file.
 * @module
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { channel } from './channel/channel.ts'
import { des } from './des/des.ts'
import { datatrade } from './datatrade/datatrade.ts'
import { machine, table, type Bench, type Row } from './lib/report.ts'

const benches: Readonly<Record<string, Bench>> = { datatrade, channel, des }

const { values, positionals } = parseArgs({ options: { json: { type: 'string' } }, allowPositionals: true })
for (const name of positionals) {
  if (!(name.split('/')[0]! in benches)) {
    console.error(`there is no bench "${name}"; there are: ${Object.keys(benches).join(', ')}`)
    process.exit(1)
  }
}

console.log(machine())
const rows: Row[] = []
for (const [name, bench] of Object.entries(benches)) {
  const wanted = positionals.filter((position) => position.split('/')[0] === name)
  if (positionals.length > 0 && wanted.length === 0) continue
  const cases = wanted.flatMap((position) => position.split('/').slice(1))
  const results = await bench({ wants: (kase) => cases.length === 0 || cases.includes(kase), say: (line) => console.log(line) })
  rows.push(...results)
  console.log(`\n${table(results)}`)
}
if (values.json) {
  const before = existsSync(values.json) ? (JSON.parse(readFileSync(values.json, 'utf8')) as Row[]) : []
  const isSame = (a: Row, b: Row): boolean => a.bench === b.bench && a.case === b.case
  const kept = before.map((row) => rows.find((other) => isSame(row, other)) ?? row)
  const fresh = rows.filter((row) => !before.some((other) => isSame(row, other)))
  writeFileSync(values.json, `${JSON.stringify([...kept, ...fresh], null, 2)}\n`)
}
