/**
 * Speed of payments over one mediator: nodes in processes of their own, linked by WebSockets on loopback.
 * @module
 */
import { fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ZeroAddress } from 'ethers'
import { tokenNetworkRegistryContract } from '../../src/contracts/tokenNetworkRegistry.ts'
import { startDevnet } from '../../src/testing/devnet.ts'
import { median, percentile, type Row } from '../lib/report.ts'
import type { Answer, Command, PeerOptions } from './mediatedPeer.ts'

const ROUNDS = 5
/** Rounds of payments at the same time, which take long to set up. */
const ROUNDS_TOGETHER = 3
/** Payments of a round, one after another. */
const ONE_BY_ONE = 500
/** Payments of a round, many at a time. */
const TOGETHER = 2_000
const PAYERS = 50
const PAYEES = 50
/** Payments that a payer has under way at a time. */
const IN_FLIGHT = 4

/** Milliseconds of a payment over one mediator, each node in a process of its own. */
export async function mediatedOne(name: string, durable: boolean, say: (line: string) => void): Promise<readonly Row[]> {
  const folder = durable ? await mkdtemp(join(tmpdir(), 'sluice-bench-')) : undefined
  const village = await startVillage(3, folder)
  try {
    const mediator = await village.start([2])
    const payer = await village.start([0], { mediator })
    const payee = await village.start([1], { mediator })
    for (const end of [payer, payee]) await end.ask({ name: 'connect' })
    await Promise.all([payer.ask({ name: 'open', nodes: 1 }), mediator.ask({ name: 'openMany', partners: payee.accounts })])
    const order = { name: 'pay', payers: 1, to: payee.accounts, inFlight: 1 } as const
    await untilPaid(() => payer.ask({ ...order, count: 1 }))

    const figures = { paid: [] as number[], bare: [] as number[], trips: [] as number[] }
    for (let round = -1; round < ROUNDS; round++) {
      const { times: paid } = await payer.ask({ ...order, count: ONE_BY_ONE })
      const { times: bare, roundTrips } = await payer.ask({ name: 'bareMediations', echo: mediator.echo, count: ONE_BY_ONE })
      if (round < 0) continue // warms the compiler
      figures.paid.push(...paid!)
      figures.bare.push(...bare!)
      figures.trips.push(...roundTrips!)
      const both = [paid!, bare!].map((times) => [50, 99, 100].map((at) => percentile(times, at).toFixed(2)).join(', '))
      say(`  ${name} round ${round + 1}: ${both[0]} ms a payment (p50, p99, slowest), ${both[1]} ms its parts`)
    }
    return [50, 99].map((percent) => ({
      bench: 'channel',
      case: percent === 50 ? name : `${name}-p${percent}`,
      value: percentile(figures.paid, percent),
      unit: 'ms/op',
      baseline: { name: '4 round trips of bare ws', value: percentile(figures.trips, percent) },
      limit: {
        name: '4 round trips, 5 x sign, 2 x verify, recover, seal, open',
        value: percentile(figures.bare, percent),
      },
    }))
  } finally {
    await village.stop()
    if (folder) await rm(folder, { recursive: true })
  }
}

/**
 * Payments per second through one mediator with 100 channels.
 *
 * The mediator has a process of its own, all payers and payees share another. Those have more than twice as much to do for a
 * payment, so they get the native curve: the core that is full should be the mediator's.
 */
export async function mediatedHundred(say: (line: string) => void): Promise<readonly Row[]> {
  const village = await startVillage(PAYERS + PAYEES + 1)
  try {
    const began = performance.now()
    const mediator = await village.start([PAYERS + PAYEES])
    const places = Array.from({ length: PAYERS + PAYEES }, (_, i) => i)
    const ends = await village.start(places, { mediator, native: true })
    await ends.ask({ name: 'connect' })
    const payees = ends.accounts.slice(PAYERS)
    await Promise.all([ends.ask({ name: 'open', nodes: PAYERS }), mediator.ask({ name: 'openMany', partners: payees })])
    const order = { name: 'pay', payers: PAYERS, to: payees, inFlight: IN_FLIGHT } as const
    await untilPaid(() => ends.ask({ ...order, count: PAYERS * IN_FLIGHT }))
    say(`  ${PAYERS} payers and ${PAYEES} payees were ready after ${((performance.now() - began) / 1000).toFixed(1)} s`)

    const figures = { paid: [] as number[], cpu: [] as number[], proofs: [] as number[], ethers: [] as number[] }
    for (let round = -1; round < ROUNDS_TOGETHER; round++) {
      const before = [await mediator.ask({ name: 'busy' }), await ends.ask({ name: 'busy' })] as const
      const start = performance.now()
      const { times } = await ends.ask({ ...order, count: TOGETHER })
      const took = performance.now() - start
      const after = [await mediator.ask({ name: 'busy' }), await ends.ask({ name: 'busy' })] as const
      const cpu = after[0].cpu! - before[0].cpu!
      const loops = after.map((at, i) => (100 * (at.loop! - before[i]!.loop!)) / took)
      const { proofs, ethers } = await mediator.ask({ name: 'rates', count: 2_000 })
      if (round < 0) continue // warms the compiler
      figures.paid.push((1000 * TOGETHER) / took)
      figures.cpu.push((1000 * TOGETHER) / cpu)
      figures.proofs.push(proofs! / 2)
      figures.ethers.push(ethers! / 2)
      say(
        `  mediated-100 round ${round + 1}: ${Math.round(figures.paid.at(-1)!)} payments/s, ${Math.round(
          figures.cpu.at(-1)!,
        )} a second of the mediator's processor, its event loop ${loops[0]!.toFixed(0)} % busy, that of the ends ${loops[1]!.toFixed(
          0,
        )} %; p50 ${percentile(times!, 50).toFixed(0)} ms, p99 ${percentile(times!, 99).toFixed(0)} ms`,
      )
    }
    const limit = { name: "2 x (hash + sign + hash + verify) on the mediator's core", value: median(figures.proofs) }
    const baseline = { name: 'those as ethers ships', value: median(figures.ethers) }
    const row = { bench: 'channel', unit: 'payments/s', baseline, limit }
    return [
      { ...row, case: 'mediated-100', value: median(figures.paid) },
      { ...row, case: 'mediated-100-cpu', value: median(figures.cpu) },
    ]
  } finally {
    await village.stop()
  }
}

/** A process of nodes, as the bench sees it. */
interface Peer {
  readonly accounts: readonly string[]
  readonly account: string
  readonly url: string
  readonly echo: string
  ask(command: Command): Promise<Answer>
}

const program = fileURLToPath(new URL('mediatedPeer.ts', import.meta.url))

/** A development chain with a token network for ETH, and what starts processes with nodes on it. */
async function startVillage(accounts: number, folder?: string) {
  const devnet = await startDevnet({ accounts: accounts + 1 })
  const { tokenNetworkRegistry, fromBlock } = await devnet.deployChannels({})
  const registry = tokenNetworkRegistryContract(tokenNetworkRegistry, devnet.accounts.at(-1))
  await (await registry.createTokenNetwork(ZeroAddress)).wait()
  const tokenNetwork = await registry.tokenNetworks(ZeroAddress)
  const children: ReturnType<typeof fork>[] = []
  return {
    /** Starts a process with a node for each of the accounts at these places; the mediator without `mediator`. */
    async start(places: readonly number[], more: { readonly mediator?: Peer; readonly native?: boolean } = {}): Promise<Peer> {
      const { mediator, native } = more
      const options: PeerOptions = {
        rpc: devnet.url,
        tokenNetwork,
        fromBlock,
        keys: places.map((place) => devnet.accounts[place]!.privateKey),
        mediator: mediator && { account: mediator.account, url: mediator.url },
        native,
        folder: folder && join(folder, `${children.length}`),
      }
      const child = fork(program, [JSON.stringify(options)], { execArgv: [...process.execArgv] })
      children.push(child)
      const answer = (): Promise<Answer> =>
        new Promise((resolve, reject) => {
          const ended = (): void => reject(new Error('a process of the bench has ended'))
          child.once('exit', ended)
          child.once('message', (message: Answer) => {
            child.off('exit', ended)
            if (message.error === undefined) resolve(message)
            else reject(new Error(message.error))
          })
        })
      const { accounts: made, url, echo } = await answer()
      return {
        accounts: made!,
        account: made![0]!,
        url: url ?? '',
        echo: echo ?? '',
        ask: (command) => {
          child.send(command)
          return answer()
        },
      }
    },
    async stop(): Promise<void> {
      for (const child of children) {
        if (child.exitCode !== null) continue
        const ended = new Promise((resolve) => child.once('exit', resolve))
        child.disconnect()
        await ended
      }
      await devnet.stop()
    },
  }
}

/** Tries until the payers have heard of the mediator's channels. */
async function untilPaid(pay: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await pay()
      return
    } catch (error) {
      if (tries === 60) throw error
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }
}
