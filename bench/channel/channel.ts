/**
 * Speed of payment channels. A case is a file of its own that gives rows.
 * @module
 */
import { type Bench, type Row } from '../lib/report.ts'
import { direct, directCases } from './direct.ts'
import { hashchain } from './hashchain.ts'
import { mediatedHundred, mediatedOne } from './mediated.ts'
import { paths } from './paths.ts'

const cases: Readonly<Record<string, (say: (line: string) => void) => Promise<readonly Row[]>>> = {
  ...Object.fromEntries(directCases.map((name) => [name, direct(name)])),
  'mediated-1': (say) => mediatedOne('mediated-1', false, say),
  'mediated-1-durable': (say) => mediatedOne('mediated-1-durable', true, say),
  'mediated-100': mediatedHundred,
  hashchain,
  paths,
}

export const channel: Bench = async ({ wants, say }) => {
  const rows: Row[] = []
  for (const [name, measure] of Object.entries(cases)) if (wants(name)) rows.push(...(await measure(say)))
  return rows
}
