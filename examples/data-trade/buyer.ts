/**
 * Buys the first thing that the first seller in the registry offers. Ended midway by whatever cause, it goes on at its
 * next start behind what it has.
 *
 *     npm run example examples/data-trade/buyer.ts FILE
 *
 * The environment says on which chain and as whom: RPC_URL, PRIVATE_KEY, DATA_TRADE and REGISTRY (the contracts), STORE
 * (a directory for the orders).
 * @module
 */
import { constants, createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { JsonRpcProvider, Wallet } from 'ethers'
import { createBuyer, type Purchase } from 'sluice-sdk/buyer'
import { contractRegistry } from 'sluice-sdk/registry'
import { count, eth, short } from '../lib/format.ts'
import { readEnvironment } from '../lib/readEnvironment.ts'
import { openTerminal } from '../lib/terminal.ts'

const { line, bar } = openTerminal()
const { RPC_URL, PRIVATE_KEY, DATA_TRADE, REGISTRY, STORE } = readEnvironment(
  ...['RPC_URL', 'PRIVATE_KEY', 'DATA_TRADE', 'REGISTRY', 'STORE'] as const,
)
const [path] = process.argv.slice(2)
if (path === undefined) throw new Error('name the file to write')

const provider = new JsonRpcProvider(RPC_URL)
const registry = contractRegistry(provider, { address: REGISTRY })
const buyer = await createBuyer({ signer: new Wallet(PRIVATE_KEY, provider), dataTrade: DATA_TRADE, store: STORE, registry })

const file = await open(path, constants.O_RDWR | constants.O_CREAT)
const purchase = (await unfinished()) ?? (await first())
purchase.events.on('order', ({ orderId }) => line('buyer', `order ${short(orderId)} is open`))
purchase.events.on('reconnect', ({ attempt, reason }) => line('buyer', `link lost (${reason}), attempt ${attempt} to find it again`))
purchase.events.on('progress', bar())

let at: number | undefined
for await (const chunk of purchase) {
  at ??= await purchase.offset
  await file.write(chunk, 0, chunk.length, at)
  at += chunk.length
}
await file.truncate(at)
await file.close()

const { bytes, paid, seller } = await purchase.receipt
line('buyer', `${count(bytes)} bytes verified and saved, ${eth(paid)} ETH to ${short(seller)}`)
await buyer.close()
provider.destroy()

/** Goes on with an order of an earlier run: what is in the file is checked, and not paid again. */
async function unfinished(): Promise<Purchase | undefined> {
  for await (const { record, state } of buyer.orders()) {
    if (state !== 'open' && state !== 'opening') continue
    line('buyer', `goes on with order ${short(record.id)}`)
    return buyer.resume(record.id, { partial: createReadStream(path!) })
  }
  return undefined
}

/** Buys the first item of the first seller, once there is one. */
async function first(): Promise<Purchase> {
  for (;;) {
    for await (const { account } of registry.list()) {
      const { items } = await buyer.menu(account)
      if (items[0]) return buyer.buy({ seller: account, item: items[0].id })
    }
    await new Promise((again) => setTimeout(again, 500))
  }
}
