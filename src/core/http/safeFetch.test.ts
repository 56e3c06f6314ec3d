import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, createServer as createTcpServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSafeFetch, type SafeFetchOptions, type SafePost } from './safeFetch.ts'

/** For localhost, signed by itself. */
const KEY = [
  '-----BEGIN PRIVATE KEY-----',
  'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg072dNxDM8jYa4lQA',
  'ak6gTshofkNiD4TWtO0PaATpF36hRANCAARG417PFF4sQEsZEF6XcGi/DsKuvzHh',
  '6ygIPDeoPt9Sl4flxJ0TL5xGE9LClu7AVcqDIlwcdf7aD7SMjqxGZOOQ',
  '-----END PRIVATE KEY-----',
].join('\n')
const CERTIFICATE = [
  '-----BEGIN CERTIFICATE-----',
  'MIIBljCCATugAwIBAgIURxQ94hqPExbY3jXs4JsY1JqJjOYwCgYIKoZIzj0EAwIw',
  'FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTIzMTE1NVoYDzIxMjYxMDI4',
  'MjMxMTU1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO',
  'PQMBBwNCAARG417PFF4sQEsZEF6XcGi/DsKuvzHh6ygIPDeoPt9Sl4flxJ0TL5xG',
  'E9LClu7AVcqDIlwcdf7aD7SMjqxGZOOQo2kwZzAdBgNVHQ4EFgQUr+YtGSIIGuAx',
  '0vMI5bxgAgOLiDgwHwYDVR0jBBgwFoAUr+YtGSIIGuAx0vMI5bxgAgOLiDgwDwYD',
  'VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID',
  'SQAwRgIhAKch6y4tQjxpcQATQ3AVBUsJcISQcELdcUCkQiubNh63AiEA7Q+id2jd',
  'ErcFZp4orscpETs6kpuIJe1lA8rh4OouJao=',
  '-----END CERTIFICATE-----',
].join('\n')

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

async function listen(server: TcpServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  closing.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}
const serve = (listener: RequestListener): Promise<number> => listen(createServer(listener))
function fetcher(options: SafeFetchOptions = {}) {
  const { fetch, close } = createSafeFetch(options)
  closing.push(close)
  return (url: string, post: Partial<SafePost> = {}) => fetch(url, { body: '{"a":1}', ...post })
}
const code = (name: string): unknown => expect.objectContaining({ name: 'SluiceError', code: name })

/** Counts what reaches this machine. */
let hits = 0
let port = 0
beforeEach(async () => {
  hits = 0
  port = await serve((_, answer) => {
    hits++
    answer.end('{}')
  })
})

describe('an address that a stranger chose', () => {
  it.each([
    '127.0.0.1',
    '127.1',
    '127.0.1',
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '0177.0.0.1',
    '017700000001',
    '127.0.0.1.',
    '0',
    '0.0.0.0',
    '[::1]',
    '[::]',
    '[0:0:0:0:0:0:0:1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[64:ff9b::7f00:1]',
    '[::127.0.0.1]',
    'localhost',
    'LOCALHOST',
    'localhost.',
    'a.localhost',
    '%6c%6fcalhost',
    '①②⑦.0.0.1',
    '127。0。0。1',
    '169.254.169.254',
    '0xa9fea9fe',
    '2852039166',
    '[fd00:ec2::254]',
    '100.100.100.200',
    '192.0.0.192',
    '168.63.129.16',
    '10.1.2.3',
    '[fe80::1]',
  ])('%s leads nowhere', async (host) => {
    const fetch = fetcher({ resolve: async () => ['93.184.215.14'] })
    await expect(fetch(`http://${host}:${port}/`)).rejects.toEqual(code('ADDRESS_REFUSED'))
    expect(hits).toBe(0)
  })

  it.each([
    '',
    'localhost',
    '//x',
    'ftp://x/',
    'file:///etc/passwd',
    'javascript:1',
    'http://',
    'http://a:b@x/',
    'https://a@x/',
    'http://x:99999/',
    'http://[::1',
    'data:,x',
    'http:///\\',
  ])('%s is refused', async (url) => {
    const fetch = fetcher({ allowPrivate: true, resolve: async () => ['127.0.0.1'] })
    await expect(fetch(url)).rejects.toEqual(code('ADDRESS_REFUSED'))
  })

  it('is refused if any address of its name is private', async () => {
    for (const found of [['127.0.0.1'], ['93.184.215.14', '10.0.0.1'], ['2606:4700::1', '::ffff:127.0.0.1'], ['nonsense']]) {
      await expect(fetcher({ resolve: async () => found })(`http://shop.example:${port}/`)).rejects.toEqual(
        code('ADDRESS_REFUSED'),
      )
    }
    await expect(fetcher({ resolve: async () => [] })('http://shop.example/')).rejects.toEqual(code('CONNECTION_FAILED'))
    expect(hits).toBe(0)
  })

  it('is where its name led to when it was looked at, and nowhere else', async () => {
    // Private addresses are let through to see where the connection goes.
    const asked: string[] = []
    const fetch = fetcher({
      allowPrivate: true,
      resolve: async (host) => {
        asked.push(host)
        return [asked.length === 1 ? '127.0.0.1' : '127.0.0.2']
      },
    })
    expect((await fetch(`http://rebind.example:${port}/`)).status).toBe(200)
    expect((await fetch(`http://rebind.example:${port}/`)).status).toBe(200)
    // The second one went over the first one's connection: the name was not asked for again.
    expect(asked).toEqual(['rebind.example'])
    expect(hits).toBe(2)
  })

  it('is not left for where it redirects to', async () => {
    const away = await serve((_, answer) => answer.writeHead(307, { location: `http://127.0.0.1:${port}/` }).end())
    const { status, headers } = await fetcher({ allowPrivate: true })(`http://127.0.0.1:${away}/`)
    expect([status, headers['location'], hits]).toEqual([307, `http://127.0.0.1:${port}/`, 0])
  })
})

describe('an exchange', () => {
  const fetch: ReturnType<typeof fetcher> = (url, post) => fetcher({ allowPrivate: true })(url, post)

  it('sends JSON and gives bytes, whatever the status', async () => {
    const echo = await serve((request, answer) => {
      const { method, url, headers } = request
      request.setEncoding('utf8').on('data', (body: string) => {
        answer
          .writeHead(404, { 'x-more': 'yes' })
          .end(JSON.stringify([method, url, headers['content-type'], headers['x-key'], headers.host, body]))
      })
    })
    const { status, bytes, headers } = await fetch(`http://localhost:${echo}/a?b=c`, {
      body: '{"é":1}',
      headers: { 'x-key': '7' },
    })
    expect([status, headers['x-more']]).toEqual([404, 'yes'])
    expect(JSON.parse(new TextDecoder().decode(bytes))).toEqual([
      'POST',
      '/a?b=c',
      'application/json',
      '7',
      `localhost:${echo}`,
      '{"é":1}',
    ])
  })

  it('reads no more than it has to', async () => {
    let sent = 0
    const declared = await serve((_, answer) => answer.writeHead(200, { 'content-length': 11 }).flushHeaders())
    const endless = await serve((_, answer) => {
      const more = (): void => {
        while (sent < 2 ** 28 && !answer.destroyed) {
          sent += 65_536
          if (!answer.write(new Uint8Array(65_536))) return void answer.once('drain', more)
        }
      }
      more()
    })
    const exact = await serve((_, answer) => answer.end('x'.repeat(10)))
    expect((await fetch(`http://127.0.0.1:${exact}/`, { maxBytes: 10 })).bytes.length).toBe(10)
    await expect(fetch(`http://127.0.0.1:${declared}/`, { maxBytes: 10 })).rejects.toEqual(code('MESSAGE_TOO_LARGE'))
    await expect(fetch(`http://127.0.0.1:${endless}/`)).rejects.toEqual(code('MESSAGE_TOO_LARGE'))
    expect(sent).toBeLessThan(2 ** 25)
  })

  it.each<[string, RequestListener]>([
    ['says nothing', () => {}],
    [
      'says a little at a time',
      (_, answer) => {
        answer.writeHead(200)
        const timer = setInterval(() => answer.write('x'), 20)
        answer.on('close', () => clearInterval(timer))
      },
    ],
  ])('is over in time if the server %s', async (_, listener) => {
    const slow = await serve(listener)
    const begun = Date.now()
    await expect(fetch(`http://127.0.0.1:${slow}/`, { timeout: 200 })).rejects.toEqual(code('TIMEOUT'))
    expect(Date.now() - begun).toBeLessThan(1500)
  })

  it('is over in time if the name servers say nothing', async () => {
    await expect(fetcher({ resolve: () => new Promise(() => {}) })('http://shop.example/', { timeout: 100 })).rejects.toEqual(
      code('TIMEOUT'),
    )
  })

  it('ends when its caller wants it to', async () => {
    let gone = false
    const slow = await serve((request) => request.socket.on('close', () => (gone = true)))
    const stop = new AbortController()
    const answer = fetch(`http://127.0.0.1:${slow}/`, { signal: stop.signal })
    setTimeout(() => stop.abort(), 50)
    await expect(answer).rejects.toEqual(code('ABORTED'))
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(gone).toBe(true)
  })

  it.each([
    '',
    'nonsense',
    'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx',
    'HTTP/1.1 200 OK\r\nx: ' + 'x'.repeat(99_999),
    'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
    'HTTP/1.1 99999999 x\r\n\r\n',
  ])('fails if the server says %j', async (said) => {
    const broken = await listen(
      createTcpServer((socket) => {
        socket.on('error', () => {}).once('data', () => socket.end(said))
      }),
    )
    await expect(fetch(`http://127.0.0.1:${broken}/`, { timeout: 2000 })).rejects.toEqual(code('CONNECTION_FAILED'))
  })

  it('fails if nobody listens', async () => {
    const port = await listen(createTcpServer())
    closing.pop()!()
    await new Promise((resolve) => connect(port, '127.0.0.1').on('error', resolve))
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      details: { reason: 'ECONNREFUSED' },
    })
  })

  it('trusts no certificate of its own making', async () => {
    const server: Server = createTlsServer({ key: KEY, cert: CERTIFICATE }, (_, answer) => answer.end('{}'))
    await expect(fetch(`https://localhost:${await listen(server)}/`)).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      details: { reason: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
    })
  })

  it('takes so many connections to a host, and keeps them', async () => {
    const connections = new Set<Socket>()
    let most = 0
    let now = 0
    const counted = await serve((request, answer) => {
      connections.add(request.socket)
      most = Math.max(most, ++now)
      setTimeout(() => {
        now--
        answer.end('{}')
      }, 5)
    })
    const few = fetcher({ allowPrivate: true, maxConnectionsPerHost: 3 })
    await Promise.all(Array.from({ length: 30 }, () => few(`http://127.0.0.1:${counted}/`)))
    expect([most, connections.size]).toEqual([3, 3])
  })
})
