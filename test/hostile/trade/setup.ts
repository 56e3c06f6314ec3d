/**
 * What all runs begin with: the contracts, accounts with money, a channel for those who pay by one, and what is sold.
 * @module
 */
import { Contract, ContractFactory, parseEther, Wallet, ZeroAddress } from 'ethers'
import { deployChannels, deployContracts } from '../../../src/contracts/deploy.ts'
import { tokenNetworkContract } from '../../../src/contracts/tokenNetwork.ts'
import { tokenNetworkRegistryContract } from '../../../src/contracts/tokenNetworkRegistry.ts'
import { dataTradeDigests, dataTradeDomain, type DataTradeDigests, type DataTradeDomain } from '../../../src/contracts/typedData.ts'
import { toHex, utf8, type Hex } from '../../../src/core/bytes.ts'
import { engine } from '../../../src/core/crypto/engine.ts'
import type { ItemSpec } from '../../../src/seller/index.ts'
import { startFakeAlipay, type FakeAlipay } from '../../../src/testing/fakeAlipay.ts'
import { testTokenAbi } from '../../../src/testing/generated/testTokenAbi.ts'
import { testTokenBytecode } from '../../../src/testing/generated/testTokenBytecode.ts'
import type { TestToken } from '../../../src/testing/generated/types/TestToken.ts'
import { sampleData } from '../../faults/support/data.ts'
import { startChain, type ModelChain } from '../support/chain.ts'

/** Seconds that a seller has after a deadline or a close request. */
export const GRACE = 600
/** Bytes of a chunk. */
export const GRAIN = 64
/** Chunks of each item. */
export const CHUNKS = 12
/** Chunks that may be unpaid once the window has grown. */
export const WINDOW = 4
/** Of one chunk: of no round number, so that roundings show. */
export const CHUNK_PRICE = 1_000_003n
/** Fen of one chunk. */
export const CHUNK_FEN = 100n
/** Chunks that are free, from the first. */
export const FREE = 2

/** Who takes part, by the same keys in every run. */
export const names = ['honest', 'eve', 'mallory'] as const
/** One of {@link names}. */
export type Name = (typeof names)[number]

/** See {@link setUp}. */
export interface Setup {
  readonly chain: ModelChain
  readonly domain: DataTradeDomain
  readonly digests: DataTradeDigests
  readonly dataTrade: Hex
  readonly token: Hex
  readonly tokenNetwork: Hex
  readonly fromBlock: number
  readonly alipay: FakeAlipay
  /** Without a way to the chain. */
  readonly wallets: Readonly<Record<Name, Wallet>>
  /** The bytes of stored items, by id. */
  readonly data: Readonly<Record<string, Uint8Array>>
  items(): readonly ItemSpec[]
  /** Goes back to where every run begins. */
  restore(): Promise<void>
}

/** Deploys the contracts, pays everybody, opens a channel from each side to the other. */
export async function setUp(): Promise<Setup> {
  const chain = await startChain()
  const { provider } = chain.view()
  const walletOf = (name: string): Wallet => new Wallet(toHex(engine().sha256(utf8(`hostile trade: ${name}`))))
  const founder = walletOf('founder').connect(provider)
  const wallets = Object.fromEntries(names.map((name) => [name, walletOf(name)])) as Record<Name, Wallet>
  for (const { address } of [founder, ...Object.values(wallets)])
    await chain.send('hardhat_setBalance', [address, `0x${parseEther('1000').toString(16)}`])
  await chain.setAutomine(true)
  const { dataTrade } = await deployContracts(founder, { grace: GRACE })
  const deployed = await new ContractFactory(testTokenAbi, testTokenBytecode, founder).deploy()
  await deployed.deploymentTransaction()!.wait()
  const token = ((await deployed.getAddress()) as Hex).toLowerCase() as Hex
  const tokens = new Contract(token, testTokenAbi, founder) as unknown as TestToken
  for (const { address } of Object.values(wallets)) await (await tokens.mint(address, 10n ** 18n)).wait()
  for (const name of ['eve', 'mallory'] as const)
    await (await tokens.connect(wallets[name].connect(provider)).approve(dataTrade, 10n ** 18n)).wait()
  const channels = await deployChannels(founder, { challengePeriod: GRACE })
  const registry = tokenNetworkRegistryContract(channels.tokenNetworkRegistry, founder)
  await (await registry.createTokenNetwork(ZeroAddress)).wait()
  const tokenNetwork = (await registry.tokenNetworks(ZeroAddress)).toLowerCase() as Hex
  const deposit = 10n ** 10n
  const as = (name: Name): ReturnType<typeof tokenNetworkContract> =>
    tokenNetworkContract(tokenNetwork, wallets[name].connect(provider))
  const [honest, eve] = [wallets.honest.address, wallets.eve.address]
  await (await as('eve').open(honest, deposit, new Uint8Array(32), '0x', { value: deposit })).wait()
  await (await as('honest').deposit(honest, eve, deposit, { value: deposit })).wait()
  await chain.setAutomine(false)
  await chain.mine(chain.time + 60)
  const restore = await chain.mark()
  const domain = dataTradeDomain(BigInt(chain.chainId), dataTrade)
  const size = GRAIN * CHUNKS
  const data = { item: sampleData(size, 1), twin: sampleData(size, 2), coin: sampleData(size - 7, 3) }
  let liveRuns = 0
  /** Live data says which run of its source made it. */
  async function* live(): AsyncIterable<Uint8Array> {
    const run = ++liveRuns
    for (let i = 0; i < CHUNKS; i++) yield new Uint8Array(GRAIN).fill(run)
  }
  return {
    chain,
    domain,
    digests: dataTradeDigests(domain),
    dataTrade: dataTrade.toLowerCase() as Hex,
    token,
    tokenNetwork,
    fromBlock: channels.fromBlock,
    alipay: await startFakeAlipay(),
    wallets,
    data,
    items: () => {
      const price = CHUNK_PRICE * BigInt(CHUNKS)
      const alipayPrice = CHUNK_FEN * BigInt(CHUNKS)
      return [
        { id: 'item', data: data.item, price, alipayPrice, sample: { first: 0, count: FREE } },
        { id: 'twin', data: data.twin, price, alipayPrice },
        { id: 'coin', data: data.coin, price, token },
        { id: 'live', live, price, maxBytes: size },
      ]
    },
    restore: () => {
      liveRuns = 0
      return restore()
    },
  }
}
