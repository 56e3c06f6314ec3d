import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../core/log.ts'
import { toHex, type Hex } from '../../core/bytes.ts'
import { systemClock } from '../../core/clock.ts'
import type { Link } from '../link/link.ts'
import type { Channel, LockRecord } from './channel.ts'
import type { NodeContext } from './context.ts'
import { createManualClock } from '../../testing/manualClock.ts'
import { createSwaps } from './swaps.ts'
import type { PayRequest, Transfers } from './transfers.ts'

const word = (byte: number): Hex => toHex(new Uint8Array(32).fill(byte))
const account = (byte: number): Hex => toHex(new Uint8Array(20).fill(byte))
const [gives, takes, maker] = [account(1), account(2), account(3)]
const EXPIRY = 1_900_000_000

/** A node that takes the offer of 100 for 50, and what it pays then. */
async function taker({ accept = (): boolean | Promise<boolean> => true, clock = systemClock, ended = Promise.resolve() } = {}) {
  const paid: PayRequest[] = []
  const transfers = { pay: async (request: PayRequest) => (paid.push(request), ended) } as unknown as Transfers
  const links = { get: () => undefined }
  const rest = { clock, log: silentLogger, account: account(4), knows: () => true, time: { confirmed: 1_800_000_000 } }
  const context = { links, ...rest } as unknown as NodeContext
  const swaps = createSwaps(context, transfers, { accept, revealTimeout: 60, standings: () => new Map([[maker, 0]]) })
  const answers: object[] = []
  const offer = async (from: Hex, id: Hex, secrethash: Hex): Promise<void> =>
    swaps.onMessage({ account: from, send: (_type: string, fields: object) => answers.push(fields) } as unknown as Link, {
      type: 'swapOffer', id, secrethash, giveNetwork: gives, giveAmount: 100n, takeNetwork: takes, takeAmount: 50n,
    })
  const first = offer(maker, word(5), word(6))
  const holds = (amount: bigint, { network = gives, paymentId = word(5) } = {}): boolean =>
    swaps.holds({ secrethash: word(6), paymentId } as LockRecord, { tokenNetwork: network } as Channel, amount, EXPIRY)
  const isPaying = (paymentId = word(5)): boolean => swaps.isPaying({ secrethash: word(6), paymentId } as LockRecord)
  return { holds, isPaying, paid, offer, answers, first }
}

describe('what a taker of a swap gets', () => {
  it('is held, and the other half paid once', async () => {
    const { holds, paid, first, answers } = await taker()
    await first
    expect(answers).toEqual([{ id: word(5), accepted: true }])
    expect(holds(100n)).toBe(true)
    expect(holds(101n)).toBe(true)
    expect(paid).toMatchObject([{ tokenNetwork: takes, to: maker, amount: 50n, secrethash: word(6), latest: EXPIRY - 120 }])
  })

  it.each([
    ['less', 99n, {}],
    ['in another token', 100n, { network: takes }],
    ['under another payment', 100n, { paymentId: word(7) }],
  ])('is refused when it is %s, and nothing is paid for it', async (_what, amount, changes) => {
    const { holds, paid, first } = await taker()
    await first
    expect(() => holds(amount, changes)).toThrow(expect.objectContaining({ code: 'PAYMENT_REFUSED' }))
    expect(paid).toEqual([])
  })
})

describe('a swap whose other half is being paid', () => {
  it('keeps what is held for it, whatever is locked under its hash: given back, the maker would have both halves', async () => {
    let fail!: (error: Error) => void
    const ended = new Promise<void>((_resolve, reject) => (fail = reject))
    const { holds, isPaying, paid, first } = await taker({ ended })
    await first
    expect(isPaying()).toBe(false)
    expect(holds(100n)).toBe(true)
    for (const [amount, changes] of [[99n, {}], [100n, { network: takes }], [100n, { paymentId: word(7) }]] as const) {
      expect(() => holds(amount, changes)).toThrow(expect.objectContaining({ code: 'PAYMENT_REFUSED' }))
      expect(isPaying()).toBe(true)
    }
    expect(isPaying(word(7))).toBe(false)
    expect(paid).toHaveLength(1)
    fail(new Error('no path'))
    await ended.catch(() => {})
    await Promise.resolve()
    expect(isPaying()).toBe(false)
    expect(() => holds(100n)).toThrow(expect.objectContaining({ code: 'PAYMENT_REFUSED' }))
  })

  it('is not ended by somebody else who knows its hash, before the maker locks', async () => {
    const { holds, first } = await taker()
    await first
    expect(() => holds(100n, { paymentId: word(7) })).toThrow(expect.objectContaining({ code: 'PAYMENT_REFUSED' }))
    expect(holds(100n)).toBe(true)
  })
})

describe('the places for offers', () => {
  const fresh = (n: number): Hex => toHex(new Uint8Array(32).fill(9).with(0, n & 255).with(1, n >> 8))

  it('are not all taken by accounts with nothing at stake, however many ask at once', async () => {
    const { offer, answers, first } = await taker({ accept: async () => true })
    const waiting = [first]
    for (let n = 0; n < 600; n++) waiting.push(offer(toHex(new Uint8Array(20).fill(7).with(0, n >> 1)), fresh(n), fresh(n)))
    await Promise.all(waiting)
    expect(answers.filter((answer) => (answer as { accepted: boolean }).accepted)).toHaveLength(256)
    await offer(maker, word(3), word(3))
    expect(answers.at(-1)).toEqual({ id: word(3), accepted: true })
  })

  it('are given back when acceptSwap fails, says no, or says nothing in time', async () => {
    for (const accept of [() => { throw new RangeError('of the caller') }, () => false, () => new Promise<boolean>(() => {})]) {
      const clock = createManualClock(1_000_000)
      let answer: () => boolean | Promise<boolean> = accept
      const { offer, answers, first, holds } = await taker({ accept: () => answer(), clock })
      await clock.advance(15_000)
      await first
      expect(answers).toEqual([{ id: word(5), accepted: false }])
      expect(holds(100n)).toBe(false)
      answer = () => true
      await offer(maker, word(5), word(6))
      expect(answers.at(-1)).toEqual({ id: word(5), accepted: true })
      await clock.advance(119_999)
      expect(holds(100n)).toBe(true)
    }
  })

  it('lapse when the maker locks nothing', async () => {
    const clock = createManualClock(1_000_000)
    const { first, holds } = await taker({ clock })
    await first
    await clock.advance(120_000)
    expect(holds(100n)).toBe(false)
  })
})
