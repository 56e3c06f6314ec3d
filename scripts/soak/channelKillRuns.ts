/**
 * Payments between real processes that are killed at random points, and the books afterwards.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Wallet, ZeroAddress } from 'ethers'
import { tokenNetworkContract } from '../../src/contracts/tokenNetwork.ts'
import { tokenNetworkRegistryContract } from '../../src/contracts/tokenNetworkRegistry.ts'
import { startDevnet, type Devnet } from '../../src/testing/devnet.ts'
import type { ChannelJob, Standing } from './channelProcess.ts'
import type { KillOptions, KillReport } from './killRuns.ts'
import { bundle, freePort, mulberry32, pause } from './parts.ts'

const DEPOSIT = 1_000_000_000n
const CHALLENGE_PERIOD = 600
/** Far beyond what any step of a run takes. */
const PATIENCE = 90_000

/** Runs networks of three nodes, Alice - Bob - Carol, and kills whom the seed says. */
export async function channelKillRuns({ runs, seed, onRun }: KillOptions): Promise<KillReport> {
  const random = mulberry32(seed)
  const pick = (below: number): number => Math.floor(random() * below)
  const folder = await mkdtemp(join(tmpdir(), 'sluice-channel-kill-'))
  const programs = await bundle('channelProcess')
  const program = programs.path('channelProcess')
  const devnet = await startDevnet({ accounts: 1 })
  const failures: string[] = []
  let kills = 0
  let children: Child[] = []
  try {
    const { tokenNetworkRegistry, fromBlock } = await devnet.deployChannels({ challengePeriod: CHALLENGE_PERIOD })
    const registry = tokenNetworkRegistryContract(tokenNetworkRegistry, devnet.accounts[0])
    await (await registry.createTokenNetwork(ZeroAddress)).wait()
    const tokenNetwork = await registry.tokenNetworks(ZeroAddress)

    for (let run = 0; run < runs; run++) {
      const notes: string[] = []
      try {
        const wallets = [Wallet.createRandom(), Wallet.createRandom(), Wallet.createRandom()] as const
        const [alice, bob, carol] = wallets.map(({ address }) => address) as [string, string, string]
        const ports = [await freePort(), await freePort(), await freePort()]
        for (const { address } of wallets) await devnet.provider.send('anvil_setBalance', [address, '0x56bc75e2d63100000'])
        const endpoints = Object.fromEntries(
          wallets.map(({ address }, i) => [address.toLowerCase(), `ws://127.0.0.1:${ports[i]}/`]),
        )
        const jobs = wallets.map(
          ({ privateKey }, i): ChannelJob => ({
            rpc: devnet.url,
            chainId: Number(devnet.chainId),
            secret: privateKey,
            tokenNetwork,
            fromBlock,
            store: join(folder, `${run}-${i}`),
            port: ports[i]!,
            endpoints,
            opens: i === 1 ? [alice, carol] : [],
            deposit: DEPOSIT.toString(),
            pays: i === 0 ? [bob, carol] : i === 1 ? [alice, carol] : [bob, alice],
          }),
        )
        children = jobs.map((job) => start(program, job))
        const said: string[][] = [[], [], []]
        await children[1]!.says('open')

        const rounds = 1 + pick(4)
        for (let round = 0; round < rounds; round++) {
          const ms = 50 + pick(900)
          await pause(ms)
          const whom = [[0], [1], [2], [0, 1], [1, 2], [0, 1, 2]][pick(6)]!
          notes.push(`${whom.map((i) => 'ABC'[i]).join('')} after ${ms} ms`)
          await Promise.all(whom.map((i) => children[i]!.kill()))
          kills += whom.length
          for (const i of whom) {
            said[i]!.push(...children[i]!.lines)
            children[i] = start(program, jobs[i]!)
          }
          await Promise.all(whom.map((i) => children[i]!.says('ready')))
        }
        await children[1]!.says('open')
        await pause(300)
        for (const child of children) child.tell('stop')
        const standings = await quiet(devnet, children)
        children.forEach((child, i) => said[i]!.push(...child.lines))
        checkBooks(
          standings,
          said,
          wallets.map(({ address }) => address.toLowerCase()),
        )
        const count = standings.reduce((sum, standing) => sum + standing.in.length, 0)
        notes.push(`${count} payments`)
        await end(
          devnet,
          tokenNetwork,
          children,
          standings,
          wallets.map(({ address }) => address.toLowerCase()),
          pick,
          notes,
        )
        await Promise.all(children.map((child) => child.kill()))
        children = []
        onRun?.(run, notes.join(', '))
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        failures.push(`run ${run + 1} (seed ${seed}: ${notes.join(', ')}): ${reason}`)
        onRun?.(run, `${notes.join(', ')}: FAILED: ${reason}`)
        await Promise.all(children.map((child) => child.kill()))
      }
    }
    const left = await devnet.provider.getBalance(tokenNetwork)
    if (failures.length === 0 && left !== 0n) failures.push(`the contract still holds ${left} wei that it owes nobody`)
    return { runs, kills, failures }
  } finally {
    await Promise.all(children.map((child) => child.kill()))
    await devnet.stop()
    await rm(folder, { recursive: true, force: true })
    await programs.remove()
  }
}

/** Waits until nothing is under way, and both ends of each channel say the same. */
async function quiet(devnet: Devnet, children: readonly Child[]): Promise<Standing[]> {
  for (const [began, moved] = [Date.now(), { at: 0 }]; ; ) {
    const standings = await Promise.all(children.map((child) => child.standing()))
    const why = whyNotQuiet(standings)
    if (why === undefined) return standings
    if (Date.now() - began > PATIENCE) {
      const open = standings.map(({ out, waiting, channels }) => ({
        open: out.filter(({ state }) => state !== 'done' && state !== 'failed'),
        waiting,
        channels,
      }))
      throw new Error(`no end: ${why}: ${JSON.stringify(open)}`)
    }
    // What nobody claims goes back when its time is over.
    if (Date.now() - began > 15_000 && Date.now() - moved.at > 15_000) {
      moved.at = Date.now()
      await devnet.increaseTime(400)
    }
    await pause(200)
  }
}

function whyNotQuiet(standings: readonly Standing[]): string | undefined {
  for (const [i, standing] of standings.entries()) {
    const name = 'ABC'[i]
    const open = standing.out.filter(({ state }) => state !== 'done' && state !== 'failed')
    if (open.length > 0) return `${name} has ${open.length} payments of which it doesn't know the end`
    if (standing.waiting > 0) return `${name} has ${standing.waiting} payments under way`
    for (const { id, online, locked, capacity, partnerCapacity } of standing.channels) {
      if (!online || locked !== '0') return `${name}: ${online ? `${locked} locked` : 'offline'}`
      const other = standings.flatMap((each, at) => (at === i ? [] : each.channels)).find((channel) => channel.id === id)
      if (!other || other.capacity !== partnerCapacity || other.partnerCapacity !== capacity)
        return `${name} has ${capacity} and ${partnerCapacity}, the other end ${other?.capacity} and ${other?.partnerCapacity}`
    }
  }
  return undefined
}

/** What one side counts as paid, the other has, once; and the balances are the sums of that. */
function checkBooks(standings: readonly Standing[], said: readonly string[][], accounts: readonly string[]): void {
  for (const [i, { out }] of standings.entries()) {
    for (const { id, amount, peer, state } of out) {
      const got = standings[accounts.indexOf(peer)]!.in.filter((payment) => payment.id === id)
      if (state === 'done' && got.length !== 1)
        throw new Error(`payment ${id} of ${'ABC'[i]} is done, and known ${got.length} times`)
      if (state !== 'done' && got.length !== 0) throw new Error(`payment ${id} of ${'ABC'[i]} is ${state}, and was received`)
      if (got.length === 1 && (got[0]!.amount !== amount || got[0]!.peer !== accounts[i]))
        throw new Error(`payment ${id} of ${amount} was received as ${got[0]!.amount} from ${got[0]!.peer}`)
    }
    for (const { id } of standings[i]!.in) {
      if (!standings.some((other) => other.out.some((payment) => payment.id === id)))
        throw new Error(`payment ${id} came from nobody`)
    }
    for (const line of said[i]!) {
      const [what, id] = line.split(' ')
      if (what === 'done' && !out.some((payment) => payment.id === id && payment.state === 'done'))
        throw new Error(`payment ${id} was done once, and is not any more`)
    }
  }
  const sums = standings.map((standing, i) => {
    const sum = (payments: readonly { amount: string; fee?: string }[]): bigint =>
      payments.reduce((total, { amount, fee = '0' }) => total + BigInt(amount) + BigInt(fee), 0n)
    const deposited = i === 1 ? 2n * DEPOSIT : 0n
    return deposited + sum(standing.in) - sum(standing.out.filter(({ state }) => state === 'done'))
  })
  for (const [i, { channels }] of standings.entries()) {
    const has = channels.reduce((total, { capacity }) => total + BigInt(capacity), 0n)
    if (has !== sums[i]) throw new Error(`${'ABC'[i]} has ${has}, by its payments it should be ${sums[i]}`)
  }
}

/** Ends both channels, one way or the other, and checks what is paid out. */
async function end(
  devnet: Devnet,
  tokenNetwork: string,
  children: readonly Child[],
  standings: readonly Standing[],
  accounts: readonly string[],
  pick: (below: number) => number,
  notes: string[],
): Promise<void> {
  const contract = tokenNetworkContract(tokenNetwork, devnet.provider)
  for (const { id, partner, capacity, partnerCapacity } of standings[1]!.channels) {
    const how = pick(2) === 0 ? 'together' : 'alone'
    const closer = pick(2) === 0 ? 1 : accounts.indexOf(partner)
    notes.push(`${'ABC'[closer]} closes ${how}`)
    // This chain's clock has been put forward, and a node learns of that with a block.
    await devnet.mine()
    await pause(300)
    children[closer]!.tell(`close ${id} ${how}`)
    const said = await children[closer]!.answers(id)
    if (!said.startsWith('closed')) throw new Error(said)
    if (how === 'alone') {
      // The other end sees it, and has its time to answer.
      await pause(2_000)
      await devnet.increaseTime(CHALLENGE_PERIOD + 1)
    }
    for (const began = Date.now(); ; await pause(100)) {
      const [settled] = await contract.queryFilter(contract.filters.ChannelSettled(id))
      if (settled) {
        const { paid1, paid2, locked1, locked2 } = settled.args
        const first = accounts[1]! < partner
        const [own, theirs] = first ? [paid1, paid2] : [paid2, paid1]
        if (own !== BigInt(capacity) || theirs !== BigInt(partnerCapacity) || locked1 + locked2 !== 0n)
          throw new Error(`settled ${how} with ${own} and ${theirs}, agreed were ${capacity} and ${partnerCapacity}`)
        break
      }
      if (Date.now() - began > PATIENCE) throw new Error('the channel was not settled')
    }
  }
}

// --- processes ---

interface Child {
  readonly lines: readonly string[]
  tell(command: string): void
  says(line: string): Promise<void>
  /** What it says of a closing. */
  answers(id: string): Promise<string>
  standing(): Promise<Standing>
  kill(): Promise<void>
}

function start(program: string, job: ChannelJob): Child {
  const child: ChildProcess = spawn(process.execPath, [program, JSON.stringify(job)], { stdio: ['pipe', 'pipe', 'pipe'] })
  const lines: string[] = []
  let errors = ''
  let rest = ''
  let ended = false
  child.stdin!.on('error', () => {}) // it was killed
  child.stdout!.on('data', (piece: Buffer) => {
    const pieces = (rest + piece.toString()).split('\n')
    rest = pieces.pop()!
    lines.push(...pieces)
  })
  child.stderr!.on('data', (piece: Buffer) => (errors = (errors + piece.toString()).slice(-1500)))
  const exited = new Promise<void>((resolve) => child.once('close', () => ((ended = true), resolve())))
  const find = async (what: string, look: () => string | undefined): Promise<string> => {
    for (const began = Date.now(); ; await pause(10)) {
      const found = look()
      if (found !== undefined) return found
      if (ended || Date.now() - began > PATIENCE)
        throw new Error(
          `"${what}" did not come: ${errors} ${lines
            .filter((line) => !line.startsWith('done'))
            .slice(-3)
            .join(' | ')
            .slice(0, 500)}`,
        )
    }
  }
  return {
    lines,
    tell: (command) => void child.stdin!.write(`${command}\n`),
    says: async (line) => void (await find(line, () => lines.find((said) => said === line))),
    answers: (id) =>
      find(`closed ${id}`, () => lines.find((said) => said.startsWith(`closed ${id}`) || said.startsWith(`failed ${id}`))),
    async standing() {
      const from = lines.length
      child.stdin!.write('state\n')
      const said = await find('state', () => lines.slice(from).find((line) => line.startsWith('state ')))
      return JSON.parse(said.slice('state '.length)) as Standing
    },
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}
