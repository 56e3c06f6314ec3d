/**
 * One process of the bench of mediated payments: a mediator, or nodes that have a channel with one.
 *
 * What it is stands in its one argument; then it does what it is told, and answers.
 * @module
 */
import { once } from 'node:events'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { JsonRpcProvider, Wallet } from 'ethers'
import { WebSocket, WebSocketServer } from 'ws'
import { createChannelNode, type ChannelNode } from '../../src/channel/channelNode.ts'
import { staticDiscovery } from '../../src/channel/discovery/static.ts'
import { setEngine } from '../../src/core/crypto/engine.ts'
import { nativeSecp256k1 } from '../../src/core/crypto/native.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { openLevelStore } from '../../src/core/store/openLevelStore.ts'
import { listenWebSocketPeer } from '../../src/protocol/websocket/listenPeer.ts'
import { webSocketPeer } from '../../src/protocol/websocket/peer.ts'
import { bareMediation, bareProofs, ethersProofs } from './parts.ts'

/** What a process is. */
export interface PeerOptions {
  readonly rpc: string
  readonly tokenNetwork: string
  readonly fromBlock: number
  /** A key for each node. */
  readonly keys: readonly string[]
  /** Whose channels the nodes have; without, the one node is that. */
  readonly mediator?: { readonly account: string; readonly url: string } | undefined
  /** Whether the curve is that of the native package instead of the default. */
  readonly native?: boolean | undefined
  /** Where the nodes keep everything, written with fsync. @default memory */
  readonly folder?: string | undefined
}

/** What a process is told. */
export type Command =
  | { readonly name: 'connect' }
  | { readonly name: 'open'; readonly nodes: number }
  | { readonly name: 'openMany'; readonly partners: readonly string[] }
  | { readonly name: 'pay'; readonly payers: number; readonly to: readonly string[]; readonly count: number; readonly inFlight: number }
  | { readonly name: 'bareMediations'; readonly echo: string; readonly count: number }
  | { readonly name: 'rates'; readonly count: number }
  | { readonly name: 'busy' }

/** What it answers. */
export interface Answer {
  readonly accounts?: readonly string[]
  readonly url?: string
  readonly echo?: string
  /** Milliseconds of each. */
  readonly times?: readonly number[]
  readonly roundTrips?: readonly number[]
  /** Of one second, proofs made and checked: with the engine, and as ethers ships. */
  readonly proofs?: number
  readonly ethers?: number
  /** Milliseconds since the process began: of its processors, and of its event loop. */
  readonly cpu?: number
  readonly loop?: number
  readonly error?: string
}

const DEPOSIT = 10n ** 18n
/** Bytes of an average message of a payment. */
const PACKET = Buffer.alloc(250)

const options = JSON.parse(process.argv[2]!) as PeerOptions
if (options.native) setEngine({ secp256k1: nativeSecp256k1() })
const { mediator, tokenNetwork, fromBlock, folder } = options
const provider = new JsonRpcProvider(options.rpc, undefined, { staticNetwork: true, cacheTimeout: -1, pollingInterval: 500 })
const listening = mediator ? undefined : await listenWebSocketPeer()
const nodes: ChannelNode[] = []
for (const [i, key] of options.keys.entries()) {
  nodes.push(
    await createChannelNode({
      signer: new Wallet(key, provider),
      tokenNetwork,
      fromBlock,
      store: folder ? await openLevelStore(join(folder, `${i}`)) : memoryStore(),
      transport: listening ?? webSocketPeer(),
      discovery: staticDiscovery(mediator ? { [mediator.account]: mediator.url } : {}),
      pollInterval: 2_000, // as on a real chain
    }),
  )
}

async function pay({ payers, to, count, inFlight }: Extract<Command, { name: 'pay' }>): Promise<number[]> {
  const times: number[] = []
  let left = count
  const worker = async (payer: ChannelNode, first: number): Promise<void> => {
    for (let next = first; left-- > 0; next++) {
      const began = performance.now()
      await payer.pay({ to: to[next % to.length]!, amount: 1n })
      times.push(performance.now() - began)
    }
  }
  await Promise.all(
    nodes.slice(0, payers).flatMap((payer, i) => Array.from({ length: inFlight }, (_, j) => worker(payer, i + 7 * j))),
  )
  return times
}

/** Sends as many messages to and fro as a payment, over a bare socket, and does what it can't do without. */
async function bareMediations(echo: string, count: number): Promise<Pick<Answer, 'times' | 'roundTrips'>> {
  const socket = new WebSocket(echo, { perMessageDeflate: false })
  await once(socket, 'open')
  const times: number[] = []
  const roundTrips: number[] = []
  for (let i = 0; i < count; i++) {
    const began = performance.now()
    for (let trip = 0; trip < 4; trip++) {
      socket.send(PACKET)
      await once(socket, 'message')
    }
    roundTrips.push(performance.now() - began)
    bareMediation()
    times.push(performance.now() - began)
  }
  socket.close()
  return { times, roundTrips }
}

function rate(count: number, run: (count: number) => void): number {
  const began = performance.now()
  run(count)
  return (1000 * count) / (performance.now() - began)
}

async function obey(command: Command): Promise<Answer> {
  switch (command.name) {
    case 'connect':
      for (const node of nodes) await node.connect(mediator!.account)
      return {}
    case 'open':
      await Promise.all(
        nodes.slice(0, command.nodes).map((node) => node.open({ partner: mediator!.account, deposit: DEPOSIT })),
      )
      return {}
    case 'openMany':
      await nodes[0]!.openMany({ channels: command.partners.map((partner) => ({ partner, deposit: DEPOSIT })) })
      return {}
    case 'pay':
      return { times: await pay(command) }
    case 'bareMediations':
      return bareMediations(command.echo, command.count)
    case 'rates':
      return { proofs: rate(command.count, bareProofs), ethers: rate(command.count / 10, ethersProofs) }
    case 'busy': {
      const { user, system } = process.cpuUsage()
      return { cpu: (user + system) / 1000, loop: performance.eventLoopUtilization().active }
    }
  }
}

process.on('message', (command: Command) => {
  obey(command).then(
    (answer) => process.send!(answer),
    (error: unknown) => process.send!({ error: error instanceof Error ? error.message : String(error) } satisfies Answer),
  )
})
process.once('disconnect', () => process.exit())

let echo: string | undefined
if (listening) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
  server.on('connection', (socket) => socket.on('message', (data: Buffer) => socket.send(data)))
  await once(server, 'listening')
  echo = `ws://127.0.0.1:${(server.address() as { port: number }).port}`
}
process.send!({ accounts: nodes.map(({ account }) => account), url: listening?.endpoint, echo })
