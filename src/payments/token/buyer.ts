/**
 * Pays for orders in ETH or tokens: deposits into the order contract, and brings back what was not earned.
 * @module
 */
import type { Signer } from 'ethers'
import { address as addressRule, assertArguments, clock as clockRule, connectedSigner, integer, logger, optional, shape, store as storeRule } from '../../core/argument.ts'
import { dataTradeInterface } from '../../contracts/dataTrade.ts'
import type { DataTradeDomain } from '../../contracts/typedData.ts'
import type { Hex } from '../../core/bytes.ts'
import { createRpc } from '../../core/chain/rpc.ts'
import type { SentReceipt } from '../../core/chain/sender.ts'
import type { Clock } from '../../core/clock.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import type { Store } from '../../core/store/store.ts'
import { ETH } from '../../protocol/menu.ts'
import type { Payer, PayableOrder } from '../payment.ts'
import { chainBook } from './book.ts'
import type { Evidence, OpenedOrder, Reclaimed, ReclaimOptions, SignalOptions } from './recovery.ts'

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
  /** Stops looking after transactions. */
  close(): Promise<void>
}

const optionRules = {
  signer: connectedSigner,
  domain: /* @__PURE__ */ shape('what dataTradeDomain() returns', { verifyingContract: addressRule }),
  store: storeRule,
  clock: clockRule,
  log: logger,
  confirmations: /* @__PURE__ */ optional(/* @__PURE__ */ integer(1)),
}

/** Creates the payer of an account. @throws `RPC_FAILED`, `WRONG_CHAIN`. */
export async function createTokenPayer(options: TokenPayerOptions): Promise<TokenPayer> {
  assertArguments(options, optionRules, 'options')
  const { signer, domain, store, clock, log, confirmations = 1 } = options
  const provider = signer.provider!
  const to = domain.verifyingContract
  const book = chainBook(provider, domain, clock)
  const rpc = createRpc({ provider, clock })
  // What sends is a fifth of all that a page carries, and not wanted before it trades.
  const { createSender } = await import('../../core/chain/sender.ts')
  const sender = await createSender({
    signer,
    store,
    chainId: domain.chainId,
    interfaces: [dataTradeInterface],
    confirmations,
    clock,
    log,
  })

  const chain = { to, book, sender, rpc, clock }

  /** Lets the contract take a deposit in a token, and pays it in. Loaded for tokens only. */
  const allow = async (
    { id, token, amount, signal }: { id: Hex; token: string; amount: bigint; signal: AbortSignal | undefined },
    take: () => Promise<SentReceipt>,
  ): Promise<SentReceipt> =>
    (await import('./allowance.ts')).allow(
      { provider, rpc, sender, spender: to, token, amount, label: `approve the deposit of order ${id}`, signal },
      take,
    )

  const isEth = (token: string): boolean => token.toLowerCase() === ETH

  /** One at a time: an allowance is for the next taking alone, and two at once would both rely on the first one's. */
  const inTurn = <T>(run: () => Promise<T>): Promise<T> => {
    const result = turn.then(run)
    turn = result.then(
      () => {},
      () => {},
    )
    return result
  }
  let turn = Promise.resolve()

  return {
    kind: 'token',
    open: async ({ id, order }: PayableOrder, { deposit, signal }) => {
      const key = `create/${id}`
      const data = dataTradeInterface.encodeFunctionData('create', [order, deposit])
      // One deposit for one order, however often a crash makes us ask.
      const create = (value: bigint): Promise<SentReceipt> => sender.send({ to, data, value }, { label: `create order ${id}`, key, signal })
      const earlier = sender.find(key)
      if (earlier) {
        const receipt = await create(isEth(order.token) ? deposit : 0n).catch((error: unknown) => {
          if (isSluiceError(error, 'TRANSACTION_REVERTED') || isSluiceError(error, 'TRANSACTION_REPLACED')) throw error
          throw new SluiceError('TRANSACTION_UNKNOWN', `the deposit of order ${id} was sent before; its end is not known yet`, {
            details: { order: id, hash: earlier.hash },
            cause: error,
          })
        })
        return { verification: receipt.hash }
      }
      if (isEth(order.token)) return { verification: (await create(deposit)).hash }
      const { hash } = await inTurn(() => allow({ id, token: order.token, amount: deposit, signal }, () => create(0n)))
      return { verification: hash }
    },
    pay: async ({ id, mode }, transferred, { signal }) =>
      mode === 'voucher' ? { verification: '' } : (await import('./record.ts')).recordTransferred(chain, id, transferred, signal),
    topUp: async (opened, amount, { signal } = {}) => {
      const { topUp } = await import('./record.ts')
      const { token } = opened.order
      if (isEth(token)) await topUp(chain, opened, amount, amount, signal)
      else await inTurn(() => allow({ id: opened.id, token, amount, signal }, () => topUp(chain, opened, amount, 0n, signal)))
    },
    reclaim: async (opened, reclaimOptions) => (await import('./recovery.ts')).reclaim(chain, opened, reclaimOptions),
    dispute: async (opened, evidence, { signal } = {}) =>
      (await import('./recovery.ts')).dispute(chain, opened, evidence, signal),
    close: () => sender.close(),
  }
}
