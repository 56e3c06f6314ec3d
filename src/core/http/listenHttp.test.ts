import { request as nodeRequest } from 'node:http'
import { connect } from 'node:net'
import * as v from 'valibot'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createHttpService } from './httpService.ts'
import { listenHttp, type HttpListener } from './listenHttp.ts'
import { route } from './route.ts'

let listener: HttpListener
let cancelled = false
let gone = false
const routes = [
  route({
    method: 'get',
    path: '/text',
    id: 'text',
    summary: 'x',
    access: 'public',
    answer: v.object({ text: v.string() }),
    handle: () => ({ text: 'é\u{1f600}' }),
  }),
  route({
    method: 'post',
    path: '/echo',
    id: 'echo',
    summary: 'x',
    access: 'public',
    body: v.unknown(),
    answer: v.unknown(),
    handle: ({ body }) => body,
  }),
  route({ method: 'delete', path: '/text', id: 'none', summary: 'x', access: 'public', status: 204, handle: () => {} }),
  route({
    method: 'get',
    path: '/stream',
    id: 'stream',
    summary: 'x',
    access: 'public',
    media: 'text/event-stream',
    handle: () =>
      new Response(
        new ReadableStream({
          start: (to) => to.enqueue(new TextEncoder().encode(': hello\n\n')),
          cancel: () => void (cancelled = true),
        }),
        { headers: { 'content-type': 'text/event-stream' } },
      ),
  }),
  route({
    method: 'get',
    path: '/wait',
    id: 'wait',
    summary: 'x',
    access: 'public',
    handle: ({ signal }) =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () => {
          gone = true
          resolve({})
        }),
      ),
  }),
]
beforeAll(async () => {
  listener = await listenHttp(createHttpService({ routes, title: 'x', version: '1', description: 'x', maxBody: 1000 }))
})
afterAll(() => listener.close())
const soon = async (look: () => boolean): Promise<void> => {
  for (let i = 0; i < 100 && !look(); i++) await new Promise((resolve) => setTimeout(resolve, 20))
  expect(look()).toBe(true)
}

it('answers over a connection as the service does', async () => {
  const answer = await fetch(`${listener.url}/text`)
  expect(await answer.json()).toEqual({ text: 'é\u{1f600}' })
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    'content-type': 'application/json',
    'content-length': '17',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    vary: 'origin',
  })
  const head = await fetch(`${listener.url}/text`, { method: 'HEAD' })
  expect([head.status, await head.text()]).toEqual([200, ''])
  const none = await fetch(`${listener.url}/text`, { method: 'DELETE' })
  expect([none.status, await none.text()]).toEqual([204, ''])
  expect((await fetch(`${listener.url}/nothing`)).status).toBe(404)
})

it('takes bodies with a length and without, in UTF-8, up to the limit', async () => {
  const headers = { 'content-type': 'application/json' }
  const post = (body: BodyInit): Promise<Response> =>
    fetch(`${listener.url}/echo`, { method: 'POST', body, headers, duplex: 'half' } as RequestInit)
  const streamed = (text: string): ReadableStream => new Blob([text]).stream()
  for (const text of ['"é\u{1f600}"', `"${'x'.repeat(998)}"`]) {
    expect(await (await post(text)).text()).toBe(text)
    expect(await (await post(streamed(text))).text()).toBe(text)
  }
  for (const text of [`"${'x'.repeat(999)}"`, `"${'x'.repeat(999_999)}"`]) {
    const refused = await post(text)
    expect([refused.status, refused.headers.get('connection')]).toEqual([413, 'close'])
    const answer = await post(streamed(text)).catch(() => undefined)
    if (answer) expect(answer.status).toBe(413)
  }
  expect((await post(Uint8Array.of(0x22, 0xff, 0x22))).status).toBe(400)
  expect((await fetch(`${listener.url}/text`)).status).toBe(200)
})

it('streams as it comes, and ends a stream whose client has left', async () => {
  const stop = new AbortController()
  const { body } = await fetch(`${listener.url}/stream`, { signal: stop.signal })
  const { value } = await body!.getReader().read()
  expect(new TextDecoder().decode(value as Uint8Array)).toBe(': hello\n\n')
  stop.abort()
  await soon(() => cancelled)
})

it('tells a handler that its client has left', async () => {
  const request = nodeRequest(`${listener.url}/wait`)
    .on('error', () => {})
    .end()
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(gone).toBe(false)
  request.destroy()
  await soon(() => gone)
})

it('answers many requests of one connection', async () => {
  const said = await new Promise<string>((resolve) => {
    let text = ''
    const socket = connect(listener.port, '127.0.0.1', () =>
      socket.write('GET /text HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(3)),
    )
    socket.on('data', (data) => {
      text += data.toString()
      if (text.split('HTTP/1.1 200').length === 4) socket.end()
    })
    socket.on('close', () => resolve(text))
  })
  expect(said.match(/\{"text":/g)).toHaveLength(3)
})

it('needs a port that is free', async () => {
  await expect(listenHttp({ fetch: async () => new Response() }, { port: listener.port })).rejects.toMatchObject({
    code: 'CONNECTION_FAILED',
  })
})
