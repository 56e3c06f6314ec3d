/**
 * Nodes with channels between them on a development chain, for benches.
 * @module
 */
import { ZeroAddress } from 'ethers'
import { createChannelNode, type ChannelNode } from '../../src/channel/channelNode.ts'
import { staticDiscovery } from '../../src/channel/discovery/static.ts'
import { tokenNetworkRegistryContract } from '../../src/contracts/tokenNetworkRegistry.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import type { Store } from '../../src/core/store/store.ts'
import type { PeerTransport } from '../../src/protocol/peer.ts'
import { memoryPeerNetwork } from '../../src/protocol/memoryPeerNetwork.ts'
import { startDevnet } from '../../src/testing/devnet.ts'

/** A chain with a token network for ETH, and what starts nodes on it. */
export interface Town {
  node(options?: { readonly store?: Store; readonly transport?: PeerTransport }): Promise<ChannelNode>
  stop(): Promise<void>
}

export async function startTown(accounts: number): Promise<Town> {
  const devnet = await startDevnet({ accounts: accounts + 1 })
  const { tokenNetworkRegistry, fromBlock } = await devnet.deployChannels({})
  const registry = tokenNetworkRegistryContract(tokenNetworkRegistry, devnet.accounts.at(-1))
  await (await registry.createTokenNetwork(ZeroAddress)).wait()
  const tokenNetwork = await registry.tokenNetworks(ZeroAddress)
  const peers = memoryPeerNetwork()
  const endpoints: Record<string, string> = {}
  const nodes: ChannelNode[] = []
  let started = 0
  return {
    async node({ store = memoryStore(), transport } = {}) {
      const place = started++
      const signer = devnet.accounts[place]!
      const account = signer.address.toLowerCase()
      const peer = transport ?? peers.peer(`ws://${place}`)
      endpoints[account] = peer.endpoint!
      const node = await createChannelNode({
        signer,
        tokenNetwork,
        fromBlock,
        store,
        transport: peer,
        discovery: { find: (to) => staticDiscovery(endpoints).find(to), close: async () => {} },
      })
      nodes.push(node)
      return node
    },
    async stop() {
      for (const node of nodes) await node.stop()
      await devnet.stop()
    },
  }
}
