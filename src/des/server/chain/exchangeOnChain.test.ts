import { afterAll, beforeAll, expect, it } from 'vitest'
import { proxyTransferContract } from '../../../contracts/proxyTransfer.ts'
import { fromHex } from '../../../core/bytes.ts'
import { systemClock, type Clock } from '../../../core/clock.ts'
import { grapheneKey, seedSecret, type AccountId, type GrapheneKey } from '../../../core/crypto/graphene/index.ts'
import { isSluiceError } from '../../../core/errors.ts'
import { listenHttp, type HttpListener } from '../../../core/http/index.ts'
import { createLedger } from '../../../core/ledger/index.ts'
import type { Sql } from '../../../core/sql/index.ts'
import { startDevnet, type Devnet, type DevnetExchange } from '../../../testing/devnet.ts'
import { pgliteEngine } from '../../../testing/sqlEngines.ts'
import { createDatasource } from '../../datasource.ts'
import { createMarketClient, type MarketClient } from '../../market.ts'
import { createMerchant, type Merchant } from '../../merchant.ts'
import { createExchangeServer } from '../exchangeServer.ts'

const CONFIRMATIONS = 3
const PRICE = 1000n
const TOKEN = 'operator-of-the-test'
const [DES, MERCHANT, SOURCE] = ['1.2.1', '1.2.2', '1.2.3'] as const
const secrets = ['des', 'merchant', 'source'].map(seedSecret)
const keys = secrets.map(grapheneKey)
/** Pauses are a tenth as long. */
const clock: Clock = { now: () => Date.now(), sleep: (ms, signal) => systemClock.sleep(ms / 10, signal) }

let devnet: Devnet
let exchange: DevnetExchange
let sql: Sql<unknown>
let listener: HttpListener
let productId: number
const stops: (() => unknown)[] = []

beforeAll(async () => {
  const [node, pglite] = await Promise.all([startDevnet(), pgliteEngine()])
  stops.push(
    () => node.stop(),
    () => pglite.stop(),
  )
  devnet = node
  exchange = await devnet.deployExchange({
    accounts: secrets.map((secret, i) => ({ secret, deposit: i === 1 ? 10n * PRICE : 0n })),
  })
  sql = await pglite.open()
  const server = await createExchangeServer({
    database: sql,
    key: keys[0]!,
    percent: 1000,
    operatorToken: TOKEN,
    chain: { ...exchange, signer: exchange.accounts[0]!.wallet, confirmations: CONFIRMATIONS },
    rules: { allowPrivateAddresses: true, answerTimeout: 50_000 },
    clock,
  })
  stops.push(() => server.stop())
  await server.start()
  listener = await listenHttp(server)
  stops.push(() => listener.close())
  await devnet.mine(CONFIRMATIONS)
  const [merchant, source] = ([1, 2] as const).map((i) => {
    const signIn = { account: exchange.accounts[i]!.account, key: keys[i]! }
    return { ...signIn, merchantId: i, market: createMarketClient({ baseUrl: listener.url, signIn }) }
  })
  for (const each of [merchant!, source!]) {
    // The exchange knows an account once its block is deep enough.
    for (let tries = 0; !(await isBound(each.market, each)); tries++) {
      if (tries > 200) throw new Error(`${each.account} could not be bound`)
      await systemClock.sleep(30)
    }
  }
  const { categoryId } = await createMarketClient({ baseUrl: listener.url, token: TOKEN }).createCategory('test')
  const made = await source!.market.createProduct({
    ...{ productName: 'KYC', briefDesc: 'whether a name and a number belong together', categoryId, voteThreshold: 0.5 },
    ...{ price: { amount: PRICE, assetId: '1.3.1' }, privacy: false },
    input: { name: { type: 'string', desc: 'name', required: true } },
    output: { result: { type: 'boolean', desc: 'whether they do' } },
  })
  productId = made.productId!
}, 60_000)
afterAll(async () => {
  for (const stop of stops.reverse()) await stop()
})

async function isBound(
  market: MarketClient,
  who: { account: AccountId; key: GrapheneKey; merchantId: number },
): Promise<boolean> {
  try {
    await market.bindAccount({ ...who, serviceUrl: '' })
    return true
  } catch (error) {
    if (isSluiceError(error, 'ACCOUNT_NOT_FOUND')) return false
    throw error
  }
}
const eventually = (what: () => unknown, timeout = 15_000) => expect.poll(what, { timeout, interval: 30 })
const buyer = (key: GrapheneKey): Merchant => createMerchant({ account: MERCHANT, key, baseUrl: listener.url })

/** Puts the data source online with a key. */
async function goOnline(key: GrapheneKey): Promise<() => Promise<void>> {
  const serving = await listenHttp({ fetch: (request) => datasource.fetch(request) })
  const datasource = createDatasource({
    ...{ account: SOURCE, key, baseUrl: listener.url, desPublicKey: keys[0]!.publicKey },
    ...{ serviceUrl: `${serving.url}/data/request`, products: [{ productId, price: PRICE }] },
    answer: () => ({ result: true }),
  })
  await datasource.start()
  return async () => {
    datasource.stop()
    await serving.close()
  }
}
/** What anybody is told who knows the request's name. */
async function told(id: string): Promise<{ status: string; datasources: { status: string; data?: string; txid?: string }[] }> {
  return (await fetch(`${listener.url}/api/request/${id}`)).json() as never
}
async function posted(account: AccountId): Promise<bigint> {
  const ledger = await createLedger(sql)
  return sql.transaction(
    async (tx) => (await ledger.balance(tx, await ledger.account(tx, { owner: `des/${account}`, asset: '1.3.1' }))).posted,
  )
}
/** Gives an account of the contract another key. */
async function changeKey(account: number, old: GrapheneKey, to: number): Promise<GrapheneKey> {
  const wallet = devnet.accounts[to]!
  const contract = proxyTransferContract(exchange.proxyTransfer, wallet)
  const consent = old.sign(fromHex(await contract.keyChangeDigest(account, wallet.address)))
  await (await contract.changeKey(account, wallet.signingKey.publicKey, consent)).wait()
  return grapheneKey(fromHex(wallet.privateKey))
}

it(
  'hands answers out when their transfers are final, and not before; what was handed out is paid for again',
  { timeout: 60_000 },
  async () => {
    const offline = await goOnline(keys[2]!)
    const { wallet } = exchange.accounts[0]!
    const before = await devnet.provider.getTransactionCount(wallet.address)
    const { requestId } = await buyer(keys[1]!).createRequest(productId, { name: 'Alice' })
    await eventually(() => devnet.provider.getTransactionCount(wallet.address)).toBe(before + 1)
    // Carried out, and one block less deep than it must be.
    await devnet.mine(CONFIRMATIONS - 2)
    for (let looks = 0; looks < 10; looks++) {
      const { status, datasources } = await told(requestId)
      expect([status, datasources[0]!.status, datasources[0]!.data, datasources[0]!.txid]).toEqual([
        'IN_PROGRESS',
        'WAIT_EXCHANGE',
        undefined,
        undefined,
      ])
      await systemClock.sleep(50)
    }
    expect(await posted(SOURCE)).toBe(0n)
    await devnet.mine()
    await eventually(async () => (await told(requestId)).status).toBe('FINISHED')
    const first = (await told(requestId)).datasources[0]!
    expect(first).toMatchObject({ status: 'SUCCESS', data: expect.any(String) as unknown })
    expect(await posted(SOURCE)).toBe(900n)

    // Deeper than was thought final: the money comes back, the answer can't, and the authorisation is carried out once more.
    const { blockNumber } = (await devnet.provider.getTransactionReceipt(`0x${first.txid}`))!
    await devnet.setAutomine(false)
    await devnet.reorg((await devnet.provider.getBlockNumber()) - blockNumber + 1)
    await eventually(() => posted(SOURCE)).toBe(0n)
    expect(await posted(MERCHANT)).toBe(10n * PRICE)
    expect(await told(requestId)).toMatchObject({ status: 'FINISHED', datasources: [{ status: 'SUCCESS', data: first.data }] })
    await devnet.setAutomine(true)
    await eventually(async () => {
      await devnet.mine()
      return posted(SOURCE)
    }, 30_000).toBe(900n)
    expect(await proxyTransferContract(exchange.proxyTransfer, devnet.provider).balanceOf(3, 1)).toBe(900n)
    expect([await posted(MERCHANT), await posted(DES)]).toEqual([9n * PRICE, 100n])
    expect(await told(requestId)).toMatchObject({ status: 'FINISHED', datasources: [{ status: 'SUCCESS', data: first.data }] })
    await offline()
  },
)

it('asks by the keys that the contract has, from the next question on', { timeout: 60_000 }, async () => {
  const keyOf = async () => (await buyer(keys[1]!).getProduct(productId)).onlineDatasources.map(({ publicKey }) => publicKey)
  const offline = await goOnline(keys[2]!)
  expect(await keyOf()).toEqual([keys[2]!.publicKey])
  const key = await changeKey(3, keys[2]!, 0)
  // Not before it is final.
  await devnet.mine(CONFIRMATIONS - 2)
  await systemClock.sleep(200)
  expect(await keyOf()).toEqual([keys[2]!.publicKey])
  await devnet.mine()
  await eventually(keyOf).toEqual([key.publicKey])
  await offline()
  // The old key no longer speaks for the data source; the new one does, and opens what is sealed from now on.
  await expect(goOnline(keys[2]!)).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
  const offlineAgain = await goOnline(key)
  const mining = setInterval(() => void devnet.mine().catch(() => {}), 50)
  try {
    const bought = await buyer(keys[1]!).query(productId, { name: 'Bob' })
    expect(bought.datasources).toMatchObject([{ status: 'SUCCESS', data: { result: true } }])
    // The merchant's too.
    const own = await changeKey(2, keys[1]!, 1)
    await eventually(() =>
      buyer(keys[1]!)
        .createRequest(productId, { name: 'Cleo' })
        .catch(({ code }: { code: string }) => code),
    ).toBe('BAD_SIGNATURE')
    const again = await buyer(own).query(productId, { name: 'Dora' })
    expect(again.datasources).toMatchObject([{ status: 'SUCCESS', data: { result: true } }])
  } finally {
    clearInterval(mining)
    await offlineAgain()
  }
})
