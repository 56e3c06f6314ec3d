import { ZeroAddress, ZeroHash, type HDNodeWallet } from 'ethers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tokenNetworkDigests, tokenNetworkDomain } from '../../contracts/channelTypes.ts'
import { tokenNetworkContract } from '../../contracts/tokenNetwork.ts'
import { tokenNetworkRegistryContract } from '../../contracts/tokenNetworkRegistry.ts'
import { concatBytes, fromHex, randomBytes, toHex, type Hex } from '../../core/bytes.ts'
import { engine } from '../../core/crypto/engine.ts'
import { generateKey, keyFromSecret, type Key } from '../../core/crypto/key.ts'
import { memoryStore } from '../../core/store/memoryStore.ts'
import { memoryPeerNetwork } from '../../protocol/memoryPeerNetwork.ts'
import { startDevnet, type Devnet } from '../../testing/devnet.ts'
import { createLinks, type Links } from '../link/links.ts'
import { NO_HASH, SEALED_APPOINTMENT, type ChannelMessageOf, type Typed } from '../wire/messages.ts'
import { encodeAppointment, hintOf as hintFor, seal } from './appointment.ts'
import { encodeStakeChannels, sealedHashOf, stakeDigest, verifyReceipt } from './receipt.ts'
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

/** Two accounts that share a channel in which the first has paid in, and what they sign. */
async function pairOf(numbers: readonly [number, number], deposit: bigint) {
  const [client, closer] = numbers.map((number) => devnet.accounts[number]!) as [HDNodeWallet, HDNodeWallet]
  const keyOf = ({ privateKey }: HDNodeWallet): Key => keyFromSecret(fromHex(privateKey, 32))
  const contract = tokenNetworkContract(tokenNetwork, client)
  await (await contract.open(closer.address, deposit, ZeroHash, '0x', { value: deposit })).wait()
  const channelId = (await contract.channel(client.address, closer.address)).channelId as Hex
  const digests = tokenNetworkDigests(tokenNetworkDomain(devnet.chainId, tokenNetwork))
  const watch = toHex(randomBytes(32))
  const channel = engine().keccak256(concatBytes(fromHex(channelId), fromHex(watch)))
  const [from, to] = [client, closer].map(({ address }) => address.toLowerCase() as Hex) as [Hex, Hex]
  return {
    channelId,
    watch,
    closing: { channelId, watch },
    contract: tokenNetworkContract(tokenNetwork, closer),
    closer: to,
    client: from,
    /** What the client has locked, as the closer presents it. */
    async close(locked: bigint) {
      const terms = { nonce: 1, transferred: 0n, locked, locksroot: toHex(randomBytes(32)), stream: NO_HASH, ref: NO_HASH }
      const { locksroot, stream, ref, ...rest } = terms
      const bytes = { channel, locksroot: fromHex(locksroot), stream: fromHex(stream), reference: fromHex(ref) }
      const signature = toHex(keyOf(client).sign(digests.BalanceProof({ ...rest, ...bytes })))
      const closerContract = tokenNetworkContract(tokenNetwork, closer)
      await (await closerContract.close(to, from, { ...terms, watch, signature, steps: '0x' }, '0x')).wait()
    },
    /** An appointment without a proof, with releases of these locks. */
    appointment: (locks: readonly Uint8Array[]) => ({
      tokenNetwork: tokenNetwork.toLowerCase() as Hex,
      closer: to,
      client: from,
      proof: {
        nonce: 0, transferred: 0n, locked: 0n, locksroot: NO_HASH, stream: NO_HASH, ref: NO_HASH, watch: NO_HASH,
        signature: new Uint8Array(0), steps: new Uint8Array(0),
      },
      updateSignature: new Uint8Array(0),
      reward: undefined,
      releases: locks.map((lock) => ({
        lock,
        signature: keyOf(closer).sign(digests.Release({ channelId, sender: client.address, lock })),
      })),
    }),
    /** Shows the tower, as the client of a link, what the account has in the channel. */
    async show(tower: Tower, by: Client) {
      const link = await by.links.connect(tower.account)
      const digest = stakeDigest(devnet.chainId, { tower: tower.account, client: by.account, account: from })
      const channels = encodeStakeChannels([{ tokenNetwork: tokenNetwork.toLowerCase() as Hex, partner: to }])
      link.send('stake', { account: from, channels, signature: keyOf(client).sign(digest), delegation: new Uint8Array(0) })
    },
  }
}

describe('a release', () => {
  it('is shown for the client alone, once, where it saves locks, and again when it leaves the chain', async () => {
    const pair = await pairOf([5, 6], 1_000n)
    const { channelId, closing, contract } = pair
    const lock = new Uint8Array(32).fill(0x77)
    await withTower({ pollInterval: 50 }, async (tower, client) => {
      const shown: unknown[] = []
      tower.events.on('released', (event) => shown.push(event))
      const put = (by: Client, locks: readonly Uint8Array[]): Promise<Answer> =>
        by.ask({ hint: hintFor(closing), sealed: seal(encodeAppointment(pair.appointment(locks)), closing) })
      // The closer knows the channel and makes up what it likes.
      for (let i = 0; i < 3; i++) await put(client(), [randomBytes(32), randomBytes(32)])
      const own = client()
      await pair.show(tower, own)
      expect(await put(own, [lock, lock])).toMatchObject({ type: 'receipt', promised: true })
      await pair.close(100n)
      const logs = () => contract.queryFilter(contract.filters.LocksReleased(channelId))
      await expect.poll(() => shown.length, { timeout: 10_000 }).toBe(1)
      expect((await logs()).map(({ args }) => [...args.locks])).toEqual([[toHex(lock)]])
      await tower.caughtUp()
      await devnet.reorg(1)
      await expect.poll(() => shown.length, { timeout: 10_000 }).toBe(2)
      expect(await logs()).toHaveLength(1)
    })
  })

  it.each<[string, bigint, bigint | undefined]>([
    ['no lock is claimed', 0n, undefined],
    ['less is claimed than the tower asks for', 100n, 101n],
  ])('is not shown where %s', async (_, locked, minGain) => {
    const pair = await pairOf(locked === 0n ? [7, 6] : [8, 6], 1_000n)
    const options = minGain === undefined ? {} : { minGain: { [tokenNetwork]: minGain } }
    await withTower({ pollInterval: 50, ...options }, async (tower, client) => {
      const failed: string[] = []
      tower.events.on('failed', ({ code }) => failed.push(code))
      const own = client()
      await pair.show(tower, own)
      const sealed = seal(encodeAppointment(pair.appointment([randomBytes(32)])), pair.closing)
      await own.ask({ hint: hintFor(pair.closing), sealed })
      const sent = await devnet.provider.getTransactionCount(tower.account)
      await pair.close(locked)
      // The next closing is answered after it: by then this one has been looked at.
      const next = await pairOf(locked === 0n ? [2, 3] : [3, 4], 1_000n)
      const other = client()
      await next.show(tower, other)
      const shown = new Promise((resolve) => tower.events.once('released', resolve))
      const right = seal(encodeAppointment(next.appointment([randomBytes(32)])), next.closing)
      await other.ask({ hint: hintFor(next.closing), sealed: right })
      await next.close(500n)
      expect(await shown).toMatchObject({ channelId: next.channelId })
      expect(await devnet.provider.getTransactionCount(tower.account)).toBe(sent + 1)
      expect(new Set(failed)).toEqual(new Set(minGain === undefined ? [] : ['FEE_TOO_LOW']))
    })
  })
})

describe('a full tower', () => {
  it('takes a client with money at stake in the place of one without, tells that one, and keeps its promise', async () => {
    const pair = await pairOf([9, 7], 1_000n)
    await withTower({ maxAppointments: 2 }, async (tower, client) => {
      const [stranger, other, own] = [client(), client(), client()]
      expect(await stranger.ask({ hint: hintOf(1) })).toMatchObject({ type: 'receipt', promised: false })
      expect(await stranger.ask({ hint: hintOf(2) })).toMatchObject({ type: 'receipt', promised: false })
      expect(await other.ask({ hint: hintOf(3) })).toMatchObject({ type: 'declined', code: 'OVERLOADED' })
      const told = new Promise((resolve) => stranger.links.onMessage((_, message) => resolve(message)))
      await pair.show(tower, own)
      expect(await own.ask({ hint: hintOf(4) })).toMatchObject({ type: 'receipt', promised: true })
      expect(await told).toMatchObject({ type: 'declined', code: 'OVERLOADED', counter: 1 })
      expect(await own.ask({ hint: hintOf(4), counter: 2, replaces: 1, sealed: filled(2) })).toMatchObject({ promised: true })
      expect(tower.appointments).toBe(2)
    })
  })

  it('believes no stake that another account signed, or that is not there', async () => {
    await withTower({ maxAppointments: 1 }, async (tower, client) => {
      await client().ask({ hint: hintOf(1) })
      const [thief, account] = [client(), devnet.accounts[9]!.address.toLowerCase() as Hex]
      const link = await thief.links.connect(tower.account)
      const partner = devnet.accounts[7]!.address.toLowerCase() as Hex
      const channels = encodeStakeChannels([{ tokenNetwork: tokenNetwork.toLowerCase() as Hex, partner }])
      const said = { tower: tower.account, client: thief.account, account }
      const signature = thief.key.sign(stakeDigest(devnet.chainId, said))
      link.send('stake', { account, channels, signature, delegation: new Uint8Array(0) })
      expect(await thief.ask({ hint: hintOf(2) })).toMatchObject({ type: 'declined', code: 'OVERLOADED' })
      const poor = client()
      const poorly = { tower: tower.account, client: poor.account, account: poor.account }
      const own = poor.key.sign(stakeDigest(devnet.chainId, poorly))
      const poorLink = await poor.links.connect(tower.account)
      poorLink.send('stake', { account: poor.account, channels, signature: own, delegation: new Uint8Array(0) })
      expect(await poor.ask({ hint: hintOf(2) })).toMatchObject({ type: 'declined', code: 'OVERLOADED' })
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
