import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { grapheneKey, seedSecret } from '../../../core/crypto/graphene/index.ts'
import { pgliteEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import { sealData } from '../../seal/index.ts'
import { sdkDialect, writeJson, writeRequest } from '../../wire/index.ts'
import { createExchangeServer } from '../exchangeServer.ts'
import { bodyOf, startExchange, type Person, type TestExchange } from './exchange.testing.ts'

/** Milliseconds that data sources have where they take too long; elsewhere they have all the time that a busy machine needs. */
const TIMEOUT = 800
const MIB = 2 ** 20

let engine: SqlEngine
let exchange: TestExchange
/** Another process, which waits less long. */
let impatient: TestExchange
let honest: Person
let strange: Person
let product: number
/** What the strange data source does, on a port of its own. */
let behave: RequestListener
let server: Server
let url: string
const sockets = new Set<Socket>()
/** Who would be led into the operator's network. */
let inside: Server
let insideUrl: string
let hits = 0

const listen = async (server: Server): Promise<string> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/data/request`
}

beforeAll(async () => {
  engine = await pgliteEngine()
  const sql = await engine.open()
  exchange = await startExchange(sql, { rules: { answerTimeout: 30_000 } })
  impatient = await startExchange(sql, { rules: { answerTimeout: TIMEOUT }, sweeps: false })
  ;[honest, strange] = [await exchange.person('honest'), await exchange.person('strange')]
  product = await exchange.product(honest, [strange])
  await exchange.source(honest, product, () => ({ result: true }))
  server = createServer((request, response) => behave(request, response))
  server.on('connection', (socket: Socket) => sockets.add(socket.on('close', () => sockets.delete(socket)).on('error', () => {})))
  inside = createServer((_, response) => {
    hits++
    response.end(sealedAnswer)
  })
  ;[url, insideUrl] = [await listen(server), await listen(inside)]
  await exchange.announce(strange, [product], url)
}, 60_000)
afterAll(async () => {
  await exchange?.stop()
  await impatient?.stop()
  for (const each of [server, inside]) {
    each?.close()
    each?.closeAllConnections()
  }
  await engine?.stop()
})

let number = 0
let sealedAnswer = ''
let buyer: Person
beforeEach(async () => {
  hits = 0
  buyer = await exchange.person(`buyer ${number++}`, 10_000n)
  sealedAnswer = await answerOf(strange.key, buyer.key.publicKey)
})

/** An answer as a data source seals it. */
async function answerOf(key: Person['key'], receiver: string, output: unknown = { result: true }): Promise<string> {
  return writeJson({ success: true, data: await sealData(key, receiver, { nonce: 9n }, utf8(writeJson(output))), nonce: 9n })
}
/** Answers with this. */
const say =
  (status: number, body: string | Uint8Array = '', headers: Record<string, string> = {}): RequestListener =>
    (request, response) => {
      request.resume()
      response.writeHead(status, headers).end(body)
    }

/** Asks the strange and the honest one in one request: what became of the first, while the second is paid as ever. */
async function ask(of: TestExchange = exchange): Promise<{ id: string; status: string; comment?: string }> {
  const [honestBefore, strangeBefore] = [await exchange.balance(honest.account), await exchange.balance(strange.account)]
  const items = [await exchange.item(buyer, strange), await exchange.item(buyer, honest)]
  const id = await of.exchange.create(product, bodyOf(items))
  const { result } = await of.exchange.result(id, 10_000)
  const [first, second] = result.datasources
  expect(result).toMatchObject({ status: 'FINISHED', total: 2 })
  expect(second).toMatchObject({ status: 'SUCCESS', datasource: honest.account })
  const paid = first!.status === 'SUCCESS' ? 2n : 1n
  // Nothing is held any more, and only answers are charged.
  const left = 10_000n - paid * 1000n
  expect(await exchange.balance(buyer.account)).toMatchObject({ posted: left, available: left })
  expect((await exchange.balance(honest.account)).posted - honestBefore.posted).toBe(900n)
  expect((await exchange.balance(strange.account)).posted - strangeBefore.posted).toBe(paid === 2n ? 900n : 0n)
  const { status, comment } = first!
  if (status !== 'SUCCESS') expect(first).not.toHaveProperty('data')
  // Buyers are not told where a data source is, nor what it said.
  expect(comment ?? '').not.toMatch(/127\.0\.0\.1|localhost|SECRET/)
  return { id, status, ...(comment !== undefined && { comment }) }
}
const expectEnd = async (status: string, comment: string, of?: TestExchange): Promise<void> =>
  expect(await ask(of)).toMatchObject({ status, comment })

const NONE = ['NONE', 'the data source has nothing on this'] as const
const NO_STATUS = ['DATASOURCE_FAIL', 'answer.status must be 200 or 404'] as const
const NO_JSON = ['DATASOURCE_FAIL', 'the body must be JSON'] as const
const UNREACHED = ['DATASOURCE_FAIL', 'the data source could not be reached'] as const
const TOO_LATE = ['TIMEOUT', `no answer within ${TIMEOUT} ms`] as const

describe('a data source that has no data', () => {
  it.each<[string, () => RequestListener]>([
    ['404', () => say(404)],
    ['404 with a page', () => say(404, '<html>SECRET</html>')],
    ['404 with an answer', () => say(404, sealedAnswer)],
    ['200 without a body', () => say(200)],
    ['200 without data', () => say(200, '{}')],
    ['200 with empty data', () => say(200, '{"success":true,"data":""}')],
    ['no success', () => say(200, sealedAnswer.replace('true', 'false'))],
  ])('says so by %s, and costs nothing', async (_, listener) => {
    behave = listener()
    await expectEnd(...NONE)
  })
})

describe('a data source that answers badly costs nothing:', () => {
  it.each<[string, () => RequestListener, readonly [string, string]]>([
    ['500', () => say(500), NO_STATUS],
    ['500 with a page', () => say(500, '<html>SECRET</html>'), NO_STATUS],
    ['500 with an answer', () => say(500, sealedAnswer), NO_STATUS],
    ['204', () => say(204), NO_STATUS],
    ['429', () => say(429, '{}', { 'retry-after': '1' }), NO_STATUS],
    ['a page', () => say(200, '<html>SECRET</html>'), NO_JSON],
    [
      'bytes that are no text',
      () =>
        say(
          200,
          Uint8Array.from({ length: 1000 }, (_, i) => (i * 31) % 256),
        ),
      NO_JSON,
    ],
    ['half an answer', () => say(200, sealedAnswer.slice(0, -9)), NO_JSON],
    ['two answers', () => say(200, sealedAnswer + sealedAnswer), NO_JSON],
    ['an empty list', () => say(200, '[]'), ['DATASOURCE_FAIL', 'answer must be an object']],
    ['a list', () => say(200, `[${sealedAnswer}]`), ['DATASOURCE_FAIL', 'answer must be an object']],
    ['bytes that are no protocol', () => (request) => void request.socket.end('\0\x01SECRET\xff\r\n\r\n'), UNREACHED],
    ['nothing at all', () => (request) => void request.socket.end(), UNREACHED],
    [
      'another protocol',
      () => (request) => void request.socket.end('HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
      UNREACHED,
    ],
  ])('%s', async (_, listener, end) => {
    behave = listener()
    await expectEnd(...end)
  })

  it.each<[string, unknown]>([
    ['text', 'SECRET'],
    ['null', null],
    ['data that is a number', { data: 7 }],
    ['data in base64', { data: 'SECRET==' }],
    ['data of half a block', { data: 'ab'.repeat(17) }],
    ['a nonce below zero', { data: 'ab'.repeat(16), nonce: -1 }],
    ['a nonce of 65 bits', { data: 'ab'.repeat(16), nonce: 2n ** 64n }],
    ['success that is text', { success: 'yes', data: 'ab'.repeat(16) }],
  ])('JSON of another shape, %s', async (_, body) => {
    behave = say(200, writeJson(body))
    const { status, comment } = await ask()
    expect(status).toBe('DATASOURCE_FAIL')
    expect(comment).toMatch(/^answer\b.* must /)
  })

  it('a connection that is reset in the middle', async () => {
    behave = (_, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write(sealedAnswer.slice(0, 20))
      setTimeout(() => response.socket?.resetAndDestroy(), 20)
    }
    await expectEnd(...UNREACHED)
  })

  it('compressed bytes, which nobody asked for, stay as they are', async () => {
    let accepted: string | undefined = 'nothing'
    const bomb = gzipSync(new Uint8Array(64 * MIB))
    behave = (request, response) => {
      accepted = request.headers['accept-encoding']
      say(200, bomb, { 'content-encoding': 'gzip' })(request, response)
    }
    const before = process.memoryUsage().arrayBuffers
    await expectEnd(...NO_JSON)
    expect(accepted).toBeUndefined()
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * MIB)
    buyer = await exchange.person('buyer of compressed bytes', 10_000n)
    behave = say(200, gzipSync(await answerOf(strange.key, buyer.key.publicKey)), { 'content-encoding': 'gzip' })
    await expectEnd(...NO_JSON)
  })
})

describe('a data source that answers too slowly costs nothing:', () => {
  it('also when its answer comes after all', async () => {
    const late: ServerResponse[] = []
    behave = (_, response) => void late.push(response)
    const { id } = await ask(impatient)
    late[0]!.end(sealedAnswer)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect((await exchange.exchange.result(id)).result.datasources[0]).toMatchObject({
      status: TOO_LATE[0],
      comment: TOO_LATE[1],
    })
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 9000n, available: 9000n })
    expect(late).toHaveLength(1) // nor was it asked again
  })

  it('by a byte at a time, without an end', async () => {
    let open = true
    behave = (request, response) => {
      response.writeHead(200).write('{"data":"')
      const timer = setInterval(() => response.write('ab'), 10)
      request.socket.on('close', () => {
        open = false
        clearInterval(timer)
      })
    }
    await expectEnd(...TOO_LATE, impatient)
    await vi.waitFor(() => expect(open).toBe(false), 10_000)
  })
})

describe('a data source that sends too much costs nothing:', () => {
  /** Sends 100 MiB as fast as they are taken. */
  const flood = (headers: Record<string, string>, sent: { bytes: number; closed: boolean }): RequestListener => {
    const piece = new Uint8Array(MIB).fill(0x61)
    return (_, response) => {
      response.on('close', () => (sent.closed = true)).writeHead(200, headers)
      const more = (): void => {
        while (sent.bytes < 100 * MIB && !response.destroyed) {
          sent.bytes += piece.length
          if (!response.write(piece)) return void response.once('drain', more)
        }
      }
      more()
    }
  }

  it('100 MiB are cut off at the limit', async () => {
    const sent = { bytes: 0, closed: false }
    behave = flood({}, sent)
    await expectEnd('DATASOURCE_FAIL', 'the answer is too large')
    await vi.waitFor(() => expect(sent.closed).toBe(true), 10_000)
    // 17 MiB, and what the buffers of two sockets take.
    expect(sent.bytes).toBeLessThan(40 * MIB)
  })

  it('100 MiB that are announced are not read at all', async () => {
    const sent = { bytes: 0, closed: false }
    behave = flood({ 'content-length': `${100 * MIB}` }, sent)
    await expectEnd('DATASOURCE_FAIL', 'the answer is too large')
    await vi.waitFor(() => expect(sent.closed).toBe(true), 10_000)
    expect(sent.bytes).toBeLessThan(16 * MIB)
  })
})

describe('a data source that would lead the exchange elsewhere', () => {
  it.each([301, 302, 303, 307, 308])('by a redirect of %d is not followed', async (status) => {
    behave = say(status, sealedAnswer, { location: insideUrl })
    await expectEnd(...NO_STATUS)
    expect(hits).toBe(0)
  })

  it('into its own network is not asked', async () => {
    // The server as operators run it, on the same database: its rules are the defaults.
    const real = await createExchangeServer({ database: exchange.context.sql as never, key: exchange.context.key, percent: 1000 })
    const { port } = new URL(insideUrl)
    for (const address of [insideUrl, `http://localhost:${port}/`, `http://[::ffff:127.0.0.1]:${port}/`]) {
      await exchange.announce(strange, [product], address)
      const items = writeJson(writeRequest([await exchange.item(buyer, strange)], sdkDialect))
      const send = (path: string, init: RequestInit = {}) =>
        real.fetch(
          new Request(`http://localhost${path}`, { ...init, headers: { host: 'localhost', 'content-type': 'application/json' } }),
        )
      const created = await send(`/api/request/create/${product}`, { method: 'POST', body: items })
      const { request_id: id } = (await created.json()) as { request_id: string }
      expect(await (await send(`/api/request/${id}?wait=5000`)).json()).toMatchObject({
        status: 'FAIL',
        datasources: [{ status: 'DATASOURCE_FAIL', comment: 'the data source has no public address' }],
      })
      expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 10_000n, available: 10_000n })
    }
    await real.stop()
    expect(hits).toBe(0)
    await exchange.announce(strange, [product], url)
  })
})

describe('an answer that its buyer can not read', () => {
  const eve = grapheneKey(seedSecret('eve'))
  it.each<[string, () => Promise<string>]>([
    ['sealed for somebody else', () => answerOf(strange.key, eve.publicKey)],
    ['sealed by somebody else', () => answerOf(eve, buyer.key.publicKey)],
    ['of random bytes', async () => '{"data":"v2:0123456789abcdef"}'],
    ['that breaks the promise of the product', () => answerOf(strange.key, buyer.key.publicKey, { result: 'maybe' })],
  ])('%s is paid, told as bad, and proved', async (_, answer) => {
    const text = await answer()
    behave = say(200, text)
    const { id, status } = await ask()
    expect(status).toBe('SUCCESS')
    const merchant = exchange.merchant(buyer)
    const { datasources } = await merchant.getResult(id, { product: await merchant.getProduct(product) })
    expect(datasources).toMatchObject([
      { status: 'BAD_ANSWER', datasource: strange.account },
      { status: 'SUCCESS', data: { result: true } },
    ])
    const [told] = (await exchange.exchange.result(id)).result.datasources
    // The key is the account's, whatever the answer says.
    expect(told!.datasourcePublicKey).toBe(strange.key.publicKey)
    const [proof] = await merchant.evidence(id)
    expect(proof).toMatchObject({ requestId: id, position: 0, payee: strange.account, txid: told!.txid })
  })
})

describe('an answer', () => {
  it('without a nonce of its own has the one of its question', async () => {
    const data = await sealData(strange.key, buyer.key.publicKey, { nonce: 7n }, utf8('{"result":true}'))
    behave = say(200, writeJson({ data }))
    const { id } = await ask()
    expect((await exchange.exchange.result(id)).result.datasources[0]).toMatchObject({ status: 'SUCCESS', data, nonce: 7n })
    expect((await exchange.merchant(buyer).getResult(id)).datasources[0]).toMatchObject({ data: { result: true } })
  })

  it('of an account that has no key any more is not paid', async () => {
    behave = say(200, sealedAnswer)
    const { context } = exchange
    const other = await startExchange(context.sql as never, {
      sweeps: false,
      settlement: {
        publicKeyOf: async (account) => (account === strange.account ? undefined : context.settlement.publicKeyOf(account)),
      },
    })
    expect(await ask(other)).toMatchObject({
      status: 'DATASOURCE_FAIL',
      comment: 'the data source has no account any more',
    })
    await other.listener.close()
  })
})

describe('a question', () => {
  it('is asked once, signed, with nothing of the buyer but what it has to be', async () => {
    const seen: { headers: IncomingMessage['headers']; body: string }[] = []
    behave = (request, response) => {
      let body = ''
      request
        .setEncoding('utf8')
        .on('data', (piece: string) => (body += piece))
        .on('end', () => {
          seen.push({ headers: request.headers, body })
          response.end(sealedAnswer)
        })
    }
    const { id } = await ask()
    expect(seen).toHaveLength(1)
    const { requestParams, ...rest } = JSON.parse(seen[0]!.body) as Record<string, unknown>
    expect(requestParams).toMatchObject({ from: buyer.account, to: strange.account })
    expect(Object.keys(rest).sort()).toEqual([
      'merchantAccountId',
      'nonce',
      'params',
      'productId',
      'publicKey',
      'requestId',
      'timestamp',
    ])
    expect(rest).toMatchObject({
      merchantAccountId: buyer.account,
      publicKey: buyer.key.publicKey,
      productId: product,
      requestId: id,
    })
    // What the honest one was asked is sealed for the honest one.
    expect(seen[0]!.body).not.toContain(honest.account)
  })

  it('whose authorisation runs out meanwhile waits no longer than that, and is not paid', async () => {
    behave = () => {}
    const { context } = exchange
    const expiration = Math.floor(Date.now() / 1000) + 100
    let ahead = 0
    const late = await startExchange(context.sql as never, {
      sweeps: false,
      rules: { answerTimeout: 60_000 },
      clock: { now: () => Date.now() + ahead, sleep: context.clock.sleep },
      settlement: {
        // When money is set apart for it, 200 ms are left.
        ledgerAccount(...of) {
          ahead = expiration * 1000 - 200 - Date.now()
          return context.settlement.ledgerAccount(...of)
        },
      },
    })
    const id = await late.exchange.create(product, bodyOf([await exchange.item(buyer, strange, { expiration })]))
    const { result } = await late.exchange.result(id, 5000)
    expect(result.datasources[0]!.status).toBe('TIMEOUT')
    expect(result.datasources[0]!.comment).toMatch(/^no answer within (1\d\d|\d\d) ms$/)
    expect(await exchange.balance(buyer.account)).toMatchObject({ posted: 10_000n, available: 10_000n })
    await late.listener.close()
  })

  it('whose authorisation has run out is not asked', async () => {
    let questions = 0
    behave = () => questions++
    const { context } = exchange
    const expiration = Math.floor(Date.now() / 1000) + 100
    let ahead = 0
    const late = await startExchange(context.sql as never, {
      sweeps: false,
      clock: { now: () => Date.now() + ahead, sleep: context.clock.sleep },
      settlement: {
        ledgerAccount(...of) {
          ahead = expiration * 1000 - Date.now()
          return context.settlement.ledgerAccount(...of)
        },
      },
    })
    const id = await late.exchange.create(product, bodyOf([await exchange.item(buyer, strange, { expiration })]))
    const { result } = await late.exchange.result(id, 5000)
    expect(result.datasources).toMatchObject([{ status: 'FAIL', comment: 'the authorisation has expired' }])
    expect([questions, await exchange.balance(buyer.account)]).toMatchObject([0, { posted: 10_000n, available: 10_000n }])
    await late.listener.close()
  })
})
