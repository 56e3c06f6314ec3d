/**
 * Speed of the data trade: a paid and verified stream on loopback, seller and buyer in two processes.
 * @module
 */
import { fork, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import { median, type Bench, type Row } from '../lib/report.ts'
import type { Role } from './peer.ts'

const MiB = 1024 * 1024
const peer = fileURLToPath(new URL('peer.ts', import.meta.url))

/** Rounds: every round measures each part once, so that what the machine does meanwhile hits all of them. */
const ROUNDS = 5

/** What is streamed in each measurement, large enough for the ramp of the window to vanish in it. */
const STREAM = 512 * MiB

/** Bytes of the 10 GiB run. */
const LONG = 10 * 1024 * MiB

export const datatrade: Bench = async ({ wants, say }) => {
  const devnet = await startDevnet({ accounts: 220 })
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  const rows: Row[] = []
  try {
    const seed = wants('seed-literal-64KiB') ? await seedLiteral() : undefined
    for (const [name, granularity] of [
      ['64KiB', 64 * 1024],
      ['256KiB', 256 * 1024],
      ['1MiB', MiB],
    ] as const) {
      if (!wants(`stream-${name}`) && !(name === '64KiB' && seed !== undefined)) continue
      const { stream, ws, sha256, joined } = await streams(devnet, folder, granularity, say)
      const limit = 1 / (1 / ws + 1 / sha256)
      rows.push({
        bench: 'datatrade',
        case: `stream-${name}`,
        value: stream,
        unit: 'MiB/s',
        baseline: { name: `ws and SHA-256 in one process (ws ${Math.round(ws)}, SHA-256 ${Math.round(sha256)})`, value: joined },
        limit: { name: '1 / (1/ws + 1/sha256)', value: limit },
      })
      if (name === '64KiB' && seed !== undefined) {
        rows.push({
          bench: 'datatrade',
          case: 'seed-literal-64KiB',
          value: seed,
          unit: 'MiB/s',
          baseline: { name: 'stream-64KiB', value: stream },
          limit: null,
        })
      }
    }
    if (wants('memory-10GiB')) rows.push(...(await memory(devnet, folder, say)))
    if (wants('buyers-200')) rows.push(await manyBuyers(devnet, folder, say))
  } finally {
    await devnet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  return rows
}

/** Median speeds in MiB/s of the stream, of its parts, and of these parts joined with nothing between them. */
async function streams(devnet: Devnet, folder: string, granularity: number, say: (line: string) => void) {
  const figures = { stream: [] as number[], ws: [] as number[], sha256: [] as number[], joined: [] as number[] }
  const seller = await start('seller', devnet, folder, { granularity, size: STREAM, account: 0 })
  const wsServer = await start('ws-server', devnet, folder, { granularity, size: STREAM })
  try {
    for (let round = -1; round < ROUNDS; round++) {
      const ws = (await once('ws-client', devnet, folder, { granularity, size: STREAM, url: wsServer.url })).rate
      const sha256 = sha256Rate(granularity)
      const joined = (await once('ws-client', devnet, folder, { granularity, size: STREAM, url: wsServer.url, hash: true })).rate
      const stream = (await once('buyer', devnet, folder, { granularity, size: STREAM, url: seller.url, account: 1 })).rate
      if (round < 0) continue // warms the files, the chain and the seller
      figures.ws.push(ws)
      figures.sha256.push(sha256)
      figures.stream.push(stream)
      figures.joined.push(joined)
      say(
        `  ${granularity / 1024} KiB, round ${round + 1}: stream ${Math.round(stream)}, ws ${Math.round(ws)}, sha256 ${Math.round(
          sha256,
        )}, both in one process ${Math.round(joined)} MiB/s`,
      )
    }
  } finally {
    await seller.stop()
    await wsServer.stop()
  }
  return {
    stream: median(figures.stream),
    ws: median(figures.ws),
    sha256: median(figures.sha256),
    joined: median(figures.joined),
  }
}

function sha256Rate(granularity: number): number {
  const chunk = new Uint8Array(granularity).fill(7)
  const count = Math.ceil((256 * MiB) / granularity)
  const began = performance.now()
  for (let i = 0; i < count; i++) createHash('sha256').update(chunk).digest()
  return (count * granularity) / MiB / ((performance.now() - began) / 1000)
}

/** The seed to the letter: JSON, base64, a signature over each whole message, one message at a time; no chain. */
async function seedLiteral(): Promise<number> {
  const figures: number[] = []
  const server = await start('seed-seller', undefined, '', { granularity: 64 * 1024, size: 4 * MiB })
  try {
    for (let round = 0; round < 3; round++) {
      figures.push((await once('seed-buyer', undefined, '', { granularity: 64 * 1024, size: 4 * MiB, url: server.url })).rate)
    }
  } finally {
    await server.stop()
  }
  return median(figures)
}

/** How far memory grows over a stream of 10 GiB, on both sides, in windows: the bound is 4. */
async function memory(devnet: Devnet, folder: string, say: (line: string) => void): Promise<Row[]> {
  const granularity = 256 * 1024
  const seller = await start('seller', devnet, folder, { granularity, size: LONG, account: 0, generated: true })
  try {
    const buyer = await once('buyer', devnet, folder, { granularity, size: LONG, url: seller.url, account: 2, memory: true })
    const sold = await seller.ask('memory')
    const window = 64 * granularity
    say(
      `  10 GiB: buyer ${Math.round(buyer.rate)} MiB/s; grown by ${Math.round(buyer.grown / MiB)} MiB at the buyer, ${Math.round(
        sold.grown / MiB,
      )} MiB at the seller`,
    )
    const row = (side: string, grown: number): Row => ({
      bench: 'datatrade',
      case: `memory-10GiB-${side}`,
      value: grown / MiB,
      unit: 'MiB/op',
      baseline: { name: 'one window', value: window / MiB },
      limit: { name: '4 windows', value: (4 * window) / MiB },
    })
    return [row('buyer', buyer.grown), row('seller', sold.grown)]
  } finally {
    await seller.stop()
  }
}

/** 200 buyers at one seller at a time, each with an account and an order of its own. */
async function manyBuyers(devnet: Devnet, folder: string, say: (line: string) => void): Promise<Row> {
  const size = 4 * MiB
  const granularity = 64 * 1024
  const seller = await start('seller', devnet, folder, { granularity, size, account: 0 })
  try {
    const one = await once('buyers', devnet, folder, { granularity, size, url: seller.url, account: 10, count: 1 })
    const many = await once('buyers', devnet, folder, { granularity, size, url: seller.url, account: 11, count: 200 })
    say(`  200 buyers: ${many.failed} failed`)
    if (many.failed > 0) throw new Error(`${many.failed} of 200 orders failed`)
    return {
      bench: 'datatrade',
      case: 'buyers-200',
      value: many.rate,
      unit: 'MiB/s',
      baseline: { name: 'one buyer, ramp and transactions included', value: one.rate },
      limit: null,
    }
  } finally {
    await seller.stop()
  }
}

interface Job {
  readonly granularity: number
  readonly size: number
  readonly account?: number
  readonly url?: string
  readonly generated?: boolean
  readonly memory?: boolean
  readonly hash?: boolean
  readonly count?: number
}

interface Answer {
  readonly url: string
  readonly rate: number
  readonly grown: number
  readonly failed: number
}

interface Peer {
  readonly url: string
  ask(what: string): Promise<Answer>
  stop(): Promise<void>
}

/** Starts a peer that serves, in a process of its own. */
async function start(role: Role, devnet: Devnet | undefined, folder: string, job: Job): Promise<Peer> {
  const child = spawnPeer(role, devnet, folder, job)
  const { url } = await answerOf(child)
  return {
    url,
    ask: (what) => {
      child.send(what)
      return answerOf(child)
    },
    stop: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve())
        child.send('stop')
      }),
  }
}

/** Runs a peer to its end. */
async function once(role: Role, devnet: Devnet | undefined, folder: string, job: Job): Promise<Answer> {
  const child = spawnPeer(role, devnet, folder, job)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const answer = await answerOf(child)
  child.send('stop')
  await ended
  return answer
}

function spawnPeer(role: Role, devnet: Devnet | undefined, folder: string, job: Job): ChildProcess {
  const options = {
    ...job,
    role,
    rpc: devnet?.url ?? '',
    dataTrade: devnet?.deployment.dataTrade ?? '',
    store: mkdtempSync(join(folder || tmpdir(), `${role}-`)),
    key: job.account === undefined ? '' : devnet!.accounts[job.account]!.privateKey,
    keys:
      job.count === undefined
        ? []
        : devnet!.accounts.slice(job.account, job.account! + job.count).map(({ privateKey }) => privateKey),
  }
  const profile = process.env['SLUICE_BENCH_PROFILE'] === role ? ['--cpu-prof', '--cpu-prof-dir=.'] : []
  return fork(peer, [JSON.stringify(options)], { execArgv: [...process.execArgv, '--expose-gc', ...profile] })
}

function answerOf(child: ChildProcess): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const early = (code: number | null): void => reject(new Error(`a peer ended early with ${code}`))
    child.once('exit', early)
    child.once('message', (answer) => {
      child.off('exit', early)
      resolve(answer as Answer)
    })
  })
}
