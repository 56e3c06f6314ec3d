import { describe, expect, it } from 'vitest'
import { domain, openCounter } from '../../test/fixtures/trade/counter.ts'
import { createSpeaker, type Speaker } from '../../test/fixtures/trade/speaker.ts'
import { toHex, type Hex } from '../core/bytes.ts'
import { systemClock } from '../core/clock.ts'
import { generateKey, type Key } from '../core/crypto/key.ts'
import { frameFor, type DataFrame } from '../protocol/frame.ts'
import { keyIdentity } from '../protocol/identity.ts'
import { memoryTransportPair } from '../protocol/memoryTransport.ts'
import { menuToWire, ZERO32, type Menu } from '../protocol/menu.ts'
import { encodeMessage } from '../protocol/message.ts'
import type { CloseReason } from '../protocol/transport.ts'
import type { Payload } from '../protocol/wire.ts'
import { openLink, type Link, type LinkOptions } from './link.ts'

const { menu: realMenu, seller: realSeller } = await openCounter()
const orderId: Hex = `0x${'0d'.repeat(32)}`

interface Meeting {
  readonly seller: Speaker
  /** The nonce of the buyer's hello. */
  readonly replyTo: Hex
  readonly linking: Promise<Link>
  hello(changes?: object, by?: Key): string
  menu(changes?: Partial<Menu>, by?: Key): string
}

/** A buyer has come and said hello; what the seller answers is up to the test. */
async function meet(options: Partial<LinkOptions> = {}): Promise<Meeting> {
  const [ours, theirs] = memoryTransportPair()
  const seller = createSpeaker(theirs, realSeller, domain)
  const linking = openLink({
    url: 'memory:',
    connect: () => Promise.resolve(ours),
    identity: keyIdentity(generateKey(), domain),
    domain,
    clock: systemClock,
    timeout: 5000,
    ...options,
  })
  linking.catch(() => {})
  const { payload } = await seller.next('hello')
  const replyTo = payload.nonce as Hex
  return {
    seller,
    replyTo,
    linking,
    hello: (changes = {}, by = realSeller) => {
      const { public_key_of_the_buyer: _, ...common } = seller.hello() as Payload<'hello'> & { public_key_of_the_buyer: string }
      return seller.text('hello', { ...common, public_key_of_the_seller: toHex(by.publicKey), reply_to: replyTo, ...changes }, by)
    },
    menu: (changes = {}, by = realSeller) => seller.text('menu', menuToWire({ ...realMenu, ...changes }), by),
  }
}

interface Line {
  readonly chunks: DataFrame[]
  readonly exits: Payload<'exit'>[]
  readonly lost: CloseReason[]
}

/** A link that is open, with one order on it. */
async function linked(): Promise<Meeting & { link: Link; line: Line; stream: number }> {
  const meeting = await meet()
  meeting.seller.say(meeting.hello())
  meeting.seller.say(meeting.menu())
  const link = await meeting.linking
  const line: Line = { chunks: [], exits: [], lost: [] }
  const { stream } = link.attach({
    orderId,
    chunk: (frame) => void line.chunks.push(frame),
    exit: (payload) => void line.exits.push(payload),
    lost: (reason) => void line.lost.push(reason),
  })
  return { ...meeting, link, line, stream }
}

const flush = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0))
const exit = (session: string, changes: Partial<Payload<'exit'>> = {}): Payload<'exit'> => ({ order_ID: orderId, session, rating: null, reason: null, ...changes })
function frame(stream: number): Uint8Array {
  return Uint8Array.from(frameFor(stream, 0, 3, new Uint8Array(0)).frame)
}

describe('openLink', () => {
  it('resolves with the menu, the text it came in, and the session', async () => {
    const meeting = await meet({ seller: realSeller.address })
    meeting.seller.say(meeting.hello())
    const text = meeting.menu()
    meeting.seller.say(text)
    const link = await meeting.linking
    expect(link).toMatchObject({ menuText: text, session: meeting.seller.nonce, open: true })
    expect(link.menu.items.map(({ id }) => id)).toEqual(['weather'])
  })

  const stranger = generateKey()
  it.each<[string, (meeting: Meeting) => readonly (string | Uint8Array)[], string, Partial<LinkOptions>?]>([
    ['an answer to another hello', (m) => [m.hello({ reply_to: ZERO32 })], 'BAD_MESSAGE'],
    ['a hello signed by another than it names', (m) => [m.hello({ public_key_of_the_seller: toHex(stranger.publicKey) })], 'BAD_SIGNATURE'],
    ['a hello on another chain', (m) => [m.hello({ chain_id: '1' })], 'WRONG_CHAIN'],
    ['a hello by another contract', (m) => [m.hello({ contract: `0x${'c1'.repeat(20)}` })], 'WRONG_CHAIN'],
    ['a hello of another version', (m) => [m.hello({ version: 2 })], 'VERSION_MISMATCH'],
    ['another account than was looked for', (m) => [m.hello({}, stranger)], 'BAD_SIGNATURE', { seller: realSeller.address }],
    ['the hello of a buyer', (m) => [m.seller.text('hello', m.seller.hello())], 'UNEXPECTED_MESSAGE'],
    ['a second hello', (m) => [m.hello(), m.hello()], 'UNEXPECTED_MESSAGE'],
    ['a menu before hello', (m) => [m.menu()], 'UNEXPECTED_MESSAGE'],
    ['a menu signed by another', (m) => [m.hello(), m.menu({}, stranger)], 'BAD_SIGNATURE'],
    ['a menu that pays another', (m) => [m.hello(), m.menu({ seller: stranger.address })], 'BAD_MESSAGE'],
    ['a menu for another chain', (m) => [m.hello(), m.menu({ chainId: 1n })], 'WRONG_CHAIN'],
    ['a menu for another contract', (m) => [m.hello(), m.menu({ contract: `0x${'c1'.repeat(20)}` })], 'WRONG_CHAIN'],
    ['a menu in which a price was changed', (m) => [m.hello(), m.menu().replace('"price":"1000"', '"price":"9000"')], 'BAD_SIGNATURE'],
    ['an ACK', (m) => [m.hello(), m.seller.ack(orderId, 1)], 'UNEXPECTED_MESSAGE'],
    ['text that is no message', (m) => [m.hello(), 'hello?'], 'BAD_MESSAGE'],
    ['bytes that are no frame', () => [new Uint8Array(10)], 'BAD_FRAME'],
    ['more than 6 MiB of text', () => ['x'.repeat(6 * 1024 * 1024 + 1)], 'MESSAGE_TOO_LARGE'],
  ])('refuses %s, and hangs up', async (_name, says, code, options) => {
    const meeting = await meet(options)
    for (const packet of says(meeting)) meeting.seller.say(packet)
    await expect(meeting.linking).rejects.toMatchObject({ code })
    expect((await meeting.seller.closed).code).toBe(1008)
  })

  it('says why when the seller refuses', async () => {
    const meeting = await meet()
    meeting.seller.say(meeting.seller.text('exit', exit(ZERO32, { order_ID: ZERO32, reason: { code: 'WRONG_CHAIN', message: 'not here' } })))
    await expect(meeting.linking).rejects.toMatchObject({ code: 'PEER_REFUSED', shortMessage: 'the seller refused: not here', details: { code: 'WRONG_CHAIN' } })
  })

  it('gives up on a seller who says nothing, and hangs up', async () => {
    const meeting = await meet({ timeout: 20 })
    await expect(meeting.linking).rejects.toMatchObject({ code: 'TIMEOUT' })
    await meeting.seller.closed
  })

  it('gives up when its caller does', async () => {
    const stop = new AbortController()
    const meeting = await meet({ signal: stop.signal })
    stop.abort()
    await expect(meeting.linking).rejects.toMatchObject({ code: 'ABORTED' })
    await meeting.seller.closed
  })
})

describe('a link', () => {
  it('hands chunks and exits to the order that they are for', async () => {
    const { seller, line, stream } = await linked()
    seller.say(frame(stream))
    seller.say(seller.text('exit', exit(seller.nonce)))
    await flush()
    expect(line.chunks).toHaveLength(1)
    expect(line.exits).toEqual([exit(seller.nonce)])
    expect(line.lost).toEqual([])
  })

  it('reads the JSON form of data as the same chunk', async () => {
    const { seller, line, stream } = await linked()
    const hashes = [ZERO32, orderId]
    const signature = new Uint8Array(65).fill(5)
    seller.say(encodeMessage({ type: 'data', payload: { order_ID: orderId, index: 7, proof: hashes, data: 'AP+A' }, signature, verification: '' }))
    await flush()
    expect(line.chunks).toEqual([
      {
        stream,
        index: 7,
        proof: Uint8Array.from(Buffer.from(hashes.map((hash) => hash.slice(2)).join(''), 'hex')),
        claim: signature,
        leaf: Uint8Array.of(0, 0, 255, 128),
        body: Uint8Array.of(0, 255, 128),
      },
    ])
  })

  it('lets chunks of an order that has ended fall', async () => {
    const { seller, link, line, stream } = await linked()
    const other = link.attach({ orderId: ZERO32, chunk: () => expect.unreachable(), exit: () => {}, lost: () => {} })
    other.detach()
    seller.say(frame(other.stream))
    seller.say(frame(99))
    seller.say(encodeMessage({ type: 'data', payload: { order_ID: ZERO32, index: 0, proof: [], data: '' }, signature: new Uint8Array(65), verification: '' }))
    seller.say(frame(stream))
    await flush()
    expect(line.chunks).toHaveLength(1)
    expect(link.open).toBe(true)
  })

  it.each<[string, (meeting: Meeting) => string | Uint8Array]>([
    ['an exit that somebody else signed', (m) => m.seller.text('exit', exit(m.seller.nonce), generateKey())],
    ['an exit of another connection', (m) => m.seller.text('exit', exit(`0x${'99'.repeat(32)}`))],
    ['an exit in which something was changed', (m) => m.seller.text('exit', exit(m.seller.nonce)).replace('"reason":null', '"reason":{"code":"ABORTED","message":""}')],
    ['a second menu', (m) => m.menu()],
    ['a second hello', (m) => m.hello()],
    ['half a frame', () => frame(0).subarray(0, 21)],
    ['two frames in one', () => Uint8Array.from([...frame(0), ...frame(0)])],
  ])('ends at %s, and says so to its orders', async (_name, says) => {
    const meeting = await linked()
    meeting.seller.say(says(meeting))
    const { code } = await meeting.seller.closed
    expect(code).toBe(1008)
    expect(meeting.line.exits).toEqual([])
    expect(meeting.line.chunks).toEqual([])
    expect(meeting.line.lost).toEqual([expect.objectContaining({ code: 1008 })])
    expect(meeting.link.open).toBe(false)
  })
})
