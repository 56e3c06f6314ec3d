import { readFile } from 'node:fs/promises'
import { CID } from 'multiformats/cid'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { createMarketClient } from 'sluice-sdk/des'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { drawPicture } from '../../examples/marketplace/picture.ts'
import { startMarketplace, type Marketplace } from '../../examples/marketplace/startMarketplace.ts'
import { collect } from '../../examples/marketplace/web/lib/pager.ts'
import { requestCid } from '../../src/des/server/billing/requestName.ts'
import { launchChromium } from '../../src/testing/chromium.ts'
import { contrastFlaws, headingFlaws, namelessControls } from './lib/accessibility.ts'

let market: Marketplace
let browser: Browser
let context: BrowserContext
let page: Page
/** What the console said against the page, and requests that went elsewhere. */
let complaints: string[]

beforeAll(async () => {
  ;[market, browser] = await Promise.all([startMarketplace(), launchChromium()])
}, 180_000)
afterAll(async () => {
  await browser?.close()
  await market?.close()
})
beforeEach(() => open())
afterEach(async () => {
  await context.close()
  expect(complaints).toEqual([])
})

/** Opens the portal in a profile of its own. */
async function open(options: Parameters<Browser['newContext']>[0] = {}): Promise<void> {
  await context?.close()
  complaints = []
  context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1280, height: 900 }, ...options })
  page = await context.newPage()
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('request', (request) => {
    if (!request.url().startsWith(market.url) && !/^(data|blob):/.test(request.url())) complaints.push(`asked ${request.url()}`)
  })
  await page.goto(market.url)
}

const button = (name: string | RegExp) => page.getByRole('button', { name, exact: true })
const field = (name: string) => page.getByLabel(name, { exact: true })
const title = () => page.getByRole('heading', { level: 1 })

/** Goes to a place, and waits until nothing is loading any more. */
async function visit(place: string): Promise<void> {
  await page.evaluate((hash) => (location.hash = hash), `#/${place}`)
  await settled()
}
async function settled(): Promise<void> {
  // A render, and then whatever it asks for.
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))))
  await expect.poll(() => page.locator('[aria-busy]').count(), { timeout: 15_000 }).toBe(0)
}

async function signIn(who = 0): Promise<void> {
  const { account, wif } = market.people[who]!
  await visit('sign-in')
  await field('Account').fill(account)
  await field('Private key').fill(wif)
  await button('Sign in').click()
  await expect.poll(() => title().textContent(), { timeout: 15_000 }).toBe('Account')
  await settled()
}

/** Places of the portal, with something on each. */
const places = () => [
  'products',
  'products/free',
  'product/1',
  'product/1?version=1',
  'product/1/change',
  'publish',
  'votes/open',
  'votes/passed',
  'votes/rejected',
  'vote/1',
  'vote/4',
  'usage',
  'exchanges',
  'bill',
  'account',
  'notices',
  `evidence?request=${market.requestId}`,
  'bind',
  'nowhere',
]

describe('who has not signed in', () => {
  test('finds products by market, category and name', async () => {
    await settled()
    const names = () => page.locator('.card h2').allTextContents()
    expect(await names()).toEqual(['Identity check KYC认证', 'Company credit 企业信用', 'Open loans 借贷查询'])
    await field('Search by name').fill('CREDIT')
    expect(await names()).toEqual(['Company credit 企业信用'])
    await field('Search by name').fill('weather')
    await page.getByText('No product is called “weather”.').waitFor()
    await field('Search by name').fill('')
    await field('Category').selectOption({ label: 'Identity 身份' })
    await settled()
    expect(await names()).toEqual(['Identity check KYC认证'])
    await page.getByRole('link', { name: 'Free market' }).click()
    await settled()
    expect(await names()).toEqual(['Phone holder 手机实名', 'Address check 地址核验', 'Parcel history 物流记录'])
  })

  test('sees what a product asks and answers, who sells it now, and its older versions', async () => {
    await settled()
    await page.getByRole('link', { name: 'Identity check' }).click()
    await settled()
    expect(await page.getByRole('table', { name: 'Input' }).getByRole('row').allTextContents()).toEqual([
      'FieldTypeMeaningSample',
      'name requiredstringName 姓名张三',
      'idcard requiredstringIdentity number 身份证号330102198901016666',
    ])
    expect(await page.getByRole('table', { name: 'Output' }).getByRole('row').allTextContents()).toContain(
      'resultbooleanWhether they match 是否匹配true',
    )
    await page.getByText('1 of 3 online now').waitFor()
    expect(await page.locator('.sources li').allTextContents()).toEqual(['1.2.101Offline', '1.2.102Online', '1.2.104Offline'])
    const price = () => page.locator('.price strong').textContent()
    expect(await price()).toBe('0.025 GXC')
    await field('Version').selectOption('1')
    await page.getByText('You are looking at an older version.').waitFor()
    expect(await price()).toBe('0.03 GXC')
  })

  test('is asked to sign in for what is its own, and told in plain words why a key is not taken', async () => {
    await visit('usage')
    expect(await title().textContent()).toBe('Sign in')
    await field('Account').fill('1.2.101')
    await field('Private key').fill('no key')
    await button('Sign in').click()
    await page.getByText('That is no private key').waitFor()
    await field('Private key').fill(market.people[1]!.wif)
    complaints = []
    await button('Sign in').click()
    await page.getByText('the key is not that of the account').waitFor()
    // The browser itself reports the status of the refusal.
    expect(complaints.splice(0)).toEqual([expect.stringContaining('401')])
    await field('Private key').fill(market.people[0]!.wif)
    await button('Sign in').click()
    await expect.poll(() => title().textContent(), { timeout: 15_000 }).toBe('Consumption')
  })
})

test('the key is neither sent nor stored, and gone with the session', async () => {
  const sent: string[] = []
  page.on('request', (request) => sent.push(request.url() + JSON.stringify(request.headers()) + (request.postData() ?? '')))
  const lastToken = page
    .waitForRequest((request) => request.headers().authorization !== undefined)
    .then((request) => request.headers().authorization!)
  await signIn()
  const { wif } = market.people[0]!
  expect(sent.length).toBeGreaterThan(5)
  expect(sent.filter((text) => text.includes(wif))).toEqual([])
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]))
  expect(kept).toBe('[{"sluice.language":"en"},{},""]')
  // What was slipped into the page could not take it elsewhere either.
  const { 'content-security-policy': policy } = (await page.request.get(market.url)).headers()
  expect(policy).toMatch(/^default-src 'self'; img-src 'self' data:; object-src 'none'/)
  // Signed out at the exchange as well: the token that was used is of no use any more.
  const authorization = await lastToken
  const profile = async () =>
    (await page.request.get(new URL('/market/merchant/profile', market.url).href, { headers: { authorization } })).status()
  expect(await profile()).toBe(200)
  const out = page.waitForResponse('**/signin/out')
  await button('Sign out').click()
  expect((await out).status()).toBe(200)
  expect(await profile()).toBe(401)
  await visit('account')
  expect(await title().textContent()).toBe('Sign in')
})

test('a product is published with its logo and fields, after what is wrong was said', async () => {
  await signIn()
  await visit('publish')
  await button('Publish').click()
  await page.getByText('Some entries need your attention.').waitFor()
  expect(await page.evaluate(() => document.activeElement?.getAttribute('maxlength'))).toBe('100')
  expect(await page.locator('[aria-invalid]').count()).toBe(5)

  await field('Name').fill('Weather 天气')
  await page.getByLabel('Description').fill('What the weather was.')
  await field('Category').selectOption({ label: 'Logistics 物流' })
  await field('Price per answer in GXC').fill('0.123456')
  await field('Agreement a vote needs, in percent').fill('66.67')
  const logo = page.getByLabel('Logo')
  await logo.setInputFiles({ name: 'large.png', mimeType: 'image/png', buffer: Buffer.alloc(256 * 1024 + 1) })
  await page.getByText('This picture has 257 kB.').waitFor()
  const picture = Buffer.from(
    drawPicture([200, 120, 0], [255, 255, 255], (x, y) => x ** 2 + y ** 2 < 0.3),
    'base64',
  )
  await logo.setInputFiles({ name: 'sun.png', mimeType: 'image/png', buffer: picture })
  await page.getByRole('img', { name: 'The logo you chose' }).waitFor()

  const input = page.locator('.field-row').nth(0)
  await input.getByLabel('Field name').fill('day')
  await input.getByLabel('Type').selectOption('date')
  await button('Add an input field').click()
  const second = page.locator('.field-row').nth(1)
  expect(await second.getByLabel('Field name').evaluate((element) => element === document.activeElement)).toBe(true)
  await second.getByLabel('Field name').fill('hour')
  await second.getByLabel('Type').selectOption('integer')
  await second.getByLabel('Sample').fill('noon')
  await second.getByLabel('Required').uncheck()
  await page.locator('.field-row').nth(2).getByLabel('Field name').fill('celsius')
  await button('Publish').click()
  await page.getByText('The sample is not of the type integer.').waitFor()
  await page.getByText('Write an amount such as 0.5').waitFor()
  await second.getByLabel('Sample').fill('12')
  await field('Price per answer in GXC').fill('0.12345')
  await button('Publish').click()

  await expect.poll(() => title().textContent()).toBe('Weather 天气')
  await settled()
  expect(await page.locator('.price strong').textContent()).toBe('0.12345 GXC')
  await page.getByText('66.67%').waitFor()
  expect(await page.getByRole('table', { name: 'Input' }).getByRole('row').allTextContents()).toEqual([
    'FieldTypeMeaningSample',
    'day requireddate',
    'hourinteger12',
  ])
  const shown = await page.locator('.lead img').evaluate(async (image: HTMLImageElement) => {
    await image.decode()
    return [image.naturalWidth, await (await fetch(image.src)).arrayBuffer().then((bytes) => bytes.byteLength)]
  })
  expect(shown).toEqual([96, picture.length])
})

test('a vote is looked at, counts down, and passes by the vote that was missing', async () => {
  await signIn()
  await visit('votes/open')
  const rows = page.locator('.vote')
  expect(await rows.locator('.tag').allTextContents()).toEqual(['Invitation', 'Application to sell', 'Change of the product'])
  const left = () => rows.first().getByRole('timer').textContent()
  const before = await left()
  expect(before).toMatch(/^1 d 23 h \d\d min \d\d s$/)
  await expect.poll(left, { timeout: 5_000 }).not.toBe(before)

  await rows.nth(2).getByRole('link').click()
  await settled()
  expect(await page.locator('.changes tbody tr').allTextContents()).toEqual([
    'DescriptionWhether a name and an identity number belong to one person.' +
      'Whether a name, an identity number and a portrait belong to one person. Answers within a second.',
    'Price0.025 GXC0.02 GXC',
    'Input portraitnot therestring · required · Portrait, base64 自拍照 · 6Ieq5ouN54WnYmFzZTY0',
  ])
  await page.getByText('1 agreed, 2 needed, 3 may vote').waitFor()
  await button(/^Agree/).click()
  await page.getByText('Your vote is counted. It passed.').waitFor()
  await page.getByText('2 agreed, 2 needed, 3 may vote').waitFor()
  await visit('product/1')
  expect(await page.locator('.price strong').textContent()).toBe('0.02 GXC')
  expect(await field('Version').inputValue()).toBe('3')

  await visit('votes/open')
  await rows
    .nth(1)
    .getByRole('button', { name: /^Disagree/ })
    .click()
  await page.getByText('Your vote is counted.').waitFor()
  expect(await rows.count()).toBe(2)
  await visit('votes/passed')
  expect(await rows.first().textContent()).toContain('Change of the product')
})

test('merchants are invited, and others apply', async () => {
  await signIn()
  await visit('product/2')
  await field('Merchant numbers').fill('someone')
  await button('Invite merchants').click()
  await page.getByText('Write merchant numbers separated by commas.').waitFor()
  await field('Merchant numbers').fill('16')
  await button('Invite merchants').click()
  await page.getByText('The invitation is being voted on.').waitFor()
  await page.getByRole('link', { name: 'Open the vote' }).click()
  await page.getByText('Meridian Logistics').waitFor()

  await open()
  await signIn(3)
  await visit('product/2')
  await button('Apply to sell').click()
  await page.getByText('Your application is being voted on.').waitFor()
  await visit('votes/open')
  await visit('product/2')
  await button('Apply to sell').click()
  await page.getByText('That is taken or under way already.').waitFor()
  expect(complaints.splice(0)).toEqual([expect.stringContaining('409')])
})

test('consumption is charted, listed by pages and filters, and leads to the exchange and its evidence', async () => {
  await signIn()
  await visit('usage')
  const chart = page.locator('.chart').first()
  const total = await chart.locator('strong').textContent()
  expect(total).toMatch(/^\d\.\d+ GXC$/)
  expect(await chart.locator('rect').count()).toBeGreaterThan(20)
  await chart.locator('svg').hover({ position: { x: 120, y: 100 } })
  expect(await chart.locator('strong').textContent()).not.toBe(total)
  await button('7 days').click()
  expect(await chart.locator('rect').count()).toBeLessThan(8)

  const rows = page.getByRole('table', { name: 'Log' }).locator('tbody tr')
  const first = await rows.first().textContent()
  expect(await rows.count()).toBe(20)
  await button('Next').click()
  await page.getByText('Page 2').waitFor()
  await settled()
  expect(await rows.first().textContent()).not.toBe(first)
  await button('Previous').click()
  await settled()
  expect(await rows.first().textContent()).toBe(first)
  await field('Product').selectOption({ label: 'Open loans 借贷查询' })
  await button('Filter').click()
  await settled()
  expect(new Set(await rows.locator('td:nth-child(2)').allTextContents())).toEqual(new Set(['Open loans 借贷查询']))

  await rows.first().getByRole('link').last().click()
  await settled()
  expect(await title().textContent()).toBe('Exchanges')
  expect(await page.getByRole('table').locator('tbody tr').count()).toBe(1)
  await page.getByRole('link', { name: 'Check the evidence' }).click()
  await settled()
  expect(await title().textContent()).toBe('Evidence check')
  expect(await page.locator('.evidence').count()).toBe(1)
})

test('days and times are those of UTC+8, wherever the browser is', async () => {
  await open({ timezoneId: 'America/Los_Angeles' })
  await signIn()
  const { account, wif } = market.people[0]!
  const client = createMarketClient({ baseUrl: market.url, signIn: { account, key: wif } })
  const [row] = await collect(client.log(), 1)
  const [today] = await client.recentDays()
  const there = (time: number): string => new Date(time + 8 * 3_600_000).toISOString()
  await visit('usage')
  expect(await page.getByRole('table', { name: 'Log' }).locator('tbody td').first().textContent()).toMatch(
    new RegExp(`^${Number(there(row!.gmtCreated).slice(8, 10))} .*${there(row!.gmtCreated).slice(11, 19)}$`),
  )
  await page.getByText('Show as a table').click()
  const day = await page.getByRole('table', { name: 'Consumption' }).locator('tbody td').first().textContent()
  expect(day).toMatch(new RegExp(`^${Number(there(Number(today!.date)).slice(8, 10))} `))
  await visit('bill')
  expect(await field('Month').inputValue()).toBe(`${there(Date.now()).slice(0, 7)}-01`)
})

test('a monthly bill is shown, adds up, and is downloaded as a table', async () => {
  await signIn()
  await visit('bill')
  const rows = page.getByRole('table').locator('tbody tr')
  // The first day of a month has none yet.
  if ((await rows.count()) === 0) {
    await field('Month').selectOption({ index: 1 })
    await settled()
  }
  const shown = await rows.evaluateAll((all) => all.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent)))
  const [download] = await Promise.all([page.waitForEvent('download'), button('Download as CSV').click()])
  expect(download.suggestedFilename()).toMatch(/^bill-\d{4}-\d\d\.csv$/)
  const text = await readFile(await download.path(), 'utf8')
  expect(text.startsWith('\uFEFF')).toBe(true)
  const [header, ...lines] = text
    .slice(1)
    .trimEnd()
    .split('\r\n')
    .map((line) => line.split(',').map((cell) => cell.replace(/^"|"$/g, '')))
  expect(header).toEqual(['productId', 'productName', 'transferCount', 'unitPrice', 'consumeAmount', 'assetId'])
  expect(lines.map(([, name, count, price, amount]) => [name, count, `${price} GXC`, `${amount} GXC`])).toEqual(shown)
  const sum = lines.reduce((total, [, , , , amount]) => total + Math.round(Number(amount) * 1e5), 0) / 1e5
  expect(await page.getByRole('table').locator('tfoot td').last().textContent()).toBe(`${sum} GXC`)
})

test('evidence is proven in the browser, and is red when one digit of it was changed', async () => {
  const verdict = () => page.locator('.verdict').allTextContents()
  await visit(`evidence?request=${market.requestId}`)
  // The exchange gathers it every ten seconds.
  await expect
    .poll(
      async () => {
        await button('Check again').click()
        await settled()
        return verdict()
      },
      { timeout: 30_000, interval: 1_000 },
    )
    .toEqual(['Proven'])
  await page.getByText('1 of 1 answers proven').waitFor()

  for (const name of ['cid', 'txid', 'digest', 'root', 'index', 'proof']) {
    await page.route('**/evidence', async (route) => {
      const answer = await route.fetch()
      const told = await answer.text()
      const forged =
        name === 'index'
          ? told.replace(/"index":(\d+)/, (_, index) => `"index":${Number(index) + 1}`)
          : // The last character but one: a CID's would still be one.
            told.replace(
              new RegExp(`("${name}":"\\w+)(\\w)(\\w")`),
              (_, before: string, digit: string, after: string) => before + (digit === '1' ? '2' : '1') + after,
            )
      expect(forged).not.toBe(told)
      await route.fulfill({ response: answer, body: forged })
    })
    await button('Check again').click()
    await expect.poll(verdict, { message: name }).toEqual(['Does not hold'])
    await page.unroute('**/evidence')
    await button('Check again').click()
    await expect.poll(verdict, { message: `${name} again` }).toEqual(['Proven'])
  }

  // One answer by the content address that its transfer carries, in either form; and the request as bills show it.
  const cid = (await page.locator('.proof .hash').allTextContents()).find((text) => text.startsWith('Qm'))!
  for (const name of [cid, CID.parse(cid).toV1().toString(), requestCid(market.requestId)]) {
    await field('Request number').fill(name)
    await button('Check').click()
    await expect.poll(() => page.evaluate(() => location.hash)).toContain(name)
    await settled()
    expect([name, await verdict()]).toEqual([name, ['Proven']])
    expect(await page.locator('.proof .hash').allTextContents()).toContain(cid)
  }

  await field('Request number').fill('Qm')
  await button('Check').click()
  await page.getByText('That is no request number.').waitFor()
})

test('notices are counted, and read', async () => {
  await signIn()
  const count = page.locator('.count')
  const before = Number(await count.textContent())
  expect(before).toBeGreaterThan(5)
  await visit('notices')
  await page.getByRole('link', { name: 'Open the vote' }).first().click()
  await expect.poll(() => count.textContent()).toBe(String(before - 1))
  await visit('notices')
  await button('Mark all as read').click()
  await expect.poll(() => count.count()).toBe(0)
  await button('Unread').click()
  await page.getByText('You have read everything.').waitFor()
})

test('an account is bound to a merchant by its key', async () => {
  const { account, wif } = market.people[3]!
  await visit('bind')
  await field('Account').fill(account)
  await field('Merchant number').fill('14')
  await field('Private key').fill(wif)
  await button('Bind').click()
  await page.getByText('That is taken or under way already.').waitFor()
  expect(complaints.splice(0)).toEqual([expect.stringContaining('409')])
  await field('Merchant number').fill('17')
  await page.getByLabel('Service address').fill('https://orchard.example/data')
  await button('Bind').click()
  await page.getByText('The account is bound.').waitFor()
  await signIn(3)
  await page.getByText('https://orchard.example/data').waitFor()
})

test('what fails is said in plain words, with a way to try again', async () => {
  await settled()
  await page.route('**/market/product/list/**', (route) => route.abort())
  await page.getByRole('link', { name: 'Free market' }).click()
  await page.getByText('The exchange can’t be reached right now.').waitFor({ timeout: 20_000 })
  expect(await page.locator('.skeleton').count()).toBe(0)
  await page.unroute('**/market/product/list/**')
  complaints = []
  await button('Try again').click()
  await page.getByRole('link', { name: 'Phone holder' }).waitFor()
})

test('the language is switched, kept, and Chinese where the browser is', async () => {
  await signIn()
  await visit('bill')
  await button('中文').click()
  expect(await title().textContent()).toBe('月度账单')
  expect(await page.evaluate(() => document.documentElement.lang)).toBe('zh-CN')
  expect(await page.getByLabel('月份').locator('option').first().textContent()).toMatch(/^\d{4}年\d{1,2}月$/)
  await page.reload()
  await page.getByRole('link', { name: '登录' }).waitFor()
  await open({ locale: 'zh-CN' })
  await settled()
  expect(await title().textContent()).toBe('产品')
})

test('a keyboard is enough to sign in and to skip what is on top', async () => {
  await settled()
  await page.keyboard.press('Tab')
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to content')
  await page.keyboard.press('Enter')
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('content')
  await page.getByRole('link', { name: 'Sign in' }).focus()
  await page.keyboard.press('Enter')
  // A page that one comes to has the focus on its heading.
  await expect.poll(() => page.evaluate(() => document.activeElement?.tagName)).toBe('H1')
  await page.keyboard.press('Tab')
  await page.keyboard.type(market.people[0]!.account)
  await page.keyboard.press('Tab')
  await page.keyboard.type(market.people[0]!.wif)
  await page.keyboard.press('Enter')
  await expect.poll(() => title().textContent(), { timeout: 15_000 }).toBe('Account')
})

test.each([
  ['en-GB', 'light', 360],
  ['zh-CN', 'dark', 360],
  ['en-GB', 'dark', 1280],
  ['zh-CN', 'light', 1280],
] as const)(
  'every page in %s, %s, %i wide: no sideways scrolling, names, headings, contrast',
  async (locale, colorScheme, width) => {
    await open({ locale, colorScheme, viewport: { width, height: 740 }, reducedMotion: 'reduce' })
    const flaws: Record<string, unknown[]> = {}
    const look = async (place: string): Promise<void> => {
      await visit(place)
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
      const found = [
        ...(wide > 0 ? [`${wide} pixels too wide`] : []),
        ...(await page.evaluate(namelessControls)),
        ...(await page.evaluate(headingFlaws)),
        ...(await page.evaluate(contrastFlaws)),
      ]
      if (found.length > 0) flaws[place] = found
    }
    await look('sign-in')
    const { account, wif } = market.people[1]!
    await page.locator('form input').nth(0).fill(account)
    await page.locator('form input').nth(1).fill(wif)
    await page.locator('form button').click()
    await expect.poll(() => page.evaluate(() => location.hash), { timeout: 15_000 }).toBe('#/account')
    for (const place of places()) await look(place)
    // An open form with flaws, and an open menu, have looks of their own.
    await visit('publish')
    await page.locator('form .actions button').click()
    await look('publish')
    if (width < 960) await page.locator('.menu').click()
    await look('publish')
    expect(flaws).toEqual({})
  },
  120_000,
)

test('nothing moves when what was loading has come', async () => {
  await signIn()
  for (const place of ['products', 'product/1', 'usage', 'bill', 'account']) {
    await visit(place)
    // All shifts since the portal was opened, of this visit and those before.
    const shift = await page.evaluate(
      () =>
        new Promise<number>((resolve) => {
          let sum = 0
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries() as (PerformanceEntry & { value: number })[]) sum += entry.value
          }).observe({ type: 'layout-shift', buffered: true })
          setTimeout(() => resolve(sum), 200)
        }),
    )
    // What is good for one page (web.dev/cls) is enough for five.
    expect(shift, place).toBeLessThan(0.1)
  }
})
