/**
 * Payments by hash chain within a channel: a signature anchors a chain, then each hash shown pays.
 * @module
 */
import { fromHex, randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { generateSecret } from '../../core/crypto/key.ts'
import { assertArgument, SluiceError } from '../../core/errors.ts'
import type { Link } from '../link/link.ts'
import { createChain, createChainVerifier, type Chain, type ChainVerifier } from '../stream/chain.ts'
import { createStepCodec, type StepCodec } from '../stream/stepCodec.ts'
import { MAX_STEPS } from '../stream/streamTerms.ts'
import { NO_HASH, type Typed } from '../wire/messages.ts'
import { capacityOf, encodeSide, sideKey, type Channel } from './channel.ts'
import type { NodeContext } from './context.ts'
import type { Proofs } from './proofs.ts'

/** What pays by the step. */
export interface PaymentStream {
  readonly channelId: Hex
  /** What a step pays. */
  readonly unit: bigint
  /** What was paid by it so far. */
  readonly paid: bigint
  /**
   * Pays `count` steps. Costs a hash; what is paid in one turn of the event loop travels as one message. A new chain is
   * anchored by itself when the last one is used up.
   * @returns a promise when the link is congested: wait for it before paying on.
   * @throws `CAPACITY_SHORT` when the channel is empty, `PARTNER_OFFLINE`, `CHANNEL_NOT_OPEN`, `CHAIN_STALLED`, `BAD_ARGUMENT`
   * after `end`.
   */
  pay(count?: number): Promise<void> | undefined
  /** Turns what was paid into an ordinary balance, and frees the rest of the chain. */
  end(): void
}

/** See {@link createStreams}. */
export interface Streams {
  /** @throws `CHANNEL_BUSY` if the channel has a stream of this node already. */
  open(channel: Channel, unit: bigint): PaymentStream
  /** The partner pays a step. */
  onStep(link: Link, message: Typed<'step'>): void
  /** The partner has anchored a chain, or none. */
  anchored(channel: Channel): void
  /** Shows the last step again, which may be lost; folds what an earlier run has left of this node's stream. */
  synced(channel: Channel): void
  /** Folds this node's stream, if there is one. */
  fold(channel: Channel): void
}

/** Creates the streams of a node. */
export function createStreams(context: NodeContext, proofs: Proofs): Streams {
  const { journal, links, events, time } = context
  /** Streams that pay, by channel. */
  const paying = new Map<Hex, { end(): void; show(): void }>()
  /** What checks the partners' chains. */
  const verifiers = new WeakMap<Channel, ChainVerifier>()

  const saveSide = (channel: Channel, own: boolean): void =>
    journal.put(sideKey(channel.id, own), () => encodeSide(own ? channel.own : channel.theirs))

  /** Folds the steps shown into the balance, and anchors the next chain or none. */
  const anchor = (channel: Channel, next: Chain | undefined, unit: bigint): void => {
    const { length, anchor: end } = next ?? { length: 0, anchor: NO_HASH }
    const steps = channel.own.stream?.steps ?? 0
    proofs.sign(channel, 'stream', { steps, anchor: end, unit, length, paymentId: toHex(randomBytes(32)) })
  }

  return {
    open(channel, unit) {
      assertArgument(unit > 0n, 'unit', 'at least 1')
      if (paying.has(channel.id) || channel.own.stream) {
        throw new SluiceError('CHANNEL_BUSY', `channel ${channel.id} has a stream already`, {
          details: { channelId: channel.id },
        })
      }
      const codec: StepCodec = createStepCodec(channel.id)
      let chain: Chain | undefined
      /** Steps of the present chain that were paid; those that have left are in the side. */
      let steps = 0
      let folded = 0n
      let ended = false
      let flushing = false

      const renew = (): void => {
        flush()
        // A chain reserves all that it could pay: no more than there is.
        const reserve = channel.own.stream ? BigInt(channel.own.stream.length - channel.own.stream.steps) * unit : 0n
        const affordable = (capacityOf(channel) + reserve) / unit
        if (affordable <= 0n) {
          throw new SluiceError('CAPACITY_SHORT', `channel ${channel.id} can't pay another ${unit}`, {
            details: { channelId: channel.id, capacity: capacityOf(channel), amount: unit },
          })
        }
        const length = affordable < BigInt(MAX_STEPS) ? Number(affordable) : MAX_STEPS
        const next = createChain({ seed: generateSecret(), length })
        anchor(channel, next, unit)
        folded += BigInt(steps) * unit
        steps = 0
        chain = next
      }

      const flush = (): void => {
        flushing = false
        const { stream } = channel.own
        if (!chain || !stream || stream.anchor !== chain.anchor || steps <= stream.steps) return
        const preimage = chain.preimage(steps)
        channel.own = { ...channel.own, stream: { ...stream, steps, preimage: toHex(preimage) } }
        saveSide(channel, true)
        show()
      }
      /** Sends the last step: it stands for all before. */
      const show = (): void => {
        const { stream } = channel.own
        if (!stream || stream.steps === 0) return
        const packet = codec.encode(stream.steps, fromHex(stream.preimage, 32))
        journal.then(() => {
          if (channel.synced) links.get(channel.partner)?.sendPacket(packet)
        })
      }

      const stream: PaymentStream = {
        channelId: channel.id,
        unit,
        get paid() {
          return folded + BigInt(steps) * unit
        },
        pay(count = 1) {
          context.assertRunning()
          assertArgument(!ended, 'stream', 'one that has not ended')
          assertArgument(Number.isSafeInteger(count) && count >= 1, 'count', 'a whole number from 1')
          if (channel.phase !== 'open') throw new SluiceError('CHANNEL_NOT_OPEN', `channel ${channel.id} is ${channel.phase}`)
          time.assertMoving()
          for (let left = count; left > 0; ) {
            if (!chain || steps === chain.length) renew()
            const some = Math.min(left, chain!.length - steps)
            steps += some
            left -= some
          }
          if (!flushing) {
            flushing = true
            queueMicrotask(flush)
          }
          const link = links.get(channel.partner)
          return link?.congested ? link.drained() : undefined
        },
        end() {
          if (ended) return
          context.assertRunning()
          ended = true
          flush()
          paying.delete(channel.id)
          if (channel.own.stream) anchor(channel, undefined, 0n)
        },
      }
      paying.set(channel.id, { end: stream.end, show })
      return stream
    },

    onStep(link, { channelId, steps, preimage }) {
      const channel = proofs.channelOf(link, channelId)
      const { stream } = channel.theirs
      if (!stream || channel.phase !== 'open') return // folded meanwhile: its steps were counted then
      if (channel.closing) return // what it is closed with was fixed before; if that comes to nothing, the step is shown again
      if (time.stalled()) return // the next one stands for it
      let verifier = verifiers.get(channel)
      if (!verifier) verifiers.set(channel, (verifier = createChainVerifier(stream, stream)))
      const paid = verifier.accept(steps, preimage)
      if (paid === 0) return
      channel.theirs = { ...channel.theirs, stream: { ...stream, steps, preimage: toHex(preimage) } }
      saveSide(channel, false)
      const total = BigInt(steps) * stream.unit + channel.theirs.transferred
      journal.thenLast(verifier, () => events.emit('streamed', { channelId, from: channel.partner, total }))
    },

    anchored: (channel) => void verifiers.delete(channel),

    synced(channel) {
      if (!channel.own.stream || channel.closing) return
      const stream = paying.get(channel.id)
      if (stream) stream.show()
      else anchor(channel, undefined, 0n)
    },

    fold(channel) {
      const stream = paying.get(channel.id)
      if (stream) stream.end()
      else if (channel.own.stream) anchor(channel, undefined, 0n)
    },
  }
}
