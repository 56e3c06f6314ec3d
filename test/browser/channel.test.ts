import { parseEther, Wallet } from 'ethers'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { staticDiscovery, type PeerTransport } from 'sluice-sdk/channel'
import { listenWebSocketPeer } from 'sluice-sdk/channel/listen'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { servePage, type LivePage } from '../../examples/lib/servePage.ts'
import { launchChromium } from '../../src/testing/chromium.ts'
import { accountOf, eventually, startTown, type Resident, type Town } from '../channel/support/town.ts'
import type { channelPage, NodeSettings } from './lib/channelPage/main.ts'
import { giveWallet } from './lib/giveWallet.ts'

let town: Town
let listening: PeerTransport[]
let bob: Resident
let carol: Resident
let served: LivePage
let browser: Browser
let context: BrowserContext
let settings: NodeSettings

/** What becomes true by itself. */
const soon = <T>(look: () => T) => expect.poll(look, { timeout: 20_000 })

beforeAll(async () => {
  town = await startTown()
  listening = [await listenWebSocketPeer(), await listenWebSocketPeer()]
  bob = await town.resident('bob', {
    transport: listening[0]!,
    fees: { flat: 1n, proportional: 0, imbalance: [] },
  })
  carol = await town.resident('carol', {
    transport: listening[1]!,
    discovery: staticDiscovery({ [accountOf(bob)]: listening[0]!.endpoint! }),
  })
  await town.channel(carol, bob, 10_000n, 10_000n)
  served = await servePage(new URL('lib/channelPage/', import.meta.url), () => ({}))
  browser = await launchChromium()
  settings = { tokenNetwork: town.tokenNetwork, peers: { [accountOf(bob)]: listening[0]!.endpoint! }, store: 'node' }
}, 120_000)
afterAll(async () => {
  await browser.close()
  await served.close()
  await town.stop()
  for (const transport of listening) await transport.close()
})
afterEach(() => context.close())

/** What a page can be asked for. */
type Calls = typeof channelPage

/** Opens the page. */
async function visit(): Promise<Page> {
  const page = await context.newPage()
  await page.goto(served.url)
  await ready(page)
  return page
}

const ready = (page: Page): Promise<unknown> => page.waitForFunction(() => 'channelPage' in window)

/** Calls the node of a page. */
function call<K extends keyof Calls>(page: Page, what: K, ...args: Parameters<Calls[K]>): Promise<Awaited<ReturnType<Calls[K]>>> {
  return page.evaluate(
    ([name, given]) => {
      const { channelPage: calls } = window as unknown as { channelPage: Record<string, (...all: unknown[]) => unknown> }
      return calls[name]!(...given)
    },
    [what, args] as const,
  ) as Promise<Awaited<ReturnType<Calls[K]>>>
}

/** An account with some ETH. */
async function fundedWallet(): Promise<Wallet> {
  const wallet = new Wallet(Wallet.createRandom().privateKey, town.devnet.provider)
  await (await town.devnet.accounts[5]!.sendTransaction({ to: wallet.address, value: parseEther('1') })).wait()
  return wallet
}

/** Pays until a path is known. */
async function payOver(pay: () => Promise<unknown>): Promise<void> {
  await eventually('a path', () => pay().then(() => true, () => false))
}

test('a page opens a channel, pays and is paid, over a mediator too, and goes on after a reload', async () => {
  const wallet = await fundedWallet()
  context = await browser.newContext()
  const prompts = await giveWallet(context, wallet)
  const page = await visit()
  expect(await call(page, 'start', settings)).toBeUndefined()
  expect(await call(page, 'account')).toBe(wallet.address.toLowerCase())
  expect(prompts).toEqual(['eth_requestAccounts', 'eth_signTypedData_v4'])

  const id = await call(page, 'open', bob.wallet.address, '1000')
  expect(prompts.splice(0)).toEqual(['eth_requestAccounts', 'eth_signTypedData_v4', 'eth_sendTransaction'])
  expect(await call(page, 'channels')).toEqual([{ id, phase: 'open', capacity: '1000', partnerCapacity: '0', online: true }])

  // Directly, and back over the same link: nobody can dial a page.
  expect(await call(page, 'pay', bob.wallet.address, '300')).toBe('done')
  expect(bob.node.channel(id)).toMatchObject({ capacity: 300n, partnerCapacity: 700n })
  await bob.node.pay({ to: wallet.address, amount: 100n })
  await soon(() => call(page, 'received')).toBe('100')

  // Over Bob, who takes a fee of 1, and back.
  const arrived = new Promise((resolve) => carol.node.events.once('received', resolve))
  await payOver(() => call(page, 'pay', carol.wallet.address, '50'))
  expect(await arrived).toMatchObject({ amount: 50n, from: wallet.address.toLowerCase() })
  await soon(async () => (await call(page, 'channels'))[0]).toMatchObject({ capacity: '749', partnerCapacity: '251' })
  await payOver(() => carol.node.pay({ to: wallet.address, amount: 20n, maxFee: 1n }))
  await soon(() => call(page, 'received')).toBe('120')
  await soon(async () => (await call(page, 'channels'))[0]).toMatchObject({ capacity: '769', partnerCapacity: '231' })
  const before = await call(page, 'kept')
  expect(before.delegations).toHaveLength(1)

  await page.reload()
  await ready(page)
  expect(await call(page, 'start', settings)).toBeUndefined()
  await soon(() => call(page, 'channels')).toEqual([
    { id, phase: 'open', capacity: '769', partnerCapacity: '231', online: true },
  ])
  expect(await call(page, 'pay', bob.wallet.address, '69')).toBe('done')
  await bob.node.pay({ to: wallet.address, amount: 10n })
  await soon(() => call(page, 'received')).toBe('10')
  await payOver(() => call(page, 'pay', carol.wallet.address, '9'))
  await soon(async () => (await call(page, 'channels'))[0]).toMatchObject({ capacity: '700', partnerCapacity: '300' })

  // The same session key, which goes on counting; nothing had to be recovered, and the wallet was asked nothing.
  const after = await call(page, 'kept')
  expect(after.delegations).toEqual(before.delegations)
  expect(after.nonces).toHaveLength(1)
  expect(after.nonces[0]).toBeGreaterThan(before.nonces[0]!)
  expect(await call(page, 'recovered')).toBe(0)
  expect(prompts).toEqual([])

  expect(await call(page, 'close', id)).toBe('settled')
  expect(prompts).toEqual(['eth_sendTransaction'])
})

test('a second tab does not get the store, until the first is closed', async () => {
  context = await browser.newContext()
  const prompts = await giveWallet(context, await fundedWallet())
  const first = await visit()
  expect(await call(first, 'start', settings)).toBeUndefined()
  const second = await visit()
  expect(await call(second, 'start', settings)).toBe('STORE_LOCKED')

  const id = await call(first, 'open', bob.wallet.address, '10')
  expect(await call(first, 'pay', bob.wallet.address, '4')).toBe('done')
  await first.close()
  await soon(() => call(second, 'start', settings)).toBeUndefined()
  await soon(() => call(second, 'channels')).toMatchObject([{ id, capacity: '6', online: true }])
  expect(prompts.filter((method) => method === 'eth_signTypedData_v4')).toHaveLength(1)
})

test('a page that holds its key signs by itself', async () => {
  const wallet = await fundedWallet()
  context = await browser.newContext()
  const page = await visit()
  const own = { rpc: town.devnet.url, privateKey: wallet.privateKey }
  expect(await call(page, 'start', { ...settings, own })).toBeUndefined()
  const id = await call(page, 'open', bob.wallet.address, '1000')
  expect(await call(page, 'pay', bob.wallet.address, '1')).toBe('done')
  expect(bob.node.channel(id)).toMatchObject({ capacity: 1n, partnerCapacity: 999n })
  expect(await call(page, 'kept')).toMatchObject({ delegations: [] })
  await call(page, 'stop')
  // It has given the store up, and takes it again.
  expect(await call(page, 'start', { ...settings, own })).toBeUndefined()
  expect(await call(page, 'channels')).toMatchObject([{ id, capacity: '999' }])
})
