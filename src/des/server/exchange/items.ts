/**
 * Items of requests: one data source asked, and paid.
 * @module
 */
import type { SourceState } from '../../wire/index.ts'
import type { ItemState } from '../database.ts'

/** Names the money that is set apart for an authorisation. */
export const holdKey = (digest: string): string => `des/item/${digest}`

/** Which states an item never leaves. */
export const isOver = (state: ItemState): boolean => !['HELD', 'FORWARDED', 'PENDING_SETTLEMENT'].includes(state)

/** What a client is told: the seed's states, and those that GXChain's clients know beside. */
export function wireState(state: ItemState): SourceState {
  if (state === 'CANCELLED') return 'FAIL'
  return isOver(state) ? (state as SourceState) : 'WAIT_EXCHANGE'
}
