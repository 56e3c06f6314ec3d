/**
 * Days and months of bills: they begin at midnight of one zone, whatever the zone of the server.
 * @module
 */

/** Milliseconds of a day: the zone has no daylight saving time. */
export const DAY = 86_400_000

/** From a time, up to another that is no part of it, in milliseconds since 1970. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** Midnight at the beginning of a day. @returns undefined unless it is a date as `2018-05-01`. */
export function readDay(text: string, offset: number): number | undefined {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return undefined
  const day = new Date(`${text}T00:00:00Z`)
  // 31 February is not 3 March.
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text) ? day.getTime() - offset * 60_000 : undefined
}

/** The month that a time is in. @param offset minutes that its zone is ahead of UTC. */
export function monthOf(time: number, offset: number): Span {
  const local = new Date(time + offset * 60_000)
  const begin = (month: number): number => Date.UTC(local.getUTCFullYear(), month, 1) - offset * 60_000
  return { from: begin(local.getUTCMonth()), to: begin(local.getUTCMonth() + 1) }
}

/** Midnight at the beginning of the day that a time is in. */
export function dayOf(time: number, offset: number): number {
  const shift = offset * 60_000
  return Math.floor((time + shift) / DAY) * DAY - shift
}
