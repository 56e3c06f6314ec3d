import { afterAll, describe, expect, it } from 'vitest'
import { grapheneKey, seedSecret, textDigest } from '../../src/core/crypto/graphene/index.ts'
import { createMarketClient } from '../../src/des/market.ts'
import { createExchangeServer, listenHttp, type ExchangeServer, type HttpListener } from '../../src/des/server/index.ts'
import { httpServiceSuite } from '../../src/testing/httpServiceSuite.ts'

const OPERATOR = 'operator-of-the-test'
let server: ExchangeServer | undefined
let listener: HttpListener | undefined
afterAll(async () => {
  await listener?.close()
  await server?.stop()
})

httpServiceSuite(
  'data exchange service',
  async () => {
    const key = grapheneKey(seedSecret('http test'))
    server = await createExchangeServer({ key: grapheneKey(seedSecret('http exchange')), percent: 1000, operatorToken: OPERATOR })
    listener = await listenHttp(server)
    const baseUrl = listener.url
    const account = await server.accounts!.openAccount(key.publicKey)
    const market = createMarketClient({ baseUrl, signIn: { account, key } })
    await market.bindAccount({ account, key, merchantId: 1, serviceUrl: '' })
    const { categoryId } = await createMarketClient({ baseUrl, token: OPERATOR }).createCategory('tests')
    const { productId } = await market.createProduct({
      productName: 'answers',
      briefDesc: 'of a test',
      categoryId,
      voteThreshold: 1,
      privacy: false,
      price: { amount: 1n, assetId: '1.3.1' },
      input: { name: { type: 'string' } },
      output: { result: { type: 'boolean' } },
    })
    const { text } = (await (await post('/signin/challenge', { account })).json()) as { text: string }
    const signature = Buffer.from(key.sign(textDigest(text))).toString('hex')
    const { token } = (await (await post('/signin/token', { account, text, signature })).json()) as { token: string }
    return {
      service: server,
      headersOf: (access) => ({ authorization: `Bearer ${access === 'operator' ? OPERATOR : token}` }),
      likely: {
        productId: [productId],
        product_id: [productId],
        accountId: [account],
        account: [account],
        categoryId: [categoryId],
        shareStatus: [0, 1],
        date: ['2026-11-01'],
        type: [0, 1, 2],
      },
      skip: ['signOut'],
      runs: 15,
    }

    function post(path: string, body: unknown): Promise<Response> {
      return fetch(baseUrl + path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })
    }
  },
  { describe, it, expect },
)
