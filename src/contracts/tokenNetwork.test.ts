import { concat, keccak256, ZeroHash, type HDNodeWallet } from 'ethers'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import {
  balanceOf,
  createChannels,
  NO_PROOF,
  NOTHING,
  streamOf,
  type Channels,
  type Proof,
} from '../../test/fixtures/contracts/channels.ts'
import { fromHex, toHex, type Hex } from '../core/bytes.ts'
import { revertData, revertError } from '../core/chain/revert.ts'
import { startDevnet, type Devnet } from '../testing/devnet.ts'
import {
  consentHash,
  decodeDelegation,
  delegationDigest,
  encodeDelegation,
  stepsHash,
  tokenNetworkDigests,
  tokenNetworkDomain,
  type TokenNetworkDigests,
} from './channelTypes.ts'
import { tokenNetworkInterface } from './tokenNetwork.ts'
import { channelStates } from './tokenNetworkView.ts'

const DEPOSIT = 1_000n
const LONG = 2_000_000_000

let devnet: Devnet
let registry: string
let channels: Channels
let digests: TokenNetworkDigests
let alice: HDNodeWallet
let bob: HDNodeWallet
let stranger: HDNodeWallet
let id: Hex

beforeAll(async () => {
  devnet = await startDevnet()
  ;[alice, bob, stranger] = devnet.accounts as [HDNodeWallet, HDNodeWallet, HDNodeWallet]
  const deployment = await devnet.deployChannels({ challengePeriod: 60 })
  registry = deployment.tokenNetworkRegistry
  const token = await devnet.deployToken()
  channels = await createChannels(devnet, deployment, stranger, await token.getAddress())
  digests = tokenNetworkDigests(tokenNetworkDomain(devnet.chainId, channels.address))
  for (const account of [alice, bob]) {
    await (await token.connect(account).mint(account.address, 1_000_000n)).wait()
    await (await token.connect(account).approve(channels.address, 1_000_000n)).wait()
  }
})
afterAll(() => devnet.stop())

beforeEach(async () => {
  await (await as(alice).open(bob.address, DEPOSIT, ZeroHash, '0x')).wait()
  id = (await as(alice).channel(alice.address, bob.address)).channelId as Hex
})

const as = (account: HDNodeWallet) => channels.network.connect(account)
const sign = (account: HDNodeWallet, digest: Uint8Array): string => account.signingKey.sign(digest).serialized

/** What `createChannels` makes of these fields, but by the hasher of the hot path. */
function proofBy(account: HDNodeWallet, fields: Partial<Proof>): Proof & { readonly digest: Hex } {
  const proof = { ...NO_PROOF, ...fields }
  const digest = digests.BalanceProof({
    channel: fromHex(keccak256(concat([id, proof.watch]))),
    nonce: proof.nonce,
    transferred: proof.transferred,
    locked: proof.locked,
    locksroot: fromHex(proof.locksroot),
    stream: fromHex(proof.stream),
    reference: fromHex(proof.ref),
  })
  return { ...proof, signature: sign(account, digest), digest: toHex(digest) }
}

async function settle(fromPartner: Proof, fromCloser: Proof): Promise<void> {
  await devnet.increaseTime(60)
  await (await as(stranger).settle(alice.address, bob.address, balanceOf(fromPartner), balanceOf(fromCloser))).wait()
}

async function endTogether(): Promise<void> {
  const [low] = BigInt(alice.address) < BigInt(bob.address) ? [alice] : [bob]
  const message = {
    channelId: id,
    balance1: low === alice ? DEPOSIT : 0n,
    balance2: low === alice ? 0n : DEPOSIT,
    validUntil: LONG,
  }
  const digest = digests.CooperativeClose(message)
  const signatures = [sign(alice, digest), sign(bob, digest)] as const
  await (await as(stranger).closeCooperatively(alice.address, bob.address, DEPOSIT, 0n, LONG, ...signatures)).wait()
}

it('takes what the digests of the SDK sign: closing, update and release by others', async () => {
  const edge = { nonce: Number.MAX_SAFE_INTEGER, transferred: 2n ** 127n + 1n, locked: 2n ** 100n, locksroot: keccak256('0x01') }
  const ofBob = proofBy(bob, { ...edge, stream: keccak256('0x02'), ref: keccak256('0x03'), watch: keccak256('0x04') })
  const { stream, steps } = streamOf(keccak256('0x07'), 1n, 10)
  const ofAlice = { ...proofBy(alice, { nonce: 1, transferred: 6n, stream }), steps: steps(4) }
  const closing = sign(alice, digests.Close({ channelId: id, proof: ofBob.digest, steps: stepsHash(new Uint8Array(0)) }))
  await (await as(stranger).close(alice.address, bob.address, ofBob, closing)).wait()
  const update = sign(bob, digests.Update({ channelId: id, proof: ofAlice.digest, steps: stepsHash(fromHex(ofAlice.steps)) }))
  await (await as(stranger).update(alice.address, bob.address, balanceOf(ofBob), NOTHING, ofAlice, update)).wait()
  const lock = keccak256('0x05') as Hex
  const release = sign(alice, digests.Release({ channelId: id, sender: bob.address, lock: fromHex(lock) }))
  await (await as(stranger).registerReleases(bob.address, alice.address, [{ lock, signature: release }])).wait()
  await settle(ofBob, { ...ofAlice, transferred: 10n })
})

it('takes what the digests of the SDK sign: openings, withdrawals and endings together', async () => {
  const withdrawal = { channelId: id, participant: alice.address, totalWithdraw: 40n, validUntil: LONG }
  const byBob = sign(bob, digests.Withdraw(withdrawal))
  await (await as(alice).withdraw(alice.address, bob.address, 40n, LONG, '0x', byBob)).wait()
  await (await as(bob).deposit(bob.address, alice.address, 40n)).wait()
  await endTogether()

  const next = channels.id(
    alice.address,
    bob.address,
    Number((await as(alice).channel(alice.address, bob.address)).epoch) + 1,
  ) as Hex
  id = next
  const consent = { watch: fromHex(ZeroHash), signature: fromHex(proofBy(bob, { nonce: 1 }).signature) }
  const opening = sign(
    alice,
    digests.Open({ channelId: next, deposit: DEPOSIT, validUntil: LONG, consent: consentHash(consent) }),
  )
  const permit = { value: 0n, deadline: 0n, v: 0, r: ZeroHash, s: ZeroHash }
  const handIn = (watch: Uint8Array | string, signature: Uint8Array | string) =>
    as(stranger).openFor(alice.address, bob.address, DEPOSIT, LONG, opening, watch, signature, permit)
  await expect(handIn(ZeroHash, '0x')).rejects.toThrow()
  await (await handIn(consent.watch, consent.signature)).wait()
  await endTogether()
})

it('takes a session key once its delegation has registered it', async () => {
  const proof = proofBy(stranger, { nonce: 1 })
  const validUntil = (await devnet.time()) + 1000
  const message = { participant: bob.address, signer: stranger.address, validUntil }
  const delegation = encodeDelegation(validUntil, fromHex(sign(bob, delegationDigest(devnet.chainId, registry, message))))
  expect(decodeDelegation(delegation)?.validUntil).toBe(validUntil)
  expect(decodeDelegation(new Uint8Array(8))).toBeUndefined()
  expect(decodeDelegation(new Uint8Array(9).fill(255))?.validUntil).toBe(Number.MAX_SAFE_INTEGER)
  await expect(as(alice).close(alice.address, bob.address, proof, '0x')).rejects.toThrow()
  await (await as(alice).addSessionKey(bob.address, alice.address, stranger.address, delegation)).wait()
  await (await as(alice).close(alice.address, bob.address, proof, '0x')).wait()
  await settle(proof, NO_PROOF)
})

it('names the states', async () => {
  const stateOf = async (): Promise<string> => channelStates[Number((await as(alice).channel(bob.address, alice.address)).state)]!
  expect(channelStates[Number((await as(alice).channel(stranger.address, alice.address)).state)]).toBe('none')
  expect(await stateOf()).toBe('open')
  await (await as(alice).close(alice.address, bob.address, NO_PROOF, '0x')).wait()
  expect(await stateOf()).toBe('closed')
  await settle(NO_PROOF, NO_PROOF)
  expect(await stateOf()).toBe('settled')
})

it('refuses with typed errors', async () => {
  const error: unknown = await as(bob)
    .open.staticCall(alice.address, 0n, ZeroHash, '0x')
    .catch((reason: unknown) => reason)
  expect(revertError(revertData(error) ?? null, [tokenNetworkInterface])).toMatchObject({
    code: 'PAIR_HAS_CHANNEL',
    details: { channelId: id },
  })
  await endTogether()
})
