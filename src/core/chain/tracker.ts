import type { Interface, TransactionReceipt, TransactionResponse } from 'ethers'
import { SluiceError, isSluiceError } from '../errors.ts'
import { backoff } from '../retry.ts'
import type { Store } from '../store/store.ts'
import type { Account } from './account.ts'
import { claim } from './claim.ts'
import { chainLog } from './chainLog.ts'
import { raisedFees } from './fees.ts'
import { throwRevert } from './revert.ts'
import { type Header, isRefusal, nodeUrl } from './rpc.ts'
import {
  type Attempt,
  decodeRecord,
  encodeRecord,
  type SentReceipt,
  type TransactionEnd,
  type TransactionRecord,
} from './transactionRecord.ts'
import { reasonOf, type Verdict } from './verdict.ts'

/** Options of {@link createTracker}. */
export interface TrackerOptions {
  readonly account: Account
  readonly store: Store | undefined
  readonly interfaces: readonly Interface[]
  readonly confirmations: number
  readonly stuckAfter: number
  readonly maxBumps: number
  readonly maxFeePerGas: bigint | undefined
  readonly pollInterval: number
}

/** A transaction that has left, or is just about to. */
export interface Tracked {
  readonly record: TransactionRecord
  /** Its newest hash. */
  readonly hash: string
  /** Its receipt, or the error that it ended with. Never settles without an end. */
  readonly done: Promise<SentReceipt>
}

/**
 * What became of a transaction: `mined` and succeeded, `reverted`, still `pending`, `replaced` by another one with its
 * nonce, `dropped` by the node without a trace, or `unknown` because nothing can be found out now.
 */
export type TransactionOutcome = 'mined' | 'reverted' | 'pending' | 'replaced' | 'dropped' | 'unknown'

/** Keeps what an account has sent, and sees each transaction through to its end. */
export interface Tracker {
  /** Transactions whose end is open, oldest first. */
  readonly open: ReadonlyMap<string, Tracked>
  /** The transaction made for a key, also if it has ended. */
  find(key: string): Tracked | undefined
  /**
   * Stores a transaction that is about to leave, or that a wallet has sent.
   * @throws `STORE_FAILED`, for a signed one only: what a wallet has sent is tracked in any case.
   */
  add(record: TransactionRecord, onSent: ((hash: string) => void) | undefined): Promise<Tracked>
  /** Hands a new transaction to the node. One that is refused has not left, and leaves no trace. */
  launch(tracked: Tracked): Promise<Verdict>
  /** Forgets a transaction that has ended. */
  forget(tracked: Tracked): Promise<void>
  outcome(hash: string): Promise<TransactionOutcome>
  /** The transaction of another sender that a nonce of ours waits for, if the last look has found one. */
  foreignBefore(nonce: number): ForeignTransaction | undefined
  /** Stops looking after transactions, when the look that is under way has ended. */
  close(): Promise<void>
}

/** A transaction of the account that was not sent from here, and is not mined. */
export interface ForeignTransaction {
  readonly nonce: number
  /** If the node tells. */
  readonly hash: string | undefined
}

/** A record and what this process knows about it. */
interface Entry extends Tracked {
  readonly id: string
  record: TransactionRecord
  readonly settle: (end: TransactionEnd) => void
  readonly onSent: ((hash: string) => void) | undefined
  /** Whether the node has been given it; until then it is not looked after. */
  launched: boolean
  /** When the newest fee was offered. */
  offeredAt: number
  /** When to hand it to the node again. */
  broadcastAt: number
  broadcasts: number
  /** The block that it was seen in, while that is not deep enough. */
  seenIn: Pick<TransactionReceipt, 'blockNumber' | 'blockHash'> | undefined
  /** Looks in a row at which its nonce was used up and no receipt was there. */
  missing: number
  warned: boolean
}

/** The blocks of the chain as one look finds it. */
type Headers = (block: number) => Promise<Header | undefined>

/** Milliseconds after which a transaction that is not mined is handed to the node again, in case it was dropped. */
const REBROADCAST_AFTER = 15_000
/** Milliseconds after which a foreign transaction in front of ours is told of: most are mined in the next block. */
const FOREIGN_AFTER = 15_000
/** Blocks below the one at which a transaction was made that a reorganisation may put it into. */
const DEEPEST_REORG = 64
/** Blocks that are read one by one where a node keeps no state of them. */
const LONGEST_SEARCH = 256
/** Hashes of transactions that can no longer happen that are remembered. */
const MAX_GONE = 1000

/**
 * Creates a tracker, and takes up what an earlier run left in the store.
 *
 * One loop looks at the chain as long as a transaction's end is open. Any of a transaction's hashes may be mined. One
 * that is lost from view is handed over again as it is; nothing is signed anew but a higher fee for the same nonce.
 * @throws `STORE_FAILED`, `STORE_CORRUPT`.
 */
export async function createTracker(options: TrackerOptions): Promise<Tracker> {
  const { account, store, interfaces, confirmations, stuckAfter, maxBumps, maxFeePerGas, pollInterval } = options
  const { address, chain, provider, rpc, lane, clock, log } = account
  const prefix = `transaction/${chain}/${address.toLowerCase()}/`
  const release = claim(store, prefix, `a sender of ${address}`)
  /** By first hash, in order of their making. */
  const open = new Map<string, Entry>()
  const byKey = new Map<string, Entry>()
  /** Transactions that can no longer happen, by hash, newest last: no node tells about them any more. */
  const gone = new Map<string, 'replaced' | 'dropped'>()
  const closing = new AbortController()
  /** A nonce that nobody uses, and since when. */
  let gap: { readonly nonce: number; readonly since: number } | undefined
  /** What stands in front of ours, since when, and whether its owner has been told. */
  let foreign: (ForeignTransaction & { readonly since: number; warned: boolean }) | undefined
  let watching: Promise<void> | undefined

  if (store) {
    const found: Entry[] = []
    try {
      for await (const [name, bytes] of store.list(prefix)) found.push(newEntry(decodeRecord(name, bytes), undefined))
    } catch (error) {
      release()
      throw error
    }
    for (const entry of found.sort((a, b) => (a.record.nonce ?? Infinity) - (b.record.nonce ?? Infinity))) {
      const { end } = entry.record
      if (end) entry.settle(end)
      entry.launched = true
      enter(entry)
    }
    if (open.size) log.info('taking up transactions of an earlier run', { address, count: open.size })
    watch()
  }

  return {
    open,
    find: (key) => byKey.get(key),
    async add(record, onSent) {
      const entry = newEntry(record, onSent)
      enter(entry)
      try {
        await persist(entry)
      } catch (error) {
        if (newest(entry).raw !== undefined) {
          leave(entry)
          throw error
        }
        log.error('a transaction of a wallet could not be stored', { label: record.label, hash: entry.hash })
      }
      announce(entry)
      if (newest(entry).raw === undefined) launched(entry)
      return entry
    },
    async launch(tracked) {
      const entry = tracked as Entry
      const verdict = await broadcast(entry)
      if (verdict.is === 'refused') {
        try {
          await erase(entry)
          leave(entry)
          bury(entry, 'dropped')
          return verdict
        } catch (error) {
          // The next start would send it: so it is sent now, and its nonce stays taken.
          log.error('a refused transaction could not be erased, it is tried again', {
            hash: entry.hash,
            error: reasonOf(error),
          })
        }
      }
      launched(entry)
      return { is: verdict.is === 'accepted' ? 'accepted' : 'unclear' }
    },
    async forget(tracked) {
      await erase(tracked as Entry)
      leave(tracked as Entry)
    },
    outcome,
    foreignBefore: (nonce) => (foreign && foreign.nonce < nonce ? { nonce: foreign.nonce, hash: foreign.hash } : undefined),
    async close() {
      closing.abort()
      await watching
      release()
    },
  }

  function newEntry(record: TransactionRecord, onSent: Entry['onSent']): Entry {
    let settle!: Entry['settle']
    const done = new Promise<SentReceipt>((resolve, reject) => {
      settle = (end) => {
        if ('receipt' in end) resolve(end.receipt)
        else reject(new SluiceError(end.error.code, end.error.shortMessage, { details: end.error.details }))
      }
    })
    done.catch(() => {}) // whoever waited may have gone
    const state = { launched: false, broadcasts: 0, seenIn: undefined, missing: 0, warned: false }
    return {
      ...state,
      id: record.attempts[0]!.hash,
      record,
      done,
      settle,
      onSent,
      offeredAt: clock.now(),
      broadcastAt: clock.now(),
      get hash() {
        return newest(this).hash
      },
    }
  }

  function launched(entry: Entry): void {
    entry.launched = true
    watch()
  }

  function enter(entry: Entry): void {
    const { key, nonce, end } = entry.record
    if (key !== undefined) byKey.set(key, entry)
    if (end) return
    open.set(entry.id, entry)
    if (nonce !== undefined) lane.taken.add(nonce)
  }

  function leave({ id, record: { key, nonce, end } }: Entry): void {
    if (key !== undefined) byKey.delete(key)
    if (end) return
    open.delete(id)
    if (nonce !== undefined) lane.taken.delete(nonce)
  }

  function bury(entry: Entry, how: 'replaced' | 'dropped'): void {
    for (const { hash } of entry.record.attempts) gone.set(hash, how)
    for (const hash of gone.keys()) if (gone.size > MAX_GONE) gone.delete(hash)
  }

  async function persist({ id, record }: Pick<Entry, 'id' | 'record'>): Promise<void> {
    await store?.write([{ key: prefix + id, value: encodeRecord(record) }])
  }

  /** Changes a record: first in the store, then here. */
  async function change(entry: Entry, changes: Partial<TransactionRecord>): Promise<void> {
    const record = { ...entry.record, ...changes }
    await persist({ id: entry.id, record })
    entry.record = record
  }

  async function erase({ id }: Entry): Promise<void> {
    await store?.write([{ key: prefix + id, value: null }])
  }

  function announce(entry: Entry): void {
    const { label, nonce } = entry.record
    const { hash } = newest(entry)
    log.info('sending transaction', { label, hash, nonce })
    try {
      entry.onSent?.(hash)
    } catch (error) {
      log.error('onSent failed', { label, hash, error: reasonOf(error) })
    }
  }

  async function broadcast(entry: Entry): Promise<Verdict> {
    const { raw } = newest(entry)
    if (raw === undefined) return { is: 'accepted' }
    const verdict = await account.handOver(raw)
    const pause =
      verdict.is === 'accepted' ? REBROADCAST_AFTER : backoff(++entry.broadcasts, { delay: 1000, maxDelay: REBROADCAST_AFTER })
    entry.broadcastAt = clock.now() + pause
    if (verdict.is === 'unclear')
      log.warn('no answer to a transaction, handing it over again', { label: entry.record.label, hash: entry.hash })
    return verdict
  }

  function watch(): void {
    if (watching || open.size === 0 || closing.signal.aborted) return
    watching = follow().finally(() => {
      watching = undefined
      watch() // for what was added while the last look ended
    })
  }

  async function follow(): Promise<void> {
    for (let failures = 0; open.size > 0 && !closing.signal.aborted; ) {
      try {
        await look()
        if (failures > 0) log.info('looking after the transactions under way again', { failures })
        failures = 0
      } catch (error) {
        if (closing.signal.aborted) return
        if (failures === 0) log.warn('cannot look after the transactions under way, trying again', { reason: reasonOf(error) })
        failures++
      }
      if (open.size === 0) return
      const pause = failures > 0 ? backoff(failures, { delay: pollInterval, maxDelay: 10_000 }) : pollInterval
      await clock.sleep(pause, closing.signal).catch(() => {}) // closed: the loop ends
    }
  }

  async function look(): Promise<void> {
    const [head, used] = await Promise.all([rpc.head(), rpc.nonce(address, 'latest')])
    const asked = new Map<number, Promise<Header | undefined>>()
    const headers: Headers = (block) => {
      const header = asked.get(block) ?? rpc.header(block)
      asked.set(block, header)
      return header
    }
    const launched = [...open.values()].filter((entry) => entry.launched)
    // Settled, not all: the next look must not begin while a check of this one is under way.
    const checks = await Promise.allSettled(launched.map((entry) => check(entry, head, used, headers)))
    const failed = checks.find((result) => result.status === 'rejected')
    if (failed) throw failed.reason
    await lookForForeign(used)
    await fillGap(used)
  }

  /** Finds what else of the account has to be mined before ours, and tells its owner when that lasts. */
  async function lookForForeign(used: number): Promise<void> {
    const ours = [...open.values()].flatMap(({ record: { nonce } }) => (nonce === undefined || nonce < used ? [] : [nonce]))
    const isFree = ours.length > 0 && !lane.taken.has(used)
    if (!isFree || foreign?.nonce !== used) foreign = undefined
    if (!isFree) return
    if (!foreign) {
      if ((await rpc.nonce(address, 'pending')) <= used) return // nobody's: see fillGap
      foreign = { nonce: used, hash: await rpc.pendingHash(address, used), since: clock.now(), warned: false }
    }
    if (foreign.warned || clock.now() < foreign.since + Math.min(stuckAfter, FOREIGN_AFTER)) return
    foreign.warned = true
    log.warn('another transaction of this account was not sent from here and is not mined; ours wait behind it', {
      address,
      nonce: foreign.nonce,
      hash: foreign.hash,
      waiting: Math.min(...ours),
    })
  }

  /**
   * Uses up a nonce before all of ours that nobody uses: what had it was lost with its block, deeper than anyone looks, or
   * every node has dropped it. Until it is used nothing of ours can be mined.
   */
  async function fillGap(used: number): Promise<void> {
    const isGap = open.size > 0 && [...lane.taken].every((nonce) => nonce > used)
    if (!isGap || gap?.nonce !== used) gap = isGap ? { nonce: used, since: clock.now() } : undefined
    if (!gap || clock.now() < gap.since + stuckAfter || (await rpc.nonce(address, 'pending')) > used) return
    gap = undefined
    await lane.turn(async () => {
      if (lane.taken.has(used)) return
      const nothing = { to: address, data: '0x', value: 0n }
      const gasLimit = await rpc.ask('gas estimate', () => provider.estimateGas({ from: address, ...nothing }))
      const fees = await account.fees(closing.signal)
      const attempt = await account.sign({ ...nothing, gasLimit }, used, fees, closing.signal)
      if (attempt?.raw === undefined) return
      log.warn('a nonce is used by nobody and holds up what comes after it, using it for nothing', { address, nonce: used })
      await account.handOver(attempt.raw)
    })
  }

  async function check(entry: Entry, head: number, used: number, headers: Headers): Promise<void> {
    const nonce = entry.record.nonce ?? (await learnNonce(entry))
    if (nonce === undefined || nonce < used) return checkMined(entry, head, headers)
    vanished(entry)
    if (newest(entry).raw === undefined) return
    const now = clock.now()
    if (now >= entry.broadcastAt) await broadcast(entry)
    if (now >= entry.offeredAt + stuckAfter) await raiseFee(entry, nonce, nonce === used)
  }

  async function checkMined(entry: Entry, head: number, headers: Headers): Promise<void> {
    const { seenIn } = entry
    // A receipt may be long: it is not read again while its block stays where it is.
    if (seenIn && isShallow(seenIn.blockNumber, head) && (await headers(seenIn.blockNumber))?.hash === seenIn.blockHash) return
    const receipt = await receiptOf(entry)
    if (!receipt) {
      vanished(entry)
      // A node may know the nonce before the receipt; looked into only if that lasts.
      if (entry.record.nonce !== undefined && ++entry.missing > 1) await checkReplaced(entry, entry.record.nonce, head)
      return
    }
    entry.missing = 0
    if (isShallow(receipt.blockNumber, head)) {
      entry.seenIn = { blockNumber: receipt.blockNumber, blockHash: receipt.blockHash }
      return
    }
    // A receipt may outlive its block: in a node that lags behind, and for 250 ms in the memory of ethers.
    if ((await headers(receipt.blockNumber))?.hash !== receipt.blockHash) return
    const { nonce } = entry.record
    if (nonce !== undefined) await finish(entry, await endOf(entry.record, nonce, receipt))
  }

  function isShallow(block: number, head: number): boolean {
    return head - block + 1 < confirmations
  }

  /** Notes that a transaction which had been seen in a block is in none now. */
  function vanished(entry: Entry): void {
    if (entry.seenIn === undefined) return
    log.warn('a reorganisation has undone a transaction, sending it again', {
      label: entry.record.label,
      hash: entry.hash,
    })
    entry.seenIn = undefined
    entry.broadcastAt = clock.now()
  }

  async function receiptOf(entry: Entry): Promise<TransactionReceipt | undefined> {
    const receipts = await Promise.all(
      entry.record.attempts.map(({ hash }) => rpc.ask('receipt', () => provider.getTransactionReceipt(hash))),
    )
    return receipts.find((receipt) => receipt !== null) ?? undefined
  }

  async function endOf(record: TransactionRecord, nonce: number, receipt: TransactionReceipt): Promise<TransactionEnd> {
    const { hash, blockNumber, blockHash, gasUsed, fee, logs } = receipt
    const { label, gasLimit } = record
    if (receipt.status !== 0)
      return { receipt: { hash, nonce, blockNumber, blockHash, gasUsed, fee, logs: logs.map(chainLog) } }
    const reason = await replay(record, blockNumber)
    const why = gasUsed >= gasLimit ? 'it ran out of gas' : reason?.shortMessage ?? 'no reason can be found out'
    return {
      error: {
        code: 'TRANSACTION_REVERTED',
        shortMessage: `${label} was mined in block ${blockNumber} but reverted: ${why}`,
        details: { ...reason?.details, reason: reason?.code, hash, nonce, blockNumber, blockHash, fee },
      },
    }
  }

  /** Runs a transaction that reverted again, after its block and if that changed its end before it, for the reason. */
  async function replay({ to, data, value, gasLimit }: TransactionRecord, block: number): Promise<SluiceError | undefined> {
    for (const blockTag of [block, block - 1]) {
      const call = { from: address, to, data, value, gasLimit, blockTag }
      try {
        await rpc.ask('reason', () => provider.call(call).catch((error) => throwRevert(error, interfaces)), {
          attempts: 3,
        })
      } catch (error) {
        if (!isSluiceError(error, 'RPC_FAILED')) return error as SluiceError
      }
    }
    return undefined
  }

  async function checkReplaced(entry: Entry, nonce: number, head: number): Promise<void> {
    const taker = await whoTook(nonce, entry.record.since, head)
    if (!taker?.blockNumber || isOurs(entry, taker.hash)) return
    const { to, data, value, label, attempts } = entry.record
    const byWallet = newest(entry).raw === undefined
    if (byWallet && taker.to === to && taker.data === data && taker.value === value) {
      log.info('a wallet has sent a transaction again under another hash', { label, hash: taker.hash })
      return change(entry, { attempts: [...attempts, { hash: taker.hash, raw: undefined, fees: undefined }] })
    }
    if (isShallow(taker.blockNumber, head)) return
    const shortMessage = `${label} cannot happen any more: another transaction took its nonce`
    const details = { label, hash: entry.hash, nonce, by: taker.hash }
    await finish(entry, { error: { code: 'TRANSACTION_REPLACED', shortMessage, details } })
  }

  /** Finds the transaction that used a nonce up: proof, where a missing receipt would be a guess. */
  async function whoTook(nonce: number, since: number, head: number): Promise<TransactionResponse | undefined> {
    const first = Math.max(0, since - DEEPEST_REORG)
    /** Whether the nonce was used up at a block; undefined if the node keeps no state of it. */
    const isUsed = async (block: number): Promise<boolean | undefined> => {
      try {
        return (await rpc.nonce(address, block)) > nonce
      } catch (error) {
        if (isRefusal(error)) return undefined
        throw error
      }
    }
    // From the top, for many nodes keep the state of the newest blocks alone, and what took a nonce is new as a rule.
    let [low, high] = [head, head]
    for (let step = 1; low > first; step *= 2) {
      low = Math.max(first, high - step)
      const used = await isUsed(low)
      if (used === undefined) return searchBlocks(nonce, Math.max(first, high - LONGEST_SEARCH), high)
      if (!used) {
        low++
        break
      }
      high = low
    }
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const used = await isUsed(middle)
      if (used === undefined) return searchBlocks(nonce, low, high)
      if (used) high = middle
      else low = middle + 1
    }
    return searchBlocks(nonce, high, high)
  }

  /** Looks for the transaction with a nonce in blocks, the newest first. */
  async function searchBlocks(nonce: number, from: number, to: number): Promise<TransactionResponse | undefined> {
    for (let number = to; number >= from; number--) {
      const block = await rpc.ask('block with its transactions', () => provider.getBlock(number, true))
      const found = block?.prefetchedTransactions.find((each) => each.from === address && each.nonce === nonce)
      if (found) return found
    }
    return undefined
  }

  async function learnNonce(entry: Entry): Promise<number | undefined> {
    const nonce = (await transactionOf(entry.id))?.nonce
    if (nonce === undefined) return undefined
    lane.taken.add(nonce)
    await change(entry, { nonce })
    return nonce
  }

  function transactionOf(hash: string): Promise<TransactionResponse | null> {
    return rpc.ask('transaction', () => provider.getTransaction(hash))
  }

  async function raiseFee(entry: Entry, nonce: number, isNext: boolean): Promise<void> {
    const { label, attempts } = entry.record
    const { fees: last } = newest(entry)
    if (!last) return
    const suggested = await account.fees(closing.signal)
    entry.offeredAt = clock.now()
    if (!isNext && last.max >= suggested.max) return // it waits for the one before it, not for a better fee
    const fees = attempts.length > maxBumps ? undefined : raisedFees(last, suggested, maxFeePerGas)
    if (!fees) {
      if (!entry.warned)
        log.warn('a transaction is stuck and its fee may not be raised further', {
          label,
          hash: entry.hash,
          fee: last.max,
        })
      entry.warned = true
      return
    }
    const attempt = await account.sign(entry.record, nonce, fees, closing.signal)
    if (!attempt) return
    await change(entry, { attempts: [...attempts, attempt] })
    const verdict = await account.handOver(attempt.raw!)
    if (verdict.is === 'refused') {
      log.warn('node refused a raised fee', { label, hash: attempt.hash, reason: reasonOf(verdict.error, nodeUrl(provider)) })
      return change(entry, { attempts })
    }
    log.info('raised the fee of a stuck transaction', { label, nonce, from: last.max, to: fees.max })
    announce(entry)
  }

  async function finish(entry: Entry, end: TransactionEnd): Promise<void> {
    const { id, record } = entry
    entry.record = { ...record, end }
    try {
      await (record.key === undefined ? erase(entry) : persist(entry))
    } catch (error) {
      log.error('the end of a transaction could not be stored, the next start finds it out again', {
        hash: id,
        error: reasonOf(error),
      })
    }
    open.delete(id)
    const { blockNumber, blockHash, nonce } = 'receipt' in end ? end.receipt : (end.error.details as Partial<SentReceipt>)
    if (blockHash !== undefined) rpc.wrote({ address, nonce: nonce!, blockNumber: blockNumber!, blockHash })
    if (record.nonce !== undefined) lane.taken.delete(record.nonce)
    if ('error' in end && end.error.code === 'TRANSACTION_REPLACED') bury(entry, 'replaced')
    entry.settle(end)
  }

  async function outcome(hash: string): Promise<TransactionOutcome> {
    const buried = gone.get(hash)
    if (buried) return buried
    const entry = [...open.values(), ...byKey.values()].find((entry) => isOurs(entry, hash))
    const end = entry?.record.end
    if (end && 'error' in end && end.error.code === 'TRANSACTION_REPLACED') return 'replaced'
    try {
      const receipt = entry ? await receiptOf(entry) : await rpc.ask('receipt', () => provider.getTransactionReceipt(hash))
      if (receipt) return receipt.status === 0 ? 'reverted' : 'mined'
      const nonce = entry?.record.nonce
      if (entry && nonce !== undefined) {
        const [head, used] = await Promise.all([rpc.head(), rpc.nonce(address, 'latest')])
        if (used > nonce) {
          const taker = await whoTook(nonce, entry.record.since, head)
          return taker && !isOurs(entry, taker.hash) ? 'replaced' : 'unknown'
        }
        if (newest(entry).raw !== undefined) return 'pending'
      }
      if (await transactionOf(hash)) return 'pending'
      return nonce === undefined ? 'unknown' : 'dropped'
    } catch {
      return 'unknown'
    }
  }
}

function newest({ record: { attempts } }: Entry): Attempt {
  return attempts[attempts.length - 1]!
}

function isOurs({ record: { attempts } }: Entry, hash: string): boolean {
  return attempts.some((attempt) => attempt.hash === hash)
}
