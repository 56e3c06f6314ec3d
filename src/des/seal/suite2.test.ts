import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hkdfSync } from 'node:crypto'
import nacl from 'tweetnacl'
import vectors from '../../../test/fixtures/des/vectors.json' with { type: 'json' }
import { toHex, utf8 } from '../../core/bytes.ts'
import { grapheneKey, keyFromWif, seedSecret } from '../../core/crypto/graphene/index.ts'
import { isSuite2, open, seal, type SealContext } from './suite2.ts'

const badMessage: unknown = expect.objectContaining({ name: 'SluiceError', code: 'BAD_MESSAGE' })
const [alice, bob, eve] = [grapheneKey(seedSecret('alice')), grapheneKey(seedSecret('bob')), grapheneKey(seedSecret('eve'))]
const context: SealContext = { requestId: 'abc1', productId: 1, from: '1.2.20', to: '1.2.11' }

describe('sealed data, suite 2', () => {
  it.each(vectors.seals)('opens $plain', (vector) => {
    const [from, to] = [keyFromWif(vector.from), keyFromWif(vector.to)]
    expect(toHex(open(to, from.publicKey, vector.context as SealContext, vector.sealed))).toBe(toHex(utf8(vector.plain)))
  })

  it('is what its description says, by other means', () => {
    const sealed = Buffer.from(seal(alice, bob.publicKey, context, utf8('text')).slice(3), 'hex')
    const info = `abc1|1|1.2.20|1.2.11|${alice.publicKey}|${bob.publicKey}`
    const key = new Uint8Array(hkdfSync('sha256', bob.agree(alice.publicKey), 'sluice des seal 2', info, 32))
    expect(toHex(nacl.secretbox.open(sealed.subarray(24), sealed.subarray(0, 24), key)!)).toBe(toHex(utf8('text')))
  })

  it('opens any bytes, and seals them differently each time', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (plain) => {
        const sealed = seal(alice, bob.publicKey, context, plain)
        expect(isSuite2(sealed)).toBe(true)
        expect(toHex(open(bob, alice.publicKey, context, sealed))).toBe(toHex(plain))
        expect(seal(alice, bob.publicKey, context, plain)).not.toBe(sealed)
      }),
      { numRuns: 30 },
    )
  })

  it('opens in no other context, for no other key, in no other direction', () => {
    const sealed = seal(alice, bob.publicKey, context, utf8('text'))
    const others: Partial<SealContext>[] = [{ requestId: 'abc2' }, { productId: 2 }, { from: '1.2.21' }, { to: '1.2.12' }, { requestId: 'abc', productId: 11 }]
    for (const other of others) expect(() => open(bob, alice.publicKey, { ...context, ...other }, sealed)).toThrow(badMessage)
    expect(() => open(eve, alice.publicKey, context, sealed)).toThrow(badMessage)
    expect(() => open(bob, eve.publicKey, context, sealed)).toThrow(badMessage)
    // Its own sender can't be shown it as an answer: the two keys share the same point.
    expect(() => open(alice, bob.publicKey, context, sealed)).toThrow(badMessage)
  })

  it('opens with no byte changed, cut or added', () => {
    const sealed = seal(alice, bob.publicKey, context, utf8('text'))
    for (let at = 3; at < sealed.length; at++) {
      const digit = ((parseInt(sealed[at]!, 16) + 1) % 16).toString(16)
      expect(() => open(bob, alice.publicKey, context, sealed.slice(0, at) + digit + sealed.slice(at + 1))).toThrow(badMessage)
    }
    for (const bad of ['', 'v2:', 'v2:ab', 'v2:abc', sealed.slice(3), sealed.slice(0, -2), `${sealed}00`, `${sealed} `, vectors.ciphers[0]!.sealed, `v2:${'zz'.repeat(50)}`]) {
      expect(() => open(bob, alice.publicKey, context, bad), bad).toThrow(badMessage)
    }
  })

  it.each<[string, Partial<SealContext>]>([
    ['requestId', { requestId: 'a|1' }],
    ['requestId', { requestId: '' }],
    ['requestId', { requestId: 'a'.repeat(129) }],
    ['productId', { productId: -1 }],
    ['productId', { productId: 1.5 }],
    ['from', { from: '1.2.' }],
    ['to', { to: '1.2.1|1.2.2' }],
  ])('refuses a bad %s: %o', (name, change) => {
    const bad = expect.objectContaining({ code: 'BAD_ARGUMENT', details: { name } }) as Error
    expect(() => seal(alice, bob.publicKey, { ...context, ...change }, utf8('a'))).toThrow(bad)
    expect(() => open(bob, alice.publicKey, { ...context, ...change }, 'v2:')).toThrow(bad)
  })

  it('refuses bad keys', () => {
    expect(() => seal(alice, 'GXC1', context, utf8('a'))).toThrow(expect.objectContaining({ code: 'BAD_KEY' }))
    expect(() => open(alice, 'GXC1', context, 'v2:')).toThrow(expect.objectContaining({ code: 'BAD_KEY' }))
  })
})
