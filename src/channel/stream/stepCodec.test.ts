import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../core/bytes.ts'
import { codeOf } from '../../testing/suite.ts'
import { decodeChannelMessage, encodeChannelMessage } from '../wire/messages.ts'
import { createStepCodec } from './stepCodec.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const stepArb = fc.record({ channelId: bytes32.map(toHex), steps: fc.nat(2 ** 32 - 1), preimage: bytes32 })

describe('createStepCodec', () => {
  it('writes and reads what the general codec does', () => {
    fc.assert(
      fc.property(stepArb, (step) => {
        const codec = createStepCodec(step.channelId)
        const packet = codec.encode(step.steps, step.preimage)
        expect(packet).toEqual(encodeChannelMessage('step', step))
        expect({ type: 'step', channelId: step.channelId, ...codec.decode(packet) }).toEqual(decodeChannelMessage(packet))
      }),
    )
  })

  it('leaves every other packet alone', () => {
    fc.assert(
      fc.property(stepArb, bytes32.map(toHex), fc.nat(32), (step, other, at) => {
        const codec = createStepCodec(step.channelId)
        const packet = codec.encode(step.steps, step.preimage)
        expect(createStepCodec(other).decode(packet)).toBeUndefined()
        expect(codec.decode(packet.subarray(0, -1))).toBeUndefined()
        expect(codec.decode(Uint8Array.of(...packet, 0))).toBeUndefined()
        packet[at]! ^= 1 // the type, or a byte of the channel
        expect(codec.decode(packet)).toBeUndefined()
      }),
    )
    expect(createStepCodec(`0x${'00'.repeat(32)}`).decode(new Uint8Array(0))).toBeUndefined()
  })

  it('shares no memory between messages', () => {
    const codec = createStepCodec(`0x${'ab'.repeat(32)}`)
    const first = codec.encode(1, new Uint8Array(32).fill(1))
    const read = codec.decode(first)!
    codec.encode(2, new Uint8Array(32).fill(2))
    first.fill(0)
    expect(read).toEqual({ steps: 1, preimage: new Uint8Array(32).fill(1) })
  })

  it('refuses to write what is no preimage', async () => {
    const codec = createStepCodec(`0x${'ab'.repeat(32)}`)
    for (const size of [0, 31, 33]) expect(await codeOf(() => codec.encode(1, new Uint8Array(size)))).toBe('BAD_ARGUMENT')
  })
})
