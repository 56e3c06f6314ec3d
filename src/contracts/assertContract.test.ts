import { Contract, ContractFactory, JsonRpcProvider, Network, ZeroAddress, type ContractTransactionResponse } from 'ethers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isSluiceError, type SluiceError } from '../core/errors.ts'
import { startDevnet, type Devnet } from '../testing/devnet.ts'
import { startRpcProxy } from '../testing/rpcProxy.ts'
import { assertContract, type ContractKind } from './assertContract.ts'
import { findDataTrade } from './findDataTrade.ts'
import { tokenNetworkRegistryAbi } from './generated/tokenNetworkRegistryAbi.ts'
import { systemClock } from '../core/clock.ts'

let devnet: Devnet
let at: Record<ContractKind, string>

beforeAll(async () => {
  devnet = await startDevnet()
  const channels = await devnet.deployChannels()
  const exchange = await devnet.deployExchange()
  const token = await devnet.deployToken()
  const networks = new Contract(channels.tokenNetworkRegistry, tokenNetworkRegistryAbi, devnet.accounts[9])
  const made = (await networks['createTokenNetwork']!(ZeroAddress)) as ContractTransactionResponse
  await made.wait()
  at = {
    DataTrade: devnet.deployment.dataTrade,
    Registry: devnet.deployment.registry,
    SecretRegistry: channels.secretRegistry,
    TokenNetworkRegistry: channels.tokenNetworkRegistry,
    TokenNetwork: (await networks['tokenNetworks']!(ZeroAddress)) as string,
    TowerDeposit: channels.towerDeposit,
    ProxyTransfer: exchange.proxyTransfer,
    Evidence: exchange.evidence,
    'ERC-20': await token.getAddress(),
  }
})
afterAll(() => devnet.stop())

const look = (kind: ContractKind, address: string): Promise<void> =>
  assertContract(kind, { provider: devnet.provider, chainId: devnet.chainId, address, option: 'where' })

const refusal = (kind: ContractKind, address: string): Promise<SluiceError> =>
  look(kind, address).then(
    () => Promise.reject(new Error('it was taken')),
    (error: unknown) => (isSluiceError(error) ? error : Promise.reject(error as Error)),
  )

/** Deploys raw code. */
async function put(code: string): Promise<string> {
  const init = `0x61${(code.length / 2).toString(16).padStart(4, '0')}80600a3d393df3${code}`
  const contract = await new ContractFactory([], init, devnet.accounts[9]).deploy()
  await contract.waitForDeployment()
  return contract.getAddress()
}

describe('assertContract', () => {
  test('every kind is taken for itself and for no other, whose name is said', async () => {
    for (const [kind, address] of Object.entries(at) as [ContractKind, string][]) {
      await expect(look(kind, address)).resolves.toBeUndefined()
      await expect(look(kind, address.toLowerCase())).resolves.toBeUndefined()
      for (const other of Object.keys(at) as ContractKind[]) {
        if (other === kind) continue
        const error = await refusal(other, address)
        const named = kind === 'ERC-20' ? 'a token (ERC-20)' : `the contract ${kind}`
        expect(error).toMatchObject({ code: 'NOT_DEPLOYED', details: { option: 'where', found: named, expected: other } })
        expect(error.shortMessage).toMatch(/^where must be .* set where to /)
      }
    }
  })

  test('an account, and one that has delegated to code, are no contract', async () => {
    const { address } = devnet.accounts[8]!
    await expect(refusal('DataTrade', address)).resolves.toMatchObject({
      code: 'NOT_DEPLOYED',
      details: { found: 'an address without code: an account, or the contract of another chain' },
    })
    await devnet.provider.send('anvil_setCode', [address, `0xef0100${at.DataTrade.slice(2).toLowerCase()}`])
    await expect(refusal('DataTrade', address)).resolves.toMatchObject({
      code: 'NOT_DEPLOYED',
      details: { found: 'an account that has delegated to code (EIP-7702)' },
    })
    await devnet.provider.send('anvil_setCode', [address, '0x'])
  })

  test('a proxy, by which no signature would count, is not taken for what is behind it', async () => {
    // EIP-1167.
    const proxy = await put(`363d3d373d3d3d363d73${at.DataTrade.slice(2).toLowerCase()}5af43d82803e903d91602b57fd5bf3`)
    await expect(refusal('DataTrade', proxy)).resolves.toMatchObject({
      code: 'NOT_DEPLOYED',
      details: { found: 'a proxy in front of a DataTrade, by which no signature would count' },
    })
  })

  test('a contract that answers everything, or nothing, is of another kind', async () => {
    const answers = await put('6001600052602060' + '00f3') // 1 to every call
    const silent = await put('00')
    const fails = await put('fe')
    for (const address of [answers, silent, fails]) {
      for (const kind of ['DataTrade', 'SecretRegistry'] as const) {
        await expect(refusal(kind, address)).resolves.toMatchObject({ code: 'NOT_DEPLOYED' })
      }
    }
    await expect(refusal('ERC-20', silent)).resolves.toMatchObject({ details: { found: 'a contract of another kind' } })
    await expect(refusal('ERC-20', fails)).resolves.toMatchObject({ details: { found: 'a contract of another kind' } })
  })

  test('what is no address is refused before the node is asked', async () => {
    for (const address of ['0x', at.DataTrade.slice(0, -1), `${at.DataTrade}0`, 'nonsense', undefined, 5]) {
      await expect(refusal('DataTrade', address as string)).resolves.toMatchObject({ code: 'BAD_ARGUMENT', details: { name: 'where' } })
    }
  })

  test('a node of another chain than its provider says is named', async () => {
    const provider = new JsonRpcProvider(devnet.url, undefined, { staticNetwork: Network.from(1) })
    const place = { provider, chainId: 1n, address: at.DataTrade, option: 'dataTrade' }
    await expect(assertContract('DataTrade', place)).rejects.toMatchObject({ code: 'WRONG_CHAIN', details: { expected: 1n, actual: 31337n } })
    provider.destroy()
  })

  test('a node that cannot say is RPC_FAILED, never NOT_DEPLOYED', async () => {
    const proxy = await startRpcProxy(devnet.url)
    const provider = new JsonRpcProvider(proxy.url, undefined, { staticNetwork: Network.from(devnet.chainId), cacheTimeout: -1 })
    const place = { provider, chainId: devnet.chainId, address: at.DataTrade, option: 'dataTrade' }
    for (const fault of [
      { error: { code: -32601, message: 'the method eth_call is not available' } },
      { error: { code: -32000, message: 'header not found' } },
      { status: 503 },
    ] as const) {
      proxy.rule((method) => (method === 'eth_call' ? fault : undefined))
      await expect(assertContract('DataTrade', place)).rejects.toMatchObject({ code: 'RPC_FAILED' })
    }
    provider.destroy()
    await proxy.stop()
  })
})

describe('findDataTrade', () => {
  test('reads the chain id under which orders are named, which the chain may have changed since', async () => {
    const options = { provider: devnet.provider, dataTrade: at.DataTrade, clock: systemClock }
    await expect(findDataTrade(options)).resolves.toEqual({
      name: 'Sluice DataTrade', version: '1', chainId: 31337n, verifyingContract: at.DataTrade,
    })
    await devnet.provider.send('anvil_setChainId', [4242])
    const provider = new JsonRpcProvider(devnet.url, undefined, { staticNetwork: Network.from(4242) })
    await expect(findDataTrade({ ...options, provider })).resolves.toMatchObject({ chainId: 4242n, originChainId: 31337n })
    provider.destroy()
    await devnet.provider.send('anvil_setChainId', [31337])
  })
})
