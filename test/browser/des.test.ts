import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { build, type Rolldown } from 'vite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { webConfig } from '../../examples/lib/webConfig.ts'
import { keyFromWif } from '../../src/core/crypto/graphene/index.ts'
import { listenHttp, type HttpListener } from '../../src/core/http/listenHttp.ts'
import { createDatasource, type Datasource } from '../../src/des/index.ts'
import { startSmallExchange, type SmallExchange } from '../../src/des/smallExchange.testing.ts'
import { launchChromium } from '../../src/testing/chromium.ts'
import vectors from '../fixtures/des/vectors.json' with { type: 'json' }
import type { desPage } from './lib/desPage.ts'

type OnPage = typeof desPage

const [merchant, sourceKey] = [vectors.keys[0]!, vectors.keys[1]!]
let browser: Browser
let page: Page
let exchange: SmallExchange
let served: HttpListener
let source: Datasource

beforeAll(async () => {
  const entry = fileURLToPath(new URL('lib/desPage.ts', import.meta.url))
  const config = { ...webConfig(new URL('lib/', import.meta.url)), logLevel: 'error' as const }
  const built = await build({ ...config, build: { ...config.build, write: false, rolldownOptions: { output: { codeSplitting: false } }, lib: { entry, formats: ['es'], fileName: 'desPage' } } })
  const { code } = (built as Rolldown.RolldownOutput[])[0]!.output[0]

  exchange = await startSmallExchange()
  exchange.accounts.set('1.2.20', merchant.publicKey)
  exchange.accounts.set('1.2.11', sourceKey.publicKey)
  served = await listenHttp({ fetch: (request) => source.fetch(request) })
  source = createDatasource({
    account: '1.2.11', key: keyFromWif(sourceKey.wif), baseUrl: exchange.url, serviceUrl: served.url, desPublicKey: exchange.key.publicKey,
    products: [{ productId: 1, price: 100_000n }], answer: ({ name }) => ({ result: name === '张三' }),
  })
  await source.start()

  browser = await launchChromium()
  page = await browser.newPage()
  // A page of the exchange's own origin; that of the loopback is a secure context, as WebCrypto asks for.
  await page.route('**/page', (route) => route.fulfill({ contentType: 'text/html', body: '<title>buyer</title>' }))
  await page.goto(`${exchange.url}/page`)
  await page.addScriptTag({ type: 'module', content: code })
}, 120_000)
afterAll(async () => {
  await browser.close()
  source.stop()
  await served.close()
  await exchange.close()
})

const run = <K extends keyof OnPage>(name: K, ...args: Parameters<OnPage[K]>): ReturnType<OnPage[K]> =>
  page.evaluate(([name, args]) => {
    const { desPage } = globalThis as unknown as { desPage: Record<string, (...args: unknown[]) => unknown> }
    return desPage[name]!(...args)
  }, [name, args] as const) as ReturnType<OnPage[K]>

test('suite 1 is in Chromium what it is in Node', async () => {
  expect(await run('ciphers')).toEqual([])
})

test.each([2, 1])('a page asks and opens an answer of suite %i', async (suite) => {
  const { suites: _, ...online } = exchange.online.get('1.2.11')!
  exchange.online.set('1.2.11', { ...online, ...(suite === 2 && { suites: [2] }) })
  const { status, spent, datasources } = await run('query', merchant.wif, '张三')
  expect([status, spent, datasources]).toMatchObject(['FINISHED', '100000', [{ status: 'SUCCESS', data: { result: true } }]])
  expect(exchange.created.at(-1)!.includes('"params":"v2:')).toBe(suite === 2)
})
