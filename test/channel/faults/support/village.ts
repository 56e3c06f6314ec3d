/**
 * Channel nodes on a development chain whose links, stores and chain access can be made to fail.
 * @module
 */
import { Wallet, ZeroAddress, type HDNodeWallet, type JsonRpcProvider } from 'ethers'
import {
  createChannelNode,
  type ChannelInfo,
  type ChannelNode,
  type ChannelNodeOptions,
} from '../../../../src/channel/channelNode.ts'
import { loadChannels, type Channel } from '../../../../src/channel/node/channel.ts'
import { tokenNetworkContract } from '../../../../src/contracts/tokenNetwork.ts'
import { tokenNetworkRegistryContract } from '../../../../src/contracts/tokenNetworkRegistry.ts'
import type { Hex } from '../../../../src/core/bytes.ts'
import type { Logger } from '../../../../src/core/log.ts'
import { memoryStore } from '../../../../src/core/store/memoryStore.ts'
import { startDevnet, type Devnet } from '../../../../src/testing/devnet.ts'
import { cuttableNetwork, type CuttableNetwork } from './cuttableNetwork.ts'
import { mortalStore, type Fate, type MortalStore } from './mortalStore.ts'

/** Options of {@link startVillage}. */
export interface VillageOptions {
  readonly challengePeriod?: number | undefined
  /** Accounts with money. @default 10 */
  readonly accounts?: number | undefined
}

/** A node, and what it stands on. */
export interface Villager {
  readonly name: string
  readonly wallet: HDNodeWallet
  readonly account: Hex
  readonly endpoint: string
  node: ChannelNode
  store: MortalStore
  /** What its store holds. */
  entries: Map<string, Uint8Array>
  readonly options: Partial<ChannelNodeOptions>
  running: boolean
}

/** Options of a villager beyond those of its node. */
export interface VillagerOptions extends Partial<ChannelNodeOptions> {
  /** Decides about each write of its store. */
  readonly fate?: Fate | undefined
  /** Reaches the chain by this address instead. */
  readonly rpc?: JsonRpcProvider | undefined
}

/** See {@link startVillage}. */
export interface Village {
  readonly devnet: Devnet
  readonly network: CuttableNetwork
  readonly tokenNetwork: Hex
  readonly registry: string
  readonly secretRegistry: string
  readonly fromBlock: number
  /** Starts a node with an account of its own. */
  villager(name: string, options?: VillagerOptions): Promise<Villager>
  /** Stops a node in an orderly way. */
  stopVillager(villager: Villager): Promise<void>
  /** Ends a node as a crash does: from this moment on it stores and sends nothing. */
  crash(villager: Villager): Promise<void>
  /** Starts a node that was stopped or crashed, with what its store held; or with `entries`, an older copy of that. */
  restart(villager: Villager, entries?: Map<string, Uint8Array>): Promise<void>
  /** A channel with a deposit on each side. */
  channel(a: Villager, b: Villager, depositA: bigint, depositB?: bigint): Promise<ChannelInfo>
  /** An account that no node has. */
  wallet(): HDNodeWallet
  /** Accounts that nodes know to be at an endpoint. */
  readonly endpoints: Map<string, string>
  stop(): Promise<void>
}

const silent = process.env['SHOW_LOG'] === undefined

/** Starts a chain with a token network for ETH. */
export async function startVillage({ challengePeriod = 600, accounts = 10 }: VillageOptions = {}): Promise<Village> {
  const devnet = await startDevnet({ accounts: accounts + 1 })
  const { tokenNetworkRegistry, secretRegistry, fromBlock } = await devnet.deployChannels({ challengePeriod })
  const founder = devnet.accounts.at(-1)!
  const registry = tokenNetworkRegistryContract(tokenNetworkRegistry, founder)
  await (await registry.createTokenNetwork(ZeroAddress)).wait()
  const tokenNetwork = (await registry.tokenNetworks(ZeroAddress)).toLowerCase() as Hex
  const network = cuttableNetwork()
  const villagers: Villager[] = []
  const endpoints = new Map<string, string>()
  let used = 0
  const wallet = (): HDNodeWallet => devnet.accounts[used++]!

  const start = async (
    villager: Pick<Villager, 'name' | 'wallet' | 'endpoint' | 'entries'>,
    { fate, rpc, ...options }: VillagerOptions,
  ): Promise<{ node: ChannelNode; store: MortalStore }> => {
    const store = mortalStore(villager.entries, fate)
    const transport = network.peer(villager.endpoint)
    const node = await createChannelNode({
      signer: rpc ? new Wallet(villager.wallet.privateKey, rpc) : villager.wallet,
      tokenNetwork,
      fromBlock,
      store,
      pollInterval: 30,
      log: logger(villager.name),
      transport,
      discovery: {
        find: async (account) => {
          const endpoint = endpoints.get(account.toLowerCase())
          return endpoint === undefined ? [] : [endpoint]
        },
        close: async () => {},
      },
      ...options,
    })
    return { node, store }
  }
  const end = async (villager: Villager): Promise<void> => {
    villager.running = false
    await villager.node.stop()
    await network.leave(villager.endpoint)
    await villager.store.close()
  }

  return {
    devnet,
    network,
    tokenNetwork,
    registry: tokenNetworkRegistry,
    secretRegistry,
    fromBlock,
    endpoints,
    wallet,
    async villager(name, options = {}) {
      const own = wallet()
      const base = {
        name,
        wallet: own,
        account: own.address.toLowerCase() as Hex,
        endpoint: `ws://${name}`,
        entries: new Map<string, Uint8Array>(),
      }
      endpoints.set(base.account, base.endpoint)
      const villager: Villager = { ...base, options, running: true, ...(await start(base, options)) }
      villagers.push(villager)
      return villager
    },
    stopVillager: end,
    async crash(villager) {
      villager.store.kill()
      network.kill(villager.endpoint)
      villager.running = false
      await villager.node.stop()
      await villager.store.close()
    },
    async restart(villager, entries) {
      villager.entries = new Map(entries ?? villager.store.entries)
      const { fate: _, ...options } = villager.options as VillagerOptions
      Object.assign(villager, await start(villager, options), { running: true })
    },
    async channel(a, b, depositA, depositB = 0n) {
      const { id } = await a.node.open({ partner: b.account, deposit: depositA })
      if (depositB > 0n) {
        await eventually('the channel at its other end', () => b.node.channels().some((channel) => channel.id === id))
        await b.node.deposit(id, depositB)
      }
      await eventually('agreement', () => {
        const [mine, theirs] = [a.node.channel(id), b.node.channels().find((channel) => channel.id === id)]
        return (
          theirs &&
          mine.online &&
          theirs.online &&
          mine.capacity === depositA &&
          theirs.capacity === depositB &&
          mine.partnerCapacity === depositB &&
          theirs.partnerCapacity === depositA
        )
      })
      return a.node.channel(id)
    },
    async stop() {
      for (const villager of villagers) if (villager.running) await end(villager)
      await devnet.stop()
    },
  }
}

/** A channel as a store holds it. */
export async function stored(entries: ReadonlyMap<string, Uint8Array>, channelId: string): Promise<Channel> {
  const { channels } = await loadChannels(memoryStore(new Map(entries)))
  return channels.find(({ id }) => id === channelId)!
}

/** What the contract holds. */
export function held(village: Village): Promise<bigint> {
  return village.devnet.provider.getBalance(village.tokenNetwork)
}

/** The contract, called by an account. */
export function contractOf(village: Village, wallet: HDNodeWallet): ReturnType<typeof tokenNetworkContract> {
  return tokenNetworkContract(village.tokenNetwork, wallet)
}

/** Waits for something that comes by itself. @throws naming it when it doesn't. */
export async function eventually<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  ms = 10_000,
): Promise<T> {
  for (const end = performance.now() + ms; ; ) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > end) throw new Error(`${what} did not come`)
    await pause(10)
  }
}

/** Lets time pass. */
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

function logger(name: string): Logger | undefined {
  if (silent) return undefined
  const say = (level: string) => (message: string, details?: object) =>
    console.log(level, name, message, details === undefined ? '' : details)
  return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
}
