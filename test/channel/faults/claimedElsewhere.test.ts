/**
 * What a node pays on the strength of something that it can claim elsewhere: it pays nothing before that is certain, and gives
 * nothing back before what it has paid by it is over.
 */
import { randomBytes as random } from 'node:crypto'
import { JsonRpcProvider, Network } from 'ethers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { failBytes } from '../../../src/channel/node/locks.ts'
import { leafHash } from '../../../src/channel/state/lockTree.ts'
import { secrethashOf } from '../../../src/channel/state/side.ts'
import { NO_HASH, type Typed } from '../../../src/channel/wire/messages.ts'
import { toHex } from '../../../src/core/bytes.ts'
import { personalDigest } from '../../../src/core/crypto/signature.ts'
import { startRpcProxy, type RpcProxy } from '../../../src/testing/rpcProxy.ts'
import { lockFor, startRawPeer, type RawPeer } from './support/rawPeer.ts'
import { eventually, startVillage, type Villager, type Village } from './support/village.ts'

let village: Village
let proxy: RpcProxy
/** Sees the chain through the proxy, and notices after a second if it stands still. */
let bob: Villager
/** Takes every swap. */
let carol: Villager
let mining: NodeJS.Timeout
let number = 0
beforeAll(async () => {
  village = await startVillage({ accounts: 30 })
  proxy = await startRpcProxy(village.devnet.url)
  const rpc = new JsonRpcProvider(proxy.url, undefined, {
    cacheTimeout: -1,
    pollingInterval: 50,
    staticNetwork: Network.from(31337),
  })
  mining = setInterval(() => void village.devnet.mine().catch(() => {}), 300)
  bob = await village.villager('bob', { rpc, stallTimeout: 2 })
  carol = await village.villager('carol', { acceptSwap: () => true })
})
afterAll(async () => {
  clearInterval(mining)
  await village.stop()
  await proxy.stop()
})

async function peerOf(victim: Villager, own = 5_000n, theirs = 5_000n): Promise<RawPeer> {
  const peer = startRawPeer(village, victim, `peer${number++}`)
  await peer.connect()
  await peer.open(own, theirs)
  return peer
}
const timeOf = async (): Promise<number> => Math.max(await village.devnet.time(), Math.floor(Date.now() / 1000))
const worth = ({ node }: Villager): bigint => node.channels().reduce((sum, { capacity, locked }) => sum + capacity + locked, 0n)

/** Whether a message has come by the time at which the node has answered all that was sent before. */
async function hasHeard(peer: RawPeer, type: string, from: number): Promise<boolean> {
  const before = peer.heard.length
  peer.sync()
  peer.send('gossipRequest', { tokenNetwork: village.tokenNetwork, since: 0, after: NO_HASH })
  await peer.hears('gossipEnd', undefined, before)
  return peer.heard.slice(from).some((message) => message.type === type)
}

/** Locks over Bob what a payee has the secret of. */
async function lockOver(payer: RawPeer, payee: RawPeer, secret: Uint8Array, seconds: number): Promise<Typed<'lock'>> {
  const now = await timeOf()
  const from = payee.heard.length
  const route = [{ node: payee.account, channelId: payee.channelId, amount: 1_000n, expiry: now + seconds }]
  const secrethash = secrethashOf(secret)
  payer.proof('lock', lockFor(payer, bob, { amount: 1_000n, expiry: now + seconds + 70, secrethash, target: payee.account, route }))
  const lock = await payee.hears('lock', undefined, from)
  payee.send('processed', { channelId: payee.channelId, nonce: lock.nonce })
  return lock
}

it('pays for no secret while no block comes, and decides when they come again', async () => {
  const [payer, payee, early] = [await peerOf(bob), await peerOf(bob), await peerOf(bob)]
  const [late, inTime] = [Uint8Array.from(random(32)), Uint8Array.from(random(32))]
  const lock = await lockOver(payer, payee, late, 90)
  const from = [payee.heard.length, payer.heard.length, early.heard.length] as const
  proxy.rule(() => 'cut')
  await eventually('that he knows', () =>
    bob.node.pay({ to: payee.account, amount: 1n, timeout: 200 }).then(
      () => false,
      (error: { code: string; message: string }) => error.code === 'CHAIN_STALLED' && error.message.includes('stallTimeout'),
    ))
  payee.send('reveal', { channelId: payee.channelId, index: lock.index, secret: late })
  // Who has locked hears of it: that costs nothing.
  await payer.hears('reveal', undefined, from[1])
  // Not even a payer's own unlock is taken for certain: its channel may be closed without it.
  payer.proof('unlock', { index: 0, secret: late }, { keep: false })
  expect(await hasHeard(payee, 'unlock', from[0])).toBe(false)
  // The chain was not standing still: both locks are over.
  const before = worth(bob)
  await village.devnet.increaseTime(400)
  proxy.rule()
  await bob.node.caughtUp()
  expect(await hasHeard(payee, 'unlock', from[0])).toBe(false)
  await payee.hears('remove', undefined, from[0])
  await eventually('that nothing is locked', () => {
    payer.proof('remove', { index: 0 }, { keep: false })
    return bob.node.channel(payer.channelId).partnerLocked === 0n
  })
  payer.proof('remove', { index: 0 })
  expect(worth(bob)).toBe(before)

  // What comes back in time is paid, without being asked for again.
  const again = await lockOver(payer, early, inTime, 300)
  proxy.rule(() => 'cut')
  await eventually('that he knows', () =>
    bob.node.pay({ to: payee.account, amount: 1n, timeout: 200 }).then(
      () => false,
      (error: { code: string }) => error.code === 'CHAIN_STALLED',
    ))
  early.send('reveal', { channelId: early.channelId, index: again.index, secret: inTime })
  expect(await hasHeard(early, 'unlock', from[2])).toBe(false)
  proxy.rule()
  await early.hears('unlock', undefined, from[2])
}, 90_000)

it('takes no other lock of the same number for what it has forwarded', async () => {
  const [payer, payee, accomplice] = [await peerOf(bob), await peerOf(bob), await peerOf(bob)]
  const [first, second] = [Uint8Array.from(random(32)), Uint8Array.from(random(32))]
  const lock = await lockOver(payer, payee, first, 200)
  payee.disconnect()
  await eventually('that it is gone', () => !bob.node.channel(payee.channelId).online)
  payer.proof('unlock', { index: 0, secret: first })
  const other = await lockOver(payer, accomplice, second, 200)
  expect([lock.index, other.index]).toEqual([0, 0])
  const from = payer.heard.length
  await payee.connect()
  // In one breath with its return the payee gives back what is paid for already, so that the payer's new lock goes back with it.
  const code = 'PAYMENT_FAILED'
  const release = payee.key.sign(payee.digests.Release({ channelId: payee.channelId, sender: bob.account, lock: leafHash(lock) }))
  payee.sync({ accepted: lock.nonce })
  payee.send('fail', {
    channelId: payee.channelId,
    index: 0,
    paymentId: lock.paymentId,
    code,
    reporter: payee.account,
    failed: NO_HASH,
    signature: payee.key.sign(personalDigest(failBytes(lock.paymentId, code, NO_HASH))),
    delegation: new Uint8Array(0),
    release,
  })
  expect(await hasHeard(payee, 'swapAnswer', 0)).toBe(false)
  expect(await hasHeard(payer, 'fail', from)).toBe(false)
}, 60_000)

it('gives back no half of a swap while the other can be claimed, and pays for no half that is over sooner', async () => {
  const [maker, accomplice] = [await peerOf(carol), await peerOf(carol)]
  const offer = async (secret: Uint8Array) => {
    const id = toHex(Uint8Array.from(random(32)))
    const { tokenNetwork } = village
    const from = maker.heard.length
    maker.send('swapOffer', {
      id,
      secrethash: secrethashOf(secret),
      giveNetwork: tokenNetwork,
      giveAmount: 1_000n,
      takeNetwork: tokenNetwork,
      takeAmount: 900n,
    })
    expect((await maker.hears('swapAnswer', (answer) => answer.id === id, from)).accepted).toBe(true)
    return id
  }
  const now = await timeOf()
  const shared = { total: 1_000n, initiator: maker.account, target: carol.account }

  // One part is over before what Carol would pay for it.
  const one = Uint8Array.from(random(32))
  const early = { ...shared, paymentId: await offer(one), secrethash: secrethashOf(one) }
  let from = maker.heard.length
  accomplice.proof('lock', lockFor(accomplice, carol, { ...early, amount: 990n, expiry: now + 150 }))
  await eventually('the first part', () => carol.node.channel(accomplice.channelId).partnerLocked === 990n)
  maker.proof('lock', lockFor(maker, carol, { ...early, amount: 10n, expiry: now + 1_400 }))
  await accomplice.hears('fail')
  await maker.hears('fail', undefined, from)
  expect(await hasHeard(maker, 'lock', from)).toBe(false)
  maker.proof('remove', { index: 0 })

  const two = Uint8Array.from(random(32))
  const paymentId = await offer(two)
  const secrethash = secrethashOf(two)
  from = maker.heard.length
  maker.proof('lock', lockFor(maker, carol, { ...shared, index: 1, paymentId, secrethash, amount: 1_000n, expiry: now + 1_400 }))
  const half = await maker.hears('lock', undefined, from)
  maker.send('processed', { channelId: maker.channelId, nonce: half.nonce })
  maker.send('secretDenied', { paymentId, secrethash })
  expect(await hasHeard(maker, 'fail', from)).toBe(false)
  maker.send('reveal', { channelId: maker.channelId, index: half.index, secret: two })
  await maker.hears('unlock', undefined, from)
  expect((await maker.hears('reveal', undefined, from)).index).toBe(1)
}, 60_000)
