import { randomBytes as random } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { proofChannel, channelIdOf } from '../../../src/channel/node/channel.ts'
import { createChain } from '../../../src/channel/stream/chain.ts'
import { freshSide, proofOf, ZERO_32 } from '../../../src/channel/state/side.ts'
import { toHex, type Hex } from '../../../src/core/bytes.ts'
import { generateKey, generateSecret } from '../../../src/core/crypto/key.ts'
import { secrethashOf } from '../../../src/channel/state/side.ts'
import { lockFor, startRawPeer, type RawPeer } from './support/rawPeer.ts'
import { contractOf, eventually, pause, startVillage, stored, type Villager, type Village } from './support/village.ts'

let village: Village
let bob: Villager
let number = 0
let peer: RawPeer
let id: Hex
const events: { code: string; reason: string }[] = []

const secret = (): Uint8Array => Uint8Array.from(random(32))
const paymentId = (): Hex => toHex(secret())
const now = (): number => Math.floor(Date.now() / 1000)
const info = () => bob.node.channel(id)

beforeAll(async () => {
  village = await startVillage({ accounts: 60 })
  bob = await village.villager('bob')
  bob.node.events.on('misbehaved', (event) => void events.push(event))
})
afterAll(() => village.stop())
/** Mallory: a channel of 1000, all hers, and 500 of Bob's. */
beforeEach(async () => {
  peer = startRawPeer(village, bob, `mallory${number++}`)
  await peer.connect()
  id = await peer.open(1_000n, 500n)
  events.length = 0
})

/** Expects that the last thing said was refused, cost the link, and changed nothing. */
async function refused(code: string, before = info()): Promise<void> {
  await eventually('the end of the link', () => peer.ended)
  expect(peer.ended).toMatchObject({ code: 1008 })
  expect(events.at(-1)).toMatchObject({ code })
  const { online: _, ...rest } = info()
  expect(rest).toEqual(Object.fromEntries(Object.entries(before).filter(([name]) => name !== 'online')))
}

describe('a balance proof is refused, and nothing changes, if it', () => {
  it('spends more than there is', async () => {
    const before = info()
    peer.proof('payment', { amount: 1_001n, paymentId: paymentId() })
    await refused('PROOF_INVALID', before)
  })

  it('spends what is locked already', async () => {
    peer.proof('lock', lockFor(peer, bob, { amount: 800n, expiry: now() + 3_000, secrethash: secrethashOf(secret()) }))
    await eventually('the lock', () => info().partnerLocked === 800n)
    const before = info()
    peer.proof('payment', { amount: 201n, paymentId: paymentId() })
    await refused('PROOF_INVALID', before)
  })

  it('is signed by somebody else', async () => {
    const before = info()
    peer.proof('payment', { amount: 1n, paymentId: paymentId() }, { key: generateKey() })
    await refused('BAD_SIGNATURE', before)
  })

  it('is signed for another channel', async () => {
    const before = info()
    const other = proofChannel(channelIdOf(village.tokenNetwork, peer.account, bob.account, 2), ZERO_32)
    peer.proof('payment', { amount: 1n, paymentId: paymentId() }, { channel: other })
    await refused('BAD_SIGNATURE', before)
  })

  it.each([
    ['transferred', { transferred: 2n }],
    ['nonce', { nonce: 1, transferred: 0n }],
  ] as const)('says other than its message: %s', async (_field, forge) => {
    const before = info()
    peer.proof('payment', { amount: 1n, paymentId: paymentId() }, { forge })
    await refused('PROOF_INVALID', before)
  })

  it('binds another message', async () => {
    const before = info()
    peer.proof('payment', { amount: 1n, paymentId: paymentId() }, { forge: { reference: secret() } })
    await refused('BAD_SIGNATURE', before)
  })

  it('takes a lock number that is taken', async () => {
    const lock = { amount: 1n, expiry: now() + 3_000, secrethash: secrethashOf(secret()) }
    peer.proof('lock', lockFor(peer, bob, lock))
    await eventually('the lock', () => info().partnerLocked === 1n)
    const before = info()
    expect(() => peer.proof('lock', lockFor(peer, bob, { ...lock, secrethash: secrethashOf(secret()) }))).toThrow(
      expect.objectContaining({ code: 'PROOF_INVALID' }) as Error,
    )
    // An honest state can't hold it, so it is written by hand.
    peer.side = { ...peer.side, locks: freshSide.locks }
    peer.proof('lock', lockFor(peer, bob, { ...lock, secrethash: secrethashOf(secret()) }))
    await refused('PROOF_INVALID', before)
  })

  it('locks under a secrethash that is pending in the channel', async () => {
    const lock = { amount: 1n, expiry: now() + 3_000, secrethash: secrethashOf(secret()) }
    peer.proof('lock', lockFor(peer, bob, lock))
    await eventually('the lock', () => info().partnerLocked === 1n)
    const before = info()
    peer.side = { ...peer.side, locks: freshSide.locks }
    peer.proof('lock', lockFor(peer, bob, { ...lock, index: 1 }))
    await refused('PROOF_INVALID', before)
  })

  it('takes out a lock that can still be claimed', async () => {
    peer.proof('lock', lockFor(peer, bob, { amount: 10n, expiry: now() + 3_000, total: 20n, secrethash: secrethashOf(secret()) }))
    await eventually('the lock', () => info().partnerLocked === 10n)
    peer.proof('remove', { index: 0 })
    await pause(300)
    expect(info().partnerLocked).toBe(10n)
    expect((await stored(bob.store.entries, id)).theirs.nonce).toBe(1)
  })

  it('unlocks with a secret of another hash', async () => {
    peer.proof('lock', lockFor(peer, bob, { amount: 10n, expiry: now() + 3_000, total: 20n, secrethash: secrethashOf(secret()) }))
    await eventually('the lock', () => info().partnerLocked === 10n)
    const before = info()
    // What the message says can't be signed honestly either: the state of a removal, sent as an unlock.
    const side = peer.proof('remove', { index: 0 }, { keep: false })
    peer.send('unlock', {
      channelId: id,
      index: 0,
      secret: secret(),
      nonce: side.nonce,
      transferred: 10n,
      locked: 0n,
      locksroot: ZERO_32,
      signature: side.signature!,
    })
    await refused('PROOF_INVALID', before)
  })

  it('takes more than 128 bits', async () => {
    const before = info()
    peer.proof('payment', { amount: 1n, paymentId: paymentId() }, { forge: { transferred: 2n ** 128n - 1n } })
    await refused('PROOF_INVALID', before)
  })
})

describe('two proofs of one number', () => {
  it('are kept as evidence, the first one counts, and they fill no store', async () => {
    const second = peer.side
    peer.proof('payment', { amount: 10n, paymentId: paymentId() })
    await eventually('the payment', () => info().partnerCapacity === 990n)
    for (let i = 0; i < 20; i++) {
      peer.side = second
      peer.proof('payment', { amount: 1n, paymentId: paymentId() })
    }
    await eventually('word of it', () => events.length > 0)
    await pause(50)
    expect(events[0]).toMatchObject({ code: 'PROOF_INVALID' })
    expect(info().partnerCapacity).toBe(990n)
    const evidence = [...bob.store.entries.keys()].filter((key) => key.startsWith(`evidence/${id}`))
    expect(evidence.length).toBe(1)
  })

  it('are no evidence if they are one proof, signed twice', async () => {
    const details = { amount: 10n, paymentId: paymentId() }
    const before = peer.side
    peer.proof('payment', details)
    await eventually('the payment', () => info().partnerCapacity === 990n)
    const { signature } = peer.side
    peer.side = before
    expect(peer.proof('payment', details, { again: true }).signature).not.toEqual(signature)
    await pause(100)
    expect(events).toEqual([])
  })
})

describe('a state that is shown', () => {
  const show = (side: typeof peer.side, changes: object = {}): void =>
    peer.send('state', {
      channelId: id,
      own: true,
      nonce: side.nonce,
      transferred: side.transferred,
      locked: side.locks.total,
      locksroot: side.locks.root,
      signature: side.signature!,
      reference: side.reference,
      locks: [...side.locks.locks.values()],
      stream: side.stream,
      ...changes,
    })
  /** Signs something without sending it. */
  const sign = (side: Omit<typeof peer.side, 'signature'>): typeof peer.side => ({
    ...side,
    signature: peer.key.sign(peer.digests.BalanceProof(proofOf(proofChannel(id, ZERO_32), side))).slice(0, 64),
  })

  it('can not take out a lock that its receiver counts on', async () => {
    peer.proof(
      'lock',
      lockFor(peer, bob, { amount: 800n, expiry: now() + 3_000, total: 2_000n, secrethash: secrethashOf(secret()) }),
    )
    await eventually('the lock', () => info().partnerLocked === 800n)
    const before = info()
    show(sign({ ...freshSide, nonce: 2 }))
    await refused('PROOF_INVALID', before)
  })

  it('can not make a lock last shorter', async () => {
    const lock = lockFor(peer, bob, { amount: 800n, expiry: now() + 3_000, total: 2_000n, secrethash: secrethashOf(secret()) })
    peer.proof('lock', lock)
    await eventually('the lock', () => info().partnerLocked === 800n)
    const before = info()
    peer.side = freshSide
    const { nonce: _, ...shorter } = peer.proof('lock', { ...lock, expiry: now() + 61 }, { keep: false })
    show(sign({ ...shorter, nonce: 2 }))
    await refused('PROOF_INVALID', before)
  })

  it('pays no step of a hash chain that it can not prove', async () => {
    const chain = createChain({ seed: generateSecret(), length: 100 })
    const stream = { anchor: chain.anchor, unit: 5n, length: 100, steps: 100, preimage: toHex(secret()) }
    const before = info()
    show(sign({ ...freshSide, nonce: 1, stream }))
    await refused('PROOF_INVALID', before)
  })

  it('must not spend more than there is', async () => {
    const before = info()
    show(sign({ ...freshSide, nonce: 9, transferred: 1_001n }))
    await refused('PROOF_INVALID', before)
  })

  it('must be signed', async () => {
    const before = info()
    show({ ...sign({ ...freshSide, nonce: 9, transferred: 10n }), transferred: 11n })
    await refused('BAD_SIGNATURE', before)
  })
})

describe('a channel that comes again', () => {
  it('takes no proof of the one before', async () => {
    const old = peer.proof('payment', { amount: 400n, paymentId: paymentId() })
    await eventually('the payment', () => info().partnerCapacity === 600n)
    const contract = contractOf(village, peer.wallet)
    await (await contract.close(peer.account, bob.account, emptyProof, '0x')).wait()
    await village.devnet.increaseTime(601)
    await eventually('the settlement', () => info().phase === 'settled')
    const first = id
    id = await peer.open(1_000n)
    expect(id).not.toBe(first)
    const before = info()
    peer.send('payment', {
      channelId: id,
      nonce: 1,
      transferred: 400n,
      locked: 0n,
      locksroot: ZERO_32,
      signature: old.signature!,
      amount: 400n,
      paymentId: toHex(old.reference),
    })
    await refused('BAD_SIGNATURE', before)
  })
})

describe('who signs', () => {
  it('may change, and what was signed before is still worth its money', async () => {
    peer.proof('payment', { amount: 900n, paymentId: paymentId() })
    await eventually('the payment', () => info().partnerCapacity === 100n)
    peer.disconnect()
    await peer.connect(generateKey())
    peer.sync()
    await eventually('agreement', () => info().online)
    const before = await village.devnet.provider.getBalance(bob.account)
    const spent = await closeAlone()
    expect((await village.devnet.provider.getBalance(bob.account)) - before + spent).toBe(1_400n)
  })
})

describe('an answer', () => {
  it('counts only from whom was asked', async () => {
    const stranger = startRawPeer(village, bob, `stranger${number}`)
    await stranger.connect()
    const withdrawal = bob.node.withdraw(id, 100n).catch((error: unknown) => error)
    const request = await peer.hears('withdrawRequest')
    stranger.send('refused', { channelId: id, request: 20, code: 'PEER_REFUSED', message: 'no' })
    stranger.send('withdrawConfirm', { ...request, signature: new Uint8Array(65) })
    await pause(100)
    // As far as Bob knows, the partner may still agree: what it asked for is not spent.
    expect(info().capacity).toBe(400n)
    const signature = peer.key.sign(
      peer.digests.Withdraw({
        channelId: id,
        participant: bob.account,
        totalWithdraw: 100n,
        validUntil: request.validUntil,
      }),
    )
    peer.send('withdrawConfirm', { channelId: id, totalWithdraw: 100n, validUntil: request.validUntil, signature })
    expect(await withdrawal).toMatchObject({ totalWithdraw: 100n })
    stranger.disconnect()
  })
})

describe('a channel that is about to open', () => {
  it("can not be spoiled by a stranger's first proof", async () => {
    const alice = await village.villager(`alice${number}`)
    const channelId = channelIdOf(village.tokenNetwork, alice.account, bob.account, 1)
    const stranger = startRawPeer(village, bob, `spoiler${number}`)
    await stranger.connect()
    const digest = stranger.digests.BalanceProof(proofOf(proofChannel(channelId, ZERO_32), { ...freshSide, nonce: 1 }))
    const spoil = (): void =>
      stranger.send('openRequest', {
        tokenNetwork: village.tokenNetwork,
        channelId,
        watch: ZERO_32,
        signature: stranger.key.sign(digest),
      })
    // Right before the chain tells of the channel.
    village.network.rule((_from, to, type) => {
      if (type === 19 && to !== stranger.endpoint) queueMicrotask(() => stranger.ended ?? spoil())
      return undefined
    })
    const opened = await alice.node.open({ partner: bob.account, deposit: 100n })
    village.network.rule(undefined)
    await eventually('agreement', () => bob.node.channel(opened.id).online)
    await alice.node.pay({ to: bob.account, amount: 10n })
    expect(bob.node.channel(opened.id).capacity).toBe(10n)
    await village.stopVillager(alice)
  })
})

describe('a channel that ends', () => {
  it('is paid nothing more once it is being closed together', async () => {
    const closing = bob.node.close(id, { how: 'together' }).catch((error: unknown) => error)
    const request = await peer.hears('closeRequest')
    const digest = peer.digests.CooperativeClose({ ...request, channelId: id })
    peer.proof('payment', { amount: 700n, paymentId: paymentId() })
    await pause(200)
    // What Bob has agreed to can't be changed by what it takes afterwards.
    expect(info().partnerCapacity).toBe(1_000n)
    peer.send('closeConfirm', { channelId: id, validUntil: request.validUntil, signature: peer.key.sign(digest) })
    await closing
    await eventually('the settlement', () => info().phase === 'settled')
    expect((await stored(bob.store.entries, id)).theirs.transferred).toBe(0n)
  })

  it.each([
    ['a proof that is not its last', { nonce: 1, accepted: 0 }],
    ["a proof of Bob's that is not the last", { nonce: 0, accepted: 1 }],
  ])('is not closed together for %s: what is on its way would be lost', async (_what, wrong) => {
    peer.proof('payment', { amount: 100n, paymentId: paymentId() })
    await eventually('the payment', () => info().partnerCapacity === 900n)
    const validUntil = Math.max(now(), await village.devnet.time()) + 300
    const [balance1, balance2] = peer.account < bob.account ? [900n, 600n] : [600n, 900n]
    const right = { channelId: id, nonce: peer.side.nonce, accepted: 0, balance1, balance2, validUntil }
    peer.send('closeRequest', { ...right, nonce: right.nonce + wrong.nonce, accepted: wrong.accepted })
    expect(await peer.hears('refused')).toMatchObject({ channelId: id, request: 22, code: 'CHANNEL_BUSY' })
    peer.send('closeRequest', right)
    await peer.hears('closeConfirm')
  })

  it('goes on when the request is refused', async () => {
    const closing = bob.node.close(id, { how: 'together' }).catch((error: unknown) => error)
    await peer.hears('closeRequest')
    peer.send('refused', { channelId: id, request: 22, code: 'CHANNEL_BUSY', message: 'later' })
    expect(await closing).toMatchObject({ code: 'PEER_REFUSED' })
    // The request has shown nothing that the contract takes, so the channel goes on.
    peer.proof('payment', { amount: 700n, paymentId: paymentId() })
    await eventually('the payment', () => info().partnerCapacity === 300n)
  })

  it('is paid nothing more once it is being closed alone', async () => {
    await village.devnet.setAutomine(false)
    try {
      const closing = bob.node.close(id, { how: 'alone' })
      await eventually('the transaction', async () => {
        const { pending } = (await village.devnet.provider.send('txpool_status', [])) as { pending: string }
        return Number(pending) > 0
      })
      peer.proof('payment', { amount: 700n, paymentId: paymentId() })
      await pause(200)
      expect(info().partnerCapacity).toBe(1_000n)
      await village.devnet.setAutomine(true)
      await village.devnet.mine()
      await closing
    } finally {
      await village.devnet.setAutomine(true)
    }
  })
})

it('counts no step of a hash chain that comes when its closing has left', async () => {
  const streamed: bigint[] = []
  const off = bob.node.events.on('streamed', ({ channelId, total }) => void (channelId === id && streamed.push(total)))
  const chain = createChain({ seed: generateSecret(), length: 100 })
  const show = (steps: number): void => peer.send('step', { channelId: id, steps, preimage: chain.preimage(steps) })
  peer.proof('stream', { steps: 0, anchor: chain.anchor, unit: 5n, length: 100, paymentId: paymentId() })
  // The first one makes the node load what it needs, and is asked for again.
  await eventually('ten steps', () => (streamed.length > 0 ? true : (show(10), false)))
  await village.devnet.setAutomine(false)
  try {
    const closing = bob.node.close(id, { how: 'alone' })
    await eventually('the transaction', async () => {
      const { pending } = (await village.devnet.provider.send('txpool_status', [])) as { pending: string }
      return Number(pending) > 0
    })
    show(20)
    await pause(200)
    await village.devnet.setAutomine(true)
    await village.devnet.mine()
    await closing
    expect(streamed).toEqual([50n])
  } finally {
    off()
    await village.devnet.setAutomine(true)
  }
})

/** Bob closes with the last proof; returns what that cost him in gas. */
async function closeAlone(): Promise<bigint> {
  const { provider } = village.devnet
  const from = await provider.getBlockNumber()
  await bob.node.close(id, { how: 'alone' })
  await village.devnet.increaseTime(601)
  await eventually('the settlement', () => info().phase === 'settled')
  let gas = 0n
  for (let block = from + 1; block <= (await provider.getBlockNumber()); block++) {
    for (const hash of (await provider.getBlock(block))!.transactions) {
      const receipt = (await provider.getTransactionReceipt(hash))!
      if (receipt.from.toLowerCase() === bob.account) gas += receipt.fee
    }
  }
  return gas
}

const emptyProof = {
  nonce: 0,
  transferred: 0,
  locked: 0,
  locksroot: ZERO_32,
  stream: ZERO_32,
  ref: ZERO_32,
  watch: ZERO_32,
  signature: '0x',
  steps: '0x',
} as const
