import { createHash } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { grapheneKey, keyFromWif, seedSecret } from '../../src/core/crypto/graphene/index.ts'
import { listenHttp, type HttpListener } from '../../src/core/http/listenHttp.ts'
import { createDatasource, createMerchant, verifyEvidence, type Datasource } from '../../src/des/index.ts'
import { startSmallExchange, type SmallExchange } from '../../src/des/smallExchange.testing.ts'
import { readJson, readProduct, readResult, writeHeartbeat, writeJson } from '../../src/des/wire/index.ts'
import { loadGxbjs, type Gxbjs } from '../fixtures/des/gxbjs.ts'
import vectors from '../fixtures/des/vectors.json' with { type: 'json' }

const [merchantWif, sourceWif] = [vectors.keys[0]!.wif, vectors.keys[1]!.wif]
const [merchantKey, sourceKey] = [vectors.keys[0]!.publicKey, vectors.keys[1]!.publicKey]
let gxbjs: Gxbjs
let exchange: SmallExchange
let served: HttpListener
let source: Datasource

const openSource = (strict: boolean): Datasource =>
  createDatasource({
    account: '1.2.11', key: sourceWif, baseUrl: exchange.url, serviceUrl: `${served.url}/data/request`, desPublicKey: exchange.key.publicKey, strict,
    products: [{ productId: 1, price: 100_000n }], answer: ({ name }) => (name === '李四' ? undefined : { result: name === '张三' }),
  })

beforeAll(async () => {
  gxbjs = await loadGxbjs()
  exchange = await startSmallExchange()
  exchange.accounts.set('1.2.20', merchantKey)
  exchange.accounts.set('1.2.11', sourceKey)
  served = await listenHttp({ fetch: (request) => source.fetch(request) })
})
afterAll(async () => {
  await served.close()
  await exchange.close()
})
beforeEach(() => {
  exchange.old = false
  exchange.online.clear()
})

/** What GXChain's Node client does to ask: its own library signs and seals. */
async function askAsNodeClient(params: object): Promise<unknown> {
  const key = gxbjs.PrivateKey.fromWif(merchantWif)
  const { product, des, onlineDatasources } = readProduct(readJson(await (await fetch(`${exchange.url}/api/product/1`)).text()))
  const plain = JSON.stringify({ params, timestamp: Date.now() })
  const memo = createHash('md5').update(plain).digest('hex')
  const expiration = Math.floor(Date.now() / 1000) + 1800
  const nonce = String(Date.now() * 256 + 7)
  const items = onlineDatasources.map(({ accountId, publicKey }) => {
    const amount = { amount: Number(product.price.amount), assetId: product.price.assetId }
    const { accountId: proxyAccount, percent } = des
    const terms = { from: '1.2.20', to: accountId, proxyAccount, percent, amount, memo, expiration }
    const binary = gxbjs.ops.signed_proxy_transfer_params.toBuffer({
      from: '1.2.20', to: accountId, proxy_account: proxyAccount, percentage: percent, memo, expiration, signatures: [],
      amount: { amount: amount.amount, asset_id: amount.assetId },
    })
    const sealed = gxbjs.Aes.encrypt_with_checksum(key, gxbjs.PublicKey.fromStringOrThrow(publicKey), nonce, Buffer.from(plain))
    return { params: sealed.toString('hex'), nonce, requestParams: { ...terms, signatures: [gxbjs.Signature.signBuffer(binary, key).toHex()] } }
  })
  const created = await fetch(`${exchange.url}/api/request/create/1`, { method: 'POST', body: JSON.stringify(items) })
  const { request_id: id } = (await created.json()) as { request_id: string }
  let result
  do {
    result = readResult(readJson(await (await fetch(`${exchange.url}/api/request/${id}`)).text()))
  } while (result.status === 'IN_PROGRESS')
  return result.datasources.map(({ status, data, nonce, datasourcePublicKey }) => {
    if (status !== 'SUCCESS') return status
    const opened = gxbjs.Aes.decrypt_with_checksum(key, gxbjs.PublicKey.fromStringOrThrow(datasourcePublicKey!), String(nonce), Buffer.from(data!, 'hex'))
    return JSON.parse(opened.toString()) as unknown
  })
}

describe('a merchant and a data source, by an exchange', () => {
  it.each([['this', false, 'v2:'], ['an older', true, '']])('exchange data on %s exchange', async (_, old, prefix) => {
    exchange.old = old
    source = openSource(!old)
    await source.start()
    const merchant = createMerchant({ account: '1.2.20', key: merchantWif, baseUrl: exchange.url })
    const answers = await merchant.query(1, { name: '张三' }, { maxSpend: 100_000n })
    expect(answers).toMatchObject({ status: 'FINISHED', spent: 100_000n, datasources: [{ datasource: '1.2.11', status: 'SUCCESS', data: { result: true } }] })
    expect((JSON.parse(exchange.created.at(-1)!) as [{ params: string }])[0].params.startsWith('v2:')).toBe(prefix === 'v2:')
    expect((await merchant.query(1, { name: '李四' })).datasources).toMatchObject([{ status: 'NONE' }])
    if (!old) expect((await merchant.evidence(answers.requestId)).map(verifyEvidence)).toEqual([true])
    source.stop()
  })

  it('nobody else reads what is asked and answered', async () => {
    source = openSource(true)
    await source.start()
    const merchant = createMerchant({ account: '1.2.20', key: merchantWif, baseUrl: exchange.url })
    const { requestId } = await merchant.query(1, { name: '张三' })
    const eve = createMerchant({ account: '1.2.20', key: grapheneKey(seedSecret('eve')), baseUrl: exchange.url })
    expect((await eve.getResult(requestId)).datasources).toMatchObject([{ status: 'BAD_ANSWER' }])
    expect(exchange.created.at(-1)).not.toContain('张三')
    source.stop()
  })
})

describe('GXChain\'s own library', () => {
  it.each([false, true])('asks our data source and opens its answer (older exchange: %s)', async (old) => {
    exchange.old = old
    source = openSource(!old)
    await source.start()
    expect(await askAsNodeClient({ name: '张三' })).toEqual([{ result: true }])
    expect(await askAsNodeClient({ name: '王五' })).toEqual([{ result: false }])
    expect(await askAsNodeClient({ name: '李四' })).toEqual(['NONE'])
    source.stop()
  })

  it('answers our merchant as its data source', async () => {
    const key = gxbjs.PrivateKey.fromWif(sourceWif)
    // Java's client answers under the question's own nonce, and tells none.
    const theirs = await listenHttp({
      fetch: async (request) => {
        const { params, nonce, publicKey } = (await request.json()) as { params: string; nonce: number; publicKey: string }
        const peer = gxbjs.PublicKey.fromStringOrThrow(publicKey)
        const plain = gxbjs.Aes.decrypt_with_checksum(key, peer, String(nonce), Buffer.from(params, 'hex'))
        const { params: input } = JSON.parse(plain.toString()) as { params: { name: string } }
        const sealed = gxbjs.Aes.encrypt_with_checksum(key, peer, String(nonce), Buffer.from(JSON.stringify({ result: input.name === '张三' })))
        return Response.json({ success: true, data: sealed.toString('hex') })
      },
    })
    const heartbeat = writeHeartbeat({ account: '1.2.11', products: [1], timestamp: Date.now(), queryUrl: theirs.url }, keyFromWif(sourceWif))
    await fetch(`${exchange.url}/api/datasource/heartbeat`, { method: 'POST', body: writeJson(heartbeat) })
    const merchant = createMerchant({ account: '1.2.20', key: merchantWif, baseUrl: exchange.url })
    expect(await merchant.query(1, { name: '张三' })).toMatchObject({ datasources: [{ status: 'SUCCESS', data: { result: true } }] })
    await theirs.close()
  })
})

it('the vectors\' question, posted by a server of GXChain, is opened by our data source', async () => {
  source = openSource(false)
  const { sealed, nonce } = vectors.ciphers[2]!
  const body = `{"params":"${sealed}","publicKey":"${merchantKey}","productId":1,"nonce":${nonce},"merchantAccountId":"1.2.20"}`
  const { status, text } = await fetch(`${served.url}/data/request`, { method: 'POST', body }).then(async (response) => ({
    status: response.status, text: await response.text(),
  }))
  expect(status).toBe(200)
  const answer = JSON.parse(text) as { data: string; nonce: number }
  const opened = gxbjs.Aes.decrypt_with_checksum(
    gxbjs.PrivateKey.fromWif(merchantWif), gxbjs.PublicKey.fromStringOrThrow(sourceKey), String(answer.nonce), Buffer.from(answer.data, 'hex'))
  expect(opened.toString()).toBe('{"result":true}')
})
