import { MemoryLevel } from 'memory-level'
import { describe, expect, it, vi } from 'vitest'
import { SluiceError } from '../errors.ts'
import { storeSuite } from '../../testing/storeSuite.ts'
import { levelStore } from './levelStore.ts'
import type { Store } from './store.ts'

/** memory-level has no lock and forgets at closing: the wrapper's part is tested, the engine's is stood in for. */
storeSuite(
  'level on memory-level',
  async () => {
    const database = new MemoryLevel()
    vi.spyOn(database, 'close').mockImplementation(async () => {})
    let open: Store | undefined
    const reopen = async (): Promise<Store> => {
      if (open) throw new SluiceError('STORE_LOCKED', 'still open')
      const store = levelStore(database)
      const owner: Store = {
        ...store,
        close: async () => {
          await store.close()
          if (open === owner) open = undefined
        },
      }
      return (open = owner)
    }
    return { store: await reopen(), reopen }
  },
  { describe, it, expect },
)

describe('levelStore', () => {
  const one = (key: string, byte = 1) => [{ key, value: Uint8Array.of(byte) }]

  it('asks for an fsync, and lets writes of one moment share it', async () => {
    const database = new MemoryLevel()
    const batch = vi.spyOn(database, 'batch')
    const store = levelStore(database)
    await Promise.all([store.write(one('a')), store.write(one('b')), store.write(one('c'))])
    expect(batch).toHaveBeenCalledTimes(1)
    expect(batch.mock.calls[0]).toMatchObject([{ length: 3 }, { sync: true }])
  })

  it('has one batch under way at a time', async () => {
    const database = new MemoryLevel()
    const started: string[] = []
    let release = (): void => {}
    vi.spyOn(database, 'batch').mockImplementation(((changes: { key: Uint8Array }[]) => {
      started.push(changes.map(({ key }) => new TextDecoder().decode(key)).join())
      return new Promise<void>((resolve) => (release = resolve))
    }) as never)
    const store = levelStore(database)
    const first = store.write(one('a'))
    await Promise.resolve()
    const rest = Promise.all([store.write(one('b')), store.write(one('c'))])
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(started).toEqual(['a'])
    release()
    await first
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(started).toEqual(['a', 'b,c'])
    release()
    await rest
  })

  it('refuses every write after one failed, since the medium may hold half of it', async () => {
    const database = new MemoryLevel()
    const store = levelStore(database, { name: 'the till' })
    await store.write(one('before'))
    const cause = new Error('No space left on device')
    vi.spyOn(database, 'batch').mockRejectedValueOnce(cause)
    const failing = store.write(one('a'))
    await Promise.resolve()
    await Promise.resolve()
    const queued = store.write(one('b'))
    await expect(failing).rejects.toMatchObject({ code: 'STORE_FAILED', cause, message: 'the till could not be written; reopen it to go on' })
    await expect(queued).rejects.toMatchObject({ code: 'STORE_FAILED' })
    await expect(store.write(one('c'))).rejects.toMatchObject({ code: 'STORE_FAILED' })
    expect(await store.get('before')).toEqual(Uint8Array.of(1))
    expect(await store.get('b')).toBeUndefined()
    await store.close()
  })

  it('refuses writes that pile up', async () => {
    const database = new MemoryLevel()
    const store = levelStore(database)
    const many = Array.from({ length: 40_000 }, (_, i) => ({ key: `k${i}`, value: null }))
    const first = store.write(many)
    await expect(store.write(many)).rejects.toMatchObject({ code: 'OVERLOADED' })
    await first
    await store.write(many)
  })

  it('wraps what the engine throws while reading', async () => {
    const database = new MemoryLevel()
    const store = levelStore(database)
    await store.write(one('a'))
    const cause = new Error('checksum mismatch')
    vi.spyOn(database, 'get').mockRejectedValueOnce(cause)
    await expect(store.get('a')).rejects.toMatchObject({ code: 'STORE_FAILED', cause })
  })
})
