/**
 * The world of one run: an honest mediator, an honest payee with a watchtower, and two neighbours who work together.
 * @module
 */
import { Transaction, type Wallet } from 'ethers'
import { createChannelNode, type ChannelNode } from '../../../src/channel/channelNode.ts'
import { decodeChainEvent, type ChainEvent } from '../../../src/channel/chain/chainEvents.ts'
import { loadChannels, type Presented } from '../../../src/channel/node/channel.ts'
import { createTower, type Tower } from '../../../src/channel/tower/tower.ts'
import { tokenNetworkInterface } from '../../../src/contracts/tokenNetwork.ts'
import { toHex, type Hex } from '../../../src/core/bytes.ts'
import type { Logger } from '../../../src/core/log.ts'
import { memoryStore } from '../../../src/core/store/memoryStore.ts'
import { cuttableNetwork, type CuttableNetwork } from '../../channel/faults/support/cuttableNetwork.ts'
import { mortalStore, type MortalStore } from '../../channel/faults/support/mortalStore.ts'
import type { ChainView, ModelChain } from '../support/chain.ts'
import { createDraws, type Draws } from '../support/seeded.ts'
import { createSteppedClock, type SteppedClock } from '../support/steppedClock.ts'
import { createKnowledge, createNeighbour, type Knowledge, type Neighbour } from './hostile.ts'
import type { Name, Setup } from './setup.ts'

/** Seconds between blocks, as long as nobody stops them. */
export const BLOCK_TIME = 20
/** Seconds that a secret must be registered before its lock expires. */
export const REVEAL_TIMEOUT = 200
/** Seconds without a block after which a node knows that it sees none. */
export const STALL_TIMEOUT = 100

/** What a run may be mostly about, so that rare things meet. */
export const themes = ['any', 'lists', 'chains', 'blind', 'crowds'] as const
/** What runs are about unless that is said. Crowds of locks take many times as long as all else. */
const drawnThemes = ['any', 'any', 'lists', 'chains', 'blind'] as const

/** A payment that an honest node was told to make. */
export interface OwnPayment {
  readonly amount: bigint
  /** Until the node has said what has become of it. */
  outcome: 'open' | 'done' | 'failed' | 'unknown'
}

/** An honest node, what it stands on, and what it was given and gave. */
export interface Honest {
  readonly name: 'mediator' | 'payee'
  readonly wallet: Wallet
  readonly account: Hex
  readonly endpoint: string
  readonly view: ChainView
  entries: Map<string, Uint8Array>
  store: MortalStore
  node: ChannelNode
  running: boolean
  /** What it has said that it received, by payment. */
  readonly received: Map<string, bigint>
  /** What was streamed to it, by neighbour. */
  readonly streamed: Map<string, bigint>
  readonly payments: OwnPayment[]
}

/** Where a channel stands on chain, as far as whoever acts must know. */
export interface Closing {
  readonly channelId: Hex
  readonly closer: Hex
  readonly fromPartner: Presented
  fromCloser: Presented
  readonly settleAt: number
  left: { locked1: bigint; locked2: bigint } | undefined
  settledAt: number
}

/** How a neighbour sends. */
export interface Sending {
  /** Wei. @default 0n */
  readonly value?: bigint
  /** Whether it pays to come before others in the block. @default false */
  readonly first?: boolean
}

/** See {@link createWorld}. */
export interface World {
  readonly setup: Setup
  readonly chain: ModelChain
  readonly clock: SteppedClock
  readonly network: CuttableNetwork
  readonly draws: Draws
  readonly theme: (typeof themes)[number]
  readonly mediator: Honest
  readonly payee: Honest
  readonly honest: readonly [Honest, Honest]
  readonly tower: Tower
  readonly neighbours: readonly Neighbour[]
  readonly knowledge: Knowledge
  readonly closings: Map<Hex, Closing>
  /** Transactions of others that neighbours have looked at. */
  readonly seen: Set<Hex>
  /** What was done, for whoever reads the run. */
  readonly trace: string[]
  /** Called before each block, while transactions wait. */
  beforeBlock: () => Promise<void>
  note(what: string): void
  /** Unix seconds of the machine's clock. */
  now(): number
  /** Lets messages arrive and what follows from them happen. */
  flow(): Promise<void>
  /** Lets time pass, with a block at its end unless the chain stands still. */
  pass(seconds: number, options?: { readonly block?: boolean }): Promise<void>
  /** Replaces the newest block, with what was in it or without some of that. */
  replaceBlock(drops: () => boolean): Promise<void>
  /** Sends a transaction of a neighbour's; in front of others if it pays for that. */
  transact(wallet: Wallet, to: Hex, data: string, options?: Sending): Promise<boolean>
  stopHonest(who: Honest, how: 'stop' | 'crash'): Promise<void>
  startHonest(who: Honest): Promise<void>
  /** Whether an honest node knows a secret by which it can claim, and has nothing yet that makes that sure. */
  isExposed(who: Honest): Promise<boolean>
  end(): Promise<void>
}

const loud = process.env['SHOW_LOG'] !== undefined
const NONE: Presented = { nonce: 0, transferred: 0n, locked: 0n, locksroot: `0x${'00'.repeat(32)}` }

/** Begins a run. */
export async function createWorld(setup: Setup, seed: number, theme?: World['theme']): Promise<World> {
  await setup.restore()
  const { chain, tokenNetwork, fromBlock, digests, wallets } = setup
  const clock = createSteppedClock(chain.time * 1000 + 1_000, () => chain.idle())
  const network = cuttableNetwork()
  const draws = createDraws(seed)
  const drawn = draws.pick(drawnThemes)
  const knowledge = createKnowledge()
  const closings = new Map<Hex, Closing>()
  const trace: string[] = []
  const endpointOf = (name: Name): string => `ws://${name}`
  const accountOf = (name: Name): Hex => wallets[name].address.toLowerCase() as Hex
  let seenUntil = chain.head
  let over = false

  /** A way to the chain without what ethers does on top of handing a transaction over: it recovers who has signed. */
  const viewOf = (): ChainView => {
    const view = chain.view()
    const { provider } = view
    provider.broadcastTransaction = async (raw) => (await provider.send('eth_sendRawTransaction', [raw])) as never
    return view
  }
  const towerView = viewOf()
  const towerTransport = network.peer(endpointOf('tower'))
  const tower = await driven(
    createTower({
      signer: wallets.tower.connect(towerView.provider),
      tokenNetworks: [tokenNetwork],
      store: memoryStore(),
      transport: towerTransport,
      fromBlock,
      confirmations: 2,
      pollInterval: 10_000,
      clock,
      log: logger('tower'),
    }),
  )

  /** Helps what waits for a short sleep, such as a link that is being made. */
  async function driven<T>(work: Promise<T>): Promise<T> {
    let done = false
    work.then(
      () => (done = true),
      () => (done = true),
    )
    for (let i = 0; i < 200 && !done; i++) {
      await chain.idle()
      if (!done) await clock.step(20)
    }
    return work
  }

  async function run(who: Honest): Promise<void> {
    who.store = mortalStore(who.entries)
    const other = who.name === 'payee' ? 'mediator' : 'payee'
    who.node = await driven(
      createChannelNode({
        signer: who.wallet,
        tokenNetwork,
        fromBlock,
        store: who.store,
        transport: network.peer(who.endpoint),
        discovery: {
          find: async (account) => (account === accountOf(other) ? [endpointOf(other)] : []),
          close: async () => {},
        },
        confirmations: 2,
        revealTimeout: REVEAL_TIMEOUT,
        stallTimeout: STALL_TIMEOUT,
        pollInterval: 10_000,
        clock,
        log: logger(who.name),
        ...(who.name === 'payee' && { towers: { towers: [{ account: tower.account, url: endpointOf('tower') }] } }),
      }),
    )
    who.running = true
    who.node.events.on('received', ({ paymentId, from, amount }) => {
      if (loud) console.log(`${who.name} has received ${amount} from ${short(from)}`)
      who.received.set(`${paymentId}/${from}`, amount)
    })
    who.node.events.on('streamed', ({ from, total }) => streamed(who, from, total))
  }

  function streamed(who: Honest, from: Hex, total: bigint): void {
    const neighbour = neighbours.find(({ account, victim }) => account === from && victim.account === who.account)
    const stream = neighbour?.side.stream
    if (!neighbour || !stream) return
    const paid = total - neighbour.side.transferred
    const key = `${from}/${stream.anchor}`
    if (paid > (who.streamed.get(key) ?? 0n)) who.streamed.set(key, paid)
  }

  const make = async (name: 'mediator' | 'payee'): Promise<Honest> => {
    const view = viewOf()
    const who = {
      name,
      wallet: wallets[name].connect(view.provider),
      account: accountOf(name),
      endpoint: endpointOf(name),
      view,
      entries: new Map<string, Uint8Array>(),
      running: false,
      received: new Map<string, bigint>(),
      streamed: new Map<string, bigint>(),
      payments: [],
    } as Partial<Honest> as Honest
    await run(who)
    return who
  }

  const neighbours: Neighbour[] = []
  const mediator = await make('mediator')
  const payee = await make('payee')
  for (const { a, b, id, deposits } of setup.channels) {
    if (a !== 'eve' && a !== 'mallory') continue
    const victim = b === 'payee' ? payee : mediator
    neighbours.push(
      createNeighbour({
        name: `${a}-${b}`,
        wallet: wallets[a],
        transport: network.peer(`ws://${a}-${b}`),
        victim,
        channelId: id,
        chainId: chain.chainId,
        digests,
        clock,
        knowledge,
        victimDeposit: () => {
          const known = victim.running ? victim.node.channels().find((channel) => channel.id === id) : undefined
          return known?.totalDeposit ?? deposits[1]
        },
      }),
    )
  }

  /** Takes in what the newest blocks say about closings. */
  async function look(): Promise<void> {
    const logs = (await chain.send('eth_getLogs', [
      { address: tokenNetwork, fromBlock: `0x${(seenUntil + 1).toString(16)}`, toBlock: 'latest' },
    ])) as readonly Parameters<typeof decodeChainEvent>[0][]
    seenUntil = chain.head
    for (const log of logs) {
      const event = decodeChainEvent(log)
      if (event) apply(event)
    }
  }
  function apply(event: ChainEvent): void {
    if (!('channelId' in event)) return
    const known = closings.get(event.channelId)
    if (event.type === 'closed') {
      const { channelId, closer, fromPartner, settleAt } = event
      closings.set(channelId, { channelId, closer, fromPartner, fromCloser: NONE, settleAt, left: undefined, settledAt: 0 })
    } else if (event.type === 'updated' && known) known.fromCloser = event.fromCloser
    else if (event.type === 'settled' && known) {
      known.left = { locked1: event.locked1, locked2: event.locked2 }
      known.settledAt = chain.time
    } else if (event.type === 'unlocked' && known?.left) {
      const { a, b } = setup.channels.find(({ id }) => id === event.channelId)!
      const low = accountOf(a) < accountOf(b) ? accountOf(a) : accountOf(b)
      const gone = event.toReceiver + event.toSender
      if (event.sender === low) known.left.locked1 -= gone
      else known.left.locked2 -= gone
    }
  }

  const world: World = {
    setup,
    chain,
    clock,
    network,
    draws,
    theme: theme ?? drawn,
    mediator,
    payee,
    honest: [mediator, payee],
    tower,
    neighbours,
    knowledge,
    closings,
    seen: new Set(),
    trace,
    beforeBlock: async () => {},
    note(what) {
      trace.push(what)
      if (loud) console.log(`${world.now()} ${what}`)
    },
    now: () => Math.floor(clock.now() / 1000),
    async flow() {
      for (let i = 0; i < 3; i++) await clock.step(25)
    },
    async pass(seconds, { block = true } = {}) {
      // Never so long that links seem silent: they ask after 15 s, and give up after 30 s.
      for (let left = seconds; left > 0; left -= 20) await clock.step(Math.min(left, 20) * 1000)
      if (!block) return
      await world.beforeBlock()
      await chain.mine(world.now())
      await look()
      await clock.step(1)
    },
    async replaceBlock(drops) {
      await chain.reorg(1, drops)
      seenUntil = chain.head - 1
      await look()
      await clock.step(1)
    },
    async transact(wallet, to, data, { value = 0n, first = false } = {}) {
      const fee = first ? 1n : 0n
      const nonce = Number(await chain.send('eth_getTransactionCount', [wallet.address, 'pending']))
      const { gasLimit } = (await chain.send('eth_getBlockByNumber', ['latest', false])) as { gasLimit: string }
      const limit = BigInt(gasLimit)
      const transaction = Transaction.from({
        type: 2,
        chainId: chain.chainId,
        to,
        data,
        value,
        nonce,
        gasLimit: limit < 2_000_000n ? limit / 2n : 1_000_000n,
        maxFeePerGas: fee,
        maxPriorityFeePerGas: fee,
      })
      transaction.signature = wallet.signingKey.sign(transaction.unsignedHash)
      try {
        await chain.send('eth_sendRawTransaction', [transaction.serialized])
        return true
      } catch {
        return false
      }
    },
    async stopHonest(who, how) {
      if (!who.running) return
      who.running = false
      if (how === 'crash') {
        who.store.kill()
        network.kill(who.endpoint)
      }
      await driven(who.node.stop().then(() => network.leave(who.endpoint)))
      await who.store.close()
    },
    async startHonest(who) {
      if (who.running) return
      who.entries = new Map(who.entries)
      await run(who)
    },
    async isExposed(who) {
      const { locks } = await loadChannels(memoryStore(new Map(who.entries)))
      const soon = world.now() - BLOCK_TIME
      return [...locks.all()].some(({ own, lock }) => !own && lock.secret && lock.publicAt === 0 && lock.expiry > soon)
    },
    async end() {
      if (over) return
      over = true
      for (const who of world.honest) {
        who.view.hung = false
        await world.stopHonest(who, 'stop')
      }
      await driven(tower.stop())
      for (const neighbour of neighbours) neighbour.disconnect()
      await clock.step(60_000)
    },
  }
  for (const neighbour of neighbours) {
    void neighbour.connect().catch((error: unknown) => world.note(`${neighbour.name} could not link: ${String(error)}`))
    await world.flow()
  }
  await world.pass(BLOCK_TIME)
  return world
}

/** What a call of the token network is, as far as a neighbour understands it. */
export function readCall(data: string): { readonly name: string; readonly args: readonly unknown[] } | undefined {
  const parsed = tokenNetworkInterface.parseTransaction({ data })
  return parsed ? { name: parsed.name, args: [...parsed.args] } : undefined
}

/** Bytes as short text. */
export const short = (bytes: Uint8Array | Hex): string => (typeof bytes === 'string' ? bytes : toHex(bytes)).slice(2, 8)

function logger(name: string): Logger | undefined {
  if (!loud) return undefined
  const say = (level: string) => (message: string, details?: object) => console.log(level, name, message, details ?? '')
  return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
}
