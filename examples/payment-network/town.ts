/**
 * Five nodes of a payment channel network on a development chain, each with a WebSocket of its own.
 * @module
 */
import type { HDNodeWallet } from 'ethers'
import { ZeroAddress } from 'ethers'
import { createChannelNode, type ChannelNode, type ChannelNodeOptions } from 'sluice-sdk/channel'
import { listenWebSocketPeer } from 'sluice-sdk/channel/listen'
import { tokenNetworkRegistryContract } from 'sluice-sdk/contracts'
import { memoryStore } from 'sluice-sdk/store'
import { startDevnet, type Devnet } from 'sluice-sdk/testing'

/** A node, and what outlives it. */
export interface Neighbour {
  readonly name: string
  readonly wallet: HDNodeWallet
  readonly entries: Map<string, Uint8Array>
  /** Undefined while it is switched off. */
  node: ChannelNode | undefined
}

/** The chain and its network. */
export interface Town {
  readonly devnet: Devnet
  readonly tokenNetwork: string
  readonly fromBlock: number
  /** Switches a node on, for the first time or again. */
  start(neighbour: Neighbour, options?: Partial<ChannelNodeOptions>): Promise<ChannelNode>
  /** Switches a node off. */
  stop(neighbour: Neighbour): Promise<void>
  neighbour(name: string): Neighbour
  end(): Promise<void>
}

/** Seconds in which a closing can be answered. */
export const CHALLENGE_PERIOD = 600

/**
 * Starts a chain with a token network for ETH.
 * @param switched is called after a node was switched on or off.
 */
export async function openTown(switched: (neighbour: Neighbour) => void): Promise<Town> {
  const devnet = await startDevnet()
  const { tokenNetworkRegistry, fromBlock } = await devnet.deployChannels({ challengePeriod: CHALLENGE_PERIOD })
  const registry = tokenNetworkRegistryContract(tokenNetworkRegistry, devnet.accounts.at(-1))
  await (await registry.createTokenNetwork(ZeroAddress)).wait()
  const tokenNetwork = await registry.tokenNetworks(ZeroAddress)
  const endpoints = new Map<string, string>()
  const neighbours: Neighbour[] = []
  const closing = new Map<Neighbour, () => Promise<void>>()

  const stop = async (neighbour: Neighbour): Promise<void> => {
    await closing.get(neighbour)?.()
    closing.delete(neighbour)
    neighbour.node = undefined
    switched(neighbour)
  }
  return {
    devnet,
    tokenNetwork,
    fromBlock,
    neighbour(name) {
      const neighbour = {
        name,
        wallet: devnet.accounts[neighbours.length]!,
        entries: new Map<string, Uint8Array>(),
        node: undefined,
      }
      neighbours.push(neighbour)
      return neighbour
    },
    async start(neighbour, options = {}) {
      const { wallet, entries } = neighbour
      const transport = await listenWebSocketPeer()
      const store = options.store ?? memoryStore(entries)
      endpoints.set(wallet.address.toLowerCase(), transport.endpoint!)
      // Everybody here knows where everybody is; on a public chain the registry or Kademlia does.
      const find = (account: string): Promise<readonly string[]> =>
        Promise.resolve([endpoints.get(account.toLowerCase())].filter((url) => url !== undefined))
      const node = await createChannelNode({
        signer: wallet,
        tokenNetwork,
        fromBlock,
        store,
        transport,
        discovery: { find, close: () => Promise.resolve() },
        fees: { flat: 0n, proportional: 1_000, imbalance: [] },
        ...options,
      })
      closing.set(neighbour, async () => {
        await node.stop()
        await transport.close()
        await store.close()
      })
      neighbour.node = node
      switched(neighbour)
      return node
    },
    stop,
    async end() {
      for (const neighbour of neighbours) await stop(neighbour)
      await devnet.stop()
    },
  }
}
