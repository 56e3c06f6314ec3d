import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { tokenNetworkContract } from '../../src/contracts/tokenNetwork.ts'
import type { PeerTransport } from '../../src/protocol/peer.ts'
import { webSocketPeer } from '../../src/protocol/websocket/peer.ts'
import { eventually, startTown, type Town } from './support/town.ts'
import type { TowerJob } from './support/towerProcess.ts'

let town: Town
let folder: string
let child: Child | undefined
beforeAll(async () => {
  town = await startTown({ challengePeriod: 600 })
  folder = await mkdtemp(join(tmpdir(), 'sluice-tower-'))
})
afterAll(async () => {
  await child?.kill()
  await town.stop()
  await rm(folder, { recursive: true, force: true })
})

/** A tower's process, and what it has said. */
interface Child {
  readonly lines: string[]
  kill(): Promise<void>
}

async function start(job: TowerJob): Promise<Child> {
  const program = fileURLToPath(new URL('support/towerProcess.ts', import.meta.url))
  const process_: ChildProcess = spawn(process.execPath, ['--conditions=@sluice/source', '--import', 'tsx', program], {
    env: { ...process.env, TOWER_JOB: JSON.stringify(job) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  process_.stdout!.on('data', (chunk: Buffer) => lines.push(...chunk.toString().trim().split('\n')))
  const ended = new Promise<void>((resolve) => process_.once('exit', () => resolve()))
  const started = {
    lines,
    kill: async () => {
      process_.kill('SIGKILL')
      await ended
    },
  }
  await eventually('the process', () => lines.includes('ready'), 30_000)
  return started
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

it('a tower in a process of its own answers once, however often it is killed', async () => {
  const { devnet } = town
  const account = devnet.accounts[8]!
  const job = {
    rpc: devnet.url,
    chainId: Number(devnet.chainId),
    secret: account.privateKey,
    tokenNetwork: town.tokenNetwork,
    store: join(folder, 'store'),
    port: await freePort(),
  }
  child = await start(job)

  // Bob reaches alice in memory, and his tower by a socket.
  const [memory, sockets] = [town.peers.peer(), webSocketPeer()]
  const transport: PeerTransport = {
    ...memory,
    connect: (url, options) => (url.startsWith('ws://127.') ? sockets : memory).connect(url, options),
  }
  const alice = await town.resident('alice', { autoSettle: false })
  const bob = await town.resident('bob', {
    transport,
    towers: { towers: [{ account: account.address, url: `ws://127.0.0.1:${job.port}` }], interval: 20 },
  })
  const { id } = await town.channel(alice, bob, 1_000n)
  await eventually('the link, which only bob can open', () => alice.node.channel(id).capacity === 1_000n && alice.node.channel(id).online)
  await alice.node.pay({ to: bob.wallet.address, amount: 300n })
  // Nobody reaches bob's own endpoint, so he could not consent: one by watch, one by channel id.
  await eventually('the appointments', () => child!.lines.filter((line) => line === 'appointed').length === 2)
  await bob.node.stop()
  await child.kill()

  await alice.node.close(id, { how: 'alone' })
  await devnet.setAutomine(false)
  child = await start(job)
  const count = (block: string): Promise<number> => devnet.provider.getTransactionCount(account.address, block)
  await eventually('a transaction', async () => (await count('pending')) === 1, 20_000)
  await child.kill()
  child = await start(job)
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  await devnet.setAutomine(true)
  await devnet.mine()
  await eventually('an answer', () => child!.lines.some((line) => line.startsWith('shown')), 20_000)
  await child.kill()
  child = await start(job)
  await devnet.mine()
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  expect(child.lines).toEqual(['ready'])

  expect([await count('pending'), await count('latest')]).toEqual([1, 1])
  const contract = tokenNetworkContract(town.tokenNetwork, devnet.provider)
  const [update, ...more] = await contract.queryFilter(contract.filters.NonClosingBalanceProofUpdated(id))
  expect(more).toEqual([])
  expect(update!.args.fromCloser.transferred).toBe(300n)
})
