import { Interface, JsonRpcProvider, Network, FetchRequest, type HDNodeWallet, type TransactionRequest, Wallet } from 'ethers'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { allow } from '../../payments/token/allowance.ts'
import { type Devnet, startDevnet } from '../../testing/devnet.ts'
import { type RpcFault, type RpcProxy, startRpcProxy } from '../../testing/rpcProxy.ts'
import { mayHoldLogs } from './bloom.ts'
import { createRpc } from './rpc.ts'
import { createSender, type Sender } from './sender.ts'
import { createWatcher } from './watcher.ts'

/** Nodes as they are: several behind one address, some of them behind the others, none with all that others have. */

let devnet: Devnet
let proxy: RpcProxy
let provider: JsonRpcProvider
const cleanup: (() => unknown)[] = []

beforeAll(async () => {
  devnet = await startDevnet({ accounts: 40 })
  proxy = await startRpcProxy(devnet.url)
  provider = new JsonRpcProvider(proxy.url, 31337, { staticNetwork: true, cacheTimeout: -1 })
})

afterEach(async () => {
  proxy.rule()
  for (const clean of cleanup.splice(0).reverse()) await clean()
})

afterAll(async () => {
  provider.destroy()
  await proxy.stop()
  await devnet.stop()
})

let next = 0
async function freshSender(interfaces: readonly Interface[] = []): Promise<{ sender: Sender; wallet: Wallet }> {
  const wallet = new Wallet((devnet.accounts[next++] as HDNodeWallet).privateKey, provider)
  const sender = await createSender({ signer: wallet, pollInterval: 20, interfaces })
  cleanup.push(() => sender.close())
  return { sender, wallet }
}

const STATE = new Set(['eth_call', 'eth_estimateGas', 'eth_getBalance', 'eth_getTransactionCount'])
const number = async () => Number(await devnet.provider.send('eth_blockNumber', []))

/** Nodes of which some do not know the newest blocks for a while; whom a request meets is chance, or given by method. */
function lag(options: { blocks: number; ms: number; meets?: (method: string) => boolean }): void {
  const { blocks, ms, meets = () => Math.random() < 0.5 } = options
  let newest = 0
  let newestAt = 0
  proxy.rule(async (method, params): Promise<RpcFault | undefined> => {
    const head = await number()
    if (head !== newest) [newest, newestAt] = [head, Date.now()]
    if (Date.now() - newestAt >= ms || !meets(method)) return undefined
    const old = `0x${Math.max(0, head - blocks).toString(16)}`
    if (STATE.has(method)) return { params: [params[0], old] }
    if (method === 'eth_blockNumber') return { result: old }
    if (method === 'eth_getBlockByNumber' && params[0] !== 'latest' && Number(params[0]) > Number(old)) return { result: null }
    if (method === 'eth_getTransactionReceipt') {
      const receipt = await devnet.provider.getTransactionReceipt(String(params[0]))
      return receipt && receipt.blockNumber > Number(old) ? { result: null } : undefined
    }
    return undefined
  })
}

const erc20 = new Interface([
  'function transfer(address,uint256)',
  'function transferFrom(address,address,uint256)',
  'function approve(address,uint256)',
])

describe('what follows a transaction of ours', () => {
  it.each([
    ['half of the nodes are a block behind', { blocks: 1, ms: 1500 }],
    ['half of the nodes are three blocks behind', { blocks: 3, ms: 1500 }],
    ['every node is behind at first', { blocks: 1, ms: 800, meets: () => true }],
    ['only estimates are behind', { blocks: 1, ms: 1200, meets: (method: string) => method === 'eth_estimateGas' }],
  ])('is sent although %s', async (_, options) => {
    const token = await devnet.deployToken()
    const { sender, wallet } = await freshSender()
    await (await token.connect(devnet.accounts[39]).mint(wallet.address, 1000n)).wait()
    await devnet.mine(3)
    lag(options)
    const to = await token.getAddress()
    for (let i = 0; i < 2; i++) {
      const data = erc20.encodeFunctionData('approve', [wallet.address, 1n])
      await sender.send({ to, data })
      const take = erc20.encodeFunctionData('transferFrom', [wallet.address, devnet.accounts[39]!.address, 1n])
      await sender.send({ to, data: take })
    }
    expect(await token.balanceOf(wallet.address)).toBe(998n)
  }, 60_000)

  it('is told in seconds that it would revert, and at once where nothing went before', async () => {
    const token = await devnet.deployToken()
    const { sender, wallet } = await freshSender()
    const to = await token.getAddress()
    const data = erc20.encodeFunctionData('transfer', [devnet.accounts[39]!.address, 1n])
    const before = proxy.requests.length
    const asked = () => proxy.requests.slice(before).filter(({ method }) => method === 'eth_estimateGas').length
    await expect(sender.send({ to, data })).rejects.toMatchObject({ code: 'CONTRACT_REVERTED' })
    expect(asked()).toBe(1)
    await sender.send({ to: wallet.address, value: 1n })
    const began = Date.now()
    await expect(sender.send({ to, data })).rejects.toMatchObject({ code: 'CONTRACT_REVERTED' })
    expect(Date.now() - began).toBeLessThan(15_000)
  })

  it('takes no nonce of a node that has not seen the last one', async () => {
    const { sender, wallet } = await freshSender()
    await sender.send({ to: wallet.address, value: 1n })
    let answers = 0
    const before = proxy.requests.length
    proxy.rule((method) => (method === 'eth_getTransactionCount' && answers++ < 9 ? { result: '0x0' } : undefined))
    const { nonce } = await sender.send({ to: wallet.address, value: 2n })
    expect(nonce).toBe(1)
    // None was refused for its nonce, either.
    const sent = proxy.requests.slice(before).filter(({ method }) => method === 'eth_sendRawTransaction')
    expect(new Set(sent.map(({ params }) => params[0])).size).toBe(sent.length)
  })

  it('believes a chain that has undone what it follows', async () => {
    const { sender, wallet } = await freshSender()
    await sender.send({ to: wallet.address, value: 1n })
    await devnet.reorg(1)
    expect((await sender.send({ to: wallet.address, value: 2n })).nonce).toBe(0)
  })

  it('approves anew where a node showed an allowance that was used up', async () => {
    const token = await devnet.deployToken()
    const { sender, wallet } = await freshSender()
    await (await token.connect(devnet.accounts[39]).mint(wallet.address, 1000n)).wait()
    const options = {
      provider, rpc: createRpc({ provider }), sender, spender: wallet.address, token: await token.getAddress(), amount: 5n,
      label: 'approve', signal: undefined,
    }
    const take = erc20.encodeFunctionData('transferFrom', [wallet.address, devnet.accounts[39]!.address, 5n])
    const pay = () => allow(options, () => sender.send({ to: options.token, data: take }))
    await pay()
    const stale = `0x${(await number() - 1).toString(16)}`
    let lies = 1
    proxy.rule((method, params) => {
      const isAllowance = method === 'eth_call' && JSON.stringify(params[0]).includes('0xdd62ed3e')
      return isAllowance && lies-- > 0 ? { params: [params[0], stale] } : undefined
    })
    await pay()
    expect(await token.balanceOf(wallet.address)).toBe(990n)
    expect(lies).toBeLessThan(1)
  })
})

describe('what a node does not have', () => {
  it.each([
    ['refused', { error: { code: 1, message: 'lookbacks of more than 16h are disallowed' } }],
    ['null', { result: null }],
    ['forbidden', { status: 400 }],
  ] as const)('is not needed to tell its chain: block 0 is %s', async (_, fault) => {
    proxy.rule((method, params) => (method === 'eth_getBlockByNumber' && Number(params[0]) === 0 ? fault : undefined))
    expect(await createRpc({ provider }).identify()).toEqual({ chainId: 31337n, chain: '31337' })
    const { sender, wallet } = await freshSender()
    await sender.send({ to: wallet.address })
  })

  it('is not asked for where it is not needed', async () => {
    proxy.rule((method) => (method === 'eth_chainId' ? { result: '0x13a' } : undefined))
    const other = new JsonRpcProvider(proxy.url, 314, { staticNetwork: true })
    const before = proxy.requests.length
    expect(await createRpc({ provider: other }).identify()).toEqual({ chainId: 314n, chain: '314' })
    expect(proxy.requests.slice(before).map(({ method }) => method)).toEqual(['eth_chainId'])
    other.destroy()
  })

  const missing = { error: { code: -32601, message: 'the method does not exist' } }
  it.each([
    ['a tip', ['eth_maxPriorityFeePerGas']],
    ['a tip and the history of fees', ['eth_maxPriorityFeePerGas', 'eth_feeHistory']],
    ['the newest block', ['eth_getBlockByNumber']],
    ['a gas price', ['eth_gasPrice']],
    ['an id of its chain', ['eth_chainId']],
  ])('has a substitute: %s', async (_, methods) => {
    const { sender, wallet } = await freshSender()
    let asked = false
    proxy.rule((method, params) => {
      if (!methods.includes(method) || (method === 'eth_getBlockByNumber' && params[0] !== 'latest')) return undefined
      asked = true
      return missing
    })
    await sender.send({ to: wallet.address })
    const rpc = createRpc({ provider })
    const prices = await rpc.prices()
    expect((prices.maxFeePerGas ?? prices.gasPrice)!).toBeGreaterThan(0n)
    expect(await rpc.chainId()).toBe(31337n)
    expect(asked || methods[0] === 'eth_gasPrice').toBe(true)
  })

  it('has a substitute: the state of old blocks', async () => {
    const { sender, wallet } = await freshSender()
    await devnet.setAutomine(false)
    cleanup.push(() => devnet.setAutomine(true))
    const sent = sender.send({ to: wallet.address, value: 1n }).catch((error: unknown) => error)
    await expect.poll(() => sender.pending().length).toBe(1)
    const dear = { maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 10n ** 11n } // replaces ours, if that is there already
    const other = await wallet.connect(devnet.provider).sendTransaction({ to: wallet.address, value: 2n, nonce: 0, ...dear })
    await devnet.mine(8)
    const refused = { error: { code: -32000, message: 'missing trie node' } }
    proxy.rule((method, params) => (method === 'eth_getTransactionCount' && /^0x/.test(String(params[1])) ? refused : undefined))
    expect(await sent).toMatchObject({ code: 'TRANSACTION_REPLACED', details: { by: other.hash } })
  })

  it('has a substitute: the pool of transactions', async () => {
    const { sender, wallet } = await freshSender()
    await sender.send({ to: wallet.address })
    proxy.rule((method, params) =>
      method === 'eth_getTransactionCount' && params[1] === 'pending'
        ? { error: { code: -32602, message: 'pending is not supported' } }
        : undefined,
    )
    expect((await sender.send({ to: wallet.address })).nonce).toBe(1)
  })
})

describe('fees', () => {
  it('are asked of the node alone, also where ethers would ask a third party', async () => {
    const asked: string[] = []
    const request = new FetchRequest(proxy.url)
    const direct = FetchRequest.createGetUrlFunc()
    FetchRequest.registerGetUrl((request, signal) => {
      asked.push(request.url)
      return direct(request, signal)
    })
    cleanup.push(() => FetchRequest.registerGetUrl(direct))
    proxy.rule((method) => (method === 'eth_chainId' ? { result: '0x89' } : undefined))
    const polygon = new JsonRpcProvider(request, Network.from(137), { staticNetwork: true })
    cleanup.push(() => polygon.destroy())
    const { maxFeePerGas, maxPriorityFeePerGas } = await createRpc({ provider: polygon }).prices()
    expect(maxFeePerGas! > maxPriorityFeePerGas!).toBe(true)
    expect(asked.filter((url) => !url.startsWith(proxy.url))).toEqual([])
  })
})

describe('the words of a node', () => {
  it.each([
    [{ status: 500, body: '{"jsonrpc":"2.0","error":{"code":-32600,"message":"batch too large"}}' }, 'batch too large'],
    [{ status: 403, body: '<html><style>p{}</style><p>not for\nyou</p></html>' }, 'not for you'],
    [{ status: 200, body: '<p>Log in first</p>' }, 'Log in first'],
    [{ error: { code: -32000, message: 'header not found' } }, 'header not found'],
  ] as const)('are in the error: %j', async (fault, words) => {
    proxy.rule(() => fault)
    await expect(createRpc({ provider }).head()).rejects.toMatchObject({
      code: 'RPC_FAILED',
      shortMessage: expect.stringContaining(words) as string,
    })
  })
})

describe('a transaction of the account that others sent', () => {
  it('is named where ours waits behind it', async () => {
    const { sender, wallet } = await freshSender()
    await devnet.setAutomine(false)
    cleanup.push(() => devnet.setAutomine(true))
    const foreign = await wallet.connect(devnet.provider).sendTransaction({ to: wallet.address, nonce: 0 })
    // Anvil tells of its pool only where it is asked for a block of it.
    proxy.rule((method, params) =>
      method === 'eth_getTransactionCount' && params[1] === 'pending'
        ? { result: '0x1' }
        : method === 'eth_getTransactionBySenderAndNonce'
          ? { error: { code: -32601, message: 'no such method' } }
          : undefined,
    )
    const options = { label: 'create order', timeout: 5000 }
    const waits: unknown = await sender.send({ to: wallet.address, value: 5n }, options).catch((error: unknown) => error)
    expect(waits).toMatchObject({
      code: 'TRANSACTION_UNKNOWN',
      details: { nonce: 1, waitsFor: 0, waitsForHash: foreign.hash },
      shortMessage: expect.stringMatching(/nonce 0 of this account .* ours with nonce 1 waits behind it/) as string,
    })
  })

  it('is told of in the log when it stays', async () => {
    const wallet = new Wallet((devnet.accounts[next++] as HDNodeWallet).privateKey, provider)
    const warnings: unknown[] = []
    const log = { debug() {}, info() {}, error() {}, warn: (_: string, details: unknown) => void warnings.push(details) }
    const sender = await createSender({ signer: wallet, pollInterval: 20, stuckAfter: 500, maxBumps: 0, log })
    cleanup.push(() => sender.close())
    await devnet.setAutomine(false)
    cleanup.push(() => devnet.setAutomine(true))
    await wallet.connect(devnet.provider).sendTransaction({ to: wallet.address, nonce: 0 })
    proxy.rule((method, params) =>
      method === 'eth_getTransactionCount' && params[1] === 'pending' ? { result: '0x1' } : undefined,
    )
    const sent = sender.send({ to: wallet.address, value: 5n })
    await expect.poll(() => warnings, { timeout: 15_000 }).toContainEqual(expect.objectContaining({ nonce: 0, waiting: 1 }))
    await devnet.mine()
    expect((await sent).nonce).toBe(1)
  })
})

describe('logs of a block', () => {
  it('are not lost when a node that lacks the block says that there are none', async () => {
    const token = await devnet.deployToken()
    const address = await token.getAddress()
    const fromBlock = (await number()) + 1
    let empty = 0
    proxy.rule((method, params) => {
      const byHash = method === 'eth_getLogs' && (params[0] as { blockHash?: string }).blockHash !== undefined
      return byHash && empty++ % 4 < 3 ? { result: [] } : undefined
    })
    const seen: string[] = []
    const watcher = createWatcher({ provider, name: 'test', fromBlock, addresses: [address], pollInterval: 20 })
    await watcher.start({ onLog: ({ transactionHash }) => void seen.push(transactionHash) })
    cleanup.push(() => watcher.stop())
    const sent: string[] = []
    for (let i = 0; i < 3; i++) sent.push((await (await token.connect(devnet.accounts[39]).mint(address, 1n)).wait())!.hash)
    await devnet.mine()
    await watcher.caughtUp()
    expect(seen).toEqual(sent)
  }, 60_000)

  it('are looked for in its bloom', async () => {
    const token = await devnet.deployToken()
    const address = [await token.getAddress()]
    const receipt = (await (await token.connect(devnet.accounts[39]).mint(address[0]!, 1n)).wait())!
    const { logsBloom = '' } = (await createRpc({ provider }).header(receipt.blockNumber))!
    const [topic, from] = receipt.logs[0]!.topics as [string, string]
    expect(mayHoldLogs(logsBloom, {})).toBe(true)
    expect(mayHoldLogs(logsBloom, { address, topics: [topic, null, [from, topic]] })).toBe(true)
    expect(mayHoldLogs(logsBloom, { address: ['0x00000000000000000000000000000000000a11ce'] })).toBe(false)
    expect(mayHoldLogs(logsBloom, { address, topics: [`0x${'5a'.repeat(32)}`] })).toBe(false)
    for (const bloom of [`0x${'00'.repeat(256)}`, '0x', 'none']) expect(mayHoldLogs(bloom, { address })).toBe(false)
  })
})

describe('what a signer signed', () => {
  it('is sent only if it is what was asked for, by the account', async () => {
    const wallet = new Wallet((devnet.accounts[next++] as HDNodeWallet).privateKey, provider)
    const other = new Wallet((devnet.accounts[next++] as HDNodeWallet).privateKey, provider)
    for (const sign of [
      (request: TransactionRequest) => other.signTransaction(request),
      (request: TransactionRequest) => wallet.signTransaction({ ...request, value: 7n }),
    ]) {
      const signer = Object.assign(new Wallet(wallet.privateKey, provider), { signTransaction: sign })
      const sender = await createSender({ signer, pollInterval: 20 })
      await expect(sender.send({ to: wallet.address })).rejects.toMatchObject({ code: 'TRANSACTION_REJECTED' })
      await sender.close()
    }
    expect(await createRpc({ provider }).nonce(other.address, 'latest')).toBe(0)
  })
})
