/**
 * A seller and its buyers on one development chain.
 * @module
 */
import type { HDNodeWallet, Signer } from 'ethers'
import { createBuyer, type Buyer, type BuyerOptions } from '../../../src/buyer/index.ts'
import { memoryStore } from '../../../src/core/store/memoryStore.ts'
import { createSeller, type ItemSpec, type Listener, type Seller, type SellerOptions } from '../../../src/seller/index.ts'
import type { Devnet } from '../../../src/testing/devnet.ts'
import { pause } from './until.ts'

/** A seller that can be reached. */
export interface Shop {
  readonly seller: Seller
  readonly listener: Listener
  readonly url: string
  readonly account: HDNodeWallet
  close(): Promise<void>
}

/** Hands out accounts of a devnet that nobody has used yet, so that tests can count what comes in. */
export function freshAccounts(devnet: Devnet): () => HDNodeWallet {
  let next = 0
  return () => {
    const account = devnet.accounts[next++]
    if (!account) throw new Error('start the devnet with more accounts')
    return account
  }
}

/** Opens a shop with fast settling and short patience. */
export async function openShop(
  devnet: Devnet,
  account: HDNodeWallet,
  items: readonly ItemSpec[],
  options: Partial<SellerOptions> & { readonly port?: number | undefined } = {},
): Promise<Shop> {
  const { port, ...rest } = options
  const seller = await createSeller({
    signer: account,
    store: memoryStore(),
    dataTrade: devnet.deployment.dataTrade,
    items,
    ackTimeout: 2000,
    settleDelay: 20,
    ...rest,
  })
  const listener = await seller.listen({ port })
  return { seller, listener, url: listener.url, account, close: async () => void (await seller.close()) }
}

/** Creates a buyer with short patience. */
export function openBuyer(devnet: Devnet, account: Signer, options: Partial<BuyerOptions> = {}): Promise<Buyer> {
  return createBuyer({
    signer: account,
    dataTrade: devnet.deployment.dataTrade,
    store: memoryStore(),
    connectTimeout: 3000,
    openTimeout: 10_000,
    stallTimeout: 1000,
    reconnects: 4,
    ...options,
  })
}

/** How an order stands on chain: what was put up, and who has what of it. */
export interface Ledger {
  readonly state: 'none' | 'open' | 'settled' | 'disputed'
  readonly deposit: bigint
  readonly paid: bigint
  readonly transferred: number
}

/** Reads an order from the chain. */
export async function ledgerOf(devnet: Devnet, id: string): Promise<Ledger> {
  const blockTag = Number(await devnet.provider.send('eth_blockNumber', []))
  const [account, order] = await Promise.all([
    devnet.contracts.dataTrade.account(id, { blockTag }),
    devnet.contracts.dataTrade.orders(id, { blockTag }),
  ])
  return {
    state: (['none', 'open', 'settled', 'disputed'] as const)[Number(account.state)]!,
    deposit: account.deposit,
    paid: account.paid,
    transferred: Number(order.data_transfered),
  }
}

/** Waits until an order has finished on chain. */
export async function finishedOrder(devnet: Devnet, id: string, ms = 10_000): Promise<Ledger> {
  const end = performance.now() + ms
  for (;;) {
    const ledger = await ledgerOf(devnet, id)
    if (ledger.state === 'settled' || ledger.state === 'disputed') return ledger
    if (performance.now() > end) throw new Error(`order ${id} is ${ledger.state} after ${ms} ms`)
    await pause(30)
  }
}
