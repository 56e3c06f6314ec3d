import { Wallet, verifyMessage } from 'ethers'
import { sql as statement } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createManualClock } from '../../testing/manualClock.ts'
import { postgresEngine } from '../../testing/sqlEngines.ts'
import { createHttpService, type HttpService } from '../http/index.ts'
import { openPostgres, type Sql } from '../sql/index.ts'
import { createSignIn, type SignIn } from './index.ts'

interface User {
  readonly id: number
}
const ORIGIN = 'https://des.example'
const wallets = [Wallet.createRandom(), Wallet.createRandom()]
const [ann, bob] = wallets as [(typeof wallets)[0], (typeof wallets)[0]]
const clock = createManualClock(Date.UTC(2026, 0, 2))
let engine: Awaited<ReturnType<typeof postgresEngine>>
/** Two processes of one database. */
let databases: Sql<unknown>[] = []
let services: HttpService[] = []

const open = async (sql: Sql<unknown>, more: object = {}): Promise<[SignIn<User>, HttpService]> => {
  const signIn = await createSignIn<unknown, User>({
    sql,
    clock,
    origin: ORIGIN,
    ...more,
    async verify({ account, text, signature }) {
      const id = wallets.findIndex(({ address }) => address === account)
      return id !== -1 && verifyMessage(text, signature) === account ? { id } : undefined
    },
  })
  const about = { title: 'Things', version: '1', description: 'Things.' }
  return [signIn, createHttpService<User>({ ...about, routes: signIn.routes, authenticate: signIn.authenticate })]
}

beforeAll(async () => {
  engine = await postgresEngine()
}, 60_000)
afterAll(() => engine?.stop())
beforeEach(async () => {
  for (const each of databases) await each.close()
  const url = await engine.openUrl()
  databases = [openPostgres({ url }), openPostgres({ url })]
  services = (await Promise.all(databases.map((sql) => open(sql)))).map(([, service]) => service)
})
afterAll(async () => {
  for (const each of databases) await each.close()
})

async function post(path: string, body: object, { at = 0, token = '' } = {}) {
  const headers = { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) }
  const answer = await services[at]!.fetch(
    new Request(`http://localhost/signin/${path}`, { method: 'POST', body: JSON.stringify(body), headers }),
  )
  return {
    status: answer.status,
    body: (await answer.json()) as { text: string; token: string; expiresAt: number; code?: string; details?: object },
  }
}
const challenge = async (account = ann.address): Promise<string> => (await post('challenge', { account })).body.text
async function signedIn(wallet = ann, at = 0): Promise<string> {
  const text = await challenge(wallet.address)
  const { status, body } = await post(
    'token',
    { account: wallet.address, text, signature: await wallet.signMessage(text) },
    { at },
  )
  expect(status).toBe(200)
  return body.token
}
const who = async (token: string, sql = databases[0]!): Promise<User | undefined> =>
  (await open(sql))[0].authenticate(new Request('http://localhost/', { headers: { authorization: `Bearer ${token}` } }))

describe('signing in', () => {
  it('gives a token for a signed text that people can read', async () => {
    const { body } = await post('challenge', { account: ann.address })
    expect(body.text.replace(/Nonce: [0-9a-f]{64}/, 'Nonce: N')).toBe(`des.example wants you to sign in with your account:
${ann.address}

Sign this only if you are signing in at https://des.example. It moves no money.

URI: https://des.example
Version: 1
Nonce: N
Issued At: 2026-01-02T00:00:00.000Z
Expiration Time: 2026-01-02T00:05:00.000Z`)
    expect(body.expiresAt).toBe(clock.now() + 300_000)
    const signature = await ann.signMessage(body.text)
    const answer = await post('token', { account: ann.address, text: body.text, signature })
    expect(answer).toMatchObject({ status: 200, body: { expiresAt: clock.now() + 43_200_000 } })
    expect(await who(answer.body.token)).toEqual({ id: 0 })
    expect(await who(await signedIn(bob))).toEqual({ id: 1 })
  })

  it('takes a challenge of one process at another, and a token of one at all', async () => {
    expect(await who(await signedIn(ann, 1))).toEqual({ id: 0 })
  })

  it('takes a challenge once, whoever is asked however often', async () => {
    const text = await challenge()
    const body = { account: ann.address, text, signature: await ann.signMessage(text) }
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => post('token', body, { at: i % 2 })))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(answers.filter(({ status, body: { code } }) => status === 401 && code === 'UNAUTHENTICATED')).toHaveLength(19)
    expect((await post('token', body)).status).toBe(401)
  })

  it('takes a challenge for a short time', async () => {
    const text = await challenge()
    const body = { account: ann.address, text, signature: await ann.signMessage(text) }
    const other = await challenge()
    await clock.advance(299_999)
    expect((await post('token', { ...body, text: other, signature: await ann.signMessage(other) })).status).toBe(200)
    await clock.advance(1)
    expect((await post('token', body)).body.details).toEqual({ name: 'text' })
  })

  it('takes nothing but what it gave, to whom it gave it, signed by him', async () => {
    const text = await challenge()
    const refused = async (body: Record<string, string>, name: string): Promise<void> => {
      const answer = await post('token', {
        account: ann.address,
        text,
        signature: await ann.signMessage(body['text'] ?? text),
        ...body,
      })
      expect(answer, JSON.stringify(body)).toMatchObject({ status: 401, body: { code: 'UNAUTHENTICATED', details: { name } } })
    }
    await refused({ signature: await bob.signMessage(text) }, 'signature')
    await refused({ account: bob.address }, 'text')
    await refused({ account: bob.address, signature: await bob.signMessage(text) }, 'text')
    for (const [from, to] of [
      ['https://des.example', 'https://evil.example'],
      ['Version: 1', 'Version: 2'],
      [/Nonce: ./, 'Nonce: x'],
      [/Nonce: [0-9a-f]{4}/, 'Nonce: 0000'],
      ['2026', '2027'],
      [/Z$/, 'Z\n'],
      [/^/, '\n'],
      ['It moves no money.', 'It moves all money.'],
    ] as const) {
      await refused({ text: text.replace(from, to) }, 'text')
    }
    await refused({ text: 'x' }, 'text')
    // Nothing of this has used it up.
    expect((await post('token', { account: ann.address, text, signature: await ann.signMessage(text) })).status).toBe(200)
  })

  it('takes no challenge of another service', async () => {
    const [, other] = await open((databases[2] = openPostgres({ url: await engine.openUrl() })))
    const text = await challenge()
    services[2] = other
    expect((await post('token', { account: ann.address, text, signature: await ann.signMessage(text) }, { at: 2 })).status).toBe(
      401,
    )
    await databases.pop()!.close()
  })

  it('names the field that is wrong', async () => {
    for (const [path, body, field] of [
      ['challenge', {}, 'account'],
      ['challenge', { account: 'a\nb' }, 'account'],
      ['challenge', { account: 'x'.repeat(129) }, 'account'],
      ['challenge', { account: 'a', more: 1 }, 'more'],
      ['token', { account: 'a', text: 'x' }, 'signature'],
    ] as const) {
      const answer = await post(path, body)
      expect([answer.status, Object.keys(answer.body.details!)]).toEqual([400, [field]])
    }
  })
})

describe('a token', () => {
  it('is stored as a hash alone', async () => {
    const token = await signedIn()
    const { rows } = await statement`select * from sign_in_tokens`.execute(databases[0]!.db)
    expect(rows).toHaveLength(1)
    expect(JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))).not.toContain(token)
    expect(await who(String((rows[0] as { hash: string }).hash))).toBe(undefined)
  })

  it('ends in time, and is removed then', async () => {
    const token = await signedIn()
    await clock.advance(43_199_999)
    expect(await who(token)).toEqual({ id: 0 })
    await clock.advance(1)
    expect(await who(token)).toBe(undefined)
    await signedIn()
    const { rows } = await statement`select expires_at from sign_in_tokens union all select expires_at from sign_in_used`.execute(
      databases[0]!.db,
    )
    expect(rows).toHaveLength(2)
  })

  it('ends when its user signs out, everywhere, and no other does', async () => {
    const [token, other] = [await signedIn(), await signedIn()]
    expect((await post('out', {}, { token, at: 1 })).status).toBe(200)
    expect([await who(token), await who(token, databases[1]), await who(other)]).toEqual([undefined, undefined, { id: 0 }])
    expect((await post('out', {}, { token })).status).toBe(401)
  })

  it('is one of few of its account', async () => {
    const first = await signedIn()
    const foreign = await signedIn(bob)
    const tokens: string[] = []
    for (let i = 0; i < 32; i++) {
      await clock.advance(1)
      tokens.push(await signedIn())
    }
    expect(await who(first)).toBe(undefined)
    expect([await who(tokens[0]!), await who(tokens[31]!), await who(foreign)]).toEqual([{ id: 0 }, { id: 0 }, { id: 1 }])
  })

  it('is not asked for if it can be none', async () => {
    const [signIn] = await open(databases[0]!)
    await databases[0]!.close()
    for (const token of ['', 'x', 'F'.repeat(64), '0'.repeat(63), `${'0'.repeat(64)}x`]) {
      const request = new Request('http://localhost/', { headers: { authorization: `Bearer ${token}` } })
      expect(await signIn.authenticate(request)).toBe(undefined)
    }
  })
})
