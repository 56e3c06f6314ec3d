import { isSluiceError, type ErrorCode } from 'sluice-sdk'

/** What an error means to somebody who only wants the data. */
export function plainWords(error: unknown): string {
  if (isWalletRefusal(error)) return words.TRANSACTION_REJECTED!
  if (!isSluiceError(error)) return `Something went wrong: ${error instanceof Error ? error.message : String(error)}`
  return words[error.code] ?? `${error.shortMessage[0]!.toUpperCase()}${error.shortMessage.slice(1)}.`
}

const words: Partial<Record<ErrorCode, string>> = {
  STORE_LOCKED: 'This shop is open in another tab. Go on there, or close that tab and reload this page.',
  TRANSACTION_REJECTED: 'You declined in your wallet. Nothing was paid.',
  INSUFFICIENT_FUNDS: 'Your account holds too little for the price and the network fee.',
  NOT_DEPLOYED: 'Your wallet is on another network than the seller. Switch networks in your wallet and reload this page.',
  WRONG_CHAIN: 'Your wallet is on another network than the seller. Switch networks in your wallet and reload this page.',
  CONNECTION_FAILED: 'The seller can’t be reached right now. Try again in a moment.',
  CONNECTION_LOST: 'The link to the seller was lost. What you have is safe and paid; continue when the seller is back.',
  TIMEOUT: 'The seller doesn’t answer. Try again in a moment.',
  WRONG_CHUNK: 'The seller sent something else than it promised. It was refused, and not paid.',
  TRANSACTION_UNKNOWN: 'Your deposit is still under way. Reload this page in a minute to go on.',
}

/** EIP-1193: the person said no. */
function isWalletRefusal(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && (error.code === 4001 || error.code === 'ACTION_REJECTED')
}
