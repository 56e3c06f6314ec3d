import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { signTransferParams, transferDigest, type SignedTransferParams } from '../../../core/crypto/graphene/index.ts'
import { toHex } from '../../../core/bytes.ts'
import { pgliteEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import { documentDialect, requestIdOf, sdkDialect } from '../../wire/index.ts'
import type { DueTransfer, Settlement } from '../context.ts'
import { bodyOf, codeOf, startExchange, type Person, type TestExchange } from './exchange.testing.ts'

let engine: SqlEngine
let exchange: TestExchange
beforeAll(async () => {
  engine = await pgliteEngine()
  exchange = await startExchange(await engine.open(), {
    rules: { answerTimeout: 30_000 },
    log: { debug() {}, info() {}, warn: console.log, error: console.log },
  })
}, 60_000)
afterAll(async () => {
  await exchange?.stop()
  await engine?.stop()
})

let number = 0
const person = (money?: bigint): Promise<Person> => exchange.person(`person ${number++}`, money)

/** A buyer, a data source that answers, and a product of 1000. */
async function pair(money = 10_000n, answer: () => unknown = () => ({ result: true })) {
  const [buyer, seller] = [await person(money), await person()]
  const productId = await exchange.product(seller)
  const source = await exchange.source(seller, productId, answer)
  return { buyer, seller, productId, source }
}

const item = (...of: Parameters<TestExchange['item']>) => exchange.item(...of)
const post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(exchange.listener.url + path, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  })

describe('a request', () => {
  it('is answered by every data source, and paid', async () => {
    const [buyer, alice, bob] = [await person(10_000n), await person(), await person()]
    const productId = await exchange.product(alice, [bob])
    await exchange.source(alice, productId, ({ name }) => ({ result: name === 'Alice' }))
    await exchange.source(bob, productId, () => ({ result: true }))
    const before = await exchange.total()
    const own = (await exchange.balance(exchange.context.account)).posted
    const answers = await exchange.merchant(buyer).query(productId, { name: 'Alice' })
    expect(answers).toMatchObject({ status: 'FINISHED', spent: 2000n })
    expect(answers.datasources.map(({ status, data }) => [status, data])).toEqual([
      ['SUCCESS', { result: true }],
      ['SUCCESS', { result: true }],
    ])
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 8000n, available: 8000n })
    expect(await exchange.balance(alice.account)).toMatchObject({ posted: 900n })
    expect(await exchange.balance(bob.account)).toMatchObject({ posted: 900n })
    expect((await exchange.balance(exchange.context.account)).posted - own).toBe(200n)
    expect(await exchange.total()).toBe(before)
  })

  it.each([
    ['of the documents', documentDialect],
    ['of the SDKs', sdkDialect],
    ['with nonces as text', { ...sdkDialect, nonce: 'text' } as const],
  ])('comes in the dialect %s, and is answered in it', async (_, dialect) => {
    const { buyer, seller, productId } = await pair()
    const answer = await post(`/api/request/create/${productId}`, bodyOf([await item(buyer, seller)], dialect))
    const { request_id: id } = (await answer.json()) as { request_id: string }
    const result = (await (await fetch(`${exchange.listener.url}/api/request/${id}?wait=10000`)).json()) as object
    expect(result).toMatchObject({
      status: 'FINISHED',
      total: 1,
      datasources: [{ status: 'SUCCESS', datasource: seller.account }],
    })
    expect(typeof (result as { datasources: { nonce: unknown }[] }).datasources[0]!.nonce).toBe(
      dialect.nonce === 'text' ? 'string' : 'number',
    )
  })

  it('is the same one when it comes again, also a hundred times at once', async () => {
    const { buyer, seller, productId } = await pair()
    const body = bodyOf([await item(buyer, seller)])
    const ids = await Promise.all(Array.from({ length: 100 }, () => exchange.exchange.create(productId, body)))
    expect(new Set(ids).size).toBe(1)
    expect((await exchange.exchange.result(ids[0]!, 10_000)).result.status).toBe('FINISHED')
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 9000n, available: 9000n })
  })

  it('is refused when an authorisation of it was used in another one', async () => {
    const { buyer, seller, productId } = await pair()
    const other = await person()
    await exchange.context.sql.db
      .insertInto('des_members')
      .values({ product: productId, merchant: other.merchantId, since: 1 })
      .execute()
    await exchange.source(other, productId, () => ({ result: true }))
    const used = await item(buyer, seller)
    await exchange.exchange.create(productId, bodyOf([used]))
    expect(await codeOf(exchange.exchange.create(productId, bodyOf([used, await item(buyer, other)])))).toBe('AUTHORISATION_USED')
    // Other signatures, other sealed bytes or a junk signature before it make no other authorisation.
    const again = { ...used, nonce: 9n, requestParams: signTransferParams(used.requestParams, buyer.key) }
    expect(await exchange.exchange.create(productId, bodyOf([again]))).toBe(
      requestIdOf([toHex(transferDigest(used.requestParams)).slice(2)]),
    )
    const junk: SignedTransferParams = {
      ...used.requestParams,
      signatures: [new Uint8Array(65).fill(31), ...used.requestParams.signatures],
    }
    expect(await codeOf(exchange.exchange.create(productId, bodyOf([{ ...used, requestParams: junk }])))).toBe('BAD_SIGNATURE')
    await exchange.exchange.result(requestIdOf([toHex(transferDigest(used.requestParams)).slice(2)]), 10_000)
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 9000n, available: 9000n })
  })

  it('needs the money of all its items', async () => {
    const { buyer, seller, productId } = await pair(2500n)
    const create = async (): Promise<string> => exchange.exchange.create(productId, bodyOf([await item(buyer, seller)]))
    const outcomes = await Promise.allSettled([create(), create(), create()])
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
    const refused = outcomes.find(({ status }) => status === 'rejected') as PromiseRejectedResult
    expect(refused.reason).toMatchObject({ code: 'BALANCE_SHORT', details: { account: buyer.account, missing: 500n } })
    for (const outcome of outcomes) if (outcome.status === 'fulfilled') await exchange.exchange.result(outcome.value, 10_000)
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 500n, available: 500n })
  })

  it('must be signed by its payer, over what it says', async () => {
    const { buyer, seller, productId } = await pair()
    const good = await item(buyer, seller)
    const forged = { ...good, requestParams: signTransferParams({ ...good.requestParams }, seller.key) }
    const error = await exchange.exchange.create(productId, bodyOf([forged])).catch((error: unknown) => error)
    expect(error).toMatchObject({
      code: 'BAD_SIGNATURE',
      details: { field: 'request[0].requestParams.signatures[0]', owner: 'payer' },
    })
    const moved = { ...good, requestParams: { ...good.requestParams, memo: 'another question' } }
    expect(await codeOf(exchange.exchange.create(productId, bodyOf([moved])))).toBe('BAD_SIGNATURE')
    expect(await codeOf(exchange.exchange.create(productId, bodyOf([good, good])))).toBe('AUTHORISATION_INVALID')
  })

  it('names the version that its buyer has seen', async () => {
    const { buyer, seller, productId } = await pair()
    expect(await codeOf(exchange.exchange.create(productId, bodyOf([await item(buyer, seller)]), 2))).toBe('PRODUCT_CHANGED')
    expect(await codeOf(exchange.exchange.create(productId, bodyOf([await item(buyer, seller)]), 1))).toBeUndefined()
    expect(await codeOf(exchange.exchange.create(999_999, bodyOf([await item(buyer, seller)])))).toBe('NO_SUCH_PRODUCT')
  })

  it('costs nothing where the product is free', async () => {
    const [buyer, seller] = [await person(), await person()]
    const productId = await exchange.product(seller, [], { price: { amount: 0, assetId: '1.3.1' } })
    await exchange.source(seller, productId, () => ({ result: false }))
    const answers = await exchange.merchant(buyer).query(productId, { name: 'Bob' })
    expect(answers.datasources).toMatchObject([{ status: 'SUCCESS', data: { result: false } }])
  })
})

describe('a data source that', () => {
  const outcome = async (answer: () => unknown, of = exchange) => {
    const { buyer, productId } = await pair(10_000n, answer)
    const { datasources, status } = await of.merchant(buyer).query(productId, { name: 'Alice' }, { timeout: 10_000 })
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 10_000n, available: 10_000n })
    return [status, datasources[0]!.status]
  }
  it('has nothing on it costs nothing', async () => expect(await outcome(() => undefined)).toEqual(['FINISHED', 'NONE']))
  it('fails costs nothing', async () => {
    expect(
      await outcome(() => {
        throw new Error('broken')
      }),
    ).toEqual(['FAIL', 'DATASOURCE_FAIL'])
  })
  it('is slow costs nothing', async () => {
    const impatient = await startExchange(exchange.context.sql as never, { rules: { answerTimeout: 300 }, sweeps: false })
    const slow = () => new Promise((resolve) => setTimeout(() => resolve({ result: true }), 600))
    expect(await outcome(slow, impatient)).toEqual(['FAIL', 'TIMEOUT'])
    await impatient.stop()
  })
  it('is gone costs nothing', async () => {
    const { buyer, productId, source } = await pair()
    await source.listener.close()
    const { datasources } = await exchange.merchant(buyer).query(productId, { name: 'Alice' })
    expect(datasources).toMatchObject([{ status: 'DATASOURCE_FAIL', comment: 'the data source could not be reached' }])
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 10_000n, available: 10_000n })
  })
})

describe('data', () => {
  it('is handed out once it is paid, and not before', async () => {
    const { buyer, seller, productId } = await pair()
    // A chain that tells of its transfers when it is asked to.
    let ended!: Parameters<NonNullable<Settlement['start']>>[0]
    const sent: DueTransfer[] = []
    const { settlement, sql } = exchange.context
    const other = await startExchange(sql as never, {
      settlement: {
        settle: undefined,
        submit: async (transfers) => void sent.push(...transfers),
        start: async (told) => void (ended = told),
      },
    })
    const id = await other.exchange.create(productId, bodyOf([await item(buyer, seller)]))
    await vi.waitFor(() => expect(sent).toHaveLength(1), 10_000)
    const early = await other.exchange.result(id, 50)
    expect(early.result).toMatchObject({ status: 'IN_PROGRESS', datasources: [{ status: 'WAIT_EXCHANGE' }] })
    expect(early.result.datasources[0]).not.toHaveProperty('data')
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 10_000n, available: 9000n })
    const [end] = await sql.transaction((tx) => settlement.settle!(tx, sent))
    for (let i = 0; i < 2; i++) await sql.transaction((tx) => ended(tx, [end!])) // told at least once
    const late = await other.exchange.result(id, 5000)
    await other.stop()
    expect(late.result).toMatchObject({
      status: 'FINISHED',
      datasources: [{ status: 'SUCCESS', data: expect.any(String) as string }],
    })
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 9000n, available: 9000n })
  })

  it('is not handed out, and not paid, when the transfer can never happen', async () => {
    const { buyer, seller, productId } = await pair()
    let ended!: Parameters<NonNullable<Settlement['start']>>[0]
    let sent = 0
    const { sql } = exchange.context
    const other = await startExchange(sql as never, {
      settlement: { settle: undefined, submit: async () => void sent++, start: async (told) => void (ended = told) },
    })
    const id = await other.exchange.create(productId, bodyOf([await item(buyer, seller)]))
    await vi.waitFor(() => expect(sent).toBe(1), 10_000)
    const { id: of } = await sql.db.selectFrom('des_items').select('id').where('request', '=', id).executeTakeFirstOrThrow()
    await sql.transaction((tx) => ended(tx, [{ is: 'refused', item: of, reason: 'EXPIRED' }]))
    const { result } = await other.exchange.result(id, 10_000)
    await other.stop()
    expect(result).toMatchObject({ status: 'FAIL', datasources: [{ status: 'PROXY_TRANSFER_ERROR', comment: 'EXPIRED' }] })
    expect(result.datasources[0]).not.toHaveProperty('data')
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 10_000n, available: 10_000n })
  })

  it('comes as events to whoever follows', async () => {
    const { buyer, productId, seller } = await pair()
    const id = await exchange.exchange.create(productId, bodyOf([await item(buyer, seller)]))
    const answer = await fetch(`${exchange.listener.url}/api/request/${id}`, { headers: { accept: 'text/event-stream' } })
    expect(answer.headers.get('content-type')).toBe('text/event-stream')
    const text = await answer.text()
    const last = JSON.parse(/data: (.*)\n\n$/.exec(text)![1]!) as unknown
    expect(last).toMatchObject({ status: 'FINISHED' })
  })

  it('is gone after its time, and the bill stays', async () => {
    const { buyer, productId, seller } = await pair()
    const id = await exchange.exchange.create(productId, bodyOf([await item(buyer, seller)]))
    expect((await exchange.exchange.result(id, 10_000)).result.status).toBe('FINISHED')
    await exchange.context.content.dropBefore(Date.now() + 1000)
    expect((await exchange.exchange.result(id)).result.datasources).toMatchObject([
      { status: 'NONE', comment: 'the answer is not kept any more' },
    ])
  })
})

describe('what another process has left', () => {
  // When, how often and by how many: endItems.test.ts, where time stands still.
  it('is taken up, and paid', async () => {
    const { buyer, productId, seller } = await pair()
    const dead = await startExchange(exchange.context.sql as never, {
      fetch: () => new Promise(() => {}), // it ends before an answer
      sweeps: false,
    })
    const id = await dead.exchange.create(productId, bodyOf([await item(buyer, seller)]))
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 10_000n, available: 9000n })
    await exchange.context.sql.db.updateTable('des_items').set({ due_at: 0 }).where('request', '=', id).execute()
    const { result } = await exchange.exchange.result(id, 8000)
    expect(result.datasources).toMatchObject([{ status: 'SUCCESS' }])
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 9000n, available: 9000n })
    await dead.listener.close()
  })

  it('may be cancelled while nobody was asked', async () => {
    const { buyer, productId, seller } = await pair()
    const idle = await startExchange(exchange.context.sql as never, { fetch: () => new Promise(() => {}), sweeps: false })
    const id = await idle.exchange.create(productId, bodyOf([await item(buyer, seller)]))
    expect(await exchange.exchange.cancel(id)).toBe(0) // it was forwarded
    await exchange.context.sql.db
      .updateTable('des_items')
      .set({ state: 'HELD', due_at: Date.now() + 60_000 })
      .where('request', '=', id)
      .execute()
    expect(await exchange.exchange.cancel(id)).toBe(1)
    expect(await exchange.exchange.cancel(id)).toBe(0)
    expect((await exchange.exchange.result(id)).result).toMatchObject({
      status: 'FAIL',
      datasources: [{ status: 'FAIL', comment: 'cancelled' }],
    })
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 10_000n, available: 10_000n })
    expect(await codeOf(exchange.exchange.cancel('nothing'))).toBe('NO_SUCH_REQUEST')
    await idle.listener.close()
  })
})
