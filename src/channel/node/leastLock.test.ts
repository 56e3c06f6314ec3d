import { expect, it } from 'vitest'
import { silentLogger } from '../../core/log.ts'
import { createManualClock } from '../../testing/manualClock.ts'
import { CLAIM_GAS, openLeastLock } from './leastLock.ts'

const eth = { address: `0x${'11'.repeat(20)}`, token: `0x${'00'.repeat(20)}` } as const
const token = { address: `0x${'22'.repeat(20)}`, token: `0x${'33'.repeat(20)}` } as const
const networks = [eth, token]

it('follows the price of gas for ETH, and what is set for tokens', async () => {
  const clock = createManualClock(0)
  let price = 7n
  const least = await openLeastLock({
    networks,
    minLock: { [token.address]: 30n },
    isFree: false,
    gasPrice: async () => price,
    clock,
    log: silentLogger,
  })
  expect([least.of(eth.address), least.of(token.address)]).toEqual([7n * CLAIM_GAS, 30n])
  price = 9n
  least.refresh()
  expect(least.of(eth.address)).toBe(7n * CLAIM_GAS)
  await clock.advance(60_000)
  least.refresh()
  await Promise.resolve()
  expect(least.of(eth.address)).toBe(9n * CLAIM_GAS)
})

it('is nothing where gas is free, or the price is not known', async () => {
  const rest = { networks, clock: createManualClock(0), log: silentLogger }
  const fails = async (): Promise<bigint> => Promise.reject(new Error('down'))
  const free = await openLeastLock({ ...rest, minLock: undefined, isFree: true, gasPrice: fails })
  const unknown = await openLeastLock({ ...rest, minLock: undefined, isFree: false, gasPrice: fails })
  expect([free.of(eth.address), unknown.of(eth.address)]).toEqual([0n, 0n])
  const all = await openLeastLock({ ...rest, minLock: 5n, isFree: true, gasPrice: fails })
  expect([all.of(eth.address), all.of(token.address)]).toEqual([5n, 5n])
})

it.each([-1n, 2n ** 128n, 5 as never, { [`0x${'44'.repeat(20)}`]: 1n }, { [eth.address]: -1n }, null as never])(
  'refuses %s',
  async (minLock) => {
    const rest = { networks, isFree: true, gasPrice: async () => 0n, clock: createManualClock(0), log: silentLogger }
    const made = openLeastLock({ ...rest, minLock })
    await expect(made).rejects.toMatchObject({ code: 'BAD_ARGUMENT', details: { name: 'minLock' } })
  },
)
