import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { toHex, utf8 } from '../../../core/bytes.ts'
import { transferDigest, type PublicKeyText } from '../../../core/crypto/graphene/index.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { SafeFetch } from '../../../core/http/safeFetch.ts'
import { createManualClock, type ManualClock } from '../../../testing/manualClock.ts'
import { pgliteEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import { evidenceDigest, verifyEvidence } from '../../evidence.ts'
import { readJson, writeJson, type RequestItem } from '../../wire/index.ts'
import type { DueTransfer, ExchangeRules, Settlement, TransferEnd } from '../context.ts'
import { cidOf } from '../content/cid.ts'
import { anchorEvidence, evidenceOf } from '../evidence/evidence.ts'
import { createEndings, type Return } from './endItems.ts'
import { bodyOf, codeOf, startExchange, type Person, type TestExchange, type TestExchangeOptions } from './exchange.testing.ts'
import { createExchange } from './exchange.ts'

const START = Date.UTC(2018, 4, 1, 4)
/** Milliseconds that a data source has here, and that an item is its process's own beyond that. */
const [TIMEOUT, LEASE] = [2000, 5000]
const ANSWER = 'v2:0123456789abcdef'

let engine: SqlEngine
let clock: ManualClock
let exchange: TestExchange
/** What data sources say by their account: the silent ones nothing until the test is over, others when they are told to. */
const says = new Map<string, 'answer' | 'none' | 'silent' | Promise<void>>()
let over = new AbortController()
const testIsOver = (signal = over.signal): Promise<void> =>
  new Promise((_, reject) =>
    signal.addEventListener('abort', () => reject(new SluiceError('CONNECTION_FAILED', 'the test is over'))),
  )
/** What each process asked: memos. */
const fetchFor =
  (asked: string[] = []): SafeFetch =>
    async (_, { body }) => {
      const { requestParams } = readJson(body) as { requestParams: { to: string; memo: string } }
      asked.push(requestParams.memo)
      const said = says.get(requestParams.to) ?? 'answer'
      if (said === 'silent') await testIsOver()
      if (typeof said === 'object') await said
      const answer = { status: 200, bytes: utf8(writeJson({ data: ANSWER, nonce: 9n })), headers: {} }
      return said === 'none' ? { ...answer, status: 404 } : answer
    }

beforeAll(async () => {
  engine = await pgliteEngine()
  clock = createManualClock(START)
  exchange = await startExchange(await engine.open(), { clock, fetch: fetchFor(), sweeps: false })
}, 60_000)
afterAll(async () => {
  await exchange?.stop()
  await engine?.stop()
})

/** Another process on the same database. */
const opened: TestExchange[] = []
async function open(options: TestExchangeOptions = {}): Promise<TestExchange & { asked: string[] }> {
  const asked: string[] = []
  const process = await startExchange(exchange.context.sql as never, {
    clock,
    fetch: fetchFor(asked),
    sweeps: false,
    ...options,
  })
  opened.push(process)
  return { ...process, asked }
}
afterEach(async () => {
  over.abort()
  over = new AbortController()
  for (const process of opened.splice(0)) {
    await process.exchange.stop()
    await process.listener.close()
  }
  await exchange.context.sql.db.updateTable('des_items').set({ due_at: null }).execute()
})

let number = 0
const person = (money?: bigint): Promise<Person> => exchange.person(`party ${number++}`, money)

/** A buyer, and a product with this many data sources. */
async function market(sellers = 1, fields: Record<string, unknown> = {}) {
  const buyer = await person(10_000n)
  const all = await Promise.all(Array.from({ length: sellers }, () => person()))
  const product = await exchange.product(all[0]!, all.slice(1), fields)
  for (const seller of all) {
    await clock.advance(1)
    await exchange.announce(seller, [product], 'http://source.example/')
  }
  const amount = { amount: BigInt((fields.price as { amount: number } | undefined)?.amount ?? 1000), assetId: '1.3.1' } as const
  const items = (): Promise<RequestItem[]> =>
    Promise.all(all.map((seller) => exchange.item(buyer, seller, { amount, memo: `memo ${number++}` })))
  return {
    buyer,
    sellers: all,
    product,
    items,
    create: async (of: TestExchange = exchange) => of.exchange.create(product, bodyOf(await items())),
    money: () => exchange.balance(buyer.account),
  }
}
const statesOf = async (id: string, of: TestExchange = exchange) =>
  (await of.exchange.result(id)).result.datasources.map(({ status, comment }) => [status, comment])
const itemsOf = (id: string) =>
  exchange.context.sql.db.selectFrom('des_items').selectAll().where('request', '=', id).orderBy('position').execute()
const until = (check: () => Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 10_000, interval: 5 })
/** The same where time has to pass: who looks after what was left may have been busy when the clock was moved. */
const soon = (check: () => Promise<void>): Promise<void> =>
  until(async () => {
    await clock.advance(10)
    await check()
  })
/** Lets the database do what was asked of it. */
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30))
const ended = (id: string, of: TestExchange = exchange) =>
  soon(async () => expect((await of.exchange.result(id)).result.status).not.toBe('IN_PROGRESS'))

/** A chain that says what became of a transfer when the test wants it to. */
function chain() {
  const sent: DueTransfer[] = []
  let tell!: Parameters<NonNullable<Settlement['start']>>[0]
  const settlement: Partial<Settlement> = {
    settle: undefined,
    submit: async (transfers) => void sent.push(...transfers),
    start: async (told) => void (tell = told),
  }
  const { sql, settlement: ledger } = exchange.context
  return {
    sent,
    settlement,
    tell: (...ends: readonly TransferEnd[]) => sql.transaction((tx) => tell(tx, ends)),
    /** Books a transfer and tells of it, in one transaction as the mirror of a chain does. */
    finish: (transfer: DueTransfer, txid = 'c'.repeat(40)) =>
      sql.transaction(async (tx) => {
        await ledger.settle!(tx, [transfer])
        await tell(tx, [{ is: 'done', item: transfer.item, txid }])
      }),
  }
}

describe('evidence', () => {
  /** What the database calculated is what the text says, for each item. */
  async function expectProved(id: string, positions: readonly number[]): Promise<void> {
    const proofs = await evidenceOf(exchange.context, id)
    expect(proofs.map(({ position }) => position)).toEqual(positions)
    for (const proof of proofs) expect(proof.digest).toBe(toHex(evidenceDigest(proof)).slice(2))
    const rows = await itemsOf(id)
    for (const { position, payer, payee, productId, authorisation, cid, txid } of proofs) {
      const row = rows[position]!
      expect({ payer, payee, productId, authorisation, cid, txid }).toEqual({
        payer: row.payer,
        payee: row.payee,
        productId: row.product,
        authorisation: row.digest,
        cid: await cidOf(utf8(ANSWER)),
        txid: row.txid,
      })
    }
  }

  it('has the same digest in SQL as everywhere, for every end that gets any, and is in its tree', async () => {
    // Settled in the ledger, one of several, of a later version; what is over without data has none.
    const { sellers, product, create } = await market(3)
    const { db } = exchange.context.sql
    const first = await db.selectFrom('des_product_versions').selectAll().where('product', '=', product).executeTakeFirstOrThrow()
    const fields = { input: JSON.stringify(first.input), output: JSON.stringify(first.output) }
    await db
      .insertInto('des_product_versions')
      .values({ ...first, ...fields, price: 1000n, version: 12 })
      .execute()
    await db.updateTable('des_products').set({ version: 12 }).where('id', '=', product).execute()
    says.set(sellers[0]!.account, 'none')
    const ledgered = await create()
    await ended(ledgered)
    await expectProved(ledgered, [1, 2])
    expect((await evidenceOf(exchange.context, ledgered)).map(({ version }) => version)).toEqual([12, 12])

    // Free of charge.
    const free = await market(1, { price: { amount: 0, assetId: '1.3.1' } })
    const gift = await free.create()
    await ended(gift)
    await expectProved(gift, [0])

    // Settled on a chain: its transaction, not the authorisation, in 40 digits and in 64; and one that never happened.
    const remote = chain()
    const process = await open({ settlement: remote.settlement })
    await process.exchange.start()
    const chained = await market(3)
    const id = await chained.create(process)
    await until(async () => expect(remote.sent).toHaveLength(3))
    expect(await evidenceOf(exchange.context, id)).toEqual([])
    const byPayee = (at: number) => remote.sent.find(({ params }) => params.to === chained.sellers[at]!.account)!
    await remote.finish(byPayee(0), 'c'.repeat(40))
    await remote.finish(byPayee(2), 'd'.repeat(64))
    await remote.tell({ is: 'refused', item: byPayee(1).item, reason: 'EXPIRED' })
    await expectProved(id, [0, 2])

    await anchorEvidence(exchange.context, undefined)
    for (const each of [ledgered, gift, id]) {
      const proofs = await evidenceOf(exchange.context, each)
      expect(proofs.map(verifyEvidence)).toEqual(proofs.map(() => true))
      expect(proofs.map((proof) => verifyEvidence({ ...proof, txid: 'e'.repeat(40) }))).toEqual(proofs.map(() => false))
    }
  })
})

describe('a reply', () => {
  const tooLate: Return['reply'] = { is: 'over', state: 'TIMEOUT', comment: 'too late' }
  const answered = async (key: PublicKeyText): Promise<Return['reply']> => ({
    is: 'answered',
    cid: await exchange.context.content.put(utf8(ANSWER)),
    data: ANSWER,
    nonce: 9n,
    key,
  })
  /** An item that a process has asked for and that has no end. */
  async function pending() {
    const { sellers, money, buyer, items, product } = await market()
    says.set(sellers[0]!.account, 'silent')
    const [asked] = await items()
    const id = await exchange.exchange.create(product, bodyOf([asked!]))
    const [row] = await itemsOf(id)
    const work = (reply: Return['reply']): Return => ({
      item: row!.id,
      request: id,
      digest: row!.digest,
      params: asked!.requestParams,
      reply,
    })
    return {
      id,
      money,
      work,
      answer: work(await answered(sellers[0]!.key.publicKey)),
      late: work(tooLate),
      buyer,
      digest: row!.digest,
    }
  }
  const endings = () => createEndings(exchange.context, () => {})

  it('counts once: of several at the same moment the first', async () => {
    const paid = await pending()
    const one = endings()
    await Promise.all([one.returned(paid.answer), one.returned(paid.late), one.returned(paid.answer)])
    expect(await statesOf(paid.id)).toEqual([['SUCCESS', undefined]])
    expect(await paid.money()).toMatchObject({ posted: 9000n, available: 9000n })
    const free = await pending()
    await Promise.all([one.returned(free.late), one.returned(free.answer)])
    expect(await statesOf(free.id)).toEqual([['TIMEOUT', 'too late']])
    expect(await free.money()).toMatchObject({ posted: 10_000n, available: 10_000n })
  })

  it('counts once: of two processes the first', async () => {
    const paid = await pending()
    const [one, two] = [endings(), endings()]
    await one.returned(paid.answer)
    await two.returned(paid.late)
    expect((await statesOf(paid.id))[0]![0]).toBe('SUCCESS')
    const free = await pending()
    await one.returned(free.late)
    await two.returned(free.answer)
    expect(await statesOf(free.id)).toEqual([['TIMEOUT', 'too late']])
    expect([await paid.money(), await free.money()]).toMatchObject([
      { posted: 9000n, available: 9000n },
      { posted: 10_000n, available: 10_000n },
    ])
    expect(await evidenceOf(exchange.context, free.id)).toEqual([])
  })

  it('ends one of many without the others', async () => {
    const all = await Promise.all([pending(), pending(), pending()])
    const one = endings()
    await Promise.all([one.returned(all[0].answer), one.returned(all[1].late), one.returned(all[2].answer)])
    expect(await Promise.all(all.map(async ({ id }) => (await statesOf(id))[0]![0]))).toEqual(['SUCCESS', 'TIMEOUT', 'SUCCESS'])
    expect(await Promise.all(all.map(({ money }) => money()))).toMatchObject([
      { posted: 9000n, available: 9000n },
      { posted: 10_000n, available: 10_000n },
      { posted: 9000n, available: 9000n },
    ])
  })

  it('after which nobody needs the question takes it out of the database', async () => {
    const { id, late } = await pending()
    expect((await itemsOf(id))[0]!.question).toMatch(/^[0-9a-f]+$/)
    await endings().returned(late)
    expect((await itemsOf(id))[0]).toMatchObject({ question: null, due_at: null, ended_at: BigInt(clock.now()) })
  })

  it('whose money can not be moved is not handed out, and costs nothing', async () => {
    const { id, answer, money, digest } = await pending()
    const { sql, ledger } = exchange.context
    await sql.transaction((tx) => ledger.release(tx, `des/item/${digest}`)) // as a hold that has run out
    await endings().returned(answer)
    const { result } = await exchange.exchange.result(id)
    expect(result).toMatchObject({ status: 'FAIL', datasources: [{ status: 'PROXY_TRANSFER_ERROR', comment: 'HOLD_ENDED' }] })
    expect(result.datasources[0]).not.toHaveProperty('data')
    expect(await money()).toMatchObject({ posted: 10_000n, available: 10_000n })
    expect(await evidenceOf(exchange.context, id)).toEqual([])
  })

  it('that the settlement refuses frees the money of this item, not of the others', async () => {
    const refusing = await open({
      settlement: {
        settle: async (tx, transfers) => {
          const ends = await exchange.context.settlement.settle!(tx, transfers.slice(1))
          return [{ is: 'refused', item: transfers[0]!.item, reason: 'NOT_ALLOWED' }, ...ends]
        },
      },
    })
    const all = await Promise.all([pending(), pending()])
    const one = createEndings(refusing.context, () => {})
    await Promise.all(all.map(({ answer }) => one.returned(answer)))
    expect(await statesOf(all[0].id)).toEqual([['PROXY_TRANSFER_ERROR', 'NOT_ALLOWED']])
    expect(await Promise.all(all.map(({ money }) => money()))).toMatchObject([
      { posted: 10_000n, available: 10_000n },
      { posted: 9000n, available: 9000n },
    ])
  })
})

describe('a transfer that a chain makes', () => {
  it('has an unknown end until the chain tells one; it is sent again meanwhile, and counts once', async () => {
    const remote = chain()
    const process = await open({ settlement: remote.settlement })
    await process.exchange.start()
    const { create, money } = await market()
    const id = await create(process)
    await until(async () => expect(remote.sent).toHaveLength(1))
    const [row] = await itemsOf(id)
    expect(row).toMatchObject({ state: 'PENDING_SETTLEMENT', txid: null, ended_at: null })
    // The question stays: it is not known yet that nobody needs it.
    expect(row!.question).not.toBeNull()
    // Nobody can end it otherwise: not a late reply, not who cancels, not time.
    expect(await process.exchange.cancel(id)).toBe(0)
    const { item, digest, params } = remote.sent[0]!
    const late: Return = { item, digest, params, request: id, reply: { is: 'over', state: 'TIMEOUT', comment: 'too late' } }
    await createEndings(process.context, () => {}).returned(late)
    await clock.advance(29_000)
    expect(remote.sent).toHaveLength(1)
    await clock.advance(2_000)
    await soon(async () => expect(remote.sent).toHaveLength(2))
    expect(remote.sent[1]).toEqual(remote.sent[0])
    await clock.advance(31_000)
    await settle()
    expect(remote.sent).toHaveLength(2)
    await clock.advance(5_000)
    await soon(async () => expect(remote.sent).toHaveLength(3))
    expect(process.asked).toHaveLength(1)
    // Long after its authorisation the money is still set apart: the chain may have taken it.
    await process.exchange.stop()
    await clock.advance(86_400_000)
    expect(await money()).toMatchObject({ posted: 10_000n, available: 9000n })
    const early = (await exchange.exchange.result(id)).result
    expect(early).toMatchObject({ status: 'IN_PROGRESS', datasources: [{ status: 'WAIT_EXCHANGE' }] })
    for (const secret of ['data', 'nonce', 'datasourcePublicKey', 'txid']) expect(early.datasources[0]).not.toHaveProperty(secret)
    // Found after all.
    await remote.finish(remote.sent[0]!)
    const { result } = await exchange.exchange.result(id)
    expect(result.datasources).toMatchObject([{ status: 'SUCCESS', data: ANSWER, txid: 'c'.repeat(40) }])
    // What is told later changes nothing: neither of the opposite, nor again, nor of what is not there.
    await remote.tell({ is: 'refused', item, reason: 'EXPIRED' }, { is: 'done', item: 10n ** 12n, txid: 'd'.repeat(40) })
    await remote.tell({ is: 'done', item, txid: 'd'.repeat(40) })
    expect((await exchange.exchange.result(id)).result).toEqual(result)
    expect(await money()).toMatchObject({ posted: 9000n, available: 9000n })
    expect((await itemsOf(id))[0]).toMatchObject({ question: null, due_at: null })
  })

  it('holds the money for a day beyond its authorisation, and no longer', async () => {
    const remote = chain()
    const process = await open({ settlement: remote.settlement })
    const { product, buyer, sellers, money } = await market()
    const expiration = Math.floor(clock.now() / 1000) + 100
    await process.exchange.create(product, bodyOf([await exchange.item(buyer, sellers[0]!, { expiration })]))
    await until(async () => expect(remote.sent).toHaveLength(1))
    await clock.advance(expiration * 1000 + 86_400_000 - 1 - clock.now())
    expect((await money()).available).toBe(9000n)
    await clock.advance(1)
    expect((await money()).available).toBe(10_000n)
  })

  it('that can never happen is over: what the chain says then changes nothing', async () => {
    const remote = chain()
    const process = await open({ settlement: remote.settlement })
    await process.exchange.start()
    const { create, money } = await market()
    const id = await create(process)
    await until(async () => expect(remote.sent).toHaveLength(1))
    const { item } = remote.sent[0]!
    await remote.tell({ is: 'refused', item, reason: 'EXPIRED' })
    await remote.tell({ is: 'done', item, txid: 'd'.repeat(40) })
    expect(await statesOf(id)).toEqual([['PROXY_TRANSFER_ERROR', 'EXPIRED']])
    expect(await money()).toMatchObject({ posted: 10_000n, available: 10_000n })
    expect(await evidenceOf(exchange.context, id)).toEqual([])
  })

  it('is none where nobody has answered yet', async () => {
    const remote = chain()
    const process = await open({ settlement: remote.settlement })
    await process.exchange.start()
    const { create, money, sellers } = await market()
    says.set(sellers[0]!.account, 'silent')
    const id = await create(process)
    const [row] = await itemsOf(id)
    await remote.tell({ is: 'done', item: row!.id, txid: 'd'.repeat(40) })
    await remote.tell({ is: 'refused', item: row!.id, reason: 'EXPIRED' })
    expect((await itemsOf(id))[0]).toMatchObject({ state: 'FORWARDED', txid: null })
    expect(await money()).toMatchObject({ posted: 10_000n, available: 9000n })
  })
})

describe('what another process has left', () => {
  const start = async (rules: Partial<ExchangeRules> = {}) => {
    const process = await open({ rules })
    await process.exchange.start()
    // Its first look.
    await settle()
    return process
  }

  it('is its own while it may still be there, and then asked once more by one of the others', async () => {
    const dead = await open()
    const { sellers, create, money } = await market()
    says.set(sellers[0]!.account, 'silent')
    const id = await create(dead)
    await until(async () => expect(dead.asked).toHaveLength(1))
    const others = [await start(), await start()]
    const asked = () => others.flatMap((each) => each.asked)
    await clock.advance(TIMEOUT + LEASE - 2000)
    await settle()
    expect(asked()).toEqual([])
    says.set(sellers[0]!.account, 'answer')
    await clock.advance(3000)
    await ended(id)
    expect(asked()).toEqual(dead.asked)
    expect(await money()).toMatchObject({ posted: 9000n, available: 9000n })
  })

  it('is asked once however long it takes, and not cancelled any more', async () => {
    const dead = await open()
    const { sellers, create, money } = await market()
    says.set(sellers[0]!.account, 'silent')
    const id = await create(dead)
    let answer!: () => void
    says.set(sellers[0]!.account, new Promise((resolve) => (answer = resolve)))
    const { db } = exchange.context.sql
    await db.updateTable('des_items').set({ state: 'HELD', due_at: clock.now(), attempt: 0 }).where('request', '=', id).execute()
    const others = [await start(), await start()]
    await until(async () => expect(others.flatMap(({ asked }) => asked)).toHaveLength(1))
    await settle()
    expect(Number((await itemsOf(id))[0]!.due_at)).toBe(clock.now() + TIMEOUT + LEASE)
    await clock.advance(TIMEOUT + LEASE - 1000)
    await settle()
    expect(await exchange.exchange.cancel(id)).toBe(0)
    expect(await statesOf(id)).toEqual([['WAIT_EXCHANGE', undefined]])
    answer()
    await ended(id)
    expect(others.flatMap(({ asked }) => asked)).toHaveLength(1)
    expect(await money()).toMatchObject({ posted: 9000n, available: 9000n })
  })

  it('is left alone for a while by others, also when its process ends before it asks', async () => {
    const dead = await open()
    const { sellers, create } = await market()
    says.set(sellers[0]!.account, 'silent')
    const id = await create(dead)
    says.set(sellers[0]!.account, 'answer')
    const { sql } = exchange.context
    await sql.db
      .updateTable('des_items')
      .set({ state: 'HELD', due_at: clock.now(), attempt: 0 })
      .where('request', '=', id)
      .execute()
    // A process that takes it, and ends before its next statement.
    const db = new Proxy(sql.db, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target)
        if (name === 'updateTable') throw new Error('the process has ended')
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
    const dying = createExchange({ ...dead.context, sql: { ...sql, db } }, fetchFor())
    await dying.start()
    await until(async () => expect((await itemsOf(id))[0]!.attempt).toBe(1))
    await dying.stop()
    const living = await start()
    await clock.advance(LEASE - 1000)
    await settle()
    expect(living.asked).toEqual([])
    await clock.advance(2000)
    await ended(id)
    expect((await statesOf(id))[0]![0]).toBe('SUCCESS')
  })

  it('is no failure of a data source: what goes wrong in the exchange itself is tried again', async () => {
    const errors: string[] = []
    const broken = await open({
      fetch: async () => {
        throw new TypeError('a fault')
      },
      log: { ...exchange.context.log, error: (message) => void errors.push(message) },
    })
    const { create, money } = await market()
    const id = await create(broken)
    await until(async () => expect(errors).toHaveLength(1))
    expect(await statesOf(id)).toEqual([['WAIT_EXCHANGE', undefined]])
    expect(await money()).toMatchObject({ posted: 10_000n, available: 9000n })
    await clock.advance(TIMEOUT + LEASE)
    await start()
    await ended(id)
    expect((await statesOf(id))[0]![0]).toBe('SUCCESS')
  })

  it('is given up after the second', async () => {
    const dead = await open()
    const { sellers, create, money } = await market()
    says.set(sellers[0]!.account, 'silent')
    const id = await create(dead)
    const { db } = exchange.context.sql
    await db.updateTable('des_items').set({ due_at: clock.now(), attempt: 2 }).where('request', '=', id).execute()
    const living = await start()
    await ended(id)
    expect(await statesOf(id)).toEqual([['TIMEOUT', `no answer within ${TIMEOUT} ms`]])
    expect([living.asked, await money()]).toMatchObject([[], { posted: 10_000n, available: 10_000n }])
  })

  it('is not asked when it is too late for it', async () => {
    const dead = await open()
    const { sellers, create, money } = await market()
    says.set(sellers[0]!.account, 'silent')
    const id = await create(dead)
    const { db } = exchange.context.sql
    await db.updateTable('des_items').set({ state: 'HELD', due_at: clock.now(), attempt: 0 }).where('request', '=', id).execute()
    await clock.advance(2 * TIMEOUT + LEASE)
    const living = await start()
    await ended(id)
    expect(await statesOf(id)).toEqual([['TIMEOUT', `no answer within ${TIMEOUT} ms`]])
    expect([living.asked, await money()]).toMatchObject([[], { posted: 10_000n, available: 10_000n }])
  })

  it('has longer where a product touches privacy', async () => {
    const dead = await open()
    const { sellers, create } = await market(1, { privacy: true })
    says.set(sellers[0]!.account, 'silent')
    const id = await create(dead)
    expect(Number((await itemsOf(id))[0]!.due_at)).toBe(clock.now() + 120_000 + LEASE)
    await clock.advance(120_000)
    await start()
    says.set(sellers[0]!.account, 'answer')
    await clock.advance(LEASE + 1000)
    await ended(id)
    expect((await statesOf(id))[0]![0]).toBe('SUCCESS')
  })

  it('is not asked once it is cancelled, nor when nobody knows where', async () => {
    const dead = await open()
    const pendingElsewhere = async (): Promise<string> => {
      const { sellers, create } = await market()
      says.set(sellers[0]!.account, 'silent')
      const id = await create(dead)
      const { db } = exchange.context.sql
      await db.updateTable('des_items').set({ state: 'HELD', due_at: null }).where('request', '=', id).execute()
      return id
    }
    const { sellers, create, money } = await market(2)
    for (const { account } of sellers) says.set(account, 'silent')
    const id = await create(dead)
    const { db } = exchange.context.sql
    await db
      .updateTable('des_items')
      .set({ state: 'HELD', due_at: clock.now() + 500, attempt: 0 })
      .where('request', '=', id)
      .where('payee', '=', sellers[0]!.account)
      .execute()
    await db
      .updateTable('des_items')
      .set({ due_at: clock.now() + 500 })
      .where('request', '=', id)
      .execute()
    await db.deleteFrom('des_datasources').where('account', '=', sellers[1]!.account).execute()
    const another = await pendingElsewhere()
    // Of two, the one that was not asked, and nobody else's.
    expect(await dead.exchange.cancel(id)).toBe(1)
    expect((await itemsOf(another))[0]!.state).toBe('HELD')
    expect((await exchange.exchange.result(id)).result.status).toBe('IN_PROGRESS')
    expect(await money()).toMatchObject({ posted: 10_000n, available: 9000n })
    expect((await itemsOf(id))[0]).toMatchObject({ state: 'CANCELLED', question: null, due_at: null })
    const living = await start()
    await clock.advance(1000)
    await ended(id)
    expect((await statesOf(id)).map(([status]) => status)).toEqual(['FAIL', 'TIMEOUT'])
    expect((await exchange.exchange.result(id)).result.status).toBe('FAIL')
    expect([living.asked, await money()]).toMatchObject([[], { posted: 10_000n, available: 10_000n }])
  })
})

describe('a stopped exchange', () => {
  it('takes nothing on, and ends what is under way', async () => {
    const { buyer, product, items, money } = await market()
    let answer!: () => void
    const context = (await open()).context
    const slow = createExchange(context, async () => {
      await new Promise<void>((resolve) => (answer = resolve))
      return { status: 200, bytes: utf8(writeJson({ data: ANSWER, nonce: 9n })), headers: {} }
    })
    const id = await slow.create(product, bodyOf(await items()))
    await until(async () => expect(answer).toBeTypeOf('function'))
    let stopped = false
    const stopping = slow.stop().then(() => (stopped = true))
    expect(await codeOf(slow.create(product, bodyOf(await items())))).toBe('ABORTED')
    expect([stopped, (await money()).available]).toEqual([false, 9000n])
    answer()
    await stopping
    expect((await statesOf(id))[0]![0]).toBe('SUCCESS')
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 9000n, available: 9000n })
  })
})

describe('the ledger', () => {
  it.each([
    [1, 1n, 0n],
    [9, 9n, 0n],
    [19, 18n, 1n],
    [1000, 900n, 100n],
  ])("of %d pays %d to the data source and %d to the exchange: dust is the data source's", async (price, payee, own) => {
    const { sellers, create, money } = await market(1, { price: { amount: price, assetId: '1.3.1' } })
    const [total, before] = [await exchange.total(), await exchange.balance(exchange.context.account)]
    await ended(await create())
    expect(await money()).toMatchObject({ posted: 10_000n - BigInt(price) })
    expect(await exchange.balance(sellers[0]!.account)).toMatchObject({ posted: payee, available: payee })
    expect((await exchange.balance(exchange.context.account)).posted - before.posted).toBe(own)
    expect(await exchange.total()).toBe(total)
  })

  it.each([
    ['all', 10_000, { payee: 0n, own: 1000n }],
    ['nothing', 0, { payee: 1000n, own: 0n }],
  ])('gives the exchange %s where its percent says so', async (_, percent, { payee, own }) => {
    const { sellers, product, buyer, money } = await market()
    const before = await exchange.balance(exchange.context.account)
    const process = await open()
    const greedy = createExchange({ ...process.context, percent }, fetchFor())
    const id = await greedy.create(product, bodyOf([await exchange.item(buyer, sellers[0]!, { percent })]))
    await ended(id)
    expect((await statesOf(id))[0]![0]).toBe('SUCCESS')
    expect(await money()).toMatchObject({ posted: 9000n, available: 9000n })
    expect((await exchange.balance(sellers[0]!.account)).posted).toBe(payee)
    expect((await exchange.balance(exchange.context.account)).posted - before.posted).toBe(own)
  })

  it('pays an exchange that sells data itself all of it', async () => {
    const buyer = await person(10_000n)
    const { context } = exchange
    const { merchantId } = await person()
    await context.sql.db.updateTable('des_merchants').set({ account: context.account }).where('id', '=', merchantId).execute()
    const own: Person = { merchantId, account: context.account, key: context.key }
    const product = await exchange.product(own)
    await exchange.announce(own, [product], 'http://own.example/')
    const before = await exchange.balance(own.account)
    const items = [await exchange.item(buyer, own)]
    const id = await exchange.exchange.create(product, bodyOf(items))
    await ended(id)
    expect((await statesOf(id))[0]![0]).toBe('SUCCESS')
    expect((await exchange.balance(own.account)).posted - before.posted).toBe(1000n)
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 9000n, available: 9000n })
    expect((await itemsOf(id))[0]!.digest).toBe(toHex(transferDigest(items[0]!.requestParams)).slice(2))
  })

  it('books what comes in and goes out once, above zero, and never what is held', async () => {
    const { buyer, sellers, create, money } = await market()
    const { ledger } = exchange
    const move = { account: buyer.account, asset: '1.3.1', amount: 500n, key: 'a transfer of a bank' } as const
    expect([await ledger.deposit(move), await ledger.deposit(move)]).toEqual([true, false])
    expect(await codeOf(ledger.deposit({ ...move, amount: 501n }))).toBe('KEY_REUSED')
    for (const amount of [0n, -1n, 2n ** 63n])
      expect([
        await codeOf(ledger.deposit({ ...move, amount, key: 'bad' })),
        await codeOf(ledger.take({ ...move, amount, key: 'bad' })),
      ]).toEqual(['BAD_ARGUMENT', 'BAD_ARGUMENT'])
    expect((await money()).posted).toBe(10_500n)
    const incomes = await exchange.context.sql.db
      .selectFrom('des_incomes')
      .select(['amount'])
      .where('key', '=', move.key)
      .execute()
    expect(incomes).toEqual([{ amount: '500' }])
    says.set(sellers[0]!.account, 'silent')
    await create()
    expect(await codeOf(ledger.take({ ...move, amount: 9501n, key: 'all' }))).toBe('BALANCE_SHORT')
    expect([await ledger.take({ ...move, amount: 9500n }), await ledger.take({ ...move, amount: 9500n })]).toEqual([true, false])
    expect(await money()).toMatchObject({ posted: 1000n, available: 0n })
    const after = await exchange.context.sql.db
      .selectFrom('des_incomes')
      .select(['amount'])
      .where('account', '=', buyer.account)
      .execute()
    expect(after.map(({ amount }) => amount).sort()).toEqual(['10000', '500'])
  })

  it('has one account for a key, and none for what is no name of one', async () => {
    const { key, account } = await person()
    const { ledger } = exchange
    expect(await Promise.all(Array.from({ length: 5 }, () => ledger.openAccount(key.publicKey)))).toEqual(Array(5).fill(account))
    expect(await codeOf(ledger.openAccount('GXC1'))).toBe('BAD_KEY')
    for (const name of ['', account.slice(0, -1) + 'x', `1.3.${account.slice(4)}`, '1.2.99999999999', "1.2.1' or 1=1"])
      expect(await ledger.publicKeyOf(name as `1.2.${string}`)).toBeUndefined()
    expect(await ledger.publicKeyOf(account)).toBe(key.publicKey)
  })
})
