/**
 * One run of the hostile model of the trade: a world, steps by a seed, an end in which everything is settled.
 * @module
 */
import { toHex, utf8, type Hex } from '../../../src/core/bytes.ts'
import { engine } from '../../../src/core/crypto/engine.ts'
import { seedProcess } from '../support/seeded.ts'
import { runHostileBuyer } from './hostileBuyer.ts'
import { runHostileSeller } from './hostileSeller.ts'
import type { Setup } from './setup.ts'
import { createWorld, type Loss, type Theme } from './world.ts'

/** How a run ended. */
export interface RunResult {
  readonly losses: readonly Loss[]
  /** Tells whether two runs were the same. */
  readonly print: Hex
  readonly trace: readonly string[]
  readonly blocks: number
}

/** Runs once. @param theme - what it is about instead of what the seed says. */
export async function runOnce(setup: Setup, seed: number, theme?: Theme): Promise<RunResult> {
  const undo = seedProcess(seed)
  try {
    const world = await createWorld(setup, seed, theme)
    world.note(world.theme)
    const from = setup.chain.head
    const losses = await (world.theme.startsWith('buyer') ? runHostileBuyer(world) : runHostileSeller(world))
    const { trace } = world
    const print = toHex(engine().sha256(utf8([...trace, setup.chain.head].join('\n')))).slice(0, 18) as Hex
    return { losses, print, trace, blocks: setup.chain.head - from }
  } finally {
    undo()
  }
}
