/**
 * Lets a contract take an account's tokens.
 * @module
 */
import { Interface, type Provider } from 'ethers'
import type { Rpc } from '../../core/chain/rpc.ts'
import type { Sender } from '../../core/chain/sender.ts'
import { SluiceError } from '../../core/errors.ts'

/** Options of {@link allow}. */
export interface AllowOptions {
  readonly provider: Provider
  readonly rpc: Rpc
  /** The account whose tokens they are. */
  readonly sender: Sender
  /** Who may take them. */
  readonly spender: string
  readonly token: string
  readonly amount: bigint
  /** What the approval is called in messages. */
  readonly label: string
  readonly signal: AbortSignal | undefined
}

const erc20 = /* @__PURE__ */ new Interface([
  'function balanceOf(address) view returns (uint256)',
  'function allowance(address,address) view returns (uint256)',
  'function approve(address,uint256)',
])

/**
 * Approves exactly `amount`, unless as much is allowed already. Source: ERC-20.
 * @throws `INSUFFICIENT_FUNDS` with what is missing; `TOKEN_TRANSFER_FAILED` when there is no token at the address.
 */
export async function allow(options: AllowOptions): Promise<void> {
  const { provider, rpc, sender, spender, token, amount, label, signal } = options
  const read = async (method: 'balanceOf' | 'allowance', args: readonly string[]): Promise<bigint> => {
    const data = erc20.encodeFunctionData(method, args)
    const answer = await rpc.ask(`${method} of token ${token}`, () => provider.call({ to: token, data }), { attempts: 3, signal })
    if (answer === '0x') throw new SluiceError('TOKEN_TRANSFER_FAILED', `there is no token at ${token}`, { details: { token } })
    return erc20.decodeFunctionResult(method, answer)[0] as bigint
  }

  const balance = await read('balanceOf', [sender.address])
  if (balance < amount) {
    throw new SluiceError('INSUFFICIENT_FUNDS', `${sender.address} has ${balance} of token ${token}, ${amount - balance} short of the deposit`, {
      details: { token, balance, needed: amount },
    })
  }
  const allowance = await read('allowance', [sender.address, spender])
  if (allowance >= amount) return
  // Some tokens refuse to change an allowance that isn't zero.
  for (const value of allowance > 0n ? [0n, amount] : [amount]) {
    await sender.send({ to: token, data: erc20.encodeFunctionData('approve', [spender, value]) }, { label, signal })
  }
}
