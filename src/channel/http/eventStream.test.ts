import { describe, expect, it } from 'vitest'
import { createEmitter } from '../../core/events.ts'
import { createManualClock } from '../../testing/manualClock.ts'
import type { ChannelEvents } from '../node/events.ts'
import { eventStream, toWire } from './eventStream.ts'

const account = '0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266'

function setup(limit?: number) {
  const events = createEmitter<ChannelEvents>()
  const clock = createManualClock()
  const stop = new AbortController()
  let ends = 0
  const stream = eventStream({ events, names: ['peer', 'streamed', 'towerFailed'], clock, signal: stop.signal, limit, ended: () => ends++ })
  const reader = stream.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader()
  return { events, clock, stop, reader, ends: () => ends, peer: (linked: boolean) => events.emit('peer', { account, linked }) }
}

describe('a stream of events', () => {
  it('carries names and values', async () => {
    const { reader, events, peer, clock, ends } = setup()
    expect((await reader.read()).value).toMatch(/^:.*\n\n$/)
    peer(true)
    expect((await reader.read()).value).toBe('event: peer\ndata: {"account":"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266","linked":true}\n\n')
    const next = reader.read()
    peer(false)
    expect((await next).value).toContain('"linked":false')
    await reader.cancel()
    expect(ends()).toBe(1)
    expect(clock.sleeping).toBe(0)
    let looks = 0
    const watched = new Proxy({ channelId: '0x' as const, from: account, total: 1n } as const, {
      get: (target, name) => (looks++, Reflect.get(target, name) as unknown),
      has: (target, name) => (looks++, Reflect.has(target, name)),
    })
    events.emit('streamed', watched)
    expect(looks).toBe(0)
  })

  it('goes on after an event that nobody waited for yet', async () => {
    const { reader, peer } = setup()
    peer(true)
    let text = ''
    while (!text.includes('true')) text += (await reader.read()).value
    await new Promise((resolve) => setTimeout(resolve, 5))
    peer(false)
    while (!text.includes('false')) text += (await reader.read()).value
  })

  it('breaks the silence', async () => {
    const { reader, clock } = setup()
    await reader.read()
    for (let i = 0; i < 3; i++) {
      const next = reader.read()
      await clock.advance(15_000)
      expect((await next).value).toBe(':\n\n')
    }
  })

  it('lets go of a client that does not read', async () => {
    const { reader, peer, ends } = setup(10)
    for (let i = 0; i < 25; i++) peer(true)
    let text = ''
    for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value
    expect(text.match(/event: peer/g)).toHaveLength(10)
    expect(text).toMatch(/event: overflow\ndata: {"lost":15}\n\n$/)
    expect(ends()).toBe(1)
  })

  it('tells a reader who is behind only the last of a channel\'s figures', async () => {
    const { reader, events, peer } = setup(3)
    const [one, other] = ['01', '02'].map((byte) => `0x${byte.repeat(32)}` as const)
    for (let i = 1n; i <= 1000n; i++) events.emit('streamed', { channelId: one!, from: account, total: i })
    events.emit('streamed', { channelId: other!, from: account, total: 7n })
    peer(true)
    let text = ''
    while (!text.includes('peer')) text += (await reader.read()).value
    expect([...text.matchAll(/"total":"(\d+)"/g)].map(([, total]) => total)).toEqual(['1000', '7'])
    events.emit('towerFailed', { channelId: one!, tower: account, code: 'TIMEOUT', reason: 'late' })
    expect((await reader.read()).value).toContain('event: tower_failed\n')
  })

  it('ends with the node, after what came before', async () => {
    const { reader, peer, stop, ends } = setup()
    peer(true)
    stop.abort()
    let text = ''
    for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value
    expect(text).toContain('event: peer')
    expect(ends()).toBe(1)
  })
})

describe('what an event carries', () => {
  it('is written in snake case, decimal text and checksums', () => {
    expect(toWire({ paymentId: `0x${'ab'.repeat(32)}`, from: account, amount: 2n ** 70n, cooperative: true, settleAt: 5, channelId: undefined })).toEqual({
      payment_id: `0x${'ab'.repeat(32)}`, from: '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266', amount: '1180591620717411303424', cooperative: true, settle_at: 5,
    })
  })
})
