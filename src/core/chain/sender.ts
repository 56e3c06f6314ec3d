import { getAddress, type Interface, isAddress, isError } from 'ethers'
import { throwIfAborted, withDeadline } from '../deadline.ts'
import { assertArgument, isSluiceError, SluiceError } from '../errors.ts'
import { backoff, jsonRpcError } from '../retry.ts'
import type { Store } from '../store/store.ts'
import { type AccountOptions, openAccount } from './account.ts'
import type { Fees } from './fees.ts'
import { throwRevert } from './revert.ts'
import { assertChain, nodeUrl, pollIntervalOf, rpcError } from './rpc.ts'
import { createTracker, type ForeignTransaction, type Tracked, type TransactionOutcome } from './tracker.ts'
import type { SentReceipt, TransactionRecord } from './transactionRecord.ts'
import { judge, reasonOf, worthAnother } from './verdict.ts'

export type { TransactionOutcome } from './tracker.ts'
export type { SentReceipt } from './transactionRecord.ts'

/** Options of {@link createSender}. */
export interface SenderOptions extends AccountOptions {
  /** Where signed transactions survive a crash. @default memory only */
  readonly store?: Store | undefined
  /** Where the custom errors of the contracts are looked up. @default none */
  readonly interfaces?: readonly Interface[] | undefined
  /** How deep a transaction must lie to count as done; 1 is the newest block. @default 1 */
  readonly confirmations?: number | undefined
  /** Milliseconds without being mined after which the fee is raised. @default 60000 */
  readonly stuckAfter?: number | undefined
  /** How often the fee of one transaction is raised at most. @default 8 */
  readonly maxBumps?: number | undefined
  /** Transactions under way or waiting for their turn; more are refused with `OVERLOADED`. @default 1000 */
  readonly maxPending?: number | undefined
  /** Milliseconds between two looks at the chain. @default 200 on development chains, 2000 elsewhere */
  readonly pollInterval?: number | undefined
}

/** What a transaction does. */
export interface TransactionCall {
  /** The contract or account that is called. */
  readonly to: string
  /** Call data in hex. @default 0x */
  readonly data?: string | undefined
  /** Wei sent along. @default 0n */
  readonly value?: bigint | undefined
}

/** A contract that a transaction creates. */
export interface ContractCreation {
  readonly to: null
  /** Its creation code and arguments in hex. */
  readonly data: string
  readonly value?: undefined
}

/** Options of {@link Sender.send}. */
export interface SendOptions {
  /** What the transaction is for, in log lines and errors: `create order`. @default transaction */
  readonly label?: string | undefined
  /**
   * Makes the send idempotent, across restarts if there is a store: at most one transaction is ever made for a key, and
   * a second `send` of it waits for the first one's receipt. Kept until {@link Sender.forget}. @default none
   */
  readonly key?: string | undefined
  /** Stops waiting. @default none */
  readonly signal?: AbortSignal | undefined
  /** Milliseconds to wait at most. @default 600000 */
  readonly timeout?: number | undefined
  /** Called when the transaction leaves, and again with another hash when its fee is raised. @default none */
  readonly onSent?: ((hash: string) => void) | undefined
}

/** A transaction whose end is open. */
export interface PendingTransaction {
  /** Every hash it was sent under, newest last; any of them may be mined. */
  readonly hashes: readonly string[]
  /** Unknown at first for a wallet's transaction. */
  readonly nonce: number | undefined
  readonly label: string
  readonly key: string | undefined
}

/** Sends the transactions of one account and sees each of them through. */
export interface Sender {
  readonly address: string
  readonly chainId: bigint
  /**
   * Sends a transaction and waits for its receipt.
   *
   * Until it has left, errors say that nothing was sent: `ABORTED`, `TIMEOUT`, `RPC_FAILED`, `INSUFFICIENT_FUNDS`,
   * `TRANSACTION_REJECTED`, `OVERLOADED`, `STORE_FAILED`, `WRONG_CHAIN`, or what the contract would revert with (its
   * custom error's code, else `CONTRACT_REVERTED`).
   * @throws afterwards `TRANSACTION_REVERTED`; `TRANSACTION_REPLACED` when another transaction took its nonce and it can
   * no longer happen; `TRANSACTION_UNKNOWN` with `hash` and `nonce` when its end is open. It is still seen through then:
   * ask {@link Sender.outcome}.
   */
  send(call: TransactionCall | ContractCreation, options?: SendOptions | undefined): Promise<SentReceipt>
  /** Finds out what became of a transaction. */
  outcome(hash: string): Promise<TransactionOutcome>
  /** The transactions whose end is open, oldest first, also those of an earlier run. */
  pending(): readonly PendingTransaction[]
  /** Whether a transaction was ever made for a key, and under which hash it was sent last. */
  find(key: string): { readonly hash: string; readonly done: boolean } | undefined
  /** Forgets a key whose transaction is done, once its result is kept elsewhere. */
  forget(key: string): Promise<void>
  /** Stops looking after transactions. Calls that wait get `TRANSACTION_UNKNOWN`, or `ABORTED` if nothing was sent. */
  close(): Promise<void>
}

/**
 * Gas allowed beyond the estimate just after a transaction of ours: a node that has not seen it takes slots for full that
 * are empty now. Four of them, 17,100 each. Source: EIP-2200, EIP-3529.
 */
const GAS_FOR_CHANGES = 70_000n
/** How often a fresh nonce and fee are tried when the node refuses the last ones. */
const MAX_TRIES = 8

/**
 * Creates a sender, and takes up what an earlier run left in the store.
 *
 * A signer that holds its key signs here: each transaction is stored before it leaves, so that after a crash the same
 * one is sent again and never a second. A browser wallet chooses nonce and fee itself, and its transactions can be
 * stored only once it has named their hash. All senders of one account in a process share one sequence of nonces; two
 * processes may share an account, but not a store.
 * @throws `BAD_ARGUMENT` for a signer without provider; `STORE_LOCKED` if the store has a sender of this account already;
 * `WRONG_CHAIN`, `RPC_FAILED`, `STORE_FAILED`, `STORE_CORRUPT`.
 */
export async function createSender(options: SenderOptions): Promise<Sender> {
  const { store, interfaces = [], confirmations = 1, stuckAfter = 60_000, maxBumps = 8, maxPending = 1000 } = options
  assertArgument(Number.isSafeInteger(confirmations) && confirmations >= 1, 'confirmations', 'a whole number from 1')
  const account = await openAccount(options)
  const { address, chainId, provider, rpc, lane, clock, log } = account
  const tracker = await createTracker({
    account,
    store,
    interfaces,
    confirmations,
    stuckAfter,
    maxBumps,
    maxFeePerGas: options.maxFeePerGas,
    pollInterval: options.pollInterval ?? pollIntervalOf(chainId),
  }).catch((error: unknown) => {
    lane.release()
    throw error
  })

  /** One per call that waits. */
  const calls = new Set<AbortController>()
  /** Transactions that are being made for a key, some of them for callers who no longer wait. */
  const making = new Map<string, Promise<Tracked>>()
  let closed: Promise<void> | undefined

  return {
    address,
    chainId,
    send,
    outcome: tracker.outcome,
    pending: () =>
      [...tracker.open.values()].map(({ record: { attempts, nonce, label, key } }) => ({
        hashes: attempts.map(({ hash }) => hash),
        nonce,
        label,
        key,
      })),
    find(key) {
      const found = tracker.find(key)
      return found && { hash: found.hash, done: found.record.end !== undefined }
    },
    async forget(key) {
      const found = tracker.find(key)
      if (!found) return
      assertArgument(found.record.end, 'key', 'that of a transaction that is done')
      await tracker.forget(found)
    },
    close: () => (closed ??= close()),
  }

  async function send(call: TransactionCall | ContractCreation, sendOptions: SendOptions = {}): Promise<SentReceipt> {
    const { label = 'transaction', key, timeout: ms = 600_000, signal } = sendOptions
    assertArgument(call.to === null || isAddress(call.to), 'to', 'an address, or null to create a contract')
    throwIfAborted(signal, label)
    if (closed) throw new SluiceError('ABORTED', `${label} was not sent: the sender is closed`)
    if (Math.max(calls.size, tracker.open.size) >= maxPending) {
      throw new SluiceError('OVERLOADED', `${maxPending} transactions are under way already`, {
        details: { limit: maxPending },
      })
    }
    const stop = new AbortController()
    const onAbort = () => stop.abort(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    calls.add(stop)
    const trip: Trip = { left: false, tracked: undefined }
    try {
      return await withDeadline({ what: label, ms, signal: stop.signal, clock }, async (ended) => {
        const tracked = await makeOnce(call, key, () => make(call, label, sendOptions, ended, trip))
        Object.assign(trip, { left: true, tracked })
        return tracked.done
      })
    } catch (error) {
      const gaveUp = isSluiceError(error, 'TIMEOUT') || isSluiceError(error, 'ABORTED')
      throw trip.left && gaveUp ? unknownEnd(label, trip.tracked, error, inFront(trip.tracked)) : error
    } finally {
      calls.delete(stop)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Makes at most one transaction for a key. */
  async function makeOnce(
    call: TransactionCall | ContractCreation,
    key: string | undefined,
    run: () => Promise<Tracked>,
  ): Promise<Tracked> {
    if (key === undefined) return run()
    // A call that shares the key may fail for a reason of its own; then it is the next one's turn.
    for (let other; (other = making.get(key)); ) await other.catch(() => {})
    const known = tracker.find(key)
    if (known) {
      const { to, data, value } = normal(call)
      const { record } = known
      assertArgument(record.to === to && record.data === data && record.value === value, 'key', 'used for one transaction only')
      return known
    }
    const made = run()
    making.set(key, made)
    try {
      return await made
    } finally {
      making.delete(key)
    }
  }

  async function make(
    call: TransactionCall | ContractCreation,
    label: string,
    options: SendOptions,
    ended: AbortSignal,
    trip: Trip,
  ): Promise<Tracked> {
    const { to, data, value } = normal(call)
    const ask = { attempts: 5, signal: ended }
    // A revert surfaces here, before any money is spent.
    const estimate = () =>
      provider.estimateGas({ from: address, to, data, value }).catch((error) => failEstimate(error, value, ended))
    const estimated = rpc.follow(address, () => rpc.ask('gas estimate', estimate, ask), { signal: ended })
    const [gas, since] = await Promise.all([estimated, rpc.head(ask)])
    const gasLimit = (gas * 5n) / 4n + (rpc.hasWritten(address) ? GAS_FOR_CHANGES : 0n)
    const draft: Draft = { label, key: options.key, to, data, value, gasLimit, since }
    return (
      (await lane.turn(() => signAndSend(draft, options.onSent, ended, trip))) ?? askWallet(draft, options.onSent, ended, trip)
    )
  }

  /** @returns undefined if the signer holds no key. */
  async function signAndSend(
    draft: Draft,
    onSent: SendOptions['onSent'],
    ended: AbortSignal,
    trip: Trip,
  ): Promise<Tracked | undefined> {
    if (!account.holdsKey) return undefined
    for (let tries = 1; ; tries++) {
      throwIfAborted(ended, draft.label)
      const [fees, nonce] = await Promise.all([account.fees(ended), lane.next(rpc, tries > 1)])
      await account.checkFunds(cost(draft, fees), ended)
      const attempt = await account.sign(draft, nonce, fees, ended)
      if (!attempt) return undefined
      throwIfAborted(ended, draft.label)

      trip.left = true
      try {
        trip.tracked = await tracker.add({ ...draft, nonce, attempts: [attempt] }, onSent)
      } catch (error) {
        trip.left = false
        throw error
      }
      const verdict = await tracker.launch(trip.tracked)
      if (verdict.is !== 'refused') return trip.tracked
      Object.assign(trip, { left: false, tracked: undefined })
      if (tries >= MAX_TRIES || !worthAnother(verdict.error)) throw await refusal(verdict.error, draft, fees, ended)
      log.debug('node refused a transaction, making another', {
        label: draft.label,
        nonce,
        reason: reasonOf(verdict.error, nodeUrl(provider)),
      })
      await clock.sleep(backoff(tries), ended)
    }
  }

  async function askWallet(draft: Draft, onSent: SendOptions['onSent'], ended: AbortSignal, trip: Trip): Promise<Tracked> {
    assertChain(await rpc.chainId({ signal: ended }), chainId) // its user may have switched
    const { label } = draft
    throwIfAborted(ended, label)
    trip.left = true // a wallet that is asking its user cannot be called back
    let hash: string
    try {
      hash = await account.sendByWallet(draft)
    } catch (error) {
      if (isError(error, 'ACTION_REJECTED') || jsonRpcError(error)?.code === 4001) {
        trip.left = false
        throw new SluiceError('TRANSACTION_REJECTED', `${label} was declined in the wallet`, { details: { label } })
      }
      if (judge(error).is !== 'refused') throw unknownEnd(label, undefined, rpcError(error, 'hash of the transaction', clock.now(), nodeUrl(provider)))
      trip.left = false
      throw await refusal(error, draft, undefined, ended)
    }
    return tracker.add({ ...draft, nonce: undefined, attempts: [{ hash, raw: undefined, fees: undefined }] }, onSent)
  }

  async function failEstimate(error: unknown, value: bigint, signal: AbortSignal): Promise<never> {
    if (isError(error, 'INSUFFICIENT_FUNDS')) await account.checkFunds(value, signal)
    return throwRevert(error, interfaces)
  }

  /** The error behind a refusal that another try would not change. */
  async function refusal(error: unknown, draft: Draft, fees: Fees | undefined, signal: AbortSignal): Promise<SluiceError> {
    if (!isError(error, 'INSUFFICIENT_FUNDS')) return rpcError(error, 'place for the transaction', clock.now(), nodeUrl(provider))
    await account.checkFunds(cost(draft, fees ?? (await account.fees(signal))), signal)
    // Enough for this one alone, so what is under way needs the rest.
    return new SluiceError('INSUFFICIENT_FUNDS', `${address} has too little for ${draft.label} beside what is under way`, {
      details: { address },
    })
  }

  function inFront(tracked: Tracked | undefined): ForeignTransaction | undefined {
    const nonce = tracked?.record.nonce
    return nonce === undefined ? undefined : tracker.foreignBefore(nonce)
  }

  async function close(): Promise<void> {
    for (const call of calls) call.abort()
    // Whoever is signing ends at once; a wallet that is asking its user may take for ever, and is not waited for.
    await lane.turn(async () => {})
    await tracker.close()
    lane.release()
  }
}

/** What is settled about a transaction before it is signed. */
type Draft = Omit<TransactionRecord, 'nonce' | 'attempts' | 'end'>

/** How far a call to `send` has come: what has left may happen, whatever else does. */
interface Trip {
  left: boolean
  tracked: Tracked | undefined
}

/** Wei that a transaction can cost at most. */
function cost({ value, gasLimit }: Draft, fees: Fees): bigint {
  return value + gasLimit * fees.max
}

function normal({ to, data = '0x', value = 0n }: TransactionCall | ContractCreation): { to: string | null; data: string; value: bigint } {
  return { to: to === null ? null : getAddress(to), data: data.toLowerCase(), value }
}

function unknownEnd(
  label: string,
  tracked: Tracked | undefined,
  cause: unknown,
  before?: ForeignTransaction | undefined,
): SluiceError {
  const nonce = tracked?.record.nonce
  const why = before
    ? `: nonce ${before.nonce} of this account is still pending${before.hash ? ` (${before.hash})` : ''} and was not sent from ` +
      `here; ours with nonce ${nonce} waits behind it`
    : ''
  return new SluiceError('TRANSACTION_UNKNOWN', `${label} has left but its end is not known yet${why}; ask for its outcome`, {
    details: { label, hash: tracked?.hash, nonce, ...(before && { waitsFor: before.nonce, waitsForHash: before.hash }) },
    cause,
  })
}
