/**
 * Speed of payments by hash chain: payer and payee on one core, through the messages that travel.
 * @module
 */
import { createChain, createChainVerifier, type ChainVerifier } from '../../src/channel/stream/chain.ts'
import { hashTimes } from '../../src/channel/stream/sha256Chain.ts'
import { createStepCodec } from '../../src/channel/stream/stepCodec.ts'
import { MAX_STEPS, streamHash } from '../../src/channel/stream/streamTerms.ts'
import {
  decodeChannelMessage,
  encodeChannelMessage,
  NO_HASH,
  referenceOf,
  type ChannelMessageOf,
  type ProofDetails,
  type Typed,
} from '../../src/channel/wire/messages.ts'
import { tokenNetworkDigests, tokenNetworkDomain, type BalanceProof } from '../../src/contracts/channelTypes.ts'
import { equalBytes, fromHex, randomBytes, toHex } from '../../src/core/bytes.ts'
import { engine } from '../../src/core/crypto/engine.ts'
import { median, type Row } from '../lib/report.ts'

const ROUNDS = 5
/** Chains of a round: a million payments. */
const CHAINS = 1000
/** Signed payments of a round. */
const SIGNED = 2000
const UNIT = 10n ** 12n
const ZERO = new Uint8Array(32)

/** Measures the case `hashchain`: payments per second, chains and the proofs that anchor them included. */
export async function hashchain(say: (line: string) => void): Promise<readonly Row[]> {
  const pair = createPair()
  const figures = { hashchain: [] as number[], hashing: [] as number[], signing: [] as number[] }
  for (let round = -1; round < ROUNDS; round++) {
    const rate = (payments: number, pay: () => void): number => {
      const began = performance.now()
      pay()
      return (1000 * payments) / (performance.now() - began)
    }
    const chain = rate(CHAINS * MAX_STEPS, () => {
      for (let i = 0; i < CHAINS; i++) pair.payChain()
    })
    const hashing = rate(CHAINS * MAX_STEPS, () => hashTimes(ZERO, 2 * CHAINS * MAX_STEPS))
    const signing = rate(SIGNED, () => {
      for (let i = 0; i < SIGNED; i++) pair.paySigned()
    })
    if (round < 0) continue // warms the compiler
    figures.hashchain.push(chain)
    figures.hashing.push(hashing)
    figures.signing.push(signing)
    say(`  round ${round + 1}: ${[chain, hashing, signing].map((figure) => Math.round(figure)).join(', ')} payments/s (chain, hashes alone, signed)`)
  }
  return [
    {
      bench: 'channel',
      case: 'hashchain',
      value: median(figures.hashchain),
      unit: 'payments/s',
      baseline: { name: `a signature each (${engine().secp256k1.name})`, value: median(figures.signing) },
      limit: { name: 'two hashes each', value: median(figures.hashing) },
    },
  ]
}

/** A payer and a payee who share a channel, and hand each other bytes. */
function createPair() {
  const { secp256k1 } = engine()
  const secret = randomBytes(32)
  const publicKey = secp256k1.publicKey(secret)
  const { BalanceProof: digestOf } = tokenNetworkDigests(tokenNetworkDomain(31_337n, `0x${'11'.repeat(20)}`))
  const channelId = toHex(randomBytes(32))
  const channel = engine().keccak256(fromHex(channelId))
  const payer = { nonce: 0, transferred: 0n }
  const payee = { nonce: 0, transferred: 0n }
  const payerSteps = createStepCodec(channelId)
  const payeeSteps = createStepCodec(channelId)
  let verifier: ChainVerifier | undefined

  const proof = (side: typeof payer, stream: Uint8Array, reference: Uint8Array): BalanceProof => ({
    channel, nonce: side.nonce, transferred: side.transferred, locked: 0n, locksroot: ZERO, stream, reference,
  })

  /** The payer signs what it owes now, and says so; the payee checks it. */
  const prove = <T extends 'payment' | 'stream'>(
    type: T,
    details: ProofDetails<T>,
    streamOf: (message: ProofDetails<T>) => Uint8Array,
    added: bigint,
  ): ProofDetails<T> => {
    payer.nonce++
    payer.transferred += added
    const digest = digestOf(proof(payer, streamOf(details), referenceOf(type, details)))
    const fields = { locked: 0n, locksroot: ZERO, signature: secp256k1.sign(digest, secret).subarray(0, 64) }
    const packet = encodeChannelMessage(type, { channelId, ...payer, ...fields, ...details } as unknown as ChannelMessageOf<T>)

    const message = decodeChannelMessage(packet)
    if (message.type !== type) throw new Error('wrong message')
    const { nonce, transferred, locked, locksroot, signature } = message as Typed<'payment' | 'stream'>
    const received = message as unknown as ProofDetails<T>
    payee.nonce++
    payee.transferred += added
    const right = nonce === payee.nonce && transferred === payee.transferred && locked === 0n && equalBytes(locksroot, ZERO)
    const expected = digestOf(proof(payee, streamOf(received), referenceOf(type, received)))
    if (!right || !secp256k1.verify(expected, signature, publicKey)) throw new Error('wrong proof')
    return received
  }

  return {
    /** Pays one chain to its end, a step a payment; anchoring it folds the last one. */
    payChain(): void {
      const chain = createChain({ seed: randomBytes(32), length: MAX_STEPS })
      const steps = verifier?.steps ?? 0
      const terms = { steps, anchor: chain.anchor, unit: UNIT, length: chain.length, paymentId: NO_HASH }
      verifier = createChainVerifier(prove('stream', terms, streamHash, BigInt(steps) * UNIT))
      let paid = 0
      for (let step = 1; step <= chain.length; step++) {
        const packet = payerSteps.encode(step, chain.preimage(step))

        const message = payeeSteps.decode(packet)
        if (!message) throw new Error('wrong message')
        paid += verifier.accept(message.steps, message.preimage)
      }
      if (paid !== MAX_STEPS) throw new Error(`${paid} steps were paid`)
    },
    /** Pays with a signature. */
    paySigned(): void {
      prove('payment', { amount: UNIT, paymentId: toHex(randomBytes(32)) }, () => ZERO, UNIT)
    },
  }
}
