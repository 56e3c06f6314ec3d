/**
 * A watchtower in a process of its own; what it needs comes as JSON in the environment, what it does goes out line by line.
 * @module
 */
import { JsonRpcProvider, Network, Wallet } from 'ethers'
import { createTower } from '../../../src/channel/tower/index.ts'
import { openLevelStore } from '../../../src/core/store/openLevelStore.ts'
import { listenWebSocketPeer } from '../../../src/protocol/websocket/listenPeer.ts'

/** What such a process is told. */
export interface TowerJob {
  readonly rpc: string
  readonly chainId: number
  readonly secret: string
  readonly tokenNetwork: string
  /** Folder of its store. */
  readonly store: string
  readonly port: number
}

const job = JSON.parse(process.env['TOWER_JOB']!) as TowerJob
const provider = new JsonRpcProvider(job.rpc, undefined, { cacheTimeout: -1, staticNetwork: Network.from(job.chainId) })
const say = (line: string): void => void process.stdout.write(`${line}\n`)

const tower = await createTower({
  signer: new Wallet(job.secret, provider),
  tokenNetworks: [job.tokenNetwork],
  store: await openLevelStore(job.store),
  transport: await listenWebSocketPeer({ port: job.port }),
  pollInterval: 50,
})
tower.events.on('appointed', () => say('appointed'))
tower.events.on('shown', ({ nonce }) => say(`shown ${nonce}`))
tower.events.on('failed', ({ code }) => say(`failed ${code}`))
say('ready')
