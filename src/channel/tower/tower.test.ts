import { ZeroAddress, ZeroHash } from 'ethers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tokenNetworkDigests, tokenNetworkDomain } from '../../contracts/channelTypes.ts'
import { tokenNetworkContract } from '../../contracts/tokenNetwork.ts'
import { tokenNetworkRegistryContract } from '../../contracts/tokenNetworkRegistry.ts'
import { fromHex, randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { generateKey, keyFromSecret, type Key } from '../../core/crypto/key.ts'
import { memoryStore } from '../../core/store/memoryStore.ts'
import { memoryPeerNetwork } from '../../protocol/memoryPeerNetwork.ts'
import { startDevnet, type Devnet } from '../../testing/devnet.ts'
import { createLinks, type Links } from '../link/links.ts'
import { NO_HASH, SEALED_APPOINTMENT, type ChannelMessageOf, type Typed } from '../wire/messages.ts'
import { encodeAppointment, hintOf as hintFor, seal } from './appointment.ts'
import { sealedHashOf, verifyReceipt } from './receipt.ts'
import { createTower, type Tower, type TowerOptions } from './tower.ts'

const DAY = 86_400
const now = (): number => Math.floor(Date.now() / 1000)
const hintOf = (value: number): Hex => toHex(new Uint8Array(16).fill(value))

let devnet: Devnet
let tokenNetwork: string
let towerDeposit: string
const peers = memoryPeerNetwork()
beforeAll(async () => {
  devnet = await startDevnet()
  const deployment = await devnet.deployChannels()
  towerDeposit = deployment.towerDeposit
  const registry = tokenNetworkRegistryContract(deployment.tokenNetworkRegistry, devnet.accounts[0])
  await (await registry.createTokenNetwork(ZeroAddress)).wait()
  tokenNetwork = await registry.tokenNetworks(ZeroAddress)
}, 30_000)
afterAll(() => devnet.stop())

type Answer = Typed<'receipt' | 'declined'>

/** A client that says what it likes. */
interface Client {
  readonly key: Key
  readonly account: Hex
  readonly links: Links
  /** Sends an appointment and waits for what is said about it. */
  ask(fields: Partial<Omit<ChannelMessageOf<'appointment'>, 'hint'>> & { hint?: Hex }): Promise<Answer>
}

/** Starts a tower, and runs `body` with it and with a way to make clients. */
async function withTower(
  options: Partial<TowerOptions>,
  body: (tower: Tower, client: () => Client, entries: Map<string, Uint8Array>) => Promise<void>,
): Promise<void> {
  const url = `ws://tower-${toHex(randomBytes(4))}`
  const transport = peers.peer(url)
  const entries = new Map<string, Uint8Array>()
  const signer = devnet.accounts[1]!
  const tower = await createTower({ signer, tokenNetworks: [tokenNetwork], store: memoryStore(entries), transport, ...options })
  const made: Links[] = []
  const client = (): Client => {
    const key = generateKey()
    const account = key.address.toLowerCase() as Hex
    const links = createLinks({
      identity: { account, key, delegation: new Uint8Array() },
      chainId: Number(devnet.chainId),
      instance: toHex(randomBytes(16)),
      capabilities: 0,
      transport: peers.peer(),
      find: async () => [url],
      verifyDelegation: async () => false,
    })
    made.push(links)
    return {
      key,
      account,
      links,
      async ask({ hint = hintOf(1), ...fields }) {
        const link = await links.connect(tower.account)
        const sealed = new Uint8Array(SEALED_APPOINTMENT).fill(1)
        const message = { hint: fromHex(hint), counter: 1, replaces: 0, validUntil: now() + DAY, sealed, ...fields }
        return new Promise<Answer>((resolve) => {
          const off = links.onMessage((_, answer) => {
            if (answer.type !== 'receipt' && answer.type !== 'declined') return
            off()
            resolve(answer)
          })
          link.send('appointment', message)
        })
      },
    }
  }
  try {
    await body(tower, client, entries)
  } finally {
    for (const links of made) await links.close()
    await tower.stop()
    await transport.close()
  }
}

const filled = (value: number): Uint8Array => new Uint8Array(SEALED_APPOINTMENT).fill(value)

describe('what a tower answers an appointment with', () => {
  it('is a receipt that anybody can verify', () =>
    withTower({ towerDeposit, minReward: 3n }, async (tower, client, entries) => {
      const validUntil = now() + DAY
      const answer = await client().ask({ validUntil, sealed: filled(7) })
      expect(answer).toMatchObject({ type: 'receipt', counter: 1, validUntil, reward: 3n, towerDeposit: towerDeposit.toLowerCase() })
      const { signature, towerDeposit: deposit, reward } = answer as Typed<'receipt'>
      const receipt = {
        chainId: devnet.chainId,
        tower: tower.account,
        hint: hintOf(1),
        counter: 1,
        sealedHash: sealedHashOf(filled(7)),
        validUntil,
        towerDeposit: deposit,
        reward,
        signature,
      }
      expect(() => verifyReceipt(receipt)).not.toThrow()
      expect(() => verifyReceipt({ ...receipt, sealedHash: sealedHashOf(filled(8)) })).toThrow()
      expect([...entries.keys()].filter((key) => key.startsWith('appointment/'))).toHaveLength(1)
      expect(tower.appointments).toBe(1)
    }))

  it('is what it has instead, where the client has forgotten it', () =>
    withTower({}, async (tower, client) => {
      const one = client()
      await one.ask({ counter: 4, sealed: filled(4) })
      const answer = await one.ask({ counter: 1, sealed: filled(9) })
      expect(answer).toMatchObject({ type: 'declined', code: 'STATE_STALE', held: { counter: 4, sealed: filled(4) } })
      expect(await one.ask({ counter: 5, replaces: 4, sealed: filled(5) })).toMatchObject({ type: 'receipt', counter: 5 })
      // Others learn nothing of it, and touch nothing.
      const other = client()
      expect(await other.ask({ counter: 1, sealed: filled(9) })).toMatchObject({ type: 'receipt' })
      expect(await one.ask({ counter: 1 })).toMatchObject({ held: { counter: 5, sealed: filled(5) } })
      expect(tower.appointments).toBe(2)
    }))

  it('promises no longer than it means to, and nothing of the past', () =>
    withTower({ maxDuration: 7200 }, async (tower, client) => {
      const answer = (await client().ask({ validUntil: now() + DAY })) as Typed<'receipt'>
      expect(answer.validUntil - now()).toBeGreaterThan(7190)
      expect(answer.validUntil - now()).toBeLessThanOrEqual(7200)
      const late = await client().ask({ validUntil: now() - 1 })
      expect(late).toMatchObject({ type: 'declined', code: 'BAD_MESSAGE', message: 'validUntil is over' })
      expect(tower.appointments).toBe(1)
    }))

  it('is a refusal for whom it does not work', () => {
    const welcome = new Set<Hex>()
    return withTower({ admit: (account) => welcome.has(account) }, async (tower, client) => {
      const [one, two] = [client(), client()]
      welcome.add(two.account)
      expect(await one.ask({})).toMatchObject({ type: 'declined', code: 'PEER_REFUSED', held: undefined })
      expect(await two.ask({})).toMatchObject({ type: 'receipt' })
      expect(tower.appointments).toBe(1)
    })
  })

  it('is a refusal beyond its bounds', () =>
    withTower({ maxAppointments: 3, maxPerClient: 2 }, async (tower, client) => {
      const [one, two] = [client(), client()]
      for (const value of [1, 2]) expect(await one.ask({ hint: hintOf(value) })).toMatchObject({ type: 'receipt' })
      expect(await one.ask({ hint: hintOf(3) })).toMatchObject({ type: 'declined', code: 'OVERLOADED' })
      expect(await two.ask({ hint: hintOf(3) })).toMatchObject({ type: 'receipt' })
      expect(await two.ask({ hint: hintOf(4) })).toMatchObject({ type: 'declined', code: 'OVERLOADED' })
      expect(await one.ask({ hint: hintOf(2), counter: 2, replaces: 1 })).toMatchObject({ type: 'receipt' })
      expect(tower.appointments).toBe(3)
    }))

  it('is a refusal where too many come in a second', () =>
    withTower({}, async (_, client) => {
      const one = client()
      const answers: Answer[] = []
      for (let counter = 1; counter <= 60; counter++) answers.push(await one.ask({ counter, replaces: counter - 1 }))
      expect(answers.some((answer) => answer.type === 'declined' && /a second/.test(answer.message))).toBe(true)
      expect(answers.filter(({ type }) => type === 'receipt').length).toBeGreaterThanOrEqual(20)
    }))

  it('is a refusal where two come at a time', () =>
    withTower({}, async (tower, client) => {
      const one = client()
      const link = await one.links.connect(tower.account)
      const answers: Answer[] = []
      one.links.onMessage((_, answer) => void answers.push(answer as Answer))
      for (const counter of [1, 2]) {
        const hint = fromHex(hintOf(counter))
        link.send('appointment', { hint, counter, replaces: 0, validUntil: now() + DAY, sealed: filled(counter) })
      }
      await expect.poll(() => answers.length).toBe(2)
      const refusal = { type: 'declined', code: 'OVERLOADED', message: 'one appointment at a time', counter: 2 }
      expect(answers).toContainEqual(expect.objectContaining(refusal))
      expect(answers).toContainEqual(expect.objectContaining({ type: 'receipt', counter: 1 }))
    }))
})

describe('a release', () => {
  it('is shown once for a client, also without a proof, and again when it leaves the chain', async () => {
    const [client_, partner] = [devnet.accounts[5]!, devnet.accounts[6]!]
    const contract = tokenNetworkContract(tokenNetwork, partner)
    await (await contract.open(client_.address, 0n, ZeroHash, '0x')).wait()
    const { channelId: id } = await contract.channel(client_.address, partner.address)
    const channelId = id as Hex
    const digests = tokenNetworkDigests(tokenNetworkDomain(devnet.chainId, tokenNetwork))
    const keyOf = ({ privateKey }: { privateKey: string }): Key => keyFromSecret(fromHex(privateKey, 32))
    const lock = new Uint8Array(32).fill(0x77)
    const digest = digests.Release({ channelId, sender: client_.address, lock })
    const none = { nonce: 0, transferred: 0n, locked: 0n, locksroot: NO_HASH }
    const nothing = new Uint8Array(0)
    const proof = { ...none, stream: NO_HASH, ref: NO_HASH, watch: NO_HASH, signature: nothing, steps: nothing }
    const closing = { channelId, watch: NO_HASH }
    const appointment = {
      tokenNetwork: tokenNetwork.toLowerCase() as Hex,
      closer: partner.address.toLowerCase() as Hex,
      client: client_.address.toLowerCase() as Hex,
      proof,
      updateSignature: new Uint8Array(0),
      reward: undefined,
      releases: [{ lock, signature: keyOf(partner).sign(digest) }],
    }
    await withTower({ pollInterval: 50 }, async (tower, client) => {
      const shown: unknown[] = []
      tower.events.on('released', (event) => shown.push(event))
      // Somebody who knows the channel fills the place beside it with what is not signed, or for another closer.
      const forged = { ...appointment, releases: [{ lock, signature: keyOf(client_).sign(digest) }] }
      const strange = { ...appointment, closer: client_.address.toLowerCase() as Hex }
      for (const each of [forged, strange, appointment])
        await client().ask({ hint: hintFor(closing), sealed: seal(encodeAppointment(each), closing) })
      await (await contract.close(partner.address, client_.address, proof, '0x')).wait()
      const logs = () => contract.queryFilter(contract.filters.LocksReleased(channelId))
      await expect.poll(() => shown.length, { timeout: 5_000 }).toBe(1)
      const locks = (await logs()).map(({ args }) => [args.sender, [...args.locks]])
      expect(locks).toEqual([[client_.address, [toHex(lock)]]])
      await tower.caughtUp()
      await devnet.reorg(1)
      await expect.poll(() => shown.length, { timeout: 5_000 }).toBe(2)
      expect(await logs()).toHaveLength(1)
      await new Promise((resolve) => setTimeout(resolve, 1_500))
      expect(shown).toHaveLength(2)
    })
  })
})

describe('a tower', () => {
  it('has a store to itself, and gives it back', async () => {
    const store = memoryStore()
    const signer = devnet.accounts[2]!
    const options = { signer, tokenNetworks: [tokenNetwork], store, transport: peers.peer('ws://own') }
    const tower = await createTower(options)
    await expect(createTower({ ...options, signer: devnet.accounts[3]! })).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    await tower.stop()
    await tower.stop()
    await (await createTower(options)).stop()
    await expect(createTower({ ...options, tokenNetworks: [ZeroAddress] })).rejects.toMatchObject({ code: 'NOT_DEPLOYED' })
    await (await createTower(options)).stop()
  })

  it('needs a key that it holds, a network, and a deposit for a reward', async () => {
    const transport = peers.peer('ws://unused')
    const right = { signer: devnet.accounts[4]!, tokenNetworks: [tokenNetwork], transport }
    const wrong: readonly [string, Partial<TowerOptions>][] = [
      ['signer', { signer: await devnet.provider.getSigner() }],
      ['signer', { signer: right.signer.connect(null) }],
      ['tokenNetworks', { tokenNetworks: [] }],
      ['minReward', { minReward: 1n }],
    ]
    for (const [name, options] of wrong) {
      await expect(createTower({ ...right, store: memoryStore(), ...options })).rejects.toMatchObject({
        code: 'BAD_ARGUMENT',
        details: { name },
      })
    }
  })
})
