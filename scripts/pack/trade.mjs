/**
 * A program as an integrator writes it: data is sold and bought over a WebSocket, one channel node pays another, a native
 * engine and an exchange are asked for. The pack test bundles it with every bundler and runs what comes out.
 *
 * What is on the disk beside the bundle is up to the test: without packages there, JavaScript signs, and a store on the disk
 * or an exchange is refused with a code.
 * @module
 */
import { HDNodeWallet, JsonRpcProvider } from 'ethers'
import { consoleLogger, engine, isSluiceError } from 'sluice-sdk'
import { createBuyer } from 'sluice-sdk/buyer'
import { createChannelNode } from 'sluice-sdk/channel'
import { listenWebSocketPeer } from 'sluice-sdk/channel/listen'
import { createDatasource, createMerchant } from 'sluice-sdk/des'
import { createExchangeServer } from 'sluice-sdk/des/server'
import { nativeSecp256k1 } from 'sluice-sdk/engines/native'
import { createSeller } from 'sluice-sdk/seller'
import { memoryStore, openStore } from 'sluice-sdk/store'

/** @param {{ url: string, dataTrade: string, tokenNetwork: string, fromBlock: number, folder: string }} chain */
export async function trade({ url, dataTrade, tokenNetwork, fromBlock, folder }) {
  const provider = new JsonRpcProvider(url, undefined, { cacheTimeout: -1, pollingInterval: 50 })
  const [a, b, c, d] = [0, 1, 2, 3].map(() => HDNodeWallet.createRandom().connect(provider))
  for (const { address } of [a, b, c, d]) await provider.send('anvil_setBalance', [address, '0x56bc75e2d63100000'])
  const report = { curve: engine().secp256k1.name }

  const seller = await createSeller({ signer: a, dataTrade, store: memoryStore(), log: consoleLogger({ level: 'warn' }), items: [{ id: 'x', data: new Uint8Array(600_000).fill(7), price: 600_000n }] })
  const listener = await seller.listen()
  const buyer = await createBuyer({ signer: b, dataTrade })
  report.bytes = 0
  for await (const chunk of buyer.buy({ seller: listener.url, item: 'x' })) report.bytes += chunk.length
  await buyer.close()
  await seller.close()

  const transports = [await listenWebSocketPeer(), await listenWebSocketPeer()]
  const at = { [c.address.toLowerCase()]: transports[0].endpoint, [d.address.toLowerCase()]: transports[1].endpoint }
  const discovery = { find: async account => [at[account.toLowerCase()]].filter(Boolean), close: async () => {} }
  const network = { tokenNetwork, fromBlock, discovery, confirmations: 1 }
  const [carol, dave] = await Promise.all([c, d].map((signer, i) =>
    createChannelNode({ ...network, signer, store: memoryStore(), transport: transports[i] })))
  await carol.open({ partner: dave.account, deposit: 1_000n })
  report.paid = (await carol.pay({ to: dave.account, amount: 10n })).state
  for (const node of [carol, dave]) await node.stop()
  for (const transport of transports) await transport.close()

  const outcome = async work => work().then(() => 'works', error => (isSluiceError(error) ? error.code : String(error)))
  report.store = await outcome(async () => (await openStore(`${folder}/store`)).close())
  const key = '5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3'
  report.exchange = await outcome(async () => (await createExchangeServer({ key, percent: 1000 })).stop())
  report.native = nativeSecp256k1().name
  report.clients = [createDatasource, createMerchant].map(each => typeof each).join()
  provider.destroy()
  return report
}
