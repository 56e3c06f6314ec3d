/**
 * An exchange's chain in a process of its own; what it needs comes as JSON in the environment. Tells each end as a line.
 * @module
 */
import process from 'node:process'
import { JsonRpcProvider, Network, Wallet } from 'ethers'
import { systemClock } from '../../../core/clock.ts'
import { createLedger } from '../../../core/ledger/index.ts'
import { silentLogger } from '../../../core/log.ts'
import { openPostgres } from '../../../core/sql/index.ts'
import type { Database } from '../database.ts'
import { openChain } from './index.ts'

/** What such a process is told. */
export interface ChainJob {
  readonly rpc: string
  readonly chainId: number
  readonly secret: string
  readonly database: string
  readonly proxyTransfer: string
  readonly fromBlock: number
  readonly confirmations: number
  readonly lease: number
}

const { rpc, chainId, secret, database, ...options } = JSON.parse(process.env['CHAIN_JOB']!) as ChainJob
const provider = new JsonRpcProvider(rpc, undefined, { cacheTimeout: -1, staticNetwork: Network.from(chainId) })
const sql = openPostgres<Database>({ url: database })
const { settlement } = await openChain({
  ...options,
  signer: new Wallet(secret, provider),
  sql,
  ledger: await createLedger(sql),
  clock: systemClock,
  log: silentLogger,
})
await settlement.start!(
  async (_, ends) => void process.stdout.write(`ended ${ends.map(({ item, is }) => `${item} ${is}`).join(', ')}\n`),
)
process.stdout.write('ready\n')
