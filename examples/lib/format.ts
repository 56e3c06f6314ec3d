/**
 * Quantities as people read them.
 * @module
 */
import { formatEther } from 'ethers'

/** Wei as ETH, in full. */
export function eth(wei: bigint): string {
  return formatEther(wei).replace(/\.0$/, '')
}

/** Wei as ETH to six places, all of them, so that a figure that grows doesn't dance. */
export function roughEth(wei: bigint): string {
  return (Number(wei / 10n ** 12n) / 1e6).toFixed(6)
}

/** A whole number with its thousands set apart. */
export function count(value: number | bigint): string {
  return value.toLocaleString('en-US')
}

/** Bytes in the largest fitting unit: 4 KiB, 303.9 KiB. */
export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let value = bytes
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`
}

/** Bytes per second in MiB/s. */
export function speed(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 2 ** 20).toFixed(1)} MiB/s`
}

/** Milliseconds as seconds, or as minutes where there are many. */
export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000
  return seconds < 100 ? `${seconds.toFixed(1)} s` : `${Math.ceil(seconds / 60)} min`
}

/** An address or hash by both of its ends. */
export function short(hex: string): string {
  return `${hex.slice(0, 6)}…${hex.slice(-4)}`
}
