/**
 * Sells a file until it is interrupted.
 *
 *     npm run example examples/data-trade/seller.ts [FILE]
 *
 * The environment says on which chain and as whom: RPC_URL, PRIVATE_KEY, DATA_TRADE and REGISTRY (the contracts), STORE
 * (a directory for the vouchers), PORT.
 * @module
 */
import { basename } from 'node:path'
import { JsonRpcProvider, parseEther, Wallet } from 'ethers'
import { publishingRegistry } from 'sluice-sdk/registry'
import { createSeller } from 'sluice-sdk/seller'
import { count, eth, short } from '../lib/format.ts'
import { readEnvironment } from '../lib/readEnvironment.ts'
import { openTerminal } from '../lib/terminal.ts'
import { weather } from '../lib/weather.ts'

const { line } = openTerminal()
const { RPC_URL, PRIVATE_KEY, DATA_TRADE, REGISTRY, STORE, PORT } = readEnvironment(
  ...['RPC_URL', 'PRIVATE_KEY', 'DATA_TRADE', 'REGISTRY', 'STORE', 'PORT'] as const,
)
const [file] = process.argv.slice(2)
const signer = new Wallet(PRIVATE_KEY, new JsonRpcProvider(RPC_URL))

const seller = await createSeller({
  signer,
  dataTrade: DATA_TRADE,
  store: STORE,
  granularity: 4096,
  items: [
    {
      id: basename(file ?? weather.path),
      data: file ?? weather.path,
      info: file === undefined ? weather.info : '',
      price: parseEther('0.003'),
      sample: { first: 0, count: 1 },
    },
  ],
})

const { url } = await seller.listen({ port: Number(PORT) })
await seller.publish(await publishingRegistry(signer, { address: REGISTRY }), url)
line('seller', `${short(seller.address)} sells ${seller.menu.items[0]!.id} at ${url}`)

seller.events.on('order', ({ buyer, bytes, price }) => {
  const money = price === 0n ? 'a free sample' : `${eth(price)} ETH are in escrow`
  line('seller', `${short(buyer)} ordered ${count(bytes)} bytes: ${money}`)
})
seller.events.on('ended', ({ paid, sent, reason }) => {
  line('seller', `order ended (${reason}): ${count(sent)} bytes sent, ${count(paid)} acknowledged`)
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    line('seller', 'settles what it earned and closes')
    void seller.close().then(() => process.exit())
  })
}
