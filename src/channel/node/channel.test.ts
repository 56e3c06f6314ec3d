import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex, type Hex } from '../../core/bytes.ts'
import { encodeProofMessage } from '../wire/messages.ts'
import { memoryStore } from '../../core/store/memoryStore.ts'
import { lockTreeOf } from '../state/lockTree.ts'
import { freshSide, secrethashOf, ZERO_32, type Side } from '../state/side.ts'
import {
  balancesOf,
  capacityOf,
  channelIdOf,
  channelKey,
  encodeChannel,
  encodeLock,
  encodeSide,
  loadChannels,
  lockKey,
  newChannel,
  OUTBOX,
  outKey,
  partnerCapacityOf,
  sideKey,
  type Channel,
} from './channel.ts'

const account = (fill: number): Hex => toHex(new Uint8Array(20).fill(fill))
const small = fc.bigInt(0n, 1_000n)
const sideOf = (transferred: bigint, locked: bigint, length = 0, steps = 0, unit = 1n): Side => ({
  ...freshSide,
  nonce: 3,
  transferred,
  locks: locked > 0n ? lockTreeOf([{ index: 0, amount: locked, expiry: 9, secrethash: secrethashOf(ZERO_32) }]) : freshSide.locks,
  stream: length > 0 ? { anchor: toHex(ZERO_32), unit, length, steps, preimage: toHex(ZERO_32) } : undefined,
})
const channelOf = (changes: Partial<Channel>): Channel => ({
  ...newChannel(
    {
      id: channelIdOf(account(9), account(1), account(2), 1),
      tokenNetwork: account(9),
      partner: account(2),
      first: true,
      epoch: 1,
      consented: false,
    },
    ZERO_32,
  ),
  ...changes,
})

describe('what can be sent', () => {
  it('is deposit - withdrawn + received - sent - pending, for each channel and direction', () => {
    fc.assert(
      fc.property(
        fc.tuple(small, small, small, small, small, small),
        fc.nat(9),
        ([deposit, withdrawn, received, sent, locked, theirLocked], steps) => {
          const own = sideOf(sent, locked, 10, steps, 2n)
          const theirs = sideOf(received, theirLocked)
          const channel = channelOf({
            own,
            theirs,
            ownDeposit: deposit,
            seenDeposit: deposit,
            ownWithdrawn: withdrawn,
            theirDeposit: 7n,
          })
          // A chain is reserved as a whole; what the partner has locked is not ours yet.
          expect(capacityOf(channel)).toBe(deposit - withdrawn + received - sent - locked - 20n)
          expect(partnerCapacityOf(channel)).toBe(7n + sent + BigInt(steps) * 2n - received - theirLocked)
        },
      ),
    )
  })

  it('is the same seen from either end, and never more than the other end will take', () => {
    fc.assert(
      fc.property(
        fc.tuple(small, small, small, small, small, small),
        fc.nat(10),
        fc.nat(10),
        ([d1, d2, t1, t2, l1, w1], shown, heard) => {
          const payer = sideOf(t1, l1, 10, Math.max(shown, heard), 2n)
          const seen = sideOf(t1, l1, 10, Math.min(shown, heard), 2n) // steps may be on their way
          const other = sideOf(t2, 0n)
          const mine = channelOf({
            own: payer,
            theirs: other,
            ownDeposit: d1,
            seenDeposit: d1,
            theirDeposit: d2,
            ownWithdraw: { amount: w1, validUntil: 9 },
          })
          const theirs = channelOf({
            own: other,
            theirs: seen,
            ownDeposit: d2,
            seenDeposit: d2,
            theirDeposit: d1,
            theirWithdraw: { amount: w1, validUntil: 9 },
          })
          expect(partnerCapacityOf(theirs)).toBe(capacityOf(mine))
          expect(capacityOf(theirs) <= partnerCapacityOf(mine)).toBe(true)
        },
      ),
    )
  })

  it('counts a deposit once both ends have seen it, and a withdrawal as soon as it is agreed', () => {
    expect(capacityOf(channelOf({ ownDeposit: 100n, seenDeposit: 0n }))).toBe(0n)
    expect(capacityOf(channelOf({ ownDeposit: 100n, seenDeposit: 250n }))).toBe(100n)
    const asked = channelOf({ ownDeposit: 100n, seenDeposit: 100n, ownWithdraw: { amount: 30n, validUntil: 9 } })
    expect(capacityOf(asked)).toBe(70n)
    expect(capacityOf({ ...asked, ownWithdrawn: 30n })).toBe(70n)
    expect(capacityOf({ ...asked, ownWithdrawn: 40n })).toBe(60n)
    expect(partnerCapacityOf(channelOf({ theirDeposit: 100n, theirWithdraw: { amount: 30n, validUntil: 9 } }))).toBe(70n)
  })

  it('adds up with what the partner has to what is in the channel', () => {
    fc.assert(
      fc.property(fc.tuple(small, small, small, small, small, small), ([d1, d2, t1, t2, w1, w2]) => {
        const channel = channelOf({
          own: sideOf(t1, 0n),
          theirs: sideOf(t2, 0n),
          ownDeposit: d1,
          theirDeposit: d2,
          ownWithdrawn: w1,
          theirWithdrawn: w2,
        })
        const { own, theirs } = balancesOf(channel)
        expect(own + theirs).toBe(d1 + d2 - w1 - w2)
        expect(own - theirs).toBe(d1 - w1 - d2 + w2 + 2n * (t2 - t1))
      }),
    )
  })
})

it('sends again after a restart in the order in which it was signed', async () => {
  const channel = channelOf({ own: { ...sideOf(5n, 0n), nonce: OUTBOX + 12, signature: new Uint8Array(64) } })
  const store = memoryStore()
  const nonces = Array.from({ length: 40 }, (_, i) => OUTBOX + 12 - i)
  await store.write([
    { key: channelKey(channel.id), value: encodeChannel(channel) },
    { key: sideKey(channel.id, true), value: encodeSide(channel.own) },
    ...nonces.map((nonce) => ({
      key: outKey(channel.id, nonce),
      value: encodeProofMessage(
        'payment',
        channel.id,
        { nonce, transferred: 1n, locked: 0n, locksroot: ZERO_32, signature: new Uint8Array(64) },
        { amount: 1n, paymentId: channel.id },
      ),
    })),
  ])
  const { channels } = await loadChannels(store)
  expect([...channels[0]!.unacked.keys()]).toEqual(nonces.reverse())
})

it('comes back from a store as it was', async () => {
  const channel = channelOf({
    own: { ...sideOf(5n, 7n, 10, 3), signature: new Uint8Array(64).fill(1) },
    theirs: sideOf(2n, 0n),
    ownDeposit: 10n,
    closing: { amount: 3n, validUntil: Number.MAX_SAFE_INTEGER },
    theirWatch: ZERO_32,
    theirSigner: { publicKey: new Uint8Array(65).fill(4), address: account(2) },
  })
  const lock = {
    ...channel.own.locks.locks.get(0)!,
    paymentId: toHex(ZERO_32),
    initiator: account(1),
    target: account(3),
    total: 7n,
    route: [],
    twin: undefined,
    secret: toHex(new Uint8Array(32).fill(8)),
    givenBack: true,
    publicAt: 77,
  }
  const store = memoryStore()
  await store.write([
    { key: channelKey(channel.id), value: encodeChannel(channel) },
    { key: sideKey(channel.id, true), value: encodeSide(channel.own) },
    { key: sideKey(channel.id, false), value: encodeSide(channel.theirs) },
    { key: lockKey(channel.id, true, 0), value: encodeLock(lock) },
  ])
  const { channels, locks } = await loadChannels(store)
  const [loaded] = channels
  expect(loaded).toMatchObject({
    id: channel.id,
    own: channel.own,
    theirs: channel.theirs,
    ownDeposit: 10n,
    closing: channel.closing,
    theirSigner: channel.theirSigner,
  })
  expect(loaded!.synced).toBe(false) // nothing is signed before the partner has said where it stands
  expect([...locks.all()].map((entry) => entry.lock)).toEqual([lock])
})
