import { keccak256, toUtf8Bytes } from 'ethers'
import { describe, expect, it } from 'vitest'
import { domain, goods, openCounter, orderFor, type Counter } from '../../test/fixtures/trade/counter.ts'
import type { Speaker } from '../../test/fixtures/trade/speaker.ts'
import { toHex, type Hex } from '../core/bytes.ts'
import { generateKey } from '../core/crypto/key.ts'
import { assertSignedBy } from '../core/crypto/signature.ts'
import { createManualClock } from '../testing/manualClock.ts'
import { decodeMessage, encodeMessage, messageDigest } from '../protocol/message.ts'
import { ZERO32 } from '../protocol/menu.ts'
import type { Payload } from '../protocol/wire.ts'
import type { SellerEvents } from './desk.ts'

/** The seller says why, signed, and hangs up. */
async function expectHungUp(speaker: Speaker, counter: Counter, code: string, field?: string): Promise<void> {
  const exit = await speaker.next('exit')
  expect(exit.payload).toMatchObject({ order_ID: ZERO32, rating: null, reason: { code } })
  if (field !== undefined) expect(exit.payload.reason?.message).toContain(field)
  assertSignedBy(messageDigest(exit), exit.signature, counter.seller.address, { field: 'exit', owner: 'the seller' })
  expect(await speaker.closed).toEqual({ code: 1008, reason: code })
}

/** The seller ends one order for a reason, and nothing else. */
async function expectRefused(speaker: Speaker, id: Hex, code: string): Promise<string> {
  const exit = await speaker.next('exit')
  expect(exit.payload).toMatchObject({ order_ID: id, reason: { code } })
  return exit.payload.reason!.message
}

/** Says hello and orders all of the first item. */
async function opened(counter: Counter, key = generateKey()): Promise<{ speaker: Speaker; session: Hex; id: Hex; payload: Payload<'order'> }> {
  const { speaker, session } = await counter.greet(key)
  const payload = orderFor(counter, counter.menu.items[0]!, key, session)
  speaker.say(speaker.text('order', payload))
  return { speaker, session, id: payload.order_hash as Hex, payload }
}

/** Pays chunk by chunk until all of the order is there. */
async function payAll(speaker: Speaker, id: Hex, from = 0, total = 1000): Promise<void> {
  for (let paid = from; paid < total; paid += 100) {
    await speaker.chunks((paid - from) / 100 + 1)
    speaker.say(speaker.ack(id, Math.min(total, paid + 100)))
  }
}

const flush = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0))

describe('the greeting', () => {
  it('answers a hello with a hello and the menu, both signed, for this nonce and no other', async () => {
    const counter = await openCounter()
    const { speaker } = counter.visit()
    speaker.say(speaker.text('hello', speaker.hello()))
    const hello = await speaker.next()
    expect(hello.payload).toMatchObject({ version: 1, chain_id: '31337', contract: domain.verifyingContract, reply_to: speaker.nonce })
    expect(hello.payload).toMatchObject({ public_key_of_the_seller: toHex(counter.seller.publicKey) })
    const menu = await speaker.next()
    expect(menu.type).toBe('menu')
    for (const message of [hello, menu]) {
      assertSignedBy(messageDigest(message), message.signature, counter.seller.address, { field: message.type, owner: 'the seller' })
    }
  })

  it.each([
    ['on another chain', { chain_id: '1' }, 'WRONG_CHAIN'],
    ['by another contract', { contract: `0x${'c1'.repeat(20)}` }, 'WRONG_CHAIN'],
    ['of another version', { version: 2 }, 'VERSION_MISMATCH'],
    ['with the key of somebody else', { public_key_of_the_buyer: toHex(generateKey().publicKey) }, 'BAD_SIGNATURE'],
    ['with a key that is no point of the curve', { public_key_of_the_buyer: `0x04${'11'.repeat(64)}` }, 'BAD_SIGNATURE'],
  ])('refuses a hello %s', async (_name, changes, code) => {
    const counter = await openCounter()
    const { speaker } = counter.visit()
    speaker.say(speaker.text('hello', speaker.hello(changes)))
    await expectHungUp(speaker, counter, code)
  })

  it('refuses the hello of a seller', async () => {
    const counter = await openCounter()
    const { speaker } = counter.visit()
    const { public_key_of_the_buyer: key, ...rest } = speaker.hello() as { public_key_of_the_buyer: string } & Payload<'hello'>
    speaker.say(speaker.text('hello', { ...rest, public_key_of_the_seller: key, reply_to: ZERO32 }))
    await expectHungUp(speaker, counter, 'UNEXPECTED_MESSAGE')
  })

  it('refuses a second hello', async () => {
    const counter = await openCounter()
    const { speaker } = await counter.greet()
    speaker.say(speaker.text('hello', speaker.hello()))
    await expectHungUp(speaker, counter, 'UNEXPECTED_MESSAGE', 'a second hello')
  })

  it.each(['order', 'resume', 'exit', 'ACK'] as const)('refuses %s before hello', async (type) => {
    const counter = await openCounter()
    const { speaker } = counter.visit()
    const id = ZERO32
    speaker.say(
      {
        order: () => speaker.text('order', orderFor(counter, counter.menu.items[0]!, speaker.key, ZERO32)),
        resume: () => speaker.text('resume', { order_ID: id, received: 0, stream: 0, session: ZERO32 }),
        exit: () => speaker.text('exit', { order_ID: id, session: ZERO32, rating: null, reason: null }),
        ACK: () => speaker.ack(id, 1),
      }[type](),
    )
    await expectHungUp(speaker, counter, 'UNEXPECTED_MESSAGE', `${type} before hello`)
  })

  it('hangs up on a buyer who says nothing, and leaves no timer behind', async () => {
    const clock = createManualClock()
    const counter = await openCounter({ clock, limits: { helloTimeout: 1000 } })
    const silent = counter.visit()
    await clock.advance(999)
    const late = counter.visit()
    await clock.advance(1)
    expect(await silent.speaker.closed).toEqual({ code: 1008, reason: 'TIMEOUT' })
    late.speaker.say(late.speaker.text('hello', late.speaker.hello()))
    await late.speaker.next('menu')
    await clock.advance(10_000)
    const brief = counter.visit()
    for (const { connection } of [late, brief]) {
      connection.close('enough')
      await connection.done
    }
    await flush()
    expect(clock.sleeping).toBe(0)
  })
})

describe('what is no message of a buyer', () => {
  it.each<[string, (speaker: Speaker, counter: Counter) => string | Uint8Array, string]>([
    ['text that is no JSON', () => 'hello?', 'BAD_MESSAGE'],
    ['a message with a field too many', (s) => s.text('hello', s.hello({ x: 1 })), 'BAD_MESSAGE'],
    ['16 KiB and one character', () => 'x'.repeat(16 * 1024 + 1), 'MESSAGE_TOO_LARGE'],
    ['10 MB of JSON', () => `{"x":"${'x'.repeat(10_000_000)}"}`, 'MESSAGE_TOO_LARGE'],
    ['a binary frame', () => new Uint8Array(40), 'UNEXPECTED_MESSAGE'],
    ['a menu', (_s, { desk }) => desk.menuText(), 'UNEXPECTED_MESSAGE'],
    [
      'data',
      () => encodeMessage({ type: 'data', payload: { order_ID: ZERO32, index: 0, proof: [], data: '' }, signature: new Uint8Array(65), verification: '' }),
      'UNEXPECTED_MESSAGE',
    ],
  ])('ends the connection: %s', async (_name, packet, code) => {
    const counter = await openCounter()
    const { speaker } = await counter.greet()
    speaker.say(packet(speaker, counter))
    await expectHungUp(speaker, counter, code)
    expect(counter.tills.size).toBe(0)
  })

  it('is not looked at any more once the connection has ended', async () => {
    const counter = await openCounter()
    const { speaker, session } = await counter.greet()
    speaker.say('hello?')
    speaker.say(speaker.text('order', orderFor(counter, counter.menu.items[0]!, speaker.key, session)))
    await expectHungUp(speaker, counter, 'BAD_MESSAGE')
    await flush()
    expect(counter.tills.size).toBe(0)
  })

  it('ends the connection when more wait than the limit says', async () => {
    const counter = await openCounter({ limits: { queuedMessages: 10 } })
    const { speaker } = await counter.greet()
    for (let i = 0; i < 20; i++) speaker.say(speaker.ack(ZERO32, i))
    expect(await speaker.closed).toEqual({ code: 1008, reason: 'OVERLOADED' })
  })
})

describe('an order', () => {
  it('is delivered chunk by chunk, never more than the window ahead of what is paid', async () => {
    const counter = await openCounter({ window: 3 })
    const { speaker, id } = await opened(counter)
    let paid = 0
    for (const due of [1, 3, 5, 6, 7, 8, 9, 10, 10, 10]) {
      await speaker.chunks(due)
      await flush()
      expect(speaker.frames.length).toBe(due)
      speaker.say(speaker.ack(id, (paid += 100)))
    }
    expect((await speaker.next('exit')).payload).toMatchObject({ order_ID: id, reason: null })
    expect(Buffer.concat(speaker.frames.map(({ body }) => body))).toEqual(Buffer.from(goods.data as Uint8Array))
    expect(counter.tills.get(id)!.paid).toBe(1000)
  })

  it.each<[string, Partial<Payload<'order'>>, Parameters<typeof orderFor>[5], string]>([
    ['of an item that is not there', { data_ID: 'wether' }, {}, 'NO_SUCH_ITEM'],
    ['whose hash is of other terms', { order_hash: `0x${'12'.repeat(32)}` }, {}, 'ORDER_MISMATCH'],
    ['to another seller', {}, { seller: `0x${'99'.repeat(20)}` }, 'ORDER_MISMATCH'],
    ['for another root', {}, { dataRoot: `0x${'99'.repeat(32)}` }, 'ORDER_MISMATCH'],
    ['for another number of chunks', {}, { chunks: 11 }, 'ORDER_MISMATCH'],
    ['of more bytes than it has', {}, { totalData: 1001 }, 'ORDER_MISMATCH'],
    ['of fewer bytes than its chunks', {}, { totalData: 999 }, 'ORDER_MISMATCH'],
    ['of no bytes', {}, { totalData: 0 }, 'ORDER_MISMATCH'],
    ['of chunks that are not there', { first_chunk: 5, chunk_count: 6 }, {}, 'RANGE_INVALID'],
    ['a unit below the price', {}, { price: 999n }, 'PRICE_MISMATCH'],
    ['in another token', {}, { token: `0x${'99'.repeat(20)}` }, 'ORDER_MISMATCH'],
    ['of somebody else', {}, { buyer: `0x${'99'.repeat(20)}`, ackSigner: `0x${'98'.repeat(20)}` }, 'ORDER_MISMATCH'],
    ['paid in a way that is not taken', { payment: 'channel' }, {}, 'PAYMENT_UNSUPPORTED'],
    ['paid with Alipay where it has no such price', { payment: 'alipay' }, {}, 'PAYMENT_UNSUPPORTED'],
    ['of a sample that costs something', { payment: 'sample', chunk_count: 4 }, { price: 1n, totalData: 400 }, 'PRICE_MISMATCH'],
    ['of more than the sample', { payment: 'sample', chunk_count: 5 }, { totalData: 500 }, 'RANGE_INVALID'],
    ['of a sample that begins before it', { payment: 'sample', first_chunk: 3, chunk_count: 2 }, { totalData: 200 }, 'RANGE_INVALID'],
  ])('%s is refused, and the connection lives on', async (_name, changes, terms, code) => {
    const counter = await openCounter()
    const { speaker, session } = await counter.greet()
    const item = counter.menu.items[0]!
    const wrong = orderFor(counter, item, speaker.key, session, changes, terms)
    speaker.say(speaker.text('order', wrong))
    await expectRefused(speaker, wrong.order_hash as Hex, code)
    expect(speaker.frames).toEqual([])
    const right = orderFor(counter, item, speaker.key, session, { stream: 1 })
    speaker.say(speaker.text('order', right))
    expect(await speaker.chunks(1)).toHaveLength(1)
  })

  it('is refused in a mode that is not on the menu', async () => {
    const counter = await openCounter({ modes: ['voucher'] })
    const { speaker, session } = await counter.greet()
    const payload = orderFor(counter, counter.menu.items[0]!, speaker.key, session, { mode: 'onchain' })
    speaker.say(speaker.text('order', payload))
    expect(await expectRefused(speaker, payload.order_hash as Hex, 'PAYMENT_UNSUPPORTED')).toContain('onchain')
  })

  it('is refused when the menu is no longer valid', async () => {
    const clock = createManualClock(5_000_000)
    const counter = await openCounter({ clock, validUntil: 5000 })
    const { speaker, session } = await counter.greet()
    const order = (stream: number): string => speaker.text('order', orderFor(counter, counter.menu.items[0]!, speaker.key, session, { stream }))
    speaker.say(order(0))
    await speaker.chunks(1)
    await clock.advance(1)
    speaker.say(order(1))
    expect((await speaker.next('exit')).payload.reason?.code).toBe('OFFER_EXPIRED')
  })

  it('shares no stream with another', async () => {
    const counter = await openCounter()
    const { speaker, session } = await opened(counter)
    speaker.say(speaker.text('order', orderFor(counter, counter.menu.items[0]!, speaker.key, session)))
    await expectHungUp(speaker, counter, 'UNEXPECTED_MESSAGE', 'a second order on stream 0')
  })

  it('in the onchain mode is one chunk ahead at most', async () => {
    const counter = await openCounter({ window: 64 })
    const { speaker, session } = await counter.greet()
    const payload = orderFor(counter, counter.menu.items[0]!, speaker.key, session, { mode: 'onchain' })
    speaker.say(speaker.text('order', payload))
    for (let paid = 0; paid < 500; paid += 100) {
      await speaker.chunks(paid / 100 + 1)
      await flush()
      expect(speaker.frames.length).toBe(paid / 100 + 1)
      speaker.say(speaker.ack(payload.order_hash as Hex, paid + 100))
    }
  })
})

describe('every signed field', () => {
  const other = (value: unknown): unknown => {
    switch (typeof value) {
      case 'number':
        return value + 1
      case 'boolean':
        return !value
      case 'string':
        if (value.startsWith('0x')) return value.replace(/.$/, (digit) => (digit === '7' ? '8' : '7'))
        return { binary: 'json', voucher: 'onchain', token: 'sample' }[value] ?? `${value}1`
      default:
        return undefined
    }
  }
  /** All payloads that differ from one in a single field. */
  function* changes(payload: object): Generator<[field: string, object]> {
    for (const [key, value] of Object.entries(payload) as [string, unknown][]) {
      if (typeof value === 'object' && value !== null) {
        for (const [inner, changed] of changes(value)) yield [`${key}.${inner}`, { ...payload, [key]: changed }]
      } else {
        const changed = other(value)
        if (changed !== undefined) yield [key, { ...payload, [key]: changed }]
      }
    }
  }

  it.each(['hello', 'order', 'resume', 'exit'] as const)('of %s counts: a change ends the connection and changes nothing', async (type) => {
    const counter = await openCounter()
    const { speaker: owner, id } = await opened(counter)
    await owner.chunks(1)
    const till = counter.tills.get(id)
    let fields = 0
    const payloads = (session: Hex, speaker: Speaker): object =>
      ({
        hello: speaker.hello(),
        order: orderFor(counter, counter.menu.items[0]!, speaker.key, session),
        resume: { order_ID: id, received: 100, stream: 3, session },
        exit: { order_ID: id, session, rating: { score: 4, comment: 'good', signature: `0x${'00'.repeat(65)}` }, reason: null },
      })[type]
    const probe = [...changes(payloads(ZERO32, counter.visit().speaker))].map(([field]) => field)
    for (const field of probe) {
      const { speaker, session } = type === 'hello' ? { ...counter.visit(), session: ZERO32 } : await counter.greet()
      const genuine = payloads(session, speaker)
      const [, changed] = [...changes(genuine)].find(([name]) => name === field)!
      const { signature } = JSON.parse(speaker.text(type, genuine as never)) as { signature: Hex }
      speaker.say(encodeMessage({ type, payload: changed as never, signature: Uint8Array.from(Buffer.from(signature.slice(2), 'hex')), verification: '' }))
      await expectHungUp(speaker, counter, field === 'session' ? 'BAD_MESSAGE' : 'BAD_SIGNATURE')
      fields++
    }
    expect(fields).toBe({ hello: 5, order: 21, resume: 4, exit: 5 }[type])
    // Who opened the order can still pay for it.
    expect(counter.tills).toEqual(new Map([[id, till]]))
    expect(counter.desk.sale(id, owner.key.address)).toBeDefined()
  })

  it.each<[string, (signature: Uint8Array) => Uint8Array]>([
    ['a high s', (x) => highS(x)],
    ['v of 0 or 1', (x) => Uint8Array.from([...x.subarray(0, 64), x[64]! - 27])],
    ['the other v', (x) => Uint8Array.from([...x.subarray(0, 64), 55 - x[64]!])],
    ['the compact form of EIP-2098 and a zero byte', (x) => Uint8Array.from([...x.subarray(0, 32), x[32]! | ((x[64]! - 27) << 7), ...x.subarray(33, 64), 0])],
    ['zeros', () => new Uint8Array(65)],
  ])('is signed in one form only, not with %s', async (_name, change) => {
    const counter = await openCounter()
    const { speaker, session } = await counter.greet()
    const { payload, ...rest } = decodeMessage(speaker.text('order', orderFor(counter, counter.menu.items[0]!, speaker.key, session)), 100_000)
    speaker.say(encodeMessage({ ...rest, payload, signature: change(rest.signature) }))
    await expectHungUp(speaker, counter, 'BAD_SIGNATURE')
    expect(counter.tills.size).toBe(0)
  })

  it('and the verification beside the payload', async () => {
    const counter = await openCounter()
    const { speaker, session } = await counter.greet()
    const signed = JSON.parse(speaker.text('order', orderFor(counter, counter.menu.items[0]!, speaker.key, session))) as { payload: Payload<'order'>; signature: Hex }
    const signature = Uint8Array.from(Buffer.from(signed.signature.slice(2), 'hex'))
    speaker.say(encodeMessage({ type: 'order', payload: signed.payload, signature, verification: '0x12' }))
    await expectHungUp(speaker, counter, 'BAD_SIGNATURE')
  })
})

describe('what was said on another connection', () => {
  it.each(['order', 'resume', 'exit'] as const)('does not count on this one: %s', async (type) => {
    const counter = await openCounter()
    const key = generateKey()
    const { speaker: first, session, id, payload } = await opened(counter, key)
    const recorded = {
      order: () => first.text('order', payload),
      resume: () => first.text('resume', { order_ID: id, received: 0, stream: 5, session }),
      exit: () => first.text('exit', { order_ID: id, session, rating: null, reason: null }),
    }[type]()
    await first.chunks(1)
    const { speaker: replayer } = await counter.greet(key)
    replayer.say(recorded)
    await expectHungUp(replayer, counter, 'BAD_MESSAGE', 'session is not the nonce of this connection')
    // The order goes on where it was.
    await payAll(first, id)
    expect((await first.next('exit')).payload).toMatchObject({ order_ID: id, reason: null })
  })

  it('does not count in the mouth of another: resume and exit by a stranger', async () => {
    const counter = await openCounter()
    const { speaker: owner, id } = await opened(counter)
    await owner.chunks(1)
    const { speaker, session } = await counter.greet()
    speaker.say(speaker.text('resume', { order_ID: id, received: 0, stream: 0, session }))
    await expectRefused(speaker, id, 'BAD_SIGNATURE')
    speaker.say(speaker.text('exit', { order_ID: id, session, rating: null, reason: null }))
    await expectHungUp(speaker, counter, 'BAD_SIGNATURE')
    expect(speaker.frames).toEqual([])
    await payAll(owner, id)
    expect((await owner.next('exit')).payload.reason).toBeNull()
  })

  it('pays nothing twice: an ACK that comes again', async () => {
    const counter = await openCounter()
    const { speaker: first, id } = await opened(counter)
    await first.chunks(1)
    const recorded = first.ack(id, 100)
    first.say(recorded)
    await first.chunks(3)
    const { speaker: replayer } = await counter.greet()
    replayer.say(recorded)
    await flush()
    expect(counter.tills.get(id)!.paid).toBe(100)
    expect(first.frames).toHaveLength(3)
    expect(replayer.frames).toHaveLength(0)
  })
})

describe('an ACK', () => {
  it('before any order is answered for that order, and the connection lives on', async () => {
    const counter = await openCounter()
    const { speaker, session } = await counter.greet()
    speaker.say(speaker.ack(`0x${'77'.repeat(32)}`, 100))
    await expectRefused(speaker, `0x${'77'.repeat(32)}`, 'NO_SUCH_ORDER')
    speaker.say(speaker.text('order', orderFor(counter, counter.menu.items[0]!, speaker.key, session)))
    await speaker.chunks(1)
  })

  it('of more than was sent ends the order unpaid', async () => {
    const counter = await openCounter()
    const { speaker, id } = await opened(counter)
    await speaker.chunks(1)
    speaker.say(speaker.ack(id, 101))
    expect(await expectRefused(speaker, id, 'PAYMENT_INVALID')).toBe('ACK is for 101 bytes, 100 were sent')
    expect(counter.tills.get(id)!.paid).toBe(0)
    await flush()
    expect(speaker.frames).toHaveLength(1)
  })

  it('of less than the last takes nothing back and gives nothing', async () => {
    const counter = await openCounter()
    const { speaker, id } = await opened(counter)
    await speaker.chunks(1)
    speaker.say(speaker.ack(id, 100))
    await speaker.chunks(3)
    for (const less of [0, 50, 100]) speaker.say(speaker.ack(id, less))
    await flush()
    expect(counter.tills.get(id)!.paid).toBe(100)
    expect(speaker.frames).toHaveLength(3)
    speaker.say(speaker.ack(id, 300))
    await speaker.chunks(7)
  })

  it('by another key ends the order and leaves the others', async () => {
    const counter = await openCounter()
    const { speaker, session, id } = await opened(counter)
    const second = orderFor(counter, counter.menu.items[0]!, speaker.key, session, { stream: 1 })
    speaker.say(speaker.text('order', second))
    await speaker.chunks(2)
    speaker.say(speaker.ack(id, 100, generateKey()))
    await expectRefused(speaker, id, 'BAD_SIGNATURE')
    expect(counter.tills.get(id)!.paid).toBe(0)
    speaker.say(speaker.ack(second.order_hash as Hex, 100))
    await speaker.chunks(4)
  })

  it('of a stranger for a running order ends the connection of the stranger alone', async () => {
    const counter = await openCounter()
    const { speaker: owner, id } = await opened(counter)
    await owner.chunks(1)
    const { speaker: stranger } = await counter.greet()
    stranger.say(stranger.ack(id, 100))
    await expectHungUp(stranger, counter, 'BAD_SIGNATURE')
    expect(counter.tills.get(id)!.paid).toBe(0)
    await payAll(owner, id)
    expect((await owner.next('exit')).payload.reason).toBeNull()
  })
})

describe('a resume', () => {
  it('goes on behind what the buyer has, on another connection too', async () => {
    const counter = await openCounter()
    const key = generateKey()
    const { speaker: first, id } = await opened(counter, key)
    await first.chunks(1)
    first.say(first.ack(id, 100))
    await first.chunks(3)
    const { speaker: second, session } = await counter.greet(key)
    second.say(second.text('resume', { order_ID: id, received: 300, stream: 7, session }))
    second.say(second.ack(id, 300))
    const [chunk] = await second.chunks(4)
    expect([chunk?.stream, chunk?.index]).toEqual([7, 3])
    // The stream that the other connection had is over.
    expect(first.frames).toHaveLength(3)
  })

  it.each([
    ['in the middle of a chunk', 50, 10],
    ['behind anything that was sent', 700, 10],
    ['behind the end', 300, 2],
  ])('%s is refused', async (_name, received, chunks) => {
    const counter = await openCounter()
    const key = generateKey()
    const { speaker: first, session: old } = await counter.greet(key)
    const terms = { totalData: 100 * chunks }
    const payload = orderFor(counter, counter.menu.items[0]!, key, old, { chunk_count: chunks }, terms)
    const id = payload.order_hash as Hex
    first.say(first.text('order', payload))
    await first.chunks(1)
    const { speaker, session } = await counter.greet(key)
    speaker.say(speaker.text('resume', { order_ID: id, received, stream: 0, session }))
    await expectRefused(speaker, id, 'RANGE_INVALID')
    expect(speaker.frames).toEqual([])
  })

  it('of an order that is not there is refused', async () => {
    const counter = await openCounter()
    const { speaker, session } = await counter.greet()
    speaker.say(speaker.text('resume', { order_ID: `0x${'77'.repeat(32)}`, received: 0, stream: 0, session }))
    await expectRefused(speaker, `0x${'77'.repeat(32)}`, 'NO_SUCH_ORDER')
  })

  it('brings paid data once more, not endlessly', async () => {
    const counter = await openCounter()
    const key = generateKey()
    const { speaker: first, id } = await opened(counter, key)
    for (let paid = 0; paid < 900; paid += 100) {
      await first.chunks(paid / 100 + 1)
      first.say(first.ack(id, paid + 100))
    }
    const again = async (): Promise<Speaker> => {
      const { speaker, session } = await counter.greet(key)
      speaker.say(speaker.text('resume', { order_ID: id, received: 0, stream: 0, session }))
      return speaker
    }
    expect(await (await again()).chunks(9)).toHaveLength(10)
    await expectRefused(await again(), id, 'RANGE_INVALID')
  })
})

describe('an exit', () => {
  it('ends the stream: nothing comes after it', async () => {
    const counter = await openCounter()
    const ended: SellerEvents['ended'][] = []
    counter.events.on('ended', (event) => void ended.push(event))
    const { speaker, session, id } = await opened(counter)
    await speaker.chunks(1)
    speaker.say(speaker.ack(id, 100))
    await speaker.chunks(3)
    speaker.say(speaker.text('exit', { order_ID: id, session, rating: null, reason: null }))
    expect((await speaker.next('exit')).payload).toMatchObject({ order_ID: id, reason: null })
    speaker.say(speaker.ack(id, 300)) // who has left can't pay for more
    await flush()
    expect(speaker.frames).toHaveLength(3)
    expect(ended).toEqual([{ orderId: id, paid: 100, sent: 300, reason: 'exit' }])
  })

  it('after the last byte still brings its rating', async () => {
    const counter = await openCounter()
    const rated: SellerEvents['rated'][] = []
    counter.events.on('rated', (event) => void rated.push(event))
    const { speaker, session, id } = await opened(counter)
    await payAll(speaker, id)
    await speaker.next('exit')
    const signature = speaker.key.sign(speaker.digests.Rating({ orderId: id, score: 4, commentHash: toHex(hashOf('quick')) }))
    speaker.say(speaker.text('exit', { order_ID: id, session, rating: { score: 4, comment: 'quick', signature: toHex(signature) }, reason: null }))
    await expect.poll(() => rated).toEqual([{ orderId: id, score: 4, comment: 'quick', signature: toHex(signature) }])
  })

  it('with a rating that somebody else signed is refused', async () => {
    const counter = await openCounter()
    const rated: unknown[] = []
    counter.events.on('rated', (event) => void rated.push(event))
    const { speaker, session, id } = await opened(counter)
    await speaker.chunks(1)
    const signature = toHex(generateKey().sign(speaker.digests.Rating({ orderId: id, score: 1, commentHash: toHex(hashOf('bad')) })))
    speaker.say(speaker.text('exit', { order_ID: id, session, rating: { score: 1, comment: 'bad', signature }, reason: null }))
    await speaker.next('exit') // the order's own, without a reason
    await expectHungUp(speaker, counter, 'BAD_SIGNATURE', 'rating')
    expect(rated).toEqual([])
  })
})

/** The same signature, as malleable as secp256k1 is. */
function highS(signature: Uint8Array): Uint8Array {
  const n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const s = n - BigInt(toHex(signature.subarray(32, 64)))
  return Uint8Array.from([...signature.subarray(0, 32), ...Buffer.from(s.toString(16).padStart(64, '0'), 'hex'), 55 - signature[64]!])
}

function hashOf(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(keccak256(toUtf8Bytes(text)).slice(2), 'hex'))
}
