/**
 * What may happen in a run, one thing after the other: neighbours speak and act as they like, honest nodes are used, and the
 * chain, a node or a machine stands still.
 * @module
 */
import { freeIndex, MAX_LOCKS, type Lock } from '../../../src/channel/state/lockTree.ts'
import { paidBy, promisedBy } from '../../../src/channel/state/side.ts'
import { hashTimes } from '../../../src/channel/stream/sha256Chain.ts'
import { encodeChannelMessage, NO_HASH, type Hop, type ProofDetails, type ProofMessageType, type Typed } from '../../../src/channel/wire/messages.ts'
import { randomBytes, toHex, type Hex } from '../../../src/core/bytes.ts'
import { isSluiceError } from '../../../src/core/errors.ts'
import { closeChannel, encodeCall, register, registerFor, settle, unlock, update } from './chainMoves.ts'
import { paymentIdOf, type Neighbour } from './hostile.ts'
import { BLOCK_TIME, REVEAL_TIMEOUT, short, STALL_TIMEOUT, type Honest, type World } from './world.ts'

/** Something that may happen. */
export interface Action {
  readonly name: string
  /** How often, beside the others. */
  readonly weight: number
  run(world: World): Promise<void>
}

const amounts = [1n, 2n, 777n, 10_000n, 100_000n, 190_000n] as const
const anyNeighbour = ({ neighbours, draws }: World): Neighbour => draws.pick(neighbours)
const ofMediator = ({ neighbours, mediator }: World): readonly Neighbour[] =>
  neighbours.filter(({ victim }) => victim.account === mediator.account)

/** What a neighbour can still promise. */
const capacityOf = ({ side, victimSide }: Neighbour): bigint => 1_000_000n + paidBy(victimSide) - paidBy(side) - promisedBy(side)

/** Signs and sends, if that makes sense; what makes none is said by nobody. */
function say<T extends ProofMessageType>(neighbour: Neighbour, type: T, details: ProofDetails<T>): boolean {
  try {
    neighbour.proof(type, details)
    return true
  } catch (error) {
    if (isSluiceError(error)) return false
    throw error
  }
}

/** A secrethash as neighbours like them. */
function chooseHash(world: World): Hex {
  const { draws, knowledge } = world
  if (world.theme === 'lists' && !draws.once(3)) return knowledge.list(draws.between(2, 3)).key
  switch (draws.between(0, 9)) {
    case 0:
    case 1:
      return knowledge.list(draws.between(2, 3)).key
    case 2:
      return knowledge.secrets.size > 0 ? draws.pick([...knowledge.secrets.keys()]) : knowledge.secret().secrethash
    case 3:
      return draws.pick([toHex(draws.bytes(32)), NO_HASH])
    default:
      return knowledge.secret().secrethash
  }
}

/** The last hop of a lock through the mediator. */
function lastHop(world: World, from: Neighbour, amount: bigint, expiry: number): Hop | undefined {
  const { draws, mediator, payee, setup } = world
  const others = ofMediator(world).filter((each) => each !== from)
  if (from.victim.account !== mediator.account) return undefined
  if (draws.once(6)) {
    const { id } = setup.channels.find(({ a, b }) => a === 'mediator' && b === 'payee')!
    return { node: payee.account, channelId: id, amount, expiry }
  }
  const to = draws.pick(others)
  return { node: to.account, channelId: to.channelId, amount, expiry }
}

function lock(from: Neighbour, hop: Hop | undefined, amount: bigint, expiry: number, secrethash: Hex): boolean {
  if (from.side.locks.locks.size === MAX_LOCKS) return false
  return say(from, 'lock', {
    index: freeIndex(from.side.locks),
    amount,
    expiry,
    secrethash,
    paymentId: toHex(randomBytes(32)),
    initiator: from.account,
    target: hop ? hop.node : from.victim.account,
    total: hop ? hop.amount : amount,
    route: hop ? [hop] : [],
  })
}

/** The victim's locks that a neighbour could claim, or seem to. */
const claimable = ({ knowledge: { secrets, lists } }: World, { victimSide }: Neighbour): readonly Lock[] =>
  [...victimSide.locks.locks.values()].filter(({ secrethash }) => secrets.has(secrethash) || lists.has(secrethash))

function reveal(world: World, by: Neighbour, { index, secrethash }: Lock): void {
  const secret = world.knowledge.secrets.get(secrethash)
  if (secret) by.send('reveal', { channelId: by.channelId, index, secret })
}

/** Lets an honest node pay, and remembers what it says of it. */
function pay(world: World, who: Honest, to: Hex, amount: bigint): void {
  if (!who.running) return
  const payment: Honest['payments'][number] = { amount, outcome: 'open' }
  who.payments.push(payment)
  world.note(`${who.name} pays ${amount} to ${short(to)}`)
  who.node.pay({ to, amount, maxFee: 0n, timeout: 60_000, id: toHex(randomBytes(32)) }).then(
    () => (payment.outcome = 'done'),
    (error: unknown) => {
      payment.outcome = isSluiceError(error, 'PAYMENT_UNKNOWN') || isSluiceError(error, 'ABORTED') ? 'unknown' : 'failed'
      world.note(`${who.name}: ${isSluiceError(error) ? error.code : String(error)}`)
    },
  )
}

/** What happens more often in a run of a theme. */
const themed: Readonly<Record<World['theme'], Readonly<Record<string, number>>>> = {
  any: {},
  lists: { lock: 3, register: 2 },
  chains: { stream: 5, away: 3, close: 2, 'honest relayed close': 4 },
  blind: { stall: 4, time: 0.5, close: 0.5 },
  crowds: { 'many locks': 12, close: 0.5 },
}

/** The actions of a run, each as often as it weighs. */
export function weighed({ theme }: World): readonly Action[] {
  return actions.flatMap((action) =>
    Array.from({ length: Math.max(1, Math.round(action.weight * (themed[theme][action.name] ?? 1))) }, () => action))
}

/** Everything that may happen. */
const actions: readonly Action[] = [
  // ------------------------------------------------------------------------------------------------ what neighbours say
  {
    name: 'lock',
    weight: 14,
    async run(world) {
      const { draws } = world
      const routed = world.theme === 'lists' || world.theme === 'blind'
      const from = routed ? draws.pick(ofMediator(world)) : anyNeighbour(world)
      const amount = draws.once(8) ? capacityOf(from) : draws.pick(amounts)
      if (amount <= 0n) return
      const out = world.now() + draws.pick([REVEAL_TIMEOUT + 5, REVEAL_TIMEOUT + 60, 400])
      const expiry = out + draws.pick([REVEAL_TIMEOUT, REVEAL_TIMEOUT + 1, REVEAL_TIMEOUT + 100])
      const secrethash = chooseHash(world)
      const hop = !routed && draws.once(5) ? undefined : lastHop(world, from, amount, out)
      if (lock(from, hop, amount, hop ? expiry : out, secrethash))
        world.note(`${from.name} locks ${amount} until ${expiry} by ${short(secrethash)}${hop ? ` for ${short(hop.node)}` : ''}`)
    },
  },
  {
    name: 'many locks',
    weight: 1,
    async run(world) {
      const { draws, knowledge } = world
      const from = draws.pick(ofMediator(world))
      const count = world.theme === 'crowds' ? draws.between(130, 200) : draws.between(20, 60)
      const out = world.now() + REVEAL_TIMEOUT + 60
      const to = lastHop(world, from, 1_000n, out)!
      world.note(`${from.name} makes ${count} locks for ${short(to.node)}`)
      for (let i = 0; i < count; i++) {
        if (capacityOf(from) < 1_000n) break
        if (!lock(from, to, 1_000n, out + REVEAL_TIMEOUT, knowledge.secret().secrethash)) break
      }
      await world.flow()
      if (draws.once(3)) return
      // All at once, so that all are in danger together.
      for (const each of ofMediator(world)) for (const locked of claimable(world, each)) reveal(world, each, locked)
    },
  },
  {
    name: 'reveal',
    weight: 12,
    async run(world) {
      const able = world.neighbours.filter((each) => claimable(world, each).length > 0)
      if (able.length === 0) return
      const by = world.draws.pick(able)
      const locks = claimable(world, by)
      const some = world.draws.once(2) ? locks : [world.draws.pick(locks)]
      world.note(`${by.name} reveals ${some.length > 3 ? some.length : some.map(({ secrethash }) => short(secrethash)).join(', ')}`)
      for (const each of some) reveal(world, by, each)
    },
  },
  {
    name: 'fail',
    weight: 4,
    async run(world) {
      const by = anyNeighbour(world)
      const locks = [...by.victimSide.locks.locks.values()]
      if (locks.length === 0) return
      const chosen = world.draws.pick(locks)
      const paymentId = paymentIdOf(by, chosen)
      if (!paymentId) return
      world.note(`${by.name} gives lock ${chosen.index} back`)
      by.fail({ ...chosen, paymentId })
    },
  },
  {
    name: 'grant',
    weight: 6,
    async run(world) {
      for (const by of world.neighbours) {
        const requests = by.heard.filter((message): message is Typed<'secretRequest'> => message.type === 'secretRequest')
        for (const request of requests.slice(-3)) by.grant(request)
      }
    },
  },
  {
    name: 'unlock or remove',
    weight: 5,
    async run(world) {
      const by = anyNeighbour(world)
      const locks = [...by.side.locks.locks.values()]
      if (locks.length === 0) return
      const { index, secrethash } = world.draws.pick(locks)
      const secret = world.knowledge.secrets.get(secrethash)
      if (secret && world.draws.once(2)) {
        world.note(`${by.name} unlocks ${index}`)
        say(by, 'unlock', { index, secret })
      } else {
        world.note(`${by.name} removes ${index}`)
        say(by, 'remove', { index })
      }
    },
  },
  {
    name: 'pay',
    weight: 5,
    async run(world) {
      const from = anyNeighbour(world)
      const amount = world.draws.pick(amounts)
      if (amount > capacityOf(from)) return
      world.note(`${from.name} pays ${amount}`)
      say(from, 'payment', { amount, paymentId: toHex(randomBytes(32)) })
    },
  },
  {
    name: 'stream',
    weight: 8,
    async run(world) {
      const from = anyNeighbour(world)
      const { stream } = from.side
      if (stream && from.chainSeed && !world.draws.once(4)) {
        const steps = Math.min(stream.length, stream.steps + world.draws.between(1, 20))
        if (steps === stream.steps) return
        const preimage = hashTimes(from.chainSeed, stream.length - steps)
        world.note(`${from.name} shows step ${steps}`)
        from.side = { ...from.side, stream: { ...stream, steps, preimage: toHex(preimage) } }
        from.send('step', { channelId: from.channelId, steps, preimage })
        return
      }
      const unit = world.draws.pick([1n, 500n, 5_000n])
      const length = 50
      if (unit * BigInt(length) > capacityOf(from)) return
      const seed = randomBytes(32)
      const anchor = toHex(hashTimes(seed, length))
      world.note(`${from.name} anchors a chain of ${unit}`)
      if (say(from, 'stream', { steps: stream?.steps ?? 0, anchor, unit, length, paymentId: toHex(randomBytes(32)) }))
        from.chainSeed = seed
    },
  },
  {
    name: 'replay',
    weight: 4,
    async run(world) {
      const by = anyNeighbour(world)
      if (by.sent.length === 0) return
      world.note(`${by.name} says something again`)
      by.replay(world.draws.once(2) ? world.draws.pick(by.sent) : encodeChannelMessage('processed', { channelId: by.channelId, nonce: 1 }))
    },
  },
  {
    name: 'mute',
    weight: 3,
    async run(world) {
      const by = anyNeighbour(world)
      by.mute = !by.mute
      world.note(`${by.name} ${by.mute ? 'falls silent' : 'speaks again'}`)
    },
  },
  {
    name: 'link',
    weight: 4,
    async run(world) {
      const by = anyNeighbour(world)
      if (by.linked && world.draws.once(2)) {
        world.note(`${by.name} ends its link`)
        by.disconnect()
      } else await relink(world, by)
    },
  },
  {
    name: 'agreements',
    weight: 3,
    async run(world) {
      const by = anyNeighbour(world)
      const { draws } = world
      const own = 1_000_000n + paidBy(by.victimSide) - paidBy(by.side)
      const victim = world.honest.find(({ account }) => account === by.victim.account)!
      const deposit = by.victim.account === world.mediator.account ? 1_000_000n : 200_000n
      const theirs = deposit + paidBy(by.side) - paidBy(by.victimSide)
      const validUntil = world.now() + 300
      if (draws.once(2) || !victim.running) {
        const [balance1, balance2] = by.account < by.victim.account ? [own, theirs] : [theirs, own]
        world.note(`${by.name} asks to close together`)
        by.send('closeRequest', {
          channelId: by.channelId,
          nonce: by.side.nonce,
          accepted: by.victimSide.nonce,
          balance1,
          balance2,
          validUntil,
        })
      } else {
        world.note(`${victim.name} asks ${by.name} to close together`)
        void victim.node.close(by.channelId).catch(() => {})
      }
    },
  },

  // ------------------------------------------------------------------------------------------------------ on chain
  {
    name: 'register',
    weight: 7,
    async run(world) {
      const { draws, knowledge } = world
      const by = anyNeighbour(world)
      const locks = claimable(world, by)
      if (locks.length > 0 && !draws.once(4)) return registerFor(world, by, draws.pick(locks))
      const secrets = [...knowledge.secrets.values()]
      if (secrets.length === 0) return
      if (draws.once(3)) return register(world, by, secrets.slice(-draws.between(1, 5)))
      await register(world, by, [draws.pick(secrets)])
    },
  },
  {
    name: 'close',
    weight: 4,
    async run(world) {
      const by = anyNeighbour(world)
      const { draws } = world
      if (world.closings.has(by.channelId) || (by.victimProofs.length === 0 && !draws.once(4))) return
      const shown = by.victimProofs.length === 0 || draws.once(3) ? undefined : draws.pick(by.victimProofs)
      await closeChannel(world, by, shown, !draws.once(3))
    },
  },
  {
    name: 'show, settle, unlock',
    weight: 4,
    async run(world) {
      const by = anyNeighbour(world)
      if (by.victimProofs.length > 0 && world.draws.once(2)) await update(world, by, world.draws.pick(by.victimProofs))
      await settle(world, by)
      await unlock(world, by)
    },
  },
  {
    name: 'gift',
    weight: 1,
    async run(world) {
      const by = anyNeighbour(world)
      const { a, b, deposits } = world.draws.pick(world.setup.channels)
      const { wallets, tokenNetwork } = world.setup
      world.note(`${by.name} deposits for ${b}`)
      const args = [wallets[b].address, wallets[a].address, deposits[1] + 1n] as const
      await world.transact(by.wallet, tokenNetwork, encodeCall('deposit', args), { value: 1n })
    },
  },

  // ------------------------------------------------------------------------------------------------ what honest ones do
  {
    name: 'honest payment',
    weight: 6,
    async run(world) {
      const { draws, mediator, payee } = world
      const amount = draws.pick([1n, 500n, 20_000n])
      const [from, to] = draws.once(2) ? [mediator, payee] : [payee, mediator]
      const target = draws.once(2) ? to.account : anyNeighbour(world).account
      pay(world, from, target, amount)
    },
  },
  {
    name: 'honest relayed close',
    weight: 1,
    async run(world) {
      const { draws } = world
      const by = anyNeighbour(world)
      const victim = world.honest.find(({ account }) => account === by.victim.account)!
      if (!victim.running || world.closings.has(by.channelId)) return
      const made = victim.node.relayable.close(by.channelId).catch(() => undefined)
      await world.flow()
      const call = await Promise.race([made, Promise.resolve(undefined)])
      if (!call?.data) return
      world.note(`${victim.name} lets its closing of ${by.name} be relayed`)
      const relayer = draws.pick(world.neighbours)
      await world.transact(relayer.wallet, call.to as Hex, call.data)
    },
  },

  // ------------------------------------------------------------------------------------------------------- time
  {
    name: 'time',
    weight: 16,
    async run(world) {
      const blocks = world.draws.between(1, 6)
      world.note(`${blocks} blocks`)
      for (let i = 0; i < blocks; i++) await world.pass(BLOCK_TIME)
    },
  },
  {
    name: 'reorganisation',
    weight: 2,
    async run(world) {
      // Less deep than nodes wait for.
      const drop = world.draws.once(2)
      world.note(`the newest block is replaced${drop ? ', without what was in it' : ''}`)
      await world.replaceBlock(() => drop && world.draws.once(2))
      await world.pass(BLOCK_TIME)
    },
  },
  {
    name: 'stall',
    weight: 4,
    run: (world) => stall(world),
  },
  {
    name: 'away',
    weight: 3,
    async run(world) {
      const { draws } = world
      const who = draws.pick(world.honest)
      const how = draws.pick(['stop', 'crash'] as const)
      const long = who.name === 'payee' && how === 'stop' && !(await hasLocks(who))
      const blocks = long ? draws.between(5, 50) : draws.between(1, 4)
      world.note(`${who.name} ${how === 'stop' ? 'stops' : 'crashes'} for ${blocks} blocks`)
      await world.stopHonest(who, how)
      for (let i = 0; i < blocks; i++) {
        if (draws.once(3)) await draws.pick(whileNobodyLooks).run(world)
        await world.pass(BLOCK_TIME)
      }
      await world.startHonest(who)
      for (const by of world.neighbours) if (!by.linked) await relink(world, by)
    },
  },
]

const byName = (...wanted: readonly string[]): readonly Action[] => actions.filter(({ name }) => wanted.includes(name))
/** What neighbours do while an honest node is away or sees nothing. */
const whileNobodyLooks = byName('reveal', 'close', 'register', 'unlock or remove', 'show, settle, unlock', 'fail')

async function relink(world: World, by: Neighbour): Promise<void> {
  if (by.linked) return
  world.note(`${by.name} links itself`)
  void by.connect().catch(() => {})
  await world.flow()
}

async function hasLocks(who: Honest): Promise<boolean> {
  return who.node.channels().some(({ locked, partnerLocked, phase }) => phase !== 'settled' && (locked > 0n || partnerLocked > 0n))
}

/**
 * The chain, or one node's view of it, stands still: for less than half the reveal timeout at any time; for longer only when no
 * honest node depends on a secret that it must still register, and neighbours act once the node can have noticed.
 */
async function stall(world: World): Promise<void> {
  const { draws, honest } = world
  if (world.theme === 'blind') {
    await actions.find(({ name }) => name === 'lock')!.run(world)
    await world.flow()
  }
  const exposed = (await Promise.all(honest.map((who) => world.isExposed(who)))).includes(true)
  const whole = draws.once(2)
  const seconds = exposed ? draws.between(20, STALL_TIMEOUT - 20) : draws.pick([draws.between(20, 540), draws.between(430, 540)])
  const blind = whole ? [...honest] : [draws.pick(honest)]
  world.note(`${whole ? 'the chain' : `what ${blind[0]!.name} sees`} stands still for ${seconds} s`)
  if (!whole) for (const who of blind) who.view.hung = true
  let left = seconds
  const pass = async (some: number): Promise<void> => {
    const now = Math.min(some, left)
    if (now > 0) await world.pass(now, { block: !whole })
    left -= now
  }
  if (seconds > STALL_TIMEOUT) for (let i = 0; i <= STALL_TIMEOUT; i += BLOCK_TIME) await pass(BLOCK_TIME)
  while (left > 0) {
    await draws.pick(whileNobodyLooks).run(world)
    await world.flow()
    await pass(BLOCK_TIME)
  }
  for (const who of blind) who.view.hung = false
  await world.flow()
  await world.pass(BLOCK_TIME)
  await world.pass(BLOCK_TIME)
}
