/**
 * Keys that sign for an account: what a node takes of them, and what it does to have its own counted.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createDelegations } from '../../../src/channel/node/identity.ts'
import { encodeDelegation } from '../../../src/contracts/channelTypes.ts'
import { tokenNetworkRegistryContract } from '../../../src/contracts/tokenNetworkRegistry.ts'
import { randomBytes, toHex, type Hex } from '../../../src/core/bytes.ts'
import { generateKey } from '../../../src/core/crypto/key.ts'
import { startRawPeer } from './support/rawPeer.ts'
import { contractOf, eventually, startVillage, type Village, type Villager } from './support/village.ts'

/** Answers everything with the magic value of ERC-1271, as its whole answer, and with more behind it. */
const YES = '0x631626ba7e60e01b60005260206000f3'
const YES_AND_MORE = '0x631626ba7e60e01b60005260406000f3'
const NO = '0x60006000fd'

let village: Village
let bob: Villager
let carol: Villager
beforeAll(async () => {
  village = await startVillage()
  bob = await village.villager('bob')
  // Her node has no key of hers: it signs by a session key.
  const { provider, accounts } = village.devnet
  carol = await village.villager('carol', { signer: await provider.getSigner(accounts[1]!.address) })
})
afterAll(() => village.stop())

it('takes proofs by a session key once it is registered in the channel, and keeps what they paid', async () => {
  const peer = startRawPeer(village, bob, 'mallory')
  await peer.connect()
  const id = await peer.open(10_000n)
  peer.disconnect()
  const session = generateKey()
  await peer.connect(session)
  peer.sync()
  await eventually('agreement', () => bob.node.channel(id).online)
  let received = 0n
  bob.node.events.on('received', ({ amount }) => (received += amount))
  const payment = { amount: 9_000n, paymentId: toHex(randomBytes(32)) }
  const heard = peer.heard.length
  peer.proof('payment', payment, { key: session, keep: false })
  // Told after the payment, and so answered after it was seen.
  peer.disconnect()
  await peer.connect(session)
  peer.sync()
  expect(await peer.hears('sync', () => true, heard)).toMatchObject({ accepted: 0 })
  expect(received).toBe(0n)

  const contract = contractOf(village, peer.wallet)
  await (await contract.addSessionKey(peer.account, bob.account, session.address, '0x')).wait()
  await eventually('the payment', () => {
    if (received === 0n) peer.proof('payment', payment, { key: session, keep: false })
    return received === 9_000n
  })
  // Revoked, it opens no link any more; what was paid stays.
  const registry = tokenNetworkRegistryContract(village.registry, peer.wallet)
  await (await registry.revoke(session.address)).wait()
  peer.disconnect()
  await expect(peer.connect(session)).rejects.toThrow()
  await bob.node.close(id, { how: 'alone' })
  await village.devnet.increaseTime(700)
  const [settled] = await eventually('the settlement', async () => {
    const found = await contract.queryFilter(contract.filters.ChannelSettled(id))
    return found.length > 0 && found
  })
  const { paid1, paid2 } = settled!.args
  expect(bob.account < peer.account ? paid1 : paid2).toBe(9_000n)
}, 60_000)

it('pays and is paid by session keys of its own, opened by either side', async () => {
  const { id } = await carol.node.open({ partner: bob.account, deposit: 1_000n })
  await eventually('both ends', () => carol.node.channel(id).online && bob.node.channels().some((each) => each.id === id))
  await carol.node.pay({ to: bob.account, amount: 300n })
  await bob.node.pay({ to: carol.account, amount: 100n })
  await carol.node.close(id, { how: 'together' })
  // With bob's consent her key comes along; what she has signed is good for his closing alone.
  const { id: next } = await bob.node.open({ partner: carol.account, deposit: 1_000n })
  await eventually('both ends', () => carol.node.channels().some((each) => each.id === next && each.online))
  await bob.node.pay({ to: carol.account, amount: 500n })
  await carol.node.pay({ to: bob.account, amount: 200n })
  await bob.node.close(next, { how: 'alone' })
  const contract = contractOf(village, bob.wallet)
  await eventually('her answer', async () => {
    const found = await contract.queryFilter(contract.filters.NonClosingBalanceProofUpdated(next))
    return found.length > 0
  })
  await village.devnet.increaseTime(700)
  const [settled] = await eventually('the settlement', async () => {
    const found = await contract.queryFilter(contract.filters.ChannelSettled(next))
    return found.length > 0 && found
  })
  const { paid1, paid2 } = settled!.args
  expect(carol.account < bob.account ? paid1 : paid2).toBe(300n)
}, 60_000)

it('takes a contract’s word for a key if it is the whole answer', async () => {
  const { provider, accounts, chainId } = village.devnet
  const account = accounts[8]!.address.toLowerCase() as Hex
  const { verify } = createDelegations(provider, chainId, village.registry as Hex)
  const signer = generateKey().address.toLowerCase() as Hex
  // What it makes of these bytes is up to the contract. New ones each time: the provider remembers answers for a moment.
  const later = Math.floor(Date.now() / 1000) + 86_400
  for (const [code, answer] of [
    ['0x', false],
    [NO, false],
    [YES_AND_MORE, false],
    [YES, true],
  ] as const) {
    await provider.send('anvil_setCode', [account, code])
    expect(await verify(account, signer, encodeDelegation(later, randomBytes(66)))).toBe(answer)
  }
  expect(await verify(account, signer, encodeDelegation(1, randomBytes(66)))).toBe(false) // over
})
