import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../core/log.ts'
import { toHex, type Hex } from '../../core/bytes.ts'
import { systemClock } from '../../core/clock.ts'
import type { Link } from '../link/link.ts'
import type { Channel, LockRecord } from './channel.ts'
import type { NodeContext } from './context.ts'
import { createSwaps } from './swaps.ts'
import type { PayRequest, Transfers } from './transfers.ts'

const word = (byte: number): Hex => toHex(new Uint8Array(32).fill(byte))
const account = (byte: number): Hex => toHex(new Uint8Array(20).fill(byte))
const [gives, takes, maker] = [account(1), account(2), account(3)]
const EXPIRY = 1_900_000_000

/** A node that takes the offer of 100 for 50, and what it pays then. */
async function taker() {
  const paid: PayRequest[] = []
  const transfers = { pay: async (request: PayRequest) => void paid.push(request) } as unknown as Transfers
  const links = { get: () => undefined }
  const rest = { clock: systemClock, log: silentLogger, account: account(4), knows: () => true }
  const context = { links, ...rest } as unknown as NodeContext
  const swaps = createSwaps(context, transfers, { accept: () => true, revealTimeout: 60 })
  const answers: object[] = []
  const link = { account: maker, send: (_type: string, fields: object) => answers.push(fields) } as unknown as Link
  await swaps.onMessage(link, {
    type: 'swapOffer',
    id: word(5),
    secrethash: word(6),
    giveNetwork: gives,
    giveAmount: 100n,
    takeNetwork: takes,
    takeAmount: 50n,
  })
  expect(answers).toEqual([{ id: word(5), accepted: true }])
  const holds = (amount: bigint, { network = gives, paymentId = word(5) } = {}): boolean =>
    swaps.holds({ secrethash: word(6), paymentId } as LockRecord, { tokenNetwork: network } as Channel, amount, EXPIRY)
  return { holds, paid }
}

describe('what a taker of a swap gets', () => {
  it('is held, and the other half paid once', async () => {
    const { holds, paid } = await taker()
    expect(holds(100n)).toBe(true)
    expect(holds(101n)).toBe(true)
    expect(paid).toMatchObject([{ tokenNetwork: takes, to: maker, amount: 50n, secrethash: word(6), latest: EXPIRY - 120 }])
  })

  it.each([
    ['less', 99n, {}],
    ['in another token', 100n, { network: takes }],
    ['under another payment', 100n, { paymentId: word(7) }],
  ])('is refused when it is %s, and nothing is paid for it', async (_what, amount, changes) => {
    const { holds, paid } = await taker()
    expect(() => holds(amount, changes)).toThrow(expect.objectContaining({ code: 'PAYMENT_REFUSED' }))
    expect(paid).toEqual([])
  })
})
