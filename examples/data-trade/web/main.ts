/**
 * A page that buys data with the wallet of the browser.
 *
 * Its address says from whom, and by which contract: `?seller=ws://…&contract=0x…`.
 * @module
 */
import { BrowserProvider } from 'ethers'
import { createBuyer, type StoredPurchase } from 'sluice-sdk/buyer'
import { short } from '../../lib/format.ts'
import { createCard } from './card.ts'
import { offerItem } from './offerItem.ts'
import { plainWords } from './plainWords.ts'
import { openShelf } from './shelf.ts'
import { findWallet } from './wallet.ts'

const query = new URLSearchParams(location.search)
const seller = query.get('seller') ?? 'ws://127.0.0.1:9000/'
const wallet = findWallet(query.get('rpc'))

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T

/** Opens the shop for the account of the wallet. */
async function open(): Promise<void> {
  if (!wallet) throw new Error('this browser has no wallet. Install one, such as MetaMask, and reload this page')
  const provider = new BrowserProvider(wallet)
  const signer = await provider.getSigner()
  const account = await signer.getAddress()
  const genesis = await provider.getBlock(0)
  const buyer = await createBuyer({
    signer,
    dataTrade: query.get('contract') ?? undefined,
    // Orders survive a reload. One store for each chain and account; development chains have one id and many lives.
    store: `trade-${genesis?.hash?.slice(2, 10)}-${account.toLowerCase()}`,
    reconnects: 4,
  })
  element('account').textContent = short(account)
  element('account').hidden = false
  element('welcome').hidden = true

  const shelf = await openShelf()
  const orders: StoredPurchase[] = []
  for await (const order of buyer.orders()) orders.push(order)
  const begun = orders.filter(({ state }) => state === 'open' || state === 'opening').map(({ record }) => record.item)
  const items = await buyer.menu(seller).then(
    (menu) => menu.items,
    (error: unknown) => {
      // Without its seller an order can still be ended.
      if (begun.length === 0) throw error
      say(error)
      return begun
    },
  )
  const cards = items.map((item) => {
    const card = createCard(item)
    const earlier = orders.filter(({ record }) => record.item.root === item.root)
    offerItem({ buyer, seller, item, shelf, card, orders: earlier }).catch((error: unknown) => card.problem(plainWords(error)))
    return card.element
  })
  element('items').replaceChildren(...cards)
  element('seller').textContent = seller
  element('menu').hidden = false

  for (const change of ['accountsChanged', 'chainChanged']) wallet.on?.(change, () => location.reload())
}

function say(problem: unknown): void {
  element('notice').textContent = plainWords(problem)
  element('notice').hidden = false
}

/** Opens the shop, or says why it stays closed. */
async function tryOpen(): Promise<void> {
  const button = element<HTMLButtonElement>('connect')
  button.disabled = true
  element('notice').hidden = true
  try {
    await open()
  } catch (error) {
    say(error)
  } finally {
    button.disabled = false
  }
}

element('connect').onclick = () => void tryOpen()
// Who has connected before is not asked again.
const known = (await wallet?.request({ method: 'eth_accounts' })) as readonly string[] | undefined
if (known && known.length > 0) await tryOpen()
