/**
 * A small network of channel nodes on a development chain, for tests: nodes by name, channels by pairs.
 * @module
 */
import { parseEther, ZeroAddress, type HDNodeWallet } from 'ethers'
import {
  createChannelNode,
  type ChannelInfo,
  type ChannelNode,
  type ChannelNodeOptions,
} from '../../../src/channel/channelNode.ts'
import { staticDiscovery } from '../../../src/channel/discovery/static.ts'
import { tokenNetworkRegistryContract } from '../../../src/contracts/tokenNetworkRegistry.ts'
import type { Hex } from '../../../src/core/bytes.ts'
import type { Logger } from '../../../src/core/log.ts'
import { memoryStore } from '../../../src/core/store/memoryStore.ts'
import { memoryPeerNetwork, type MemoryPeerNetwork } from '../../../src/protocol/memoryPeerNetwork.ts'
import { startDevnet, type Devnet } from '../../../src/testing/devnet.ts'

/** Options of {@link startTown}. */
export interface TownOptions {
  /** Pays in this ERC-20 instead of ETH. @default false */
  readonly token?: boolean | undefined
  readonly challengePeriod?: number | undefined
}

/** A node and what it stands on; both outlive it. */
export interface Resident {
  readonly name: string
  readonly wallet: HDNodeWallet
  readonly entries: Map<string, Uint8Array>
  readonly endpoint: string
  node: ChannelNode
}

/** See {@link startTown}. */
export interface Town {
  readonly devnet: Devnet
  readonly tokenNetwork: string
  /** Address of the `TowerDeposit`. */
  readonly towerDeposit: string
  /** Where its residents reach one another. */
  readonly peers: MemoryPeerNetwork
  /** Makes another token network, for a token of its own; every account has some of it. @returns its address. */
  network(): Promise<string>
  /** Starts a node, or starts it again with the store that it had. */
  resident(name: string, options?: Partial<ChannelNodeOptions>): Promise<Resident>
  /** Opens a channel with a deposit on each side. */
  channel(a: Resident, b: Resident, depositA: bigint, depositB?: bigint): Promise<ChannelInfo>
  stop(): Promise<void>
}

const silent = process.env['SHOW_LOG'] === undefined

/** Starts a chain with a token network. */
export async function startTown({ token = false, challengePeriod = 600 }: TownOptions = {}): Promise<Town> {
  const devnet = await startDevnet()
  const { tokenNetworkRegistry, towerDeposit, fromBlock } = await devnet.deployChannels({ challengePeriod })
  const deployer = devnet.accounts.at(-1)!
  const registry = tokenNetworkRegistryContract(tokenNetworkRegistry, deployer)
  const erc20 = token ? await devnet.deployToken() : undefined
  const tokenAddress = erc20 ? await erc20.getAddress() : ZeroAddress
  await (await registry.createTokenNetwork(tokenAddress)).wait()
  const tokenNetwork = await registry.tokenNetworks(tokenAddress)
  const peers = memoryPeerNetwork()
  const residents = new Map<string, Resident>()
  const endpoints: Record<string, string> = {}

  return {
    devnet,
    tokenNetwork,
    towerDeposit,
    peers,
    async network() {
      const other = await devnet.deployToken()
      const address = await other.getAddress()
      for (const { address: account } of devnet.accounts) await (await other.connect(deployer).mint(account, parseEther('1000'))).wait()
      await (await registry.createTokenNetwork(address)).wait()
      return registry.tokenNetworks(address)
    },
    async resident(name, options = {}) {
      const known = residents.get(name)
      const wallet = known?.wallet ?? devnet.accounts[residents.size]!
      if (!known && erc20) await (await erc20.connect(wallet).mint(wallet.address, parseEther('1000'))).wait()
      const entries = known?.entries ?? new Map<string, Uint8Array>()
      const endpoint = `ws://${name}`
      endpoints[wallet.address.toLowerCase()] = endpoint
      const transport = peers.peer(endpoint)
      const store = memoryStore(entries)
      const node = await createChannelNode({
        signer: wallet,
        tokenNetwork,
        fromBlock,
        store,
        pollInterval: 50,
        log: logger(name),
        transport,
        discovery: { find: (account) => staticDiscovery(endpoints).find(account), close: async () => {} },
        ...options,
      })
      const started: ChannelNode = {
        ...node,
        async stop() {
          await node.stop()
          await transport.close()
          await store.close()
        },
      }
      const resident = known ?? { name, wallet, entries, endpoint, node: started }
      resident.node = started
      residents.set(name, resident)
      return resident
    },
    async channel(a, b, depositA, depositB = 0n) {
      const opened = await a.node.open({ partner: b.wallet.address, deposit: depositA })
      if (depositB > 0n) await b.node.deposit(opened.id, depositB)
      return a.node.channel(opened.id)
    },
    async stop() {
      for (const { node } of residents.values()) await node.stop()
      await devnet.stop()
    },
  }
}

/** Waits for something that comes by itself. */
export async function eventually<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  ms = 10_000,
): Promise<T> {
  for (const end = Date.now() + ms; ; ) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (Date.now() > end) throw new Error(`${what} did not come`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The account of a resident as nodes write it. */
export const accountOf = ({ wallet }: Resident): Hex => wallet.address.toLowerCase() as Hex

function logger(name: string): Logger | undefined {
  if (silent) return undefined
  const say = (level: string) => (message: string, details?: object) => console.log(level, name, message, details ?? '')
  return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
}
