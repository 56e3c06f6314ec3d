/**
 * Trades between real processes that are killed at random points, and the books afterwards.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unpaidWindow } from '../../src/protocol/window.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import type { BuyerJob } from './buyerProcess.ts'
import type { SellerJob } from './sellerProcess.ts'
import { startTap, type Tap } from './tap.ts'
import { bundle, freePort, mulberry32, pause } from './parts.ts'

/** Options of {@link killRuns}. */
export interface KillOptions {
  readonly runs: number
  readonly seed: number
  /** Is told how each run ended. @default none */
  readonly onRun?: ((run: number, summary: string) => void) | undefined
}

/** What {@link killRuns} found. */
export interface KillReport {
  readonly runs: number
  readonly kills: number
  readonly failures: readonly string[]
}

const GRANULARITY = 4096
const WINDOW = 8
const SIZE = 96 * GRANULARITY + 1234
const PRICE = 1_000_003n
const GRACE = 4
const LIFETIME = 7200

/** How a run goes: both come back until the trade is done, or one of them never does. */
type Plan = 'finish' | 'buyer gone' | 'seller gone'

/** Runs trades, one after the other on one chain and two stores, and kills whom the seed says. */
export async function killRuns({ runs, seed, onRun }: KillOptions): Promise<KillReport> {
  const random = mulberry32(seed)
  const pick = (below: number): number => Math.floor(random() * below)
  const folder = await mkdtemp(join(tmpdir(), 'sluice-kill-'))
  const programs = await bundle('sellerProcess', 'buyerProcess')
  const devnet = await startDevnet({ accounts: 2, grace: GRACE })
  const port = await freePort()
  const tap = await startTap(port, { granularity: GRANULARITY, window: WINDOW })
  const failures: string[] = []
  let kills = 0
  let seller: Child | undefined

  try {
    const data = Buffer.alloc(SIZE)
    for (let i = 0; i < SIZE; i++) data[i] = (i * 2654435761) >>> 13
    const file = join(folder, 'data')
    await writeFile(file, data)
    const [sellerAccount, buyerAccount] = devnet.accounts
    const common = { rpc: devnet.url, chainId: Number(devnet.chainId), dataTrade: devnet.deployment.dataTrade }
    const sellerJob: SellerJob = {
      ...common,
      secret: sellerAccount!.privateKey,
      store: join(folder, 'seller'),
      file,
      port,
      price: PRICE.toString(),
      granularity: GRANULARITY,
      window: WINDOW,
    }
    const startSeller = async (): Promise<Child> => {
      const child = start(programs.path('sellerProcess'), sellerJob)
      await child.says('ready')
      return child
    }

    for (let run = 0; run < runs; run++) {
      const plan: Plan = (['finish', 'finish', 'finish', 'finish', 'buyer gone', 'seller gone'] as const)[pick(6)]!
      const notes: string[] = [plan]
      try {
        seller ??= await startSeller()
        const from = Number(await devnet.provider.send('eth_blockNumber', [])) + 1
        const out = join(folder, `out-${run}`)
        const job = async (act: BuyerJob['act']): Promise<BuyerJob> => ({
          ...common,
          secret: buyerAccount!.privateKey,
          store: join(folder, 'buyer'),
          url: tap.url,
          out,
          before: run,
          lifetime: (await devnet.time()) - Math.floor(Date.now() / 1000) + LIFETIME,
          act,
        })
        let buyer = start(programs.path('buyerProcess'), await job('buy'))

        const rounds = plan === 'finish' ? 1 + pick(3) : 1
        for (let round = 0; round < rounds && !buyer.ended; round++) {
          const whom =
            plan === 'buyer gone' ? 'buyer' : plan === 'seller gone' ? 'seller' : (['buyer', 'seller', 'both'] as const)[pick(3)]!
          const when = await moment(tap, buyer, pick, plan === 'finish')
          if (buyer.ended) break // it was faster
          notes.push(`${whom} ${when}`)
          if (whom !== 'seller') {
            await buyer.kill()
            kills++
          }
          if (whom !== 'buyer') {
            await seller.kill()
            seller = undefined
            kills++
          }
          if (plan !== 'finish') break
          seller ??= await startSeller()
          if (whom !== 'seller') buyer = start(programs.path('buyerProcess'), await job('buy'))
        }

        if (plan === 'buyer gone') {
          await afterwards(devnet, LIFETIME + 1)
        } else if (plan === 'seller gone') {
          await buyer.kill()
          const reclaiming = start(programs.path('buyerProcess'), await job('reclaim'))
          // It asks to close, and waits for the grace to pass.
          while (!reclaiming.ended) {
            await pause(300)
            await afterwards(devnet, GRACE)
          }
          await reclaiming.succeeded()
          seller ??= await startSeller()
        } else {
          await buyer.succeeded()
          const got = await readFile(out)
          if (Buffer.compare(got, data) !== 0) throw new Error(`the file differs: ${got.length} of ${SIZE} bytes`)
        }
        await check(devnet, tap, from, buyerAccount!.address, plan, async () => {
          // A buyer that is gone for good still has its deposit in an order of which nothing was earned.
          const reclaiming = start(programs.path('buyerProcess'), await job('reclaim'))
          while (!reclaiming.ended) {
            await pause(300)
            await afterwards(devnet, GRACE)
          }
          await reclaiming.succeeded()
        })
        // The next run begins with an order of its own.
        if (plan === 'buyer gone') await start(programs.path('buyerProcess'), await job('reclaim')).succeeded()
        await rm(out, { force: true })
        onRun?.(run, notes.join(', '))
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        failures.push(`run ${run + 1} (seed ${seed}: ${notes.join(', ')}): ${reason}`)
        onRun?.(run, `${notes.join(', ')}: FAILED: ${reason}`)
        break // the books of the next runs would be wrong too
      }
    }
    failures.push(...tap.violations)
    const left = await devnet.provider.getBalance(devnet.deployment.dataTrade)
    if (failures.length === 0 && left !== 0n) failures.push(`the contract still holds ${left} wei that it owes nobody`)
    return { runs, kills, failures }
  } finally {
    await seller?.kill()
    await tap.close()
    await devnet.stop()
    await rm(folder, { recursive: true, force: true })
    await programs.remove()
  }
}

/** Waits for a point to kill at: some milliseconds, or some packets. Says which it was. */
async function moment(tap: Tap, buyer: Child, pick: (below: number) => number, any: boolean): Promise<string> {
  if (any && pick(3) === 0) {
    const ms = pick(700)
    await Promise.race([pause(ms), buyer.exited])
    return `after ${ms} ms`
  }
  const packets = 3 + pick(130)
  await Promise.race([
    buyer.exited,
    new Promise<void>((resolve) => {
      let passed = 0
      tap.onPass = () => {
        if (++passed === packets) resolve()
      }
    }),
  ])
  tap.onPass = undefined
  return `after ${packets} packets`
}

/** The books of a run: one order, one deposit, which went to the two of them and nowhere else. */
async function check(
  devnet: Devnet,
  tap: Tap,
  fromBlock: number,
  buyer: string,
  plan: Plan,
  reclaim: () => Promise<void>,
): Promise<void> {
  const contract = devnet.contracts.dataTrade
  const created = await contract.queryFilter(contract.filters.OrderCreated(undefined, buyer), fromBlock)
  if (created.length === 0 && plan !== 'finish') return // killed before it had ordered
  if (created.length !== 1) throw new Error(`${created.length} orders were created where one was wanted`)
  const { id, deposit } = created[0]!.args
  if (deposit !== PRICE) throw new Error(`the deposit is ${deposit} of ${PRICE}`)
  const passed = tap.passed(id)
  const settled = async () => (await contract.queryFilter(contract.filters.Settled(id), fromBlock)).map(({ args }) => args)
  let ends = await settled()
  for (let i = 0; i < 100 && ends.length === 0; i++) {
    // Nothing earned, nothing to settle for the seller: the deposit is the buyer's to take back.
    if (plan === 'buyer gone' && i === 20) await reclaim()
    await pause(50)
    ends = await settled()
  }
  if (ends.length !== 1) throw new Error(`order ${id} was settled ${ends.length} times`)
  const { transferred, paid, refunded } = ends[0]!
  if (paid + refunded !== deposit) throw new Error(`paid ${paid} and refunded ${refunded} are not the deposit of ${deposit}`)
  const bytes = Number(transferred)
  if (paid !== (PRICE * transferred) / BigInt(SIZE)) throw new Error(`${paid} were paid for ${bytes} bytes`)
  const limit = Math.min(SIZE, bytes + unpaidWindow(Math.floor(bytes / GRANULARITY), WINDOW) * GRANULARITY)
  if (bytes > passed.sent) throw new Error(`${bytes} bytes were paid, ${passed.sent} sent`)
  if (passed.sent > limit) throw new Error(`${passed.sent} bytes were sent, ${bytes} paid: more than the window`)
  if (plan === 'finish' && bytes !== SIZE) throw new Error(`${bytes} of ${SIZE} bytes were paid`)
}

// --- processes ---

/** A process of this run. */
interface Child {
  readonly ended: boolean
  readonly exited: Promise<void>
  says(line: string): Promise<void>
  kill(): Promise<void>
  /** Waits for its end. @throws with what it printed if it failed. */
  succeeded(): Promise<void>
}

/** A minute is far beyond what any step of a run takes. */
const PATIENCE = 60_000

function start(program: string, job: SellerJob | BuyerJob): Child {
  const child: ChildProcess = spawn(process.execPath, [program, JSON.stringify(job)], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let ended = false
  let listeners: (() => void)[] = []
  const heard = (piece: Buffer): void => {
    output += piece.toString()
    for (const listener of listeners) listener()
  }
  child.stdout!.on('data', heard)
  child.stderr!.on('data', heard)
  const exited = new Promise<void>((resolve) =>
    child.once('close', () => {
      ended = true
      for (const listener of listeners) listener()
      resolve()
    }),
  )
  const within = async (what: string, wait: Promise<void>): Promise<void> => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${what} did not come: ${output.slice(-1500)}`)), PATIENCE)
    })
    try {
      await Promise.race([wait, late])
    } catch (error) {
      child.kill('SIGKILL')
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
  return {
    get ended() {
      return ended
    },
    exited,
    says: (line) =>
      within(
        `"${line}"`,
        new Promise((resolve, reject) => {
          const look = (): void => {
            if (output.includes(`${line}\n`)) resolve()
            else if (ended) reject(new Error(`the process ended early: ${output.slice(-1500)}`))
          }
          listeners = [...listeners, look]
          look()
        }),
      ),
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
    succeeded: async () => {
      await within('the end of the buyer', exited)
      if (child.exitCode !== 0) throw new Error(`the buyer failed: ${output.slice(-1500)}`)
    },
  }
}

// --- small things ---

async function afterwards(devnet: Devnet, seconds: number): Promise<void> {
  await devnet.increaseTime(seconds)
}
