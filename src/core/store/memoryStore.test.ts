import { describe, expect, it } from 'vitest'
import { storeSuite } from '../../testing/storeSuite.ts'
import { memoryStore } from './memoryStore.ts'

storeSuite(
  'memory',
  async () => {
    const entries = new Map<string, Uint8Array>()
    return { store: memoryStore(entries), reopen: async () => memoryStore(entries) }
  },
  { describe, it, expect },
)
