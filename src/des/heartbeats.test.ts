import { describe, expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import { createManualClock } from '../testing/manualClock.ts'
import { createHeartbeats } from './heartbeats.ts'

/** Heartbeats over a network that can be down, and what happened when. */
function setUp(took = 0) {
  const clock = createManualClock()
  const happened: string[] = []
  const network: { error?: SluiceError | undefined } = {}
  const tell = (what: string): void => void happened.push(`${clock.now() / 1000} ${what}`)
  const heartbeats = createHeartbeats({
    clock,
    async beat(signal) {
      if (took > 0) await clock.sleep(took, signal)
      if (network.error) throw network.error
      tell('beat')
    },
    online: () => tell('online'),
    offline: () => tell('offline'),
    failed: ({ code }) => tell(code),
  })
  return { clock, happened, network, heartbeats }
}
const down = new SluiceError('CONNECTION_FAILED', 'down')

describe('heartbeats', () => {
  it('go out every 30 s, whatever each of them takes', async () => {
    const { clock, happened, heartbeats } = setUp(400)
    const started = heartbeats.start()
    await clock.advance(95_000)
    await started
    expect(happened).toEqual(['0.4 beat', '0.4 online', '30.4 beat', '60.4 beat', '90.4 beat'])
    heartbeats.stop()
    expect(happened.at(-1)).toBe('95 offline')
    expect([clock.sleeping, heartbeats.online]).toEqual([0, false])
    await clock.advance(60_000)
    expect(happened.length).toBe(6)
  })

  it('are tried again after 1, 2, 4, 8 and 10 s, and keep to the time afterwards', async () => {
    const { clock, happened, network, heartbeats } = setUp()
    await heartbeats.start()
    await clock.advance(29_000)
    network.error = down
    await clock.advance(4_000)
    expect(happened.slice(2)).toEqual(['30 CONNECTION_FAILED', '31 CONNECTION_FAILED', '33 CONNECTION_FAILED'])
    network.error = undefined
    await clock.advance(60_000)
    expect(happened.slice(5)).toEqual(['37 beat', '60 beat', '90 beat'])
    heartbeats.stop()
  })

  it('say at 50 s after the last one that the data source is offline, and when it is online again', async () => {
    const { clock, happened, network, heartbeats } = setUp()
    await heartbeats.start()
    network.error = down
    await clock.advance(49_999)
    expect(heartbeats.online).toBe(true)
    await clock.advance(1)
    expect(heartbeats.online).toBe(false)
    expect(happened.filter((each) => !each.includes('FAILED'))).toEqual(['0 beat', '0 online', '50 offline'])
    network.error = undefined
    await clock.advance(9_000)
    expect(happened.slice(-2)).toEqual(['55 beat', '55 online'])
    heartbeats.stop()
  })

  it('end when the first is refused for good, not when the exchange is only out of reach', async () => {
    const { clock, happened, network, heartbeats } = setUp()
    network.error = down
    const started = heartbeats.start()
    await clock.advance(1_500)
    network.error = new SluiceError('BAD_SIGNATURE', 'not yours')
    await clock.advance(2_000)
    await expect(started).rejects.toBe(network.error)
    expect(happened).toEqual(['0 CONNECTION_FAILED', '1 CONNECTION_FAILED', '3 BAD_SIGNATURE'])
    expect(clock.sleeping).toBe(0)
    network.error = undefined
    await heartbeats.start()
    expect(heartbeats.online).toBe(true)
    // Later on it is taken for weather.
    network.error = new SluiceError('NOT_ALLOWED', 'not now')
    await clock.advance(31_000)
    network.error = undefined
    await clock.advance(5_000)
    expect(heartbeats.online).toBe(true)
    heartbeats.stop()
  })

  it('are one however often they are started, and can be stopped before the first', async () => {
    const { clock, happened, heartbeats } = setUp(100)
    const [first, second] = [heartbeats.start(), heartbeats.start()]
    expect(first).toBe(second)
    heartbeats.stop()
    await expect(first).rejects.toEqual(expect.objectContaining({ code: 'ABORTED' }))
    const third = heartbeats.start()
    await clock.advance(100)
    await third
    expect(happened).toEqual(['0.1 beat', '0.1 online'])
    heartbeats.stop()
  })
})
