import { SMTPServer } from 'smtp-server'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createHttpService } from '../../../core/http/index.ts'
import { createJobs, type Jobs } from '../../../core/jobs/index.ts'
import { silentLogger } from '../../../core/log.ts'
import { pgliteEngine, type SqlEngine } from '../../../testing/sqlEngines.ts'
import { readJson, writeJson } from '../../wire/index.ts'
import type { Notice } from '../context.ts'
import { changeProfile } from '../market/accounts.ts'
import { createTestMarket, type TestMarket } from '../market/market.testing.ts'
import { addMembers } from '../market/members.ts'
import type { MarketUser } from '../market/user.ts'
import { createNotifier, type Notifier } from './notifier.ts'
import { noticeRoutes } from './routes.ts'
import { textOf } from './texts.ts'

interface Mail {
  readonly to: readonly string[]
  readonly raw: string
}

let engine: SqlEngine
let smtp: SMTPServer
let port: number
/** What the mail server took, and what it says to each recipient next. */
let mails: Mail[]
let refusals: Error[]

const mailBy = (pass: string) => ({
  from: 'des@exchange.test',
  transport: { host: '127.0.0.1', port, auth: { user: 'des', pass } },
})
const refusal = (responseCode: number): Error => Object.assign(new Error('no'), { responseCode })

beforeAll(async () => {
  engine = await pgliteEngine()
  smtp = new SMTPServer({
    authOptional: false,
    disabledCommands: ['STARTTLS'],
    allowInsecureAuth: true,
    onAuth: ({ username, password }, _, done) =>
      done(username === 'des' && password === 'hush' ? null : new Error('who?'), { user: username }),
    onRcptTo: (_, __, done) => done(refusals.shift() ?? null),
    onData(stream, session, done) {
      const chunks: Uint8Array[] = []
      stream.on('data', (chunk: Uint8Array) => chunks.push(chunk))
      stream.on('end', () => {
        mails.push({
          to: session.envelope.rcptTo.map((each) => each.address),
          raw: new TextDecoder().decode(Buffer.concat(chunks)),
        })
        done()
      })
    },
  })
  await new Promise<void>((resolve) => smtp.listen(0, '127.0.0.1', resolve))
  port = (smtp.server.address() as AddressInfo).port
}, 60_000)
afterAll(async () => {
  await engine?.stop()
  await new Promise<void>((resolve) => smtp.close(resolve))
})

let market: TestMarket
let notifier: Notifier
let jobs: Jobs
let users: MarketUser[]

beforeEach(async () => {
  mails = []
  refusals = []
  market = await createTestMarket(await engine.open())
  const { sql, clock } = market.context
  notifier = createNotifier({ sql, clock, log: silentLogger, add: (tx, job) => jobs.add(tx, job), mail: mailBy('hush') })
  jobs = await createJobs(sql, { handlers: notifier.handlers, clock })
  users = await Promise.all([1, 2, 3].map((id) => market.join(id)))
})
afterEach(async () => {
  await jobs.stop()
  notifier.close()
})

/** Notifies in a transaction of its own, through the jobs. */
const notify = (notice: Notice) => market.context.sql.transaction((tx) => notifier.notify(tx, notice))
/** Mails a notice, as a job does. */
const mail = (id: number, by: Notifier = notifier) =>
  by.handlers['des/mail']!({ payload: String(id), attempt: 1, signal: new AbortController().signal })
const notice: Notice = { merchants: [1, 2], kind: 'member.joined', details: { productId: 7, productName: 'KYC认证' } }
const rows = () => market.context.sql.db.selectFrom('des_notices').selectAll().orderBy('id').execute()
const mailed = async () => (await rows()).filter((row) => row.mailed_at !== null).length
const address = (user: MarketUser, email: string) => changeProfile(market.context, user, { email })
const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  for (let turn = 0; turn < 400 && !(await holds()); turn++) await new Promise((resolve) => setTimeout(resolve, 10))
  expect(await holds()).toBe(true)
}

describe('notify', () => {
  it('tells merchants with the transaction that it is about, or not at all', async () => {
    const { sql } = market.context
    const failing = sql.transaction(async (tx) => {
      await notifier.notify(tx, notice)
      throw new Error('not after all')
    })
    await expect(failing).rejects.toThrow('not after all')
    expect(await rows()).toEqual([])
    await notify({ ...notice, merchants: [2, 1, 2, 99] })
    expect((await rows()).map(({ merchant, kind, details, read_at }) => [merchant, kind, details, read_at])).toEqual([
      [1, 'member.joined', notice.details, null],
      [2, 'member.joined', notice.details, null],
    ])
  })

  it('mails those who gave an address, once, in both languages', async () => {
    await address(users[0]!, 'a@source.test')
    await notify(notice)
    jobs.start()
    await until(async () => (await mailed()) === 1)
    expect(mails.map(({ to }) => to)).toEqual([['a@source.test']])
    const { raw } = mails[0]!
    expect(raw).toContain('Message-ID: <notice-1@exchange.test>')
    expect(raw).toMatch(/content-type: text\/plain; charset=utf-8/i)
    expect(raw).not.toMatch(/text\/html/i)
    expect(raw).toMatch(/^Subject: .*=\?UTF-8\?/m)
    const body = raw.slice(raw.indexOf('\r\n\r\n')).trim()
    const text = /base64/i.test(raw) ? new TextDecoder().decode(Buffer.from(body, 'base64')) : decodeQuoted(body)
    expect(text).toContain('您已成为产品“KYC认证”的数据源。')
    expect(text).toContain('You are now a data source of product "KYC认证".')
    await mail(1)
    expect(mails).toHaveLength(1)
  })

  it('goes on trying while the server is in trouble, and gives up on an address that it refuses for good', async () => {
    await address(users[0]!, 'a@source.test')
    await address(users[1]!, 'b@source.test')
    await notify(notice)
    refusals = [refusal(451), refusal(550)]
    await expect(mail(1)).rejects.toMatchObject({ code: 'CONNECTION_FAILED', details: { reply: 451 } })
    await mail(2)
    expect([mails.length, await mailed()]).toEqual([0, 0])
    await mail(1)
    expect([mails.length, await mailed()]).toEqual([1, 1])
  })

  it('fails without the password in the error', async () => {
    const { sql, clock } = market.context
    await address(users[0]!, 'a@source.test')
    await notify(notice)
    const stranger = createNotifier({ sql, clock, log: silentLogger, add: jobs.add, mail: mailBy('wrong-one') })
    const error = await mail(1, stranger).catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'CONNECTION_FAILED', details: { reason: 'EAUTH' } })
    expect(JSON.stringify(error)).not.toContain('wrong-one')
    stranger.close()
  })

  it('sends nothing to an address that was taken back', async () => {
    await address(users[0]!, 'a@source.test')
    await notify(notice)
    await address(users[0]!, '')
    await mail(1)
    expect([mails.length, await mailed()]).toEqual([0, 0])
  })

  it('carries what happens in the market', async () => {
    await address(users[1]!, 'b@source.test')
    const context = { ...market.context, notify: notifier.notify }
    const product = await market.publish(users[0]!, {}, [users[1]!])
    await addMembers(context, users[2]!, product, [])
    jobs.start()
    await until(() => mails.length === 1)
    expect(mails[0]!.to).toEqual(['b@source.test'])
  })
})

describe('createNotifier', () => {
  it('needs an address to send from', () => {
    const { sql, clock } = market.context
    for (const from of ['', 'x', 'a@b\r\nBcc: c@d', '<a@b>']) {
      expect(() => createNotifier({ sql, clock, log: silentLogger, add: jobs.add, mail: { from, transport: {} } })).toThrow(
        'from must be',
      )
    }
  })
})

describe('textOf', () => {
  it("puts every kind in words of one line, and names one that it doesn't know", () => {
    const details = {
      voteId: 3,
      productId: 7,
      productName: 'a\r\nBcc: x@y.z',
      type: 'APPLY',
      requester: 5,
      expireAt: Date.UTC(2018, 4, 3),
    }
    const { subject, text } = textOf({ kind: 'vote.opened', details })
    expect(subject).toContain('Please vote.')
    expect(subject).not.toMatch(/[\r\n]/)
    expect(text).toContain('截止时间: 2018-05-03T00:00:00.000Z')
    for (const kind of ['vote.passed', 'vote.rejected', 'vote.expired', 'member.joined'])
      expect(textOf({ kind, details }).subject).not.toContain(kind)
    expect(textOf({ kind: 'transfer.refused', details: { item: 9 } })).toEqual({
      subject: '[DES] transfer.refused',
      text: 'transfer.refused\nitem: 9\n\ntransfer.refused\nitem: 9\n',
    })
  })
})

describe('noticeRoutes', () => {
  it("lists one's own by pages, and marks them as read", async () => {
    const { context } = market
    const service = createHttpService({
      routes: noticeRoutes(context),
      title: 'test',
      version: '1',
      description: '',
      readBody: readJson,
      writeBody: writeJson,
      clock: context.clock,
      authenticate: (request) => users.find(({ merchantId }) => String(merchantId) === request.headers.get('x-user')),
    })
    const call = async (user: number, path: string, body?: object) =>
      (
        await service.fetch(
          new Request(`http://localhost/market/notices${path}`, {
            headers: { 'x-user': String(user), 'content-type': 'application/json' },
            ...(body && { method: 'POST', body: JSON.stringify(body) }),
          }),
        )
      ).json() as Promise<{ code: number; total: number; data: { noticeId: number; read: boolean }[] }>
    for (const productId of [1, 2, 3]) await notify({ ...notice, details: { productId } })
    const first = await call(1, '?limit=2')
    expect([first.code, first.total, first.data.map(({ noticeId }) => noticeId)]).toEqual([1, 3, [5, 3]])
    expect((await call(1, '?limit=2&page=2')).data.map(({ noticeId }) => noticeId)).toEqual([1])
    // 4 is another's.
    expect(await call(1, '/read', { noticeIds: [3, 4] })).toEqual({ code: 1, msg: '成功' })
    expect((await call(1, '?unread=1')).data.map(({ noticeId }) => noticeId)).toEqual([5, 1])
    expect([(await call(1, '')).total, (await call(2, '?unread=true')).total]).toEqual([3, 3])
    await call(2, '/read', { noticeIds: 'all' })
    expect([(await call(2, '?unread=1')).total, (await call(1, '?unread=1')).total]).toEqual([0, 2])
    expect((await call(9, '')).code).toBe(-2)
    expect((await call(1, '?unread=x')).code).toBe(-1)
  })
})

/** Quoted-printable (RFC 2045, 6.7). */
function decodeQuoted(text: string): string {
  const bytes = text
    .replaceAll('=\r\n', '')
    .replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  return new TextDecoder().decode(Uint8Array.from(bytes, (character) => character.charCodeAt(0)))
}
