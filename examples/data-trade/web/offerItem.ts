import { isSluiceError, type Hex } from 'sluice-sdk'
import type { Buyer, Purchase, StoredPurchase } from 'sluice-sdk/buyer'
import { payFor, type Item } from 'sluice-sdk/protocol'
import { count, eth, roughEth } from '../../lib/format.ts'
import type { Card } from './card.ts'
import { plainWords } from './plainWords.ts'
import type { Shelf } from './shelf.ts'

/** What an item on the page needs to be bought. */
export interface OfferOptions {
  readonly buyer: Buyer
  readonly seller: string
  readonly item: Item
  readonly shelf: Shelf
  readonly card: Card
  /** Orders of this item from earlier visits. */
  readonly orders: readonly StoredPurchase[]
}

/** Errors after which the same order can go on. */
const PASSING = ['CONNECTION_FAILED', 'CONNECTION_LOST', 'TIMEOUT', 'TRANSACTION_UNKNOWN'] as const

/** Brings a card to life: with the file if it was bought before, an order that was begun, or a sample. */
export async function offerItem({ buyer, seller, item, shelf, card, orders }: OfferOptions): Promise<void> {
  const begun = orders.find(({ state }) => state === 'open') ?? orders.find(({ state }) => state === 'opening')
  const done = orders.find(({ state }) => state === 'done' || state === 'settled')

  const buy = (): void => {
    card.status('Confirm the deposit in your wallet.')
    void receive((signal) => buyer.buy({ seller, item: item.id, signal }))
  }
  const resume = (id: Hex): void => {
    card.status('Looking for the seller.')
    void receive((signal) => buyer.resume(id, { partial: shelf.read(id), signal }))
  }

  card.onBuy = buy
  if (begun) {
    const { id, order } = begun.record
    const bytes = (await shelf.file(id)).size
    card.state = 'interrupted'
    card.progress({ bytes, total: order.totalData, paid: payFor(order, bytes) })
    card.status('You began to buy this. What you have is not paid twice.')
    card.onBuy = () => resume(id)
    card.onTakeBack = () => void takeBack(id)
  } else if (done) {
    await finish(done.record.id, 'You have bought this.')
  } else if (item.sample) {
    card.sample(new TextDecoder().decode(await buyer.sample({ seller, item: item.id })))
  }

  async function finish(id: Hex, status: string): Promise<void> {
    card.download(await shelf.file(id))
    card.status(status)
    card.state = 'done'
  }

  /** Ends an order on chain: the way out when the seller does not come back. */
  async function takeBack(id: Hex): Promise<void> {
    card.state = 'closing'
    card.problem()
    card.status('Confirm in your wallet. Then the seller has a while to show what it is owed; you can close this page and come back.')
    try {
      const { refunded } = await buyer.reclaim(id)
      await finish(id, `This order is over. ${roughEth(refunded)} ETH came back.`)
    } catch (error) {
      card.problem(plainWords(error))
      card.status('')
      card.state = 'interrupted'
    }
  }

  /** Runs a purchase and shows how it goes. */
  async function receive(begin: (signal: AbortSignal) => Purchase): Promise<void> {
    const stop = new AbortController()
    const purchase = begin(stop.signal)
    let paid = 0n
    card.state = 'buying'
    card.problem()
    card.onStop = () => stop.abort()
    purchase.events.on('order', () => card.status('Each chunk is proven, then paid.'))
    purchase.events.on('reconnect', () => card.status('The link was lost. Looking for the seller.'))
    purchase.events.on('resume', () => card.status('The link is back.'))
    purchase.events.on('progress', (progress) => {
      paid = progress.paid
      card.progress(progress)
    })
    try {
      let at: number | undefined
      for await (const chunk of purchase) {
        at ??= await purchase.offset
        await shelf.put(await purchase.orderId, at, chunk)
        at += chunk.length
      }
      const receipt = await purchase.receipt
      await finish(receipt.orderId, `All ${count(item.size)} bytes are here and proven. You paid ${eth(receipt.paid)} ETH.`)
    } catch (error) {
      const id = await purchase.orderId.catch(() => undefined)
      if (id && isSluiceError(error, 'ABORTED')) {
        await finish(id, `You stopped. ${roughEth(paid)} ETH for what is here went to the seller, the rest comes back.`)
        return
      }
      const passing = id !== undefined && PASSING.some((code) => isSluiceError(error, code))
      card.problem(plainWords(error))
      card.status('')
      card.state = passing ? 'interrupted' : 'offer'
      card.onBuy = passing ? () => resume(id) : buy
      if (passing) card.onTakeBack = () => void takeBack(id)
    }
  }
}
