import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { build, type Rolldown } from 'vite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { webConfig } from '../../examples/lib/webConfig.ts'
import { launchChromium } from '../../src/testing/chromium.ts'
import { startScriptedServer } from './lib/scriptedServer.ts'
import type { Outcome, suites } from './lib/suites.ts'

let browser: Browser
let page: Page
let server: Awaited<ReturnType<typeof startScriptedServer>>

beforeAll(async () => {
  const entry = fileURLToPath(new URL('lib/suites.ts', import.meta.url))
  const config = { ...webConfig(new URL('lib/', import.meta.url)), logLevel: 'error' as const }
  const built = await build({ ...config, build: { ...config.build, write: false, rolldownOptions: { output: { codeSplitting: false } }, lib: { entry, formats: ['es'], fileName: 'suites' } } })
  const { code } = (built as Rolldown.RolldownOutput[])[0]!.output[0]
  server = await startScriptedServer()
  browser = await launchChromium()
  page = await browser.newPage()
  // A page of localhost is a secure context, as Web Locks and WebCrypto ask for; nobody needs to listen there.
  await page.route('http://localhost/**', (route) => route.fulfill({ contentType: 'text/html', body: '<title>suites</title>' }))
  await page.goto('http://localhost/')
  await page.addScriptTag({ type: 'module', content: code })
}, 120_000)
afterAll(async () => {
  await browser.close()
  server.close()
})

/** Runs a suite in the browser. */
function run(name: keyof typeof suites): Promise<Outcome[]> {
  return page.evaluate(
    ([suite, url]) => (globalThis as unknown as { suites: typeof suites }).suites[suite](url),
    [name, server.url] as const,
  )
}

test.each([
  ['store', 15],
  ['crypto', 80],
  ['vault', 3],
  ['transport', 6],
] as const)('the %s suite passes in Chromium', async (name, atLeast) => {
  const outcomes = await run(name)
  expect(outcomes.filter(({ error }) => error !== undefined)).toEqual([])
  expect(outcomes.length).toBeGreaterThanOrEqual(atLeast)
})
