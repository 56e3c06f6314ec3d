import type { Bench, Row } from '../lib/report.ts'
import { bills } from './bills.ts'
import { chainExchanges } from './chainExchanges.ts'
import { exchange } from './exchange.ts'
import { inProcess } from './inProcess.ts'
import { signing } from './signing.ts'

type Measure = (say: (line: string) => void) => Promise<readonly Row[]>

/** What is measured together, by the cases that it gives. */
const parts: readonly (readonly [cases: readonly string[], measure: Measure])[] = [
  [['exchange-http-postgres', 'exchange-http-postgres-cpu', 'exchange-round-trips', 'exchange-p50', 'exchange-p99'], exchange],
  [['exchange-in-process'], inProcess],
  [['exchange-chain', 'exchange-chain-cpu', 'exchange-chain-gas'], chainExchanges],
  [['sign-canonical'], signing],
  [['bill-month'], bills],
]

/** The benches of the data exchange service. */
export const des: Bench = async ({ wants, say }) => {
  const rows: Row[] = []
  for (const [cases, measure] of parts) if (cases.some(wants)) rows.push(...(await measure(say)).filter((row) => wants(row.case)))
  return rows
}
