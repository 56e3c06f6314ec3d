import { afterEach, describe, expect, it } from 'vitest'
import { dataTradeDigests, dataTradeDomain } from '../contracts/typedData.ts'
import { toHex, type Hex } from '../core/bytes.ts'
import { engine, resetEngine, setEngine } from '../core/crypto/engine.ts'
import { keyFromSecret, type Key } from '../core/crypto/key.ts'
import { createMerkleTree, leafHash } from '../core/crypto/merkle.ts'
import type { SluiceError } from '../core/errors.ts'
import { decodeFrame, frameFor, type DataFrame } from '../protocol/frame.ts'
import { ETH, ZERO32, type Item } from '../protocol/menu.ts'
import { createIntake, type Chunk, type Intake, type IntakeOptions } from './intake.ts'

const domain = dataTradeDomain(31337n, `0x${'c0'.repeat(20)}`)
const digests = dataTradeDigests(domain)
const seller = keyFromSecret(new Uint8Array(32).fill(1))
const stranger = keyFromSecret(new Uint8Array(32).fill(2))
const orderId: Hex = `0x${'0d'.repeat(32)}`

/** Five chunks, the last of them short. */
const data = Uint8Array.from({ length: 430 }, (_, i) => i * 7)
const chunkAt = (index: number): Uint8Array => data.slice(100 * index, 100 * (index + 1))
const tree = createMerkleTree([0, 1, 2, 3, 4].map((i) => leafHash(chunkAt(i))))
const item: Item = {
  id: 'weather',
  size: 430,
  info: '',
  price: 430n,
  token: ETH,
  granularity: 100,
  root: toHex(tree.root),
  live: false,
  sample: undefined,
  alipayPrice: undefined,
}
const live: Item = { ...item, id: 'ticker', root: ZERO32, live: true }

const open = (options: Partial<IntakeOptions> = {}): Intake =>
  createIntake({ orderId, item, total: 430, from: 0, index: 0, claims: false, seller: seller.address, digests, ...options })

interface Sent {
  readonly body?: Uint8Array | undefined
  readonly proof?: Uint8Array | undefined
  readonly by?: Key | undefined
  readonly order?: Hex | undefined
  readonly claimed?: number | undefined
}

function frame(index: number, sent: Sent = {}): DataFrame {
  const { body = chunkAt(index), proof = tree.proof(index), by, order = orderId, claimed = index } = sent
  const said = { orderId: order, index: claimed, leaf: toHex(leafHash(body)), proofHash: toHex(engine().keccak256(proof)) }
  const claim = by?.sign(digests.ChunkClaim(said))
  const written = frameFor(0, index, body.length, proof, claim)
  written.body.set(body)
  return decodeFrame(Uint8Array.from(written.frame))
}

const refusal = (run: () => unknown): SluiceError => {
  try {
    run()
  } catch (error) {
    return error as SluiceError
  }
  throw new Error('the chunk was let in')
}

afterEach(resetEngine)

describe('createIntake', () => {
  it('lets genuine chunks in, one after the other', () => {
    const intake = open()
    for (let i = 0; i < 5; i++) {
      const chunk = { body: chunkAt(i), leaf: leafHash(chunkAt(i)), index: i, end: Math.min(430, 100 * (i + 1)) }
      expect(intake.admit(frame(i), Infinity)).toEqual(chunk)
    }
    expect(intake.position).toBe(430)
    expect(intake.evidence).toBeUndefined()
  })

  it('lets a range in by its place in the item', () => {
    const intake = open({ total: 230, index: 2 })
    expect([2, 3, 4].map((i) => (intake.admit(frame(i), Infinity) as Chunk).end)).toEqual([100, 200, 230])
  })

  it.each<[string, DataFrame, string]>([
    ['another one', frame(0, { body: chunkAt(1) }), 'is not what the Merkle root promised'],
    ['one bit changed', frame(0, { body: chunkAt(0).map((byte, i) => (i === 99 ? byte ^ 1 : byte)) }), 'is not what the Merkle root promised'],
    ['the proof of another', frame(0, { proof: tree.proof(1) }), 'is not what the Merkle root promised'],
    ['no proof', frame(0, { proof: new Uint8Array(0) }), 'is not what the Merkle root promised'],
    ['a proof too long', frame(0, { proof: new Uint8Array(64 * 32) }), 'is not what the Merkle root promised'],
    ['a byte short', frame(0, { body: chunkAt(0).slice(1) }), 'is 99 bytes long where 100 were due'],
    ['a byte long', frame(0, { body: new Uint8Array(101) }), 'is 101 bytes long where 100 were due'],
    ['nothing', frame(0, { body: new Uint8Array(0) }), 'is 0 bytes long where 100 were due'],
    ['the next one', frame(1), 'came where chunk 0 was due'],
    ['one far away', frame(0x1_0000_0001, { body: chunkAt(0), proof: tree.proof(0) }), 'came where chunk 0 was due'],
  ])('refuses %s', (_name, wrong, problem) => {
    const intake = open()
    const error = refusal(() => intake.admit(wrong, Infinity))
    expect(error).toMatchObject({ code: 'WRONG_CHUNK', details: { order: orderId } })
    expect(error.shortMessage).toContain(problem)
    expect(error.shortMessage).toContain('nothing was paid for it')
  })

  it('refuses a chunk that it has had', () => {
    const intake = open()
    void intake.admit(frame(0), Infinity)
    expect(refusal(() => intake.admit(frame(0), Infinity)).shortMessage).toContain('chunk 0 of "weather" came where chunk 1 was due')
  })

  it('refuses a chunk that ends behind the unpaid window', () => {
    const intake = open()
    void intake.admit(frame(0), 100)
    expect(refusal(() => intake.admit(frame(1), 199))).toMatchObject({ code: 'UNEXPECTED_MESSAGE' })
    expect(intake.position).toBe(100)
    expect(intake.admit(frame(1), 200)).toMatchObject({ end: 200 })
  })

  it('refuses more than was ordered', () => {
    const intake = open({ total: 150 })
    void intake.admit(frame(0), Infinity)
    expect(refusal(() => intake.admit(frame(1), Infinity)).shortMessage).toContain('is 100 bytes long where 50 were due')
  })

  it('goes back after a lost link', () => {
    const intake = open()
    for (let i = 0; i < 3; i++) void intake.admit(frame(i), Infinity)
    intake.rewind(100, 1)
    expect(refusal(() => intake.admit(frame(3), Infinity)).shortMessage).toContain('came where chunk 1 was due')
    expect(intake.admit(frame(1), Infinity)).toMatchObject({ end: 200 })
  })

  it('takes live chunks of any size up to the granularity, and none that is empty', () => {
    const intake = open({ item: live })
    const none = new Uint8Array(0)
    expect(intake.admit(frame(0, { body: data.slice(0, 1), proof: none }), Infinity)).toMatchObject({ end: 1 })
    expect(intake.admit(frame(1, { body: data.slice(0, 100), proof: none }), Infinity)).toMatchObject({ end: 101 })
    expect(refusal(() => intake.admit(frame(2, { body: none, proof: none }), Infinity)).code).toBe('WRONG_CHUNK')
    expect(refusal(() => intake.admit(frame(2, { body: data.slice(0, 101), proof: none }), Infinity)).code).toBe('WRONG_CHUNK')
  })

  describe('with claims', () => {
    const asked = { claims: true }

    it('takes chunks that the seller signed', () => {
      expect(open(asked).admit(frame(0, { by: seller }), Infinity)).toMatchObject({ end: 100 })
    })

    it.each<[string, DataFrame, string]>([
      ['no claim', frame(0), 'WRONG_CHUNK'],
      ['a claim of somebody else', frame(0, { by: stranger }), 'BAD_SIGNATURE'],
      ['a claim about another order', frame(0, { by: seller, order: ZERO32 }), 'BAD_SIGNATURE'],
      ['a claim about another chunk', frame(0, { by: seller, claimed: 1 }), 'BAD_SIGNATURE'],
    ])('refuses %s', (_name, wrong, code) => {
      const intake = open(asked)
      expect(refusal(() => intake.admit(wrong, Infinity)).code).toBe(code)
      expect(intake.evidence).toBeUndefined()
    })

    it('keeps a wrong chunk that the seller signed as evidence', () => {
      const intake = open(asked)
      const body = chunkAt(3)
      const wrong = frame(0, { by: seller, body })
      expect(refusal(() => intake.admit(wrong, Infinity)).code).toBe('WRONG_CHUNK')
      const hashes = [0, 1, 2].map((i) => toHex(tree.proof(0).subarray(32 * i, 32 * (i + 1))))
      expect(intake.evidence).toEqual({ index: 0, leaf: toHex(leafHash(body)), proof: hashes, signature: toHex(wrong.claim!) })
    })

    it('has no evidence in a wrong chunk that the seller did not sign', () => {
      const intake = open(asked)
      expect(refusal(() => intake.admit(frame(0, { by: stranger, body: chunkAt(3) }), Infinity)).code).toBe('BAD_SIGNATURE')
      expect(intake.evidence).toBeUndefined()
    })
  })

  it('proves chunks in their order, though hashes come in another', async () => {
    const { digest } = engine()
    const held: (() => void)[] = []
    setEngine({ digest: (...parts) => new Promise((resolve) => held.push(() => resolve(digest(...parts)))) })
    const intake = open()
    const order: number[] = []
    const chunks = [0, 1, 2, 3, 4].map(async (i) => {
      const chunk = await intake.admit(frame(i, { proof: i === 0 ? undefined : tree.runProof(i) }), Infinity)
      order.push(chunk.index)
    })
    for (const release of held.reverse()) release()
    await Promise.all(chunks)
    expect(order).toEqual([0, 1, 2, 3, 4])
  })

  it('gives the same answers where hashing has to be waited for', async () => {
    const { digest } = engine()
    setEngine({ digest: async (...parts) => digest(...parts) })
    const intake = open()
    const [first, second] = [intake.admit(frame(0), Infinity), intake.admit(frame(1), Infinity)]
    // Both are in their places before either is proven.
    expect(intake.position).toBe(200)
    expect(await first).toMatchObject({ end: 100 })
    expect(await second).toMatchObject({ end: 200 })
    await expect(intake.admit(frame(2, { body: chunkAt(1) }), Infinity)).rejects.toMatchObject({ code: 'WRONG_CHUNK' })
  })
})
