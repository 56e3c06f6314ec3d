import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEther, Wallet } from 'ethers'
import type { Browser, BrowserContext, BrowserContextOptions } from 'playwright-core'
import { createSeller, type Seller } from 'sluice-sdk/seller'
import { memoryStore } from 'sluice-sdk/store'
import { startDevnet, type Devnet } from 'sluice-sdk/testing'
import { build, preview } from 'vite'
import { startProxy, type Proxy } from '../../../examples/lib/proxy.ts'
import { webConfig } from '../../../examples/lib/webConfig.ts'
import { launchChromium } from '../../../src/testing/chromium.ts'
import { giveWallet, type WalletOptions } from './giveWallet.ts'

/** A seller, the page built and served, and a browser for it. */
export interface Shop {
  readonly devnet: Devnet
  readonly seller: Seller
  /** Between page and seller. */
  readonly proxy: Proxy
  readonly browser: Browser
  /** The page, with where to buy in its address. */
  readonly url: string
  /** Opens a browser profile of its own whose wallet has money. */
  visit(options?: VisitOptions): Promise<Visit>
  close(): Promise<void>
}

/** Options of {@link Shop.visit}. */
export interface VisitOptions extends BrowserContextOptions, WalletOptions {}

/** A browser profile and its wallet. */
export interface Visit {
  readonly context: BrowserContext
  readonly address: string
  /** What the wallet was asked for that it has to ask a person about, in order. */
  readonly prompts: readonly string[]
}

/** Seconds in which a seller can still show a voucher. */
const GRACE = 2

/** Starts a shop that sells one file. */
export async function startShop(data: Uint8Array, granularity: number): Promise<Shop> {
  const devnet = await startDevnet({ grace: GRACE })
  const folder = await mkdtemp(join(tmpdir(), 'sluice-shop-'))
  const { dataTrade } = devnet.deployment
  const seller = await createSeller({
    signer: devnet.accounts[1]!,
    store: memoryStore(),
    dataTrade,
    granularity,
    settleDelay: 50,
    items: [{ id: 'weather.csv', data, info: 'Seattle, hour by hour', price: parseEther('0.003'), sample: { first: 0, count: 1 } }],
  })
  const listener = await seller.listen()
  const proxy = await startProxy(listener.url)

  const outDir = join(folder, 'page')
  const quiet = { ...webConfig(new URL('../../../examples/data-trade/web/', import.meta.url)), logLevel: 'error' as const }
  await build({ ...quiet, build: { ...quiet.build, outDir, emptyOutDir: true } })
  const server = await preview({ ...quiet, build: { outDir }, preview: { port: 0 } })
  const query = new URLSearchParams({ seller: proxy.url, contract: dataTrade })
  const browser = await launchChromium()

  const visit = async (options: VisitOptions = {}): Promise<Visit> => {
    const context = await browser.newContext(options)
    const wallet = new Wallet(Wallet.createRandom().privateKey, devnet.provider)
    await (await devnet.accounts[2]!.sendTransaction({ to: wallet.address, value: parseEther('1') })).wait()
    const prompts = await giveWallet(context, wallet, options)
    return { context, address: wallet.address, prompts }
  }

  return {
    devnet,
    seller,
    proxy,
    browser,
    url: `${server.resolvedUrls!.local[0]}?${query}`,
    visit,
    close: async () => {
      await browser.close()
      await server.close()
      await proxy.close()
      await seller.close()
      await devnet.stop()
      await rm(folder, { recursive: true })
    },
  }
}
