/** What a node does in its first minutes, before all is confirmed, linked and seen, and when it is stopped. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/core/store/memoryStore.ts'
import { accountOf, eventually, startTown, type Town } from './support/town.ts'

let town: Town
beforeAll(async () => {
  town = await startTown()
}, 30_000)
afterAll(() => town.stop())

const stalled = { code: 'CHAIN_STALLED', details: { confirmations: 5 }, message: expect.stringContaining('set confirmations to 1') as string }

describe('a payment', () => {
  it('waits for a partner that is being looked for; opening does so for a bounded time', async () => {
    const host = await town.resident('host')
    let found = (_urls: readonly string[]): void => {}
    const urls = new Promise<readonly string[]>((resolve) => (found = resolve))
    const guest = await town.resident('guest', { discovery: { find: () => urls, close: async () => {} } })
    await host.node.stop() // so that it does not come by itself
    const began = Date.now()
    const { id, online } = await guest.node.open({ partner: host.wallet.address, deposit: 100n })
    expect([online, Date.now() - began < 20_000]).toEqual([false, true])
    const paying = guest.node.pay({ to: host.wallet.address, amount: 30n, timeout: 20_000 })
    await town.resident('host', { discovery: undefined })
    found([host.endpoint])
    expect(await paying).toMatchObject({ state: 'done', amount: 30n })
    expect(guest.node.channel(id)).toMatchObject({ online: true, capacity: 70n })
  }, 40_000)

  it('waits for the partner to see the channel, and each deposit; without either it fails in time, saying why', async () => {
    const quick = await town.resident('quick')
    const slow = await town.resident('slow', { confirmations: 3 })
    const to = slow.wallet.address
    const opening = quick.node.open({ partner: to, deposit: 100n })
    const id = await eventually('the channel', () => quick.node.channels().find(({ totalDeposit }) => totalDeposit === 100n)?.id)
    await expect(quick.node.pay({ to, amount: 40n, timeout: 300 })).rejects.toMatchObject({ code: 'PARTNER_OFFLINE' })
    const paying = quick.node.pay({ to, amount: 40n })
    await town.devnet.mine(3)
    expect(await paying).toMatchObject({ state: 'done' })
    await opening
    const raising = quick.node.deposit(id, 200n)
    await eventually('the deposit', () => quick.node.channel(id).totalDeposit === 200n)
    expect(quick.node.channel(id).capacity).toBe(60n)
    await expect(quick.node.pay({ to, amount: 90n, timeout: 300 })).rejects.toMatchObject({ code: 'CAPACITY_SHORT' })
    const more = quick.node.pay({ to, amount: 90n })
    await town.devnet.mine(3)
    expect(await more).toMatchObject({ state: 'done', secrethash: undefined }) // directly, as soon as it can
    await raising
    const stop = new AbortController()
    void quick.node.deposit(id, 300n)
    await eventually('the deposit', () => quick.node.channel(id).totalDeposit === 300n)
    const stopped = quick.node.pay({ to, amount: 150n, signal: stop.signal })
    stop.abort()
    await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' })
    await town.devnet.mine(3)
  })

  it('ends at once where nothing is coming', async () => {
    const lone = await town.resident('lone')
    const began = Date.now()
    await expect(lone.node.pay({ to: accountOf(await town.resident('other')), amount: 1n })).rejects.toMatchObject({ code: 'NO_ROUTE' })
    expect(Date.now() - began).toBeLessThan(10_000)
  })
})

describe('on a chain that makes no blocks by itself', () => {
  it('what waits for confirmations says what to set, and goes on when blocks come', async () => {
    const patient = await town.resident('patient', { confirmations: 5, stallTimeout: 2 })
    const partner = await town.resident('partner')
    await town.devnet.mine(5)
    await expect(patient.node.open({ partner: partner.wallet.address, deposit: 50n })).rejects.toMatchObject(stalled)
    await town.devnet.mine(5)
    const id = await eventually('the channel', () => patient.node.channels().find(({ totalDeposit }) => totalDeposit === 50n)?.id)
    await expect(patient.node.deposit(id, 60n)).rejects.toMatchObject(stalled)
    await town.devnet.mine(5)
    await eventually('the deposit', () => patient.node.channel(id).totalDeposit === 60n)
    await expect(patient.node.close(id)).rejects.toMatchObject(stalled)
    await town.devnet.mine(5)
    await eventually('the closing', () => patient.node.channel(id).phase === 'settled')
  }, 60_000)
})

describe('a node that is stopped', () => {
  it('says so, whatever it is asked and with what', async () => {
    const gone = await town.resident('gone')
    const partner = await town.resident('left')
    const { id } = await town.channel(gone, partner, 1_000n)
    const stream = await gone.node.stream({ to: partner.wallet.address, unit: 1n })
    await stream.pay()
    const { node } = gone
    await node.stop()
    const stopped = expect.objectContaining({ code: 'STOPPED' }) as Error
    const to = partner.wallet.address
    const side = { tokenNetwork: town.tokenNetwork, amount: 1n }
    for (const call of [
      () => node.open({ partner: to }),
      () => node.openMany({ channels: [{ partner: to }] }),
      () => node.relayable.open({ partner: to, deposit: 1n }),
      () => node.relayable.close(id),
      () => node.deposit(id, 2_000n),
      () => node.withdraw(id, 1n),
      () => node.close(id),
      () => node.settle(id),
      () => node.pay({ to, amount: 1n }),
      () => node.pay(undefined as never),
      () => node.stream({ to, unit: 1n }),
      () => node.swap({ to, give: side, take: side }),
      () => node.connect(to),
      () => node.backup(memoryStore()),
      () => node.caughtUp(),
    ])
      await expect(call()).rejects.toThrow(stopped)
    for (const call of [() => node.payments(), () => node.incoming(), () => stream.pay()]) expect(call).toThrow(stopped)
    expect(node.channel(id).totalDeposit).toBe(1_000n)
    await node.stop()
  })
})
