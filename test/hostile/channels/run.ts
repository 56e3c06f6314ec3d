/**
 * One run of the hostile model of payment channels: a world, steps by a seed, an end in which everything is settled.
 * @module
 */
import type { Hex } from '../../../src/core/bytes.ts'
import { seedProcess } from '../support/seeded.ts'
import { weighed } from './actions.ts'
import { closeChannel, registerFor, settle, standInFront, unlock, update } from './chainMoves.ts'
import type { Neighbour } from './hostile.ts'
import { broughtBy, losses, printOf, type Loss } from './oracle.ts'
import type { Setup } from './setup.ts'
import { BLOCK_TIME, createWorld, type World } from './world.ts'

/** How a run ended. */
export interface RunResult {
  readonly seed: number
  readonly losses: readonly Loss[]
  /** Tells whether two runs were the same. */
  readonly print: Hex
  readonly trace: readonly string[]
  readonly blocks: number
}

/** Gas of a block in which not everything fits. */
const SMALL_BLOCK = 300_000
/** Blocks after which everything must be over. */
const LAST_BLOCKS = 120

/** Runs once. @param theme - what it is about instead of what the seed says. */
export async function runOnce(setup: Setup, seed: number, theme?: World['theme']): Promise<RunResult> {
  const undo = seedProcess(seed)
  try {
    const world = await createWorld(setup, seed, theme)
    const { draws, chain } = world
    const brought = new Map<string, bigint>()
    for (const who of world.honest) brought.set(who.name, await broughtBy(world, who))
    if (draws.once(2)) world.beforeBlock = () => standInFront(world)
    world.note(world.theme)
    if (world.theme === 'crowds') await chain.setGasLimit(SMALL_BLOCK)
    const weights = weighed(world)
    const from = chain.head
    for (let left = draws.between(15, 30); left > 0; left--) {
      await draws.pick(weights).run(world)
      await world.flow()
      await makeRoom(world)
    }
    await finish(world)
    const [lost, print] = [await losses(world, brought), await printOf(world)]
    const blocks = chain.head - from
    await world.end()
    return { seed, losses: lost, print, trace: world.trace, blocks }
  } finally {
    await setup.chain.setGasLimit(30_000_000)
    undo()
  }
}

/**
 * Lets everything fit into a block once a channel is closed: blocks are small beside the secrets of many channels, and stand for
 * real ones; the releases and the locks of one channel fit into those.
 */
async function makeRoom({ theme, closings, chain }: World): Promise<void> {
  if (theme === 'crowds' && closings.size > 0) await chain.setGasLimit(30_000_000)
}

/** Brings everything to its end: honest nodes close what is open, neighbours take what they can. */
async function finish(world: World): Promise<void> {
  const { draws, chain, setup } = world
  world.note('the end')
  for (const who of world.honest) {
    who.view.hung = false
    await world.startHonest(who)
  }
  const closeAfter = draws.between(0, 25)
  for (let i = 0; i < LAST_BLOCKS; i++) {
    for (const by of world.neighbours) await takeAll(world, by)
    if (i === closeAfter)
      for (const { node } of world.honest)
        for (const { id, phase } of node.channels()) if (phase === 'open') void node.close(id, { how: 'alone' }).catch(() => {})
    await makeRoom(world)
    // Where blocks are small, secrets need many of them in time.
    const usual = world.theme === 'crowds' ? 1 : 2
    await world.pass((world.closings.size === setup.channels.length ? 2 * usual : usual) * BLOCK_TIME)
    if (BigInt((await chain.send('eth_getBalance', [setup.tokenNetwork, 'latest'])) as string) === 0n) return
  }
}

/** What a neighbour does with each block, so that nothing it could have is left. */
async function takeAll(world: World, by: Neighbour): Promise<void> {
  const { draws, closings } = world
  const closing = closings.get(by.channelId)
  for (const lock of by.victimSide.locks.locks.values()) {
    if (lock.expiry <= world.now() || by.registered.has(lock.secrethash) || !draws.once(3)) continue
    by.registered.add(lock.secrethash)
    await registerFor(world, by, lock)
    if (by.victimSide.locks.locks.size > 6) break
  }
  if (!closing) {
    const shown = draws.once(3) ? draws.pick([undefined, ...by.victimProofs]) : by.victimProofs.at(-1)
    if (draws.once(12)) await closeChannel(world, by, shown)
    return
  }
  if (closing.settledAt === 0) {
    const best = by.victimProofs.at(-1)
    const isNewer = best && closing.closer !== by.account && closing.fromCloser.nonce < best.proof.nonce
    if (isNewer && draws.once(4)) await update(world, by, best)
    await settle(world, by)
  } else await unlock(world, by)
}
