import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hostileMessages, messages } from '../../test/fixtures/messages/arbitraries.ts'
import { invalidText, messageFixtures } from '../../test/fixtures/messages/fixtures.ts'
import { toHex } from '../core/bytes.ts'
import { recoverAddress } from '../core/crypto/signature.ts'
import { isSluiceError, SluiceError } from '../core/errors.ts'
import { canonicalText, decodeMessage, encodeMessage, MAX_TEXT_TO_BUYER, MAX_TEXT_TO_SELLER, messageDigest, type MessageOf } from './message.ts'
import { payloads, type MessageType } from './wire.ts'

const types = Object.keys(payloads) as MessageType[]
const signedAsText = (type: MessageType): boolean => type !== 'ACK' && type !== 'data'

/** What decoding throws. */
function failure(text: string, limit = MAX_TEXT_TO_BUYER): SluiceError {
  try {
    decodeMessage(text, limit)
  } catch (error) {
    if (error instanceof SluiceError) return error
    throw error
  }
  throw new Error(`taken as valid: ${text.slice(0, 200)}`)
}

describe.each(types)('a message of type %s', (type) => {
  const fixtures = messageFixtures[type]

  it.each(fixtures.valid)('is read and written as it came: $name', ({ text, digest, signer }) => {
    const message = decodeMessage(text, MAX_TEXT_TO_BUYER)
    expect(message.type).toBe(type)
    expect(encodeMessage(message)).toBe(text)
    expect(JSON.parse(text)).toEqual({
      message_type: message.type,
      payload: message.payload,
      signature: toHex(message.signature),
      verification: message.verification,
    })
    if (signedAsText(type)) expect(toHex(messageDigest(message))).toBe(digest)
    expect(recoverAddress(messageDigestOr(digest, message), message.signature).toLowerCase()).toBe(signer)
  })

  it.each(fixtures.invalid)('is refused with $name', (invalid) => {
    const error = failure(invalidText(fixtures, invalid))
    expect(error.code).toBe('BAD_MESSAGE')
    if (invalid.field !== undefined) expect(error.details).toMatchObject({ field: invalid.field })
  })

  it('is read back as what was written, whatever it holds', () => {
    fc.assert(
      fc.property(messages(type), (message) => {
        expect(decodeMessage(encodeMessage(message), MAX_TEXT_TO_BUYER)).toEqual(message)
      }),
      { numRuns: 1000 },
    )
  })

  it('is either taken as it stands or refused with BAD_MESSAGE, whatever comes (100,000 cases)', { timeout: 120_000 }, () => {
    let taken = 0
    let refused = 0
    fc.assert(
      fc.property(hostileMessages(type), (text) => {
        try {
          const message = decodeMessage(text, MAX_TEXT_TO_BUYER)
          // One text for one message: no second spelling gets past.
          if (encodeMessage(message) !== text) throw new Error('was taken, and is written otherwise')
          taken++
        } catch (error) {
          if (!isSluiceError(error, 'BAD_MESSAGE')) throw error
          refused++
        }
      }),
      { numRuns: 100_000 },
    )
    // Both happened, or the property says nothing.
    expect(taken).toBeGreaterThan(5000)
    expect(refused).toBeGreaterThan(50_000)
    expect({}).not.toHaveProperty('polluted')
  })

  it('has a digest of its own for every field that is signed', () => {
    if (!signedAsText(type)) return
    const { text } = fixtures.valid[0]!
    const seen = new Map<string, string>()
    for (const change of signedChanges(text)) {
      const digest = toHex(messageDigest(decodeMessage(change, MAX_TEXT_TO_BUYER)))
      expect(seen.get(digest), `${change}\nhas the digest of\n${seen.get(digest)}`).toBeUndefined()
      seen.set(digest, change)
    }
    expect(seen.size).toBeGreaterThan(3)
  })
})

describe('decodeMessage', () => {
  const ack = messageFixtures.ACK.valid[0]!.text

  it.each([
    ['nothing', ''],
    ['no JSON', 'hello'],
    ['half a message', ack.slice(0, -1)],
    ['two messages', ack + ack],
    ['a number', '1'],
    ['null', 'null'],
    ['text', '"ACK"'],
    ['a list of messages', `[${ack}]`],
    ['an empty object', '{}'],
    ['a byte order mark first', `\ufeff${ack}`],
    ['a line end last', `${ack}\n`],
    ['a bare surrogate', ack.replace('"verification":"', '"verification":"\ud800')],
  ])('refuses %s', (_name, text) => {
    expect(failure(text).code).toBe('BAD_MESSAGE')
  })

  it('refuses what is longer than the limit without reading it', () => {
    expect(failure('x'.repeat(10 * 1024 * 1024)).code).toBe('MESSAGE_TOO_LARGE')
    expect(failure(`[${'0,'.repeat(5 * 1024 * 1024)}0]`).code).toBe('MESSAGE_TOO_LARGE')
    expect(failure(ack, ack.length - 1)).toMatchObject({ code: 'MESSAGE_TOO_LARGE', details: { length: ack.length, limit: ack.length - 1 } })
    expect(decodeMessage(ack, ack.length).type).toBe('ACK')
  })

  it('refuses nesting as deep as the limit lets it be', () => {
    for (const limit of [MAX_TEXT_TO_SELLER, MAX_TEXT_TO_BUYER]) {
      const depth = Math.floor(limit / 2) - 200
      const lists = '['.repeat(depth) + ']'.repeat(depth)
      const began = performance.now()
      expect(failure(lists, limit).code).toBe('BAD_MESSAGE')
      expect(failure(ack.replace('"transferred":65536', `"transferred":${lists}`), limit).code).toBe('BAD_MESSAGE')
      const key = ack.replace('"payload":{', `"payload":{"x":${lists},`)
      expect(failure(key, limit).code).toBe('BAD_MESSAGE')
      // JSON.parse alone needs seconds for these: a stranger would stop the process with each.
      expect(performance.now() - began).toBeLessThan(1000)
    }
  })

  it('takes the largest chunk there is in the JSON form', () => {
    const { payload, ...rest } = decodeMessage(messageFixtures.data.valid[0]!.text, MAX_TEXT_TO_BUYER)
    const data = Buffer.alloc(4 * 1024 * 1024, 0xa5).toString('base64')
    const text = encodeMessage({ ...rest, type: 'data', payload: { ...payload, data } } as MessageOf<'data'>)
    expect(text.length).toBeLessThan(MAX_TEXT_TO_BUYER)
    expect(decodeMessage(text, MAX_TEXT_TO_BUYER).payload).toMatchObject({ data })
  })

  it('names the field and shows no more of the message than that', () => {
    const secret = 'a'.repeat(64)
    const error = failure(ack.replace('"transferred":65536', `"transferred":"${secret}"`))
    expect(error.shortMessage).toContain('ACK payload: transferred: must be an integer from 0 to')
    expect(JSON.stringify(error)).not.toContain(secret)
  })
})

describe('canonicalText', () => {
  it('refuses what has no RFC 8785 text', () => {
    for (const value of [undefined, { x: '\ud800' }, { x: NaN }, { x: Infinity }]) {
      expect(() => canonicalText(value)).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }))
    }
  })
})

function messageDigestOr(digest: string, message: ReturnType<typeof decodeMessage>): Uint8Array {
  return signedAsText(message.type) ? messageDigest(message) : Uint8Array.from(Buffer.from(digest.slice(2), 'hex'))
}

/** A text and every text that differs from it in one digit or letter of what is signed, and is valid. */
function* signedChanges(text: string): Generator<string> {
  yield text
  const signature = text.indexOf('"signature":"0x', text.lastIndexOf('"signature"'))
  for (let i = 0; i < text.length; i++) {
    if (i >= signature && i < signature + 147) continue
    for (const other of ['7', 'e']) {
      const change = text.slice(0, i) + other + text.slice(i + 1)
      if (change === text) continue
      try {
        decodeMessage(change, MAX_TEXT_TO_BUYER)
      } catch {
        continue
      }
      yield change
    }
  }
}
