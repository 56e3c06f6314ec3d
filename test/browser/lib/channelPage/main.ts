/**
 * A channel node in a page; the tests call it through `window.channelPage`.
 * @module
 */
import { BrowserProvider, JsonRpcProvider, Network, Wallet, type Eip1193Provider, type Signer } from 'ethers'
import { isSluiceError } from 'sluice-sdk'
import { createChannelNode, staticDiscovery, webSocketPeer, type ChannelNode } from 'sluice-sdk/channel'
import { openStore, type Store } from 'sluice-sdk/store'
import { loadChannels } from '../../../../src/channel/node/channel.ts'

/** What a page needs to start its node. Amounts are decimal. */
export interface NodeSettings {
  readonly tokenNetwork: string
  /** Endpoints by account. */
  readonly peers: Readonly<Record<string, string>>
  /** Name of the store. */
  readonly store: string
  /** A key that the page itself holds; without it the browser's wallet is asked. */
  readonly own?: { readonly rpc: string; readonly privateKey: string }
}

/** A channel as the page sees it. */
export interface PageChannel {
  readonly id: string
  readonly phase: string
  readonly capacity: string
  readonly partnerCapacity: string
  readonly online: boolean
}

let node: ChannelNode
let store: Store
let received = 0n
let recovered = 0

async function signerOf({ own }: NodeSettings): Promise<Signer> {
  if (!own) return new BrowserProvider((window as unknown as { ethereum: Eip1193Provider }).ethereum).getSigner()
  const network = Network.from(31337)
  return new Wallet(own.privateKey, new JsonRpcProvider(own.rpc, network, { staticNetwork: network, pollingInterval: 50 }))
}

export const channelPage = {
  /** Starts the node. @returns the code of the error if it did not start. */
  async start(settings: NodeSettings): Promise<string | undefined> {
    try {
      const { tokenNetwork, peers } = settings
      store = await openStore(settings.store)
      node = await createChannelNode({
        signer: await signerOf(settings),
        tokenNetwork,
        store,
        transport: webSocketPeer(),
        discovery: staticDiscovery(peers),
        pollInterval: 50,
      })
    } catch (error) {
      return isSluiceError(error) ? error.code : String(error)
    }
    node.events.on('received', ({ amount }) => (received += amount))
    node.events.on('recovered', () => recovered++)
    return undefined
  },
  account: (): string => node.account,
  async open(partner: string, deposit: string): Promise<string> {
    return (await node.open({ partner, deposit: BigInt(deposit) })).id
  },
  async pay(to: string, amount: string): Promise<string> {
    const { state } = await node.pay({ to, amount: BigInt(amount), maxFee: BigInt(amount) })
    return state
  },
  channels: (): PageChannel[] =>
    node.channels().map(({ id, phase, capacity, partnerCapacity, online }) => ({
      id,
      phase,
      capacity: String(capacity),
      partnerCapacity: String(partnerCapacity),
      online,
    })),
  received: (): string => String(received),
  recovered: (): number => recovered,
  /** What the store has, as a node that starts with it would read it. */
  async kept(): Promise<{ readonly nonces: number[]; readonly delegations: string[] }> {
    const { channels } = await loadChannels(store)
    const delegations: string[] = []
    for await (const [key] of store.list('delegation/')) delegations.push(key)
    return { nonces: channels.map(({ own }) => own.nonce), delegations }
  },
  async close(id: string): Promise<string> {
    return (await node.close(id, { how: 'together' })).phase
  },
  async stop(): Promise<void> {
    await node.stop()
    await store.close()
  },
}

Object.assign(window, { channelPage })
