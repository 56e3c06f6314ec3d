/**
 * The formulas by which money leaves the contracts, proven for all values that the contracts admit.
 * @module
 */
import type { Arith, Bool } from 'z3-solver'
import { beforeAll, expect, it } from 'vitest'
import { loadContracts, type Contracts, type Struct, type Value } from './soliditySmt.ts'

type Whole = Arith<'main'>
type Truth = Bool<'main'>

let contracts: Contracts
beforeAll(async () => {
  contracts = await loadContracts(['Settlement.sol', 'LockTree.sol', 'DataTrade.sol', 'TokenNetwork.sol'])
}, 60_000)

const least = (a: Whole, b: Whole): Whole => contracts.z3.If<Whole, Whole>(a.lt(b), a, b)
const minus = (a: Whole, b: Whole): Whole => contracts.z3.If<Whole, Whole>(a.gt(b), a.sub(b), contracts.z3.Int.val(0))
const sum = (...terms: Whole[]): Whole => terms.reduce((total, term) => total.add(term))
const whole = (values: readonly Value[]): Whole[] => values as Whole[]

async function holds(claim: Truth): Promise<void> {
  expect(await contracts.refute(claim)).toBeUndefined()
}

const FIELDS = ['deposit', 'withdrawn', 'transferred', 'locked'] as const
const side = (name: string, given: Partial<Record<(typeof FIELDS)[number], Whole>> = {}): Struct =>
  new Map(FIELDS.map((field) => [field, given[field] ?? contracts.uint(`${name}_${field}`)]))
const field = (struct: Struct, name: string): Whole => struct.get(name) as Whole

it('refuses a claim that is false, and names values that show it', async () => {
  const [a, b] = [contracts.uint('a'), contracts.uint('b')]
  expect(await contracts.refute(a.add(b).lt(2n ** 256n))).toContain('a')
})

it('divides a channel to the last unit, whatever was signed', async () => {
  const { z3 } = contracts
  const [one, two] = [side('one'), side('two')]
  const { values, panicked, reverted } = contracts.run('Settlement', 'divide', [one, two])
  const [pays1, pays2, locked1, locked2] = whole(values) as [Whole, Whole, Whole, Whole]
  const deposits = least(sum(field(one, 'deposit'), field(two, 'deposit')), z3.Int.val(2n ** 256n - 1n))
  const total = minus(minus(deposits, field(one, 'withdrawn')), field(two, 'withdrawn'))
  await holds(z3.Not(z3.Or(panicked, reverted)))
  await holds(sum(pays1, pays2, locked1, locked2).eq(total))
  await holds(z3.And(...[pays1, pays2, locked1, locked2].map((amount) => amount.ge(0))))
  await holds(z3.And(locked1.le(field(one, 'locked')), locked2.le(field(two, 'locked'))))
})

it('never pays more to who presents an older proof of the other side', async () => {
  const { z3 } = contracts
  const one = side('older_one')
  const [deposit, withdrawn] = [contracts.uint('older_deposit'), contracts.uint('older_withdrawn')]
  const [older, newest] = [side('older', { deposit, withdrawn }), side('newest', { deposit, withdrawn })]
  const out = (proof: Struct): Whole => least(sum(field(proof, 'transferred'), field(proof, 'locked')), z3.Int.val(2n ** 256n - 1n))
  const first = whole(contracts.run('Settlement', 'divide', [one, older]).values)
  const second = whole(contracts.run('Settlement', 'divide', [one, newest]).values)
  // What side 1 gets at once, and at most with what hangs on secrets.
  const most = ([pays1, , , locked2]: Whole[]): Whole => pays1!.add(locked2!)
  await holds(z3.Implies(out(older).le(out(newest)), most(first).le(most(second))))
})

it('leaves a side that is owed more than it owes at least what it has paid in', async () => {
  const { z3 } = contracts
  const [one, two] = [side('own_one'), side('own_two')]
  const [pays1, , , locked2] = whole(contracts.run('Settlement', 'divide', [one, two]).values) as [Whole, Whole, Whole, Whole]
  const out = (proof: Struct): Whole => sum(field(proof, 'transferred'), field(proof, 'locked'))
  const deposits = sum(field(one, 'deposit'), field(two, 'deposit'))
  const fits = z3.And(deposits.lt(2n ** 256n), out(one).lt(2n ** 256n), out(two).lt(2n ** 256n))
  const total = minus(minus(deposits, field(one, 'withdrawn')), field(two, 'withdrawn'))
  const own = least(total, minus(field(one, 'deposit'), field(one, 'withdrawn')))
  await holds(z3.Implies(z3.And(fits, out(one).le(out(two))), pays1.add(locked2).ge(own)))
})

it('unlocks what is left to the last unit, the receiver first', async () => {
  const { z3 } = contracts
  const [toReceiver, toSender, locked] = [contracts.uint('toReceiver'), contracts.uint('toSender'), contracts.uint('locked')]
  const hidden = contracts.bool('hidden')
  const walk: Struct = new Map<string, Value>([['toReceiver', toReceiver], ['toSender', toSender], ['hidden', hidden]])
  const { values, panicked } = contracts.run('LockTree', 'divide', [walk, locked])
  const [left] = whole(values) as [Whole]
  const [paid, back] = [walk.get('toReceiver') as Whole, walk.get('toSender') as Whole]
  await holds(z3.Not(panicked))
  await holds(sum(paid, back, left).eq(locked))
  await holds(z3.And(left.ge(0), back.ge(0), paid.eq(least(toReceiver, locked))))
  await holds(z3.Implies(z3.Not(hidden), left.eq(0)))
})

it('earns a seller its share of an order, rounded down, and never more than the deposit', async () => {
  const { z3 } = contracts
  const [price, totalData] = [contracts.uint('price', 104), contracts.uint('totalData', 48)]
  const [deposit, before] = [contracts.uint('deposit', 104), contracts.uint('depositBefore', 104)]
  const [count, counted] = [contracts.uint('count', 48), contracts.uint('counted', 48)]
  const order: Struct = new Map<string, Value>([['price', price], ['totalData', totalData]])
  const admitted = z3.And(
    totalData.ge(1), deposit.le(price), count.le(totalData), counted.le(count), before.le(deposit),
  )
  const earned = contracts.run('DataTrade', '_earned', [order, deposit, count])
  const [now] = whole(earned.values) as [Whole]
  const [earlier] = whole(contracts.run('DataTrade', '_earned', [order, before, counted]).values) as [Whole]
  await holds(z3.Implies(admitted, z3.Not(earned.panicked)))
  // So `deposit - paid`, the refund, and `paid - stored.paid`, what is due, never go below zero.
  await holds(z3.Implies(admitted, z3.And(now.le(deposit), earlier.le(now))))
  await holds(z3.Implies(admitted, now.mul(totalData).le(price.mul(count))))
  await holds(z3.Implies(z3.And(admitted, count.eq(totalData)), now.eq(deposit)))
})

it('ends a channel by agreement only over all that the parties have in it', async () => {
  const { z3 } = contracts
  const slot = contracts.uint('slot')
  const agreed = contracts.uint('agreed', 129)
  const pair: Struct = new Map<string, Value>([['slot', slot], ['id', contracts.uint('id')], ['key', contracts.uint('key')]])
  const { reverted, panicked } = contracts.run('TokenNetwork', '_requireTotal', [pair, agreed])
  const deposits = slot.div(2n ** 152n).add(slot.div(2n ** 48n).mod(2n ** 104n))
  // Without withdrawals; with them, no more than that.
  const without = slot.div(4).mod(2).eq(0)
  await holds(z3.Implies(z3.And(without, z3.Not(z3.Or(reverted, panicked))), agreed.eq(deposits)))
  await holds(z3.Implies(z3.Not(z3.Or(reverted, panicked)), agreed.le(deposits)))
})
