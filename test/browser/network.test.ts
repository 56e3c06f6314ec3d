import { parseEther } from 'ethers'
import type { Browser, Page } from 'playwright-core'
import type { Hex } from 'sluice-sdk'
import { memoryStore, type StoreChange } from 'sluice-sdk/store'
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest'
import { servePage, type LivePage } from '../../examples/lib/servePage.ts'
import { createFeed } from '../../examples/payment-network/feed.ts'
import { openTown, type Neighbour, type Town } from '../../examples/payment-network/town.ts'
import { launchChromium } from '../../src/testing/chromium.ts'

const NAMES = ['Ann', 'Ben', 'Cleo', 'Dan', 'Eve']

const feed = createFeed()
let town: Town
let neighbours: Neighbour[]
let channels: Hex[]
let served: LivePage
let browser: Browser
let page: Page

/** What becomes true by itself. */
const soon = <T>(look: () => T) => expect.poll(look, { timeout: 20_000 })

beforeAll(async () => {
  served = await servePage(new URL('../../examples/payment-network/web/', import.meta.url), () => ({
    network: feed.network(),
    payments: feed.payments(),
  }))
  feed.listen({ network: (view) => served.send('network', view), payment: (view) => served.send('payment', view) })
  town = await openTown(feed.follow)
  neighbours = NAMES.map((name) => town.neighbour(name))
  for (const neighbour of neighbours) await town.start(neighbour)
  channels = []
  for (const [i, { node }] of neighbours.entries()) {
    const next = neighbours[(i + 1) % 5]!
    const { id } = await node!.open({ partner: next.wallet.address, deposit: parseEther('1') })
    await next.node!.deposit(id, parseEther('1'))
    channels.push(id)
  }
  browser = await launchChromium()
}, 120_000)
afterAll(async () => {
  await browser.close()
  await town.end()
  feed.stop()
  await served.close()
})
afterEach(() => page.context().close())

async function visit(options: Parameters<Browser['newContext']>[0] = {}): Promise<Page> {
  page = await (await browser.newContext(options)).newPage()
  await page.goto(served.url)
  await page.getByText('Live').waitFor()
  return page
}

/** The table, cell by cell. */
async function rows(): Promise<string[][]> {
  const lines = await page.locator('#channels tbody tr').all()
  return Promise.all(lines.map((line) => line.locator('th, td').allTextContents()))
}

/** The row of two nodes. */
const rowOf = async (pair: string): Promise<string[] | undefined> => (await rows()).find(([between]) => between === pair)

/** What the drawing has beside the ends of a channel. */
const figures = (id: Hex): Promise<string[]> => page.locator(`[data-channel="${id}"] .figure`).allTextContents()

const pay = async (from: number, to: number, amount: string): Promise<unknown> => {
  const wei = parseEther(amount)
  return neighbours[from]!.node!.pay({ to: neighbours[to]!.wallet.address, amount: wei, maxFee: wei / 10n })
}

test('five nodes and five channels are there, drawn and in a table, with the same figures', async () => {
  await visit({ viewport: { width: 1200, height: 900 } })
  await soon(() => page.locator('.node .name').allTextContents()).toEqual(NAMES)
  await soon(() => page.locator('.node text:not(.name)').allTextContents()).toEqual(NAMES.map(() => '2.000'))
  expect((await rows()).sort()).toEqual(
    ['Ann – Ben', 'Ann – Eve', 'Ben – Cleo', 'Cleo – Dan', 'Dan – Eve'].map((pair) => [pair, 'open', '1.0000', '1.0000', '–']),
  )
  for (const id of channels) expect(await figures(id)).toEqual(['1.000', '1.000'])
  expect(await page.getByRole('img').getAttribute('aria-label')).toMatch(/^Nodes: Ann, Ben, Cleo, Dan, Eve\. 5 open channels, 0 closed/)
})

test('a payment moves along its hops and changes the figures as it happens', async () => {
  await visit({ viewport: { width: 1200, height: 900 } })
  await pay(0, 1, '0.25')
  await page.locator('.payment').waitFor()
  await soon(() => rowOf('Ann – Ben')).toEqual(['Ann – Ben', 'open', '0.7500', '1.2500', '–'])
  expect(await figures(channels[0]!)).toEqual(['0.750', '1.250'])
  expect(await page.locator('#log li').first().innerText()).toMatch(/^Ann → Ben\s+0\.250\s+direct · \d+ ms$/)
  await soon(() => page.locator('.payment').count()).toBe(0)

  // Everybody has to have heard of the channels first.
  await soon(() => pay(0, 2, '0.1').then(() => true, () => false)).toBe(true)
  await soon(() => rowOf('Ann – Ben')).toEqual(['Ann – Ben', 'open', '0.6499', '1.3501', '–'])
  await soon(() => rowOf('Ben – Cleo')).toEqual(['Ben – Cleo', 'open', '0.9000', '1.1000', '–'])
  await soon(() => page.locator('#log li').first().innerText()).toMatch(/^Ann → Cleo\s+0\.100\s+via Ben · \d+ ms$/)
  expect(await page.locator('#done').textContent()).toBe('2')
})

test('a page that comes later is told what was before; on a phone nothing is cut off', async () => {
  await visit({ viewport: { width: 380, height: 800 }, reducedMotion: 'reduce' })
  await soon(() => page.locator('#log li').count()).toBeGreaterThanOrEqual(2)
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(380)
  const boxes = await Promise.all((await page.locator('#graph text').all()).map((text) => text.boundingBox()))
  expect(boxes.every((box) => box === null || (box.x >= 0 && box.x + box.width <= 380))).toBe(true)

  await pay(2, 3, '0.01')
  await page.locator(`[data-channel="${channels[2]!}"].used`).waitFor()
  expect(await page.locator('.payment').count()).toBe(0)
})

test('a node that is off is marked, and what is locked is shown while a payment is stuck', async () => {
  await visit()
  const cleo = neighbours[2]!
  await town.stop(cleo)
  await page.locator('.node.off', { hasText: 'Cleo' }).waitFor()

  // A node says nothing before it is in the store: while Cleo's doesn't write, she neither takes nor refuses a payment.
  const ice: { frozen?: Promise<void>; thaw(): void } = { thaw: () => {} }
  onTestFinished(() => ice.thaw())
  const inner = memoryStore(cleo.entries)
  const store = { ...inner, write: async (changes: readonly StoreChange[]) => (await ice.frozen, inner.write(changes)) }
  await town.start(cleo, { store })
  await soon(() => page.locator('.node.off').count()).toBe(0)
  await soon(() => neighbours[1]!.node!.channel(channels[1]!).online).toBe(true)
  const done = async (): Promise<number> => Number(await page.locator('#done').textContent())
  const before = await done()
  await soon(() => pay(0, 2, '0.01').then(() => true, () => false)).toBe(true)
  // One that was given up while Cleo came back may have arrived all the same.
  await soon(async () => (await done()) > before).toBe(true)

  ice.frozen = new Promise((resolve) => (ice.thaw = resolve))
  const paid = pay(0, 2, '0.05')
  // By Ben, or by Eve and Dan: whom Ann has heard is there again.
  const last = async (): Promise<string[] | undefined> =>
    (await rows()).find(([pair, , , , locked]) => pair!.includes('Cleo') && locked === '0.0500')
  await soon(last).toBeDefined()
  const byBen = (await last())![0] === 'Ben – Cleo'
  expect((await rowOf(byBen ? 'Ann – Ben' : 'Ann – Eve'))?.[4]).toMatch(/^0\.050[01]$/) // with the fees
  expect(await page.locator('.holding').count()).toBe(byBen ? 2 : 3)
  // What is promised lies between what the two can send: 0.05 of 2 ETH, next to Ben's part or to Dan's.
  const bar = page.locator(`[data-channel="${channels[byBen ? 1 : 2]!}"] rect:not(.hatched)`)
  const widths = await bar.evaluateAll((all) => all.map((each) => parseFloat((each as SVGElement).style.width)))
  expect(widths[byBen ? 1 : 2]! / widths.reduce((sum, width) => sum + width)).toBeCloseTo(0.025, 3)
  expect(widths[byBen ? 2 : 1]).toBe(0)

  ice.thaw()
  await paid
  await soon(() => page.locator('.holding').count()).toBe(0)
  await soon(async () => (await rows()).map(([, , , , locked]) => locked)).toEqual(NAMES.map(() => '–'))
})

test('a channel that was closed is marked', async () => {
  await visit()
  await neighbours[4]!.node!.close(channels[4]!, { how: 'together' })
  await soon(() => rowOf('Ann – Eve')).toEqual(['Ann – Eve', 'settled', '–', '–', '–'])
  expect(await page.locator(`[data-channel="${channels[4]!}"]`).getAttribute('data-phase')).toBe('settled')
  expect(await page.locator(`[data-channel="${channels[4]!}"] .state`).textContent()).toBe('settled')

  await neighbours[0]!.node!.close(channels[0]!, { how: 'alone' })
  await soon(async () => (await rowOf('Ann – Ben'))?.[1]).toBe('closed')
  expect(await page.getByRole('img').getAttribute('aria-label')).toMatch(/3 open channels, 1 closed, 1 settled/)
})
