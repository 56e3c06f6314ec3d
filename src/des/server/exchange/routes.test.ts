import { CID } from 'multiformats/cid'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signTransferParams } from '../../../core/crypto/graphene/index.ts'
import { pgliteEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import { sealData } from '../../seal/index.ts'
import { memoOf, writeJson, writePayload, writeRequest } from '../../wire/index.ts'
import { requestCid } from '../billing/requestName.ts'
import { startExchange, type Person, type TestExchange, type TestSource } from './exchange.testing.ts'

let engine: SqlEngine
let exchange: TestExchange
/** Another process on the same database. */
let other: TestExchange
beforeAll(async () => {
  engine = await pgliteEngine()
  const sql = await engine.open()
  exchange = await startExchange(sql, { rules: { answerTimeout: 20_000 } })
  other = await startExchange(sql, { sweeps: false })
}, 60_000)
afterAll(async () => {
  await other?.stop()
  await exchange?.stop()
  await engine?.stop()
})

/** A CID of bare bytes. */
const RAW = 'bafkreicg2rebjoofv4kbyovkw7af3rpiitvnl6i7ckcywaq6xjcxnc2mby'
let number = 0
const person = (money?: bigint): Promise<Person> => exchange.person(`routes ${number++}`, money)
/** A data source that answers when it is let to. */
function gated(answer: unknown) {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { answer: () => opened.then(() => answer), open: () => open() }
}
const ask = async (path: string, accept = 'application/json'): Promise<{ status: number; body: Record<string, unknown> }> => {
  const answer = await fetch(exchange.listener.url + path, { headers: { accept } })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

/** A buyer, a product, and data sources that answer. */
async function trade(...answers: (() => unknown)[]) {
  const buyer = await person(100_000n)
  const sellers = await Promise.all(answers.map(() => person()))
  const productId = await exchange.product(sellers[0]!, sellers.slice(1))
  const sources: TestSource[] = []
  for (const [i, answer] of answers.entries()) sources.push(await exchange.source(sellers[i]!, productId, answer))
  return { buyer, sellers, productId, sources }
}

/** The body of a request to each of the sellers, as it is signed now. */
async function bodyOf(buyer: Person, sellers: readonly Person[], change: { amount?: bigint } = {}): Promise<string> {
  const items = sellers.map(async ({ account, key }) => {
    const payload = writePayload({ params: { name: 'Alice' }, timestamp: Date.now() })
    const terms = {
      from: buyer.account,
      to: account,
      proxyAccount: exchange.context.account,
      percent: 1000,
      amount: { amount: change.amount ?? 1000n, assetId: '1.3.1' as const },
      memo: memoOf(payload),
      expiration: Math.floor(Date.now() / 1000) + 600 + number++,
    }
    const params = await sealData(buyer.key, key.publicKey, { nonce: 7n }, payload)
    return { params, nonce: 7n, requestParams: signTransferParams(terms, buyer.key) }
  })
  return writeJson(writeRequest(await Promise.all(items)))
}
async function create(productId: number, body: string, key?: string, at = exchange) {
  const answer = await fetch(`${at.listener.url}/api/request/create/${productId}`, {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      accept: 'application/problem+json',
      ...(key !== undefined && { 'idempotency-key': key }),
    },
  })
  return { status: answer.status, body: (await answer.json()) as { request_id: string; code?: string; details?: object } }
}

describe('waiting for enough answers', () => {
  const yes = { result: true }
  const timed = async <T>(work: () => Promise<T>): Promise<[T, number]> => {
    const start = performance.now()
    return [await work(), performance.now() - start]
  }

  it('ends when there are so many, while others are still asked', async () => {
    const slow = gated(yes)
    const { buyer, sellers, productId } = await trade(() => yes, slow.answer, slow.answer)
    const { request_id: id } = (await create(productId, await bodyOf(buyer, sellers))).body
    const [{ body }, ms] = await timed(() => ask(`/api/request/${id}?wait=20000&enough=1`))
    expect(ms).toBeLessThan(10_000)
    expect(body).toMatchObject({ status: 'IN_PROGRESS', enough: true, total: 3 })
    expect((body.datasources as { status: string }[]).map(({ status }) => status)).toEqual([
      'SUCCESS',
      'WAIT_EXCHANGE',
      'WAIT_EXCHANGE',
    ])
    // What is known already is told at once: the quickest of a few, whatever else the machine does.
    const times: number[] = []
    for (let i = 0; i < 5; i++) times.push((await timed(() => ask(`/api/request/${id}?wait=20000&enough=1`)))[1])
    expect(Math.min(...times)).toBeLessThan(250)
    expect((await ask(`/api/request/${id}?enough=2`)).body).toMatchObject({ status: 'IN_PROGRESS', enough: false })
    slow.open()
    expect((await ask(`/api/request/${id}?wait=20000&enough=3`)).body).toMatchObject({ status: 'FINISHED', enough: true })
  })

  it('counts answers with data, and ends with the request', async () => {
    const slow = gated(yes)
    const { buyer, sellers, productId } = await trade(() => undefined, slow.answer)
    const { request_id: id } = (await create(productId, await bodyOf(buyer, sellers))).body
    // One has ended, without data.
    expect((await ask(`/api/request/${id}?wait=1000&enough=1`)).body).toMatchObject({ status: 'IN_PROGRESS', enough: false })
    slow.open()
    expect((await ask(`/api/request/${id}?wait=20000&enough=1`)).body).toMatchObject({ status: 'FINISHED', enough: true })
    expect((await ask(`/api/request/${id}?wait=20000&enough=2`)).body).toMatchObject({ status: 'FINISHED', enough: false })
    // Who doesn't ask for it gets the result as it always was.
    expect((await ask(`/api/request/${id}?wait=20000`)).body).not.toHaveProperty('enough')
  })

  it('ends a stream of events', async () => {
    const slow = gated(yes)
    const { buyer, sellers, productId } = await trade(() => yes, slow.answer)
    const { request_id: id } = (await create(productId, await bodyOf(buyer, sellers))).body
    const headers = { accept: 'text/event-stream' }
    const text = await (await fetch(`${exchange.listener.url}/api/request/${id}?enough=1`, { headers })).text()
    slow.open()
    expect(JSON.parse(/data: (.*)\n\n$/.exec(text)![1]!)).toMatchObject({ status: 'IN_PROGRESS', enough: true })
  })

  it('refuses what is no such number, and says which', async () => {
    for (const enough of ['0', '-1', '1.5', '65', 'all', '', '1e1']) {
      const { status, body } = await ask(`/api/request/${'0'.repeat(64)}?enough=${enough}`, 'application/problem+json')
      expect([enough, status, body.detail]).toEqual([enough, 400, expect.stringMatching(/^enough: /)])
    }
  })

  it('is what a merchant does that wants so many', async () => {
    const slow = gated(yes)
    const { buyer, productId } = await trade(() => yes, slow.answer)
    const asked = exchange.merchant(buyer).query(productId, { name: 'Alice' }, { minResults: 1, timeout: 10_000 })
    expect(await asked).toMatchObject({ status: 'IN_PROGRESS', spent: 1000n })
    slow.open()
  })
})

describe('an Idempotency-Key', () => {
  const yes = () => ({ result: true })

  it('names one request: the same again gets the same answer, at any server, also when it could not be asked any more', async () => {
    const { buyer, sellers, productId, sources } = await trade(yes)
    const body = await bodyOf(buyer, sellers)
    const first = await create(productId, body, 'order-1')
    expect(first.status).toBe(200)
    expect(await create(productId, body, 'order-1', other)).toEqual(first)
    for (const source of sources) await source.stop()
    await exchange.context.sql.db.deleteFrom('des_datasources').where('account', '=', sellers[0]!.account).execute()
    // Without the key the data source is missed.
    expect(await create(productId, body)).toMatchObject({ status: 409, body: { code: 'SOURCE_OFFLINE' } })
    expect(await create(productId, body, 'order-1', other)).toEqual(first)
    expect((await exchange.exchange.result(first.body.request_id, 3000)).result.status).toBe('FINISHED')
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 99_000n, available: 99_000n })
  })

  it('refuses another request, tells the first, and charges nothing', async () => {
    const { buyer, sellers, productId } = await trade(yes)
    const first = await create(productId, await bodyOf(buyer, sellers), 'order-2')
    const { request_id: requestId } = first.body
    const second = await create(productId, await bodyOf(buyer, sellers), 'order-2', other)
    expect(second).toMatchObject({
      status: 422,
      body: {
        code: 'IDEMPOTENCY_KEY_REUSED',
        detail: `this Idempotency-Key was used for request ${requestId}`,
        details: { requestId },
      },
    })
    await exchange.exchange.result(requestId, 3000)
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 99_000n, available: 99_000n })
    // The merchant's way to ask again without knowing whether it has asked.
    const merchant = exchange.merchant(buyer)
    const named = await merchant.createRequest(productId, { name: 'Alice' }, { idempotencyKey: 'order-3' })
    await expect(merchant.createRequest(productId, { name: 'Alice' }, { idempotencyKey: 'order-3' })).rejects.toMatchObject({
      code: 'KEY_REUSED',
      details: { status: 422, requestId: named.requestId },
    })
  })

  it("is one's own: others use the same one, and nobody takes it by a request that is not signed by its payer", async () => {
    const [mine, theirs] = [await trade(yes), await trade(yes)]
    const forger = await person()
    const forged = await bodyOf({ ...mine.buyer, key: forger.key }, mine.sellers)
    expect(await create(mine.productId, forged, 'order-4')).toMatchObject({ status: 400, body: { code: 'BAD_SIGNATURE' } })
    expect((await create(mine.productId, await bodyOf(mine.buyer, mine.sellers), 'order-4')).status).toBe(200)
    expect((await create(theirs.productId, await bodyOf(theirs.buyer, theirs.sellers), 'order-4')).status).toBe(200)
    // Not even while the forged one is looked at.
    const { settlement, sql } = exchange.context
    const gate = gated(undefined)
    const slow = await startExchange(sql as never, {
      settlement: { publicKeyOf: (account) => gate.answer().then(() => settlement.publicKeyOf(account)) },
      sweeps: false,
    })
    const waiting = create(mine.productId, forged, 'order-7', slow)
    const claims = () =>
      sql.db
        .selectFrom('idempotency_keys' as never)
        .select('key' as never)
        .where('key' as never, '=', 'order-7' as never)
        .execute()
    await expect.poll(claims).toHaveLength(1)
    expect((await create(mine.productId, await bodyOf(mine.buyer, mine.sellers), 'order-7')).status).toBe(200)
    gate.open()
    expect((await waiting).status).toBe(400)
    await slow.stop()
  })

  it('is free again after a request that was refused', async () => {
    const { buyer, sellers, productId } = await trade(yes)
    const refused = await create(productId, await bodyOf(buyer, sellers, { amount: 999n }), 'order-5')
    expect(refused).toMatchObject({ status: 400, body: { code: 'AUTHORISATION_INVALID' } })
    expect((await create(productId, await bodyOf(buyer, sellers), 'order-5')).status).toBe(200)
  })

  it('stays with its request where nobody knows whether it was taken', async () => {
    const { buyer, sellers, productId } = await trade(yes)
    const body = await bodyOf(buyer, sellers)
    const broken = await startExchange(exchange.context.sql as never, {
      settlement: { ledgerAccount: () => Promise.reject(new Error('the database went away')) },
      sweeps: false,
    })
    expect((await create(productId, body, 'order-8', broken)).status).toBe(500)
    await broken.stop()
    expect((await create(productId, await bodyOf(buyer, sellers), 'order-8')).status).toBe(422)
    const late = await create(productId, body, 'order-8')
    expect(late.status).toBe(200)
    expect((await exchange.exchange.result(late.body.request_id, 3000)).result.status).toBe('FINISHED')
  })

  it('makes one request of many at once, at two servers', async () => {
    const { buyer, sellers, productId } = await trade(yes)
    const body = await bodyOf(buyer, sellers)
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => create(productId, body, 'order-6', i % 2 === 0 ? exchange : other)),
    )
    expect(new Set(answers.map(({ status, body: { request_id } }) => `${status} ${request_id}`)).size).toBe(1)
    expect(answers[0]!.status).toBe(200)
    await exchange.exchange.result(answers[0]!.body.request_id, 3000)
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 99_000n, available: 99_000n })
  })

  it('has 1 to 255 visible characters', async () => {
    const { buyer, sellers, productId } = await trade(yes)
    for (const key of ['', 'two words', 'x'.repeat(256)]) {
      expect(await create(productId, await bodyOf(buyer, sellers), key)).toMatchObject({
        status: 400,
        body: { code: 'BAD_ARGUMENT', detail: 'Idempotency-Key must have 1 to 255 visible ASCII characters' },
      })
    }
  })
})

describe('evidence', () => {
  const yes = () => ({ result: true })
  const inBase32 = (cid: string): string => CID.parse(cid).toV1().toString()

  it('is found by the request in each of its forms, and by the CID of one answer', async () => {
    const { buyer, sellers, productId } = await trade(yes, yes)
    const merchant = exchange.merchant(buyer)
    const { requestId } = await merchant.query(productId, { name: 'Alice' })
    const all = await merchant.evidence(requestId)
    expect(all.map(({ payee }) => payee)).toEqual(sellers.map(({ account }) => account))
    expect(await merchant.evidence(requestCid(requestId))).toEqual(all)
    expect(await merchant.evidence(inBase32(requestCid(requestId)))).toEqual(all)
    for (const item of all) {
      expect(await merchant.evidence(item.cid)).toEqual([item])
      expect(await merchant.evidence(inBase32(item.cid))).toEqual([item])
    }
  })

  it('is empty for a request without paid answers, and missing for what is neither', async () => {
    const { buyer, productId } = await trade(() => undefined)
    const merchant = exchange.merchant(buyer)
    const { requestId } = await merchant.query(productId, { name: 'Alice' })
    for (const name of [requestId, requestCid(requestId)]) expect(await merchant.evidence(name)).toEqual([])
    const nothing = 'QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o'
    for (const [name, said] of [
      ['0'.repeat(64), `there is no request ${'0'.repeat(64)}`],
      [nothing, `there is no request ${nothing}, and no answer that was paid for`],
      [
        RAW,
        `there is no request ${RAW}, and no answer that was paid for; bafk… is a CID of bare bytes, an answer has Qm… or bafy…`,
      ],
    ] as const) {
      await expect(merchant.evidence(name)).rejects.toMatchObject({
        code: 'NO_SUCH_REQUEST',
        message: `the exchange refused with 404: ${said}`,
        details: { requestId: name },
      })
    }
    await expect(merchant.evidence('../x')).rejects.toMatchObject({ code: 'BAD_ARGUMENT', details: { name: 'name' } })
  })
})

it('is called off by its merchant', async () => {
  const slow = gated({ result: true })
  const { buyer, productId } = await trade(slow.answer)
  const merchant = exchange.merchant(buyer)
  const { requestId } = await merchant.createRequest(productId, { name: 'Alice' })
  // It was forwarded: there is nothing left to be called off.
  expect(await merchant.cancel(requestId)).toBe(0)
  await expect(merchant.cancel('0'.repeat(64))).rejects.toMatchObject({ code: 'NO_SUCH_REQUEST' })
  slow.open()
})
