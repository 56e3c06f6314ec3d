/**
 * A channel node as a process of its own, to be killed: it pays its partners until it is told to stop.
 * @module
 */
import { createInterface } from 'node:readline'
import { JsonRpcProvider, Network, Wallet } from 'ethers'
import { createChannelNode } from '../../src/channel/channelNode.ts'
import { staticDiscovery } from '../../src/channel/discovery/static.ts'
import { openLevelStore } from '../../src/core/store/openLevelStore.ts'
import { listenWebSocketPeer } from '../../src/protocol/websocket/listenPeer.ts'

/** What {@link channelKillRuns} tells it. */
export interface ChannelJob {
  readonly rpc: string
  readonly chainId: number
  readonly secret: string
  readonly tokenNetwork: string
  readonly fromBlock: number
  readonly store: string
  readonly port: number
  /** Where the others are, by account. */
  readonly endpoints: Readonly<Record<string, string>>
  /** Whom it opens channels with, unless it has them. */
  readonly opens: readonly string[]
  readonly deposit: string
  /** Whom it pays. */
  readonly pays: readonly string[]
}

/** What it says when it is asked how it stands. */
export interface Standing {
  readonly channels: readonly {
    readonly id: string
    readonly partner: string
    readonly phase: string
    readonly capacity: string
    readonly partnerCapacity: string
    readonly locked: string
    readonly online: boolean
  }[]
  readonly out: readonly {
    readonly id: string
    readonly amount: string
    readonly fee: string
    readonly peer: string
    readonly state: string
  }[]
  readonly in: readonly { readonly id: string; readonly amount: string; readonly peer: string }[]
  readonly waiting: number
}

const job = JSON.parse(process.argv[2]!) as ChannelJob
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const provider = new JsonRpcProvider(job.rpc, undefined, {
  cacheTimeout: -1,
  pollingInterval: 50,
  staticNetwork: Network.from(job.chainId),
})
const node = await createChannelNode({
  signer: new Wallet(job.secret, provider),
  tokenNetwork: job.tokenNetwork,
  fromBlock: job.fromBlock,
  store: await openLevelStore(job.store),
  transport: await listenWebSocketPeer({ port: job.port }),
  discovery: staticDiscovery(job.endpoints),
  pollInterval: 50,
})
let paying = true
let waiting = 0

createInterface({ input: process.stdin }).on('line', (line) => {
  const [command, id, how] = line.split(' ')
  if (command === 'stop') paying = false
  if (command === 'state') void standing().then((state) => say(`state ${JSON.stringify(state)}`))
  if (command === 'close') {
    node.close(id!, { how: how as 'together' | 'alone' }).then(
      () => say(`closed ${id}`),
      (error: unknown) => say(`failed ${id} ${String(error)}`),
    )
  }
}).on('close', () => process.exit()) // whoever watches over it is gone
say('ready')
for (const partner of job.opens) {
  while (paying && !node.channels().some((channel) => channel.partner === partner.toLowerCase() && channel.totalDeposit > 0n)) {
    await node.open({ partner, deposit: BigInt(job.deposit) }).catch((error: unknown) => say(`not open: ${String(error)}`))
    await pause(50)
  }
}
say('open')
for (const to of job.pays) void pay(to)

async function pay(to: string): Promise<void> {
  while (paying) {
    if (waiting >= 64) {
      await pause(1)
      continue
    }
    waiting++
    const amount = BigInt(1 + Math.floor(Math.random() * 50))
    node
      .pay({ to, amount, maxFee: 0n, timeout: 2_000 })
      .then(
        ({ id }) => say(`done ${id} ${amount}`),
        () => pause(20),
      )
      .finally(() => waiting--)
    if (Math.random() < 0.2) await pause(1 + Math.random() * 4)
  }
}

async function standing(): Promise<Standing> {
  const out = []
  const came = []
  for await (const { id, amount, fee, peer, state } of node.payments('out'))
    out.push({ id, amount: `${amount}`, fee: `${fee}`, peer, state })
  for await (const { id, amount, peer, state } of node.payments('in')) if (state === 'done') came.push({ id, amount: `${amount}`, peer })
  const channels = node.channels().map(({ id, partner, phase, capacity, partnerCapacity, locked, online }) => ({
    id,
    partner,
    phase,
    capacity: `${capacity}`,
    partnerCapacity: `${partnerCapacity}`,
    locked: `${locked}`,
    online,
  }))
  return { channels, out, in: came, waiting }
}
