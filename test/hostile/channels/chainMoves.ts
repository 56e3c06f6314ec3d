/**
 * What neighbours do on chain: register, close, show, settle, unlock, stand in front of others.
 * @module
 */
import type { Interface } from 'ethers'
import { encodeSteps } from '../../../src/channel/stream/streamTerms.ts'
import type { Lock } from '../../../src/channel/state/lockTree.ts'
import type { OnChainProof } from '../../../src/channel/chain/blockchainService.ts'
import { secretRegistryInterface } from '../../../src/contracts/secretRegistry.ts'
import { tokenNetworkInterface } from '../../../src/contracts/tokenNetwork.ts'
import { encodeLocks } from '../../../src/contracts/unlock.ts'
import { fromHex, toHex, type Hex } from '../../../src/core/bytes.ts'
import { engine } from '../../../src/core/crypto/engine.ts'
import type { Neighbour, VictimProof } from './hostile.ts'
import { CHALLENGE_PERIOD } from './setup.ts'
import { readCall, short, type World } from './world.ts'

/** A call of the token network. */
export function encodeCall(name: string, args: readonly unknown[]): Hex {
  const { encodeFunctionData } = tokenNetworkInterface as unknown as Pick<Interface, 'encodeFunctionData'>
  return encodeFunctionData.call(tokenNetworkInterface, name, args) as Hex
}

/** No proof at all, as the contract takes it. */
const NO_PROOF = {
  nonce: 0,
  transferred: 0n,
  locked: 0n,
  locksroot: `0x${'00'.repeat(32)}`,
  stream: `0x${'00'.repeat(32)}`,
  ref: `0x${'00'.repeat(32)}`,
  watch: `0x${'00'.repeat(32)}`,
  signature: new Uint8Array(0),
  steps: new Uint8Array(0),
} as const satisfies OnChainProof

/** Registers secrets together. */
export async function register(world: World, by: Neighbour, secrets: readonly Uint8Array[]): Promise<void> {
  if (secrets.length === 0) return
  const hashes = secrets.map((secret) => short(engine().sha256(secret)))
  world.note(`${by.name} registers ${secrets.length > 4 ? secrets.length : hashes.join(' and ')}`)
  await world.transact(
    by.wallet,
    world.setup.secretRegistry,
    secretRegistryInterface.encodeFunctionData('registerSecrets', [secrets.map((secret) => toHex(secret))]),
  )
}

/** Registers whatever makes a victim's lock look as if its secret were known. */
export async function registerFor(world: World, by: Neighbour, lock: Lock): Promise<void> {
  const { secrets, lists } = world.knowledge
  const list = lists.get(lock.secrethash)
  if (list) return register(world, by, list)
  const secret = secrets.get(lock.secrethash)
  if (!secret) return
  if (!world.draws.once(3)) return register(world, by, [secret])
  // In a list with others, that of another lock among them.
  const others = [...secrets.values()]
  await register(world, by, world.draws.once(2) ? [secret, world.draws.pick(others)] : [world.draws.pick(others), secret])
}

/** Closes a channel with a proof that the victim has signed at some time, or with none. */
export async function closeChannel(world: World, by: Neighbour, shown?: VictimProof, withSteps = true): Promise<void> {
  const proof = shown ? { ...shown.proof, ...(!withSteps && { steps: new Uint8Array(0) }) } : NO_PROOF
  world.note(`${by.name} closes with proof ${proof.nonce} of ${by.victimSide.nonce}${withSteps ? '' : ' without steps'}`)
  await world.transact(by.wallet, world.setup.tokenNetwork, encodeCall('close', [by.account, by.victim.account, proof, '0x']))
}

/** Shows a proof of the victim, who has closed. */
export async function update(world: World, by: Neighbour, shown: VictimProof): Promise<void> {
  const closing = world.closings.get(by.channelId)
  if (!closing || closing.closer === by.account || closing.settledAt > 0) return
  world.note(`${by.name} shows proof ${shown.proof.nonce} of ${by.victimSide.nonce}`)
  await world.transact(
    by.wallet,
    world.setup.tokenNetwork,
    encodeCall('update', [closing.closer, by.account, closing.fromPartner, closing.fromCloser, shown.proof, '0x']),
  )
}

/** Settles a channel whose time is over. */
export async function settle(world: World, by: Neighbour): Promise<void> {
  const closing = world.closings.get(by.channelId)
  if (!closing || closing.settledAt > 0 || world.now() < closing.settleAt) return
  const partner = closing.closer === by.account ? by.victim.account : by.account
  await world.transact(
    by.wallet,
    world.setup.tokenNetwork,
    encodeCall('settle', [closing.closer, partner, closing.fromPartner, closing.fromCloser]),
  )
}

/** Claims locks of the victim, and takes its own back. */
export async function unlock(world: World, by: Neighbour): Promise<void> {
  const closing = world.closings.get(by.channelId)
  if (!closing?.left) return
  const { account, victim } = by
  const first = account < victim.account
  const { locked1, locked2 } = closing.left
  const [ownLeft, theirLeft] = first ? [locked1, locked2] : [locked2, locked1]
  const byUs = closing.closer === account
  const theirs = byUs ? closing.fromPartner : closing.fromCloser
  const ours = byUs ? closing.fromCloser : closing.fromPartner
  if (theirLeft > 0n) {
    const locks = by.victimProofs.findLast(({ proof }) => proof.locksroot === theirs.locksroot)?.side.locks.locks
    const wanted = [...(locks?.values() ?? [])].filter((lock) => isKnown(world, lock))
    if (locks && wanted.length > 0)
      await tryUnlock(world, by, [victim.account, account], theirLeft, { left: ownLeft, root: ours.locksroot }, locks, wanted)
  }
  const locks = by.sides.get(ours.locksroot)?.locks.locks
  if (ownLeft > 0n && locks) {
    const since = world.now() - CHALLENGE_PERIOD
    const wanted = [...locks.values()].filter(({ expiry }) => Math.max(expiry, closing.settledAt) < since)
    if (wanted.length > 0)
      await tryUnlock(world, by, [account, victim.account], ownLeft, { left: theirLeft, root: theirs.locksroot }, locks, wanted)
  }
}

const isKnown = ({ knowledge }: World, { secrethash }: Lock): boolean =>
  knowledge.secrets.has(secrethash) || knowledge.lists.has(secrethash)

async function tryUnlock(
  world: World,
  by: Neighbour,
  sides: readonly [Hex, Hex],
  left: bigint,
  other: { readonly left: bigint; readonly root: Hex },
  locks: ReadonlyMap<number, Lock>,
  wanted: readonly Lock[],
): Promise<void> {
  const rest = { locked: other.left, locksroot: other.left > 0n ? other.root : NO_PROOF.locksroot }
  // All at once if that works, else any one of them.
  for (const some of [wanted, [world.draws.pick(wanted)]]) {
    const numbers = some.map(({ index }) => index)
    const data = encodeCall('unlock', [...sides, 1, left, rest, encodeLocks({ locks, numbers })])
    try {
      await world.chain.send('eth_estimateGas', [{ from: by.account, to: world.setup.tokenNetwork, data }])
    } catch {
      continue
    }
    world.note(`${by.name} unlocks ${numbers.length} of channel ${short(by.channelId)}`)
    await world.transact(by.wallet, world.setup.tokenNetwork, data)
    return
  }
}

/** Makes the calls of others itself, in front of them and with less of the hash chain. */
export async function standInFront(world: World): Promise<void> {
  const { chain, setup, draws } = world
  const thief = world.neighbours[0]!
  for (const { hash, data, from } of chain.waiting()) {
    if (world.seen.has(hash)) continue
    world.seen.add(hash)
    if (world.neighbours.some(({ account }) => account === from)) continue
    const call = readCall(data)
    if (!call) continue
    const at = call.name === 'close' ? 2 : call.name === 'update' ? 4 : -1
    const signature = call.args.at(-1)
    if (at < 0 || typeof signature !== 'string' || signature === '0x') continue
    const proof = call.args[at] as { toObject(): Record<string, unknown> }
    const fields = proof.toObject()
    const steps = fields['steps'] as Hex
    if (steps === '0x') continue
    const args = [...call.args]
    args[at] = { ...fields, steps: draws.once(2) ? '0x' : fewerSteps(steps) }
    world.note(`${thief.name} stands in front of ${call.name} with fewer steps`)
    await world.transact(thief.wallet, setup.tokenNetwork, encodeCall(call.name, args), { first: true })
  }
}

/** The same hash chain, shown one step less far. */
function fewerSteps(steps: Hex): Uint8Array {
  const bytes = fromHex(steps)
  const view = new DataView(bytes.buffer)
  const count = view.getUint32(124)
  const unit = (view.getBigUint64(48) << 64n) | view.getBigUint64(56)
  const preimage = toHex(engine().sha256(bytes.subarray(0, 32)))
  return encodeSteps({ preimage, unit, length: view.getUint32(92), steps: Math.max(count - 1, 0) })
}
