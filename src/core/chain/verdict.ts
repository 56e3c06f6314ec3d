import { jsonRpcError } from '../retry.ts'

/** What a node said to a signed transaction: taken, refused for good, or nothing that can be relied on. */
export type Verdict = { readonly is: 'accepted' | 'unclear' } | { readonly is: 'refused'; readonly error: unknown }

/** Answers of geth, erigon, nethermind, besu, reth and anvil that say for sure: this transaction, newly signed, was not taken. */
const REFUSALS =
  /insufficient ?funds|nonce|underpriced|fee ?too ?low|base fee|intrinsic gas|gas limit|exceeds the configured cap|invalid (sender|signature|chain)|oversized/i

/** Judges what a node threw when it was handed a transaction. Whatever is not known to be a refusal may have worked. */
export function judge(error: unknown): Verdict {
  const reason = reasonOf(error)
  if (/already ?(known|imported|exists)|known transaction/i.test(reason)) return { is: 'accepted' }
  return jsonRpcError(error) && REFUSALS.test(reason) ? { is: 'refused', error } : { is: 'unclear' }
}

/** Whether a refusal is about nonce or fee, so that the same transaction signed anew may be taken. */
export function worthAnother(error: unknown): boolean {
  return /nonce|replacement|underpriced|fee ?too ?low|base fee/i.test(reasonOf(error))
}

/** The node's own words behind an error, without the URL and payload that ethers adds. */
export function reasonOf(error: unknown): string {
  const { shortMessage, message } = error as { shortMessage?: unknown; message?: unknown }
  return String(jsonRpcError(error)?.message ?? shortMessage ?? message ?? error).replace(
    /\b(?:https?|wss?):\/\/[^\s"']+/g,
    '(url)',
  )
}
