import { readFile } from 'node:fs/promises'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startShop, type Shop, type Visit } from './lib/startShop.ts'

const data = Uint8Array.from({ length: 400_000 }, (_, i) => (i * i) >> 5)
const GRANULARITY = 8192

let shop: Shop
let visit: Visit

beforeAll(async () => {
  shop = await startShop(data, GRANULARITY)
}, 120_000)
afterAll(() => shop.close())
afterEach(async () => {
  shop.proxy.free()
  await visit.context.close()
})

/** Opens the page and connects the wallet. */
async function enter(): Promise<Page> {
  const page = await visit.context.newPage()
  await page.goto(shop.url)
  await page.getByRole('button', { name: 'Connect wallet' }).click()
  return page
}

/** Begins to buy; the link falls silent when half of the data has passed. */
async function buyHalf(page: Page): Promise<void> {
  shop.proxy.limit(data.length / 2, 'hang')
  await page.getByRole('button', { name: 'Buy for 0.003 ETH' }).click()
  const percent = async (): Promise<number> => Number(await page.getByRole('progressbar').getAttribute('aria-valuenow'))
  await expect.poll(percent, { timeout: 20_000 }).toBeGreaterThan(40)
}

async function downloaded(page: Page): Promise<Uint8Array> {
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download' }).click()])
  expect(download.suggestedFilename()).toBe('weather.csv')
  return readFile(await download.path())
}

/** The orders of this visit's wallet on chain. */
async function orders(): Promise<{ deposit: bigint; paid: bigint; state: bigint }[]> {
  const { dataTrade } = shop.devnet.contracts
  const created = await dataTrade.queryFilter(dataTrade.filters.OrderCreated(undefined, visit.address))
  return Promise.all(created.map(async ({ args }) => {
    const { deposit, paid, state } = await dataTrade.account(args.id)
    return { deposit, paid, state }
  }))
}

const PRICE = 3n * 10n ** 15n
const SETTLED = 2n

test('a file is bought with one question to the wallet, and every byte is there', async () => {
  visit = await shop.visit()
  const page = await enter()
  await expect.poll(() => page.locator('pre').textContent()).toBe(new TextDecoder().decode(data.subarray(0, GRANULARITY)))
  await page.getByRole('button', { name: 'Buy for 0.003 ETH' }).click()
  expect(Buffer.compare(await downloaded(page), data)).toBe(0)

  expect(visit.prompts).toEqual(['eth_requestAccounts', 'eth_sendTransaction'])
  expect(await page.getByRole('status').textContent()).toBe('All 400,000 bytes are here and proven. You paid 0.003 ETH.')
  expect(await page.getByRole('progressbar').getAttribute('aria-valuenow')).toBe('100')
  await expect.poll(orders, { timeout: 10_000 }).toEqual([{ deposit: PRICE, paid: PRICE, state: SETTLED }])
})

test('a purchase goes on after a reload, and nothing is paid or fetched twice', async () => {
  visit = await shop.visit()
  const page = await enter()
  await buyHalf(page)

  let fetched = 0
  shop.proxy.free()
  await page.reload()
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => (fetched += payload.length)))
  await page.getByRole('button', { name: 'Continue' }).click()
  expect(Buffer.compare(await downloaded(page), data)).toBe(0)

  expect(visit.prompts).toEqual(['eth_requestAccounts', 'eth_sendTransaction'])
  expect(fetched).toBeLessThan(data.length * 0.65)
  await expect.poll(orders, { timeout: 10_000 }).toEqual([{ deposit: PRICE, paid: PRICE, state: SETTLED }])
})

test('the rest of a deposit is taken back from a seller that is gone, after a reload too', async () => {
  visit = await shop.visit()
  const page = await enter()
  await buyHalf(page)

  await page.goto(shop.url.replace(/seller=[^&]*/, `seller=${encodeURIComponent('ws://127.0.0.1:9/')}`))
  await page.getByText('The seller can’t be reached right now.').waitFor()
  await page.getByRole('button', { name: 'Take the rest back' }).click()
  await page.getByText(/^This order is over\. 0\.001\d* ETH came back\.$/).waitFor({ timeout: 20_000 })
  const part = await downloaded(page)
  expect(Buffer.compare(part, data.subarray(0, part.length))).toBe(0)
  // The last chunks may be here and not yet paid.
  const [order] = await orders()
  expect(order).toMatchObject({ deposit: PRICE, state: SETTLED })
  expect(order!.paid).toBeGreaterThan((PRICE * 4n) / 10n)
  expect(order!.paid).toBeLessThanOrEqual((PRICE * BigInt(part.length)) / BigInt(data.length))
})

test('a purchase that is stopped costs what came, and the rest of the deposit comes back', async () => {
  visit = await shop.visit()
  const page = await enter()
  shop.proxy.limit(data.length / 2, 'hang')
  await page.getByRole('button', { name: 'Buy for 0.003 ETH' }).click()
  await page.getByRole('button', { name: 'Stop here' }).click()
  const part = await downloaded(page)
  expect(part.length).toBeGreaterThan(0)
  expect(part.length).toBeLessThan(data.length / 2)
  expect(Buffer.compare(part, data.subarray(0, part.length))).toBe(0)
  const paid = (PRICE * BigInt(part.length)) / BigInt(data.length)
  await expect.poll(orders, { timeout: 10_000 }).toEqual([{ deposit: PRICE, paid, state: SETTLED }])

  // It is over: there is nothing to continue.
  shop.proxy.free()
  await page.reload()
  expect(Buffer.compare(await downloaded(page), part)).toBe(0)
})

test('a second tab is told that the shop is open in another', async () => {
  visit = await shop.visit()
  await (await enter()).getByRole('button', { name: /^Buy/ }).waitFor()
  const second = await visit.context.newPage()
  await second.goto(shop.url)
  expect(await second.getByRole('alert').first().textContent()).toMatch(/^This shop is open in another tab/)
  expect(await second.getByRole('button', { name: /^Buy/ }).count()).toBe(0)
})

test('a refusal in the wallet is said in plain words, and the next try is free to succeed', async () => {
  let consent = false
  visit = await shop.visit({ consent: () => consent })
  const page = await enter()
  await page.getByRole('button', { name: /^Buy/ }).click()
  await page.getByText('You declined in your wallet. Nothing was paid.').waitFor()
  expect(await orders()).toEqual([])
  consent = true
  await page.getByRole('button', { name: /^Buy/ }).click()
  expect(Buffer.compare(await downloaded(page), data)).toBe(0)
})

test('a seller that is gone is said in plain words', async () => {
  visit = await shop.visit()
  const page = await visit.context.newPage()
  await page.goto(shop.url.replace(/seller=[^&]*/, `seller=${encodeURIComponent('ws://127.0.0.1:9/')}`))
  await page.getByRole('button', { name: 'Connect wallet' }).click()
  await page.getByText('The seller can’t be reached right now. Try again in a moment.').waitFor()
})

test('without a wallet the page says what is missing', async () => {
  visit = await shop.visit()
  const bare = await shop.browser.newContext()
  const page = await bare.newPage()
  await page.goto(shop.url)
  await page.getByRole('button', { name: 'Connect wallet' }).click()
  await page.getByText('this browser has no wallet').waitFor()
  await bare.close()
})

test('without a wallet, a development chain lends the page an account', async () => {
  visit = await shop.visit()
  const bare = await shop.browser.newContext()
  const page = await bare.newPage()
  await page.goto(`${shop.url}&rpc=${encodeURIComponent(shop.devnet.url)}`)
  await page.getByRole('button', { name: /^Buy/ }).click()
  expect(Buffer.compare(await downloaded(page), data)).toBe(0)
  await bare.close()
})
