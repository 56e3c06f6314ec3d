/**
 * Lets a contract take an account's tokens.
 * @module
 */
import { Interface, type Provider } from 'ethers'
import { assertContract } from '../../contracts/assertContract.ts'
import type { Rpc } from '../../core/chain/rpc.ts'
import type { Sender, SentReceipt } from '../../core/chain/sender.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'

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
  readonly signal?: AbortSignal | undefined
  /** Called when an approval leaves. */
  readonly onSent?: (() => void) | undefined
}

const erc20 = /* @__PURE__ */ new Interface([
  'function balanceOf(address) view returns (uint256)',
  'function allowance(address,address) view returns (uint256)',
  'function approve(address,uint256)',
])

/** Times that an allowance is read which does not hold: one node of several may show what is used up. */
const READINGS = 6

/**
 * Approves exactly `amount`, unless as much is allowed already, and takes it. Source: ERC-20.
 * @param take the transaction that takes the tokens.
 * @throws `INSUFFICIENT_FUNDS` with what is missing; `NOT_DEPLOYED` when there is no token at the address; what `take`
 * throws.
 */
export async function allow(options: AllowOptions, take: () => Promise<SentReceipt>): Promise<SentReceipt> {
  const { provider, rpc, sender, spender, token, amount, label, signal, onSent } = options
  const read = async (method: 'balanceOf' | 'allowance', args: readonly string[]): Promise<bigint> => {
    const data = erc20.encodeFunctionData(method, args)
    const answer = await rpc.ask(`${method} of token ${token}`, () => provider.call({ to: token, data }), { attempts: 3, signal })
    return erc20.decodeFunctionResult(method, answer)[0] as bigint
  }
  const allowed = () => read('allowance', [sender.address, spender])
  const approve = async (allowance: bigint): Promise<void> => {
    // Some tokens refuse to change an allowance that isn't zero.
    for (const value of allowance > 0n ? [0n, amount] : [amount]) {
      await sender.send({ to: token, data: erc20.encodeFunctionData('approve', [spender, value]) }, { label, signal, onSent })
    }
  }

  await assertContract('ERC-20', { provider, chainId: sender.chainId, address: token, option: 'token', signal })
  const balance = await rpc.follow(sender.address, () => read('balanceOf', [sender.address]), {
    doubts: (answer) => 'error' in answer || answer.value < amount,
    signal,
  })
  if (balance < amount) {
    throw new SluiceError(
      'INSUFFICIENT_FUNDS',
      `${sender.address} has ${balance} of token ${token}, ${amount - balance} short of the deposit`,
      { details: { token, balance, needed: amount } },
    )
  }
  const allowance = await allowed()
  if (allowance < amount) {
    await approve(allowance)
    return take()
  }
  try {
    return await take()
  } catch (error) {
    if (!isSluiceError(error, 'TOKEN_TRANSFER_FAILED') && !isSluiceError(error, 'CONTRACT_REVERTED')) throw error
    // A node that lags behind may have shown an allowance that was used up by the last taking.
    let least = allowance
    for (let i = 0; i < READINGS && least >= amount; i++) least = await allowed()
    if (least >= amount) throw error
    await approve(least)
    return take()
  }
}
