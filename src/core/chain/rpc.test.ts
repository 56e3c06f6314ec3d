import { inspect } from 'node:util'
import { FetchRequest, id, JsonRpcProvider, type Provider } from 'ethers'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Devnet, startDevnet } from '../../testing/devnet.ts'
import { type RpcProxy, startRpcProxy } from '../../testing/rpcProxy.ts'
import { assertChain, createRpc, type Header, pollIntervalOf, type Rpc, rpcError } from './rpc.ts'

let devnet: Devnet
let proxy: RpcProxy
let provider: JsonRpcProvider
let rpc: Rpc

beforeAll(async () => {
  devnet = await startDevnet()
  proxy = await startRpcProxy(devnet.url)
  provider = new JsonRpcProvider(`${proxy.url}/v3/secret-api-key`, 31337, { staticNetwork: true })
  rpc = createRpc({ provider })
})

afterEach(() => proxy.rule())

afterAll(async () => {
  provider.destroy()
  await proxy.stop()
  await devnet.stop()
})

describe('answers', () => {
  it('are fresh', async () => {
    const { address } = devnet.accounts[0]!
    const read = async () => [await rpc.head(), await rpc.nonce(address, 'latest'), await rpc.header((await rpc.head()) + 1)]
    const [head, nonce] = (await read()) as [number, number]
    const sent = await devnet.accounts[0]!.sendTransaction({ to: address })
    await sent.wait()
    expect(await read()).toEqual([head + 1, nonce + 1, undefined])
    expect(await rpc.nonce(address, head)).toBe(nonce)
    const block = (await devnet.provider.getBlock(head + 1))!
    const { number, hash, parentHash, timestamp } = block
    expect(await rpc.header(head + 1)).toMatchObject({ number, hash, parentHash, timestamp })
  })

  it('are the same from a provider that speaks no JSON-RPC', async () => {
    const plain = {
      getNetwork: () => provider.getNetwork(),
      getBlockNumber: () => provider.getBlockNumber(),
      getBlock: (block: number) => provider.getBlock(block),
      getTransactionCount: (address: string, block: number) => provider.getTransactionCount(address, block),
    } as unknown as Provider
    const other = createRpc({ provider: plain })
    const { address } = devnet.accounts[0]!
    const read = (rpc: Rpc) =>
      Promise.all([rpc.identify(), rpc.head(), withoutBloom(rpc.header(1)), rpc.header(1000), rpc.nonce(address, 1)])
    expect(await read(other)).toEqual(await read(rpc))
  })

  it('name the chain by its first block too', async () => {
    const genesis = (await devnet.provider.getBlock(0))!
    expect(await rpc.identify()).toEqual({ chainId: 31337n, chain: `31337-${genesis.hash!.slice(2, 18)}` })
    expect(pollIntervalOf(31337n)).toBeLessThan(pollIntervalOf(1n))
    assertChain(1n, undefined)
    assertChain(1n, 1n)
    expect(() => assertChain(1n, 2n)).toThrow(
      expect.objectContaining({ code: 'WRONG_CHAIN', details: { expected: 2n, actual: 1n } }),
    )
  })

  it.each([
    ['eth_blockNumber', 'latest', (rpc: Rpc) => rpc.head()],
    ['eth_blockNumber', '0x20000000000000', (rpc: Rpc) => rpc.head()],
    ['eth_getBlockByNumber', { number: '0x1' }, (rpc: Rpc) => rpc.header(1)],
    ['eth_chainId', '0xzz', (rpc: Rpc) => rpc.identify({})],
    ['eth_maxPriorityFeePerGas', { wei: 1 }, (rpc: Rpc) => rpc.prices()],
  ])('that make no sense are refused: %s %j', async (broken, result, ask) => {
    proxy.rule((method) => (method === broken ? { result } : undefined))
    await expect(ask(rpc)).rejects.toMatchObject({ code: 'RPC_FAILED' })
  })
})

describe('failures', () => {
  it('come in time', async () => {
    proxy.rule(() => 'hang')
    const began = Date.now()
    await expect(createRpc({ provider, timeout: 100 }).head()).rejects.toMatchObject({
      code: 'RPC_FAILED',
      details: { what: 'block number', cause: 'TIMEOUT' },
    })
    expect(Date.now() - began).toBeLessThan(2000)
  })

  it('are repeated as often as asked for, if that may help', async () => {
    let asked = 0
    proxy.rule(() => (asked++ < 2 ? 'cut' : undefined))
    await rpc.head({ attempts: 3 })
    expect(asked).toBe(3)
    asked = 0
    await expect(rpc.head()).rejects.toMatchObject({ code: 'RPC_FAILED' })
    expect(asked).toBe(1)
    asked = 0
    proxy.rule(() => (asked++, { error: { code: -32601, message: 'the method eth_blockNumber is off' } }))
    await expect(rpc.head({ attempts: 3 })).rejects.toMatchObject({ details: { rpcCode: -32601 } })
    expect(asked).toBe(1)
  })

  it('end when the caller aborts', async () => {
    proxy.rule(() => 'hang')
    const stop = new AbortController()
    const ended = expect(rpc.head({ signal: stop.signal })).rejects.toMatchObject({ code: 'ABORTED' })
    stop.abort()
    await ended
  })

  it('never show the address of the node, which may hold a key', async () => {
    proxy.rule(() => ({ status: 401 }))
    const request = new FetchRequest(`${proxy.url}/v3/secret-api-key`)
    request.setHeader('authorization', 'Bearer secret-token')
    const strict = new JsonRpcProvider(request, 31337, { staticNetwork: true })
    const errors: unknown[] = [
      await rpc.head().catch((error: unknown) => error),
      await strict.getBlockNumber().catch((error: unknown) => rpcError(error, 'x')),
    ]
    strict.destroy()
    for (const error of errors) {
      expect(error).toMatchObject({ code: 'RPC_FAILED', details: { status: 401 } })
      expect(inspect(error, { depth: 10, showHidden: true }) + JSON.stringify(error)).not.toContain('secret')
    }
  })

  it('keep what is ours', () => {
    const ours = rpcError(rpcError(new Error(id('x')), 'x'), 'y')
    expect(ours.details.what).toBe('x')
  })
})

/** Providers that speak no JSON-RPC tell of no bloom. */
async function withoutBloom(header: Promise<Header | undefined>): Promise<object> {
  return { ...(await header), logsBloom: undefined }
}
