/**
 * Speed of direct payments: two whole nodes on one core, every payment signed, sent, checked, acknowledged.
 * @module
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ChannelNode } from '../../src/channel/channelNode.ts'
import { resetEngine, setEngine, type Secp256k1 } from '../../src/core/crypto/engine.ts'
import { ethersSecp256k1 } from '../../src/core/crypto/ethers.ts'
import { nativeSecp256k1 } from '../../src/core/crypto/native.ts'
import { nobleSecp256k1 } from '../../src/core/crypto/noble.ts'
import { tinySecp256k1 } from '../../src/core/crypto/tiny.ts'
import { openLevelStore } from '../../src/core/store/openLevelStore.ts'
import { median, type Row } from '../lib/report.ts'
import { bareProofs, ethersProofs } from './parts.ts'
import { startTown } from './town.ts'

const ROUNDS = 5
/** Payments that wait for their receipts at a time. */
const IN_FLIGHT = 256

interface Case {
  readonly name: string
  readonly curve: () => Secp256k1
  /** Payments of a round. */
  readonly payments: number
  /** Whether both nodes keep everything in LevelDB, written with fsync. */
  readonly durable?: true
}

const cases: readonly Case[] = [
  { name: 'direct-noble', curve: () => nobleSecp256k1, payments: 1_500 },
  { name: 'direct-ethers', curve: () => ethersSecp256k1, payments: 1_500 },
  { name: 'direct-tiny', curve: () => tinySecp256k1, payments: 6_000 },
  { name: 'direct-native', curve: () => nativeSecp256k1(), payments: 12_000 },
  { name: 'direct-durable', curve: () => tinySecp256k1, payments: 6_000, durable: true },
]

/** Measures the wanted cases. */
export function direct(name: string): (say: (line: string) => void) => Promise<readonly Row[]> {
  const kase = cases.find((one) => one.name === name)!
  return (say) => measure(kase, say)
}

/** The names of the cases. */
export const directCases = cases.map(({ name }) => name)

async function measure({ name, curve, payments, durable }: Case, say: (line: string) => void): Promise<readonly Row[]> {
  setEngine({ secp256k1: curve() })
  const folder = durable && (await mkdtemp(join(tmpdir(), 'sluice-bench-')))
  const town = await startTown(2)
  try {
    const stores = folder
      ? [await openLevelStore(join(folder, 'a')), await openLevelStore(join(folder, 'b'))]
      : [undefined, undefined]
    const [payer, payee] = await Promise.all(stores.map((store) => town.node(store ? { store } : {})))
    await payer!.open({ partner: payee!.account, deposit: 10n ** 18n })
    const figures = { paid: [] as number[], parts: [] as number[], ethers: [] as number[] }
    for (let round = -1; round < ROUNDS; round++) {
      const paid = await rate(payments, () => payMany(payer!, payee!.account, payments))
      const parts = await rate(payments, async () => bareProofs(payments))
      const shipped = await rate(200, async () => ethersProofs(200))
      if (round < 0) continue // warms the compiler
      figures.paid.push(paid)
      figures.parts.push(parts)
      figures.ethers.push(shipped)
      say(
        `  ${name} round ${round + 1}: ${[paid, parts, shipped]
          .map(Math.round)
          .join(', ')} payments/s (nodes, hash + sign + hash + verify, ethers)`,
      )
    }
    return [
      {
        bench: 'channel',
        case: name,
        value: median(figures.paid),
        unit: 'payments/s',
        baseline: { name: 'ethers as shipped', value: median(figures.ethers) },
        limit: { name: 'hash + sign + hash + verify', value: median(figures.parts) },
      },
    ]
  } finally {
    await town.stop()
    if (folder) await rm(folder, { recursive: true })
    resetEngine()
  }
}

async function rate(count: number, run: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await run()
  return (1000 * count) / (performance.now() - began)
}

/** Pays as often, so many at a time. */
async function payMany(payer: ChannelNode, to: string, count: number): Promise<void> {
  let left = count
  const worker = async (): Promise<void> => {
    while (left-- > 0) await payer.pay({ to, amount: 1n })
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
}
