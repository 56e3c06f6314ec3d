/**
 * How far a stream may go: pure arithmetic on byte counts.
 * @module
 */
import { unpaidWindow } from '../protocol/window.ts'

/** Where the stream of one order stands, in bytes from the start of the order. */
export interface Flow {
  readonly total: number
  readonly granularity: number
  /** The most chunks that may be unpaid. */
  readonly cap: number
  /** Where the next chunk starts. */
  readonly position: number
  readonly paid: number
  /** What the money behind the order is enough for. */
  readonly covered: number
}

/** Bytes up to which chunks may be sent now. */
export function horizon({ total, granularity, cap, paid, covered }: Flow): number {
  return Math.min(total, covered, paid + unpaidWindow(Math.floor(paid / granularity), cap) * granularity)
}

/** How many chunks may be sent now, at most `most`: whole ones, and the order's last. */
export function sendable(flow: Flow, most: number): number {
  const end = horizon(flow)
  let count = 0
  for (let at = flow.position; count < most && at < flow.total; count++) {
    at = Math.min(at + flow.granularity, flow.total)
    if (at > end) break
  }
  return count
}

/** What a stream that can't send waits for. */
export type Waiting = 'payment' | 'deposit' | 'end'

/** Why nothing can be sent. */
export function waitingFor(flow: Flow): Waiting {
  if (flow.position >= flow.total) return flow.paid >= flow.total ? 'end' : 'payment'
  return flow.position > flow.paid ? 'payment' : 'deposit'
}
