import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createManualClock } from '../testing/manualClock.ts'
import { consoleLogger } from './consoleLogger.ts'

const lines: string[] = []
const levels = ['debug', 'info', 'warn', 'error'] as const
beforeEach(() => {
  lines.length = 0
  for (const level of levels) vi.spyOn(console, level).mockImplementation((line: string) => void lines.push(`${level}|${line}`))
})
afterEach(() => void vi.restoreAllMocks())

describe('consoleLogger', () => {
  it('is a logger from info on, and makes one of any level', () => {
    for (const level of levels) consoleLogger[level]('said', {})
    expect(lines.map((line) => line.split('|')[0])).toEqual(['info', 'warn', 'error'])
    lines.length = 0
    const log = consoleLogger({ level: 'warn' })
    for (const level of levels) log[level]('said')
    expect(lines.map((line) => line.split('|')[0])).toEqual(['warn', 'error'])
    expect(() => consoleLogger({ level: 'loud' as never })).toThrow(expect.objectContaining({ code: 'BAD_ARGUMENT' }))
  })

  it('prints time, level, sentence and plain details, large numbers too', () => {
    const log = consoleLogger({ clock: createManualClock(Date.UTC(2026, 0, 2)) })
    log.info('order settled', { amount: 10n ** 30n, orderId: '0x12', ok: true, none: null, left: undefined, note: 'a "b" c' })
    expect(lines).toEqual([
      `info|2026-01-02T00:00:00.000Z info  order settled amount=${10n ** 30n} orderId=0x12 ok=true none=null note="a \\"b\\" c"`,
    ])
  })

  it('keeps a line a line, and short, whatever a stranger wrote', () => {
    consoleLogger.warn('refused\n2026 error all is lost', { peer: `x\r\n\u001B[2J\u2028${'y'.repeat(10_000)}` })
    expect(lines[0]!.length).toBeLessThan(700)
    expect(lines[0]).not.toMatch(/[\u0000-\u001F\u2028]/)
  })

  it('hides secrets by name and in URLs, and shows bytes and objects by their size or kind only', () => {
    const secret = 'c0ffee'.repeat(6)
    const details = {
      password: secret,
      secretKey: secret,
      key: secret,
      url: `https://user:${secret}@node.test/v3/${secret}?apikey=${secret}`,
      error: `could not reach wss://node.test/${secret}: refused`,
      bytes: new TextEncoder().encode(secret),
      thrown: new Error(`no ${'answer'} of https://${secret}@node.test/`),
      object: { secret },
      publicKey: '0x02aa',
      token: '0x11',
    }
    consoleLogger.error('failed', details as never)
    expect(lines[0]).not.toContain(secret)
    for (const part of ['node.test', 'refused', '[36 bytes]', '[object]', 'publicKey=0x02aa', 'token=0x11']) {
      expect(lines[0]).toContain(part)
    }
  })
})
