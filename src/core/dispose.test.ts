import { describe, expect, it } from 'vitest'
import { staticDiscovery } from '../channel/discovery/static.ts'
import { webSocketPeer } from '../protocol/websocket/peer.ts'
import { closes, stops } from './dispose.ts'
import { memoryStore } from './store/memoryStore.ts'

describe('closes and stops', () => {
  it('end by the name that the object has, and wait for it', async () => {
    const ended: string[] = []
    {
      const later = (name: string) => () => Promise.resolve().then(() => void ended.push(name))
      await using _first = { ...closes, close: later('closed') }
      await using _second = { ...stops, stop: later('stopped') }
      ended.push('used')
    }
    expect(ended).toEqual(['used', 'stopped', 'closed'])
  })

  it('close a store at the end of its block', async () => {
    const entries = new Map<string, Uint8Array>()
    {
      await using store = memoryStore(entries)
      await store.write([{ key: 'a', value: Uint8Array.of(1) }])
      expect(() => memoryStore(entries)).toThrow(expect.objectContaining({ code: 'STORE_LOCKED' }))
    }
    await memoryStore(entries).close()
    for (const each of [webSocketPeer(), staticDiscovery({})]) await each[Symbol.asyncDispose]()
  })
})
