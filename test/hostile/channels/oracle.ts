/**
 * What honest nodes are owed, whatever happened: all they brought, and what they said they received, without what they gave by
 * their own consent.
 *
 * A mediator's forwarding is no such consent: it gives on the strength of what it gets, so it may never end with less.
 * @module
 */
import { toHex, utf8, type Hex } from '../../../src/core/bytes.ts'
import { engine } from '../../../src/core/crypto/engine.ts'
import type { Honest, World } from './world.ts'

/** Somebody who has less than it is owed. */
export interface Loss {
  readonly who: Honest['name']
  readonly owed: bigint
  readonly has: bigint
}

/** What an honest node brought: in its wallet and in its channels. Asked when nothing has happened. */
export async function broughtBy({ setup }: World, { name, account }: Honest): Promise<bigint> {
  const inChannels = setup.channels.reduce(
    (sum, { a, b, deposits }) => sum + (a === name ? deposits[0] : b === name ? deposits[1] : 0n),
    0n,
  )
  return inChannels + (await balanceOf(setup.chain, account))
}

/** Compares, when everything is settled, what honest nodes have with what they are owed. */
export async function losses(world: World, brought: ReadonlyMap<string, bigint>): Promise<readonly Loss[]> {
  const found: Loss[] = []
  for (const who of world.honest) {
    const owed = brought.get(who.name)! + sum(who.received.values()) + sum(who.streamed.values()) - givenBy(who)
    // A raised fee is no longer none: gas is looked at by itself.
    const has = (await balanceOf(world.setup.chain, who.account)) + world.setup.chain.spentBy(who.account).wei
    if (has < owed) found.push({ who: who.name, owed, has })
  }
  return found
}

/** What an honest node paid because it was told to; also what may still arrive. */
function givenBy({ payments }: Honest): bigint {
  return sum(payments.filter(({ outcome }) => outcome !== 'failed').map(({ amount }) => amount))
}

/** Of all that a run did and how it ended: equal for two runs of one seed. */
export async function printOf(world: World): Promise<Hex> {
  const ends = []
  for (const { name, account, received, streamed, payments } of world.honest) {
    const got = [...received].map(([id, amount]) => `${id} ${amount}`)
    const gave = payments.map(({ outcome }) => outcome)
    ends.push(name, await balanceOf(world.setup.chain, account), sum(streamed.values()), ...got, ...gave)
  }
  return toHex(engine().sha256(utf8([...world.trace, ...ends, world.chain.head].join('\n')))).slice(0, 18) as Hex
}

async function balanceOf(chain: World['chain'], account: Hex): Promise<bigint> {
  return BigInt((await chain.send('eth_getBalance', [account, 'latest'])) as string)
}

const sum = (amounts: Iterable<bigint>): bigint => [...amounts].reduce((total, amount) => total + amount, 0n)
