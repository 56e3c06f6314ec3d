import { describe, expect, it } from 'vitest'
import { readJson } from '../../des/wire/json.ts'
import { SluiceError } from '../errors.ts'
import { bearerOf, nameOf, readBody, sameSecret } from './guards.ts'

const LIMIT = 65_536
const read = async (request: Request): Promise<unknown> => (await readBody(request, { limit: LIMIT })).value

const post = (body: BodyInit, headers: Record<string, string> = {}): Request =>
  new Request('http://localhost/', { method: 'POST', body, headers, duplex: 'half' } as RequestInit)

describe('secrets', () => {
  it('are the same only if all of them is', () => {
    expect(sameSecret('a secret', 'a secret')).toBe(true)
    for (const other of ['', 'a secre', 'a secret ', 'b secret', 'a secreT', 'á secret'])
      expect(sameSecret('a secret', other)).toBe(false)
  })
})

describe('names and tokens', () => {
  it('are read as URLs and RFC 6750 write them', () => {
    expect(['Node.example:5001', '[::1]:80', '127.1', 'a@b', 'a/b', 'a b', 'a?b', '[::1'].map(nameOf)).toEqual([
      'node.example',
      '[::1]',
      '127.0.0.1',
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ])
    const bearer = (authorization: string) => bearerOf(new Request('http://localhost/', { headers: { authorization } }))
    expect(['Bearer abc', 'bearer abc', 'Bearer', 'Bearer a b', 'Basic abc', 'Bearer  abc'].map(bearer)).toEqual([
      'abc',
      'abc',
      undefined,
      undefined,
      undefined,
      undefined,
    ])
  })
})

describe('a body', () => {
  it('has at most 64 KiB, whatever its header says', async () => {
    const fits = `"${'x'.repeat(LIMIT - 2)}"`
    expect(await read(post(fits))).toHaveLength(LIMIT - 2)
    await expect(read(post(`${fits} `))).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    await expect(read(post('1', { 'content-length': String(LIMIT + 1) }))).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    let given = 0
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        given++
        controller.enqueue(new Uint8Array(1024).fill(0x20))
      },
    })
    await expect(read(post(endless))).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    expect(given).toBeLessThan(80)
  })

  it('of a length that was declared is not believed', async () => {
    await expect(read(post(`"${'x'.repeat(LIMIT)}"`, { 'content-length': '5' }))).rejects.toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
    })
    expect(await read(post('[1]', { 'content-length': '3' }))).toEqual([1])
  })

  it('is read by whom the service says, whose errors stay', async () => {
    const reader = (parse: (text: string) => unknown) => readBody(post('{"n":9007199254740993}'), { limit: LIMIT, parse })
    expect(await reader(readJson)).toEqual({ text: '{"n":9007199254740993}', value: { n: 9007199254740993n } })
    const own = new SluiceError('BAD_MESSAGE', 'so it is')
    await expect(
      reader(() => {
        throw own
      }),
    ).rejects.toBe(own)
    await expect(
      reader(() => {
        throw new Error('other')
      }),
    ).rejects.toMatchObject({ code: 'BAD_ARGUMENT', details: { name: 'body' } })
  })

  it('is let go when its reader has waited long enough', async () => {
    const stop = new AbortController()
    let cancelled = false
    const body = new ReadableStream({ cancel: () => void (cancelled = true) })
    const reading = readBody(post(body), { limit: LIMIT, signal: () => stop.signal })
    stop.abort()
    await expect(reading).rejects.toMatchObject({ code: 'ABORTED' })
    expect(cancelled).toBe(true)
  })

  it('is UTF-8 JSON, also where a chunk ends inside a letter', async () => {
    const bytes = new TextEncoder().encode('"é"')
    const chunks = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
        controller.close()
      },
    })
    expect(await read(post(chunks))).toBe('é')
    for (const bad of [Uint8Array.of(0x22, 0xc3, 0x22), Uint8Array.of(0x22, 0xc3), '', '{', '\ufeff1']) {
      await expect(read(post(bad))).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    }
  })
})
