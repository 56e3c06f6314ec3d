/**
 * A buyer as a process of its own, to be killed: it goes on with the order that an earlier run of it has begun.
 * @module
 */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { JsonRpcProvider, Network, Wallet } from 'ethers'
import { createBuyer, type Purchase } from '../../src/buyer/index.ts'
import type { Hex } from '../../src/core/bytes.ts'
import { isSluiceError } from '../../src/core/errors.ts'

/** What {@link killRuns} tells it. */
export interface BuyerJob {
  readonly rpc: string
  readonly chainId: number
  readonly secret: string
  readonly dataTrade: string
  readonly store: string
  readonly url: string
  /** Where the data goes. */
  readonly out: string
  /** Orders that its store held before this one. */
  readonly before: number
  /** Seconds. */
  readonly lifetime: number
  /** `reclaim` ends the order instead of going on with it. */
  readonly act: 'buy' | 'reclaim'
}

const job = JSON.parse(process.argv[2]!) as BuyerJob
const provider = new JsonRpcProvider(job.rpc, undefined, {
  cacheTimeout: -1,
  pollingInterval: 50,
  staticNetwork: Network.from(job.chainId),
})
const buyer = await createBuyer({
  signer: new Wallet(job.secret, provider),
  store: job.store,
  dataTrade: job.dataTrade,
  reconnects: 30,
  stallTimeout: 3000,
  openTimeout: 20_000,
})

if (job.act === 'reclaim') {
  const { current } = await standing()
  const { state, paid, refunded } = current ? await buyer.reclaim(current) : { state: 'none', paid: 0n, refunded: 0n }
  process.stdout.write(`${JSON.stringify({ state, paid: paid.toString(), refunded: refunded.toString() })}\n`)
} else {
  // `a` makes the file, `r+` writes anywhere in it.
  await (await open(job.out, 'a')).close()
  while (!(await trade())) await new Promise((again) => setTimeout(again, 100))
  process.stdout.write('done\n')
}
await buyer.close()
provider.destroy()

/** The order that isn't over, if there is one, and how many there are. */
async function standing(): Promise<{ readonly current: Hex | undefined; readonly count: number }> {
  let current: Hex | undefined
  let count = 0
  for await (const { record, state } of buyer.orders()) {
    count++
    if (state === 'opening' || state === 'open') current = record.id
  }
  return { current, count }
}

/** Buys, or goes on with what was begun. False if the seller can't be reached: it may have been killed. */
async function trade(): Promise<boolean> {
  const { current, count } = await standing()
  if (!current && count > job.before) return true
  try {
    await save(
      current
        ? buyer.resume(current, { partial: createReadStream(job.out) })
        : buyer.buy({ seller: job.url, item: 'item', lifetime: job.lifetime }),
    )
    return true
  } catch (error) {
    if (isSluiceError(error, 'CONNECTION_FAILED') || isSluiceError(error, 'CONNECTION_LOST')) return false
    throw error
  }
}

async function save(purchase: Purchase): Promise<void> {
  const file = await open(job.out, 'r+')
  try {
    let at = -1
    for await (const chunk of purchase) {
      if (at === -1) at = await purchase.offset
      await file.write(chunk, 0, chunk.length, at)
      at += chunk.length
    }
  } finally {
    await file.close()
  }
}
