import type { Hex } from '../../core/bytes.ts'
import { assertArgument } from '../../core/errors.ts'
import { encodeChannelMessage, type ChannelMessageOf } from '../wire/messages.ts'

/** Writes and reads the messages `step` of one channel, byte for byte as the general codec does (wire/messages.ts). */
export interface StepCodec {
  /** Writes a message: `steps` below 2^32. @throws `BAD_ARGUMENT` unless `preimage` has 32 bytes. */
  encode(steps: number, preimage: Uint8Array): Uint8Array
  /** Reads a packet; undefined if it isn't a `step` of this channel, or not a whole one: that is for the general codec. */
  decode(packet: Uint8Array): Omit<ChannelMessageOf<'step'>, 'channelId'> | undefined
}

/**
 * Prepares a codec: more than twice the payments of the general one, which would spend most of the time of a payment on
 * the hex of the same channel id, again and again (docs/benchmarks.md).
 */
export function createStepCodec(channelId: Hex): StepCodec {
  /** Steps and preimage are the last fields of the layout: all before them is the same in each. */
  const template = encodeChannelMessage('step', { channelId, steps: 0, preimage: new Uint8Array(32) })
  const size = template.length
  const at = size - 36
  return {
    encode(steps, preimage) {
      assertArgument(preimage.length === 32, 'preimage', '32 bytes')
      const packet = template.slice()
      packet[at] = steps >>> 24
      packet[at + 1] = steps >>> 16
      packet[at + 2] = steps >>> 8
      packet[at + 3] = steps
      packet.set(preimage, at + 4)
      return packet
    },
    decode(packet) {
      if (packet.length !== size) return undefined
      for (let i = 0; i < at; i++) if (packet[i] !== template[i]) return undefined
      const steps = ((packet[at]! << 24) | (packet[at + 1]! << 16) | (packet[at + 2]! << 8) | packet[at + 3]!) >>> 0
      return { steps, preimage: packet.slice(at + 4) }
    },
  }
}
