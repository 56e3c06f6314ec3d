import { Wallet, type Signer } from 'ethers'
import { expect, it } from 'vitest'
import { decodeDelegation } from '../../contracts/channelTypes.ts'
import { memoryStore } from '../../core/store/memoryStore.ts'
import { createManualClock } from '../../testing/manualClock.ts'
import { createDelegations, nodeIdentity } from './identity.ts'

const REGISTRY = `0x${'12'.repeat(20)}` as const
const DAY = 86_400_000
const nobody = {} as never // the account signs with its own key: no chain is asked

/** A wallet that keeps its key to itself, and can decline. */
function closedWallet() {
  const wallet = new Wallet(`0x${'42'.repeat(32)}`)
  const state = { asked: 0, declines: false }
  const signer = {
    provider: nobody,
    getAddress: () => wallet.getAddress(),
    signMessage: (message: string | Uint8Array) => wallet.signMessage(message),
    async signTypedData(...given: Parameters<Wallet['signTypedData']>) {
      state.asked++
      if (state.declines) throw new Error('declined')
      return wallet.signTypedData(...given)
    },
  } as unknown as Signer
  return { signer, state }
}

it('a delegation is renewed a month before it ends, kept over a restart, and goes on while the account declines', async () => {
  const { signer, state } = closedWallet()
  const [store, clock] = [memoryStore(), createManualClock(1_900_000_000_000)]
  const start = () => nodeIdentity(signer, store, 31337n, REGISTRY, clock)
  const first = await start()
  const end = (identity: typeof first): number => decodeDelegation(identity.delegation)!.validUntil * 1000
  expect([first.isDue(), end(first), state.asked]).toEqual([false, clock.now() + 90 * DAY, 1])
  await clock.advance(59 * DAY)
  expect(first.isDue()).toBe(false)
  const { sessionKey } = await start()
  expect([sessionKey, state.asked]).toEqual([first.sessionKey, 1])

  await clock.advance(2 * DAY)
  const old = first.delegation
  state.declines = true
  expect(first.isDue()).toBe(true)
  await expect(first.renew()).rejects.toMatchObject({ code: 'TRANSACTION_REJECTED' })
  expect((await start()).delegation).toEqual(old) // good for some time yet
  state.declines = false
  await first.renew()
  expect([first.isDue(), end(first)]).toEqual([false, clock.now() + 90 * DAY])
  const asked = state.asked
  expect([(await start()).delegation, state.asked]).toEqual([first.delegation, asked])

  const { isSigner } = createDelegations(nobody, 31337n, REGISTRY, clock)
  const account = await signer.getAddress()
  await clock.advance(30 * DAY)
  expect([old, first.delegation].map((delegation) => isSigner(account, sessionKey!, delegation))).toEqual([false, true])
  await clock.advance(60 * DAY)
  state.declines = true
  await expect(start()).rejects.toMatchObject({ code: 'TRANSACTION_REJECTED' }) // it is over
})
