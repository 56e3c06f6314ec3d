import { inspect } from 'node:util'
import { JsonRpcProvider, Wallet, type Signer } from 'ethers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBuyer } from '../../src/buyer/buyer.ts'
import { createChannelNode } from '../../src/channel/channelNode.ts'
import { createTower } from '../../src/channel/tower/tower.ts'
import { deployChannels, deployContracts, deployExchange } from '../../src/contracts/deploy.ts'
import { createSender } from '../../src/core/chain/sender.ts'
import { isSluiceError } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/log.ts'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { memoryPeerNetwork } from '../../src/protocol/memoryPeerNetwork.ts'
import { contractRegistry } from '../../src/protocol/registry/contract.ts'
import { createSeller } from '../../src/seller/seller.ts'
import { type Devnet, startDevnet } from '../../src/testing/devnet.ts'
import { type RpcFault, type RpcProxy, startRpcProxy } from '../../src/testing/rpcProxy.ts'

let devnet: Devnet
let proxy: RpcProxy
beforeAll(async () => {
  devnet = await startDevnet({ accounts: 1 })
  proxy = await startRpcProxy(devnet.url)
})
afterAll(async () => {
  await proxy.stop()
  await devnet.stop()
})

const SECRETS = /user-hush|pass-hush|path-hush|query-hush/

/** Everything that starts on a chain. */
const starts: Record<string, (signer: Signer, log: Logger) => Promise<unknown>> = {
  createSeller: (signer, log) => {
    const items = [{ id: 'a', data: new Uint8Array(9), price: 1n }]
    return createSeller({ signer, log, store: memoryStore(), dataTrade: devnet.deployment.dataTrade, items })
  },
  createBuyer: (signer, log) => createBuyer({ signer, log, store: memoryStore(), dataTrade: devnet.deployment.dataTrade }),
  createChannelNode: (signer, log) =>
    createChannelNode({ signer, log, tokenNetwork: devnet.deployment.registry, transport: memoryPeerNetwork().peer('ws://one') }),
  createTower: (signer, log) =>
    createTower({
      signer, log, store: memoryStore(), tokenNetworks: [devnet.deployment.registry], transport: memoryPeerNetwork().peer('ws://one'),
    }),
  createSender: (signer, log) => createSender({ signer, log }),
  deployContracts: (signer) => deployContracts(signer),
  deployChannels: (signer) => deployChannels(signer),
  deployExchange: (signer) => deployExchange(signer),
  'find of the registry': (signer) =>
    contractRegistry(signer.provider!, { address: devnet.deployment.registry }).find(devnet.accounts[0]!.address),
}

/** What each start said, in every form in which it could be shown. */
async function failures(staticNetwork: boolean): Promise<void> {
  const url = proxy.url.replace('http://', '')
  const lines: unknown[] = []
  const note = (...line: unknown[]): void => void lines.push(line)
  const log: Logger = { debug: note, info: note, warn: note, error: note }
  const provider = new JsonRpcProvider(`http://${url}/v3/path-hush?key=query-hush`, 31337, { staticNetwork })
  const signer = new Wallet(devnet.accounts[0]!.privateKey, provider)
  await Promise.all(
    Object.entries(starts).map(async ([name, start]) => {
      const error: unknown = await start(signer, log).catch((reason: unknown) => reason)
      const shown = inspect(error, { depth: 10, showHidden: true }) + JSON.stringify(error)
      expect(isSluiceError(error, 'RPC_FAILED'), `${name}: ${shown}`).toBe(true)
      expect(shown, name).not.toMatch(SECRETS)
      expect(shown, name).not.toContain(url)
    }),
  )
  expect(inspect(lines, { depth: 10 })).not.toMatch(SECRETS)
  provider.destroy()
}

describe('every start fails with RPC_FAILED, and without the URL’s secrets, on a node that', () => {
  it.each<[string, RpcFault]>([
    ['forbids', { status: 403, body: '{"error":"key path-hush of project query-hush is not allowed here"}' }],
    ['wants a log-in', { status: 401, body: 'no such key: http://user-hush:pass-hush@host/v3/path-hush' }],
    ['answers with a page', { status: 200, body: '<html><body>Welcome to path-hush</body></html>' }],
    ['answers with other JSON', { status: 200, body: '{"hello":"path-hush"}' }],
    ['has another chain’s id in words', { result: 'mainnet' }],
    ['refuses everything', { error: { code: -32000, message: 'project path-hush has no credit' } }],
  ])('%s', async (_, fault) => {
    proxy.rule(() => fault)
    await failures(true)
  }, 120_000)

  it('says nothing, in bounded time', async () => {
    proxy.rule(() => 'hang')
    const began = Date.now()
    await failures(true)
    // By default an answer may take 15 seconds.
    expect(Date.now() - began).toBeLessThan(50_000)
  }, 120_000)
})
