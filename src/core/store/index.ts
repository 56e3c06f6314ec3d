/**
 * Stores: where a node keeps what it must not forget.
 * @module
 */
export { levelStore, type LevelStoreOptions } from './levelStore.ts'
export { memoryStore } from './memoryStore.ts'
export { openStore } from '#platform'
export type { Store, StoreChange } from './store.ts'
