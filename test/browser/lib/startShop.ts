import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEther, Wallet } from 'ethers'
import type { Browser, BrowserContext, BrowserContextOptions } from 'playwright-core'
import { createSeller, type Seller } from 'sluice-sdk/seller'
import { memoryStore } from 'sluice-sdk/store'
import { startDevnet, type Devnet } from 'sluice-sdk/testing'
import { build, preview } from 'vite'
import { webConfig } from '../../../examples/data-trade/web/webConfig.ts'
import { startProxy, type Proxy } from '../../../examples/lib/proxy.ts'
import { launchChromium } from '../../../src/testing/chromium.ts'

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
export interface VisitOptions extends BrowserContextOptions {
  /** Whether the person says yes to a payment. @default yes */
  readonly consent?: (() => boolean) | undefined
  /** Whether the page was allowed to see the account on an earlier visit. @default false */
  readonly connected?: boolean | undefined
}

/** A browser profile and its wallet. */
export interface Visit {
  readonly context: BrowserContext
  readonly address: string
  /** What the wallet was asked for that it has to ask a person about, in order. */
  readonly prompts: readonly string[]
}

/** Seconds in which a seller can still show a voucher. */
const GRACE = 2

/** What a person must agree to; everything else is answered by the node. */
const PROMPTS = ['eth_requestAccounts', 'eth_sendTransaction', 'personal_sign', 'eth_sign', 'eth_signTypedData_v4']

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
  const quiet = { ...webConfig(), logLevel: 'error' as const }
  await build({ ...quiet, build: { ...quiet.build, outDir, emptyOutDir: true } })
  const server = await preview({ ...quiet, build: { outDir }, preview: { port: 0 } })
  const query = new URLSearchParams({ seller: proxy.url, contract: dataTrade })
  const browser = await launchChromium()

  const visit = async ({ consent = () => true, connected = false, ...options }: VisitOptions = {}): Promise<Visit> => {
    const context = await browser.newContext(options)
    const wallet = new Wallet(Wallet.createRandom().privateKey, devnet.provider)
    await (await devnet.accounts[2]!.sendTransaction({ to: wallet.address, value: parseEther('1') })).wait()
    const prompts: string[] = []
    let allowed = connected

    // The key stays here, as it stays with a wallet; the page sees EIP-1193 and nothing else.
    const answer = async (method: string, params: readonly unknown[]): Promise<unknown> => {
      if (PROMPTS.includes(method)) prompts.push(method)
      switch (method) {
        case 'eth_requestAccounts':
          allowed = true
          return [wallet.address]
        case 'eth_accounts':
          return allowed ? [wallet.address] : []
        case 'eth_sendTransaction': {
          if (!consent()) throw Object.assign(new Error('User rejected the request.'), { code: 4001 })
          const { to, data: input, value, gas } = params[0] as { to: string; data: string; value?: string; gas?: string }
          return (await wallet.sendTransaction({ to, data: input, value: value ?? 0, gasLimit: gas ?? null })).hash
        }
        default:
          if (PROMPTS.includes(method)) throw Object.assign(new Error(`${method} is not for a purchase`), { code: 4200 })
          return devnet.provider.send(method, [...params])
      }
    }
    await context.exposeFunction('walletAnswer', async (method: string, params: readonly unknown[] = []) =>
      answer(method, params).then(
        (result) => ({ result }),
        // What a node answers is inside the error of ethers.
        (error: { code?: unknown; message?: string; error?: { code: number; message: string; data?: unknown } }) => ({
          error: error.error ?? { code: error.code, message: error.message },
        }),
      ),
    )
    await context.addInitScript(() => {
      type Answer = { result?: unknown; error?: object }
      const page = window as unknown as { walletAnswer(method: string, params?: unknown): Promise<Answer> }
      Object.assign(window, {
        ethereum: {
          request: async ({ method, params }: { method: string; params?: unknown }) => {
            const { result, error } = await page.walletAnswer(method, params)
            if (error) throw Object.assign(new Error('wallet'), error)
            return result
          },
        },
      })
    })
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
