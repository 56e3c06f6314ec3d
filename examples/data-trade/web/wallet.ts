import type { Eip1193Provider } from 'ethers'

declare global {
  interface Window {
    /** What a wallet puts into the page: EIP-1193. */
    ethereum?: Eip1193Provider & { on?(event: string, listener: () => void): void }
  }
}

/**
 * The wallet of this browser; else, where the page was given a development chain, an account that the chain signs for.
 */
export function findWallet(developmentRpc: string | null): Window['ethereum'] {
  return window.ethereum ?? (developmentRpc === null ? undefined : { request: (call) => ask(developmentRpc, call) })
}

/** A development chain knows no pop-ups: it signs at once for the accounts it made. */
async function ask(url: string, { method, params = [] }: Parameters<Eip1193Provider['request']>[0]): Promise<unknown> {
  const asked = method === 'eth_requestAccounts' ? 'eth_accounts' : method
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: asked, params }),
  })
  const { result, error } = (await answer.json()) as { result: unknown; error?: { message: string } }
  if (error) throw Object.assign(new Error(error.message), error)
  return result
}
