/**
 * Builds the test vectors of payment channels: `docs/channel-vectors.json`, written by `npm run vectors`.
 * @module
 */
import { streamHash } from '../src/channel/stream/streamTerms.ts'
import { hashTimes } from '../src/channel/stream/sha256Chain.ts'
import { settlementAmounts } from '../src/channel/state/settlement.ts'
import { leafHash, lockTreeOf, type Lock } from '../src/channel/state/lockTree.ts'
import { secrethashOf } from '../src/channel/state/side.ts'
import { channelIdOf, proofChannel } from '../src/channel/node/channel.ts'
import {
  channelMessageLayouts,
  encodeChannelMessage,
  referenceOf,
  SEALED_APPOINTMENT,
  type ChannelMessageType,
} from '../src/channel/wire/messages.ts'
import { delegationDigest, delegationDomain, stepsHash, tokenNetworkDigests, tokenNetworkDomain } from '../src/contracts/channelTypes.ts'
import { fromHex, toHex, utf8, type Hex } from '../src/core/bytes.ts'
import { keyFromSecret } from '../src/core/crypto/key.ts'

const repeat = (byte: string, size = 32): Hex => `0x${byte.repeat(size)}`
const bytes = (byte: number, size: number): Uint8Array => new Uint8Array(size).fill(byte)

/** Builds every vector from fixed keys and amounts. */
export function channelVectors() {
  const alice = keyFromSecret(fromHex(repeat('11')))
  const bob = keyFromSecret(fromHex(repeat('22')))
  const [a, b] = [alice, bob].map(({ address }) => address.toLowerCase() as Hex) as [Hex, Hex]
  const tokenNetwork = repeat('44', 20)
  const domain = tokenNetworkDomain(31337n, tokenNetwork)
  const registry = repeat('55', 20)
  const digests = tokenNetworkDigests(domain)
  const channelId = channelIdOf(tokenNetwork, a, b, 1)
  const watch = bytes(0x66, 32)
  const channel = proofChannel(channelId, watch)

  const secrets = [bytes(1, 32), bytes(2, 32), bytes(3, 32)]
  const places = [0, 2, 5]
  const locks = secrets.map(
    (secret, i): Lock => ({
      index: places[i]!,
      amount: BigInt(1000 + i),
      expiry: 1_800_000_000 + i,
      secrethash: secrethashOf(secret),
    }),
  )
  const tree = lockTreeOf(locks)

  const length = 1024
  const seed = bytes(0x77, 32)
  const terms = { anchor: toHex(hashTimes(seed, length)), unit: 10n ** 12n, length }

  const proof = {
    channel,
    nonce: 7,
    transferred: 5_000n,
    locked: tree.total,
    locksroot: tree.root,
    stream: streamHash(terms),
    reference: bytes(0x88, 32),
  }
  const sign = (digest: Uint8Array) => ({ digest: toHex(digest), signature: toHex(alice.sign(digest)) })

  const withdraw = { channelId, participant: a, totalWithdraw: 300n, validUntil: 1_800_000_000 }
  const cooperativeClose = { channelId, balance1: 400n, balance2: 600n, validUntil: 1_800_000_000 }
  const open = { channelId, deposit: 1_000n, validUntil: 1_800_000_000, consent: repeat('ab') }
  const release = { channelId, sender: a, lock: leafHash(locks[0]!) }
  const close = { channelId, proof: toHex(digests.BalanceProof(proof)), steps: stepsHash(bytes(0x12, 128)) }
  const delegation = { participant: a, signer: b, validUntil: 1_800_000_000 }

  return {
    keys: { alice: { secret: repeat('11'), address: a }, bob: { secret: repeat('22'), address: b } },
    domain,
    channel: { epoch: 1, id: channelId, watch: toHex(watch), channel: toHex(channel) },
    locks: {
      locks: locks.map((lock) => ({ ...lock, leaf: toHex(leafHash(lock)) })),
      locksroot: toHex(tree.root),
      locked: tree.total,
    },
    stream: { seed: toHex(seed), ...terms, hash: toHex(streamHash(terms)), step100: toHex(hashTimes(seed, length - 100)) },
    signed: {
      BalanceProof: { ...hexed(proof), ...sign(digests.BalanceProof(proof)) },
      Close: { ...close, ...sign(digests.Close(close)) },
      Update: { ...close, ...sign(digests.Update(close)) },
      Withdraw: { ...withdraw, ...sign(digests.Withdraw(withdraw)) },
      CooperativeClose: { ...cooperativeClose, ...sign(digests.CooperativeClose(cooperativeClose)) },
      Open: { ...open, ...sign(digests.Open(open)) },
      Release: { ...hexed(release), ...sign(digests.Release(release)) },
    },
    delegation: {
      domain: delegationDomain(31337n, registry),
      ...delegation,
      ...sign(delegationDigest(31337n, registry, delegation)),
    },
    settlement: [
      [side(1000n, 0n, 0n, 0n), side(0n, 0n, 0n, 0n)],
      [side(1000n, 0n, 300n, 50n), side(500n, 0n, 100n, 0n)],
      [side(1000n, 400n, 100n, 0n), side(500n, 0n, 700n, 60n)],
      [side(10n, 0n, 2n ** 256n - 1n, 1n), side(10n, 0n, 0n, 7n)],
    ].map(([side1, side2]) => ({ side1, side2, ...settlementAmounts(side1!, side2!) })),
    reference: { lock: toHex(referenceOf('lock', samples(channelId, a, b) as never)) },
    messages: Object.fromEntries(
      (Object.keys(channelMessageLayouts) as ChannelMessageType[]).map((type) => {
        const fields = sampleOf(type, channelId, a, b)
        return [type, { fields: hexed(fields), bytes: toHex(encodeChannelMessage(type, fields as never)) }]
      }),
    ),
  }
}

function side(deposit: bigint, withdrawn: bigint, transferred: bigint, locked: bigint) {
  return { deposit, withdrawn, transferred, locked }
}

/** A value for each name that fields have. */
function samples(channelId: Hex, a: Hex, b: Hex): Readonly<Record<string, unknown>> {
  const route = [{ node: b, channelId, amount: 990n, expiry: 1_800_000_000 }]
  return {
    channelId,
    nonce: 8,
    transferred: 6_000n,
    locked: 3_003n,
    locksroot: bytes(0x99, 32),
    amount: 1_000n,
    paymentId: repeat('aa'),
    index: 3,
    expiry: 1_800_001_200,
    secrethash: repeat('bb'),
    initiator: a,
    target: b,
    total: 2_000n,
    route,
    secret: bytes(0xcc, 32),
    steps: 100,
    anchor: repeat('dd'),
    unit: 5n,
    length: 1_024,
    preimage: repeat('ee'),
    accepted: 6,
    deposit: 1_000n,
    watch: bytes(0x66, 32),
    own: true,
    reference: bytes(0x88, 32),
    locks: [{ index: 3, amount: 1_000n, expiry: 1_800_001_200, secrethash: repeat('bb') }],
    stream: undefined,
    tokenNetwork: repeat('44', 20),
    totalWithdraw: 300n,
    validUntil: 1_800_000_000,
    balance1: 400n,
    balance2: 600n,
    request: 20,
    code: 'CHANNEL_BUSY',
    message: 'payments are under way',
    delegation: new Uint8Array(0),
    ephemeral: bytes(2, 33),
    sealed: bytes(3, 32),
    reporter: b,
    failed: channelId,
    release: bytes(4, 65),
    signed: utf8('an announcement'),
    since: 1,
    after: repeat('00'),
    next: channelId,
    more: false,
    id: repeat('ab'),
    giveNetwork: repeat('44', 20),
    giveAmount: 10n,
    takeNetwork: repeat('45', 20),
    takeAmount: 20n,
    replaces: 0,
    towerDeposit: repeat('46', 20),
    reward: 5n,
    held: undefined,
    hint: bytes(5, 16),
    counter: 1,
  }
}

/** What is another size or kind in some messages than in most. */
const particular: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  step: { preimage: fromHex(repeat('ee')) },
  secretRequest: { signature: bytes(1, 65) },
  fail: { signature: bytes(1, 65) },
  swapAnswer: { accepted: true },
  appointment: { sealed: bytes(3, SEALED_APPOINTMENT) },
  receipt: { promised: true },
  stake: { account: repeat('33', 20), channels: bytes(0x44, 40) },
}
const proofs = new Set(['payment', 'lock', 'unlock', 'remove', 'stream', 'state'])

function sampleOf(type: ChannelMessageType, channelId: Hex, a: Hex, b: Hex): Record<string, unknown> {
  const values = { ...samples(channelId, a, b), signature: bytes(1, proofs.has(type) ? 64 : 65), ...particular[type] }
  return Object.fromEntries(
    Object.keys(channelMessageLayouts[type]).map((name) => [name, (values as Record<string, unknown>)[name]]),
  )
}

/** Bytes as hex. */
function hexed(values: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, value instanceof Uint8Array ? toHex(value) : (value as unknown)]),
  )
}
