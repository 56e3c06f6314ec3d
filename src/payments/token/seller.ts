/**
 * Orders paid in ETH or tokens: the deposit lies in the order contract, vouchers or the chain's count say how much of it
 * is earned.
 * @module
 */
import { zeroPadValue, type Signer } from 'ethers'
import { address as addressRule, assertArguments, clock as clockRule, connectedSigner, integer, logger, optional, shape, store as storeRule } from '../../core/argument.ts'
import { dataTradeInterface } from '../../contracts/dataTrade.ts'
import type { Order } from '../../contracts/order.ts'
import { dataTradeDigests, type DataTradeDomain } from '../../contracts/typedData.ts'
import { concatBytes, toHex, u64Bytes, utf8, type Hex } from '../../core/bytes.ts'
import type { ChainLog } from '../../core/chain/chainLog.ts'
import { revertCode } from '../../core/chain/revert.ts'
import { createSender } from '../../core/chain/sender.ts'
import { createWatcher } from '../../core/chain/watcher.ts'
import type { Clock } from '../../core/clock.ts'
import { withDeadline } from '../../core/deadline.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import { backoff } from '../../core/retry.ts'
import type { Store } from '../../core/store/store.ts'
import { coveredBytes, orderFromWire, orderToWire } from '../../protocol/order.ts'
import type { Acknowledgement, PayableOrder, PaymentMethod, Till } from '../payment.ts'
import { assertAck } from '../prepaid.ts'
import { chainBook, type ChainOrder } from './book.ts'
import { createWorth, type MinSettlement } from './worth.ts'

/** Options of {@link tokenPayments}. */
export interface TokenPaymentsOptions {
  /** The account that is paid. */
  readonly signer: Signer
  readonly domain: DataTradeDomain
  /** Where vouchers are kept. */
  readonly store: Store
  readonly clock: Clock
  readonly log: Logger
  /** How deep an order must lie; 1 is the newest block. @default 1 */
  readonly confirmations?: number | undefined
  /** Milliseconds for a deposit, or a payment on chain, to be seen. @default 300000 */
  readonly confirmTimeout?: number | undefined
  /** Milliseconds that finished orders wait for others. @default 2000 */
  readonly settleDelay?: number | undefined
  /** Seconds that an order must have left to be taken. @default 600 */
  readonly minLifetime?: number | undefined
  /** The least sums worth settling. @default for ETH what it costs, see `createWorth` */
  readonly minSettlement?: MinSettlement | undefined
  /** Is told of money that has come. */
  readonly onSettled?: ((settled: SettledOrders) => void) | undefined
  /** Is told of money that has not come. */
  readonly onUnsettled?: ((unsettled: UnsettledOrder) => void) | undefined
  /** Is told when the chain is out of sight, and when it is back: without a reason. */
  readonly onSight?: ((blind: SluiceError | undefined) => void) | undefined
}

/** Orders of one token that were settled in one transaction. */
export interface SettledOrders {
  readonly orderIds: readonly Hex[]
  /** What each brought, in the token's smallest unit. */
  readonly amounts: readonly bigint[]
  readonly token: string
  readonly transaction: string
  /** Wei that the transaction cost, other tokens' orders in it included. */
  readonly fee: bigint
}

/** An order that is owed and not settled. */
export interface UnsettledOrder {
  readonly orderId: Hex
  /** What is earned, in the token's smallest unit. */
  readonly amount: bigint
  readonly token: string
  /** `ORDER_TOO_SMALL` when its gas would cost more, `OPEN` while it runs, else the code of what failed. */
  readonly reason: string
  /** Unix milliseconds of the next try; undefined if there is none in this run. */
  readonly retryAt: number | undefined
}

/** Token payments of a seller. */
export interface TokenPayments extends PaymentMethod {
  /** Settles on chain what is over, and waits for it. @throws what the chain says; the orders stay due then. */
  settle(options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
  /** The least sum of a token that is settled. @throws `RPC_FAILED`. */
  least(token: string): Promise<bigint>
  /** Wei per gas now. @throws `RPC_FAILED`. */
  gasPrice(): Promise<bigint>
  /** What is earned and not settled. */
  owed(): readonly UnsettledOrder[]
}

/** Orders in one settling transaction: at about 50,000 gas each, well within a block. */
const BATCH = 50

/** Milliseconds that closing waits for a settlement; what is left is done at the next start. */
const CLOSE_TIMEOUT = 10_000

/** Milliseconds until dust is looked at again: fees fall, too. */
const DUST_RETRY = 600_000
/** Milliseconds between two readings of open orders while no logs can be read. */
const PATROL = 2000

/** What a seller holds of one order. */
interface Purse {
  readonly payable: PayableOrder
  /** The best voucher that is durable. */
  voucher: Voucher | undefined
  deposit: bigint
  ended: string | undefined
  /** Whether it waits to be settled. */
  due: boolean
  /** The block that showed the order, until the watcher has come there: reorganisations before it are not told. */
  seenAt: number | undefined
  /** Why it is not settled, if that was tried. */
  unsettled: string | undefined
  till: Till
}

interface Voucher {
  readonly transferred: number
  readonly signature: Uint8Array
}

const optionRules = {
  signer: connectedSigner,
  domain: /* @__PURE__ */ shape('what dataTradeDomain() returns', { verifyingContract: addressRule }),
  store: storeRule,
  clock: clockRule,
  log: logger,
  confirmations: /* @__PURE__ */ optional(/* @__PURE__ */ integer(1)),
}

/** Takes orders paid in ETH or tokens, and takes up those of an earlier run. @throws `RPC_FAILED`, `STORE_CORRUPT`. */
export async function tokenPayments(options: TokenPaymentsOptions): Promise<TokenPayments> {
  assertArguments(options, optionRules, 'options')
  const {
    signer,
    domain,
    store,
    clock,
    log,
    confirmations = 1,
    confirmTimeout = 300_000,
    settleDelay = 2000,
    minLifetime = 600,
  } = options
  const provider = signer.provider!
  const digests = dataTradeDigests(domain)
  const book = chainBook(provider, domain, clock)
  const sender = await createSender({
    signer,
    store,
    chainId: domain.chainId,
    interfaces: [dataTradeInterface],
    confirmations,
    clock,
    log,
  })
  const worth = createWorth({ provider, chainId: domain.chainId, clock, minSettlement: options.minSettlement })
  const purses = new Map<Hex, Purse>()
  const closing = new AbortController()

  const orderKey = (id: Hex): string => `token/order/${id}`
  const voucherKey = (id: Hex): string => `token/voucher/${id}`

  // --- one order ---

  const createPurse = (payable: PayableOrder, voucher: Voucher | undefined, due: boolean): Purse => {
    let latest: { ack: Acknowledgement; settled: Promise<void> } | undefined
    const till: Till = {
      get paid() {
        return purse.voucher?.transferred ?? 0
      },
      get covered() {
        return coveredBytes(payable.order, purse.deposit)
      },
      get missing() {
        return purse.deposit < payable.order.price ? payable.order.price - purse.deposit : 0n
      },
      get ended() {
        return purse.ended
      },
      onChange: undefined,
      // Acknowledgements are cumulative: of those that come while one is being kept, only the last is worth the work.
      receive: (ack) => {
        if (latest) {
          if (ack.transferred >= latest.ack.transferred) latest.ack = ack
          return latest.settled
        }
        const slot = { ack, settled: keptNow }
        const take = async (): Promise<void> => {
          for (let taken: Acknowledgement | undefined; taken !== slot.ack; ) {
            taken = slot.ack
            await keep(purse, taken)
          }
        }
        latest = slot
        slot.settled = take().finally(() => (latest = undefined))
        return slot.settled
      },
      finish: async () => {
        await makeDue(purse)
        schedule(settleDelay)
      },
    }
    const purse: Purse = { payable, voucher, deposit: 0n, ended: undefined, due, seenAt: undefined, unsettled: undefined, till }
    return purse
  }

  /** Checks a voucher and makes it durable before it counts. */
  const keep = async (purse: Purse, ack: Acknowledgement): Promise<void> => {
    const { payable } = purse
    const { id, order } = payable
    if (ack.transferred <= purse.till.paid) return // says nothing new
    assertAck(digests, payable, ack)
    if (ack.transferred > purse.till.covered) {
      throw new SluiceError('PAYMENT_INVALID', `ACK is for ${ack.transferred} bytes, the deposit covers ${purse.till.covered}`, {
        details: { order: id, transferred: ack.transferred, covered: purse.till.covered },
      })
    }
    if (payable.mode === 'onchain') await recorded(id, ack.transferred)
    const { transferred, signature } = ack
    const voucherChange = { key: voucherKey(id), value: concatBytes(u64Bytes(transferred, 'transferred'), signature) }
    if (purses.has(id)) await store.write([voucherChange])
    else {
      // It had ended with nothing earned, and was put away.
      purses.set(id, purse)
      await store.write([voucherChange, { key: orderKey(id), value: encodeOrder(payable, true) }])
    }
    purse.voucher = { transferred, signature }
    if (purse.ended !== undefined || purse.due) schedule(0) // it came after the end, and is worth something all the same
    if (transferred === order.totalData) log.debug('order is paid in full', { order: id })
  }

  /** Waits until the chain shows that the buyer has recorded a count: its word and its transaction hash are only hints. */
  const recorded = async (id: Hex, transferred: number): Promise<void> => {
    await until(`the record of ${transferred} bytes of order ${id} on chain`, closing.signal, async (signal) => {
      const seen = await book.order(id, confirmations, signal)
      return seen.transferred >= transferred ? seen : undefined
    }).catch((cause: unknown) => {
      if (!isSluiceError(cause, 'TIMEOUT')) throw cause
      throw new SluiceError('PAYMENT_INVALID', `the chain shows no payment for ${transferred} bytes of order ${id}`, {
        cause,
        details: { order: id, transferred },
      })
    })
  }

  /** Looks at the chain until it shows something. */
  const until = <T>(what: string, signal: AbortSignal, look: (signal: AbortSignal) => Promise<T | undefined>): Promise<T> =>
    withDeadline({ what, ms: confirmTimeout, signal, clock }, async (stop) => {
      for (;;) {
        const found = await look(stop)
        if (found !== undefined) return found
        await clock.sleep(book.pollInterval, stop)
      }
    })

  const confirmed = async (payable: PayableOrder, verification: string, signal: AbortSignal): Promise<ChainOrder> => {
    const { id, order } = payable
    const found = await until(`order ${id} on chain`, signal, async (stop) => {
      const seen = await book.order(id, confirmations, stop)
      return seen.state === 'none' ? undefined : seen
    }).catch((cause: unknown) => {
      if (!isSluiceError(cause, 'TIMEOUT')) throw cause
      throw new SluiceError('ORDER_UNCONFIRMED', `order ${id} is not on chain ${domain.chainId} at depth ${confirmations}`, {
        cause,
        details: { order: id, confirmations, verification },
      })
    })
    if (found.state !== 'open')
      throw new SluiceError('ORDER_FINISHED', `order ${id} is ${found.state}`, { details: { order: id } })
    if (found.closeAt !== 0)
      throw new SluiceError('ORDER_FINISHED', `the buyer has asked to close order ${id}`, {
        details: { order: id, closeAt: found.closeAt },
      })
    if (coveredBytes(order, found.deposit) === 0) {
      throw new SluiceError('DEPOSIT_SHORT', `deposit is ${order.price - found.deposit} short of the order's price`, {
        details: { order: id, deposit: found.deposit, price: order.price },
      })
    }
    return found
  }

  // --- the chain ---

  const event = (name: 'CloseRequested' | 'Settled' | 'Disputed' | 'ToppedUp'): string =>
    dataTradeInterface.getEvent(name).topicHash
  const watcher = createWatcher({
    provider,
    name: `token-payments-${domain.verifyingContract.toLowerCase()}`,
    store,
    chainId: domain.chainId,
    addresses: [domain.verifyingContract],
    topics: [
      [event('CloseRequested'), event('Settled'), event('Disputed'), event('ToppedUp')],
      null,
      null,
      zeroPadValue(await signer.getAddress(), 32),
    ],
    fromBlock: await book.head(),
    confirmations,
    clock,
    log,
  })

  const forget = async (purse: Purse): Promise<void> => {
    const { id } = purse.payable
    purses.delete(id)
    await store.write([orderKey(id), voucherKey(id)].map((key) => ({ key, value: null })))
  }

  /** Deposits only grow; what is read may be older than what was heard. */
  const raise = (purse: Purse, deposit: bigint): void => {
    if (deposit > purse.deposit) purse.deposit = deposit
  }

  const makeDue = (purse: Purse): Promise<void> => {
    purse.due = true
    return store.write([{ key: orderKey(purse.payable.id), value: encodeOrder(purse.payable, true) }])
  }

  const end = (purse: Purse, why: string): void => {
    purse.ended = why
    purse.till.onChange?.()
  }

  const onLog = async (entry: ChainLog): Promise<void> => {
    const parsed = dataTradeInterface.parseLog(entry)
    const purse = parsed && purses.get(parsed.args.id as Hex)
    if (!purse) return
    switch (parsed.name) {
      case 'ToppedUp':
        raise(purse, parsed.args.deposit as bigint)
        purse.till.onChange?.()
        return
      case 'CloseRequested':
        log.info('a buyer closes its order', { order: purse.payable.id })
        end(purse, 'the buyer has asked to close it')
        await makeDue(purse) // durable: the watcher won't tell it again, and the buyer doesn't wait for ever
        schedule(0)
        return
      default:
        end(purse, parsed.name === 'Settled' ? 'it is settled' : 'it is disputed')
        await forget(purse)
    }
  }

  /** After a reorg every order is looked at anew: one that has left the chain pays nothing. */
  const onRollback = async (): Promise<void> => {
    for (const purse of purses.values()) await lookAgain(purse)
  }

  const lookAgain = async (purse: Purse): Promise<void> => {
    const seen = await book.order(purse.payable.id, confirmations, closing.signal)
    if (seen.state !== 'none') purse.deposit = seen.deposit
    else if (purse.deposit > 0n) {
      purse.deposit = 0n
      end(purse, 'a reorganisation took it off the chain')
    }
  }

  const onBlock = async ({ number, timestamp }: { number: number; timestamp: number }): Promise<void> => {
    for (const purse of purses.values()) {
      if (purse.seenAt !== undefined && purse.seenAt <= number) {
        await lookAgain(purse)
        purse.seenAt = undefined
      }
      if (purse.due || timestamp <= purse.payable.order.deadline) continue
      end(purse, 'its deadline has passed')
      purse.due = true
      schedule(0)
    }
  }

  // --- when logs can't be read ---

  /** Reads each open order by a direct call: a close request must be answered in time. */
  const patrol = async (): Promise<void> => {
    for (const purse of purses.values()) {
      if (closing.signal.aborted) return
      if (purse.due || purse.ended !== undefined) continue
      const { id, order } = purse.payable
      const seen = await book.order(id, confirmations, closing.signal)
      if (seen.state === 'open') raise(purse, seen.deposit)
      if (seen.state === 'settled' || seen.state === 'disputed') {
        end(purse, `it is ${seen.state}`)
        await forget(purse)
      } else if (seen.closeAt !== 0 || (await book.time(closing.signal)) > order.deadline) {
        end(purse, seen.closeAt !== 0 ? 'the buyer has asked to close it' : 'its deadline has passed')
        await makeDue(purse)
        schedule(0)
      }
    }
  }

  const guard = async (): Promise<void> => {
    for (let blind: SluiceError | undefined; !closing.signal.aborted; ) {
      const now = watcher.blind
      if ((now === undefined) !== (blind === undefined)) {
        if (now) log.error('the chain is out of sight: no new orders are taken', { code: now.code, reason: now.shortMessage })
        else log.info('the chain is in sight again')
        options.onSight?.(now)
      }
      blind = now
      if (blind) {
        await patrol().catch((error: unknown) =>
          log.warn('open orders could not be read', { reason: error instanceof Error ? error.message : String(error) }),
        )
      }
      await clock.sleep(blind ? PATROL : book.pollInterval, closing.signal).catch(() => {})
    }
  }

  // --- settling ---

  /** What an order has earned. */
  const earned = ({ payable: { order }, voucher, deposit }: Purse): bigint => {
    const sum = (order.price * BigInt(voucher?.transferred ?? 0)) / BigInt(order.totalData)
    return deposit > 0n && sum > deposit ? deposit : sum
  }

  const owing = (purse: Purse, reason: string, retryAt?: number): UnsettledOrder => ({
    orderId: purse.payable.id,
    amount: earned(purse),
    token: purse.payable.order.token,
    reason,
    retryAt,
  })

  /** Says once for each reason that an order's money has not come. */
  const tellUnsettled = (purse: Purse, reason: string, retryAt?: number): void => {
    if (purse.unsettled === reason) return
    purse.unsettled = reason
    const { orderId, amount, token } = owing(purse, reason)
    log.warn('an order is not settled', { order: orderId, amount, token, reason, retryAt })
    options.onUnsettled?.({ orderId, amount, token, reason, retryAt })
  }

  /** A sum that nobody owes is left to the buyer to take back: settling it would only cost us gas. */
  const worthSettling = ({ voucher, payable }: Purse): boolean =>
    payable.order.price > 0n && (voucher !== undefined || payable.mode === 'onchain')

  let timer: AbortController | undefined
  let timerAt = Infinity
  let settling: Promise<void> | undefined
  let failures = 0

  const schedule = (delay: number): void => {
    const at = clock.now() + delay
    if (closing.signal.aborted || at >= timerAt) return
    timer?.abort()
    timerAt = at
    timer = new AbortController()
    clock.sleep(delay, timer.signal).then(
      () => {
        timerAt = Infinity
        settleDue(closing.signal).then(
          () => (failures = 0),
          (error: unknown) => {
            failures++
            log.error('settling failed; it is tried again', { reason: error instanceof Error ? error.message : String(error) })
            const delay = backoff(failures, { delay: 1000, maxDelay: 60_000 })
            const reason = isSluiceError(error) ? error.code : 'PEER_REFUSED'
            for (const purse of purses.values()) {
              const tried = purse.due && worthSettling(purse) && purse.unsettled !== TOO_SMALL
              if (tried) tellUnsettled(purse, reason, clock.now() + delay)
            }
            schedule(delay)
          },
        )
      },
      () => {},
    )
  }

  const settleDue = async (signal: AbortSignal): Promise<void> => {
    while (settling)
      await withDeadline({ what: 'the settlement under way', signal, clock }, () => settling?.catch(() => {}) ?? keptNow)
    settling = settleAll(signal).finally(() => (settling = undefined))
    return settling
  }

  const settleAll = async (signal: AbortSignal): Promise<void> => {
    const due = [...purses.values()].filter((purse) => purse.due)
    for (const purse of due) if (!worthSettling(purse)) await forget(purse)
    const worthIt: Purse[] = []
    for (const purse of due.filter(worthSettling)) {
      // What the chain counted is worth what it says; the voucher is not kept of an earlier run's.
      if (!purse.voucher || earned(purse) >= (await worth.least(purse.payable.order.token, signal))) worthIt.push(purse)
      else {
        tellUnsettled(purse, TOO_SMALL, clock.now() + DUST_RETRY)
        schedule(DUST_RETRY)
      }
    }
    // Next to each other, payouts to one account in one token are one transfer.
    const batchable = worthIt.sort((a, b) => (a.payable.order.token < b.payable.order.token ? -1 : 1))
    const batches: Purse[][] = []
    for (let at = 0; at < batchable.length; at += BATCH) batches.push(batchable.slice(at, at + BATCH))
    await eachOf(batches, (batch) => settleBatch(batch, signal))
  }

  const settleBatch = async (batch: readonly Purse[], signal: AbortSignal): Promise<void> => {
    const items = batch.map(({ payable, voucher }) => ({
      order: payable.order,
      transferred: voucher?.transferred ?? 0,
      signature: voucher ? toHex(voucher.signature) : '0x',
    }))
    const [only] = items
    const data =
      items.length === 1
        ? dataTradeInterface.encodeFunctionData('settle', [only!.order, only!.transferred, only!.signature])
        : dataTradeInterface.encodeFunctionData('settleBatch', [items])
    try {
      const receipt = await sender.send(
        { to: domain.verifyingContract, data },
        { label: items.length === 1 ? 'settle order' : `settle ${items.length} orders`, signal },
      )
      log.info('orders settled', { count: items.length, transaction: receipt.hash, gas: receipt.gasUsed, fee: receipt.fee })
      for (const token of new Set(batch.map((purse) => purse.payable.order.token))) {
        const those = batch.filter((purse) => purse.payable.order.token === token)
        const [orderIds, amounts] = [those.map((purse) => purse.payable.id), those.map(earned)]
        options.onSettled?.({ orderIds, amounts, token, transaction: receipt.hash, fee: receipt.fee })
      }
    } catch (error) {
      if (
        items.length > 1 &&
        !isSluiceError(error, 'TRANSACTION_UNKNOWN') &&
        !isSluiceError(error, 'RPC_FAILED') &&
        !isSluiceError(error, 'ABORTED')
      ) {
        // One of them is at fault: it must not hold up the others.
        await eachOf(batch, (purse) => settleBatch([purse], signal))
        return
      }
      const code = revertCode(error)
      if (code !== 'ORDER_ALREADY_FINISHED' && code !== 'ORDER_NOT_FOUND') throw error
      const { id, order } = batch[0]!.payable
      if (code === 'ORDER_NOT_FOUND' && (await book.time(signal)) <= order.deadline) {
        // A reorganisation took it away, or the node is behind: as long as it can come back, so can the money.
        log.warn('an order is missing on chain; it is looked for again', { order: id })
        schedule(10 * book.pollInterval)
        return
      }
      log.warn('an order was over before it could be settled', { order: id, code })
      tellUnsettled(batch[0]!, code)
    }
    for (const purse of batch) {
      end(purse, 'it is settled')
      await forget(purse)
    }
  }

  // --- an earlier run ---

  for await (const [, value] of store.list('token/order/')) {
    const { payable, due } = decodeOrder(value)
    const kept = await store.get(voucherKey(payable.id))
    const voucher = kept && {
      transferred: Number(new DataView(kept.buffer, kept.byteOffset).getBigUint64(0)),
      signature: kept.slice(8),
    }
    purses.set(payable.id, createPurse(payable, voucher, due))
  }
  await watcher.start({ onLog, onBlock, onRollback })
  if ([...purses.values()].some((purse) => purse.due)) schedule(0)
  void guard()

  return {
    kind: 'token',
    least: (token) => worth.least(token),
    gasPrice: () => worth.gasPrice(),
    owed: () =>
      [...purses.values()].filter((purse) => earned(purse) > 0n).map((purse) => owing(purse, purse.due ? (purse.unsettled ?? 'DUE') : 'OPEN')),
    accept: async (payable, verification, { signal }) => {
      const { id, order } = payable
      const time = await book.time(signal)
      const known = purses.get(id)
      if (known?.due) throw new SluiceError('ORDER_FINISHED', `order ${id} is over, and is being settled`, { details: { order: id } })
      if (!known && order.deadline < time + minLifetime) {
        throw new SluiceError(
          'ORDER_EXPIRED',
          `order ${id} has ${Math.max(0, order.deadline - time)} seconds left; it must have ${minLifetime}`,
          {
            details: { order: id, deadline: order.deadline, minLifetime },
          },
        )
      }
      const purse = known ?? createPurse(payable, undefined, false)
      purse.ended = undefined
      // Before the look at the chain: what happens there meanwhile must find it.
      purses.set(id, purse)
      try {
        const { deposit, block } = await confirmed(payable, verification, signal)
        raise(purse, deposit)
        purse.seenAt = block
        if (!known) await store.write([{ key: orderKey(id), value: encodeOrder(payable, purse.due) }])
      } catch (error) {
        if (!known) purses.delete(id)
        throw error
      }
      return purse.till
    },
    settle: ({ signal } = {}) => settleDue(signal ?? closing.signal),
    close: async () => {
      timer?.abort()
      await watcher.stop()
      await withDeadline({ what: 'the last settlement', ms: CLOSE_TIMEOUT, clock }, settleDue).catch((error: unknown) =>
        log.error('orders are left to be settled at the next start', {
          reason: error instanceof Error ? error.message : String(error),
        }),
      )
      closing.abort()
      await sender.close()
    },
  }
}

const keptNow = Promise.resolve()

const TOO_SMALL = 'ORDER_TOO_SMALL'

/** Does all, even when one fails. @throws what the first failure threw. */
async function eachOf<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = []
  for (const item of items) await act(item).catch((error: unknown) => failures.push(error))
  if (failures.length > 0) throw failures[0]
}

function encodeOrder({ id, order, mode }: PayableOrder, due: boolean): Uint8Array {
  return utf8(JSON.stringify({ id, terms: orderToWire(order), mode, due }))
}

function decodeOrder(bytes: Uint8Array): { payable: PayableOrder; due: boolean } {
  try {
    const { id, terms, mode, due } = JSON.parse(new TextDecoder().decode(bytes)) as {
      id: Hex
      terms: Parameters<typeof orderFromWire>[0]
      mode: PayableOrder['mode']
      due: boolean
    }
    const order: Order = orderFromWire(terms)
    return { payable: { id, order, mode }, due }
  } catch (cause) {
    throw new SluiceError('STORE_CORRUPT', 'an order in the store cannot be read', { cause })
  }
}
