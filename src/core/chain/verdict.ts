import { redact } from '../redact.ts'
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

/** Characters of a node's answer that are quoted at most. */
const LONGEST_QUOTE = 300

/**
 * The node's own words behind an error: of its JSON-RPC error, or of what it answered instead. Without what ethers adds,
 * and without the URL, which may hold a key.
 * @param node the URL of the node, if the error may not tell: parts of it are taken out where the node repeats them.
 */
export function reasonOf(error: unknown, node?: string | undefined): string {
  const { shortMessage, message } = error as { shortMessage?: unknown; message?: unknown }
  const inner = jsonRpcError(error)
  const said = String(shortMessage ?? message ?? error)
  const { url, body } = exchangeOf(error)
  const words = typeof inner?.message === 'string' ? inner.message : (body ? `${said}: ${body}` : said)
  return redact(words, url ?? node)
}

/** What ethers tells of the HTTP request that failed. */
function exchangeOf(error: unknown): { readonly url: string | undefined; readonly body: string | undefined } {
  const { info, request, response } = error as { info?: Fields; request?: Fields; response?: Fields }
  const answer = (info?.response ?? response) as Fields | undefined
  const url = [info?.requestUrl, request?.url, (answer?.request as Fields)?.url].find((part) => typeof part === 'string')
  const body = info?.responseBody ?? read(answer)
  return { url, body: typeof body === 'string' ? wordsOf(body) : undefined }
}

type Fields = { readonly [name: string]: unknown } | null | undefined

function read(answer: Fields): unknown {
  try {
    return answer?.bodyText
  } catch {
    return undefined // no text
  }
}

/** The sentence in an answer that was JSON, a page or plain text. */
function wordsOf(body: string): string {
  let text = body
  try {
    const { error, message } = (JSON.parse(body) ?? {}) as { error?: unknown; message?: unknown }
    const found = (error as { message?: unknown } | undefined)?.message ?? message ?? error
    if (typeof found === 'string') text = found
  } catch {
    // not JSON
  }
  return text
    .replace(/<(script|style)[\s\S]*?<\/\1>|<[^>]*>/gi, ' ')
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
    .slice(0, LONGEST_QUOTE)
}
