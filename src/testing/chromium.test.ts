import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium } from './chromium.ts'

let server: Server
let url: string

beforeAll(async () => {
  server = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<title>Sluice</title>'))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  url = `http://localhost:${(server.address() as AddressInfo).port}`
})

afterAll(() => new Promise(resolve => server.close(resolve)))

test('starts a browser that runs a page and has what the library needs of a browser', async () => {
  // Two at once: the first start unpacks the browser.
  const browsers = await Promise.all([launchChromium(), launchChromium()])
  try {
    for (const browser of browsers) {
      const page = await browser.newPage()
      await page.goto(url)
      expect(await page.title()).toBe('Sluice')
      expect(await page.evaluate(async () => ({
        digest: (await crypto.subtle.digest('SHA-256', new Uint8Array())).byteLength,
        locks: await navigator.locks.request('lock', lock => lock?.name),
        database: await new Promise(resolve => {
          const request = indexedDB.open('database')
          request.onsuccess = () => resolve(request.result.name)
          request.onerror = () => resolve(request.error)
        }),
      }))).toEqual({ digest: 32, locks: 'lock', database: 'database' })
    }
  } finally {
    await Promise.all(browsers.map(browser => browser.close()))
  }
})

test('says what is wrong when CHROME_PATH leads nowhere', async () => {
  const before = process.env['CHROME_PATH']
  process.env['CHROME_PATH'] = '/nowhere/chrome'
  try {
    await expect(launchChromium()).rejects.toThrow('/nowhere/chrome')
  } finally {
    if (before === undefined) delete process.env['CHROME_PATH']
    else process.env['CHROME_PATH'] = before
  }
})
