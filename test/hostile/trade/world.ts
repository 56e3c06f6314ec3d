/**
 * The world of one run: an honest side, the chain, Alipay, and the time; what each model adds stands beside it.
 * @module
 */
import { Transaction, type Wallet } from 'ethers'
import { createChannelNode, type ChannelNode } from '../../../src/channel/channelNode.ts'
import { dataTradeInterface } from '../../../src/contracts/dataTrade.ts'
import type { Hex } from '../../../src/core/bytes.ts'
import { isSluiceError } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/core/log.ts'
import type { AlipayGateway } from '../../../src/payments/alipay.ts'
import { cuttableNetwork, type CuttableNetwork } from '../../channel/faults/support/cuttableNetwork.ts'
import { mortalStore, type MortalStore } from '../../channel/faults/support/mortalStore.ts'
import { alipayGateway } from '../../fixtures/trade/alipayGateway.ts'
import type { ChainView, ModelChain } from '../support/chain.ts'
import { createDraws, type Draws } from '../support/seeded.ts'
import { createSteppedClock, type SteppedClock } from '../support/steppedClock.ts'
import type { Name, Setup } from './setup.ts'

/** Seconds between blocks. */
export const BLOCK_TIME = 20

/** Who is hostile, and how is paid. */
export const themes = [
  'buyer/token',
  'buyer/onchain',
  'buyer/alipay',
  'buyer/channel',
  'buyer/any',
  'seller/token',
  'seller/onchain',
  'seller/alipay',
  'seller/channel',
] as const
/** One of {@link themes}. */
export type Theme = (typeof themes)[number]

/** Somebody who has less than it is owed. */
export interface Loss {
  readonly who: string
  readonly order: Hex | undefined
  readonly why: string
}

/** A machine of the honest side: it can be switched off, and its node can fall silent. */
export interface Machine {
  readonly wallet: Wallet
  readonly view: ChainView
  store: MortalStore
  /** From now on nothing that runs on it reaches anybody. */
  die(): void
}

/** Where a channel node finds its partner. */
export interface Partner {
  readonly account: Hex
  readonly endpoint: string
}

/** A channel node, and what it keeps. */
export interface NodeOnMachine {
  readonly node: ChannelNode
  readonly store: MortalStore
}

/** See {@link createWorld}. */
export interface World {
  readonly setup: Setup
  readonly chain: ModelChain
  readonly clock: SteppedClock
  readonly draws: Draws
  readonly theme: Theme
  readonly network: CuttableNetwork
  readonly gateway: AlipayGateway
  /** What was done, for whoever reads the run. */
  readonly trace: string[]
  note(what: string): void
  /** Unix seconds of the machine's clock. */
  now(): number
  /** Lets messages arrive and what follows from them happen. */
  flow(): Promise<void>
  /** Lets time pass, with a block at its end. */
  pass(seconds: number): Promise<void>
  /** Helps what waits for sleeps and blocks. */
  driven<T>(work: Promise<T>, options?: { readonly step?: number; readonly blocks?: boolean }): Promise<T>
  /** Sends a transaction of a hostile account. */
  transact(name: Name, to: Hex, data: string, value?: bigint): Promise<Hex | undefined>
  /** A machine on what an earlier one has left. */
  machine(name: Name, entries: Map<string, Uint8Array>): Machine
  /** A channel node on a machine. */
  node(machine: Machine, entries: Map<string, Uint8Array>, endpoint: string, partner: Partner): Promise<NodeOnMachine>
  /** An order as the chain has it now. */
  ledger(id: Hex): Promise<Ledger>
  logger(name: string): Logger | undefined
}

/** An order on chain. */
export interface Ledger {
  readonly state: 'none' | 'open' | 'settled' | 'disputed'
  readonly deposit: bigint
  readonly paid: bigint
  readonly transferred: number
  readonly closeAt: number
}

const loud = process.env['SHOW_LOG'] !== undefined

/** Begins a run. */
export async function createWorld(setup: Setup, seed: number, chosen?: Theme): Promise<World> {
  await setup.restore()
  setup.alipay.fault()
  const { chain, dataTrade, tokenNetwork, fromBlock, wallets } = setup
  const draws = createDraws(seed)
  const drawn = draws.pick(themes)
  const trace: string[] = []
  /** Questions to Alipay go over a socket of this machine: time stands still until they are answered. */
  const asked = new Set<Promise<unknown>>()
  const idle = async (): Promise<void> => {
    for (;;) {
      await chain.idle()
      if (asked.size === 0) return
      await Promise.all([...asked].map((each) => each.catch(() => {})))
    }
  }
  const clock = createSteppedClock(chain.time * 1000 + 1_000, idle)
  const network = cuttableNetwork()
  const line = alipayGateway(setup.alipay)

  const world: World = {
    setup,
    chain,
    clock,
    draws,
    theme: chosen ?? drawn,
    network,
    gateway: {
      trade: (tradeNo, options) => {
        const answer = line.trade(tradeNo, options)
        asked.add(answer)
        return answer.finally(() => asked.delete(answer))
      },
    },
    trace,
    note(what) {
      trace.push(what)
      if (loud) console.log(`${world.now()} ${what}`)
    },
    now: () => Math.floor(clock.now() / 1000),
    async flow() {
      for (let i = 0; i < 3; i++) await clock.step(25)
    },
    async pass(seconds) {
      for (let left = seconds; left > 0; left -= 20) await clock.step(Math.min(left, 20) * 1000)
      await chain.mine(world.now())
      await clock.step(1)
    },
    async driven(work, { step = 25, blocks = false } = {}) {
      let done = false
      work.then(
        () => (done = true),
        () => (done = true),
      )
      for (let i = 0; i < 400; i++) {
        await idle()
        if (done) return work
        if (blocks && i % 2 === 1) await world.pass(Math.max(1, step / 1000))
        else await clock.step(step)
      }
      throw new Error('what was to be done has no end')
    },
    async transact(name, to, data, value = 0n) {
      const wallet = wallets[name]
      const nonce = Number(await chain.send('eth_getTransactionCount', [wallet.address, 'pending']))
      const { chainId } = chain
      const free = { gasLimit: 1_000_000n, maxFeePerGas: 0n, maxPriorityFeePerGas: 0n }
      const transaction = Transaction.from({ type: 2, chainId, to, data, value, nonce, ...free })
      transaction.signature = wallet.signingKey.sign(transaction.unsignedHash)
      try {
        return (await chain.send('eth_sendRawTransaction', [transaction.serialized])) as Hex
      } catch {
        return undefined
      }
    },
    machine(name, entries) {
      const view = chain.view()
      const { provider } = view
      const { send } = provider
      let dead = false
      provider.send = async (method, params) => {
        const off = (): never => {
          throw new Error('the machine is off')
        }
        if (dead) return off()
        const answer: unknown = await send.call(provider, method, params)
        return dead ? off() : (answer as object)
      }
      // Without what ethers does on top of handing a transaction over: it recovers who has signed.
      provider.broadcastTransaction = async (raw) => (await provider.send('eth_sendRawTransaction', [raw])) as never
      const machine: Machine = {
        wallet: wallets[name].connect(provider),
        view,
        store: mortalStore(entries),
        die() {
          dead = true
          view.hung = false
          machine.store.kill()
        },
      }
      return machine
    },
    async node(machine, entries, endpoint, partner) {
      const store = mortalStore(entries)
      const node = await world.driven(
        createChannelNode({
          signer: machine.wallet,
          tokenNetwork,
          fromBlock,
          store,
          transport: network.peer(endpoint),
          discovery: { find: async (account) => (account === partner.account ? [partner.endpoint] : []), close: async () => {} },
          confirmations: 2,
          pollInterval: 10_000,
          clock,
          log: world.logger(endpoint),
        }),
      )
      return { node, store }
    },
    async ledger(id) {
      const call = async (name: 'orders' | 'account'): Promise<Record<string, unknown>> => {
        const data = dataTradeInterface.encodeFunctionData(name as 'orders', [id])
        const answer = (await chain.send('eth_call', [{ to: dataTrade, data }, 'latest'])) as string
        return dataTradeInterface.decodeFunctionResult(name as 'orders', answer)[0] as Record<string, unknown>
      }
      const [seen, account] = [await call('orders'), await call('account')]
      return {
        state: (['none', 'open', 'settled', 'disputed'] as const)[Number(account['state'])]!,
        deposit: account['deposit'] as bigint,
        paid: account['paid'] as bigint,
        transferred: Number(seen['data_transfered']),
        closeAt: Number(account['closeAt']),
      }
    },
    logger(name) {
      if (!loud) return undefined
      const say = (level: string) => (message: string, details?: object) => console.log(level, name, message, details ?? '')
      return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
    },
  }
  return world
}

/** An error as a word of a trace. */
export const codeOf = (error: unknown): string => (isSluiceError(error) ? error.code : String(error))
/** Short text of an id. */
export const short = (id: Hex): string => id.slice(2, 8)
