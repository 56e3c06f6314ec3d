/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment --
   bodies are held against the OpenAPI document; what a test then looks at is what it expects */
import { request as nodeRequest } from 'node:http'
import { connect } from 'node:net'
import fc from 'fast-check'
import { getAddress, ZeroAddress } from 'ethers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { createHttpService, listenHttp, type HttpListener, type HttpService } from '../../src/channel/http/index.ts'
import { accountOf, eventually, startTown, type Resident, type Town } from './support/town.ts'
import { answered, ask, expectEvent, operations, type Answer } from './support/api.ts'

const TOKEN = 'correct horse battery'.replaceAll(' ', '-')
const ETH = ZeroAddress
let town: Town
const residents: Record<string, Resident> = {}
const services: Record<string, HttpService> = {}
const listeners: Record<string, HttpListener> = {}
/** What carol's store waits for: what is not written is not told. */
let diskOfCarol = Promise.resolve()

/** Starts a node and its service; all but alice's are asked over a socket. */
async function settle(name: string, options: Parameters<Town['resident']>[1] = {}): Promise<void> {
  residents[name] = await town.resident(name, options)
  services[name] = createHttpService(residents[name].node, { token: TOKEN })
  await listeners[name]?.close()
  if (name !== 'alice') listeners[name] = await listenHttp(services[name])
}
const addressOf = (name: string): string => residents[name]!.wallet.address
type Headers = Record<string, string>
const api = (name: string, method: string, path: string, body?: unknown, headers: Headers = {}): Promise<Answer> => {
  const listener = listeners[name]
  const [handler, base] = listener ? [globalThis.fetch, listener.url] : [services[name]!.fetch, 'http://localhost:5001']
  return ask(handler, method, `/api/v1${path}`, { body, base, headers: { authorization: `Bearer ${TOKEN}`, ...headers } })
}

beforeAll(async () => {
  town = await startTown()
  await settle('alice')
  await settle('bob')
  const store = memoryStore()
  const write: typeof store.write = async (changes) => {
    const taken = changes.map(({ key, value }) => ({ key, value: value && value.slice() }))
    await diskOfCarol
    return store.write(taken)
  }
  await settle('carol', { autoSettle: false, store: { ...store, write } })
}, 30_000)
afterAll(async () => {
  for (const listener of Object.values(listeners)) await listener.close()
  await town.stop()
})

describe('a node over HTTP', () => {
  it('tells about itself', async () => {
    expect((await ask(services['alice']!.fetch, 'GET', '/health')).body).toMatchObject({ status: expect.stringMatching(/ready|syncing/) as string })
    await eventually('ready', async () => (await api('alice', 'GET', '/status')).body.status === 'ready')
    expect((await api('alice', 'GET', '/address')).body).toEqual({ our_address: addressOf('alice') })
    expect((await api('alice', 'GET', '/settings')).body).toEqual({ pathfinding_service_address: null, chain_id: '31337' })
    expect((await api('alice', 'GET', '/contracts')).body.token_networks).toEqual([
      { token_address: ETH, token_network_address: getAddress(town.tokenNetwork), settle_timeout: '600' },
    ])
    expect((await api('alice', 'GET', '/tokens')).body).toEqual([ETH])
    expect((await api('alice', 'GET', `/tokens/${ETH}`)).body).toBe(getAddress(town.tokenNetwork))
    expect((await api('alice', 'GET', '/version')).status).toBe(200)
    expect((await api('alice', 'GET', '/openapi.json')).body).toEqual(JSON.parse(JSON.stringify(services['alice']!.openapi)))
  })

  it('opens, deposits and withdraws', async () => {
    const opened = await api('alice', 'PUT', '/channels', {
      partner_address: addressOf('bob'), token_address: ETH, total_deposit: '1000', settle_timeout: 600,
    })
    expect(opened).toMatchObject({ status: 201, body: { state: 'opened', balance: '1000', total_deposit: '1000', network_state: 'reachable' } })
    const at = `/channels/${ETH}/${addressOf('bob')}`
    expect((await api('alice', 'PUT', '/channels', { partner_address: addressOf('bob'), token_address: ETH })).body)
      .toMatchObject({ status: 409, code: 'PAIR_HAS_CHANNEL' })
    expect((await api('alice', 'PATCH', at, { total_deposit: 5000 })).body).toMatchObject({ balance: '5000', total_deposit: '5000' })
    expect((await api('alice', 'PATCH', at, { total_deposit: '5000' })).body).toMatchObject({ status: 409, code: 'TOTAL_DEPOSIT_OUT_OF_RANGE' })
    expect((await api('alice', 'PATCH', at, { total_withdraw: '500' })).body).toMatchObject({ balance: '4500', total_withdraw: '500' })
    expect((await api('alice', 'PATCH', at, { total_withdraw: '50000' })).body).toMatchObject({ status: 402, code: 'CAPACITY_SHORT' })
    expect((await api('alice', 'PATCH', at, { total_withdraw: '1' })).body).toMatchObject({ status: 409, code: 'TOTAL_WITHDRAW_OUT_OF_RANGE' })
    const { body } = await api('alice', 'GET', at)
    expect(BigInt(body.channel_identifier as string)).toBe(BigInt(body.channel_id as string))
    expect((await api('alice', 'GET', '/channels')).body).toEqual([body])
    expect((await api('alice', 'GET', `/channels/${ETH}`)).body).toEqual([body])
    expect((await api('bob', 'GET', `/channels/${ETH}/${accountOf(residents['alice']!)}`)).body)
      .toMatchObject({ balance: '0', partner_balance: '4500' })
    expect((await api('alice', 'GET', `/tokens/${ETH}/partners`)).body).toEqual([{ partner_address: addressOf('bob'), channel: `/api/v1${at}` }])
    expect((await api('alice', 'GET', '/connections')).body).toEqual({ [ETH]: { funds: '0', sum_deposits: '5000', channels: '1' } })
    expect((await api('alice', 'PUT', '/channels', { partner_address: addressOf('carol'), token_address: ETH, settle_timeout: '601' })).body)
      .toMatchObject({ status: 400, details: { name: 'settle_timeout', expected: 600 } })
  })

  it('pays directly and over others, and lists it', async () => {
    const paid = await api('alice', 'POST', `/payments/${ETH}/${addressOf('bob')}`, { amount: '300', identifier: 7 })
    expect(paid).toMatchObject({ status: 200, body: { amount: '300', fee: '0', identifier: '7', target_address: addressOf('bob'), secret_hash: null } })
    expect(paid.body.payment_id).toBe(`0x${'0'.repeat(63)}7`)

    await api('bob', 'PUT', '/channels', { partner_address: addressOf('carol'), token_address: ETH, total_deposit: '1000' })
    const mediated = await eventually('a path', async () => {
      const answer = await api('alice', 'POST', `/payments/${ETH}/${addressOf('carol')}`, { amount: '200' })
      return answer.status === 200 && answer
    })
    expect(mediated.body).toMatchObject({ amount: '200', secret_hash: expect.stringMatching(/^0x/) as string })

    const list = (await api('alice', 'GET', `/payments/${ETH}/${addressOf('bob')}`)).body as object[]
    expect(list).toMatchObject([{ event: 'EventPaymentSentSuccess', target: addressOf('bob'), amount: '300', identifier: '7' }])
    expect((await api('bob', 'GET', `/payments/${ETH}`)).body)
      .toMatchObject([{ event: 'EventPaymentReceivedSuccess', initiator: addressOf('alice'), amount: '300', identifier: '7' }])
    const all = (await api('alice', 'GET', '/payments')).body as unknown[]
    expect(all.length).toBeGreaterThanOrEqual(2)
    expect([...(await api('alice', 'GET', '/payments?limit=1')).body, ...(await api('alice', 'GET', '/payments?offset=1')).body]).toEqual(all)
    expect((await api('alice', 'GET', '/payments?limit=0')).body).toEqual([])
    expect((await api('alice', 'GET', '/payments?limit=1001')).body).toMatchObject({ status: 400, code: 'BAD_ARGUMENT', details: { limit: expect.any(String) as string } })
    expect((await api('alice', 'GET', '/pending_transfers')).body).toEqual([])
    expect((await api('alice', 'POST', `/payments/${ETH}/${addressOf('bob')}`, { amount: '300000' })).status).toBe(402)
    expect((await api('alice', 'POST', `/payments/${ETH}/${town.devnet.accounts.at(-1)!.address}`, { amount: '3' })).body)
      .toMatchObject({ status: 409, code: 'NO_ROUTE' })
  })

  it('lists a payment under way', async () => {
    let resume = (): void => {}
    diskOfCarol = new Promise((resolve) => (resume = resolve))
    const paying = api('alice', 'POST', `/payments/${ETH}/${addressOf('carol')}`, { amount: '50', identifier: '99' })
    const paths = ['', `/${ETH}`, `/${ETH}/${addressOf('carol')}`, `/${ETH}/${addressOf('bob')}`]
    const look = (): Promise<object[][]> =>
      Promise.all(paths.map(async (path) => (await api('alice', 'GET', `/pending_transfers${path}`)).body as object[]))
    const seen = await eventually('the lock', async () => {
      const each = await look()
      return each[0]!.length > 0 && each
    })
    expect(seen[0]).toMatchObject([{ role: 'initiator', target: addressOf('carol'), locked_amount: '50', payment_identifier: '99' }])
    expect(seen.slice(1)).toEqual([seen[0], seen[0], []])
    resume()
    expect((await paying).status).toBe(200)
    expect((await api('alice', 'GET', '/pending_transfers')).body).toEqual([])
  })

  it('closes together, which settles at once', async () => {
    const at = `/channels/${ETH}/${addressOf('alice')}`
    await eventually('quiet', async () => (await api('bob', 'GET', at)).body.partner_locked_amount === '0')
    expect((await api('bob', 'PATCH', at, { state: 'closed' })).body).toMatchObject({ state: 'settled', settle_at: null })
    expect((await api('bob', 'GET', at)).body).toMatchObject({ state: 'settled', balance: '0' })
    expect((await api('bob', 'PATCH', at, { total_deposit: '9999' })).body).toMatchObject({ status: 409, code: 'CHANNEL_NOT_OPEN' })
    expect((await api('bob', 'GET', '/channels')).body).toHaveLength(1)
  })

  it('closes alone, and settles after the challenge period', async () => {
    const at = `/channels/${ETH}/${addressOf('bob')}`
    await residents['bob']!.node.stop()
    const closed = await api('carol', 'PATCH', at, { state: 'closed' })
    expect(closed.body).toMatchObject({ state: 'closed', network_state: 'unreachable', settle_at: expect.stringContaining('T') as string })
    expect((await api('carol', 'PATCH', at, { state: 'closed' })).body).toMatchObject({ status: 409, code: 'CHANNEL_NOT_OPEN' })
    expect((await api('carol', 'PATCH', at, { state: 'settled' })).body).toMatchObject({ status: 409, code: 'SETTLE_TOO_EARLY' })
    await town.devnet.increaseTime(601)
    expect((await api('carol', 'PATCH', at, { state: 'settled' })).body).toMatchObject({ state: 'settled' })
    await settle('bob')
    expect((await api('carol', 'GET', '/notifications')).body).toMatchObject([{ summary: 'a channel was closed', urgency: 'normal' }])
  })

  it('says what to use instead of what it does not offer', async () => {
    for (const [method, instead] of [['PUT', /PUT .*channels/], ['DELETE', /PATCH .*channels/]] as const) {
      const { status, body, headers } = await api('alice', method, `/connections/${ETH}`)
      expect({ status, code: body.code }).toEqual({ status: 405, code: 'NOT_OFFERED' })
      expect(body.detail).toMatch(instead)
      expect(headers.get('allow')).toBe('')
    }
  })
})

describe('a node of several token networks', () => {
  it('takes the one of the token', async () => {
    const both = { tokenNetwork: [town.tokenNetwork, await town.network()] }
    for (const name of ['erin', 'frank', 'grace']) await settle(name, both)
    const tokens = (await api('erin', 'GET', '/tokens')).body as string[]
    expect(tokens).toHaveLength(2)
    const partners = ['frank', 'grace'] as const
    for (const [i, partner] of partners.entries()) {
      const opened = await api('erin', 'PUT', '/channels', { partner_address: addressOf(partner), token_address: tokens[i], total_deposit: 100 })
      expect(opened).toMatchObject({ status: 201, body: { token_address: tokens[i], balance: '100' } })
      expect(await api('erin', 'POST', `/payments/${tokens[i]}/${addressOf(partner)}`, { amount: '3' })).toMatchObject({ status: 200 })
    }
    for (const [i, partner] of partners.entries()) {
      expect((await api('erin', 'GET', `/channels/${tokens[i]}`)).body).toMatchObject([{ partner_address: addressOf(partner), balance: '97' }])
      expect((await api('erin', 'GET', `/payments/${tokens[i]}`)).body).toMatchObject([{ target: addressOf(partner), token_address: tokens[i] }])
      expect((await api('erin', 'GET', `/channels/${tokens[1 - i]}/${addressOf(partner)}`)).status).toBe(404)
    }
    expect(Object.keys((await api('erin', 'GET', '/connections')).body as object).sort()).toEqual([...tokens].sort())
  })
})

describe('a payment that is asked for twice', () => {
  const pay = (body: object, key?: string): Promise<Answer> =>
    api('alice', 'POST', `/payments/${ETH}/${addressOf('bob')}`, body, key === undefined ? {} : { 'idempotency-key': key })
  const capacity = (): bigint => residents['alice']!.node.channels().find(({ phase }) => phase === 'open')!.capacity

  beforeAll(async () => {
    await api('alice', 'PUT', '/channels', { partner_address: addressOf('bob'), token_address: ETH, total_deposit: '1000' })
  })

  it('is paid once for its Idempotency-Key, also by a new service', async () => {
    const [first, second] = await Promise.all([pay({ amount: '10' }, 'order-1'), pay({ amount: '10' }, 'order-1')])
    expect(first.status).toBe(200)
    expect(second.body).toEqual(first.body)
    expect(capacity()).toBe(990n)
    services['alice'] = createHttpService(residents['alice']!.node, { token: TOKEN })
    expect((await pay({ amount: '10' }, 'order-1')).body).toEqual(first.body)
    expect(capacity()).toBe(990n)
    await pay({ amount: '10' }, 'order-2')
    expect(capacity()).toBe(980n)
  })

  it('is refused under the key of another one', async () => {
    await pay({ amount: '1' }, 'order-3')
    for (const other of [{ amount: '2' }, { amount: '1', max_fee: '5' }]) {
      expect((await pay(other, 'order-3')).body).toMatchObject({ status: 422, code: 'IDEMPOTENCY_KEY_REUSED' })
    }
    services['alice'] = createHttpService(residents['alice']!.node, { token: TOKEN })
    expect((await pay({ amount: '2' }, 'order-3')).body).toMatchObject({ status: 409, code: 'PAYMENT_ID_TAKEN' })
    expect(capacity()).toBe(979n)
  })

  it('is paid once for its identifier, too', async () => {
    const first = await pay({ amount: '4', identifier: '12' })
    expect((await pay({ amount: '4', identifier: 12 })).body).toEqual(first.body)
    expect((await pay({ amount: '5', identifier: '12' })).body).toMatchObject({ status: 409, code: 'PAYMENT_ID_TAKEN' })
    expect((await pay({ amount: '4', identifier: '13' }, 'order-4')).body).toMatchObject({ status: 400, details: { name: 'Idempotency-Key' } })
    expect(capacity()).toBe(975n)
  })
})

describe('whatever comes in', () => {
  const snapshot = (): unknown => JSON.stringify([residents['alice']!.node.channels(), residents['bob']!.node.channels()], (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value)
  const nonsense = fc.oneof(
    fc.jsonValue({ maxDepth: 4 }),
    fc.dictionary(fc.constantFrom(
      'amount', 'identifier', 'max_fee', 'secret_hash', 'total_deposit', 'total_withdraw', 'partner_address', 'token_address', 'settle_timeout', '__proto__', 'state',
    ), fc.oneof(
      fc.jsonValue({ maxDepth: 1 }), fc.constantFrom('-1', '1e3', '01', '0x10', ' 1', '1.5', 1.5, -1, 2 ** 53, 1e300, '9'.repeat(78), '9'.repeat(40), ETH, 'opened', ''),
    )),
  ).filter((body) => {
    // What would be right: an amount that can be paid.
    const { amount } = (body ?? {}) as { amount?: unknown }
    return !(Number.isSafeInteger(amount) && Number(amount) > 0) && !(typeof amount === 'string' && /^[1-9]\d{0,30}$/.test(amount))
      && !Object.entries(body ?? {}).some(([name, value]) => name === 'total_deposit' && /^\d{1,31}$/.test(String(value as string)) && Number(value) > 1000)
  })

  it('is answered below 500, and changes nothing', async () => {
    const before = snapshot()
    const block = await town.devnet.provider.getBlockNumber()
    const bob = addressOf('bob')
    const segment = fc.oneof(fc.string({ unit: 'grapheme' }).map(encodeURIComponent), fc.constantFrom(
      '%', '%00', '%2e%2e', '..', '.', ETH, bob, bob.toLowerCase(), bob.replace('0x', '0X'), '0x', 'api', 'v1', 'channels', 'payments', 'tokens', 'partners',
      'connections', 'pending_transfers', '__proto__', 'constructor', '?limit=1e9', '?limit[]=1', '*', ':token', '%ff%fe',
    ))
    const path = fc.oneof(
      fc.array(segment, { maxLength: 6 }).map((parts) => `/${parts.join('/')}`),
      fc.constantFrom('/channels', `/channels/${ETH}/${bob}`, `/payments/${ETH}/${bob}`, `/connections/${ETH}`, '/payments').map((known) => `/api/v1${known}`),
      fc.array(segment, { maxLength: 3 }).map((parts) => `/api/v1/${parts.join('/')}`),
    )
    const method = fc.constantFrom('GET', 'HEAD', 'PUT', 'PATCH', 'POST', 'DELETE', 'OPTIONS', 'QUERY')
    await fc.assert(fc.asyncProperty(method, path, nonsense, async (how, where, body) => {
      if (/shutdown|events/.test(where)) return
      const bodiless = how === 'GET' || how === 'HEAD'
      const { status } = await ask(services['alice']!.fetch, how, where, {
        ...(bodiless ? {} : { body: JSON.stringify(body) }), headers: { authorization: `Bearer ${TOKEN}` },
      })
      expect(status).toBeLessThan(500)
      if (!bodiless) expect(status).toBeGreaterThanOrEqual(400)
    }), { numRuns: 600 })
    expect(snapshot()).toBe(before)
    expect(await town.devnet.provider.getBlockNumber()).toBe(block)
  }, 60_000)

  it.each([
    ['no JSON', '{"amount":', 400],
    ['nothing', '', 400],
    ['deep nesting', '['.repeat(60_000), 400],
    ['deep nesting that ends', `${'['.repeat(30_000)}${']'.repeat(30_000)}`, 400],
    ['no UTF-8', new Uint8Array([0x22, 0xff, 0x22]), 400],
    ['too much', JSON.stringify({ amount: '1', max_fee: ' '.repeat(65_536) }), 413],
    ['a float', '{"amount": 1.5}', 400],
    ['an inexact number', '{"amount": 9007199254740993}', 400],
    ['more than a channel holds', `{"amount": "${2n ** 104n}"}`, 400],
    ['an identifier of more than 32 bytes', `{"amount": "1", "identifier": "${2n ** 256n}"}`, 400],
    ['an unknown field', '{"amount": "1", "tip": "1"}', 400],
    ['a prototype', '{"amount": "1", "__proto__": {"max_fee": "1"}}', 400],
    ['a secret hash', `{"amount": "1", "secret_hash": "0x${'11'.repeat(32)}"}`, 400],
    ['nothing to pay', '{"amount": "0"}', 400],
  ])('%s is refused', async (_, body, status) => {
    const before = snapshot()
    const answer = await services['alice']!.fetch(new Request(`http://localhost/api/v1/payments/${ETH}/${addressOf('bob')}`, {
      method: 'POST', body, headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    }))
    const problem = await answer.json() as Record<string, unknown>
    expect(problem).toMatchObject({ status, type: expect.stringMatching(/^urn:sluice:problem:/) as string, errors: problem['detail'] })
    expect(JSON.stringify(problem)).not.toMatch(/node_modules|\.ts:|    at /)
    expect(snapshot()).toBe(before)
  })

  it('names the field that is wrong', async () => {
    const { body } = await api('alice', 'POST', `/payments/${ETH}/${addressOf('bob')}`, { amount: 'much', max_fee: -1 })
    expect(Object.keys(body.details as object)).toEqual(['amount', 'max_fee'])
  })

  it('two changes in one request are refused', async () => {
    const at = `/channels/${ETH}/${addressOf('bob')}`
    expect((await api('alice', 'PATCH', at, { total_deposit: '2000', state: 'closed' })).status).toBe(400)
    expect((await api('alice', 'PATCH', at, {})).status).toBe(400)
  })

  it('addresses in paths have to be right, and known', async () => {
    for (const path of [
      '/channels/0x12', `/channels/${ETH}/0x12`, `/channels/${addressOf('bob')}`, `/channels/${ETH}/${town.devnet.accounts.at(-1)!.address}`,
      `/channels/${ETH}/${addressOf('bob').replace(/[a-f]/, (letter) => letter.toUpperCase())}`, '/user_deposit', '/channels/', '/../health',
    ]) {
      expect((await api('alice', 'GET', path)).status, path).toBe(404)
    }
  })

  it('a wrong method gets the right ones', async () => {
    const { status, headers } = await api('alice', 'POST', '/channels', {})
    expect([status, headers.get('allow')]).toEqual([405, 'GET, HEAD, PUT'])
    expect((await api('alice', 'DELETE', `/channels/${ETH}/${addressOf('bob')}`)).headers.get('allow')).toBe('GET, HEAD, PATCH')
  })
})

describe('who may ask', () => {
  const fetch = (path: string, init: RequestInit = {}): Promise<Response> => services['alice']!.fetch(new Request(`http://localhost${path}`, init))
  const bearer = { authorization: `Bearer ${TOKEN}` }

  it('only who has the token, but for /health', async () => {
    for (const authorization of [undefined, 'Bearer', `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(0, -1)}`, `Basic ${TOKEN}`, `Bearer ${TOKEN} `.repeat(2)]) {
      for (const path of ['/api/v1/address', '/api/v1/openapi.json', '/api/v1/events', '/nothing', '/']) {
        const answer = await fetch(path, authorization === undefined ? {} : { headers: { authorization } })
        expect([answer.status, answer.headers.get('www-authenticate')], `${path} ${authorization}`).toEqual([401, 'Bearer'])
      }
    }
    expect((await fetch('/health')).status).toBe(200)
    expect((await fetch('/api/v1/address', { headers: bearer })).status).toBe(200)
    expect((await fetch('/api/v1/shutdown', { method: 'POST' })).status).toBe(401)
  })

  it('a service is closed unless it is said to be open', async () => {
    const { node } = residents['alice']!
    for (const options of [{}, { token: 'short' }, { open: true, token: TOKEN }, { open: false }]) {
      expect(() => createHttpService(node, options)).toThrow(/token/)
    }
    const open = createHttpService(node, { open: true })
    expect((await open.fetch(new Request('http://localhost/api/v1/address'))).status).toBe(200)
    await expect(listenHttp(open, { host: '0.0.0.0' })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
  })

  it('under the service\'s own names only', async () => {
    for (const host of ['evil.example', 'evil.example:5001', 'localhost.evil.example', 'localhost@evil.example', '127.0.0.1.nip.io', '[::2]', '', 'localhost/x']) {
      expect((await fetch('/api/v1/address', { headers: { ...bearer, host } })).status, host).toBe(403)
      expect((await fetch('/health', { headers: { host } })).status, host).toBe(403)
    }
    const elsewhere = new Request('http://evil.example/api/v1/address', { headers: { ...bearer, host: 'localhost' } })
    expect((await services['alice']!.fetch(elsewhere)).status).toBe(403)
    for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1:5001', '[::1]:5001']) {
      expect((await fetch('/api/v1/address', { headers: { ...bearer, host } })).status, host).toBe(200)
    }
    const named = createHttpService(residents['alice']!.node, { token: TOKEN, hosts: ['Node.example'] })
    expect((await named.fetch(new Request('https://node.example/api/v1/address', { headers: bearer }))).status).toBe(200)
    for (const hosts of [['a b'], [''], ['x/y']]) expect(() => createHttpService(residents['alice']!.node, { token: TOKEN, hosts })).toThrow(/hosts/)
  })

  it('no web page that is not welcome', async () => {
    for (const origin of ['https://evil.example', 'null', 'http://localhost']) {
      expect((await fetch('/api/v1/address', { headers: { ...bearer, origin } })).status).toBe(403)
      expect((await fetch('/api/v1/address', { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'GET' } })).status).toBe(403)
    }
    const welcome = 'https://wallet.example'
    const service = createHttpService(residents['alice']!.node, { token: TOKEN, origins: [welcome] })
    const answer = await service.fetch(new Request('http://localhost/api/v1/address', { headers: { ...bearer, origin: welcome } }))
    expect([answer.status, answer.headers.get('access-control-allow-origin'), answer.headers.get('vary')]).toEqual([200, welcome, 'origin'])
    const asked = await service.fetch(new Request('http://localhost/api/v1/address', {
      method: 'OPTIONS', headers: { origin: welcome, 'access-control-request-method': 'POST' },
    }))
    expect([asked.status, asked.headers.get('access-control-allow-origin')]).toEqual([204, welcome])
    expect(asked.headers.get('access-control-allow-headers')).toContain('authorization')
    const other = await service.fetch(new Request('http://localhost/api/v1/address', { headers: { ...bearer, origin: 'https://evil.example' } }))
    expect([other.status, other.headers.get('access-control-allow-origin')]).toEqual([403, null])
    for (const origins of [['*'], ['https://wallet.example/'], ['wallet.example']]) {
      expect(() => createHttpService(residents['alice']!.node, { token: TOKEN, origins })).toThrow(/origins/)
    }
  })

  it('bodies have to be declared as JSON', async () => {
    const before = residents['alice']!.node.channels()
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonx', 'text/plain; application/json']) {
      for (const [method, path] of [['POST', `/payments/${ETH}/${addressOf('bob')}`], ['POST', '/shutdown']] as const) {
        const answer = await fetch(`/api/v1${path}`, { method, body: '{"amount":"1"}', headers: { ...bearer, 'content-type': type } })
        expect(answer.status, type).toBe(415)
      }
    }
    expect(residents['alice']!.node.channels()).toEqual(before)
  })

  it('answers are not kept, and not guessed at', async () => {
    const { headers } = await fetch('/api/v1/address', { headers: bearer })
    expect([headers.get('cache-control'), headers.get('x-content-type-options')]).toEqual(['no-store', 'nosniff'])
  })
})

describe('on a port', () => {
  let listener: HttpListener
  const headers = { authorization: `Bearer ${TOKEN}` }
  beforeAll(async () => (listener = await listenHttp(services['alice']!)))
  afterAll(() => listener.close())

  it('is on the loopback, and answers', async () => {
    expect(listener.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    const answer = await fetch(`${listener.url}/api/v1/address`, { headers })
    expect(await answer.json()).toEqual({ our_address: addressOf('alice') })
    await expect(listenHttp(services['alice']!, { port: listener.port })).rejects.toMatchObject({ code: 'CONNECTION_FAILED' })
  })

  it('tells events as they happen', async () => {
    const stop = new AbortController()
    const answer = await fetch(`${listener.url}/api/v1/events`, { headers, signal: stop.signal })
    expect(answer.headers.get('content-type')).toBe('text/event-stream')
    const paid = await fetch(`${listener.url}/api/v1/payments/${ETH}/${addressOf('bob')}`, {
      method: 'POST', body: '{"amount":"3","identifier":"77"}', headers: { ...headers, 'content-type': 'application/json' },
    })
    expect(paid.status).toBe(200)
    let text = ''
    for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk
      if (text.includes('event: sent')) break
    }
    stop.abort()
    const events = [...text.matchAll(/event: (\w+)\ndata: (.*)\n\n/g)].map(([, name, data]) => [name!, JSON.parse(data!) as object] as const)
    for (const [name, data] of events) expectEvent(name, data)
    expect(new Map(events).get('sent')).toMatchObject({ payment_id: `0x${'0'.repeat(62)}4d`, to: addressOf('bob'), amount: '3' })
  })

  it('lets go of streams whose clients have left', async () => {
    for (let round = 0; round < 3; round++) {
      const stop = await eventually('32 streams', async () => {
        const all = new AbortController()
        const open = await Promise.all(Array.from({ length: 32 }, () => fetch(`${listener.url}/api/v1/events`, { headers, signal: all.signal })))
        if (open.every(({ status }) => status === 200)) return all
        all.abort()
        return undefined
      })
      const refused = await ask(globalThis.fetch, 'GET', '/api/v1/events', { base: listener.url, headers })
      expect(refused.body).toMatchObject({ status: 503, code: 'OVERLOADED' })
      expect((await fetch(`${listener.url}/api/v1/events`, { method: 'HEAD', headers })).status).toBe(200)
      stop.abort()
    }
  })

  it('refuses another host, whatever the connection', async () => {
    const status = await new Promise((resolve) => {
      nodeRequest(`${listener.url}/api/v1/address`, { headers: { ...headers, host: 'evil.example' } }, (answer) => resolve(answer.statusCode)).end()
    })
    expect(status).toBe(403)
  })

  it('survives what is no HTTP', async () => {
    for (const bytes of ['\0\0\0', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 'GET * HTTP/1.1\r\n\r\n']) {
      const said = await new Promise<string>((resolve) => {
        let text = ''
        const socket = connect(listener.port, '127.0.0.1', () => socket.end(bytes))
        socket.on('data', (data) => (text += data.toString())).on('close', () => resolve(text)).on('error', () => resolve(text))
      })
      expect(said).toMatch(/^HTTP\/1\.1 4\d\d/)
    }
    expect((await fetch(`${listener.url}/health`)).status).toBe(200)
  })

  it('stops reading a body that is too large', async () => {
    let given = 0
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        given += 16_384
        if (given > 64 * 1024 * 1024) controller.close()
        else controller.enqueue(new Uint8Array(16_384).fill(0x20))
      },
    })
    const init = { method: 'POST', body, duplex: 'half', headers: { ...headers, 'content-type': 'application/json' } }
    const answer = await fetch(`${listener.url}/api/v1/payments/${ETH}/${addressOf('bob')}`, init).catch(() => undefined)
    if (answer) expect(answer.status).toBe(413)
    expect(given).toBeLessThan(16 * 1024 * 1024)
  })
})

describe('the end', () => {
  it('answers in time, and says how to find what was begun', async () => {
    const { node } = residents['alice']!
    await api('alice', 'PUT', '/channels', { partner_address: addressOf('carol'), token_address: ETH, total_deposit: '100' })
    const path = `/payments/${ETH}/${addressOf('carol')}`
    let resume = (): void => {}
    diskOfCarol = new Promise((resolve) => (resume = resolve))
    const hasty = createHttpService(node, { token: TOKEN, deadline: 100 })
    const { status, body } = await ask(hasty.fetch, 'POST', `/api/v1${path}`, {
      body: { amount: '2' }, headers: { authorization: `Bearer ${TOKEN}`, 'idempotency-key': 'late' },
    })
    expect({ status, code: body.code as string }).toEqual({ status: 504, code: 'TIMEOUT' })
    const again = api('alice', 'POST', path, { amount: '2' }, { 'idempotency-key': 'late' })
    resume()
    expect((await again).body).toMatchObject({ amount: '2', identifier: body.details.identifier as string, payment_id: body.details.paymentId as string })
    expect((await api('alice', 'GET', `/channels/${ETH}/${addressOf('carol')}`)).body.balance).toBe('98')
  })

  it('comes with a shutdown, after its answer', async () => {
    let stopped = false
    const { node } = residents['carol']!
    await listeners['carol']!.close()
    delete listeners['carol']
    services['carol'] = createHttpService(node, {
      token: TOKEN,
      shutdown: async () => {
        await node.stop()
        stopped = true
      },
    })
    const { body } = await services['carol'].fetch(new Request('http://localhost/api/v1/events', { headers: { authorization: `Bearer ${TOKEN}` } }))
    expect((await api('carol', 'POST', '/shutdown')).body).toEqual({ status: 'shutdown' })
    await eventually('the end', () => stopped)
    for await (const _ of body!) { /* the stream ends */ }
    expect((await ask(services['carol'].fetch, 'GET', '/health')).status).toBe(503)
    expect((await api('carol', 'GET', '/status')).body.status).toBe('unavailable')
    expect((await api('carol', 'GET', '/channels')).body).toMatchObject({ status: 503, code: 'ABORTED' })
  })

  it('every operation of the document has answered, and well', () => {
    answered.get('getEvents')?.add(200)
    const wanted = [...operations.keys()].map((id) => [id, id === 'connect' || id === 'leave' ? 405 : id === 'openChannel' ? 201 : 200] as const)
    expect(wanted.filter(([id, status]) => !answered.get(id)?.has(status))).toEqual([])
  })
})
