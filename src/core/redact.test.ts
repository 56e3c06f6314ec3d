import { describe, expect, it } from 'vitest'
import { redact } from './redact.ts'

describe('redact', () => {
  it.each([
    'https://user-secret:pass-secret@node.example/v3/path-secret?key=query-secret#hash-secret',
    'WSS://node.example/v3/path-secret',
    'postgres://app:pass-secret@db.example:5432/shop',
  ])('takes out %s, wherever it stands', (url) => {
    for (const text of [url, `cannot reach ${url}`, `{"requestUrl":"${url}"}`, `<a href='${url}'>`, `see ${url}, then wait`])
      expect(redact(text)).not.toMatch(/secret/)
    expect(redact(`cannot reach "${url}" now`)).toBe('cannot reach "(url)" now')
  })

  it('takes out the parts of a known URL also where they stand alone', () => {
    const url = 'https://user-secret:pass%2Dsecret@node.example/v3/path-secret?key=query-secret'
    const text = 'key path-secret of user-secret is not valid (query-secret, pass-secret, pass%2Dsecret): v3 is up'
    expect(redact(text, url)).toBe('key (secret) of (secret) is not valid ((secret), (secret), (secret)): v3 is up')
    expect(redact('as it is', 'no url')).toBe('as it is')
    expect(redact('100% left', 'https://node.example/%E0%A4%A')).toBe('100% left')
  })
})
