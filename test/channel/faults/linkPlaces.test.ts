/** Channels cost their opener gas and no deposit: they keep no partner with money from its place. */
import { afterAll, beforeAll, it } from 'vitest'
import { ZERO_32 } from '../../../src/channel/state/side.ts'
import { startRawPeer } from './support/rawPeer.ts'
import { contractOf, eventually, startVillage, type Village } from './support/village.ts'

/** Links that a node has at once. */
const LINKS = 256
let village: Village
beforeAll(async () => {
  village = await startVillage({ accounts: LINKS + 10 })
}, 60_000)
afterAll(() => village.stop())

it('a partner with money finds its place, whoever else has opened channels', async () => {
  const bob = await village.villager('bob')
  const alice = await village.villager('alice')
  const { id } = await village.channel(alice, bob, 100_000n, 100_000n)
  await village.stopVillager(alice)
  const peers = Array.from({ length: LINKS }, (_, i) => startRawPeer(village, bob, `m${i}`))
  await Promise.all(peers.map(async ({ wallet }) => (await contractOf(village, wallet).open(bob.account, 0n, ZERO_32, '0x')).wait()))
  await eventually('the channels', () => bob.node.channels().length > LINKS, 60_000)
  // As many as it takes in a second; who is refused comes again.
  for (const peer of peers) await eventually('a link', () => peer.connect().then(() => true, () => false), 20_000)
  await village.restart(alice)
  await eventually('the link', () => alice.node.channel(id).online, 20_000)
  await alice.node.pay({ to: bob.account, amount: 5n })
}, 180_000)
