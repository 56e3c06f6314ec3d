/** Wei as ETH, rounded down to `places` after the point. */
export function amount(wei: string | bigint, places = 4): string {
  const unit = 10n ** BigInt(18 - places)
  const text = String(BigInt(wei) / unit).padStart(places + 1, '0')
  return `${text.slice(0, -places)}.${text.slice(-places)}`
}

/** Wei as ETH, in full. */
export function fullAmount(wei: string | bigint): string {
  return `${amount(wei, 18).replace(/\.?0+$/, '')} ETH`
}
