import { describe, expect, it } from 'vitest'
import type { Hex } from '../../core/bytes.ts'
import { standings, type Stake } from './standings.ts'

const stake = (partner: string, ownDeposit: bigint, theirDeposit = 0n, changes: Partial<Stake> = {}): Stake => ({
  partner: partner as Hex, tokenNetwork: '0xa', phase: 'open', ownDeposit, theirDeposit, ownWithdrawn: 0n, theirWithdrawn: 0n, ...changes,
})
const of = (...stakes: Stake[]): Record<string, number> => Object.fromEntries(standings(stakes))

describe('standings', () => {
  it('put the partner with the most money first, whoever paid it in', () => {
    expect(of(stake('0x1', 5n), stake('0x2', 0n, 9n), stake('0x3', 3n, 3n))).toEqual({ '0x2': 0, '0x3': 1, '0x1': 2 })
  })

  it('are none without money: in empty, emptied and ended channels', () => {
    expect(of(stake('0x1', 0n), stake('0x2', 4n, 4n, { ownWithdrawn: 4n, theirWithdrawn: 4n }), stake('0x3', 4n, 0n, { phase: 'closed' }))).toEqual({})
  })

  it('are shared by those that hold the same, and add what a partner has in several channels', () => {
    expect(of(stake('0x1', 5n), stake('0x2', 5n), stake('0x3', 1n), stake('0x3', 5n))).toEqual({ '0x3': 0, '0x1': 1, '0x2': 1 })
  })

  it('compare no tokens: the best of each network come first', () => {
    const other = { tokenNetwork: '0xb' as Hex }
    expect(of(stake('0x1', 10n ** 18n), stake('0x2', 1n), stake('0x3', 7n, 0n, other), stake('0x2', 6n, 0n, other))).toEqual({
      '0x1': 0, '0x3': 0, '0x2': 1,
    })
  })
})
