/**
 * A market with one product, whose data source is always there, and questions on it.
 * @module
 */
import { grapheneKey, seedSecret, signTransferParams, toWif, type AccountId } from '../../src/core/crypto/graphene/index.ts'
import { listenHttp } from '../../src/core/http/index.ts'
import { createMarketClient } from '../../src/des/index.ts'
import { sealData } from '../../src/des/seal/index.ts'
import { createExchangeServer, type ExchangeServer } from '../../src/des/server/index.ts'
import { memoOf, sdkDialect, writeHeartbeat, writeJson, writePayload, writeRequest } from '../../src/des/wire/index.ts'

const [buyer, seller] = [grapheneKey(seedSecret('bench buyer')), grapheneKey(seedSecret('bench seller'))]
const operatorToken = 'operator-of-benches'

/** Where a market is, and who deals there. */
export interface Market {
  readonly url: string
  readonly productId: number
  readonly exchange: AccountId
  readonly buyer: AccountId
  readonly seller: AccountId
}

/** What the data source answers each question with. */
export async function sealedAnswer(): Promise<string> {
  const data = await sealData(seller, buyer.publicKey, { nonce: 9n }, new TextEncoder().encode('{"result":true}'))
  return JSON.stringify({ data, nonce: 9 })
}

/** Opens an exchange server with its market. @param database - as the server takes it. */
export async function openMarket(
  database: string | undefined,
  serviceUrl: string,
): Promise<Market & { readonly server: ExchangeServer; close(): Promise<void> }> {
  const server = await createExchangeServer({
    database,
    key: toWif(seedSecret('bench exchange')),
    percent: 1000,
    operatorToken,
    rules: { allowPrivateAddresses: true, offlineAfter: 3_600_000 },
  })
  await server.start()
  const listener = await listenHttp(server)
  const { url } = listener
  const accounts = server.accounts!
  const [payer, payee] = [await accounts.openAccount(buyer.publicKey), await accounts.openAccount(seller.publicKey)]
  await accounts.deposit({ account: payer, asset: '1.3.1', amount: 10n ** 15n, key: 'start' })
  const { categoryId } = await createMarketClient({ baseUrl: url, token: operatorToken }).createCategory('benches')
  const market = createMarketClient({ baseUrl: url, signIn: { account: payee, key: seller } })
  await market.bindAccount({ account: payee, key: seller, merchantId: 1, serviceUrl })
  const { productId } = await market.createProduct({
    productName: 'answers',
    briefDesc: 'always the same',
    categoryId,
    voteThreshold: 1,
    privacy: false,
    price: { amount: 1000n, assetId: '1.3.1' },
    input: { name: { type: 'string' } },
    output: { result: { type: 'boolean' } },
  })
  const beat = writeHeartbeat({ account: payee, products: [productId!], timestamp: Date.now() }, seller)
  const { status } = await fetch(`${url}/api/datasource/heartbeat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: writeJson(beat),
  })
  if (status !== 200) throw new Error(`heartbeat: ${status}`)
  return {
    url,
    productId: productId!,
    exchange: server.account,
    buyer: payer,
    seller: payee,
    server,
    async close() {
      await listener.close()
      await server.stop()
    },
  }
}

/** Creates what writes questions, each sealed and signed as a merchant does it. */
export async function createQuestions({ exchange, buyer: from, seller: to }: Market): Promise<(count: number) => string[]> {
  const payload = writePayload({ params: { name: 'Alice' }, timestamp: Date.now() })
  const sealed = await sealData(buyer, seller.publicKey, { nonce: 7n }, payload)
  let expiration = Math.floor(Date.now() / 1000) + 3600
  return (count) =>
    Array.from({ length: count }, () => {
      const requestParams = signTransferParams(
        {
          from,
          to,
          proxyAccount: exchange,
          percent: 1000,
          amount: { amount: 1000n, assetId: '1.3.1' },
          memo: memoOf(payload),
          expiration: expiration++,
        },
        buyer,
      )
      return writeJson(writeRequest([{ params: sealed, nonce: 7n, requestParams }], sdkDialect))
    })
}

/** Sends something to the exchange. */
export type Call = (method: string, path: string, body?: string) => Promise<{ readonly status: number; readonly text: string }>

/** Asks one question, and waits for its answer. @throws if it didn't come. */
export async function ask(call: Call, productId: number, body: string): Promise<void> {
  const created = await call('POST', `/api/request/create/${productId}`, body)
  if (created.status !== 200) throw new Error(`create: ${created.status} ${created.text}`)
  const { request_id: id } = JSON.parse(created.text) as { request_id: string }
  const result = await call('GET', `/api/request/${id}?wait=8000`)
  if (!result.text.includes('"SUCCESS"')) throw new Error(`result: ${result.status} ${result.text}`)
}
