import type { JsonRpcProvider, TypedDataDomain, TypedDataField, Wallet } from 'ethers'
import type { BrowserContext } from 'playwright-core'

/** What a person does with a wallet. */
export interface WalletOptions {
  /** Whether the person says yes to a payment. @default yes */
  readonly consent?: (() => boolean) | undefined
  /** Whether the page was allowed to see the account on an earlier visit. @default false */
  readonly connected?: boolean | undefined
}

/** What a person must agree to; everything else is answered by the node. */
const PROMPTS = ['eth_requestAccounts', 'eth_sendTransaction', 'personal_sign', 'eth_sign', 'eth_signTypedData_v4']

/**
 * Puts a wallet into the pages of a browser profile. The key stays here, as it stays with a wallet: a page sees EIP-1193 and
 * nothing else.
 * @returns what the wallet was asked for that it has to ask a person about, in order.
 */
export async function giveWallet(
  context: BrowserContext,
  wallet: Wallet,
  { consent = () => true, connected = false }: WalletOptions = {},
): Promise<string[]> {
  const prompts: string[] = []
  let allowed = connected

  const answer = async (method: string, params: readonly unknown[]): Promise<unknown> => {
    if (PROMPTS.includes(method)) prompts.push(method)
    switch (method) {
      case 'eth_requestAccounts':
        allowed = true
        return [wallet.address]
      case 'eth_accounts':
        return allowed ? [wallet.address] : []
      case 'eth_sendTransaction': {
        if (!consent()) throw Object.assign(new Error('User rejected the request.'), { code: 4001 })
        const { to, data: input, value, gas } = params[0] as { to: string; data: string; value?: string; gas?: string }
        return (await wallet.sendTransaction({ to, data: input, value: value ?? 0, gasLimit: gas ?? null })).hash
      }
      case 'eth_signTypedData_v4': {
        const { domain, types, message } = JSON.parse(params[1] as string) as {
          domain: TypedDataDomain
          types: Record<string, TypedDataField[]>
          message: Record<string, unknown>
        }
        const { EIP712Domain: _, ...own } = types
        return wallet.signTypedData(domain, own, message)
      }
      default:
        if (PROMPTS.includes(method)) throw Object.assign(new Error(`${method} is not to be asked for`), { code: 4200 })
        return (wallet.provider as JsonRpcProvider).send(method, [...params])
    }
  }
  await context.exposeFunction('walletAnswer', async (method: string, params: readonly unknown[] = []) =>
    answer(method, params).then(
      (result) => ({ result }),
      // What a node answers is inside the error of ethers.
      (error: { code?: unknown; message?: string; error?: { code: number; message: string; data?: unknown } }) => ({
        error: error.error ?? { code: error.code, message: error.message },
      }),
    ),
  )
  await context.addInitScript(() => {
    type Answer = { result?: unknown; error?: object }
    const page = window as unknown as { walletAnswer(method: string, params?: unknown): Promise<Answer> }
    Object.assign(window, {
      ethereum: {
        request: async ({ method, params }: { method: string; params?: unknown }) => {
          const { result, error } = await page.walletAnswer(method, params)
          if (error) throw Object.assign(new Error('wallet'), error)
          return result
        },
      },
    })
  })
  return prompts
}
