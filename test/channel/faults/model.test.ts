import fc, { type AsyncCommand } from 'fast-check'
import { Transaction } from 'ethers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { balancesOf, loadChannels, type Channel } from '../../../src/channel/node/channel.ts'
import { settlementAmounts } from '../../../src/channel/state/settlement.ts'
import { paidBy, proofOf } from '../../../src/channel/state/side.ts'
import { encodeSteps } from '../../../src/channel/stream/streamTerms.ts'
import { tokenNetworkDigests, tokenNetworkDomain } from '../../../src/contracts/channelTypes.ts'
import { toHex, type Hex } from '../../../src/core/bytes.ts'
import { recoverAddress } from '../../../src/core/crypto/signature.ts'
import { memoryStore } from '../../../src/core/store/memoryStore.ts'
import { contractOf, eventually, pause, startVillage, type Villager, type Village } from './support/village.ts'

/** `SLUICE_MODEL_RUNS=200` for a night; `SLUICE_MODEL_SEED` and `SLUICE_MODEL_PATH` repeat the choices of a run. */
const RUNS = Number(process.env['SLUICE_MODEL_RUNS'] ?? 4)
const SEED = Number(process.env['SLUICE_MODEL_SEED'] ?? Date.now() % 1_000_000_000)
const PATH = process.env['SLUICE_MODEL_PATH']
const CHALLENGE_PERIOD = 600
const CONFIRMATIONS = 3

interface KnownProof {
  readonly nonce: number
  readonly transferred: bigint
  readonly locked: bigint
  readonly locksroot: Uint8Array
  readonly stream: Uint8Array
  readonly ref: Uint8Array
  readonly watch: Uint8Array
  readonly signature: Uint8Array
  readonly steps: Uint8Array
}
type Who = 0 | 1 | 2

/** The three nodes of a run, in a row, and what the test knows of them. */
interface World {
  readonly nodes: readonly [Villager, Villager, Villager]
  /** Copies of the store of each, oldest first. */
  readonly copies: Map<string, Uint8Array>[][]
  /** Every proof that a node has ever had of a partner, by who can present it. */
  readonly proofs: {
    readonly by: Who
    readonly channel: Hex
    readonly partner: Hex
    readonly proof: KnownProof
    /** With the steps of its hash chain. */
    readonly paid: bigint
  }[]
  /** What each node had for sure in a channel when it ended, pending locks of its own aside. */
  readonly due: Map<string, bigint>
  /** Channels in which a node went on with an old copy of its store, or lost what was confirmed: there it may lose. */
  readonly forgot: Set<string>
  /** Transactions that were sent past the nodes: after a reorganisation every chain would include them again. */
  readonly sent: string[]
}

let village: Village
let mining: NodeJS.Timeout
let mined: Promise<void> = Promise.resolve()
let reorganising = false

/** Replaces the newest blocks. Nothing is mined meanwhile: anvil loses a block then, for ever. */
async function reorganise(depth: number): Promise<void> {
  reorganising = true
  await mined
  await village.devnet.setAutomine(false)
  await village.devnet.reorg(depth)
  await village.devnet.setAutomine(true)
  reorganising = false
}

beforeAll(async () => {
  village = await startVillage({ challengePeriod: CHALLENGE_PERIOD, accounts: 3 * (RUNS + 30) })
  mining = setInterval(() => {
    if (!reorganising) mined = village.devnet.mine().catch(() => {})
  }, 100)
})
afterAll(() => {
  clearInterval(mining)
  return village.stop()
})

const pairs = [
  [0, 1],
  [1, 2],
] as const
const channelsOf = (villager: Villager): Promise<readonly Channel[]> =>
  loadChannels(memoryStore(new Map(villager.store.entries))).then(({ channels }) => channels)
const openBetween = ({ nodes }: World, [a, b]: readonly [Who, Who]): Hex | undefined =>
  (nodes[a].running ? nodes[a] : nodes[b]).node
    .channels()
    .find(({ partner, phase }) => phase === 'open' && [nodes[a].account, nodes[b].account].includes(partner))?.id

/** Notes what every node could now present, and what it has. */
async function note(world: World): Promise<void> {
  for (const [who, villager] of world.nodes.entries()) {
    for (const channel of await channelsOf(villager)) {
      if (channel.phase !== 'open') continue
      const { own } = balancesOf(channel)
      world.due.set(`${villager.account}/${channel.id}`, own - channel.own.locks.total)
      const proof = proofFrom(channel)
      const isKnown = (known: World['proofs'][number]): boolean =>
        known.by === who && known.channel === channel.id && toHexOf(known.proof) === toHexOf(proof!)
      if (proof && !world.proofs.some(isKnown))
        world.proofs.push({ by: who as Who, channel: channel.id, partner: channel.partner, proof, paid: paidBy(channel.theirs) })
    }
  }
}
const toHexOf = (proof: KnownProof): string => `${proof.nonce}/${proof.transferred}/${toHex(proof.steps)}`

function proofFrom({ theirs, theirChannel, theirWatch, tokenNetwork, partner }: Channel): KnownProof | undefined {
  if (!theirs.signature || !theirChannel) return undefined
  const proof = proofOf(theirChannel, theirs)
  const digest = tokenNetworkDigests(tokenNetworkDomain(village.devnet.chainId, tokenNetwork)).BalanceProof(proof)
  const signature = new Uint8Array(65)
  signature.set(theirs.signature)
  signature[64] = 27
  if (recoverAddress(digest, signature).toLowerCase() !== partner) signature[64] = 28
  const { nonce, transferred, locked, locksroot, stream, reference } = proof
  return {
    nonce,
    transferred,
    locked,
    locksroot,
    stream,
    ref: reference,
    watch: theirWatch!,
    signature,
    steps: theirs.stream && theirs.stream.steps > 0 ? encodeSteps(theirs.stream) : new Uint8Array(0),
  }
}

/** A step: done for real, and after it the books must be right. */
function command(name: string, run: (world: World) => Promise<unknown>): AsyncCommand<object, World> {
  return {
    check: () => true,
    run: async (_model, world) => {
      if (process.env['SLUICE_MODEL_TRACE'] !== undefined) console.log(new Date().toISOString(), name)
      await run(world)
      await pause(20)
      await note(world)
      await check(world, name)
    },
    toString: () => name,
  }
}

/**
 * At any time: no node thinks that it or its partner has more than there is; both ends add up to what is in the channel; and
 * whichever of its proofs the partner showed, or none, a node that answers gets what it was sure of.
 */
async function check(world: World, name: string): Promise<void> {
  for (const villager of world.nodes) {
    for (const channel of await channelsOf(villager)) {
      const { id, phase, ownDeposit, theirDeposit, ownWithdrawn, theirWithdrawn, partner } = channel
      if (phase !== 'open') continue
      const { own, theirs } = balancesOf(channel)
      expect([name, own + theirs]).toEqual([name, ownDeposit + theirDeposit - ownWithdrawn - theirWithdrawn])
      if (world.forgot.has(`${villager.account}/${id}`)) continue
      expect([name, channel.theirs.locks.total <= theirs]).toEqual([name, true])
      expect([name, channel.own.locks.total <= own]).toEqual([name, true])
      const answer = {
        deposit: theirDeposit,
        withdrawn: theirWithdrawn,
        transferred: paidBy(channel.theirs),
        locked: channel.theirs.locks.total,
      }
      const who = world.nodes.findIndex(({ account }) => account === partner)
      const shown = world.proofs.filter(({ by, channel: of }) => by === who && of === id)
      for (const { paid, proof } of [...shown, { paid: 0n, proof: { nonce: 0, locked: 0n } }]) {
        const claim = { deposit: ownDeposit, withdrawn: ownWithdrawn, transferred: paid, locked: proof.locked }
        const { pays1 } = settlementAmounts(claim, answer)
        const least = own - channel.own.locks.total
        expect([name, villager.name, proof.nonce, pays1 >= least || `${pays1} of ${least}`]).toEqual([
          name,
          villager.name,
          proof.nonce,
          true,
        ])
      }
    }
  }
}

/** The transactions of the newest blocks, oldest first. */
async function newestTransactions(blocks: number): Promise<string[]> {
  const { provider } = village.devnet
  const head = await provider.getBlockNumber()
  const found: string[] = []
  for (let block = head - blocks; block <= head + 1; block++) {
    const { prefetchedTransactions = [] } = (await provider.getBlock(block, true)) ?? {}
    found.push(...prefetchedTransactions.map((transaction) => Transaction.from(transaction).serialized))
  }
  return found
}

const tolerant = (promise: Promise<unknown>, ms = 1_500): Promise<unknown> => Promise.race([promise.catch(() => {}), pause(ms)])
const who = fc.constantFrom<Who>(0, 1, 2)
const between = fc.constantFrom(...pairs)
const turned = (pair: readonly [Who, Who], turn: boolean): readonly [Who, Who] => (turn ? [pair[1], pair[0]] : pair)

const commands = [
  fc.tuple(between, fc.boolean(), fc.bigInt(1n, 400n), fc.integer({ min: 1, max: 8 })).map(([pair, turn, amount, times]) =>
    command(`pay ${turned(pair, turn).join('-')} ${times} x ${amount}`, async ({ nodes }) => {
      const [from, to] = turned(pair, turn).map((i) => nodes[i]) as [Villager, Villager]
      const pay = (): Promise<unknown> => from.node.pay({ to: to.account, amount })
      if (from.running) await tolerant(Promise.allSettled(Array.from({ length: times }, pay)))
    }),
  ),
  fc.tuple(fc.boolean(), fc.bigInt(1n, 600n)).map(([turn, amount]) =>
    command(`pay over B ${turn ? 'C-A' : 'A-C'} ${amount}`, async ({ nodes }) => {
      const [from, to] = turn ? [nodes[2], nodes[0]] : [nodes[0], nodes[2]]
      if (from.running) await tolerant(from.node.pay({ to: to.account, amount, maxFee: 0n, timeout: 1_000 }))
    }),
  ),
  fc.tuple(between, fc.boolean(), fc.integer({ min: 1, max: 60 }), fc.boolean()).map(([pair, turn, steps, end]) =>
    command(`stream ${turned(pair, turn).join('-')} ${steps}${end ? ', end' : ''}`, async ({ nodes }) => {
      const [from, to] = turned(pair, turn).map((i) => nodes[i]) as [Villager, Villager]
      if (!from.running) return
      try {
        const stream = await from.node.stream({ to: to.account, unit: 2n })
        await stream.pay(steps)
        await pause(20)
        if (end) stream.end()
      } catch {
        // There is one already, or nothing to pay with.
      }
    }),
  ),
  fc.tuple(between, fc.nat(12), fc.constantFrom('before' as const, 'after' as const)).map(([pair, packets, verdict]) =>
    command(`cut ${pair.join('-')} ${verdict} packet ${packets}`, async ({ nodes }) => {
      const ends = pair.map((i) => nodes[i].endpoint)
      let left = packets
      village.network.rule((from, to) => (ends.includes(from) && ends.includes(to) && left-- === 0 ? verdict : undefined))
    }),
  ),
  between.map((pair) =>
    command(`link away and back ${pair.join('-')}`, async ({ nodes }) => {
      const [a, b] = pair.map((i) => nodes[i].endpoint) as [string, string]
      village.network.block(a, b)
      await pause(150)
      village.network.unblock(a, b)
    }),
  ),
  fc.tuple(who, fc.constantFrom('stop', 'crash')).map(([i, how]) =>
    command(`${how} ${'ABC'[i]} and start it`, async ({ nodes }) => {
      const villager = nodes[i]
      await (how === 'stop' ? village.stopVillager(villager) : village.crash(villager))
      await village.restart(villager)
    }),
  ),
  who.map((i) =>
    command(`copy the store of ${'ABC'[i]}`, async ({ nodes, copies }) => {
      copies[i]!.push(new Map(nodes[i].store.entries))
    }),
  ),
  fc.tuple(who, fc.nat()).map(([i, pick]) =>
    command(`start ${'ABC'[i]} with an old copy`, async (world) => {
      const villager = world.nodes[i]
      const copy = world.copies[i]![pick % Math.max(world.copies[i]!.length, 1)]
      if (!copy) return
      // Only where its partners are there, and so can show what it has forgotten.
      village.network.rule(undefined)
      const before = await channelsOf(villager)
      await village.crash(villager)
      await village.restart(villager, copy)
      await villager.node.caughtUp()
      for (const { id, phase } of before) {
        if (phase !== 'open') world.forgot.add(`${villager.account}/${id}`)
        else
          await eventually(
            'agreement',
            () => villager.node.channels().find((channel) => channel.id === id)?.online !== false,
          ).catch(() => world.forgot.add(`${villager.account}/${id}`))
      }
    }),
  ),
  fc.tuple(between, fc.boolean(), fc.bigInt(1n, 2_000n)).map(([pair, turn, more]) =>
    command(`deposit ${turned(pair, turn).join('-')} ${more}`, async (world) => {
      const villager = world.nodes[turned(pair, turn)[0]]
      const id = openBetween(world, pair)
      if (id && villager.running && villager.node.channels().some((channel) => channel.id === id))
        await tolerant(villager.node.deposit(id, villager.node.channel(id).totalDeposit + more), 3_000)
    }),
  ),
  fc.tuple(between, fc.boolean(), fc.integer({ min: 1, max: 100 })).map(([pair, turn, share]) =>
    command(`withdraw ${turned(pair, turn).join('-')} ${share} %`, async (world) => {
      const villager = world.nodes[turned(pair, turn)[0]]
      const id = openBetween(world, pair)
      if (!id || !villager.running || !villager.node.channels().some((channel) => channel.id === id)) return
      const { capacity, totalWithdraw } = villager.node.channel(id)
      const more = (capacity * BigInt(share)) / 100n
      if (more > 0n) await tolerant(villager.node.withdraw(id, totalWithdraw + more), 3_000)
    }),
  ),
  between.map((pair) =>
    command(`open ${pair.join('-')}`, async (world) => {
      const [a, b] = pair.map((i) => world.nodes[i]) as [Villager, Villager]
      if (!openBetween(world, pair) && a.running) await tolerant(a.node.open({ partner: b.account, deposit: 3_000n }), 3_000)
    }),
  ),
  fc.tuple(between, fc.boolean(), fc.constantFrom('together' as const, 'alone' as const)).map(([pair, turn, how]) =>
    command(`close ${turned(pair, turn).join('-')} ${how}`, async (world) => {
      const villager = world.nodes[turned(pair, turn)[0]]
      const id = openBetween(world, pair)
      if (id && villager.running && villager.node.channels().some((channel) => channel.id === id))
        await tolerant(villager.node.close(id, { how }), 3_000)
    }),
  ),
  fc.tuple(who, fc.nat()).map(([i, pick]) =>
    command(`${'ABC'[i]}'s account closes with any proof it ever had`, async (world) => {
      const open = pairs.map((pair) => openBetween(world, pair))
      const mine = world.proofs.filter(({ by, channel }) => by === i && open.includes(channel))
      const chosen = mine[pick % Math.max(mine.length, 1)]
      if (!chosen) return
      const { wallet, account } = world.nodes[i]
      // Who cheats has only itself to blame.
      world.forgot.add(`${account}/${chosen.channel}`)
      const closing = contractOf(village, wallet).close(account, chosen.partner, chosen.proof, '0x')
      const done = closing.then((sent) => {
        world.sent.push(Transaction.from(sent).serialized)
        return sent.wait()
      })
      await tolerant(done, 3_000)
    }),
  ),
  fc.constantFrom(1, CONFIRMATIONS - 1, CONFIRMATIONS + 2).map((depth) =>
    command(`the chain loses ${depth} blocks`, async (world) => {
      // What nobody looks after any more is included again, as chains do; the rest the nodes have to send again themselves.
      const again = depth < CONFIRMATIONS ? world.sent : await newestTransactions(depth)
      await reorganise(depth)
      for (const raw of again) await village.devnet.provider.broadcastTransaction(raw).catch(() => {})
      if (depth < CONFIRMATIONS) return
      // Deeper than anybody looks: what was paid out of a deposit that is no more is lost. Nobody may get stuck all the same.
      for (const { account, node, running } of world.nodes)
        if (running) for (const { id } of node.channels()) world.forgot.add(`${account}/${id}`)
    }),
  ),
  fc.integer({ min: 1, max: 300 }).map((seconds) =>
    command(`${seconds} s pass`, async ({ nodes }) => {
      await village.devnet.increaseTime(seconds)
      for (const { running, node } of nodes) if (running) await tolerant(node.caughtUp())
    }),
  ),
]

it(
  `nobody loses anything, whatever happens (seed ${SEED})`,
  async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.commands(commands, { maxCommands: 28, size: 'max' }), async (steps) => {
        const number = run++
        const start = (name: string): Promise<Villager> => village.villager(`${name}${number}`, { confirmations: CONFIRMATIONS })
        const nodes = [await start('a'), await start('b'), await start('c')] as const
        const world: World = { nodes, copies: [[], [], []], proofs: [], due: new Map(), forgot: new Set(), sent: [] }
        const before = await village.devnet.provider.getBalance(village.tokenNetwork)
        try {
          for (const [a, b] of pairs) await village.channel(nodes[a], nodes[b], 3_000n, 2_000n)
          await note(world)
          await fc.asyncModelRun(() => ({ model: {}, real: world }), steps)
          await finish(world, before)
        } finally {
          village.network.rule(undefined)
          for (const villager of nodes) if (villager.running) await village.stopVillager(villager)
        }
      }),
      { numRuns: RUNS, seed: SEED, endOnFailure: true, ...(PATH === undefined ? {} : { path: PATH }) },
    )
  },
  Math.max(120_000, RUNS * 30_000),
)

/** Ends everything and counts: nobody has less than it was sure of, and nothing is left over. */
async function finish(world: World, before: bigint): Promise<void> {
  village.network.rule(undefined)
  await note(world)
  const ids = new Set<Hex>()
  for (const villager of world.nodes) for (const { id } of villager.node.channels()) ids.add(id)
  for (const id of ids) {
    const [a] = world.nodes.filter(({ node }) => node.channels().some((channel) => channel.id === id && channel.phase === 'open'))
    if (a) {
      await note(world)
      await tolerant(a.node.close(id, { how: 'alone' }), 10_000)
    }
  }
  // Whoever has to answer gets to it before the time is over.
  await pause(1_500)
  const contract = contractOf(village, world.nodes[0].wallet)
  for (let i = 0; i < 6; i++) {
    await village.devnet.increaseTime(CHALLENGE_PERIOD + 1)
    for (const { node } of world.nodes) await tolerant(node.caughtUp(), 5_000)
    await pause(1_200)
    if ((await village.devnet.provider.getBalance(village.tokenNetwork)) === before) break
  }
  for (const id of ids) {
    if ((await contract.queryFilter(contract.filters.ChannelOpened(id))).length === 0) continue // lost for good
    const seen = world.nodes.flatMap(({ name, node }) =>
      node.channels().flatMap((channel) => (channel.id === id ? [`${name} ${channel.phase} ${channel.settleAt}`] : [])))
    const [settled] = await eventually(`the settlement of ${id}, which is ${seen.join(', ')}`, async () => {
      const found = await contract.queryFilter(contract.filters.ChannelSettled(id))
      return found.length > 0 ? found : undefined
    })
    const unlocked = await contract.queryFilter(contract.filters.ChannelUnlocked(id))
    const { paid1, paid2, locked1, locked2 } = settled!.args
    const ends = world.nodes.filter(({ node }) => node.channels().some((channel) => channel.id === id))
    const [low, high] = ends.map(({ account }) => account).sort() as [Hex, Hex]
    const got = new Map([
      [low, paid1],
      [high, paid2],
    ])
    for (const { args } of unlocked) {
      const sender = args.sender.toLowerCase() as Hex
      const receiver = sender === low ? high : low
      got.set(receiver, got.get(receiver)! + args.toReceiver)
      got.set(sender, got.get(sender)! + args.toSender)
    }
    const [deposits, withdrawals] = await Promise.all([
      contract.queryFilter(contract.filters.ChannelNewDeposit(id)),
      contract.queryFilter(contract.filters.ChannelWithdraw(id)),
    ])
    const last = (totals: readonly bigint[]): bigint => totals.at(-1) ?? 0n // they only grow
    const total = (account: Hex): bigint =>
      last(deposits.filter(({ args }) => args.participant.toLowerCase() === account).map(({ args }) => args.totalDeposit)) -
      last(withdrawals.filter(({ args }) => args.participant.toLowerCase() === account).map(({ args }) => args.totalWithdraw))
    expect(got.get(low)! + got.get(high)!).toBe(total(low) + total(high))
    expect(paid1 + paid2 + locked1 + locked2).toBe(total(low) + total(high))
    for (const { account, name } of ends) {
      const due = world.due.get(`${account}/${id}`)
      if (due === undefined || world.forgot.has(`${account}/${id}`)) continue
      expect([name, id, got.get(account)! >= due]).toEqual([name, id, true])
    }
  }
  expect(await village.devnet.provider.getBalance(village.tokenNetwork)).toBe(before)
}
