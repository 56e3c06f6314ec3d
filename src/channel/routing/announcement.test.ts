import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../core/bytes.ts'
import { keyFromSecret } from '../../core/crypto/key.ts'
import { isSluiceError } from '../../core/errors.ts'
import { decodeAnnouncement, encodeAnnouncement, signAnnouncement, verifyAnnouncement, type Announcement } from './announcement.ts'
import { schedules } from './testNetwork.testing.ts'

const key = (n: number) => keyFromSecret(new Uint8Array(32).fill(n))
const owner = key(1)
const session = key(2)
const hex = (size: number) => fc.uint8Array({ minLength: size, maxLength: size }).map(toHex)
const u53 = fc.maxSafeNat()
const never = (): boolean => false

const announcements: fc.Arbitrary<Announcement> = fc.record({
  chainId: u53,
  tokenNetwork: hex(20),
  channelId: hex(32),
  participant: fc.constant(owner.address.toLowerCase()),
  partner: hex(20),
  sequence: u53,
  nonces: fc.record({ own: u53, partner: u53 }),
  capacity: fc.bigInt(0n, 2n ** 128n - 1n),
  fees: schedules(2n ** 60n),
  revealTimeout: fc.integer({ min: 1, max: 86_400 }),
  enabled: fc.boolean(),
})
const sample = fc.sample(announcements, { numRuns: 1, seed: 3 })[0]!

function code(act: () => unknown): { code: string; field: unknown } | undefined {
  try {
    act()
  } catch (error) {
    if (isSluiceError(error)) return { code: error.code, field: error.details.field }
    throw error
  }
  return undefined
}

describe('an announcement', () => {
  it('is read back as what was signed', () => {
    fc.assert(
      fc.property(announcements, (announcement) => {
        const signed = signAnnouncement(announcement, owner)
        expect(decodeAnnouncement(signed.bytes)).toEqual(signed)
        expect(signed).toMatchObject(announcement)
        verifyAnnouncement(signed, never)
        expect(signed.bytes.length).toBeLessThanOrEqual(2048)
      }),
      { numRuns: 50 },
    )
  })

  it('lies in the bytes as the layout says', () => {
    const bytes = encodeAnnouncement({
      chainId: 5,
      tokenNetwork: `0x${'aa'.repeat(20)}`,
      channelId: `0x${'bb'.repeat(32)}`,
      participant: `0x${'cc'.repeat(20)}`,
      partner: `0x${'dd'.repeat(20)}`,
      sequence: 6,
      nonces: { own: 7, partner: 8 },
      capacity: 9n,
      fees: { flat: 10n, proportional: 11, imbalance: [[0n, 3n], [12n, 0n]] },
      revealTimeout: 60,
      enabled: true,
    })
    const u = (size: number, value: number): string => value.toString(16).padStart(2 * size, '0')
    expect(toHex(bytes)).toBe(
      ['0x01', u(8, 5), 'aa'.repeat(20), 'bb'.repeat(32), 'cc'.repeat(20), 'dd'.repeat(20), u(8, 6), u(8, 7), u(8, 8)]
        .concat(u(16, 9), u(4, 60), '01', u(16, 10), u(4, 11), u(2, 2), u(16, 0), u(16, 3), u(16, 12), u(16, 0))
        .join(''),
    )
  })

  it('counts only with the signature of its participant', () => {
    const forged = signAnnouncement(sample, session)
    expect(code(() => verifyAnnouncement(forged, never))).toEqual({ code: 'BAD_SIGNATURE', field: 'signature' })
    const bytes = Uint8Array.from(forged.bytes)
    bytes.fill(0, bytes.length - 67, bytes.length - 2)
    expect(code(() => verifyAnnouncement(decodeAnnouncement(bytes), never))?.code).toBe('BAD_SIGNATURE')
  })

  it('may be signed by a session key, with what proves that it may', () => {
    const delegation = Uint8Array.of(1, 2, 3)
    const asked: unknown[] = []
    verifyAnnouncement(signAnnouncement(sample, session, delegation), (...given) => asked.push(given) > 0)
    expect(asked).toEqual([[owner.address.toLowerCase(), session.address.toLowerCase(), delegation]])
    // Nothing unsigned rides along with the owner's own signature.
    expect(code(() => verifyAnnouncement(signAnnouncement(sample, owner, delegation), () => true))?.code).toBe('BAD_SIGNATURE')
  })

  it('is refused, or means something else, when any bit of it is changed', () => {
    const { bytes } = signAnnouncement(sample, owner)
    let refused = 0
    for (let i = 0; i < bytes.length; i++) {
      const changed = Uint8Array.from(bytes)
      changed[i] = changed[i]! ^ (1 << (i % 8))
      const failure = code(() => verifyAnnouncement(decodeAnnouncement(changed), never))
      expect(failure?.code, `byte ${i}`).toMatch(/^BAD_(MESSAGE|SIGNATURE)$/)
      refused++
    }
    expect(refused).toBe(bytes.length)
  })

  it('is refused when it is cut anywhere, or when something follows', () => {
    const { bytes } = signAnnouncement(sample, owner)
    for (let length = 0; length < bytes.length; length++) {
      expect(code(() => decodeAnnouncement(bytes.subarray(0, length)))?.code, `${length}`).toBe('BAD_MESSAGE')
    }
    expect(code(() => decodeAnnouncement(Uint8Array.from([...bytes, 0])))?.code).toBe('BAD_MESSAGE')
  })

  it.each([
    ['version', (bytes: Uint8Array) => (bytes[0] = 2)],
    ['chainId', (bytes: Uint8Array) => (bytes[2] = 0x20)],
    ['enabled', (bytes: Uint8Array) => (bytes[145] = 2)],
    ['revealTimeout', (bytes: Uint8Array) => bytes.fill(0, 141, 145)],
    ['revealTimeout', (bytes: Uint8Array) => bytes.fill(2, 142, 145)],
    ['fees.proportional', (bytes: Uint8Array) => bytes.fill(255, 162, 166)],
    ['partner', (bytes: Uint8Array) => bytes.copyWithin(81, 61, 81)],
    ['imbalance', (bytes: Uint8Array) => (bytes[167] = 22)],
    ['fees.imbalance', (bytes: Uint8Array) => (bytes[167] = 1)],
  ])('is refused for its %s', (field, change) => {
    const bytes = Uint8Array.from(signAnnouncement(sample, owner).bytes)
    change(bytes)
    expect(code(() => decodeAnnouncement(bytes))).toEqual({ code: 'BAD_MESSAGE', field })
  })

  it('can only be made of fields that others take', () => {
    expect(code(() => encodeAnnouncement({ ...sample, revealTimeout: 86_401 }))?.code).toBe('BAD_MESSAGE')
    expect(code(() => encodeAnnouncement({ ...sample, partner: sample.participant }))?.code).toBe('BAD_MESSAGE')
    expect(code(() => signAnnouncement({ ...sample, sequence: 2 ** 53 }, owner))?.code).toBe('BAD_MESSAGE')
    expect(code(() => signAnnouncement({ ...sample, sequence: 1.5 }, owner))?.code).toBe('BAD_MESSAGE')
    expect(code(() => signAnnouncement({ ...sample, nonces: { own: 0, partner: -1 } }, owner))?.code).toBe('BAD_MESSAGE')
    expect(code(() => signAnnouncement({ ...sample, capacity: 2n ** 128n }, owner))?.code).toBe('BAD_MESSAGE')
    expect(code(() => signAnnouncement({ ...sample, capacity: -1n }, owner))?.code).toBe('BAD_MESSAGE')
  })
})
