/**
 * A seller as a process of its own, to be killed.
 * @module
 */
import { JsonRpcProvider, Network, Wallet } from 'ethers'
import { createSeller } from '../../src/seller/index.ts'

/** What {@link killRuns} tells it. */
export interface SellerJob {
  readonly rpc: string
  readonly chainId: number
  readonly secret: string
  readonly dataTrade: string
  readonly store: string
  readonly file: string
  readonly port: number
  readonly price: string
  readonly granularity: number
  readonly window: number
}

const job = JSON.parse(process.argv[2]!) as SellerJob
const provider = new JsonRpcProvider(job.rpc, undefined, {
  cacheTimeout: -1,
  pollingInterval: 50,
  staticNetwork: Network.from(job.chainId),
})
const seller = await createSeller({
  signer: new Wallet(job.secret, provider),
  store: job.store,
  dataTrade: job.dataTrade,
  granularity: job.granularity,
  window: job.window,
  ackTimeout: 10_000,
  settleDelay: 50,
  items: [{ id: 'item', data: job.file, price: BigInt(job.price) }],
})
await seller.listen({ port: job.port })
process.stdout.write('ready\n')
