/**
 * Numbers, money and times as people read them.
 * @module
 */
import type { Language, Texts } from './texts.ts'

/** Writes values in one language. */
export interface Format {
  /** Decimal text, exact, with the name of its asset. */
  money(decimal: string, assetId?: string): string
  /** An amount in the smallest unit. */
  price(price: { readonly amount: bigint; readonly assetId: string }): string
  number(value: number): string
  percent(share: number): string
  /** A day of UTC+8, from milliseconds. */
  day(time: number): string
  shortDay(time: number): string
  dateTime(time: number): string
  month(day: string): string
}

/** Where bills begin their days. */
const ZONE = 'Asia/Shanghai'
const OFFSET = 8 * 3_600_000
/** Decimals of GXC. */
const DECIMALS = 5
const NAMES: Readonly<Record<string, string>> = { '1.3.1': 'GXC', '1.1': 'GXC' }

/** Creates what writes values in a language. */
export function createFormat(language: Language): Format {
  const locale = language === 'zh' ? 'zh-CN' : 'en-GB'
  const plain = new Intl.NumberFormat(locale)
  const exact = new Intl.NumberFormat(locale, { maximumFractionDigits: 20 })
  const percent = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 2 })
  const date = (options: Intl.DateTimeFormatOptions) => {
    const format = new Intl.DateTimeFormat(locale, { timeZone: ZONE, ...options })
    return (time: number) => format.format(time)
  }
  const month = date({ year: 'numeric', month: 'long' })
  const money = (decimal: string, assetId = '1.3.1') =>
    // A string is written to its last digit; a number would be rounded first.
    `${exact.format(decimal as Intl.StringNumericLiteral)} ${NAMES[assetId] ?? assetId}`
  return {
    money,
    price: ({ amount, assetId }) => money(decimalOf(amount), assetId),
    number: (value) => plain.format(value),
    percent: (share) => percent.format(share),
    day: date({ year: 'numeric', month: 'short', day: 'numeric' }),
    shortDay: date({ month: 'short', day: 'numeric' }),
    dateTime: date({ dateStyle: 'medium', timeStyle: 'medium' }),
    month: (day) => month(Date.parse(`${day}T00:00:00+08:00`)),
  }
}

/** An amount of the smallest unit in decimals: 50000 are 0.5. */
export function decimalOf(amount: bigint): string {
  const digits = String(amount).padStart(DECIMALS + 1, '0')
  const rest = digits.slice(-DECIMALS).replace(/0+$/, '')
  return digits.slice(0, -DECIMALS) + (rest === '' ? '' : `.${rest}`)
}

/** Decimal text in the smallest unit; undefined unless it is an amount with up to five decimals. */
export function amountOf(decimal: string): bigint | undefined {
  const [, whole, rest = ''] = /^(\d{1,13})(?:\.(\d{1,5}))?$/.exec(decimal.trim()) ?? []
  return whole === undefined ? undefined : BigInt(whole + rest.padEnd(DECIMALS, '0'))
}

/** The day of UTC+8 that a time is in, as `2018-05-01`. */
export function dayText(time: number): string {
  return new Date(time + OFFSET).toISOString().slice(0, 10)
}

/** A span as `1 d 02 h 03 min`, with seconds in its last hour. */
export function durationText(ms: number, { day, hour, minute, second, over }: Texts['duration']): string {
  if (ms <= 0) return over
  const seconds = Math.ceil(ms / 1000)
  const parts = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
    seconds % 60,
  ] as const
  const two = (value: number): string => String(value).padStart(2, '0')
  const [days, hours, minutes, rest] = parts
  if (days > 0) return `${days} ${day} ${two(hours)} ${hour} ${two(minutes)} ${minute} ${two(rest)} ${second}`
  if (hours > 0) return `${hours} ${hour} ${two(minutes)} ${minute} ${two(rest)} ${second}`
  return `${minutes} ${minute} ${two(rest)} ${second}`
}
