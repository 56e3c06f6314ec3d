/**
 * Canonical signatures, beside GXChain's own JavaScript library.
 * @module
 */
import { createHash } from 'node:crypto'
import { grapheneKey, seedSecret } from '../../src/core/crypto/graphene/index.ts'
import { engine } from '../../src/core/crypto/engine.ts'
import { loadGxbjs } from '../../test/fixtures/des/gxbjs.ts'
import { median, type Row } from '../lib/report.ts'

const ROUNDS = 5
const OURS = 2_000
const THEIRS = 15

/** Measures the case. */
export async function signing(say: (line: string) => void): Promise<readonly Row[]> {
  const gxbjs = await loadGxbjs()
  const secret = seedSecret('bench signing')
  const key = grapheneKey(secret)
  const theirKey = gxbjs.PrivateKey.fromBuffer(Buffer.from(secret))
  const message = (i: number): Buffer => Buffer.from(`message ${i}`)
  const digests = Array.from({ length: OURS }, (_, i) => new Uint8Array(createHash('sha256').update(message(i)).digest()))
  const rate = (count: number, each: (i: number) => void): number => {
    const began = performance.now()
    for (let i = 0; i < count; i++) each(i)
    return count / ((performance.now() - began) / 1000)
  }
  const figures = { ours: [] as number[], theirs: [] as number[], plain: [] as number[] }
  for (let round = -1; round < ROUNDS; round++) {
    const ours = rate(OURS, (i) => void key.sign(digests[i]!))
    const theirs = rate(THEIRS, (i) => void gxbjs.Signature.signBuffer(message(i), theirKey))
    const plain = rate(OURS, (i) => void engine().secp256k1.sign(digests[i]!, secret))
    if (round < 0) continue // warms the compiler
    figures.ours.push(ours)
    figures.theirs.push(theirs)
    figures.plain.push(plain)
    say(
      `  sign-canonical round ${round + 1}: ${[ours, theirs, plain]
        .map((each) => each.toFixed(1))
        .join(', ')} /s (ours, gxbjs, one plain signature)`,
    )
  }
  return [
    {
      bench: 'des',
      case: 'sign-canonical',
      value: median(figures.ours),
      unit: 'signatures/s',
      baseline: { name: 'gxbjs 1.5.8', value: median(figures.theirs) },
      // Half of all signatures are not canonical: 2.02 attempts on average.
      limit: { name: 'plain signatures, divided by 2.02', value: median(figures.plain) / 2.02 },
    },
  ]
}
