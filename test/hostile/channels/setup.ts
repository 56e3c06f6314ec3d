/**
 * What all runs begin with: the contracts, and channels between two honest nodes and their neighbours.
 * @module
 */
import { parseEther, Wallet, ZeroAddress } from 'ethers'
import { deployChannels } from '../../../src/contracts/deploy.ts'
import { tokenNetworkDigests, tokenNetworkDomain, type TokenNetworkDigests } from '../../../src/contracts/channelTypes.ts'
import { tokenNetworkContract } from '../../../src/contracts/tokenNetwork.ts'
import { tokenNetworkRegistryContract } from '../../../src/contracts/tokenNetworkRegistry.ts'
import { toHex, utf8, type Hex } from '../../../src/core/bytes.ts'
import { engine } from '../../../src/core/crypto/engine.ts'
import { startChain, type ModelChain } from '../support/chain.ts'

/** Seconds in which a closing can be answered. */
export const CHALLENGE_PERIOD = 600

/** Who takes part, by the same keys in every run. */
export const names = ['mediator', 'payee', 'tower', 'eve', 'mallory'] as const
/** One of {@link names}. */
export type Name = (typeof names)[number]

/** Channels that every run begins with, and what each side has paid in. */
const channels: readonly (readonly [Name, bigint, Name, bigint])[] = [
  ['eve', 1_000_000n, 'mediator', 1_000_000n],
  ['mallory', 1_000_000n, 'mediator', 1_000_000n],
  ['mediator', 1_000_000n, 'payee', 200_000n],
  ['eve', 1_000_000n, 'payee', 200_000n],
  ['mallory', 1_000_000n, 'payee', 200_000n],
]

/** A channel of two, and what each has paid in. */
export interface OpenChannel {
  readonly a: Name
  readonly b: Name
  readonly id: Hex
  readonly deposits: readonly [bigint, bigint]
}

/** See {@link setUp}. */
export interface Setup {
  readonly chain: ModelChain
  readonly tokenNetwork: Hex
  readonly secretRegistry: Hex
  readonly towerDeposit: Hex
  readonly fromBlock: number
  readonly digests: TokenNetworkDigests
  /** Without a way to the chain. */
  readonly wallets: Readonly<Record<Name, Wallet>>
  /** The channel of two, by their names in this order. */
  readonly channels: readonly OpenChannel[]
  /** Goes back to where every run begins. */
  restore(): Promise<void>
}

/** Deploys the contracts and opens the channels. */
export async function setUp(): Promise<Setup> {
  const chain = await startChain()
  const { provider } = chain.view()
  const walletOf = (name: string): Wallet => new Wallet(toHex(engine().sha256(utf8(`hostile model: ${name}`))))
  const founder = walletOf('founder').connect(provider)
  const wallets = Object.fromEntries(names.map((name) => [name, walletOf(name)])) as Record<Name, Wallet>
  for (const { address } of [founder, ...Object.values(wallets)])
    await chain.send('hardhat_setBalance', [address, `0x${parseEther('1000').toString(16)}`])
  await chain.setAutomine(true)
  const deployment = await deployChannels(founder, { challengePeriod: CHALLENGE_PERIOD })
  const registry = tokenNetworkRegistryContract(deployment.tokenNetworkRegistry, founder)
  await (await registry.createTokenNetwork(ZeroAddress)).wait()
  const tokenNetwork = (await registry.tokenNetworks(ZeroAddress)).toLowerCase() as Hex
  const opened = []
  for (const [a, depositA, b, depositB] of channels) {
    const as = (name: Name): ReturnType<typeof tokenNetworkContract> =>
      tokenNetworkContract(tokenNetwork, wallets[name].connect(provider))
    const [from, to] = [wallets[a].address, wallets[b].address]
    await (await as(a).open(to, depositA, new Uint8Array(32), '0x', { value: depositA })).wait()
    await (await as(b).deposit(to, from, depositB, { value: depositB })).wait()
    const { channelId } = await as(a).channel(from, to)
    opened.push({ a, b, id: channelId as Hex, deposits: [depositA, depositB] as const })
  }
  await chain.setAutomine(false)
  await chain.mine(chain.time + 60)
  const restore = await chain.mark()
  return {
    chain,
    tokenNetwork,
    secretRegistry: deployment.secretRegistry.toLowerCase() as Hex,
    towerDeposit: deployment.towerDeposit.toLowerCase() as Hex,
    fromBlock: deployment.fromBlock,
    digests: tokenNetworkDigests(tokenNetworkDomain(BigInt(chain.chainId), tokenNetwork)),
    wallets,
    channels: opened,
    restore,
  }
}
