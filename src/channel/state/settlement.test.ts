import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { settlementAmounts, type SettlementAmounts, type SettlementSide } from './settlement.ts'

const M = (1n << 256n) - 1n

/** The rule of docs/channel.md once more, step by step, with wrapping words that are caught by hand. */
function again(one: SettlementSide, two: SettlementSide): SettlementAmounts {
  const add = (a: bigint, b: bigint): bigint => (M - a < b ? M : a + b)
  const sub = (a: bigint, b: bigint): bigint => (b >= a ? 0n : a - b)
  const o1 = add(one.transferred, one.locked)
  const o2 = add(two.transferred, two.locked)
  const total = sub(add(one.deposit, two.deposit), add(one.withdrawn, two.withdrawn))
  const least = o2 >= o1 ? ([two, one] as const) : ([one, two] as const)
  const [more, less] = least // `more` owes more, `less` is the side that is paid
  let most = sub(add(o2 >= o1 ? o2 - o1 : o1 - o2, less.deposit), less.withdrawn)
  if (most > total) most = total
  const other = total - most
  const lockedOfMore = more.locked > most ? most : more.locked
  const lockedOfLess = less.locked > other ? other : less.locked
  const [paysLess, paysMore] = [most - lockedOfMore, other - lockedOfLess]
  return o2 >= o1
    ? { pays1: paysLess, pays2: paysMore, locked1: lockedOfLess, locked2: lockedOfMore }
    : { pays1: paysMore, pays2: paysLess, locked1: lockedOfMore, locked2: lockedOfLess }
}

const word = fc.oneof(fc.bigInt(0n, 20n), fc.bigInt(0n, 1n << 104n), fc.bigInt(M - 20n, M), fc.bigInt(0n, M))
const anySide = fc.record({ deposit: word, withdrawn: word, transferred: word, locked: word })

describe('what a channel pays out', () => {
  it('is what a second reading of the rule says, for any words', () => {
    fc.assert(
      fc.property(anySide, anySide, (one, two) => {
        expect(settlementAmounts(one, two)).toEqual(again(one, two))
      }),
      { numRuns: 3_000 },
    )
  })

  it('always adds up to what is there, and is the same from either side', () => {
    fc.assert(
      fc.property(anySide, anySide, (one, two) => {
        const { pays1, pays2, locked1, locked2 } = settlementAmounts(one, two)
        const [all, out] = [one.deposit + two.deposit, one.withdrawn + two.withdrawn].map((sum) => (sum > M ? M : sum))
        expect(pays1 + pays2 + locked1 + locked2).toBe(all! > out! ? all! - out! : 0n)
        expect(locked1 <= one.locked && locked2 <= two.locked).toBe(true)
        const turned = settlementAmounts(two, one)
        const owed = ({ transferred, locked }: SettlementSide): bigint => (transferred + locked > M ? M : transferred + locked)
        if (owed(one) !== owed(two)) expect(turned).toEqual({ pays1: pays2, pays2: pays1, locked1: locked2, locked2: locked1 })
      }),
      { numRuns: 2_000 },
    )
  })

  it('never gives whoever presents an older proof more than the latest would', () => {
    interface Signed {
      readonly transferred: bigint
      readonly locks: readonly bigint[]
    }
    const action = fc.record({
      by: fc.constantFrom(0, 1),
      what: fc.constantFrom('pay', 'lock', 'unlock', 'remove'),
      share: fc.integer({ min: 1, max: 100 }),
    })
    fc.assert(
      fc.property(
        fc.tuple(fc.bigInt(0n, 1_000n), fc.bigInt(0n, 1_000n)),
        fc.array(action, { maxLength: 40 }),
        fc.nat(),
        (deposits, actions, pick) => {
          const signed: Signed[][] = [[{ transferred: 0n, locks: [] }], [{ transferred: 0n, locks: [] }]]
          const last = (by: number): Signed => signed[by]!.at(-1)!
          const sum = (locks: readonly bigint[]): bigint => locks.reduce((a, b) => a + b, 0n)
          for (const { by, what, share } of actions) {
            const [own, theirs] = [last(by), last(1 - by)]
            const free = deposits[by] + theirs.transferred - own.transferred - sum(own.locks)
            const amount = (free * BigInt(share)) / 100n
            const [first, ...rest] = own.locks
            if (what === 'pay' && amount > 0n) signed[by]!.push({ ...own, transferred: own.transferred + amount })
            if (what === 'lock' && amount > 0n) signed[by]!.push({ ...own, locks: [...own.locks, amount] })
            if (what === 'unlock' && first !== undefined) signed[by]!.push({ transferred: own.transferred + first, locks: rest })
            if (what === 'remove' && first !== undefined) signed[by]!.push({ ...own, locks: rest })
          }
          const side = (by: number, { transferred, locks }: Signed): SettlementSide => ({
            deposit: deposits[by]!,
            withdrawn: 0n,
            transferred,
            locked: sum(locks),
          })
          // Side 0 presents any proof of side 1 that it ever got; side 1 the latest of side 0. What it gets at once is no
          // more; what it may still claim is what was locked in that proof, secret by secret.
          const old = signed[1]![pick % signed[1]!.length]!
          const honest = settlementAmounts(side(0, last(0)), side(1, last(1)))
          const cheat = settlementAmounts(side(0, last(0)), side(1, old))
          expect(cheat.pays1 <= honest.pays1).toBe(true)
          expect(cheat.locked2 <= sum(old.locks)).toBe(true)
          // And the other one loses nothing that it has for sure.
          expect(cheat.pays2 + cheat.locked1 + cheat.locked2 >= honest.pays2 + honest.locked1).toBe(true)
        },
      ),
      { numRuns: 1_500 },
    )
  })

  it('pays everything locked to nobody at once', () => {
    const one = { deposit: 100n, withdrawn: 10n, transferred: 30n, locked: 20n }
    const two = { deposit: 50n, withdrawn: 0n, transferred: 5n, locked: 15n }
    // 140 in all; side 1: 100 - 10 - 30 - 20 + 5 = 45, side 2: 50 + 30 - 5 - 15 = 60.
    expect(settlementAmounts(one, two)).toEqual({ pays1: 45n, pays2: 60n, locked1: 20n, locked2: 15n })
  })
})
