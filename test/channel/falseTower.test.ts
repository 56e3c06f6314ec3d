import { afterAll, beforeAll, expect, it } from 'vitest'
import { receiptDigest, sealedHashOf } from '../../src/channel/tower/receipt.ts'
import { createLinks, type Links } from '../../src/channel/link/links.ts'
import type { Typed } from '../../src/channel/wire/messages.ts'
import { randomBytes, toHex, type Hex } from '../../src/core/bytes.ts'
import { generateKey, type Key } from '../../src/core/crypto/key.ts'
import { eventually, startTown, type Resident, type Town } from './support/town.ts'

const NOBODY: Hex = `0x${'00'.repeat(20)}`

let town: Town
let alice: Resident
let turn = 0
beforeAll(async () => {
  town = await startTown()
  alice = await town.resident('alice')
})
afterAll(() => town.stop())

type Receipt = Omit<Typed<'receipt'>, 'type'>

/** Something that calls itself a tower, and what it answers. */
function falseTower(answer: (right: Receipt, key: Key, message: Typed<'appointment'>) => Receipt | undefined): {
  readonly url: string
  readonly account: Hex
  readonly links: Links
  readonly asked: Typed<'appointment'>[]
} {
  const url = `ws://false-${++turn}`
  const key = generateKey()
  const account = key.address.toLowerCase() as Hex
  const asked: Typed<'appointment'>[] = []
  const links = createLinks({
    identity: { account, key, delegation: new Uint8Array() },
    chainId: Number(town.devnet.chainId),
    instance: toHex(randomBytes(16)),
    capabilities: 0,
    transport: town.peers.peer(url),
    find: async () => [],
    verifyDelegation: async () => false,
  })
  links.onMessage((link, message) => {
    if (message.type !== 'appointment') return
    asked.push(message)
    const { hint, counter, validUntil, sealed } = message
    const terms = { counter, validUntil, towerDeposit: NOBODY, reward: 0n, promised: false }
    const signed = { chainId: town.devnet.chainId, tower: account, hint: toHex(hint), sealedHash: sealedHashOf(sealed), ...terms }
    const right = { hint, ...terms, signature: key.sign(receiptDigest(signed)) }
    const said = answer(right, key, message)
    if (said) link.send('receipt', said)
  })
  return { url, account, links, asked }
}

/** Lets a fresh node use a false tower, and waits for what it says of it. */
async function tried(
  answer: Parameters<typeof falseTower>[0],
): Promise<{ readonly code: string | undefined; readonly kept: boolean; readonly asked: number }> {
  const tower = falseTower(answer)
  const name = `bob-${turn}`
  const bob = await town.resident(name, { towers: { towers: [tower], interval: 20 } })
  let code: string | undefined
  let appointed = false
  bob.node.events.once('towerFailed', (event) => (code = event.code))
  bob.node.events.once('appointed', () => (appointed = true))
  await town.channel(alice, bob, 100n)
  await alice.node.pay({ to: bob.wallet.address, amount: 30n })
  await eventually('what comes of it', () => code !== undefined || appointed, 14_000)
  const kept = [...bob.entries.keys()].some((key) => key.startsWith('receipt/'))
  await bob.node.stop()
  await tower.links.close()
  return { code, kept, asked: tower.asked.length }
}

it('a receipt is kept if the tower signed it for just this', async () => {
  expect(await tried((right) => right)).toMatchObject({ code: undefined, kept: true })
})

it.each<[string, string, (right: Receipt, key: Key) => Receipt]>([
  ['signed by another', 'BAD_SIGNATURE', (right) => ({ ...right, signature: generateKey().sign(new Uint8Array(32)) })],
  ['that promises less than it signs', 'BAD_SIGNATURE', (right) => ({ ...right, validUntil: right.validUntil + 1 })],
  ['for a reward that is not offered', 'BAD_SIGNATURE', (right) => ({ ...right, reward: 1n })],
])('a receipt %s is refused', async (_, code, answer) => {
  expect(await tried(answer)).toMatchObject({ code, kept: false, asked: 1 })
})

it('a receipt that ends at once is refused', async () => {
  const short = (right: Receipt, key: Key, { sealed }: Typed<'appointment'>): Receipt => {
    const validUntil = Math.floor(Date.now() / 1000) + 60
    const { hint, counter, towerDeposit, reward } = right
    const signed = { chainId: town.devnet.chainId, tower: key.address.toLowerCase() as Hex, hint: toHex(hint), counter }
    const digest = receiptDigest({ ...signed, sealedHash: sealedHashOf(sealed), validUntil, towerDeposit, reward })
    return { ...right, validUntil, signature: key.sign(digest) }
  }
  expect(await tried(short)).toMatchObject({ code: 'BAD_MESSAGE', kept: false })
})

it('a tower that says nothing has failed', async () => {
  expect(await tried(() => undefined)).toMatchObject({ code: 'TIMEOUT', kept: false })
})

it('a receipt for something else is no answer', async () => {
  expect(await tried((right) => ({ ...right, counter: right.counter + 1 }))).toMatchObject({ code: 'TIMEOUT', kept: false })
})
