/**
 * Pays for orders in ETH or tokens: deposits into the order contract, and brings back what was not earned.
 * @module
 */
import { Interface, type Signer } from 'ethers'
import { dataTradeInterface } from '../../contracts/dataTrade.ts'
import type { Order } from '../../contracts/order.ts'
import type { DataTradeDomain } from '../../contracts/typedData.ts'
import { toHex, type Hex } from '../../core/bytes.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import { createSender, type SentReceipt } from '../../core/chain/sender.ts'
import type { Clock } from '../../core/clock.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import type { Store } from '../../core/store/store.ts'
import { ETH } from '../../protocol/menu.ts'
import type { Payer, PayableOrder } from '../payment.ts'
import { chainBook } from './book.ts'

/** Options of {@link createTokenPayer}. */
export interface TokenPayerOptions {
  /** The account that pays. */
  readonly signer: Signer
  readonly domain: DataTradeDomain
  /** Where signed transactions survive a crash. */
  readonly store: Store
  readonly clock: Clock
  readonly log: Logger
  /** How deep its transactions must lie; 1 is the newest block. @default 1 */
  readonly confirmations?: number | undefined
}

/** An order that the payer has opened. */
export interface OpenedOrder {
  readonly id: Hex
  readonly order: Order
}

/** What came back of a deposit. */
export interface Reclaimed {
  /** How the order ended: `none` if it never came on chain. */
  readonly state: 'none' | 'settled' | 'disputed'
  /** To the buyer. */
  readonly refunded: bigint
  /** To the seller, in all. */
  readonly paid: bigint
}

/** What the contract's `dispute` takes. */
export interface Evidence {
  readonly index: number
  readonly leaf: Hex
  readonly proof: readonly Hex[]
  readonly signature: Hex
}

/** A payer in ETH and tokens. */
export interface TokenPayer extends Payer {
  /** Raises a deposit. */
  topUp(opened: OpenedOrder, amount: bigint, options?: SignalOptions): Promise<void>
  /**
   * Ends an order: asks for it to be closed, waits until the seller has had its time, then settles. Shows the contract
   * what the buyer itself acknowledged last, so that a seller who is gone still gets what it earned.
   */
  reclaim(opened: OpenedOrder, options: ReclaimOptions): Promise<Reclaimed>
  /** Takes back the unpaid rest of a deposit with a wrong chunk that the seller signed. */
  dispute(opened: OpenedOrder, evidence: Evidence, options?: SignalOptions): Promise<Reclaimed>
  close(): Promise<void>
}

/** How to stop waiting. */
export interface SignalOptions {
  readonly signal?: AbortSignal | undefined
}

/** Options of {@link TokenPayer.reclaim}. */
export interface ReclaimOptions extends SignalOptions {
  /** The buyer's last acknowledgement. @default none */
  readonly ack?: { readonly transferred: number; readonly signature: Uint8Array } | undefined
}

const erc20 = /* @__PURE__ */ new Interface([
  'function balanceOf(address) view returns (uint256)',
  'function allowance(address,address) view returns (uint256)',
  'function approve(address,uint256)',
])

/** Creates the payer of an account. @throws `RPC_FAILED`, `WRONG_CHAIN`. */
export async function createTokenPayer(options: TokenPayerOptions): Promise<TokenPayer> {
  const { signer, domain, store, clock, log, confirmations = 1 } = options
  const provider = signer.provider!
  const to = domain.verifyingContract
  const book = chainBook(provider, domain, clock)
  const rpc = createRpc({ provider, clock })
  const sender = await createSender({ signer, store, chainId: domain.chainId, interfaces: [dataTradeInterface], confirmations, clock, log })

  const read = async (token: string, method: 'balanceOf' | 'allowance', args: readonly string[], signal: AbortSignal | undefined): Promise<bigint> => {
    const data = erc20.encodeFunctionData(method, args)
    const answer = await rpc.ask(`${method} of token ${token}`, () => provider.call({ to: token, data }), { attempts: 3, signal })
    if (answer === '0x') throw new SluiceError('TOKEN_TRANSFER_FAILED', `there is no token at ${token}`, { details: { token } })
    return erc20.decodeFunctionResult(method, answer)[0] as bigint
  }

  /** Lets the contract take a deposit in a token. */
  const allow = async (id: Hex, token: string, amount: bigint, signal: AbortSignal | undefined): Promise<void> => {
    const balance = await read(token, 'balanceOf', [sender.address], signal)
    if (balance < amount) {
      throw new SluiceError('INSUFFICIENT_FUNDS', `the buyer has ${balance} of token ${token}, ${amount - balance} short of the deposit`, {
        details: { token, balance, needed: amount },
      })
    }
    const allowance = await read(token, 'allowance', [sender.address, to], signal)
    if (allowance >= amount) return
    // Some tokens refuse to change an allowance that isn't zero.
    for (const value of allowance > 0n ? [0n, amount] : [amount]) {
      await sender.send({ to: token, data: erc20.encodeFunctionData('approve', [to, value]) }, { label: `approve the deposit of order ${id}`, signal })
    }
  }

  const isEth = (token: string): boolean => token.toLowerCase() === ETH

  /** Reads what a finishing transaction did. */
  const finished = (receipt: SentReceipt, id: Hex): Reclaimed | undefined => {
    for (const entry of receipt.logs) {
      if (entry.address.toLowerCase() !== to.toLowerCase()) continue
      const parsed = dataTradeInterface.parseLog(entry)
      if (parsed?.args.id !== id) continue
      if (parsed.name === 'Settled') return { state: 'settled', refunded: parsed.args.refunded as bigint, paid: parsed.args.paid as bigint }
      if (parsed.name === 'Disputed') return { state: 'disputed', refunded: parsed.args.refunded as bigint, paid: 0n }
    }
    return undefined
  }

  /** What an order that somebody else finished came to. */
  const outcome = async (id: Hex, signal: AbortSignal | undefined): Promise<Reclaimed> => {
    const { state, deposit, paid } = await book.order(id, 1, signal)
    if (state === 'open') throw new SluiceError('ORDER_NOT_FINISHED', `order ${id} is still open`, { details: { order: id } })
    return { state, refunded: deposit - paid, paid }
  }

  return {
    kind: 'token',
    open: async ({ id, order }: PayableOrder, { deposit, signal }) => {
      if (!isEth(order.token) && !sender.find(`create/${id}`)) await allow(id, order.token, deposit, signal)
      const receipt = await sender.send(
        { to, data: dataTradeInterface.encodeFunctionData('create', [order, deposit]), value: isEth(order.token) ? deposit : 0n },
        // One deposit for one order, however often a crash makes us ask.
        { label: `create order ${id}`, key: `create/${id}`, signal },
      )
      return { verification: receipt.hash }
    },
    pay: async ({ id, mode }, transferred, { signal }) => {
      if (mode === 'voucher') return { verification: '' }
      try {
        const data = dataTradeInterface.encodeFunctionData('updateTransferred', [id, transferred])
        return { verification: (await sender.send({ to, data }, { label: `record ${transferred} bytes of order ${id}`, signal })).hash }
      } catch (error) {
        // An earlier run recorded it, and ended before it could say so.
        if (isSluiceError(error, 'TRANSFERRED_NOT_INCREASED')) return { verification: '' }
        throw error
      }
    },
    topUp: async ({ id, order }, amount, { signal } = {}) => {
      if (!isEth(order.token)) await allow(id, order.token, amount, signal)
      const data = dataTradeInterface.encodeFunctionData('topUp', [order, amount])
      await sender.send({ to, data, value: isEth(order.token) ? amount : 0n }, { label: `top up order ${id}`, signal })
    },
    reclaim: async ({ id, order }, { ack, signal }) => {
      const grace = await book.grace(signal)
      const voucher = [ack?.transferred ?? 0, ack ? toHex(ack.signature) : '0x'] as const
      for (;;) {
        const seen = await book.order(id, 1, signal)
        if (seen.state !== 'open') return outcome(id, signal)
        const now = await book.time(signal)
        const opensAt = seen.closeAt !== 0 ? seen.closeAt : order.deadline + grace
        const complete = Math.max(seen.transferred, voucher[0]) >= order.totalData
        try {
          if (complete || now >= opensAt) {
            const data = dataTradeInterface.encodeFunctionData('settle', [order, ...voucher])
            const receipt = await sender.send({ to, data }, { label: `settle order ${id}`, signal })
            return finished(receipt, id) ?? (await outcome(id, signal))
          }
          if (seen.closeAt === 0) {
            const data = dataTradeInterface.encodeFunctionData('requestClose', [order])
            await sender.send({ to, data }, { label: `ask to close order ${id}`, signal })
            continue
          }
        } catch (error) {
          // The seller was faster, or the chain's clock is behind its newest block.
          if (!isSluiceError(error, 'ORDER_ALREADY_FINISHED') && !isSluiceError(error, 'CLOSE_ALREADY_REQUESTED') && !isSluiceError(error, 'SETTLE_TOO_EARLY')) {
            throw error
          }
        }
        await clock.sleep(Math.max(book.pollInterval, Math.min(60_000, ((opensAt - now) * 1000) / 2)), signal)
      }
    },
    dispute: async ({ id, order }, { index, leaf, proof, signature }, { signal } = {}) => {
      const data = dataTradeInterface.encodeFunctionData('dispute', [order, index, leaf, [...proof], signature])
      const receipt = await sender.send({ to, data }, { label: `dispute order ${id}`, signal })
      return finished(receipt, id) ?? (await outcome(id, signal))
    },
    close: () => sender.close(),
  }
}
