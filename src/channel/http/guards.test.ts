import { describe, expect, it } from 'vitest'
import { MAX_BODY, readJson, sameSecret } from './guards.ts'

const post = (body: BodyInit, headers: Record<string, string> = {}): Request =>
  new Request('http://localhost/', { method: 'POST', body, headers, duplex: 'half' } as RequestInit)

describe('secrets', () => {
  it('are the same only if all of them is', () => {
    expect(sameSecret('a secret', 'a secret')).toBe(true)
    for (const other of ['', 'a secre', 'a secret ', 'b secret', 'a secreT', 'á secret']) expect(sameSecret('a secret', other)).toBe(false)
  })
})

describe('a body', () => {
  it('has at most 64 KiB, whatever its header says', async () => {
    const fits = `"${'x'.repeat(MAX_BODY - 2)}"`
    expect(await readJson(post(fits))).toHaveLength(MAX_BODY - 2)
    await expect(readJson(post(`${fits} `))).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    await expect(readJson(post('1', { 'content-length': String(MAX_BODY + 1) }))).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    let given = 0
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        given++
        controller.enqueue(new Uint8Array(1024).fill(0x20))
      },
    })
    await expect(readJson(post(endless))).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    expect(given).toBeLessThan(80)
  })

  it('is UTF-8 JSON, also where a chunk ends inside a letter', async () => {
    const bytes = new TextEncoder().encode('"é"')
    const chunks = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
        controller.close()
      },
    })
    expect(await readJson(post(chunks))).toBe('é')
    for (const bad of [Uint8Array.of(0x22, 0xc3, 0x22), Uint8Array.of(0x22, 0xc3), '', '{', '\ufeff1']) {
      await expect(readJson(post(bad))).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    }
  })
})
