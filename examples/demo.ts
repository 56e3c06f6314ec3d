/**
 * All of the data trade in one run, on a real EVM node of its own: a file is sold chunk by chunk and paid as it flows;
 * then once more with the link cut halfway; then by a seller that cheats. It ends with what the chain says about it.
 *
 *     npm run demo            sells a weather table of NOAA
 *     npm run demo -- FILE    sells your file
 * @module
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { id as keccakOf, ZeroAddress, type HDNodeWallet } from 'ethers'
import { isSluiceError, type Hex } from 'sluice-sdk'
import { createBuyer, type Buyer, type Purchase, type Receipt, type StoredPurchase } from 'sluice-sdk/buyer'
import { dataTradeContract, dataTradeDomain } from 'sluice-sdk/contracts'
import { contractRegistry, publishingRegistry } from 'sluice-sdk/registry'
import { createSeller, type Seller, type SellerEvents } from 'sluice-sdk/seller'
import { startDevnet, type Devnet } from 'sluice-sdk/testing'
import { startCheat } from './lib/cheat.ts'
import { count, duration, eth, short, size } from './lib/format.ts'
import { readLedger, type LedgerOrder } from './lib/ledger.ts'
import { merkleRoot } from './lib/merkleRoot.ts'
import { startProxy } from './lib/proxy.ts'
import { openTerminal } from './lib/terminal.ts'
import { weather } from './lib/weather.ts'

/** What the whole file costs, in wei. */
const PRICE = 3n * 10n ** 15n

const { heading, line, check, fail, bar, table } = openTerminal()

/** One of the three trades, as its buyer saw it. */
interface Trade {
  readonly name: string
  readonly orderId: Hex
  /** None when the buyer refused what came. */
  readonly receipt?: Receipt
}

async function main(path: string, info: string): Promise<void> {
  const devnet = await startDevnet()
  const folder = await mkdtemp(join(tmpdir(), 'sluice-demo-'))
  try {
    await trade(devnet, folder, path, info)
  } finally {
    await devnet.stop()
    await rm(folder, { recursive: true })
  }
}

type Wallets = [seller: HDNodeWallet, buyer: HDNodeWallet, cheat: HDNodeWallet, anyone: HDNodeWallet]

async function trade(devnet: Devnet, folder: string, path: string, info: string): Promise<void> {
  const [sellerWallet, buyerWallet, cheatWallet, anyone] = devnet.accounts as Wallets
  const { dataTrade, registry } = devnet.deployment
  const original = await readFile(path)
  const granularity = chunkSize(original.length)

  // A seller: an account, something to sell, and a place for the vouchers that are its money.
  const sell = (signer: HDNodeWallet, name: string): Promise<Seller> =>
    createSeller({
      signer,
      dataTrade,
      store: join(folder, name),
      granularity,
      items: [{ id: basename(path), data: path, price: PRICE, info }],
      rate: () => ({ score: 5, comment: 'Pays as it goes' }),
    })
  const seller = await sell(sellerWallet, 'seller')
  const { url } = await seller.listen()
  await seller.publish(await publishingRegistry(sellerWallet, { address: registry }), url)

  // A buyer: an account, a way to find sellers, and a place for its orders.
  const sellers = contractRegistry(devnet.provider, { address: registry })
  const buyer = await createBuyer({
    signer: buyerWallet,
    dataTrade,
    store: join(folder, 'buyer'),
    registry: sellers,
    rate: () => ({ score: 5, comment: 'Every chunk as promised' }),
  })

  heading('Sluice: data sold by the chunk, paid as it flows, settled on chain')
  line('file', `${basename(path)}, ${count(original.length)} bytes`)
  line('', info)
  line('chain', `anvil ${devnet.chainId}, order contract ${short(dataTrade)}, registry ${short(registry)}`)
  line('seller', `${short(seller.address)} at ${url}`)
  line('buyer', short(buyer.address))

  const trades = [
    await honest(),
    await cutLink(),
    await cheated(),
  ]
  await buyer.close()
  await seller.close()
  await settleAccounts(devnet, trades)

  // ---------------------------------------------------------------------------------------------------------------

  async function honest(): Promise<Trade> {
    heading('1  An honest trade')
    const account = await findSeller()
    const { items } = await buyer.menu(account)
    const item = items[0]!
    line('found', `${short(account)} in the registry: ${item.id}, ${eth(item.price)} ETH, chunks of ${size(item.granularity)}`)

    const purchase = buyer.buy({ seller: account, item: item.id })
    const rated = next(seller, 'rated')
    const trade = await receive('honest trade', purchase)

    // Ratings count only for orders that are settled. They are signed, so anyone may hand them in.
    const { score, comment, signature } = await rated
    const { record } = await storedOrder(buyer, trade.orderId)
    const contract = dataTradeContract(dataTrade, anyone)
    await (await contract.rate(record.order, score, keccakOf(comment), signature)).wait()
    const [weighted, weight] = await contract.reputation(seller.address, ZeroAddress)
    assert.equal(weighted, weight * BigInt(score))
    line('rated', `the buyer gave ${score} of 5, “${comment}”: on chain, worth the ${eth(weight)} ETH that were paid`)
    return trade
  }

  /** The first seller in the registry. */
  async function findSeller(): Promise<string> {
    for await (const { account } of sellers.list()) return account
    throw new Error('the registry must hold the seller')
  }

  async function cutLink(): Promise<Trade> {
    heading('2  The link is cut halfway')
    const proxy = await startProxy(url)
    proxy.limit(original.length / 2, 'cut')
    const purchase = buyer.buy({ seller: proxy.url, item: basename(path) })
    let resumed = 0
    purchase.events.on('reconnect', ({ attempt }) => attempt === 1 && line('link', 'lost'))
    purchase.events.on('resume', ({ received }) => line('link', `resumed at byte ${count((resumed = received))}`))
    const trade = await receive('link cut halfway', purchase)
    await proxy.close()
    assert(resumed > 0 && resumed < original.length, 'the link must have been cut on the way')
    return trade
  }

  async function cheated(): Promise<Trade> {
    heading('3  A seller that cheats')
    // Honest behind, a cheat in front: it turns over one bit of each chunk and signs the result.
    const back = await sell(cheatWallet, 'cheat')
    const cheat = await startCheat({
      target: (await back.listen()).url,
      signer: cheatWallet,
      domain: dataTradeDomain(devnet.chainId, dataTrade),
    })
    await back.publish(await publishingRegistry(cheatWallet, { address: registry }), cheat.url)

    // With claims, the seller signs every chunk: a wrong one is evidence.
    const purchase = buyer.buy({ seller: back.address, item: basename(path), claims: true })
    const error: unknown = await writeFile(join(folder, 'false'), purchase).catch((reason: unknown) => reason)
    assert(isSluiceError(error, 'WRONG_CHUNK'), 'the false chunk must be refused')
    line('refused', error.shortMessage)
    assert.equal((await readFile(join(folder, 'false'))).length, 0)

    const orderId = await purchase.orderId
    const { refunded, paid } = await buyer.dispute(orderId)
    assert.deepEqual({ refunded, paid }, { refunded: PRICE, paid: 0n })
    line('disputed', `the seller's own signature brought back ${eth(refunded)} ETH, the whole deposit`)
    cheat.close()
    await back.close()
    return { name: 'cheating seller', orderId }
  }

  /** Saves what a purchase brings, compares it with the seller's file, and has the seller settle. */
  async function receive(name: string, purchase: Purchase): Promise<Trade> {
    const target = join(folder, name)
    const ended = next(seller, 'ended')
    purchase.events.on('order', ({ verification }) => line('deposit', `${eth(PRICE)} ETH in escrow, transaction ${short(verification)}`))
    purchase.events.on('progress', bar())

    // This is all it takes to buy: every chunk that is written has been proven, and only then it is paid.
    await writeFile(target, purchase)

    const receipt = await purchase.receipt
    const bought = await readFile(target)
    const hash = sha256(bought)
    assert.equal(hash, sha256(original), 'what was bought must be what was sold')
    const { record } = await storedOrder(buyer, receipt.orderId)
    assert.equal(merkleRoot(bought, granularity), record.order.dataRoot, 'the order must commit to what was bought')
    line('verified', `SHA-256 ${short(hash)} is the file's, Merkle root ${short(record.order.dataRoot)} the order's`)

    await ended
    await seller.settle()
    const { paid } = await devnet.contracts.dataTrade.account(receipt.orderId)
    assert.equal(paid, receipt.paid)
    line('settled', `${eth(paid)} ETH to the seller, by one voucher for ${receipt.chunks} chunks`)
    return { name, orderId: receipt.orderId, receipt }
  }
}

/** Shows what the chain says of the trades, and checks that no wei is missing. */
async function settleAccounts(devnet: Devnet, trades: readonly Trade[]): Promise<void> {
  const { provider, deployment, accounts } = devnet
  const { dataTrade, fromBlock } = deployment
  const ledger = await readLedger(provider, dataTrade, fromBlock)
  const sum = (of: (order: LedgerOrder) => bigint): bigint => ledger.orders.reduce((total, order) => total + of(order), 0n)
  const gasOf = (order: LedgerOrder, party: string): bigint =>
    order.transactions.filter(({ from }) => from === party).reduce((total, { gas }) => total + gas, 0n)

  heading('Ledger, read from the chain')
  const rows = trades.map(({ name, orderId, receipt }) => {
    const order = ledger.orders.find(({ id }) => id === orderId)
    assert(order, `order ${orderId} must be finished on chain`)
    assert.equal(order.deposit, order.paid + order.refunded)
    const rate = receipt ? (receipt.bytes / 2 ** 20 / (receipt.milliseconds / 1000)).toFixed(1) : ''
    return [
      name,
      ...[order.deposit, order.paid, order.refunded].map(eth),
      ...[receipt?.chunks ?? 0, receipt?.bytes ?? 0].map(count),
      rate,
      ...[gasOf(order, order.buyer), gasOf(order, order.seller)].map(count),
    ]
  })
  const receipts = trades.flatMap(({ receipt }) => receipt ?? [])
  table(
    ['ETH', 'deposited', 'to seller', 'returned', 'chunks', 'bytes', 'MiB/s', 'gas buyer', 'gas seller'],
    [
      ...rows,
      [
        'sum',
        ...[sum(({ deposit }) => deposit), sum(({ paid }) => paid), sum(({ refunded }) => refunded)].map(eth),
        count(receipts.reduce((total, { chunks }) => total + chunks, 0)),
        count(receipts.reduce((total, { bytes }) => total + bytes, 0)),
        '',
        count(sum((order) => gasOf(order, order.buyer))),
        count(sum((order) => gasOf(order, order.seller))),
      ],
    ],
  )
  line('')
  check('each deposit is what was paid and what was returned, and the escrow is empty')
  assert.equal(await provider.getBalance(dataTrade), 0n)

  for (const { address } of accounts.slice(0, 3)) {
    const fees = ledger.transactions.filter(({ from }) => from === address).reduce((total, { fee }) => total + fee, 0n)
    const earned = ledger.orders.filter(({ seller }) => seller === address).reduce((total, { paid }) => total + paid, 0n)
    const spent = ledger.orders.filter(({ buyer }) => buyer === address).reduce((total, { paid }) => total + paid, 0n)
    assert.equal(await provider.getBalance(address), FUNDS + earned - spent - fees, `the balance of ${address} must add up`)
  }
  check('the balances of all three accounts are explained to the wei')
}

/** What each account of a development chain begins with: 10,000 ETH. */
const FUNDS = 10n ** 22n

/** Chunks small enough that there are some 80 of them to see, from 4 KiB to 256 KiB. */
function chunkSize(bytes: number): number {
  return Math.min(256, Math.max(4, 2 ** Math.round(Math.log2(bytes / 80 / 1024)))) * 1024
}

async function storedOrder(buyer: Buyer, orderId: Hex): Promise<StoredPurchase> {
  for await (const stored of buyer.orders()) if (stored.record.id === orderId) return stored
  throw new Error(`order ${orderId} must be in the buyer's store`)
}

function next<K extends keyof SellerEvents>(seller: Seller, event: K): Promise<SellerEvents[K]> {
  return new Promise((resolve) => seller.events.once(event, resolve))
}

function sha256(bytes: Uint8Array): string {
  return `0x${createHash('sha256').update(bytes).digest('hex')}`
}

const [file] = process.argv.slice(2)
try {
  await main(file ?? weather.path, file === undefined ? weather.info : 'your file')
  line('done', `in ${duration(performance.now())}`)
} catch (error) {
  fail(error instanceof Error ? error.message : String(error))
  process.exit(1) // whatever still listens
}
