import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import { delimiter, dirname, join } from 'node:path'
import { Contract, ContractFactory, HDNodeWallet, JsonRpcProvider, Mnemonic, Network, parseEther, Wallet, ZeroAddress } from 'ethers'
import { dataTradeContract } from '../contracts/dataTrade.ts'
import {
  deployChannels, deployContracts, deployExchange, type DeployChannelsOptions, type DeployExchangeOptions,
} from '../contracts/deploy.ts'
import type { ChannelDeployment, Deployment, ExchangeDeployment } from '../contracts/deployments.ts'
import type { DataTrade } from '../contracts/generated/types/DataTrade.ts'
import type { Registry } from '../contracts/generated/types/Registry.ts'
import { proxyTransferContract } from '../contracts/proxyTransfer.ts'
import { registryContract } from '../contracts/registry.ts'
import { toHex } from '../core/bytes.ts'
import type { AccountId } from '../core/crypto/graphene/index.ts'
import { type AsyncCloseable, stops } from '../core/dispose.ts'
import { assertArgument, SluiceError } from '../core/errors.ts'
import { testTokenAbi } from './generated/testTokenAbi.ts'
import { testTokenBytecode } from './generated/testTokenBytecode.ts'
import type { TestToken } from './generated/types/TestToken.ts'

/** Options of {@link startDevnet}. */
export interface DevnetOptions {
  /** Seconds between blocks. @default none: a block per transaction, at once */
  readonly blockTime?: number | undefined
  /** @default 31337 */
  readonly chainId?: number | undefined
  /** Accounts with 10,000 ETH each. @default 10 */
  readonly accounts?: number | undefined
  /** `grace` of the order contract, in seconds. @default 900 */
  readonly grace?: number | undefined
  /** Port to listen on, at 127.0.0.1. @default any free one */
  readonly port?: number | undefined
  /** More arguments for anvil. @default none */
  readonly args?: readonly string[] | undefined
}

/** Options of {@link Devnet.deployExchange}. */
export interface DevnetExchangeOptions extends Pick<DeployExchangeOptions, 'placeBits'> {
  /** Accounts to open, in order: `1.2.1`, `1.2.2` … @default none */
  readonly accounts?: readonly DevnetExchangeAccount[] | undefined
  /** Adds an ERC-20 as asset `1.3.2`. @default false */
  readonly token?: boolean | undefined
}

/** An account to open. */
export interface DevnetExchangeAccount {
  /** Its secret key, 32 bytes. */
  readonly secret: Uint8Array
  /** Wei paid in of asset `1.3.1`. @default 0n */
  readonly deposit?: bigint | undefined
  /** Paid in of the token, in its smallest unit. @default 0n */
  readonly tokens?: bigint | undefined
}

/** The contracts of an exchange, with accounts. */
export interface DevnetExchange extends ExchangeDeployment {
  readonly accounts: readonly {
    readonly account: AccountId
    /** Its key on the chain, with 100 ETH for gas. */
    readonly wallet: Wallet
  }[]
  /** The token of asset `1.3.2`, if there is one. */
  readonly token: TestToken | undefined
}

/** A development chain of its own: a real EVM node in a process that ends with this one. */
export interface Devnet extends AsyncCloseable {
  readonly url: string
  readonly provider: JsonRpcProvider
  readonly chainId: bigint
  /** Funded, connected, unused: the contracts were deployed by none of them. */
  readonly accounts: readonly HDNodeWallet[]
  readonly deployment: Deployment
  readonly contracts: { readonly dataTrade: DataTrade; readonly registry: Registry }
  /** Mines blocks. */
  mine(blocks?: number): Promise<void>
  /** Moves the chain's clock forward and mines a block there. */
  increaseTime(seconds: number): Promise<void>
  /** Unix seconds of the newest block. */
  time(): Promise<number>
  /** Remembers the state of the chain. */
  snapshot(): Promise<string>
  /** Goes back to a snapshot, which can be used once. */
  revert(snapshot: string): Promise<void>
  /** Whether each transaction gets a block at once; without, it waits for `mine` or the block time. */
  setAutomine(on: boolean): Promise<void>
  /** Replaces the newest blocks by as many empty ones; the transactions in them are gone. */
  reorg(depth: number): Promise<void>
  /** Deploys the contracts of payment channels, with a challenge period of 900 seconds unless told otherwise. */
  deployChannels(options?: DeployChannelsOptions): Promise<ChannelDeployment>
  /** Deploys the contracts of a data exchange service. ETH is asset `1.3.1`; amounts are wei. */
  deployExchange(options?: DevnetExchangeOptions): Promise<DevnetExchange>
  /** Deploys an ERC-20 that anyone can mint. */
  deployToken(): Promise<TestToken>
  /** Ends the chain. */
  stop(): Promise<void>
}

/** The phrase that every development chain uses: its accounts are known to all, and worthless elsewhere. */
const PHRASE = 'test test test test test test test test test test test junk'

/**
 * Starts a development chain with Sluice's contracts on it. Needs the npm package `@foundry-rs/anvil`, or `anvil` on the
 * path.
 * @throws `CONNECTION_FAILED` if there is no anvil, or it doesn't start.
 * @example
 * ```ts
 * const devnet = await startDevnet()
 * const [buyer, seller] = devnet.accounts
 * await devnet.stop()
 * ```
 */
export async function startDevnet(options: DevnetOptions = {}): Promise<Devnet> {
  const { blockTime, chainId = 31337, accounts: count = 10, grace = 900, port = 0, args = [] } = options
  assertArgument(Number.isInteger(count) && count >= 0, 'accounts', 'a number of accounts')
  const node = await startAnvil([
    ...['--port', String(port), '--chain-id', String(chainId), '--mnemonic', PHRASE],
    // One more, to deploy.
    ...['--accounts', String(count + 1), ...args],
  ])
  // Fresh answers: what was mined a moment ago is what a test wants to see.
  const provider = new JsonRpcProvider(node.url, undefined, {
    cacheTimeout: -1,
    pollingInterval: 50,
    staticNetwork: Network.from(chainId),
  })
  const send = async (method: string, ...params: readonly unknown[]): Promise<unknown> => provider.send(method, [...params])
  const stop = async (): Promise<void> => {
    provider.destroy()
    await node.stop()
  }
  try {
    const root = HDNodeWallet.fromMnemonic(Mnemonic.fromPhrase(PHRASE), "m/44'/60'/0'/0")
    const wallets = Array.from({ length: count + 1 }, (_, i) => root.deriveChild(i).connect(provider))
    const deployer = wallets.pop()!
    const deployment = await deployContracts(deployer, { grace })
    if (blockTime !== undefined) await send('anvil_setIntervalMining', blockTime)

    const deployToken = async (): Promise<TestToken> => {
      const token = await new ContractFactory(testTokenAbi, testTokenBytecode, deployer).deploy()
      await token.deploymentTransaction()?.wait()
      return new Contract(await token.getAddress(), testTokenAbi, provider) as unknown as TestToken
    }

    return {
      ...stops,
      url: node.url,
      provider,
      chainId: BigInt(chainId),
      accounts: wallets,
      deployment,
      contracts: {
        dataTrade: dataTradeContract(deployment.dataTrade, provider),
        registry: registryContract(deployment.registry, provider),
      },
      mine: async (blocks = 1) => void (await send('anvil_mine', blocks)),
      increaseTime: async (seconds) => {
        await send('evm_increaseTime', seconds)
        await send('anvil_mine', 1)
      },
      time: async () => Number(((await send('eth_getBlockByNumber', 'latest', false)) as { timestamp: string }).timestamp),
      snapshot: async () => (await send('evm_snapshot')) as string,
      revert: async (snapshot) => {
        if ((await send('evm_revert', snapshot)) !== true) {
          throw new SluiceError('BAD_ARGUMENT', 'snapshot must be one of this chain that was not used before', { details: { snapshot } })
        }
      },
      setAutomine: async (on) => void (await send('evm_setAutomine', on)),
      reorg: async (depth) => void (await send('anvil_reorg', depth, [])),
      deployChannels: ({ challengePeriod = 900 } = {}) => deployChannels(deployer, { challengePeriod }),
      deployToken,
      deployExchange: async ({ accounts: wanted = [], token: withToken = false, placeBits } = {}) => {
        const deployment = await deployExchange(deployer, { placeBits })
        const contract = proxyTransferContract(deployment.proxyTransfer, deployer)
        await (await contract.addAsset(1, ZeroAddress)).wait()
        const token = withToken ? await deployToken() : undefined
        if (token) await (await contract.addAsset(2, await token.getAddress())).wait()
        const opened: DevnetExchange['accounts'][number][] = []
        for (const { secret, deposit = 0n, tokens = 0n } of wanted) {
          const wallet = new Wallet(toHex(secret), provider)
          await send('anvil_setBalance', wallet.address, `0x${parseEther('100').toString(16)}`)
          await (await contract.connect(wallet).open(wallet.signingKey.publicKey)).wait()
          const number = opened.push({ account: `1.2.${opened.length + 1}`, wallet })
          if (deposit > 0n) await (await contract.deposit(number, 1, deposit, { value: deposit })).wait()
          if (tokens > 0n && token) {
            await (await token.connect(deployer).mint(deployer.address, tokens)).wait()
            await (await token.connect(deployer).approve(deployment.proxyTransfer, tokens)).wait()
            await (await contract.deposit(number, 2, tokens)).wait()
          }
        }
        return { ...deployment, accounts: opened, token }
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Starts anvil and waits until it listens. */
async function startAnvil(args: readonly string[]): Promise<{ url: string; stop(): Promise<void> }> {
  const child = spawnBound(findAnvil(), args)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  let output = ''
  const url = await new Promise<string>((resolve, reject) => {
    const failed = (cause?: Error): void =>
      reject(new SluiceError('CONNECTION_FAILED', `anvil did not start: ${output.trim().slice(-500)}`, { cause }))
    const read = (chunk: Buffer): void => {
      output += chunk.toString()
      const port = /Listening on 127\.0\.0\.1:(\d+)/.exec(output)?.[1]
      if (port) resolve(`http://127.0.0.1:${port}`)
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.once('error', failed)
    // Not `exit`: what it said last is still in the pipe then.
    child.once('close', () => failed())
  })
  // A pipe that nobody reads fills up, and anvil would wait for ever; what is read goes nowhere.
  child.stdout?.removeAllListeners('data').resume()
  child.stderr?.removeAllListeners('data').resume()
  letGo(child)
  return {
    url,
    stop: async () => {
      // Waiting needs the handle that letGo released.
      child.ref()
      if (process.platform === 'win32') child.kill()
      else child.stdin?.end()
      await ended
    },
  }
}

/**
 * Starts a program that ends when this process does, even by SIGKILL: a shell beside it waits for the end of its input,
 * which is a pipe from us.
 */
function spawnBound(program: string, args: readonly string[]): ChildProcess {
  if (process.platform === 'win32') {
    const child = spawn(program, args, { stdio: 'pipe' })
    process.once('exit', () => child.kill())
    return child
  }
  const script = 'exec 3<&0; "$@" 3<&- & child=$!; (cat <&3; kill -9 $child) >/dev/null 2>&1 & exec 3<&-; wait $child'
  const child = spawn('sh', ['-c', script, 'sh', program, ...args], { stdio: 'pipe' })
  child.once('exit', () => child.stdin.destroy())
  return child
}

/** Lets the process end although the child runs. */
function letGo(child: ChildProcess): void {
  child.unref()
  // Node's pipes are sockets, which its types don't say.
  for (const pipe of [child.stdin, child.stdout, child.stderr]) (pipe as Socket | null)?.unref()
}

/** Finds anvil: the npm package's binary for this machine, else the one on the path. */
function findAnvil(): string {
  const name = process.platform === 'win32' ? 'anvil.exe' : 'anvil'
  const machine = `${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`
  const candidates: string[] = []
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      // Past the package's own launcher, which would stand between us and the process.
      const manifest = createRequire(from).resolve('@foundry-rs/anvil/package.json')
      candidates.push(join(dirname(manifest), '..', 'dist', name))
      candidates.unshift(createRequire(manifest).resolve(`@foundry-rs/anvil-${machine}/bin/${name}`))
    } catch {
      // Not installed there.
    }
  }
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) candidates.push(join(folder, name))
  const found = candidates.find((candidate) => existsSync(candidate))
  if (found) return found
  throw new SluiceError('CONNECTION_FAILED', 'no anvil found: run `npm install --save-dev @foundry-rs/anvil`', {
    details: { platform: process.platform, arch: process.arch },
  })
}
