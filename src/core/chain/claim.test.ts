import { expect, it } from 'vitest'
import { memoryStore } from '../store/memoryStore.ts'
import { claim } from './claim.ts'

it('lets one in at a time, per place and store', () => {
  const store = memoryStore()
  const release = claim(store, 'watcher/a', 'a watcher a')
  expect(() => claim(store, 'watcher/a', 'a watcher a')).toThrow(expect.objectContaining({ code: 'STORE_LOCKED' }))
  claim(store, 'watcher/b', 'a watcher b')
  claim(memoryStore(), 'watcher/a', 'a watcher a')
  release()
  claim(store, 'watcher/a', 'a watcher a')
  claim(undefined, 'watcher/a', 'a watcher a')
  claim(undefined, 'watcher/a', 'a watcher a')
})
