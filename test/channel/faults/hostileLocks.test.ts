import { randomBytes as random } from 'node:crypto'
import { JsonRpcProvider, Network } from 'ethers'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { failBytes, requestBytes, seal } from '../../../src/channel/node/locks.ts'
import { leafHash } from '../../../src/channel/state/lockTree.ts'
import { secrethashOf, ZERO_32 } from '../../../src/channel/state/side.ts'
import { NO_HASH, type Typed } from '../../../src/channel/wire/messages.ts'
import { secretRegistryContract, secretRegistryInterface } from '../../../src/contracts/secretRegistry.ts'
import { concatBytes, toHex, utf8, type Hex } from '../../../src/core/bytes.ts'
import { engine } from '../../../src/core/crypto/engine.ts'
import { generateKey, type Key } from '../../../src/core/crypto/key.ts'
import { personalDigest } from '../../../src/core/crypto/signature.ts'
import { startRpcProxy, type RpcProxy } from '../../../src/testing/rpcProxy.ts'
import { lockFor, startRawPeer, type RawPeer } from './support/rawPeer.ts'
import { contractOf, eventually, pause, startVillage, stored, type Villager, type Village } from './support/village.ts'

let village: Village
let proxy: RpcProxy
let alice: Villager
let bob: Villager
let number = 0
/** Between Alice and Bob. */
let first: Hex

const secretOf = (): Uint8Array => Uint8Array.from(random(32))
const timeOf = async (): Promise<number> => Math.max(await village.devnet.time(), Math.floor(Date.now() / 1000))
/** Moves the chain on, and waits until the nodes know. */
const passTime = async (seconds: number): Promise<void> => {
  const ahead = (await village.devnet.time()) - Math.floor(Date.now() / 1000)
  await village.devnet.increaseTime(Math.max(seconds + (ahead < 0 ? -ahead : 0), 1))
  for (const { running, node } of [alice, bob]) if (running) await node.caughtUp()
}
/** What a node has in its open channels, pending locks aside. */
const worth = ({ node }: Villager): bigint =>
  node
    .channels()
    .filter(({ phase }) => phase === 'open')
    .reduce((sum, { capacity, locked }) => sum + capacity + locked, 0n)

beforeAll(async () => {
  village = await startVillage({ accounts: 60 })
  proxy = await startRpcProxy(village.devnet.url)
  const rpc = new JsonRpcProvider(proxy.url, undefined, {
    cacheTimeout: -1,
    pollingInterval: 50,
    staticNetwork: Network.from(31337),
  })
  alice = await village.villager('alice')
  bob = await village.villager('bob', { rpc })
  first = (await village.channel(alice, bob, 100_000n, 0n)).id
})
afterAll(async () => {
  await village.stop()
  await proxy.stop()
})
afterEach(() => {
  proxy.rule()
  village.network.rule(undefined)
})

/** A peer with a channel to Bob in which both have money. */
async function peerOfBob(own = 5_000n, bobs = 5_000n): Promise<RawPeer> {
  const peer = startRawPeer(village, bob, `mallory${number++}`)
  await peer.connect()
  await peer.open(own, bobs)
  return peer
}

/** The target's request for a secret, signed by `key`. */
function request(peer: RawPeer, lock: Typed<'lock'>, changes: { amount?: bigint; key?: Key } = {}): void {
  const { paymentId, secrethash, total, expiry } = lock
  const asked = { paymentId, secrethash, amount: changes.amount ?? total, expiry }
  const signature = (changes.key ?? peer.key).sign(personalDigest(requestBytes(asked)))
  peer.send('secretRequest', { ...asked, signature, delegation: new Uint8Array(0) })
}

/** Opens a grant as its target does. */
function opened(peer: RawPeer, { ephemeral, sealed }: Typed<'secretGrant'>): Uint8Array {
  const mask = engine().sha256(concatBytes(utf8('sluice secret grant'), peer.key.agree(ephemeral), ephemeral))
  return sealed.map((byte, i) => byte ^ mask[i]!)
}

/** Alice pays a peer over Bob; the peer has Bob's lock, and the secret. */
async function lockedOver(
  peer: RawPeer,
  amount: bigint,
): Promise<{ lock: Typed<'lock'>; secret: Uint8Array; paying: Promise<unknown> }> {
  await eventually('a path', async () => {
    const from = peer.heard.length
    const paying = alice.node.pay({ to: peer.account, amount, timeout: 3_000 }).catch((error: unknown) => error)
    return Promise.race([
      peer.hears('lock', undefined, from).then(
        () => ((current = paying), true),
        () => false,
      ),
      paying.then(() => false),
    ])
  })
  const lock = peer.heard.findLast((message): message is Typed<'lock'> => message.type === 'lock')!
  peer.send('processed', { channelId: peer.channelId, nonce: lock.nonce })
  request(peer, lock)
  const grant = await peer.hears('secretGrant', ({ paymentId }) => paymentId === lock.paymentId)
  return { lock, secret: opened(peer, grant), paying: current }
}
let current: Promise<unknown> = Promise.resolve()

const selector = secretRegistryInterface.getFunction('revealedAt').selector.slice(2)
const registry = (peer: RawPeer) => secretRegistryContract(village.secretRegistry, peer.wallet)

describe('a target', () => {
  it.each([
    ['too soon', 30],
    ['too far', 64 * 60 + 100],
  ])('gives back a lock that expires %s, and asks for no secret', async (_what, seconds) => {
    const peer = await peerOfBob()
    const secret = secretOf()
    const lock = lockFor(peer, bob, { amount: 100n, expiry: (await timeOf()) + seconds, secrethash: secrethashOf(secret) })
    peer.proof('lock', lock)
    const fail = await peer.hears('fail')
    expect(fail).toMatchObject({ code: 'EXPIRY_OUT_OF_RANGE', reporter: bob.account, failed: NO_HASH, index: 0 })
    expect(peer.heard.some(({ type }) => type === 'secretRequest')).toBe(false)
    // Having given it back, it takes no secret for it any more: it could not claim it, and must not seem to.
    peer.send('secretGrant', { paymentId: lock.paymentId, secrethash: lock.secrethash, ...seal(secret, bobsKey(peer)) })
    await pause(100)
    expect(peer.heard.some(({ type }) => type === 'reveal')).toBe(false)
    peer.proof('remove', { index: 0 })
    await eventually('the lock gone', () => bob.node.channel(peer.channelId).partnerLocked === 0n)
  })

  it('gives back parts of a payment that disagree about the whole of it', async () => {
    const peers = [await peerOfBob(), await peerOfBob()] as const
    const secrethash = secrethashOf(secretOf())
    const whole = { secrethash, paymentId: toHex(secretOf()), initiator: peers[0].account }
    const part = { ...whole, amount: 100n, expiry: (await timeOf()) + 600 }
    peers[0].proof('lock', lockFor(peers[0], bob, { ...part, total: 200n }))
    await eventually('the first part', () => bob.node.channel(peers[0].channelId).partnerLocked === 100n)
    // By its own words, what is here is all of it.
    peers[1].proof('lock', lockFor(peers[1], bob, { ...part, total: 100n }))
    for (const peer of peers) expect(await peer.hears('fail')).toMatchObject({ code: 'PAYMENT_REFUSED', reporter: bob.account })
    expect(peers.some(({ heard }) => heard.some(({ type }) => type === 'secretRequest'))).toBe(false)
  })

  it('tells of no payment that it has given back, though its secret became public in time', async () => {
    const peer = await peerOfBob()
    const { channelId } = peer
    const told: bigint[] = []
    bob.node.events.on('received', ({ amount }) => void told.push(amount))
    const secret = secretOf()
    const expiry = (await timeOf()) + 30 // too soon for the target
    const lock = lockFor(peer, bob, { amount: 77n, expiry, secrethash: secrethashOf(secret) })
    peer.proof('lock', lock)
    const { release } = await peer.hears('fail')
    await (await registry(peer).registerSecrets([secret])).wait()
    expect(Number(await registry(peer).revealedAt(lock.secrethash))).toBeLessThan(expiry)
    peer.disconnect()
    await bob.node.close(channelId, { how: 'alone' })
    const contract = contractOf(village, peer.wallet)
    await (await contract.registerReleases(peer.account, bob.account, [{ lock: leafHash(lock), signature: release }])).wait()
    await passTime(601)
    const unlocked = contract.filters.ChannelUnlocked(channelId)
    await eventually('the settlement', () => bob.node.channel(channelId).phase === 'settled')
    await eventually(
      'the end of the lock',
      async () => {
        await village.devnet.mine()
        return (await contract.queryFilter(unlocked)).length === 1
      },
      20_000,
    )
    expect((await contract.queryFilter(unlocked)).map(({ args }) => [args.toReceiver, args.toSender])).toEqual([[0n, 77n]])
    await village.devnet.mine()
    await bob.node.caughtUp()
    expect(told).toEqual([])
  }, 60_000)

  it('takes no zero secret: no contract would', async () => {
    const peer = await peerOfBob()
    const lock = lockFor(peer, bob, { amount: 100n, expiry: (await timeOf()) + 600, secrethash: secrethashOf(ZERO_32) })
    peer.proof('lock', lock)
    await peer.hears('secretRequest')
    peer.send('secretGrant', { paymentId: lock.paymentId, secrethash: lock.secrethash, ...seal(ZERO_32, bobsKey(peer)) })
    // Nor what was sealed with no key, or with another secret.
    const { paymentId, secrethash } = lock
    peer.send('secretGrant', { paymentId, secrethash, ephemeral: new Uint8Array(33), sealed: ZERO_32 })
    peer.send('secretGrant', { paymentId: lock.paymentId, secrethash: lock.secrethash, ...seal(secretOf(), bobsKey(peer)) })
    await pause(100)
    expect(peer.heard.some(({ type }) => type === 'reveal')).toBe(false)
    expect(peer.ended).toBeUndefined() // who hands it on may be honest
    expect(bob.node.channel(peer.channelId).partnerLocked).toBe(100n)
  })

  it('claims on chain what its payer does not unlock, and keeps it over a restart', async () => {
    const peer = await peerOfBob()
    const secret = secretOf()
    const expiry = (await timeOf()) + 600
    const lock = lockFor(peer, bob, { amount: 100n, expiry, secrethash: secrethashOf(secret) })
    peer.proof('lock', lock)
    await peer.hears('secretRequest')
    peer.send('secretGrant', { paymentId: lock.paymentId, secrethash: lock.secrethash, ...seal(secret, bobsKey(peer)) })
    expect(toHex((await peer.hears('reveal')).secret)).toBe(toHex(secret))
    await passTime(560)
    const at = await eventually('the registration', async () => Number(await registry(peer).revealedAt(lock.secrethash)))
    expect(at).toBeLessThan(expiry)
    await bob.node.caughtUp()
    peer.disconnect()
    await village.crash(bob)
    await village.restart(bob)
    await peer.connect()
    peer.sync()
    await eventually('agreement', () => bob.node.channel(peer.channelId).online)
    await passTime(100)
    // Registered again in a list, later: what counts is the first time.
    await (await registry(peer).registerSecrets([secret, secretOf()])).wait()
    await bob.node.caughtUp()
    peer.proof('remove', { index: 0 }, { keep: false })
    await pause(300)
    expect(bob.node.channel(peer.channelId).partnerLocked).toBe(100n)
    expect((await stored(bob.store.entries, peer.channelId)).theirs.nonce).toBe(1)
  })
})

describe('a payer', () => {
  it('gives the secret to nobody but the target, for the whole amount, in time', async () => {
    const peer = await peerOfBob()
    const from = peer.heard.length
    const paying = locked(peer, 200n)
    const lock = await peer.hears('lock', undefined, from)
    peer.send('processed', { channelId: peer.channelId, nonce: lock.nonce })
    const granted = (): boolean =>
      peer.heard.some((message) => message.type === 'secretGrant' && message.paymentId === lock.paymentId)
    request(peer, lock, { amount: 199n })
    request(peer, lock, { amount: 201n })
    peer.send('secretRequest', {
      paymentId: toHex(secretOf()),
      secrethash: lock.secrethash,
      amount: 200n,
      expiry: lock.expiry,
      signature: peer.key.sign(ZERO_32),
      delegation: new Uint8Array(0),
    })
    await pause(150)
    expect(granted()).toBe(false)
    request(peer, lock, { key: generateKey() })
    const { paymentId, secrethash, expiry } = lock
    const unsigned = { signature: new Uint8Array(65), delegation: new Uint8Array(0) }
    peer.send('secretRequest', { paymentId, secrethash, amount: 200n, expiry, ...unsigned })
    await pause(150)
    expect(granted()).toBe(false)
    expect(alice.node.channel(first).online).toBe(true) // it is not Bob's fault
    request(peer, lock)
    const secret = opened(peer, await peer.hears('secretGrant', (grant) => grant.paymentId === paymentId))
    expect(secrethashOf(secret)).toBe(secrethash)
    peer.send('reveal', { channelId: peer.channelId, index: lock.index, secret })
    expect(await paying).toMatchObject({ state: 'done' })
  })

  it('pays nothing for a secret that is revealed, or registered, when the lock has expired', async () => {
    const peer = await peerOfBob()
    const from = peer.heard.length
    void locked(peer, 200n).catch(() => {})
    const lock = await peer.hears('lock', undefined, from)
    peer.send('processed', { channelId: peer.channelId, nonce: lock.nonce })
    request(peer, lock)
    const secret = opened(peer, await peer.hears('secretGrant', ({ paymentId }) => paymentId === lock.paymentId))
    await village.devnet.provider.send('evm_setNextBlockTimestamp', [lock.expiry])
    await village.devnet.mine()
    await bob.node.caughtUp()
    peer.send('reveal', { channelId: peer.channelId, index: lock.index, secret })
    await (await registry(peer).registerSecrets([secret])).wait()
    expect(Number(await registry(peer).revealedAt(lock.secrethash))).toBeGreaterThanOrEqual(lock.expiry)
    await bob.node.caughtUp()
    peer.send('reveal', { channelId: peer.channelId, index: lock.index, secret })
    await passTime(2)
    peer.send('reveal', { channelId: peer.channelId, index: lock.index, secret })
    const remove = await peer.hears('remove')
    expect(peer.heard.some(({ type }) => type === 'unlock')).toBe(false)
    expect(remove.transferred).toBe(lock.transferred)
  })

  it('pays nothing for what is not the secret', async () => {
    const peer = await peerOfBob()
    const from = peer.heard.length
    void locked(peer, 200n).catch(() => {})
    const lock = await peer.hears('lock', undefined, from)
    for (let i = 0; i < 3; i++) peer.send('reveal', { channelId: peer.channelId, index: lock.index, secret: secretOf() })
    await pause(200)
    expect(peer.heard.some(({ type }) => type === 'unlock')).toBe(false)
    // An honest receiver may say it again when the number has another lock: that is no reason to end the link.
    expect(peer.ended).toBeUndefined()
    expect(bob.node.channel(peer.channelId).locked).toBe(200n)
  })

  it('frees no lock without the word of its receiver', async () => {
    const peer = await peerOfBob()
    const from = peer.heard.length
    void locked(peer, 200n).catch(() => {})
    const lock = await peer.hears('lock', undefined, from)
    peer.send('processed', { channelId: peer.channelId, nonce: lock.nonce })
    const { paymentId, index } = lock
    const { channelId, account: reporter } = peer
    const fail = { channelId, index, paymentId, code: 'NO_ROUTE', reporter, failed: NO_HASH, delegation: new Uint8Array(0) }
    const signature = peer.key.sign(personalDigest(failBytes(paymentId, 'NO_ROUTE', NO_HASH)))
    const leaf = leafHash(lock)
    const releaseOf = (channelId: Hex, key = peer.key): Uint8Array =>
      key.sign(peer.digests.Release({ channelId, sender: bob.account, lock: leaf }))
    peer.send('fail', { ...fail, signature, release: releaseOf(first) }) // of another channel
    await eventually('the end of the link', () => peer.ended)
    expect(peer.ended!.reason).toContain('BAD_SIGNATURE')
    expect(bob.node.channel(peer.channelId).locked).toBe(200n)
    await peer.connect()
    peer.sync({ accepted: lock.nonce })
    await eventually('agreement', () => bob.node.channel(peer.channelId).online)
    peer.send('fail', { ...fail, signature, release: releaseOf(peer.channelId) })
    await peer.hears('remove')
    expect(bob.node.channel(peer.channelId).locked).toBe(0n)
  })
})

describe('a mediator', () => {
  it.each([
    ['too little time between the locks', 300, 250],
    ['too little time for the second lock', 150, 40],
    ['a lock that takes too long', 64 * 60 + 200, 300],
  ])('forwards nothing with %s', async (_what, incoming, outgoing) => {
    const [payer, payee] = [await peerOfBob(), await peerOfBob()]
    const now = await timeOf()
    const route = [{ node: payee.account, channelId: payee.channelId, amount: 100n, expiry: now + outgoing }]
    const lock = { amount: 100n, expiry: now + incoming, secrethash: secrethashOf(secretOf()), target: payee.account, route }
    payer.proof('lock', lockFor(payer, bob, lock))
    const why = { code: 'EXPIRY_OUT_OF_RANGE', failed: payee.channelId, reporter: bob.account }
    expect(await payer.hears('fail')).toMatchObject(why)
    expect(payee.heard.some(({ type }) => type === 'lock')).toBe(false)
  })

  it('forwards nothing for more than it gets, to others than the route says, or into the same channel', async () => {
    const [payer, payee] = [await peerOfBob(), await peerOfBob()]
    const expiry = (await timeOf()) + 600
    const hop = { node: payee.account, channelId: payee.channelId, amount: 100n, expiry: expiry - 120 }
    const wrong = [
      { ...hop, amount: 101n },
      { ...hop, node: payer.account },
      { ...hop, channelId: payer.channelId, node: payer.account },
      { ...hop, amount: 0n },
    ]
    for (const [index, each] of wrong.entries()) {
      const lock = { index, amount: 100n, expiry, secrethash: secrethashOf(secretOf()), target: payee.account, route: [each] }
      payer.proof('lock', lockFor(payer, bob, lock))
      await payer.hears('fail', (fail) => fail.index === index)
    }
    expect(payee.heard.some(({ type }) => type === 'lock')).toBe(false)
    expect(bob.node.channel(payee.channelId).locked).toBe(0n)
  })

  it.each([
    ['alone', 0],
    ['with others', 2],
  ])(
    'is paid when the secret of what it forwarded is registered on chain, %s, and nobody tells it',
    async (_what, others) => {
      const peer = await peerOfBob()
      const before = worth(bob)
      const { lock, secret, paying } = await lockedOver(peer, 500n)
      // As if the node behind its address failed just then.
      let failures = 0
      const alone = lock.secrethash.slice(2)
      proxy.rule((method, params) => {
        const asked = method === 'eth_call' && JSON.stringify(params).includes(selector) && failures < 4
        return asked && JSON.stringify(params).includes(alone) === (others === 0) && failures++ < 4 ? { status: 500 } : undefined
      })
      const more = Array.from({ length: others }, secretOf)
      await (await registry(peer).registerSecrets([...more, secret])).wait()
      expect(await paying).toMatchObject({ state: 'done', amount: 500n })
      await peer.hears('unlock')
      await eventually('the money', () => worth(bob) === before)
    },
    30_000,
  )

  it('is paid also if it was ended in between, and its payer came back late', async () => {
    const peer = await peerOfBob()
    const before = worth(bob)
    const { lock, secret, paying } = await lockedOver(peer, 500n)
    village.network.block(alice.endpoint, bob.endpoint)
    await (await registry(peer).registerSecrets([secret])).wait()
    await bob.node.caughtUp()
    await village.crash(bob)
    await passTime(lock.expiry - (await timeOf()) + 5)
    await village.restart(bob)
    await bob.node.caughtUp()
    village.network.unblock(alice.endpoint, bob.endpoint)
    expect(await paying).toMatchObject({ state: 'done' })
    await peer.connect()
    peer.sync({ accepted: lock.nonce })
    await eventually('the money', () => worth(bob) === before, 15_000)
  }, 40_000)

  it('is paid when the secret was registered before the lock was there', async () => {
    const [payer, payee] = [await peerOfBob(), await peerOfBob()]
    const secret = secretOf()
    await (await registry(payer).registerSecrets([secret])).wait()
    await bob.node.caughtUp()
    const now = await timeOf()
    const expiry = now + 300
    const route = [{ node: payee.account, channelId: payee.channelId, amount: 100n, expiry: now + 150 }]
    const lock = { amount: 100n, expiry, secrethash: secrethashOf(secret), target: payee.account, route }
    payer.proof('lock', lockFor(payer, bob, lock))
    await payee.hears('lock')
    await passTime(200)
    // The second lock can be claimed on chain by whoever has it; so the first one must not be given back.
    await pause(1_500)
    expect(payer.heard.some(({ type }) => type === 'fail')).toBe(false)
  })

  it('shows the word of a receiver that has given a lock back, when it closes with the lock all the same', async () => {
    const peer = await peerOfBob()
    const { lock, secret, paying } = await lockedOver(peer, 500n)
    const { channelId, account: reporter } = peer
    const { paymentId, index } = lock
    const release = peer.key.sign(peer.digests.Release({ channelId, sender: bob.account, lock: leafHash(lock) }))
    const signature = peer.key.sign(personalDigest(failBytes(paymentId, 'NO_ROUTE', NO_HASH)))
    const reason = { code: 'NO_ROUTE', reporter, failed: NO_HASH, signature, delegation: new Uint8Array(0) }
    peer.send('fail', { channelId, index, paymentId, ...reason, release })
    await peer.hears('remove')
    expect(await paying).toMatchObject({ code: expect.stringMatching(/PAYMENT_/) as string })
    await eventually('the lock of the payer gone', () => bob.node.channel(first).partnerLocked === 0n)
    const funds = await village.devnet.provider.getBalance(village.tokenNetwork)
    // Bob does not learn of it while he is away; then it is all he hears of.
    peer.disconnect()
    await village.crash(bob)
    const contract = contractOf(village, peer.wallet)
    await (await registry(peer).registerSecrets([secret])).wait()
    await (await contract.close(peer.account, bob.account, peer.victimProof(lock), '0x')).wait()
    await village.restart(bob)
    const shown = contract.filters.LocksReleased(channelId)
    await eventually('the word on chain', async () => (await contract.queryFilter(shown)).length === 1)
    await pause(300)
    expect(await contract.queryFilter(shown)).toHaveLength(1)
    await passTime(601)
    await eventually('the settlement', () => bob.node.channel(channelId).phase === 'settled')
    await passTime(1)
    // Neither had paid: both get back what they put in, Bob the lock as well.
    await eventually(
      'all the money',
      async () => {
        await village.devnet.mine()
        return funds - (await village.devnet.provider.getBalance(village.tokenNetwork)) === 10_000n
      },
      20_000,
    )
    const unlocked = await contract.queryFilter(contract.filters.ChannelUnlocked(channelId))
    expect(unlocked.map(({ args }) => [args.toReceiver, args.toSender])).toEqual([[0n, 500n]])
  }, 60_000)

  it('takes no lock again that it has given back, and knows so after a restart', async () => {
    const peer = await peerOfBob()
    const now = await timeOf()
    const hop = { node: alice.account, channelId: first, amount: 101n, expiry: now + 300 } // more than comes in
    const details = { amount: 100n, expiry: now + 600, secrethash: secrethashOf(secretOf()), target: alice.account }
    const lock = lockFor(peer, bob, { ...details, route: [hop] })
    peer.proof('lock', lock)
    await peer.hears('fail')
    peer.proof('remove', { index: 0 })
    await eventually('the lock gone', () => bob.node.channel(peer.channelId).partnerLocked === 0n)
    peer.disconnect()
    await village.crash(bob)
    await village.restart(bob)
    await peer.connect()
    peer.sync()
    await eventually('agreement', () => bob.node.channel(peer.channelId).online)
    const from = peer.heard.length
    // By another number, and as a payment that Bob would like to have.
    const again = { ...lock, index: 3, target: bob.account, route: [], paymentId: toHex(secretOf()) }
    peer.proof('lock', again)
    expect(await peer.hears('fail', undefined, from)).toMatchObject({ code: 'PAYMENT_REFUSED', index: 3 })
    expect(peer.heard.slice(from).some(({ type }) => type === 'secretRequest')).toBe(false)
  })

  it('loses nothing by an old copy of its store', async () => {
    const carol = await village.villager(`carol${number++}`)
    const { id: second } = await village.channel(bob, carol, 10_000n)
    const before = worth(bob)
    await eventually('a path', () =>
      alice.node.pay({ to: carol.account, amount: 1n, maxFee: 0n }).then(
        () => true,
        () => false,
      ),
    )
    await bob.node.caughtUp()
    await eventually('quiet', () => bob.node.channel(second).locked === 0n && bob.node.channel(first).partnerLocked === 0n)
    const old = new Map(bob.store.entries)
    // Carol's secret does not get through.
    village.network.rule((from, _to, type) => (from === carol.endpoint && type === 34 ? 'before' : undefined))
    const paying = alice.node.pay({ to: carol.account, amount: 700n }).catch((error: unknown) => error)
    await eventually('the locks', () => bob.node.channel(second).locked === 700n)
    await eventually('the secret', async () => [...(await stored(carol.store.entries, second)).theirs.locks.locks].length === 1)
    await pause(300)
    await village.crash(bob)
    await village.restart(bob, old)
    await eventually('agreement', () => bob.node.channel(first).online && bob.node.channel(first).partnerLocked === 700n)
    await pause(2_500) // it looks at its locks again meanwhile
    village.network.rule(undefined)
    village.network.cut(carol.endpoint)
    expect(await paying).toMatchObject({ state: 'done' })
    await eventually('the money', () => worth(bob) === before && carol.node.channel(second).capacity === 701n, 15_000)
    await village.stopVillager(carol)
  }, 60_000)
})

/** Bob's public key, as the link tells it. */
function bobsKey(peer: RawPeer): Uint8Array {
  return peer.link.publicKey
}

/** Alice pays a peer, as soon as there is a path, by a lock over Bob. */
async function locked(peer: RawPeer, amount: bigint): Promise<unknown> {
  for (let i = 0; i < 100; i++) {
    try {
      return await alice.node.pay({ to: peer.account, amount, timeout: 30_000 })
    } catch (error) {
      const { code } = error as { code: string }
      if (code !== 'NO_ROUTE' && code !== 'CAPACITY_SHORT') throw error
      await pause(50)
    }
  }
  throw new Error('no path')
}
