/**
 * Writes measured figures into README.md and docs/benchmarks.md, between `<!-- name -->` and `<!-- /name -->`.
 *
 *     npm run bench -- --json docs/bench.json && npm run figures
 *
 * The gas figures are those of gas-snapshot.json. Run it on the machine that measured: its name goes into the text.
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { machine, table, type Row } from '../bench/lib/report.ts'

interface Gas {
  readonly contract: string
  readonly call: string
  readonly gas: number
  readonly anchor: { readonly name: string; readonly gas: number } | null
}

const file = (name: string): URL => new URL(`../${name}`, import.meta.url)
const rows = JSON.parse(readFileSync(file('docs/bench.json'), 'utf8')) as Row[]
const gas = JSON.parse(readFileSync(file('gas-snapshot.json'), 'utf8')) as Gas[]

/** The rows of one bench. */
const of = (bench: string): Row[] => rows.filter((row) => row.bench === bench)

const whole = (value: number): string => Math.round(value).toLocaleString('en-US')
const ofLimit = (row: Row): string => (row.limit ? (row.value / row.limit.value).toFixed(2) : '')

const speed = [
  '| paid and verified stream, two processes | MiB/s | the limit, 1 / (1/ws + 1/SHA-256) | of the limit |',
  '| --- | --- | --- | --- |',
  ...rows
    .filter((row) => row.case.startsWith('stream-'))
    .map((row) => `| ${row.case.slice(7).replace('KiB', ' KiB').replace('MiB', ' MiB')} chunks | ${whole(row.value)} | ${row.limit ? whole(row.limit.value) : ''} | ${ofLimit(row)} |`),
  ...rows
    .filter((row) => row.case === 'seed-literal-64KiB')
    .map((row) => `| the seed to the letter, 64 KiB chunks | ${row.value.toFixed(1)} | | we are ${whole(row.baseline.value / row.value)} times faster |`),
].join('\n')

const gasLine = ({ contract, call, gas: used, anchor }: Gas): string =>
  `| ${contract}: ${call} | ${whole(used)} | ${anchor ? `${anchor.name}: ${whole(anchor.gas)}` : ''} | ${anchor ? `${Math.round((100 * used) / anchor.gas)} %` : ''} |`
const gasHead = '| call | gas | beside | |\n| --- | --- | --- | --- |'
const inReadme = /^(create, ETH$|settle, voucher, half|settleBatch of 10, half|dispute, depth 14|1 GiB)/
const short = [gasHead, ...gas.filter(({ call }) => inReadme.test(call)).map(gasLine)].join('\n')
const all = [gasHead, ...gas.map(gasLine)].join('\n')

const fill = (name: string, parts: Readonly<Record<string, string>>): void => {
  let text = readFileSync(file(name), 'utf8')
  for (const [part, content] of Object.entries(parts)) {
    const between = new RegExp(`(<!-- ${part} -->\\n)[\\s\\S]*?(<!-- /${part} -->)`)
    if (!between.test(text)) throw new Error(`${name} has no place for ${part}`)
    text = text.replace(between, (_whole, head: string, tail: string) => `${head}${content}\n${tail}`)
  }
  writeFileSync(file(name), text)
}

fill('README.md', { figures: `${speed}\n\n${short}\n\nMeasured on ${machine()}.` })
fill('docs/benchmarks.md', { machine: machine(), datatrade: table(of('datatrade')), channel: table(of('channel')), des: table(of('des')), gas: all })
