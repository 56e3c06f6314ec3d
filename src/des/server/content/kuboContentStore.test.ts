import { describe, expect, it, onTestFinished } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { listenHttp } from '../../../core/http/listenHttp.ts'
import { contentSuite } from '../../../testing/contentSuite.ts'
import { createManualClock } from '../../../testing/manualClock.ts'
import { startFakeKubo } from './fakeKubo.testing.ts'
import { kuboContentStore } from './kuboContentStore.ts'

const openFake = async () => {
  const kubo = await startFakeKubo()
  onTestFinished(() => kubo.stop())
  return kubo
}

contentSuite(
  'kubo',
  async () => {
    const kubo = await startFakeKubo()
    const clock = createManualClock(1_500_000_000_000)
    return {
      store: kuboContentStore({ url: `${kubo.url}/`, clock }),
      clock,
      damage: async (cid) => {
        kubo.files.get(cid)![0]! ^= 1
      },
      close: () => kubo.stop(),
    }
  },
  { describe, it, expect },
)

describe('a content store in Kubo', () => {
  it('leaves the pins of others alone', async () => {
    const kubo = await openFake()
    const store = kuboContentStore({ url: kubo.url, clock: createManualClock(1000) })
    const cid = await store.put(utf8('ours'))
    kubo.pins.set('QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH', "somebody else's")
    kubo.pins.set('QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o', '')
    expect(kubo.pins.get(cid)).toBe('sluice-des-1000')
    expect(await store.dropBefore(2000)).toBe(1)
    expect(kubo.pins.size).toBe(2)
  })

  it('tries again when the node is out of order, and says so when it stays so', async () => {
    const kubo = await openFake()
    const store = kuboContentStore({ url: kubo.url })
    kubo.failOnce()
    const cid = await store.put(utf8('x'))
    expect(kubo.calls).toEqual(['add', 'add', 'pin/add'])
    await kubo.stop()
    await expect(store.get(cid)).rejects.toEqual(expect.objectContaining({ code: 'CONNECTION_FAILED' }))
  })

  it('takes nothing else from a node for what was put', async () => {
    const kubo = await openFake()
    const store = kuboContentStore({ url: kubo.url })
    const has = kubo.files.set.bind(kubo.files)
    kubo.files.set = (cid, bytes) => has(cid, bytes.slice(1))
    const cid = await store.put(utf8('x'))
    await expect(store.get(cid)).rejects.toEqual(expect.objectContaining({ code: 'STORE_CORRUPT' }))
  })

  it('refuses a node that calls contents otherwise', async () => {
    const calls: string[] = []
    const node = await listenHttp({
      fetch: async (request) => {
        calls.push(new URL(request.url).pathname)
        return new Response('{"Name":"answer","Hash":"QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH","Size":"6"}\n')
      },
    })
    onTestFinished(() => node.close())
    await expect(kuboContentStore({ url: node.url }).put(utf8('x'))).rejects.toEqual(
      expect.objectContaining({ code: 'STORE_CORRUPT' }),
    )
    expect(calls).toEqual(['/api/v0/add'])
  })

  it('reads no more than it is told', async () => {
    const kubo = await openFake()
    const cid = await kuboContentStore({ url: kubo.url }).put(new Uint8Array(5000))
    await expect(kuboContentStore({ url: kubo.url, maxContent: 1000 }).get(cid)).rejects.toEqual(
      expect.objectContaining({ code: 'CONNECTION_FAILED' }),
    )
  })
})
