import { describe, expect, it } from 'vitest'
import { concatBytes, fromHex, randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { NO_HASH, SEALED_APPOINTMENT } from '../wire/messages.ts'
import { decodeAppointment, encodeAppointment, hintOf, MAX_RELEASES, seal, unseal, type Appointment } from './appointment.ts'

const bytes = (size: number, value: number): Uint8Array => new Uint8Array(size).fill(value)
const hex = (size: number, value: number): Hex => toHex(bytes(size, value))

const closing = { channelId: hex(32, 0xc1), watch: hex(32, 0xd2) }
const appointment: Appointment = {
  tokenNetwork: hex(20, 0xa1),
  closer: hex(20, 0xa2),
  client: hex(20, 0xa3),
  proof: {
    nonce: 0x1122_3344,
    transferred: 0x5566_7788_99aa_bbccn,
    locked: 7n,
    locksroot: hex(32, 0xb1),
    stream: hex(32, 0xb2),
    ref: hex(32, 0xb3),
    watch: hex(32, 0xb4),
    signature: bytes(65, 0xe1),
    steps: bytes(128, 0xe2),
  },
  updateSignature: bytes(65, 0xe3),
  reward: { deposit: hex(20, 0xa4), tower: hex(20, 0xa5), amount: 9n, signature: bytes(65, 0xe4) },
  releases: [{ lock: bytes(32, 0xf1), signature: bytes(65, 0xf2) }],
}
const bare: Appointment = { ...appointment, reward: undefined, releases: [], proof: { ...appointment.proof, steps: bytes(0, 0) } }

describe('an appointment', () => {
  it('is what was sealed, to the byte', () => {
    for (const each of [appointment, bare])
      expect(decodeAppointment(unseal(seal(encodeAppointment(each), closing), closing))).toEqual(each)
  })

  it('holds as many releases as are ever given with it', () => {
    const releases = Array.from({ length: MAX_RELEASES }, (_, i) => ({ lock: bytes(32, i), signature: bytes(65, i) }))
    const full = { ...appointment, releases }
    expect(decodeAppointment(unseal(seal(encodeAppointment(full), closing), closing))).toEqual(full)
  })

  it('has the same length whatever it holds', () => {
    const sizes = [appointment, bare].map((each) => seal(encodeAppointment(each), closing).length)
    expect(sizes).toEqual([SEALED_APPOINTMENT, SEALED_APPOINTMENT])
    expect(seal(new Uint8Array(0), closing)).toHaveLength(SEALED_APPOINTMENT)
    expect(() => seal(new Uint8Array(SEALED_APPOINTMENT - 41), closing)).toThrow(expect.objectContaining({ code: 'MESSAGE_TOO_LARGE' }))
    expect(unseal(seal(new Uint8Array(SEALED_APPOINTMENT - 42), closing), closing)).toHaveLength(SEALED_APPOINTMENT - 42)
  })

  it('shows nothing of what is in it', () => {
    const content = encodeAppointment(appointment)
    const sealed = Buffer.from(seal(content, closing))
    const parts = [
      ...['tokenNetwork', 'closer', 'client'].map((name) => fromHex(appointment[name as 'closer'])),
      fromHex(closing.channelId),
      fromHex(closing.watch),
      // A piece of each.
      ...[0xa1, 0xa2, 0xa3, 0xb1, 0xb4, 0xe1, 0xe3, 0xf1].map((value) => bytes(8, value)),
      fromHex('0x5566778899aabbcc'),
      fromHex('0x11223344'),
      bytes(16, 0),
    ]
    for (const part of parts) expect(sealed.indexOf(part)).toBe(-1)
    expect(sealed.equals(Buffer.from(seal(content, closing)))).toBe(false)
  })

  it('is opened by nothing but channel and watch, unchanged', () => {
    const sealed = seal(encodeAppointment(appointment), closing)
    const bad = expect.objectContaining({ code: 'BAD_KEY' }) as unknown as Error
    expect(() => unseal(sealed, { ...closing, watch: NO_HASH })).toThrow(bad)
    expect(() => unseal(sealed, { ...closing, channelId: NO_HASH })).toThrow(bad)
    for (const at of [0, 23, 24, 40, SEALED_APPOINTMENT - 1]) {
      const changed = sealed.slice()
      changed[at]! ^= 1
      expect(() => unseal(changed, closing)).toThrow(bad)
    }
    expect(() => unseal(sealed.subarray(1), closing)).toThrow(bad)
    expect(() => unseal(concatBytes(sealed, bytes(1, 0)), closing)).toThrow(bad)
    expect(() => unseal(randomBytes(SEALED_APPOINTMENT), closing)).toThrow(bad)
    expect(() => unseal(randomBytes(5), closing)).toThrow(bad)
  })

  it('that is no appointment inside names the field', () => {
    const content = encodeAppointment(appointment)
    expect(() => decodeAppointment(content.subarray(0, 50))).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }))
    expect(() => decodeAppointment(concatBytes(content, bytes(1, 0)))).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }))
  })
})

describe('a hint', () => {
  it('is 16 bytes that stand for channel and watch, and are not part of the key', () => {
    const hint = hintOf(closing)
    expect(hint).toMatch(/^0x[0-9a-f]{32}$/)
    expect(hintOf({ ...closing })).toBe(hint)
    expect(hintOf({ ...closing, watch: NO_HASH })).not.toBe(hint)
    expect(hintOf({ ...closing, channelId: NO_HASH })).not.toBe(hint)
  })
})
