import { randomBytes as random } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { seal } from '../../../src/channel/node/locks.ts'
import { secrethashOf } from '../../../src/channel/state/side.ts'
import { secretRegistryInterface } from '../../../src/contracts/secretRegistry.ts'
import { lockFor, startRawPeer } from './support/rawPeer.ts'
import { eventually, startVillage, type Village } from './support/village.ts'

let village: Village
beforeAll(async () => {
  village = await startVillage({ accounts: 20 })
})
afterAll(() => village.stop())

const timeOf = async (): Promise<number> => Math.max(await village.devnet.time(), Math.floor(Date.now() / 1000))

it('registers secrets in danger in transactions that fit, the most valuable first', async () => {
  const { devnet } = village
  const bob = await village.villager('bob')
  const peer = startRawPeer(village, bob, 'payer')
  await peer.connect()
  await peer.open(1_000_000n)
  const expiry = (await timeOf()) + 900
  const amounts = new Map<string, bigint>()
  for (let index = 0; index < 60; index++) {
    const secret = Uint8Array.from(random(32))
    const lock = lockFor(peer, bob, { index, amount: 100n + BigInt((index * 37) % 60), expiry, secrethash: secrethashOf(secret) })
    amounts.set(lock.secrethash, lock.amount)
    const from = peer.heard.length
    peer.proof('lock', lock)
    await peer.hears('secretRequest', ({ paymentId }) => paymentId === lock.paymentId, from)
    peer.send('secretGrant', { paymentId: lock.paymentId, secrethash: lock.secrethash, ...seal(secret, peer.link.publicKey) })
    await peer.hears('reveal', (message) => message.index === index, from)
  }
  // All of them together would need more than a block has.
  await devnet.provider.send('evm_setBlockGasLimit', ['0x30d40'])
  await devnet.mine(2)
  await devnet.increaseTime(expiry - (await devnet.time()) - 55)
  const logs = await eventually('all registrations', async () => {
    const found = await devnet.provider.getLogs({
      address: village.secretRegistry,
      fromBlock: 0,
      topics: [secretRegistryInterface.getEvent('SecretRevealed').topicHash],
    })
    return found.length === 60 && found
  }, 40_000)
  const order = logs.map(({ topics }) => amounts.get(topics[1]!)!)
  expect(new Set(logs.map(({ transactionHash }) => transactionHash)).size).toBeGreaterThan(10)
  expect(order).toEqual([...order].sort((a, b) => Number(b - a)))
}, 120_000)

it('takes no lock that is not worth claiming, and keeps places for large ones', async () => {
  await village.devnet.provider.send('evm_setBlockGasLimit', ['0x1c9c380'])
  const carol = await village.villager('carol', { minLock: 10n })
  const [payer, payee] = [startRawPeer(village, carol, 'from'), startRawPeer(village, carol, 'to')]
  for (const peer of [payer, payee]) {
    await peer.connect()
    await peer.open(25_600n, 25_600n)
  }
  const expiry = (await timeOf()) + 400
  const forward = (index: number, amount: bigint) => {
    const route = [{ node: payee.account, channelId: payee.channelId, amount, expiry: expiry - 100 }]
    const secrethash = secrethashOf(Uint8Array.from(random(32)))
    const lock = lockFor(payer, carol, { index, amount, expiry, secrethash, target: payee.account, route })
    payer.proof('lock', lock)
    return lock.paymentId
  }
  const failed = async (paymentId: string) => (await payer.hears('fail', (fail) => fail.paymentId === paymentId)).code
  const secrethash = secrethashOf(Uint8Array.from(random(32)))
  const own = lockFor(payer, carol, { index: 200, amount: 9n, expiry, secrethash })
  payer.proof('lock', own)
  expect(await failed(own.paymentId)).toBe('PAYMENT_REFUSED')
  expect(await failed(forward(201, 9n))).toBe('PAYMENT_REFUSED')
  // Dust fills half of the places, and no more.
  for (let index = 0; index < 128; index++) forward(index, 10n)
  expect(await failed(forward(128, 199n))).toBe('TOO_MANY_LOCKS')
  const large = forward(129, 200n)
  await payee.hears('lock', (lock) => lock.paymentId === large)
}, 60_000)
